"""What changed between two versions, over the images, for as long as somebody looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.scene.places import ijk_to_ras
from deepgmm.scene.segments import LABELMAP, oriented_labelmap
from deepgmm.scene.undo import remove

if TYPE_CHECKING:
    import slicer

#: What a person changed, and what followed by itself: white and magenta, which no tissue is, for
#: the tissues' segments are seen below.
BY_HAND, FOLLOWED = ("Drawn by hand", (1.0, 1.0, 1.0)), ("Followed", (0.95, 0.1, 0.85))
_FILL = 0.9


def show_changes(changed: npt.NDArray[np.bool_], hand: npt.NDArray[np.bool_],
                 reference: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
    """Lay over the slice views what changed, as a segmentation that is in no saved scene and in
    no list of segmentations.

    Parameters
    ----------
    changed, hand : (slices, rows, columns) on the grid of `reference`, what changed, and what of
        the grid a person drew.
    """
    import slicer

    scene = reference.GetScene()
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(scene.GenerateUniqueName("LV changes"))
    _only_for_now(node)
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELMAP)
    for (name, colour), where in ((BY_HAND, changed & hand), (FOLLOWED, changed & ~hand)):
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*colour)
        segment.AddRepresentation(LABELMAP, oriented_labelmap(where.astype(np.uint8),
                                                              ijk_to_ras(reference)))
        segmentation.AddSegment(segment, name)
    display = node.GetDisplayNode()
    if display is not None:
        _only_for_now(display)
        display.SetVisibility3D(False)
        display.SetVisibility2DOutline(False)
        display.SetOpacity2DFill(_FILL)
    return node


def hide_changes(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Take them away, with all that belongs to them."""
    if node.GetScene() is not None:
        remove(node)


def _only_for_now(node: Any) -> None:
    node.SetSaveWithScene(False)
    node.SetHideFromEditors(True)
    node.SetSelectable(False)
