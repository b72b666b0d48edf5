"""Planes to stacks: which belong together, whatever became of their identifiers.

Planes that are alike are grouped (`_Likeness`); of a group, series that hold a stack each stay
apart (`_apart`), unless they are halves of one (`_interlaced`); what a series describes otherwise
than the rest of it goes back to the rest (`_returned`); and what is left over, a slice or two at a
time, is joined (`_joined`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deepgmm.reading.dicom.frames import Component, Frame
from deepgmm.reading.dicom.identity import family, one_identity, without_copies
from deepgmm.reading.dicom.meaning import Type, meaning_of_frames
from deepgmm.reading.dicom.slices import REPEAT, by_series, places_of, sequence_of, stack_of
from deepgmm.reading.dicom.stack import Stack, heights
from deepgmm.study.names import LONG_NAMES, plain

#: Directions are one if no axis differs by more than this, degrees.
TURN = 2.0

#: Pixel sizes that differ by less than this share are one.
_ROUNDED = 1e-3

#: So many places make a stack; series of fewer are parts of one.
_STACK = 3

#: Of two halves of a stack: steps differ by at most this share, are at least so many times as long
#: as a slice is thick, and the halves lie at most so far beside each other, mm.
_EVEN, _ROOM, _BESIDE = 0.1, 0.8, 1.0

Pile = list[Frame]
Value = TypeVar("Value", bound=Hashable)


def stacks_of(frames: list[Frame]) -> list[Stack]:
    """Group planes into stacks.

    One stack has one direction, matrix, pixel size, component, and one description but for
    counters at its end. A series of three slices or more is a stack by itself, unless another
    repeats or continues it; series of fewer slices are joined, first by description, then by
    what kind of sequence they are. Identifiers that an anonymiser renewed or repeated part
    nothing where places and sizes agree; the stack's notes say so.

    Returns
    -------
    stacks : ordered by their first series number.
    """
    images = one_identity(without_copies(frames))
    like = _Likeness(images)
    groups: dict[tuple[object, ...], Pile] = defaultdict(list)
    for frame in images:
        groups[like.key(frame), family(frame.description)].append(frame)
    piles = [pile for group in groups.values()
             for part in ([group] if like.renewed else _by_reference(group))
             for pile in _apart(part)]
    stacks = [stack_of(pile) for pile in _joined(_returned(piles, like), like)]
    return sorted(stacks, key=lambda s: (s.numbers[0], s.first.component.value))


class _Likeness:
    """What planes of one stack share, beside their description.

    Attributes
    ----------
    renewed : whether frames of reference were renewed for each image or each series, so part
        nothing.
    """

    def __init__(self, frames: Pile) -> None:
        least = np.cos(np.deg2rad(TURN))
        axes = {frame.orientation: frame.axes for frame in frames}
        self._directions = _numbered(axes, lambda one, other: bool(
            np.einsum("ij,ij->j", axes[one], axes[other]).min() >= least))
        self._sizes = _numbered((frame.spacing or () for frame in frames), lambda one, other: (
            len(one) == len(other) and np.allclose(one, other, rtol=_ROUNDED, atol=0)))
        self._said = _settled(frames, self._directions)
        self.renewed = _renewed(frames)

    def key(self, frame: Frame) -> tuple[object, ...]:
        """Direction, sizes, whether a map and of what, component and sequence."""
        derived = "DERIVED" in frame.image_type[:1] and tuple(
            w for w in frame.image_type[2:] if "MAP" in w)
        return (self._directions[frame.orientation], frame.rows, frame.columns,
                self._sizes[frame.spacing or ()], derived, self._said[id(frame)])

    def of(self, pile: Pile) -> tuple[object, ...]:
        """Of the first of a pile, with its frame of reference where that parts anything."""
        return *self.key(pile[0]), self.renewed or pile[0].reference


def _numbered(values: Iterable[Value], alike: Callable[[Value, Value], bool]) -> dict[Value, int]:
    """Each value to the number of the first that is like it."""
    known: list[Value] = []
    numbers: dict[Value, int] = {}
    for value in values:
        if value not in numbers:
            numbers[value] = next((n for n, other in enumerate(known) if alike(value, other)),
                                  len(known))
            if numbers[value] == len(known):
                known.append(value)
    return numbers


def _settled(frames: list[Frame], directions: dict[tuple[float, ...] | None, int]
             ) -> dict[int, tuple[Component, str]]:
    """Component and sequence by which a frame is grouped, by the frame's `id`.

    Where slices of one series say another sequence than the rest, or no component, what most of
    the series says counts.
    """
    said = {id(frame): (frame.component, sequence_of(frame)) for frame in frames}
    series: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series, frame.number, directions[frame.orientation],
               frame.rows, frame.columns].append(frame)
    for together in series.values():
        counts = Counter(said[id(f)] for f in together)
        for most, _ in counts.most_common() if len(counts) > 1 else ():
            taken = places_of([f for f in together if said[id(f)] == most] or together, together[0])
            for other in [o for o in counts if o != most and counts[o] <= counts[most]]:
                odd = [f for f in together if said[id(f)] == other]
                if other[0] not in (most[0], Component.UNKNOWN) or not odd:
                    continue
                here = heights(odd, together[0])
                if np.abs(here[:, None] - taken).min() > 0.5:
                    said |= {id(f): most for f in odd}
    return said


def _renewed(frames: list[Frame]) -> bool:
    """Whether frames of reference were renewed for each image or each series, so part nothing."""
    references = {f.reference for f in frames} - {""}
    series = {(f.series, f.number) for f in frames}
    return len(references) > len(series) or len(references) == len(series) > 3


def _by_reference(group: list[Frame]) -> list[Pile]:
    """Apart by frame of reference, unless these were renewed within a series or with each."""
    parts: dict[str, list[Frame]] = defaultdict(list)
    for frame in group:
        parts[frame.reference].append(frame)
    named = [part for reference, part in parts.items() if reference]
    if len(named) < 2:  # an image that names none goes with those that do
        return [group]
    series = {(f.series, f.number) for f in group}
    renewed = sum(len({(f.series, f.number) for f in part}) for part in named) > len(series)
    if renewed or len(named) == len(series) > 2 and max(
            len(places_of(one, one[0])) for one in by_series(group)) < _STACK:
        return [group]
    return list(parts.values())


def _apart(group: list[Frame]) -> list[Pile]:
    """Series that hold a stack each stay apart, unless they repeat or continue each other."""
    piles: list[Pile] = []
    loose: list[Frame] = []
    for series in by_series(group):
        if len(places_of(series, group[0])) < _STACK:
            loose += series
            continue
        for pile in piles:
            if _fits(series, pile):
                pile += series
                break
        else:
            piles.append(list(series))
    piles = _interlaced(piles)
    for pile in piles:
        rest: list[Frame] = []
        for series in by_series(loose):
            (pile if _fits(series, pile) else rest).extend(series)
        loose = rest
    return [*piles, loose] if loose else piles


def _interlaced(piles: list[Pile]) -> list[Pile]:
    """Join two of which each has the slices that the other leaves out: odd and even ones."""
    left: list[Pile] = []
    for pile in piles:
        other = next((one for one in left if _halves(one, pile)), None)
        if other is None:
            left.append(pile)
        else:
            other += pile
    return left


def _halves(one: Pile, other: Pile) -> bool:
    """Whether two lie in one line and alternate in equal steps, in which a slice has room: of two
    whole stacks of which one is shifted, the slices would overlap."""
    if {f.series for f in one} & {f.series for f in other}:
        return False
    like, thickness = one[0], [f.thickness for f in (*one, *other)]
    parts = [places_of(pile, like) for pile in (one, other)]
    places = np.sort(np.concatenate(parts))
    first = np.isin(places, parts[0])
    steps = np.diff(places)
    gap = float(np.median(steps))
    if len(one) * len(parts[1]) != len(other) * len(parts[0]) or (first[1:] == first[:-1]).any() \
            or np.abs(steps - gap).max() > _EVEN * gap:
        return False
    if any(t is None or t * _ROOM > gap for t in thickness):
        return False
    return bool(np.abs(_in_plane(one) - _in_plane(other)).max() <= _BESIDE)


def _in_plane(pile: Pile) -> npt.NDArray[np.float64]:
    """Mean position of a pile along its images' columns and rows, mm."""
    places: npt.NDArray[np.float64] = np.array([f.position for f in pile], float)
    return np.asarray((places @ pile[0].axes[:, :2]).mean(axis=0))


def _fits(series: list[Frame], pile: list[Frame]) -> bool:
    """Whether a series repeats slices of a pile or continues it, and lies nowhere between."""
    there, here = places_of(pile, pile[0]), places_of(series, pile[0])
    gap = float(np.median(np.diff(there)))
    nearest = np.abs(here[:, None] - there[None, :]).min(axis=1)
    between = (nearest > REPEAT * gap) & (nearest < (1 - REPEAT) * gap)
    return not between.any() and bool(nearest.min() <= 3 * gap)


def _parted(piles: list[Pile]) -> tuple[list[Pile], list[Pile]]:
    """Those that are stacks, and those of fewer slices."""
    parts: tuple[list[Pile], list[Pile]] = [], []
    for pile in piles:
        parts[len(places_of(pile, pile[0])) < _STACK].append(pile)
    return parts


def _returned(piles: list[Pile], like: _Likeness) -> list[Pile]:
    """Slices that a series describes otherwise than the rest of it go back to the rest."""
    whole, loose = _parted(piles)
    left = []
    for pile in loose:
        series = {(f.series, f.number) for f in pile}
        for other in whole:
            if (series <= {(f.series, f.number) for f in other} and like.of(pile) == like.of(other)
                    and _apart_in_place(pile, other) and _fits(pile, other)
                    and meaning_of_frames(pile).type is meaning_of_frames(other).type):
                other += pile
                break
        else:
            left.append(pile)
    return whole + left


def _joined(piles: list[Pile], like: _Likeness) -> list[Pile]:
    """Join piles of one or two slices that differ in place and description only."""
    whole, parts = _parted(piles)
    loose: dict[tuple[object, ...], list[Pile]] = defaultdict(list)
    for pile in parts:
        meant = meaning_of_frames(pile)
        view = LONG_NAMES.search(plain(pile[0].description))
        # What is not known cannot be known to be the same.
        unknown = pile[0].description if meant.type is Type.UNKNOWN else ""
        key = (*like.of(pile), meant.type, meant.kind, view and view.group(), unknown)
        for other in loose[key]:
            if _apart_in_place(pile, other):
                other += pile
                break
        else:
            loose[key].append(list(pile))
    return whole + [pile for group in loose.values() for pile in group]


def _apart_in_place(one: list[Frame], other: list[Frame]) -> bool:
    here, there = places_of(one, one[0]), places_of(other, one[0])
    return bool(np.abs(here[:, None] - there[None, :]).min() > 1.0)
