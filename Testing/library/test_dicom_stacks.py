"""Planes to stacks: sorted, joined, repeats and gaps, each slice where it was acquired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import CINE, LGE, PSIR, STIR, Examination, a_cine

from deepgmm import InputError
from deepgmm.reading.dicom.frames import Variation
from deepgmm.reading.dicom.headers import scan
from deepgmm.reading.dicom.pixels import volume_of
from deepgmm.reading.dicom.stack import Stack
from deepgmm.reading.dicom.stacks import stacks_of
from deepgmm.study.study import Geometry

#: Oblique, so that no axis of the patient is an axis of the image.
OBLIQUE = Geometry((1.5, 1.25, 8.0), (-90.0, 41.5, 30.0),
                   (0.8, -0.36, -0.48, 0.6, 0.48, 0.64, 0.0, -0.8, 0.6))


def some_values(slices: int = 4, phases: int | None = None, shape=(20, 24)) -> np.ndarray:
    """Whole numbers that differ everywhere."""
    many = (slices, *shape) if phases is None else (phases, slices, *shape)
    return np.random.default_rng(3).integers(0, 2000, many).astype(np.float32)


def stacks_in(exam: Examination) -> list[Stack]:
    return stacks_of(scan(exam.folder).frames)


def the_stack(exam: Examination) -> Stack:
    (stack,) = stacks_in(exam)
    return stack


def test_a_shuffled_series_comes_back_in_its_place(exam) -> None:
    values = some_values()
    exam.add(7, "psir_sa", values, OBLIQUE, tags=PSIR, seed=11)
    volume = volume_of(the_stack(exam))
    np.testing.assert_array_equal(volume.values[0], values)
    assert volume.values.dtype == np.int16, "nothing needs more"
    np.testing.assert_allclose(volume.geometry.index_to_world(), OBLIQUE.index_to_world(),
                               atol=1e-5)
    assert not volume.warnings and volume.layers == [0, 1, 2, 3]


def test_one_series_a_slice_is_one_stack(exam) -> None:
    values = some_values(6)
    exam.add(10, "CINE_segmented_SAX", values, OBLIQUE, tags=CINE, one_series_a_slice=True,
             counter="_b{}")
    stack = the_stack(exam)
    assert stack.numbers == (10, 11, 12, 13, 14, 15)
    np.testing.assert_array_equal(volume_of(stack).values[0], values)


@pytest.mark.parametrize("names", [("SA base", "SA mid", "SA apex"), ("sax", "sax", "sax"),
                                   ("T2 SA 1", "T2 SA 2", "T2 SA 3"), ("sa1", "sa2", "sa3")])
def test_series_of_one_slice_join_whatever_counts_them(exam, names) -> None:
    values = some_values(3)
    for i, name in enumerate(names):
        exam.add(20 + i, name, values[i:i + 1], OBLIQUE, tags=STIR, positions=[8.0 * i])
    np.testing.assert_array_equal(volume_of(the_stack(exam)).values[0], values)


def test_different_sequences_of_one_slice_do_not_join(exam) -> None:
    for i, (name, tags) in enumerate((("sa cine", CINE), ("sa lge", LGE), ("sa stir", STIR))):
        exam.add(i + 1, name, some_values(1), OBLIQUE, tags=tags, positions=[8.0 * i])
    assert len(stacks_in(exam)) == 3


def test_phases_are_sorted_by_trigger_time(exam) -> None:
    values = some_values(3, phases=10)
    times = [12.0 + 80 * p for p in range(10)]
    exam.add(5, "cine_sa", values, OBLIQUE, tags=CINE, times=times, seed=4)
    stack = the_stack(exam)
    volume = volume_of(stack)
    assert stack.variation is Variation.PHASE and volume.times == times
    np.testing.assert_array_equal(volume.values, values)


def test_a_cine_without_times_keeps_its_order(exam) -> None:
    values = some_values(3, phases=10)
    exam.add(5, "cine_sa", values, OBLIQUE, tags=CINE, seed=4)
    stack = the_stack(exam)
    assert stack.variation is Variation.ORDER
    np.testing.assert_array_equal(volume_of(stack).values, values)


def test_a_slice_with_fewer_frames_is_filled_and_said(exam) -> None:
    values = some_values(3, phases=10)
    exam.add(5, "cine_sa", values[:, :2], OBLIQUE, tags=CINE, times=[80.0 * p for p in range(10)])
    exam.add(6, "cine_sa", values[::2, 2:], OBLIQUE, tags=CINE, positions=[16.0],
             times=[160.0 * p for p in range(5)])
    volume = volume_of(the_stack(exam))
    assert volume.values.shape[:2] == (10, 3)
    np.testing.assert_array_equal(volume.values[0, 2], values[0, 2])
    np.testing.assert_array_equal(volume.values[9, 2], values[8, 2])
    assert any("not every slice has 10 frames" in w for w in volume.warnings)


def test_different_variations_are_told_apart(exam) -> None:
    many = some_values(1, phases=9)
    exam.add(1, "one", many, OBLIQUE, vary={"InversionTime": [100 + 50 * p for p in range(9)]})
    exam.add(2, "two", many[:3], OBLIQUE, vary={"EchoTime": [10.0, 30.0, 55.0]})
    exam.add(3, "three", many, OBLIQUE, seconds_apart=1.0)
    # GE counts trigger times of a perfusion on through all heartbeats.
    exam.add(4, "four", many, OBLIQUE, times=[900.0 * p for p in range(9)])
    assert [s.variation for s in stacks_in(exam)] == [
        Variation.INVERSION, Variation.ECHO, Variation.TIME, Variation.TIME]


# Repeats

def test_of_a_repeated_slice_the_latest_stays(exam) -> None:
    values, again = some_values(4), some_values(4) + 1
    exam.add(30, "psir_sa", values, OBLIQUE, tags=PSIR)
    exam.add(34, "psir_sa", again[1:2], OBLIQUE, tags=PSIR, positions=[8.0])
    stack = the_stack(exam)
    np.testing.assert_array_equal(volume_of(stack).values[0][1], again[1])
    np.testing.assert_array_equal(volume_of(stack).values[0][[0, 2, 3]], values[[0, 2, 3]])
    assert stack.notes == ["1 slice was acquired again: of series 30 and 34 the later, 34, "
                           "was kept"]


def test_later_means_by_the_clock_not_by_the_number(exam) -> None:
    first, second = some_values(4), some_values(4) + 1
    exam.add(40, "stir_sa", first, OBLIQUE, tags=STIR)
    exam.add(12, "stir_sa", second, OBLIQUE, tags=STIR)
    stack = the_stack(exam)
    np.testing.assert_array_equal(volume_of(stack).values[0], second)
    assert "4 slices were acquired again" in stack.notes[0]


def test_copies_of_a_file_count_once(exam) -> None:
    values = some_values()
    for path in exam.add(3, "psir_sa", values, OBLIQUE, tags=PSIR):
        (exam.folder / f"copy of {path.name}").write_bytes(path.read_bytes())
    stack = the_stack(exam)
    np.testing.assert_array_equal(volume_of(stack).values[0], values)
    assert not stack.notes


def test_stacks_that_lie_between_each_other_stay_apart(exam) -> None:
    exam.add(3, "lge_sa", some_values(), OBLIQUE, tags=LGE)
    exam.add(4, "lge_sa", some_values(), OBLIQUE, tags=LGE,
             positions=[4.0, 12.0, 20.0, 28.0])
    assert [len(s.slices) for s in stacks_in(exam)] == [4, 4]


@pytest.mark.parametrize("names", [("lge_sa", "lge_sa"), ("lge_sa odd", "lge_sa even"),
                                   ("LGE SA ungerade Schichten", "LGE SA gerade Schichten")])
@pytest.mark.parametrize("slices", [8, 9])
def test_odd_and_even_slices_are_one_stack_and_said(exam, names, slices) -> None:
    """Each series has room for the other between its slices of 8 mm, 16 mm apart."""
    values = some_values(slices)
    for number, half in enumerate((slice(0, None, 2), slice(1, None, 2))):
        exam.add(3 + number, names[number], values[half], OBLIQUE, tags=LGE,
                 positions=[8.0 * i for i in range(slices)][half])
    stack = the_stack(exam)
    np.testing.assert_array_equal(volume_of(stack).values[0], values)
    assert ["series 3 and 4 each hold every other slice" in note for note in stack.notes] == [True]


@pytest.mark.parametrize("why, positions, beside", [
    ("not in the middle", [5.0, 21.0, 37.0, 53.0], 0.0),
    ("not in one line", [8.0, 24.0, 40.0, 56.0], 6.0),
    ("not alternating", [8.0, 24.0, 72.0, 88.0], 0.0)])
def test_series_that_are_no_halves_stay_apart(exam, why, positions, beside) -> None:
    exam.add(3, "lge_sa", some_values(), OBLIQUE, tags=LGE, positions=[0.0, 16.0, 32.0, 48.0])
    exam.add(4, "lge_sa", some_values(), OBLIQUE, tags=LGE, positions=positions,
             in_plane=[(beside, 0.0)] * 4)
    assert [len(s.slices) for s in stacks_in(exam)] == [4, 4]


def test_a_stack_in_two_halves_is_one(exam) -> None:
    values = some_values(8)
    exam.add(3, "lge_sa", values[:4], OBLIQUE, tags=LGE)
    exam.add(4, "lge_sa", values[4:], OBLIQUE, tags=LGE, positions=[32.0, 40.0, 48.0, 56.0])
    np.testing.assert_array_equal(volume_of(the_stack(exam)).values[0], values)


def test_a_stack_turned_by_ten_degrees_is_another(exam) -> None:
    turn = np.deg2rad(10)
    turned = np.asarray(OBLIQUE.direction).reshape(3, 3) @ [
        [1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    exam.add(3, "cine_sa", some_values(), OBLIQUE, tags=CINE)
    exam.add(4, "cine_sa", some_values(), Geometry(OBLIQUE.spacing, OBLIQUE.origin,
                                                   tuple(turned.ravel())), tags=CINE)
    assert len(stacks_in(exam)) == 2


# Gaps and places

def test_a_missing_slice_leaves_its_place_empty(exam) -> None:
    values = some_values(5)
    exam.add(3, "psir_sa", values, OBLIQUE, tags=PSIR, skip=[2])
    volume = volume_of(the_stack(exam))
    assert volume.layers == [0, 1, 3, 4] and volume.geometry.spacing[2] == pytest.approx(8.0)
    np.testing.assert_array_equal(volume.values[0][[0, 1, 3, 4]], values[[0, 1, 3, 4]])
    assert not volume.values[0][2].any()
    assert volume.warnings == ["1 slice is missing (slice 2, counted from 0) and left empty"]


def test_uneven_slices_keep_their_own_places(exam) -> None:
    places = [0.0, 8.0, 17.0, 25.0]
    exam.add(3, "psir_sa", some_values(), OBLIQUE, tags=PSIR, positions=places)
    volume = volume_of(the_stack(exam))
    np.testing.assert_allclose(np.diff(volume.heights), np.diff(places), atol=1e-4)
    world = np.asarray(volume.geometry.origin) + OBLIQUE.index_to_world()[:3, 2] / 8.0 * \
        volume.heights[0]
    np.testing.assert_allclose(world, OBLIQUE.origin, atol=1e-4)
    assert "unevenly spaced (8.0 to 9.0 mm)" in volume.warnings[0]


def test_slices_off_their_line_are_moved_to_where_they_were_acquired(exam) -> None:
    """By whole pixels, so that the interpolation is exact."""
    values = some_values(3)
    rows, columns = 2 * OBLIQUE.spacing[1], -3 * OBLIQUE.spacing[0]
    exam.add(3, "psir_sa", values, OBLIQUE, tags=PSIR,
             in_plane=[(0.0, 0.0), (rows, columns), (0.0, 0.0)])
    volume = volume_of(the_stack(exam))
    np.testing.assert_allclose(volume.values[0, 1, 2:, :-3], values[1, :-2, 3:], atol=0.5)
    np.testing.assert_allclose(volume.shifts[1], (rows, columns), atol=1e-4)
    assert "do not lie straight above each other (up to 5.1 mm)" in volume.warnings[0]


# Values

def test_rescale_slopes_of_each_slice_and_signs_are_heeded(exam) -> None:
    values = some_values() * np.array([1, 2, 4, 8], np.float32)[:, None, None] - 500
    values = np.rint(values / 8) * 8 - 500
    exam.add(3, "psir_sa", values, OBLIQUE, tags=PSIR, slopes=[1.0, 2.0, 4.0, 8.0],
             intercept=-500.0, signed=True)
    np.testing.assert_array_equal(volume_of(the_stack(exam)).values[0], values)


def test_fractions_are_kept(exam) -> None:
    values = some_values() * np.float32(0.25)
    exam.add(3, "t2_map_sa", values, OBLIQUE, slopes=[0.25] * 4)
    volume = volume_of(the_stack(exam))
    assert volume.values.dtype == np.float32
    np.testing.assert_allclose(volume.values[0], values, rtol=1e-6)


def test_magnitude_phase_and_real_images_of_one_series_are_three_stacks(exam) -> None:
    """As Philips writes them."""
    uid_of = {"SeriesInstanceUID": "1.2.3.4", "ScanningSequence": "GR"}
    for i, word in enumerate(("M", "P", "R")):
        exam.add(9, "PSIR_TFE_SA", some_values() + i, OBLIQUE,
                 tags=uid_of | {"ImageType": ["ORIGINAL", "PRIMARY", f"{word}_IR", word, "IR"]})
    stacks = stacks_in(exam)
    assert [s.first.component.value for s in stacks] == ["magnitude", "phase", "real"]
    for i, stack in enumerate(stacks):
        np.testing.assert_array_equal(volume_of(stack).values[0], some_values() + i)


def test_ge_says_in_a_private_number_what_an_image_shows(exam) -> None:
    values = some_values()
    for path in exam.add(9, "PSMDE SA", values, OBLIQUE, tags=LGE | {
            "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"]}):
        import pydicom

        image = pydicom.dcmread(path)
        image.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 2)
        pydicom.dcmwrite(path, image)
    assert the_stack(exam).first.component.value == "real"


# Enhanced multi-frame

def test_an_enhanced_cine_is_as_the_classic_one(exam, tmp_path: Path) -> None:
    values = some_values(4, phases=9)
    times = [20.0 + 90 * p for p in range(9)]
    slopes = [1.0, 1.0, 2.0, 1.0]
    values[:, 2] = np.rint(values[:, 2] / 2) * 2
    exam.add_enhanced(5, "sBTFE_BH_SAX", values, OBLIQUE, times=times, slopes=slopes,
                      tags={"EchoPulseSequence": "GRADIENT",
                            "SteadyStatePulseSequence": "FREE_PRECESSION"})
    stack = the_stack(exam)
    volume = volume_of(stack)
    assert stack.variation is Variation.PHASE and volume.times == times
    np.testing.assert_array_equal(volume.values, values)
    np.testing.assert_allclose(volume.geometry.index_to_world(), OBLIQUE.index_to_world(),
                               atol=1e-6)
    assert stack.first.interval == 900.0
    assert "SS" in stack.first.variant and "GR" in stack.first.scanning


def test_an_enhanced_psir_is_signed(exam) -> None:
    values = some_values() - 1000
    exam.add_enhanced(6, "PSIR", values, OBLIQUE, component="REAL",
                      frame_type=("ORIGINAL", "PRIMARY", "R", "NONE"))
    stack = the_stack(exam)
    assert stack.first.component.value == "real"
    np.testing.assert_array_equal(volume_of(stack).values[0], values)


# Files

def test_compressed_images_are_read(exam) -> None:
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import RLELossless

    values = some_values()
    for path in exam.add(3, "psir_sa", values, OBLIQUE, tags=PSIR):
        image = dcmread(path)
        image.compress(RLELossless, encoding_plugin="pydicom")
        dcmwrite(path, image)
    np.testing.assert_array_equal(volume_of(the_stack(exam)).values[0], values)


def test_a_damaged_compressed_image_is_named_by_its_series(exam) -> None:
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import RLELossless

    paths = exam.add(38, "psir_sa", some_values(), OBLIQUE, tags=PSIR)
    image = dcmread(paths[0])
    image.compress(RLELossless, encoding_plugin="pydicom")
    dcmwrite(paths[0], image)
    paths[0].write_bytes(paths[0].read_bytes()[:-500])
    with pytest.raises(InputError, match="series 38 has an image that cannot be decoded"):
        volume_of(the_stack(exam))


def test_files_without_preamble_and_in_other_encodings_are_read(exam) -> None:
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

    values = some_values()
    paths = exam.add(3, "psir_sa", values, OBLIQUE, tags=PSIR)
    paths[0].write_bytes(paths[0].read_bytes()[132:])  # begins with the file meta group
    for path, syntax in zip(paths[1:3], (ImplicitVRLittleEndian, ExplicitVRBigEndian)):
        image = dcmread(path)
        image.file_meta.TransferSyntaxUID = syntax
        if syntax is ExplicitVRBigEndian:
            image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
        dcmwrite(path, image, implicit_vr=syntax is ImplicitVRLittleEndian,
                 little_endian=syntax is ImplicitVRLittleEndian)
    np.testing.assert_array_equal(volume_of(the_stack(exam)).values[0], values)


def test_the_cine_of_the_tests_beats() -> None:
    still = some_values(1, shape=(40, 40))
    mask = np.hypot(*(np.indices((1, 40, 40))[1:] - 20)) < 10
    cine = a_cine(still, mask, at=3)
    np.testing.assert_array_equal(cine[3], still)
    assert np.abs(cine[0] - still).mean() > 10
