"""Intensities of each tissue by place: closed forms, files, and what they bring on phantoms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from deepgmm import InputError  # noqa: E402
from deepgmm.brain.atlas import Atlas  # noqa: E402
from deepgmm.brain.intensities import (  # noqa: E402
    _BLUNT,
    _KAPPA,
    _WIDE,
    BINS,
    HIGHEST,
    LOWEST,
    Levelled,
    LocalIntensities,
    counted,
)

CENTRES = np.linspace(LOWEST, HIGHEST, BINS)


@pytest.fixture(scope="module")
def made() -> LocalIntensities:
    """Grey matter at 0 on one side and at 0.6 on the other, white at 1, CSF at -1, of 200 mm^3."""
    places = np.stack(np.meshgrid(*[np.arange(0.0, 40.0, 2)] * 3, indexing="ij"), -1)
    places = places.reshape(-1, 3).astype(np.float32)
    tissues = np.arange(len(places)) % 4 - 1  # -1: nobody says
    levels = np.array([9.0, -1.0, 0.0, 1.0])[tissues + 1]
    levels[(tissues == 1) & (places[:, 0] > 20)] = 0.6
    case = Levelled(levels.astype(np.float32), places, tissues, 200.0)
    return counted([case, case], (40, 40, 40), np.eye(4))


def test_what_is_counted_is_the_volume_of_each_tissue(made):
    assert made.sound
    assert made.counts.sum((1, 2, 3, 4)) == pytest.approx([2 * 200 * 2000] * 3)
    assert made.counts[0].sum((1, 2, 3))[np.argmin(abs(CENTRES + 1))] == pytest.approx(800_000)


def test_densities_sum_to_one_everywhere_and_follow_the_place(made):
    for place in ([2, 20, 20], [38, 20, 20], [500, 500, 500]):
        at = np.tile(np.float32(place), (BINS, 1))
        assert made.densities(CENTRES, at).sum(0) == pytest.approx(np.ones(3), abs=1e-3)
    low, high = (made.densities(np.array([0.0, 0.6]), np.tile(np.float32(p), (2, 1)))[:, 1]
                 for p in ([4, 20, 20], [36, 20, 20]))
    assert low[0] > 10 * low[1] and high[1] > 10 * high[0]


@pytest.mark.parametrize("threads", [1, 3])
def test_densities_are_those_of_scipys_interpolation_over_four_axes(made, threads):
    import torch
    from scipy.ndimage import gaussian_filter, map_coordinates

    rng = np.random.default_rng(0)
    levels = rng.normal(0, 1.2, 501).astype(np.float32)
    places = rng.uniform(-3, 45, (501, 3)).astype(np.float32)
    at = (places + [-made.affine[i, 3] for i in range(3)]) / np.diag(made.affine)[:3]
    bins = (levels.clip(LOWEST, HIGHEST) - LOWEST) / (HIGHEST - LOWEST) * (BINS - 1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = made.densities(levels, places)
    finally:
        torch.set_num_threads(before)
    for tissue, counts in enumerate(made.counts):
        local = gaussian_filter(counts, (_BLUNT, _WIDE, _WIDE, _WIDE), mode="nearest")
        pooled = local.sum((1, 2, 3))
        usual = np.interp(bins, np.arange(BINS), pooled / pooled.sum())
        seen = map_coordinates(local, [bins, *at.T], order=1, mode="nearest")
        whole = map_coordinates(local.sum(0), at.T, order=1, mode="nearest")
        wanted = (seen + _KAPPA * usual) / (whole + _KAPPA)
        assert found[:, tissue] == pytest.approx(np.maximum(wanted, 1e-6), rel=2e-3, abs=1e-5)


def test_where_nothing_was_seen_the_whole_brain_speaks(made):
    empty = replace(made, counts=made.counts.copy())
    empty.counts[1, :, -4:] = 0
    pooled = empty.counts[1].sum((1, 2, 3))
    far = empty.densities(CENTRES, np.tile(np.float32([39, 20, 20]), (BINS, 1)))[:, 1]
    assert (far * CENTRES).sum() == pytest.approx((pooled * CENTRES).sum() / pooled.sum(), abs=.02)


def test_what_lies_beyond_the_bins_counts_at_their_ends(made):
    at = np.zeros((2, 3), np.float32)
    assert np.array_equal(made.densities(np.array([-50.0, 50.0]), at),
                          made.densities(np.array([LOWEST, HIGHEST]), at))


def an_atlas(intensities: LocalIntensities | None) -> Atlas:
    tissues = np.zeros((3, 6, 6, 6), np.float32)
    tissues[1, 1:5, 1:5, 1:5] = 1
    return Atlas(tissues, np.ones((6, 6, 6), np.float32), np.eye(4), "small", ("a", "b"), (), True,
                 intensities)


def test_files_with_and_without_them_come_back(made, tmp_path):
    an_atlas(made).save(tmp_path / "new.npz")
    back = Atlas.load(tmp_path / "new.npz").intensities
    assert np.array_equal(back.counts, made.counts) and np.array_equal(back.affine, made.affine)
    an_atlas(None).save(tmp_path / "old.npz")
    assert "cells" not in np.load(tmp_path / "old.npz")
    assert Atlas.load(tmp_path / "old.npz").intensities is None


@pytest.mark.parametrize("harm", [
    {"counts": lambda c: -c}, {"counts": lambda c: c * np.nan}, {"counts": lambda c: c[:, :7]},
    {"counts": lambda c: c[:2]}, {"counts": lambda c: c * [[[[[0]]]], [[[[1]]]], [[[[1]]]]]},
    {"affine": lambda a: 0 * a}])
def test_harmed_ones_are_refused(made, tmp_path, harm):
    changed = {name: how(getattr(made, name)) for name, how in harm.items()}
    an_atlas(replace(made, **changed)).save(tmp_path / "harmed.npz")
    with pytest.raises(InputError, match="other arrays"):
        Atlas.load(tmp_path / "harmed.npz")
