"""The strength contour in the panel: a tick under Border, and curves drawn in the slice views."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from desk import Desk
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
    desk.ui.drawBorderButton.click()
    desk.panel.settle()
    selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    curve = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
    assert curve.GetClassName() == selection.GetActivePlaceNodeClassName()
    assert interaction().GetCurrentInteractionMode() == interaction().Place
    for place in circle(desk, index, grow):
        curve.AddControlPoint(*place)
    desk.panel.settle()
    assert "border" not in desk.ui.correctedLabel.text  # it is not ended yet
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
    assert f"1 voxels were drawn on the other side of the curve on slice {NUMBER}" in desk.said
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


def test_what_is_wrong_with_a_curve_is_said_and_hinders_nothing_else(
        fitted: Desk) -> None:  # noqa: F811
    desk, ui = fitted, fitted.ui
    first = draw(desk, SLICE, 2.0)
    slicer.mrmlScene.RemoveNode(draw_second(desk, first))
    desk.panel.settle()
    assert ui.refineButton.enabled
    for number, place in enumerate(circle(desk, SLICE, 200.0)):
        first.SetNthControlPointPosition(number, *place)
    first.InvokeEvent(first.PointEndInteractionEvent)
    desk.panel.settle()
    assert "lies outside the images" in ui.correctedLabel.text and not ui.refineButton.enabled


def draw_second(desk: Desk, first):
    """A second curve on the same slice, which is said."""
    desk.ui.drawBorderButton.click()
    selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    curve = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
    assert curve is not first
    for place in circle(desk, SLICE, 1.0):
        curve.AddControlPoint(*place)
    interaction().SetCurrentInteractionMode(interaction().ViewTransform)
    desk.panel.settle()
    assert f"two border curves on slice {NUMBER}" in desk.ui.correctedLabel.text
    assert not desk.ui.refineButton.enabled
    return curve


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
