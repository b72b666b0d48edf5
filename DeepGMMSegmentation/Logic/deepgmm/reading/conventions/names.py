"""What the names and codes of regions and segments mean: the left ventricle, a part, or neither.

Names are taken apart into words, without accents, capitals or the signs between them, and looked
up in English, German, French, Spanish, Italian, Portuguese and Dutch. What is no left ventricle
goes before what may be, and the right side before the left, wherever the word stands. A name that
says two things at once, or nothing, is not understood: whoever reads it says so, and guesses not.

Sources: AAPM TG-263 (Mayo et al., 2018: Ventricle_L, A_Coronary, Lung_R), the class names of
TotalSegmentator, and SNOMED CT with its older SNOMED-RT codes as DICOM PS3.16 and the
terminologies of 3D Slicer list them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from enum import Enum

from deepgmm.study.words import Tissue


class Meaning(Enum):
    """What a region or segment holds."""

    POOL = "blood pool"
    MYOCARDIUM = "wall"
    EDEMA = "edema"
    SCAR = "scar"
    MVO = "microvascular obstruction"
    VENTRICLE = "left ventricle as a whole"
    OTHER = "no left ventricle"

    @property
    def tissue(self) -> Tissue | None:
        """The tissue that this is; None for the whole ventricle, and for what is none of it."""
        return _TISSUES.get(self)


_TISSUES = {Meaning.POOL: Tissue.BLOOD, Meaning.MYOCARDIUM: Tissue.MYOCARDIUM,
            Meaning.EDEMA: Tissue.EDEMA, Meaning.SCAR: Tissue.SCAR, Meaning.MVO: Tissue.MVO}

#: What these classes of TotalSegmentator hold, which the words alone do not say: its ventricle is
#: the cavity, its myocardium the left one's.
_WHOLE_NAMES = {"heart_ventricle_left": Meaning.POOL, "heart_myocardium": Meaning.MYOCARDIUM}

_LEFT = (r"l|lt|left|link(s|e|er|es|en|em)?|gauches?|izq\w*|izd[oa]|sinist\w+|sx|sin|esq|esquerd\w+"
         r"|lvs?")
_RIGHT = (r"r|rt|right|rechts?|rechte[rsnm]?|droite?s?|dx|dext\w*|destr\w+|derech\w+|dch[oa]"
          r"|direit\w+|rvs?|vd|vdx")
#: One letter, or a word that means more than a side, says the side only at the end of a name that
#: has a ventricle in it: "Ventricule G", "Ventriculo I", "ventr. sin.".
_LEFT_AT_END, _RIGHT_AT_END = r"g|i|s|e|sin|esq", r"d|der|dir|dro"

#: The left and the right ventricle in short: as a word, or before what is drawn of it (LVendo).
_DRAWN = r"(endo|epi|myo|mio|blood|bp|pool|cav|wall|wand|mass|scar|m$|o$|ot$|fw|s$|chamber)"
_LV = (rf"(sa|la)?lv|lv{_DRAWN}\w*|lvedv?|lves|vg|vi|ve|vs|vsx|vg{_DRAWN}\w*"
       r"|(left|linker?s?|links)(ventri|herz|hart|ka)\w+")
_RV = (rf"(sa|la)?rv\w*|\w*rv{_DRAWN}\w*|vd|vdx|vd{_DRAWN}\w*"
       r"|(right|rechter?s?|rechts)(ventri|herz|hart|ka)\w+")

_VENTRICLE = r"\w*ventri[ck]\w*|\w*(herz|hart)ka(mm|m)er\w*|ka(mm|m)ers?|ventr"

#: Whatever else may be drawn in a chest. Whole words, or the beginning of one where it ends in \w*.
_ELSEWHERE = "|".join((
    r"\w*atri(um|a|al|en|i|os|o|e)?|\w*aur[ií]c\w*|\w*vorhof\w*|\w*vorkammer\w*|oreillettes?"
    r"|voorkamer\w*|\w*boezem\w*|laa|raa|sla|sra|\w*appendage\w*|la(endo|epi)\w*|\w*atrie",
    r"\w*aort\w*|ao|pa|\w*pulm\w*|lungs?|lunge\w*|\w*lungen\w*|poumons?|polmon\w+|longen"
    r"|(linker|rechter)long",
    r"fat|fett\w*|\w+fett\w*|graiss\w*|gras[ao]s?|grass[oi]|gordura|vet|\w+vet|vetweefsel|adipos\w*",
    r"\w*coronar\w*|\w*koronar\w*|\w*coronair\w*|kranz\w*|lad|rca|lca|lcx|lmca|lmain|pda|rpd"
    r"|circumfl\w*|ramus",
    r"\w*peri[ck]ard\w*|herzbeutel\w*|hartzakje",
    r"\w*arter\w*|veins?|\w*venen?|ven[ae]s?|veine?s?|aders?|cava|venacava\w*|svc|ivc|vessels?"
    r"|vaisseaux?|vasos?|vasi|\w*gefass?\w*|trunk|truncus|sinus",
    r"\w*papil\w*|lvot|rvot|outflow\w*|ausfluss\w*|inflow|insertions?|biventri\w*|bi",
    r"liver|leber|foie|higado|fegato|figado|lever|stomach|magen|estomac|spleen|milz|kidneys?|nieren?"
    r"|spine|spinal\w*|vertebra\w*|wirbel\w*|ribs?|rippen?|skin|haut|body|external|korper|bones?"
    r"|sternum|thorax|chest|brust\w*|breasts?|esophag\w*|oesoph\w*|trachea|bronch\w*"
    r"|mediast\w*|diaphragm\w*|thymus|thyroid\w*|brain\w*|cereb\w*|hirn\w*|third|fourth|horn"
    r"|trigone|air\w*|luft\w*|background|hintergrund|achtergrond|fond|fondo|fundo|eyes?|lens",
    r"chestwall\w*|thora\w*|abdom\w*|bauch\w*|darm\w*|magen\w*|rect\w*|bladder|blase|vessie|bowel"
    r"|colon|duoden\w*|oral|nasal|pleur\w*|pelvi\w*|femur|skelet\w*|gluteus|iliopsoas|autochthon"
    r"|prostat\w*|uter\w*|pancrea\w*|parotid\w*|larynx|musc",
    r"leads?|electrodes?|elektroden?|pacemaker|icd|device|stents?|cathet\w*|lvad|wire|artefa[ck]t\w*"
    r"|artifact\w*",
))
#: Of the heart, but neither the ventricle nor all of what it is made of: not understood.
_UNCLEAR = (r"\w*valv\w*|\w*klapp?e?n?|cusps?|leaflets?|annulus|thromb\w*|clots?|ventricles"
            r"|ventricules|ventriculos|ventricoli|chordae?|apex|spitze|base|aneurysm\w*|calci\w*"
            r"|\w*tumou?r\w*|\w*trabecul\w*|ax[ei]s|cent(er|re|roid)|line|plane|points?|landmarks?"
            r"|ring|defect|ischa?emi\w*")

_HEART = r"hearts?|herz|coeur|cuore|corazon|coracao|hart|cor"
_POOL = (r"\w*endo([ck]ard\w*|contour)?|\w*blood\w*|\w*pool\w*|\w*cavit\w*|\w*cavidad\w*|cav"
         r"|\w*lumen\w*|blut\w*|sangu?e|sang|sangre|bloed\w*|\w*hohle|cavum|kavum|holte|lvbp|bp"
         r"|sanguin\w*")
_WALL = (r"\w*myo([ck]ard\w*|contour)?|\w*mio[ck]ard\w*|\w*walls?|\w*wand|paroi|pared|parete|parede"
         r"|lvm|lvmass|herzmuskel\w*|hartspier\w*|\w*sept(um|al|o)")
#: These are of the left ventricle only beside its name, or the heart's.
_INNER, _MASS = r"chamber|inner|inside|innen|intern\w*", r"mass|masse|masa|massa"
_MUSCLE, _CARDIAC = r"muscles?|muskel|muscul\w*|muscol\w*|spier", r"cardia\w*|hearts?"
_LEVEL = r"basal|mid|midventricular|apical"
_SEGMENT = r"(antero|infero)?(anterior|inferior|septal|lateral)"
_EDEMA = r"\w*[eo]dem\w*|aar|\w*oedeem\w*"
_SCAR = (r"\w*scars?|\w*scarred|narb\w*|\w*narben?|cicatri\w*|litteken\w*|\w*fibros\w*"
         r"|\w*infar[ck]?t\w*|\w*enhanc\w*|\w*rehauss\w*|realce")
_MVO = r"mvo|noreflow|\w*obstru[ck]\w*|\w*ostru\w*"
_EPI = r"\w*epi([ck]ard\w*|contour)?"
_NOT = r"no|non|not|without|ohne|sans|sem|senza|sin|zonder|kein\w*|free|peri"

#: What is said of the pool or the wall, not what is drawn: "LV endo excl. papillary muscles".
_WITH_PAPILLARIES = re.compile(
    r"(?i)\b(in|ex|ink|exk)[ck]l\w*\.?[ _-]+(the )?(papil\w*|trabe\w*)([ _-]+musc\w*)?"
    r"|\b(with|without|no|mit|ohne|avec|sans|con|sin|senza|com|sem|met|zonder|plus|minus)"
    r"[ _-]+(the )?(papil\w*|trabe\w*)([ _-]+mus\w*)?|(in|ex)cluding[ _-]+papil\w*([ _-]+mus\w*)?")


def meaning_of_name(name: str) -> Meaning | None:
    """What a region or segment is by its name; None where that is not understood.

    Examples
    --------
    >>> meaning_of_name("Ventricle_R"), meaning_of_name("VG endo")
    (<Meaning.OTHER: 'no left ventricle'>, <Meaning.POOL: 'blood pool'>)
    """
    whole = _WHOLE_NAMES.get(name.strip().lower())
    if whole is not None:
        return whole
    words = _words(_WITH_PAPILLARIES.sub(" ", name))

    def has(pattern: str, among: Iterable[str] | None = None) -> bool:
        return any(re.fullmatch(pattern, word) for word in (words if among is None else among))

    if not words:
        return None
    if has(_ELSEWHERE) or _is_elsewhere(name, words):
        return Meaning.OTHER
    ventricle = has(_VENTRICLE)
    left = has(_LEFT) or has(_LV) or (ventricle and has(_LEFT_AT_END, words[-1:]))
    right = has(_RIGHT) or has(_RV) or (ventricle and has(_RIGHT_AT_END, words[-1:]))
    if right:
        return None if left else Meaning.OTHER
    if has(_UNCLEAR):
        return None
    joined = " ".join(words)
    if has(_MVO) or re.search(r"\bno ?(re ?flow)", joined):
        return Meaning.MVO
    ours = has(_LV) or (ventricle and left)
    pool, epi = has(_POOL) or (ours and has(_INNER)), has(_EPI)
    wall = has(_WALL) or (ours and has(_MASS)) or (has(_MUSCLE) and has(_CARDIAC)) or (
        has(_LEVEL) and has(_SEGMENT))
    negated = has(_NOT)
    if has(_SCAR) or "late gadolinium" in joined or (wall and has(r"ne[ck]ro\w*")):
        return (Meaning.MYOCARDIUM if wall else None) if negated else Meaning.SCAR
    if has(_EDEMA) or "area at risk" in joined:
        return (Meaning.MYOCARDIUM if wall else None) if negated else Meaning.EDEMA
    if epi and (pool or wall):
        return None
    if pool:
        return Meaning.POOL
    if wall:
        return Meaning.MYOCARDIUM
    if epi or ours:
        return Meaning.VENTRICLE
    return Meaning.OTHER if has(_HEART) else None


def says_nothing(name: str) -> bool:
    """Whether a name has no word that is known here: "Structure1" is one such, "LV and RV" not."""
    known = "|".join((_LV, _RV, _VENTRICLE, _ELSEWHERE, _UNCLEAR, _HEART, _POOL, _WALL, _EDEMA,
                      _SCAR, _MVO, _EPI, _INNER, _MASS, _MUSCLE))
    return not any(re.fullmatch(known, word) for word in _words(name))


def _words(name: str) -> list[str]:
    """Lower case, without accents, digits and signs; camelCase is two words."""
    text = name.replace("ß", "ss").replace("œ", "oe").replace("Œ", "Oe").replace("æ", "ae")
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c))
    words = " ".join(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()))
    return re.sub(r"\b([lr]) (v)\b|\b(v) ([gdi])\b", r"\1\2\3\4", words).split()  # L.V., V.G.


def _is_elsewhere(name: str, words: list[str]) -> bool:
    """What several words say, or one word as it is written."""
    joined = " ".join(words)
    if re.match(r"[AV]_[A-Za-z]{2}", name):
        return True  # TG-263's arteries and veins: A_LAD, V_Venacava_S
    if re.search(r"\blateral ventri[ck]|\bventri[ck]\w+ lateral"  # of the brain
                 r"|\banterior descending|\bleft main|\bgreat ves", joined):
        return True
    drawn = r"\bla( (endo|epi|myo|wall|blood|pool|cav|vol|body)\w*)?$"
    if "ra" in words or re.search(rf"(?<!\bde )(?<!\ba )(?<!\bdell ){drawn}", joined):
        return True
    # In capitals too it may be an article: "PARED DE LA CAVIDAD".
    return bool(re.search(r"(?<![A-Za-z])LA(?![A-Za-z])", name)) and not re.search(
        r"\b(DE|A|DELL) LA\b", name.upper())


#: SNOMED CT and SNOMED-RT codes. What is of the heart in general says nothing: names decide.
_CODES: dict[str, Meaning] = {
    "87878005": Meaning.VENTRICLE, "T-32600": Meaning.VENTRICLE,
    "6871001": Meaning.VENTRICLE,  # epicardium
    "49848007": Meaning.MYOCARDIUM,  # of the left ventricle
    "74281007": Meaning.MYOCARDIUM, "T-32020": Meaning.MYOCARDIUM,
    "122448007": Meaning.MYOCARDIUM,  # cardiac muscle
    "589001": Meaning.MYOCARDIUM, "T-32410": Meaning.MYOCARDIUM,  # interventricular septum
    "87612001": Meaning.POOL, "T-C2000": Meaning.POOL, "86259008": Meaning.POOL,
    "79654002": Meaning.EDEMA, "M-36300": Meaning.EDEMA,
    "12402003": Meaning.SCAR, "M-78060": Meaning.SCAR, "22298006": Meaning.SCAR,
    "D3-15000": Meaning.SCAR, "55641003": Meaning.SCAR, "M-54700": Meaning.SCAR,
    "112674009": Meaning.SCAR, "6574001": Meaning.SCAR,
}
#: Codes that say nothing more than a word does: the name may say a side or a part.
_GENERAL = {"80891009", "T-32000", "85756007", "T-D0050", "21814001", "T-32400", "123037004",
            "T-D000A", "49755003", "M-01000", "71616004", "272657006", "91723000", "113343008",
            "T-D0010"}
#: No left ventricle: right ventricle, atria, vessels, lungs, fat, pericardium, tracts, the brain's.
_CODES |= dict.fromkeys((
    "53085002", "T-32500", "82471001", "T-32300", "73829009", "T-32200", "59652004", "T-32100",
    "33626005", "68300000", "15825003", "T-42000", "113262008", "T-42070", "54247002", "57034009",
    "32672002", "281130003", "81040000", "T-44000", "45341000", "78480002", "50408007",
    "122972007", "T-48581", "48345005", "T-48610", "23074001", "39607008", "T-28000", "41801008",
    "T-43000", "13647002", "59438005", "3227004", "57396003", "90219004", "76848001", "T-39000",
    "25489000", "248300009", "F-03D38", "55603005", "13418002", "T-32650", "44627009", "T-32550",
    "70238003", "8017000", "58095006", "T-32150", "128565007", "35764002", "66720007", "49841001",
    "35918002", "10200004", "T-62000", "360066001", "8629005", "113273001", "43863001",
    "51249003"), Meaning.OTHER)
_SIDED = {"87878005", "T-32600", "49848007"}
_VENTRICLES, _LEFT_CODES, _RIGHT_CODES = (
    {"21814001", "T-32400"}, {"7771000", "G-A101"}, {"24028007", "G-A100"})


def meaning_of_codes(kind: str, regions: Iterable[str] = (), name: str = "",
                     modifiers: Iterable[str] = ()) -> Meaning | None:
    """What a segment is by the code of its type, that of its region, and then its name.

    A code goes before the name. The left ventricle's code leaves to the name which part of it is
    meant; myocardium, blood and the like have no side, which region or name must not contradict.

    Parameters
    ----------
    kind : SNOMED CT or SNOMED-RT code of the type; "" where there is none.
    regions : those of the anatomic region.
    modifiers : of either: a ventricle may be the left or the right by them alone.
    """
    regions, sides = set(regions), set(modifiers)
    if _VENTRICLES & {kind, *regions} and sides & _LEFT_CODES:
        regions.add("87878005")
    by_name = meaning_of_name(name)
    by_kind = None if kind in _GENERAL else _CODES.get(kind)
    places = {_CODES[region] for region in regions if region in _CODES}
    sided = bool(_SIDED & {kind, *regions})
    if sides & _RIGHT_CODES and not sided:
        return Meaning.OTHER
    if by_kind is Meaning.OTHER or (Meaning.OTHER in places and kind not in _SIDED):
        return Meaning.OTHER
    if by_kind is None and Meaning.VENTRICLE in places:
        by_kind = Meaning.VENTRICLE
    if by_kind is None:
        return by_name
    if by_kind is Meaning.VENTRICLE:
        return by_kind if by_name in (None, Meaning.OTHER) else by_name
    if by_name is Meaning.OTHER and not sided:
        return Meaning.OTHER
    return by_kind


def listed_names(names: Iterable[str], most: int = 3, length: int = 24) -> str:
    """Names for a message: a few, and none of them long."""
    found = [" ".join(name.split()) or "(no name)" for name in names]
    short = [name if len(name) <= length else name[:length - 3] + "..." for name in found[:most]]
    return ", ".join(f"'{name}'" for name in short) + (
        f" and {len(found) - most} more" if len(found) > most else "")
