"""Where new nodes stand in the subject hierarchy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import slicer


def file_beside(scene: slicer.vtkMRMLScene, reference: slicer.vtkMRMLNode | None,
                nodes: Iterable[slicer.vtkMRMLNode]) -> None:
    """Put new nodes beside the reference in the subject hierarchy, or at its top."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    nothing = hierarchy.GetInvalidItemID()
    item = nothing if reference is None else hierarchy.GetItemByDataNode(reference)
    parent = hierarchy.GetSceneItemID() if item == nothing else hierarchy.GetItemParent(item)
    for node in nodes:  # in the desktop application they may have an item already
        own = hierarchy.GetItemByDataNode(node)
        if own == nothing:
            hierarchy.CreateItem(parent, node)
        else:
            hierarchy.SetItemParent(own, parent)
