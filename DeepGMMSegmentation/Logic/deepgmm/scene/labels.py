"""What a segmentation or labelmap holds now, on the grid of a volume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.scene.places import as_array, as_vtk, is_bending, to_world
from deepgmm.scene.segments import check_writable, our_segments
from deepgmm.scene.stacks import array_of

if TYPE_CHECKING:
    import slicer


def labels_of(segmentation: slicer.vtkMRMLSegmentationNode,
              reference: slicer.vtkMRMLScalarVolumeNode) -> npt.NDArray[np.uint8]:
    """(slices, rows, columns) of the segments that a fit made, as they are now.

    Corrections by hand are in it, segments of others are not. Where segments overlap the later
    tissue wins: microvascular obstruction over scar over edema over myocardium over blood. What
    lies on another grid is taken at the nearest voxel.

    Raises
    ------
    InputError
        Segments kept as surfaces, or under another transform than the volume, one of the two
        non-linear.
    """
    check_writable(segmentation)
    grid = _grid(reference)
    labels = np.zeros(grid.GetDimensions()[::-1], np.uint8)
    moved = _move(segmentation, reference)
    for tissue, segment_id in sorted(our_segments(segmentation).items()):
        labels[_on(grid, _drawn(segmentation, segment_id), moved)] = tissue
    return labels


def masked_slices(mask: slicer.vtkMRMLNode, segments: Iterable[str],
                  reference: slicer.vtkMRMLScalarVolumeNode) -> set[int]:
    """The slices of a volume on which a mask holds a voxel: `mask_areas` without the areas."""
    return set(np.flatnonzero(mask_areas(mask, segments, reference)).tolist())


def mask_areas(mask: slicer.vtkMRMLNode, segments: Iterable[str],
               reference: slicer.vtkMRMLScalarVolumeNode) -> npt.NDArray[np.int64]:
    """(slices,) voxels of a mask on the slices of a volume, as it is drawn now; quick.

    Parameters
    ----------
    mask : a segmentation, or a volume of labels.
    segments : IDs of the segments that are meant; all where none is named.

    Raises
    ------
    InputError
        As `labels_of`.
    """
    grid, moved = _grid(reference), _move(mask, reference)
    if mask.IsA("vtkMRMLVolumeNode"):
        drawn = [_oriented(mask)]
    else:
        check_writable(mask)
        content = mask.GetSegmentation()
        drawn = [_drawn(mask, one) for one in list(segments) or content.GetSegmentIDs()
                 if content.GetSegment(one) is not None]
    inside = np.zeros(grid.GetDimensions()[::-1], bool)
    for voxels in drawn:
        inside |= _on(grid, voxels, moved)
    return inside.sum(axis=(1, 2))


def _drawn(segmentation: Any, segment_id: str) -> Any:
    import slicer

    voxels = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation(segment_id, voxels)
    return voxels


def _on(grid: Any, voxels: Any, moved: npt.NDArray[np.float64] | None) -> npt.NDArray[np.bool_]:
    """(slices, rows, columns) where on the grid voxels are not 0."""
    import slicer

    if voxels.IsEmpty():
        return np.zeros(grid.GetDimensions()[::-1], bool)
    if moved is not None:
        _place(voxels, moved)
    there = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        voxels, grid, there)
    return array_of(there) != 0


def _oriented(volume: Any) -> Any:
    """A volume's voxels with their place in the frame of its parent transform; shared."""
    voxels = _grid(volume)
    voxels.ShallowCopy(volume.GetImageData())
    _set_place(voxels, volume)
    return voxels


def _grid(reference: Any) -> Any:
    """A volume's grid in the frame of its parent transform, without voxels."""
    import slicer

    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(reference.GetImageData().GetExtent())
    _set_place(grid, reference)
    return grid


def _set_place(voxels: Any, volume: Any) -> None:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    voxels.SetGeometryFromImageToWorldMatrix(matrix)


def _move(node: Any, reference: Any) -> npt.NDArray[np.float64] | None:
    """From the frame of a node to that of the volume; None where it is the same."""
    here, there = node.GetParentTransformNode(), reference.GetParentTransformNode()
    if here is there:
        return None
    if is_bending(here) or is_bending(there):
        raise InputError("the segmentation and the images are under different transforms, one of "
                         "them non-linear: put both under the same, or unlock the slices (untick "
                         "Done)")
    return np.asarray(np.linalg.inv(to_world(there)) @ to_world(here))


def _place(voxels: Any, moved: npt.NDArray[np.float64]) -> None:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    voxels.GetImageToWorldMatrix(matrix)
    voxels.SetGeometryFromImageToWorldMatrix(as_vtk(moved @ as_array(matrix)))
