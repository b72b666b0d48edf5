"""Propose: the worker's outline comes as a mask to look at, and Apply says so until one has."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import qt
import slicer
from desk import Desk, segmentations
from panels import Panel
from test_refine_button import tick

from deepgmm.jobs.tasks import TASKS
from deepgmm.review.metrics import dice
from deepgmm.scene.inputs import study_from_nodes
from deepgmm.scene.proposals import proposal_in
from deepgmm.scene.read_back import provenance_of


@pytest.fixture
def a_desk_without_mask(a_desk_with_a_patient: Desk) -> Desk:
    desk = a_desk_with_a_patient
    desk.ui.maskSelector.setCurrentNode(None)
    desk.panel.settle()
    return desk


def propose(desk: Desk) -> None:
    desk.ui.proposeMaskButton.click()
    desk.panel.settle()
    desk.finish()


def study_of(desk: Desk):
    from DeepGMMSegmentationLib.inputs import arguments

    return study_from_nodes(**arguments(desk.panel.state), check=False)


def test_propose_stands_first_and_says_what_it_lacks(a_panel: Panel, a_patient_in_the_scene,
                                                     monkeypatch) -> None:
    ui, patient = a_panel.ui, a_patient_in_the_scene
    a_panel.settle()
    row = ui.proposeMaskButton.parentWidget().findChild(qt.QHBoxLayout, "maskButtonsLayout")
    assert [row.itemAt(i).widget().objectName for i in range(2)] == [
        "proposeMaskButton", "createMaskButton"]
    assert not ui.proposeMaskButton.enabled and "Choose LGE" in ui.proposeMaskButton.toolTip
    for selector in (ui.lgeSelector, ui.t2Selector):
        selector.setCurrentNode(patient.lge)
    a_panel.settle()
    assert not ui.proposeMaskButton.enabled and "same volume" in ui.proposeMaskButton.toolTip
    ui.t2Selector.setCurrentNode(None)
    a_panel.settle()
    assert ui.proposeMaskButton.enabled
    monkeypatch.delitem(TASKS, "propose")
    a_panel.widget.panel.refresh_now()
    assert not ui.proposeMaskButton.enabled and "cannot propose" in ui.proposeMaskButton.toolTip


def test_a_proposal_is_a_mask_to_look_at_and_apply_says_so(a_desk_without_mask: Desk,
                                                          a_patient_in_the_scene) -> None:
    desk, ui, truth = a_desk_without_mask, a_desk_without_mask.ui, a_patient_in_the_scene.phantom
    assert "Propose" in ui.nextStepLabel.text and ui.maskLookedAtCheckBox.isHidden()
    propose(desk)
    state = desk.panel.state
    assert desk.worker.orders[-1][0] == "propose" and state.output is None
    assert state.mask not in (None, a_patient_in_the_scene.mask)
    study = study_of(desk)
    assert dice(study.mask, truth.study.mask) > 0.85
    assert "proposed from the images" in ui.maskReportLabel.text
    assert "proposed from the images" in desk.said
    assert not ui.maskLookedAtCheckBox.isHidden() and not ui.maskLookedAtCheckBox.checked
    assert "look at the proposed" in ui.nextStepLabel.text
    assert "look at every slice" in ui.applyButton.toolTip

    desk.apply()
    desk.finish()
    assert "proposed" in desk.said
    assert any("was proposed" in one for one in desk.panel.widget.panel.run.last.warnings)
    given = provenance_of(state.output)["mask_proposal"]
    assert given["proposed"] and given["looked_at"] is False
    assert len(given["confidence"]) == 5 and given["network_sha256"]

    desk.ui.undoButton.click()
    desk.panel.settle()
    ui.maskLookedAtCheckBox.click()
    desk.panel.settle()
    assert ui.maskLookedAtCheckBox.checked and ui.nextStepLabel.text == "Next: press Apply."
    study = study_of(desk)
    assert study.provenance["mask_proposal"]["looked_at"] is True
    assert not any("proposed" in one for one in study.warnings)
    desk.apply()
    desk.finish()
    assert "proposed" not in desk.said
    assert provenance_of(state.output)["mask_proposal"]["looked_at"] is True


def test_with_every_slice_done_nobody_is_asked_to_look_at_the_proposal(
        a_desk_without_mask: Desk) -> None:
    desk = a_desk_without_mask
    propose(desk)
    desk.panel.state.method = "gmm"
    desk.panel.settle()
    desk.apply()
    desk.finish()
    assert "nobody has said that its slices" in desk.said
    for index in range(5):
        tick(desk, index, True)
    desk.refine()
    desk.finish()
    assert "nobody has said that its slices" not in desk.said
    said = provenance_of(desk.panel.state.output)
    assert not any("proposed" in one for one in said["warnings"])


def test_undo_takes_the_proposal_and_its_note(a_desk_without_mask: Desk) -> None:
    desk = a_desk_without_mask
    propose(desk)
    mask, ids = desk.panel.state.mask, list(desk.panel.state.maskSegmentIDs)
    editor = desk.ui.segmentEditorWidget
    assert editor.segmentationNode() is mask and editor.currentSegmentID() == ids[0]
    editor.undo()
    desk.panel.settle()
    assert proposal_in(mask) is None and desk.ui.maskLookedAtCheckBox.isHidden()
    from DeepGMMSegmentationLib.inputs import mask_is_empty

    assert mask_is_empty(desk.panel.state)
    editor.redo()
    desk.panel.settle()
    assert proposal_in(mask, ids) is not None and not desk.ui.maskLookedAtCheckBox.isHidden()


def test_a_drawn_mask_stays_and_cancel_changes_nothing(a_desk_with_a_patient: Desk,
                                                       a_patient_in_the_scene) -> None:
    desk, ui, patient = a_desk_with_a_patient, a_desk_with_a_patient.ui, a_patient_in_the_scene
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge).copy()
    before = segmentations()
    ui.proposeMaskButton.click()
    desk.panel.settle()
    desk.worker.reports(0.5, "outlining")
    desk.look()
    assert ui.proposeMaskButton.text == "Cancel" and ui.progressBar.value == 50
    assert desk.said.startswith("Outlining the left ventricle")
    ui.proposeMaskButton.click()
    desk.worker.has_stopped()
    desk.look()
    assert segmentations() == before and desk.panel.state.mask is patient.mask
    assert ui.proposeMaskButton.text == "Propose" and ui.proposeMaskButton.enabled
    assert "nothing was changed" in desk.said

    propose(desk)
    assert desk.panel.state.mask is not patient.mask and len(segmentations()) == len(before) + 1
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge), drawn)


def test_unsure_and_left_out_slices_are_counted_from_the_base(a_desk_without_mask: Desk,
                                                              monkeypatch) -> None:
    """An answer by hand: the apex first, no ventricle on the grid's last slice."""
    desk = a_desk_without_mask

    def answer(header, arrays, progress):
        mask = np.zeros_like(arrays["mask"])
        for i in range(4):
            mask[i, 40:50 + 5 * i, 40:50 + 5 * i] = True
        empty = np.zeros_like(mask)
        return ({"left_out": [(4, "beyond the base")], "provenance": {"proposed": True},
                 "warnings": ["the LV mask was proposed: look", "it is unsure on slices 0 and 3",
                              "no LV mask is proposed on slice 4"]},
                {"mask": mask, "wall": empty, "pool": mask, "confidence": np.ones(5),
                 "inside": mask.astype(np.float32)})

    monkeypatch.setitem(TASKS, "propose", answer)
    monkeypatch.setattr("worker_by_hand._known", {})
    propose(desk)
    assert desk.ui.maskReportLabel.text.splitlines() == [
        "The LV mask was proposed: look.", "It is unsure on slices 2, 5.",
        "No LV mask is proposed on slice 1."]


def test_what_one_draws_meanwhile_stays(a_desk_without_mask: Desk, a_patient_in_the_scene) -> None:
    desk, lge = a_desk_without_mask, a_patient_in_the_scene.lge
    desk.ui.createMaskButton.click()  # Draw is at hand in the editor
    desk.panel.settle()
    mask = desk.panel.state.mask
    desk.ui.proposeMaskButton.click()
    drawn = np.zeros((5, *lge.GetImageData().GetDimensions()[1::-1]), np.uint8)
    drawn[2, 40:60, 40:60] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, mask, "LV", lge)
    desk.finish()
    assert "stays as it is" in desk.said and desk.panel.state.mask is mask
    np.testing.assert_array_equal(
        slicer.util.arrayFromSegmentBinaryLabelmap(mask, "LV", lge), drawn)
    assert proposal_in(mask) is None


def test_a_mask_that_was_only_begun_is_proposed_in(a_desk_without_mask: Desk) -> None:
    desk, editor = a_desk_without_mask, a_desk_without_mask.ui.segmentEditorWidget
    desk.ui.createMaskButton.click()
    desk.panel.settle()
    mask = desk.panel.state.mask
    propose(desk)
    assert desk.panel.state.mask is mask and proposal_in(mask, ["LV"]) is not None
    editor.undo()
    assert proposal_in(mask) is None


def test_the_note_is_saved_with_the_segment(a_desk_without_mask: Desk, tmp_path) -> None:
    desk = a_desk_without_mask
    propose(desk)
    noted, path = proposal_in(desk.panel.state.mask), str(tmp_path / "mask.seg.nrrd")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(path)
    assert storage.WriteData(desk.panel.state.mask)
    again = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "again")
    assert storage.ReadData(again)
    assert proposal_in(again) == noted and noted["looked_at"] is False


def test_a_worker_without_the_task_says_so() -> None:
    from deepgmm.jobs import service

    said = []
    service._do(({"job": 1, "task": "of a later version", "header": {}}, {}),
                SimpleNamespace(cancelled=lambda job: False),
                SimpleNamespace(say=lambda *what, **words: said.append((what, words))), "")
    (what, words), = said
    assert what == ("failed",) and words["kind"] == "dependencies"
    assert "another DeepGMM" in words["message"]


@pytest.mark.slow
def test_the_real_process_proposes(a_panel: Panel, a_patient_in_the_scene) -> None:
    a_panel.ui.lgeSelector.setCurrentNode(a_patient_in_the_scene.lge)
    a_panel.settle()
    a_panel.ui.proposeMaskButton.click()
    a_panel.wait_until(lambda: not a_panel.widget.panel.run.busy, 120)
    a_panel.settle()
    assert proposal_in(a_panel.state.mask) is not None, a_panel.ui.statusLabel.text


def test_what_the_worker_cannot_do_is_said(a_desk_without_mask: Desk) -> None:
    desk, before = a_desk_without_mask, segmentations()
    desk.ui.proposeMaskButton.click()
    desk.worker.fails("input", "no left ventricle was found in the images: draw the mask")
    desk.look()
    assert desk.said == "No left ventricle was found in the images: draw the mask."
    assert segmentations() == before and desk.panel.state.mask is None


def test_load_examination_reads_a_folder_of_dicom(a_panel: Panel, tmp_path, monkeypatch) -> None:
    """Through the process that Slicer would start, nothing of it stands in."""
    from dicom_files import Examination, a_patient, add_sequences, whole

    from deepgmm.study.words import Role

    patient = a_patient(slices=3)
    exam = Examination(tmp_path / "exam")
    add_sequences(exam, patient, "lge t2")
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(exam.folder))
    a_panel.ui.loadExaminationButton.click()
    a_panel.settle()
    state, said = a_panel.state, a_panel.ui.statusLabel.text
    assert state.lge is not None and state.t2 is not None and state.bssfp is None, said
    for role, node in ((Role.LGE, state.lge), (Role.T2, state.t2)):
        np.testing.assert_allclose(slicer.util.arrayFromVolume(node), whole(patient, role))
        np.testing.assert_allclose(node.GetSpacing(), patient.study.geometry.spacing, atol=1e-5)
    assert "series 31, 3 slices" in said and "series 40, 3 slices" in said
    assert str(exam.folder) not in said and "Doe" not in said
    assert a_panel.ui.proposeMaskButton.enabled
