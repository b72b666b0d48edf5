"""The LV mask that a user draws in Slicer: begun, recognised among segments, looked over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deepgmm.scene.hierarchy import file_beside
from deepgmm.scene.inputs import frame_of, grid_of
from deepgmm.scene.masks import is_wall, read_mask
from deepgmm.scene.undo import batch
from deepgmm.study.mask_faults import MaskFault, find_mask_faults
from deepgmm.study.seg_nrrd import MASK_TERMINOLOGY

if TYPE_CHECKING:
    import slicer

#: ID and name of the segment of a new LV mask.
SEGMENT = "LV"

#: As `data/terminology` recommends for the left ventricle.
_COLOUR = (1.0, 190 / 255, 80 / 255)

#: How much of the image the fill covers while one draws.
_FILL = 0.15

#: What people call the left ventricle as a whole, lower case.
_WHOLE_NAMES = ("lv", "lv mask", "left ventricle", "lv epicardium", "epicardium", "epi", "lv epi")


def new_mask(volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
    """An empty segmentation on the grid of a volume, with the segment "LV" to draw in.

    It comes under the volume's transform, and beside it in the subject hierarchy.

    Examples
    --------
    >>> segmentation = new_mask(lge)                                       # doctest: +SKIP
    """
    scene = volume.GetScene()
    with batch(scene):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode",
                                       scene.GenerateUniqueName("LV mask"))
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation = node.GetSegmentation()
        segment = segmentation.GetSegment(segmentation.AddEmptySegment(SEGMENT, SEGMENT, _COLOUR))
        segment.SetTerminology(MASK_TERMINOLOGY)
        display = node.GetDisplayNode()
        if display is not None:
            display.SetSegmentOpacity2DFill(SEGMENT, _FILL)
        file_beside(scene, volume, [node])
    return node


def usual_segments(node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """IDs of the segments that together are the left ventricle, as far as names and terminology
    say: the only one, one named as the whole, or blood and all that is wall; else none."""
    segmentation = node.GetSegmentation()
    found = [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
    if len(found) == 1:
        return found
    whole = [one for one in found if _is_whole(segmentation.GetSegment(one))]
    if whole:
        return whole if len(whole) == 1 else []
    parts = {one: is_wall(segmentation.GetSegment(one)) for one in found}
    known = [one for one, wall in parts.items() if wall is not None]
    return known if {True, False} <= set(parts.values()) else []


def drawn_faults(mask: slicer.vtkMRMLNode, segments: Sequence[str],
                 volume: slicer.vtkMRMLScalarVolumeNode, name: str
                 ) -> tuple[list[MaskFault], list[str]]:
    """Look an LV mask over, on the grid of the volume that it is for.

    Parameters
    ----------
    mask, segments : as `deepgmm.scene.masks.read_mask` takes them.
    name : what to call the volume in messages.

    Returns
    -------
    faults, and what a user must know of how the mask came onto the grid.

    Raises
    ------
    InputError
        A mask that cannot be used at all.
    """
    drawn = read_mask(mask, grid_of(volume, name), segments=segments, frame=frame_of(volume))
    return find_mask_faults(drawn.mask), drawn.warnings


def _is_whole(segment: Any) -> bool:
    return (segment.GetTerminology() == MASK_TERMINOLOGY
            or (segment.GetName() or "").strip().lower() in _WHOLE_NAMES)
