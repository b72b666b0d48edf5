"""The words by which acquisitions and views are named: one table for headers, files and nodes.

Where the words are from. Image types and defined terms: DICOM PS3.3, C.8.3 and C.8.13. Eight
names were checked against a public registry of 396,653 series of several hospitals (Apache-2.0).
The names of product sequences of Siemens, GE, Philips and Canon, and of users in English, German,
French, Spanish and Italian, are those in use as we know them.

All patterns are searched in `plain` text: small letters without accents, words apart by one space.
What names something else comes before what names a sequence that we want, so that "T1 map psir" is
a map. Words that also mean other things ("de", "db", "whole heart") stand in a table of their own,
which is asked after every name of the header has been searched for plain ones.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum

from deepgmm.study.words import Kind, Role


class Type(str, Enum):
    """Kinds of acquisition in a cardiac examination."""

    CINE = "bSSFP cine"
    STILL = "bSSFP, one frame"
    GRE_CINE = "gradient-echo cine"
    LGE = "LGE"
    T2 = "T2-weighted"
    T2_MAP = "T2 map"
    T2_SOURCE = "source images of a T2 map"
    T2_STAR = "T2* images or map"
    T1_MAP = "T1 mapping"
    TI_SCOUT = "inversion-time scout"
    PERFUSION = "perfusion"
    FLOW = "phase-contrast flow"
    TAGGING = "tagging"
    DIFFUSION = "diffusion"
    EPI = "echo-planar images"
    SCOUT = "scout"
    EARLY = "early enhancement"
    ANATOMY = "anatomy"
    PHASE = "phase image"
    UNKNOWN = "not recognised"

    @property
    def role(self) -> Role | None:
        """The sequence of a study that such a stack can be."""
        return {Type.CINE: Role.BSSFP, Type.STILL: Role.BSSFP, Type.LGE: Role.LGE,
                Type.T2: Role.T2, Type.T2_MAP: Role.T2}.get(self)


def plain(text: str) -> str:
    """Small letters without accents, everything but letters, digits and "*" one space."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text.replace("ß", "ss"))
                       if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9*]+", " ", text.lower()).strip()


#: Parallel imaging and acceleration: how something was acquired, never what.
ACCELERATION = re.compile(
    r"\b(asset|m?sense|c ?sense|cs ?sense|grappa|i ?pat ?\d*|t ?pat ?\d*|arc|caipi\w*|speeder|"
    r"k ?t ?blast|hyper ?sense|air ?recon|compressed ?sens\w*)\b")

_BALANCED = (r"tru ?fi|true ?fisp|true ?ssfp|fiesta|b ?tfe\b|b ?ffe\b|ssfp\b|balanced|\bbal ?ffe|"
             r"\btf\d?d|\btfi")
_CINE = r"\bcine|cine\b|\bkine\b"
#: "de" is also a word of French and Spanish.
_NO_DE = (r"(?! ?(la|las|el|los|le|les|l|du|d|des|coeur|corazon|cuore|cardi\w*|base|sang\w*|fl\w+|"
          r"perf\w*|t[12]\w*|mov\w*|fun\w*|fon\w*|ejes?|camara\w*|cavi\w*|loc\w*|rep\w*|ref\w*|"
          r"control\w*|eje|petit|grand|ventric\w*|vi|vg|contr\w*|cine|medio|pulm\w*|aort\w*)\b)")

#: What names plainly say; a third word is a pattern that must not be found beside it.
NAMES: tuple[tuple[Type, str] | tuple[Type, str, str], ...] = (
    (Type.TI_SCOUT, r"\bti ?(scout|test|find\w*|series|loc\w*|opt\w*)|\bscout ?ti\b|look ?lock\w*|"
                    r"\bll\b|cine ?ir\b|\bir ?cine\b"),
    (Type.SCOUT, r"\bscouts?\b|\baah\w*|\bloc(ali[sz]\w*|alit\w*)|\bloc\b|survey|plan ?scan|"
                 r"calib\w*|\bcal\b|\bref(erence)? ?scan|\bshim|freq\w* scout|\b3 ?(plane|plan)\b|"
                 r"\breperage|\brepere|topogram|\bpilot\b"),
    (Type.SCOUT, r"\bue?bersicht", r"\b(de|lge|spat\w*|late)\b"),
    (Type.DIFFUSION, r"\bdw[is]?\b|\bdti\b|\bdiff?us\w*|\bep2d ?diff|\bdiff\b|\bivim\b|\badc\b|"
                     r"\btracew?\b|\bresolve\b"),
    (Type.T2_STAR, r"\bt2 ?\*|\bt2 ?star|\bt2s\b|\br2 ?\*|\br2 ?star|\biron\b|\bbold\b"),
    (Type.T1_MAP, r"molli|sasha|smart ?t?1 ?map|\bt1 ?map\w*|\bt1 ?star|\bt1 ?rho|\becv\b|"
                  r"native ?t1|\bt1 ?(native|post)|\bt1 ?kart\w*|\b(carto\w*|mappa\w*|mape\w*|"
                  r"mapping|carta) ?(de )?t1"),
    (Type.T2_MAP, r"\bt2 ?map\w*|t2 ?fit|\bgrase\b|\bt2 ?kart\w*|\b(carto\w*|mappa\w*|mape\w*|"
                  r"mapping|carta) ?(de )?t2\b"),
    (Type.TAGGING, r"\btag\w*|spamm\b|\bdense\b|\bgrid\b|senc\b|\bmarcaje|\bmarquage|\bmarcatura"),
    (Type.FLOW, r"flow(?! ?comp)|phase ?contrast|\bpc ?(mri|gre|cine|2d|3d|4d|ao|pa|sag|tra)\b|"
                r"cine ?pc\b|fast ?(cine ?)?pc\b|(?<![a-z])veloc|(?<![a-z])venc|"
                r"\bv\d+ ?(in|fh|hf|ap|pa|rl|lr|through)\b|\bflujo|\bflusso|\bflux\b|\bfluss\b|"
                r"contraste? ?de ?fase|contraste de phase"),
    (Type.PERFUSION, r"perf|first ?pass|erst ?pass|premier passage|primer paso|primo passaggio|"
                     r"adenos|regadenos|lexiscan|persantin|dip[yi]ridam|dynamic|time ?course|"
                     r"\bfgre ?t\b|\bfgret\b|\bsr ?(tfl|tfe|gre|trufi|ssfp)|\btfl ?sr\b"),
    (Type.PERFUSION, r"\b(stress|rest|estres|reposo|riposo|repos|ruhe)\b",
     rf"{_CINE}|{_BALANCED}|\blge|\bmde|psir"),
    (Type.EARLY, r"\bege\b|early ?(gad|enh|gd)|\bprecoc\w*|\bprecoz|\bfruh ?(anr|enh|auf)\w*|"
                 r"\bfrueh ?(anr|enh|auf)\w*"),
    (Type.LGE, r"\blge|\bldge|(?<!trigger )(?<!trig )\bdelay(ed)?\b|\bdelay\w* ?(enh|hyper|gad)|"
               r"del ?enh|\bdly ?enh|\blate\b|late ?(gad|enh)|psir|mde\b|viab|phase ?sens|"
               r"^de\b(?! (\w+ )?(cine|perf|t2|flu))" + _NO_DE + r"|"
               r"\bde ?(over|high|sax?\b|psir|ir|tfl|trufi|mri|cmr|\dch)|\bdhe\d?d?\b|"
               r"hyper ?enh|(?<!triple )(?<!double )(?<!t2 )\bir ?(tfl|tfe|gre|fgre|ssfp|trufi|"
               r"turbo|sax?\b|spgr|prep\w* ?(fgre|gre|tfl|tfe|spgr))|\bir ?p ?(fgre|gre|spgr|tfe)|"
               r"\b(fgre|spgr|tfe|tfl|turbo ?flash) ?ir\b|\benhancement|\bspat ?(an|auf|enh|bild|"
               r"phase|\b)\w*|\bspate?\b|\bspaet\w*|\brealce|\brehauss\w*|\btardi\w*|"
               r"\bnarbe\w*|\bcicatri\w*|\bvitalita\w*|\bce ?ir\b"),
    (Type.ANATOMY, r"\bhaste|ssfse|ss ?fse|ss ?tse\b|\bssh ?(tse|fse|bb|t2)|coronar[iy]\w*|\bmra\b|"
                   r"\bangio\w*|\bvibe\b|\blava\b|\bthrive\b|mp ?rage\b|\bflair\b|\bswi\b"),
    (Type.ANATOMY, r"\b(3d|nav\w*)\b(?=.*whole ?heart)|whole ?heart(?=.*\b(3d|nav\w*)\b)", _CINE),
    (Type.T2, r"stir\b|\btirm\b|\btir\b|triple ?ir|\btriple inv\w*|"
              r"o?edema|odem\b|oedem\w*|\bt2 ?prep|acut2e|bright ?blood ?t2|\b(db|bb)?t2p?\b|"
              r"\b(db|bb|pd)?t2 ?(w|tse|fse|se|stir|fs|spair|fat|db|bb|trufi|b?ssfp|blade|tirm|"
              r"haste|sax?|ax|trip\w*)"),
    (Type.T2, r"spair", r"\bt1"),
    (Type.CINE, rf"{_CINE}|{_BALANCED}|\bretro\b|\bfun[ckz]t?\w*|\bfonct\w*"),
    (Type.ANATOMY, r"double ?ir|\bt1 ?(w|tse|fse|se|fl|ffe|tfe|vibe|gre|spin)?\b|\bpdw?\b"),
)

#: What other words may say, where no name of the header says anything plainly.
WEAK_NAMES: tuple[tuple[Type, str], ...] = (
    (Type.LGE, r"\bti ?\d{3}\b|\bde\b" + _NO_DE + r"|\birp\b|\b(post|nach) ?(gad\w*|gd|km)\b"),
    (Type.ANATOMY, r"\b[db]b\b|dark ?blood|black ?blood|sang noir|sangre negra|sangue nero|"
                   r"\btse\b|\bfse\b"),
    (Type.ANATOMY, r"whole ?heart"),
)

#: A balanced (steady-state free precession) or a spoiled gradient echo. The scanner writes the
#: sequence's name, a person the rest; "gre" alone says less than the header's own terms.
BALANCED = re.compile(_BALANCED)
SPOILED = re.compile(r"\bfl ?\d ?d|flash|spgr|\be?fgre|fast ?card|\bfcard|fast ?cine|\btfl\b|"
                     r"\bt1 ?(ffe|tfe)|\bmerge\b|spoiled|\bfast ?spoil\w*")
GRADIENT = re.compile(r"\bgre\b|\bffe\b|\btfe\b")

#: Words in the image type that say that it is no picture of the heart's signal for us.
IMAGE_TYPES: tuple[tuple[Type, str], ...] = (
    (Type.DIFFUSION, r"\b(diffusion|adc|tracew?|tensor|fa|dw[is]?)\b"),
    (Type.FLOW, r"\b(velocity|flow|pca)\b|phase contrast"),
    (Type.PERFUSION, r"\bperfusion\b"),
    (Type.T1_MAP, r"\bt1 map\b|\bt1 (star )?map"),
)

#: The kind of a sequence, from the same names; the first that is found counts.
KINDS: dict[Role, tuple[tuple[str, Kind], ...]] = {
    Role.BSSFP: (),
    # "psir_mag" is the magnitude image of a PSIR acquisition.
    Role.LGE: ((r"dark ?blood|black ?blood|\b[db]b\b|sang noir|sangre negra|sangue nero|"
                r"schwarz\w* ?blut|dunk\w* ?blut", Kind.LGE_DARK_BLOOD),
               (r"magnitude?|\bmag\b|\bmodulo\b|\bbetrag\w*", Kind.LGE_MAGNITUDE),
               (r"psir|phase ?sens|\bps ?mde\b|\bfasens\w*|sensib\w* a la fase",
                Kind.LGE_PSIR)),
    Role.T2: ((r"t2 ?map|\bt2 ?fit|\bt2 ?kart|carto\w* ?(de )?t2|map\w* ?(de )?t2", Kind.T2_MAP),
              (r"stir\b|spair|tirm\b|dark ?blood|black ?blood|triple ?(ir|inv)|\b[db]b(t2)?\b|"
               r"sang noir|sangre negra|sangue nero|schwarz\w* ?blut", Kind.T2_DARK_BLOOD),
              (r"t2 ?prep|\bt2p\b", Kind.T2_PREPARED)),
}

#: T2-prepared bright-blood images, where the header does not say spin echo.
PREPARED = re.compile(r"t2 ?prep|\bt2p\b|acut2e|bright ?blood|t2 ?(trufi|b?ssfp)")

#: Words in which a file or a node plainly names its sequence, alone.
TITLES: dict[Role, str] = {Role.BSSFP: "b?ssfp|cine|true?fi(sp)?|fiesta|bffe",
                           Role.LGE: "lge|psir",
                           Role.T2: "t2(w|prep|map|stir|spair|tirm)?"}

#: Views. "sa" before a letter and a digit is short axis ("sa_b3", "sab3"), "sag2d" is not.
SHORT_NAMES = re.compile(
    r"\bsax?\d*\b|\bsax|\bshax|\bsa[bs]?\d+\b|\bsa ?2d|short ?ax|\bssa\b|\bkurz\w* ?achs|\bka\b|"
    r"\bpetit ?axe|\beje ?corto|\basse ?corto|\beixo ?curto|\bcorto ?(eje|asse)|\bkorte ?as\b")
LONG_NAMES = re.compile(
    r"\b[234] ?(ch\w*|kk|hk|c|cv|chamber|kammer\w*|camar\w*|camer\w*|cavi\w*|kb)\b|"
    r"\b(two|three|four|zwei|drei|vier|deux|trois|quatre|dos|tres|cuatro|due|tre|quattro) ?"
    r"(ch\w*|kammer\w*|camar\w*|camer\w*|cavi\w*)|lvot|rvot|\bvla\b|\bhla\b|\blax?\b|long ?ax|"
    r"\blang\w* ?achs|\bgrand ?axe|\beje ?largo|\basse ?lungo|\brad(ial)?\b")
VESSEL = re.compile(r"\baort\w*|\bao\b|\bpulm\w*")
AXIAL = re.compile(r"\btra(ns\w*)?\d*\b|\btra[23]d|\btransv\w*|\baxial\w*|\bax[23]?d?\b|\bassiale?")
CORONAL = re.compile(r"\bcor(onal\w*)?\d*\b|\bcor[23]d|\bkor(onar)?\b")
SAGITTAL = re.compile(r"\bsag\w*")
