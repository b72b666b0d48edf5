"""The patients with lifelike LGE: whole, repeatable, and as real LGE was measured to be."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deepgmm.study.checks import check_study
from deepgmm.study.words import Kind, Role, Tissue

BENCHMARKS = Path(__file__).resolve().parents[2] / "Benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from calibrate_lge import FIGURES, figures, of_study  # noqa: E402
from lifelike import FIRST_SEED, lifelike_patient, training_patient  # noqa: E402
from wide_phantoms import WidePatient  # noqa: E402

#: Medians over 29 real patients, as `calibrate_lge.py` printed them, and how far the phantom's own
#: over a few patients may lie from them.
REAL = {"drift": (0.23, 0.15), "pool_drift": (0.25, 0.25), "around": (0.21, 0.1),
        "endocardial": (0.17, 0.15), "epicardial": (0.19, 0.2), "wall_sd": (0.38, 0.15),
        "blood_sd": (0.42, 0.15), "white": (0.11, 0.08), "outside": (0.50, 0.4)}


@cache
def patients() -> list[WidePatient]:
    return [lifelike_patient(seed, (Role.LGE,), bright_blood=True)
            for seed in range(29_000, 29_012)]


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_asked_for() -> None:
    alone, again = (lifelike_patient(7, (Role.LGE,)) for _ in range(2))
    whole = lifelike_patient(7)

    assert alone.truth.tobytes() == again.truth.tobytes() == whole.truth.tobytes()
    values = [p.study.sequences[Role.LGE].values.tobytes() for p in (alone, again, whole)]
    assert len(set(values)) == 1 and set(whole.study.sequences) == set(Role)


def test_every_one_is_a_whole_heart_that_a_user_could_have() -> None:
    for patient in patients():
        check_study(patient.study)
        assert np.array_equal(patient.study.mask, patient.truth > 0)
        assert patient.study.sequences[Role.LGE].kind in (Kind.LGE_PSIR, Kind.LGE_MAGNITUDE)
    ill = [bool((p.truth == Tissue.SCAR).any()) for p in patients()]
    assert 0.2 < np.mean(ill) < 0.9


@pytest.mark.parametrize("name", REAL)
def test_its_lge_is_as_real_lge_was_measured(name: str) -> None:
    found = [of_study(p.study, p.truth)[name] for p in patients()]
    real, tolerance = REAL[name]
    assert abs(float(np.nanmedian(found)) - real) < tolerance


def test_of_more_than_half_of_those_to_learn_from_there_is_lge_alone() -> None:
    roles = [len(training_patient(seed).study.sequences)
             for seed in range(FIRST_SEED, FIRST_SEED + 10)]
    assert set(roles) == {1, 3}


def test_figures_are_those_of_a_heart_drawn_by_hand() -> None:
    """A round heart, healthy wall at 0 and 0.4 by turns, the pool 1 above, a bright outer rim."""
    y, x = np.indices((60, 60)) - 29.5
    r = np.hypot(y, x)
    labels = np.repeat(np.where(r < 10, Tissue.BLOOD, np.where(r < 20, Tissue.MYOCARDIUM, 0))[None],
                       4, axis=0)
    level = np.array([0.0, 0.4, 0.0, 0.4])[:, None, None]
    values = level + (labels == Tissue.BLOOD) + 0.3 * ((r > 18.5) & (r < 20))
    found = figures(values, labels)
    wall, rim = (labels[0] == Tissue.MYOCARDIUM), 0.3 * ((r > 18.5) & (r < 20))
    unit = 1 - rim[wall].mean()

    assert found.keys() >= FIGURES.keys() - {"obstruction"}
    assert found["drift"] == pytest.approx(0.2 / unit)
    assert found["together"] == pytest.approx(1.0)
    assert found["epicardial"] > 0.1 and abs(found["endocardial"]) < 1e-9
    assert found["around"] < 0.02 and np.isnan(found["scar"]) and np.isnan(found["share"])
