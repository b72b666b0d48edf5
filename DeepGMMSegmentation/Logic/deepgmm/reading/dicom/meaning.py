"""What a stack is, in a technologist's words: by its names, its tags, and how its images vary.

Names are those that Siemens, GE and Philips protocols and their users give; a rule that names
something else comes before one that names a sequence we want, so that "T1 map psir" is a map.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from deepgmm.reading.dicom.frames import Component, Frame, Variation
from deepgmm.reading.dicom.stack import Stack
from deepgmm.study.kinds import Guess, guess_from_header, short_name
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


@dataclass(frozen=True)
class Meaning:
    """What a stack is taken for.

    Attributes
    ----------
    kind, confidence : of the sequence, 0 to 1; the kind is unknown where the type has no role.
    reasons : what says so, in words that hold nothing of the header but known terms.
    """

    type: Type
    kind: Kind = Kind.UNKNOWN
    confidence: float = 0.0
    reasons: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """As one would say it: "LGE (psir)", "bSSFP cine"."""
        if self.type in (Type.LGE, Type.T2) and self.kind is not Kind.UNKNOWN:
            return f"{self.type.value} ({short_name(self.kind)})"
        return self.type.value


_NAMES: tuple[tuple[Type, str], ...] = (
    (Type.TI_SCOUT, r"\bti ?(scout|test|find\w*|series)|look ?locker|\bll\b|cine ?ir\b"),
    (Type.SCOUT, r"\bscouts?\b|\blocali[sz]\w*|\bloc\b|survey|plan ?scan|asset|calib\w*|"
                 r"\bref(erence)? ?scan|\bshim|freq\w* scout|aahscout|\b3 ?plane\b"),
    (Type.T2_STAR, r"\bt2 ?\*|\bt2 ?star|\biron\b"),
    (Type.T1_MAP, r"molli|sasha|smart ?1 ?map|\bt1 ?map\w*|\bt1 ?star|\becv\b|native ?t1|"
                  r"\bt1 ?(native|post)"),
    (Type.T2_MAP, r"\bt2 ?map\w*|t2 ?fit|\bgrase\b"),
    (Type.TAGGING, r"\btag\w*|spamm\b|\bdense\b|\bgrid\b|\bsenc\b"),
    (Type.FLOW, r"q? ?flow|phase ?contrast|\bpc ?(mri|gre|cine|2d|ao|pa)\b|cine ?pc\b|veloc|"
                r"venc|\bv\d+ ?(in|fh|hf|ap|pa|rl|lr|through)\b"),
    (Type.PERFUSION, r"perf|first ?pass|adenos|regadenos|dynamic|time ?course|"
                     r"\bsr ?(tfl|tfe|gre|trufi|ssfp)|\btfl ?sr\b|^(?!.*cine).*\b(stress|rest)\b"),
    (Type.EARLY, r"\bege\b|early ?(gad|enh)"),
    (Type.LGE, r"\blge|\bdelayed?\b|delay\w* ?(enh|hyper)|del ?enh|\blate\b|"
               r"late ?(gad|enh)|psir|mde\b|viab|"
               r"phase ?sens|^de\b|\bde ?(over|high|sax?\b|psir|ir|tfl|trufi|\dch)|"
               r"(?<!triple )(?<!double )\bir ?(tfl|tfe|gre|fgre|ssfp|trufi|turbo|sax?\b)|"
               r"\benhancement"),
    (Type.ANATOMY, r"haste|ssfse|coronar|whole ?heart|\bmra\b|angio"),
    (Type.T2, r"stir\b|\btirm\b|\btir\b|spair|triple ?ir|o?edema|t2 ?prep|acut2e|"
              r"bright ?blood ?t2|\bt2p?\b|\bt2 ?w"),
    (Type.CINE, r"cine|tru ?fi|true ?fisp|fiesta|b ?tfe\b|b ?ffe\b|ssfp\b|balanced|"
                r"\btf2d|\btfi\d?d?|\bretro\b|funct"),
    (Type.ANATOMY, r"\bdb\b|\bbb\b|dark ?blood|black ?blood|double ?ir|\bt1 ?w?\b|\btse\b|\bfse\b"),
)

_PREPARED = r"t2 ?prep|\bt2p\b|acut2e|bright ?blood|t2 ?(trufi|b?ssfp)"
_BALANCED = r"tru ?fi|true ?fisp|fiesta|b ?tfe\b|b ?ffe\b|ssfp\b|balanced|\btf2d|\btfi"
_SPOILED = r"\bfl2d|flash|spgr|\bfgre\b|fast ?card|\btfl\b|\bgre\b"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9*]+", " ", text.lower()).strip()


def _named(frame: Frame) -> tuple[Type, str]:
    """The type that description, protocol or sequence names, in this order, and how."""
    for what, text in (("named", frame.description), ("protocol", frame.protocol),
                       ("sequence", frame.sequence), ("image type", " ".join(frame.image_type))):
        plain = _plain(text)
        for type_, pattern in _NAMES:
            match = re.search(pattern, plain)
            if match and match.group().strip():
                found = match.group().strip()
                if type_ is Type.PERFUSION and " " in found:
                    found = found.split()[-1]
                return type_, f'{what} "{found}"'
    return Type.UNKNOWN, ""


def _type_of(frame: Frame) -> tuple[Type, str]:
    """The type by names and tags, and what says so."""
    if frame.velocity:
        return Type.FLOW, "velocity encoded"
    type_, reason = _named(frame)
    if frame.component in (Component.PHASE, Component.IMAGINARY) and type_ is not Type.FLOW:
        return Type.PHASE, f"{frame.component.value} image"
    return _tagged(frame) if type_ is Type.UNKNOWN else (type_, reason)


def meaning_of_frames(frames: Sequence[Frame]) -> Meaning:
    """What images are by their names and tags, however many there are a slice."""
    type_, reason = _type_of(frames[0])
    return _with_kind(type_, frames[0], (reason,))


def meaning_of(stack: Stack) -> Meaning:
    """What a stack is, also by how the images of a slice differ."""
    frame, variation, count = stack.first, stack.variation, stack.phases
    type_, reason = _type_of(frame)
    reasons = [reason]
    if variation is not Variation.NONE:
        reasons.append(f"{count} {variation.value}")
    if variation is Variation.INVERSION and type_ not in (Type.TI_SCOUT, Type.T1_MAP):
        type_ = Type.T1_MAP
    elif variation is Variation.ECHO and type_ not in (Type.T2_STAR, Type.T2_MAP):
        type_ = Type.T2_STAR if (frame.echo or 0) < 30 and "SE" not in frame.scanning \
            else Type.T2_SOURCE
    elif variation is Variation.TIME and (type_ in (Type.CINE, Type.UNKNOWN)
                                          or _named(frame)[0] is Type.UNKNOWN):
        type_ = Type.PERFUSION
    if type_ is Type.T2_MAP and (variation is not Variation.NONE or _source(stack)):
        type_ = Type.T2_SOURCE
    if type_ is Type.UNKNOWN and variation is Variation.PHASE:
        type_ = Type.CINE
    if type_ is Type.CINE and variation not in (Variation.PHASE, Variation.ORDER):
        type_ = Type.STILL
    if type_ is Type.CINE and _spoiled(frame):
        type_ = Type.GRE_CINE
        reasons.append("spoiled, not balanced")
    if type_ is Type.CINE and "SS" in frame.variant:
        reasons.append("steady state")
    return _with_kind(type_, frame, tuple(reasons))


def _source(stack: Stack) -> bool:
    """Whether images named a T2 map are the acquired ones that it was computed from."""
    words = " ".join(stack.first.image_type)
    return "DERIVED" not in words and "MAP" not in words


def _spoiled(frame: Frame) -> bool:
    words = _plain(f"{frame.description} {frame.sequence}")
    if re.search(_BALANCED, words):
        return False
    if frame.variant:
        return "SP" in frame.variant and "SS" not in frame.variant
    return bool(re.search(_SPOILED, words))


def _tagged(frame: Frame) -> tuple[Type, str]:
    """The type that the tags alone suggest."""
    if "SE" in frame.scanning and frame.echo is not None:
        if frame.echo >= 40:
            return Type.T2, f"spin echo, TE {frame.echo:.0f} ms"
        return Type.ANATOMY, f"spin echo, TE {frame.echo:.0f} ms"
    if "GR" in frame.scanning and frame.inversion and frame.inversion > 100:
        return Type.LGE, f"gradient echo after inversion, TI {frame.inversion:.0f} ms"
    if "GR" in frame.scanning and "SS" in frame.variant:
        return Type.CINE, "balanced gradient echo"
    return Type.UNKNOWN, ""


def _with_kind(type_: Type, frame: Frame, reasons: tuple[str, ...]) -> Meaning:
    role = type_.role
    if role is None:
        return Meaning(type_, reasons=tuple(r for r in reasons if r))
    words = _plain(f"{frame.description} {frame.protocol} {frame.sequence}")
    if type_ is Type.T2_MAP:
        guess = Guess(Kind.T2_MAP, 0.95, "computed map")
    else:
        guess = guess_from_header(
            role, words, real={Component.REAL: True, Component.MAGNITUDE: False}.get(
                frame.component),
            spin_echo="SE" in frame.scanning if frame.scanning else None)
        if role is Role.T2 and re.search(_PREPARED, words) and "SE" not in frame.scanning:
            guess = Guess(Kind.T2_PREPARED, 0.9, "T2-prepared")
    return Meaning(type_, guess.kind, guess.confidence,
                   tuple(dict.fromkeys(r for r in (*reasons, guess.reason) if r)))
