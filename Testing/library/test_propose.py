"""The proposed LV mask: found wherever the heart lies, and nothing where there is none."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from deepgmm import InputError, propose_mask
from deepgmm.jobs.tasks import TASKS, propose_request, proposed
from deepgmm.phantom import make_patient
from deepgmm.progress import silent
from deepgmm.propose.rings import Ring, ring_of, ring_of_mask
from deepgmm.review.metrics import dice
from deepgmm.review.proposal_picture import proposal_png
from deepgmm.study.study import Sequence


@pytest.fixture(scope="module")
def study():
    return make_patient(3, slices=3).study


def without_mask(study):
    return replace(study, mask=np.zeros_like(study.mask), warnings=[])


def test_finds_the_ventricle_turned_and_mirrored(study):
    turned = replace(study, mask=study.mask[:, ::-1].transpose(0, 2, 1), sequences={
        role: Sequence(role, s.values[:, ::-1].transpose(0, 2, 1), s.kind)
        for role, s in study.sequences.items()})
    for one in (study, turned):
        found = propose_mask(without_mask(one))
        assert dice(found.mask, one.mask) > 0.85
        assert not (found.wall & found.pool).any()
        assert (found.mask == (found.wall | found.pool)).all()
        assert found.warnings


def test_nothing_found_is_an_answer(study):
    rng = np.random.default_rng(0)
    empty = replace(without_mask(study), sequences={
        role: Sequence(role, rng.normal(100, 10, s.values.shape).astype(np.float32), s.kind)
        for role, s in study.sequences.items()})
    with pytest.raises(InputError, match="no left ventricle"):
        propose_mask(empty)


def test_a_fixed_slice_stays_and_the_worker_gives_the_same(study):
    fixed = {1: np.roll(study.mask[1], 2, axis=0)}
    found = propose_mask(without_mask(study), fixed=fixed)
    assert (found.mask[1] == fixed[1]).all() and found.confidence[1] == 1.0
    answer = proposed(*TASKS["propose"](*propose_request(without_mask(study), fixed), silent))
    assert (answer.mask == found.mask).all()


def test_rings_of_circles_are_circles():
    y, x = np.mgrid[:80, :80] * 1.0
    away = np.hypot(y - 40.3, x - 38.8) * 2.0
    inside, pool = (1 / (1 + np.exp((away - r) / 0.7)) for r in (32.0, 22.0))
    ring = ring_of(inside, pool, np.array([40.3, 38.8]), 2.0)
    assert np.abs(ring.outer - 32).max() < 0.8
    assert np.abs(ring.inner - 22).max() < 0.8
    drawn = Ring(np.array([60.0, 62.0]), ring.outer, ring.inner).filled((100, 100), (1.3, 1.3))
    back = ring_of_mask(drawn, (1.3, 1.3))
    assert back is not None and np.abs(back.outer - 32).max() < 1.3


def test_the_picture_shows_which_slices_to_look_at_first(study):
    found = propose_mask(without_mask(study))
    amber = []
    for confidence in (0.95, 0.5):
        found.confidence = np.array([0.95, confidence, 0.95])
        pixels = np.asarray(Image.open(io.BytesIO(proposal_png(study, found))).convert("RGB"))
        amber.append(int((pixels == (255, 179, 0)).all(2).sum()))
    assert amber[0] == 0 and amber[1] > 100
