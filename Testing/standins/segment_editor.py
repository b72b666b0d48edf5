"""The embedded Segment Editor. Stand-in on Slicer's own segment-editor node and logic."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .mrml_widgets import qMRMLNodeComboBox, qMRMLWidget
from .pythonqt import Property, Signal
from .segment_effects import (
    EFFECTS,
    OF_CPP,
    qSlicerSegmentEditorAbstractEffect,
    qSlicerSegmentEditorScriptedEffect,
)
from .segments_table import qMRMLSegmentationShow3DButton, qMRMLSegmentsTableView
from .watching import MODIFIED


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Segments, tools and their options, undo and redo."""

    currentSegmentIDChanged = Signal("currentSegmentIDChanged(QString)")
    segmentationNodeChanged = Signal("segmentationNodeChanged(vtkMRMLSegmentationNode*)")
    sourceVolumeNodeChanged = Signal("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._node: Any = None
        self._active: qSlicerSegmentEditorAbstractEffect | None = None
        self._effects = {name: (qSlicerSegmentEditorAbstractEffect if name in OF_CPP else
                                qSlicerSegmentEditorScriptedEffect)(name, self)
                         for name in EFFECTS}
        self._flags: dict[str, Any] = {"maximumNumberOfUndoStates": 10, "undoEnabled": True,
                                       "readOnly": False, "effectColumnCount": 6}
        self._keyboard: QWidget | None = None
        self._views_observed = False
        self._seen: tuple[Any, Any, str] = (None, None, "")
        self._segmentation_box = self._node_box("vtkMRMLSegmentationNode")
        self._volume_box = self._node_box("vtkMRMLScalarVolumeNode")
        self._table = qMRMLSegmentsTableView(self)
        self._show_3d = qMRMLSegmentationShow3DButton(self)
        self._build()
        self._look_again()

    def _node_box(self, kind: str) -> qMRMLNodeComboBox:
        box = qMRMLNodeComboBox(self)
        box.nodeTypes = (kind,)
        box.noneEnabled = True
        box.addEnabled = box.removeEnabled = False
        return box

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        self._labels = {"segmentation": QLabel("Segmentation:"), "volume": QLabel("Source volume:")}
        form.addRow(self._labels["segmentation"], self._segmentation_box)
        form.addRow(self._labels["volume"], self._volume_box)
        column.addLayout(form)
        row = QHBoxLayout()
        self._add, self._remove = QPushButton("+ Add"), QPushButton("− Remove")
        for button in (self._add, self._remove, self._show_3d):
            row.addWidget(button)
        for name, widget in (("SegmentationNodeComboBox", self._segmentation_box),
                             ("SourceVolumeNodeComboBox", self._volume_box),
                             ("SegmentsTableView", self._table), ("AddSegmentButton", self._add),
                             ("RemoveSegmentButton", self._remove),
                             ("Show3DButton", self._show_3d)):
            widget.setObjectName(name)
        row.addStretch()
        column.addLayout(row)
        self._table.opacityColumnVisible = False
        column.addWidget(self._table)
        column.addWidget(self._effect_frame())
        self._options = QLabel(self)
        self._options.setWordWrap(True)
        column.addWidget(self._options)
        self._segmentation_box.currentNodeChanged.connect(self.setSegmentationNode)
        self._volume_box.currentNodeChanged.connect(self.setSourceVolumeNode)
        self._table.selectionChanged.connect(self._on_selected)
        self._add.clicked.connect(lambda: self._node_segmentation().AddEmptySegment())
        self._remove.clicked.connect(
            lambda: self._node_segmentation().RemoveSegment(self.currentSegmentID()))

    def _effect_frame(self) -> QFrame:
        frame = QFrame(self)
        grid = QGridLayout(frame)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        self._buttons: dict[str, QToolButton] = {}
        for i, name in enumerate(("None", *EFFECTS)):
            button = QToolButton(frame)
            button.setText(name)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
            button.clicked.connect(lambda _=False, name=name: self.setActiveEffectByName(
                "" if name == "None" else name))
            self._buttons[name] = button
            grid.addWidget(button, i // 4, i % 4)
        row = QHBoxLayout()
        self._undo, self._redo = QToolButton(frame), QToolButton(frame)
        for button, text, does in ((self._undo, "Undo", self.undo),
                                   (self._redo, "Redo", self.redo)):
            button.setText(text)
            button.clicked.connect(does)
            row.addWidget(button)
        row.addStretch()
        grid.addLayout(row, 4, 0, 1, 4)
        return frame

    def _flag(kind: Any, name: str) -> Property:
        return Property(kind, lambda self: self._flags.get(name, True),
                        lambda self, value: self._set_flag(name, value))

    def _set_flag(self, name: str, value: Any) -> None:
        self._flags[name] = value
        self._logic.SetMaximumNumberOfUndoStates(self._flags["maximumNumberOfUndoStates"])
        for flag, widgets in (
                ("segmentationNodeSelectorVisible",
                 (self._segmentation_box, self._labels["segmentation"])),
                ("sourceVolumeNodeSelectorVisible", (self._volume_box, self._labels["volume"])),
                ("addRemoveSegmentButtonsVisible", (self._add, self._remove)),
                ("show3DButtonVisible", (self._show_3d,)),
                ("undoEnabled", (self._undo, self._redo))):
            for widget in widgets:
                widget.setVisible(bool(self._flags.get(flag, True)))

    addRemoveSegmentButtonsVisible = _flag(bool, "addRemoveSegmentButtonsVisible")
    autoShowSourceVolumeNode = _flag(bool, "autoShowSourceVolumeNode")
    effectColumnCount = _flag(int, "effectColumnCount")
    jumpToSelectedSegmentEnabled = _flag(bool, "jumpToSelectedSegmentEnabled")
    maskingSectionVisible = _flag(bool, "maskingSectionVisible")
    maximumNumberOfUndoStates = _flag(int, "maximumNumberOfUndoStates")
    readOnly = _flag(bool, "readOnly")
    segmentationNodeSelectorVisible = _flag(bool, "segmentationNodeSelectorVisible")
    show3DButtonVisible = _flag(bool, "show3DButtonVisible")
    sourceVolumeNodeSelectorVisible = _flag(bool, "sourceVolumeNodeSelectorVisible")
    specifyGeometryButtonVisible = _flag(bool, "specifyGeometryButtonVisible")
    switchToSegmentationsButtonVisible = _flag(bool, "switchToSegmentationsButtonVisible")
    undoEnabled = _flag(bool, "undoEnabled")
    unorderedEffectsVisible = _flag(bool, "unorderedEffectsVisible")
    del _flag

    def _take_scene(self, scene: Any) -> None:
        if self._node is None:
            raise AssertionError("setMRMLSegmentEditorNode comes before setMRMLScene")
        super()._take_scene(scene)
        self._logic.SetMRMLScene(scene)
        for part in (self._segmentation_box, self._volume_box, self._table):
            part.setMRMLScene(scene)
        if slicer.app.layoutManager() is not None:
            slicer.app.layoutManager().layoutChanged.connect(self._on_layout)
        self._look_again()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if self._node is not None:
            self._unwatch(self._node)
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            self._watch(node, MODIFIED, self._look_again)
        self._look_again()

    def segmentationNode(self) -> Any:
        return None if self._node is None else self._node.GetSegmentationNode()

    def segmentationNodeID(self) -> str:
        return self.segmentationNode().GetID() if self.segmentationNode() is not None else ""

    def setSegmentationNode(self, node: Any) -> None:
        if node is self.segmentationNode():
            return
        if self._node is None:
            raise AssertionError("setMRMLSegmentEditorNode comes before setSegmentationNode")
        self.setActiveEffect(None)
        self._logic.SetSegmentationNode(node)
        if node is not None:  # its own image is taken to draw on, if it has one
            self._logic.SetSourceVolumeNode(node.GetNodeReference(
                node.GetReferenceImageGeometryReferenceRole()))
        self._look_again()

    def setSegmentationNodeID(self, node_id: str) -> None:
        self.setSegmentationNode(self._scene.GetNodeByID(node_id) if node_id else None)

    def sourceVolumeNode(self) -> Any:
        return None if self._node is None else self._node.GetSourceVolumeNode()

    def sourceVolumeNodeID(self) -> str:
        return self.sourceVolumeNode().GetID() if self.sourceVolumeNode() is not None else ""

    def setSourceVolumeNode(self, node: Any) -> None:
        if node is self.sourceVolumeNode():
            return
        if self._node is None:
            raise AssertionError("setMRMLSegmentEditorNode comes before setSourceVolumeNode")
        self._logic.SetSourceVolumeNode(node)
        self._look_again()

    def setSourceVolumeNodeID(self, node_id: str) -> None:
        self.setSourceVolumeNode(self._scene.GetNodeByID(node_id) if node_id else None)

    def currentSegmentID(self) -> str:
        return "" if self._node is None else self._node.GetSelectedSegmentID() or ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._node is not None:
            self._node.SetSelectedSegmentID(segment_id)

    def activeEffect(self) -> Any:
        return self._active

    def setActiveEffect(self, effect: Any) -> None:
        self.setActiveEffectByName("" if effect is None else effect.name)

    def setActiveEffectByName(self, name: str) -> None:
        if self._node is None:
            return
        self._node.SetActiveEffectName(name if name in self._effects else "")
        self._look_again()

    def effectByName(self, name: str) -> Any:
        return self._effects.get(name)

    def updateEffectList(self) -> None:
        """All are there from the beginning."""

    def effectCount(self) -> int:
        return len(self._effects)

    def availableEffectNames(self) -> tuple[str, ...]:
        return tuple(self._effects)

    def effectNameOrder(self) -> tuple[str, ...]:
        return tuple(self._effects)

    def setEffectNameOrder(self, names: Any) -> None:
        self._effects = {name: self._effects[name] for name in
                         (*(n for n in names if n in self._effects),
                          *(n for n in self._effects if n not in names))}

    def saveStateForUndo(self) -> None:
        if self.segmentationNode() is not None:
            self._logic.SaveStateForUndo()
        self._look_again()

    def undo(self) -> None:
        self._logic.Undo()
        self._look_again()

    def redo(self) -> None:
        self._logic.Redo()
        self._look_again()

    def installKeyboardShortcuts(self, widget: QWidget | None = None) -> None:
        self._keyboard = widget or self

    def uninstallKeyboardShortcuts(self) -> None:
        self._keyboard = None

    def setupViewObservations(self) -> None:
        self._views_observed = True
        self._show_effect()

    def removeViewObservations(self) -> None:
        self._views_observed = False

    def rotateSliceViewsToSegmentation(self) -> None:
        """Nothing is turned."""

    def updateWidgetFromMRML(self) -> None:
        self._look_again()

    def _node_segmentation(self) -> Any:
        return self.segmentationNode().GetSegmentation()

    def _on_selected(self) -> None:
        chosen = self._table.selectedSegmentIDs()
        if chosen and chosen[0] != self.currentSegmentID():
            self.setCurrentSegmentID(chosen[0])

    def _look_again(self) -> None:
        node = self.segmentationNode()
        now = node, self.sourceVolumeNode(), self.currentSegmentID()
        before, self._seen = self._seen, now
        if now[0] is not before[0]:
            self._segmentation_box.setCurrentNode(node)
            self._table.setSegmentationNode(node)
            self._show_3d.setSegmentationNode(node)
            self.segmentationNodeChanged.emit(node)
        if now[1] is not before[1]:
            self._volume_box.setCurrentNode(now[1])
            self._show_source()
            self.sourceVolumeNodeChanged.emit(now[1])
        if now[2] != before[2]:
            self._table.setSelectedSegmentIDs([now[2]] if now[2] else [])
            self.currentSegmentIDChanged.emit(now[2])
        self._show_effect()

    def _show_source(self) -> None:
        """The image to draw on, into every slice view that does not show it."""
        volume, manager = self.sourceVolumeNode(), slicer.app.layoutManager()
        if volume is None or manager is None or not self.autoShowSourceVolumeNode:
            return
        for logic in manager.mrmlSliceLogics():
            layers = logic.GetSliceCompositeNode()
            if volume.GetID() not in (layers.GetBackgroundVolumeID(),
                                      layers.GetForegroundVolumeID()):
                layers.SetBackgroundVolumeID(volume.GetID())
                layers.SetForegroundVolumeID(None)
                layers.SetLabelVolumeID(None)

    def _on_layout(self, layout: int) -> None:
        if self._views_observed:
            self._show_source()

    def _show_effect(self) -> None:
        name = (self._node.GetActiveEffectName() or "") if self._node is not None else ""
        usable = self.segmentationNode() is not None and self.sourceVolumeNode() is not None
        self._active = self._effects.get(name) if usable else None
        for one, button in self._buttons.items():
            button.setEnabled(usable)
            button.setChecked(one == (name or "None") and usable)
        self._options.setText(f"<b>{name}</b>" if self._active is not None else "")
        self._undo.setEnabled(bool(self._logic.CanUndo()))
        self._redo.setEnabled(bool(self._logic.CanRedo()))
        self._options.setAlignment(Qt.AlignTop)
