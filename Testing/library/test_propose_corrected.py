"""A proposal that a person corrects: what was drawn stays, and the slices beside follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cones import cone

from deepgmm import InputError
from deepgmm.propose.by_hand import body
from deepgmm.propose.correcting import BorderPoint, corrected


def test_emptied_slices_say_that_a_person_left_them_out_and_move_nothing():
    found, geometry, _ = cone([26, 28, 30, 30, 30])
    found.overlap[3] = 0.0  # filled in between those beside it
    new = corrected(found, geometry, fixed={4: np.zeros_like(found.mask[4])})
    assert (new.mask[:3] == found.mask[:3]).all()
    assert new.left_out[4] == "a person left it out" and "a person left out" in new.left_out[3]
    assert not new.mask[3:].any()


def test_neighbours_follow_a_fixed_slice_and_farther_ones_less():
    found, geometry, spacing = cone([26, 28, 30, 31, 32, 32, 32])
    drawn_larger = replace(found.rings[2], outer=found.rings[2].outer + 4.0)
    by_hand = drawn_larger.filled(found.mask.shape[1:], spacing)
    new = corrected(found, geometry, fixed={2: by_hand})
    by = [float((new.rings[i].outer - found.rings[i].outer).mean()) for i in range(7)]
    assert (new.mask[2] == by_hand).all() and (found.mask[2] != by_hand).any()
    assert 1.0 < by[1] < 4.0 and 1.0 < by[3] < 4.0 and abs(by[6]) < 0.6 < by[3]
    assert (new.pool <= new.mask).all() and (new.wall == new.mask & ~new.pool).all()
    assert (new.confidence == np.where(np.arange(7) == 2, 1.0, new.confidence)).all()
    # nothing corrected, nothing moved
    assert corrected(found, geometry) is found


def test_a_stack_bent_in_one_slice_is_what_neighbours_mend():
    """A closed form: between slices whose borders are true lies their mean."""
    found, geometry, spacing = cone([30, 36, 30], off=[(0, 0), (5, 0), (0, 0)])
    found.overlap[1] = 0.0  # nothing of its own was seen there
    fixed = {i: found.mask[i] for i in (0, 2)}
    middle = corrected(found, geometry, fixed=fixed).rings[1]
    assert np.abs(middle.centre - (60.0, 61.0)).max() < 0.3
    assert abs(middle.outer.mean() - 30.0) < 0.3


@pytest.mark.parametrize("border", ["epi", "endo"])
def test_a_border_passes_through_its_point_and_its_neighbours_come_along(border):
    found, geometry, spacing = cone([32] * 5)
    was = 32.0 if border == "epi" else 24.0
    place = np.array([60.0 + was + 3.0, 61.0])  # mm, straight down
    new = corrected(found, geometry, points=[
        BorderPoint(2, tuple(place / spacing), border)])

    def down(i):
        ring = new.rings[i]
        edge = ring.points(inner=border == "endo")
        return edge[np.abs(edge[:, 1] - 61.0).argsort()[:4], 0].max() - 60.0
    assert abs(down(2) - (was + 3.0)) < 0.5
    assert was + 0.5 < down(1) < was + 3.0 and was + 0.5 < down(3)
    other = new.rings[2].inner if border == "epi" else new.rings[2].outer
    assert np.abs(other.mean() - (24.0 if border == "epi" else 32.0)) < 2.0
    assert new.provenance["points"] == 1


@pytest.mark.parametrize("what, why", [
    ("few", "too small"), ("corner", "too small"), ("whole", "too large"), ("two", "pieces"),
    ("small", "0.16 times"), ("large", "times that proposed")])
def test_no_slice_follows_what_can_be_no_ventricle(what, why):
    found, geometry, spacing = cone([22, 22, 22, 22])
    size = found.mask.shape[1:]
    by_hand = np.zeros(size, bool)
    y, x = np.indices(size) * np.array(spacing)[:, None, None]
    away = np.hypot(y - 60, x - 61)
    by_hand |= {"few": away < 2, "corner": y + x == 0, "whole": away < 999,
                "two": (away < 12) | (np.hypot(y - 110, x - 61) < 14),
                "small": away < 22 * 0.4, "large": away < 50}[what]
    new = corrected(found, geometry, fixed={1: by_hand})
    assert (new.mask[1] == by_hand).all() and new.confidence[1] == 1.0
    others = [0, 2, 3]
    assert (new.mask[others] == found.mask[others]).all()
    said, = [w for w in new.warnings if "no other slice follows it" in w]
    assert "slice 1" in said and why in said


def test_a_drawn_ring_is_followed_as_if_filled():
    found, geometry, spacing = cone([26, 26, 26])
    filled = replace(found.rings[1], outer=found.rings[1].outer + 4.0).filled(
        found.mask.shape[1:], spacing)
    ring = filled & ~found.pool[1]
    new, plain = (corrected(found, geometry, fixed={1: one}) for one in (ring, filled))
    assert (new.mask[1] == ring).all() and (new.mask[[0, 2]] == plain.mask[[0, 2]]).all()
    assert new.mask[0].sum() > found.mask[0].sum()
    assert any("slice 1 has a hole" in w for w in new.warnings)
    assert not any("hole" in w for w in plain.warnings)


@pytest.mark.parametrize("gap", [0, 1, 6])
def test_a_stray_piece_is_not_followed_and_said(gap):
    """A slip of the brush of 3 x 3 pixels, on the outline or beside it: it stays as drawn."""
    found, geometry, spacing = cone([26, 26, 26])
    clean = replace(found.rings[1], outer=found.rings[1].outer + 4.0).filled(
        found.mask.shape[1:], spacing)
    row, column = np.argwhere(clean).mean(0).astype(int)
    column = int(np.flatnonzero(clean[row]).max()) + 1 + gap
    slipped = clean.copy()
    slipped[row - 1:row + 2, column:column + 3] = True
    new, plain = (corrected(found, geometry, fixed={1: one}) for one in (slipped, clean))
    assert (new.mask[1] == slipped).all()
    assert (body(slipped) & ~clean).sum() <= (3 if gap == 0 else 0) and not (
        clean & ~body(slipped)).any()
    assert gap == 0 or (new.mask[[0, 2]] == plain.mask[[0, 2]]).all()
    assert any("stray piece" in w and "slice 1" in w for w in new.warnings)
    assert not any("stray" in w for w in plain.warnings)


def test_a_pool_that_was_drawn_stays_and_those_beside_follow():
    found, geometry, spacing = cone([32] * 5)
    size = found.mask.shape[1:]
    thin = replace(found.rings[2], inner=found.rings[2].inner + 4.0).filled(
        size, spacing, inner=True)
    fixed = {2: found.mask[2]}
    new = corrected(found, geometry, fixed=fixed, pools={2: thin})
    plain = corrected(found, geometry, fixed=fixed)
    assert (new.pool[2] == thin).all() and (new.wall[2] == found.mask[2] & ~thin).all()
    assert (new.mask == plain.mask).all() and (plain.pool[2] != thin).any()
    by = [float((new.rings[i].inner - plain.rings[i].inner).mean()) for i in range(5)]
    assert 1.0 < by[1] < 4.0 and 1.0 < by[3] < 4.0 and by[0] < by[1]


def test_points_far_off_or_too_many_are_refused_and_on_drawn_slices_passed_over():
    found, geometry, spacing = cone([26, 26, 26])
    far = BorderPoint(0, (60 / spacing[0], 5 / spacing[1]))
    with pytest.raises(InputError, match="30 mm from the border proposed on slice 0"):
        corrected(found, geometry, points=[far])
    near = BorderPoint(0, (60 / spacing[0], 33 / spacing[1]))
    with pytest.raises(InputError, match="51 points"):
        corrected(found, geometry, points=[near] * 51)
    fixed = {0: found.mask[0]}
    passed = corrected(found, geometry, fixed=fixed, points=[far])
    assert (passed.mask == corrected(found, geometry, fixed=fixed).mask).all()
    assert passed.provenance["points"] == 0
    assert any("points on slice 0 were passed over" in w for w in passed.warnings)


def test_a_point_that_moves_a_border_far_is_said_and_makes_unsure():
    found, geometry, spacing = cone([26, 26, 26])

    def down_by(mm):
        return corrected(found, geometry, points=[
            BorderPoint(1, ((60 + 26 + mm) / spacing[0], 61 / spacing[1]))])

    near, far = down_by(4.0), down_by(20.0)
    assert not any("moves the border" in w for w in near.warnings)
    assert any("the point on slice 1 moves the border by 20 mm" in w for w in far.warnings)
    assert far.confidence[1] <= 0.5 < 0.9 < near.confidence[1]


@pytest.mark.parametrize("border, off, said", [
    ("endo", 28.0, "outside the epicardium"), ("endo", 25.0, "outside the epicardium"),
    ("endo", 20.0, ""), ("epi", 16.0, "inside the endocardium"), ("epi", 22.0, "")])
def test_a_point_that_lets_borders_cross_is_said(border, off, said):
    """Borders of 26 and 18 mm."""
    found, geometry, spacing = cone([26, 26, 26])
    new = corrected(found, geometry, points=[
        BorderPoint(1, ((60 + off) / spacing[0], 61 / spacing[1]), border)])
    told = [w for w in new.warnings if "thelium" in w or "cardium on slice" in w]
    assert len(told) == bool(said) and all(said in w and "slice 1" in w for w in told)
    ring = new.rings[1]
    assert (ring.inner < ring.outer).all()


def test_what_is_all_drawn_is_not_said_to_be_proposed():
    found, geometry, _ = cone([26, 26])
    part = corrected(found, geometry, fixed={0: found.mask[0]})
    every = corrected(found, geometry, fixed={0: found.mask[0], 1: np.zeros_like(found.mask[1])})
    assert any("not drawn" in w for w in part.warnings) and part.provenance["proposed"]
    assert not part.note["looked_at"]
    assert not any("not drawn" in w for w in every.warnings) and every.note["looked_at"]
    assert not every.provenance["proposed"]


def test_corrections_that_are_not_on_the_images_are_refused():
    found, geometry, _ = cone([30, 30])
    for wrong in ({"fixed": {2: found.mask[0]}}, {"fixed": {0: found.mask[0, 1:]}},
                  {"points": [BorderPoint(0, (200.0, 3.0))]},
                  {"points": [BorderPoint(0, (3.0, 3.0), "rv")]},
                  {"points": [BorderPoint(5, (3.0, 3.0))]}):
        with pytest.raises(InputError):
            corrected(found, geometry, **wrong)
    gone = corrected(found, geometry, fixed={i: np.zeros_like(found.mask[0]) for i in (0, 1)})
    assert not gone.mask.any() and set(gone.left_out) == {0, 1} and not gone.confidence.any()
