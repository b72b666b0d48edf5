"""The LV mask is begun, filled and looked over from the panel."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from scenes import add_segment

from deepgmm.scene.inputs import study_from_nodes


@pytest.fixture
def a_widget(a_panel):
    return a_panel.ui.segmentEditorWidget


def report(panel) -> str:
    panel.ui.checkMaskButton.click()
    panel.settle()
    return panel.ui.maskReportLabel.text


def draw(patient, node, mask: np.ndarray, segment_id: str = "LV") -> None:
    """What the user leaves in a segment."""
    node.GetSegmentation().RemoveSegment(segment_id)
    made = add_segment(node, segment_id, mask, patient.phantom.study.geometry, crop=True)
    assert made == f"Segment_{segment_id}"


def test_nothing_can_be_drawn_without_an_image(a_panel) -> None:
    a_panel.settle()
    ui = a_panel.ui
    assert not (ui.createMaskButton.enabled or ui.fillMaskButton.enabled
                or ui.checkMaskButton.enabled)
    assert "Choose LGE" in ui.maskReportLabel.text


def test_create_opens_the_editor_on_lges_grid_with_draw(a_panel, a_widget,
                                                        a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    a_panel.ui.t2Selector.setCurrentNode(patient.t2)
    a_panel.ui.lgeSelector.setCurrentNode(patient.lge)
    a_panel.settle()
    a_panel.ui.createMaskButton.click()
    a_panel.settle()

    mask = a_panel.state.mask
    assert mask is not patient.mask and mask.GetName() == "LV mask"
    role = mask.GetReferenceImageGeometryReferenceRole()
    assert mask.GetNodeReference(role) is patient.lge
    assert list(a_panel.state.maskSegmentIDs) == ["LV"]
    assert a_panel.ui.maskSelector.currentNode() is mask
    assert list(a_panel.ui.maskSegmentSelector.selectedSegmentIDs()) == ["LV"]
    assert a_widget.segmentationNode() is mask and a_widget.sourceVolumeNode() is patient.lge
    assert a_widget.currentSegmentID() == "LV"
    assert a_widget.activeEffect().name == "Draw"
    assert not a_panel.ui.editorCollapsibleButton.collapsed
    assert "blood and wall together" in a_panel.ui.maskReportLabel.text


def test_what_is_drawn_is_what_is_segmented(a_panel, a_patient_in_the_scene) -> None:
    from DeepGMMSegmentationLib.inputs import arguments, missing

    patient = a_patient_in_the_scene
    a_panel.ui.lgeSelector.setCurrentNode(patient.lge)
    a_panel.settle()
    a_panel.ui.createMaskButton.click()
    a_panel.settle()
    assert missing(a_panel.state) == [
        "The LV mask is empty: draw the left ventricle, blood and wall together."]
    draw(patient, a_panel.state.mask, patient.phantom.study.mask)
    a_panel.settle()
    assert missing(a_panel.state) == []
    study = study_from_nodes(**arguments(a_panel.state), check=False)
    np.testing.assert_array_equal(study.mask, patient.phantom.study.mask)


def test_a_second_mask_leaves_the_first(a_panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    a_panel.ui.createMaskButton.click()
    a_panel.settle()
    assert a_panel.state.mask is not patient.mask
    assert patient.mask.GetSegmentation().GetSegment(patient.mask_segment) is not None
    assert patient.mask.GetScene() is slicer.mrmlScene


def test_fill_between_slices_is_one_press(a_panel, a_widget,
                                                            a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge)
    whole = drawn > 0
    drawn[[1, 3]] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        drawn, patient.mask, patient.mask_segment, patient.lge)
    a_panel.ui.fillMaskButton.click()
    a_panel.settle()
    assert a_widget.segmentationNode() is patient.mask and a_widget.activeEffect() is None
    assert a_widget.currentSegmentID() == patient.mask_segment
    filled = slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge) > 0
    assert 2 * (filled & whole)[[1, 3]].sum() > 1.9 * (filled | whole)[[1, 3]].sum()
    assert "were filled" in a_panel.ui.maskReportLabel.text
    a_widget.undo()
    assert not slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge)[[1, 3]].any()
    filled = slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge)
    filled[1:] = 0  # one slice alone
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        filled, patient.mask, patient.mask_segment, patient.lge)
    a_panel.ui.fillMaskButton.click()
    a_panel.settle()
    assert "Nothing was filled" in a_panel.ui.maskReportLabel.text
    a_panel.ui.maskSelector.setCurrentNode(None)
    a_panel.settle()
    assert a_panel.ui.maskReportLabel.text == ""  # it was of that mask


def test_a_good_mask_passes(a_panel, a_patient_in_the_scene) -> None:
    a_patient_in_the_scene.choose(a_panel)
    assert report(a_panel) == "No hole, island or missing slice was found."


def test_slips_are_listed_slice_by_slice(a_panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    mask = patient.phantom.study.mask.copy()
    mask[1] = False
    row, column = np.argwhere(mask[3]).mean(axis=0).astype(int)
    mask[3, row, column] = False
    draw(patient, patient.mask, mask)
    a_panel.settle()
    first, second = report(a_panel).splitlines()
    assert first.startswith("Slice 4: nothing is drawn between slices that are")
    assert second.startswith("Slice 2: a hole of 1 pixel")


def test_a_report_goes_when_the_mask_changes(a_panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    assert report(a_panel)
    draw(patient, patient.mask, patient.phantom.study.mask)
    a_panel.settle()
    assert a_panel.ui.maskReportLabel.text == ""


def test_a_mask_that_cannot_be_used_is_said_without_a_traceback(a_panel,
                                                                a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    study = patient.phantom.study
    for name in ("one", "two"):
        add_segment(patient.mask, name, study.mask, study.geometry)
    a_panel.state.maskSegmentIDs = []
    a_panel.settle()
    assert "choose those that together are the left ventricle" in report(a_panel)


def test_a_report_goes_when_a_voxel_of_the_mask_changes(a_panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    assert report(a_panel)
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge)
    drawn[1] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        drawn, patient.mask, patient.mask_segment, patient.lge)
    a_panel.settle()
    assert a_panel.ui.maskReportLabel.text == ""


def create(panel):
    panel.ui.createMaskButton.click()
    panel.settle()
    return panel.state.mask


def test_a_mask_that_is_still_empty_is_opened_again(a_panel, a_widget,
                                                    a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    a_panel.ui.lgeSelector.setCurrentNode(patient.lge)
    a_panel.settle()
    first = create(a_panel)
    a_panel.ui.editorCollapsibleButton.collapsed = True
    assert create(a_panel) is first
    assert a_widget.activeEffect().name == "Draw" and a_widget.currentSegmentID() == "LV"

    draw(patient, first, patient.phantom.study.mask)
    a_panel.settle()
    second = create(a_panel)
    assert second is not first and second.GetDisplayNode().GetVisibility()
    assert not first.GetDisplayNode().GetVisibility()  # out of sight, but there
    assert first.GetScene() is slicer.mrmlScene


def test_an_empty_mask_of_another_image_is_not_drawn_on(a_panel, a_patient_in_the_scene) -> None:
    a_panel.ui.lgeSelector.setCurrentNode(a_patient_in_the_scene.lge)
    a_panel.settle()
    first = create(a_panel)
    a_panel.ui.lgeSelector.setCurrentNode(a_patient_in_the_scene.t2)
    a_panel.settle()
    assert create(a_panel) is not first
