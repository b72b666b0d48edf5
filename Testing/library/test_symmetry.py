"""What must not matter: the order of tissues, the units of the images (METHOD 5 and 6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepgmm.identify.anatomy import anchored_options
from deepgmm.identify.contrast import contrast_prior
from deepgmm.methods.problem import Case, Problem
from deepgmm.model.anchored import fit_anchored
from deepgmm.model.batch import PixelBatch
from deepgmm.model.deep import DeepOptions, fit_deep
from deepgmm.model.em import fit_em
from deepgmm.model.starts import several_starts
from deepgmm.model.unet import UNetShape
from deepgmm.phantom import make_patient
from deepgmm.settings import Settings
from deepgmm.study.normalisation import normalise
from deepgmm.study.study import Study


@pytest.fixture(scope="module")
def a_problem() -> Problem:
    study = make_patient(seed=3, slices=2).study
    kinds = {role: s.kind for role, s in study.sequences.items()}
    return Problem((Case(study, study.slices, study.tissues,
                         contrast_prior(kinds, study.tissues), Settings()),))


def in_other_units(study: Study) -> Study:
    factors = dict(zip(study.roles, ((3.7, 100.0), (0.011, -7.0), (251.0, 1e4)), strict=True))
    return replace(study, sequences={
        role: replace(s, values=s.values.astype(np.float64) * factors[role][0] + factors[role][1])
        for role, s in study.sequences.items()})


def batches(study: Study, dtype: torch.dtype) -> list[PixelBatch]:
    """The study's batch, and that of the same study told in other units."""
    found = []
    for each in (study, in_other_units(study)):
        images = np.stack([s.values for s in each.sequences.values()], 1).astype(np.float64)
        wide = replace(each, sequences={r: replace(s, values=images[:, i])
                                        for i, (r, s) in enumerate(each.sequences.items())})
        values, _ = normalise(wide, each.slices)
        found.append(PixelBatch.from_images(values, each.mask, dtype=dtype))
    return found


def test_permuting_tissues_permutes_the_anchored_fit(a_problem: Problem) -> None:
    """Prior, atlas, gaps and compatibility permuted together; blood and healthy wall keep
    their places, which the geometry gives them."""
    options = anchored_options(a_problem.tissues, a_problem.roles, torch.device("cpu"),
                               torch.float64)
    prior = a_problem.anchored_prior([True])
    order = torch.tensor([0, 1, 3, 2])
    wall = order[1:] - 1
    assert options.sectors is not None and options.compatibility is not None
    permuted_options = replace(
        options, gaps=options.gaps[order], reach=options.reach[order],
        sectors=replace(options.sectors, tables=options.sectors.tables[..., wall]),
        compatibility=options.compatibility[wall][:, wall])
    permuted_prior = replace(prior, means=prior.means[:, order],
                             variances=prior.variances[:, order], weights=prior.weights[order],
                             mean_strength=prior.mean_strength[:, order])
    one = fit_anchored(a_problem.batch, a_problem.ventricle, prior, options)
    two = fit_anchored(a_problem.batch, a_problem.ventricle, permuted_prior, permuted_options)
    torch.testing.assert_close(two.posterior, one.posterior[..., order], atol=1e-10, rtol=0)
    assert two.traces[0][-1] == pytest.approx(one.traces[0][-1], abs=1e-10)
    inside = a_problem.batch.valid > 0
    assert torch.equal(order[two.posterior.argmax(2)][inside], one.posterior.argmax(2)[inside])


@pytest.mark.parametrize("full", [False, True])
def test_permuting_tissues_leaves_the_priors_penalty(a_problem: Problem, full: bool) -> None:
    prior = a_problem.prior()
    order = torch.tensor([2, 0, 3, 1])
    permuted = replace(prior, means=prior.means[order], variances=prior.variances[order],
                       weights=prior.weights[order], mean_strength=prior.mean_strength[order])
    batch, start = several_starts(a_problem.batch, 4, starts=1, seed=2, full=full)
    moved = start.permute(order.expand(batch.slices, -1))
    torch.testing.assert_close(permuted.penalty(moved), prior.penalty(start), atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_units_change_no_label_of_em(a_problem: Problem, dtype: torch.dtype) -> None:
    labels = []
    for batch in batches(a_problem.cases[0].study, dtype):
        repeated, start = several_starts(batch, 4, starts=1, seed=2)
        labels.append(fit_em(repeated, start, tolerance=1e-3).posterior.argmax(2))
    assert torch.equal(*labels)


@pytest.mark.parametrize("spatial", [False, True])
def test_units_change_no_label_of_a_network_in_float64(a_problem: Problem, spatial: bool) -> None:
    options = DeepOptions(spatial=spatial, shape=UNetShape(4, 2, 1), steps=15)
    one, two = (fit_deep(batch, 4, options, seed=1).posterior.argmax(2)
                for batch in batches(a_problem.cases[0].study, torch.float64))
    assert torch.equal(one, two)
