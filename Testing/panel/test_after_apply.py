"""After Apply: the editor, undo, locks, and what is said when choices or patients change."""

from __future__ import annotations

import slicer
from desk import Desk, segmentations
from panels import A_PATIENT, put_patient
from standins import dialogs


def test_after_apply_the_editor_is_on_the_result(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk, patient = a_desk_with_a_patient, a_patient_in_the_scene
    editor = desk.ui.segmentEditorWidget
    desk.ui.editorCollapsibleButton.collapsed = False
    assert editor.segmentationNode() is patient.mask
    desk.apply()
    desk.finish()
    assert editor.segmentationNode() is desk.panel.state.output
    assert editor.sourceVolumeNode() is patient.lge
    dialogs.answer("Yes")
    desk.apply()
    desk.finish()
    assert editor.segmentationNode() is desk.panel.state.output
    assert editor.sourceVolumeNode() is patient.lge


def test_undo_of_a_new_segmentation_goes_back_to_the_earlier(a_desk_with_a_patient: Desk) -> None:
    desk, state = a_desk_with_a_patient, a_desk_with_a_patient.panel.state
    desk.apply()
    desk.finish()
    first = state.output
    dialogs.answer("No")
    desk.apply()
    desk.finish()
    assert state.output is not first
    desk.ui.undoButton.click()
    desk.panel.settle()
    assert state.output is first and len(segmentations()) == 2
    assert desk.ui.segmentsTableView.segmentationNode() is first
    assert not desk.ui.numbersTable.isHidden()


def test_locks_reach_a_new_segmentation(a_desk_with_a_patient: Desk,
                                        a_patient_in_the_scene) -> None:
    desk, state = a_desk_with_a_patient, a_desk_with_a_patient.panel.state
    desk.apply()
    desk.finish()
    state.slicesOf, state.locked = a_patient_in_the_scene.lge, [2]
    desk.panel.settle()
    dialogs.answer("No")
    desk.apply()
    assert desk.worker.orders[-1][1]["locked"] == [2]


def test_wrong_inputs_are_said_before_any_question(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk = a_desk_with_a_patient
    desk.apply()
    desk.finish()
    slicer.util.updateVolumeFromArray(
        a_patient_in_the_scene.t2, slicer.util.arrayFromVolume(a_patient_in_the_scene.lge))
    desk.apply()
    assert desk.said.startswith("LGE and T2 hold the same voxels") and not dialogs.asked


def test_a_result_of_earlier_choices_says_so(a_desk_with_a_patient: Desk,
                                             a_patient_in_the_scene) -> None:
    desk, state = a_desk_with_a_patient, a_desk_with_a_patient.panel.state
    changed = "The choices have changed since this result"
    desk.apply()
    desk.finish()
    assert changed not in desk.ui.numbersLabel.text
    state.method = "gmm"
    desk.panel.settle()
    assert desk.ui.numbersLabel.text.startswith(changed)
    state.method = "auto"
    desk.panel.settle()
    assert changed not in desk.ui.numbersLabel.text
    state.slicesOf, state.excluded = a_patient_in_the_scene.lge, {1: "blurred"}
    desk.panel.settle()
    assert desk.ui.numbersLabel.text.startswith(changed)


def test_another_patients_images_leave_the_first_ones_result(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    desk, state = a_desk_with_a_patient, a_desk_with_a_patient.panel.state
    desk.apply()
    desk.finish()
    first = state.output
    desk.ui.lgeSelector.setCurrentNode(None)  # T2 lies on the same grid
    desk.panel.settle()
    assert state.output is first
    other = put_patient(A_PATIENT)
    for node in (*other.volumes.values(), other.mask):
        getattr(node, "SetOrigin", lambda *_place: None)(7.0, 8.0, 9.0)
    other.choose(desk.panel)
    desk.panel.settle()
    assert state.output is None and first.GetScene() is slicer.mrmlScene
    assert "of another image" in desk.said
    assert desk.ui.numbersLabel.text == "There is no result yet."
    assert desk.ui.lgeKindGuessLabel.text == ""


def test_one_warning_is_one() -> None:
    from types import SimpleNamespace

    from DeepGMMSegmentationLib.apply import about_done

    assert about_done(SimpleNamespace(seconds=1.0, warnings=["one"])).endswith(
        "1 warning, under Results.")
    assert "2 warnings" in about_done(SimpleNamespace(seconds=1.0, warnings=["one", "two"]))
