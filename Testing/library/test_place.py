"""Where tissues are to be expected, as a prior of free mixtures: exact steps, its switch, LGE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepgmm import Method, Settings, Tissue, segment
from deepgmm.methods import METHODS
from deepgmm.methods.problem import Problem
from deepgmm.model.batch import PixelBatch
from deepgmm.model.deep import DeepOptions, objective
from deepgmm.model.em import fit_em
from deepgmm.model.mixture import e_step, m_step
from deepgmm.model.place import Place
from deepgmm.phantom import make_patient
from deepgmm.progress import silent
from deepgmm.review.metrics import dice
from deepgmm.segment import prepared
from deepgmm.study.study import Study
from deepgmm.study.words import Role

FREE = (Method.GMM, Method.SVGMM, Method.DEEPG, Method.DEEPSVG)


def some_pixels(seed: int = 0, tissues: int = 3) -> tuple[PixelBatch, Place, torch.Tensor]:
    """Two slices of different size, a place prior and responsibilities, all drawn."""
    random = np.random.default_rng(seed)
    mask = np.zeros((2, 14, 12), bool)
    mask[0, 2:12, 1:11], mask[1, 3:9, 2:9] = True, True
    batch = PixelBatch.from_images(random.normal(size=(2, 2, 14, 12)), mask)
    shares, w = (torch.from_numpy(random.dirichlet(np.ones(tissues), batch.valid.shape)) for _ in
                 range(2))
    return batch, Place(shares * batch.valid[..., None], 1.5), w * batch.valid[..., None]


def lge_alone(seed: int = 4, slices: int = 3) -> tuple[Study, np.ndarray]:
    patient = make_patient(seed, slices=slices)
    lge = patient.study.sequences[Role.LGE]
    truth = np.where(patient.truth == Tissue.EDEMA, Tissue.MYOCARDIUM, patient.truth)
    return replace(patient.study, sequences={Role.LGE: lge}), truth


@pytest.mark.parametrize("spatial", [False, True])
def test_no_step_raises_the_objective(spatial: bool) -> None:
    batch, place, w = some_pixels()
    fit = fit_em(batch, m_step(batch, w, floor=0.0), spatial=spatial, place=place, floor=0.0,
                 tolerance=0.0, max_iterations=25)
    assert all(np.diff(trace).max() < 1e-9 for trace in fit.traces)
    assert all(trace[-1] < trace[0] - 1e-3 for trace in fit.traces), "and it moves"


def test_a_place_that_says_nothing_is_the_plain_mixture() -> None:
    batch, place, w = some_pixels()
    start = m_step(batch, w)
    flat = replace(place, shares=torch.full_like(place.shares, 1 / 3))
    held, free = (fit_em(batch, start, place=p, tolerance=0.0, max_iterations=8)
                  for p in (flat, None))
    assert torch.allclose(held.posterior, free.posterior, atol=1e-9)
    assert torch.allclose(held.nll, free.nll, atol=1e-9)


def test_the_shares_of_a_pixel_are_the_mode_under_the_dirichlet_prior() -> None:
    """Against a search over the simplex of one pixel."""
    weight, a, w = 2.0, np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6])
    found = Place(torch.tensor(a)[None, None], weight).shrunk(torch.tensor(w)[None, None]).exp()
    grid = np.random.default_rng(0).dirichlet(np.ones(3), 200_000)
    best = grid[np.argmax(((w + weight * a) * np.log(grid)).sum(1))]
    assert found[0, 0].numpy() == pytest.approx(best, abs=0.02)


def test_a_tissue_that_is_ruled_out_takes_no_pixel() -> None:
    batch, place, w = some_pixels()
    shares = place.shares.clone()
    shares[..., 2] = 0
    shares /= shares.sum(2, keepdim=True).clamp_min(1e-12)
    for spatial in (False, True):
        fit = fit_em(batch, m_step(batch, w), spatial=spatial, place=Place(shares, 1.0),
                     max_iterations=30)
        assert float(fit.posterior[..., 2].max()) < 1e-6


@pytest.mark.parametrize("spatial", [False, True])
def test_gradients_through_the_place_are_those_of_differences(spatial: bool) -> None:
    batch, place, w = some_pixels()
    options = DeepOptions(spatial=spatial)
    logits = w.clamp_min(1e-3).log().requires_grad_()

    def loss(values: torch.Tensor) -> torch.Tensor:
        found = torch.softmax(values, 2) * batch.valid[..., None]
        return objective(batch, found, options, None, place)[0].sum()
    torch.autograd.backward(loss(logits))
    assert logits.grad is not None
    for at in ((0, 5, 0), (0, 40, 2), (1, 17, 1)):
        step = torch.zeros_like(logits)
        step[at] = 1e-5
        with torch.no_grad():
            difference = (loss(logits + step) - loss(logits - step)) / 2e-5
        assert float(logits.grad[at]) == pytest.approx(float(difference), rel=1e-5, abs=1e-9)


def test_permuted_tissues_are_permuted_labels() -> None:
    batch, place, w = some_pixels()
    order = torch.tensor([2, 0, 1])
    for spatial in (False, True):
        one = fit_em(batch, m_step(batch, w), spatial=spatial, place=place, max_iterations=6)
        other = fit_em(batch, m_step(batch, w[..., order]), spatial=spatial, max_iterations=6,
                       place=Place(place.shares[..., order], place.weight))
        assert torch.allclose(one.posterior[..., order], other.posterior, atol=1e-10)


def test_slices_that_leave_take_their_places_along() -> None:
    """Each slice of a batch as by itself, though they settle at different steps."""
    batch, place, w = some_pixels()
    options = {"place": place, "spatial": True, "tolerance": 1e-4, "max_iterations": 60}
    both = fit_em(batch, m_step(batch, w), **options)
    for s in range(2):
        index = torch.tensor([s])
        alone = batch.select(index)
        fit = fit_em(alone, m_step(alone, w[index]), **(options | {"place": place.select(index)}))
        assert torch.allclose(fit.posterior, both.posterior[index], atol=1e-9)


@pytest.mark.parametrize("method", FREE)
def test_with_place_scar_is_found_on_lge_alone_and_at_weight_0_it_is_absent(
        method: Method) -> None:
    study, truth = lge_alone(slices=1)
    scores = []
    for weight in (0.0, 4.0):
        problem = Problem((prepared(study, Settings(method=method)),))
        fit = METHODS[method](problem, silent, weight=weight)
        labels = np.zeros(study.mask.shape, int)
        problem.cases[0].batch.paint(
            np.asarray(problem.tissues)[fit.posterior.argmax(2).numpy()], labels)
        scores.append(np.mean([dice(labels == t, truth == t) for t in problem.tissues]))
    assert scores[1] > max(scores[0], 0.75)


def test_where_bssfp_tells_the_pool_place_stays_out() -> None:
    study = make_patient(4, slices=1).study
    problem = Problem((prepared(study, Settings(method=Method.GMM)),))
    with_it, without = (METHODS[Method.GMM](problem, silent, weight=weight)
                        for weight in (4.0, 0.0))
    assert torch.equal(with_it.posterior, without.posterior)


def test_the_wall_that_was_given_is_kept_to() -> None:
    patient = make_patient(4, slices=2)
    wall = (patient.truth != Tissue.BLOOD) & patient.study.mask
    study = replace(lge_alone(slices=2)[0], wall=wall)
    for method in (Method.GMM, Method.SVGMM):
        labels = segment(study, Settings(method=method)).labels
        assert ((labels == Tissue.BLOOD) == (study.mask & ~wall)).mean() > 0.999


def test_the_places_of_map_are_shares_of_the_mask() -> None:
    problem = Problem((prepared(lge_alone()[0], Settings(method=Method.MAP)),))
    fit = METHODS[Method.MAP](problem, silent)
    assert fit.place is not None
    assert torch.allclose(fit.place.sum(2), problem.batch.valid, atol=1e-9)
    assert float(fit.place.min()) >= 0


def test_an_e_step_under_places_is_bayes_rule() -> None:
    batch, place, w = some_pixels()
    mixture = m_step(batch, w)
    mixture.log_weights = place.scaled(mixture.log_weights)
    _, found = e_step(batch, mixture)
    density = torch.distributions.Normal(mixture.means[:, None],
                                         mixture.covariances[:, None].sqrt())
    joint = (density.log_prob(batch.values[:, :, None]).sum(3) + mixture.log_weights).exp()
    by_hand = joint / joint.sum(2, keepdim=True) * batch.valid[..., None]
    assert torch.allclose(found, by_hand, atol=1e-10)
