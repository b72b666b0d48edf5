"""The strength contour in the panel: a tick under Border, and curves drawn in the slice views."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from desk import Desk
from standins import dialogs
from test_corrections_kept import forget_the_session
from test_edit_log import tick_the_log
from test_refine_button import NUMBER, SLICE, correct, drawn, fitted, paint, tick  # noqa: F401

from deepgmm.given import Strength
from deepgmm.study.words import WALL_TISSUES, Tissue

BORDER = 3


def cell(desk: Desk, index: int):
    return desk.ui.sliceTable.item(desk.ui.sliceTable.rowCount - 1 - index, BORDER)


def tick_border(desk: Desk, index: int, wanted: bool) -> None:
    cell(desk, index).setCheckState(qt.Qt.Checked if wanted else qt.Qt.Unchecked)
    desk.panel.settle()


def interaction():
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLInteractionNode")


def circle(desk: Desk, index: int, grow: float, points: int = 16) -> np.ndarray:
    """(points, 3) RAS around the pool of a slice, so many pixels outside it."""
    pool = np.argwhere(drawn(desk)[index] == Tissue.BLOOD)
    radius = np.sqrt(len(pool) / np.pi) + grow
    angles = np.arange(points) * 2 * np.pi / points
    rows, columns = (middle + radius * f(angles)
                     for middle, f in zip(pool.mean(0), (np.sin, np.cos), strict=True))
    ijk = np.stack([columns, rows, np.full(points, index), np.ones(points)])
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    desk.panel.state.lge.GetIJKToRASMatrix(matrix)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ ijk)[:3].T


def draw(desk: Desk, index: int, grow: float):
    """Press the button, click around the pool, end with a right click."""
    before = desk.ui.correctedLabel.text
    desk.ui.drawBorderButton.click()
    desk.panel.settle()
    selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    curve = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
    assert curve.GetClassName() == selection.GetActivePlaceNodeClassName()
    assert interaction().GetCurrentInteractionMode() == interaction().Place
    for place in circle(desk, index, grow):
        curve.AddControlPoint(*place)
    desk.panel.settle()
    assert desk.ui.correctedLabel.text == before  # it is not ended yet
    interaction().SetCurrentInteractionMode(interaction().ViewTransform)
    desk.panel.settle()
    return curve


def rows(desk: Desk) -> list[tuple[str, ...]]:
    table = desk.ui.correctionsTable
    return [tuple(table.item(row, column).text() for column in range(4))
            for row in range(table.rowCount)]


def result(desk: Desk):
    return desk.panel.widget.panel.run.fitted.answer.result


def test_the_button_waits_for_a_result(a_desk_with_a_patient: Desk) -> None:
    assert not a_desk_with_a_patient.ui.drawBorderButton.enabled
    assert not cell(a_desk_with_a_patient, SLICE).flags() & qt.Qt.ItemIsUserCheckable


def test_a_border_ticked_as_right_teaches_stays_and_is_taken_back(
        fitted: Desk) -> None:  # noqa: F811
    desk, ui, before = fitted, fitted.ui, drawn(fitted)
    tick_border(desk, SLICE, True)
    assert ui.refineButton.enabled
    assert ui.correctedLabel.text == f"Corrected: border on slice {NUMBER}."
    assert ui.correctedLabel.toolTip == (
        f"Slice {NUMBER}: the border of pool and wall is right (contour)")
    assert rows(desk)[0] == (str(NUMBER), "border of pool and wall", "",
                             "border right, for the next Refine")
    desk.refine()
    desk.finish()
    known = result(desk).corrections
    assert known.bordered == [SLICE] and known.done == ()
    assert {e.strength for e in known.edits} >= {Strength.CONTOUR}
    beside = known.fixed[SLICE]
    both = before[SLICE][beside]
    assert (both == Tissue.BLOOD).any() and np.isin(both, WALL_TISSUES).any()
    assert 0 < beside.sum() < (before[SLICE] > 0).sum()  # not the whole slice
    np.testing.assert_array_equal(drawn(desk)[SLICE][beside], both)
    assert not ui.refineButton.enabled and cell(desk, SLICE).checkState() == qt.Qt.Checked
    assert (str(NUMBER), "border of pool and wall", str(beside.sum()), "contour") in rows(desk)

    ui.undoButton.click()
    desk.panel.settle()
    np.testing.assert_array_equal(drawn(desk), before)
    assert ui.refineButton.enabled and f"border on slice {NUMBER}" in ui.correctedLabel.text
    desk.refine()
    desk.finish()
    tick_border(desk, SLICE, False)
    assert ui.refineButton.enabled
    assert rows(desk)[0] == (str(NUMBER), "border of pool and wall", "",
                             "no longer said to be right")
    desk.refine()
    assert desk.worker.orders[-1][1]["unbordered"] == [SLICE]
    desk.finish()
    assert not result(desk).corrections and not ui.refineButton.enabled


def test_a_border_drawn_as_a_curve_holds_until_somebody_paints_over_it(
        fitted: Desk) -> None:  # noqa: F811
    desk, ui, before = fitted, fitted.ui, drawn(fitted)
    draw(desk, SLICE, 2.0)
    assert ui.correctedLabel.text == f"Corrected: border on slice {NUMBER}."
    assert "drawn as a curve (contour)" in ui.correctedLabel.toolTip
    assert cell(desk, SLICE).checkState() == qt.Qt.Checked
    assert not cell(desk, SLICE).flags() & qt.Qt.ItemIsUserCheckable
    desk.refine()
    desk.finish()
    pool = drawn(desk)[SLICE] == Tissue.BLOOD
    old = before[SLICE] == Tissue.BLOOD
    grown = np.pi * ((np.sqrt(old.sum() / np.pi) + 2) ** 2)
    assert abs(pool.sum() - grown) < 0.04 * grown
    assert result(desk).corrections.bordered == [SLICE] and not ui.refineButton.enabled
    assert rows(desk)[0][:2] == (str(NUMBER), "border of pool and wall")
    assert rows(desk)[0][3] == "contour"

    # what is painted later holds, though the curve still lies there
    labels = drawn(desk)
    edge = np.argwhere(pool & ~old)[0]
    labels[SLICE][tuple(edge)] = Tissue.MYOCARDIUM
    paint(desk, labels)
    assert ui.correctedLabel.text.startswith(f"Corrected: 1 voxel on slice {NUMBER}.")
    desk.refine()
    desk.finish()
    assert drawn(desk)[SLICE][tuple(edge)] == Tissue.MYOCARDIUM


def test_what_is_drawn_beside_a_curve_holds_and_what_it_takes_is_said(
        fitted: Desk) -> None:  # noqa: F811
    desk, labels = fitted, drawn(fitted)
    draw(desk, SLICE, 4.0)
    pool = labels[SLICE] == Tissue.BLOOD
    middle = tuple(np.argwhere(pool).mean(0).round().astype(int))
    outer = tuple(np.argwhere(labels[SLICE] > 0)[0])
    labels[SLICE][middle] = Tissue.MYOCARDIUM  # in the pool that the curve draws
    labels[SLICE][outer] = Tissue.SCAR if labels[SLICE][outer] != Tissue.SCAR else Tissue.EDEMA
    paint(desk, labels)
    desk.refine()
    desk.finish()
    assert f"1 voxel was drawn on the other side of the curve on slice {NUMBER}" in desk.said
    assert drawn(desk)[SLICE][middle] == Tissue.BLOOD
    assert drawn(desk)[SLICE][outer] == labels[SLICE][outer]
    assert result(desk).corrections.strength[SLICE][outer] == Strength.VOXEL


def test_a_curve_that_is_moved_is_new_and_a_deleted_one_is_taken_back(
        fitted: Desk) -> None:  # noqa: F811
    desk, ui = fitted, fitted.ui
    curve = draw(desk, SLICE, 2.0)
    desk.refine()
    desk.finish()
    for number, place in enumerate(circle(desk, SLICE, -4.0)):
        curve.SetNthControlPointPosition(number, *place)
    curve.InvokeEvent(curve.PointEndInteractionEvent)  # as the mouse does when it is let go
    desk.panel.settle()
    assert ui.refineButton.enabled and f"border on slice {NUMBER}" in ui.correctedLabel.text
    before = (drawn(desk)[SLICE] == Tissue.BLOOD).sum()
    desk.refine()
    desk.finish()
    assert (drawn(desk)[SLICE] == Tissue.BLOOD).sum() < 0.9 * before
    slicer.mrmlScene.RemoveNode(curve)
    desk.panel.settle()
    assert ui.refineButton.enabled
    assert cell(desk, SLICE).checkState() == qt.Qt.Unchecked
    desk.refine()
    assert desk.worker.orders[-1][1]["unbordered"] == [SLICE]
    desk.finish()
    assert not result(desk).corrections.bordered and not ui.refineButton.enabled


def test_curves_and_ticks_are_kept_with_the_scene(fitted: Desk) -> None:  # noqa: F811
    desk = fitted
    draw(desk, SLICE, 2.0)
    tick_border(desk, 1, True)
    assert f"borders on slices {NUMBER}-4" in desk.ui.correctedLabel.text
    desk.refine()
    desk.finish()
    desk.panel.settle()
    forget_the_session(desk)
    assert result(desk).corrections.bordered == [1, SLICE]
    assert not desk.ui.refineButton.enabled  # nothing of it is new
    assert [cell(desk, i).checkState() == qt.Qt.Checked for i in range(5)] == [
        False, True, True, False, False]


def test_a_slice_that_is_done_needs_no_border(fitted: Desk) -> None:  # noqa: F811
    desk = fitted
    tick_border(desk, SLICE, True)
    tick(desk, SLICE, True)
    assert desk.ui.correctedLabel.text == f"Corrected: slice {NUMBER} done."
    desk.refine()
    desk.finish()
    assert not desk.ui.refineButton.enabled
    tick(desk, SLICE, False)
    desk.refine()
    desk.finish()
    assert result(desk).corrections.bordered == [SLICE] and not desk.ui.refineButton.enabled


def test_a_stroke_that_was_learned_outlasts_a_done_that_is_taken_back(
        fitted: Desk) -> None:  # noqa: F811
    desk, where = fitted, correct(fitted)
    for step in (lambda: None, lambda: tick_border(desk, SLICE, True),
                 lambda: tick(desk, SLICE, True), lambda: tick(desk, SLICE, False),
                 lambda: tick_border(desk, SLICE, False)):
        step()
        desk.refine()
        desk.finish()
        assert (drawn(desk)[where] == Tissue.MYOCARDIUM).all()
    np.testing.assert_array_equal(result(desk).corrections.fixed, where)
    assert not desk.ui.refineButton.enabled


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_apply_unticks_borders_and_curves_go_with_the_output(
        fitted: Desk, answer: str) -> None:  # noqa: F811
    desk, state, first = fitted, fitted.panel.state, fitted.panel.state.output
    tick_border(desk, 1, True)
    draw(desk, SLICE, 2.0)
    desk.refine()
    desk.finish()
    dialogs.answer(answer)
    desk.apply()
    assert list(state.borders) == [1]  # until the new result is there
    desk.finish()
    desk.panel.settle()
    assert list(state.borders) == [] and "Border is ticked nowhere any more" in desk.said
    assert (state.output is first) == (answer == "Yes")
    assert ("border curves go with the new segmentation" in desk.said) == (answer == "No")
    # the curve is a person's own word; the new automatic border is not
    assert desk.ui.correctedLabel.text.startswith(f"Corrected: border on slice {NUMBER}.")
    assert cell(desk, SLICE).checkState() == qt.Qt.Checked
    desk.refine()
    desk.finish()
    assert result(desk).corrections.bordered == [SLICE]


def test_undo_of_apply_gives_ticks_and_curves_back(fitted: Desk) -> None:  # noqa: F811
    desk, state, first = fitted, fitted.panel.state, fitted.panel.state.output
    tick_border(desk, 1, True)
    draw(desk, SLICE, 2.0)
    desk.refine()
    desk.finish()
    dialogs.answer("No")
    desk.apply()
    desk.finish()
    desk.ui.undoButton.click()
    desk.panel.settle()
    assert state.output is first and list(state.borders) == [1]
    assert result(desk).corrections.bordered == [1, SLICE] and not desk.ui.refineButton.enabled
    assert cell(desk, SLICE).checkState() == qt.Qt.Checked


def test_going_back_ticks_what_that_version_was_told(fitted: Desk) -> None:  # noqa: F811
    desk, state, table = fitted, fitted.panel.state, fitted.ui.versionsTable
    tick_border(desk, 1, True)
    tick(desk, 0, True)
    draw(desk, SLICE, 2.0)
    desk.refine()
    desk.finish()
    desk.panel.wait_until(lambda: table.rowCount == 2)

    def back(row: int) -> None:
        rows = table.rowCount
        table.setCurrentCell(row, 0)
        desk.ui.goBackButton.click()
        desk.panel.wait_until(lambda: table.rowCount == rows + 1)
        desk.panel.settle()

    back(0)  # of which nobody said anything
    assert list(state.borders) == [] and list(state.locked) == []
    assert "Done and Border are ticked as that version was told" in desk.said
    assert desk.ui.correctedLabel.text.startswith(f"Corrected: border on slice {NUMBER}.")
    back(1)  # which has learned all, the curve too
    assert list(state.borders) == [1] and list(state.locked) == [0]
    assert not desk.ui.refineButton.enabled
    labels = drawn(desk)
    edge = np.argwhere(labels[SLICE] == Tissue.BLOOD)[0]
    labels[SLICE][tuple(edge)] = Tissue.MYOCARDIUM
    paint(desk, labels)
    desk.refine()
    desk.finish()
    assert drawn(desk)[SLICE][tuple(edge)] == Tissue.MYOCARDIUM  # later than the curve


def test_the_edit_log_has_the_borders(fitted: Desk, tmp_path: Path,  # noqa: F811
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    tick_the_log(fitted)
    correct(fitted, 1)
    draw(fitted, SLICE, 2.0)
    fitted.refine()
    fitted.finish()
    fitted.panel.wait_until(lambda: list(tmp_path.glob("edit-log-*.json")))
    said = json.loads(next(tmp_path.glob("edit-log-*.json")).read_text())
    assert said["border_slices"] == [{"index": SLICE, "number": NUMBER}]
    assert [e["strength"] for e in said["edits"]].count("contour") >= 1
    assert {one["index"] for one in said["voxels_touched"]["slices"]} == {1, SLICE}
