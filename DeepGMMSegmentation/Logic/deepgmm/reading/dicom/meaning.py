"""What a stack is, in a technologist's words: by its names, its tags, and how its images vary.

The names are in `deepgmm.study.names`. The header's own terms come first where they say that it is
none of ours (velocities, b-values), then names, then the terms that any sequence has (spin or
gradient echo, TE, TI), and how the images of a slice differ has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deepgmm.reading.dicom.frames import Component, Frame, Variation
from deepgmm.reading.dicom.stack import Stack
from deepgmm.study.kinds import Guess, guess_from_header, short_name
from deepgmm.study.names import (
    ACCELERATION,
    BALANCED,
    GRADIENT,
    IMAGE_TYPES,
    NAMES,
    PREPARED,
    SPOILED,
    WEAK_NAMES,
    plain,
)
from deepgmm.study.names import Type as Type
from deepgmm.study.words import Kind, Role


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


#: A spin echo with an echo time from here on is T2-weighted, ms.
_LONG_ECHO = 40.0

#: So many images of one place that have no times are a cine's, where nothing else is said.
_CINE_FRAMES = range(10, 61)


def _named(frame: Frame) -> tuple[Type, str]:
    """The type that description, protocol or sequence names, in this order, and how.

    What a name may also mean counts only where none of them says anything plainly.
    """
    texts = [(what, ACCELERATION.sub(" ", plain(text))) for what, text in (
        ("named", frame.description), ("protocol", frame.protocol), ("sequence", frame.sequence),
        ("image type", " ".join(frame.image_type)))]
    for table in (NAMES, WEAK_NAMES):
        for what, text in texts:
            for type_, pattern, *unless in table if text else ():
                match = re.search(pattern, text)
                if match and match.group().strip() and not (unless and re.search(unless[0], text)):
                    return type_, f'{what} "{match.group().strip()}"'
    return Type.UNKNOWN, ""


def _type_of(frame: Frame) -> tuple[Type, str]:
    """The type by names and tags, and what says so."""
    if frame.velocity:
        return Type.FLOW, "velocity encoded"
    if frame.diffusion:
        return Type.DIFFUSION, f"b-value {frame.diffusion:.0f}"
    said = plain(" ".join(frame.image_type[2:]))
    for type_, pattern in IMAGE_TYPES:
        match = re.search(pattern, said)
        if match:
            return type_, f'image type "{match.group()}"'
    type_, reason = _named(frame)
    if frame.component in (Component.PHASE, Component.IMAGINARY) and type_ is not Type.FLOW:
        return Type.PHASE, f"{frame.component.value} image"
    if type_ is Type.UNKNOWN:
        type_, reason = _tagged(frame)
    elif _only_dark_blood(frame, reason):
        type_, reason = _tagged(frame)
    if "EP" in frame.scanning and type_ in (Type.T2, Type.CINE, Type.UNKNOWN, Type.ANATOMY):
        return Type.EPI, "echo-planar"
    return type_, reason


def _only_dark_blood(frame: Frame, reason: str) -> bool:
    """Whether names say no more than dark blood or turbo spin echo, and the echo is a long one."""
    return (re.search(r'"([db]b|dark ?blood|black ?blood|[tf]se|sang\w* \w+)"$', reason) is not None
            and "SE" in frame.scanning and (frame.echo or 0) >= _LONG_ECHO)


def meaning_of_frames(frames: Sequence[Frame]) -> Meaning:
    """What images are by their names and tags, however many there are a slice."""
    type_, reason = _type_of(frames[0])
    return _with_kind(type_, frames[0], (reason,))


def meaning_of(stack: Stack) -> Meaning:
    """What a stack is, also by how the images of a slice differ."""
    frame, variation, count = stack.typical, stack.variation, stack.phases
    type_, reason = _type_of(frame)
    weighted = [f.diffusion for f in stack.frames if f.diffusion]
    if weighted and type_ is not Type.DIFFUSION:
        type_, reason = Type.DIFFUSION, f"b-values to {max(weighted):.0f}"
    named = _named(frame)[0] is not Type.UNKNOWN
    reasons = [reason]
    if variation is not Variation.NONE:
        reasons.append(f"{count} {variation.value}")
    if variation is Variation.INVERSION and type_ not in (Type.TI_SCOUT, Type.T1_MAP):
        type_ = Type.T1_MAP
    elif variation is Variation.ECHO and type_ not in (Type.T2_STAR, Type.T2_MAP):
        type_ = Type.T2_STAR if (frame.echo or 0) < 30 and "SE" not in frame.scanning \
            else Type.T2_SOURCE
    elif variation is Variation.TIME and (
            type_ in (Type.CINE, Type.UNKNOWN)
            or not named and type_ not in (Type.DIFFUSION, Type.EPI, Type.FLOW)):
        type_ = Type.PERFUSION
    elif type_ is Type.LGE and not named and variation is Variation.PHASE:
        type_ = Type.TI_SCOUT  # after inversion, and yet all through the heartbeat
    elif type_ is Type.T2 and not named and variation is Variation.ORDER:
        type_ = Type.UNKNOWN  # many images of one slice are no T2-weighted stack
    if type_ is Type.T2_MAP and (variation is not Variation.NONE or _source(stack)):
        type_ = Type.T2_SOURCE
    if type_ is Type.UNKNOWN and not frame.scanning & {"SE", "EP"} and (
            variation is Variation.PHASE
            or variation is Variation.ORDER and count in _CINE_FRAMES):
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
    """By the scanner's name of the sequence, else by a person's, else by the header's terms.

    GE writes SS for every gradient echo, and SP beside it for the spoiled ones.
    """
    for text in (frame.sequence, f"{frame.description} {frame.protocol}"):
        words = plain(text)
        if BALANCED.search(words):
            return False
        if SPOILED.search(words):
            return True
    if frame.variant & {"SP", "SS"}:
        return "SP" in frame.variant
    return bool(GRADIENT.search(plain(f"{frame.description} {frame.sequence}")))


def _tagged(frame: Frame) -> tuple[Type, str]:
    """The type that the tags alone suggest."""
    if "SE" in frame.scanning and frame.echo is not None:
        if frame.echo >= _LONG_ECHO:
            return Type.T2, f"spin echo, TE {frame.echo:.0f} ms"
        return Type.ANATOMY, f"spin echo, TE {frame.echo:.0f} ms"
    # GE calls sequences of its research mode RM.
    gradient = bool(frame.scanning & {"GR", "RM"})
    if gradient and frame.inversion and frame.inversion > 100:
        return Type.LGE, f"gradient echo after inversion, TI {frame.inversion:.0f} ms"
    if gradient and "SS" in frame.variant and "SP" not in frame.variant:
        return Type.CINE, "balanced gradient echo"
    return Type.UNKNOWN, ""


def _with_kind(type_: Type, frame: Frame, reasons: tuple[str, ...]) -> Meaning:
    role = type_.role
    if role is None:
        return Meaning(type_, reasons=tuple(r for r in reasons if r))
    words = plain(f"{frame.description} {frame.protocol} {frame.sequence}")
    if type_ is Type.T2_MAP:
        guess = Guess(Kind.T2_MAP, 0.95, "computed map")
    else:
        guess = guess_from_header(
            role, words, real={Component.REAL: True, Component.MAGNITUDE: False}.get(
                frame.component),
            spin_echo="SE" in frame.scanning if frame.scanning else None)
        if role is Role.T2 and PREPARED.search(words) and "SE" not in frame.scanning:
            guess = Guess(Kind.T2_PREPARED, 0.9, "T2-prepared")
    return Meaning(type_, guess.kind, guess.confidence,
                   tuple(dict.fromkeys(r for r in (*reasons, guess.reason) if r)))
