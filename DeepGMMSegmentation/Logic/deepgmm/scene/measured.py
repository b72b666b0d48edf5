"""All numbers of a segmentation kept with it in the scene, for as long as they are true of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepgmm.review.quantities import Number
from deepgmm.scene.hierarchy import file_beside
from deepgmm.scene.read_back import belonging
from deepgmm.scene.tables import all_numbers_table, numbers_of_table
from deepgmm.scene.undo import PREFIX

if TYPE_CHECKING:
    import slicer

ROLE = "All numbers"


def write_numbers(segmentation: slicer.vtkMRMLSegmentationNode, rows: Sequence[Number],
                  reference: slicer.vtkMRMLVolumeNode | None = None
                  ) -> slicer.vtkMRMLTableNode:
    """Put numbers into the segmentation's table of them, which is made where there is none.

    Parameters
    ----------
    reference : the volume beside which the table goes in the subject hierarchy.
    """
    node, scene = belonging(segmentation, ROLE), segmentation.GetScene()
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTableNode",
                                       scene.GenerateUniqueName("LV all numbers"))
        segmentation.SetNodeReferenceID(PREFIX + ROLE, node.GetID())
        file_beside(scene, reference, [node])
    node.SetAndObserveTable(all_numbers_table(rows))
    return node


def numbers_of(segmentation: slicer.vtkMRMLSegmentationNode) -> list[Number]:
    """The numbers that were measured of it as it is; none where there are none."""
    node = belonging(segmentation, ROLE)
    return [] if node is None or node.GetTable() is None else numbers_of_table(node.GetTable())


def forget_numbers(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Empty the table: it is no longer true of what is drawn."""
    node = belonging(segmentation, ROLE)
    if node is not None and node.GetTable() is not None and node.GetTable().GetNumberOfRows():
        node.SetAndObserveTable(all_numbers_table([]))
