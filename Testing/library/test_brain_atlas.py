"""Atlases of labelled brains, and brains segmented with one and with none, on phantoms."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("torch")

from deepgmm import InputError  # noqa: E402
from deepgmm.brain.atlas import Atlas, make_atlas, mni_atlas  # noqa: E402
from deepgmm.brain.phantom import make_brain  # noqa: E402
from deepgmm.brain.registering import affine_to  # noqa: E402
from deepgmm.brain.scene import BrainSettings  # noqa: E402
from deepgmm.brain.scores import agreement  # noqa: E402
from deepgmm.brain.segmenting import segment_brain  # noqa: E402
from deepgmm.brain.tissues import TISSUES, BrainTissue  # noqa: E402

SPACING, VOXEL = 3.0, 6.0


drawn = cache(partial(make_brain, spacing=SPACING))


def labelled(seed, **how):
    made = drawn(seed, **how)
    return replace(made.volume, labels=made.as_labelled, warnings=[], hashes={})


@pytest.fixture(scope="module")
def atlas():
    return make_atlas([labelled(s) for s in range(300, 303)], rounds=1)


@pytest.fixture(scope="module")
def brain():
    return labelled(1000)


@pytest.fixture(scope="module")
def found(atlas, brain):
    return segment_brain(brain, atlas, BrainSettings(voxel=VOXEL))


@pytest.fixture(scope="module")
def laid(atlas, brain):
    return segment_brain(brain, atlas, BrainSettings(deform=False))


@pytest.fixture(scope="module")
def alone(brain):
    return segment_brain(brain, None, BrainSettings(deform=False))


@pytest.fixture(scope="module")
def plain(atlas, brain):
    """Affine and deformed, by an atlas that has not counted intensities."""
    uncounted = replace(atlas, intensities=None)
    return [segment_brain(brain, uncounted, settings)
            for settings in (BrainSettings(deform=False), BrainSettings(voxel=VOXEL))]


def f1(labels, volume):
    return {t: a.f1 for t, a in agreement(labels, volume.labels).items()}


def test_an_atlas_is_made_of_shares_and_knows_whose(atlas):
    total = atlas.whole.sum(0)
    assert np.abs(total - 1).max() < 1e-3 and atlas.probabilities.min() >= 0
    assert atlas.sulci_are_grey and atlas.labelled == 3
    with pytest.raises(InputError, match="made of case phantom-300"):
        atlas.may_score(labelled(300))
    atlas.may_score(labelled(1000))
    known = replace(atlas, hashes=("abc",))
    copy = labelled(1000)
    copy.hashes["image"] = "abc"
    with pytest.raises(InputError, match="says nothing"):
        known.may_score(copy)


def test_an_atlas_comes_back_from_its_file(atlas, tmp_path):
    atlas.save(tmp_path / "a.npz")
    back = Atlas.load(tmp_path / "a.npz")
    assert np.abs(back.probabilities - atlas.probabilities).max() < 1e-3
    assert (back.cases, back.sulci_are_grey) == (atlas.cases, True)
    assert np.array_equal(back.affine, atlas.affine)
    np.savez(tmp_path / "b.npz", probabilities=np.zeros(3))
    with pytest.raises(InputError, match="is none"):
        Atlas.load(tmp_path / "b.npz")


@pytest.mark.parametrize("harm", [
    {"affine": np.full((4, 4), np.nan)}, {"affine": np.zeros((4, 4))},
    {"probabilities": lambda p: p - 1}, {"probabilities": lambda p: 50 * p},
    {"ventricles": lambda v: v * np.nan}])
def test_an_atlas_of_other_numbers_is_refused(atlas, tmp_path, harm):
    changed = {key: how(getattr(atlas, key)) if callable(how) else how
               for key, how in harm.items()}
    replace(atlas, **changed).save(tmp_path / "harmed.npz")
    with pytest.raises(InputError, match="other arrays"):
        Atlas.load(tmp_path / "harmed.npz")


@pytest.mark.parametrize("with_atlas", [False, True])
@pytest.mark.parametrize(("many", "hot"), [(1, 1e7), (30, 2000.0)])
def test_a_few_hot_voxels_change_hardly_any_label(brain, atlas, laid, alone, with_atlas, many, hot):
    settings = BrainSettings(deform=False)
    given, plain = (atlas, laid) if with_atlas else (None, alone)
    image = brain.image.copy()
    at = np.random.default_rng(0).choice(np.flatnonzero(brain.mask), many, replace=False)
    image.ravel()[at] = hot
    spiked = segment_brain(replace(brain, image=image), given, settings)
    assert (spiked.labels == plain.labels)[brain.mask].mean() > 0.99
    assert any("far beyond" in w for w in spiked.warnings)
    assert not any("far beyond" in w for w in plain.warnings)


def test_what_no_atlas_can_be_made_of(atlas):
    one = labelled(300)
    with pytest.raises(InputError, match="two labelled cases"):
        make_atlas([one])
    with pytest.raises(InputError, match="one name"):
        make_atlas([one, one])
    with pytest.raises(InputError, match="one image under two names"):
        make_atlas([replace(one, name=name, hashes={"image": "a" * 64}) for name in "ab"])
    with pytest.raises(InputError, match="no labels"):
        make_atlas([one, replace(labelled(301), labels=None)])


def test_the_affine_map_finds_where_a_brain_was_put(atlas):
    """The map of a shifted and stretched grid is the first map, shifted and stretched."""
    brain = labelled(1001)
    first = affine_to(atlas.probabilities, atlas.affine, brain.image, brain.mask, brain.affine)
    moved = np.diag([1.1, 0.95, 1.0, 1.0])
    moved[:3, 3] = (12, -7, 30)
    other = affine_to(atlas.probabilities, atlas.affine, brain.image, brain.mask,
                      moved @ brain.affine)
    corners = np.array([[z, y, x, 1] for z in (-40, 40) for y in (-50, 50) for x in (-40, 40)])
    apart = corners @ (moved @ first).T - corners @ other.T
    assert np.sqrt((apart**2).sum(1)).max() < 4.0


def test_the_deformed_atlas_tells_white_matter_and_ventricles(found, plain, brain):
    affine, deformed = (f1(result.as_labelled, brain) for result in plain)
    assert deformed[BrainTissue.WM] > max(0.86, affine[BrainTissue.WM])
    # of the few pixels of this CSF the last thousandths differ between processors
    assert deformed[BrainTissue.CSF] > max(0.7, affine[BrainTissue.CSF] - 0.005)
    assert f1(found.as_labelled, brain)[BrainTissue.CSF] > deformed[BrainTissue.CSF]
    assert found.folded == 0 and found.least_jacobian > 0
    assert found.objective[-1] < found.objective[0]


@pytest.mark.parametrize("contrast", ["T2", "inverted"])
def test_with_the_deformed_atlas_too_no_contrast_loses_more(found, brain, atlas, contrast):
    other = segment_brain(labelled(1000, contrast=contrast), atlas, BrainSettings(voxel=VOXEL))
    scores, plain = f1(other.as_labelled, brain), f1(found.as_labelled, brain)
    for tissue in (BrainTissue.GM, BrainTissue.WM):
        assert plain[tissue] - scores[tissue] < 0.02


def test_a_deformation_that_folds_is_found_and_warned_of(found, atlas, brain):
    free = segment_brain(brain, atlas, BrainSettings(voxel=VOXEL, smoothness=1e-4))
    assert free.least_jacobian < found.least_jacobian
    assert free.folded > 0 and any("folds" in w for w in free.warnings)
    assert not any("folds" in w for w in found.warnings)


def test_what_comes_back_fits_together(found, brain):
    inside = brain.mask
    assert np.allclose(found.posteriors.sum(0)[inside], 1, atol=1e-4)
    assert (found.posteriors[:, ~inside] == 0).all() and (found.field[~inside] == 1).all()
    assert ((found.labels > 0) == inside).all()
    assert np.array_equal(found.ventricles, found.as_labelled == BrainTissue.CSF)
    assert np.array_equal(found.labels[inside], found.posteriors[:, inside].argmax(0) + 1)
    assert "3 labelled cases in the atlas" in found.supervised


def test_the_same_twice_and_of_every_seed(laid, alone, brain, atlas):
    affine = BrainSettings(deform=False)
    again = segment_brain(brain, atlas, replace(affine, seed=1))
    assert np.array_equal(again.labels, laid.labels)
    assert np.array_equal(again.posteriors, laid.posteriors)
    other = segment_brain(brain, None, replace(affine, seed=1))
    assert np.array_equal(other.labels, alone.labels)


@pytest.mark.parametrize("contrast", ["T1", "T2", "inverted"])
def test_a_contrast_said_wrongly_is_noticed(contrast):
    volume = labelled(1000, contrast=contrast)
    for dark_first in (True, False):
        found = segment_brain(volume, None, BrainSettings(dark_first=dark_first))
        said = any("--contrast" in w for w in found.warnings)
        assert said is (dark_first is not (contrast == "T1"))


@pytest.mark.parametrize("contrast", ["T2", "inverted"])
def test_with_an_atlas_no_contrast_loses_more_than_two_points(laid, brain, atlas, contrast):
    other = labelled(1000, contrast=contrast)
    settings = BrainSettings(deform=False)
    scores, plain = (f1(r.as_labelled, brain) for r in (segment_brain(other, atlas, settings),
                                                        laid))
    for tissue in (BrainTissue.GM, BrainTissue.WM):
        assert plain[tissue] - scores[tissue] < 0.02


@pytest.mark.parametrize("way", ["affine", "deformed", "alone"])
def test_zeros_in_the_mask_change_hardly_any_other_label(brain, atlas, laid, found, alone, way):
    holes = brain.mask & (np.random.default_rng(5).random(brain.image.shape) < 0.01)
    spoiled = replace(brain, image=np.where(holes, np.float32(0), brain.image), warnings=[])
    clean = {"affine": laid, "deformed": found, "alone": alone}[way]
    other = segment_brain(spoiled, None if way == "alone" else atlas,
                          BrainSettings(voxel=VOXEL, deform=way == "deformed"))
    rest = brain.mask & ~holes
    assert (clean.labels != other.labels)[rest].mean() < 0.005
    assert (other.labels[holes] > 0).all()
    assert any("not measured" in w for w in other.warnings)


def test_without_an_atlas_it_beats_scikit_learns_mixture():
    mixture = pytest.importorskip("sklearn.mixture")
    gained = []
    for seed in (1000, 1001):
        brain = labelled(seed)
        values = brain.image[brain.mask][:, None]
        theirs = mixture.GaussianMixture(3, random_state=0).fit(values)
        order = np.argsort(np.argsort(theirs.means_[:, 0]))
        labels = np.zeros(brain.mask.shape, np.uint8)
        labels[brain.mask] = order[theirs.predict(values)] + 1
        ours, others = f1(segment_brain(brain).labels, brain), f1(labels, brain)
        gained.append([ours[t] - others[t] for t in TISSUES[1:]])
    assert (np.mean(gained, 0) > 0).all()


def test_without_an_atlas_dark_and_bright_are_told():
    brain = labelled(1000, contrast="inverted")
    labels = segment_brain(brain, None, BrainSettings(dark_first=False)).labels
    assert f1(labels, brain)[BrainTissue.WM] > 0.8


def test_a_mask_of_nothing_measured_is_refused(brain):
    with pytest.raises(InputError, match="hardly any voxel"):
        segment_brain(replace(brain, image=np.zeros_like(brain.image), warnings=[]))


@pytest.mark.skipif(find_spec("nilearn") is None, reason="nilearn is not installed")
def test_the_mni_maps_are_read_without_importing_nilearn():
    import sys

    before = "nilearn" in sys.modules
    atlas = mni_atlas()
    assert ("nilearn" in sys.modules) is before
    assert not atlas.sulci_are_grey and atlas.labelled == 0
    litres = atlas.probabilities.sum((1, 2, 3)) * 8e-6
    assert 0.2 < litres[0] < 0.5 and 0.7 < litres[1] < 1.0 and 0.5 < litres[2] < 0.8
    # left and right lateral ventricles, at (-12 or 12, -10, 24) in MNI coordinates
    for x in (-12, 12):
        at = np.round(np.linalg.inv(atlas.affine) @ [24, 10, x, 1]).astype(int)[:3]
        assert atlas.classes[0][tuple(at)] > 0.5


def test_intensities_by_place_bring_every_tissue_nearer(laid, found, plain, brain):
    for counting, uncounted in zip((laid, found), plain):
        with_them, without = f1(counting.as_labelled, brain), f1(uncounted.as_labelled, brain)
        for tissue in TISSUES:
            assert with_them[tissue] > without[tissue]


def test_a_contrast_that_the_atlas_has_not_seen_is_said(atlas, brain):
    """CSF between grey and white, as no image of the atlas has it."""
    made = drawn(1000)
    levels = np.array([0, 160, 60, 100], np.float32)  # CSF beyond white matter
    image = levels[made.as_labelled] + brain.image * np.float32(0.02)
    strange = replace(brain, image=np.where(brain.mask, image, 0), warnings=[])
    found = segment_brain(strange, atlas, BrainSettings(deform=False))
    assert any("intensities were not used" in w for w in found.warnings)
