"""The deformed atlas and its Gaussians: closed forms, finite differences, and a field of 3D."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy import ndimage  # noqa: E402

from deepgmm.model.bias_volume import exponents, legendre  # noqa: E402
from deepgmm.model.deformable import (  # noqa: E402
    DeformableOptions,
    deform,
    floored,
    objective,
)
from deepgmm.model.tissue_mixture import (  # noqa: E402
    TissueMixture,
    TissuePrior,
    VolumeField,
    e_step,
    fit,
    m_step,
    started,
)
from deepgmm.model.warp import displacement, jacobian, warped  # noqa: E402


def mixture_of(means, sds=None, shares=None, tissues=None):
    means = torch.tensor(means, dtype=torch.float64)
    sds = torch.full_like(means, 0.1) if sds is None else torch.tensor(sds, dtype=torch.float64)
    shares = torch.ones_like(means) if shares is None else torch.tensor(shares).double()
    kinds = torch.arange(len(means)) if tissues is None else torch.tensor(tissues)
    return TissueMixture(means, sds.square(), shares, kinds)


def a_scene(shape=(7, 8), seed=0):
    """An atlas of three tissues and background, an image and a mask."""
    generator = torch.Generator().manual_seed(seed)
    atlas = torch.rand((1, 4, *shape), generator=generator, dtype=torch.float64).softmax(1)
    image = torch.rand((1, *shape), generator=generator, dtype=torch.float64)
    mask = torch.rand((1, *shape), generator=generator) > 0.3
    return atlas, image, mask


def test_the_objective_is_the_slides_written_out():
    atlas, image, mask = a_scene()
    mixture = mixture_of([0.2, 0.5, 0.9])
    u = torch.zeros(1, 2, 7, 8, dtype=torch.float64)
    u[0, 1] = 1.0
    found = objective(atlas, image, mask, mixture, u, DeformableOptions(smoothness=5.0))
    total, count = 0.0, 0
    for i in range(7):
        for j in range(8):
            a = atlas[0, :, i, min(j + 1, 7)].numpy()
            if mask[0, i, j]:
                g = np.exp(-0.5 * ((float(image[0, i, j]) - np.array([0.2, 0.5, 0.9])) / 0.1) ** 2
                           ) / np.sqrt(2 * np.pi * 0.01)
                total -= np.log((a[:3] * g).sum())
            else:
                total -= np.log(a[3])
            count += 1
    assert float(found) == pytest.approx(total / count, rel=1e-9)


def test_its_gradient_is_that_of_differences_of_velocity_and_of_gaussians():
    atlas, image, mask = a_scene((5, 6))
    means = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    variances = torch.tensor([0.02, 0.03, 0.04], dtype=torch.float64)
    v = 0.3 * torch.randn((1, 2, 5, 6), dtype=torch.float64,
                          generator=torch.Generator().manual_seed(1))

    def value(v, means, variances):
        mixture = TissueMixture(means, variances, torch.ones(3).double(), torch.arange(3))
        return objective(atlas, image, mask, mixture, displacement(v, 2), DeformableOptions())

    inputs = [t.requires_grad_() for t in (v, means, variances)]
    torch.autograd.gradcheck(value, inputs, eps=1e-7, atol=1e-6, rtol=1e-5)


def test_permuted_tissues_leave_the_objective_and_permute_the_fit():
    atlas, image, mask = a_scene()
    mixture, order = mixture_of([0.2, 0.5, 0.9], [0.1, 0.2, 0.15]), torch.tensor([2, 0, 1])
    u = 0.2 * torch.randn((1, 2, 7, 8), dtype=torch.float64,
                          generator=torch.Generator().manual_seed(2))
    other = TissueMixture(mixture.means[order], mixture.variances[order], mixture.shares,
                          torch.arange(3))
    turned = atlas[:, torch.cat([order, torch.tensor([3])])]
    options = DeformableOptions()
    one = objective(atlas, image, mask, mixture, u, options)
    assert torch.allclose(one, objective(turned, image, mask, other, u, options), atol=1e-10)
    values, prior = image[mask], atlas[0, :3][:, mask[0]].T
    prior = prior / prior.sum(1, keepdim=True)
    first = fit(values, prior.log(), mixture, TissuePrior(mixture))
    second = fit(values, prior[:, order].log(), other, TissuePrior(other))
    assert torch.allclose(first.mixture.means[order], second.mixture.means, atol=1e-10)


def test_the_m_step_is_the_weighted_mean_and_variance_where_no_prior_asks():
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(200, generator=generator, dtype=torch.float64)
    r = torch.rand((200, 2), generator=generator, dtype=torch.float64).softmax(1)
    start = mixture_of([0.0, 1.0])
    found = m_step(x, r, TissuePrior(start, 0, 0, 0))
    means = (r * x[:, None]).sum(0) / r.sum(0)
    assert torch.allclose(found.means, means, atol=1e-12)
    spread = (r * (x[:, None] - means).square()).sum(0) / r.sum(0)
    assert torch.allclose(found.variances, spread, atol=1e-12)
    held = m_step(x, r, TissuePrior(start, 1e6, 1e6, 0))
    assert torch.allclose(held.means, start.means, atol=1e-5)
    assert torch.allclose(held.variances, start.variances, atol=1e-5)


def test_em_never_rises_with_a_field_and_two_components_of_one_tissue():
    x, prior, basis, _, _ = shaded(0)
    start = mixture_of([0.3, 0.6, 0.9, 0.5], tissues=[0, 1, 2, 1], shares=[1, 0.8, 1, 0.2])
    found = fit(x, prior.log(), start, TissuePrior(start), field=VolumeField(basis, 0.1),
                iterations=60, tolerance=-1.0)
    assert np.diff(found.trace).max() < 1e-9
    assert found.trace[0] - found.trace[-1] > 0.05
    shares = found.mixture.shares
    assert float(shares[1] + shares[3]) == pytest.approx(1)


def test_responsibilities_are_the_posterior():
    x = torch.tensor([0.3, 0.62], dtype=torch.float64)
    prior = torch.tensor([[0.2, 0.8], [0.5, 0.5]], dtype=torch.float64)
    evidence, r = e_step(prior.log(), mixture_of([0.25, 0.6]), x)
    g = torch.exp(-0.5 * ((x[:, None] - torch.tensor([0.25, 0.6])) / 0.1) ** 2) / (
        0.1 * (2 * torch.pi) ** 0.5)
    assert torch.allclose(r, prior * g / (prior * g).sum(1, keepdim=True), atol=1e-12)
    assert torch.allclose(evidence, (prior * g).sum(1).log(), atol=1e-12)


def test_the_basis_is_numpys_legendre():
    places = torch.rand((50, 3), dtype=torch.float64) * 20 - 5
    low, high = places.amin(0), places.amax(0)
    basis, centre = legendre(places, low, high, 3)
    assert basis.shape == (50, 19) and basis.mean(0).abs().max() < 1e-12
    x = (2 * (places - low) / (high - low) - 1).numpy()
    ladder = np.polynomial.legendre.legvander(x, 3)
    for column, powers in enumerate(exponents(3)):
        product = np.prod([ladder[:, a, p] for a, p in enumerate(powers)], 0)
        assert np.allclose(basis[:, column] + centre[column], product, atol=1e-12)


def shaded(seed, size=0.2, side=28):
    """Tissues in blobs under a field of 20 %: values, anchoring prior, basis, field, truth."""
    rng = np.random.default_rng(seed)
    blobs = np.stack([ndimage.gaussian_filter(rng.normal(size=(side,) * 3), 2.5) for _ in range(3)])
    blobs /= blobs.std((1, 2, 3), keepdims=True)
    truth = blobs.argmax(0)
    soft = np.exp(2 * blobs)
    prior = (soft / soft.sum(0)).reshape(3, -1).T
    z = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij")).reshape(3, -1)
    terms = np.stack([*z, z[0] * z[1], z[1] * z[2], z[0] ** 2, z[2] ** 2, z[1] ** 3])
    field = rng.normal(size=len(terms)) @ terms
    field = 1 + size * (field - (field.max() + field.min()) / 2) / (np.ptp(field) / 2)
    field /= field.mean()
    image = field * np.array([0.3, 0.6, 0.9])[truth.ravel()] + rng.normal(0, 0.05, field.shape)
    part = rng.choice(len(field), 16000, replace=False)
    places = torch.from_numpy(z.T)
    basis, _ = legendre(places[part], places.amin(0), places.amax(0), 3)
    return (torch.from_numpy(image[part]), torch.from_numpy(prior[part]), basis,
            field[part], truth.ravel()[part])


@pytest.mark.parametrize("seed", range(3))
def test_a_field_of_a_fifth_is_found_where_an_atlas_anchors_it(seed):
    x, prior, basis, field, _ = shaded(seed)
    start = started(x, prior)
    found = fit(x, prior.log(), start, TissuePrior(start), field=VolumeField(basis, 0.05),
                iterations=80, tolerance=1e-8)
    b = (1 + basis @ found.omega).numpy()
    b /= np.exp(np.log(b / field).mean())
    assert np.corrcoef(np.log(b), np.log(field))[0, 1] > 0.93
    assert np.sqrt(np.mean((b / field - 1) ** 2)) < 0.03


def test_no_field_in_hardly_a_field_out():
    x, prior, basis, field, truth = shaded(4)
    flat = x - (torch.from_numpy(field) - 1) * torch.tensor([0.3, 0.6, 0.9])[truth]
    start = started(flat, prior)
    found = fit(flat, prior.log(), start, TissuePrior(start), field=VolumeField(basis, 0.05))
    assert (basis @ found.omega).std() < 0.005


def test_a_moved_atlas_is_brought_back_and_does_not_fold():
    shape = (20, 22, 20)
    z = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij"))
    radius = np.sqrt((z**2).sum(0))
    tissues = [radius < 3, (radius >= 3) & (radius < 6), (radius >= 6) & (radius < 8.5),
               radius >= 8.5]
    atlas = torch.tensor(np.stack([ndimage.gaussian_filter(t.astype(float), 0.7)
                                   for t in tissues]), dtype=torch.float32)[None]
    moved = np.sqrt(((z - np.array([1.5, -1.0, 0.5])[:, None, None, None]) ** 2).sum(0))
    labels = np.digitize(moved, [3, 6, 8.5])
    levels = np.array([0.3, 0.9, 0.6, 0.0])
    image = levels[labels] + np.random.default_rng(0).normal(0, 0.05, shape)
    mask = torch.from_numpy(labels < 3)[None]
    image = torch.tensor(image, dtype=torch.float32)[None]
    start = mixture_of([0.4, 0.8, 0.6]).to(image)
    found = deform(atlas, image, mask, start, TissuePrior(start),
                   DeformableOptions(0.5, levels=(2, 1), iterations=(30, 20), step=0.15))
    before = objective(floored(atlas), image, mask, start, torch.zeros(1, 3, *shape),
                       DeformableOptions(0.5))
    assert found.trace[-1] < float(before) - 0.3
    there = warped(atlas, found.displacement)[0].argmax(0).numpy()
    assert (there == labels).mean() > 0.95 > (atlas[0].argmax(0).numpy() == labels).mean()
    assert jacobian(found.displacement).min() > 0
    assert torch.allclose(found.mixture.means, torch.tensor([0.3, 0.9, 0.6]), atol=0.05)


def a_disc(order=(0, 1, 2)):
    """An atlas of a disc's three rings, an image of it moved, and the mask; (1, ..., 24, 26)."""
    shape = (24, 26)
    z = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij"))
    radius = np.sqrt((z**2).sum(0))
    rings = [radius < 3, (radius >= 3) & (radius < 6), (radius >= 6) & (radius < 9), radius >= 9]
    maps = np.stack([ndimage.gaussian_filter(r.astype(float), 0.7) for r in rings])
    labels = np.digitize(np.sqrt(((z - np.array([1.5, -1.0])[:, None, None])**2).sum(0)), [3, 6, 9])
    image = np.array([0.3, 0.9, 0.6, 0.0])[labels]
    image = image + np.random.default_rng(0).normal(0, 0.05, shape)
    return (torch.from_numpy(maps[[*order, 3]])[None], torch.from_numpy(image)[None],
            torch.from_numpy(labels < 3)[None])


SHORT = DeformableOptions(0.5, levels=(2, 1), iterations=(30, 20), step=0.15)


def test_permuted_tissues_deform_alike():
    order = (2, 0, 1)
    start = mixture_of([0.4, 0.8, 0.6])
    turned = mixture_of([[0.4, 0.8, 0.6][k] for k in order])
    found = deform(*a_disc(), start, TissuePrior(start), SHORT)
    other = deform(*a_disc(order), turned, TissuePrior(turned), SHORT)
    assert torch.allclose(found.displacement, other.displacement, atol=1e-6, rtol=0)
    assert torch.allclose(found.mixture.means[list(order)], other.mixture.means, atol=1e-8)
    assert found.displacement.abs().max() > 0.5


def test_a_known_field_is_taken_out_while_an_atlas_deforms():
    atlas, image, mask = a_disc()
    b = (1 + 0.4 * torch.linspace(-1, 1, 26, dtype=torch.float64)).expand(1, 24, 26)
    start = mixture_of([0.4, 0.8, 0.6])
    seen = []

    def known(mixture, moved):
        seen.append((len(mixture.means), tuple(moved.shape)))
        return b

    plain = deform(atlas, image, mask, start, TissuePrior(start), SHORT)
    under = deform(atlas, image * b, mask, start, TissuePrior(start), SHORT, field=known)
    without = deform(atlas, image * b, mask, start, TissuePrior(start), SHORT)
    assert set(seen) == {(3, (1, 4, 24, 26))}
    truth = torch.tensor([0.3, 0.9, 0.6], dtype=torch.float64)

    def error(found):
        return float((found.mixture.means - truth).abs().max())

    assert error(under) < 0.05 and error(plain) < 0.05
    inside = mask.expand(2, -1, -1)
    near = (under.displacement - plain.displacement)[0][inside].abs().mean()
    far = (without.displacement - plain.displacement)[0][inside].abs().mean()
    assert near < 0.1 and near < 0.5 * far
    assert without.mixture.variances[2] > 3 * under.mixture.variances[2]
