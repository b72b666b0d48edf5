"""A fit taken up again with corrections: what never changes, what follows, what is said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from small_phantoms import a_patient
from small_results import a_result_of

from deepgmm import Result, Settings, refine, segment
from deepgmm.errors import InputError
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.methods import refit
from deepgmm.progress import silent
from deepgmm.refine import case_of
from deepgmm.review.corrections import corrections_of
from deepgmm.review.slices import slice_rows
from deepgmm.review.where_next import By, review_next
from deepgmm.study.levels import Numbering
from deepgmm.study.study import Geometry
from deepgmm.study.words import Role, Tissue

BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR


@cache
def fitted(method: str, lge_alone: bool = False) -> tuple[Result, np.ndarray]:
    patient = a_patient(101)
    study = patient.study
    if lge_alone:
        study = replace(study, sequences={Role.LGE: study.sequences[Role.LGE]})
    return segment(study, Settings(method=method)), patient.truth


def made_right(result: Result, truth: np.ndarray, *slices: int) -> np.ndarray:
    edited = result.labels.copy()
    for index in slices:
        edited[index] = np.where(result.study.mask[index], truth[index], 0)
    return edited


@pytest.fixture(params=["map", "auto"])
def both(request) -> tuple[Result, np.ndarray]:
    return fitted(request.param)


def test_what_was_corrected_never_changes_and_the_result_says_so(both) -> None:
    result, truth = both
    before = result.labels.copy()
    given = corrections_of(result, made_right(result, truth, 1), done=[1])
    new = refine(result, given)
    np.testing.assert_array_equal(new.labels[given.fixed], given.tissue[given.fixed])
    np.testing.assert_array_equal(result.labels, before)  # the old one stays
    refined = new.provenance["refined"]
    assert refined["refits"] == 1 and refined["done_slices"] == [1]
    assert refined["corrected_voxels"] == given.fixed.sum()
    certain = new.posterior.transpose(0, 2, 3, 1)[given.fixed]
    assert (certain.max(1) == 1).all() and (certain.sum(1) == 1).all()
    inside = new.posterior.sum(1)[result.study.mask]
    np.testing.assert_allclose(inside, 1, atol=1e-5)
    assert slice_rows(new)[1]["locked"] and slice_rows(new)[1]["uncertainty"] is None
    # a second refit, of another slice, leaves the first as it was
    again = refine(new, corrections_of(new, made_right(new, truth, 2)))
    np.testing.assert_array_equal(again.labels[given.fixed], given.tissue[given.fixed])
    assert again.provenance["refined"]["refits"] == 2
    assert again.provenance["refined"]["done_slices"] == [1]


def test_two_slices_made_right_teach_map_what_it_had_missed() -> None:
    """Edema that the fit is made to have missed everywhere comes back in the slice between."""
    result, truth = fitted("map")
    missed = replace(result, labels=result.labels.copy(), posterior=result.posterior.copy())
    edema, muscle = (result.tissues.index(t) for t in (EDEMA, MYOCARDIUM))
    missed.posterior[:, muscle] += 0.9 * missed.posterior[:, edema]
    missed.posterior[:, edema] *= 0.1
    missed.labels[missed.labels == EDEMA] = MYOCARDIUM
    new = refine(missed, corrections_of(missed, made_right(missed, truth, 0, 2), done=[0, 2]))
    found, true = new.labels[1] == EDEMA, truth[1] == EDEMA
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.6


def test_intervals_are_those_of_what_nobody_corrected() -> None:
    result, truth = fitted("map")
    new = refine(result, corrections_of(result, made_right(result, truth, 0, 1), done=[0, 1]))
    for tissue in (BLOOD, SCAR):
        (low, high), (now_low, now_high) = (r.volume_interval(tissue) for r in (result, new))
        assert now_high - now_low < high - low and now_low <= new.volume(tissue) <= now_high


def test_all_corrected_is_as_it_was_drawn_with_no_interval_left() -> None:
    result, truth = fitted("auto")
    edited = made_right(result, truth, 0, 1, 2)
    new = refine(result, corrections_of(result, edited, done=[0, 1, 2]))
    np.testing.assert_array_equal(new.labels, edited)
    assert any(w.startswith("everything was corrected") for w in new.warnings)
    low, high = new.volume_interval(BLOOD)
    assert low == pytest.approx(high) == pytest.approx(new.volume(BLOOD))


@pytest.mark.parametrize("method", ["map", "auto"])
@pytest.mark.parametrize("lge_alone", [False, True])
def test_a_scar_in_dark_remote_wall_is_kept_said_and_spoils_nothing(method: str,
                                                                    lge_alone: bool) -> None:
    result, _ = fitted(method, lge_alone)
    lge = result.study.sequences[Role.LGE].values
    wall = result.labels[1] == MYOCARDIUM
    dark = wall & (lge[1] < np.quantile(lge[1][wall], 0.3))
    edited = result.labels.copy()
    edited[1][dark] = SCAR
    new = refine(result, corrections_of(result, edited))
    assert (new.labels[1][dark] == SCAR).all()
    said = [w for w in new.warnings if w.startswith("corrected as scar on slice 1")]
    assert len(said) == 1 and "the rest does not follow" in said[0]
    shown = Numbering(len(new.labels), -1).in_words(said[0])  # the count is no slice
    assert shown.startswith(f"corrected as scar on slice {len(new.labels) - 1}: ")
    others = [0, 2]
    change = (new.labels[others] != result.labels[others]).sum()
    assert change < 0.02 * result.study.mask[others].sum()
    # said of these corrections, not of every later one
    mended = refine(new, corrections_of(new, made_right(new, result.labels, 1)))
    assert not any("corrected as scar" in w for w in mended.warnings)
    assert any("were corrected before" in w for w in mended.warnings)  # contradicting strokes


def test_next_to_nothing_corrected_changes_next_to_nothing() -> None:
    result, _ = fitted("map")
    at = tuple(np.argwhere(result.labels == BLOOD)[50])
    edit = np.zeros(result.labels.shape, np.uint16)
    edit[at] = 1
    new = refine(result, Corrections(edit.astype(np.uint8) * BLOOD, edit, [Edit(Strength.VOXEL)]))
    assert (new.labels != result.labels).sum() < 0.01 * result.study.mask.sum()


def test_a_fit_that_had_rounds_left_is_left_so_where_nothing_is_corrected() -> None:
    """More rounds of it would move a hundred voxels and more: that is no correction's doing."""
    result, _ = fitted("map")
    rough = replace(result, labels=result.labels.copy(), posterior=result.posterior**0.3)
    inside = rough.posterior.sum(1, keepdims=True)
    rough.posterior /= np.where(inside > 0, inside, 1)
    blood, muscle = (result.tissues.index(t) for t in (BLOOD, MYOCARDIUM))
    rough.posterior[:, [blood, muscle]] = (0.6 * rough.posterior[:, [blood, muscle]]
                                           + 0.4 * rough.posterior[:, [muscle, blood]])
    slices = [fit.index for fit in result.fits]
    rough.labels[slices] = np.asarray(result.tissues)[rough.posterior[slices].argmax(1)]
    rough.labels[~result.study.mask] = 0
    case = case_of(result)
    more, _ = refit._gone_on(case, rough.posterior[slices],
                             refit._known(case, Corrections.none(case.mask.shape)), silent)
    by_itself = more.posterior.argmax(1) != rough.posterior[slices].argmax(1)
    assert (by_itself & case.mask).sum() > 100
    at = tuple(np.argwhere(rough.labels == BLOOD)[50])
    edit = np.zeros(result.labels.shape, np.uint16)
    edit[at] = 1
    new = refine(rough, Corrections(edit.astype(np.uint8) * BLOOD, edit, [Edit(Strength.VOXEL)]))
    assert (new.labels != rough.labels).sum() < 0.2 * (by_itself & case.mask).sum()


def test_a_disease_that_was_absent_is_there_where_one_draws_it() -> None:
    patient = a_patient(104, patient_set="healthy")
    result = segment(patient.study, Settings(method="map"))
    result.labels[result.labels == SCAR] = MYOCARDIUM
    result.posterior[:, result.tissues.index(MYOCARDIUM)] += result.posterior[
        :, result.tissues.index(SCAR)]
    result.posterior[:, result.tissues.index(SCAR)] = 0
    result.warnings = [w for w in result.warnings if "scar was found" not in w] + [
        "no scar was found: it was taken out"]
    blood = result.labels.copy()
    blood[1][tuple(np.argwhere(blood[1] == MYOCARDIUM)[:3].T)] = BLOOD
    still = refine(result, corrections_of(result, blood))
    assert not (still.labels == SCAR).any()
    assert any(w.startswith("no scar was found") for w in still.warnings)
    edited = still.labels.copy()
    edited[1][tuple(np.argwhere(edited[1] == MYOCARDIUM)[:15].T)] = SCAR
    new = refine(still, corrections_of(still, edited))
    assert (new.labels[1] == SCAR).sum() >= 15 and np.isfinite(new.posterior).all()
    assert not any(w.startswith("no scar was found") for w in new.warnings)


def test_what_was_erased_is_nothing_and_what_was_drawn_outside_the_mask_stays() -> None:
    result, _ = fitted("auto")
    edited = result.labels.copy()
    row = int(np.nonzero(edited[0])[0][0])
    edited[0, row] = 0
    outside = tuple(np.argwhere(~result.study.mask[1])[0])
    edited[1][outside] = BLOOD
    new = refine(result, corrections_of(result, edited))
    assert not new.labels[0, row].any() and not new.posterior[0, :, row].any()
    assert new.labels[1][outside] == BLOOD and new.posterior[1, 0][outside] == 1


def test_a_slice_that_is_opened_again_follows_but_for_what_was_drawn() -> None:
    result, truth = fitted("auto")
    edited = made_right(result, truth, 1)
    new = refine(result, corrections_of(result, edited, done=[1]))
    given = refine(new, Corrections.none(new.labels.shape), reopened=[1]).corrections
    assert given is not None and given.done == ()
    np.testing.assert_array_equal(given.fixed, edited != result.labels)
    with pytest.raises(InputError, match="nothing was corrected"):
        refine(new, Corrections.none(new.labels.shape), reopened=[2])


def test_the_order_of_corrections_does_not_matter(both) -> None:
    result, truth = both

    def corrected_in(*order: int) -> Result:
        new = result
        for index in order:
            new = refine(new, corrections_of(new, made_right(new, truth, index), done=[index]))
        return new
    one, other = corrected_in(0, 2), corrected_in(2, 0)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.posterior, other.posterior, atol=1e-5)
    assert (one.labels != result.labels)[1].any()  # something followed


def test_slices_that_were_locked_count_as_done() -> None:
    from deepgmm.review.locked import keep_locked

    result, truth = fitted("auto")
    locked = keep_locked(result, made_right(result, truth, 0), [0])
    new = refine(locked, corrections_of(locked, made_right(locked, truth, 1), done=[1]))
    np.testing.assert_array_equal(new.labels[0], locked.labels[0])
    assert new.provenance["refined"]["done_slices"] == [0, 1]
    assert "locked_slices" not in new.provenance


@pytest.mark.parametrize("wrong, words", [
    ("empty", "nothing was corrected"), ("shape", "another study"), ("tissue", "does not seek")])
def test_corrections_that_are_not_this_results_are_refused(wrong: str, words: str) -> None:
    result, _ = fitted("map")
    shape = result.labels.shape
    given = Corrections.none(shape)
    if wrong == "shape":
        given = Corrections.none((1, 4, 4))
    elif wrong == "tissue":
        result = replace(result, tissues=(BLOOD, MYOCARDIUM, SCAR))
        given = Corrections(np.full(shape, EDEMA), np.ones(shape), [Edit(Strength.VOXEL)])
    with pytest.raises(InputError, match=words) as refusal:
        refine(result, given)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("kind, settings", [
    ("wall given", {"method": "map"}), ("LGE alone", {"method": "map", "papillary": "wall"}),
    ("T2 alone", {}), ("one slice", {"method": "map"}), ("plain", {"method": "gmm"}),
    ("shaded", {"method": "map", "bias_degree": 1})])
def test_every_sort_of_fit_can_be_refined(kind: str, settings: dict) -> None:
    patient = a_patient(101)
    study, truth = patient.study, patient.truth
    if kind == "wall given":
        study = replace(study, wall=np.isin(truth, (MYOCARDIUM, EDEMA, SCAR)))
    elif kind == "LGE alone":
        study = replace(study, sequences={Role.LGE: study.sequences[Role.LGE]})
    elif kind == "T2 alone":
        study = replace(study, sequences={Role.T2: study.sequences[Role.T2]})
    elif kind == "one slice":
        study = replace(study, excluded={0: "left out", 2: "left out"})
    result = segment(study, Settings(restarts=1, **settings))
    edited = result.labels.copy()
    edited[1][tuple(np.argwhere(edited[1] == MYOCARDIUM)[:60:2].T)] = result.tissues[-1]
    given = corrections_of(result, edited)
    new = refine(result, given)
    np.testing.assert_array_equal(new.labels[given.fixed], given.tissue[given.fixed])
    fitted = result.study.mask[list(new.study.slices)]
    np.testing.assert_allclose(new.posterior[list(new.study.slices)].sum(1)[fitted], 1, atol=1e-5)
    assert set(np.unique(new.labels[new.study.mask])) <= {0, *result.tissues}


# False scar refused: probabilities drawn by hand

def islands_of(*sure: float) -> tuple[object, np.ndarray]:
    """Probabilities of a wall with patches of scar so sure, one below the other."""
    result, _ = fitted("map")
    case = case_of(result)
    p = np.zeros((len(case.slices), 4, *case.mask.shape[1:]))
    p[:, 1][case.mask] = 1
    rows, columns = np.nonzero(case.mask[1])
    at = int(np.median(columns))
    top = np.linspace(rows.min() + 4, rows.max() - 8, 4).astype(int)
    for place, one in zip(top, sure):
        patch = np.s_[1, :, place:place + 4, at:at + 5]
        p[patch] = np.array([0, 1 - 0.9 * one, 0.0, 0.9 * one])[:, None, None]
        p[1, :, place + 1, at + 2] = [0, 1 - one, 0, one]  # its core
    return case, p


def stroke(p: np.ndarray, over: np.ndarray, tissue: Tissue = MYOCARDIUM) -> Corrections:
    edit = over.astype(np.uint16)
    return Corrections(np.where(over, tissue, 0), edit, [Edit(Strength.VOXEL)])


def patches(p: np.ndarray) -> list[int]:
    """Pixels of scar in each patch."""
    from scipy import ndimage

    labels, count = ndimage.label(p.argmax(1)[1] == 3)
    return [int((labels == k).sum()) for k in range(1, count + 1)]


def over_core(p: np.ndarray, which: int) -> np.ndarray:
    from scipy import ndimage

    labels, _ = ndimage.label(p[1, 3] > 0.5)
    best = np.where(labels == which + 1, p[1, 3], -1)
    row, column = np.unravel_index(best.argmax(), best.shape)
    over = np.zeros(p.shape[:1] + p.shape[2:], bool)
    over[1, row, column:column + 2] = True
    return over


def test_a_stroke_over_the_core_removes_the_island_and_leaves_surer_ones() -> None:
    case, p = islands_of(0.95, 0.8)
    assert patches(p) == [20, 20]
    after = refit.follow(case, p, stroke(p, over_core(p, 1)))
    assert patches(after) == [20]
    np.testing.assert_allclose(after.sum(1)[case.mask], 1)


def test_with_the_surest_refused_all_that_looks_no_surer_goes() -> None:
    case, p = islands_of(0.8, 0.95, 0.75)
    assert patches(refit.follow(case, p, stroke(p, over_core(p, 1)))) == []
    # unless somebody says that there is scar
    given = stroke(p, over_core(p, 1)).joined(stroke(p, over_core(p, 0), SCAR))
    assert len(patches(refit.follow(case, p, given))) == 2
    # or as much scar is left that is nearly as sure
    case, p = islands_of(0.94, 0.95, 0.93)
    assert len(patches(refit.follow(case, p, stroke(p, over_core(p, 1))))) == 2


def test_a_stroke_along_the_border_only_trims() -> None:
    case, p = islands_of(0.95)
    border = np.zeros(p.shape[:1] + p.shape[2:], bool)
    rows, columns = np.nonzero(p[1, 3] > 0.5)
    border[1, rows.max(), columns.min():columns.max() + 1] = True
    after = refit.follow(case, p, stroke(p, border))
    assert patches(after) == [15]


def far_apart(roles: tuple[Role, ...]) -> tuple[object, np.ndarray]:
    """Probabilities that hesitate everywhere between pool and wall, slices half a metre apart."""
    result = a_result_of(roles=roles, geometry=Geometry((1.3, 1.1, 500.0)))
    case = case_of(result)
    p = np.zeros((len(case.slices), len(case.tissues), *case.mask.shape[1:]))
    p[:, 0] = 0.55 * case.mask
    p[:, 1] = 0.45 * case.mask
    return case, p


@pytest.mark.parametrize("roles, done, moves", [
    (tuple(Role), (0, 1), True), (tuple(Role), (0,), False), (tuple(Role), (), False),
    ((Role.LGE,), (0, 1), False)])
def test_done_slices_tell_of_the_whole_heart_and_strokes_of_what_is_near(
        roles: tuple[Role, ...], done: tuple[int, ...], moves: bool) -> None:
    case, p = far_apart(roles)
    edit = np.zeros(case.mask.shape, np.uint16)
    edit[:2] = case.mask[:2]
    strength = Strength.SLICE if done else Strength.VOXEL
    given = Corrections(np.where(edit > 0, MYOCARDIUM, 0), edit, [Edit(strength)], done)
    moved = refit.follow(case, p, given)[2, 0][case.mask[2]]
    assert (moved < 0.5).all() if moves else (moved == 0.55).all()


# Where to look next

def test_a_slice_that_is_done_is_not_named_and_each_order_is_its_own() -> None:
    result, truth = fitted("map")
    assert [r["number"] for r in review_next(result, "order")] == [1, 2, 3]
    rows = review_next(result, By.UNCERTAIN)
    entropy = result.entropy().sum((1, 2))
    assert [r["index"] for r in rows] == np.argsort(-entropy).tolist()
    changes = [r["change"] for r in review_next(result, By.CHANGE)]
    assert changes == sorted(changes, reverse=True) and min(changes) > 0
    new = refine(result, corrections_of(result, made_right(result, truth, 1), done=[1]))
    assert {r["index"] for r in review_next(new)} == {0, 2}


def test_a_slice_like_no_other_would_change_little_elsewhere() -> None:
    result, _ = fitted("map")
    study = result.study
    moved = {role: replace(s, values=s.values.copy()) for role, s in study.sequences.items()}
    for sequence in moved.values():
        sequence.values[0] = sequence.values[0] * 3 + 500
    strange = replace(result, study=replace(study, sequences=moved))
    change = {r["index"]: r["change"] for r in review_next(strange)}
    usual = {r["index"]: r["change"] for r in review_next(result)}
    assert change[0] < 0.5 * usual[0]


def test_by_default_what_a_slice_leaves_open_counts_with_what_it_may_change() -> None:
    result, _ = fitted("map")
    sums = [r["uncertainty"] + r["change"] for r in review_next(result)]
    assert sums == sorted(sums, reverse=True)
    assert review_next(result) == review_next(result, By.USEFUL)
