"""Apply, progress, Cancel: what a user sees, and that the scene is never half changed."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import slicer
from DeepGMMSegmentationLib import dependencies
from DeepGMMSegmentationLib.apply import sentence, time_left
from desk import TISSUES, Desk, names_in, segmentations
from panels import open_panel
from standins import dialogs
from worker_by_hand import WorkerByHand

from deepgmm.errors import InputError
from deepgmm.jobs import client
from deepgmm.jobs.client import State
from deepgmm.scene.labels import labels_of
from deepgmm.scene.segments import our_segments
from deepgmm.study.words import Tissue


def test_apply_says_what_is_missing_a_line_each(a_desk: Desk, a_patient_in_the_scene) -> None:
    button = a_desk.ui.applyButton
    assert not button.enabled
    head, *lines = button.toolTip.splitlines()
    assert head == "Still to do:" and len(lines) == 2
    assert "bSSFP, LGE and T2" in lines[0] and "LV mask" in lines[1]
    a_patient_in_the_scene.choose(a_desk.panel)
    assert button.enabled and button.text == "Apply"
    assert button.toolTip == "Segment the left ventricle with the choices above."


def test_the_worker_is_started_ahead_once_the_inputs_are_complete(
        a_desk: Desk, a_patient_in_the_scene) -> None:
    assert a_desk.worker.started == 0
    a_patient_in_the_scene.choose(a_desk.panel)
    assert a_desk.worker.started == 1
    a_desk.panel.widget.panel.refresh_now()
    assert a_desk.worker.started == 1
    a_desk.worker.is_ready()
    a_desk.look()
    assert a_desk.ui.deviceLabel.text.startswith("Runs on the CPU")


def test_no_worker_is_started_ahead_where_packages_are_missing(
        a_desk: Desk, a_patient_in_the_scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "missing", lambda: ["torch>=2.2"])
    a_patient_in_the_scene.choose(a_desk.panel)
    assert a_desk.ui.applyButton.enabled  # Apply asks for them
    assert a_desk.worker.started == 0


def test_apply_shows_its_progress_and_then_the_result(a_desk_with_a_patient: Desk) -> None:
    desk, ui = a_desk_with_a_patient, a_desk_with_a_patient.ui
    assert not ui.progressBar.visible
    desk.apply()
    assert ui.applyButton.text == "Cancel" and ui.applyButton.enabled
    assert desk.said == "Starting..." and not ui.progressBar.isHidden()
    desk.worker.reports(0.43, "anchored EM", 12.3)
    desk.look()
    assert ui.progressBar.value == 43
    assert desk.said == "Fitting the mixture, all 5 slices at once, about 12 s left"
    desk.worker.reports(0.6, "network, slice 3", 100.0)
    desk.look()
    assert desk.said == "Fitting the network, slice 2, about 2 min left"
    desk.finish()
    assert ui.applyButton.text == "Apply" and ui.progressBar.isHidden()
    assert desk.said.startswith("Done in ") and "check every slice" in desk.said
    assert names_in(desk.panel.state.output) == TISSUES
    assert not dialogs.asked


def test_settings_and_choices_reach_the_worker(a_desk_with_a_patient: Desk) -> None:
    desk, state = a_desk_with_a_patient, a_desk_with_a_patient.panel.state
    state.method, state.seed, state.biasDegree = "gmm", 5, 2
    state.lgeKind = "lge-psir"
    desk.panel.settle()
    desk.apply()
    (task, header, arrays), = desk.worker.orders
    assert task == "segment"
    assert (header["settings"]["method"], header["settings"]["seed"],
            header["settings"]["bias_degree"]) == ("gmm", 5, 2)
    assert header["study"]["kinds"]["lge"] == "lge-psir" and "lge" not in header["guess"]
    assert arrays["mask"].sum() > 0


def test_missing_packages_are_asked_for_before_anything_else(
        a_desk_with_a_patient: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = a_desk_with_a_patient

    def refused() -> None:
        raise InputError("nothing was installed: press Apply to be asked again")

    monkeypatch.setattr(dependencies, "ensure", refused)
    desk.apply()
    assert desk.said == "Nothing was installed: press Apply to be asked again."
    assert not desk.worker.orders and desk.ui.applyButton.text == "Apply"


def test_wrong_inputs_are_said_and_nothing_is_started(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk = a_desk_with_a_patient
    slicer.util.updateVolumeFromArray(
        a_patient_in_the_scene.t2, slicer.util.arrayFromVolume(a_patient_in_the_scene.lge))
    desk.apply()
    assert desk.said.startswith("LGE and T2 hold the same voxels")
    assert not desk.worker.orders


@pytest.mark.parametrize("answer, nodes, inside", [
    ("Yes", 2, ["Blood", "Edema", "Myocardium", "Scar"]), ("No", 3, None), ("Cancel", 2, None)])
def test_an_earlier_result_is_never_overwritten_without_a_question(
        a_desk_with_a_patient: Desk, answer: str, nodes: int, inside) -> None:
    desk = a_desk_with_a_patient
    desk.apply()
    desk.finish()
    first = desk.panel.state.output
    dialogs.answer(answer)
    desk.apply()
    asked, = dialogs.asked
    assert asked.buttons == ("Yes", "No", "Cancel")
    assert first.GetName() in asked.text and "Replace these segments" in asked.text
    if answer == "Cancel":
        assert len(desk.worker.orders) == 1 and desk.ui.applyButton.text == "Apply"
    else:
        desk.finish()
    assert len(segmentations()) == nodes
    assert names_in(first) == TISSUES
    assert (desk.panel.state.output is first) == (answer != "No")


def test_segments_of_the_user_stay_beside_the_tissues(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk, mask = a_desk_with_a_patient, a_patient_in_the_scene.mask
    desk.panel.state.output = mask
    dialogs.answer("Yes")
    desk.apply()
    assert "a segment that DeepGMM did not make" in dialogs.asked[0].text
    desk.finish()
    assert names_in(mask) == sorted([*TISSUES, "LV"])


def test_undo_in_the_panels_editor_brings_back_what_apply_replaced(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk, lge = a_desk_with_a_patient, a_patient_in_the_scene.lge
    desk.apply()
    desk.finish()
    output = desk.panel.state.output
    scar = our_segments(output)[Tissue.SCAR]
    corrected = np.zeros_like(labels_of(output, lge))
    corrected[1, 40:44, 40:44] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(corrected, output, scar, lge)
    before = labels_of(output, lge)
    dialogs.answer("Yes")
    desk.apply()
    desk.finish()
    assert (labels_of(output, lge) != before).any()
    desk.ui.segmentEditorWidget.undo()
    assert (labels_of(output, lge) == before).all()


def test_where_nobody_can_answer_a_new_segmentation_is_made(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene, monkeypatch) -> None:
    desk = a_desk_with_a_patient
    monkeypatch.setattr(type(slicer.app), "testingEnabled", staticmethod(lambda: True))
    desk.panel.state.output = a_patient_in_the_scene.mask
    desk.apply()
    desk.finish()
    assert not dialogs.asked and names_in(a_patient_in_the_scene.mask) == ["LV"]
    assert names_in(desk.panel.state.output) == TISSUES


def test_cancel_stops_and_changes_nothing(a_desk_with_a_patient: Desk) -> None:
    desk, button = a_desk_with_a_patient, a_desk_with_a_patient.ui.applyButton
    desk.apply()
    desk.apply()
    assert desk.worker.state is State.CANCELLING
    assert button.text == "Stopping..." and not button.enabled
    desk.worker.has_stopped()
    desk.look()
    assert desk.said == "Cancelled: nothing was changed."
    assert button.text == "Apply" and button.enabled
    assert len(segmentations()) == 1 and desk.panel.state.output is None
    desk.apply()
    desk.finish()
    assert names_in(desk.panel.state.output) == TISSUES


def test_a_press_while_a_question_is_open_does_nothing(
        a_desk_with_a_patient: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = a_desk_with_a_patient
    monkeypatch.setattr(dependencies, "ensure", desk.ui.applyButton.click)
    desk.apply()
    assert len(desk.worker.orders) == 1 and desk.worker.state is State.BUSY


MEANT = {
    "input": "The mask is empty on slice 2: draw it. ",
    "computation": "The fit came to no finite result. Nothing in the scene was changed.",
    "memory": "Not enough memory: close other programs. Nothing in the scene was changed.",
    "dependencies": "Torch is not installed: install it. Nothing in the scene was changed.",
    "crash": "The background process ended; try again. Nothing in the scene was changed.",
}


@pytest.mark.parametrize("kind", MEANT)
def test_each_failure_is_said_plainly_and_leaves_the_scene(
        a_desk_with_a_patient: Desk, kind: str) -> None:
    desk = a_desk_with_a_patient
    count = slicer.mrmlScene.GetNumberOfNodes()
    desk.apply()
    first = MEANT[kind].split(". ")[0].removesuffix(".")
    # The worker names slices by index; the phantom's last of five is the base, and counted first.
    desk.worker.fails(kind, (first[0].lower() + first[1:]).replace("slice 2", "slice 3"))
    desk.look()
    assert desk.said == MEANT[kind].strip()
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert desk.ui.applyButton.text == "Apply" and desk.ui.applyButton.enabled
    assert MEANT[kind].strip() in desk.ui.logTextEdit.toPlainText()


def test_what_the_worker_prints_is_in_the_log_only(a_desk_with_a_patient: Desk) -> None:
    desk = a_desk_with_a_patient
    desk.worker.ends_for_good()
    desk.look()
    assert "the worker ended 3 times" in desk.ui.logTextEdit.toPlainText()
    assert desk.said == ""


def test_closing_the_scene_stops_the_run(a_desk_with_a_patient: Desk) -> None:
    desk = a_desk_with_a_patient
    desk.apply()
    slicer.mrmlScene.Clear(0)
    desk.panel.settle()
    assert desk.worker.state is State.CANCELLING
    desk.worker.answers()  # too late
    desk.look()
    assert not segmentations() and desk.panel.state is not None
    assert not desk.ui.applyButton.enabled and desk.ui.applyButton.text == "Apply"


def test_quitting_ends_the_worker(a_desk_with_a_patient: Desk) -> None:
    desk = a_desk_with_a_patient
    desk.apply()
    slicer.app.aboutToQuit.emit()
    assert desk.worker.closed == 1
    desk.panel.settle()
    assert desk.worker.started == 1  # and none is started anew


def test_the_end_of_the_panel_ends_the_worker(
        a_patient_in_the_scene, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerByHand()
    monkeypatch.setattr(client, "Worker", lambda: worker)
    panel = open_panel()
    a_patient_in_the_scene.choose(panel)
    panel.ui.applyButton.click()
    run = panel.widget.panel.run
    panel.close()
    assert worker.closed == 1 and not run.busy and not run.listeners


def test_choices_changed_while_it_runs_are_said(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk, state = a_desk_with_a_patient, a_desk_with_a_patient.panel.state
    desk.apply()
    state.method = "gmm"
    state.output = a_patient_in_the_scene.mask
    desk.panel.settle()
    desk.finish()
    assert "when you pressed Apply" in desk.said
    assert state.output is a_patient_in_the_scene.mask  # the user's later choice
    assert any(our_segments(node) for node in segmentations())


def test_another_deepgmm_elsewhere_is_told(a_desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(dependencies, "other_version", lambda: "0.0.3")
    a_desk.panel.wait_until(lambda: a_desk.said, 30)
    assert "DeepGMM 0.0.3 elsewhere" in a_desk.said


def test_with_a_true_worker_apply_cancel_and_a_kill_from_outside(
        a_panel, a_patient_in_the_scene) -> None:
    panel, ui = a_panel, a_panel.ui
    run = panel.widget.panel.run
    a_patient_in_the_scene.choose(panel)
    ui.applyButton.click()
    panel.wait_until(lambda: not run.busy, 60)
    assert names_in(panel.state.output) == TISSUES

    first, panel.state.output = panel.state.output, None
    panel.state.method, panel.state.preset = "deepsvg", "paper"
    ui.applyButton.click()
    panel.wait_until(lambda: run.stage, 30)
    ui.applyButton.click()
    panel.wait_until(lambda: not run.busy, 10)
    assert ui.statusLabel.text == "Cancelled: nothing was changed."

    ui.applyButton.click()
    panel.wait_until(lambda: run.stage, 30)
    os.kill(run._worker.pid, signal.SIGKILL)
    panel.wait_until(lambda: not run.busy, 10)
    assert ui.statusLabel.text.startswith("The background process ended")
    assert segmentations() == [a_patient_in_the_scene.mask, first]


def test_words_for_progress_and_messages() -> None:
    assert time_left(0.2) == "about 1 s left" and time_left(150) == "about 2 min left"
    assert sentence("bSSFP is empty") == "bSSFP is empty." and sentence("done!") == "Done!"


@pytest.mark.parametrize("said, here", [
    ("look at the images, and move them (--align shift)",
     "Look at the images, and move them (Shift under Alignment with LGE)."),
    ("that (--mvo of segment labels it)", "That (Microvascular obstruction as a segment of its own "
     "under Segmentation, Advanced labels it)."),
    ("say --lge-kind if that is wrong", "Say LGE kind if that is wrong."),
    ("which keeps 1-3 (--slices 1-3)", "Which keeps 1-3.")])
def test_options_of_the_command_line_are_named_as_the_panel_does(said, here, a_panel) -> None:
    assert sentence(said) == here
    if "Alignment with LGE" in here:
        assert "Shift" in [a_panel.ui.alignComboBox.itemText(i) for i in range(4)]
        assert a_panel.ui.alignComboBoxLabel.text == "Alignment with LGE:"
    if "Advanced" in here:
        box, group = a_panel.ui.keepMvoCheckBox, a_panel.ui.advancedGroupBox
        assert box.text in here and group.isAncestorOf(box) and group.title == "Advanced"
        section = a_panel.ui.segmentationCollapsibleButton
        assert section.isAncestorOf(group) and section.text == "Segmentation"
