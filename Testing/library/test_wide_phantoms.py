"""The phantoms that the shipped network learns from: wide, whole, and away from the test side."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from deepgmm.study.checks import check_study
from deepgmm.study.words import Tissue

BENCHMARKS = Path(__file__).resolve().parents[2] / "Benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from wide_hearts import Lesion, bounds_of, draw_heart  # noqa: E402
from wide_phantoms import FIRST_WIDEST_SEED, WidePatient, widest_patient  # noqa: E402

LEVELS = np.linspace(0.1, 0.9, 9)


@cache
def patients() -> list[WidePatient]:
    return [widest_patient(seed) for seed in range(FIRST_WIDEST_SEED, FIRST_WIDEST_SEED + 7)]


def depths(age: str, layer: str) -> dict[str, np.ndarray]:
    """(levels, 2, angles) by material, of one lesion in the middle of a heart."""
    rng = np.random.default_rng(4)
    drawn = Lesion.draw(rng, age)
    lesion = Lesion(**(vars(drawn) | {"layer": layer, "depth": 0.5, "across": 25.0, "along": 30.0,
                                      "level": 0.5, "soft": 3.0, "core": np.inf}))
    return {material.name: bound
            for material, bound in bounds_of([lesion], draw_heart(rng), LEVELS)}


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again = (widest_patient(FIRST_WIDEST_SEED + 1) for _ in range(2))
    assert first.truth.tobytes() == again.truth.tobytes()
    assert all(a.values.tobytes() == b.values.tobytes() for a, b in
               zip(first.study.sequences.values(), again.study.sequences.values()))


def test_they_vary_in_all_that_a_network_sees() -> None:
    pixels = [p.study.geometry.spacing[0] for p in patients()]
    areas = [p.study.mask.sum((1, 2)).max() * p.study.geometry.pixel_area for p in patients()]
    assert max(pixels) / min(pixels) > 1.4 and max(areas) / min(areas) > 1.7
    kinds = {s.kind for p in patients() for s in p.study.sequences.values()}
    assert len(kinds) >= 6
    ill = [bool((p.truth >= Tissue.EDEMA).any()) for p in patients()]
    assert 0.4 < np.mean(ill) < 1.0


def test_every_one_is_a_whole_heart_that_a_user_could_have() -> None:
    for patient in patients():
        check_study(patient.study)
        assert np.array_equal(patient.study.mask, patient.truth > 0)
        for labels in patient.truth:
            assert ndimage.label(labels > 0)[1] == 1 and (labels == Tissue.BLOOD).any()
            assert (labels >= Tissue.MYOCARDIUM).any()


def test_lesions_lie_in_the_layer_and_have_the_tissues_that_they_are_called_by() -> None:
    assert set(depths("old", "inner")) == {"SCAR", "MVO"}
    assert set(depths("edema", "inner")) == {"EDEMA"}
    assert set(depths("fresh", "inner")) == {"EDEMA", "SCAR", "MVO"}
    for layer in ("inner", "outer", "middle", "through"):
        low, high = depths("old", layer)["SCAR"].transpose(1, 0, 2)
        held = high > low
        assert held.any() and not held.all()
        assert (low[held] <= 0).all() == (layer in ("inner", "through"))
        assert (high[held] >= 1).all() == (layer in ("outer", "through"))
