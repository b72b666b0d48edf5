"""What a user chooses in Inputs, and what the panel says of it at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import vtk
from panels import two_segments
from scenes import filled

from deepgmm.scene.inputs import study_from_nodes
from deepgmm.scene.outputs import PROVENANCE
from deepgmm.study.study import Geometry
from deepgmm.study.words import Kind, Role


def said(panel) -> str:
    panel.settle()
    return panel.ui.tissuesLabel.text


def copy_of(node, kind: str = "vtkMRMLScalarVolumeNode"):
    """Another node with the same voxels."""
    other = slicer.mrmlScene.AddNewNodeByClass(kind, "copy")
    other.SetAndObserveImageData(node.GetImageData())
    other.CopyOrientation(node)
    return other


# What will be found

@pytest.mark.parametrize(("roles", "sentence"), [
    (["bssfp"], "Blood and myocardium will be found. With LGE also scar. With T2 also edema."),
    (["lge"], "Blood, myocardium and scar will be found. With T2 also edema."),
    (["bssfp", "lge"], "Blood, myocardium and scar will be found. With T2 also edema."),
    (["t2"], "Blood, myocardium and edema will be found. With LGE also scar."),
    (["lge", "t2"], "Blood, myocardium, edema and scar will be found."),
    (["bssfp", "lge", "t2"], "Blood, myocardium, edema and scar will be found."),
])
def test_any_sequence_may_be_left_empty(a_panel, a_patient_in_the_scene, roles, sentence) -> None:
    for role in roles:
        getattr(a_panel.ui, f"{role}Selector").setCurrentNode(a_patient_in_the_scene.volumes[role])
    assert said(a_panel) == sentence


def test_an_empty_panel_says_what_is_missing(a_panel, a_library) -> None:
    assert "may be left empty" in said(a_panel)
    first, second = a_library.missing(a_panel.state)
    assert "at least one of bSSFP, LGE and T2" in first
    assert "Create LV mask" in second


def test_nothing_is_missing_from_a_whole_patient(a_complete_panel, a_library) -> None:
    assert a_library.missing(a_complete_panel.state) == []
    assert a_library.reference(a_complete_panel.state) is a_complete_panel.state.lge


def test_the_grid_is_lges_else_bssfps(a_complete_panel, a_library, a_patient_in_the_scene) -> None:
    a_complete_panel.ui.lgeSelector.setCurrentNode(None)
    assert a_library.reference(a_complete_panel.state) is a_patient_in_the_scene.bssfp


# What is wrong is said at once

def a_volume_without_voxels(patient):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")


def a_colour_volume(patient):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colours")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 2)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    return node


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda patient: patient.lge, "LGE and T2 are the same volume"),
    (lambda patient: copy_of(patient.t2, "vtkMRMLLabelMapVolumeNode"), "T2 is a labelmap"),
    (a_volume_without_voxels, "T2 is a volume without voxels"),
    (a_colour_volume, "T2 has 3 values a voxel"),
])
def test_a_wrong_volume_is_said_at_once(a_complete_panel, a_library, a_patient_in_the_scene, make,
                                        sentence) -> None:
    a_complete_panel.state.t2 = make(a_patient_in_the_scene)
    assert sentence in said(a_complete_panel)
    (only,) = a_library.missing(a_complete_panel.state)
    assert sentence in only


def test_a_volume_that_is_deleted_is_missing(a_complete_panel, a_library) -> None:
    state = a_complete_panel.state
    for node in (state.bssfp, state.lge, state.t2):
        slicer.mrmlScene.RemoveNode(node)
    assert "may be left empty" in said(a_complete_panel)
    assert "at least one" in a_library.missing(state)[0]
    assert a_library.reference(state) is None


def test_a_mask_that_is_deleted_is_missing(a_complete_panel, a_library) -> None:
    slicer.mrmlScene.RemoveNode(a_complete_panel.state.mask)
    a_complete_panel.settle()
    (only,) = a_library.missing(a_complete_panel.state)
    assert "Choose the LV mask" in only


# Kinds

def guess(panel, role: str) -> str:
    panel.settle()
    return getattr(panel.ui, f"{role}KindGuessLabel").text


def test_a_kind_is_guessed_by_the_name(a_complete_panel, a_patient_in_the_scene) -> None:
    assert guess(a_complete_panel, "lge") == ""
    a_patient_in_the_scene.lge.SetName("12: PSIR SAX")
    assert guess(a_complete_panel, "lge") == "By its name: PSIR (signed)"
    a_patient_in_the_scene.t2.SetName("T2 map MOCO")
    assert guess(a_complete_panel, "t2") == "By its name: T2 map (ms)"


def test_a_kind_that_is_chosen_is_not_guessed(a_complete_panel, a_library,
                                              a_patient_in_the_scene) -> None:
    a_patient_in_the_scene.lge.SetName("12: PSIR SAX")
    combo = a_complete_panel.ui.lgeKindComboBox
    combo.currentIndex = [combo.itemText(i) for i in range(combo.count)].index("Dark blood")
    assert guess(a_complete_panel, "lge") == ""
    assert a_complete_panel.state.lgeKind == Kind.LGE_DARK_BLOOD.value
    study = study_from_nodes(**a_library.arguments(a_complete_panel.state), check=False)
    assert study.sequences[Role.LGE].kind is Kind.LGE_DARK_BLOOD
    combo.currentIndex = 0
    study = study_from_nodes(**a_library.arguments(a_complete_panel.state), check=False)
    assert study.sequences[Role.LGE].kind is Kind.LGE_PSIR  # by its name again


def test_every_kind_can_be_chosen(a_panel) -> None:
    for role in (Role.LGE, Role.T2):
        combo = getattr(a_panel.ui, f"{role.value}KindComboBox")
        values = set()
        for index in range(combo.count):
            combo.currentIndex = index
            values.add(getattr(a_panel.state, f"{role.value}Kind"))
        assert values == {"", *(k.value for k in Kind if k.role is role), "unknown"}


def grid_of(patient) -> dict:
    geometry = patient.phantom.study.geometry
    return {"size": list(patient.lge.GetImageData().GetDimensions()),
            "spacing_mm": list(geometry.spacing), "origin_lps_mm": list(geometry.origin),
            "direction_lps": np.asarray(geometry.direction).tolist()}


def test_what_the_last_run_took_it_for_is_said(a_complete_panel, a_patient_in_the_scene) -> None:
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    output.SetAttribute(PROVENANCE, json.dumps({
        "grid": grid_of(a_patient_in_the_scene),
        "sequences": [{"role": "lge", "kind": "lge-magnitude"},
                      {"role": "t2", "kind": "t2-dark-blood"}]}))
    a_complete_panel.state.output = output
    assert guess(a_complete_panel, "lge") == "Last run: Magnitude"
    assert guess(a_complete_panel, "t2") == "Last run: Dark blood (STIR, SPAIR)"
    a_patient_in_the_scene.lge.SetOrigin(1.0, 2.0, 3.0)  # as if it were another patient's
    assert guess(a_complete_panel, "lge") == ""
    output.SetAttribute(PROVENANCE, "of another version")
    a_complete_panel.state.output = None
    assert guess(a_complete_panel, "lge") == ""


def test_the_kind_of_nothing_cannot_be_chosen(a_panel, a_patient_in_the_scene) -> None:
    a_panel.settle()
    assert not a_panel.ui.lgeKindComboBox.enabled
    a_panel.ui.lgeSelector.setCurrentNode(a_patient_in_the_scene.lge)
    a_panel.settle()
    assert a_panel.ui.lgeKindComboBox.enabled


# RV insertion points

def a_list(*points: tuple[float, float, float]):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "RV")
    for point in points:
        node.AddControlPoint(*point)
    return node


def test_insertion_points_reach_the_study(a_complete_panel, a_library,
                                          a_patient_in_the_scene) -> None:
    study = a_patient_in_the_scene.phantom.study
    assert study.insertion_points is not None
    geometry: Geometry = study.geometry
    ras = [(np.diag([-1, -1, 1, 1]) @ geometry.index_to_world() @ [c, r, 2, 1])[:3]
           for r, c in study.insertion_points[2]]
    a_complete_panel.ui.insertionSelector.setCurrentNode(a_list(*ras))
    assert "insertion" not in said(a_complete_panel)
    found = study_from_nodes(**a_library.arguments(a_complete_panel.state), check=False)
    assert found.insertion_points is not None
    np.testing.assert_allclose(found.insertion_points[2], study.insertion_points[2], atol=1e-4)


@pytest.mark.parametrize(("points", "sentence"), [
    ([], "no RV insertion point yet"), ([(0.0, 0.0, 0.0)], "There is one RV insertion point, and")])
def test_half_placed_points_are_said(a_complete_panel, a_library, points, sentence) -> None:
    node = a_list(*points)
    a_complete_panel.ui.insertionSelector.setCurrentNode(node)
    assert sentence in said(a_complete_panel)
    assert sentence in a_library.missing(a_complete_panel.state)[0]
    for _ in range(2 - len(points)):
        node.AddControlPoint(30.0, 0.0, 0.0)
    assert "insertion" not in said(a_complete_panel)


def test_place_makes_a_list_and_lets_the_user_click(a_complete_panel) -> None:
    a_complete_panel.ui.placeInsertionsButton.click()
    node = a_complete_panel.state.insertionPoints
    selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    interaction = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLInteractionNode")
    assert selection.GetActivePlaceNodeID() == node.GetID()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    a_complete_panel.ui.placeInsertionsButton.click()
    assert a_complete_panel.state.insertionPoints is node  # and no second list


# A cine

@pytest.fixture
def a_cine(a_patient_in_the_scene):
    """The patient's bSSFP as five frames, of which the third fits; the first is shown."""
    study = a_patient_in_the_scene.phantom.study
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    for i in range(5):
        values = np.roll(study.sequences[Role.BSSFP].values, 5 * (i - 2), axis=2)
        sequence.SetDataNodeAtValue(
            filled(slicer.vtkMRMLScalarVolumeNode(), values, study.geometry), str(i))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    return browser.GetProxyNode(sequence)


def test_the_frame_can_only_be_matched_where_there_are_several(
        a_complete_panel, a_patient_in_the_scene, a_cine) -> None:
    a_complete_panel.settle()
    assert not a_complete_panel.ui.matchFrameCheckBox.enabled
    a_complete_panel.ui.bssfpSelector.setCurrentNode(a_cine)
    a_complete_panel.settle()
    assert a_complete_panel.ui.matchFrameCheckBox.enabled
    assert a_complete_panel.ui.matchFrameCheckBox.checked


def test_the_frame_is_matched_or_is_the_one_shown(a_complete_panel, a_library, a_cine) -> None:
    a_complete_panel.ui.bssfpSelector.setCurrentNode(a_cine)
    a_complete_panel.settle()
    found = study_from_nodes(**a_library.arguments(a_complete_panel.state), check=False)
    assert found.provenance["bssfp_phase"]["frame"] == 2
    a_complete_panel.ui.matchFrameCheckBox.checked = False
    a_complete_panel.settle()
    found = study_from_nodes(**a_library.arguments(a_complete_panel.state), check=False)
    assert found.provenance["bssfp_phase"]["frame"] == 0


# Slices left out, and a saved scene

def test_slices_left_out_are_of_this_volume(a_complete_panel, a_library,
                                            a_patient_in_the_scene) -> None:
    state = a_complete_panel.state
    state.excluded = {1: "left out by the user"}
    assert a_library.arguments(state)["excluded"] == {}
    state.slicesOf = a_patient_in_the_scene.lge
    assert a_library.arguments(state)["excluded"] == {1: "left out by the user"}


def test_all_of_it_comes_back_with_a_scene(a_complete_panel, a_patient_in_the_scene,
                                           tmp_path) -> None:
    ids = two_segments(a_patient_in_the_scene, "Blood", "Myocardium")
    state = a_complete_panel.state
    a_complete_panel.settle()
    state.maskSegmentIDs = ids[1:]
    state.lgeKind = "lge-psir"
    state.matchFrame = False
    state.insertionPoints = a_list((0.0, 0.0, 0.0), (40.0, 0.0, 0.0))
    a_complete_panel.settle()
    names = {field: getattr(state, field).GetName()
             for field in ("bssfp", "lge", "t2", "mask", "insertionPoints")}
    text = slicer.mrmlScene
    text.SetSaveToXMLString(1)
    text.SetURL(str(tmp_path / "scene.mrml"))
    assert text.Commit()
    saved = text.GetSceneXMLString()
    text.Clear()
    a_complete_panel.settle()
    assert list(a_complete_panel.ui.maskSegmentSelector.selectedSegmentIDs()) == []
    text.SetLoadFromXMLString(1)
    text.SetSceneXMLString(saved)
    text.Import()
    text.SetLoadFromXMLString(0)
    text.SetSaveToXMLString(0)
    a_complete_panel.settle()

    again = a_complete_panel.state
    assert {field: getattr(again, field).GetName() for field in names} == names
    assert again.lgeKind == "lge-psir" and not again.matchFrame
    assert a_complete_panel.ui.lgeKindComboBox.currentText == "PSIR (signed)"
    assert not a_complete_panel.ui.matchFrameCheckBox.checked


def test_all_slices_left_out_is_said(a_complete_panel, a_library, a_patient_in_the_scene) -> None:
    patient, state = a_patient_in_the_scene, a_complete_panel.state
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(
        patient.mask, patient.mask_segment, patient.lge)
    drawn[0] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        drawn, patient.mask, patient.mask_segment, patient.lge)
    state.slicesOf, state.excluded = patient.lge, {1: "a", 2: "b", 3: "c"}
    assert a_library.missing(state) == []  # slice 4 is left
    state.excluded = {1: "a", 2: "b", 3: "c", 4: "d"}  # and on slice 0 there is no mask
    assert a_library.missing(state) == ["Every slice is left out: tick Use on at least one."]
    a_complete_panel.settle()
    assert not a_complete_panel.ui.applyButton.enabled


def test_a_mask_that_the_result_would_replace_is_said(
        a_complete_panel, a_library, a_patient_in_the_scene) -> None:
    from deepgmm.scene.segments import TAG

    patient, state = a_patient_in_the_scene, a_complete_panel.state
    state.output = patient.mask
    assert a_library.missing(state) == []  # the tissues come beside it
    patient.mask.GetSegmentation().GetSegment(patient.mask_segment).SetTag(TAG, "myocardium")
    (only,) = a_library.missing(state)
    assert only == "The LV mask is the output's own result: choose another output or mask."
