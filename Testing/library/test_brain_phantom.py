"""Synthetic brains: what is in them, and that they are the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from deepgmm.brain.layouts import brain_cases, read_case
from deepgmm.brain.phantom import SIGNALS, Contrast, make_brain
from deepgmm.brain.phantom_files import write_ibsr
from deepgmm.brain.tissues import BrainTissue
from deepgmm.errors import InputError


@pytest.fixture(scope="module")
def made():
    return make_brain(3, spacing=2.5)


def test_same_seed_same_bytes_and_another_contrast_shows_the_same_brain(made):
    again = make_brain(3, spacing=2.5)
    other = make_brain(3, spacing=2.5, contrast="T2", bias=0.0)
    assert np.array_equal(made.volume.image, again.volume.image)
    assert np.array_equal(made.labels, other.labels)
    assert not np.array_equal(make_brain(4, spacing=2.5).labels, made.labels)


def test_sizes_are_those_of_a_head(made):
    volume = made.volume
    inside = volume.mask.sum() * volume.voxel_volume
    shares = made.shares[:, volume.mask].mean(axis=1)
    assert 1000 < inside < 1700
    assert 0.02 < shares[0] < 0.12 and 0.5 < shares[1] < 0.7 and 0.28 < shares[2] < 0.42
    assert 8 < made.ventricles.sum() * volume.voxel_volume < 50
    assert np.allclose(made.shares.sum(0), volume.mask, atol=1e-5)


def test_white_matter_and_mask_are_in_one_piece_and_both_hemispheres_have_ventricles(made):
    for what, least in ((made.volume.mask, 0.999), (made.labels == BrainTissue.WM, 0.9)):
        pieces, count = ndimage.label(what)
        assert np.bincount(pieces.ravel())[1:].max() >= least * what.sum()
    left = made.ventricles[..., made.ventricles.shape[2] // 2:].sum()
    assert 0.35 < left / made.ventricles.sum() < 0.65


def test_the_cortex_lies_between_csf_and_white_matter(made):
    """Grey matter is a ribbon: nearly all of the white matter's outside is grey or ventricle."""
    white = made.labels == BrainTissue.WM
    beside = ndimage.binary_dilation(white) & ~white & made.volume.mask
    kinds = np.bincount(made.labels[beside & ~made.ventricles], minlength=4)
    assert kinds[BrainTissue.GM] > 0.95 * kinds.sum()


def test_the_image_is_shares_times_signals_times_field(made):
    clean = make_brain(3, spacing=2.5, noise=0.0)
    pure = clean.shares.max(0) > 0.999
    for k, signal in enumerate(SIGNALS[Contrast.T1]):
        here = pure & (clean.labels == k + 1)
        found = clean.volume.image[here] / clean.field[here] / 100
        # deep grey matter is whiter than the cortex
        assert np.median(found) == pytest.approx(signal, abs=1e-3)
    inside = np.log(clean.field[clean.volume.mask])
    assert abs(inside.mean()) < 1e-3 and 0.15 < np.ptp(np.quantile(inside, (0.02, 0.98))) < 0.25


def test_noise_is_what_was_asked_for():
    clean, noisy = (make_brain(3, spacing=2.5, bias=0, noise=n) for n in (0.0, 0.05))
    bright = clean.labels == BrainTissue.WM
    assert (noisy.volume.image - clean.volume.image)[bright].std() == pytest.approx(5, rel=0.03)


def test_zeros_are_inside_the_mask():
    made = make_brain(3, spacing=4, zeros=0.01)
    inside = made.volume.image[made.volume.mask]
    assert (inside == 0).mean() == pytest.approx(0.01, rel=0.3)


def test_variety_zero_is_the_usual_brain_but_for_its_folds():
    one, two = (make_brain(s, spacing=4, variety=0) for s in (1, 2))
    assert np.array_equal(one.volume.mask, two.volume.mask)
    both = (one.ventricles & two.ventricles).sum()
    assert both > 0.97 * max(one.ventricles.sum(), two.ventricles.sum())
    assert not np.array_equal(one.labels, two.labels)


def test_files_come_back_as_ibsr18(tmp_path, made):
    write_ibsr([made], tmp_path / "Training_Set")
    (case,) = brain_cases(tmp_path)
    volume = read_case(case)
    assert (case.layout, case.group) == ("IBSR18", "training")
    assert np.array_equal(volume.labels, made.as_labelled)
    assert np.array_equal(volume.image, made.volume.image)
    assert np.allclose(volume.affine, made.volume.affine, atol=1e-5)
    sulcal = (made.labels == BrainTissue.CSF) & ~made.ventricles
    assert sulcal.any() and (made.as_labelled[sulcal] == BrainTissue.GM).all()


@pytest.mark.parametrize("wrong", [{"contrast": "T3"}, {"spacing": 0.1}, {"spacing": float("nan")},
                                   {"spacing": 20.0}])
def test_what_cannot_be_drawn_is_said(wrong):
    with pytest.raises(InputError):
        make_brain(1, **wrong)


def test_two_of_one_seed_are_refused(tmp_path, made):
    with pytest.raises(InputError, match="same seed"):
        write_ibsr([made, made], tmp_path)
