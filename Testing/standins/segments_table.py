"""The list of a segmentation's segments, and its 3D button. Stand-ins."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .ctk_ import ctkMenuButton
from .mrml_widgets import qMRMLWidget
from .pythonqt import Property, Signal
from .watching import MODIFIED, Watching

_EYE, _COLOUR, _OPACITY, _NAME, _STATUS = range(5)
_SURFACE = "Closed surface"


def eye(shown: bool) -> QIcon:
    """An open eye, or a closed one."""
    pixmap = QPixmap(16, 16)
    pixmap.fill(Qt.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.Antialiasing)
    painter.setPen(QPen(QColor("#303030" if shown else "#a0a0a0"), 1.4))
    if shown:
        painter.drawEllipse(1, 4, 14, 8)
        painter.setBrush(QColor("#303030"))
        painter.drawEllipse(6, 6, 4, 4)
    else:
        painter.drawArc(1, 2, 14, 9, 180 * 16, 180 * 16)
    painter.end()
    return QIcon(pixmap)


def swatch(colour: tuple[float, float, float]) -> QIcon:
    """A square of one colour."""
    pixmap = QPixmap(16, 16)
    pixmap.fill(QColor.fromRgbF(*colour))
    return QIcon(pixmap)


class qMRMLSegmentsTableView(qMRMLWidget):
    """A segmentation's segments with eye, colour, opacity and name."""

    segmentAboutToBeModified = Signal("segmentAboutToBeModified(QString)")
    selectionChanged = Signal("selectionChanged(QItemSelection,QItemSelection)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._followed: list[Any] = []
        self._read_only = False
        self._filling = False
        self._table = QTableWidget(0, 5, self)
        self._table.setHorizontalHeaderLabels(["", "", "Opacity", "Name", "Status"])
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(QAbstractItemView.SelectRows)
        self._table.setSelectionMode(QAbstractItemView.ExtendedSelection)
        for column, width in ((_EYE, 26), (_COLOUR, 26), (_OPACITY, 60)):
            self._table.setColumnWidth(column, width)
        self._table.setColumnHidden(_STATUS, True)
        self._table.setColumnHidden(_OPACITY, True)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setMinimumHeight(120)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self._table)
        self._table.cellClicked.connect(self._on_clicked)
        self._table.itemChanged.connect(self._on_edited)
        self._table.itemSelectionChanged.connect(lambda: self.selectionChanged.emit(None, None))

    def _column(column: int) -> Property:
        return Property(bool, lambda self: not self._table.isColumnHidden(column),
                        lambda self, value: self._table.setColumnHidden(column, not value))

    visibilityColumnVisible = _column(_EYE)
    colorColumnVisible = _column(_COLOUR)
    opacityColumnVisible = _column(_OPACITY)
    statusColumnVisible = _column(_STATUS)
    del _column
    headerVisible = Property(
        bool, lambda self: not self._table.horizontalHeader().isHidden(),
        lambda self, value: self._table.horizontalHeader().setVisible(value))
    segmentCount = Property(int, lambda self: len(self._ids()))
    selectionMode = Property(
        int, lambda self: int(self._table.selectionMode.value),
        lambda self, value: self._table.setSelectionMode(QAbstractItemView.SelectionMode(value)))

    def setReadOnly(self, read_only: bool) -> None:
        self._read_only = read_only
        self._fill()

    readOnly = Property(bool, lambda self: self._read_only, setReadOnly)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        for followed in self._followed:
            self._unwatch(followed)
        self._node, self._followed = node, []
        if node is not None:
            segmentation = node.GetSegmentation()
            self._followed = [segmentation, node]
            for event in (segmentation.SegmentAdded, segmentation.SegmentRemoved,
                          segmentation.SegmentModified, segmentation.SegmentsOrderModified):
                self._watch(segmentation, event, self._fill)
            self._watch(node, node.DisplayModifiedEvent, self._fill)
        self._fill()

    def _ids(self) -> list[str]:
        if self._node is None:
            return []
        segmentation = self._node.GetSegmentation()
        return [segmentation.GetNthSegmentID(i)
                for i in range(segmentation.GetNumberOfSegments())]

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._ids())

    def segmentIDForRow(self, row: int) -> str:
        return self._ids()[row]

    def rowForSegmentID(self, segment_id: str) -> int:
        return self._ids().index(segment_id) if segment_id in self._ids() else -1

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        ids = self._ids()
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return tuple(ids[row] for row in rows if row < len(ids))

    def setSelectedSegmentIDs(self, segment_ids: Any) -> None:
        self._table.clearSelection()
        for one in segment_ids:
            self._table.selectRow(self.rowForSegmentID(one))

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def tableWidget(self) -> Any:
        return self._table

    def _fill(self) -> None:
        self._filling = True
        selected = self.selectedSegmentIDs()
        ids = self._ids()
        self._table.setRowCount(len(ids))
        for row, one in enumerate(ids):
            self._fill_row(row, one)
        self._filling = False
        if selected:
            self.setSelectedSegmentIDs([one for one in selected if one in ids])

    def _fill_row(self, row: int, segment_id: str) -> None:
        segment = self._node.GetSegmentation().GetSegment(segment_id)
        display = self._node.GetDisplayNode()
        shown = display is None or display.GetSegmentVisibility(segment_id)
        opacity = 1.0 if display is None else display.GetSegmentOpacity3D(segment_id)
        for column, (text, icon) in {
            _EYE: ("", eye(shown)), _COLOUR: ("", swatch(segment.GetColor())),
            _OPACITY: (f"{opacity:.2f}", None), _NAME: (segment.GetName(), None),
        }.items():
            item = QTableWidgetItem(text) if icon is None else QTableWidgetItem(icon, text)
            if column != _NAME or self._read_only:
                item.setFlags(item.flags() & ~Qt.ItemIsEditable)
            self._table.setItem(row, column, item)

    def _on_clicked(self, row: int, column: int) -> None:
        display = self._node.GetDisplayNode()
        if column == _EYE and display is not None and not self._read_only:
            one = self._ids()[row]
            display.SetSegmentVisibility(one, not display.GetSegmentVisibility(one))
            self._fill()

    def _on_edited(self, item: QTableWidgetItem) -> None:
        if not self._filling and item.column() == _NAME:
            one = self._ids()[item.row()]
            self.segmentAboutToBeModified.emit(one)
            self._node.GetSegmentation().GetSegment(one).SetName(item.text())


class qMRMLSegmentationShow3DButton(Watching, ctkMenuButton):
    """Makes the surfaces of a segmentation, or takes them away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._locked = False
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.toggled.connect(self._on_toggled)

    def setLocked(self, locked: bool) -> None:
        self._locked = locked

    locked = Property(bool, lambda self: self._locked, setLocked)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if self._node is not None:
            self._unwatch(self._node)
        self._node = node
        if node is not None:
            self._watch(node, MODIFIED, self._look_again)
        self._look_again()

    def _look_again(self) -> None:
        self.setEnabled(self._node is not None
                        and self._node.GetSegmentation().GetNumberOfSegments() > 0)
        self.blockSignals(True)
        self.setChecked(self._node is not None and bool(
            self._node.GetSegmentation().ContainsRepresentation(_SURFACE)))
        self.blockSignals(False)

    def _on_toggled(self, shown: bool) -> None:
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()
