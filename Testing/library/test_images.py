"""A shared network's images, and the mixture read from what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import lognorm
from small_trainings import some_examples

from deepgmm.identify.anatomy import STATES, radial_atlas
from deepgmm.model.images import Images, merged, read
from deepgmm.model.learning import Examples, Objective, losses
from deepgmm.study.words import TISSUES_BY_ROLES, Role, Tissue

ALL_TERMS = Objective(likelihood=0.3, labels=0.7, teacher=0.5, means=0.2, variation=0.1,
                      atlas=0.6, bare=0.4, expected=radial_atlas(), overlap=0.8)
TERMS = ("likelihood", "labels", "teacher", "means", "variation", "atlas", "overlap")


@pytest.fixture
def some_slices() -> Examples:
    return some_examples(3).to(torch.float64)


@pytest.fixture
def an_answer() -> torch.Tensor:
    return torch.randn((3, 4, 16, 16), generator=torch.Generator().manual_seed(1),
                       dtype=torch.float64)


def by_hand(images: Images, logits: torch.Tensor, i: int,
            temperature: float) -> tuple[np.ndarray, float]:
    """Posterior (P, K) and NLL of one slice, pixel by pixel in numpy."""
    inside = images.inside[i, 0].numpy() > 0
    x = images.values[i].numpy()[:, inside].T
    z = logits[i].detach().numpy()[:, inside].T
    w = np.exp(z - z.max(1, keepdims=True))
    w /= w.sum(1, keepdims=True)
    mu0, psi, kappa = (getattr(images, n)[i].numpy() for n in ("means", "variances", "trust"))
    log_g = np.zeros_like(w)
    for k in range(4):
        n = w[:, k].mean()
        for m in range(3):
            mean = ((w[:, k] * x[:, m]).mean() + kappa[k, m] * mu0[k, m]) / (n + kappa[k, m])
            spread = ((w[:, k] * (x[:, m] - mean) ** 2).mean()
                      + kappa[k, m] * (mean - mu0[k, m]) ** 2 + 0.05 * psi[k, m]) / (n + 0.05)
            spread = max(spread, 0.5 * psi[k, m])
            log_g[:, k] -= 0.5 * ((x[:, m] - mean) ** 2 / spread + np.log(2 * np.pi * spread))
    joint = np.log(w) + log_g / temperature
    posterior = np.exp(joint - joint.max(1, keepdims=True))
    nll = -np.log((w * np.exp(log_g)).sum(1)).mean()
    return posterior / posterior.sum(1, keepdims=True), nll


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_posterior_is_that_of_a_mixture_fitted_by_hand(
        some_slices: Examples, an_answer: torch.Tensor, temperature: float) -> None:
    reading = read(some_slices, an_answer, temperature=temperature)
    for i in range(3):
        posterior, nll = by_hand(some_slices, an_answer, i, temperature)
        inside = some_slices.inside[i, 0].flatten() > 0
        np.testing.assert_allclose(reading.log_posterior[i, inside].exp(), posterior, atol=1e-10)
        assert reading.nll[i].item() == pytest.approx(nll, rel=1e-10)


def test_the_canvas_and_what_lies_outside_the_mask_change_nothing(
        some_slices: Examples, an_answer: torch.Tensor) -> None:
    wanted = read(some_slices, an_answer, temperature=2.0)
    outside = 1 - some_slices.inside
    dirty = an_answer + 5 * outside
    larger = some_slices.enlarged(24)
    wide = torch.nn.functional.pad(dirty, (0, 8, 0, 8), value=3.0)
    found = read(larger, wide, temperature=2.0)
    torch.testing.assert_close(found.nll, wanted.nll, rtol=1e-12, atol=1e-12)
    inside = some_slices.inside[0, 0] > 0
    grid = found.log_posterior[0].reshape(24, 24, 4)[:16, :16][inside]
    torch.testing.assert_close(grid, wanted.log_posterior[0][inside.flatten()])


def test_a_missing_sequence_counts_for_nothing(some_slices: Examples,
                                               an_answer: torch.Tensor) -> None:
    present = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64).expand(3, -1)
    without = replace(some_slices, present=present,
                      values=some_slices.values * present[:, :, None, None])
    other = replace(without, means=without.means + (1 - present)[:, None] * 7,
                    variances=without.variances * 3**(1 - present)[:, None])
    one, two = (read(images, an_answer, temperature=2.0) for images in (without, other))
    torch.testing.assert_close(one.log_posterior, two.log_posterior)
    torch.testing.assert_close(one.nll, two.nll)
    assert not torch.allclose(one.nll, read(some_slices, an_answer, temperature=2.0).nll)


@pytest.mark.parametrize("roles", list(TISSUES_BY_ROLES), ids=lambda r: "+".join(sorted(r)))
def test_tissues_that_are_not_sought_join_those_they_look_like(roles: frozenset[Role]) -> None:
    told = [t - 1 for t in TISSUES_BY_ROLES[roles]]
    sought = torch.zeros(1, 4)
    sought[0, told] = 1
    given = torch.tensor([[[0.1, 0.2, 0.3, 0.4]]])
    found = merged(given.log(), sought).exp()[0, 0]
    assert found.sum().item() == pytest.approx(1.0)
    assert found[0] == pytest.approx(0.1)
    scar_goes_to = 3 if 3 in told else 2 if 2 in told else 1
    edema_goes_to = 2 if 2 in told else 1
    wanted = np.zeros(4)
    np.add.at(wanted, [0, 1, edema_goes_to, scar_goes_to], [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_the_gradient_of_every_term_is_that_of_finite_differences(
        some_slices: Examples, an_answer: torch.Tensor) -> None:
    def loss(logits: torch.Tensor, objective: Objective) -> torch.Tensor:
        return losses(some_slices, logits, objective)[0].sum()
    generator = torch.Generator().manual_seed(2)
    for term in TERMS:
        objective = Objective(bare=0.4, expected=radial_atlas(), **{term: 1.0})
        logits = an_answer.clone().requires_grad_()
        loss(logits, objective).backward()
        along = torch.randn(an_answer.shape, generator=generator, dtype=torch.float64)
        step = 1e-6
        measured = (loss(an_answer + step * along, objective)
                    - loss(an_answer - step * along, objective)) / (2 * step)
        assert (logits.grad * along).sum().item() == pytest.approx(measured.item(), rel=1e-5), term


def test_a_weight_of_zero_leaves_a_term_out(some_slices: Examples,
                                            an_answer: torch.Tensor) -> None:
    whole = losses(some_slices, an_answer, ALL_TERMS)[0]
    for term in TERMS:
        alone = Objective(bare=0.4, expected=radial_atlas(), **{term: getattr(ALL_TERMS, term)})
        whole = whole - losses(some_slices, an_answer, alone)[0]
    torch.testing.assert_close(whole, torch.zeros_like(whole), atol=1e-10, rtol=0)
    without = replace(some_slices, teacher=None, labels=None)
    silent = replace(ALL_TERMS, labels=0.0, teacher=0.0, overlap=0.0)
    assert torch.equal(losses(without, an_answer, ALL_TERMS)[0],
                       losses(some_slices, an_answer, silent)[0])


def test_the_entropy_is_a_mean_over_the_labelled_pixels(some_slices: Examples,
                                                        an_answer: torch.Tensor) -> None:
    labels = some_slices.labels.clone()
    labels[:, 8:] = -1
    part = replace(some_slices, labels=labels)
    reading = read(part, an_answer, temperature=2.0)
    found = losses(part, an_answer, Objective(labels=1.0))[0]
    for i in range(3):
        known = labels[i].flatten() >= 0
        chosen = reading.log_posterior[i, known].gather(1, labels[i].flatten()[known][:, None])
        assert found[i].item() == pytest.approx(-chosen.mean().item())


def test_the_atlas_expects_wall_outside_and_blood_inside() -> None:
    atlas = radial_atlas()
    depth = torch.tensor([[0.0, 3.0, 7.5, 12.0, 30.0]], dtype=torch.float64)
    found = atlas.log_shares(depth).exp()[0].numpy()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-3)
    pool = lognorm(atlas.spread, scale=atlas.thickness).cdf(depth[0].numpy())
    np.testing.assert_allclose(found[:, 0], np.clip(pool, 1e-4, None), rtol=1e-6)
    assert (np.diff(found[:, 0]) > 0).all()
    outer = np.array(atlas.outer)
    np.testing.assert_allclose(found[0, 1:] / found[0, 1:].sum(), outer, rtol=1e-3)
    healthy = STATES["healthy"][0][Tissue.MYOCARDIUM]
    assert outer[0] < healthy and atlas.inner[2] > atlas.outer[2], "scar begins inside"


def test_a_network_held_by_the_atlas_alone_says_the_atlas() -> None:
    examples = some_examples(1).to(torch.float64)
    logits = torch.zeros((1, 4, 16, 16), dtype=torch.float64, requires_grad=True)
    objective = Objective(atlas=1.0, expected=radial_atlas())
    descent = torch.optim.Adam([logits], lr=0.3)
    for _ in range(200):
        descent.zero_grad()
        losses(examples, logits, objective)[0].sum().backward()
        descent.step()
    inside = examples.inside[0, 0] > 0
    wanted = radial_atlas().log_shares(examples.depth.flatten(1))[0].softmax(1)
    found = logits.detach().softmax(1)[0].flatten(1).T
    torch.testing.assert_close(found[inside.flatten()], wanted[inside.flatten()], atol=1e-3,
                               rtol=0)


def test_examples_of_different_canvases_are_joined(some_slices: Examples) -> None:
    joined = Examples.joined([some_slices, some_slices.enlarged(20)])
    assert joined.canvas == (20, 20) and len(joined) == 6
    assert (joined.labels[:3, 16:] == -1).all()
    torch.testing.assert_close(joined.values[:3, :, :16, :16], some_slices.values)
    torch.testing.assert_close(joined.select(slice(3, 6)).depth, some_slices.enlarged(20).depth)


def test_the_overlap_is_monais_dice_loss(some_slices: Examples, an_answer: torch.Tensor) -> None:
    """Over the labelled pixels of the mask, all tissues sought; none of it without its weight."""
    pytest.importorskip("monai")
    from monai.losses import DiceLoss

    assert some_slices.labels is not None
    sought = replace(some_slices, sought=torch.ones_like(some_slices.sought))
    plain, with_it = (losses(sought, an_answer, Objective(labels=1.0, overlap=weight))[0]
                      for weight in (0.0, 1.0))
    known = (sought.labels >= 0) & (sought.inside[:, 0] > 0)
    found = an_answer.softmax(1) * known[:, None]
    target = torch.nn.functional.one_hot(sought.labels.clamp_min(0), 4).movedim(3, 1)
    theirs = DiceLoss(smooth_nr=5.0, smooth_dr=5.0, reduction="none")(
        found, target.to(found.dtype) * known[:, None]).flatten(1).mean(1)

    torch.testing.assert_close(with_it - plain, theirs)
