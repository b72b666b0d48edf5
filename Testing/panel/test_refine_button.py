"""Refine: what was corrected goes to the worker, the rest follows, and nothing drawn is lost."""

from __future__ import annotations

import numpy as np
import pytest
import qt
import slicer
from desk import Desk
from scipy import ndimage
from standins import dialogs

from deepgmm import refine
from deepgmm.jobs import kept
from deepgmm.jobs.client import State
from deepgmm.review.corrections import corrections_of
from deepgmm.scene.labels import labels_of
from deepgmm.scene.read_back import provenance_of
from deepgmm.scene.segments import our_segments
from deepgmm.study.words import Tissue

#: The base comes first and is the phantom's last slice of five.
SLICE, NUMBER, DONE = 2, 3, 2


@pytest.fixture
def fitted(a_desk_with_a_patient: Desk) -> Desk:
    """After Apply, by the quickest method."""
    desk = a_desk_with_a_patient
    desk.panel.state.method = "gmm"
    desk.panel.settle()
    desk.apply()
    desk.finish()
    return desk


def drawn(desk: Desk) -> np.ndarray:
    return labels_of(desk.panel.state.output, desk.panel.state.lge)


def paint(desk: Desk, labels: np.ndarray) -> None:
    """As the editor's effects do."""
    output, lge = desk.panel.state.output, desk.panel.state.lge
    for tissue, segment in our_segments(output).items():
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (labels == tissue).astype(np.uint8), output, segment, lge)
    desk.panel.wait_until(lambda: desk.ui.correctedLabel.text.startswith("Corrected"))


def correct(desk: Desk, index: int = SLICE) -> np.ndarray:
    """Half of a slice's scar is called healthy; where."""
    labels = drawn(desk)
    where = np.zeros(labels.shape, bool)
    columns = np.flatnonzero((labels[index] == Tissue.SCAR).any(0))
    middle = columns[len(columns) // 2]
    where[index, :, middle:] = labels[index, :, middle:] == Tissue.SCAR
    assert where.any()
    paint(desk, np.where(where, Tissue.MYOCARDIUM, labels))
    return where


def tick(desk: Desk, index: int, wanted: bool) -> None:
    row = desk.ui.sliceTable.rowCount - 1 - index
    desk.ui.sliceTable.item(row, DONE).setCheckState(
        qt.Qt.Checked if wanted else qt.Qt.Unchecked)
    desk.panel.settle()


def test_refine_waits_for_a_result_and_for_a_correction(
        a_desk_with_a_patient: Desk) -> None:
    ui = a_desk_with_a_patient.ui
    assert not ui.refineButton.enabled and "Press Apply first" in ui.refineButton.toolTip
    assert ui.correctedLabel.isHidden()


def test_what_was_corrected_goes_to_the_worker_and_the_rest_follows(fitted: Desk) -> None:
    desk, ui = fitted, fitted.ui
    assert not ui.refineButton.enabled and "tick Done" in ui.refineButton.toolTip
    result = desk.panel.widget.panel.run.fitted.answer.result
    automatic = drawn(desk)
    where = correct(desk)
    before, count = drawn(desk), int(where.sum())
    assert ui.refineButton.enabled
    assert ui.correctedLabel.text == f"Corrected: {count} voxels on slice {NUMBER}."
    assert ui.correctedLabel.toolTip == f"Slice {NUMBER}: Scar to Myocardium, {count} (voxel)"

    desk.refine()
    task, header, arrays = desk.worker.orders[-1]
    assert task == "refine" and header["kept"] and "result" not in header
    assert set(arrays) == {"corrections.at", "corrections.tissue", "corrections.edit"}
    np.testing.assert_array_equal(arrays["corrections.at"], np.flatnonzero(where))
    assert (arrays["corrections.tissue"] == Tissue.MYOCARDIUM).all()
    assert ui.applyButton.text == "Cancel" and not ui.refineButton.enabled
    desk.worker.reports(0.2, "refining")
    desk.look()
    assert desk.said == "Following your corrections"
    desk.finish()

    now = drawn(desk)
    np.testing.assert_array_equal(now[where], before[where])
    expected = refine(result, corrections_of(result, before)).labels
    np.testing.assert_array_equal(now, expected)
    assert (now != automatic)[~where].any() and not dialogs.asked
    assert desk.said.startswith("Refined in ")
    assert ui.correctedLabel.text.startswith("Look next at slice ")
    assert not ui.refineButton.enabled
    assert provenance_of(desk.panel.state.output)["refined"]["corrected_voxels"] == count
    assert f"Learned from {count} corrected voxels" in ui.numbersLabel.text
    assert "choices have changed" not in ui.numbersLabel.text

    ui.undoButton.click()
    desk.panel.settle()
    np.testing.assert_array_equal(drawn(desk), before)
    assert ui.refineButton.enabled and f"{count} voxels" in ui.correctedLabel.text


def test_the_line_tells_what_became_what_when_pointed_at(fitted: Desk) -> None:
    labels = drawn(fitted)
    scar = np.argwhere(labels == Tissue.SCAR)
    labels[tuple(scar[0])], labels[tuple(scar[-1])] = Tissue.BLOOD, Tissue.BACKGROUND
    assert scar[0][0] != scar[-1][0]
    paint(fitted, labels)
    tick(fitted, int(scar[0][0]), True)
    first, last = 5 - int(scar[0][0]), 5 - int(scar[-1][0])
    assert fitted.ui.correctedLabel.toolTip.splitlines() == [
        f"Slice {first}: Scar to Blood, 1 (voxel)", f"Slice {last}: Scar to nothing, 1 (voxel)",
        f"Slice {first}: all of it is right (slice done)"]


def test_strokes_made_meanwhile_stay_and_are_the_next_corrections(fitted: Desk) -> None:
    desk = fitted
    correct(desk)
    desk.refine()
    later = correct(desk, 1)
    desk.finish()
    assert not dialogs.asked
    assert (drawn(desk)[later] == Tissue.MYOCARDIUM).all()
    answer = desk.panel.widget.panel.run.fitted.answer.result
    left = int((answer.labels[later] != Tissue.MYOCARDIUM).sum())
    assert left and f"{left} voxels on slice 4" in desk.ui.correctedLabel.text
    scar = (drawn(desk) == Tissue.SCAR).sum() * answer.study.geometry.voxel_volume
    assert provenance_of(desk.panel.state.output)["volumes_ml"]["Scar"] == pytest.approx(scar)
    assert desk.ui.refineButton.enabled


def test_a_worker_that_forgot_the_result_is_sent_all_of_it(
        fitted: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = fitted
    where = correct(desk)
    monkeypatch.setattr(kept, "_kept", type(kept._kept)())
    desk.refine()
    desk.finish()
    assert desk.panel.widget.panel.run.busy and drawn(desk)[where].any()
    task, header, arrays = desk.worker.orders[-1]
    assert (task, len(desk.worker.orders)) == ("refine", 3)
    assert "result" in header and "labels" in arrays
    desk.finish()
    assert not desk.panel.widget.panel.run.busy and desk.said.startswith("Refined in ")
    assert (drawn(desk)[where] == Tissue.MYOCARDIUM).all()


def test_a_slice_that_is_done_teaches_and_may_be_opened_again(fitted: Desk) -> None:
    desk, ui = fitted, fitted.ui
    before = drawn(desk)
    tick(desk, SLICE, True)
    assert ui.refineButton.enabled
    assert ui.correctedLabel.text == f"Corrected: slice {NUMBER} done."
    assert ui.correctedLabel.toolTip == f"Slice {NUMBER}: all of it is right (slice done)"
    desk.refine()
    assert desk.worker.orders[-1][1]["corrections"]["done"] == [SLICE]
    desk.finish()
    np.testing.assert_array_equal(drawn(desk)[SLICE], before[SLICE])
    assert not ui.refineButton.enabled and f"Slices done: {NUMBER}" in ui.numbersLabel.text
    assert f"slice {NUMBER} done. Look next" in ui.correctedLabel.text
    assert f"Look next at slice {NUMBER}." not in ui.correctedLabel.text

    tick(desk, SLICE, False)
    assert ui.refineButton.enabled
    desk.refine()
    header = desk.worker.orders[-1][1]
    assert header["reopened"] == [SLICE] and header["corrections"]["done"] == []


def test_an_outer_border_that_was_moved_is_said_in_the_panels_words(fitted: Desk) -> None:
    labels = drawn(fitted)
    whole = labels[SLICE] > 0
    labels[SLICE][ndimage.binary_dilation(whole, iterations=2) & ~whole] = Tissue.MYOCARDIUM
    paint(fitted, labels)
    fitted.refine()
    fitted.finish()
    assert f"The outer border was moved on slice {NUMBER}: that stays as drawn" in fitted.said
    assert "Neighbours follow" in fitted.said and "--" not in fitted.said
    assert fitted.ui.followMaskButton.text == "Neighbours follow"
    correct(fitted, 1)
    fitted.refine()
    fitted.finish()
    assert "outer border" not in fitted.said


def test_cancel_and_what_is_at_fault_change_nothing(fitted: Desk) -> None:
    desk = fitted
    correct(desk)
    before = drawn(desk)
    desk.refine()
    desk.apply()
    assert desk.worker.state is State.CANCELLING
    desk.worker.has_stopped()
    desk.look()
    assert desk.said == "Cancelled: nothing was changed." and desk.ui.refineButton.enabled
    np.testing.assert_array_equal(drawn(desk), before)

    wild = np.where(before == Tissue.BLOOD, Tissue.SCAR, (before > 0) * Tissue.BLOOD)
    paint(desk, wild)
    orders = len(desk.worker.orders)
    desk.refine()
    assert "does not lie where this result does" in desk.said
    assert len(desk.worker.orders) == orders
    np.testing.assert_array_equal(drawn(desk), wild)


def test_a_slice_that_was_emptied_stays_empty(fitted: Desk) -> None:
    desk = fitted
    correct(desk)
    labels = drawn(desk)
    labels[0] = 0
    paint(desk, labels)
    tick(desk, 0, True)  # it teaches nothing, and hinders nothing
    desk.refine()
    assert desk.worker.orders[-1][1]["corrections"]["done"] == []
    desk.finish()
    assert not drawn(desk)[0].any() and drawn(desk)[1].any()
    assert not desk.ui.refineButton.enabled
    assert desk.ui.correctedLabel.text.startswith("Corrected: slice 5 done.")


def test_another_scene_or_output_has_nothing_to_learn_from(fitted: Desk) -> None:
    desk = fitted
    correct(desk)
    desk.ui.outputSelector.setCurrentNode(None)
    desk.panel.settle()
    assert not desk.ui.refineButton.enabled and desk.ui.correctedLabel.isHidden()
    slicer.mrmlScene.Clear(0)
    desk.panel.settle()
    assert desk.panel.widget.panel.run.fitted is None and not desk.ui.refineButton.enabled


def test_every_result_is_a_version_and_one_can_go_back(fitted: Desk) -> None:
    desk, ui = fitted, fitted.ui
    automatic, table = drawn(desk), fitted.ui.versionsTable
    assert ui.versionsGroupBox.isHidden()
    correct(desk)
    desk.refine()
    desk.finish()
    mended = drawn(desk)

    def whats() -> list[str]:
        return [table.item(row, 2).text() for row in range(table.rowCount)]

    desk.panel.wait_until(lambda: whats() == ["Segmented", "Refined (shown)"])
    assert not ui.versionsGroupBox.isHidden() and not ui.goBackButton.enabled
    scar = (automatic == Tissue.SCAR).sum() * np.prod(desk.panel.state.lge.GetSpacing()) / 1000
    assert table.item(0, 3).text().startswith(f"Scar {scar:.1f}, Edema ")
    table.setCurrentCell(0, 0)
    ui.goBackButton.click()
    np.testing.assert_array_equal(drawn(desk), automatic)
    assert not dialogs.asked and "earlier version" in desk.said
    desk.panel.wait_until(lambda: whats() == ["Segmented", "Refined", "Back to 1 (shown)"])
    ui.undoButton.click()
    desk.panel.wait_until(lambda: whats()[1] == "Refined (shown)")
    np.testing.assert_array_equal(drawn(desk), mended)

    correct(desk, 1)
    table.setCurrentCell(0, 0)
    mine = drawn(desk)
    dialogs.answer("Cancel")
    ui.goBackButton.click()
    assert "takes these changes away" in dialogs.asked[-1].text
    np.testing.assert_array_equal(drawn(desk), mine)
    dialogs.answer("Ok")
    ui.goBackButton.click()
    desk.panel.settle()
    np.testing.assert_array_equal(drawn(desk), automatic)
    correct(desk)  # the worker is asked to go on from there
    desk.refine()
    desk.finish()
    np.testing.assert_array_equal(drawn(desk), mended)
