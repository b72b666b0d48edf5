"""Pre-flight: what is refused, repaired, left out or warned of, and what is let through."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
from study_files import MASK, POOL, RADIUS, SHAPE, WALL, arrays

from deepgmm.errors import InputError
from deepgmm.phantom import make_patient
from deepgmm.study.checks import check_study, parse_slices
from deepgmm.study.kinds import guess_kind
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role

KINDS = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}


def a_study_of(mask: np.ndarray = MASK, geometry=None, **images: np.ndarray) -> Study:
    made = {**arrays(), **images}
    return Study({role: Sequence(role, made[role.value], KINDS[role]) for role in Role},
                 mask, geometry or Geometry((2.0, 2.0, 8.0)))


@pytest.fixture
def a_study() -> Study:
    return a_study_of()


def warnings_of(study: Study, **choices) -> str:
    check_study(study, **choices)
    return "\n".join(study.warnings)


def refusal(study: Study, **choices) -> str:
    with pytest.raises(InputError) as caught:
        check_study(study, **choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_study_passes_unchanged(a_study) -> None:
    before = copy.deepcopy(a_study)
    check_study(a_study)
    assert a_study.warnings == [] and a_study.excluded == {}
    for role in Role:
        np.testing.assert_array_equal(a_study.sequences[role].values,
                                      before.sequences[role].values)


def test_checking_twice_is_as_checking_once() -> None:
    images = arrays()
    images["lge"][0, 23, 23] = np.nan
    images["t2"][1] = 5.0
    del images["mask"]
    study = a_study_of(np.where(np.arange(3)[:, None, None] == 2, False, MASK), **images)
    check_study(study, guess=Role)
    once = copy.deepcopy((study.warnings, study.excluded))
    check_study(study, guess=Role)
    assert (study.warnings, study.excluded) == once and once[0]


# Slices

@pytest.mark.parametrize(("text", "wanted"), [
    ("0", {0}), ("0,2-5", {0, 2, 3, 4, 5}), (" 1 , 3 - 4", {1, 3, 4}), ("2-2,2", {2}),
])  # fmt: skip
def test_slices_are_listed_as_people_do(text: str, wanted: set[int]) -> None:
    assert parse_slices(text, 6) == wanted


@pytest.mark.parametrize(("text", "hint"), [
    ("", "0,2-5"), ("a", "0,2-5"), ("1;2", "0,2-5"), ("-1", "0,2-5"), ("1.5", "0,2-5"),
    ("4-2", "write 2-4"), ("6", "the images have 6, 0 to 5"), ("0-9", "there is no slice 9"),
])  # fmt: skip
def test_slices_that_are_not_there(text: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        parse_slices(text, 6)


# Mask

def test_an_empty_mask_and_one_of_one_pixel_are_refused() -> None:
    assert "LV mask is empty" in refusal(a_study_of(np.zeros(SHAPE, bool)))
    one = np.zeros(SHAPE, bool)
    one[1, 24, 24] = True
    assert "a single pixel" in refusal(a_study_of(one))


def test_a_slice_with_too_few_pixels_is_left_out() -> None:
    mask = MASK.copy()
    mask[0] = False
    mask[0, 20:23, 20:33] = True  # 39; four tissues want 40
    study = a_study_of(mask)
    assert "slice 0 was left out: 39 pixels" in warnings_of(study)
    assert study.slices == (1, 2)
    study = a_study_of(mask)
    check_study(study, tissues=3)
    assert study.slices == (0, 1, 2)


@pytest.mark.parametrize(("undrawn", "said"), [
    ((1, 3), "the LV mask is empty on slices 1, 3 between drawn ones: volumes do not count them; "
             "fill between slices, or draw them"),
    ((2,), "the LV mask is empty on slice 2 between drawn ones: volumes do not count it; "
           "fill between slices, or draw it"),
    ((0, 4), ""),
])
def test_slices_forgotten_between_drawn_ones_are_said(undrawn: tuple[int, ...], said: str) -> None:
    study = make_patient(1001, slices=5).study
    study.mask[list(undrawn)] = False
    check_study(study)
    assert study.warnings == ([said] if said else [])


def test_slices_that_the_user_left_out_are_not_forgotten() -> None:
    study = make_patient(1001, slices=5).study
    study.mask[[1, 3]] = False
    study.excluded = {1: "left out by the user", 3: "left out by the user"}
    check_study(study)
    assert study.warnings == []


def test_too_few_pixels_everywhere_are_refused() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[:, 20:23, 20:33] = True
    assert "at most 39 pixels on a slice, too few for 4 tissues" in refusal(a_study_of(mask))


def test_asking_only_for_slices_without_mask_is_refused() -> None:
    mask = MASK.copy()
    mask[0] = False
    study = a_study_of(mask)
    study.excluded = {1: "left out by --slices", 2: "left out by --slices"}
    assert "no slice is left" in refusal(study)


def test_a_mask_beside_the_heart_is_refused() -> None:
    images = arrays()
    for role in ("bssfp", "lge", "t2"):
        images[role][:, :, :45] = 0  # what there is to see lies elsewhere
    assert "misses what there is to see" in refusal(a_study_of(**images))


@pytest.mark.parametrize(("shift", "said"), [(0, False), (7, True)])
def test_a_mask_at_the_border_is_said(shift: int, said: bool) -> None:
    study = a_study_of(np.roll(MASK, shift, axis=1))
    assert ("touches the image's border" in warnings_of(study)) is said


def test_a_mask_of_nearly_the_whole_image_is_said_and_of_all_of_it_refused() -> None:
    assert "covers 100 % of the image" in refusal(a_study_of(np.ones(SHAPE, bool)))
    most = np.zeros(SHAPE, bool)
    most[:, 2:-2, 2:-2] = True
    assert "is this the left ventricle?" in warnings_of(a_study_of(most))


@pytest.mark.parametrize(("pixel", "said"), [(0.3, True), (1.3, False), (3.0, False), (5.0, True)])
def test_a_heart_too_small_or_too_large_is_said(pixel: float, said: bool) -> None:
    study = a_study_of(geometry=Geometry((pixel, pixel, 8.0)))
    assert ("mm2, wanted 250 to 12000" in warnings_of(study)) is said


def test_the_wall_given_as_the_mask_is_refused_and_a_small_hole_said() -> None:
    assert "give the pool too, together with the wall or apart from it" in refusal(a_study_of(WALL))
    apex = np.where(np.arange(3)[:, None, None] == 2, MASK, WALL)  # without a pool of its own
    assert "the LV mask has a hole of 28 %" in refusal(a_study_of(apex))
    small = MASK & (RADIUS > 5)
    assert "the LV mask has holes" in warnings_of(a_study_of(small))
    one = np.where(np.arange(3)[:, None, None] == 2, WALL, MASK)
    assert "the LV mask has holes" in warnings_of(a_study_of(one))


def test_a_second_island_is_said() -> None:
    mask = MASK & ~(abs(np.arange(48) - 24) < 3)
    assert "several parts" in warnings_of(a_study_of(mask))


# Values

@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_few_wild_voxels_take_their_neighbours_median(wrong: float) -> None:
    images = arrays()
    image = images["lge"]
    around = image[1, 21:26, 21:26].copy()
    image[1, 23, 23] = image[0, 0, 0] = wrong
    study = a_study_of(lge=image)
    assert "LGE has NaN or infinite values in 1 pixels" in warnings_of(study)
    values = study.sequences[Role.LGE].values
    assert np.isfinite(values).all()
    rest = np.delete(around.ravel(), 12)
    assert values[1, 23, 23] == pytest.approx(np.median(rest))
    assert np.isnan(image[1, 23, 23]) or np.isinf(image[1, 23, 23])  # the user's array is theirs


def test_wild_voxels_outside_the_mask_become_zero() -> None:
    images = arrays()
    images["t2"][:, 0] = np.nan
    study = a_study_of(**images)
    assert ("T2 does not cover the whole image, or has NaN or infinite values, outside the LV mask"
            in warnings_of(study))
    assert (study.sequences[Role.T2].values[:, 0] == 0).all()


def test_many_wild_voxels_are_refused() -> None:
    images = arrays()
    images["bssfp"][:, :, 20:22] = np.inf
    count = int((np.isinf(images["bssfp"]) & MASK).sum())
    said = refusal(a_study_of(**images))
    assert f"bSSFP has NaN or infinite values in {count} of {MASK.sum()} pixels" in said
    assert "on slices 0-2" in said and "leave" not in said


def test_a_sequence_that_lies_elsewhere_is_not_called_damaged() -> None:
    images = arrays()
    images["t2"][:2] = np.nan
    assert refusal(a_study_of(**images)) == (
        "T2 does not reach the LV mask on slices 0-1: see whether it belongs to this patient and "
        "lies where LGE does (in Slicer: under the same transform)")
    images = arrays()
    images["lge"][:] = np.nan
    assert "LGE does not reach the LV mask on slices 0-2" in refusal(a_study_of(**images))


def test_wild_voxels_of_some_slices_are_named_and_of_slices_left_out_forgiven() -> None:
    images = arrays()
    images["t2"][1, :, 20:30] = np.nan
    said = refusal(a_study_of(**images))
    assert "on slice 1 " in said and said.endswith(", or leave slice 1 out")
    study = a_study_of(**images)
    study.excluded = {1: "left out by --slices"}
    assert warnings_of(study) == ""
    assert np.isfinite(study.sequences[Role.T2].values).all()


def test_a_constant_image_is_refused() -> None:
    assert "T2 is constant (7 everywhere)" in refusal(a_study_of(t2=np.full(SHAPE, 7.0)))
    flat = np.where(MASK, 7.0, arrays()["t2"])
    assert "T2, which is 7 everywhere inside it" in refusal(a_study_of(t2=flat))


def test_a_constant_slice_is_left_out() -> None:
    images = arrays()
    images["lge"][1] = 3.0
    study = a_study_of(**images)
    assert "slice 1 was left out: LGE is constant" in warnings_of(study)
    assert study.slices == (0, 2)


def test_a_saturated_image_is_said() -> None:
    assert "LGE is saturated" in warnings_of(a_study_of(lge=np.minimum(arrays()["lge"], 255.0)))


def test_a_nulled_wall_is_no_fault() -> None:
    """A good LGE may be 0 over most of the wall."""
    nulled = np.where(WALL & (arrays()["lge"] < 80), 0.0, arrays()["lge"])
    assert warnings_of(a_study_of(lge=nulled)) == ""


# Kinds

def test_negative_values_are_ordinary_on_psir_alone() -> None:
    signed = arrays()["lge"] - 100
    study = a_study_of(lge=signed)
    assert "LGE has negative values" in warnings_of(study)
    assert "say that it is PSIR if it is" in study.warnings[0]
    study = a_study_of(lge=signed)
    study.sequences[Role.LGE].kind = Kind.LGE_PSIR
    assert warnings_of(study) == ""


def test_a_t2_map_is_in_milliseconds() -> None:
    ms = np.where(POOL, 180.0, 50.0) + 0.05 * arrays()["lge"]
    for values, said in ((ms, False), (ms * 10, True)):
        study = a_study_of(t2=values)
        study.sequences[Role.T2].kind = Kind.T2_MAP
        assert ("said to be a map in ms" in warnings_of(study)) is said


@pytest.mark.parametrize("lge", [Kind.LGE_MAGNITUDE, Kind.LGE_PSIR, Kind.LGE_DARK_BLOOD])
@pytest.mark.parametrize("t2", [Kind.T2_DARK_BLOOD, Kind.T2_PREPARED, Kind.T2_MAP])
def test_the_phantoms_kinds_are_guessed(lge: Kind, t2: Kind) -> None:
    kinds = {Role.BSSFP: Kind.BSSFP, Role.LGE: lge, Role.T2: t2}
    study = make_patient(3, slices=2, kinds=kinds, shape=(96, 96)).study
    for role, sequence in study.sequences.items():
        kind, confidence = guess_kind(role, sequence.values, study.mask)
        assert kind is kinds[role] and confidence >= 0.5
    check_study(study)  # as said
    assert study.warnings == []
    # Bright-blood T2 was "said" to be dark-blood, and the other way about.
    wrong = Kind.T2_PREPARED if t2 is Kind.T2_DARK_BLOOD else Kind.T2_DARK_BLOOD
    study.sequences[Role.T2].kind = wrong
    assert "T2" in warnings_of(study)


def test_too_small_a_mask_gives_no_guess() -> None:
    tiny = np.zeros(SHAPE, bool)
    tiny[:, 22:25, 22:25] = True
    kind, confidence = guess_kind(Role.LGE, arrays()["lge"], tiny)
    assert kind is Kind.UNKNOWN and confidence < 0.5


@pytest.mark.parametrize("seed", [11, 12])
def test_exchanged_files_are_noticed(seed: int) -> None:
    patient = make_patient(seed, slices=2, shape=(96, 96)).study
    for order in itertools.permutations(Role):
        study = Study({role: Sequence(role, patient.sequences[source].values)
                       for role, source in zip(Role, order)}, patient.mask, patient.geometry)
        check_study(study, guess=Role)
        exchanged = [w for w in study.warnings if "exchanged" in w]
        assert bool(exchanged) is (order != tuple(Role)), (order, study.warnings)
    names = {"bSSFP", "LGE", "T2"}
    assert all(sum(name in w for name in names) >= 2 for w in exchanged)


def as_psir_of_a_patient(offset: float = 0.0) -> Study:
    """PSIR whose wall was nulled late: all of the ventricle is positive, the chest is not."""
    patient = make_patient(7, slices=2, kinds={Role.LGE: Kind.LGE_PSIR})
    values = patient.study.sequences[Role.LGE].values
    inside = values[patient.study.mask]
    lifted = np.where(patient.study.mask, values - inside.min() + 1, values)
    lge = Sequence(Role.LGE, lifted + offset)
    return replace(patient.study, sequences={Role.LGE: lge}, warnings=[])


def test_psir_is_known_by_a_chest_below_zero_where_the_ventricle_is_not() -> None:
    study = as_psir_of_a_patient()
    assert (study.sequences[Role.LGE].values[study.mask] > 0).all()
    check_study(study, guess=[Role.LGE])
    assert study.sequences[Role.LGE].kind is Kind.LGE_PSIR
    assert study.provenance["kinds_guessed"] == ["lge"]


def test_what_fills_blank_corners_does_not_make_a_magnitude_image_signed() -> None:
    study = make_patient(7, slices=2).study
    values = study.sequences[Role.LGE].values.copy()
    values[:, :12, :12] = -2048
    assert guess_kind(Role.LGE, values, study.mask)[0] is Kind.LGE_MAGNITUDE


def test_psir_stored_with_an_offset_is_said_to_have_been_taken_for_magnitude() -> None:
    said = warnings_of(as_psir_of_a_patient(offset=4096.0), guess=[Role.LGE])
    assert "nowhere dark" in said and "PSIR" in said
    plain = make_patient(7, slices=2).study
    assert "nowhere dark" not in warnings_of(plain, guess=[Role.LGE])
