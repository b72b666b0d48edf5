"""LV coordinates: how deep from the epicardium, and at which angle, a mask pixel lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.study.study import Study


@dataclass(frozen=True)
class VentricleCoordinates:
    """Where each mask pixel lies in the ventricle.

    Attributes
    ----------
    depth : (slices, rows, columns) distance to the epicardium in mm, 0 outside the mask.
    angle : (slices, rows, columns) radians in [0, 2 pi) about the centre of the mask of each
        slice, clockwise on the screen, from the anterior RV insertion where that is known.
    radius : (slices,) radius in mm of the circle of the mask's area.
    """

    depth: npt.NDArray[np.float32]
    angle: npt.NDArray[np.float32]
    radius: npt.NDArray[np.float64]


def ventricle_coordinates(study: Study, slices: tuple[int, ...]) -> VentricleCoordinates:
    """LV coordinates of the given slices of a study."""
    from scipy import ndimage

    spacing = np.array([study.geometry.spacing[1], study.geometry.spacing[0]])  # row, column
    masks = study.mask[list(slices)]
    depth = np.zeros(masks.shape, dtype=np.float32)
    angle = np.zeros(masks.shape, dtype=np.float32)
    radius = np.zeros(len(masks))
    for i, mask in enumerate(masks):
        filled = np.pad(ndimage.binary_fill_holes(mask), 1)  # the image's edge is a border too
        distance = ndimage.distance_transform_edt(filled, sampling=spacing)[1:-1, 1:-1]
        depth[i] = np.where(mask, np.maximum(distance - spacing.mean() / 2, 0), 0)
        rows, columns = np.nonzero(filled[1:-1, 1:-1])
        centre = np.array([rows.mean(), columns.mean()])
        grid = np.indices(mask.shape, dtype=np.float64)
        y, x = (grid - centre[:, None, None]) * spacing[:, None, None]
        zero = _reference_angle(study, slices[i], centre, spacing)
        angle[i] = np.where(mask, np.mod(np.arctan2(y, x) - zero, 2 * np.pi), 0)
        radius[i] = np.sqrt(len(rows) * spacing.prod() / np.pi)
    return VentricleCoordinates(depth, angle, radius)


def _reference_angle(study: Study, index: int, centre: npt.NDArray, spacing: npt.NDArray) -> float:
    if study.insertion_points is None:
        return 0.0
    anterior = study.insertion_points[index, 0]
    if not np.isfinite(anterior).all():
        return 0.0
    y, x = (anterior - centre) * spacing
    return float(np.arctan2(y, x))
