"""deepG and deepSVG: gradients, symmetries and independence (METHOD 3 to 5, 7, 9, 12, 13)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.deep import DeepOptions, fit_deep, objective, total_variation
from deepgmm.model.mixture import Mixture, log_joint, m_step, posterior
from deepgmm.model.unet import SliceUNet, UNetShape

SMALL = UNetShape(filters=4, levels=2, convolutions=1)


def a_picture(slices: int = 3, seed: int = 0, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Discs of four intensities inside ragged round masks, surrounded by noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = rng.normal(0, 5, (slices, 2, size, size))
    mask = np.zeros((slices, size, size), dtype=bool)
    for s in range(slices):
        radius = np.hypot(y - size / 2, x - size / 2 + s)
        mask[s] = radius < size / 2 - 1 - 1.5 * s
        labels = (radius < size / 5).astype(int) + 2 * (x > size / 2)
        level = np.array([[-1, -1], [1, 0.5], [-0.2, 1], [0.9, -0.8]])[labels]
        images[s][:, mask[s]] = (level + rng.normal(0, 0.25, level.shape))[mask[s]].T
    return images, mask


@pytest.fixture
def a_batch() -> PixelBatch:
    return PixelBatch.from_images(*a_picture())


def random_w(batch: PixelBatch, tissues: int = 4, seed: int = 0, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (*batch.values.shape[:2], tissues)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * spread
    return torch.softmax(logits, 2) * batch.valid[:, :, None]


@pytest.mark.parametrize("spatial", [False, True])
def test_uniform_responsibilities_are_stationary_and_others_are_not(
        a_batch: PixelBatch, spatial: bool) -> None:
    options = DeepOptions(spatial=spatial, floor=0.0)

    def gradient(logits: Tensor) -> float:
        logits.requires_grad_()
        w = torch.softmax(logits, 2) * a_batch.valid[:, :, None]
        objective(a_batch, w, options)[0].sum().backward()
        return float(logits.grad.abs().max())
    shape = (*a_batch.values.shape[:2], 4)
    assert gradient(torch.zeros(shape, dtype=torch.float64)) < 1e-12
    assert gradient(torch.randn(shape, dtype=torch.float64)) > 1e-6


@pytest.mark.parametrize(("spatial", "through"), [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize("term", ["nll", "mean", "variation"])
def test_gradients_equal_finite_differences(a_batch: PixelBatch, spatial: bool, through: bool,
                                            term: str) -> None:
    """With the M-step held fixed, it is held in the differences too."""
    options = DeepOptions(spatial=spatial, through=through, floor=1e-3,
                          mean_weight=float(term == "mean"),
                          variation_weight=float(term == "variation"))
    target = torch.tensor(np.random.default_rng(4).normal(0, 1, (4, 2)))
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((*a_batch.values.shape[:2], 4), generator=generator, dtype=torch.float64)

    def responsibilities(at: Tensor) -> Tensor:
        return torch.softmax(at, 2) * a_batch.valid[:, :, None]
    held = m_step(a_batch, responsibilities(logits), floor=options.floor)

    def loss(at: Tensor) -> Tensor:
        w = responsibilities(at)
        if through:
            return objective(a_batch, w, options, target)[0].sum()
        weights = w.clamp_min(1e-300).log() if spatial else held.log_weights
        mixture = Mixture(weights, held.means, held.covariances)
        total = -a_batch.mean(torch.logsumexp(log_joint(a_batch, mixture), 2)).sum()
        if term == "mean":
            means = m_step(a_batch, w, floor=options.floor).means
            total = total + (means - target).square().sum()
        if term == "variation":
            total = total + (total_variation(a_batch, w) / a_batch.counts).sum()
        return total
    at = logits.clone().requires_grad_()
    objective(a_batch, responsibilities(at), options, target)[0].sum().backward()
    direction = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    direction *= a_batch.valid[:, :, None]
    step = 1e-6
    difference = (loss(logits + step * direction) - loss(logits - step * direction)) / (2 * step)
    slope = float((at.grad * direction).sum())
    assert float(difference) == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_deepg_with_a_held_m_step_has_no_gradient(a_batch: PixelBatch) -> None:
    logits = torch.randn((*a_batch.values.shape[:2], 4), dtype=torch.float64, requires_grad=True)
    w = torch.softmax(logits, 2) * a_batch.valid[:, :, None]
    loss, _ = objective(a_batch, w, DeepOptions(spatial=False, through=False))
    assert not loss.requires_grad
    with pytest.raises(ValueError, match="gradient is zero"):
        fit_deep(a_batch, 4, DeepOptions(spatial=False, through=False, shape=SMALL))


def test_deepsvg_with_a_held_m_step_descends_along_w_minus_posterior(a_batch: PixelBatch) -> None:
    logits = torch.randn((*a_batch.values.shape[:2], 4), dtype=torch.float64, requires_grad=True)
    w = torch.softmax(logits, 2) * a_batch.valid[:, :, None]
    objective(a_batch, w, DeepOptions(through=False, floor=1e-3))[0].sum().backward()
    mixture = m_step(a_batch, w.detach(), floor=1e-3)
    mixture.log_weights = w.detach().clamp_min(1e-300).log()
    expected = (w.detach() - posterior(a_batch, mixture)) / a_batch.counts[:, None, None]
    torch.testing.assert_close(logits.grad, expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("spatial", [False, True])
def test_permuting_tissues_permutes_and_changes_nothing_else(a_batch: PixelBatch,
                                                             spatial: bool) -> None:
    options = DeepOptions(spatial=spatial, mean_weight=0.5, variation_weight=0.3)
    target = torch.tensor(np.random.default_rng(4).normal(0, 1, (4, 2)))
    order = torch.tensor([2, 0, 3, 1])
    w = random_w(a_batch)
    loss, _ = objective(a_batch, w, options, target)
    permuted, _ = objective(a_batch, w[..., order], options, target[order])
    torch.testing.assert_close(permuted, loss, atol=1e-10, rtol=0)
    labels = posterior(a_batch, m_step(a_batch, w)).argmax(2)
    again = posterior(a_batch, m_step(a_batch, w[..., order])).argmax(2)
    inside = a_batch.valid > 0
    assert torch.equal(order[again][inside], labels[inside])


def test_one_outlier_keeps_a_finite_loss_and_a_gradient() -> None:
    images, mask = a_picture(1)
    r, c = np.argwhere(mask[0])[40]
    images[0, :, r, c] = 50 * 0.25 + 1
    batch = PixelBatch.from_images(images, mask)
    place = int(((batch.rows[0] + batch.corner[0, 0] == r)
                 & (batch.columns[0] + batch.corner[0, 1] == c)
                 & (batch.valid[0] > 0)).nonzero()[0])
    logits = torch.randn((*batch.values.shape[:2], 4), dtype=torch.float64, requires_grad=True)
    w = torch.softmax(logits, 2) * batch.valid[:, :, None]
    loss, _ = objective(batch, w, DeepOptions())
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert float(logits.grad[0, place].abs().max()) > 0


def test_deepg_labels_do_not_depend_on_what_the_likelihood_cannot_see(a_batch: PixelBatch) -> None:
    """METHOD 9: w + delta with vanishing moments leaves deepG's posterior labels alone."""
    one = a_batch.select(torch.tensor([0]))
    w = random_w(one, spread=0.3)
    x = one.values[0]
    features = torch.cat([torch.ones_like(x[:, :1]), x, x.square()], 1)
    basis = torch.linalg.qr(features * one.valid[0, :, None])[0]
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn((x.shape[0], 3), generator=generator, dtype=torch.float64)
    raw = (raw - basis @ (basis.T @ raw)) * one.valid[0, :, None]
    delta = torch.cat([raw, -raw.sum(1, keepdim=True)], 1)  # sums to 0 over the tissues
    headroom = torch.minimum(w[0], 1 - w[0])[one.valid[0] > 0] / delta.abs()[
        one.valid[0] > 0].clamp_min(1e-12)
    delta = delta * headroom.min() * 0.999
    delta = delta * one.valid[0, :, None]
    moved = w + delta[None]
    assert float(delta.abs().max()) > 0.05
    changed = (moved.argmax(2) != w.argmax(2))[one.valid > 0].double().mean()
    assert float(changed) > 0.05
    labels = [posterior(one, m_step(one, each)).argmax(2) for each in (w, moved)]
    assert torch.equal(*labels)


def test_total_variation_of_a_square_is_its_outline() -> None:
    mask = np.ones((1, 20, 20), dtype=bool)
    batch = PixelBatch.from_images(np.zeros((1, 1, 20, 20)), mask)
    square = torch.zeros((1, 1, 20, 20), dtype=torch.float64)
    square[..., 4:11, 5:12] = 1.0
    one = batch.pack(square)
    assert float(total_variation(batch, one)) == pytest.approx(4 * 7)
    assert float(total_variation(batch, torch.cat([one, 1 - one], 2))) == pytest.approx(8 * 7)
    mask[0, :, :5] = False  # the square now touches the mask's edge, which costs nothing
    cut = PixelBatch.from_images(np.zeros((1, 1, 20, 20)), mask)
    packed = cut.pack(square[..., 5:])
    assert float(total_variation(cut, packed)) == pytest.approx(3 * 7)


@pytest.mark.parametrize("spatial", [False, True])
def test_slices_in_one_batch_equal_one_by_one(spatial: bool) -> None:
    """METHOD 13, float64: 50 steps from the same weights, ragged masks, other crop sizes."""
    images, mask = a_picture()
    options = DeepOptions(spatial=spatial, shape=SMALL, steps=50, tolerance=-1.0)
    together = fit_deep(PixelBatch.from_images(images, mask), 4, options, seed=3)
    for s in range(3):
        alone = fit_deep(PixelBatch.from_images(images[s:s + 1], mask[s:s + 1]), 4, options,
                         seed=3)
        pixels = int(mask[s].sum())
        assert float(alone.nll[0]) == pytest.approx(float(together.nll[s]), abs=1e-9)
        torch.testing.assert_close(alone.posterior[0, :pixels], together.posterior[s, :pixels],
                                   atol=1e-6, rtol=0)


def test_float32_agrees_at_the_first_step() -> None:
    images, mask = a_picture()
    results = []
    for index in ([0, 1, 2], [1]):
        batch = PixelBatch.from_images(images[index], mask[index], dtype=torch.float32)
        network = SliceUNet(len(index), 2, 4, SMALL, seed=2)
        shape = (24, 24)
        logits = network(batch.grid(batch.values, shape), batch.grid(batch.valid[..., None], shape))
        w = torch.softmax(batch.pack(logits), 2) * batch.valid[..., None]
        objective(batch, w, DeepOptions())[0].sum().backward()
        row = index.index(1)
        pixels = int(mask[1].sum())
        results.append((w[row, :pixels].detach(), network.head.weight.grad[row]))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


def test_what_lies_outside_the_mask_changes_nothing() -> None:
    images, mask = a_picture()
    changed = np.where(mask[:, None], images, -1e5)
    options = DeepOptions(shape=SMALL, steps=5)
    one, other = (fit_deep(PixelBatch.from_images(i, mask), 4, options)
                  for i in (images, changed))
    assert torch.equal(one.posterior, other.posterior)


@pytest.mark.parametrize("spatial", [False, True])
def test_a_fit_improves_repeats_and_keeps_its_best(a_batch: PixelBatch, spatial: bool) -> None:
    options = DeepOptions(spatial=spatial, shape=SMALL, steps=60, learning_rate=5e-3)
    fit = fit_deep(a_batch, 4, options, seed=1)
    again = fit_deep(a_batch, 4, options, seed=1)
    other = fit_deep(a_batch, 4, options, seed=2)
    assert torch.equal(fit.posterior, again.posterior)
    assert not torch.equal(fit.posterior, other.posterior)
    for trace, nll in zip(fit.traces, fit.nll.tolist(), strict=True):
        assert nll < trace[0] - 0.1
        assert nll == pytest.approx(min(trace), abs=1e-6)


def test_start_logits_are_kept_at_step_zero(a_batch: PixelBatch) -> None:
    logits = random_w(a_batch, spread=2.0).clamp_min(1e-6).log()
    fit = fit_deep(a_batch, 4, DeepOptions(shape=SMALL, steps=0), start_logits=logits)
    expected = torch.softmax(logits, 2) * a_batch.valid[..., None]
    assert float((fit.responsibilities - expected).abs().max()) < 0.3
    agree = (fit.responsibilities.argmax(2) == expected.argmax(2))[a_batch.valid > 0]
    assert float(agree.double().mean()) > 0.9


def test_the_mean_regulariser_pulls_the_means(a_batch: PixelBatch) -> None:
    target = torch.tensor([[-1, -1], [1, 0.5], [-0.2, 1], [0.9, -0.8]], dtype=torch.float64)
    distance = []
    for weight in (0.0, 10.0):
        options = DeepOptions(shape=SMALL, steps=100, learning_rate=5e-3, mean_weight=weight)
        fit = fit_deep(a_batch, 4, options, mean_target=target, seed=1)
        distance.append(float((fit.mixture.means - target).square().sum()))
    assert distance[1] < 0.2 * distance[0]
