"""One network that deforms an atlas in one pass: geometry, objective, training without labels."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from deepgmm.brain.amortised import (
    AmortisedSettings,
    CoarseAtlas,
    Laid,
    by_moments,
    fit,
    passed,
)
from deepgmm.brain.atlas import Atlas
from deepgmm.brain.by_network import segment_by_network
from deepgmm.brain.layouts import brain_cases, read_case
from deepgmm.brain.network_card import load_brain_network
from deepgmm.brain.registering import thinned
from deepgmm.brain.training import train
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError
from deepgmm.model.amortised import (
    AmortisedNet,
    AmortisedOptions,
    Scan,
    gaussians,
    loss_of,
    moved_by,
    varied,
)
from deepgmm.model.deformable import DeformableOptions, floored, likelihood_image, objective
from deepgmm.model.warp import warped
from deepgmm.study.study import Geometry
from deepgmm.weights.card import Learning

SIZE = 20


def blob(shift=(0.0, 0.0, 0.0), size=SIZE, seed=0, noise=0.05, stretch=(1.0, 1.0, 1.0)):
    """Labels 0 background, 1 CSF, 2 grey, 3 white: ellipsoids, and an image of them."""
    axes = np.mgrid[:size, :size, :size] - (size - 1) / 2
    place = [(a - s) / t for a, s, t in zip(axes, shift, stretch)]
    radius = np.sqrt(sum(p**2 for p in place))
    labels = np.where(radius < size * .25, 3, np.where(radius < size * .36, 2, 1)).astype(np.uint8)
    labels[radius > size * .42] = 0
    level = np.array([0, 0.35, 0.7, 1.0])[labels]
    noisy = level + noise * np.random.default_rng(seed).standard_normal(labels.shape)
    return labels, np.where(labels > 0, noisy, 0).clip(0).astype(np.float32)


def atlas_of(labels):
    one = np.stack([labels == k for k in (1, 2, 3, 0)]).astype(np.float32)
    blurred = torch.nn.functional.avg_pool3d(torch.from_numpy(one)[None], 3, 1, 1,
                                             count_include_pad=False)
    return blurred / blurred.sum(1, keepdim=True)


def scan_of(labels, image):
    return Scan(torch.from_numpy(image)[None], torch.from_numpy(labels > 0)[None])


def test_network_starts_at_the_atlas_as_it_is_and_keeps_odd_shapes():
    network = AmortisedNet(3, (4, 6, 8))
    image = torch.rand(1, 11, 14, 9)
    v = network(image, image > 0.1, torch.rand(1, 4, 11, 14, 9))
    assert v.shape == (1, 3, 8, 8, 8) and float(v.detach().abs().max()) < 0.05
    assert moved_by(v, (11, 14, 9), 5).shape == (1, 3, 11, 14, 9)
    steady = torch.zeros(1, 3, 8, 8, 8)
    steady[:, 1] = 0.75  # voxels of the half grid
    u = moved_by(steady, (11, 14, 9), 5)
    assert torch.allclose(u[:, 1], torch.tensor(1.5)) and not u[:, [0, 2]].any()


def test_gaussians_are_scikit_learns_where_the_atlas_says_the_same_everywhere():
    from sklearn.mixture import GaussianMixture

    labels, image = blob()
    scan = scan_of(labels, image)
    told = image[labels > 0].astype(np.float64)
    values = torch.from_numpy(told)
    # a flat atlas but for a few voxels' worth of a hint at which tissue is which
    weights = np.array([0.3, 0.4, 0.3])
    flat = torch.tensor([*weights, 1e-6]).double()[None, :, None, None, None]
    flat = flat.expand(1, 4, *image.shape)
    begin = gaussians(Scan(scan.image.double(), scan.mask), atlas_of(labels).double(), rounds=0)
    ours = gaussians(Scan(scan.image.double(), scan.mask), flat, start=begin, rounds=1,
                     strength=0.0)
    theirs = GaussianMixture(3, covariance_type="diag", weights_init=weights, reg_covar=0,
                             means_init=begin.means[:, None].numpy(), max_iter=1, tol=0,
                             precisions_init=1 / begin.variances[:, None].numpy())
    with pytest.warns(Warning):
        theirs.fit(values.numpy()[values.numpy() > 0][:, None])
    assert np.allclose(ours.means, theirs.means_[:, 0], atol=1e-6)
    assert np.allclose(ours.variances, theirs.covariances_[:, 0], atol=1e-6)


def test_gradient_of_a_pass_is_that_of_differences_with_the_gaussians_held():
    labels, image = blob(size=10)
    atlas = floored(atlas_of(blob(shift=(1, 0, 0), size=10)[0]).double())
    scan = Scan(torch.from_numpy(image).double()[None], torch.from_numpy(labels > 0)[None])
    options = AmortisedOptions(DeformableOptions(smoothness=3.0, squarings=4))
    generator = torch.Generator().manual_seed(0)
    v = 0.15 * torch.randn((1, 3, 5, 5, 5), generator=generator, dtype=torch.float64)
    v.requires_grad_()
    loss_of(scan, atlas, v, options).backward()
    cube = (10, 10, 10)
    held = gaussians(scan, warped(atlas, moved_by(v.detach(), cube, 4)), rounds=options.rounds)
    likelihood = torch.where((scan.used | ~scan.mask)[:, None],
                             likelihood_image(scan.image, held), 0.0)

    def at(velocity):
        return float(objective(atlas, scan.image, scan.mask, held, moved_by(velocity, cube, 4),
                               options.deformable, log_likelihood=likelihood).sum())
    for _ in range(3):
        way = 1e-6 * torch.randn(v.shape, generator=generator, dtype=torch.float64)
        difference = at(v.detach() + way) - at(v.detach() - way)
        assert difference == pytest.approx(2 * float((v.grad * way).sum()), rel=1e-3)


def test_tissues_in_another_order_give_the_same_loss():
    labels, image = blob()
    atlas = floored(atlas_of(blob(shift=(2, 0, 0))[0]).double())
    scan = Scan(torch.from_numpy(image).double()[None], torch.from_numpy(labels > 0)[None])
    v = torch.zeros(1, 3, SIZE // 2, SIZE // 2, SIZE // 2, dtype=torch.float64)
    options = AmortisedOptions()
    a, b = (float(loss_of(scan, part, v, options)) for part in (atlas, atlas[:, [1, 2, 0, 3]]))
    assert a == pytest.approx(b, abs=1e-10)


def test_contrast_turned_over_keeps_what_is_no_measurement():
    labels, image = blob()
    image[labels == 3] *= np.random.default_rng(0).random(int((labels == 3).sum())) > 0.1
    scan = scan_of(labels, image)
    other = varied(scan, AmortisedOptions(jitter=0.0, turned=1.0), torch.Generator().manual_seed(0))
    assert torch.equal(other.used, scan.used)
    means = [gaussians(s, atlas_of(labels)).means for s in (scan, other)]
    assert means[0].argsort().tolist() == means[1].argsort(descending=True).tolist() == [0, 1, 2]


def test_brains_are_bent_smoothly_by_what_was_asked_and_the_seed_alone():
    # an image of its own places says how far each voxel moved, but for the affine part
    z, y, x = (a.astype(np.float32) + 1 for a in np.mgrid[:SIZE, :SIZE, :SIZE])
    away = []
    for image in (z, y, x):
        scan = scan_of(np.ones(z.shape, np.uint8), image)
        bent = [varied(scan, AmortisedOptions(jitter=0.0, bent=0.8),
                       torch.Generator().manual_seed(4)) for _ in range(2)]
        assert torch.equal(bent[0].image, bent[1].image)
        away.append((bent[0].image[0].numpy() - image)[5:-5, 5:-5, 5:-5])
    moved = np.stack(away)
    assert 0.3 < moved.std() < 0.8  # knots' deviation, less between them
    assert max(np.abs(np.diff(moved, axis=axis)).max() for axis in (1, 2, 3)) < 0.8


def volume_of(labels, image, spacing=4.0, origin=(5.0, -30.0, 12.0)):
    return BrainVolume(100 * image, labels > 0, labels, Geometry((spacing,) * 3, origin,
                                                                 (1, 0, 0, 0, 1, 0, 0, 0, 1)))


def atlas_file(labels):
    maps = atlas_of(labels)[0, :3].numpy()
    return Atlas(maps, np.ones(labels.shape, np.float32), np.diag([4.0, 4.0, 4.0, 1.0]), "balls",
                 cases=("a", "b"), sulci_are_grey=True)


def coarse_atlas(labels):
    return CoarseAtlas.of(atlas_file(labels), 4.0)


def test_moments_find_a_shift_and_a_stretch():
    stretch, shift = np.array([0.8, 1.0, 1.1]), np.array([1.0, 0.5, -1.0])
    volume = volume_of(*blob(shift=shift, stretch=stretch))
    atlas = coarse_atlas(blob()[0])
    to = by_moments(atlas, volume)
    assert np.allclose(np.diag(to)[:3], stretch, atol=0.03)
    middle = np.append(4 * (SIZE - 1) / 2 * np.ones(3), 1)  # the atlas' middle, mm
    place = np.linalg.inv(volume.affine) @ to @ middle
    assert np.allclose(place[:3], (SIZE - 1) / 2 + shift, atol=0.15)


def test_a_brain_on_the_atlas_grid_lies_under_the_atlas():
    labels, image = blob(shift=(2, -1, 1), stretch=(0.9, 1.0, 1.05))
    atlas = coarse_atlas(blob()[0])
    laid = Laid.of(volume_of(labels, image), atlas)
    brain = atlas.probabilities[:3].sum(0) > 0.5
    mask = laid.scan.mask[0].numpy()
    assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.95
    assert np.allclose(atlas.probabilities.sum(0), 1, atol=1e-5)
    inner = laid.scan.image[0].numpy()[atlas.probabilities[2] > 0.99]
    assert np.allclose(np.median(inner), 0.93, atol=0.06)


def test_thinned_voxels_are_means_of_blocks_and_lie_in_their_middle():
    affine = np.diag([1.0, 1.5, 0.9, 1.0])
    affine[:3, 3] = 5, -3, 2

    def ramp(shape, grid):  # linear in mm, so that a block's mean is its middle's value
        at = np.moveaxis(np.indices(shape), 0, -1) @ grid[:3, :3].T + grid[:3, 3]
        return at @ [0.3, -0.2, 0.5]
    image = ramp((9, 7, 11), affine)
    thin, grid = thinned(image, affine, 2.0)
    assert thin.shape == (5, 7, 6)
    assert np.allclose(thin[:4, :, :5], ramp((4, 7, 5), grid), atol=1e-5)
    assert 4 * thin.sum() == pytest.approx(image.sum(), rel=1e-5)


def test_training_without_labels_moves_the_atlas_onto_the_brain():
    atlas = coarse_atlas(blob()[0])
    # grey and white matter lie off the middle, which moments of the mask cannot see
    volumes = []
    for seed in range(3):
        outer, _ = blob()
        inner, _ = blob(shift=(2.0, 0, 0))
        labels = np.where(outer == 0, 0, np.where(inner == 0, 1, inner)).astype(np.uint8)
        level = np.array([0, 0.35, 0.7, 1.0])[labels]
        noise = 0.05 * np.random.default_rng(seed).standard_normal(labels.shape)
        volumes.append(volume_of(labels, np.where(labels > 0, level + noise, 0)
                                 .clip(0).astype(np.float32)))
    settings = AmortisedSettings(widths=(4, 8), smoothness=0.3, jitter=0.0, bent=0.0, steps=25,
                                 batch=1, learning_rate=2e-2)
    network = fit(volumes[:2], atlas, settings)
    laid = Laid.of(volumes[2], atlas)
    a, options = floored(atlas.tensor), settings.options
    with torch.no_grad():
        v = network(laid.scan.image, laid.scan.mask, a)
        still, moved = (float(loss_of(laid.scan, a, field, options))
                        for field in (torch.zeros_like(v), v))
        white = warped(a, moved_by(v, a.shape[2:], 6))[0, 2]
    assert moved < still - 0.05
    # the atlas' white matter has followed, 2 voxels down the first axis
    places = torch.arange(white.shape[0], dtype=torch.float32)

    def centre(of):
        return float((of.sum((1, 2)) * places).sum() / of.sum())
    assert centre(white) - centre(a[0, 2]) > 1.0


def test_the_same_seed_trains_the_same_network():
    volumes = [volume_of(*blob(seed=seed)) for seed in range(2)]
    settings = AmortisedSettings(widths=(4, 8), steps=2)
    one, two = (fit(volumes, coarse_atlas(blob()[0]), settings) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters()))


def test_a_dark_brain_is_refused():
    labels, image = blob()
    volume = volume_of(labels, -image)
    with pytest.raises(InputError, match="positive"):
        Laid.of(volume, coarse_atlas(labels))


def ibsr_folder(root, count):
    for number in range(1, count + 1):
        folder = root / f"IBSR_{number:02}"
        folder.mkdir(parents=True)
        labels, image = blob(seed=number, shift=(0.3 * number, 0, 0))
        for name, values in ((folder.name, 100 * image), (folder.name + "_seg", labels)):
            file = sitk.GetImageFromArray(values)
            file.SetSpacing((4.0, 4.0, 4.0))
            sitk.WriteImage(file, str(folder / f"{name}.nii.gz"))
    return root


def test_from_a_folder_to_a_network_to_labels(tmp_path):
    folder = ibsr_folder(tmp_path / "cases", 2)
    atlas = atlas_file(blob()[0])
    settings = AmortisedSettings(widths=(4, 8), steps=2, batch=1)
    card = train(folder, tmp_path / "net", amortised=settings, atlas=atlas)
    assert (card.learning, card.labelled_cases.atlas) == (Learning.PRIORS, 2)
    network, again = load_brain_network(tmp_path / "net")
    assert again == card
    volume = volume_of(*blob(shift=(-0.5, 0.5, 0), seed=9))
    plain = segment_by_network(volume, network, card, atlas=atlas)
    truth = volume.labels
    for tissue, least in ((3, 0.9), (2, 0.85), (1, 0.85)):
        ours = plain.labels == tissue
        both = (ours & (truth == tissue)).sum()
        assert 2 * both / (ours.sum() + (truth == tissue).sum()) > least
    assert np.allclose(plain.posteriors.sum(0), volume.mask, atol=1e-5)
    assert "2 labelled cases in the atlas" in plain.supervised
    assert plain.least_jacobian > 0.5 and plain.folded == 0
    # the parts of its time, none of them counted twice
    parts = [value for part, value in plain.seconds.items() if part != "all"]
    assert len(parts) == 4 and sum(parts) <= plain.seconds["all"] + 0.03
    # a pass moved by steps explains the image no worse
    laid, one = passed(volume, CoarseAtlas.of(atlas, 4.0), network, settings)
    _, more = passed(volume, CoarseAtlas.of(atlas, 4.0), network, settings, steps=10)
    a = floored(CoarseAtlas.of(atlas, 4.0).tensor)
    before, after = (float(loss_of(laid.scan, a, p.velocity, settings.options))
                     for p in (one, more))
    assert after < before
    seen = read_case(brain_cases(folder)[0])
    said = segment_by_network(seen, network, card, atlas=atlas).warnings
    assert any("flatter" in w for w in said)
    with pytest.raises(InputError, match="give the atlas"):
        segment_by_network(volume, network, card)
    with pytest.raises(InputError, match="another atlas"):
        segment_by_network(volume, network, card, atlas=atlas_file(blob(shift=(1, 0, 0))[0]))
