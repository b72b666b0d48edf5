"""Which segments of an LV mask are taken: by themselves, by the user's choice, or none."""

from __future__ import annotations

import numpy as np
import slicer
from panels import two_segments
from scenes import add_segment, filled

from deepgmm.scene.inputs import study_from_nodes


def shown(panel) -> list[str]:
    panel.settle()
    return list(panel.ui.maskSegmentSelector.selectedSegmentIDs())


def test_the_only_segment_is_taken_by_itself(a_panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    a_panel.ui.maskSelector.setCurrentNode(patient.mask)
    assert shown(a_panel) == [patient.mask_segment] == list(a_panel.state.maskSegmentIDs)


def test_blood_and_wall_are_taken_together_and_kept_apart(a_panel, a_library,
                                                          a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    ids = two_segments(patient, "Blood", "Myocardium")
    a_panel.ui.lgeSelector.setCurrentNode(patient.lge)
    a_panel.ui.maskSelector.setCurrentNode(patient.mask)
    assert shown(a_panel) == ids
    study = study_from_nodes(**a_library.arguments(a_panel.state), check=False)
    np.testing.assert_array_equal(study.mask, patient.phantom.study.mask)
    np.testing.assert_array_equal(study.wall, patient.phantom.wall)


def test_segments_that_say_nothing_are_asked_for(a_panel, a_library,
                                                 a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    ids = two_segments(patient, "one", "two")
    a_panel.ui.lgeSelector.setCurrentNode(patient.lge)
    a_panel.ui.maskSelector.setCurrentNode(patient.mask)
    assert shown(a_panel) == []
    assert "Choose the segments" in a_library.missing(a_panel.state)[0]
    a_panel.ui.maskSegmentSelector.setSelectedSegmentIDs(ids)
    assert shown(a_panel) == ids == list(a_panel.state.maskSegmentIDs)
    assert a_library.missing(a_panel.state) == []


def test_the_users_choice_of_segments_stays(a_panel, a_patient_in_the_scene) -> None:
    ids = two_segments(a_patient_in_the_scene, "Blood", "Myocardium")
    a_panel.ui.maskSelector.setCurrentNode(a_patient_in_the_scene.mask)
    a_panel.settle()
    a_panel.ui.maskSegmentSelector.setSelectedSegmentIDs(ids[:1])
    assert shown(a_panel) == ids[:1]
    a_patient_in_the_scene.mask.GetSegmentation().GetSegment(ids[0]).SetName("something else")
    assert shown(a_panel) == ids[:1] == list(a_panel.state.maskSegmentIDs)


def test_segments_that_a_script_chose_with_the_mask_stay(a_panel, a_patient_in_the_scene) -> None:
    ids = two_segments(a_patient_in_the_scene, "Blood", "Myocardium")
    a_panel.settle()
    a_panel.state.mask = a_patient_in_the_scene.mask
    a_panel.state.maskSegmentIDs = ids[1:]
    assert shown(a_panel) == ids[1:] == list(a_panel.state.maskSegmentIDs)


def test_another_mask_has_its_own_segments(a_panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    a_panel.ui.maskSelector.setCurrentNode(patient.mask)
    assert shown(a_panel) == [patient.mask_segment]
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    study = patient.phantom.study
    for name in ("RV", "LV"):
        add_segment(other, name, study.mask, study.geometry)
    a_panel.ui.maskSelector.setCurrentNode(other)
    assert shown(a_panel) == ["Segment_LV"]
    a_panel.ui.maskSelector.setCurrentNode(None)
    a_panel.settle()
    assert list(a_panel.state.maskSegmentIDs) == []


def test_a_segment_that_is_deleted_is_no_longer_chosen(a_panel, a_patient_in_the_scene) -> None:
    ids = two_segments(a_patient_in_the_scene, "Blood", "Myocardium")
    a_panel.ui.maskSelector.setCurrentNode(a_patient_in_the_scene.mask)
    assert shown(a_panel) == ids
    a_patient_in_the_scene.mask.GetSegmentation().RemoveSegment(ids[0])
    assert shown(a_panel) == ids[1:] == list(a_panel.state.maskSegmentIDs)


def test_an_empty_mask_is_said_until_it_is_drawn(a_complete_panel, a_library,
                                                 a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    segmentation = patient.mask.GetSegmentation()
    segmentation.RemoveAllSegments()
    a_complete_panel.settle()
    assert "has no segment" in a_library.missing(a_complete_panel.state)[0]
    segmentation.AddEmptySegment("LV", "LV")
    a_complete_panel.settle()
    assert "is empty" in a_library.missing(a_complete_panel.state)[0]
    segmentation.RemoveAllSegments()
    add_segment(patient.mask, "LV", patient.phantom.study.mask, patient.phantom.study.geometry)
    a_complete_panel.settle()
    assert a_library.missing(a_complete_panel.state) == []


def test_a_labelmap_is_a_mask_too_and_has_no_segments(a_panel, a_library,
                                                      a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    study = patient.phantom.study
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    filled(labels, study.mask.astype(np.uint8), study.geometry)
    patient.choose(a_panel)
    a_panel.ui.maskSelector.setCurrentNode(labels)
    a_panel.settle()
    assert a_panel.ui.maskSegmentSelector.isHidden()
    assert a_library.missing(a_panel.state) == []
    found = study_from_nodes(**a_library.arguments(a_panel.state), check=False)
    np.testing.assert_array_equal(found.mask, study.mask)
