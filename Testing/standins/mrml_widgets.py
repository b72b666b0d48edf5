"""Slicer's widgets that show nodes of the scene. Stand-ins, on the real scene."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QWidget

from .pythonqt import Property, Signal, emit
from .watching import MODIFIED, Watching

_SCENE_EVENTS = ("EndCloseEvent", "EndBatchProcessEvent")


class qSlicerWidget(Watching, QWidget):
    """A widget that is given the scene."""

    mrmlSceneChanged = Signal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._take_scene(scene)
        self.mrmlSceneChanged.emit(scene)

    def _take_scene(self, scene: Any) -> None:
        self._scene = scene


class qMRMLWidget(qSlicerWidget):
    """A widget that knows the scene."""

    def mrmlScene(self) -> Any:
        return self._scene


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

    def _setting(kind: Any, name: str) -> Property:
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
            self._watch(scene, scene.EndImportEvent, self._fill_anew)
            self._watch(scene, scene.NodeAddedEvent, self._on_node_added, called=True)
            self._watch(scene, scene.NodeAboutToBeRemovedEvent, self._on_node_leaving,
                        called=True, priority=-10.0)
            self._watch(scene, scene.NodeRemovedEvent, self._on_node_removed, called=True)
            for node in self._nodes():
                self._watch(node, MODIFIED, self._look_again)
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

    def _on_node_leaving(self, node: Any) -> None:
        """Qt's box goes to the entry before, whatever that is, and the real one says so."""
        if node is self._current and not self._scene.IsClosing():
            before = self._entries.index(node) - 1
            self._choose(self._entries[before] if before >= 0 else None)

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

    def _fill_anew(self) -> None:
        """After an import the real one's list is emptied and filled again, and with its entry
        goes what was chosen; it says so."""
        if self.noneEnabled:
            self._choose(None)
        self._look_again()

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
