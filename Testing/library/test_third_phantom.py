"""The benchmarks' third phantom: of another make than both others, for the test side only."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from deepgmm.study.checks import check_study
from deepgmm.study.words import Role, Tissue

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "Benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from third_phantom import PATTERNS, SETS, Solid, ThirdPatient, make_third_patient  # noqa: E402
from third_phantom_scanner import balanced, late  # noqa: E402

BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR
PLANE = np.ones((1, 3, 3))


@cache
def a_patient(seed: int = 1, patient_set: str = "typical") -> ThirdPatient:
    return make_third_patient(seed, patient_set=patient_set, slices=3)


def content(patient: ThirdPatient) -> list[bytes]:
    return [s.values.tobytes() for s in patient.study.sequences.values()] + [
        patient.truth.tobytes()]


def touches(region: np.ndarray, other: np.ndarray) -> float:
    """Share of `region` that lies beside `other`."""
    return float((ndimage.binary_dilation(other, PLANE) & region).sum() / max(region.sum(), 1))


def contrast(role: Role, tissue: Tissue, than: Tissue) -> float:
    """Median over patients of how much brighter, in units of the pool's or scar's distance from
    muscle, whichever is more."""
    found = []
    for seed in range(4):
        patient = a_patient(seed)
        values = patient.study.sequences[role].values
        middle = {t: np.median(values[patient.truth == t]) for t in Tissue if t in patient.truth}
        reach = max(abs(middle[t] - middle[MYOCARDIUM]) for t in (BLOOD, SCAR))
        found.append((middle[tissue] - middle[than]) / reach)
    return float(np.median(found))


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = (content(make_third_patient(seed, slices=2)) for seed in (7, 7, 8))
    assert first == again and all(a != b for a, b in zip(first, other))


def test_it_loads_neither_of_the_other_phantoms() -> None:
    code = ("import sys; from third_phantom import make_third_patient; "
            "make_third_patient(7, slices=1); print([name for name in sys.modules if "
            "name.startswith(('deepgmm.phantom', 'other_phantom', 'wide_'))])")
    paths = os.pathsep.join([str(ROOT / "DeepGMMSegmentation" / "Logic"), str(BENCHMARKS)])
    said = subprocess.run([sys.executable, "-c", code], text=True, check=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": paths}).stdout
    assert said.strip() == "[]"


def test_a_set_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="give one of typical"):
        make_third_patient(0, patient_set="odd")


@pytest.mark.parametrize("patient_set", SETS)
@pytest.mark.parametrize("seed", [0, 5])
def test_the_wall_closes_around_one_pool_and_nothing_is_wrong(patient_set: str,
                                                              seed: int) -> None:
    patient = a_patient(seed, patient_set)
    check_study(patient.study)
    assert patient.study.warnings == [] and patient.study.excluded == {}
    assert np.array_equal(patient.study.mask, patient.truth > 0)
    for labels, inside in zip(patient.truth, patient.study.mask):
        pool = labels == BLOOD
        assert ndimage.label(inside)[1] == 1 and ndimage.label(pool)[1] == 1
        assert np.array_equal(ndimage.binary_fill_holes(labels >= MYOCARDIUM), inside)
        assert not (ndimage.binary_dilation(pool) & ~inside).any()


def test_sizes_are_an_adults() -> None:
    for seed in range(4):
        patient = a_patient(seed, "healthy")
        pixel = patient.study.geometry.spacing[0]
        outer = 2 * np.sqrt(patient.study.mask.sum((1, 2)).max() / np.pi) * pixel
        pool = 2 * np.sqrt((patient.truth == BLOOD).sum((1, 2)).max() / np.pi) * pixel
        assert 45 < outer < 76 and 5 < (outer - pool) / 2 < 14


def test_a_superquadric_is_a_sphere_at_power_two() -> None:
    ball = Solid(np.zeros(3), np.full(3, 10.0))
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(0, 10, (3, 50))
    z = np.abs(z)
    radius = np.sqrt(x * x + y * y + z * z)
    assert np.allclose(ball.outside(x, y, z), radius - 10)


@pytest.mark.parametrize("seed", range(7))
def test_atypical_lesions_are_what_they_are_called(seed: int) -> None:
    patient = make_third_patient(seed + 70, patient_set="atypical")
    truth, pattern = patient.truth, patient.pattern
    assert pattern == PATTERNS[seed]
    scar, edema, wall = truth == SCAR, truth == EDEMA, truth >= MYOCARDIUM
    assert bool(scar.any()) is (pattern != "edema alone")
    assert bool(edema.any()) is (pattern != "scar alone")
    if pattern == "band in mid wall":
        assert touches(scar, truth == BLOOD) < 0.2 and touches(scar, truth == 0) < 0.2
    elif pattern == "rim under the epicardium":
        assert touches(scar, truth == BLOOD) < 0.1 < touches(scar, truth == 0)
    elif pattern == "shell around the pool":
        pool = truth == BLOOD
        assert touches(pool & ~ndimage.binary_erosion(pool, PLANE), scar) > 0.7
    elif pattern == "one small bed":
        assert (scar | edema).sum() < 0.25 * wall.sum()


def test_healthy_hearts_have_no_lesion_and_typical_ones_scar_within_edema() -> None:
    for seed in range(4):
        assert a_patient(seed, "healthy").truth.max() == MYOCARDIUM
        truth = a_patient(seed).truth
        scar = truth == SCAR
        assert scar.any() and (truth == EDEMA).any()
        assert touches(scar, truth == BLOOD) > touches(scar, truth == 0)


def test_contrasts_are_those_of_each_sequence() -> None:
    assert contrast(Role.BSSFP, BLOOD, MYOCARDIUM) == pytest.approx(1.0)
    assert contrast(Role.LGE, SCAR, EDEMA) > 0.3 and contrast(Role.LGE, BLOOD, MYOCARDIUM) > 0.3
    assert contrast(Role.T2, EDEMA, MYOCARDIUM) > 0.1
    assert contrast(Role.T2, MYOCARDIUM, BLOOD) > 0.5


def test_pulses_lead_to_the_steady_state_of_the_textbook() -> None:
    """bSSFP on resonance: Freeman and Hill, J Magn Reson 1971."""
    t1, t2, density = np.array([1700.0, 1160.0]), np.array([150.0, 45.0]), np.ones(2)
    flip, tr = np.radians(45.0), 3.2
    e1, e2 = np.exp(-tr / t1), np.exp(-tr / t2)
    wanted = np.sin(flip) * (1 - e1) / (1 - (e1 - e2) * np.cos(flip) - e1 * e2)
    assert np.allclose(balanced(t1, t2, density, flip, tr), wanted * np.sqrt(e2), rtol=5e-3)


def test_what_relaxes_faster_is_nulled_earlier() -> None:
    times = np.arange(100.0, 600.0, 2.0)
    null = [times[np.abs(late(np.array(t1), np.array(1.0), times, 900.0)).argmin()]
            for t1 in (300.0, 500.0, 700.0)]
    assert null[0] < null[1] < null[2]
