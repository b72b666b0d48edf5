"""What a user need not press: views found again, points named, painting kept inside, next steps."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import qt
import slicer
from desk import Desk
from finished import finish
from panels import Panel

from deepgmm.errors import InputError
from deepgmm.scene.drawing import new_mask
from deepgmm.scene.overlay import uncertainty_colours
from deepgmm.study.levels import Numbering
from deepgmm.study.words import COLOURS, Tissue

SEGMENTATION = slicer.vtkMRMLSegmentationNode


@pytest.fixture
def a_ready_panel(a_panel, a_patient_in_the_scene):
    a_patient_in_the_scene.choose(a_panel)
    return a_panel


def test_in_a_result_one_paints_inside_it_until_told_otherwise(
        a_ready_panel: Panel, a_patient_in_the_scene) -> None:
    ui = a_ready_panel.ui
    ui.editorCollapsibleButton.collapsed = False
    node = ui.segmentEditorWidget.mrmlSegmentEditorNode()
    assert node.GetMaskMode() == SEGMENTATION.EditAllowedEverywhere  # the mask is drawn
    finish(a_ready_panel, a_patient_in_the_scene)
    assert ui.segmentEditorWidget.segmentationNode() is a_ready_panel.state.output
    assert node.GetMaskMode() == SEGMENTATION.EditAllowedInsideAllSegments
    node.SetMaskMode(SEGMENTATION.EditAllowedEverywhere)  # the user says so
    ui.segmentEditorWidget.setSegmentationNode(a_patient_in_the_scene.mask)
    ui.segmentEditorWidget.setSegmentationNode(a_ready_panel.state.output)
    assert node.GetMaskMode() == SEGMENTATION.EditAllowedEverywhere


def test_the_review_layout_is_found_again(a_ready_panel: Panel) -> None:
    layouts, button = slicer.app.layoutManager(), a_ready_panel.ui.reviewLayoutButton
    own = layouts.layout
    button.click()
    review = layouts.layout
    assert review != own
    a_ready_panel.inside.exit()
    assert layouts.layout == own
    a_ready_panel.inside.enter()
    a_ready_panel.settle()
    assert layouts.layout == review and button.checked
    button.click()
    a_ready_panel.inside.exit()
    a_ready_panel.inside.enter()
    assert layouts.layout == own


def test_placing_ends_after_two_points_and_names_them(a_ready_panel: Panel) -> None:
    a_ready_panel.ui.placeInsertionsButton.click()
    interaction = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLInteractionNode")
    points = a_ready_panel.state.insertionPoints
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    points.AddControlPoint(1.0, 2.0, 3.0)
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    points.AddControlPoint(11.0, 2.0, 3.0)
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert [points.GetNthControlPointLabel(i) for i in range(2)] == ["anterior", "inferior"]


def layers_of(view: str):
    return slicer.app.layoutManager().sliceWidget(view).mrmlSliceCompositeNode()


def test_uncertainty_lies_over_the_images_and_goes_again(a_desk_with_a_patient: Desk,
                                                         a_patient_in_the_scene) -> None:
    desk, ui = a_desk_with_a_patient, a_desk_with_a_patient.ui
    assert not ui.uncertaintyButton.enabled
    desk.apply()
    desk.finish()
    red = layers_of("Red")
    red.SetForegroundVolumeID(a_patient_in_the_scene.t2.GetID())
    red.SetForegroundOpacity(0.25)
    ui.uncertaintyButton.click()
    volume = desk.panel.state.output.GetNodeReference("DeepGMM.Uncertainty")
    assert red.GetForegroundVolumeID() == volume.GetID() and red.GetForegroundOpacity() > 0.5
    display = desk.panel.state.output.GetDisplayNode()
    assert not display.GetVisibility2DFill()  # it would hide what lies below
    assert volume.GetDisplayNode().GetColorNode() is uncertainty_colours(slicer.mrmlScene)
    ui.reviewLayoutButton.click()
    desk.panel.settle()
    assert layers_of("DeepGMMLGE").GetForegroundVolumeID() == volume.GetID()
    ui.uncertaintyButton.click()
    assert red.GetForegroundVolumeID() == a_patient_in_the_scene.t2.GetID()
    assert red.GetForegroundOpacity() == pytest.approx(0.25) and display.GetVisibility2DFill()
    ui.uncertaintyButton.click()
    desk.ui.undoButton.click()
    desk.panel.settle()
    assert red.GetForegroundVolumeID() == a_patient_in_the_scene.t2.GetID()


def test_a_key_shows_segments_as_all_outline_none(a_ready_panel: Panel,
                                                  a_patient_in_the_scene) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    overlay = next(one for one in a_ready_panel.widget.panel.sections
                   if type(one).__name__ == "OverlaySection")
    display = a_ready_panel.state.output.GetDisplayNode()
    seen = []
    for _ in range(3):
        overlay.next_overlay()
        seen.append((bool(display.GetVisibility()), bool(display.GetVisibility2DFill())))
    assert [one[0] for one in seen] == [True, False, True]
    assert not seen[0][1] and seen[2][1]


#: Machado, Oliveira and Fernandes 2009, severity 1, linear RGB: what is left of colours.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}


def test_nobody_takes_the_outline_of_the_mask_for_edema(a_patient_in_the_scene) -> None:
    mask = new_mask(a_patient_in_the_scene.lge)
    outline = np.array(mask.GetSegmentation().GetNthSegment(0).GetColor())
    for tissue in Tissue:
        colour = np.array(COLOURS[tissue]) / 255
        for matrix in (np.eye(3), *BLIND.values()):
            one, other = (np.clip(np.array(matrix) @ c ** 2.2, 0, 1) ** (1 / 2.2)
                          for c in (outline, colour))
            assert np.linalg.norm(one - other) > 0.35, (tissue, colour)


@pytest.mark.parametrize("towards, numbers", [(1, "1 2 3 4 5"), (-1, "5 4 3 2 1"),
                                              (0, "1 2 3 4 5")])
def test_slices_are_counted_from_the_base(towards: int, numbers: str) -> None:
    numbering = Numbering(5, towards)
    assert [numbering.of(i) for i in range(5)] == list(map(int, numbers.split()))


def test_messages_name_slices_by_number() -> None:
    numbering = Numbering(6, -1)
    assert numbering.in_words("slices 0-2, 5: dim; slice 3 is not, nor 4 mm") == \
        "slices 1, 4-6: dim; slice 3 is not, nor 4 mm"
    assert Numbering().in_words("Slice 0 and slices 1 and 2") == "Slice 1 and slices 2-3"


def test_the_next_step_is_said_and_what_was_used_folds_away(
        a_panel: Panel, a_patient_in_the_scene) -> None:
    ui = a_panel.ui
    assert "load an examination" in ui.nextStepLabel.text
    assert not ui.inputsCollapsibleButton.collapsed
    a_patient_in_the_scene.choose(a_panel)
    a_panel.wait_until(lambda: ui.nextStepLabel.text == "Next: press Apply.")
    ui.maskSelector.setCurrentNode(None)
    a_panel.settle()
    assert "outline the left ventricle" in ui.nextStepLabel.text
    assert not ui.maskCollapsibleButton.collapsed
    a_patient_in_the_scene.choose(a_panel)
    finish(a_panel, a_patient_in_the_scene)
    assert "most uncertain first" in ui.nextStepLabel.text
    assert ui.inputsCollapsibleButton.collapsed and ui.maskCollapsibleButton.collapsed
    ui.inputsCollapsibleButton.collapsed = False  # the user's own wish stays
    a_panel.widget.panel.refresh_now()
    assert not ui.inputsCollapsibleButton.collapsed


def test_volumes_are_chosen_by_name_and_looks(a_panel: Panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    for name, like in (("LGE 4ch", patient.lge), ("scout", patient.lge)):
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        other.CopyContent(like)
        other.SetName(name)
    patient.lge.SetName("12: de_psir_sax")
    patient.t2.SetName("9: T2_STIR sa")
    patient.bssfp.SetName("5: cine trufi SA")
    a_panel.settle()
    a_panel.ui.chooseFromSceneButton.click()
    a_panel.settle()
    state = a_panel.state
    assert (state.bssfp, state.lge, state.t2) == (patient.bssfp, patient.lge, patient.t2)
    assert state.mask is patient.mask


def test_an_examination_is_imported_beside_the_window(a_panel: Panel, tmp_path,
                                                      monkeypatch) -> None:
    import SimpleITK as sitk
    from DeepGMMSegmentationLib import installing

    asked: list[list[str]] = []

    def imports(name, arguments, title, hear):
        """As `deepgmm import` leaves a study."""
        from pathlib import Path

        asked.append(arguments)
        study = Path(arguments[arguments.index("-o") + 1])
        study.mkdir()
        image = sitk.GetImageFromArray(np.arange(60, dtype=np.float32).reshape(3, 4, 5))
        image.SetSpacing((1.5, 1.5, 8.0))
        image.SetOrigin((10.0, 20.0, 30.0))
        sitk.WriteImage(image, str(study / "lge.nii.gz"))
        (study / "study.json").write_text(json.dumps({
            "sequences": {"lge": {"kind": "lge-psir", "is": "LGE", "series": [12],
                                  "slices": [{}, {}, {}]}},
            "left": [{"is": "scout", "series": [1], "view": "", "why": "a scout"}],
            "warnings": []}))

    monkeypatch.setattr(installing, "run_module", imports)
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    a_panel.ui.loadExaminationButton.click()
    a_panel.settle()
    lge = a_panel.state.lge
    assert asked[0][:2] == ["import", str(tmp_path)]
    assert slicer.util.arrayFromVolume(lge).shape == (3, 4, 5)
    assert a_panel.state.lgeKind == "lge-psir"
    assert lge.GetOrigin() == (-10.0, -20.0, 30.0) and lge.GetSpacing() == (1.5, 1.5, 8.0)
    said = a_panel.ui.statusLabel.text
    assert "LGE: LGE, series 12, 3 slices." in said and "Not used: scout (series 1)." in said
    assert str(tmp_path) not in said

    def fails(name, arguments, title, hear):
        hear("Error: no image was found in the folder")
        raise subprocess.CalledProcessError(2, name)

    monkeypatch.setattr(installing, "run_module", fails)
    a_panel.ui.loadExaminationButton.click()
    assert a_panel.ui.statusLabel.text == "No image was found in the folder."
    assert a_panel.state.lge is lge

    def stopped(name, arguments, title, hear):
        raise InputError("It was stopped")

    monkeypatch.setattr(installing, "run_module", stopped)
    a_panel.ui.loadExaminationButton.click()
    assert "stopped" in a_panel.ui.statusLabel.text and a_panel.ui.loadExaminationButton.enabled


def test_the_mask_is_drawn_with_the_short_axis_large_and_the_rest_folded(
        a_ready_panel: Panel) -> None:
    layouts, ui = slicer.app.layoutManager(), a_ready_panel.ui
    own = layouts.layout
    ui.createMaskButton.click()
    a_ready_panel.settle()
    assert layouts.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    assert layers_of("Red").GetBackgroundVolumeID() == a_ready_panel.state.lge.GetID()
    assert ui.inputsCollapsibleButton.collapsed and not ui.editorCollapsibleButton.collapsed
    ui.editorCollapsibleButton.collapsed = True
    assert layouts.layout == own
