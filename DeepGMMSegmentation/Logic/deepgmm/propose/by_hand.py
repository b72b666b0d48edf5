"""What a person drew on a slice of a proposal: the outline that others follow, if they can."""

from __future__ import annotations

import numpy as np

from deepgmm.propose.proposed import DOUBTED, MaskProposal
from deepgmm.propose.rings import REACH
from deepgmm.study.study import BoolArray

#: What a drawn slice that others follow must be: mm2, times the area proposed there, and the share
#: of it that lies in one piece.
SMALLEST, LARGEST, TIMES, ONE_PIECE = 50.0, float(np.pi * REACH ** 2), 4.0, 0.95
#: Dice with what was proposed under which no other slice follows a drawn one.
NOWHERE = 0.1
#: A piece hangs on an outline where no disc of this radius, in pixels, goes into it, and it has so
#: many pixels: of a brush's slip of 3 x 3 nine in ten go so, of 252 outlines of experts and
#: phantoms not one pixel.
NARROW, SLIP = 2.5, 5


def dice(one: BoolArray, other: BoolArray) -> float:
    """Of the masks of one slice; 0 where both are empty."""
    return 2 * float((one & other).sum()) / max(float(one.sum() + other.sum()), 1.0)


def no_ventricle(by_hand: BoolArray, found: MaskProposal, index: int,
                 spacing: tuple[float, float]) -> str:
    """Why no other slice can follow this one, or nothing.

    Parameters
    ----------
    by_hand : (rows, columns) what is drawn on the slice of that index.
    spacing : mm of (rows, columns).
    """
    whole = body(by_hand)
    area = float(whole.sum()) * spacing[0] * spacing[1]
    if whole.sum() < ONE_PIECE * without_holes(by_hand).sum():
        return "it is drawn in several pieces"
    if area < SMALLEST:
        return "it is too small for a ventricle"
    if area > LARGEST or all(edge.any() for edge in (whole[0], whole[-1], whole[:, 0],
                                                     whole[:, -1])):
        return "it is too large for a ventricle"
    if not found.rings:
        return ""
    nearest = min(found.rings, key=lambda i: abs(i - index))
    proposed = found.mask[nearest]
    times = float(whole.sum()) / max(float(proposed.sum()), 1.0)
    if nearest == index and not 1 / TIMES <= times <= TIMES:
        return f"its area is {times:.2g} times that proposed there"
    if is_nowhere(by_hand, found, index):
        return ("it lies nowhere near the ventricle proposed "
                + ("there" if nearest == index else "beside it"))
    return ""


def is_nowhere(by_hand: BoolArray, found: MaskProposal, index: int) -> bool:
    """Whether what is drawn hardly meets the ventricle on the nearest slice that has one."""
    if not found.rings or found.confidence.max() < DOUBTED:
        return False
    whole = body(by_hand)
    proposed = found.mask[min(found.rings, key=lambda i: abs(i - index))]
    share = float(whole.sum()) / max(float(proposed.sum()), 1.0)
    return dice(whole, proposed) < NOWHERE * min(share, 1.0)


def without_holes(by_hand: BoolArray) -> BoolArray:
    """(rows, columns) what is drawn, with what it encloses."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(by_hand), bool)


def body(by_hand: BoolArray) -> BoolArray:
    """The largest piece of what is drawn on a slice, (rows, columns), without holes, and without
    narrow pieces that hang on it."""
    from scipy.ndimage import distance_transform_edt, label

    pieces, count = label(without_holes(by_hand), np.ones((3, 3)))
    if not count:
        return by_hand
    whole = pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    # a morphological opening by a disc
    middles = distance_transform_edt(np.pad(whole, 1))[1:-1, 1:-1] > NARROW
    if not middles.any():
        return np.asarray(whole, bool)
    hanging, _ = label(whole & (distance_transform_edt(~middles) > NARROW), np.ones((3, 3)))
    slips = np.bincount(hanging.ravel()) >= SLIP
    slips[0] = False
    return np.asarray(whole & ~slips[hanging], bool)
