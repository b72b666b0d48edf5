"""Slice views in the plane of a stack: turned, stepped and moved to its slices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.scene.places import (
    RAS_TO_LPS,
    Place,
    as_array,
    ijk_to_ras,
    is_bending,
    place_of,
    to_world,
)
from deepgmm.study.orientation import turn_of

if TYPE_CHECKING:
    import slicer

Point = npt.NDArray[np.float64]

#: Of a point; the two ways are the same.
_TO_RAS = RAS_TO_LPS.diagonal()[:3]

#: How much wider than the heart a view is shown.
_AROUND = 1.8


def turn_to(view: slicer.vtkMRMLSliceNode, volume: slicer.vtkMRMLVolumeNode) -> None:
    """Lay a view into the plane of a volume's slices, turned as they are read, a slice a step.

    Slicer's own `RotateToVolumePlane` takes the axis of the volume that is nearest to the view's
    present one, which need not be that of its slices.

    Raises
    ------
    InputError
        A volume whose slices are on no grid.
    """
    place = _place(volume)
    turn = turn_of(place.geometry)
    right, up = turn.right * _TO_RAS, -turn.down * _TO_RAS
    matrix = view.GetSliceToRAS()
    for column, axis in enumerate((right, up, np.cross(right, up))):
        for row in range(3):
            matrix.SetElement(row, column, float(axis[row]))
    view.UpdateMatrices()
    view.SetSliceSpacingModeToPrescribed()
    across, along, step = place.geometry.spacing
    view.SetPrescribedSliceSpacing(across, along, step)


def point_on(volume: slicer.vtkMRMLVolumeNode, index: int,
             heart: slicer.vtkMRMLSegmentationNode | None = None) -> Point:
    """(3,) RAS: a point on a slice, in the middle of a segmentation if there is one, else of the
    slice.

    Raises
    ------
    InputError
        A volume whose slices are on no grid, or that has no such slice.
    """
    columns, rows, slices = volume.GetImageData().GetDimensions()
    if not 0 <= index < slices:
        raise InputError(f"there is no slice {index}: the volume has {slices}, 0 to {slices - 1}")
    place = _place(volume)
    normal = place.matrix[:3, 2] / np.linalg.norm(place.matrix[:3, 2])
    first = place.matrix @ [(columns - 1) / 2, (rows - 1) / 2, 0, 1]
    far = index * np.linalg.norm(place.matrix[:3, 2]) if place.along is None \
        else place.along[index]
    point = first[:3] + far * normal
    corners = _corners_of(heart)
    if len(corners):
        aside = (corners.min(axis=0) + corners.max(axis=0)) / 2 * _TO_RAS - point
        point = point + aside - (aside @ normal) * normal
    return np.asarray(point * _TO_RAS)


def slice_at(volume: slicer.vtkMRMLVolumeNode, point: Sequence[float]) -> int | None:
    """The slice in whose plane a point lies, counted from 0, also beside its image; None where
    the point lies above or below the stack.

    Parameters
    ----------
    point : (3,) RAS.

    Raises
    ------
    InputError
        A volume whose slices are on no grid.
    """
    place = _place(volume)
    _, _, index, _ = np.linalg.inv(place.matrix) @ [*(np.asarray(point) * _TO_RAS), 1.0]
    if place.along is not None:  # the nearest, no further than a step
        step = np.linalg.norm(place.matrix[:3, 2])
        away = np.abs(place.along - index * step)
        index = away.argmin() if away.min() <= step else -1
    nearest = int(np.rint(index))
    return nearest if 0 <= nearest < volume.GetImageData().GetDimensions()[2] else None


def show_slice(scene: slicer.vtkMRMLScene, point: Point) -> None:
    """Move every slice view of a scene to the plane through a point; none is panned."""
    import slicer

    views = slicer.vtkMRMLSliceNode
    views.JumpAllSlices(scene, *(float(v) for v in point), views.OffsetJumpSlice)


def look_at(view: slicer.vtkMRMLSliceNode, point: Point,
            heart: slicer.vtkMRMLSegmentationNode | None = None) -> None:
    """Bring a point to the middle of a view, and the heart near enough to fill half of it."""
    corners = _corners_of(heart)
    if len(corners):
        wide = np.ptp(corners @ as_array(view.GetSliceToRAS())[:3, :2], axis=0).max()
        across, up, deep = view.GetFieldOfView()
        nearer = _AROUND * float(wide) / min(across, up)
        if nearer < 1:
            view.SetFieldOfView(across * nearer, up * nearer, deep)
    view.JumpSliceByCentering(*(float(v) for v in point))


def _place(volume: Any) -> Place:
    size = volume.GetImageData().GetDimensions()
    return place_of(ijk_to_ras(volume), size, volume.GetParentTransformNode(), "the volume")


def _corners_of(segmentation: Any) -> npt.NDArray[np.float64]:
    """(corners, 3) RAS of boxes around what is drawn in a segmentation; a non-linear transform
    is not followed."""
    if segmentation is None:
        return np.empty((0, 3))
    import slicer

    content, found = segmentation.GetSegmentation(), []
    for layer in range(content.GetNumberOfLayers()):
        voxels, extent = content.GetLayerDataObject(layer), [0, -1, 0, -1, 0, -1]
        # The bounds that Slicer gives are of the labelmap, which may be as large as the image.
        if voxels.IsA("vtkOrientedImageData") and slicer.vtkOrientedImageDataResample. \
                CalculateEffectiveExtent(voxels, extent):
            found += _corners(voxels, extent, segmentation.GetParentTransformNode())
    return np.reshape(found, (-1, 3))


def _corners(voxels: Any, extent: list[int], transform: Any) -> list[Point]:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    voxels.GetImageToWorldMatrix(matrix)
    to_ras = (np.eye(4) if is_bending(transform) else to_world(transform)) @ as_array(matrix)
    ends = zip(extent[::2], extent[1::2])
    return [(to_ras @ [*corner, 1])[:3] for corner in itertools.product(*ends)]
