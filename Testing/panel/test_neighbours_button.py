"""Neighbours follow: slices of a proposal that a user redrew lead those beside them."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from desk import Desk
from test_propose_button import a_desk_without_mask, propose  # noqa: F401

from deepgmm.review.metrics import dice
from deepgmm.scene.proposals import proposal_in


@pytest.fixture
def a_proposal(a_desk_without_mask: Desk) -> Desk:  # noqa: F811
    propose(a_desk_without_mask)
    return a_desk_without_mask


def held(desk: Desk) -> np.ndarray:
    state = desk.panel.state
    return slicer.util.arrayFromSegmentBinaryLabelmap(
        state.mask, state.maskSegmentIDs[0], state.lge).astype(bool)


def redraw(desk: Desk, index: int, mask: np.ndarray) -> np.ndarray:
    """As a stroke in the editor: what it was can be undone."""
    state, now = desk.panel.state, held(desk)
    desk.ui.segmentEditorWidget.saveStateForUndo()
    now[index] = mask
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        now.astype(np.uint8), state.mask, state.maskSegmentIDs[0], state.lge)
    desk.panel.settle()
    return now


def shifted(mask: np.ndarray, by: int = 4) -> np.ndarray:
    return np.roll(mask, by, axis=1)


def follow(desk: Desk) -> None:
    desk.ui.followMaskButton.click()
    desk.panel.settle()
    desk.finish()


def test_the_neighbours_of_a_redrawn_slice_follow_and_it_stays(a_proposal: Desk) -> None:
    desk, button = a_proposal, a_proposal.ui.followMaskButton
    assert not button.enabled and "Redraw a slice" in button.toolTip
    first = held(desk)
    drawn = redraw(desk, 2, shifted(first[2]))
    assert button.enabled
    follow(desk)
    task, header, _ = desk.worker.orders[-1]
    assert task == "correct" and header["fixed"] == [2] and "study" not in header
    now = held(desk)
    np.testing.assert_array_equal(now[2], drawn[2])
    for i in (1, 3):  # nearer to where the user says that the heart is
        assert dice(now[i], shifted(first[i])) > dice(first[i], shifted(first[i])) + 0.02
    said = desk.said
    assert "\n" not in said and "slice 3" in said and "Undo" in said
    assert desk.ui.maskReportLabel.text == said
    noted = proposal_in(desk.panel.state.mask)
    assert noted["provenance"]["fixed"] == [2] and noted["looked_at"] is False
    assert not button.enabled


def test_undo_gives_the_slices_back_and_they_count_as_proposed(a_proposal: Desk) -> None:
    desk = a_proposal
    first = held(desk)
    drawn = redraw(desk, 2, shifted(first[2]))
    follow(desk)
    desk.ui.segmentEditorWidget.undo()
    desk.panel.settle()
    np.testing.assert_array_equal(held(desk), drawn)
    assert "fixed" not in proposal_in(desk.panel.state.mask)["provenance"]
    follow(desk)
    assert desk.worker.orders[-1][1]["fixed"] == [2]


def test_a_second_slice_leads_with_the_first(a_proposal: Desk) -> None:
    desk = a_proposal
    first = held(desk)
    redraw(desk, 1, shifted(first[1]))
    follow(desk)
    drawn = redraw(desk, 4, shifted(first[4], -3))
    follow(desk)
    assert desk.worker.orders[-1][1]["fixed"] == [1, 4]
    np.testing.assert_array_equal(held(desk)[[1, 4]], drawn[[1, 4]])


def test_while_an_effect_is_active_undo_works_too(a_proposal: Desk) -> None:
    desk, editor = a_proposal, a_proposal.ui.segmentEditorWidget
    editor.setActiveEffectByName("Paint")
    drawn = redraw(desk, 2, shifted(held(desk)[2]))
    follow(desk)
    assert editor.activeEffect() is not None
    editor.undo()
    np.testing.assert_array_equal(held(desk), drawn)


def test_what_cannot_follow_is_said_and_nothing_changes(a_proposal: Desk) -> None:
    desk, button = a_proposal, a_proposal.ui.followMaskButton
    first = held(desk)
    redraw(desk, 2, first[2])  # drawn on, and as it was
    button.click()
    desk.panel.settle()
    assert "no slice" in desk.said.lower() and desk.worker.orders[-1][0] == "propose"
    redraw(desk, 2, shifted(first[2]))
    button.click()
    desk.panel.settle()
    later = redraw(desk, 3, shifted(first[3]))  # while the worker is at it
    desk.finish()
    assert "meanwhile" in desk.said
    np.testing.assert_array_equal(held(desk), later)
    redraw(desk, slice(None), np.zeros_like(first[0]))
    assert button.enabled
    button.click()
    desk.panel.settle()
    assert "nothing of the proposed" in desk.said.lower()


def test_a_mask_that_was_drawn_leads_nothing(a_desk_with_a_patient: Desk) -> None:
    a_desk_with_a_patient.panel.settle()
    button = a_desk_with_a_patient.ui.followMaskButton
    assert not button.enabled and "press Propose" in button.toolTip
