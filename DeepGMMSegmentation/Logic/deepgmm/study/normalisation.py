"""Intensities made comparable between studies, from what lies inside the LV mask alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.study import Study

#: Normalised intensities are winsorised here, so that one wild pixel cannot steer a fit.
WINSOR = 8.0


@dataclass(frozen=True)
class Scale:
    """normalised = (raw - centre) / width, per sequence.

    Attributes
    ----------
    centre, width : (sequences,), in the units of the image files.
    """

    centre: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]

    def apply(self, images: npt.NDArray) -> npt.NDArray[np.float64]:
        """Normalise (slices, sequences, rows, columns)."""
        centre, width = self.centre[:, None, None], self.width[:, None, None]
        scaled = images - centre
        scaled /= width  # in place: whole images are large
        return np.clip(scaled, -WINSOR, WINSOR, out=scaled)

    def raw_means(self, means: npt.NDArray) -> npt.NDArray[np.float64]:
        return means * self.width + self.centre

    def raw_covariances(self, covariances: npt.NDArray) -> npt.NDArray[np.float64]:
        """(..., M, M) in raw units."""
        return covariances * self.width[:, None] * self.width

    @property
    def log_volume(self) -> float:
        """Add it to a normalised NLL to get the raw one."""
        return float(np.log(self.width).sum())


def normalise(study: Study, slices: tuple[int, ...]) -> tuple[npt.NDArray[np.float64], Scale]:
    """Scale every sequence by its 2nd to 98th percentile inside the mask, over all `slices`.

    The percentiles map to -1 and 1. Where they coincide (over 96 % of the mask is one value,
    as in strongly nulled LGE) the standard deviation takes their place.

    Returns
    -------
    (slices, sequences, rows, columns) normalised images of the given slices, and the scale.

    Raises
    ------
    InputError : where a sequence is constant inside the mask.
    """
    chosen = list(slices)
    images = study.images[chosen].astype(np.float64)
    inside = images.transpose(1, 0, 2, 3)[:, study.mask[chosen]]
    low, high = np.percentile(inside, (2, 98), axis=1)
    centre, width = (low + high) / 2, (high - low) / 2
    for m, role in enumerate(study.roles):
        if width[m] <= 1e-9 * max(abs(centre[m]), 1e-9):
            centre[m], width[m] = inside[m].mean(), inside[m].std()
        if not width[m] > 1e-9 * max(abs(centre[m]), 1e-9):
            raise InputError(f"{role.title} has one value everywhere inside the LV mask: "
                             "check that image and mask belong together")
    scale = Scale(centre, width)
    return scale.apply(images), scale
