"""The layout of views. Stand-in on Slicer's own layout logic, nodes and slice logics."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import slicer
import vtk
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFrame, QLabel, QSplitter, QTabWidget, QVBoxLayout, QWidget

from .pythonqt import Property, Signal
from .slice_views import qMRMLSliceWidget
from .three_d_view import qMRMLThreeDWidget
from .watching import MODIFIED, Watching


class qSlicerLayoutManager(Watching, QObject):
    """Shows the views that the layout node asks for."""

    layoutChanged = Signal("layoutChanged(int)")

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewport = QFrame()
        self._viewport.setObjectName("CentralWidgetLayoutFrame")
        QVBoxLayout(self._viewport).setContentsMargins(0, 0, 0, 0)
        self._slices: dict[str, qMRMLSliceWidget] = {}
        self._spaces: dict[str, qMRMLThreeDWidget] = {}
        self._logics = vtk.vtkCollection()
        self._shown: tuple[int, str] | None = None
        self._layout_logic: Any = None

    def _start(self, scene: Any, application_logic: Any) -> None:
        self._scene = scene
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(scene)
        application_logic.SetSliceLogics(self._logics)
        self._application_logic = application_logic
        self._watch(self._node(), MODIFIED, self._look_again)
        self._watch(scene, scene.EndBatchProcessEvent, self._build_anew)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def _stop(self) -> None:
        self._unwatch(self._node())
        self._unwatch(self._scene)
        self._viewport.deleteLater()

    def _node(self) -> Any:
        return self._layout_logic.GetLayoutNode()

    def layoutLogic(self) -> Any:
        return self._layout_logic

    def mrmlScene(self) -> Any:
        return self._scene

    def setLayout(self, layout: int) -> None:
        self._node().SetViewArrangement(layout)
        self._look_again()

    layout = Property(int, lambda self: self._node().GetViewArrangement(), setLayout)
    threeDViewCount = Property(int, lambda self: len(self._spaces))

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._slices.get(name)

    def threeDWidget(self, which: int | str) -> qMRMLThreeDWidget | None:
        if isinstance(which, str):
            return self._spaces.get(which)
        every = list(self._spaces.values())
        return every[which] if which < len(every) else None

    def viewport(self) -> QWidget:
        return self._viewport

    def viewWidget(self, node: Any) -> QWidget | None:
        return next((widget for widget in (*self._slices.values(), *self._spaces.values())
                     if (widget.mrmlSliceNode() if isinstance(widget, qMRMLSliceWidget)
                         else widget.mrmlViewNode()) is node), None)

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        for widget in self._spaces.values():
            widget.threeDView().resetFocalPoint()

    def setRenderPaused(self, paused: bool) -> None:
        """Nothing is rendered between events."""

    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    def _look_again(self) -> None:
        node = self._node()
        wanted = node.GetViewArrangement(), node.GetCurrentLayoutDescription() or ""
        if wanted == self._shown or not wanted[1]:
            return
        self._shown = wanted
        self._forget_removed()
        column = self._viewport.layout()
        for widget in (*self._slices.values(), *self._spaces.values()):
            widget.setParent(self._viewport)
            widget.hide()
        while column.count():
            column.takeAt(0).widget().deleteLater()
        column.addWidget(self._built(ElementTree.fromstring(wanted[1])))
        self.layoutChanged.emit(wanted[0])

    def _build_anew(self) -> None:
        """After every batch of the scene: `updateLayoutFromMRMLScene` parses the description
        again, and CTK takes no two documents for the same."""
        self._shown = None
        self._look_again()

    def _forget_removed(self) -> None:
        for name, widget in list(self._slices.items()):
            if not self._scene.IsNodePresent(widget.mrmlSliceNode()):
                self._logics.RemoveItem(widget.sliceLogic())
                self._slices.pop(name).deleteLater()

    def _built(self, element: ElementTree.Element) -> QWidget:
        if element.tag == "view":
            return self._view(element)
        kind = element.get("type", "vertical")
        if kind == "tab":
            box: Any = QTabWidget()
            for item in element.findall("item"):
                box.addTab(self._built(item[0]), item.get("name", ""))
            return box
        box = QSplitter(Qt.Horizontal if kind == "horizontal" else Qt.Vertical)
        box.setChildrenCollapsible(False)
        for item in element.findall("item"):
            box.addWidget(self._built(item[0]))
        stretch = [int(item.get("splitSize", 0)) or 1 for item in element.findall("item")]
        box.setSizes([1000 * one for one in stretch])
        return box

    def _view(self, element: ElementTree.Element) -> QWidget:
        kind, tag = element.get("class", ""), element.get("singletontag", "")
        if kind == "vtkMRMLSliceNode":
            widget: QWidget = self._slice_view(tag)
        elif kind == "vtkMRMLViewNode":
            widget = self._space(tag)
        else:
            widget = QLabel(kind)
        widget.show()
        return widget

    def _slice_view(self, name: str) -> qMRMLSliceWidget:
        if name not in self._slices:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._application_logic)
            logic.SetMRMLScene(self._scene)
            logic.SetSliceNode(self._scene.GetSingletonNode(name, "vtkMRMLSliceNode"))
            self._logics.AddItem(logic)
            self._slices[name] = qMRMLSliceWidget()
            self._slices[name]._show(logic)
        return self._slices[name]

    def _space(self, name: str) -> qMRMLThreeDWidget:
        if name not in self._spaces:
            self._spaces[name] = qMRMLThreeDWidget()
            self._spaces[name]._show(self._scene.GetSingletonNode(name, "vtkMRMLViewNode"))
        return self._spaces[name]
