"""What Slicer does and a careless panel forgets: batches, switches of the editor, what is kept."""

from __future__ import annotations

import ast
import gc
import sys
import weakref
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
import vtk
from desk import Desk, segmentations
from panels import MODULE, Panel
from PySide6 import QtCore
from standins import dialogs, session
from standins.segment_editor import qMRMLSegmentEditorWidget
from worker_by_hand import WorkerByHand

from deepgmm.scene.drawing import new_mask
from deepgmm.scene.labels import labels_of

ROOT = Path(__file__).resolve().parents[2]
UI = MODULE.parent / "Resources/UI/DeepGMMSegmentation.ui"


def draw(segmentation, segment: str, volume, voxels) -> None:
    """As an effect of the editor does, on the slices of a volume."""
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        voxels.astype(np.uint8), segmentation, segment, volume)


def layouts_built() -> list[int]:
    """Every time from now on that the views are made anew."""
    built: list[int] = []
    slicer.app.layoutManager().layoutChanged.connect(built.append)
    return built


# Batches

def test_apply_undo_and_a_new_mask_leave_the_views_alone(a_desk_with_a_patient: Desk) -> None:
    desk = a_desk_with_a_patient
    built = layouts_built()
    desk.apply()
    desk.finish()
    desk.ui.undoButton.click()
    new_mask(desk.panel.state.lge)
    desk.panel.settle()
    assert not built
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
    assert built  # the stand-in does as Slicer does


# The end of a run, while the user draws

def begin_to_draw(desk: Desk, segmentation=None) -> qMRMLSegmentEditorWidget:
    editor = desk.ui.segmentEditorWidget
    desk.ui.editorCollapsibleButton.collapsed = False
    if segmentation is not None:
        editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(desk.panel.state.lge)
    editor.setActiveEffectByName("Paint")
    editor.saveStateForUndo()
    editor.segmentationNode().GetSegmentation().AddEmptySegment("a stroke")
    return editor


def can_undo(editor: qMRMLSegmentEditorWidget) -> bool:
    return bool(editor._logic.CanUndo())


def test_a_run_that_ends_leaves_him_who_draws_alone(a_desk_with_a_patient: Desk,
                                                     a_patient_in_the_scene) -> None:
    desk = a_desk_with_a_patient
    desk.apply()
    editor = begin_to_draw(desk)
    desk.finish()
    assert editor.segmentationNode() is a_patient_in_the_scene.mask
    assert editor.activeEffect().name == "Paint" and can_undo(editor)
    assert desk.panel.state.output is not None


def test_another_segmentation_in_the_editor_stays_there(a_desk_with_a_patient: Desk) -> None:
    desk = a_desk_with_a_patient
    desk.apply()
    desk.finish()
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    other.GetSegmentation().AddEmptySegment("one")
    dialogs.answer("Yes")
    desk.apply()
    editor = begin_to_draw(desk, other)
    desk.finish()
    assert editor.segmentationNode() is other and can_undo(editor)
    desk.ui.undoButton.click()
    desk.panel.settle()
    assert editor.segmentationNode() is other


def run_with_a_stroke(desk: Desk, volume, locked: int) -> np.ndarray:
    """A result, a lock, Apply again, and a stroke on the locked slice while it runs."""
    desk.apply()
    desk.finish()
    state = desk.panel.state
    state.slicesOf, state.locked = volume, [locked]
    desk.panel.settle()
    dialogs.answer("Yes")
    desk.apply()
    scar = slicer.util.arrayFromSegmentBinaryLabelmap(state.output, "scar", volume)
    scar[locked] = 0
    inside = labels_of(state.output, volume)[locked] > 0
    scar[locked][inside & (np.cumsum(inside).reshape(inside.shape) < 40)] = 1
    draw(state.output, "scar", volume, scar)
    return scar[locked] > 0


def test_a_stroke_on_a_locked_slice_during_the_run_is_kept(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk, lge = a_desk_with_a_patient, a_patient_in_the_scene.lge
    drawn = run_with_a_stroke(desk, lge, 2)
    dialogs.answer("Yes")
    desk.finish()
    assert "was drawn on while" in dialogs.asked[-1].text
    now = slicer.util.arrayFromSegmentBinaryLabelmap(desk.panel.state.output, "scar", lge)
    np.testing.assert_array_equal(now[2] > 0, drawn)


def test_an_output_drawn_on_during_the_run_is_not_overwritten_against_a_no(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk, lge = a_desk_with_a_patient, a_patient_in_the_scene.lge
    run_with_a_stroke(desk, lge, 2)
    before = labels_of(desk.panel.state.output, lge)
    count = len(segmentations())
    dialogs.answer("Cancel")
    desk.finish()
    np.testing.assert_array_equal(labels_of(desk.panel.state.output, lge), before)
    assert len(segmentations()) == count and "stays as it is" in desk.said


# What is kept, and what is not

def test_one_wrapper_of_the_parameter_node_as_long_as_it_is_the_same(a_panel: Panel) -> None:
    first = a_panel.state
    for _ in range(3):
        a_panel.inside.exit()
        a_panel.inside.enter()
    assert a_panel.state is first
    scene = slicer.mrmlScene
    scene.InvokeEvent(scene.StartImportEvent)
    assert a_panel.state is None
    scene.InvokeEvent(scene.EndImportEvent)
    assert a_panel.state is first


def test_nothing_that_was_observed_is_kept_alive(a_panel: Panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    for half in (a_panel.widget, a_panel.widget.panel):
        assert not isinstance(half, slicer.util.VTKObservationMixin)
    known = a_panel.widget.panel.observers._known
    assert any(one[0] is patient.lge for one in known)
    for node in (patient.lge, patient.mask):
        slicer.mrmlScene.RemoveNode(node)
    a_panel.settle()
    assert not any(one[0] is patient.lge or one[0] is patient.mask for one in known)


def test_an_observer_that_is_removed_lets_its_object_die() -> None:
    from DeepGMMSegmentationLib.observing import Observers

    observers, died, heard = Observers(), [], []
    thing = vtk.vtkObject()
    thing.AddObserver("DeleteEvent", lambda *_: died.append(True))
    for _ in range(2):
        observers.add(thing, vtk.vtkCommand.ModifiedEvent, heard.append)
    observers.remove(thing, vtk.vtkCommand.ModifiedEvent, heard.append)
    observers.remove(thing, vtk.vtkCommand.ModifiedEvent, heard.append)
    thing.Modified()
    del thing
    gc.collect()
    assert died and not heard


def test_only_the_panels_own_widgets_are_its_ui(a_panel: Panel) -> None:
    named = {one.get("name") for one in ElementTree.parse(UI).getroot().iter("widget")}
    assert set(vars(a_panel.ui)) <= named
    assert not hasattr(a_panel.ui, "SegmentationNodeComboBox")
    inside = slicer.util.childWidgetVariables(a_panel.ui.segmentEditorWidget)
    assert hasattr(inside, "SegmentationNodeComboBox")  # as in Slicer


def test_the_segments_are_named_once(a_panel: Panel, a_patient_in_the_scene) -> None:
    a_patient_in_the_scene.choose(a_panel)
    assert a_panel.ui.maskSegmentSelectorLabel.text == "Segments:"
    assert not a_panel.ui.maskSegmentSelector._label.text


def test_a_script_that_waits_leaves_no_run_behind(a_panel: Panel, a_patient_in_the_scene,
                                                  monkeypatch) -> None:
    from DeepGMMSegmentationLib import run as runs

    made: list = []
    timers: list = []

    class Worker(WorkerByHand):
        def poll(self):
            if self.orders:
                self.answers()
            return super().poll()

    class Run(runs.Run):
        def __init__(self) -> None:
            super().__init__(Worker())
            made.append(weakref.ref(self))
            timers.append(self._timer)

    monkeypatch.setattr(runs, "Run", Run)
    patient = a_patient_in_the_scene
    runs.segment_and_wait(lge=patient.lge, t2=patient.t2, bssfp=patient.bssfp, mask=patient.mask)
    # PythonQt keeps what a signal calls, and so its owner, as long as the two are connected
    assert [timer.receivers(QtCore.SIGNAL("timeout()")) for timer in timers] == [0]
    gc.collect()
    assert len(made) == 1 and made[0]() is None


def test_the_path_of_priors_has_no_setting_that_does_nothing() -> None:
    properties = {one.get("name") for one in ElementTree.parse(UI).getroot().iter("property")}
    assert "settingKey" not in properties


# Where the panel cannot be made

def test_a_panel_that_failed_is_left_and_entered_without_an_error(a_scene, monkeypatch) -> None:
    from DeepGMMSegmentationLib import sections

    def fails(ui):
        raise RuntimeError("a library is missing")

    import panels

    monkeypatch.setattr(sections, "make_panel", fails)
    with pytest.raises(RuntimeError):
        panels.open_panel()
    half = slicer.modules.DeepGMMSegmentationWidget
    half.exit()
    half.enter()
    half.exit()
    half.cleanup()
    assert not session.raised()


def test_a_slicer_that_is_too_old_is_told_so_on_the_panel(a_scene, monkeypatch) -> None:
    import panels

    module = sys.modules.get(MODULE.stem) or __import__(MODULE.stem)
    monkeypatch.setattr(module, "_TOO_OLD", True)
    panel = panels.open_panel()
    labels = [one.text for one in slicer.util.findChildren(panel.inside, "tooOldLabel")]
    assert len(labels) == 1 and "needs Slicer 5.10 or newer" in labels[0]
    panel.close()
    # And what such a Slicer reads before it can say so, Python 3.9 can read.
    ast.parse(MODULE.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_the_self_test_skips_the_fit_where_torch_is_absent(monkeypatch) -> None:
    from DeepGMMSegmentationLib import self_test

    done: list[str] = []

    class Test(self_test.SelfTest):
        def __getattribute__(self, name):
            if name in ("load_sample", "open_panel", "choose_nodes", "press_apply"):
                return lambda: done.append(name)
            return super().__getattribute__(name)

    class Skipped(Exception):
        pass

    def skip(why: str) -> None:
        raise Skipped(why)

    monkeypatch.setattr(self_test.dependencies, "missing", lambda: ["torch>=2.2"])
    monkeypatch.delenv(self_test.STRICT, raising=False)
    with pytest.raises(Skipped, match="torch"):
        Test(SimpleNamespace(skipTest=skip)).run()
    assert done == ["load_sample", "open_panel", "choose_nodes"]
