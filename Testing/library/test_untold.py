"""Edema that T2 does not show: not painted, said to be unsure, and not ruled out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepgmm.identify.absence import VISIBLE, above_free
from deepgmm.methods import Problem
from deepgmm.methods.pretrained import _by_islands
from deepgmm.methods.untold import edema_held_back, held_back
from deepgmm.phantom import make_patient
from deepgmm.result import Result
from deepgmm.segment import prepared
from deepgmm.settings import Settings
from deepgmm.study.words import FOUR_TISSUES, Role, Tissue

BLOOD, MUSCLE, EDEMA, SCAR = range(4)


def a_problem(t2: str) -> tuple[Problem, torch.Tensor]:
    """A healthy heart, and a posterior that calls four sectors of its wall edema; T2 shows it, or
    its wall is all noise, or the whole image is."""
    study = make_patient(1, patient_set="healthy", slices=2).study
    problem = Problem((prepared(study, Settings()),))
    ventricle, inside = problem.ventricle, problem.batch.valid > 0
    rng = np.random.default_rng(0)
    pool = ventricle.depth > 10
    ill = (ventricle.sector < 4) & ~pool
    posterior = torch.zeros((*inside.shape, 4), dtype=torch.float64)
    posterior[..., BLOOD], posterior[..., EDEMA] = pool * 1.0, ill * 0.9
    posterior[..., MUSCLE] = 1 - posterior.sum(2)
    values = torch.as_tensor(rng.normal(0.0, 1.0, inside.shape))
    if t2 != "noise":
        values = values - 5.0 * pool
    if t2 == "shows it":
        values = values + 3.0 * ill
    problem.batch.values[..., problem.roles.index(Role.T2)] = values.to(problem.batch.values.dtype)
    return problem, posterior * inside[..., None]


def test_edema_that_t2_shows_stays_as_it_is() -> None:
    problem, posterior = a_problem("shows it")
    said: dict[int, list[str]] = {}

    assert edema_held_back(problem, posterior, said) is posterior and not said


@pytest.mark.parametrize("t2", ["flat wall", "noise"])
def test_edema_that_t2_does_not_show_is_no_label_and_stays_possible(t2: str) -> None:
    problem, posterior = a_problem(t2)
    said: dict[int, list[str]] = {}

    found = edema_held_back(problem, posterior, said)

    inside = problem.batch.valid > 0
    assert torch.allclose(found.sum(2)[inside], torch.ones(1, dtype=torch.float64))
    assert not (found.argmax(2) == EDEMA)[inside].any()
    assert float(found[..., EDEMA].sum()) > 0.4 * float(posterior[..., EDEMA].sum())
    assert torch.equal(found[..., BLOOD], posterior[..., BLOOD]), "the pool stays"
    assert len(said[0]) == 1 and said[0][0].startswith("edema cannot be told here")
    assert len(said[0][0]) < 300


def test_where_t2_shows_nothing_absence_is_not_claimed() -> None:
    problem, posterior = a_problem("noise")
    posterior[..., MUSCLE] += posterior[..., EDEMA]
    posterior[..., EDEMA] = 0
    said = {0: ["no edema was found: what looked like it covers 0.0% of the wall (asked: 4%)",
                "no scar was found"]}

    assert edema_held_back(problem, posterior, said) is posterior
    assert [note[:16] for note in said[0]] == ["no scar was foun", "edema cannot be "]


def test_without_t2_nothing_is_said() -> None:
    problem, posterior = a_problem("noise")
    case = problem.cases[0]
    study = replace(case.study, sequences={Role.LGE: case.study.sequences[Role.LGE]})
    alone = Problem((prepared(study, Settings()),))
    said: dict[int, list[str]] = {}

    assert Tissue.EDEMA not in alone.tissues
    assert edema_held_back(alone, posterior[..., :3], said) is not None and not said


def test_a_tissue_held_back_never_wins_and_nothing_else_moves() -> None:
    rng = np.random.default_rng(3)
    posterior = torch.as_tensor(rng.dirichlet(np.full(4, 0.6), (2, 500)))
    where = torch.as_tensor(rng.random((2, 500)) < 0.5)
    for receiver in (None, MUSCLE):
        found = held_back(posterior, SCAR, where, receiver)

        assert torch.allclose(found.sum(2), torch.ones(1, dtype=torch.float64))
        assert (found >= 0).all() and not ((found.argmax(2) == SCAR) & where).any()
        untouched = ~where | (posterior.argmax(2) != SCAR)
        assert torch.equal(found[untouched], posterior[untouched])
        won = found.argmax(2)[~untouched]
        if receiver is None:
            second = posterior[~untouched].argsort(1)[:, -2]
            assert torch.equal(won, second), "the likeliest of the others"
        else:
            assert (won == receiver).all()


def test_contrast_is_counted_in_standard_deviations_of_the_free_sectors() -> None:
    sector = np.repeat(np.arange(6), 10)[None]
    level = np.array([5.0, 5.0, 0.0, 1.0, 2.0, 1.0])
    values, wall = level[sector], np.ones((1, 60), bool)
    ill = sector < 2

    free = level[2:]
    assert above_free(ill, ill, wall, values, sector, 6) == pytest.approx(
        (5.0 - free.mean()) / free.std())
    assert np.isnan(above_free(ill, wall, wall, values, sector, 6)), "no sector is free"
    assert np.isnan(above_free(~wall, ill, wall, values, sector, 6)), "nothing is chosen"
    assert 0 < VISIBLE < 2


@pytest.mark.parametrize("scar", [0.34, 0.45])
def test_unsure_scar_is_not_the_most_of_three_either(scar: float) -> None:
    """Less than half of the wall may still be more than its edema and its healthy part."""
    problem, _ = a_problem("shows it")
    inside = problem.batch.valid > 0
    pool = problem.ventricle.depth > 10
    posterior = torch.zeros((*inside.shape, 4), dtype=torch.float64)
    posterior[..., BLOOD], posterior[..., SCAR] = pool * 1.0, ~pool * scar
    posterior[..., EDEMA] = posterior[..., MUSCLE] = ~pool * (1 - scar) / 2
    posterior *= inside[..., None]

    found = _by_islands(problem, posterior, posterior, {})

    assert not (found.argmax(2) == SCAR)[inside].any()


def test_scar_s_interval_is_wider_where_lge_stands_alone() -> None:
    """Shares of a scar, as standard deviations, by hand."""
    patient = make_patient(2, slices=2)
    shape = patient.truth.shape
    posterior = np.zeros((shape[0], 4, *shape[1:]), np.float32)
    for k in range(4):
        posterior[:, k] = patient.truth == k + 1  # all sure: only what readers differ by is left
    whole = Result(replace(patient.study, wall=patient.truth > 1), FOUR_TISSUES, patient.truth,
                   posterior, provenance={"calibrated": True})
    alone = replace(whole, study=replace(
        whole.study, sequences={Role.LGE: whole.study.sequences[Role.LGE]}))
    count, wall = (patient.truth == Tissue.SCAR).sum(), (patient.truth > 1).sum()
    for result, share in ((whole, 0.15), (alone, 0.3)):
        low, high = result.volume_interval(Tissue.SCAR)
        half = 1.645 * np.hypot(share * count, 0.015 * wall) * patient.study.geometry.voxel_volume
        assert (high - low) / 2 == pytest.approx(half)
