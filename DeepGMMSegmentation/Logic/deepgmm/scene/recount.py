"""The numbers of a segmentation that was corrected by hand, counted again and written back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.review.recount import recounted
from deepgmm.scene.labels import labels_of
from deepgmm.scene.measured import forget_numbers
from deepgmm.scene.read_back import PROVENANCE, belonging, is_of, provenance_of, slices_of
from deepgmm.scene.tables import aha_table, numbers_table, slices_table
from deepgmm.study.insertion_points import points_again

if TYPE_CHECKING:
    import slicer


def recount(segmentation: slicer.vtkMRMLSegmentationNode,
            reference: slicer.vtkMRMLScalarVolumeNode,
            labels: npt.NDArray[np.uint8] | None = None) -> list[str]:
    """Bring a result's tables and provenance to the segments as they are now.

    Parameters
    ----------
    segmentation : as `write_result` wrote it, corrected since.
    reference : the volume on whose grid the fit was.
    labels : what `labels_of` says of both, where that is known.

    Returns
    -------
    list of str
        Titles of the tissues whose volume differs from the fit's.

    Raises
    ------
    InputError
        No result of ours, or a volume that has moved since.
    """
    said, rows = provenance_of(segmentation), slices_of(segmentation)
    if "volumes_ml" not in said or not rows:
        raise InputError("this segmentation holds no result of DeepGMM to count again")
    if not is_of(segmentation, reference):
        raise InputError("the volume that the result lies on has changed since: press Apply again")
    if labels is None:
        labels = labels_of(segmentation, reference)
    forget_numbers(segmentation)
    given = said.get("rv_insertion_points")
    points = points_again(given, len(labels)) if given else None
    said, rows = recounted(said, rows, labels, points)
    made = {"Numbers": numbers_table(said), "Slices": slices_table(rows)}
    if "aha_segments" in said:
        made["AHA segments"] = aha_table(said)
    for role, table in made.items():
        node = belonging(segmentation, role)
        if node is not None:
            node.SetAndObserveTable(table)
    segmentation.SetAttribute(PROVENANCE, json.dumps(said, ensure_ascii=False,
                                                     allow_nan=False))
    return list(said["corrected_tissues"])
