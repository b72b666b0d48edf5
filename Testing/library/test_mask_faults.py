"""Slips of someone who draws an LV mask are found, and good masks are left in peace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepgmm.phantom import make_patient
from deepgmm.study.mask_faults import find_mask_faults, undrawn_slices

SUNNYBROOK = Path(__file__).resolve().parents[2].parent / "shared/data/sunnybrook"


@pytest.fixture
def a_mask() -> np.ndarray:
    """Seven discs that taper towards the apex."""
    rows, columns = np.indices((60, 64))
    distance = np.hypot(rows - 30, columns - 32)
    return np.stack([distance < radius for radius in (8, 12, 15, 17, 18, 18, 18)])


def said(mask: np.ndarray) -> list[str]:
    return [str(fault) for fault in find_mask_faults(mask)]


def test_nothing_is_said_of_a_heart_that_tapers(a_mask) -> None:
    assert said(a_mask) == []


def test_an_empty_mask_is_one_thing_to_say() -> None:
    (only,) = said(np.zeros((3, 9, 9), bool))
    assert "nothing is drawn" in only


def test_slices_without_outline_are_named_together(a_mask) -> None:
    a_mask[[2, 4, 5]] = False
    (only,) = said(a_mask)
    assert only.startswith("slices 2, 4-5: nothing is drawn between")
    assert "Fill between slices" in only


def test_slices_between_drawn_ones_are_named_by_number(a_mask) -> None:
    a_mask[[0, 2, 4, 5]] = False
    assert undrawn_slices(a_mask) == (2, 4, 5)
    assert undrawn_slices(np.zeros((3, 9, 9), bool)) == ()


def test_slices_beyond_the_first_and_the_last_are_not_missing(a_mask) -> None:
    a_mask[[0, 6]] = False
    assert said(a_mask) == []


def test_a_single_slice_of_several_is_said(a_mask) -> None:
    a_mask[[i for i in range(7) if i != 3]] = False
    (only,) = said(a_mask)
    assert only.startswith("slice 3: the only slice of 7")


def test_a_hole_is_counted_in_pixels(a_mask) -> None:
    a_mask[3, 28:30, 30:33] = False
    (only,) = said(a_mask)
    assert only.startswith("slice 3: a hole of 6 pixels")


def test_an_island_is_counted_and_a_hole_in_it_is_a_hole(a_mask) -> None:
    a_mask[5, 2:7, 2:7] = True
    a_mask[5, 4, 4] = False
    hole, island = said(a_mask)
    assert hole.startswith("slice 5: a hole of 1 pixel;")
    assert island.startswith("slice 5: 2 separate parts, beside the largest 25 pixels")


@pytest.mark.parametrize(("radius", "word"), [(28, "larger"), (7, "smaller")])
def test_a_slice_unlike_its_neighbours_is_named_and_they_are_not(a_mask, radius, word) -> None:
    rows, columns = np.indices((60, 64))
    a_mask[3] = np.hypot(rows - 30, columns - 32) < radius
    (only,) = said(a_mask)
    assert only.startswith(f"slice 3: much {word} than the slices beside it")


def test_an_end_may_be_small_but_not_large(a_mask) -> None:
    a_mask[0] = a_mask[6]
    (only,) = said(a_mask)
    assert only.startswith("slice 0: much larger than the slice beside it")


def test_what_touches_the_border_is_said_once(a_mask) -> None:
    a_mask = a_mask[:, :, 20:]
    (only,) = said(a_mask)
    assert only.startswith("slices 2-6: touches the border of the image")


def test_phantoms_have_nothing_wrong() -> None:
    for seed in (1000, 1001):
        assert said(make_patient(seed=seed, slices=8, shape=(128, 128)).study.mask) == []


def test_outlines_of_experts_have_nothing_wrong() -> None:
    sitk = pytest.importorskip("SimpleITK")
    files = sorted(SUNNYBROOK.glob("*_lv.nii.gz"))
    if not files:
        pytest.skip("the Sunnybrook data are not beside the project")
    for path in files:
        assert said(sitk.GetArrayFromImage(sitk.ReadImage(str(path))) > 0) == []
