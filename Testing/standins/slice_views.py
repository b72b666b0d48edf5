"""Slice views. Stand-ins that draw what Slicer's own slice logic blends, with the segments laid
over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
from PySide6.QtCore import QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QImage, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget
from vtk.util import numpy_support

from .mrml_widgets import qMRMLWidget
from .pythonqt import Signal
from .slice_overlay import drawn_lines, overlay_of, placed_points
from .watching import MODIFIED, Watching

_BACKGROUND = QColor(0, 0, 0)
#: What a slice's offset is measured along, where its orientation is one of the three usual.
_ALONG = {"Axial": "S", "Coronal": "A", "Sagittal": "R"}


class qMRMLSliceView(Watching, QWidget):
    """The picture of one slice."""

    resized = Signal("resized(QSize)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self.setMinimumSize(120, 100)
        self.setMouseTracking(True)

    def mouseMoveEvent(self, event: Any) -> None:
        """As `vtkMRMLSliceViewInteractorStyle`: the crosshair's node is told where the cursor is,
        with rows counted from below."""
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None and self._logic is not None:
            at = event.position()
            crosshair.SetCursorPositionXYZ([at.x(), self.height - 1 - at.y(), 0.0],
                                           self._logic.GetSliceNode())

    def leaveEvent(self, event: Any) -> None:
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            crosshair.SetCursorPositionInvalid()

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
        self._draw_names(painter)

    def _picture(self) -> npt.NDArray[np.uint8] | None:
        """(rows, columns, 4) the blended volumes and the segments over them, top row first."""
        self._logic.UpdatePipeline()
        blended = blended_image(self._logic)
        if blended is None:
            return None
        colours, cover = overlay_of(self._logic.GetSliceNode(), blended.shape[:2])
        light = blended[..., 3:] * np.float32(1 / 255)
        whole = np.full(blended.shape, 255, np.uint8)
        whole[..., :3] = blended[..., :3] * light
        there = cover > 0
        part = cover[there][:, None]
        whole[there, :3] = whole[there, :3] * (1 - part) + 255 * colours[there] * part
        return whole[::-1]

    def _draw_points(self, painter: QPainter) -> None:
        for x, y, name, colour in placed_points(self._logic.GetSliceNode()):
            where = QPoint(round(x), self.height - 1 - round(y))
            painter.setPen(colour)
            painter.setBrush(colour)
            painter.drawEllipse(where, 4, 4)
            painter.drawText(where + QPoint(7, -5), name)
        painter.setBrush(Qt.NoBrush)
        for line, colour in drawn_lines(self._logic.GetSliceNode()):
            painter.setPen(QPen(colour, 2))
            painter.drawPolygon([QPointF(x, self.height - 1 - y) for x, y in line])

    def _draw_names(self, painter: QPainter) -> None:
        """What is shown, in the corner, as Slicer writes it."""
        node = self._logic.GetSliceCompositeNode()
        shown = {"F": node.GetForegroundVolumeID() if node.GetForegroundOpacity() else None,
                 "B": node.GetBackgroundVolumeID()}
        names = [f"{layer}: {volume.GetName()}" for layer, volume_id in shown.items()
                 if volume_id and (volume := slicer.mrmlScene.GetNodeByID(volume_id))]
        painter.setPen(QPen(Qt.white))
        painter.setFont(QFont(painter.font().family(), 8))
        painter.drawText(self.rect.adjusted(6, 0, -6, -5), Qt.AlignLeft | Qt.AlignBottom,
                         "\n".join(names))


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


def rings() -> QIcon:
    """Two links of a chain."""
    pixmap = QPixmap(16, 16)
    pixmap.fill(Qt.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.Antialiasing)
    painter.setPen(QPen(QColor("#303030"), 1.6))
    painter.drawRoundedRect(1, 5, 8, 6, 3, 3)
    painter.drawRoundedRect(7, 5, 8, 6, 3, 3)
    painter.end()
    return QIcon(pixmap)


class qMRMLSliceControllerWidget(qMRMLWidget):
    """The bar above a slice view: its name, offset and link."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self._label = QLabel(self)
        self._label.setFixedWidth(64)
        self._label.setAlignment(Qt.AlignCenter)
        self._link = QToolButton(self)
        self._link.setIcon(rings())
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
        along = _ALONG.get(node.GetOrientation())
        self._where.setText(f"{along}: {offset:.2f}mm" if along else f"{offset:.2f}mm")


class ViewWidget(qMRMLWidget):
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


class qMRMLSliceWidget(ViewWidget):
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
