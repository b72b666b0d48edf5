"""A proposed LV mask in a segment, with the note that it was proposed until it was looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deepgmm.errors import ComputationError
from deepgmm.reading.masks.seg_nrrd import PROPOSAL, proposal_note
from deepgmm.scene.places import ijk_to_ras
from deepgmm.scene.segments import oriented_labelmap

if TYPE_CHECKING:
    import slicer

    from deepgmm.propose.proposed import MaskProposal


def write_proposal(found: MaskProposal, node: slicer.vtkMRMLSegmentationNode, segment_id: str,
                   volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Put a proposal into a segment in place of what was there, and note that it was proposed.

    Parameters
    ----------
    node : a mask with nothing drawn in it yet; it comes under the transform of `volume`.
    volume : on its grid the proposal lies.

    Raises
    ------
    ComputationError
        The segmentation does not take it.
    """
    import slicer

    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    labelmap = oriented_labelmap(found.mask.astype("uint8"), ijk_to_ras(volume))
    if not slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
            labelmap, node, segment_id):
        raise ComputationError("the proposed LV mask was refused by the segmentation")
    _note(node.GetSegmentation().GetSegment(segment_id), found.note)


def proposal_in(node: slicer.vtkMRMLNode | None, segments: Sequence[str] = ()
                ) -> dict[str, Any] | None:
    """What is noted of a proposal in the segments of an LV mask; None where all were drawn.

    Parameters
    ----------
    segments : IDs; by default all.

    Returns
    -------
    "looked_at" (a person looked at every slice), "warnings" and "provenance" of the proposal.
    """
    return next((note for _, note in _noted(node, segments)), None)


def mark_looked_at(node: slicer.vtkMRMLSegmentationNode, segments: Sequence[str] = (),
                   looked_at: bool = True) -> None:
    """Note that a person looked at every slice of what was proposed, or not yet."""
    for segment, note in _noted(node, segments):
        _note(segment, note | {"looked_at": looked_at})


def _note(segment: Any, note: dict[str, Any]) -> None:
    segment.SetTag(PROPOSAL, json.dumps(note))


def _noted(node: Any, segments: Sequence[str]) -> list[tuple[Any, dict[str, Any]]]:
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        return []
    import vtk

    content, found = node.GetSegmentation(), []
    for one in segments or [content.GetNthSegmentID(i)
                            for i in range(content.GetNumberOfSegments())]:
        segment, text = content.GetSegment(one), vtk.reference("")
        if segment is not None and segment.GetTag(PROPOSAL, text):
            found.append((segment, proposal_note(str(text))))
    return found
