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
    for where, opacity in ((inner, fill), (inside ^ inner, max(fill, line))):
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
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(
        image.GetDimensions()[::-1])
    to_ijk = np.linalg.inv(_to_world(node, image)) @ _array(slice_node.GetXYToRAS())
    to_ijk[:3, 3] -= image.GetExtent()[::2]
    rows, columns = (np.arange(one) for one in _box(to_ijk, voxels.shape[::-1], size))
    # Each of i, j, k is a sum of what a column and what a row adds.
    i, j, k = (np.floor(to_ijk[axis, 0] * columns[None] + to_ijk[axis, 1] * rows[:, None]
                        + to_ijk[axis, 3] + 0.5).astype(int) for axis in range(3))
    deep, high, wide = voxels.shape
    within = (i >= 0) & (i < wide) & (j >= 0) & (j < high) & (k >= 0) & (k < deep)
    inside = np.zeros(size, bool)
    inside[:len(rows), :len(columns)][within] = voxels[k[within], j[within], i[within]] > 0
    return inside


def _box(to_ijk: Array, wide: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    """How many rows and columns, from the first, can meet an image of so many voxels."""
    corners = np.array(np.meshgrid(*((-0.5, one - 0.5) for one in wide))).reshape(3, -1)
    xy = (np.linalg.inv(to_ijk) @ np.vstack([corners, np.ones(8)]))[:2].max(1)
    return tuple(int(np.clip(np.ceil(last) + 1, 0, most))  # type: ignore[return-value]
                 for last, most in zip(xy[::-1], size))


def _to_world(node: Any, image: Any) -> Array:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_world = _array(matrix)
    if node.GetParentTransformNode() is None:
        return to_world
    node.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
    return _array(matrix) @ to_world


def placed_points(slice_node: Any) -> Iterator[tuple[float, float, str, QColor]]:
    """Where on a slice's pixels the points of markups lie, their names and colours."""
    to_xy = np.linalg.inv(_array(slice_node.GetXYToRAS()))
    near = _spacing(slice_node) / 2
    for node, colour in _shown_markups():
        named = node.GetDisplayNode().GetPointLabelsVisibility()
        for i in range(node.GetNumberOfControlPoints()):
            world = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(i, world)
            x, y, _, _ = to_xy @ (*world, 1)
            depth = np.linalg.inv(_array(slice_node.GetSliceToRAS())) @ (*world, 1)
            if abs(depth[2]) <= near:
                yield (float(x), float(y), node.GetNthControlPointLabel(i) if named else "",
                       colour)


def drawn_lines(slice_node: Any) -> Iterator[tuple[Array, QColor]]:
    """Closed curves that lie on a slice: (points, 2) on its pixels, and their colours."""
    to_xy, to_slice = (np.linalg.inv(_array(one)) for one in (
        slice_node.GetXYToRAS(), slice_node.GetSliceToRAS()))
    for node, colour in _shown_markups():
        points = node.GetCurvePointsWorld() if node.IsA("vtkMRMLMarkupsClosedCurveNode") else None
        if points is not None and points.GetNumberOfPoints():
            world = np.array([[*points.GetPoint(i), 1.0]
                              for i in range(points.GetNumberOfPoints())])
            if np.abs(world @ to_slice.T)[:, 2].max() <= _spacing(slice_node) / 2:
                yield (world @ to_xy.T)[:, :2], colour


def _shown_markups() -> Iterator[tuple[Any, QColor]]:
    for kind in ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsClosedCurveNode"):
        for node in slicer.util.getNodesByClass(kind):
            display = node.GetDisplayNode()
            if display is not None and display.GetVisibility():
                yield node, QColor.fromRgbF(*display.GetSelectedColor())


def _spacing(slice_node: Any) -> float:
    return float(slice_node.GetPrescribedSliceSpacing()[2]) or 1.0


def _array(matrix: Any) -> Array:
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
