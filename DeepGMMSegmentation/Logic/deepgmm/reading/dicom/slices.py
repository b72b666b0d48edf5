"""A pile of planes to a stack: sorted along the normal, repeats dropped, frames in their order."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from deepgmm.reading.dicom.frames import Frame, Variation
from deepgmm.reading.dicom.order import in_order
from deepgmm.reading.dicom.stack import Stack, heights

#: A slice nearer than this share of the distance of slices is a repeat of its neighbour.
REPEAT = 0.3

#: So many images at one place are frames of something; fewer are repeats of one image.
_FRAMES = 8

#: A heartbeat, ms, where the header does not say; the shortest in which one image is taken, s.
_BEAT, _HEARTBEAT = 1500.0, 0.3


def stack_of(frames: list[Frame]) -> Stack:
    """Sort a pile into slices; of several series at one place the latest stays."""
    order = np.argsort(heights(frames, frames[0]), kind="stable")
    ordered = [frames[i] for i in order]
    along = heights(ordered, frames[0])
    places = places_of(ordered, frames[0])
    near = max(0.5, REPEAT * float(np.median(np.diff(places)))) if len(places) > 1 else 0.5
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
    numbers = [f.number for f in frames]
    turns = [n for n, before in zip(numbers, [None, *numbers]) if n != before]
    if len(set(numbers)) == 2 and len(turns) > 4:
        notes.append(f"series {min(numbers)} and {max(numbers)} each hold every other slice; they "
                     "lie in one line, so they are taken for one stack")
    sequences = Counter(map(sequence_of, frames))
    if len(sequences) > 1:
        rest = len(frames) - sequences.most_common(1)[0][1]
        notes.append(f"{rest} of its images name{'s' if rest == 1 else ''} another sequence than "
                     "the rest; places and sizes agree, so they are taken for one stack")
    return notes


def _latest(frames: list[Frame], replaced: Counter[tuple[int, int]]) -> list[Frame]:
    """The frames of the latest series at one place, and of its latest try."""
    series = by_series(frames)
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


def sequence_of(frame: Frame) -> str:
    """The name of a frame's sequence without what counts in it."""
    return re.sub(r"\d+", "", frame.sequence)


def by_series(frames: list[Frame]) -> list[list[Frame]]:
    """Frames by series, the latest last."""
    series: dict[tuple[str, int], list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series, frame.number].append(frame)
    return sorted(series.values(), key=_when)


def _when(frames: list[Frame]) -> tuple[str, int]:
    return max((f.acquired, f.number) for f in frames)


def places_of(frames: list[Frame], like: Frame) -> npt.NDArray[np.float64]:
    """Distinct positions along the normal, to half a millimetre."""
    found = np.sort(heights(frames, like))
    return found[np.r_[True, np.diff(found) > 0.5]]
