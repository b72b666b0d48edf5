"""What a user changed, from an edited segmentation, voxel by voxel; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from small_results import a_result_of, edited_of

from deepgmm.errors import InputError
from deepgmm.given import Edit, Strength
from deepgmm.reading.images.grids import geometry_of, image_of
from deepgmm.reading.masks.labelmap import Labels, read_labels
from deepgmm.review.corrections import (
    contour_corrections,
    corrections_of,
    decided_by,
    drawn_outside,
    edited_labels,
)
from deepgmm.study.words import Role, Tissue

BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR


@pytest.fixture
def result():
    return a_result_of()


def test_what_differs_is_what_was_corrected(result) -> None:
    edited = edited_of(result)
    found = corrections_of(result, edited, run=3, when="2026-01-02T03:04:05+00:00", seconds=12.5)
    np.testing.assert_array_equal(found.fixed, edited != result.labels)
    assert set(np.unique(found.tissue[found.fixed])) == {SCAR} and found.done == ()
    assert set(np.unique(found.strength)) == {0, Strength.VOXEL}
    assert found.edits == [Edit(Strength.VOXEL, "2026-01-02T03:04:05+00:00", 3, 12.5)]
    np.testing.assert_array_equal(found.painted(result.labels), edited)


def test_a_slice_that_is_done_is_right_also_where_it_was_left_alone(result) -> None:
    edited = edited_of(result)
    found = corrections_of(result, edited, done=[1])
    assert found.fixed[1].sum() == result.study.mask[1].sum() and not found.fixed[[0, 2]].any()
    np.testing.assert_array_equal(found.tissue[1], edited[1])
    changed = edited[1] != result.labels[1]
    assert (found.strength[1][changed] == Strength.VOXEL).all()
    assert (found.strength[1][~changed & result.study.mask[1]] == Strength.SLICE).all()


def test_what_was_erased_is_corrected_to_nothing(result) -> None:
    edited = result.labels.copy()
    row = int(np.nonzero(edited[0])[0][0])
    edited[0, row] = 0
    found = corrections_of(result, edited)
    assert found.fixed.sum() == (result.labels[0, row] > 0).sum() > 0
    assert not found.tissue.any() and found


def test_a_slice_with_nothing_drawn_was_left_alone(result) -> None:
    edited = edited_of(result)
    edited[[0, 2]] = 0
    found = corrections_of(result, edited, done=[1])
    assert not found.fixed[[0, 2]].any() and found.fixed[1].any()


def test_the_version_that_was_edited_is_what_edits_are_told_from(result) -> None:
    base, edited = edited_of(result, 0), edited_of(result, 0)
    edited[2][edited[2] == EDEMA] = MYOCARDIUM
    found = corrections_of(result, edited, base=base, run=2)
    assert not found.fixed[:2].any() and (found.tissue[2][found.fixed[2]] == MYOCARDIUM).all()


def test_a_path_in_place_of_labels_is_said_and_how_to_read_it() -> None:
    for path in ("edited.seg.nrrd", Path("edited.seg.nrrd")):
        with pytest.raises(InputError, match="edited is the name of a file: give its labels"):
            corrections_of(a_result_of(), path)


def test_a_contour_is_blood_inside_and_wall_outside(result) -> None:
    pool = result.labels[1] == BLOOD
    centre = np.argwhere(pool).mean(0)
    radius = np.sqrt(pool.sum() / np.pi) - 1.5
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    line = centre + radius * np.stack([np.sin(turn), np.cos(turn)], 1)
    found = contour_corrections(result, {1: line})
    away = np.hypot(*(np.indices(pool.shape) - centre[:, None, None]))
    here = found.fixed[1]
    assert set(np.unique(found.strength[here[None].repeat(3, 0) & found.fixed])) == {
        Strength.CONTOUR} and not found.fixed[[0, 2]].any()
    sure = np.abs(away - radius) > 1  # pixels that the line does not cut
    assert (found.tissue[1][here & sure & (away < radius)] == BLOOD).all()
    outside = found.tissue[1][here & sure & (away > radius)]
    assert np.isin(outside, (MYOCARDIUM, EDEMA, SCAR)).all() and len(outside) > 20
    # what was blood and lies outside now is said, however far from the line
    assert here[pool & (away > radius + 1)].all()
    edited = corrections_of(result, result.labels, borders=[0])
    assert (edited.strength[edited.fixed] == Strength.CONTOUR).all() and edited.fixed[0].any()


def test_later_corrections_hold_and_nothing_that_was_drawn_is_lost(result) -> None:
    first = corrections_of(result, edited_of(result), done=[1])
    second = corrections_of(result, edited_of(result, 1, EDEMA, MYOCARDIUM))
    both = first.joined(second)
    assert first.contradicted(second) == second.fixed.sum() > 0
    assert (both.tissue[second.fixed] == MYOCARDIUM).all() and both.done == (1,)
    only = first.fixed & ~second.fixed
    np.testing.assert_array_equal(both.tissue[only], first.tissue[only])
    assert len(both.edits) == len(first.edits) + len(second.edits)
    assert (both.edit[second.fixed] == len(first.edits) + 1).all()
    open_again = both.without([1])
    assert open_again.done == () and set(np.unique(open_again.strength)) <= {0, Strength.VOXEL}


@pytest.mark.parametrize("later, back", [
    ({"done": [1]}, Strength.SLICE), ({"borders": [1]}, Strength.CONTOUR)])
def test_a_stroke_learned_before_stays_when_a_done_or_a_border_is_taken_back(
        result, later, back) -> None:
    edited = edited_of(result, 1, MYOCARDIUM)
    stroke = corrections_of(result, edited, when="first")
    after = replace(result, labels=edited)
    given = corrections_of(after, edited, **later)
    beside = stroke.fixed & given.fixed
    assert beside.any()
    both = stroke.joined(given)
    assert both.fixed[~stroke.fixed].any() and both.holds(given) and both.holds(stroke)
    left = both.without([1], back)
    np.testing.assert_array_equal(left.fixed, stroke.fixed)
    np.testing.assert_array_equal(left.tissue, stroke.tissue)
    assert {left.edits[n - 1].when for n in left.edit[left.fixed]} == {"first"}


def test_border_and_done_are_taken_back_each_by_itself(result) -> None:
    border, done = (corrections_of(result, result.labels, **how)
                    for how in ({"borders": [1]}, {"done": [1]}))
    assert border.bordered == [1]
    for both in (border.joined(done), done.joined(border)):
        assert both.bordered == [1] and both.done == (1,)
        np.testing.assert_array_equal(both.fixed, done.fixed)
        left = both.without([1])
        assert left.bordered == [1] and left.done == ()
        np.testing.assert_array_equal(left.fixed, border.fixed)
        whole = both.without([1], Strength.CONTOUR)
        assert whole.bordered == [] and whole.done == (1,)
        np.testing.assert_array_equal(whole.fixed, done.fixed)
        assert not whole.without([1])
    assert not done.holds(border) and done.joined(border).holds(border)


def test_an_edited_segmentation_may_lie_on_a_piece_of_the_grid(result) -> None:
    edited = edited_of(result)
    whole = Labels(edited, result.study.geometry)
    np.testing.assert_array_equal(edited_labels(whole, result), edited)
    there = np.argwhere(edited.any(0))
    (top, left), (bottom, right) = there.min(0), there.max(0) + 1
    matrix = result.study.geometry.index_to_world()
    origin = (matrix @ [left, top, 0, 1])[:3]
    piece = Labels(edited[:, top:bottom, left:right],
                   replace(result.study.geometry, origin=tuple(origin)))
    np.testing.assert_array_equal(edited_labels(piece, result), edited)


@pytest.mark.parametrize("how", ["exchanged", "DICOMOrient", "flipped"])
def test_an_edited_segmentation_may_have_its_voxels_in_another_order(result, how: str) -> None:
    """As other programs write the same grid; ITK says where each voxel goes."""
    edited = edited_of(result)
    image = image_of(edited, result.study.geometry)
    other = {"exchanged": lambda: sitk.PermuteAxes(image, [1, 2, 0]),
             "DICOMOrient": lambda: sitk.DICOMOrient(image, "ASL"),
             "flipped": lambda: sitk.Flip(image, [True, False, True])}[how]()
    values = sitk.GetArrayFromImage(other)
    assert values.shape != edited.shape or (values != edited).any()
    np.testing.assert_array_equal(edited_labels(Labels(values, geometry_of(other)), result), edited)


def test_three_is_scar_where_no_edema_is_sought(result, tmp_path: Path) -> None:
    """As 3D Slicer numbers the segments of a labelmap that it exports."""
    alone, path = a_result_of(roles=(Role.LGE,)), tmp_path / "exported.nrrd"
    for one, values, wanted in ((alone, {BLOOD: 1, MYOCARDIUM: 2, SCAR: 3}, "emidec"),
                                (result, {BLOOD: 1, MYOCARDIUM: 2, SCAR: 3}, ""),
                                (alone, {BLOOD: 1, MYOCARDIUM: 2, SCAR: 4}, "deepgmm")):
        exported = sum((one.labels == t) * np.uint8(v) for t, v in values.items())
        sitk.WriteImage(image_of(np.asarray(exported, np.uint8), one.study.geometry), str(path))
        if not wanted:
            with pytest.raises(InputError, match="different things to different people"):
                read_labels(path, decide=decided_by(one))
            continue
        read = read_labels(path, decide=decided_by(one), because="by the tissues sought")
        assert read.convention == wanted
        np.testing.assert_array_equal(read.values, one.labels)


@pytest.mark.parametrize("proposed", [False, True])
def test_an_outer_border_that_was_moved_is_said_with_what_moves_it(result, proposed) -> None:
    if proposed:
        result.provenance["mask_proposal"] = {"proposed": True}
    mask, said = result.study.mask, []
    wider, narrower, stroke = (result.labels.copy() for _ in range(3))
    wider[1][ndimage.binary_dilation(mask[1]) & ~mask[1]] = Tissue.MYOCARDIUM
    narrower[1][mask[1] & ~ndimage.binary_erosion(mask[1])] = Tissue.BACKGROUND
    stroke[1][tuple(np.argwhere(ndimage.binary_dilation(mask[1]) & ~mask[1])[:2].T)] = 2
    hole = result.labels.copy()
    hole[1][tuple(np.argwhere(ndimage.binary_erosion(mask[1]))[0])] = Tissue.BACKGROUND
    for edited in (wider, narrower, stroke, hole):
        corrected = replace(result, corrections=corrections_of(result, edited))
        said.append([one for one in drawn_outside(corrected)
                     if one.startswith("the outer border was moved on slice 1: ")])
    assert [len(one) for one in said] == [1, 1, 0, 0]
    assert ("propose-mask --fixed EDITED" in said[0][0]) is proposed
    every = corrections_of(result, wider, done=range(len(mask)))
    assert drawn_outside(replace(result, corrections=every)) == [], "nothing is left to follow"


def test_obstruction_drawn_where_none_was_told_apart_stays_and_is_said() -> None:
    from test_refine import fitted

    from deepgmm import refine
    from deepgmm.review.report import report

    result, _ = fitted("map")
    edited = result.labels.copy()
    index = int((result.labels == SCAR).sum((1, 2)).argmax())
    edited[index][tuple(np.argwhere(edited[index] == SCAR)[::3].T)] = Tissue.MVO
    drawn = edited == Tissue.MVO
    new = refine(result, corrections_of(result, edited))
    assert ((new.labels == Tissue.MVO) == drawn).all()
    assert (new.posterior[:, new.tissues.index(SCAR)][drawn] == 1).all()
    assert sum("obstruction was drawn, which this fit counts as scar" in w
               for w in new.warnings) == 1
    assert np.isnan(new.volume_interval(SCAR)).all()
    volumes = report(new)["volumes_ml"]
    assert volumes["Microvascular obstruction"] == pytest.approx(
        drawn.sum() * result.study.geometry.voxel_volume, rel=1e-3)
    # once more is said once; as scar again, no more
    edited = new.labels.copy()
    edited[0][tuple(np.argwhere(edited[0] == MYOCARDIUM)[0])] = SCAR
    again = refine(new, corrections_of(new, edited))
    assert sum("obstruction was drawn" in w for w in again.warnings) == 1
    back = refine(again, corrections_of(again, np.where(drawn, SCAR, again.labels)))
    assert not any("obstruction was drawn" in w for w in back.warnings)
    # where it was asked for it is nothing to be said; where scar is not sought, it is refused
    asked = replace(result, provenance=result.provenance | {
        "settings": result.provenance["settings"] | {"keep_mvo": True}})
    assert not any("obstruction was drawn" in w for w in refine(
        asked, corrections_of(asked, np.where(drawn, Tissue.MVO, asked.labels))).warnings)
    alone = a_result_of(roles=(Role.T2,))
    edited = alone.labels.copy()
    edited[0][edited[0] == EDEMA] = Tissue.MVO
    with pytest.raises(InputError, match="microvascular obstruction, which this result does not"):
        corrections_of(alone, edited)
