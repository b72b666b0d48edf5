"""Where a ventricle ends in its stack: small slices beyond what was found are looked at again, and
a base whose wall is open or thin, as above the valve, and a cap of muscle at the apex are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from deepgmm.propose.asking import Answer, closer
from deepgmm.propose.canonical import PIXEL, Frame
from deepgmm.propose.proposed import overlap_of
from deepgmm.propose.rings import ANGLES, RADII, STEP, Ring, along
from deepgmm.study.study import BoolArray, FloatArray, Study

#: Slices beyond each end that are looked at; the overlap expected there from which they count; and
#: the least radius, mm, that is looked for.
FARTHER, BELIEVED, NARROW = 2, 0.82, 10.0
#: A wall is open where, from the pool's brightness to the wall's farther in, it goes less than so
#: much of the way, and the wall farther in more; that at a stretch at least.
WAY, STRETCH = 0.4, 1 / 6
#: The share of a wall that is open at least: of the outermost slice against the next one, and else;
#: and that from which one that stays is in doubt.
OPEN, WIDE_OPEN, DOUBTFUL = 0.25, 0.45, 0.1
#: A wall is thin that is so much thinner than one farther in, and whose brightness falls by so much
#: of the way from there to the pool; one that is thinner at all is in doubt from the other fall on.
THINNER, FALLEN, FALLING = 0.9, 0.3, 0.15
#: Slices at an end that are looked at, and how many farther in each at the base is held against.
OUTER, INWARD = 3, 3
#: No pool is seen where it stands out from its wall by less than so much of what it does in the
#: middle of the stack, in a slice of which less than `FAIR` is expected to be right; such slices do
#: not say either which end is the base.
POOR, FAIR = 0.25, 0.8
#: Brightness is smoothed along borders over so many angles, and across them over so many mm.
EVEN = (1.5, 1.0)
#: An end is no base where its radius times this is not more than the other's.
WIDER = 1 / 0.9


def lengthened(study: Study, frame: Frame, answer: Answer, parts: FloatArray,
               pieces: Mapping[int, BoolArray], spacing: tuple[float, float]) -> FloatArray:
    """The parts, with slices beyond what was found that show a ventricle in finer pixels.

    Parameters
    ----------
    parts : (slices, 3, rows, columns) probabilities of background, wall and pool on the frame.
    pieces : slice to the (rows, columns) of the frame in which the ventricle is likely.
    spacing : mm of the images' (rows, columns).
    """
    if len(pieces) < 2:
        return parts
    parts = parts.copy()
    for end, onward in ((min(pieces), -1), (max(pieces), 1)):
        held = dict(pieces)
        for i in range(end + onward, end + onward * (FARTHER + 1), onward):
            if not 0 <= i < len(parts) or i - 2 * onward not in held:
                break
            (at, size), (before, larger) = (_place(held[i - k * onward]) for k in (1, 2))
            middle = at + (at - before) / 2
            found = closer(study, frame, answer, i, middle,
                           max(size - max(larger - size, 0.0), NARROW), spacing)
            held[i] = _piece(found)
            if overlap_of(found[1:].sum(0), held[i]) < BELIEVED:
                break
            parts[i] = found
    return parts


def _place(held: BoolArray) -> tuple[FloatArray, float]:
    """(row, column) of the middle, and the mean radius in mm."""
    return np.argwhere(held).mean(0), PIXEL * float(np.sqrt(held.sum() / np.pi))


def _piece(found: FloatArray) -> BoolArray:
    """(rows, columns) the largest that is likely inside."""
    from scipy.ndimage import label

    labels, count = label(found[1:].sum(0) > 0.5)
    return np.asarray(labels == int(np.bincount(labels.ravel())[1:].argmax()) + 1
                      if count else labels > 0)


def opened(study: Study, rings: Mapping[int, Ring], likely: Mapping[int, float],
           spacing: tuple[float, float]) -> tuple[set[int], set[int]]:
    """The outer slices at the base whose wall is open, or thin, where that farther in is not; and
    the outermost that stays, where its wall may be.

    Parameters
    ----------
    rings : slice to its borders, in mm of the image.
    likely : slice to the overlap that is expected of it.
    """
    shown = cache(lambda i: _shown(study, rings[i], i, spacing))
    thick = {i: float((ring.outer - ring.inner).mean()) for i, ring in rings.items()}
    out: set[int] = set()
    doubted: set[int] = set()
    for inward in _inward(rings, likely):
        for k, i in enumerate(inward[:OUTER]):
            # the other end is never what a slice is held against, but for its neighbour
            others = [j for step, j in enumerate(inward[k + 1:k + 1 + INWARD])
                      if not step or j != inward[-1]]
            compared = [(*_lost(shown(i), shown(j)), thick[i] / thick[j]) for j in others]
            if any(share >= (OPEN if k == step == 0 else WIDE_OPEN)
                   or (fall >= FALLEN and thinner < THINNER)
                   for step, (share, fall, thinner) in enumerate(compared)):
                out.add(i)
                continue
            if any(share >= DOUBTFUL or (fall >= FALLING and thinner < 1)
                   for share, fall, thinner in compared):
                doubted.add(i)
            break
    return out, doubted


def capped(study: Study, rings: Mapping[int, Ring], likely: Mapping[int, float],
           spacing: tuple[float, float]) -> set[int]:
    """The outer slices at the apex that show no pool, but for the innermost of them.

    Parameters
    ----------
    rings, likely : as of `opened`.
    """
    out: set[int] = set()
    for inward in _inward(rings, likely):
        held = inward[::-1]
        half = len(held) // 2
        middle = _shown(study, rings[held[half]], held[half], spacing)
        before: list[int] = []
        for i in held[:min(OUTER, half)]:
            if (likely[i] >= FAIR
                    or _contrast(_shown(study, rings[i], i, spacing), middle) >= POOR):
                break
            before.append(i)
        out.update(before[:-1])
    return out


def _inward(rings: Mapping[int, Ring], likely: Mapping[int, float]) -> Iterator[list[int]]:
    """The slices from the base to the apex; where it is not clear which is which, both ways."""
    order = sorted(rings)
    fair = [i for i in order if likely[i] >= FAIR] or order
    first, last = (float(rings[i].outer.mean()) for i in (fair[0], fair[-1]))
    for inward, base in ((order, first * WIDER > last), (order[::-1], last * WIDER > first)):
        if base and len(order) > 2:
            yield inward


def _shown(study: Study, ring: Ring, index: int, spacing: tuple[float, float]) -> FloatArray:
    """(sequences, 1 + ANGLES) brightness of a slice's pool, and of its wall at each angle."""
    from scipy.ndimage import gaussian_filter1d

    centre = ring.centre / np.array(spacing)
    depth = (RADII - ring.inner[:, None]) / (ring.outer - ring.inner)[:, None]
    wall = (depth > 0.2) & (depth < 0.8)
    deep = RADII <= np.maximum(0.7 * ring.inner[:, None], STEP)
    rows = []
    for sequence in study.sequences.values():
        values = along(sequence.values[index][None], centre[None], spacing)[0]
        values = gaussian_filter1d(values, EVEN[0], axis=0, mode="wrap")
        values = gaussian_filter1d(values, EVEN[1] / STEP, axis=1, mode="nearest")
        rows.append([np.median(values[deep]),
                     *(np.median(v[w]) if w.any() else v[0] for v, w in zip(values, wall))])
    return np.array(rows)


def _lost(one: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Of a wall, as `_shown`, the share that is open where that of another slice is not; and by how
    much of the way to the pool it is nearer to it. Of several sequences the one in the middle
    counts."""
    contrast = np.median(other[:, 1:], axis=1) - other[:, 0]
    known = contrast != 0
    if not known.any():
        return 0.0, 0.0
    ways = [np.median(np.clip((v[known, 1:] - v[known, :1]) / contrast[known, None], -0.5, 1.5),
                      axis=0) for v in (one, other)]
    open_, shut = ways[0] < WAY, ways[1] >= WAY
    share = float((open_ & shut).mean()) if _longest(open_) >= STRETCH * ANGLES else 0.0
    mine, farther = (float(np.clip(way, 0, 1).mean()) for way in ways)
    return share, farther - mine


def _contrast(one: FloatArray, other: FloatArray) -> float:
    """Of pool and wall, as `_shown`, against that of another slice; 1 where that has none."""
    own, known = (np.median(v[:, 1:], axis=1) - v[:, 0] for v in (one, other))
    shares = own[known != 0] / known[known != 0]
    return float(np.median(shares)) if shares.size else 1.0


def _longest(held: BoolArray) -> int:
    """How many in a row, around a circle."""
    if held.all():
        return len(held)
    turned = np.roll(held, -int(np.argmin(held)))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], turned.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))

