"""The application: `slicer.app`, `slicer.modules`. Stand-ins."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import slicer
import vtk
from PySide6.QtCore import QObject, QSettings, qInstallMessageHandler
from PySide6.QtWidgets import QApplication, QStyleFactory, QVBoxLayout, QWidget

from .layout_manager import qSlicerLayoutManager
from .mrml_widgets import qSlicerWidget
from .pythonqt import Property, Signal, call_slot

#: Name in `slicer.modules`, its logic, the name that `getModule` takes.
_MODULES = (
    ("Segmentations", "vtkSlicerSegmentationsModuleLogic"), ("Volumes", "vtkSlicerVolumesLogic"),
    ("SegmentEditor", ""), ("Sequences", "vtkSlicerSequencesLogic"),
    ("Tables", "vtkSlicerTablesLogic"), ("Markups", "vtkSlicerMarkupsLogic"),
    ("Transforms", "vtkSlicerTransformLogic"), ("CropVolume", "vtkSlicerCropVolumeLogic"),
    ("Terminologies", "vtkSlicerTerminologiesModuleLogic"),
    ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic"),
)


def _say(kind: Any, where: Any, text: str) -> None:
    """What Qt has to say, but for what is so with every window that is drawn off screen."""
    if "propagateSizeHints" not in text:
        print(f"Qt: {text}", file=sys.stderr)


class qSlicerApplication(QApplication):
    """The application object."""

    startupCompleted = Signal("startupCompleted()")
    mrmlSceneChanged = Signal("mrmlSceneChanged(vtkMRMLScene*)")
    invokeEventRequested = Signal("invokeEventRequested(uint,void*,ulong,void*)")

    def __init__(self) -> None:
        super().__init__([sys.argv[0]])
        qInstallMessageHandler(_say)
        self.setStyle(QStyleFactory.create("Fusion"))
        self.setApplicationName("Slicer")
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-standin-")
        QSettings.setDefaultFormat(QSettings.IniFormat)
        for scope in (QSettings.UserScope, QSettings.SystemScope):
            QSettings.setPath(QSettings.IniFormat, scope, self._folder.name)
        self._layouts: qSlicerLayoutManager | None = None

    def _start(self) -> None:
        """A new scene with what the application puts in."""
        self._stop()
        scene = slicer.vtkMRMLScene()
        slicer.mrmlScene = scene
        self._scene = scene
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(scene)
        self._logic.SetTemporaryPath(self._folder.name)
        # Slicer's colour and terminology files are not part of slicer-core; it says so, aloud.
        vtk.vtkObject.GlobalWarningDisplayOff()
        self._colours = slicer.vtkSlicerColorLogic()
        self._colours.SetMRMLApplicationLogic(self._logic)
        self._colours.SetMRMLScene(scene)
        self._logic.SetColorLogic(self._colours)
        self._modules = qSlicerModuleManager(self)
        self._modules._start(scene, self._logic)
        vtk.vtkObject.GlobalWarningDisplayOn()
        crosshair = scene.AddNode(slicer.vtkMRMLCrosshairNode())
        crosshair.SetCrosshairName("default")
        self._layouts = qSlicerLayoutManager(self)
        self._layouts._start(scene, self._logic)

    def _stop(self) -> None:
        """The views go; the next `_start` makes new ones."""
        if self._layouts is not None:
            self._layouts._stop()
            self._layouts = None

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._logic

    def layoutManager(self) -> Any:
        return self._layouts

    def moduleManager(self) -> Any:
        return self._modules

    def moduleLogic(self, name: str) -> Any:
        return self._modules.module(name).logic()

    def settings(self) -> QSettings:
        return QSettings()

    def userSettings(self) -> QSettings:
        return QSettings()

    def revisionUserSettings(self) -> QSettings:
        return QSettings()

    @staticmethod
    def testingEnabled() -> bool:
        return False

    def pauseRender(self) -> None:
        """Nothing is rendered between events."""

    def resumeRender(self) -> None:
        """Nothing is rendered between events."""

    def setRenderPaused(self, paused: bool) -> None:
        """Nothing is rendered between events."""

    temporaryPath = Property(str, lambda self: self._folder.name)
    cachePath = Property(str, lambda self: self._folder.name)
    slicerHome = Property(str, lambda self: self._folder.name)
    majorVersion = Property(int, lambda self: 5)
    minorVersion = Property(int, lambda self: 12)
    revision = Property(str, lambda self: "34045")


class qSlicerScriptedLoadableModule(QObject):
    """A module as the application knows it."""

    def __init__(self, name: str, path: str = "", logic: Any = None) -> None:
        super().__init__()
        self._about: dict[str, Any] = {
            "title": name, "categories": [], "dependencies": [], "contributors": [],
            "helpText": "", "acknowledgementText": "", "hidden": False, "icon": None, "index": -1,
            "associatedNodeTypes": [], "extensions": {}}
        self._name, self._path, self._logic = name, path, logic
        self._widget: Any = None

    def _said(name: str) -> property:
        return property(lambda self: self._about[name],
                        lambda self, value: self._about.__setitem__(name, value))

    (title, categories, dependencies, contributors, helpText, acknowledgementText, hidden, icon,
     index, associatedNodeTypes, extensions) = map(_said, (
         "title", "categories", "dependencies", "contributors", "helpText",
         "acknowledgementText", "hidden", "icon", "index", "associatedNodeTypes", "extensions"))
    del _said
    name = property(lambda self: self._name)
    path = property(lambda self: self._path)

    def logic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def widgetRepresentation(self) -> Any:
        return self._widget


class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """A scripted module's widget in the application; its Python half is `self()`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        self._entered = False
        self._half: Any = None
        self._make: Any = None

    isEntered = Property(bool, lambda self: self._entered)
    moduleName = Property(str, lambda self: self._half.moduleName)

    def _set_up(self, make: Any) -> None:
        """Make the Python half, once it can be known by `slicer.modules`."""
        self._make = make
        self._half = make(self)
        setattr(slicer.modules, f"{self._half.moduleName}Widget", self._half)
        self._half.setup()

    def self(self) -> Any:
        return self._half

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._half, "enter"):
            call_slot(self._half.enter)

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._half, "exit"):
            call_slot(self._half.exit)

    def reload(self) -> None:
        kind = type(self._half)
        module = sys.modules[self._half.moduleName]
        self._set_up(getattr(module, kind.__name__))


class qSlicerModuleFactoryManager(QObject):
    """What the module manager loaded the modules with."""

    def loadedModuleNames(self) -> tuple[str, ...]:
        return self.parent().modulesNames()


class qSlicerModuleManager(QObject):
    """The modules that are loaded."""

    moduleAboutToBeUnloaded = Signal("moduleAboutToBeUnloaded(QString)")
    moduleLoaded = Signal("moduleLoaded(QString)")

    def _start(self, scene: Any, application_logic: Any) -> None:
        self._known: dict[str, qSlicerScriptedLoadableModule] = {}
        for name, kind in _MODULES:
            logic = getattr(slicer, kind)() if kind else None
            if logic is not None:
                logic.SetMRMLApplicationLogic(application_logic)
                logic.SetMRMLScene(scene)
                application_logic.SetModuleLogic(name, logic)
            self._add(qSlicerScriptedLoadableModule(name, logic=logic))

    def _add(self, module: qSlicerScriptedLoadableModule) -> None:
        self._known[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        self.moduleLoaded.emit(module.name)

    def module(self, name: str) -> Any:
        return self._known.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._known)

    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return qSlicerModuleFactoryManager(self)

    def _unload(self, name: str) -> None:
        self.moduleAboutToBeUnloaded.emit(name)
        self._known.pop(name)
