"""Slicer's widgets that show nodes of the scene. Stand-ins, on the real scene."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItem
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QWidget

from .pythonqt import Property, Signal, emit
from .watching import MODIFIED, Watching

_SCENE_EVENTS = ("EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")


class qMRMLWidget(Watching, QWidget):
    """A widget that knows the scene."""

    mrmlSceneChanged = Signal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._take_scene(scene)
        self.mrmlSceneChanged.emit(scene)

    def _take_scene(self, scene: Any) -> None:
        self._scene = scene


class qMRMLNodeComboBox(Watching, QWidget):
    """A list of the scene's nodes of some types."""

    currentNodeChanged = Signal("currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)")
    currentNodeIDChanged = Signal("currentNodeIDChanged(QString)")
    currentNodeRenamed = Signal("currentNodeRenamed(QString)")
    nodeActivated = Signal("nodeActivated(vtkMRMLNode*)")
    nodeAdded = Signal("nodeAdded(vtkMRMLNode*)")
    nodeAddedByUser = Signal("nodeAddedByUser(vtkMRMLNode*)")
    nodeAddedByUserAction = Signal("nodeAddedByUserAction(vtkMRMLNode*)")
    nodeAboutToBeEdited = Signal("nodeAboutToBeEdited(vtkMRMLNode*)")
    nodeAboutToBeRemoved = Signal("nodeAboutToBeRemoved(vtkMRMLNode*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._current: Any = None
        self._settings: dict[str, Any] = {
            "nodeTypes": (), "hideChildNodeTypes": (), "showChildNodeTypes": True,
            "showHidden": False, "noneEnabled": False, "noneDisplay": "None", "addEnabled": True,
            "removeEnabled": True, "renameEnabled": False, "editEnabled": False, "baseName": "",
            "selectNodeUponCreation": True, "interactionNodeSingletonTag": "",
        }
        self._attributes: dict[tuple[str, str], Any] = {}
        self._labels: dict[str, str] = {}
        self._entries: list[Any] = []
        self._box = QComboBox(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.activated.connect(self._on_activated)

    def _setting(kind: Any, name: str) -> Property:  # noqa: N805
        def write(self: qMRMLNodeComboBox, value: Any) -> None:
            self._settings[name] = tuple(value) if isinstance(value, (list, tuple)) else value
            self._look_again()
        return Property(kind, lambda self: self._settings[name], write)

    nodeTypes = _setting("QStringList", "nodeTypes")
    hideChildNodeTypes = _setting("QStringList", "hideChildNodeTypes")
    showChildNodeTypes = _setting(bool, "showChildNodeTypes")
    showHidden = _setting(bool, "showHidden")
    noneEnabled = _setting(bool, "noneEnabled")
    noneDisplay = _setting(str, "noneDisplay")
    addEnabled = _setting(bool, "addEnabled")
    removeEnabled = _setting(bool, "removeEnabled")
    renameEnabled = _setting(bool, "renameEnabled")
    editEnabled = _setting(bool, "editEnabled")
    baseName = _setting(str, "baseName")
    selectNodeUponCreation = _setting(bool, "selectNodeUponCreation")
    interactionNodeSingletonTag = _setting(str, "interactionNodeSingletonTag")
    del _setting

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if self._scene is not None:
            self._unwatch(self._scene)
        self._scene = scene
        if scene is not None:
            for event in _SCENE_EVENTS:
                self._watch(scene, getattr(scene, event), self._look_again)
            self._watch(scene, scene.NodeAddedEvent, self._on_node_added, called=True)
            self._watch(scene, scene.NodeRemovedEvent, self._on_node_removed, called=True)
        self._look_again()

    def currentNode(self) -> Any:
        return self._current

    def nodeCount(self) -> int:
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Any:
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene and node else None
        self._choose(node if node in self._nodes() else None)

    def _id(self) -> str:
        return self._current.GetID() if self._current is not None else ""

    currentNodeID = Property(str, _id, setCurrentNode)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(node_id)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes[node_type, name] = value
        self._look_again()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes.pop((node_type, name), None)
        self._look_again()

    def nodeTypeLabel(self, node_type: str) -> str:
        return self._labels.get(node_type) or self._tag_name(node_type)

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._look_again()

    def addNode(self, node_type: str = "") -> Any:
        """What choosing "Create new" does."""
        node_type = node_type or self.nodeTypes[0]
        base = self.baseName or self._tag_name(node_type)
        node = self._scene.AddNewNodeByClass(node_type, self._scene.GenerateUniqueName(base))
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        self.nodeAddedByUserAction.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self.nodeAboutToBeRemoved.emit(self._current)
        self._scene.RemoveNode(self._current)

    def renameCurrentNode(self) -> None:
        name, fine = QInputDialog.getText(self, "Rename node", "New name:",
                                          text=self._current.GetName())
        if fine:
            self._current.SetName(name)

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self._current)

    def _tag_name(self, node_type: str) -> str:
        return getattr(slicer, node_type)().GetNodeTagName()

    def _nodes(self) -> list[Any]:
        """Nodes to choose from, in the scene's order within each type."""
        if self._scene is None:
            return []
        found: list[Any] = []
        for kind in self._settings["nodeTypes"]:
            nodes = self._scene.GetNodesByClass(kind)
            found += [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]
        return [node for node in dict.fromkeys(found) if self._is_shown(node)]

    def _is_shown(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        fits = (node.IsA if self.showChildNodeTypes else node.GetClassName().__eq__)
        if not any(fits(kind) for kind in self.nodeTypes):
            return False
        if any(node.IsA(kind) for kind in self.hideChildNodeTypes):
            return False
        return all(node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
                   for (kind, name), value in self._attributes.items() if node.IsA(kind))

    def _on_node_added(self, node: Any) -> None:
        if any(node.IsA(kind) for kind in self.nodeTypes):
            self._watch(node, MODIFIED, self._look_again)
            self._look_again()
            self.nodeAdded.emit(node)

    def _on_node_removed(self, node: Any) -> None:
        if any(node.IsA(kind) for kind in self.nodeTypes):
            self._unwatch(node)
            self._look_again()

    def _choose(self, node: Any) -> None:
        if node is None and not self.noneEnabled:
            # One is always chosen where None is no choice.
            nodes = self._nodes()
            node = self._current if self._current in nodes else nodes[0] if nodes else None
        changed, self._current = node is not self._current, node
        self._fill()
        if changed:
            emit(self, "currentNodeChanged(vtkMRMLNode*)", node)
            emit(self, "currentNodeChanged(bool)", node is not None)
            self.currentNodeIDChanged.emit(self._id())

    def _look_again(self) -> None:
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        self._choose(self._current if self._current in self._nodes() else None)

    def _fill(self) -> None:
        nodes = self._nodes()
        self._box.blockSignals(True)
        self._box.clear()
        self._entries = ([None] if self.noneEnabled or not nodes else []) + nodes
        for node in self._entries:
            self._box.addItem(self.noneDisplay if node is None else node.GetName())
        actions = self._actions()
        if actions:
            self._box.insertSeparator(self._box.count)
        for text, _ in actions:
            self._box.addItem(text)
        self._box.setCurrentIndex(self._entries.index(self._current))
        self._box.blockSignals(False)

    def _actions(self) -> list[tuple[str, Any]]:
        if self._scene is None:
            return []
        labels = [self.nodeTypeLabel(kind) for kind in self.nodeTypes]
        actions = [(f"Create new {label}", lambda kind=kind: self.addNode(kind))
                   for kind, label in zip(self.nodeTypes, labels) if self.addEnabled]
        if self._current is not None:
            for name, verb, does in (("renameEnabled", "Rename", self.renameCurrentNode),
                                     ("editEnabled", "Edit", self.editCurrentNode),
                                     ("removeEnabled", "Delete", self.removeCurrentNode)):
                if self._settings[name]:
                    actions.append((f"{verb} current {labels[0]}", does))
        return actions

    def _on_activated(self, index: int) -> None:
        if index < len(self._entries):
            self._choose(self._entries[index])
            self.nodeActivated.emit(self._current)
            return
        action = self._actions()[index - len(self._entries) - 1][1]
        self._fill()
        action()


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
    horizontalLayout = Property(bool, lambda self: True, lambda self, value: None)

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


