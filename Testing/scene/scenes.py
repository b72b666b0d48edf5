"""Scenes as an application would have them, and nodes to put in; on Slicer's own classes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (extra `scene`)")
vtk = pytest.importorskip("vtk", reason="vtk is not installed (extra `scene`)")
numpy_support = pytest.importorskip("vtk.util.numpy_support")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing/library"))

from small_results import OBLIQUE, a_result_of  # noqa: E402, F401

from deepgmm.scene.places import as_array, as_vtk  # noqa: E402
from deepgmm.study.study import Geometry  # noqa: E402

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: What an application starts with; each makes its node classes known to the scene.
LOGICS = ("vtkSlicerSegmentationsModuleLogic", "vtkSlicerSegmentEditorLogic",
          "vtkSlicerSequencesLogic", "vtkSlicerVolumesLogic", "vtkSlicerTablesLogic",
          "vtkSlicerTransformLogic", "vtkSlicerMarkupsLogic")


class Scene:
    """A scene and the logics that keep it."""

    def __init__(self) -> None:
        self.mrml = slicer.vtkMRMLScene()
        self.logics = [getattr(slicer, name)() for name in LOGICS]
        for logic in self.logics:
            logic.SetMRMLScene(self.mrml)

    def add(self, kind: str, name: str = ""):
        return self.mrml.AddNewNodeByClass(kind, name)

    def volume(self, values: npt.NDArray, geometry: Geometry, name: str = "Smith^John",
               kind: str = "vtkMRMLScalarVolumeNode"):
        return filled(self.add(kind, name), values, geometry)

    def segmentation(self, geometry: Geometry, **masks: npt.NDArray):
        """A segmentation with segments of these names, drawn by hand as it were."""
        node = self.add("vtkMRMLSegmentationNode", "Smith^John contours")
        node.CreateDefaultDisplayNodes()
        for name, mask in masks.items():
            add_segment(node, name, mask, geometry)
        return node

    def linear(self, matrix: npt.NDArray):
        node = self.add("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(as_vtk(matrix))
        return node


def filled(node, values: npt.NDArray, geometry: Geometry):
    image = vtk.vtkImageData()
    image.SetDimensions(values.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(
        np.ascontiguousarray(values).ravel(), deep=True))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(as_vtk(TO_RAS @ geometry.index_to_world()))
    return node


def add_segment(node, name: str, mask: npt.NDArray, geometry: Geometry, crop: bool = False) -> str:
    """Like what the Segment Editor leaves: a labelmap, cropped to what is drawn if so wished."""
    first = np.zeros(3, int)
    if crop:
        found = np.argwhere(mask)
        first, last = found.min(0), found.max(0)
        mask = mask[tuple(slice(a, b + 1) for a, b in zip(first, last))]
    labelmap = slicer.vtkOrientedImageData()
    z, y, x = (int(v) for v in first)
    size = mask.shape
    labelmap.SetExtent(x, x + size[2] - 1, y, y + size[1] - 1, z, z + size[0] - 1)
    labelmap.SetGeometryFromImageToWorldMatrix(as_vtk(TO_RAS @ geometry.index_to_world()))
    labelmap.GetPointData().SetScalars(numpy_support.numpy_to_vtk(
        np.ascontiguousarray(mask, np.uint8).ravel(), deep=True))
    segment = slicer.vtkSegment()
    segment.SetName(name.replace("_", " "))
    segment.AddRepresentation("Binary labelmap", labelmap)
    assert node.GetSegmentation().AddSegment(segment, f"Segment_{name}")
    return f"Segment_{name}"


def voxels_in_ras(node, segment_id: str) -> npt.NDArray[np.float64]:
    """(voxels, 3) where in the patient a segment's voxels lie, under whatever linear transform,
    by Slicer's account."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    first, sizes = image.GetExtent()[::2], image.GetDimensions()
    if not all(s > 0 for s in sizes):
        return np.empty((0, 3))
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_ras = as_array(matrix)
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
        to_ras = as_array(matrix) @ to_ras
    scalars = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    found = np.argwhere(scalars.reshape(sizes[::-1]))[:, ::-1] + first
    return placed(found, to_ras)


def placed(ijk: npt.NDArray, matrix: npt.NDArray) -> npt.NDArray[np.float64]:
    return (np.c_[ijk, np.ones(len(ijk))] @ matrix.T)[:, :3]


def state_of(node) -> dict:
    """Everything of a segmentation node that a user could miss."""
    segmentation = node.GetSegmentation()
    display = node.GetDisplayNode()
    return {
        "segments": [{
            "id": (one := segmentation.GetNthSegmentID(i)),
            "name": segmentation.GetSegment(one).GetName(),
            "colour": segmentation.GetSegment(one).GetColor(),
            "terminology": segmentation.GetSegment(one).GetTerminology(),
            "shown": display.GetSegmentVisibility(one),
            "opacity": display.GetSegmentOpacity2DFill(one),
            "voxels": voxels_in_ras(node, one).tolist(),
        } for i in range(segmentation.GetNumberOfSegments())],
        "reference": segmentation.GetConversionParameter("Reference image geometry"),
        "attributes": {name: node.GetAttribute(name) for name in node.GetAttributeNames()},
        "transform": node.GetTransformNodeID(),
    }


def scene_ids(scene: Scene) -> set[str]:
    return {scene.mrml.GetNthNode(i).GetID() for i in range(scene.mrml.GetNumberOfNodes())}


#: Where results lie by default: oblique, anisotropic, far from the origin.
HERE = Geometry((1.3, 1.1, 8.0), (-71.1, 33.3, -210.0), OBLIQUE)
