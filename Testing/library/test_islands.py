"""Scar goes as far as it is likely, from where it is sure: by islands, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepgmm.identify.islands import LIKELY, SURE, judged
from deepgmm.methods.pretrained import _by_islands
from deepgmm.methods.problem import Problem
from deepgmm.phantom import make_patient
from deepgmm.segment import prepared
from deepgmm.settings import Settings
from deepgmm.study.words import Role, Tissue

UNSURE = (LIKELY + SURE) / 2


def a_wall(slices: int = 2) -> np.ndarray:
    wall = np.zeros((slices, 12, 12), bool)
    wall[:, 1:11, 1:11] = True
    return wall


def test_an_island_goes_as_far_as_scar_is_likely_and_its_odds_move() -> None:
    share = np.zeros((2, 12, 12))
    share[0, 3:6, 3:8] = LIKELY + 0.05
    share[0, 4, 4] = SURE + 0.1

    found = judged(share, a_wall())

    assert np.array_equal(found.scar > 0.5, share > LIKELY)
    odds = found.scar[0, 4, 4] / (1 - found.scar[0, 4, 4])
    assert np.isclose(odds, (SURE + 0.1) / (0.9 - SURE) * (1 - LIKELY) / LIKELY)
    assert found.drawn == 15 / 200 and not found.unsure.any()


def test_what_is_sure_nowhere_is_not_drawn_and_is_spoken_of() -> None:
    share = np.zeros((2, 12, 12))
    share[1, 3:6, 3:8] = UNSURE

    found = judged(share, a_wall())

    assert (found.scar < 0.5).all() and found.drawn == 0
    assert np.allclose(found.unsure, [0, 15 / 200])
    assert np.allclose(found.scar, np.minimum(share, 0.5)), "its probability is not taken away"


def test_a_pixel_by_itself_is_none_however_sure() -> None:
    share = np.zeros((2, 12, 12))
    share[0, 4, 4], share[1, 4, 4:6] = 1.0, 1.0

    found = judged(share, a_wall())

    assert (found.scar[0] < 0.5).all() and (found.scar[1] > 0.5).sum() == 2
    assert np.allclose(found.unsure, [1 / 200, 0])


def test_a_heart_whose_only_scar_is_a_speck_has_none_and_the_speck_is_spoken_of() -> None:
    few, more = np.zeros((12, 12, 12)), np.zeros((12, 12, 12))
    few[3, 4, 4:6], more[3, 4, 4:7] = 1.0, 1.0

    speck, island = judged(few, a_wall(12)), judged(more, a_wall(12))

    assert (speck.scar < 0.5).all() and speck.drawn == 0
    assert np.isclose(speck.speck, 2 / 1200) and np.isclose(speck.unsure[3], 2 / 1200)
    assert (island.scar > 0.5).sum() == 3 and np.isclose(island.drawn, 3 / 1200)


def test_sure_pixels_of_one_slice_do_not_carry_another() -> None:
    share = np.zeros((2, 12, 12))
    share[0, 3:6, 3:8], share[1, 3:6, 3:8] = 0.9, UNSURE

    found = judged(share, a_wall())

    assert (found.scar[0] > 0.5).sum() == 15 and (found.scar[1] < 0.5).all()


def test_islands_touch_by_corners_and_end_at_the_pool() -> None:
    share = np.zeros((1, 12, 12))
    share[0, 4, 4], share[0, 5, 5], share[0, 8, 8] = SURE, LIKELY + 0.01, LIKELY + 0.01
    wall = a_wall(1)
    wall[0, 6:8] = False  # what lies beyond the pool is another island
    share[0, 6:8] = 0.9

    found = judged(share, wall)

    assert found.scar[0, 4, 4] > 0.5 and found.scar[0, 5, 5] > 0.5
    assert found.scar[0, 8, 8] < 0.5 and np.isclose(found.drawn, 2 / wall.sum())


def test_order_is_kept_and_a_slice_without_wall_is_left() -> None:
    rng = np.random.default_rng(0)
    share = rng.random((3, 12, 12))
    wall = a_wall(3)
    wall[1] = False

    found = judged(share, wall)

    assert ((found.scar >= 0) & (found.scar <= 1)).all()
    drawn = wall & (found.scar > 0.5)
    assert share[drawn].min() >= LIKELY and (found.scar[wall] >= np.minimum(share[wall], 0.5)
                                             - 1e-9).all()
    assert found.unsure[1] == 0


@pytest.mark.parametrize("scar, note", [
    (0.9, None), (UNSURE, "no scar was found: nowhere is the network sure of it"),
    (0.0, "no scar was found")])
def test_the_posterior_follows_and_what_is_unsure_is_said(scar: float, note: str) -> None:
    study = make_patient(3, slices=2).study
    study.sequences = {Role.LGE: study.sequences[Role.LGE]}
    problem = Problem((prepared(study, Settings()),))
    batch, ventricle = problem.batch, problem.ventricle
    posterior = torch.zeros((*batch.valid.shape, 3), dtype=torch.float64)
    pool = (ventricle.depth > 10) * 1.0
    ill = (ventricle.sector < 4) * (1 - pool) * scar
    posterior[..., 0], posterior[..., 1], posterior[..., 2] = pool, 1 - pool - ill, ill
    said: dict[int, list[str]] = {}

    found = _by_islands(problem, posterior, posterior, said)

    inside = batch.valid > 0
    assert torch.allclose(found.sum(2)[inside], torch.ones(1, dtype=torch.float64))
    assert torch.equal(found[..., 0], posterior[..., 0]), "the pool stays"
    drawn = (found.argmax(2) == 2) & inside
    assert torch.equal(drawn, (ill > 0) & inside & (scar > SURE))
    assert Tissue.SCAR in problem.tissues and (note is None) == (not said[0])
    if note:
        assert said[0][0].startswith(note) and ("slices 0-1" in said[0][0]) == (scar > 0)
