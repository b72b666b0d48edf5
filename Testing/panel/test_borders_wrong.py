"""Border curves of the panel that are wrong, empty or moved: said, and they hinder nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from desk import Desk
from standins import dialogs
from test_borders_button import cell, circle, draw, interaction, result, rows
from test_edit_log import tick_the_log
from test_refine_button import NUMBER, SLICE, correct, drawn, fitted, paint, tick  # noqa: F401


def move(desk: Desk, curve, index: int, grow: float) -> None:
    for number, place in enumerate(circle(desk, index, grow)):
        curve.SetNthControlPointPosition(number, *place)
    curve.InvokeEvent(curve.PointEndInteractionEvent)
    desk.panel.settle()


def test_one_bad_curve_hinders_nothing_else(
        fitted: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    desk, ui, table = fitted, fitted.ui, fitted.ui.versionsTable
    bad = draw(desk, 1, 2.0)
    desk.refine()
    desk.finish()
    desk.panel.wait_until(lambda: table.rowCount == 2)
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    tick_the_log(desk)
    move(desk, bad, 1, 200.0)
    assert "border curve on slice 4 lies outside the images" in ui.correctedLabel.text
    assert not ui.refineButton.enabled  # what it taught stays
    draw(desk, SLICE, 2.0)
    assert ui.refineButton.enabled and cell(desk, SLICE).checkState() == qt.Qt.Checked
    assert "lies outside the images" in ui.correctedLabel.text
    assert f"border on slice {NUMBER}" in ui.correctedLabel.text
    assert (str(NUMBER), "border of pool and wall", "", "drawn as a curve, for the next Refine"
            ) in rows(desk)
    correct(desk, 3)
    ui.writeLogButton.click()
    assert len(list(tmp_path.glob("edit-log-*.json"))) == 1
    table.setCurrentCell(0, 0)
    dialogs.answer("Ok")
    ui.goBackButton.click()
    desk.panel.settle()
    assert "earlier version" in desk.said
    assert result(desk).corrections is None


def test_a_curve_outside_the_mask_is_said_and_left_out(fitted: Desk) -> None:  # noqa: F811
    desk, ui = fitted, fitted.ui
    curve = draw(desk, 1, 2.0)
    place = circle(desk, 1, -4.0)
    inside = place.mean(0)
    for number, point in enumerate(place):  # a small one, far out in the slice
        aside = point + 0.9 * (slicer_corner(desk, 1) - inside)
        curve.SetNthControlPointPosition(number, *aside)
    curve.InvokeEvent(curve.PointEndInteractionEvent)
    desk.panel.settle()
    assert "contour on slice 4 does not lie inside the LV mask" in ui.correctedLabel.text
    assert not ui.refineButton.enabled
    correct(desk)
    desk.refine()
    desk.finish()
    assert result(desk).corrections.fixed[SLICE].any()
    assert not result(desk).corrections.bordered


def slicer_corner(desk: Desk, index: int) -> np.ndarray:
    """RAS near the corner of a slice, so that a small curve about it is still in the image."""
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    desk.panel.state.lge.GetIJKToRASMatrix(matrix)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ [8, 8, index, 1])[:3]


def test_draw_border_takes_an_empty_curve_again(fitted: Desk) -> None:  # noqa: F811
    for _press in range(3):
        fitted.ui.drawBorderButton.click()
        fitted.panel.settle()
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsClosedCurveNode")) == 1


@pytest.mark.parametrize("done, borders, said", [
    ([], [1], "No border is right any more"), ([1], [], "No slice is done any more"),
    ([0], [1], "No slice is done and no border right any more")])
def test_ticks_that_go_with_the_output_are_called_what_they_are(
        fitted: Desk, done, borders, said) -> None:  # noqa: F811
    state = fitted.panel.state
    state.slicesOf, state.locked, state.borders = state.lge, done, borders
    fitted.panel.settle()
    fitted.ui.outputSelector.setCurrentNode(None)
    fitted.panel.settle()
    assert fitted.said.startswith(said) and not state.borders and not state.locked


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
