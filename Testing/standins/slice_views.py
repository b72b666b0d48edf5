"""Slice and 3D views. Stand-ins that draw what Slicer's own slice logic blends, with the segments
laid over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shiboken6
import slicer
import vtk
from PySide6.QtCore import QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QColor, QImage, QPainter, QPolygon
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget
from vtk.util import numpy_support

from .mrml_widgets import qMRMLWidget
from .pythonqt import Signal
from .slice_overlay import overlay_of, placed_points
from .watching import MODIFIED, Watching

_BACKGROUND = QColor(0, 0, 0)
_SPACE = QColor(127, 127, 181)


class qMRMLSliceView(Watching, QWidget):
    """The picture of one slice."""

    resized = Signal("resized(QSize)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self.setMinimumSize(120, 100)

    def mrmlSliceNode(self) -> Any:
        return None if self._logic is None else self._logic.GetSliceNode()

    def _show(self, logic: Any) -> None:
        self._logic = logic
        self._watch(logic, MODIFIED, self.scheduleRender)
        self._watch(logic.GetSliceNode(), MODIFIED, self.scheduleRender)

    def scheduleRender(self) -> None:
        self.update()

    def forceRender(self) -> None:
        self.repaint()

    def resizeEvent(self, event: Any) -> None:
        if self._logic is not None:
            self._logic.ResizeSliceNode(self.width, self.height)
        self.resized.emit(event.size())
        super().resizeEvent(event)

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect, _BACKGROUND)
        if self._logic is None:
            return
        picture = self._picture()
        if picture is not None:
            height, width = picture.shape[:2]
            image = QImage(np.ascontiguousarray(picture).data, width, height, 4 * width,
                           QImage.Format_RGBA8888)
            painter.drawImage(QRect(0, 0, self.width, self.height), image)
        self._draw_points(painter)

    def _picture(self) -> npt.NDArray[np.uint8] | None:
        """(rows, columns, 4) the blended volumes and the segments over them, top row first."""
        self._logic.UpdatePipeline()
        blended = blended_image(self._logic)
        if blended is None:
            return None
        base = blended[..., :3].astype(float) * (blended[..., 3:] / 255.0)
        colours, cover = overlay_of(self._logic.GetSliceNode(), base.shape[:2])
        base = base * (1 - cover[..., None]) + 255 * colours * cover[..., None]
        whole = np.full((*base.shape[:2], 4), 255, np.uint8)
        whole[..., :3] = base.round()
        return whole[::-1]

    def _draw_points(self, painter: QPainter) -> None:
        for x, y, name, colour in placed_points(self._logic.GetSliceNode()):
            where = QPoint(round(x), self.height - 1 - round(y))
            painter.setPen(colour)
            painter.setBrush(colour)
            painter.drawEllipse(where, 4, 4)
            painter.drawText(where + QPoint(7, -5), name)


def blended_image(logic: Any) -> npt.NDArray[np.uint8] | None:
    """(rows, columns, 4) what Slicer's logic blends of a slice's volumes, bottom row first; None
    where nothing is shown."""
    if logic.GetImageDataConnection() is None:
        return None
    logic.GetBlend().Update()
    image = logic.GetBlend().GetOutput()
    scalars = image.GetPointData().GetScalars()
    if scalars is None or not image.GetNumberOfPoints():
        return None
    columns, rows, _ = image.GetDimensions()
    values = numpy_support.vtk_to_numpy(scalars).reshape(rows, columns, -1)
    if values.shape[-1] == 4:
        return values
    return np.dstack([values[..., :3], np.full((rows, columns), 255, np.uint8)])


class qMRMLSliceControllerWidget(qMRMLWidget):
    """The bar above a slice view: its name, offset and link."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self._label = QLabel(self)
        self._label.setFixedWidth(64)
        self._label.setAlignment(Qt.AlignCenter)
        self._link = QToolButton(self)
        self._link.setText("⛓")
        self._link.setCheckable(True)
        self._link.setAutoRaise(True)
        self._slider = QSlider(Qt.Horizontal, self)
        self._slider.setRange(0, 1000)
        self._where = QLabel(self)
        self._where.setMinimumWidth(70)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 4, 0)
        row.setSpacing(2)
        for part in (self._label, self._link, self._slider, self._where):
            row.addWidget(part, int(part is self._slider))
        self._slider.valueChanged.connect(self._on_slid)
        self._link.toggled.connect(self.setSliceLink)

    def _show(self, logic: Any) -> None:
        self._logic = logic
        self._watch(logic.GetSliceNode(), MODIFIED, self._look_again)
        self._watch(logic.GetSliceCompositeNode(), MODIFIED, self._look_again)
        self._look_again()

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceLogic(self) -> Any:
        return self._logic

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def setSliceLink(self, linked: bool) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            node.SetLinkedControl(linked)

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)

    def setSliceVisible(self, visible: bool) -> None:
        self._logic.GetSliceNode().SetSliceVisible(visible)

    def _range(self) -> tuple[float, float]:
        bounds = [0.0] * 6
        self._logic.GetLowestVolumeSliceBounds(bounds)
        return bounds[4], bounds[5]

    def _on_slid(self, step: int) -> None:
        low, high = self._range()
        self._logic.SetSliceOffset(low + (high - low) * step / 1000)

    def _look_again(self) -> None:
        node = self._logic.GetSliceNode()
        colour = QColor.fromRgbF(*node.GetLayoutColor())
        self._label.setText(node.GetLayoutLabel() or node.GetLayoutName())
        self._label.setStyleSheet(f"background: {colour.name()}; font-weight: bold;")
        low, high = self._range()
        offset = self._logic.GetSliceOffset()
        for part in (self._slider, self._link):
            part.blockSignals(True)
        if high > low:
            self._slider.setValue(round(1000 * (offset - low) / (high - low)))
        self._link.setChecked(bool(self._logic.GetSliceCompositeNode().GetLinkedControl()))
        for part in (self._slider, self._link):
            part.blockSignals(False)
        self._where.setText(f"{node.GetOrientation()[:1]}: {offset:.2f}mm")


class _ViewWidget(qMRMLWidget):
    """A bar above a view."""

    def _stack(self, bar: QWidget, view: QWidget) -> None:
        self._bar, self._view = bar, view
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(view, 1)

    def controllerWidget(self) -> Any:
        return self._bar

    def viewWidget(self) -> Any:
        return self._view


class qMRMLSliceWidget(_ViewWidget):
    """One slice view with its bar."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self._stack(qMRMLSliceControllerWidget(self), qMRMLSliceView(self))

    def _show(self, logic: Any) -> None:
        self._logic = logic
        self._bar._show(logic)
        self._view._show(logic)

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlAbstractViewNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceLogic(self) -> Any:
        return self._logic

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._bar

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qMRMLThreeDView(Watching, QWidget):
    """A 3D view: its box, and the outline of the surfaces as points. Not rendered."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
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
        painter = QPainter(self)
        painter.fillRect(self.rect, _SPACE)
        for polygons, colour in surfaces(self.width, self.height):
            painter.setPen(Qt.NoPen)
            for points, light in polygons:
                painter.setBrush(QColor.fromRgbF(*(min(1.0, part * light) for part in colour)))
                painter.drawPolygon(QPolygon([QPoint(x, y) for x, y in points]))


def surfaces(width: int, height: int) -> list[Any]:
    """Shaded triangles of every visible segment that has a surface, from the front, far to near."""
    found = []
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
        for i in range(segmentation.GetNumberOfSegments()):
            one = segmentation.GetNthSegmentID(i)
            surface = vtk.vtkPolyData()
            if display is None or not display.GetVisibility() or not (
                    display.GetSegmentVisibility(one)) or not (
                    segmentation.ContainsRepresentation("Closed surface")):
                continue
            node.GetClosedSurfaceRepresentation(one, surface)
            if surface.GetNumberOfPoints():
                found.append((surface, segmentation.GetSegment(one).GetColor()))
    if not found:
        return []
    middle, reach = _view_box([surface for surface, _ in found])
    return [(_shaded(surface, middle, reach, width, height), colour)
            for surface, colour in found]


def _view_box(every: list[Any]) -> tuple[npt.NDArray[np.float64], float]:
    bounds = np.array([surface.GetBounds() for surface in every]).reshape(-1, 3, 2)
    low, high = bounds[..., 0].min(0), bounds[..., 1].max(0)
    return (low + high) / 2, float(np.linalg.norm(high - low)) or 1.0


def _shaded(surface: Any, middle: Any, reach: float, width: int, height: int) -> list[Any]:
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(surface)
    triangles.Update()
    cells = numpy_support.vtk_to_numpy(triangles.GetOutput().GetPolys().GetConnectivityArray())
    points = numpy_support.vtk_to_numpy(triangles.GetOutput().GetPoints().GetData())
    # Seen from anterior, a little from above: right of the patient on the left.
    flat = (points - middle) @ np.array([[-1, 0, 0], [0, 0.3, 1], [0, 0.95, -0.3]]).T / reach
    scale = 0.9 * min(width, height)
    corners = flat[cells.reshape(-1, 3)]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    light = 0.4 + 0.6 * np.abs(normals[:, 2]) / (np.linalg.norm(normals, axis=1) + 1e-9)
    xy = np.stack([width / 2 + scale * corners[..., 0], height / 2 - scale * corners[..., 1]], -1)
    order = np.argsort(corners[..., 2].mean(1))
    return [(xy[i].astype(int).tolist(), float(light[i])) for i in order]


class qMRMLThreeDWidget(_ViewWidget):
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


def once_idle(widget: QWidget, function: Any) -> None:
    """Call a function when what happens now is over, if the widget is still there."""
    QTimer.singleShot(0, lambda: function() if shiboken6.isValid(widget) else None)
