"""The embedded editor: opened when it is needed, and out of everyone's way otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from scenes import add_segment, voxels_in_ras


@pytest.fixture
def an_editor(a_panel):
    """The section of the panel that owns the editor."""
    return a_panel.widget.panel.sections[-1]


@pytest.fixture
def a_widget(a_panel):
    return a_panel.ui.segmentEditorWidget


def holds_views(widget) -> bool:
    return widget._views_observed and widget._keyboard is not None


def editor_nodes() -> int:
    return slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode")


def test_it_costs_nothing_before_it_is_needed(a_panel, a_widget) -> None:
    assert a_panel.ui.editorCollapsibleButton.collapsed
    assert editor_nodes() == 0
    assert a_widget.mrmlSegmentEditorNode() is None


def test_show_opens_it_with_effect_and_segment(a_panel, an_editor, a_widget,
                                               a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    an_editor.show(patient.mask, patient.lge, "Draw", patient.mask_segment)
    assert not a_panel.ui.editorCollapsibleButton.collapsed
    assert a_widget.segmentationNode() is patient.mask
    assert a_widget.sourceVolumeNode() is patient.lge
    assert a_widget.currentSegmentID() == patient.mask_segment
    assert a_widget.activeEffect().name == "Draw"
    assert holds_views(a_widget)
    an_editor.show(patient.mask, patient.lge)
    assert a_widget.activeEffect().name == "Draw"  # nobody asked for another
    assert editor_nodes() == 1


def test_leaving_the_module_gives_views_and_keyboard_back(a_panel, an_editor, a_widget,
                                                          a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    an_editor.show(patient.mask, patient.lge, "Draw", patient.mask_segment)
    a_panel.inside.exit()
    assert a_widget.activeEffect() is None
    assert not a_widget._views_observed and a_widget._keyboard is None
    a_panel.inside.enter()
    assert holds_views(a_widget)
    assert a_widget.segmentationNode() is patient.mask


def test_closing_its_section_gives_them_back_and_opening_takes_them(
        a_panel, an_editor, a_widget, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    an_editor.show(patient.mask, patient.lge, "Draw")
    a_panel.ui.editorCollapsibleButton.collapsed = True
    assert a_widget.activeEffect() is None and not holds_views(a_widget)
    a_panel.inside.exit()
    a_panel.inside.enter()
    assert not holds_views(a_widget)  # still out of sight
    a_panel.ui.editorCollapsibleButton.collapsed = False
    assert holds_views(a_widget)


def test_opened_by_the_user_it_shows_the_result_or_else_the_mask(
        a_panel, a_widget, a_patient_in_the_scene) -> None:
    a_patient_in_the_scene.choose(a_panel)
    a_panel.ui.editorCollapsibleButton.collapsed = False
    assert a_widget.segmentationNode() is a_patient_in_the_scene.mask
    assert a_widget.sourceVolumeNode() is a_patient_in_the_scene.lge


def test_what_was_saved_comes_back_with_undo(an_editor, a_widget, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    before = voxels_in_ras(patient.mask, patient.mask_segment)
    an_editor.save_for_undo(patient.mask)
    segmentation = patient.mask.GetSegmentation()
    segmentation.RemoveSegment(patient.mask_segment)
    add_segment(patient.mask, "other", patient.phantom.wall, patient.phantom.study.geometry)
    a_widget.undo()
    assert [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())] \
        == [patient.mask_segment]
    np.testing.assert_array_equal(voxels_in_ras(patient.mask, patient.mask_segment), before)


def test_saving_twice_keeps_both_states(an_editor, a_widget, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    segment = patient.mask.GetSegmentation().GetSegment(patient.mask_segment)
    for name in ("first", "second", "third"):
        segment = patient.mask.GetSegmentation().GetSegment(patient.mask_segment)
        segment.SetName(name)
        an_editor.save_for_undo(patient.mask)
    segment.SetName("fourth")
    for name in ("third", "second"):
        a_widget.undo()
        assert patient.mask.GetSegmentation().GetSegment(patient.mask_segment).GetName() == name


def test_nothing_to_save_is_no_error(an_editor, a_patient_in_the_scene) -> None:
    an_editor.save_for_undo(None)
    slicer.mrmlScene.RemoveNode(a_patient_in_the_scene.mask)
    an_editor.save_for_undo(a_patient_in_the_scene.mask)
    assert editor_nodes() == 0


def test_a_closed_scene_lets_go_and_another_is_edited(a_panel, an_editor, a_widget,
                                                      a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    an_editor.show(patient.mask, patient.lge, "Draw", patient.mask_segment)
    slicer.mrmlScene.Clear()
    a_panel.settle()
    assert a_widget.segmentationNode() is None and not holds_views(a_widget)
    from panels import A_PATIENT, put_patient

    other = put_patient(A_PATIENT)
    an_editor.show(other.mask, other.lge, "Paint")
    assert a_widget.segmentationNode() is other.mask
    assert editor_nodes() == 1


def test_saving_for_undo_changes_nothing_that_is_shown(an_editor, a_widget,
                                                       a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    red.SetBackgroundVolumeID(patient.t2.GetID())
    an_editor.save_for_undo(patient.mask)
    assert a_widget.sourceVolumeNode() is patient.lge  # the mask's own
    assert red.GetBackgroundVolumeID() == patient.t2.GetID()
    an_editor.show(patient.mask, patient.bssfp)
    assert red.GetBackgroundVolumeID() == patient.bssfp.GetID()


def test_after_saving_for_undo_there_is_an_image_to_draw_on(
        a_panel, an_editor, a_widget, a_patient_in_the_scene) -> None:
    a_patient_in_the_scene.choose(a_panel)
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    an_editor.save_for_undo(output)
    assert a_widget.segmentationNode() is output
    assert a_widget.sourceVolumeNode() is a_patient_in_the_scene.lge


def test_it_follows_to_the_result_from_the_mask_and_from_nothing_else(
        a_panel, an_editor, a_widget, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    patient.choose(a_panel)
    result, other = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode") for _ in "12")
    an_editor.follow(result, patient.mask)
    assert editor_nodes() == 0  # it was not opened yet
    an_editor.show(other, patient.t2, "Draw")
    an_editor.follow(result, patient.mask)
    assert a_widget.segmentationNode() is other and a_widget.activeEffect().name == "Draw"
    an_editor.show(patient.mask, patient.t2, "Draw")
    an_editor.follow(result, patient.mask)
    assert a_widget.segmentationNode() is patient.mask  # he draws
    a_widget.setActiveEffectByName("")
    an_editor.follow(result, patient.mask)
    assert a_widget.segmentationNode() is result and a_widget.sourceVolumeNode() is patient.lge
    assert holds_views(a_widget)
    an_editor.forget(result)
    assert a_widget.segmentationNode() is None
    an_editor.follow(result)
    assert a_widget.segmentationNode() is result
