"""The phantom's hearts: anatomy and lesions as in patients."""

from __future__ import annotations

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

from deepgmm.phantom import PATTERNS, PatientSet, PhantomPatient, make_patient
from deepgmm.study.words import Role, Tissue

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
