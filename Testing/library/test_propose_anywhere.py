"""The proposed LV mask: the same in any frame around the heart, as bright as ever, and in noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepgmm import propose_mask, read_images
from deepgmm.phantom import make_patient
from deepgmm.propose.canonical import (
    NARROWEST,
    QUIET,
    WIDEST,
    Frame,
    calmed,
    noise_of,
    without_air,
)
from deepgmm.reading.images.grids import image_of
from deepgmm.review.metrics import dice
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role


@pytest.fixture(scope="module")
def study():
    made = make_patient(104, slices=3).study
    return Study({Role.BSSFP: made.sequences[Role.BSSFP]}, made.mask, made.geometry)


@pytest.fixture(scope="module")
def plain(study):
    return propose_mask(study)


def with_values(study, way, mask=None):
    new = {role: Sequence(role, np.ascontiguousarray(way(s.values), np.float32), s.kind)
           for role, s in study.sequences.items()}
    return replace(study, sequences=new, mask=study.mask if mask is None else mask, warnings=[])


def test_as_bright_as_another_scanner_has_it(study, plain):
    for scale, offset in ((1e-3, -1.0), (50.0, 3e4)):
        found = propose_mask(with_values(study, lambda v: scale * v + offset))  # noqa: B023
        assert dice(found.mask, plain.mask) > 0.998
        assert np.abs(found.confidence - plain.confidence).max() < 0.01


def test_a_border_of_one_value_is_no_image(study, plain):
    wide = [(0, 0), (31, 9), (0, 44)]

    def padded(v):
        return np.pad(v, wide, constant_values=-7.0)
    large = with_values(study, padded, np.pad(study.mask, wide))
    found = propose_mask(large)
    inner = found.mask[:, 31:-9, :-44]
    assert inner.sum() == found.mask.sum() and dice(inner, plain.mask) > 0.99
    frame = Frame.around((40.0, 50.0), (2.0, 2.0))
    values = np.zeros((2, 60, 70), np.float32)
    values[1, 10:50, 20:70] = np.arange(40)[:, None] + np.arange(50)
    rows, columns = (np.flatnonzero(frame.sampled(values)[1].any(k)) for k in (1, 0))
    at = frame.to_image(np.array([[rows[0], columns[0]], [rows[-1], columns[-1]]]))
    assert (np.abs(at - [[10, 20], [49, 69]]) <= 0.6).all()
    assert frame.sampled(np.ones_like(values))[1].any(), "all of one value: nothing is a border"


def test_cut_anew_it_is_hardly_another_one(study, plain):
    rows, columns = (np.flatnonzero(study.mask.any((0, 3 - k))) for k in (1, 2))
    for around in ((28, 6, 12, 20), (5, 24, 28, 7)):
        box = (slice(None), slice(rows[0] - around[0], rows[-1] + around[1]),
               slice(columns[0] - around[2], columns[-1] + around[3]))
        found = propose_mask(with_values(study, lambda v: v[box], study.mask[box]))  # noqa: B023
        change = dice(found.mask, study.mask[box]) - dice(plain.mask, study.mask)
        assert abs(change) < 0.02


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.15])
def test_noise_is_measured_and_calmed_by_what_a_gaussian_takes(sigma):
    """Against the sigma that was drawn, of a range of 1; planes and edges are not taken for it."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:120, :130]
    clean = np.where(np.hypot(y - 60, x - 60) < 30, 1.0, (x / 400.0))
    seen = np.ones(clean.shape, bool)
    seen[:, 110:] = False
    assert noise_of(clean[None], seen) < 0.002
    images = (clean + sigma * rng.normal(size=(3, *clean.shape))).astype(np.float32)
    span = np.ptp(np.percentile(images[0][seen], [2, 98]))
    assert noise_of(images, seen) == pytest.approx(sigma / span, rel=0.1)
    assert noise_of(250 * images - 3000, seen) == pytest.approx(sigma / span, rel=0.1)
    found = calmed(images, seen)
    if sigma < QUIET:
        assert found is images
        return
    left = (found - clean)[:, 96:116, 10:100].std()  # far from the edge
    width = min(sigma / span / QUIET / (2 * np.sqrt(np.pi)), WIDEST)
    less = 2 * np.sqrt(np.pi) * width if width >= NARROWEST else 1.0
    assert left == pytest.approx(sigma / less, rel=0.15)
    images[0, 3, 3] = np.nan
    assert calmed(images, seen) is images


def test_any_frame_of_a_cine_and_any_order_of_a_files_axes(study, plain, tmp_path):
    """Frames that breathe: the second holds the heart smaller; the file has its slices first."""
    import SimpleITK as sitk
    from scipy.ndimage import zoom

    values = study.sequences[Role.BSSFP].values
    small = np.stack([zoom(v, 0.85, order=1) for v in values])
    held = np.stack([zoom(m.astype(float), 0.85, order=1) > 0.5 for m in study.mask])
    ends = [(0, n - m) for n, m in zip(values.shape, small.shape)]
    frames = np.stack([values, np.pad(small, ends, mode="edge")])
    place = replace(study.geometry, direction=(0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0))
    sitk.WriteImage(image_of(frames.astype(np.float32), place), str(tmp_path / "cine.nii.gz"))
    for phase, true in ((0, study.mask), (1, np.pad(held, ends))):
        found = propose_mask(read_images(bssfp=tmp_path / "cine.nii.gz", phase=phase))
        assert dice(found.mask, true) > 0.93
    turned = sitk.PermuteAxes(image_of(values, place), (2, 0, 1))
    sitk.WriteImage(turned, str(tmp_path / "turned.nii.gz"))
    read = read_images(bssfp=tmp_path / "turned.nii.gz")
    assert read.geometry.spacing == pytest.approx(study.geometry.spacing)
    assert dice(propose_mask(read).mask, plain.mask) > 0.995


def test_geometry_is_square_or_not(study, plain):
    """Every second row left out: pixels twice as long as wide."""
    place = study.geometry.spacing
    one = with_values(study, lambda v: (v[:, :-1:2] + v[:, 1::2]) / 2, study.mask[:, :-1:2])
    one = replace(one, geometry=Geometry((place[0], 2 * place[1], place[2])))
    assert dice(propose_mask(one).mask, one.mask) > 0.93


def test_air_by_which_brightness_would_be_judged_is_none():
    """A Rician noise all around; where a heart is cut out closely the network took it for one."""
    study = make_patient(3, slices=3).study
    rng = np.random.default_rng(0)
    values = study.sequences[Role.LGE].values
    values = values - values.min()
    assert without_air(values) is values
    wide = [(0, 0), *((n, n) for n in values.shape[1:])]
    noise = 0.02 * values.max() * np.hypot(*rng.normal(size=(2, *np.pad(values, wide).shape)))
    around = np.pad(np.ones(values.shape, bool), wide)
    bare = without_air(np.where(around, np.pad(values, wide), noise))
    kept = np.pad(study.mask, wide)
    assert (bare[kept] == values[study.mask]).all()
    assert np.ptp(bare[:, :, :values.shape[2] // 2]) == 0 and np.ptp(bare[:, -9:]) == 0
