"""What a fit left with a segmentation, read from its nodes: also from a scene that was loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deepgmm.scene.tables import records_of, rows_of_slices
from deepgmm.scene.undo import PREFIX

if TYPE_CHECKING:
    import slicer

#: The attribute that holds the provenance, as JSON.
PROVENANCE = PREFIX + "Provenance"


def belonging(segmentation: slicer.vtkMRMLSegmentationNode, role: str) -> Any:
    """The table or volume "Numbers", "Uncertainty" and so on, or None."""
    return segmentation.GetNodeReference(PREFIX + role)


def provenance_of(segmentation: slicer.vtkMRMLSegmentationNode) -> dict[str, Any]:
    """The report of the fit, without its slices; empty where there was none."""
    try:
        said = json.loads(segmentation.GetAttribute(PROVENANCE) or "{}")
    except ValueError:  # not as we wrote it
        return {}
    return said if isinstance(said, dict) else {}


def slices_of(segmentation: slicer.vtkMRMLSegmentationNode) -> list[dict[str, Any]]:
    """The rows of the slices (`deepgmm.review.slices.slice_rows`); none where there are none."""
    node = belonging(segmentation, "Slices")
    return [] if node is None or node.GetTable() is None else rows_of_slices(node.GetTable())


def records(segmentation: slicer.vtkMRMLSegmentationNode, role: str) -> list[dict[str, Any]]:
    """The rows of the table "Numbers", "Parameters" or "AHA segments", by column."""
    node = belonging(segmentation, role)
    return [] if node is None or node.GetTable() is None else records_of(node.GetTable())
