"""The module opened as a user opens it, and a patient for it."""

from __future__ import annotations

import functools
import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from scenes import add_segment, filled
from standins.application import (
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
from standins.main_window import qSlicerMainWindow
from standins.session import settle, wait_until

from deepgmm.phantom.patient import PhantomPatient, make_patient

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "DeepGMMSegmentation" / "DeepGMMSegmentation.py"

#: A patient of the tests: its seed and how many slices it has.
A_PATIENT = (1000, 5)


class Panel:
    """The module's panel.

    Attributes
    ----------
    module : the imported `DeepGMMSegmentation`.
    widget : its `DeepGMMSegmentationWidget`.
    ui : the widgets of the `.ui`, by name.
    inside : the application's half of the widget; `enter`, `exit`.
    """

    def __init__(self, module: Any, known: Any, inside: Any) -> None:
        self.module, self._known, self.inside = module, known, inside
        self._window: Any = None

    @property
    def widget(self) -> Any:
        return self.inside.self()

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def state(self) -> Any:
        return self.widget.panel.state

    def wait_until(self, condition: Any, seconds: float = 10.0) -> None:
        wait_until(condition, seconds)

    def settle(self) -> None:
        settle()

    def window(self, width: int = 1500, height: int = 950) -> Any:
        """The application's window with this panel at its left, shown."""
        if self._window is None:
            self._window = qSlicerMainWindow(self._known.name)
        self._window.resize(width, height)
        self._window.show()
        settle()
        return self._window

    def close(self) -> None:
        """What the application does when it ends."""
        self.inside.exit()
        slicer.app.moduleManager()._unload(self._known.name)
        if self._window is not None:
            self._window._close()
        self.inside.deleteLater()
        settle()


def open_panel() -> Panel:
    """Load the module from its file, as Slicer finds it, and enter it."""
    if str(MODULE.parent) not in sys.path:
        sys.path.insert(0, str(MODULE.parent))
    module = importlib.import_module(MODULE.stem)
    known = qSlicerScriptedLoadableModule(MODULE.stem, str(MODULE))
    getattr(module, MODULE.stem)(known)
    slicer.app.moduleManager()._add(known)
    inside = qSlicerScriptedLoadableModuleWidget()
    known._widget = inside
    inside.setMRMLScene(slicer.mrmlScene)
    inside._set_up(getattr(module, f"{MODULE.stem}Widget"))
    inside.enter()
    return Panel(module, known, inside)


@dataclass
class Patient:
    """A phantom's nodes in the scene."""

    phantom: PhantomPatient
    volumes: dict[str, Any] = field(default_factory=dict)
    mask: Any = None
    mask_segment: str = ""

    @property
    def bssfp(self) -> Any:
        return self.volumes["bssfp"]

    @property
    def lge(self) -> Any:
        return self.volumes["lge"]

    @property
    def t2(self) -> Any:
        return self.volumes["t2"]

    def choose(self, panel: Panel) -> None:
        """Choose everything in a panel's inputs, as a user would."""
        for role, node in self.volumes.items():
            getattr(panel.ui, f"{role}Selector").setCurrentNode(node)
        panel.ui.maskSelector.setCurrentNode(self.mask)
        panel.state.maskSegmentIDs = [self.mask_segment]
        panel.settle()


def put_patient(which: tuple[int, int]) -> Patient:
    """Nodes of a phantom, as if loaded from files."""
    phantom = _phantom(*which)
    study = phantom.study
    patient = Patient(phantom)
    for role, sequence in study.sequences.items():
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", role.name)
        filled(node, sequence.values.astype(np.float32), study.geometry)
        node.CreateDefaultDisplayNodes()
        patient.volumes[role.value] = node
    patient.mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "LV outline")
    patient.mask.CreateDefaultDisplayNodes()
    patient.mask.SetReferenceImageGeometryParameterFromVolumeNode(patient.lge)
    patient.mask_segment = add_segment(patient.mask, "LV", study.mask, study.geometry)
    return patient


def two_segments(patient: Patient, *names: str) -> list[str]:
    """The patient's mask as blood and wall."""
    segmentation = patient.mask.GetSegmentation()
    segmentation.RemoveAllSegments()
    study = patient.phantom.study
    parts = (study.mask & ~patient.phantom.wall, patient.phantom.wall)
    return [add_segment(patient.mask, name, part, study.geometry)
            for name, part in zip(names, parts)]


@functools.cache
def _phantom(seed: int, slices: int) -> PhantomPatient:
    return make_patient(seed, slices=slices)
