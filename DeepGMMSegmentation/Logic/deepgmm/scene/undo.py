"""A segmentation node as it was, with what hangs on it: taken before a fit, put back on undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import slicer

#: Roles of the nodes that belong to a segmentation of ours, and names of its attributes.
PREFIX = "DeepGMM."


def belongings(node: slicer.vtkMRMLSegmentationNode) -> dict[str, Any]:
    """The tables and volumes that a fit left with a segmentation, by role."""
    found = {role: node.GetNodeReference(role) for role in _our_roles(node)}
    return {role: other for role, other in found.items() if other is not None}


def remove(node: slicer.vtkMRMLStorableNode) -> None:
    """Take a node out of its scene, with the nodes that only it uses."""
    scene = node.GetScene()
    own = [*_displays(node), *(node.GetNthStorageNode(i)
                               for i in range(node.GetNumberOfStorageNodes()))]
    scene.RemoveNode(node)
    for one in own:
        if one is not None:
            scene.RemoveNode(one)


@dataclass(frozen=True)
class _Content:
    """What a table or volume held: a copy of it, its transform's ID, how it was shown."""

    copy: Any
    transform: str | None
    displays: list[Any]


@dataclass(frozen=True)
class Snapshot:
    """What `restore` needs to bring a segmentation back, voxel for voxel.

    Attributes
    ----------
    node : the segmentation; the snapshot is of no other.
    segmentation : a copy of segments, names, colours, tags, voxels and reference grid.
    display : a copy of what its display node says of every segment, or None.
    attributes : of the node.
    transform, reference : IDs of its parent transform and its reference volume, or None.
    belongings : role to a table or volume, and what it held.
    """

    node: slicer.vtkMRMLSegmentationNode
    segmentation: Any
    display: Any
    attributes: dict[str, str]
    transform: str | None
    reference: str | None
    belongings: dict[str, tuple[Any, _Content]]


def snapshot(node: slicer.vtkMRMLSegmentationNode) -> Snapshot:
    """A segmentation as it is now; later changes do not reach it."""
    import slicer

    segmentation = slicer.vtkSegmentation()
    segmentation.DeepCopy(node.GetSegmentation())
    display = node.GetDisplayNode()
    shown = None
    if display is not None:
        shown = display.NewInstance()
        shown.CopyContent(display)
    return Snapshot(
        node, segmentation, shown,
        {name: node.GetAttribute(name) for name in node.GetAttributeNames()},
        node.GetTransformNodeID(),
        node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()),
        {role: (other, _content(other)) for role, other in belongings(node).items()})


def restore(before: Snapshot) -> None:
    """Make a segmentation what it was; tables and volumes that came since then go."""
    node = before.node
    scene = node.GetScene()
    for role, other in belongings(node).items():
        if role not in before.belongings or before.belongings[role][0] is not other:
            remove(other)
    for role in _our_roles(node):
        node.RemoveNodeReferenceIDs(role)
    # A copy of the copy, so that it can be restored again.
    node.GetSegmentation().DeepCopy(before.segmentation)
    for name in set(node.GetAttributeNames()) - set(before.attributes):
        node.RemoveAttribute(name)
    for name, value in before.attributes.items():
        node.SetAttribute(name, value)
    node.SetAndObserveTransformNodeID(before.transform)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), before.reference)
    for role, (other, content) in before.belongings.items():
        if other.GetScene() is None:
            _add_again(scene, other, content)
        _set_content(other, content)
        node.SetNodeReferenceID(role, other.GetID())
    if before.display is not None and node.GetDisplayNode() is not None:
        node.GetDisplayNode().CopyContent(before.display)
    node.Modified()


def _content(node: Any) -> _Content:
    """Voxels are not copied: a fit gives a volume new ones, and leaves these alone."""
    copy = node.NewInstance()
    copy.CopyContent(node, node.IsA("vtkMRMLTableNode"))
    transform = node.GetTransformNodeID() if node.IsA("vtkMRMLTransformableNode") else None
    return _Content(copy, transform, _displays(node))


def _set_content(node: Any, content: _Content) -> None:
    node.CopyContent(content.copy, node.IsA("vtkMRMLTableNode"))
    if node.IsA("vtkMRMLTransformableNode"):
        node.SetAndObserveTransformNodeID(content.transform)


def _displays(node: Any) -> list[Any]:
    if not node.IsA("vtkMRMLDisplayableNode"):
        return []
    return [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]


def _add_again(scene: Any, node: Any, content: _Content) -> None:
    scene.AddNode(node)
    for number, display in enumerate(content.displays):
        scene.AddNode(display)
        node.SetAndObserveNthDisplayNodeID(number, display.GetID())


def _our_roles(node: Any) -> list[str]:
    roles: list[str] = []
    node.GetNodeReferenceRoles(roles)
    return [role for role in roles if role.startswith(PREFIX)]
