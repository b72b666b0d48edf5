"""What lies just outside the LV mask: the epicardium's pixels hold some of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepgmm.study.coordinates import box_of

#: Between these, in pixels from the mask, lies what the pixels at its border are mixed with; nearer
#: ones hold wall themselves.
BAND = (1.2, 3.5)
#: Pixels over which the surroundings are averaged (standard deviation), and how far inside the mask
#: they matter.
BLUR, REACH = 1.5, 4.0


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


def _blurred(image: npt.NDArray) -> npt.NDArray:
    from scipy import ndimage

    return ndimage.gaussian_filter(image, BLUR, mode="constant", truncate=3.0)
