"""Lengths of borders between regions of a slice, by the Cauchy-Crofton formula.

The length of a curve is pi/2 times the mean, over all directions, of the number of its crossings
with parallel lines times the distance of the lines. On a grid the lines run through pixel centres
in a few directions, each weighted by the angle it stands for, and a crossing is a pair of
neighbours on a line of which one is in either region. Legland, Kieu, Devaux: Computation of
Minkowski measures on 2D and 3D binary images, Image Anal Stereol 2007;26:83-92. A contour along
the sides of the pixels, or at half height between them, would be too long.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepgmm.study.coordinates import box_of
from deepgmm.study.study import BoolArray

#: Rows and columns from a pixel to its neighbours: sides and diagonals; the knight's moves; longer.
_KING = ((0, 1), (1, 0), (1, 1), (1, -1))
_KNIGHT = (*_KING, (1, 2), (1, -2), (2, 1), (2, -1))
_FAR = (*_KNIGHT, (1, 3), (1, -3), (3, 1), (3, -1), (2, 3), (2, -3), (3, 2), (3, -2),
        (1, 4), (1, -4), (4, 1), (4, -1), (3, 4), (3, -4), (4, 3), (4, -3))

#: Pixels up to so many mm are small against any infarct: more directions cost no corner. On larger
#: ones long steps leap over corners and short ones favour some directions, so both are used.
_FINE = 0.5
_SHARE_OF_SHORT = 1 / 3
#: Mean length of the steps of a set, pixels. Whatever the directions, a right angle costs a quarter
#: of it, for lines that cut the corner by less than a step cross unseen.
_STEP = {steps: float(np.mean([np.hypot(*step) for step in steps]))
         for steps in (_KING, _KNIGHT, _FAR)}
#: Right angles of a piece at most.
_CORNERS = 4


def border_length(one: BoolArray, other: BoolArray, spacing: tuple[float, float]) -> float:
    """Length of the border that two regions of a slice share, mm.

    Parameters
    ----------
    one, other : (rows, columns), without common pixels.
    spacing : of rows and of columns, mm.

    Examples
    --------
    >>> rows, columns = np.indices((101, 101)) - 50
    >>> disc = np.hypot(rows, columns) < 40
    >>> bool(abs(border_length(disc, ~disc, (1.0, 1.0)) / (2 * np.pi * 40) - 1) < 0.01)
    True
    """
    from scipy import ndimage

    held = one | other
    if not (one.any() and other.any()):
        return 0.0
    box = box_of(held, 12)
    regions = one[box].astype(np.uint8) + 2 * other[box].astype(np.uint8)
    inside = regions > 0
    if not inside.all():
        # both go on beyond their common outline, so that no pair of neighbours is lost to what
        # lies there; what a pair counts is the share of its middle that is inside
        nearest = ndimage.distance_transform_edt(~inside, sampling=spacing, return_distances=False,
                                                 return_indices=True)
        regions = regions[tuple(nearest)]
    # What corners cost grows with the step, so steps twice as long tell how much it is; of both
    # without what leaps over thin parts have crossed, which is no corner's.
    steps = _FAR if np.sqrt(spacing[0] * spacing[1]) <= _FINE else _KING
    once = _length(regions, inside, spacing, steps)
    # Of a piece no more than four right angles are given back.
    pieces = ndimage.label(one[box], np.ones((3, 3)))[1]
    most = _CORNERS * pieces * _STEP[steps] / 4 * np.sqrt(spacing[0] * spacing[1])
    plain = _length(regions, inside, spacing, steps, thin=False)
    cost = min(max(plain - _length(regions, inside, spacing, steps, 2, thin=False), 0.0), most)
    if steps is _FAR:
        return once + cost
    long = _length(regions, inside, spacing, _KNIGHT)
    mean = _SHARE_OF_SHORT * once + (1 - _SHARE_OF_SHORT) * long
    step = _SHARE_OF_SHORT * _STEP[_KING] + (1 - _SHARE_OF_SHORT) * _STEP[_KNIGHT]
    return mean + cost * step / _STEP[_KING]


def border_with_part(one: BoolArray, other: BoolArray, part: BoolArray,
                     spacing: tuple[float, float]) -> tuple[float, float]:
    """Length of the border that two regions share, and of its share with a part of the other, mm.

    Both by the same crossings, so that their ratio is exact where the lengths are not. What is
    crossed into is what of the other lies half way, where something does: the end of a leap may
    lie beyond a part that is thin.
    """
    box = box_of(one | other, 4)
    ours, theirs, ill = one[box], other[box], (part & other)[box]
    area, lengths = spacing[0] * spacing[1], np.zeros(2)
    for step, weight in zip(_KNIGHT, _weights(_KNIGHT, spacing)):
        near, far = _neighbours(ours, step), _neighbours(theirs, step)
        half_way = np.sum([np.zeros(near[0].shape), *_between(theirs, step)], axis=0)
        ill_half_way = np.sum([np.zeros(near[0].shape), *_between(ill, step)], axis=0)
        found = np.zeros(2)
        for here, there, beyond in zip(near, far[::-1], _neighbours(ill, step)[::-1]):
            crossed = here & there
            share = np.where(half_way > 0, ill_half_way / np.maximum(half_way, 1), beyond)
            found += crossed.sum(), share[crossed].sum()
        lengths += (weight * found * area
                    / np.hypot(step[0] * spacing[0], step[1] * spacing[1]))
    whole, share = np.pi / 2 * lengths
    return float(whole), float(share)


def perimeter(region: BoolArray, spacing: tuple[float, float]) -> float:
    """Length of the whole outline of a region of a slice, mm; what lies beyond the image is
    outside it."""
    padded = np.pad(region, 12)
    return border_length(padded, ~padded, spacing)


def _length(regions: npt.NDArray[np.uint8], inside: BoolArray, spacing: tuple[float, float],
            steps: tuple[tuple[int, int], ...], times: int = 1, thin: bool = True) -> float:
    """Crofton's sum over some directions, by steps so many times as long; `thin`: with what is
    crossed twice within a step."""
    area, total = spacing[0] * spacing[1], 0.0
    for step, weight in zip(steps, _weights(steps, spacing)):
        leap = (step[0] * times, step[1] * times)
        near, far = _neighbours(regions, leap)
        crossed = (near != far).astype(float)
        between = _between(regions, leap) if thin else []
        if between:
            # a leap right over a thin part has crossed its border twice
            crossed[(near == far) & np.all([part != near for part in between], axis=0)] = 2.0
        share = _between(inside, leap) or _neighbours(inside, leap)
        crossings = sum(float((crossed * part).sum()) for part in share) / len(share)
        # every pixel begins a leap, so the lines lie as close as for single steps
        total += weight * crossings * area / np.hypot(leap[0] * spacing[0], leap[1] * spacing[1])
    return float(np.pi / 2 * total)


def _neighbours(image: npt.NDArray, step: tuple[int, int]) -> tuple[npt.NDArray, npt.NDArray]:
    """Two views of an image, one a step ahead of the other."""
    down, across = step
    rows, columns = image.shape
    near = image[:rows - down, max(-across, 0):columns - max(across, 0)]
    far = image[down:, max(across, 0):columns - max(-across, 0)]
    return near, far


def _between(image: npt.NDArray, step: tuple[int, int]) -> list[npt.NDArray]:
    """Views of what lies half way between the two of `_neighbours`: one pixel or, where the middle
    lies between pixels, the two nearest to the line; none between pixels that share a side.

    Of two pixels on one side of a straight border never all of these lie on the other.
    """
    down, across = step
    if down + abs(across) < 2:
        return []
    sign = 1 if across >= 0 else -1
    wide = abs(across)
    middles = {(down // 2, (wide + 1) // 2), ((down + 1) // 2, wide // 2)} \
        if down % 2 and wide % 2 and down == wide else \
        {(down // 2, wide // 2), ((down + 1) // 2, (wide + 1) // 2)}
    rows, columns = image.shape
    begin = max(-across, 0)
    return [image[a:rows - down + a, begin + sign * b:columns - max(across, 0) + sign * b]
            for a, b in middles]


def _weights(steps: tuple[tuple[int, int], ...],
             spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Share of all directions that each step stands for: half way to its neighbours."""
    angles = np.array([np.arctan2(a * spacing[0], b * spacing[1]) % np.pi for a, b in steps])
    order = np.argsort(angles)
    turned = angles[order]
    before, after = np.roll(turned, 1), np.roll(turned, -1)
    before[0] -= np.pi
    after[-1] += np.pi
    weights = np.empty(len(angles))
    weights[order] = (after - before) / (2 * np.pi)
    return weights
