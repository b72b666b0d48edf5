"""The choice of a segmentation's segments. Stand-in."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItem
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from .mrml_widgets import qMRMLNodeComboBox, qMRMLWidget
from .pythonqt import Property, Signal, emit


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation and one or several of its segments."""

    currentNodeChanged = Signal("currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)")
    currentSegmentChanged = Signal("currentSegmentChanged(QString)")
    segmentSelectionChanged = Signal("segmentSelectionChanged(QStringList)")
    nodeAboutToBeEdited = Signal("nodeAboutToBeEdited(vtkMRMLNode*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._selector = qMRMLNodeComboBox(self)
        self._selector.nodeTypes = ("vtkMRMLSegmentationNode",)
        self._selector.noneEnabled = True
        self._box = QComboBox(self)
        self._box.setEditable(True)
        self._box.lineEdit().setReadOnly(True)
        self._multiple = False
        self._none = False
        self._current = ""
        self._chosen: list[str] = []
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._selector)
        self._label = QLabel("Segment: ", self)
        row.addWidget(self._label)
        row.addWidget(self._box, 1)
        self._selector.currentNodeChanged.connect(self._on_node)
        self._box.activated.connect(self._on_activated)
        self._box.model().itemChanged.connect(self._on_checked)

    multiSelection = Property(bool, lambda self: self._multiple,
                              lambda self, value: self._set("_multiple", value))
    noneEnabled = Property(bool, lambda self: self._none,
                           lambda self, value: self._set("_none", value))
    segmentationNodeSelectorVisible = Property(
        bool, lambda self: not self._selector.isHidden(),
        lambda self, value: self._selector.setVisible(value))
    editEnabled = Property(bool, lambda self: self._selector.editEnabled,
                           lambda self, value: setattr(self._selector, "editEnabled", value))
    selectNodeUponCreation = Property(
        bool, lambda self: self._selector.selectNodeUponCreation,
        lambda self, value: setattr(self._selector, "selectNodeUponCreation", value))
    horizontalLayout = Property(
        bool, lambda self: not self._label.text,
        lambda self, value: self._label.setText("" if value else "Segment: "))

    def _set(self, name: str, value: Any) -> None:
        setattr(self, name, value)
        self._fill()

    def _take_scene(self, scene: Any) -> None:
        super()._take_scene(scene)
        self._selector.setMRMLScene(scene)

    def currentNode(self) -> Any:
        return self._selector.currentNode()

    def currentNodeID(self) -> str:
        return self._selector.currentNodeID

    def setCurrentNode(self, node: Any) -> None:
        self._selector.setCurrentNode(node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self._selector.setCurrentNodeID(node_id)

    def segmentIDs(self) -> tuple[str, ...]:
        node = self.currentNode()
        if node is None:
            return ()
        segmentation = node.GetSegmentation()
        return tuple(segmentation.GetNthSegmentID(i)
                     for i in range(segmentation.GetNumberOfSegments()))

    def currentSegmentID(self) -> str:
        return self._current

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if segment_id in self.segmentIDs() or self._none and not segment_id:
            self._choose(segment_id)

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._chosen)

    def setSelectedSegmentIDs(self, segment_ids: Any) -> None:
        if not self._multiple:
            raise AssertionError("setSelectedSegmentIDs is for multiSelection")
        self._choose_all([one for one in self.segmentIDs() if one in list(segment_ids)])

    def _on_node(self, node: Any) -> None:
        for watched, _ in list(getattr(self, "_watches", [])):
            self._unwatch(watched)
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in (segmentation.SegmentAdded, segmentation.SegmentRemoved,
                          segmentation.SegmentModified):
                self._watch(segmentation, event, self._fill)
        self._fill()
        emit(self, "currentNodeChanged(vtkMRMLNode*)", node)
        emit(self, "currentNodeChanged(bool)", node is not None)

    def _fill(self) -> None:
        ids = self.segmentIDs()
        self._box.blockSignals(True)
        self._box.model().blockSignals(True)
        self._box.clear()
        model = self._box.model()
        if self._none and not self._multiple:
            model.appendRow(QStandardItem("None"))
        for one in ids:
            item = QStandardItem(self.currentNode().GetSegmentation().GetSegment(one).GetName())
            item.setData(one)
            if self._multiple:
                item.setCheckable(True)
                item.setCheckState(Qt.Checked if one in self._chosen else Qt.Unchecked)
            model.appendRow(item)
        model.blockSignals(False)
        self._box.blockSignals(False)
        kept = [one for one in self._chosen if one in ids]
        current = self._current if self._current in ids or self._none else next(iter(ids), "")
        self._choose_all(kept) if self._multiple else self._choose(
            current if current in ids else "")
        self._show()

    def _show(self) -> None:
        chosen = self._chosen if self._multiple else [self._current] if self._current else []
        names = [self.currentNode().GetSegmentation().GetSegment(one).GetName() for one in chosen]
        self._box.setEditText(", ".join(names) or ("Select segment(s)..." if self._multiple
                                                   else "None"))

    def _choose(self, segment_id: str) -> None:
        changed, self._current = segment_id != self._current, segment_id
        self._show()
        if changed:
            self.currentSegmentChanged.emit(segment_id)

    def _choose_all(self, segment_ids: list[str]) -> None:
        changed, self._chosen = segment_ids != self._chosen, segment_ids
        model = self._box.model()
        model.blockSignals(True)
        for row in range(model.rowCount()):
            item = model.item(row)
            item.setCheckState(Qt.Checked if item.data() in segment_ids else Qt.Unchecked)
        model.blockSignals(False)
        self._show()
        if changed:
            self.segmentSelectionChanged.emit(tuple(segment_ids))

    def _on_checked(self, item: QStandardItem) -> None:
        self._choose_all([one.data() for one in self._items() if one.checkState() == Qt.Checked])

    def _on_activated(self, row: int) -> None:
        item = self._items()[row]
        if self._multiple:
            item.setCheckState(Qt.Unchecked if item.checkState() == Qt.Checked else Qt.Checked)
        else:
            self._choose(item.data() or "")

    def _items(self) -> list[QStandardItem]:
        model = self._box.model()
        return [model.item(row) for row in range(model.rowCount())]


