"""The phantom: the same bytes from the same seed, physics as in scanners, files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage
from small_phantoms import (
    BLOOD,
    EDEMA,
    MYOCARDIUM,
    SCAR,
    a_clean_patient,
    a_patient,
    typical_values,
)

from deepgmm.errors import InputError
from deepgmm.phantom import PhantomPatient, make_patient, write_patient
from deepgmm.study.words import Kind, Role

ROOT = Path(__file__).resolve().parents[2]


def content(patient: PhantomPatient) -> list[bytes]:
    return [s.values.tobytes() for s in patient.study.sequences.values()] + [
        patient.truth.tobytes(), patient.study.insertion_points.tobytes()]


# One seed, one patient

def test_the_same_seed_gives_the_same_bytes() -> None:
    assert content(make_patient(7, slices=2)) == content(make_patient(7, slices=2))
    assert content(make_patient(7, slices=2))[0] != content(make_patient(8, slices=2))[0]


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = ("import hashlib; from deepgmm.phantom import make_patient; "
            "p = make_patient(7, slices=2); "
            "print(hashlib.sha256(b''.join(s.values.tobytes() "
            "for s in p.study.sequences.values()) + p.truth.tobytes()).hexdigest())")
    logic = str(ROOT / "DeepGMMSegmentation" / "Logic")
    prints = {subprocess.run([sys.executable, "-c", code], text=True, check=True,
                             capture_output=True,
                             env={**os.environ, "PYTHONHASHSEED": h, "PYTHONPATH": logic}).stdout
              for h in ("1", "2")}
    assert len(prints) == 1


def test_difficulty_and_kinds_leave_the_heart_as_it_is() -> None:
    plain = a_patient()
    for other in (a_patient(difficulty=2.0), a_clean_patient(lge=Kind.LGE_PSIR)):
        assert np.array_equal(other.truth, plain.truth)
        assert other.study.geometry == plain.study.geometry


def test_a_sequence_left_out_leaves_the_others_as_they_are() -> None:
    alone = make_patient(1, slices=3, kinds={Role.T2: Kind.T2_DARK_BLOOD})
    assert alone.study.roles == (Role.T2,)
    assert np.array_equal(alone.study.sequences[Role.T2].values,
                          a_patient().study.sequences[Role.T2].values)


# Contrast and what spoils it

@pytest.mark.parametrize("seed", [1, 5])
def test_blood_is_brightest_on_bssfp(seed: int) -> None:
    v = typical_values(a_clean_patient(seed), Role.BSSFP)
    assert v[BLOOD] > 1.5 * max(v[MYOCARDIUM], v[EDEMA], v[SCAR])


@pytest.mark.parametrize("kind", [Kind.LGE_MAGNITUDE, Kind.LGE_PSIR, Kind.LGE_DARK_BLOOD])
def test_scar_is_the_bright_wall_on_late_enhancement(kind: Kind) -> None:
    v = typical_values(a_clean_patient(5, lge=kind), Role.LGE)
    assert v[SCAR] > v[EDEMA] > v[MYOCARDIUM]
    assert (v[MYOCARDIUM] < 0) is (kind is Kind.LGE_PSIR)
    assert (v[BLOOD] < v[MYOCARDIUM]) is (kind is Kind.LGE_DARK_BLOOD)


@pytest.mark.parametrize("kind", [Kind.T2_DARK_BLOOD, Kind.T2_PREPARED, Kind.T2_MAP])
def test_edema_is_bright_on_t2_and_blood_as_its_kind_says(kind: Kind) -> None:
    v = typical_values(a_clean_patient(5, t2=kind), Role.T2)
    assert v[EDEMA] > 1.2 * v[MYOCARDIUM] and v[SCAR] > 1.1 * v[MYOCARDIUM]
    if kind is Kind.T2_DARK_BLOOD:
        assert v[BLOOD] < 0.7 * v[MYOCARDIUM]
    else:
        assert v[BLOOD] > 1.2 * v[EDEMA]


def test_a_t2_map_is_in_milliseconds() -> None:
    patient = make_patient(5, slices=3, kinds={Role.T2: Kind.T2_MAP})
    v = typical_values(patient, Role.T2)
    assert 44 < v[MYOCARDIUM] < 55 and 58 < v[EDEMA] < 75 and 140 < v[BLOOD] < 230
    assert patient.study.sequences[Role.T2].values.min() > 0


def test_magnitude_images_are_positive_and_psir_is_signed() -> None:
    patient = a_patient(kinds=None)
    assert all(s.values.min() > 0 for s in patient.study.sequences.values())
    psir = make_patient(1, slices=2, kinds={Role.LGE: Kind.LGE_PSIR})
    inside = psir.study.sequences[Role.LGE].values[psir.truth == MYOCARDIUM]
    assert 0.5 < (inside < 0).mean() < 1.0


def test_noise_in_air_is_rayleigh_distributed() -> None:
    """Without signal, Rician noise has mean sqrt(pi/2) and deviation sqrt(2 - pi/2): 1.91."""
    ratios = []
    for seed in range(4):
        patient = a_patient(seed)
        air = patient.study.sequences[Role.BSSFP].values[:, 40:80, -12:]
        ratios.append(air.mean() / air.std())
    assert np.mean(ratios) == pytest.approx(1.91, abs=0.25)


def test_the_late_enhancement_pool_is_drawn_from_darker_than_scar_to_brighter() -> None:
    signals = [make_patient(s, slices=1, shape=(96, 96)).signals[Role.LGE] for s in range(40)]
    ratio = np.array([s[BLOOD] / s[SCAR] for s in signals])
    assert (ratio < 0.85).sum() >= 5 and (ratio > 1.0).sum() >= 5


def test_difficulty_spoils_the_image() -> None:
    """How far blood and myocardium on bSSFP lie apart, in the myocardium's deviations."""
    def separation(difficulty: float) -> float:
        patient = a_patient(2, difficulty=difficulty)
        values = patient.study.sequences[Role.BSSFP].values
        # Of the pool the median: papillary muscles are in it at any difficulty.
        wall = values[ndimage.binary_erosion(patient.truth == MYOCARDIUM, np.ones((1, 3, 3)))]
        return float((np.median(values[patient.truth == BLOOD]) - wall.mean()) / wall.std())

    separations = [separation(d) for d in (0.25, 0.5, 1.0, 2.0)]
    assert all(a > 1.2 * b for a, b in zip(separations, separations[1:]))


def test_sequences_are_a_little_misaligned() -> None:
    shifts = np.array([list(a_patient(s, slices=1, shape=(96, 96)).shifts.values())
                       for s in range(30)])
    assert 0.15 < shifts.std() < 0.6 and np.abs(shifts).max() <= 2.0
    assert not np.any(list(a_clean_patient().shifts.values()))
    hard = np.array([list(make_patient(s, slices=1, shape=(96, 96), difficulty=5.0)
                          .shifts.values()) for s in range(10)])
    assert 1.0 < np.abs(hard).max() <= 2.0


# Requests that cannot be met

@pytest.mark.parametrize(("options", "words"), [
    ({"seed": -1}, "seed"),
    ({"patient_set": "strange"}, "typical, atypical, healthy"),
    ({"difficulty": -0.1}, "difficulty"),
    ({"difficulty": float("nan")}, "difficulty"),
    ({"slices": 0}, "slices"),
    ({"kinds": {}}, "kind"),
    ({"kinds": {Role.T2: Kind.LGE_PSIR}}, "no kind of T2"),
    ({"kinds": {Role.T2: Kind.UNKNOWN}}, "unknown"),
    ({"shape": (40, 200)}, "at least"),
    ({"mvo_fraction": 1.5}, "share"),
    ({"infarct_free_fraction": -0.5}, "share"),
])  # fmt: skip
def test_what_cannot_be_made_is_said(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as said:
        make_patient(**{"seed": 0, **options})
    assert "\n" not in str(said.value)


# Files

@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_files_hold_the_patient_in_its_place(tmp_path: Path, suffix: str) -> None:
    import SimpleITK as sitk

    patient = a_patient()
    paths = write_patient(patient, tmp_path / "né" / "phantom", suffix=suffix)
    assert list(paths) == ["bssfp", "lge", "t2", "mask", "wall", "truth"]
    assert sorted(p.name for p in paths.values()) == sorted(
        p.name for p in (tmp_path / "né" / "phantom").iterdir())
    truth = sitk.ReadImage(str(paths["truth"]))
    assert np.array_equal(sitk.GetArrayFromImage(truth), patient.truth)
    lge = sitk.GetArrayFromImage(sitk.ReadImage(str(paths["lge"])))
    assert np.array_equal(lge, patient.study.sequences[Role.LGE].values)
    if suffix == ".nii.gz":
        # nibabel speaks RAS where ITK speaks LPS.
        wanted = np.diag([-1, -1, 1, 1]) @ patient.study.geometry.index_to_world()
        assert np.allclose(nibabel.load(paths["lge"]).affine, wanted, atol=1e-4)


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no format '.png'"):
        write_patient(a_patient(), tmp_path, suffix=".png")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_patient(a_patient(), tmp_path / "file" / "x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# Calibration

def test_the_calibration_command_passes_on_a_few_patients() -> None:
    done = subprocess.run([sys.executable, ROOT / "Benchmarks" / "calibrate_phantom.py",
                           "--patients", "8", "--slices", "4", "--first-seed", "40"],
                          text=True, capture_output=True)
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if line.startswith("| phantom")]
    assert len(rows) == 2 and "PASS" in rows[0], done.stdout


def test_the_calibration_command_fails_a_phantom_that_is_too_easy() -> None:
    done = subprocess.run([sys.executable, ROOT / "Benchmarks" / "calibrate_phantom.py",
                           "--patients", "2", "--slices", "2", "--difficulty", "0.2"],
                          text=True, capture_output=True)
    assert done.returncode == 1 and "FAIL" in done.stdout
