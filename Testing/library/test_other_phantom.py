"""The benchmarks' second phantom: of another make, with the anatomy and physics of patients."""

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
from deepgmm.study.words import Kind, Role, Tissue

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "Benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from other_phantom import SETS, OtherPatient, make_other_patient  # noqa: E402
from other_phantom_heart import (  # noqa: E402
    TAU,
    THETA,
    Disease,
    Heart,
    Matter,
    draw_heart,
)
from other_phantom_lesions import PATTERNS, disease_of  # noqa: E402

BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR
LGE_KINDS = (Kind.LGE_MAGNITUDE, Kind.LGE_PSIR, Kind.LGE_DARK_BLOOD)
T2_KINDS = (Kind.T2_DARK_BLOOD, Kind.T2_PREPARED, Kind.T2_MAP)
PLANE = np.ones((1, 3, 3))


@cache
def a_patient(seed: int = 1, patient_set: str = "typical", slices: int | None = 3,
              lge: Kind = Kind.LGE_MAGNITUDE, t2: Kind = Kind.T2_DARK_BLOOD) -> OtherPatient:
    return make_other_patient(seed, patient_set=patient_set, slices=slices, kinds={
        Role.BSSFP: Kind.BSSFP, Role.LGE: lge, Role.T2: t2})


def content(patient: OtherPatient) -> list[bytes]:
    return [s.values.tobytes() for s in patient.study.sequences.values()] + [
        patient.truth.tobytes(), patient.study.insertion_points.tobytes()]


def typical_value(role: Role, tissue: Tissue, **kinds: Kind) -> float:
    """Median over patients, of each over the tissue's pixels that touch no other; in units of
    the pool's or scar's distance from muscle, whichever is more, so that patients compare."""
    medians = []
    for seed in range(4):
        patient = a_patient(seed, **kinds)
        values = patient.study.sequences[role].values
        found = {t: np.median(values[ndimage.binary_erosion(patient.truth == t, PLANE)])
                 for t in (BLOOD, MYOCARDIUM, SCAR)}
        region = ndimage.binary_erosion(patient.truth == tissue, PLANE)
        reach = max(abs(found[t] - found[MYOCARDIUM]) for t in (BLOOD, SCAR))
        medians.append((np.median(values[region if region.any() else patient.truth == tissue])
                        - found[MYOCARDIUM]) / reach)
    return float(np.median(medians))


def touches(region: np.ndarray, other: np.ndarray) -> float:
    """Share of `region` that lies beside `other`."""
    return float((ndimage.binary_dilation(other, PLANE) & region).sum() / max(region.sum(), 1))


# One seed, one patient, and none of the library's phantom

def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = (content(make_other_patient(seed, slices=2)) for seed in (7, 7, 8))
    assert first == again and all(a != b for a, b in zip(first, other))


def test_it_is_the_same_in_another_process_and_never_loads_the_first_phantom() -> None:
    code = ("import hashlib, sys; from other_phantom import make_other_patient; "
            "p = make_other_patient(7, slices=2); "
            "print(hashlib.sha256(b''.join(s.values.tobytes() "
            "for s in p.study.sequences.values()) + p.truth.tobytes()).hexdigest(), "
            "any(name.startswith('deepgmm.phantom') for name in sys.modules))")
    paths = os.pathsep.join([str(ROOT / "DeepGMMSegmentation" / "Logic"), str(BENCHMARKS)])
    prints = {subprocess.run([sys.executable, "-c", code], text=True, check=True,
                             capture_output=True,
                             env={**os.environ, "PYTHONHASHSEED": h, "PYTHONPATH": paths}).stdout
              for h in ("1", "2")}
    assert len(prints) == 1 and prints.pop().split()[1] == "False"


def test_kinds_leave_the_heart_and_the_other_sequences_as_they_are() -> None:
    plain, other = a_patient(), a_patient(lge=Kind.LGE_PSIR)
    assert np.array_equal(plain.truth, other.truth)
    assert plain.study.geometry == other.study.geometry
    alone = make_other_patient(1, slices=3, kinds={Role.T2: Kind.T2_DARK_BLOOD})
    assert alone.study.roles == (Role.T2,)
    for patient in (plain, other):
        assert np.array_equal(alone.study.sequences[Role.T2].values,
                              patient.study.sequences[Role.T2].values)


@pytest.mark.parametrize("wrong", [{"patient_set": "odd"}, {"slices": 0}, {"slices": 11},
                                   {"kinds": {Role.LGE: Kind.T2_MAP}}])
def test_what_cannot_be_made_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"odd|give 1 to 10|no kind of LGE"):
        make_other_patient(0, **wrong)


# Anatomy

@pytest.mark.parametrize("patient_set", SETS)
@pytest.mark.parametrize("seed", [0, 5])
def test_the_wall_closes_around_one_pool_and_holds_all_disease(patient_set: str,
                                                               seed: int) -> None:
    patient = a_patient(seed, patient_set, None)
    truth, mask = patient.truth, patient.study.mask
    assert truth.dtype == np.uint8 and truth.max() <= SCAR
    assert np.array_equal(mask, truth > 0) and patient.study.wall is None
    for labels, inside in zip(truth, mask):
        pool = labels == BLOOD
        assert ndimage.label(inside)[1] == 1 and ndimage.label(pool)[1] == 1
        assert np.array_equal(ndimage.binary_fill_holes(labels >= MYOCARDIUM), inside)
        assert not (ndimage.binary_dilation(pool) & ~inside).any()


def test_sizes_are_an_adults_and_the_ventricle_tapers_to_the_apex() -> None:
    for seed in range(8):
        patient = a_patient(seed, "healthy", None)
        spacing = patient.study.geometry.spacing
        assert 0.9 <= spacing[0] == spacing[1] <= 1.9 and 5 <= spacing[2] <= 14
        assert 3 <= len(patient.truth) <= 10
        area = patient.study.mask.sum((1, 2)) * patient.study.geometry.pixel_area
        pool = (patient.truth == BLOOD).sum((1, 2)) * patient.study.geometry.pixel_area
        assert area[0] == area.min() and 50 <= 2 * np.sqrt(area.max() / np.pi) <= 78
        widest = int(area.argmax())
        assert 5 <= np.sqrt(area[widest] / np.pi) - np.sqrt(pool[widest] / np.pi) <= 13


def test_walls_differ_by_angle_and_pixels_and_counts_of_slices_by_patient() -> None:
    patients = [a_patient(seed, "healthy", None) for seed in range(8)]
    assert len({p.study.geometry.spacing for p in patients}) == 8
    assert len({len(p.truth) for p in patients}) > 2
    for patient in patients[:4]:
        z = int(patient.study.mask.sum((1, 2)).argmax())
        depth = ndimage.distance_transform_edt(patient.truth[z] != BLOOD)
        rim = patient.study.mask[z] & ~ndimage.binary_erosion(patient.study.mask[z])
        thickness = depth[rim] * patient.study.geometry.spacing[0]
        assert np.percentile(thickness, 95) - np.percentile(thickness, 5) > 1.0


def test_slices_are_oblique_right_handed_and_run_from_apex_to_base() -> None:
    for seed in range(4):
        direction = np.reshape(a_patient(seed).study.geometry.direction, (3, 3))
        assert np.allclose(direction @ direction.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(direction) == pytest.approx(1.0)
        left, posterior, superior = direction[:, 2]
        assert left < 0 < posterior and superior > 0 and np.abs(direction).max() < 0.99


def test_insertion_points_lie_on_the_epicardium_at_both_ends_of_the_septum() -> None:
    found = 0
    for seed in range(6):
        patient = a_patient(seed)
        pixel = patient.study.geometry.spacing[0]
        for mask, points in zip(patient.study.mask, patient.study.insertion_points):
            if np.isnan(points).any():
                continue
            found += 1
            off = np.maximum(*(ndimage.distance_transform_edt(a) for a in (mask, ~mask)))
            assert all(off[tuple(np.rint(p).astype(int))] * pixel < 4.0 for p in points)
            middle = np.argwhere(mask).mean(0)
            assert points[0, 0] < points[1, 0] and points[:, 1].mean() < middle[1]
    assert found >= 10


def test_muscles_and_trabeculae_are_dark_inside_the_pool() -> None:
    dark = []
    for seed in range(4):
        patient = a_patient(seed, "healthy", None)
        values = patient.study.sequences[Role.BSSFP].values
        pool = ndimage.binary_erosion(patient.truth == BLOOD, PLANE, iterations=2)
        muscle = np.median(values[patient.truth == MYOCARDIUM])
        dark.append((values[pool] < (muscle + np.percentile(values[pool], 90)) / 2).mean())
    assert all(0.01 < share < 0.35 for share in dark)


# Disease

def test_a_typical_infarct_spreads_from_the_endocardium_inside_edema() -> None:
    for seed in range(6):
        patient = a_patient(seed, slices=None)
        assert patient.pattern == "one artery"
        scar, edema = patient.truth == SCAR, patient.truth == EDEMA
        risk, wall = scar | edema, patient.truth >= MYOCARDIUM
        assert scar.any() and edema.any() and 0.05 < risk.sum() / wall.sum() < 0.8
        assert touches(scar, patient.truth == BLOOD) > touches(scar, patient.truth == 0)
        # one territory, in three dimensions
        parts, count = ndimage.label(risk, np.ones((3, 3, 3)))
        assert np.bincount(parts.ravel())[1:].max() > 0.97 * risk.sum()


def a_heart(seed: int, disease: Disease | None) -> Heart:
    return draw_heart(np.random.default_rng(seed), np.random.default_rng(seed + 1), disease)


def test_territories_lie_where_the_arteries_run() -> None:
    """In the middle of the ventricle, infarcts lie to the front and septum, to the side, or
    below, and all three come about."""
    middle, directions = np.abs(TAU[0]) < 0.25, []
    for seed in range(30):
        wall = a_heart(seed, disease_of("typical", seed)[1]).wall
        dead = np.isin(wall, (Matter.INFARCT, Matter.OBSTRUCTED))[:, :, middle].sum((0, 2))
        if dead.any():
            directions.append(np.degrees(np.angle((dead * np.exp(1j * THETA[:, 0])).sum())))
    front, side, below = (sum(low < d < high for d in directions)
                          for low, high in ((-160, -60), (-50, 60), (70, 150)))
    assert front > 5 and side > 1 and below > 4
    assert front + side + below >= 0.9 * len(directions) >= 20


def test_healthy_hearts_have_no_lesion() -> None:
    for seed in range(6):
        patient = a_patient(seed, "healthy")
        assert patient.pattern == "healthy" and patient.truth.max() == MYOCARDIUM


@pytest.mark.parametrize("seed", range(14))
def test_atypical_lesions_are_what_they_are_called(seed: int) -> None:
    patient = make_other_patient(seed, patient_set="atypical", slices=6,
                                 kinds={Role.T2: Kind.T2_DARK_BLOOD})
    truth, pattern = patient.truth, patient.pattern
    assert pattern == PATTERNS[seed % len(PATTERNS)]
    scar, edema, wall = truth == SCAR, truth == EDEMA, truth >= MYOCARDIUM
    assert bool(scar.any()) is (pattern != "apical edema")
    assert bool(edema.any()) is (pattern not in ("mid-wall stripe", "old thin scar"))
    if pattern == "two arteries":
        parts, count = ndimage.label(scar | edema, np.ones((3, 3, 3)))
        assert (np.bincount(parts.ravel())[1:] > 0.02 * wall.sum()).sum() == 2
    elif pattern == "mid-wall stripe":
        assert touches(scar, truth == BLOOD) < 0.15 and touches(scar, truth == 0) < 0.15
    elif pattern == "subepicardial patches":
        assert touches(scar, truth == BLOOD) < 0.1 < touches(scar, truth == 0)
    elif pattern == "subendocardial ring":
        pool = truth == BLOOD
        assert touches(pool & ~ndimage.binary_erosion(pool, PLANE), scar) > 0.7
        assert touches(scar, truth == 0) < 0.05
    elif pattern == "apical edema":
        share = (truth == EDEMA).sum((1, 2)) / wall.sum((1, 2))
        assert share[0] > 0.9 and share[-1] < 0.1
    elif pattern == "small embolic infarct":
        assert scar.sum() < 0.08 * wall.sum() and edema.sum() < 0.1 * wall.sum()


def test_an_old_infarct_has_thinned_its_wall_and_nothing_else() -> None:
    for seed in (5, 12):
        heart, before = a_heart(seed, disease_of("atypical", seed)[1]), a_heart(seed, None)
        left = (heart.outer - heart.inner) / (before.outer - before.inner)
        scarred = (heart.wall == Matter.FIBROSIS).any(0)
        assert scarred.mean() > 0.05 and left[scarred].mean() < 0.9
        assert np.allclose(left[~ndimage.binary_dilation(scarred, iterations=15)], 1.0)


# Contrasts

def test_blood_is_brightest_on_bssfp() -> None:
    assert typical_value(Role.BSSFP, BLOOD) == pytest.approx(1.0)
    assert typical_value(Role.BSSFP, EDEMA) < 0.3 and typical_value(Role.BSSFP, SCAR) < 0.3


@pytest.mark.parametrize("kind", LGE_KINDS)
def test_scar_is_bright_on_late_enhancement_and_blood_as_its_kind_says(kind: Kind) -> None:
    scar, edema, blood = (typical_value(Role.LGE, t, lge=kind) for t in (SCAR, EDEMA, BLOOD))
    assert scar > 0.4 and scar > edema + 0.3
    assert (blood < -0.2) is (kind is Kind.LGE_DARK_BLOOD)


@pytest.mark.parametrize("kind", T2_KINDS)
def test_edema_is_bright_on_t2_and_blood_as_its_kind_says(kind: Kind) -> None:
    edema, scar, blood = (typical_value(Role.T2, t, t2=kind) for t in (EDEMA, SCAR, BLOOD))
    assert min(edema, scar) > 0.04 and (blood < -0.5) is (kind is Kind.T2_DARK_BLOOD)
    assert blood < -0.5 or blood == pytest.approx(1.0)


def test_a_t2_map_is_in_milliseconds() -> None:
    patient = a_patient(2, t2=Kind.T2_MAP)
    values = patient.study.sequences[Role.T2].values
    assert 45 < np.median(values[patient.truth == MYOCARDIUM]) < 62
    assert 150 < np.median(values[patient.truth == BLOOD]) < 300


def test_muscle_is_nulled_on_psir_give_or_take_a_technician_and_magnitude_is_positive() -> None:
    nulled = []
    for seed in range(8):
        patient = make_other_patient(seed, slices=3, kinds={Role.LGE: Kind.LGE_PSIR})
        values = patient.study.sequences[Role.LGE].values
        muscle = ndimage.binary_erosion(patient.truth == MYOCARDIUM, PLANE)
        nulled.append(np.median(values[muscle]) / np.median(values[patient.truth == BLOOD]))
    assert min(nulled) < 0 < max(nulled) and np.abs(nulled).max() < 0.3
    for kind in (Kind.LGE_MAGNITUDE, Kind.LGE_DARK_BLOOD):
        assert a_patient(2, lge=kind).study.sequences[Role.LGE].values.min() >= 0


@pytest.mark.parametrize("lge, t2", list(zip(LGE_KINDS, T2_KINDS)))
@pytest.mark.parametrize("patient_set", SETS)
def test_a_user_would_be_told_of_nothing_wrong(patient_set: str, lge: Kind, t2: Kind) -> None:
    study = make_other_patient(4, patient_set=patient_set,
                               kinds={Role.BSSFP: Kind.BSSFP, Role.LGE: lge, Role.T2: t2}).study
    check_study(study)
    assert study.warnings == [] and study.excluded == {}


def test_air_is_rayleigh_on_magnitude_images_and_normal_on_signed_ones() -> None:
    ratios, means = [], []
    for seed in range(6):
        for values, kept in ((a_patient(seed).study.sequences[Role.LGE].values, ratios),
                             (a_patient(seed, lge=Kind.LGE_PSIR).study.sequences[Role.LGE].values,
                              means)):
            air = values[:, 50:75, -14:]
            kept.append(float(air.mean() / air.std()))
    # lungs give a little signal on top of sqrt(pi / 2) / sqrt(2 - pi / 2) = 1.91
    assert 1.8 < np.median(ratios) < 2.4 and abs(np.median(means)) < 1.2
