"""The layout of MyoPS 2020, tried on phantoms: none of its data is here."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from deepgmm.errors import InputError
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.phantom.myops_files import write_patient
from deepgmm.reading.studies.myops_layout import MyopsCase, case_files, coded, read_case
from deepgmm.study.words import Kind, Role


@cache
def two_patients() -> tuple[PhantomPatient, PhantomPatient]:
    return make_patient(3, slices=2), make_patient(4, slices=3)


@pytest.fixture
def a_data_set(tmp_path: Path) -> Path:
    for number, patient in enumerate(two_patients(), 101):
        write_patient(patient, tmp_path, number)
    return tmp_path


def cases_of(root: Path) -> list[MyopsCase]:
    """Every case that has all its files."""
    return [MyopsCase(number, {role: files[role][0] for role in Role}, files[None][0])
            for number, files in case_files(root).items() if {*Role, None} <= set(files)]


def test_files_are_named_as_the_challenge_names_them(a_data_set: Path) -> None:
    names = sorted(p.relative_to(a_data_set).as_posix() for p in a_data_set.rglob("*.*"))
    assert names == [f"train25/myops_training_{case}_{name}.nii.gz"
                     for case in (101, 102) for name in ("C0", "DE", "T2")] + [
                     f"train25_myops_gd/myops_training_{case}_gd.nii.gz" for case in (101, 102)]


def test_truth_has_the_codes_of_the_challenge(a_data_set: Path) -> None:
    patient = two_patients()[0]
    image = sitk.ReadImage(str(a_data_set / "train25_myops_gd/myops_training_101_gd.nii.gz"))
    values = sitk.GetArrayFromImage(image)
    assert set(np.unique(values)) == {0, 200, 500, 600, 1220, 2221}
    for code, label in ((500, 1), (200, 2), (1220, 3), (2221, 4)):
        assert np.array_equal(values == code, patient.truth == label)
    assert np.array_equal(values == 600, patient.rv) and patient.rv.any()


def test_codes_of_a_truth_without_right_ventricle() -> None:
    truth = np.array([[[0, 1, 2], [3, 4, 0]]], np.uint8)
    assert coded(truth).tolist() == [[[0, 500, 200], [1220, 2221, 0]]]


def test_a_case_comes_back_as_it_was_made(a_data_set: Path) -> None:
    cases = cases_of(a_data_set)
    assert [c.case for c in cases] == ["101", "102"]
    for case, patient in zip(cases, two_patients()):
        study, truth = read_case(case)
        assert np.array_equal(truth, patient.truth)
        assert np.array_equal(study.mask, patient.study.mask)  # without the right ventricle
        assert study.wall is None and study.insertion_points is None
        for role, sequence in patient.study.sequences.items():
            assert np.array_equal(study.sequences[role].values, sequence.values)
            assert study.sequences[role].kind is sequence.kind
        assert np.allclose(study.geometry.index_to_world(),
                           patient.study.geometry.index_to_world(), atol=1e-3)
        assert set(study.hashes) == {"bssfp", "lge", "t2", "mask"}
        assert study.warnings == []


def test_order_and_names_of_other_files_do_not_matter(a_data_set: Path) -> None:
    """Written last, first in the alphabet, of two digits, not compressed: still case 9."""
    images, truths = a_data_set / "train25", a_data_set / "train25_myops_gd"
    for name in ("C0", "DE", "T2"):
        image = sitk.ReadImage(str(images / f"myops_training_102_{name}.nii.gz"))
        sitk.WriteImage(image, str(images / f"myops_training_9_{name}.nii"))
    for name in (".DS_Store", "readme.txt", "myops_training_101_gd.nii.gz.part"):
        (images / name).write_text("")
    shutil.move(truths / "myops_training_102_gd.nii.gz", truths / "myops_training_9_gd.nii.gz")
    assert list(case_files(a_data_set)) == ["9", "101", "102"]
    assert None not in case_files(a_data_set)["102"]
    assert np.array_equal(read_case(cases_of(a_data_set)[0])[1], two_patients()[1].truth)


def test_an_affine_that_differs_is_an_error(a_data_set: Path) -> None:
    for path in ("train25/myops_training_101_T2.nii.gz",
                 "train25_myops_gd/myops_training_102_gd.nii.gz"):
        image = sitk.ReadImage(str(a_data_set / path))
        origin = image.GetOrigin()
        image.SetOrigin((origin[0], origin[1], origin[2] + 3.0))
        sitk.WriteImage(image, str(a_data_set / path))
    first, second = cases_of(a_data_set)
    with pytest.raises(InputError, match=r"case 101: T2 and LGE lie on different grids \(origin"):
        read_case(first)
    with pytest.raises(InputError, match="case 102: truth and LGE lie on different grids"):
        read_case(second)


def test_cases_swapped_between_patients_are_an_error(a_data_set: Path) -> None:
    """Truth of one patient under the number of another: sizes and places differ."""
    truths = a_data_set / "train25_myops_gd"
    one, other = (truths / f"myops_training_{n}_gd.nii.gz" for n in (101, 102))
    one.rename(truths / "x")
    other.rename(one)
    (truths / "x").rename(other)
    with pytest.raises(InputError, match="different grids"):
        read_case(cases_of(a_data_set)[0])


def test_folders_that_are_missing_or_empty_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder 'train25'"):
        case_files(tmp_path)
    (tmp_path / "train25").mkdir()
    with pytest.raises(InputError, match="no file named like myops_training_101_C0"):
        case_files(tmp_path)


def test_two_files_for_one_thing_are_both_told_of(a_data_set: Path) -> None:
    images = a_data_set / "train25"
    shutil.copy(images / "myops_training_101_T2.nii.gz", images / "myops_training_101_T2.nii")
    assert len(case_files(a_data_set)["101"][Role.T2]) == 2


def test_a_code_that_is_no_tissue_is_an_error(a_data_set: Path) -> None:
    path = a_data_set / "train25_myops_gd/myops_training_101_gd.nii.gz"
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(image + 1, str(path))
    with pytest.raises(InputError, match="values that are no tissue"):
        read_case(cases_of(a_data_set)[0])


def test_a_patient_who_lacks_a_sequence_is_not_written(tmp_path: Path) -> None:
    patient = make_patient(0, slices=1, kinds={Role.LGE: Kind.LGE_MAGNITUDE})
    with pytest.raises(InputError, match="bSSFP, T2"):
        write_patient(patient, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_case_number_follows_from_the_seed(tmp_path: Path) -> None:
    assert write_patient(two_patients()[0], tmp_path).case == "104"
    assert list(case_files(tmp_path)) == ["104"]
