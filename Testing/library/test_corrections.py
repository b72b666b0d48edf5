"""What a user changed, from an edited segmentation, voxel by voxel; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from small_results import a_result_of

from deepgmm.errors import InputError
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.reading.images.grids import geometry_of, image_of
from deepgmm.reading.masks.labelmap import Labels, read_labels
from deepgmm.result import Result
from deepgmm.review.corrections import (
    contour_corrections,
    corrections_of,
    decided_by,
    doubts,
    drawn_outside,
    edited_labels,
)
from deepgmm.study.words import Role, Tissue

BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR


@pytest.fixture
def result():
    return a_result_of()


def edited_of(result, index: int = 1, old: Tissue = EDEMA, new: Tissue = SCAR) -> np.ndarray:
    labels = result.labels.copy()
    labels[index][labels[index] == old] = new
    return labels


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


@pytest.mark.parametrize("spoilt, words", [
    ("half a voxel", r"as large and as many, and lie 0\.65 mm beside them"),
    ("scar alone", "has no blood and no myocardium, which the result has"),
    ("blood alone", "has no myocardium, which the result has"),
    ("grid", "another grid"), ("elsewhere", "does not lie where"), ("other heart", "this patient"),
    ("tissue", "edema, which this result does not seek"), ("slice", "no slice 9"),
    ("empty slice", "no tissue is drawn"), ("shape", "shape"),
    ("all of it erased", "segmentation is empty")])
def test_what_cannot_be_this_results_is_refused_in_one_line(spoilt: str, words: str) -> None:
    result = a_result_of(roles=(Role.LGE,) if spoilt == "tissue" else tuple(Role))
    edited, done = result.labels.copy(), []
    geometry = result.study.geometry
    if spoilt == "grid":
        geometry = replace(geometry, spacing=(1.0, 1.1, 8.0))
    elif spoilt == "half a voxel":
        matrix = geometry.index_to_world()
        geometry = replace(geometry, origin=tuple((matrix @ [0.5, 0, 0, 1])[:3]))
    elif spoilt.endswith("alone"):
        edited = np.where(edited == {"scar alone": SCAR, "blood alone": BLOOD}[spoilt], edited, 0)
    elif spoilt == "elsewhere":
        edited = np.roll(edited, 9, axis=2)
    elif spoilt == "other heart":
        edited = np.where(edited > 0, np.roll(edited, 1, 0) % 4 + 1, 0).astype(np.uint8)
    elif spoilt == "tissue":
        edited[0][edited[0] == SCAR] = EDEMA
    elif spoilt == "slice":
        done = [9]
    elif spoilt == "empty slice":
        edited[2], done = 0, [2]
    elif spoilt == "all of it erased":
        edited[:] = 0
    with pytest.raises(InputError, match=words) as refusal:
        labels = (edited[:, :-1] if spoilt == "shape" else
                  edited_labels(Labels(edited, geometry), result))
        corrections_of(result, labels, done=done)
    assert len(str(refusal.value)) < 300


def test_corrections_that_cannot_be_are_refused() -> None:
    shape = (2, 3, 3)
    with pytest.raises(InputError):
        Corrections(np.zeros(shape, np.uint8), np.zeros((2, 3), np.uint16))
    with pytest.raises(InputError):
        Corrections(np.zeros(shape, np.uint8), np.ones(shape, np.uint16))
    with pytest.raises(InputError):
        Corrections(np.full(shape, 77, np.uint8), np.ones(shape, np.uint16),
                    [Edit(Strength.VOXEL)])
    assert not Corrections.none(shape)


def centred() -> Result:
    """A heart in the middle of its images, with scar on one side."""
    result = a_result_of(shape=(41, 41))
    y, x = np.mgrid[:41, :41] - 20
    radius = np.hypot(y, x)
    labels = np.where(radius < 6, BLOOD, MYOCARDIUM)
    labels[(radius >= 6) & (x > 3)] = EDEMA
    labels[(radius >= 6) & (x > 5) & (y > 0)] = SCAR
    labels = np.broadcast_to(np.where(radius < 12, labels, 0), (3, 41, 41)).astype(np.uint8)
    return replace(result, labels=labels, study=replace(result.study, mask=labels > 0))


@pytest.mark.parametrize("by", [1, -1])
def test_a_segmentation_a_slice_off_is_refused(by: int) -> None:
    """As a program writes it that lost a slice; one slice alone may look as it likes."""
    sizes = np.array([14, 10, 7, 4])
    y, x = np.mgrid[:41, :41] - 20
    radius = np.hypot(y, x)[None] / sizes[:, None, None]
    labels = np.where(radius < 0.5, BLOOD, np.where(radius < 1, MYOCARDIUM, 0)).astype(np.uint8)
    heart = a_result_of(slices=4, shape=(41, 41))
    heart = replace(heart, labels=labels, study=replace(heart.study, mask=labels > 0))
    moved = np.roll(labels, by, 0)
    moved[0 if by > 0 else -1] = 0
    with pytest.raises(InputError, match="is a slice off"):
        edited_labels(Labels(moved, heart.study.geometry), heart)
    alone = np.zeros_like(labels)
    alone[1] = labels[1]
    edited_labels(Labels(alone, heart.study.geometry), heart)


@pytest.mark.parametrize("axes, words", [
    ((2,), "left to right"), ((1,), "top to bottom"), ((1, 2), "turned by half")])
def test_a_mirrored_segmentation_is_refused(axes, words) -> None:
    result = centred()
    for slices in ([0, 1, 2], [1]):
        edited = np.zeros_like(result.labels)
        edited[slices] = np.flip(result.labels[slices], axes)
        with pytest.raises(InputError, match=words):
            edited_labels(Labels(edited, result.study.geometry), result)
    edited = result.labels.copy()
    edited[edited == EDEMA] = MYOCARDIUM
    edited_labels(Labels(edited, result.study.geometry), result)


@pytest.mark.parametrize("axes", [(0,), (0, 2), (0, 1)])
def test_slices_in_reversed_order_are_refused(axes) -> None:
    """Of a heart whose scar lies at the apex, where it is small; each slice alone looks right."""
    result = centred()
    labels = result.labels.copy()
    y, x = np.mgrid[:41, :41] - 20
    for index, radius in enumerate((13, 12, 11)):
        outside = np.hypot(y, x) >= radius
        labels[index] = np.where(outside, 0, np.where(labels[index] > 0, labels[index],
                                                      MYOCARDIUM))
        if index < 2:
            labels[index][labels[index] == SCAR] = MYOCARDIUM
    result = replace(result, labels=labels, study=replace(result.study, mask=labels > 0))
    edited_labels(Labels(labels.copy(), result.study.geometry), result)
    with pytest.raises(InputError, match="reversed order"):
        edited_labels(Labels(np.flip(labels, axes).copy(), result.study.geometry), result)


def test_many_corrections_are_asked_about(result) -> None:
    few = corrections_of(result, edited_of(result), done=[1])
    assert doubts(few, result) == []
    edited = np.where(result.labels == MYOCARDIUM, SCAR, result.labels)
    count, inside = (edited != result.labels).sum(), (result.labels > 0).sum()
    assert doubts(corrections_of(result, edited), result) == [
        f"{count} voxels, {100 * count / inside:.0f} % of the LV mask, were changed: was the "
        "right file given?"]


def test_a_slice_done_in_place_of_another_is_told(result) -> None:
    given = corrections_of(result, edited_of(result), done=[2])
    assert doubts(given, result) == ["slice 2 was called done, and nothing differs there; slice 1 "
                                     "was changed and is not done"]
    assert doubts(given, result, known=[1]) == []


def test_what_is_drawn_far_from_the_mask_is_said() -> None:
    """A slip of the mouse that counts in the volumes, and that no picture shows."""
    result = centred()
    edited = result.labels.copy()
    edited[1, 20, 33:35] = SCAR  # beside the wall, which ends 12 pixels from the middle
    edited[0, 0, :2] = edited[2, 0, :1] = SCAR
    corrected = replace(result, corrections=corrections_of(result, edited))
    assert [one for one in drawn_outside(corrected) if "outside the LV mask" in one] == [
        "3 voxels were drawn on slices 0, 2 more than 15 mm outside the LV mask: they count as "
        "what they are drawn as, and most pictures do not reach there; erase what was not meant"]


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


@pytest.mark.parametrize("given, said", [
    ({"done": [1.5]}, "fraction"), ({"done": [1], "seconds": float("nan")}, "no time"),
    ({"done": [1], "seconds": -1.0}, "no time")])
def test_slices_and_times_that_are_none_are_refused(result, given, said) -> None:
    with pytest.raises(InputError, match=said):
        corrections_of(result, result.labels, **given)


def test_labels_that_are_no_numbers_are_refused(result) -> None:
    with pytest.raises(InputError, match="no tissue"):
        corrections_of(result, np.where(result.labels == SCAR, np.nan, result.labels), done=[1])


@pytest.mark.parametrize("index", [-1, 99])
def test_a_slice_that_is_not_there_is_not_reopened(result, index) -> None:
    from deepgmm import refine

    with pytest.raises(InputError, match=f"no slice {index} to reopen"):
        refine(result, corrections_of(result, result.labels, done=[1]), reopened=[index])


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
