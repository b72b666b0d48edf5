"""Which stack is bSSFP, LGE and T2, by rules that are said; nothing is chosen in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.dicom.meaning import Meaning, Type
from deepgmm.reading.dicom.stack import Stack
from deepgmm.reading.dicom.view import View
from deepgmm.study.kinds import short_name
from deepgmm.study.words import Kind, Role, ranges

#: A stack with fewer slices than this share of the largest candidate is a part of a heart.
_PART = 0.7

#: Stacks turned by more than this against each other, degrees, are told to the user.
_TURNED = 5.0

#: Kinds of one sequence, the one wanted most first.
_PREFERRED = (Kind.BSSFP, Kind.LGE_PSIR, Kind.LGE_MAGNITUDE, Kind.LGE_DARK_BLOOD,
              Kind.T2_DARK_BLOOD, Kind.T2_PREPARED, Kind.T2_MAP, Kind.UNKNOWN)
_WHY_PREFERRED = {
    Kind.LGE_PSIR: "PSIR depends less on the inversion time",
    Kind.LGE_MAGNITUDE: "bright-blood LGE comes before dark-blood",
    Kind.T2_DARK_BLOOD: "dark-blood T2 comes before other kinds",
    Kind.T2_PREPARED: "a T2-weighted stack comes before a map",
}


@dataclass
class Entry:
    """One line of the list: a stack, what it is, and what became of it.

    Attributes
    ----------
    role : the sequence it was taken for; None where it was left.
    why_left : why it was not taken; empty where it was.
    part : which of the stacks that share its series number it is, from 1; 0 where it is alone.
    """

    stack: Stack
    meaning: Meaning
    view: View
    view_reason: str
    role: Role | None = None
    why_left: str = ""
    part: int = 0

    @property
    def name(self) -> str:
        """"series 31" or "series 12-20", which a user can type."""
        return "series " + (self.said if self.part else ranges(self.stack.numbers, ", "))

    @property
    def said(self) -> str:
        """What a user says to take it: a series number that no other stack has, or with its part.
        """
        return f"{self.stack.numbers[0]}" + (f"/{self.part}" if self.part else "")

    @property
    def kind(self) -> Kind:
        return self.meaning.kind


@dataclass
class Choice:
    """What was taken for which sequence.

    Attributes
    ----------
    problem : why nothing can be imported, as one line; empty where something can.
    """

    taken: dict[Role, Entry] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problem: str = ""


def choose(entries: list[Entry], wanted: Mapping[Role, str | None] | None = None,
           kinds: Mapping[Role, Kind | None] | None = None) -> Choice:
    """Choose the short-axis stack of each sequence; `entries` are told what became of them.

    Of several candidates that with more slices is taken (where one has under 70 % of the
    other's), then the kind wanted most, then the most slices, then the latest.

    Parameters
    ----------
    wanted : role to the series number that the user wants, or "none".
    kinds : role to the kind that the user wants.

    Raises
    ------
    InputError
        A series number that is not there.
    """
    choice = Choice()
    _number_alike(entries)
    for role in Role:
        said = (wanted or {}).get(role)
        if said == "none":
            continue
        kind = (kinds or {}).get(role)
        found = _named(entries, role, said, kind) if said else [
            e for e in entries if e.meaning.type.role is role and e.view is View.SHORT_AXIS
            and kind in (None, e.kind)]
        if found:
            _take(choice, role, found, bool(said))
    for entry in entries:
        if entry.role is None and not entry.why_left:
            entry.why_left = _why_left(entry)
    if not choice.taken and not choice.problem:
        choice.problem = _nothing(entries)
    _compare(choice)
    return choice


def _number_alike(entries: list[Entry]) -> None:
    """Give stacks that neither series number nor kind tells apart the number of their part."""
    for entry in entries:
        mine = entry.stack.numbers[0]
        alike = [e for e in entries if mine in e.stack.numbers and e.meaning.type.role is not None
                 and (e.meaning.type.role, e.kind) == (entry.meaning.type.role, entry.kind)]
        entry.part = next(i for i, e in enumerate(alike, 1) if e is entry) \
            if len(alike) > 1 else 0


def _named(entries: list[Entry], role: Role, said: str, kind: Kind | None) -> list[Entry]:
    number, _, part = said.partition("/")
    found = [e for e in entries if number.isdigit() and int(number) in e.stack.numbers
             and part in ("", str(e.part))]
    if part and len(found) == 1:
        return found
    if not found:
        known = ranges({n for e in entries for n in e.stack.numbers}, ", ")
        raise InputError(f"--{role.value}: there is no series '{said}': "
                         f"give one of {known}, or none")
    fitting = [e for e in found if e.meaning.type.role is role] or found
    return [e for e in fitting if kind in (None, e.kind)] or fitting


def _take(choice: Choice, role: Role, found: list[Entry], said: bool) -> None:
    most = max(len(e.stack.slices) for e in found)

    def rank(entry: Entry) -> tuple[float, ...]:
        count = len(entry.stack.slices)
        return (count < _PART * most, entry.meaning.type is Type.STILL,
                _PREFERRED.index(entry.kind), -count)

    ranked = sorted(sorted(found, key=lambda e: (e.stack.acquired, e.stack.numbers[-1]),
                           reverse=True), key=rank)
    first = ranked[0]
    for other in ranked[1:]:
        reason = _difference(rank(first), rank(other), first, other)
        if not reason:
            if not choice.problem:
                choice.problem = (
                    f"two stacks can be {role.title}: {first.name} and {other.name}, alike in "
                    f"kind, slices and time: say --{role.value} {first.said} or "
                    f"--{role.value} {other.said}")
            first.why_left = other.why_left = f"one of two that can be {role.title}"
            return
        other.why_left = f"{first.name} was taken: {reason}"
        choice.warnings.append(
            f"{len(found)} stacks can be {role.title}; {first.name} ({first.meaning.title}) was "
            f"taken, not {other.name} ({other.meaning.title}): {reason}; "
            f"{_way(found, role, other)} takes the other")
    first.role, choice.taken[role] = role, first
    count = len(first.stack.slices)
    if count < 3:
        choice.warnings.append(f"{role.title} has only {count} slice{'s' if count > 1 else ''}")
    if said and first.meaning.type.role is not role:
        choice.warnings.append(f"{first.name} was taken for {role.title} as you said; it looks "
                               f"like {first.meaning.title}")
    if said and first.view is not View.SHORT_AXIS:
        choice.warnings.append(f"{first.name} was taken for {role.title} as you said; it lies "
                               f"in {first.view.value} ({first.view_reason})")
    choice.warnings += [f"{role.title}: {note}" for note in first.stack.notes]


def _way(found: list[Entry], role: Role, entry: Entry) -> str:
    """What to say so that this one of several is taken."""
    number = f"--{role.value} {entry.said}"
    if entry.part or sum(entry.stack.numbers[0] in e.stack.numbers for e in found) == 1:
        return number
    kind = f"--{role.value}-kind {short_name(entry.kind)}"
    return kind if sum(e.kind is entry.kind for e in found) == 1 else f"{number} {kind}"


def _difference(one: tuple[float, ...], two: tuple[float, ...], first: Entry,
                other: Entry) -> str:
    """By which rule the first comes before the other; empty where by none."""
    counts = f"{len(first.stack.slices)} slices against {len(other.stack.slices)}"
    if one[0] != two[0]:
        return counts
    if one[1] != two[1]:
        return "a cine comes before a single frame"
    if one[2] != two[2]:
        return _WHY_PREFERRED.get(first.kind, "its kind is known")
    if one[3] != two[3]:
        return counts
    if first.stack.acquired > other.stack.acquired:
        return "it was acquired later"
    return ""


def _why_left(entry: Entry) -> str:
    if entry.meaning.type.role is None:
        return "" if entry.meaning.type is not Type.UNKNOWN else (
            "nothing in its header says what it is")
    if entry.view is not View.SHORT_AXIS:
        return f"not in short axis ({entry.view_reason})"
    return "not asked for"


def _nothing(entries: list[Entry]) -> str:
    short = [e for e in entries if e.view is View.SHORT_AXIS]
    if not short:
        return ("no short-axis stack in this examination: none of its "
                f"{len(entries)} series groups is named or lies so; if one is, say its series "
                "number with --bssfp, --lge or --t2")
    return (f"none of the {len(short)} short-axis series groups is bSSFP, LGE or T2 by its "
            "header; if one is, say its series number with --bssfp, --lge or --t2")


def _compare(choice: Choice) -> None:
    """Warn where the chosen stacks are turned against each other or were moved between."""
    taken = list(choice.taken.items())
    for (role, one), (other_role, other) in zip(taken, taken[1:]):
        a, b = one.stack.first, other.stack.first
        turn = float(np.degrees(np.arccos(np.clip(abs(a.axes[:, 2] @ b.axes[:, 2]), 0, 1))))
        if turn > _TURNED:
            choice.warnings.append(f"{role.title} and {other_role.title} are turned by "
                                   f"{turn:.0f} degrees against each other")
        if a.reference and b.reference and a.reference != b.reference:
            choice.warnings.append(f"{role.title} and {other_role.title} have no common frame "
                                   "of reference: the patient may have been moved between them")
