"""The border of grey and white matter under a local field; what is settled by anatomy."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from deepgmm.brain.atlas import Atlas, mni_atlas  # noqa: E402
from deepgmm.brain.atlas_choice import fingerprint  # noqa: E402
from deepgmm.brain.halfway import divided, local_levels, split  # noqa: E402
from deepgmm.brain.phantom import make_brain  # noqa: E402
from deepgmm.brain.result import BrainResult  # noqa: E402
from deepgmm.brain.scene import BrainSettings, Scene  # noqa: E402
from deepgmm.brain.scores import agreement  # noqa: E402
from deepgmm.brain.segmenting import segment_brain  # noqa: E402
from deepgmm.brain.tissues import BrainTissue  # noqa: E402
from deepgmm.brain.volumes import BrainVolume  # noqa: E402
from deepgmm.errors import InputError  # noqa: E402
from deepgmm.model.tissue_mixture import TissueMixture  # noqa: E402
from deepgmm.study.study import Geometry  # noqa: E402

GREY, WHITE = 60.0, 90.0
SHAPE, SPACING = (24, 60, 60), (3.0, 2.0, 2.0)

needs_nilearn = pytest.mark.skipif(find_spec("nilearn") is None, reason="nilearn is not installed")


def shaded(noise=0.0, low=GREY, high=WHITE):
    """Layers of two tissues under a shading of 20 % that no polynomial of degree three is."""
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING)), indexing="ij")
    white = (x // 8 + y // 8) % 2 == 1
    field = 1 + 0.2 * np.sin(x / 20) * np.cos(y / 20)
    image = np.where(white, high, low) * field
    image = image + noise * np.random.default_rng(3).standard_normal(SHAPE)
    volume = BrainVolume(image.astype(np.float32), np.ones(SHAPE, bool),
                         geometry=Geometry(SPACING[::-1]))
    return Scene.of(volume, BrainSettings()), white.ravel(), field.ravel()


def mixture_of(low, high, csf, scale):
    means = torch.tensor([csf, low, high], dtype=torch.float64) / scale
    return TissueMixture(means, torch.full((3,), (6.0 / scale) ** 2, dtype=torch.float64),
                         torch.ones(3, dtype=torch.float64), torch.arange(3))


@pytest.mark.parametrize(("low", "high"), [(GREY, WHITE), (WHITE, GREY)])
def test_a_local_shading_is_found_whichever_is_bright(low, high):
    scene, white, field = shaded(low=low, high=high)
    levels, found = local_levels(scene, scene.ones, low / scene.scale, high / scene.scale)
    assert np.corrcoef(np.log(found), np.log(field))[0, 1] > 0.93
    plain = (scene.values.numpy() * scene.scale - low) / (high - low)
    assert ((levels > 0.5) != white).mean() < 0.25 * ((plain > 0.5) != white).mean()


def test_with_nothing_to_see_the_field_stays_at_one():
    scene, _, _ = shaded()
    nowhere = np.zeros(len(scene.values))
    _, found = local_levels(scene, scene.ones, GREY / scene.scale, WHITE / scene.scale, nowhere)
    assert np.allclose(found, 1)


def test_csf_stays_and_the_rest_is_divided_half_way():
    posterior = torch.tensor([[0.2, 0.7, 0.1], [0.6, 0.4, 0.0], [0.0, 0.1, 0.9], [0.1, 0.3, 0.6]])
    levels = np.array([0.5, 0.9, 0.1, 0.9], np.float32)
    measured = torch.tensor([True, True, True, False])
    result = split(posterior, levels, 0.1, measured)
    assert torch.allclose(result.sum(1), torch.ones(4)) and torch.equal(result[:, 0],
                                                                        posterior[:, 0])
    assert float(result[0, 1]) == pytest.approx(0.4) and result[1, 2] > result[1, 1]
    assert result[2, 1] > result[2, 2] and torch.equal(result[3], posterior[3])
    # log odds of level .6 with variance .1 are 1
    assert float(split(posterior[:1], levels[:1] + 0.1, 0.1, measured[:1])[0, 2]) == pytest.approx(
        0.8 / (1 + np.exp(-1.0)))


def test_what_is_settled_is_so_at_any_level():
    posterior = torch.tensor([[0.1, 0.0, 0.9], [0.1, 0.9, 0.0]])
    known = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    result = split(posterior, np.array([1.2, -0.2], np.float32), 0.1,
                   torch.tensor([True, True]), torch.tensor([5.0, -5.0]), known)
    assert torch.allclose(result, torch.tensor([[0.1, 0.9, 0.0], [0.1, 0.0, 0.9]]))


def test_where_csf_lies_beyond_white_matter_all_stays():
    scene, _, _ = shaded(noise=4.0)
    posterior = torch.softmax(torch.randn(len(scene.values), 3,
                                          generator=torch.Generator().manual_seed(0)), 1)
    apart = mixture_of(GREY, WHITE, 130.0, scene.scale)
    same, b = divided(scene, posterior, scene.ones, apart, (0, 1, 2))
    assert torch.equal(same, posterior) and torch.equal(b, scene.ones)
    usual = mixture_of(GREY, WHITE, 20.0, scene.scale)
    other, b = divided(scene, posterior, scene.ones, usual, (0, 1, 2))
    assert torch.equal(other[:, 0], posterior[:, 0]) and not torch.equal(other, posterior)
    assert float(b.mean()) == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module")
def atlas():
    return mni_atlas()


@needs_nilearn
def test_nuclei_are_grey_and_the_stem_white_on_either_side(atlas):

    def at(x, y, z):
        place = np.linalg.inv(atlas.affine) @ [z, -y, x, 1]
        return atlas.settled[(slice(None), *np.round(place).astype(int)[:3])]

    for side in (-1, 1):
        for x, y, z in ((11, -18, 8), (20, -4, -1), (27, 2, 2)):  # thalamus, pallidum, putamen
            assert at(side * x, y, z)[0] > 0.8
        # internal capsule, centrum semiovale and a gyrus are left to the image
        for x, y, z in ((24, -14, 30), (18, 8, 8), (36, -22, 56)):
            assert at(side * x, y, z).sum() < 0.5
    assert at(0, -26, -34)[1] > 0.9 and at(0, -40, -52)[1] > 0.9
    assert atlas.settled.sum(0).max() < 1.001


def test_what_is_settled_comes_back_from_a_file_and_is_checked(tmp_path):
    shares = np.zeros((3, 8, 8, 8), np.float32)
    shares[:, 1:7, 1:7, 1:7] = np.array([0.2, 0.5, 0.3])[:, None, None, None]
    known = np.zeros((2, 8, 8, 8), np.float32)
    known[0, 3:5, 3:5, 3:5], known[1, 5, 5, 5] = 1, 0.5
    atlas = Atlas(shares, np.ones((8, 8, 8), np.float32), np.eye(4), "small", settled=known)
    atlas.save(tmp_path / "small.npz")
    again = Atlas.load(tmp_path / "small.npz")
    assert np.array_equal(again.settled, known) and fingerprint(again) == fingerprint(atlas)
    assert fingerprint(replace(atlas, settled=None)) != fingerprint(atlas)
    for harmed in (known[:1], known[:, 1:], known * np.nan, known * 2):
        replace(atlas, settled=harmed).save(tmp_path / "harmed.npz")
        with pytest.raises(InputError, match="other arrays"):
            Atlas.load(tmp_path / "harmed.npz")


@pytest.fixture(scope="module")
def coarse():
    made = make_brain(1001, spacing=5.0)
    return replace(made.volume, labels=made.as_labelled)


def settled_in(atlas, found, volume):
    """(2, N) of the mask's voxels, what lies settled there."""
    from scipy.ndimage import map_coordinates

    onto = np.linalg.inv(atlas.affine) @ np.linalg.inv(found.to_image) @ volume.affine
    places = np.argwhere(volume.mask) @ onto[:3, :3].T + onto[:3, 3]
    return np.stack([map_coordinates(m, places.T, order=1) for m in atlas.settled])


@needs_nilearn
@pytest.mark.parametrize("settings", [BrainSettings(voxel=8.0),
                                      BrainSettings(degree=0, deform=False)])
def test_an_image_under_the_published_atlas(atlas, coarse, settings):
    found = segment_brain(coarse, atlas, settings)
    inside = coarse.mask
    scores = agreement(found.as_labelled, coarse.labels)
    assert scores[BrainTissue.WM].f1 > 0.74 and scores[BrainTissue.GM].f1 > 0.82
    assert ((found.labels > 0) == inside).all()
    assert np.allclose(found.posteriors.sum(0)[inside], 1, atol=1e-4)
    grey, white = settled_in(atlas, found, coarse) > 0.9
    assert grey.sum() > 100 and white.sum() > 60
    assert (found.labels[inside][grey] == BrainTissue.GM).mean() > 0.94
    assert (found.labels[inside][white] == BrainTissue.WM).mean() > 0.94
    if not settings.deform:  # by intensity alone most of these voxels are something else
        plain = segment_brain(coarse, replace(atlas, settled=None), settings)
        assert (plain.labels[inside][grey] == BrainTissue.GM).mean() < 0.8
    assert bool(np.ptp(found.field[inside])) is (settings.degree > 0)


def test_of_degree_nought_there_is_no_field_and_no_border_by_one(coarse):
    for degree in (0, 3):
        settings = BrainSettings(degree=degree)
        found = segment_brain(coarse, None, settings)
        result = BrainResult.of(coarse, found, settings, None)
        if degree:
            assert result.field is found.field
            assert np.ptp(found.field[coarse.mask]) > 0.05
        else:
            assert (found.field == 1).all() and result.field is None
