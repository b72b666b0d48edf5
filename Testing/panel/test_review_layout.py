"""The review layout: three views of the same slice, and the user's own layout again."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from finished import finish, open_again
from panels import A_PATIENT, open_panel, put_patient

from deepgmm.scene.places import as_array, ijk_to_ras

from DeepGMMSegmentationLib.review_layout import (  # isort: skip
    LAYOUT, description, register, view_name)
from deepgmm.study.words import Role  # isort: skip

FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
CONVENTIONAL = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView


@pytest.fixture
def a_ready_panel(a_panel, a_patient_in_the_scene):
    a_patient_in_the_scene.choose(a_panel)
    slicer.app.layoutManager().setLayout(CONVENTIONAL)
    return a_panel


def layout() -> int:
    return slicer.app.layoutManager().layout


def widget(role: Role):
    return slicer.app.layoutManager().sliceWidget(view_name(role))


def press(panel, wanted: bool) -> None:
    assert panel.ui.reviewLayoutButton.checked is not wanted
    panel.ui.reviewLayoutButton.click()
    panel.settle()


def test_each_sequence_is_in_its_view_in_the_plane_of_the_slices(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    press(a_ready_panel, True)

    assert layout() == LAYOUT
    grid = ijk_to_ras(a_patient_in_the_scene.lge)
    normal = grid[:3, 2] / np.linalg.norm(grid[:3, 2])
    seen = []
    for role in Role:
        layers, view = widget(role).mrmlSliceCompositeNode(), widget(role).mrmlSliceNode()
        assert layers.GetBackgroundVolumeID() == getattr(a_patient_in_the_scene, role.value).GetID()
        assert layers.GetLinkedControl()
        matrix = as_array(view.GetSliceToRAS())
        assert abs(matrix[:3, 2] @ normal) == pytest.approx(1)
        assert view.GetSliceSpacingMode() == view.PrescribedSliceSpacingMode
        assert view.GetPrescribedSliceSpacing()[2] == pytest.approx(
            a_patient_in_the_scene.phantom.study.geometry.spacing[2])
        assert (np.linalg.inv(grid) @ matrix[:, 3])[2] == pytest.approx(2)  # the middle slice
        seen.append((matrix, view.GetFieldOfView()))
    for matrix, field in seen[1:]:
        np.testing.assert_allclose(matrix, seen[0][0], atol=1e-9)
        assert field[1] == pytest.approx(seen[0][1][1], rel=0.02)


def test_pressing_again_gives_the_users_layout_back(a_ready_panel) -> None:
    before = as_array(slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceToRAS())
    press(a_ready_panel, True)
    press(a_ready_panel, False)

    assert layout() == CONVENTIONAL
    np.testing.assert_array_equal(as_array(slicer.app.layoutManager().sliceWidget(
        "Red").mrmlSliceNode().GetSliceToRAS()), before)
    press(a_ready_panel, True)  # and once more
    assert layout() == LAYOUT


def test_leaving_the_module_gives_the_users_layout_back(a_ready_panel) -> None:
    press(a_ready_panel, True)

    a_ready_panel.inside.exit()
    a_ready_panel.settle()

    assert layout() == CONVENTIONAL and not a_ready_panel.ui.reviewLayoutButton.checked


def test_closing_the_scene_gives_the_users_layout_back(a_ready_panel) -> None:
    press(a_ready_panel, True)

    slicer.mrmlScene.Clear(0)
    a_ready_panel.settle()

    assert layout() == CONVENTIONAL
    assert not a_ready_panel.ui.reviewLayoutButton.checked
    assert not a_ready_panel.ui.reviewLayoutButton.enabled


def test_a_scene_that_was_saved_in_the_layout_is_opened_in_it(a_ready_panel, tmp_path) -> None:
    press(a_ready_panel, True)
    path = str(tmp_path / "heart.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)

    open_again(path)

    assert layout() == LAYOUT and a_ready_panel.ui.reviewLayoutButton.checked
    assert widget(Role.LGE).mrmlSliceCompositeNode().GetBackgroundVolumeID() == \
        a_ready_panel.state.lge.GetID()
    press(a_ready_panel, False)
    assert layout() == CONVENTIONAL  # nobody knows what was before


def test_the_layout_is_known_before_the_panel_is_opened(a_scene) -> None:
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    assert not node.IsLayoutDescription(LAYOUT)

    for _ in range(2):
        register()

    assert node.GetLayoutDescription(LAYOUT) == description(list(Role))


def test_a_layout_that_the_user_chooses_meanwhile_is_his_own(a_ready_panel) -> None:
    press(a_ready_panel, True)

    slicer.app.layoutManager().setLayout(FOUR_UP)
    a_ready_panel.settle()
    assert not a_ready_panel.ui.reviewLayoutButton.checked

    a_ready_panel.inside.exit()
    assert layout() == FOUR_UP


def test_only_the_sequences_that_are_chosen_are_shown(a_ready_panel) -> None:
    a_ready_panel.ui.t2Selector.setCurrentNode(None)
    a_ready_panel.settle()

    press(a_ready_panel, True)
    assert view_name(Role.T2) not in slicer.app.layoutManager().layoutLogic() \
        .GetLayoutNode().GetCurrentLayoutDescription()

    a_ready_panel.ui.bssfpSelector.setCurrentNode(None)  # while it is shown
    a_ready_panel.settle()
    shown = slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetCurrentLayoutDescription()
    assert shown == description([Role.LGE])

    a_ready_panel.ui.lgeSelector.setCurrentNode(None)
    a_ready_panel.settle()
    assert layout() == CONVENTIONAL


def test_a_volume_whose_slices_are_on_no_grid_is_said(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 1] = 0.3
    from deepgmm.scene.places import as_vtk

    transform.SetMatrixTransformToParent(as_vtk(matrix))
    a_patient_in_the_scene.lge.SetAndObserveTransformNodeID(transform.GetID())

    a_ready_panel.ui.reviewLayoutButton.click()
    a_ready_panel.settle()

    assert layout() == CONVENTIONAL and not a_ready_panel.ui.reviewLayoutButton.checked
    assert "axes are not at right angles" in a_ready_panel.ui.statusLabel.text


def test_a_click_in_the_table_moves_all_three_views(a_ready_panel, a_patient_in_the_scene,
                                                    screenshot) -> None:
    a_ready_panel.window(1200, 700)
    finish(a_ready_panel, a_patient_in_the_scene, ("it did not settle in slice 3",))
    press(a_ready_panel, True)

    a_ready_panel.ui.nextUncertainButton.click()
    a_ready_panel.settle()

    grid = np.linalg.inv(ijk_to_ras(a_patient_in_the_scene.lge))
    for role in Role:
        middle = as_array(widget(role).mrmlSliceNode().GetSliceToRAS())[:, 3]
        assert (grid @ middle)[2] == pytest.approx(3)
    screenshot(a_ready_panel.window(1200, 700), "review_layout")
    a_ready_panel.ui.slicesCollapsibleButton.parentWidget().resize(430, 2400)
    screenshot(a_ready_panel.ui.slicesCollapsibleButton, "slices")
    screenshot(a_ready_panel.ui.resultsCollapsibleButton, "results")


def backgrounds() -> dict[Role, str]:
    return {role: widget(role).mrmlSliceCompositeNode().GetBackgroundVolumeID() for role in Role}


def test_the_segment_editor_leaves_each_view_its_sequence(
        a_ready_panel, a_patient_in_the_scene) -> None:
    patient, editor = a_patient_in_the_scene, a_ready_panel.widget.panel.sections[-1]
    press(a_ready_panel, True)
    before = backgrounds()
    assert len(set(before.values())) == 3
    editor.save_for_undo(patient.mask)
    assert backgrounds() == before
    editor.show(patient.mask, patient.t2, "Draw", patient.mask_segment)
    assert backgrounds() == before
    press(a_ready_panel, False)
    editor.show(patient.mask, patient.bssfp)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == patient.bssfp.GetID()


def test_without_a_window_there_is_no_layout(a_scene, monkeypatch) -> None:
    monkeypatch.setattr(type(slicer.app), "layoutManager", lambda self: None)
    panel = open_panel()
    put_patient(A_PATIENT).choose(panel)
    assert panel.ui.applyButton.toolTip
    assert not panel.ui.reviewLayoutButton.enabled
    panel.close()
