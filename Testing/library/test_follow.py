"""Corrections as evidence for the slices beside: the field, what moves, what does not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from small_phantoms import a_patient

from deepgmm import Settings
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.methods import Case
from deepgmm.methods.follow import (
    ALONE,
    DEEPEST_MM,
    LAYER,
    ONE,
    STEP,
    _basis,
    _by_intensity,
    _by_place,
    followed,
)
from deepgmm.segment import prepared
from deepgmm.study.words import Tissue

SMOOTH = ALONE


@cache
def a_case() -> Case:
    return prepared(a_patient(101).study, Settings())


def unsure(case: Case) -> np.ndarray:
    """Probabilities that know blood by depth alone, and of the wall nothing but healthy wall."""
    blood = 1 / (1 + np.exp(-(case.coordinates.depth - 9.0)))
    shares = {Tissue.BLOOD: blood, Tissue.MYOCARDIUM: 0.8 * (1 - blood),
              Tissue.EDEMA: 0.08 * (1 - blood), Tissue.SCAR: 0.12 * (1 - blood)}
    return np.stack([shares[t] * case.mask for t in case.tissues], axis=1)


def sector_of(case: Case, middle: float = 2.0) -> np.ndarray:
    """The wall of a sector of 70 degrees."""
    away = np.abs((case.coordinates.angle - middle + np.pi) % (2 * np.pi) - np.pi)
    return case.mask & (away < 0.6) & (case.coordinates.depth < 7.0)


def scar_drawn(case: Case, *slices: int) -> Corrections:
    """Slices that are done, with scar in the sector."""
    blood = case.coordinates.depth > 9.0
    tissue = np.where(blood, Tissue.BLOOD, np.where(sector_of(case), Tissue.SCAR,
                                                    Tissue.MYOCARDIUM)) * case.mask
    edit = np.zeros(case.mask.shape, np.uint16)
    edit[list(slices)] = case.mask[list(slices)]
    return Corrections(tissue.astype(np.uint8), edit, [Edit(Strength.SLICE)], slices)


def test_the_functions_make_the_process_that_is_written_down() -> None:
    """The covariance by the kernel's formula, up to what so many waves and knots can hold."""
    case = a_case()
    where = case.mask[0] & (case.coordinates.depth[0] < DEEPEST_MM)
    where &= np.random.default_rng(0).random(where.shape) < 0.1
    basis = _basis(case, 0, where, SMOOTH)
    angle, depth = case.coordinates.angle[0][where], case.coordinates.depth[0][where]
    turn = (angle[:, None] - angle + np.pi) % (2 * np.pi) - np.pi
    wanted = np.exp(-0.5 * (turn / SMOOTH.angle) ** 2
                    - 0.5 * ((depth[:, None] - depth) / SMOOTH.depth) ** 2)
    np.testing.assert_allclose(basis @ basis.T, SMOOTH.size ** 2 * wanted, atol=0.02)


def test_scar_drawn_in_one_slice_makes_it_likelier_at_its_place_beside() -> None:
    case = a_case()
    before = unsure(case)
    after = followed(case, before, scar_drawn(case, 0))
    scar, sector = case.tissues.index(Tissue.SCAR), sector_of(case)
    rest = case.mask & ~sector & (case.coordinates.depth < 7.0)
    risen = [after[i, scar][sector[i]].mean() / before[i, scar][sector[i]].mean()
             for i in range(len(before))]
    assert risen[0] > risen[1] > risen[2] > 1.02, "less the farther away"
    assert after[1, scar][rest[1]].mean() < before[1, scar][rest[1]].mean()
    np.testing.assert_allclose(after.sum(1)[case.mask], 1, atol=1e-5)
    assert (after.sum(1)[~case.mask] == 0).all()


def test_two_slices_say_more_than_one_and_agree_with_themselves_in_any_order() -> None:
    case = a_case()
    before, scar = unsure(case), case.tissues.index(Tissue.SCAR)
    inside = sector_of(case)[1]
    one, both, other = (followed(case, before, scar_drawn(case, *slices))[1, scar][inside].mean()
                        for slices in ((0,), (0, 2), (2, 0)))
    assert both > one
    assert both == pytest.approx(other, rel=1e-6)


def test_what_is_sure_stays_and_what_was_right_teaches_nothing() -> None:
    case = a_case()
    given = scar_drawn(case, 0)
    certain = np.stack([(given.tissue == t) & case.mask for t in case.tissues], 1).astype(float)
    known = 0.998 * certain + 0.002 / len(case.tissues) * case.mask[:, None]
    after = followed(case, known, given)
    np.testing.assert_array_equal(after.argmax(1), known.argmax(1))
    assert np.abs(after - known).max() < 0.01


def test_islands_too_small_to_be_believed_are_not_begun() -> None:
    case = a_case()
    before = unsure(case)
    scar, wall = (case.tissues.index(t) for t in (Tissue.SCAR, Tissue.MYOCARDIUM))
    rows, columns = np.nonzero(sector_of(case)[1])
    before[1, scar, rows[0], columns[0]] = before[1, wall, rows[0], columns[0]] = 0.46
    before[1, wall, rows[0], columns[0]] = 0.47
    after = followed(case, before, scar_drawn(case, 0), smoothness=SMOOTH)
    assert after[1, scar, rows[0], columns[0]] > 0.46
    assert not (after[1].argmax(0) == scar).any()


def test_what_is_not_believed_teaches_nothing() -> None:
    case = a_case()
    before = unsure(case)
    given = scar_drawn(case, 0)
    doubted = followed(case, before, given, np.where(given.fixed, 0.0, np.nan))
    np.testing.assert_allclose(doubted, before, atol=1e-6)
    half = followed(case, before, given, np.where(given.fixed, 0.5, np.nan))
    whole = followed(case, before, given)
    scar, sector = case.tissues.index(Tissue.SCAR), sector_of(case)[1]
    assert (before[1, scar][sector].mean() < half[1, scar][sector].mean()
            < whole[1, scar][sector].mean())


def test_functions_of_intensities_make_the_process_that_is_written_down() -> None:
    case = a_case()
    diseases = [case.tissues.index(t) for t in (Tissue.EDEMA, Tissue.SCAR)]
    [field] = _by_intensity(case, [0, *diseases], [diseases[0]], ONE)
    assert field.columns == diseases, "the pool is seen by its form"
    where = case.mask[0] & (np.random.default_rng(0).random(case.mask[0].shape) < 0.1)
    functions = field.functions(0, where)
    values = case.normalised[0][0][:, where].T
    depth = np.minimum(case.coordinates.depth[0][where], DEEPEST_MM)
    apart = ((values[:, None] - values)**2).sum(2) / STEP**2 + (
        (depth[:, None] - depth) / LAYER)**2
    # what sixty voxels of the heart can hold of it
    off = functions @ functions.T - np.exp(-0.5 * apart)
    assert np.abs(off).mean() < 0.03 and np.diag(off).max() < 1e-6
    assert (field.covariance[1] == ONE.bright**2).all()
    assert (field.covariance[0] > field.covariance[1]).all(), "nothing else tells where it is"


def test_what_a_slice_errs_by_itself_is_not_told_of_others() -> None:
    case = a_case()
    field = _by_place(case, [0, 3], ONE)
    heights = case.study.geometry.spacing[2] * np.asarray(case.slices, float)
    near = np.exp(-np.abs(heights[:, None] - heights) / ONE.along)
    for own, found in zip((ONE.pool_own, 0.0), field.covariance, strict=True):
        np.testing.assert_allclose(np.diag(found), 1)
        off = ~np.eye(len(near), dtype=bool)
        np.testing.assert_allclose(found[off], (1 - own) * near[off])


def test_a_disease_that_none_had_found_is_found_in_the_others_once_one_slice_is_drawn() -> None:
    patient, case = a_patient(101), a_case()
    truth = patient.truth[list(case.slices)] * case.mask
    edema, wall = case.tissues.index(Tissue.EDEMA), case.tissues.index(Tissue.MYOCARDIUM)
    before = np.stack([truth == t for t in case.tissues], 1) * 0.98 + 0.005 * case.mask[:, None]
    before[:, wall] += before[:, edema]  # as if edema had been judged absent
    before[:, edema] = 0
    before /= np.maximum(before.sum(1, keepdims=True), 1e-12)
    most = int((truth == Tissue.EDEMA).sum((1, 2)).argmax())
    edit = np.zeros(truth.shape, np.uint16)
    edit[most] = case.mask[most]
    given = Corrections(truth.astype(np.uint8), edit, [Edit(Strength.SLICE)], (most,))
    after = followed(case, before, given).argmax(1)
    others = [i for i in range(len(truth)) if i != most]
    true, found = truth[others] == Tissue.EDEMA, (after == edema)[others]
    assert 2 * (true & found).sum() / (true.sum() + found.sum()) > 0.5
    rest = Corrections(np.where(given.fixed & (truth == Tissue.EDEMA), Tissue.MYOCARDIUM,
                                given.tissue).astype(np.uint8), edit, given.edits, (most,))
    assert not (followed(case, before, rest).argmax(1) == edema).any(), "nobody drew any"
