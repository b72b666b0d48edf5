"""What is wrong with an LV mask, slice by slice: holes, islands, slices that were forgotten.

Someone who draws by hand wants to be told of a slip before the fit. What no fit could take is
refused elsewhere (`deepgmm.study.checks`); here nothing is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.study.coordinates import box_of
from deepgmm.study.study import BoolArray
from deepgmm.study.words import named_slices

#: A slice is remarkable whose area is so many times what those on both sides let expect, or so
#: many times less: 1.0 to 1.3 on phantoms and on real hearts.
_TIMES = 1.45

#: Slices this far apart still say what to expect between them.
_NEAR = 3

#: The first or last slice is remarkable where it is so many times larger than the one beside it.
_LARGER_END = 1.5


@dataclass(frozen=True)
class MaskFault:
    """One thing that a slice of an LV mask should not have.

    Attributes
    ----------
    slices : where, counted from 0; empty where it is the mask as a whole.
    what : in words, without naming the slices.
    advice : what to do about it.
    """

    slices: tuple[int, ...]
    what: str
    advice: str

    def __str__(self) -> str:
        where = f"{named_slices(self.slices)}: " if self.slices else ""
        return f"{where}{self.what}; {self.advice}"


def find_mask_faults(mask: BoolArray) -> list[MaskFault]:
    """Look an LV mask over.

    Parameters
    ----------
    mask : (slices, rows, columns), blood and wall together.

    Returns
    -------
    list : empty where there is nothing to say.

    Examples
    --------
    >>> mask = np.zeros((3, 20, 20), bool)
    >>> mask[[0, 2], 5:15, 5:15] = True
    >>> for fault in find_mask_faults(mask):
    ...     print(fault)
    slice 1: nothing is drawn between slices that are; use Fill between slices, or draw it
    """
    areas = mask.sum(axis=(1, 2))
    drawn = np.flatnonzero(areas)
    if not len(drawn):
        return [MaskFault((), "nothing is drawn", "outline the left ventricle, blood and wall "
                          "together, on every slice that shows it")]
    faults = _missing(mask) + _single(drawn, len(mask))
    for i in drawn:
        faults += _of_slice(int(i), mask[i][box_of(mask[i])])
    return faults + _sizes(areas, drawn) + _border(mask, drawn)


def undrawn_slices(mask: BoolArray) -> tuple[int, ...]:
    """The slices without mask between the first and the last that have some."""
    drawn = np.flatnonzero(mask.any(axis=(1, 2)))
    return tuple(sorted({*range(drawn[0], drawn[-1])} - {*drawn.tolist()})) if len(drawn) else ()


def _missing(mask: BoolArray) -> list[MaskFault]:
    missing = undrawn_slices(mask)
    return [MaskFault(missing, "nothing is drawn between slices that are",
                      "use Fill between slices, or draw it")] if missing else []


def _single(drawn: npt.NDArray[np.intp], count: int) -> list[MaskFault]:
    return [MaskFault((int(drawn[0]),), f"the only slice of {count} that is drawn",
                      "outline the left ventricle on the others too"
                      )] if len(drawn) == 1 < count else []


def _of_slice(index: int, inside: BoolArray) -> list[MaskFault]:
    """Holes and islands of one slice, cropped to what is drawn."""
    from scipy.ndimage import binary_fill_holes, label

    faults = []
    filled = binary_fill_holes(inside)
    hole = int(filled.sum() - inside.sum())
    if hole:
        faults.append(MaskFault(
            (index,), f"a hole of {_pixels(hole)}",
            "fill it: the mask is blood and wall together"))
    parts, count = label(filled, np.ones((3, 3)))
    if count > 1:
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        rest = int(sizes[1:].sum())
        faults.append(MaskFault(
            (index,), f"{count} separate parts, beside the largest {_pixels(rest)}",
            "remove what is not the left ventricle, for instance with Islands"))
    return faults


def _sizes(areas: npt.NDArray[np.intp], drawn: npt.NDArray[np.intp]) -> list[MaskFault]:
    """Slices much larger or smaller than those beside them; the heart itself tapers.

    The worst one is taken out before the others are looked at, for it makes its neighbours look
    wrong as well.
    """
    if len(drawn) < 3:
        return []
    faults = []
    rest = drawn.tolist()
    for end, beside, third in (rest[:3], rest[:-4:-1]):
        share = areas[end] / areas[beside]
        if share > _LARGER_END and areas[end] > areas[third]:
            rest.remove(end)
            faults.append(_size(end, share, "slice"))
    while len(rest) > 2:
        excess = _excess(areas, np.array(rest))
        worst = int(np.abs(excess).argmax())
        if abs(excess[worst]) < np.log(_TIMES):
            break
        faults.append(_size(rest.pop(worst + 1), float(np.exp(excess[worst])), "slices"))
    return faults


def _excess(areas: npt.NDArray[np.intp], drawn: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Of the slices between the first and the last: by how much the logarithm of the area is
    above the line between its neighbours', 0 where these are too far away to say."""
    inner, before, after = drawn[1:-1], drawn[:-2], drawn[2:]
    part = (inner - before) / (after - before)
    logs = np.log(np.maximum(areas, 1))
    excess = logs[inner] - (1 - part) * logs[before] - part * logs[after]
    return np.where(after - before <= _NEAR, excess, 0.0)


def _size(index: int, share: float, beside: str) -> MaskFault:
    word = "larger" if share > 1 else "smaller"
    return MaskFault((index,), f"much {word} than the {beside} beside it ({100 * share:.0f} % of "
                     "what to expect)", "see whether its outline is right")


def _border(mask: BoolArray, drawn: npt.NDArray[np.intp]) -> list[MaskFault]:
    touching = tuple(int(i) for i in drawn
                     if mask[i][[0, -1]].any() or mask[i][:, [0, -1]].any())
    return [MaskFault(touching, "touches the border of the image",
                      "see whether the heart is cut off there")] if touching else []


def _pixels(count: int) -> str:
    return f"{count} pixel{'' if count == 1 else 's'}"
