"""EM against scikit-learn, closed forms and its own promise never to rise (METHOD 1, 2, 3, 8)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import deepgmm.model.em as em
from deepgmm.model.batch import PixelBatch
from deepgmm.model.em import fit_em
from deepgmm.model.mixture import Mixture, m_step, negative_log_likelihood, posterior
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.starts import random_responsibilities, several_starts, spread_centres


def clouds(rng: np.random.Generator, slices: int = 3, tissues: int = 4, sequences: int = 3
           ) -> tuple[np.ndarray, np.ndarray]:
    """Images of ragged round masks whose pixels come from overlapping Gaussians."""
    images = np.zeros((slices, sequences, 32, 32))
    mask = np.zeros((slices, 32, 32), dtype=bool)
    y, x = np.mgrid[:32, :32]
    for s in range(slices):
        mask[s] = (y - 15) ** 2 + (x - 16) ** 2 < (15 - 2 * s) ** 2
        centres = rng.normal(0, 1.2, (tissues, sequences))
        labels = rng.integers(0, tissues, (32, 32))
        images[s] = (centres[labels] + rng.normal(0, 0.5, (32, 32, sequences))).transpose(2, 0, 1)
    return images, mask


@pytest.fixture
def a_batch() -> PixelBatch:
    return PixelBatch.from_images(*clouds(np.random.default_rng(3)))


def pixels_of(batch: PixelBatch, index: int) -> np.ndarray:
    return batch.values[index][batch.valid[index] > 0].numpy()


@pytest.mark.parametrize("kind", ["diag", "full"])
def test_same_bound_and_iterations_as_scikit_learn(a_batch: PixelBatch, kind: str) -> None:
    full = kind == "full"
    start = m_step(a_batch, spread_centres(a_batch, 4, seed=5), full=full)
    fit = fit_em(a_batch, start, tolerance=1e-4, max_iterations=300, floor=1e-6)
    for s in range(a_batch.slices):
        covariances = start.covariances[s].numpy()
        reference = GaussianMixture(
            4, covariance_type=kind, tol=1e-4, max_iter=300, reg_covar=1e-6,
            weights_init=start.log_weights[s].exp().numpy(), means_init=start.means[s].numpy(),
            precisions_init=np.linalg.inv(covariances) if full else 1 / covariances)
        reference.fit(pixels_of(a_batch, s))
        assert reference.converged_
        assert -fit.traces[s][-1] == pytest.approx(reference.lower_bound_, abs=1e-6)
        assert int(fit.iterations[s]) == reference.n_iter_
        expected = reference.predict_proba(pixels_of(a_batch, s))
        got = fit.posterior[s][a_batch.valid[s] > 0].numpy()
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_stopping_early_is_not_called_convergence(a_batch: PixelBatch) -> None:
    start = m_step(a_batch, random_responsibilities(a_batch, 4, seed=5))
    fit = fit_em(a_batch, start, tolerance=1e-12, max_iterations=3)
    assert not fit.converged.any() and fit.iterations.tolist() == [3, 3, 3]
    with pytest.warns(ConvergenceWarning):
        GaussianMixture(4, max_iter=3, tol=1e-12, random_state=0).fit(pixels_of(a_batch, 0))


def a_prior(full: bool = False, **strengths: float) -> ConjugatePrior:
    rng = np.random.default_rng(0)
    return ConjugatePrior(
        means=torch.tensor(rng.normal(0, 1, (4, 3))), variances=torch.full((4, 3), 0.2).double(),
        weights=torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64),
        mean_strength=torch.full((4, 3), strengths.get("mean", 0.1)).double(),
        variance_strength=strengths.get("variance", 0.1),
        weight_strength=strengths.get("weight", 0.1),
        variance_floor=strengths.get("floor", 0.0 if full else 0.5))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("anchored", [False, True])
def test_the_objective_never_rises(a_batch: PixelBatch, full: bool, spatial: bool,
                                   anchored: bool) -> None:
    start = m_step(a_batch, random_responsibilities(a_batch, 4, seed=1), full=full, floor=1e-3)
    prior = a_prior(full) if anchored else None
    if anchored:
        start = a_prior(full).mixture(a_batch.slices, full=full)
    fit = fit_em(a_batch, start, spatial=spatial, prior=prior, floor=0.0, tolerance=0.0,
                 max_iterations=25 if spatial else 60)
    for trace in fit.traces:
        assert len(trace) > 5
        assert max(np.diff(trace)) <= 1e-9


def test_an_additive_floor_is_no_exact_step(a_batch: PixelBatch) -> None:
    """The check above can fail: a large floor, which is not in the objective, makes it rise."""
    start = m_step(a_batch, random_responsibilities(a_batch, 4, seed=1))
    fit = fit_em(a_batch, start, floor=0.5, tolerance=0.0, max_iterations=60)
    assert max(max(np.diff(trace)) for trace in fit.traces) > 1e-9


@pytest.mark.parametrize("full", [False, True])
def test_one_component_has_a_closed_form(a_batch: PixelBatch, full: bool) -> None:
    w = a_batch.valid[:, :, None]
    fit = fit_em(a_batch, m_step(a_batch, w, full=full, floor=0.0), floor=0.0, max_iterations=3)
    for s in range(a_batch.slices):
        covariance = np.cov(pixels_of(a_batch, s).T, bias=True)
        if not full:
            covariance = np.diag(np.diag(covariance))
        expected = 0.5 * (np.linalg.slogdet(2 * math.pi * covariance)[1] + 3)
        assert float(fit.nll[s]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("full", [False, True])
def test_the_prior_mode_is_where_the_gradient_vanishes(a_batch: PixelBatch, full: bool) -> None:
    """Independent of the closed form: autograd of bound and penalty at the returned mode."""
    from deepgmm.model.mixture import Moments, log_density

    prior = a_prior(full, floor=0.0)
    w = random_responsibilities(a_batch, 4, seed=2) * a_batch.valid[:, :, None]
    mode = prior.mode(Moments.of(a_batch, w, full=full), a_batch.counts)
    means, covariances = mode.means.requires_grad_(), mode.covariances.requires_grad_()
    logits = mode.log_weights.clone().requires_grad_()
    mixture = Mixture(torch.log_softmax(logits, 1), means, covariances)
    bound = -a_batch.mean((w * (mixture.log_weights[:, None]
                                + log_density(a_batch, means, covariances))).sum(2))
    (bound + prior.penalty(mixture)).sum().backward()
    for gradient in (means.grad, covariances.grad, logits.grad):
        assert gradient is not None and float(gradient.abs().max()) < 1e-9


def test_no_class_collapses_under_the_prior() -> None:
    """METHOD 8: started with a class on one pixel, 50 seeds, every variance stays sound."""
    images, mask = clouds(np.random.default_rng(9), slices=1)
    batch = PixelBatch.from_images(np.repeat(images, 50, 0), np.repeat(mask, 50, 0))
    prior = a_prior()
    start = prior.mixture(50)
    rng = np.random.default_rng(1)
    for s in range(50):
        start.means[s, 3] = batch.values[s, rng.integers(int(batch.counts[s]))]
        start.covariances[s, 3] = 1e-6
        start.log_weights[s, 3] = -math.log(float(batch.counts[s]))
    fit = fit_em(batch, start, prior=prior, tolerance=1e-8, max_iterations=300, minimum_mass=5.0)
    assert (fit.mixture.covariances >= 0.5 * prior.variances - 1e-12).all()
    mass = fit.posterior.sum(1)
    assert ((mass == 0) | (mass >= 5.0)).all(), "no class between zero and the minimum mass"
    free = fit_em(batch, start, floor=0.0, tolerance=1e-8, max_iterations=300)
    variance = torch.nan_to_num(free.mixture.covariances, nan=0.0)
    assert (variance < 0.5 * prior.variances).any(), "without the prior, a class collapses"


def test_one_batch_equals_one_by_one(a_batch: PixelBatch) -> None:
    start = m_step(a_batch, random_responsibilities(a_batch, 4, seed=5))
    together = fit_em(a_batch, start, tolerance=1e-10, max_iterations=500)
    for s in range(a_batch.slices):
        index = torch.tensor([s])
        alone = fit_em(a_batch.select(index), start.select(index), tolerance=1e-10,
                       max_iterations=500)
        assert float(alone.nll[0]) == pytest.approx(float(together.nll[s]), abs=1e-9)
        np.testing.assert_allclose(alone.posterior[0], together.posterior[s], atol=1e-6)


@pytest.mark.parametrize("spatial", [False, True])
def test_groups_give_what_all_at_once_gives(monkeypatch: pytest.MonkeyPatch,
                                            spatial: bool) -> None:
    """Slices of several sizes, two at a time, each group padded to its own longest."""
    batch = PixelBatch.from_images(*clouds(np.random.default_rng(8), slices=5))
    start = m_step(batch, random_responsibilities(batch, 4, seed=5))
    whole = fit_em(batch, start, spatial=spatial, tolerance=1e-6, max_iterations=60)
    fractions: list[float] = []
    monkeypatch.setattr(em, "TOGETHER", 2)
    parts = fit_em(batch, start, spatial=spatial, tolerance=1e-6, max_iterations=60,
                   progress=lambda fraction, stage: fractions.append(fraction))
    assert parts.iterations.tolist() == whole.iterations.tolist()
    assert parts.converged.tolist() == whole.converged.tolist()
    assert [len(t) for t in parts.traces] == parts.iterations.tolist()
    for a, b in zip(parts.traces, whole.traces, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    np.testing.assert_allclose(parts.nll, whole.nll, atol=1e-9)
    np.testing.assert_allclose(parts.posterior, whole.posterior, atol=1e-6)
    assert fractions == sorted(fractions) and 0.8 < fractions[-1] <= 1


@pytest.mark.parametrize("full", [False, True])
def test_one_e_step_gives_posterior_and_likelihood(a_batch: PixelBatch, full: bool) -> None:
    mixture = m_step(a_batch, random_responsibilities(a_batch, 4, seed=5), full=full)
    mixture.log_weights[0, 2] = -torch.inf
    nll, w = em.e_step(a_batch, mixture)
    np.testing.assert_allclose(nll, negative_log_likelihood(a_batch, mixture), atol=1e-12)
    np.testing.assert_allclose(w, posterior(a_batch, mixture), atol=1e-12)


def test_what_lies_outside_the_mask_changes_nothing() -> None:
    images, mask = clouds(np.random.default_rng(3))
    changed = np.where(mask[:, None], images, 1e6)
    one, other = (PixelBatch.from_images(i, mask) for i in (images, changed))
    start = m_step(one, random_responsibilities(one, 4, seed=5))
    a, b = (fit_em(batch, start, max_iterations=20) for batch in (one, other))
    assert torch.equal(a.posterior, b.posterior)


def test_several_starts_are_seeded_and_the_best_is_kept(a_batch: PixelBatch) -> None:
    def run() -> tuple[torch.Tensor, torch.Tensor]:
        batch, start = several_starts(a_batch, 4, starts=4, seed=7)
        every = fit_em(batch, start, tolerance=1e-6, max_iterations=200)
        return every.nll.reshape(4, -1), every.best_of(4).nll
    scores, best = run()
    assert torch.equal(best, scores.min(0).values)
    assert torch.equal(best, run()[1])
    assert (scores.max(0).values - scores.min(0).values).max() > 1e-3, "starts differ"


def test_posterior_and_nll_agree_with_scipy(a_batch: PixelBatch) -> None:
    from scipy.stats import multivariate_normal

    mixture = m_step(a_batch, random_responsibilities(a_batch, 3, seed=0), full=True)
    x = pixels_of(a_batch, 0)
    joint = np.stack([math.exp(mixture.log_weights[0, k]) * multivariate_normal.pdf(
        x, mixture.means[0, k], mixture.covariances[0, k]) for k in range(3)], 1)
    nll = negative_log_likelihood(a_batch, mixture)
    assert float(nll[0]) == pytest.approx(-np.log(joint.sum(1)).mean(), abs=1e-10)
    got = posterior(a_batch, mixture)[0][a_batch.valid[0] > 0].numpy()
    np.testing.assert_allclose(got, joint / joint.sum(1, keepdims=True), atol=1e-10)
