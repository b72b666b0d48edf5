"""What a fit left with a segmentation, read from its nodes: also from a scene that was loaded."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from deepgmm.errors import InputError
from deepgmm.scene.places import ijk_to_ras, place_of
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


def is_of(segmentation: slicer.vtkMRMLSegmentationNode,
          volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether a fit was made on the grid of a volume, where that lies now."""
    grid, image = provenance_of(segmentation).get("grid"), volume.GetImageData()
    if not grid or image is None or list(image.GetDimensions()) != grid["size"]:
        return False
    try:
        here = place_of(ijk_to_ras(volume), image.GetDimensions(),
                        volume.GetParentTransformNode(), "the volume").geometry
    except InputError:
        return False
    there = (grid["spacing_mm"], grid["origin_lps_mm"], grid["direction_lps"])
    # asked for several times a stroke, and numpy takes its time over three numbers
    return all(len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-3) for a, b in zip(one, other))
        for one, other in zip((here.spacing, here.origin, here.direction), there))


def slices_of(segmentation: slicer.vtkMRMLSegmentationNode) -> list[dict[str, Any]]:
    """The rows of the slices (`deepgmm.review.slices.slice_rows`); none where there are none."""
    node = belonging(segmentation, "Slices")
    return [] if node is None or node.GetTable() is None else rows_of_slices(node.GetTable())


def records(segmentation: slicer.vtkMRMLSegmentationNode, role: str) -> list[dict[str, Any]]:
    """The rows of the table "Numbers", "Parameters" or "AHA segments", by column."""
    node = belonging(segmentation, role)
    return [] if node is None or node.GetTable() is None else records_of(node.GetTable())
