"""Identifiers that anonymisers renew, repeat or empty, and files of which some are damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import CINE, LGE, PSIR, STIR, Examination, choice_of, run
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, generate_uid
from test_dicom_stacks import OBLIQUE, some_values, stacks_in, the_stack

from deepgmm import Role
from deepgmm.reading.dicom.headers import scan
from deepgmm.reading.dicom.pixels import volume_of
from deepgmm.study.study import Geometry

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

#: Along the usual long axis, so short axis by its direction.
SHORT = Geometry((1.5, 1.25, 8.0), (-20.0, 15.0, 30.0),
                 (0.6963, -0.1876, 0.6929, 0.7178, 0.182, -0.672, 0.0, 0.9652, 0.2612))


def change(paths: list[Path], what: Callable[[pydicom.FileDataset, int], None]) -> None:
    for number, path in enumerate(paths):
        image = pydicom.dcmread(path)
        what(image, number)
        pydicom.dcmwrite(path, image)


def renew(keyword: str) -> Callable[[pydicom.FileDataset, int], None]:
    return lambda image, _: setattr(image, keyword, generate_uid())


def same(keyword: str) -> Callable[[pydicom.FileDataset, int], None]:
    return lambda image, _: setattr(image, keyword, "1.2.3.4")


def empty_groups(image: pydicom.FileDataset, number: int) -> None:
    image.PerFrameFunctionalGroupsSequence = [Dataset()] if number % 2 else []


def another_sequence(image: pydicom.FileDataset, _: int) -> None:
    image.SequenceName = "*odd" if image.InstanceNumber <= 9 else "*tfi2d1_15"


FAULTS = {
    "frame of reference per image": renew("FrameOfReferenceUID"),
    "series per image": renew("SeriesInstanceUID"), "study per image": renew("StudyInstanceUID"),
    "one image identifier": same("SOPInstanceUID"), "one series identifier": same(
        "SeriesInstanceUID"),
    "empty groups": empty_groups, "another sequence in one slice": another_sequence,
    "description in other letters": lambda image, n: setattr(
        image, "SeriesDescription", "CINE_SA" if n % 3 else "cine sa"),
    "a protocol of its own": lambda image, n: setattr(image, "ProtocolName", f"protocol {n}"),
    "spacing by rounding": lambda image, n: setattr(
        image, "PixelSpacing", ["1.25049999", "1.5"] if n % 2 else ["1.2505001", "1.5"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_cine_stays_one(exam, fault: str) -> None:
    values = some_values(4, phases=9)
    paths = exam.add(5, "cine_sa", values, OBLIQUE, tags=CINE, times=[80.0 * p for p in range(9)])
    change(paths, FAULTS[fault])
    stack = the_stack(exam)
    np.testing.assert_array_equal(volume_of(stack).values, values)
    said = " ".join(stack.notes)
    assert ("frames of reference" in said) == (fault == "frame of reference per image")
    assert ("share an identifier" in said) == (fault == "one image identifier")
    assert ("another sequence" in said) == (fault == "another sequence in one slice")


def test_series_of_one_slice_with_frames_of_reference_of_their_own_are_one(exam) -> None:
    values = some_values(4)
    for i, name in enumerate(("SA base", "SA mid", "SA apex", "SA tip")):
        exam.reference = generate_uid()
        exam.add(20 + i, name, values[i:i + 1], OBLIQUE, tags=STIR, positions=[8.0 * i])
    stack = the_stack(exam)
    np.testing.assert_array_equal(volume_of(stack).values[0], values)
    assert "4 frames of reference" in " ".join(stack.notes)


def test_two_frames_of_reference_of_two_scans_stay_apart(exam) -> None:
    exam.add(20, "lge_sa", some_values(), OBLIQUE, tags=LGE)
    exam.reference = generate_uid()
    exam.add(21, "lge_sa", some_values(), OBLIQUE, tags=LGE)
    assert len(stacks_in(exam)) == 2


def test_a_slice_described_otherwise_goes_back_to_its_series(exam) -> None:
    values = some_values(5)
    paths = exam.add(20, "lge_sa", values, OBLIQUE, tags=LGE)
    (odd,) = (p for p in paths if pydicom.dcmread(p).InstanceNumber == 3)
    change([odd], lambda image, _: setattr(image, "SeriesDescription", "late enhancement"))
    np.testing.assert_array_equal(volume_of(the_stack(exam)).values[0], values)


def test_copies_are_known_by_pixels_and_place_not_by_identifier(exam) -> None:
    values = some_values(4, phases=9)
    for path in exam.add(5, "cine_sa", values, OBLIQUE, tags=CINE, times=[80.0 * p
                                                                          for p in range(9)]):
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        pydicom.dcmwrite(path.with_name(f"copy of {path.name}"), image)
    stack = the_stack(exam)
    assert stack.phases == 9 and not stack.notes
    np.testing.assert_array_equal(volume_of(stack).values, values)


@pytest.mark.parametrize("births", [("", "19600102"), ("19600101", "19600102")])
def test_dates_of_birth_that_were_changed_part_nobody(exam, births) -> None:
    paths = exam.add(20, "lge_sa", some_values(), SHORT, tags=LGE)
    change(paths, lambda image, n: setattr(image, "PatientBirthDate", births[n % 2]))
    assert list(choice_of(exam).taken) == [Role.LGE]


def test_people_of_one_name_are_known_by_their_birth(exam, capsys) -> None:
    exam.add(20, "lge_sa", some_values(), SHORT, tags=LGE)
    exam.study = generate_uid()
    change(exam.add(40, "T2_STIR_sa", some_values(), SHORT, tags=STIR),
           lambda image, _: setattr(image, "PatientBirthDate", "19991231"))
    assert run("import", exam.folder) == 2
    assert "2 patients, by their dates of birth" in capsys.readouterr().err


@pytest.mark.parametrize("numbers", [(20, 20), (20, 30)])
def test_the_way_out_that_is_offered_works(exam, numbers) -> None:
    """Two stacks that nothing parts, of one series number and of two."""
    time = LGE | {"AcquisitionTime": "101500"}
    exam.add(numbers[0], "lge_sa", some_values(), SHORT, tags=time)
    exam.add(numbers[1], "lge_sa", some_values() + 1, SHORT, tags=time,
             positions=[4.0, 12.0, 20.0, 28.0])
    problem = choice_of(exam).problem
    ways = [word.strip(":,") for word in problem.split("say ")[1].replace("--lge", "").split()
            if word[0].isdigit()]
    assert len(set(ways)) == 2
    found = [choice_of(exam, lge=way) for way in ways]
    assert not any(choice.problem for choice in found)
    places = [choice.taken[Role.LGE].stack.first.position for choice in found]
    assert places[0] != places[1], "each way takes another"


def test_the_other_of_two_kinds_in_one_series_can_be_had(exam) -> None:
    series = {"SeriesInstanceUID": "1.2.3.4"}
    exam.add(9, "PSIR_SA", some_values(), SHORT, tags=LGE | series)
    exam.add(9, "PSIR_SA", some_values(), SHORT, tags=PSIR | series)
    (warning,) = choice_of(exam).warnings
    assert "--lge-kind magnitude takes the other" in warning


def test_a_truncated_compressed_image_is_left_out_and_said(exam, capsys) -> None:
    values = some_values(5)
    paths = exam.add(31, "lge_sa", values, SHORT, tags=LGE)
    (middle,) = (p for p in paths if pydicom.dcmread(p).InstanceNumber == 3)
    image = pydicom.dcmread(middle)
    image.compress(RLELossless, encoding_plugin="pydicom")
    pydicom.dcmwrite(middle, image)
    middle.write_bytes(middle.read_bytes()[:-500])
    out = exam.folder.parent / "out"
    assert run("import", exam.folder, "-o", out) == 0
    said = capsys.readouterr().err
    assert "LGE: 1 image of series 31 left out, because it is truncated or damaged" in said
    lge = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "lge.nii.gz")))
    np.testing.assert_array_equal(lge[[0, 1, 3, 4]], values[[0, 1, 3, 4]])
    assert not lge[2].any()


def test_a_cut_behind_a_long_header_is_seen_when_listed(tmp_path) -> None:
    exam = Examination(tmp_path / "exam", bulk=20_000)
    paths = exam.add(31, "lge_sa", some_values(), SHORT, tags=LGE)
    paths[0].write_bytes(paths[0].read_bytes()[:-100])
    assert dict(scan(exam.folder).damaged) == {(31, "is truncated"): 1}
