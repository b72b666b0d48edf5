"""The table of slices: what it says, what can be ticked, where a click goes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import qt
import slicer
from finished import finish

from deepgmm.scene.places import as_array, ijk_to_ras
from deepgmm.scene.views import turn_to

INDEX, USE, DONE, BORDER, LEVEL, UNCERTAINTY, NOTE = range(7)


@pytest.fixture
def a_ready_panel(a_panel, a_patient_in_the_scene):
    a_patient_in_the_scene.choose(a_panel)
    return a_panel


def row_of(panel, index: int) -> int:
    """The row of the slice with this index: the base, which comes first, is the phantom's last
    slice."""
    return panel.ui.sliceTable.rowCount - 1 - index


def item(panel, index: int, column: int):
    return panel.ui.sliceTable.item(row_of(panel, index), column)


def texts(panel, column: int) -> list[str]:
    """By index."""
    return [item(panel, index, column).text() for index in range(panel.ui.sliceTable.rowCount)]


def ticks(panel, column: int) -> list[bool]:
    return [item(panel, index, column).checkState() == qt.Qt.Checked
            for index in range(panel.ui.sliceTable.rowCount)]


def tick(panel, index: int, column: int, wanted: bool) -> None:
    item(panel, index, column).setCheckState(qt.Qt.Checked if wanted else qt.Qt.Unchecked)
    panel.settle()


def may(panel, index: int, column: int, flag) -> bool:
    return bool(item(panel, index, column).flags() & flag)


def grey(panel, index: int) -> bool:
    return item(panel, index, INDEX).foreground().color().name() == "#808080"


def the_red_view():
    return slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()


def shown_slice(volume) -> float:
    """Which slice of a volume the red view shows; it lies in their plane."""
    middle = as_array(the_red_view().GetSliceToRAS())[:, 3]
    return float((np.linalg.inv(ijk_to_ras(volume)) @ middle)[2])


def test_without_a_volume_there_is_no_slice(a_panel) -> None:
    assert a_panel.ui.sliceTable.rowCount == 0
    assert not a_panel.ui.nextUncertainButton.enabled


def test_every_slice_is_used_before_the_first_result(a_ready_panel) -> None:
    assert texts(a_ready_panel, INDEX) == list("54321")
    assert all(ticks(a_ready_panel, USE)) and not any(ticks(a_ready_panel, DONE))
    assert texts(a_ready_panel, UNCERTAINTY) == [""] * 5
    assert not may(a_ready_panel, 0, DONE, qt.Qt.ItemIsUserCheckable)
    assert not a_ready_panel.ui.nextUncertainButton.enabled


def test_slices_without_a_mask_are_greyed_also_while_it_is_drawn(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    mask = a_patient_in_the_scene.mask
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(
        mask, a_patient_in_the_scene.mask_segment, a_patient_in_the_scene.lge)
    drawn[[0, 3]] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        drawn, mask, a_patient_in_the_scene.mask_segment, a_patient_in_the_scene.lge)
    a_ready_panel.settle()

    assert [grey(a_ready_panel, row) for row in range(5)] == [True, False, False, True, False]
    assert texts(a_ready_panel, NOTE)[3] == "No LV mask here"
    assert not may(a_ready_panel, 3, USE, qt.Qt.ItemIsUserCheckable)
    assert may(a_ready_panel, 4, USE, qt.Qt.ItemIsUserCheckable)


def test_a_slice_is_left_out_with_a_reason(a_ready_panel, a_patient_in_the_scene) -> None:
    tick(a_ready_panel, 2, USE, False)
    assert dict(a_ready_panel.state.excluded) == {2: "left out by the user"}
    assert texts(a_ready_panel, NOTE)[2] == "left out by the user"
    assert not may(a_ready_panel, 1, NOTE, qt.Qt.ItemIsEditable)
    assert may(a_ready_panel, 2, NOTE, qt.Qt.ItemIsEditable)

    item(a_ready_panel, 2, NOTE).setText("  coughed\there ")
    a_ready_panel.settle()
    assert dict(a_ready_panel.state.excluded) == {2: "coughed here"}

    result = finish(a_ready_panel, a_patient_in_the_scene)
    said = json.loads(a_ready_panel.state.output.GetAttribute("DeepGMM.Provenance"))
    assert result.study.excluded == {2: "coughed here"}
    assert said["excluded_slices"] == {"2": "coughed here"}
    assert texts(a_ready_panel, UNCERTAINTY)[2] == ""

    tick(a_ready_panel, 2, USE, True)
    assert dict(a_ready_panel.state.excluded) == {}
    assert texts(a_ready_panel, NOTE)[2] == "Left out of the last result: coughed here"


def test_levels_uncertainty_and_warnings_of_the_result_are_shown(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    result = finish(a_ready_panel, a_patient_in_the_scene, ("it did not settle in slice 3",))

    assert texts(a_ready_panel, LEVEL) == ["apex", "apex", "mid", "base", "base"]
    entropy = [result.entropy()[i][result.study.mask[i]].mean() for i in range(5)]
    assert texts(a_ready_panel, UNCERTAINTY) == [f"{value:.2f}" for value in entropy]
    assert texts(a_ready_panel, NOTE)[3] == "it did not settle in slice 2"
    strength = [item(a_ready_panel, index, UNCERTAINTY).background().color().alpha()
                for index in range(5)]
    assert np.argsort(strength).tolist() == np.argsort(entropy).tolist()


def test_the_next_most_uncertain_slice_goes_round(a_ready_panel, a_patient_in_the_scene) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    tick(a_ready_panel, 2, DONE, True)
    turn_to(the_red_view(), a_patient_in_the_scene.lge)
    button, table = a_ready_panel.ui.nextUncertainButton, a_ready_panel.ui.sliceTable
    seen = []

    for _ in range(5):
        assert button.enabled
        button.click()
        a_ready_panel.settle()
        seen.append(row_of(a_ready_panel, table.currentRow()))
        assert shown_slice(a_patient_in_the_scene.lge) == pytest.approx(seen[-1], abs=1e-6)

    assert seen == [3, 1, 0, 4, 3]  # 2 is done
    assert button.toolTip == "Go to slice 4 (key N)"


def test_a_click_and_an_arrow_key_go_to_the_slice(a_ready_panel, a_patient_in_the_scene) -> None:
    lge, table = a_patient_in_the_scene.lge, a_ready_panel.ui.sliceTable
    turn_to(the_red_view(), lge)

    table.setCurrentCell(row_of(a_ready_panel, 4), INDEX)
    assert shown_slice(lge) == pytest.approx(4, abs=1e-6)
    the_red_view().JumpSliceByOffsetting(0, 0, 0)
    assert shown_slice(lge) != pytest.approx(4, abs=0.1)
    table.cellClicked.emit(row_of(a_ready_panel, 4), LEVEL)
    assert shown_slice(lge) == pytest.approx(4, abs=1e-6)


def test_a_done_slice_keeps_what_the_user_drew(a_ready_panel, a_patient_in_the_scene) -> None:
    patient, state = a_patient_in_the_scene, a_ready_panel.state
    finish(a_ready_panel, patient)
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(state.output, "scar", patient.lge)
    drawn[1] = 0
    drawn[1, 30:40, 30:40] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, state.output, "scar", patient.lge)
    assert may(a_ready_panel, 1, DONE, qt.Qt.ItemIsUserCheckable)

    tick(a_ready_panel, 1, DONE, True)
    assert list(state.locked) == [1] and ticks(a_ready_panel, DONE)[1]
    finish(a_ready_panel, patient)

    again = slicer.util.arrayFromSegmentBinaryLabelmap(state.output, "scar", patient.lge)
    np.testing.assert_array_equal(again, drawn)
    said = json.loads(state.output.GetAttribute("DeepGMM.Provenance"))
    assert said["locked_slices"] == [1]

    tick(a_ready_panel, 1, DONE, False)
    assert list(state.locked) == []


def test_choices_belong_to_the_grid_that_they_were_made_on(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    tick(a_ready_panel, 2, USE, False)

    a_ready_panel.ui.lgeSelector.setCurrentNode(None)  # the grid is T2's now
    a_ready_panel.settle()
    assert all(ticks(a_ready_panel, USE))
    tick(a_ready_panel, 4, USE, False)
    assert dict(a_ready_panel.state.excluded) == {4: "left out by the user"}

    a_ready_panel.ui.lgeSelector.setCurrentNode(a_patient_in_the_scene.lge)
    a_ready_panel.settle()
    assert all(ticks(a_ready_panel, USE))


def test_a_result_on_another_grid_says_nothing_of_these_slices(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    a_ready_panel.ui.lgeSelector.setCurrentNode(None)
    a_ready_panel.settle()
    assert "" not in texts(a_ready_panel, UNCERTAINTY)  # bSSFP lies on the same

    a_patient_in_the_scene.bssfp.SetSpacing(0.7, 0.7, 3.0)
    a_ready_panel.settle()
    assert texts(a_ready_panel, UNCERTAINTY) == [""] * 5
    assert not a_ready_panel.ui.nextUncertainButton.enabled


def test_a_result_in_a_segmentation_of_another_grid_is_of_these_slices(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    """Such as the outline, when it was drawn on bSSFP."""
    finer = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    finer.CopyContent(a_patient_in_the_scene.bssfp)
    finer.SetSpacing(0.7, 0.7, 3.0)
    a_patient_in_the_scene.mask.SetReferenceImageGeometryParameterFromVolumeNode(finer)

    finish(a_ready_panel, a_patient_in_the_scene, into=a_patient_in_the_scene.mask)
    assert "" not in texts(a_ready_panel, UNCERTAINTY)

    a_ready_panel.ui.lgeSelector.setCurrentNode(finer)
    a_ready_panel.settle()
    assert a_ready_panel.state.lge is finer
    assert texts(a_ready_panel, UNCERTAINTY) == [""] * 5


def test_closing_the_scene_empties_the_table(a_ready_panel, a_patient_in_the_scene) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)

    slicer.mrmlScene.Clear(0)
    a_ready_panel.settle()

    assert a_ready_panel.ui.sliceTable.rowCount == 0


def test_no_slice_is_done_without_the_output(a_ready_panel, a_patient_in_the_scene) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    tick(a_ready_panel, 2, DONE, True)

    a_ready_panel.ui.outputSelector.setCurrentNode(None)  # Create new segmentation
    a_ready_panel.settle()

    assert list(a_ready_panel.state.locked) == [] and not any(ticks(a_ready_panel, DONE))
    assert not any(may(a_ready_panel, row, DONE, qt.Qt.ItemIsUserCheckable) for row in range(5))
    assert a_ready_panel.ui.statusLabel.text.startswith("No slice is done any more")
