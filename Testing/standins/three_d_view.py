"""The 3D view. Stand-in that draws segments' surfaces without any graphics card."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPixmap, QPolygonF
from PySide6.QtWidgets import QLabel, QWidget
from vtk.util import numpy_support

from .slice_views import ViewWidget
from .watching import Watching

_SPACE = QColor(127, 127, 181)
_SURFACE = "Closed surface"
#: Seen from anterior, a little from above: rows are right, up and towards the eye.
_EYE = np.array([[-1, 0, 0], [0, 0.3, 0.954], [0, 0.954, -0.3]])
_TRIANGLES = 12000


class qMRMLThreeDView(Watching, QWidget):
    """The surfaces of all segments that have one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._drawn: tuple[Any, QPixmap | None] = ((), None)
        self.setMinimumSize(120, 100)

    def mrmlViewNode(self) -> Any:
        return self._node

    def resetFocalPoint(self) -> None:
        self.update()

    def resetCamera(self, *which: bool) -> None:
        self.update()

    def forceRender(self) -> None:
        self.repaint()

    def scheduleRender(self) -> None:
        self.update()

    def paintEvent(self, event: Any) -> None:
        shown = visible_surfaces()
        key = (self.width, self.height, *(
            (one.GetAddressAsString(""), one.GetMTime(), colour) for one, colour in shown))
        if self._drawn[0] != key:
            self._drawn = (key, picture(shown, self.width, self.height))
        QPainter(self).drawPixmap(0, 0, self._drawn[1])


def visible_surfaces() -> list[tuple[Any, tuple[float, float, float]]]:
    """Surface and colour of every visible segment that has one."""
    found = []
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
        if display is None or not display.GetVisibility():
            continue
        for i in range(segmentation.GetNumberOfSegments()):
            one = segmentation.GetNthSegmentID(i)
            segment = segmentation.GetSegment(one)
            surface = segment.GetRepresentation(_SURFACE)
            if display.GetSegmentVisibility(one) and surface is not None and (
                    surface.GetNumberOfPoints()):
                found.append((surface, segment.GetColor()))
    return found


def picture(shown: list[tuple[Any, tuple[float, float, float]]], width: int,
            height: int) -> QPixmap:
    """Shaded triangles, far to near."""
    pixmap = QPixmap(width, height)
    pixmap.fill(_SPACE)
    if not shown:
        return pixmap
    corners = [_triangles(surface) @ _EYE.T for surface, _ in shown]
    colours = np.concatenate([np.tile(colour, (len(one), 1))
                              for one, (_, colour) in zip(corners, shown)])
    every = np.concatenate(corners)
    low, high = every.min((0, 1)), every.max((0, 1))
    normals = np.cross(every[:, 1] - every[:, 0], every[:, 2] - every[:, 0])
    light = 0.35 + 0.65 * np.abs(normals[:, 2]) / (np.linalg.norm(normals, axis=1) + 1e-9)
    scale = 0.7 * min(width, height) / max(high[:2] - low[:2])
    flat = np.array([width / 2, height / 2]) + scale * (
        every[..., :2] - (low + high)[:2] / 2) * [1, -1]
    painter = QPainter(pixmap)
    painter.setPen(Qt.NoPen)
    for i in np.argsort(every[..., 2].mean(1)):
        painter.setBrush(QColor.fromRgbF(*(colours[i] * light[i])))
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in flat[i].tolist()]))
    painter.end()
    return pixmap


def _triangles(surface: Any) -> npt.NDArray[np.float64]:
    """(triangles, 3 corners, 3) of a surface, fewer where it has very many."""
    made: Any = vtk.vtkTriangleFilter()
    made.SetInputData(surface)
    made.Update()
    if made.GetOutput().GetNumberOfCells() > _TRIANGLES:
        fewer = vtk.vtkQuadricClustering()
        fewer.SetInputConnection(made.GetOutputPort())
        fewer.Update()
        made = fewer
    points = numpy_support.vtk_to_numpy(made.GetOutput().GetPoints().GetData())
    cells = numpy_support.vtk_to_numpy(made.GetOutput().GetPolys().GetConnectivityArray())
    return points[cells.reshape(-1, 3)].astype(float)


class qMRMLThreeDWidget(ViewWidget):
    """One 3D view with its bar."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        bar = QLabel(" 1", self)
        bar.setStyleSheet("background: #b3b3e7; font-weight: bold;")
        self._stack(bar, qMRMLThreeDView(self))

    def _show(self, node: Any) -> None:
        self._view._node = node

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()

    def threeDView(self) -> qMRMLThreeDView:
        return self._view
