"""Volume and sequence nodes read: their voxels, their place, and of a cine all frames."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.images.cine import Cine
from deepgmm.reading.images.grids import image_of
from deepgmm.scene.places import Place, as_array, ijk_to_ras, place_of

if TYPE_CHECKING:
    import SimpleITK
    import slicer

#: How many ms there are in a unit of a sequence node's index.
_MILLISECONDS = {"ms": 1.0, "s": 1000.0, "sec": 1000.0}


@dataclass
class Stack:
    """One volume, in the patient or in the frame of a transform that it shares with the grid.

    Attributes
    ----------
    name : what messages call it, never the node's own name.
    image : the voxels on an even grid; of a cine its first frame.
    place : where that grid lies.
    framed : whether the place is in the frame of the grid's own transform.
    hash : SHA-256 of the voxels.
    """

    name: str
    image: SimpleITK.Image
    place: Place
    framed: bool
    hash: str
    cine: Cine | None = None
    warnings: list[str] = field(default_factory=list)


def read_stack(node: slicer.vtkMRMLNode, name: str,
               frame: slicer.vtkMRMLTransformNode | None = None) -> Stack:
    """A scalar volume node, or a sequence node of them.

    Parameters
    ----------
    frame : a transform that is not to be applied, because the grid is under it as well.

    Raises
    ------
    InputError
        No grey values, no voxels, frames on different grids, or a place that is no grid.
    """
    if node.IsA("vtkMRMLSequenceNode"):
        return _cine(node, name, frame)
    values = voxels(node, name)
    place, framed = _place(node, values, node.GetParentTransformNode(), name, frame)
    return Stack(name, image_of(values, place.geometry), place, framed, digest(values))


def shown_frame(volume: slicer.vtkMRMLNode | None) -> tuple[slicer.vtkMRMLNode, int] | None:
    """The sequence of which a volume shows a frame, and the number of that frame, from 0."""
    for browser in _browsers(volume):
        sequence = browser.GetSequenceNode(volume)
        first = browser.GetMasterSequenceNode()
        if sequence is not None and first is not None and sequence.GetNumberOfDataNodes() > 1:
            index = first.GetNthIndexValue(browser.GetSelectedItemNumber())
            return sequence, max(sequence.GetItemNumberFromIndexValue(index, False), 0)
    return None


def voxels(node: slicer.vtkMRMLNode, name: str) -> npt.NDArray[Any]:
    """(slices, rows, columns) of a volume node; shares its memory.

    Raises
    ------
    InputError
        Not a volume with one value a voxel.
    """
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(f"{name} is no volume: give a scalar volume, or a sequence of them")
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise InputError(f"{name} is a volume without voxels: load or choose another")
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(f"{name} has {image.GetNumberOfScalarComponents()} values a voxel "
                         "(colour or vectors): give one grey value a voxel")
    return array_of(image)


def array_of(image: Any) -> npt.NDArray[Any]:
    """(slices, rows, columns) of a vtkImageData of one component; shares its memory."""
    from vtk.util.numpy_support import vtk_to_numpy

    scalars = vtk_to_numpy(image.GetPointData().GetScalars())
    return np.asarray(scalars.reshape(image.GetDimensions()[::-1]))


def digest(*arrays: npt.NDArray[Any]) -> str:
    """SHA-256 of voxels."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def labelmap_place(labelmap: Any, transform: Any, name: str) -> Place:
    """Where a vtkOrientedImageData lies, whose first voxel need not be number 0."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    local = as_array(matrix)
    local[:, 3] = local @ np.array([*labelmap.GetExtent()[::2], 1.0])
    return place_of(local, labelmap.GetDimensions(), transform, name)


def _place(node: Any, values: npt.NDArray[Any], transform: Any, name: str,
           frame: Any) -> tuple[Place, bool]:
    framed = frame is not None and transform is frame
    size = values.shape[::-1]
    return place_of(ijk_to_ras(node), (size[0], size[1], size[2]), None if framed else transform,
                    name), framed


def _cine(node: Any, name: str, frame: Any) -> Stack:
    count = node.GetNumberOfDataNodes()
    if not count:
        raise InputError(f"{name} is a sequence without frames: load or choose another")
    frames = [node.GetNthDataNode(i) for i in range(count)]
    values = [voxels(f, name) for f in frames]
    transform = _shown_under(node)
    place, framed = _place(frames[0], values[0], transform, name, frame)
    first = ijk_to_ras(frames[0])
    for one, own in zip(frames, values):
        if own.shape != values[0].shape or not np.allclose(ijk_to_ras(one), first, atol=1e-3):
            raise InputError(f"{name}'s frames lie on different grids: give a cine of one stack")
    together = np.stack(values)
    sha = digest(together)
    cine = Cine(together, place.geometry, sha, _times(node, count))
    return Stack(name, cine.frame(0), place, framed, sha, cine if count > 1 else None)


def _shown_under(sequence: Any) -> Any:
    """The transform of the volume in which the scene shows a sequence; it has none itself."""
    for browser in _browsers(sequence):
        shown = browser.GetProxyNode(sequence)
        if shown is not None:
            return shown.GetParentTransformNode()
    return None


def _browsers(node: Any) -> list[Any]:
    """What plays sequences in the scene of a node."""
    scene = None if node is None else node.GetScene()
    if scene is None:
        return []
    found = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode")
    return [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]


def _times(sequence: Any, count: int) -> list[float]:
    """Of each frame, ms; NaN where the index is no time."""
    unit = _MILLISECONDS.get((sequence.GetIndexUnit() or "").strip().lower())
    if unit is None or "time" not in (sequence.GetIndexName() or "").lower():
        return [math.nan] * count
    try:
        return [float(sequence.GetNthIndexValue(i)) * unit for i in range(count)]
    except ValueError:
        return [math.nan] * count
