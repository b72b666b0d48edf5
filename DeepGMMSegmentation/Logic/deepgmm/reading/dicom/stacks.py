"""Planes to stacks: grouped, joined, sorted along the normal, repeats dropped, gaps kept."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from deepgmm.reading.dicom.frames import Component, Frame, Variation
from deepgmm.reading.dicom.identity import family, one_identity, without_copies
from deepgmm.reading.dicom.meaning import Type, meaning_of_frames
from deepgmm.reading.dicom.order import in_order
from deepgmm.reading.dicom.stack import Stack, heights
from deepgmm.study.names import LONG_NAMES, plain

#: Directions are one if no axis differs by more than this, degrees.
TURN = 2.0

#: A slice nearer than this share of the distance of slices is a repeat of its neighbour.
_REPEAT = 0.3

#: So many images at one place are frames of something; fewer are repeats of one image.
_FRAMES = 8

#: A heartbeat, ms, where the header does not say; the shortest in which one image is taken, s.
_BEAT, _HEARTBEAT = 1500.0, 0.3

#: Pixel sizes that differ by less than this share are one.
_ROUNDED = 1e-3


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
    directions, sizes = _directions(images), _sizes(images)
    settled = _settled(images, directions)
    renewed = _renewed(images)
    groups: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in images:
        key = (directions[frame.orientation], *_sameness(frame, sizes), settled[id(frame)],
               family(frame.description))
        groups[key].append(frame)
    piles = [pile for group in groups.values()
             for part in ([group] if renewed else _by_reference(group)) for pile in _apart(part)]

    def alike(pile: list[Frame]) -> tuple[object, ...]:
        return (directions[pile[0].orientation], *_sameness(pile[0], sizes),
                settled[id(pile[0])], renewed or pile[0].reference)

    stacks = [_stack(pile) for pile in _joined(_mended(piles, alike), alike)]
    return sorted(stacks, key=lambda s: (s.numbers[0], s.first.component.value))


def _directions(frames: list[Frame]) -> dict[tuple[float, ...] | None, int]:
    """Orientation to the number of its direction."""
    known: list[Frame] = []
    numbers: dict[tuple[float, ...] | None, int] = {}
    least = np.cos(np.deg2rad(TURN))
    for frame in frames:
        if frame.orientation in numbers:
            continue
        same = [n for n, other in enumerate(known)
                if np.einsum("ij,ij->j", frame.axes, other.axes).min() >= least]
        numbers[frame.orientation] = same[0] if same else len(known)
        if not same:
            known.append(frame)
    return numbers


def _sizes(frames: list[Frame]) -> dict[tuple[float, ...] | None, int]:
    """Pixel spacing to the number of its size; what differs by rounding is one."""
    known: list[tuple[float, ...]] = []
    numbers: dict[tuple[float, ...] | None, int] = {}
    for frame in frames:
        if frame.spacing not in numbers:
            spacing = frame.spacing or ()
            same = [n for n, other in enumerate(known) if len(other) == len(spacing)
                    and np.allclose(other, spacing, rtol=_ROUNDED, atol=0)]
            numbers[frame.spacing] = same[0] if same else len(known)
            if not same:
                known.append(spacing)
    return numbers


def _sameness(frame: Frame, sizes: dict[tuple[float, ...] | None, int]) -> tuple[object, ...]:
    """What slices of one stack share, besides their direction, component and sequence."""
    derived = "DERIVED" in frame.image_type[:1] and tuple(
        w for w in frame.image_type[2:] if "MAP" in w)
    return frame.rows, frame.columns, sizes[frame.spacing], derived


def _sequence(frame: Frame) -> str:
    return re.sub(r"\d+", "", frame.sequence)


def _settled(frames: list[Frame], directions: dict[tuple[float, ...] | None, int]
             ) -> dict[int, tuple[Component, str]]:
    """Component and sequence by which a frame is grouped, by the frame's `id`.

    Where slices of one series say another sequence than the rest, or no component, what most of
    the series says counts.
    """
    said = {id(frame): (frame.component, _sequence(frame)) for frame in frames}
    series: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series, frame.number, directions[frame.orientation],
               frame.rows, frame.columns].append(frame)
    for together in series.values():
        counts = Counter(said[id(f)] for f in together)
        for most, _ in counts.most_common() if len(counts) > 1 else ():
            taken = _places([f for f in together if said[id(f)] == most] or together, together[0])
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


def _by_reference(group: list[Frame]) -> list[list[Frame]]:
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
            len(_places(one, one[0])) for one in _by_series(group)) < 3:
        return [group]
    return list(parts.values())


def _by_series(frames: list[Frame]) -> list[list[Frame]]:
    series: dict[tuple[str, int], list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series, frame.number].append(frame)
    return sorted(series.values(), key=_when)


def _when(frames: list[Frame]) -> tuple[str, int]:
    return max((f.acquired, f.number) for f in frames)


def _places(frames: list[Frame], like: Frame) -> npt.NDArray[np.float64]:
    """Distinct positions along the normal, to half a millimetre."""
    found = np.sort(heights(frames, like))
    return found[np.r_[True, np.diff(found) > 0.5]]


def _apart(group: list[Frame]) -> list[list[Frame]]:
    """Series that hold a stack each stay apart, unless they repeat or continue each other."""
    piles: list[list[Frame]] = []
    loose: list[Frame] = []
    for series in _by_series(group):
        if len(_places(series, group[0])) < 3:
            loose += series
            continue
        for pile in piles:
            if _fits(series, pile):
                pile += series
                break
        else:
            piles.append(list(series))
    for pile in piles:
        rest: list[Frame] = []
        for series in _by_series(loose):
            (pile if _fits(series, pile) else rest).extend(series)
        loose = rest
    return [*piles, loose] if loose else piles


def _fits(series: list[Frame], pile: list[Frame]) -> bool:
    """Whether a series repeats slices of a pile or continues it, and lies nowhere between."""
    there, here = _places(pile, pile[0]), _places(series, pile[0])
    gap = float(np.median(np.diff(there)))
    nearest = np.abs(here[:, None] - there[None, :]).min(axis=1)
    between = (nearest > _REPEAT * gap) & (nearest < (1 - _REPEAT) * gap)
    return not between.any() and bool(nearest.min() <= 3 * gap)


def _mended(piles: list[list[Frame]], alike: Callable[[list[Frame]], tuple[object, ...]]
            ) -> list[list[Frame]]:
    """Slices that a series describes otherwise than the rest of it go back to the rest."""
    whole = [p for p in piles if len(_places(p, p[0])) > 2]
    loose = [p for p in piles if len(_places(p, p[0])) < 3]
    for pile in list(loose):
        series = {(f.series, f.number) for f in pile}
        for other in whole:
            if (series <= {(f.series, f.number) for f in other} and alike(pile) == alike(other)
                    and _apart_in_place(pile, other) and _fits(pile, other)
                    and meaning_of_frames(pile).type is meaning_of_frames(other).type):
                other += pile
                loose = [p for p in loose if p is not pile]
                break
    return whole + loose


def _joined(piles: list[list[Frame]], alike: Callable[[list[Frame]], tuple[object, ...]]
            ) -> list[list[Frame]]:
    """Join piles of one or two slices that differ in place and description only."""
    whole = [p for p in piles if len(_places(p, p[0])) > 2]
    loose: dict[tuple[object, ...], list[list[Frame]]] = defaultdict(list)
    for pile in (p for p in piles if len(_places(p, p[0])) < 3):
        meant = meaning_of_frames(pile)
        view = LONG_NAMES.search(plain(pile[0].description))
        # What is not known cannot be known to be the same.
        unknown = pile[0].description if meant.type is Type.UNKNOWN else ""
        key = (*alike(pile), meant.type, meant.kind, view and view.group(), unknown)
        for other in loose[key]:
            if _apart_in_place(pile, other):
                other += pile
                break
        else:
            loose[key].append(list(pile))
    return whole + [pile for group in loose.values() for pile in group]


def _apart_in_place(one: list[Frame], other: list[Frame]) -> bool:
    here, there = _places(one, one[0]), _places(other, one[0])
    return bool(np.abs(here[:, None] - there[None, :]).min() > 1.0)


def _stack(frames: list[Frame]) -> Stack:
    """Sort a pile into slices; of several series at one place the latest stays."""
    order = np.argsort(heights(frames, frames[0]), kind="stable")
    ordered = [frames[i] for i in order]
    along = heights(ordered, frames[0])
    places = _places(ordered, frames[0])
    near = max(0.5, _REPEAT * float(np.median(np.diff(places)))) if len(places) > 1 else 0.5
    slices: list[list[Frame]] = []
    start = -np.inf
    for frame, height in zip(ordered, along):
        if height - start > near:
            slices.append([])
            start = height
        slices[-1].append(frame)
    replaced: Counter[tuple[int, int]] = Counter()
    kept = [_latest(one, replaced) for one in slices]
    repeats = [f"{count} slice{'s were' if count > 1 else ' was'} acquired again: of series {old} "
               f"and {new} the later, {new}, was kept" if old != new else
               f"{count} slice{'s were' if count > 1 else ' was'} acquired several times in series "
               f"{new}: the latest was kept"
               for (old, new), count in sorted(replaced.items())]
    variation = _variation(kept)
    if variation is Variation.NONE and max(map(len, kept)) > 1:
        many = sum(len(one) > 1 for one in kept)
        kept = [[max(one, key=lambda f: (f.acquired, f.instance))] for one in kept]
        repeats.append(f"{many} slice{'s have' if many > 1 else ' has'} several images: "
                       "the latest was kept")
    arranged, unsure = in_order(kept, variation)
    return Stack(arranged, variation, repeats, [*unsure, *_odd(ordered)])


def _odd(frames: list[Frame]) -> list[str]:
    """What of a stack's identifiers and names differs though it is one."""
    notes = []
    references = {f.reference for f in frames} - {""}
    if len(references) > 1:
        notes.append(f"its images name {len(references)} frames of reference; places and sizes "
                     "agree, so they are taken for one stack")
    known = Counter((f.uid, f.index) for f in frames if f.uid)
    several = sum(n for n in known.values() if n > 1)
    if several:
        notes.append(f"{several} of its images share an identifier with another image; they "
                     "differ, so all were kept")
    sequences = Counter(map(_sequence, frames))
    if len(sequences) > 1:
        rest = len(frames) - sequences.most_common(1)[0][1]
        notes.append(f"{rest} of its images name{'s' if rest == 1 else ''} another sequence than "
                     "the rest; places and sizes agree, so they are taken for one stack")
    return notes


def _latest(frames: list[Frame], replaced: Counter[tuple[int, int]]) -> list[Frame]:
    """The frames of the latest series at one place, and of its latest try."""
    series = _by_series(frames)
    if _one_a_phase(series):
        return frames
    latest = series[-1]
    for older in series[:-1]:
        replaced[older[0].number, latest[0].number] += 1
    return latest


def _one_a_phase(series: list[list[Frame]]) -> bool:
    """Whether each series holds another part of the heartbeat."""
    triggers = [one[0].trigger for one in series if one[0].trigger is not None]
    return (len(triggers) == len(series) >= _FRAMES and max(map(len, series)) == 1
            and len(set(triggers)) == len(triggers)
            and float(np.ptp(triggers)) <= 1.3 * (series[0][0].interval or _BEAT))


def _variation(slices: list[list[Frame]]) -> Variation:
    """How the images at one place differ, judged where there are most of them."""
    frames = max(slices, key=len)
    count = len(frames)
    if count == 1:
        return Variation.NONE
    if _different(f.inversion for f in frames) > 1 and count > 2:
        return Variation.INVERSION
    if _different(f.echo for f in frames) > 1:
        return Variation.ECHO
    triggers = [f.trigger for f in frames if f.trigger is not None]
    beat = 1.3 * (frames[0].interval or _BEAT)
    if len(set(triggers)) >= max(4, 0.7 * count) and np.ptp(triggers) <= beat:
        return Variation.PHASE
    if count < _FRAMES:
        return Variation.NONE
    seconds = [f.seconds for f in frames]
    spread = np.ptp(seconds) if np.isfinite(seconds).all() else 0.0
    if triggers and np.ptp(triggers) > beat:
        return Variation.TIME
    if spread > 3.0 and len(set(seconds)) > count / 2 and np.median(
            np.diff(sorted(set(seconds)))) > _HEARTBEAT and not _only_written(frames):
        return Variation.TIME
    return Variation.ORDER


def _only_written(frames: list[Frame]) -> bool:
    """Whether times say when images were made of the data, as far as one can tell: a cine's
    may take seconds each, but number no more than a heartbeat has."""
    return all(f.acquired == f.content for f in frames) and len(frames) <= 30


def _different(values: Iterable[float | None]) -> int:
    return len({round(v, 1) for v in values if v is not None})
