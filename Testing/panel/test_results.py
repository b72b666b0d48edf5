"""The result on the panel: segments, numbers, warnings, opacity, undo; again in a loaded scene."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import qt
import slicer
from finished import finish, open_again
from standins import dialogs
from test_scene_undo import state_of

from deepgmm.scene.read_back import records
from deepgmm.scene.segments import our_segments
from deepgmm.study.words import Tissue

FOUR = ["Blood", "Myocardium", "Edema", "Scar"]


@pytest.fixture
def a_ready_panel(a_panel, a_patient_in_the_scene):
    a_patient_in_the_scene.choose(a_panel)
    return a_panel


def cells(table) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(table.columnCount)]
            for row in range(table.rowCount)]


def scribble(panel, patient) -> None:
    """Change a segment of the output, as the segment editor does."""
    output = panel.state.output
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(output, "scar", patient.lge)
    drawn[2, :20, :20] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, output, "scar", patient.lge)
    panel.settle()


def counted(panel, patient) -> None:
    """Wait until the numbers are those of the scar as it is drawn now."""
    def shown() -> bool:
        voxel = np.prod(patient.lge.GetSpacing()) / 1000
        scar = slicer.util.arrayFromSegmentBinaryLabelmap(panel.state.output, "scar", patient.lge)
        return cells(panel.ui.numbersTable)[3][1] == f"{scar.sum() * voxel:.1f}"

    panel.wait_until(shown)


def test_before_the_first_result_there_is_nothing_to_show(a_ready_panel) -> None:
    ui = a_ready_panel.ui
    assert ui.numbersLabel.text == "There is no result yet."
    assert ui.numbersTable.isHidden() and ui.ahaGroupBox.isHidden() and ui.warningsLabel.isHidden()
    for button in (ui.undoButton, ui.copyNumbersButton, ui.show3DButton):
        assert not button.enabled


def test_volumes_intervals_and_shares_of_the_wall(a_ready_panel, a_patient_in_the_scene) -> None:
    result = finish(a_ready_panel, a_patient_in_the_scene)

    rows = cells(a_ready_panel.ui.numbersTable)
    assert [row[0] for row in rows] == FOUR
    for tissue, row in zip(result.tissues, rows):
        assert row[1] == f"{result.volume(tissue):.1f}"
        low, high = result.volume_interval(tissue)
        assert row[2] == f"{low:.1f} - {high:.1f}"
    wall = sum(result.volume(t) for t in result.tissues[1:])
    assert rows[0][3] == "" and rows[3][3] == f"{100 * result.volume('scar') / wall:.0f}"
    assert not a_ready_panel.ui.numbersTable.isHidden()
    assert a_ready_panel.ui.segmentsTableView.segmentationNode() is a_ready_panel.state.output
    assert a_ready_panel.ui.show3DButton.segmentationNode() is a_ready_panel.state.output


def test_aha_segments_are_there_once_there_are_insertion_points(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    study, lge = a_patient_in_the_scene.phantom.study, a_patient_in_the_scene.lge
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "RV")
    to_lps = study.geometry.index_to_world()
    for row, column in study.insertion_points[2]:
        ras = to_lps @ [column, row, 2, 1] * [-1, -1, 1, 1]
        points.AddControlPoint(*map(float, ras[:3]))
    assert lge.GetTransformNodeID() is None
    a_ready_panel.state.insertionPoints = points

    result = finish(a_ready_panel, a_patient_in_the_scene)

    rows = cells(a_ready_panel.ui.ahaTable)
    assert not a_ready_panel.ui.ahaGroupBox.isHidden()
    assert rows[0][0] == "1 Basal anterior" and len(rows) == 16
    wall = sum(row["Wall (ml)"] for row in records(a_ready_panel.state.output, "AHA segments"))
    assert wall == pytest.approx(sum(result.volume(t) for t in result.tissues[1:]))


def test_warnings_of_fit_and_scene_are_all_there(a_ready_panel, a_patient_in_the_scene) -> None:
    mask = a_patient_in_the_scene.mask
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    other.CopyContent(a_patient_in_the_scene.t2)
    other.SetSpacing(0.5, 0.5, 3.0)
    mask.SetReferenceImageGeometryParameterFromVolumeNode(other)

    finish(a_ready_panel, a_patient_in_the_scene, ("it did not settle in slice 3",), into=mask)

    text = a_ready_panel.ui.warningsLabel.text
    assert "it did not settle in slice 2" in text and "drawn on another grid" in text
    assert not a_ready_panel.ui.warningsLabel.isHidden()


def test_the_opacity_is_that_of_the_output(a_ready_panel, a_patient_in_the_scene) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    display = a_ready_panel.state.output.GetDisplayNode()
    assert display.GetOpacity2DFill() == pytest.approx(0.5)

    a_ready_panel.ui.opacitySlider.value = 0.2
    a_ready_panel.settle()
    assert display.GetOpacity2DFill() == pytest.approx(0.2)

    display.SetOpacity2DFill(0.9)  # the user's own choice, in Segmentations
    a_ready_panel.widget.panel.refresh_now()
    assert display.GetOpacity2DFill() == pytest.approx(0.9)


def test_numbers_go_to_the_clipboard_with_what_they_are_of(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    state = a_ready_panel.state
    state.slicesOf, state.excluded = a_patient_in_the_scene.lge, {1: "blurred"}
    result = finish(a_ready_panel, a_patient_in_the_scene, ("it did not settle in slice 3",))

    a_ready_panel.ui.copyNumbersButton.click()

    about, numbers = qt.QApplication.clipboard().text().split("\n\n")[:2]
    facts = [line.split("\t") for line in about.splitlines()]
    assert facts[:5] == [["Method", "map"], ["Slices counted", "from 1, the base first"],
                         ["Slices left out", "4: blurred"],
                         ["Slices done", "none"], ["Corrected by hand", "none"]]
    assert ["Warning", "it did not settle in slice 2"] in facts
    lines = [line.split("\t") for line in numbers.splitlines()]
    assert lines[0][:2] == ["Tissue", "Volume (ml)"]
    assert lines[4][1] == str(round(result.volume("scar"), 3))
    assert lines[1][-1] == ""  # blood is no share of the wall


def test_undo_takes_a_new_segmentation_away(a_ready_panel, a_patient_in_the_scene) -> None:
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode")
    finish(a_ready_panel, a_patient_in_the_scene)
    assert a_ready_panel.ui.undoButton.enabled

    a_ready_panel.ui.undoButton.click()
    a_ready_panel.settle()

    assert a_ready_panel.state.output is None and not dialogs.asked
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == before
    assert a_ready_panel.ui.numbersLabel.text == "There is no result yet."
    assert not a_ready_panel.ui.undoButton.enabled
    finish(a_ready_panel, a_patient_in_the_scene)  # and once more
    assert [row[0] for row in cells(a_ready_panel.ui.numbersTable)] == FOUR


@pytest.mark.parametrize("waited", [False, True])
@pytest.mark.parametrize("answer", ["Ok", "Cancel"])
def test_undo_asks_before_corrections_go(
    a_ready_panel, a_patient_in_the_scene, answer: str, waited: bool
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    scribble(a_ready_panel, a_patient_in_the_scene)
    if waited:
        counted(a_ready_panel, a_patient_in_the_scene)

    dialogs.answer(answer)
    a_ready_panel.ui.undoButton.click()
    a_ready_panel.settle()

    assert "with these changes" in dialogs.asked[-1].text
    assert (a_ready_panel.state.output is None) == (answer == "Ok")


def test_undo_brings_back_what_was_in_an_existing_segmentation(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    output = a_ready_panel.state.output
    scribble(a_ready_panel, a_patient_in_the_scene)
    corrected = state_of(output)
    a_ready_panel.state.excluded = {1: "blurred"}
    a_ready_panel.state.slicesOf = a_patient_in_the_scene.lge
    finish(a_ready_panel, a_patient_in_the_scene)
    assert state_of(output) != corrected

    a_ready_panel.ui.undoButton.click()
    a_ready_panel.settle()

    assert state_of(output) == corrected and not dialogs.asked
    assert "Slices left out" not in a_ready_panel.ui.numbersLabel.text
    assert not a_ready_panel.ui.undoButton.enabled


def test_undo_asks_before_a_segment_of_the_user_goes(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    finish(a_ready_panel, a_patient_in_the_scene)  # into the same
    inside = a_ready_panel.state.output.GetSegmentation()
    inside.AddEmptySegment("by hand", "by hand")
    a_ready_panel.settle()

    dialogs.answer("Cancel")
    a_ready_panel.ui.undoButton.click()

    assert "these changes go" in dialogs.asked[-1].text
    assert inside.GetSegment("by hand") is not None


def test_undo_is_of_the_output_that_is_shown(a_ready_panel, a_patient_in_the_scene) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)

    a_ready_panel.ui.outputSelector.setCurrentNode(a_patient_in_the_scene.mask)
    a_ready_panel.settle()

    assert not a_ready_panel.ui.undoButton.enabled
    assert a_ready_panel.ui.numbersLabel.text == "No result of DeepGMM in this segmentation."


def test_an_output_that_the_user_deletes_is_forgotten(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)

    slicer.mrmlScene.RemoveNode(a_ready_panel.state.output)
    a_ready_panel.settle()

    assert a_ready_panel.ui.segmentsTableView.segmentationNode() is None
    assert not a_ready_panel.ui.undoButton.enabled
    assert a_ready_panel.ui.numbersTable.isHidden()


def test_a_table_that_the_user_deletes_is_missed_without_harm(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)

    for role in ("Numbers", "Slices"):
        slicer.mrmlScene.RemoveNode(
            a_ready_panel.state.output.GetNodeReference(f"DeepGMM.{role}"))
    a_ready_panel.widget.panel.refresh_now()

    assert a_ready_panel.ui.numbersTable.isHidden()
    assert not a_ready_panel.ui.nextUncertainButton.enabled
    a_ready_panel.ui.undoButton.click()
    assert a_ready_panel.state.output is None


def test_a_loaded_scene_shows_everything_again(
    a_ready_panel, a_patient_in_the_scene, tmp_path
) -> None:
    ui, state = a_ready_panel.ui, a_ready_panel.state
    state.slicesOf, state.excluded, state.locked = a_patient_in_the_scene.lge, {1: "blurred"}, [3]
    result = finish(a_ready_panel, a_patient_in_the_scene, ("it did not settle in slice 3",))
    ui.opacitySlider.value = 0.3
    a_ready_panel.settle()
    shown = [cells(ui.numbersTable), cells(ui.sliceTable), ui.numbersLabel.text,
             ui.warningsLabel.text]
    path = str(tmp_path / "heart.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)

    open_again(path)

    assert [cells(ui.numbersTable), cells(ui.sliceTable), ui.numbersLabel.text,
            ui.warningsLabel.text] == shown
    state = a_ready_panel.state
    assert dict(state.excluded) == {1: "blurred"} and list(state.locked) == [3]
    assert ui.opacitySlider.value == pytest.approx(0.3)
    assert state.output.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.3)
    assert not ui.undoButton.enabled  # it was of another session
    assert tuple(our_segments(state.output)) == result.tissues
    scar = slicer.util.arrayFromSegmentBinaryLabelmap(
        state.output, our_segments(state.output)[Tissue.SCAR], state.lge)
    np.testing.assert_array_equal(scar != 0, result.labels == Tissue.SCAR)
    said = json.loads(state.output.GetAttribute("DeepGMM.Provenance"))
    assert said["excluded_slices"] == {"1": "blurred"}


def test_after_a_correction_the_numbers_are_counted_again(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    ui = a_ready_panel.ui
    before = cells(ui.numbersTable)
    scribble(a_ready_panel, a_patient_in_the_scene)

    counted(a_ready_panel, a_patient_in_the_scene)

    voxel = np.prod(a_patient_in_the_scene.lge.GetSpacing()) / 1000
    scar = slicer.util.arrayFromSegmentBinaryLabelmap(
        a_ready_panel.state.output, "scar", a_patient_in_the_scene.lge).sum() * voxel
    after = cells(ui.numbersTable)
    assert after[3][1] == f"{scar:.1f}" != before[3][1]
    assert after[3][2] == "" and after[0] == before[0]
    assert "by hand" in ui.numbersLabel.text and "Scar" in ui.numbersLabel.text
    segments = a_ready_panel.state.output.GetSegmentation()
    scar_again = segments.GetSegment("scar")
    scar_again.SetName("Scar, corrected")  # a name is no stroke: nothing is counted
    a_ready_panel.settle()
    assert cells(ui.numbersTable) == after


def test_a_result_whose_volume_moved_is_not_counted_again(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene)
    before = cells(a_ready_panel.ui.numbersTable)
    a_patient_in_the_scene.lge.SetOrigin(1.0, 2.0, 3.0)

    scribble(a_ready_panel, a_patient_in_the_scene)

    a_ready_panel.wait_until(
        lambda: "press Apply again" in a_ready_panel.ui.statusLabel.text)
    assert cells(a_ready_panel.ui.numbersTable) == before


def test_a_result_of_another_session_says_what_has_changed_since(
    a_ready_panel, a_patient_in_the_scene
) -> None:
    state, label = a_ready_panel.state, a_ready_panel.ui.numbersLabel
    finish(a_ready_panel, a_patient_in_the_scene)
    a_ready_panel.widget.panel.run.last = None
    a_ready_panel.settle()
    assert "The choices have changed" not in label.text

    state.slicesOf, state.excluded = a_patient_in_the_scene.lge, {2: "blurred"}
    a_ready_panel.settle()
    assert label.text.startswith("The choices have changed since this result")


def test_numbers_are_saved_as_a_file_beside_the_scene(
    a_ready_panel, a_patient_in_the_scene, tmp_path, monkeypatch
) -> None:
    finish(a_ready_panel, a_patient_in_the_scene, ("it did not settle in slice 3",))
    slicer.mrmlScene.SetURL(str(tmp_path / "heart.mrb"))
    proposed: list[str] = []

    def chosen(parent, title, path, kinds):
        proposed.append(path)
        return path

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", chosen)
    a_ready_panel.ui.saveNumbersButton.click()

    assert proposed == [str(tmp_path / "heart numbers.csv")]
    with open(proposed[0], encoding="utf-8-sig", newline="") as file:
        saved = list(csv.reader(file))
    a_ready_panel.ui.copyNumbersButton.click()
    copied = [line.split("\t") if line else []
              for line in qt.QApplication.clipboard().text().splitlines()]
    assert saved == copied and ["Warning", "it did not settle in slice 2"] in saved

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName",
                        lambda *_: str(tmp_path / "no folder" / "x.csv"))
    a_ready_panel.ui.saveNumbersButton.click()
    assert "could not be saved" in a_ready_panel.ui.statusLabel.text
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: "")
    a_ready_panel.ui.saveNumbersButton.click()  # he thought better of it
