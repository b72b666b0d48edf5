"""What lies just outside the LV mask: the epicardium's pixels hold some of it."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deepgmm.study.coordinates import box_of

_Float = TypeVar("_Float", bound=np.floating)

#: Between these, in pixels from the mask, lies what the pixels at its border are mixed with; nearer
#: ones hold wall themselves.
BAND = (1.2, 3.5)
#: Pixels over which the surroundings are averaged (standard deviation), and how far inside the mask
#: they matter.
BLUR, REACH = 1.5, 4.0
#: Where more than this share of the pixels so near to the mask has one value, nothing is seen:
#: the image was cut out along a mask.
BLANK, NEAR = 0.4, 8


def surroundings(images: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_],
                 pixel: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What is seen beyond each pixel near the mask's border.

    Parameters
    ----------
    images : (slices, sequences, rows, columns); `mask` : (slices, rows, columns).
    pixel : mm a side.

    Returns
    -------
    (slices, 2 sequences, rows, columns) local mean and variance of the band, 0 elsewhere, and
    (slices, rows, columns) mm to the mask's border; infinite where no surroundings are seen.
    """
    from scipy import ndimage

    slices, sequences = images.shape[:2]
    seen = np.zeros((slices, 2 * sequences, *mask.shape[1:]))
    depth = np.full(mask.shape, np.inf)
    for i, whole in enumerate(mask):
        crop = box_of(whole, around=int(BAND[1]) + 1)
        inside = ndimage.binary_fill_holes(whole[crop])
        away = ndimage.distance_transform_edt(~inside)
        values = images[i][:, crop[0], crop[1]]
        band = (away > BAND[0]) & (away <= BAND[1]) & np.isfinite(values).all(0)
        if not band.any():
            continue
        weight = _blurred(band.astype(float))
        known = np.where(band, values, 0.0)
        mean = np.stack([_blurred(v) for v in known]) / np.maximum(weight, 1e-9)
        square = np.stack([_blurred(v**2) for v in known]) / np.maximum(weight, 1e-9)
        inner = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] - 0.5
        near = whole[crop] & (inner < REACH) & (weight > 1e-3)
        seen[i][:, crop[0], crop[1]] = np.where(near, np.concatenate(
            [mean, np.maximum(square - mean**2, 0.0)]), 0.0)
        depth[i][crop] = np.where(near, inner * pixel, np.inf)
    return seen, depth


def blank_beyond(images: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]
                 ) -> npt.NDArray[np.floating]:
    """(slices, sequences) the value that stands for nothing around the mask; NaN where all is seen.

    Parameters
    ----------
    images : (slices, sequences, rows, columns); `mask` : (slices, rows, columns).
    """
    from scipy import ndimage

    blank = np.full(images.shape[:2], np.nan)
    for i, whole in enumerate(mask):
        rows, columns = box_of(whole, around=NEAR + 1)
        inside = whole[rows, columns]
        near = ndimage.binary_dilation(inside, iterations=NEAR) & ~inside
        for m in range(images.shape[1]) if near.any() else ():
            values, counts = np.unique(images[i, m, rows, columns][near], return_counts=True)
            if counts.max() > BLANK * near.sum():
                blank[i, m] = values[counts.argmax()]
    return blank


def seen_beyond(images: npt.NDArray[_Float], mask: npt.NDArray[np.bool_]) -> npt.NDArray[_Float]:
    """The images, of which what is blank around the mask has the value of the nearest pixel seen.

    A blank is no tissue: taken as seen, it makes the wall beside it bright.

    Parameters
    ----------
    images, mask : as in `blank_beyond`.
    """
    from scipy import ndimage

    blank = blank_beyond(images, mask)
    if np.isnan(blank).all():
        return images
    filled = images.copy()
    for i, m in np.argwhere(np.isfinite(blank)):
        unseen = ~mask[i] & (images[i, m] == blank[i, m])
        place = ndimage.distance_transform_edt(unseen, return_distances=False, return_indices=True)
        filled[i, m] = images[i, m][tuple(place)]
    return filled


def _blurred(image: npt.NDArray) -> npt.NDArray:
    from scipy import ndimage

    return ndimage.gaussian_filter(image, BLUR, mode="constant", truncate=3.0)
