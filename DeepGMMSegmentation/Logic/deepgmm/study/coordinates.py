"""LV coordinates: how deep from the epicardium, and at which angle, a mask pixel lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.study.study import BoolArray, Study


def box_of(mask: BoolArray, around: int = 0) -> tuple[slice, slice]:
    """Rows and columns of a mask of one slice, some more around it, within the image."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0), slice(0)
    return (slice(max(int(rows[0]) - around, 0), int(rows[-1]) + 1 + around),
            slice(max(int(columns[0]) - around, 0), int(columns[-1]) + 1 + around))


@dataclass(frozen=True)
class VentricleCoordinates:
    """Where each mask pixel lies in the ventricle.

    Attributes
    ----------
    depth : (slices, rows, columns) distance to the epicardium in mm, 0 outside the mask.
    angle : (slices, rows, columns) radians in [0, 2 pi) about the centre of the mask of each
        slice, clockwise on the screen, from the anterior RV insertion where that is known.
    radius : (slices,) radius in mm of the circle of the mask's area.
    relative : (slices, rows, columns) depth in shares of the wall, 0 at the epicardium and 1 at
        the pool, where the wall was given; else None.
    """

    depth: npt.NDArray[np.float32]
    angle: npt.NDArray[np.float32]
    radius: npt.NDArray[np.float64]
    relative: npt.NDArray[np.float32] | None = None


def ventricle_coordinates(study: Study, slices: tuple[int, ...]) -> VentricleCoordinates:
    """LV coordinates of the given slices of a study."""
    from scipy import ndimage

    spacing = np.array([study.geometry.spacing[1], study.geometry.spacing[0]])  # row, column
    masks = study.mask[list(slices)]
    depth = np.zeros(masks.shape, dtype=np.float32)
    angle = np.zeros(masks.shape, dtype=np.float32)
    radius = np.zeros(len(masks))
    relative = None if study.wall is None else np.zeros(masks.shape, dtype=np.float32)
    for i, whole in enumerate(masks):
        crop = box_of(whole)
        mask, first = whole[crop], [side.start for side in crop]
        filled = np.pad(ndimage.binary_fill_holes(mask), 1)  # the image's edge is a border too
        distance = ndimage.distance_transform_edt(filled, sampling=spacing)[1:-1, 1:-1]
        depth[i][crop] = np.where(mask, np.maximum(distance - spacing.mean() / 2, 0), 0)
        if relative is not None and study.wall is not None:
            pool = mask & ~study.wall[slices[i]][crop]
            relative[i][crop] = _relative(depth[i][crop], pool, spacing)
        rows, columns = np.nonzero(filled[1:-1, 1:-1])
        centre = np.array([rows.mean(), columns.mean()])
        grid = np.indices(mask.shape, dtype=np.float64)
        y, x = (grid - centre[:, None, None]) * spacing[:, None, None]
        zero = _reference_angle(study, slices[i], centre + first, spacing)
        angle[i][crop] = np.where(mask, np.mod(np.arctan2(y, x) - zero, 2 * np.pi), 0)
        radius[i] = np.sqrt(len(rows) * spacing.prod() / np.pi)
    return VentricleCoordinates(depth, angle, radius, relative)


def _relative(depth: npt.NDArray, pool: npt.NDArray[np.bool_],
              spacing: npt.NDArray) -> npt.NDArray[np.float32]:
    """Depth over the way from epicardium to pool; 0 in a slice without any pool."""
    from scipy import ndimage

    if not pool.any():
        return np.zeros_like(depth)
    inner = ndimage.distance_transform_edt(~pool, sampling=spacing) - spacing.mean() / 2
    inner = np.maximum(inner, 0)
    return np.where(depth > 0, depth / np.maximum(depth + inner, 1e-6), 0).astype(np.float32)


def _reference_angle(study: Study, index: int, centre: npt.NDArray, spacing: npt.NDArray) -> float:
    if study.insertion_points is None:
        return 0.0
    anterior = study.insertion_points[index, 0]
    if not np.isfinite(anterior).all():
        return 0.0
    y, x = (anterior - centre) * spacing
    return float(np.arctan2(y, x))
