"""What real LGE asks of the default method: levels of slices, borders, and how much is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepgmm.identify.absence import SCAR_LEAST, Support
from deepgmm.identify.anatomy import LEVELS, REACH, anchored_options
from deepgmm.identify.contrast import contrast_prior
from deepgmm.methods.anchored import Terms, fit_map
from deepgmm.methods.problem import Case, Problem
from deepgmm.model.anchored import fit_anchored
from deepgmm.model.levels import LevelPrior, SliceLevels, about_levels
from deepgmm.model.mixture import Moments
from deepgmm.model.rim import SHARES, RimPrior, rim_density
from deepgmm.phantom import make_patient
from deepgmm.progress import silent
from deepgmm.settings import Settings
from deepgmm.study.study import Study
from deepgmm.study.surroundings import surroundings
from deepgmm.study.words import Role, Tissue


def a_case(study: Study) -> Case:
    kinds = {role: s.kind for role, s in study.sequences.items()}
    return Case(study, study.slices, study.tissues, contrast_prior(kinds, study.tissues),
                Settings())


def lge_alone(seed: int, slices: int, drift: float = 0.0, patient_set: str = "healthy") -> Study:
    """A phantom's LGE whose slices drift by so much of its range from first to last."""
    study = make_patient(seed, patient_set=patient_set, slices=slices).study
    lge = study.sequences[Role.LGE]
    size = np.ptp(np.percentile(lge.values[study.mask], (2, 98))) / 2
    ramp = np.linspace(-0.5, 0.5, slices)[:, None, None] * drift * size
    return replace(study, sequences={
        Role.LGE: replace(lge, values=(lge.values + ramp).astype(np.float32))})


def fitted(study: Study, **changed: object):
    problem = Problem((a_case(study),))
    options = anchored_options(problem.tissues, problem.roles, problem.device, problem.dtype)
    return problem, fit_anchored(problem.batch, problem.ventricle,
                                 problem.anchored_prior([True]), replace(options, **changed))


def some_levels(slices: int = 4, along: float = 0.85) -> SliceLevels:
    ventricle = Problem((a_case(lge_alone(1, slices)),)).ventricle
    prior = LevelPrior(torch.tensor([0.2], dtype=torch.float64),
                       torch.tensor([0.2], dtype=torch.float64), along=along)
    return SliceLevels(ventricle, prior)


def test_levels_follow_a_drift() -> None:
    """What is put in comes out: the wall's means of first and last slice lie apart by it."""
    _, without = fitted(lge_alone(3, 5))
    _, drifting = fitted(lge_alone(3, 5, drift=0.6))
    apart = [float(f.mixture.means[-1, 1, 0] - f.mixture.means[0, 1, 0])
             for f in (without, drifting)]
    assert apart[1] - apart[0] == pytest.approx(0.6, abs=0.2)


def test_levels_off_are_bit_for_bit_absent() -> None:
    study = lge_alone(3, 3)
    _, off = fitted(study, levels=None)
    _, none = fitted(study, levels=None)
    problem = Problem((a_case(study),))
    whole = fit_map(problem, silent, terms=Terms(levels=False))
    assert torch.equal(off.posterior, none.posterior)
    assert bool((off.mixture.means == off.mixture.means[:1]).all()), "one mean a study"
    assert torch.isfinite(whole.posterior).all()


def test_one_slice_has_no_level() -> None:
    _, one = fitted(lge_alone(3, 1))
    _, off = fitted(lge_alone(3, 1), levels=None)
    torch.testing.assert_close(one.posterior, off.posterior, atol=1e-3, rtol=0)


def test_levels_are_centred_and_smooth() -> None:
    """A slice of whose wall nothing is seen lies between its neighbours and follows its pool."""
    levels = some_levels()
    seen = torch.full((4, 2, 1), 1e4, dtype=torch.float64)
    seen[1, 1] = 0.0
    wanted = torch.tensor([-0.3, -0.1, 0.1, 0.3], dtype=torch.float64)[:, None, None]
    wanted = wanted.expand(4, 2, 1)
    found = levels.solved(seen, seen * wanted)
    assert found.sum(0).abs().max() < 1e-2
    assert -0.3 < found[1, 1, 0] < 0.1
    torch.testing.assert_close(found[:, 0], wanted[:, 0], atol=0.02, rtol=0)


def test_fitted_levels_have_the_least_energy() -> None:
    levels = some_levels()
    generator = torch.Generator().manual_seed(0)
    seen = torch.rand((4, 2, 1), generator=generator, dtype=torch.float64) * 100
    away = torch.randn((4, 2, 1), generator=generator, dtype=torch.float64) * 20

    def energy(value: torch.Tensor) -> float:
        levels.value = value
        return float(levels.energy().sum() + (0.5 * seen * value.square() - away * value).sum())
    best = levels.solved(seen, away)
    least = energy(best)
    for _ in range(20):
        step = torch.randn((4, 2, 1), generator=generator, dtype=torch.float64)
        assert energy(best + 0.01 * step) > least


def test_levels_know_their_study_only() -> None:
    """Precision between slices of two studies is nothing."""
    both = Problem((a_case(lge_alone(1, 2)), a_case(lge_alone(2, 3))))
    prior = LevelPrior(*(torch.full((1,), 0.2, dtype=torch.float64) for _ in range(2)))
    precision = prior.precision(both.ventricle).reshape(2, 5, 2, 5)
    assert not precision[:, :2, :, 2:].any() and precision[0, 2:, 0, 2:].all()


def test_moments_about_levels() -> None:
    problem = Problem((a_case(lge_alone(1, 2)),))
    w = torch.rand((2, problem.batch.values.shape[1], 3), dtype=torch.float64)
    w = w * problem.batch.valid[..., None]
    level = torch.tensor([0.3, -0.2], dtype=torch.float64)[:, None, None].expand(2, 3, 1)
    moved = replace(problem.batch, values=problem.batch.values - level[:, :1])
    found = about_levels(Moments.of(problem.batch, w), level)
    wanted = Moments.of(moved, w)
    torch.testing.assert_close(found.first, wanted.first)
    torch.testing.assert_close(found.second, wanted.second)


def test_shares_beyond_a_border_sum_to_one_and_fall_with_depth() -> None:
    shares = RimPrior().log_shares(torch.tensor([0.0, 1.0, 3.0, 5.0], dtype=torch.float64)).exp()
    torch.testing.assert_close(shares.sum(1), torch.ones(4, dtype=torch.float64))
    assert bool((shares[1:, 0] > shares[:-1, 0]).all()) and shares[3, 0] > 0.99
    assert shares[0, 1:].sum() > 0.3


def test_a_blend_is_likeliest_at_its_mixture() -> None:
    """Half healthy wall (0) and half fat (2) is 1."""
    one = torch.ones((1, 1), dtype=torch.float64)
    log_shares = torch.full((1, len(SHARES)), -np.inf, dtype=torch.float64)
    log_shares[0, 1] = 0.0
    means, covariances = torch.zeros((1, 1, 1)).double(), torch.full((1, 1, 1), 0.01).double()
    at = [float(rim_density(value * one, means, covariances, 2 * one, 0.01 * one, log_shares))
          for value in (0.6, 1.0, 1.4)]
    assert at[1] > max(at[0], at[2])


def test_surroundings_see_what_lies_outside() -> None:
    rows, columns = np.indices((40, 40)) - 20
    mask = (np.hypot(rows, columns) < 10)[None]
    image = np.where(columns > 0, 3.0, 1.0)
    seen, depth = surroundings(np.where(mask[0], 0.0, image)[None, None], mask, 1.5)
    assert seen[0, 0, 20, 29] == pytest.approx(3.0) and seen[0, 0, 20, 12] == pytest.approx(1.0)
    assert np.isinf(depth[0, 20, 20]) and np.isinf(depth[0, 0, 0])
    assert depth[0][np.isfinite(depth[0])].min() == pytest.approx(0.75)
    inside = np.where(mask[0], 7.0, image)  # what lies inside says nothing of the outside
    assert np.array_equal(surroundings(inside[None, None], mask, 1.5)[0], seen)


def test_nothing_outside_the_image_is_seen() -> None:
    depth = surroundings(np.zeros((1, 1, 8, 8)), np.ones((1, 8, 8), bool), 1.0)[1]
    assert np.isinf(depth).all()


def test_a_mask_true_to_the_pixel_ignores_what_lies_outside() -> None:
    """The term off, bit for bit."""
    study = lge_alone(3, 2)
    lge = study.sequences[Role.LGE]
    bright = replace(study, sequences={Role.LGE: replace(
        lge, values=np.where(study.mask, lge.values, 5 * lge.values.max()).astype(np.float32))})
    for changed, same in (({"outer": None}, True), ({}, False)):
        one, two = (fitted(s, **changed)[1].posterior for s in (study, bright))
        assert torch.equal(one, two) is same


def test_scar_lies_on_the_way_to_blood() -> None:
    problem, fit = fitted(lge_alone(3, 3, patient_set="typical"))
    blood, muscle, scar = fit.mixture.means[0, [problem.tissues.index(t) for t in (
        Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.SCAR)], 0]
    level = fit.mixture.means[:, 0, 0].mean() - fit.mixture.means[:, 1, 0].mean()
    assert scar - muscle >= REACH[Tissue.SCAR, Role.LGE] * level - 0.05 and blood > muscle


def test_what_is_small_must_stand_out() -> None:
    assert not Support(0.04, 3.0).suffices(SCAR_LEAST)
    assert Support(0.04, 4.5).suffices(SCAR_LEAST)
    assert Support(0.12, 2.1).suffices(SCAR_LEAST)
    assert Support(SCAR_LEAST["plain"], 0.1).suffices(SCAR_LEAST)


def test_levels_are_for_lge() -> None:
    assert LEVELS[Role.BSSFP] == (0.0, 0.0) and min(LEVELS[Role.LGE]) > 0
