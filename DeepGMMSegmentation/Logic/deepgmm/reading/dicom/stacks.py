"""Planes to stacks: grouped, joined, sorted along the normal, repeats dropped, gaps kept."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from deepgmm.reading.dicom.frames import Frame, Variation
from deepgmm.reading.dicom.meaning import Type, meaning_of_frames
from deepgmm.reading.dicom.stack import Stack, heights

#: Directions are one if no axis differs by more than this, degrees.
TURN = 2.0

#: A slice nearer than this share of the distance of slices is a repeat of its neighbour.
_REPEAT = 0.3

#: So many images at one place are frames of something; fewer are repeats of one image.
_FRAMES = 8

#: A heartbeat, ms, where the header does not say.
_BEAT = 1500.0


def stacks_of(frames: list[Frame]) -> list[Stack]:
    """Group planes into stacks.

    One stack has one direction, matrix, pixel size, component, and one description but for
    counters at its end. A series of three slices or more is a stack by itself, unless another
    repeats or continues it; series of fewer slices are joined, first by description, then by
    what kind of sequence they are.

    Returns
    -------
    stacks : ordered by their first series number.
    """
    images = _without_copies(frames)
    directions = _directions(images)
    groups: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in images:
        key = (directions[frame.orientation], *_sameness(frame), _family(frame.description))
        groups[key].append(frame)
    piles = [pile for group in groups.values() for pile in _apart(group)]
    stacks = [_stack(pile) for pile in _joined(piles, directions)]
    return sorted(stacks, key=lambda s: (s.numbers[0], s.first.component.value))


def _without_copies(frames: list[Frame]) -> list[Frame]:
    """Each image once, whatever number of copies of its file there are."""
    seen: dict[object, Frame] = {}
    for frame in frames:
        seen.setdefault((frame.uid, frame.index) if frame.uid else frame.file, frame)
    return list(seen.values())


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


def _sameness(frame: Frame) -> tuple[object, ...]:
    """What slices of one stack share, besides their direction."""
    spacing = tuple(round(s, 3) for s in frame.spacing or ())
    derived = "DERIVED" in frame.image_type[:1] and tuple(
        w for w in frame.image_type[2:] if "MAP" in w)
    return (frame.rows, frame.columns, spacing, frame.component, derived, frame.reference,
            re.sub(r"\d+", "", frame.sequence))


def _family(description: str) -> str:
    """A description without a counter at its end: "cine_sa_b3" and "cine_sa_b12" are one."""
    text = re.sub(r"[^a-z0-9]+", " ", description.lower()).strip()
    return re.sub(r"(?:\b(?:b|s|sl|slice|slc|pos|nr|no|img)|(?<=sa)|(?<=sax)| )\s*\d+$", "",
                  text).strip()


def _by_series(frames: list[Frame]) -> list[list[Frame]]:
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series].append(frame)
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


def _joined(piles: list[list[Frame]], directions: dict[tuple[float, ...] | None, int]
            ) -> list[list[Frame]]:
    """Join piles of one or two slices that differ in place and description only."""
    whole = [p for p in piles if len(_places(p, p[0])) > 2]
    loose: dict[tuple[object, ...], list[list[Frame]]] = defaultdict(list)
    for pile in (p for p in piles if len(_places(p, p[0])) < 3):
        meant = meaning_of_frames(pile)
        view = re.search(r"\d ?ch|lvot|rvot|vla|hla|lax", pile[0].description.lower())
        # What is not known cannot be known to be the same.
        unknown = pile[0].description if meant.type is Type.UNKNOWN else ""
        key = (directions[pile[0].orientation], *_sameness(pile[0]), meant.type, meant.kind,
               view and view.group(), unknown)
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
    notes = [f"{count} slice{'s were' if count > 1 else ' was'} acquired again: of series {old} "
             f"and {new} the later, {new}, was kept" if old != new else
             f"{count} slice{'s were' if count > 1 else ' was'} acquired several times in series "
             f"{new}: the latest was kept"
             for (old, new), count in sorted(replaced.items())]
    variation = _variation(kept)
    if variation is Variation.NONE and max(map(len, kept)) > 1:
        many = sum(len(one) > 1 for one in kept)
        kept = [[max(one, key=lambda f: (f.acquired, f.instance))] for one in kept]
        notes.append(f"{many} slice{'s have' if many > 1 else ' has'} several images: "
                     "the latest was kept")
    return Stack([_in_order(one, variation) for one in kept], variation, notes)


def _latest(frames: list[Frame], replaced: Counter[tuple[int, int]]) -> list[Frame]:
    """The frames of the latest series at one place, and of its latest try."""
    series = _by_series(frames)
    latest = series[-1]
    for older in series[:-1]:
        replaced[older[0].number, latest[0].number] += 1
    return latest


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
    if (triggers and np.ptp(triggers) > beat) or (
            spread > 3.0 and len(set(seconds)) > count / 2):
        return Variation.TIME
    return Variation.ORDER


def _different(values: Iterable[float | None]) -> int:
    return len({round(v, 1) for v in values if v is not None})


def _in_order(frames: list[Frame], variation: Variation) -> list[Frame]:
    if variation is Variation.PHASE:
        return sorted(frames, key=lambda f: (f.trigger or 0.0, f.instance))
    return sorted(frames, key=lambda f: (f.acquired, f.instance, f.index)
                  if variation is Variation.TIME else ("", f.instance, f.index))
