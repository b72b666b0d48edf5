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
        # lies there; what a pair counts is the share of it that is inside
        nearest = ndimage.distance_transform_edt(~inside, sampling=spacing, return_distances=False,
                                                 return_indices=True)
        regions = regions[tuple(nearest)]
    # What corners cost grows with the step, so steps twice as long tell how much it is.
    steps = _FAR if np.sqrt(spacing[0] * spacing[1]) <= _FINE else _KING
    once = _length(regions, inside, spacing, steps)
    # Thin parts are leapt over too; of a piece no more than four right angles are given back.
    pieces = ndimage.label(one[box], np.ones((3, 3)))[1]
    most = _CORNERS * pieces * _STEP[steps] / 4 * np.sqrt(spacing[0] * spacing[1])
    cost = min(max(once - _length(regions, inside, spacing, steps, 2), 0.0), most)
    if steps is _FAR:
        return once + cost
    long = _length(regions, inside, spacing, _KNIGHT)
    mean = _SHARE_OF_SHORT * once + (1 - _SHARE_OF_SHORT) * long
    step = _SHARE_OF_SHORT * _STEP[_KING] + (1 - _SHARE_OF_SHORT) * _STEP[_KNIGHT]
    return mean + cost * step / _STEP[_KING]


def border_with_part(one: BoolArray, other: BoolArray, part: BoolArray,
                     spacing: tuple[float, float]) -> tuple[float, float]:
    """Length of the border that two regions share, and of its share with a part of the other, mm.

    Both by the same crossings, so that their ratio is exact where the lengths are not.
    """
    box = box_of(one | other, 4)
    ours, theirs, ill = one[box], other[box], part[box]
    area, lengths = spacing[0] * spacing[1], np.zeros(2)
    for step, weight in zip(_KNIGHT, _weights(_KNIGHT, spacing)):
        near, far = _neighbours(ours, step), _neighbours(theirs, step)
        parts = _neighbours(ill, step)
        crossed = (near[0] & far[1]) | (near[1] & far[0])
        with_part = (near[0] & far[1] & parts[1]) | (near[1] & far[0] & parts[0])
        lengths += (weight * np.array([crossed.sum(), with_part.sum()]) * area
                    / np.hypot(step[0] * spacing[0], step[1] * spacing[1]))
    whole, share = np.pi / 2 * lengths
    return float(whole), float(share)


def perimeter(region: BoolArray, spacing: tuple[float, float]) -> float:
    """Length of the whole outline of a region of a slice, mm; what lies beyond the image is
    outside it."""
    padded = np.pad(region, 12)
    return border_length(padded, ~padded, spacing)


def _length(regions: npt.NDArray[np.uint8], inside: BoolArray, spacing: tuple[float, float],
            steps: tuple[tuple[int, int], ...], times: int = 1) -> float:
    """Crofton's sum over some directions, by steps so many times as long."""
    area, total = spacing[0] * spacing[1], 0.0
    for step, weight in zip(steps, _weights(steps, spacing)):
        leap = (step[0] * times, step[1] * times)
        near, far = _neighbours(regions, leap)
        crossings = sum(float(part[near != far].sum()) for part in _neighbours(inside, leap)) / 2
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
