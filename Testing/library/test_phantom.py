"""The phantom: the same bytes from the same seed, anatomy and physics as in patients."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from deepgmm.errors import InputError
from deepgmm.study.phantom import (
    DEFAULT_KINDS,
    PATTERNS,
    PatientSet,
    PhantomPatient,
    make_patient,
    write_patient,
)
from deepgmm.study.words import Kind, Role, Tissue

ROOT = Path(__file__).resolve().parents[2]
BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR


@cache
def a_patient(seed: int = 1, **options) -> PhantomPatient:
    return make_patient(seed, **{"slices": 3, **options})


def a_clean_patient(seed: int = 1, **kinds: Kind) -> PhantomPatient:
    return _clean(seed, tuple(sorted(kinds.items())))


@cache
def _clean(seed: int, kinds: tuple[tuple[str, Kind], ...]) -> PhantomPatient:
    chosen = {**DEFAULT_KINDS, **{Role(role): kind for role, kind in kinds}}
    return make_patient(seed, difficulty=0.0, slices=3, kinds=chosen)


def typical_values(patient: PhantomPatient, role: Role) -> dict[Tissue, float]:
    """Median of each tissue's pixels that do not touch another tissue."""
    values = patient.study.sequences[role].values
    medians = {}
    for tissue in (BLOOD, MYOCARDIUM, EDEMA, SCAR):
        region = (patient.truth == tissue) & ~patient.truth_mvo
        if not region.any():
            continue
        core = ndimage.binary_erosion(region, np.ones((1, 3, 3)))
        medians[tissue] = float(np.median(values[core if core.any() else region]))
    return medians


def content(patient: PhantomPatient) -> list[bytes]:
    return [s.values.tobytes() for s in patient.study.sequences.values()] + [
        patient.truth.tobytes(), patient.study.insertion_points.tobytes()]


# One seed, one patient

def test_the_same_seed_gives_the_same_bytes() -> None:
    assert content(make_patient(7, slices=2)) == content(make_patient(7, slices=2))
    assert content(make_patient(7, slices=2))[0] != content(make_patient(8, slices=2))[0]


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = ("import hashlib; from deepgmm.study.phantom import make_patient; "
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


# Anatomy

@pytest.mark.parametrize("patient_set", PatientSet)
@pytest.mark.parametrize("seed", [0, 3])
def test_truth_mask_and_wall_belong_together(patient_set: PatientSet, seed: int) -> None:
    patient = a_patient(seed, patient_set=patient_set)
    assert patient.truth.dtype == np.uint8 and patient.truth.max() <= SCAR
    assert np.array_equal(patient.study.mask, patient.truth > 0)
    assert np.array_equal(patient.wall, patient.truth > BLOOD)
    assert not (patient.truth_mvo & (patient.truth != SCAR)).any()
    assert not (patient.rv & patient.study.mask).any()
    assert patient.study.wall is None  # a user has to give it
    for mask, truth in zip(patient.study.mask, patient.truth):
        assert ndimage.label(mask)[1] == 1
        assert ndimage.binary_fill_holes(mask).sum() == mask.sum()
        # The wall closes around the pool: no blood touches the outside.
        assert not (ndimage.binary_dilation(truth == BLOOD) & ~mask).any()


def test_the_ventricle_has_an_adults_size_and_tapers_to_the_apex() -> None:
    for seed in range(6):
        patient = a_patient(seed, slices=5)
        spacing = patient.study.geometry.spacing
        assert 1.2 <= spacing[0] == spacing[1] <= 1.5 and 8.0 <= spacing[2] <= 20.0
        areas = patient.study.mask.sum(axis=(1, 2))
        assert (np.diff(areas) > 0).all()  # the apex comes first
        diameter = 2 * np.sqrt(areas[-1] * patient.study.geometry.pixel_area / np.pi)
        assert 52 <= diameter <= 75
        assert all(96 <= n <= 160 for n in patient.truth.shape[1:])


def test_directions_are_oblique_right_handed_and_run_from_apex_to_base() -> None:
    for seed in range(6):
        direction = np.reshape(a_patient(seed).study.geometry.direction, (3, 3))
        assert np.allclose(direction @ direction.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(direction) == pytest.approx(1.0)
        assert np.abs(direction).max() < 0.999
        # In LPS the apex lies to the left, in front of and below the base.
        left, posterior, superior = direction[:, 2]
        assert left < 0 < posterior and superior > 0


def test_insertion_points_lie_where_both_ventricles_meet() -> None:
    found = 0
    for seed in range(6):
        patient = a_patient(seed)
        assert patient.study.insertion_points.shape == (3, 2, 2)
        for z, points in enumerate(patient.study.insertion_points):
            if np.isnan(points).any():
                assert np.isnan(points).all()
                continue
            found += 1
            to_lv = ndimage.distance_transform_edt(~patient.study.mask[z])
            in_lv = ndimage.distance_transform_edt(patient.study.mask[z])
            to_rv = ndimage.distance_transform_edt(~patient.rv[z])
            for row, column in np.rint(points).astype(int):
                assert max(to_lv[row, column], in_lv[row, column]) <= 3.0
                assert to_rv[row, column] <= 6.0
            (anterior, _), (inferior, _) = points
            assert anterior < inferior
            # The septum between them faces the right ventricle, to the image's left.
            assert points[:, 1].mean() < np.nonzero(patient.study.mask[z])[1].mean()
    assert found >= 15


def test_papillary_muscles_are_dark_islands_that_count_as_blood() -> None:
    islands = 0
    for seed in range(4):
        patient = a_clean_patient(seed)
        values = patient.study.sequences[Role.BSSFP].values
        medians = typical_values(patient, Role.BSSFP)
        dark = values < (medians[BLOOD] + medians[MYOCARDIUM]) / 2
        pool = ndimage.binary_erosion(patient.truth == BLOOD, np.ones((1, 3, 3)), iterations=2)
        islands += ndimage.label(dark & pool)[1]
    assert islands >= 4


def test_partial_volume_mixes_what_shares_a_pixel() -> None:
    patient = a_clean_patient()
    values = patient.study.sequences[Role.BSSFP].values
    medians = typical_values(patient, Role.BSSFP)
    low, high = medians[SCAR], medians[BLOOD]
    mixed = (values > low + 0.1 * (high - low)) & (values < high - 0.1 * (high - low))
    border = ndimage.binary_dilation(patient.wall, np.ones((1, 3, 3))) & (patient.truth == BLOOD)
    assert mixed[border].mean() > 0.3
    deep = ndimage.binary_erosion(patient.truth == MYOCARDIUM, np.ones((1, 3, 3)))
    assert np.ptp(values[deep]) < 0.05 * (high - low)


# Lesions

def turns_of(patient: PhantomPatient, tissues: tuple[Tissue, ...], z: int) -> np.ndarray:
    """Which of 60 sectors of a slice hold one of the tissues."""
    rows, columns = np.nonzero(patient.study.mask[z])
    y, x = np.nonzero(np.isin(patient.truth[z], tissues))
    angle = np.arctan2(y - rows.mean(), x - columns.mean())
    held = np.zeros(60, dtype=bool)
    held[((angle + np.pi) / (2 * np.pi) * 60).astype(int) % 60] = True
    return held


def touches(region: np.ndarray, other: np.ndarray) -> float:
    """Share of `region` that lies beside `other`."""
    return float((ndimage.binary_dilation(other, np.ones((1, 3, 3))) & region).sum()
                 / max(region.sum(), 1))


def test_a_typical_infarct_is_one_wedge_of_scar_in_a_wider_edema() -> None:
    for seed in range(8):
        patient = a_patient(seed)
        assert patient.pattern == "one infarct"
        z = 1
        scar = turns_of(patient, (SCAR,), z)
        both = turns_of(patient, (SCAR, EDEMA), z)
        edema = turns_of(patient, (EDEMA,), z)
        assert scar.any() and both.sum() >= scar.sum() + 3 and edema.sum() > scar.sum() / 2
        assert ndimage.label(np.isin(patient.truth[z], (SCAR, EDEMA)))[1] == 1
        assert touches(patient.truth == SCAR, patient.truth == BLOOD) > 0.05


def test_obstruction_is_a_dark_island_inside_bright_scar() -> None:
    obstructed = [p for p in (a_clean_patient(s) for s in range(12)) if p.truth_mvo.any()]
    assert 1 <= len(obstructed) <= 8
    for patient in obstructed:
        lge = patient.study.sequences[Role.LGE].values
        scar = (patient.truth == SCAR) & ~patient.truth_mvo
        assert np.median(lge[patient.truth_mvo]) < 0.7 * np.median(lge[scar])
    assert not any(make_patient(s, slices=1, mvo_fraction=0.0).truth_mvo.any() for s in range(4))
    assert all(make_patient(s, slices=1, mvo_fraction=1.0).truth_mvo.any() for s in range(4))


def test_atypical_patterns_come_in_turn() -> None:
    seen = [a_patient(s, patient_set="atypical").pattern for s in range(len(PATTERNS) + 1)]
    assert tuple(seen[:-1]) == PATTERNS and seen[-1] == PATTERNS[0]


@pytest.mark.parametrize("turn", range(2))
@pytest.mark.parametrize("pattern", PATTERNS)
def test_atypical_lesions_are_what_they_are_called(pattern: str, turn: int) -> None:
    seed = PATTERNS.index(pattern) + turn * len(PATTERNS)
    patient = a_patient(seed, patient_set="atypical", slices=5)
    truth, z = patient.truth, 2
    scar, edema = truth == SCAR, truth == EDEMA
    assert bool(scar.any()) is (pattern != "edema without scar")
    assert bool(edema.any()) is (pattern != "scar without edema")
    if pattern == "two infarcts":
        assert ndimage.label(scar[z])[1] >= 2
    elif pattern == "mid-wall patches":
        assert touches(scar, truth == BLOOD) < 0.1 and touches(scar, truth == 0) < 0.1
    elif pattern == "subepicardial patches":
        assert touches(scar, truth == BLOOD) < 0.05 and touches(scar, truth == 0) > 0.15
    elif pattern.startswith("circumferential"):
        assert turns_of(patient, (SCAR,), z).all() and touches(scar, truth == 0) < 0.05
    elif pattern == "edema without scar":
        assert edema.sum() > 0.05 * patient.wall.sum()
    elif pattern == "scar without edema":
        assert scar.sum() > 0.03 * patient.wall.sum()
        values = typical_values(make_patient(seed, patient_set="atypical", difficulty=0.0,
                                             slices=2), Role.T2)
        # An old scar: without edema nothing raises T2.
        assert values[SCAR] == pytest.approx(values[MYOCARDIUM], rel=0.15)
    else:
        assert 0.035 < scar.sum() / patient.wall.sum() < 0.065


def test_healthy_hearts_have_no_lesion_but_texture() -> None:
    for seed in range(4):
        patient = a_patient(seed, patient_set="healthy")
        assert patient.truth.max() == MYOCARDIUM and patient.pattern == "healthy"
    assert make_patient(0, slices=1, infarct_free_fraction=1.0).truth.max() == MYOCARDIUM
    lesions = [make_patient(s, slices=1, infarct_free_fraction=0.5).truth.max() > MYOCARDIUM
               for s in range(20)]
    assert 3 <= sum(lesions) <= 17


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
