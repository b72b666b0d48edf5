"""Microvascular obstruction: the dark island inside a scar, which belongs to the infarct."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepgmm.study.coordinates import box_of
from deepgmm.study.words import Tissue

#: An island counts as enclosed when this share of its rim, within the wall, is scar.
ENCLOSED = 0.6
#: And when it is no larger than the scar around it, times this.
LARGEST = 0.6


def obstructions(labels: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_],
                 lge: npt.NDArray, scar_level: float) -> npt.NDArray[np.bool_]:
    """Where dark wall is enclosed by scar, slice by slice.

    An obstruction often lies at the endocardium, so the pool counts neither for nor against;
    healthy wall, edema and the outside of the mask count against.

    Parameters
    ----------
    labels : (slices, rows, columns) values of `Tissue`; `mask` : of the same shape.
    lge : (slices, rows, columns), and `scar_level` : below which a pixel is dark, same units.

    Returns
    -------
    (slices, rows, columns) bool.
    """
    from scipy import ndimage

    found = np.zeros(labels.shape, dtype=bool)
    cross = ndimage.generate_binary_structure(2, 1)
    for index in np.flatnonzero((labels == Tissue.SCAR).any((1, 2))):
        crop = box_of(mask[index], around=1)
        here = labels[index][crop]
        scar = here == Tissue.SCAR
        wall = (here > Tissue.BLOOD) & mask[index][crop]
        dark = wall & ~scar & (lge[index][crop] < scar_level)
        islands, count = ndimage.label(dark, structure=cross)
        for number in range(1, count + 1):
            island = islands == number
            rim = ndimage.binary_dilation(island, structure=np.ones((3, 3))) & ~island
            rim &= here != Tissue.BLOOD
            near = scar & ndimage.binary_dilation(island, structure=cross, iterations=6)
            if (rim.any() and scar[rim].mean() >= ENCLOSED
                    and island.sum() <= LARGEST * near.sum()):
                found[index][crop] |= island
    return found
