"""Closed curves of the scene that say where the border of pool and wall runs, one a slice.

They lie in a folder of the subject hierarchy, where a user sees and deletes them, and into which
any closed curve can be moved. One that was begun for a segmentation counts for no other; one that
was moved there counts for those whose images it lies on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.scene.places import RAS_TO_LPS, ijk_to_ras, place_of
from deepgmm.study.words import named_slices

if TYPE_CHECKING:
    import slicer

CURVE = "vtkMRMLMarkupsClosedCurveNode"
_OF, _UID, _FOLDER = "DeepGMM.BorderOf", ("DeepGMM", "borders"), "LV borders"
#: Points that a curve is drawn through, at least.
_LEAST = 3


def new_curve(segmentation: slicer.vtkMRMLSegmentationNode) -> Any:
    """A closed curve without points for the borders of a segmentation, in the folder: one that was
    begun and not drawn, or a new one."""
    scene = segmentation.GetScene()
    for begun in curves_of(segmentation):
        if not is_drawn(begun) and not _is_moved_there(begun):
            begun.RemoveAllControlPoints()
            return begun
    node = scene.AddNewNodeByClass(CURVE, scene.GenerateUniqueName("LV border"))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetPointLabelsVisibility(False)
        display.SetPropertiesLabelVisibility(False)
    node.SetNodeReferenceID(_OF, segmentation.GetID())
    hierarchy = _hierarchy(scene)
    folder = hierarchy.GetItemByUID(*_UID)
    if folder == hierarchy.GetInvalidItemID():
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), _FOLDER)
        hierarchy.SetItemUID(folder, *_UID)
    own = hierarchy.GetItemByDataNode(node)
    if own == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(folder, node)
    else:  # in the desktop application it has an item already
        hierarchy.SetItemParent(own, folder)
    return node


def curves_of(segmentation: slicer.vtkMRMLSegmentationNode) -> list[Any]:
    """The curves in the folder, but those of other segmentations."""
    import vtk

    hierarchy = _hierarchy(segmentation.GetScene())
    folder = hierarchy.GetItemByUID(*_UID)
    if folder == hierarchy.GetInvalidItemID():
        return []
    found = vtk.vtkCollection()
    hierarchy.GetDataNodesInBranch(folder, found, CURVE)
    nodes = [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]
    # the hierarchy may still know one that was deleted
    return [node for node in nodes if node.GetScene() is segmentation.GetScene()
            and node.GetNodeReference(_OF) in (None, segmentation)]


def hand_over(before: slicer.vtkMRMLSegmentationNode | None,
              after: slicer.vtkMRMLSegmentationNode | None) -> bool:
    """Have the curves of a segmentation count for another from now on; whether one that is drawn
    does."""
    if before is None or after is None:
        return False
    theirs = [curve for curve in curves_of(before) if not _is_moved_there(curve)]
    for curve in theirs:
        curve.SetNodeReferenceID(_OF, after.GetID())
    return any(map(is_drawn, theirs))


def _is_moved_there(curve: Any) -> bool:
    """Whether a curve was begun for no segmentation."""
    return curve.GetNodeReference(_OF) is None


def is_drawn(curve: Any) -> bool:
    """Whether a curve has points enough to be a line."""
    return int(curve.GetNumberOfDefinedControlPoints()) >= _LEAST


def lines_on(curves: list[Any], reference: slicer.vtkMRMLScalarVolumeNode
             ) -> tuple[dict[int, npt.NDArray[np.float64]], list[str]]:
    """Curves as lines on the slices of a volume, as Slicer shows them; those that are not drawn
    yet are left out, as are those that were begun for no segmentation and lie elsewhere.

    Returns
    -------
    slice, counted from 0, to (points, 2) row and column, whole numbers being the centres of pixels;
    and what is wrong with other curves: one lies outside the volume or not in one slice, or two on
    a slice.
    """
    size = reference.GetImageData().GetDimensions()
    place = place_of(ijk_to_ras(reference), size, reference.GetParentTransformNode(),
                     "the volume that the result lies on")
    thick = float(np.linalg.norm(place.matrix[:3, 2]))
    along = np.arange(size[2]) * thick if place.along is None else place.along
    half = max(np.diff(along).max(initial=0.0), thick) / 2
    found: dict[int, list[npt.NDArray[np.float64]]] = {}
    wrong: list[str] = []
    for curve in filter(is_drawn, curves):
        at = _points(curve) @ np.linalg.inv(place.matrix).T
        depth = at[:, 2] * thick
        index = int(np.abs(along - depth.mean()).argmin())
        beyond = abs(along[index] - depth.mean()) > half
        if beyond or not ((at[:, :2] > -0.5) & (at[:, :2] < np.array(size[:2]) - 0.5)).all():
            if not _is_moved_there(curve):
                which = curve.GetName() if beyond else f"on {named_slices([index])}"
                wrong.append(f"the border curve {which} lies outside the images: delete it, or "
                             f"move it out of the folder {_FOLDER}")
        elif np.abs(along[index] - depth).max() > half:
            wrong.append(f"the border curve about {named_slices([index])} does not lie in one "
                         "slice: delete it, and draw each in a slice view of these images")
        else:
            found.setdefault(index, []).append(at[:, 1::-1])
    wrong += [f"there are {'two' if len(lines) == 2 else len(lines)} border curves on "
              f"{named_slices([index])}: keep one, the border of pool and wall"
              for index, lines in sorted(found.items()) if len(lines) > 1]
    return {index: lines[0] for index, lines in found.items() if len(lines) == 1}, wrong


def _points(curve: Any) -> npt.NDArray[np.float64]:
    """(points, 4) of the line that Slicer draws, LPS mm and 1; the last is not the first again."""
    points = curve.GetCurvePointsWorld()
    ras = np.array([[*points.GetPoint(i), 1.0] for i in range(points.GetNumberOfPoints())])
    if len(ras) > 1 and np.allclose(ras[0], ras[-1]):
        ras = ras[:-1]
    return np.asarray(ras @ RAS_TO_LPS.T)


def _hierarchy(scene: slicer.vtkMRMLScene) -> Any:
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
