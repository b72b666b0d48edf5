"""One mixture under one field for a volume's slices: closed forms, against other people's."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from deepgmm.model.shared_mixture import (
    FieldSums,
    LevelPrior,
    Levels,
    field_of,
    log_joint,
    lower_bound,
    solved,
    started,
)
from deepgmm.model.volume_slices import (
    SliceObjective,
    VolumeSlices,
    learn,
    levels_of,
    losses,
    responsibilities,
    start_of,
    sums_of,
)

FREE = LevelPrior(weight_strength=0.0)
#: Of the balls below.
BALLS = LevelPrior(weights=(0.24, 0.54, 0.22))


def three_levels(slices=3, pixels=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tissue = torch.randint(3, (slices, pixels), generator=generator)
    noise = torch.randn((slices, pixels), generator=generator, dtype=torch.float64)
    return torch.tensor([0.4, 0.7, 1.0], dtype=torch.float64)[tissue] + 0.08 * noise, tissue


def flat(values):
    return torch.ones(values.shape[0], 1, values.shape[1], dtype=values.dtype)


def begun(volumes=1):
    full = lambda numbers: torch.tensor([numbers] * volumes, dtype=torch.float64)
    return Levels(full([0.2, 0.5, 0.3]).log(), full([0.3, 0.65, 1.1]), full([0.02, 0.03, 0.01]),
                  torch.ones(volumes, 1, dtype=torch.float64))


def test_em_by_sums_of_slices_is_scikit_learns():
    from sklearn.mixture import GaussianMixture

    values, _ = three_levels()
    levels, owner = begun(), torch.zeros(3, dtype=torch.long)
    for _ in range(12):
        s = torch.softmax(log_joint(values, flat(values), levels[owner]), 1)
        levels = solved(FieldSums.of(values, s, flat(values)).added(owner, 1), FREE, levels)
    first = begun()
    with pytest.warns(Warning):
        theirs = GaussianMixture(
            3, covariance_type="diag", weights_init=[0.2, 0.5, 0.3],
            means_init=first.means[0, :, None].numpy(), tol=0, reg_covar=0, max_iter=12,
            precisions_init=1 / first.variances[0, :, None].numpy()).fit(values.reshape(-1, 1))
    assert np.allclose(levels.means[0], theirs.means_[:, 0], atol=1e-7)
    assert np.allclose(levels.variances[0], theirs.covariances_[:, 0], atol=1e-7)
    assert np.allclose(levels.log_weights[0].exp(), theirs.weights_, atol=1e-7)


def test_bound_is_the_likelihood_at_the_posterior_and_below_it_elsewhere():
    values, _ = three_levels()
    joint = log_joint(values, flat(values), begun()[torch.zeros(3, dtype=torch.long)])
    evidence = torch.logsumexp(joint, 1)
    assert torch.allclose(lower_bound(joint.log_softmax(1), joint), evidence, atol=1e-12)
    other = (joint + torch.randn_like(joint)).log_softmax(1)
    assert (lower_bound(other, joint) <= evidence + 1e-12).all()
    # as published, without the entropy, one tissue for certain would be above the posterior
    certain = joint.amax(1)
    assert (certain > (joint.softmax(1) * joint).sum(1)).float().mean() > 0.99


def shaded(seed=0, strength=0.1):
    """A volume of three tissues under a known field of degree 1, without noise to speak of."""
    generator = torch.Generator().manual_seed(seed)
    tissue = torch.randint(3, (4, 500), generator=generator)
    places = 2 * torch.rand((4, 3, 500), generator=generator, dtype=torch.float64) - 1
    places = places - places.mean((0, 2), keepdim=True)
    basis = torch.cat([torch.ones(4, 1, 500, dtype=torch.float64), places], 1)
    omega = strength * torch.tensor([1.0, -0.6, 0.3], dtype=torch.float64)
    field = 1 + torch.einsum("j,sjp->sp", omega, places)
    noise = torch.randn((4, 500), generator=generator, dtype=torch.float64)
    values = field * torch.tensor([0.4, 0.7, 1.0], dtype=torch.float64)[tissue] + 1e-3 * noise
    s = torch.nn.functional.one_hot(tissue, 3).double().transpose(1, 2)
    return values, basis, s, omega, field


def test_field_and_levels_are_found_back_from_the_sums_alone():
    values, basis, s, omega, field = shaded()
    sums = FieldSums.of(values, s, basis).added(torch.zeros(4, dtype=torch.long), 1)
    found = solved(sums, LevelPrior(ridge=1e-6), rounds=40)
    assert torch.allclose(found.omega[0, 1:], omega, atol=1e-3)
    assert torch.allclose(found.means[0], torch.tensor([0.4, 0.7, 1.0]).double(), atol=1e-3)
    b = field_of(basis, found[torch.zeros(4, dtype=torch.long)])
    assert float((b / field - 1).abs().max()) < 2e-3


def test_sums_of_slices_added_are_those_of_the_whole():
    values, basis, s, _, _ = shaded()
    whole = FieldSums.of(values.reshape(1, -1), s.transpose(0, 1).reshape(1, 3, -1),
                         basis.transpose(0, 1).reshape(1, 4, -1))
    parts = FieldSums.of(values, s, basis).added(torch.zeros(4, dtype=torch.long), 1)
    for name in ("power", "product", "square"):
        assert torch.allclose(getattr(whole, name), getattr(parts, name), atol=1e-9)


def test_rounds_of_the_closed_forms_never_raise_the_objective():
    values, basis, _, _, _ = shaded(strength=0.3)
    values = values + 0.1 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    owner, prior = torch.zeros(4, dtype=torch.long), replace(FREE, ridge=0.1)
    levels = Levels(begun().log_weights, begun().means, begun().variances,
                    torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64))
    ridge = prior.ridge

    def objective(at):
        joint = log_joint(values, basis, at[owner])
        return float(-torch.logsumexp(joint, 1).mean()
                     + 0.5 * ridge * at.omega[:, 1:].square().sum())
    trace = [objective(levels)]
    for _ in range(15):
        s = torch.softmax(log_joint(values, basis, levels[owner]), 1)
        levels = solved(FieldSums.of(values, s, basis).added(owner, 1), prior, levels, 2)
        trace.append(objective(levels))
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(trace))
    assert trace[-1] < trace[0] - 0.05


def brains(count=1, seed=0, size=24, noise=0.06, degree=0, labels=False):
    """Balls of white matter in grey matter in a rim of CSF."""
    generator = np.random.default_rng(seed)
    axes = np.mgrid[:size, :size, :size] - (size - 1) / 2
    radius = np.sqrt((axes**2).sum(0))
    truth = np.where(radius < size * 0.27, 2, np.where(radius < size * 0.41, 1, 0))
    mask = radius < size * 0.45
    volumes, known = [], []
    for _ in range(count):
        level = np.array([0.35, 0.7, 1.0])[truth]
        volumes.append(np.where(mask, level + noise * generator.standard_normal(truth.shape), 0)
                       .clip(0).astype(np.float32) * 100)
        known.append(np.where(mask, truth, -1))
    slices, places = VolumeSlices.of(volumes, [mask] * count, degree=degree, multiple=8,
                                     labels=known if labels else None)
    return slices, places, truth, mask


class Table(torch.nn.Module):
    """A network of no use but that its logits are weights."""

    def __init__(self, like):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.logits = torch.nn.Parameter(torch.randn(
            (len(like), 3, *like.images.shape[1:]), generator=generator, dtype=torch.float64))


def test_held_levels_leave_the_gradient_as_it_is():
    slices, _, _, _ = brains(size=8)
    slices.images = slices.images.double()
    slices.inside, slices.means = slices.inside.double(), slices.means.double()
    slices.ladders = tuple(part.double() for part in slices.ladders)
    index = torch.arange(len(slices))
    logits = Table(slices).logits.detach().requires_grad_()
    objective = SliceObjective(variation=0.2)

    def closed(at):
        sums = sums_of(slices, index, at.softmax(1), every=1)
        return solved(sums.added(slices.owner, 1), FREE)[slices.owner]
    losses(slices, index, logits, closed(logits.detach()), objective).backward()
    generator = torch.Generator().manual_seed(5)
    for _ in range(6):
        way = torch.randn(logits.shape, generator=generator, dtype=torch.float64) * 1e-5
        there, back = (float(losses(slices, index, at, closed(at), objective))
                       for at in (logits.detach() + way, logits.detach() - way))
        expected = float((logits.grad * way).sum()) * 2
        assert there - back == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_permuted_tissues_leave_the_loss():
    slices, _, _, _ = brains(size=8)
    index = torch.arange(len(slices))
    logits = Table(slices).logits.detach()
    levels = begun()[slices.owner]
    objective = SliceObjective(variation=0.3)
    order = torch.tensor([2, 0, 1])
    other = Levels(levels.log_weights[:, order], levels.means[:, order],
                   levels.variances[:, order], levels.omega)
    a = losses(slices, index, logits, levels, objective)
    b = losses(slices, index, logits[:, order], other, objective)
    assert float(a) == pytest.approx(float(b), abs=1e-10)


def test_cross_entropy_is_torchs_over_the_labelled_voxels():
    slices, _, _, _ = brains(size=8, labels=True)
    slices.labels[::2] = -1  # every second slice is nobody's
    index = torch.arange(len(slices))
    logits = Table(slices).logits.detach()
    alone = losses(slices, index, logits, None, SliceObjective(labels=0.7, likelihood=0.0))
    theirs = torch.nn.functional.cross_entropy(logits, slices.labels, ignore_index=-1)
    assert float(alone) == pytest.approx(0.7 * float(theirs), rel=1e-9)


def test_total_variation_of_a_square():
    from deepgmm.model.deep import variation

    side, k = 12, 5
    s = torch.zeros(1, 2, side, side, dtype=torch.float64)
    s[0, 0, 3:3 + k, 4:4 + k] = 1
    s[0, 1] = 1 - s[0, 0]
    inside = torch.ones(1, 1, side, side, dtype=torch.float64)
    assert float(variation(s[:, :1], inside)) == 4 * k
    assert float(variation(s, inside)) == 8 * k


def test_start_draws_nothing_and_finds_the_levels():
    slices, _, _, _ = brains(count=2)
    first, again = start_of(slices, BALLS), start_of(slices, BALLS)
    assert torch.equal(first.means, again.means)
    shown = first.means[0] / first.means[0, 2]
    assert np.allclose(shown, [0.35, 0.7, 1.0], atol=0.04)


def test_one_per_cent_of_zeros_in_the_brain_changes_no_other_label():
    slices, _, _, mask = brains(noise=0.09)
    before = log_joint(slices.images.flatten(1), slices.basis(torch.arange(len(slices))),
                       start_of(slices, BALLS)[slices.owner]).argmax(1)
    dead = torch.from_numpy(np.random.default_rng(1).random(slices.images.shape) < 0.01)
    slices.images = torch.where(dead, 0.0, slices.images)
    after = log_joint(slices.images.flatten(1), slices.basis(torch.arange(len(slices))),
                      start_of(slices, BALLS)[slices.owner]).argmax(1)
    others = ((slices.inside > 0) & ~dead).flatten(1)
    assert float((before != after)[others].float().mean()) < 0.005


def small_network(seed=0):
    from deepgmm.model.architecture import Architecture
    from deepgmm.model.architectures import build

    return build(Architecture("modified-unet", 3, 3, filters=4, levels=2, convolutions=1),
                 seed=seed)


def accuracy(s, truth, mask, places):
    taken, (row, column) = places[0]
    rows, columns = (min(a, b) for a, b in zip(s.shape[2:], (24 - row, 24 - column)))
    part = np.s_[taken, row:row + rows, column:column + columns]
    found = s.argmax(1).numpy()[:, :rows, :columns]
    return float((found == truth[part])[mask[part]].mean())


def test_network_without_labels_beats_the_mixture_it_starts_from_for_every_seed():
    slices, places, truth, mask = brains(noise=0.14, degree=1)
    slices.start = start_of(slices, BALLS)
    joint = log_joint(slices.images.flatten(1), slices.basis(torch.arange(len(slices))),
                      slices.start[slices.owner]).reshape(len(slices), 3, *slices.images.shape[1:])
    plain = accuracy(joint, truth, mask, places)
    found = []
    for seed in range(2):
        network = small_network(seed)
        trace = learn(network, slices, SliceObjective(variation=0.4, steps=40, batch=6, seed=seed,
                                               learning_rate=1e-2),
                      BALLS)
        assert np.isfinite(trace).all()
        found.append(responsibilities(network, slices))
    scores = [accuracy(s, truth, mask, places) for s in found]
    assert min(scores) > plain + 0.03, (plain, scores)
    same = found[0].argmax(1) == found[1].argmax(1)
    assert float(same[slices.inside > 0].float().mean()) > 0.97
    levels = levels_of(slices, found[0], BALLS)
    assert torch.all(levels.means.diff(dim=1) > 0)


def test_labels_without_weight_change_no_bit():
    weights = []
    for labels in (False, True):
        slices, _, _, _ = brains(size=16, labels=labels)
        network = small_network()
        learn(network, slices, SliceObjective(labels=0.0, steps=4, batch=4))
        weights.append([p.detach().clone() for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights))


def test_canvas_keeps_every_voxel():
    slices, places, _, mask = brains(size=16)
    taken, (row, column) = places[0]
    assert math.isclose(float(slices.inside.sum()), mask.sum())
    rows, columns = mask.any((0, 2)).nonzero()[0], mask.any((0, 1)).nonzero()[0]
    assert (row, column) == (rows[0], columns[0])
    assert list(taken) == list(mask.any((1, 2)).nonzero()[0])


def test_quantiles_start_apart_where_the_image_has_few_values():
    values = torch.tensor([[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]], dtype=torch.float64)
    levels = started(values, flat(values), torch.zeros(1, dtype=torch.long),
                     torch.ones_like(values), LevelPrior())
    assert torch.isfinite(levels.means).all() and torch.isfinite(levels.variances).all()
