"""Where a ventricle ends in its stack: small slices beyond what was found are looked at again, and
a base whose wall is open is left out."""

from __future__ import annotations

from collections.abc import Mapping

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
#: The share of a wall that is open at least: of the outermost slice against the next one, and where
#: the next but one, or the slice before it, is looked at; and that from which one that stays is in
#: doubt.
OPEN, WIDE_OPEN, DOUBTFUL = 0.25, 0.4, 0.1
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


def opened(study: Study, rings: Mapping[int, Ring], spacing: tuple[float, float]
           ) -> tuple[set[int], set[int]]:
    """The outer one or two slices at the base whose wall is open where that farther in is not; and
    the outermost that stays, where its wall may be.

    Parameters
    ----------
    rings : slice to its borders, in mm of the image.
    """
    order = sorted(rings)
    first, last = (float(rings[i].outer.mean()) for i in (order[0], order[-1]))
    out: set[int] = set()
    doubted: set[int] = set()
    # where it is not clear which end is the base, both are looked at
    for inward, base in ((order, first * WIDER > last), (order[::-1], last * WIDER > first)):
        if not base or len(order) < 3:
            continue
        left = 0
        shown = [_shown(study, rings[i], i, spacing) for i in inward[:4]]
        # the other end is never what a slice is held against, but for its neighbour
        shares = {(k, j): _open_share(shown[k], shown[j])
                  for k, j in ((0, 1), (0, 2), (1, 2), (1, 3)) if j < len(inward) - (j > k + 1)}
        for (k, j), share in shares.items():
            if share >= (OPEN if j == 1 else WIDE_OPEN):
                left = k + 1
        out.update(inward[:left])
        if any(share >= DOUBTFUL for (k, _), share in shares.items() if k == left):
            doubted.add(inward[left])
    return out, doubted


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


def _open_share(one: FloatArray, other: FloatArray) -> float:
    """Of a wall, as `_shown`, that is open where that of another slice is not; of several sequences
    the one in the middle counts."""
    contrast = np.median(other[:, 1:], axis=1) - other[:, 0]
    known = contrast != 0
    if not known.any():
        return 0.0
    gaps = [np.median(np.clip((v[known, 1:] - v[known, :1]) / contrast[known, None], -0.5, 1.5),
                      axis=0) < WAY for v in (one, other)]
    if _longest(gaps[0]) < STRETCH * ANGLES:
        return 0.0
    return float((gaps[0] & ~gaps[1]).mean())


def _longest(held: BoolArray) -> int:
    """How many in a row, around a circle."""
    if held.all():
        return len(held)
    turned = np.roll(held, -int(np.argmin(held)))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], turned.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))

