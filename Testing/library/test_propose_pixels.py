"""The probability of each pixel being inside a proposed mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from deepgmm import propose_mask
from deepgmm.cli.main import main
from deepgmm.jobs.tasks import TASKS, correct_request, proposed
from deepgmm.phantom import make_patient
from deepgmm.progress import silent
from deepgmm.propose import probability
from deepgmm.propose.correcting import BorderPoint, corrected
from deepgmm.propose.probability import SCALE, probability_of
from deepgmm.propose.rings import ANGLES, Ring
from deepgmm.reading.images.grids import image_of
from deepgmm.study.words import Role

#: Rows and columns of a slice, mm of its pixels, and of a circle its (row, column) and radius.
SHAPE, SPACING, CENTRE, RADIUS = (90, 120), (1.5, 1.0), (66.2, 61.7), 30.0


def away():
    """Rows and columns from the circle's centre, mm."""
    return (np.arange(n).reshape(shape) * step - at for n, shape, step, at in zip(
        SHAPE, ((-1, 1), (1, -1)), SPACING, CENTRE))


def circle(radius=RADIUS):
    ring = Ring(np.array(CENTRE), np.full(ANGLES, radius), np.full(ANGLES, radius - 9))
    return ring, np.hypot(*away()) < radius


@pytest.mark.parametrize("radius", [26.0, 30.0, 36.3])
def test_it_is_wide_where_the_network_leaves_the_border_open_and_follows_the_outline(radius):
    """The network's answer is a logistic function of known scales, and the outline moved off it."""
    y, x = away()
    scale = np.where(x > 0, 2.0, 1.0)
    network = 1 / (1 + np.exp((np.hypot(y, x) - RADIUS) / scale))
    ring, mask = circle(radius)
    found = probability_of(network[None], mask[None], {0: ring}, (), SPACING)[0]
    assert ((found > 0.5) == mask).all() and not (found == 0.5).any()
    depth, middle = radius - np.hypot(y, x), np.abs(np.arctan2(y, x + 0 * y))
    near = (np.abs(depth) < 3) & (np.abs(depth) > 0.5)
    widths = [np.median(depth[near & part] / np.log(1 / found[near & part] - 1)) * -1
              for part in (middle < 0.8, middle > np.pi - 0.8)]
    for width, s in zip(widths, (2.0, 1.0)):
        assert width == pytest.approx(SCALE * s, rel=0.06)


def test_what_is_drawn_is_known_and_what_is_left_out_unlikely():
    ring, mask = circle()
    network = np.full((3, *SHAPE), 0.9)
    found = probability_of(network, np.stack([mask, mask, 0 * mask]), {0: ring, 1: ring}, [1],
                           SPACING)
    assert set(np.unique(found[1])) == {0.0, 1.0} and ((found[1] == 1) == mask).all()
    assert found[2].max() < 0.1 and 0 < np.median(found[0][mask]) < 1


@pytest.fixture(scope="module")
def patient():
    return make_patient(103, slices=3)


@pytest.fixture(scope="module")
def plain(patient):
    study = patient.study
    return propose_mask(replace(study, mask=np.zeros_like(study.mask)))


def test_it_says_what_is_inside_better_than_the_network_or_twice_as_wide(
        patient, plain, monkeypatch):
    from scipy.ndimage import distance_transform_edt as depth

    study = patient.study
    near = np.stack([depth(m) + depth(~m) < 7 for m in plain.mask])
    def loss(p):
        return -np.log(np.clip(np.where(study.mask, p, 1 - p), 1e-4, 1)[near]).mean()
    best = loss(plain.probability(study.geometry))
    assert best < loss(plain.inside)
    monkeypatch.setattr(probability, "SCALE", 2 * SCALE)
    assert best < loss(plain.probability(study.geometry))


def test_it_follows_corrections_also_through_the_worker(patient, plain):
    geometry = patient.study.geometry
    by_hand = np.roll(plain.mask[1], 3, axis=1)
    row, column = np.argwhere(plain.mask[0]).max(0)[0], np.argwhere(plain.mask[0]).mean(0)[1]
    given = {"fixed": {1: by_hand}, "points": [BorderPoint(0, (row + 3.0, column))]}
    new = corrected(plain, geometry, **given)
    before, after = plain.probability(geometry), new.probability(geometry)
    assert ((after[1] == 1) == by_hand).all() and ((after > 0.5) == new.mask).all()
    assert after[0, row + 2, round(column)] > 0.5 > before[0, row + 2, round(column)]
    header, arrays = correct_request(plain, geometry, **given)
    header["kind"] = "correct"
    told = proposed(*TASKS["correct"](header, arrays, silent))
    assert np.allclose(told.probability(geometry), after, atol=1e-6)


def test_the_command_writes_it(patient, tmp_path, capsys):
    study, lge = patient.study, tmp_path / "lge.nii.gz"
    out, mask = tmp_path / "inside.nii.gz", tmp_path / "lv.nii.gz"
    sitk.WriteImage(image_of(study.sequences[Role.LGE].values, study.geometry), str(lge))
    assert main(["propose-mask", "--lge", str(lge), "-o", str(mask), "--probabilities",
                 str(out)]) == 0
    assert f"probabilities: {out}" in capsys.readouterr().out
    image, held = (sitk.ReadImage(str(path)) for path in (out, mask))
    values = sitk.GetArrayFromImage(image)
    assert image.GetPixelID() == sitk.sitkFloat32 and image.GetOrigin() == held.GetOrigin()
    assert 0 <= values.min() and values.max() <= 1
    assert ((values > 0.5) == (sitk.GetArrayFromImage(held) > 0)).all()
    assert main(["propose-mask", "--lge", str(lge), "--probabilities",
                 str(tmp_path / "inside.png")]) != 0
    assert "must end with" in capsys.readouterr().err
