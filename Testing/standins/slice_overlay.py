"""Segments and points as a slice view shows them, by numpy. Part of the stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from PySide6.QtGui import QColor
from vtk.util import numpy_support

Array = npt.NDArray[Any]


def overlay_of(slice_node: Any, size: tuple[int, int]) -> tuple[Array, Array]:
    """(rows, columns, 3) colours and (rows, columns) opacity of all segments on a slice, bottom
    row first."""
    colours, cover = np.zeros((*size, 3)), np.zeros(size)
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        display = node.GetDisplayNode()
        if display is None or not display.GetVisibility():
            continue
        segmentation = node.GetSegmentation()
        for i in range(segmentation.GetNumberOfSegments()):
            one = segmentation.GetNthSegmentID(i)
            if display.GetSegmentVisibility(one):
                _lay(colours, cover, node, one, slice_node)
    return colours, cover


def _lay(colours: Array, cover: Array, node: Any, segment_id: str, slice_node: Any) -> None:
    display = node.GetDisplayNode()
    inside = _on_slice(node, segment_id, slice_node, cover.shape)
    if inside is None or not inside.any():
        return
    inner = inside.copy()
    inner[1:-1, 1:-1] &= (inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2]
                          & inside[1:-1, 2:])
    fill = (display.GetOpacity2DFill() * display.GetSegmentOpacity2DFill(segment_id)
            * (display.GetVisibility2DFill() and display.GetSegmentVisibility2DFill(segment_id)))
    line = (display.GetOpacity2DOutline() * display.GetSegmentOpacity2DOutline(segment_id)
            * (display.GetVisibility2DOutline()
               and display.GetSegmentVisibility2DOutline(segment_id)))
    colour = node.GetSegmentation().GetSegment(segment_id).GetColor()
    for where, opacity in ((inner, fill), (inside & ~inner, max(fill, line))):
        opacity *= display.GetOpacity()
        if opacity > 0:
            colours[where] = colour
            cover[where] = opacity


def _on_slice(node: Any, segment_id: str, slice_node: Any, size: tuple[int, int]) -> Array | None:
    """Which pixels of a slice a segment covers."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    if image.GetPointData().GetScalars() is None:
        return None
    to_world = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(to_world)
    matrix = _array(to_world)
    if node.GetParentTransformNode() is not None:
        moved = vtk.vtkMatrix4x4()
        node.GetParentTransformNode().GetMatrixTransformToWorld(moved)
        matrix = _array(moved) @ matrix
    rows, columns = np.mgrid[:size[0], :size[1]]
    pixels = np.stack([columns, rows, np.zeros_like(rows), np.ones_like(rows)], -1)
    ijk = pixels @ (np.linalg.inv(matrix) @ _array(slice_node.GetXYToRAS())).T
    first = np.array(image.GetExtent()[::2])
    where = np.floor(ijk[..., :3] + 0.5).astype(int) - first
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(
        image.GetDimensions()[::-1])
    within = ((where >= 0) & (where < image.GetDimensions())).all(-1)
    inside = np.zeros(size, bool)
    k = where[within]
    inside[within] = voxels[k[:, 2], k[:, 1], k[:, 0]] > 0
    return inside


def placed_points(slice_node: Any) -> Iterator[tuple[float, float, str, QColor]]:
    """Where on a slice's pixels the points of point lists lie, their names and colours."""
    to_xy = np.linalg.inv(_array(slice_node.GetXYToRAS()))
    near = _spacing(slice_node) / 2
    for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode"):
        display = node.GetDisplayNode()
        if display is None or not display.GetVisibility():
            continue
        for i in range(node.GetNumberOfControlPoints()):
            world = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(i, world)
            x, y, _, _ = to_xy @ (*world, 1)
            depth = np.linalg.inv(_array(slice_node.GetSliceToRAS())) @ (*world, 1)
            if abs(depth[2]) <= near:
                yield (float(x), float(y), node.GetNthControlPointLabel(i),
                       QColor.fromRgbF(*display.GetSelectedColor()))


def _spacing(slice_node: Any) -> float:
    return float(slice_node.GetPrescribedSliceSpacing()[2]) or 1.0


def _array(matrix: Any) -> Array:
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
