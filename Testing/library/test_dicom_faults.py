"""`deepgmm import` of what is at fault: refused in a line, or taken with a word of warning."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import (
    CINE,
    LGE,
    PSIR,
    STIR,
    Examination,
    a_patient,
    add_sequences,
    choice_of,
    long_axis,
    run,
    whole,
)

from deepgmm import Kind, Role

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


def told(exam: Examination, capsys, *arguments: object) -> str:
    """What a user reads when the input is at fault: one line, and no traceback."""
    assert run("import", exam.folder, "-o", exam.folder.parent / "out", *arguments) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(said) == 1
    assert not (exam.folder.parent / "out").exists()
    return said[0]


def test_mixed_patients_are_refused(exam, patient, capsys) -> None:
    add_sequences(exam, patient, "lge")
    exam.patient_id, exam.patient = "MRN-99999", "Roe^Richard"
    add_sequences(exam, patient, "t2")
    message = told(exam, capsys)
    assert "images of 2 patients (5, 5 images)" in message and "Roe" not in message


def test_examinations_of_two_days_are_refused(exam, patient, capsys) -> None:
    add_sequences(exam, patient, "lge")
    exam.date = "20260601"
    add_sequences(exam, patient, "t2")
    assert "examinations of 2 different days" in told(exam, capsys)


def test_an_examination_without_short_axis_is_refused(exam, patient, capsys) -> None:
    geometry = patient.study.geometry
    exam.add(4, "cine_retro_4ch", whole(patient, Role.BSSFP)[:1], long_axis(geometry), tags=CINE)
    exam.add(8, "de_2ch_psir", whole(patient, Role.LGE)[:1], long_axis(geometry), tags=PSIR,
             signed=True)
    assert "no short-axis stack" in told(exam, capsys)


def test_a_short_axis_that_is_none_of_the_three_is_refused(exam, patient, capsys) -> None:
    exam.add(4, "tagging_sax", whole(patient, Role.BSSFP), patient.study.geometry, tags=CINE)
    assert "none of the 1 short-axis series groups is bSSFP, LGE or T2" in told(exam, capsys)


def test_a_folder_without_dicom_is_refused(exam, capsys) -> None:
    exam.folder.mkdir()
    (exam.folder / "image.nii").write_bytes(b"something else")
    assert "no DICOM image (1 file: not DICOM)" in told(exam, capsys)


def test_a_folder_that_is_none_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "exam.zip").write_bytes(b"PK")
    assert run("import", tmp_path / "exam.zip") == 2
    assert "unpack" in capsys.readouterr().err
    assert run("import", tmp_path / "nowhere") == 2
    assert "does not exist" in capsys.readouterr().err


def edit(paths: list[Path], **changes: object) -> None:
    for path in paths:
        image = pydicom.dcmread(path)
        for keyword, value in changes.items():
            if value is None:
                delattr(image, keyword)
            else:
                setattr(image, keyword, value)
        pydicom.dcmwrite(path, image)


@pytest.mark.parametrize("changes, said", [
    ({"ImagePositionPatient": None}, "has no image position"),
    ({"ImageOrientationPatient": None}, "has no image orientation"),
    ({"PixelSpacing": None}, "has no pixel spacing"),
    ({"PixelSpacing": [0, 0]}, "has a pixel spacing of zero"),
    ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "has image axes that are not at right"),
])
def test_images_that_cannot_be_placed_are_named(exam, patient, capsys, changes, said) -> None:
    edit(exam.add(31, "psir_sa", whole(patient, Role.LGE), patient.study.geometry, tags=PSIR,
                  signed=True), **changes)
    add_sequences(exam, patient, "t2")
    assert run("import", exam.folder) == 0
    error = capsys.readouterr().err
    assert f"5 images of series 31 could not be used, because each {said}" in error


def test_a_truncated_file_is_named_and_leaves_a_gap(exam, patient, capsys) -> None:
    values = whole(patient, Role.LGE)
    paths = exam.add(31, "psir_sa", values, patient.study.geometry, tags=PSIR, signed=True)
    (middle,) = (p for p in paths if pydicom.dcmread(p).InstanceNumber == 3)
    middle.write_bytes(middle.read_bytes()[:-4000])
    assert run("import", exam.folder, "-o", exam.folder.parent / "out") == 0
    error = capsys.readouterr().err
    assert "LGE lacks 1 image of series 31, because it is truncated: export them again" in error
    assert "LGE: 1 slice is missing (slice 3) and left empty" in error
    lge = sitk.GetArrayFromImage(sitk.ReadImage(str(exam.folder.parent / "out" / "lge.nii.gz")))
    assert not lge[2].any() and lge[[0, 1, 3, 4]].any(axis=(1, 2)).all()


def test_a_header_cut_off_is_counted(exam, patient, capsys) -> None:
    add_sequences(exam, patient, "lge")
    whole_file = next(exam.folder.iterdir()).read_bytes()
    (exam.folder / "cut").write_bytes(whole_file[:300])
    assert run("import", exam.folder) == 0
    assert "truncated or damaged" in capsys.readouterr().out


def test_what_is_no_mr_image_is_left(exam, patient, capsys) -> None:
    add_sequences(exam, patient, "lge")
    edit(exam.add(90, "report", np.zeros((1, 96, 96)), patient.study.geometry), Modality="SR")
    edit(exam.add(91, "other", np.zeros((1, 96, 96)), patient.study.geometry), Modality="CT")
    assert run("import", exam.folder) == 0
    said = capsys.readouterr().out
    assert "DICOM but not MR (CT)" in said and "DICOM but not MR (SR)" in said


def test_headers_that_lack_nearly_everything_still_do(exam, patient) -> None:
    """Only names and places; as anonymisers leave files."""
    lacking = ["PatientName", "PatientID", "PatientBirthDate", "StudyDate", "SeriesDate",
               "AcquisitionDate", "AcquisitionTime", "FrameOfReferenceUID", "InstanceNumber",
               "SliceThickness"]
    geometry = patient.study.geometry
    exam.add(31, "psir_sa", whole(patient, Role.LGE), geometry, signed=True, without=lacking)
    exam.add(40, "T2_STIR_sa", whole(patient, Role.T2), geometry, without=lacking)
    assert list(choice_of(exam).taken) == [Role.LGE, Role.T2]


def test_signed_images_are_psir_whatever_they_are_called(exam, patient, tmp_path) -> None:
    exam.add(31, "late_sa", whole(patient, Role.LGE), patient.study.geometry, tags=LGE,
             signed=True)
    assert run("import", exam.folder, "-o", tmp_path / "out") == 0
    said = json.loads((tmp_path / "out" / "study.json").read_text())
    assert said["sequences"]["lge"]["kind"] == "lge-psir"
    assert any("negative values" in w for w in said["warnings"])


def test_a_map_in_tenths_of_milliseconds_becomes_one_in_milliseconds(exam, tmp_path) -> None:
    mapped = a_patient(101, t2=Kind.T2_MAP)
    tags = {"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"], "ScanningSequence": "GR"}
    exam.add(50, "T2map_sax_T2", whole(mapped, Role.T2, 10), mapped.study.geometry, tags=tags)
    assert run("import", exam.folder, "-o", tmp_path / "out") == 0
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "t2.nii.gz")))
    np.testing.assert_allclose(values, whole(mapped, Role.T2, 10) / 10, rtol=1e-6)
    said = json.loads((tmp_path / "out" / "study.json").read_text())
    assert any("divided by 10" in w for w in said["warnings"])


def test_stacks_turned_against_each_other_are_told(exam, patient) -> None:
    from deepgmm import Geometry

    add_sequences(exam, patient, "lge")
    geometry, turn = patient.study.geometry, np.deg2rad(12)
    turned = np.asarray(geometry.direction).reshape(3, 3) @ [
        [1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    exam.reference = "1.2.3"
    exam.add(40, "T2_STIR_sa", whole(patient, Role.T2),
             Geometry(geometry.spacing, geometry.origin, tuple(turned.ravel())), tags=STIR)
    warnings = " ".join(choice_of(exam).warnings)
    assert "turned by 12 degrees" in warnings and "no common frame of reference" in warnings


def test_without_pydicom_the_extra_is_named(tmp_path) -> None:
    code = ("import sys; sys.modules['pydicom'] = None; from deepgmm.cli.main import main; "
            f"sys.exit(main(['import', {str(tmp_path)!r}]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{Path(sys.executable).name} -m pip install 'pydicom>=2.4'" in done.stderr
    assert "Traceback" not in done.stderr


def test_links_that_lead_to_nothing_are_counted(exam, tmp_path) -> None:
    from deepgmm.reading.dicom.headers import NoImage, scan

    (exam.folder / "gone").mkdir(parents=True)
    for name in ("a", "b"):
        (exam.folder / "gone" / name).symlink_to(tmp_path / "nowhere" / name)
    with pytest.raises(NoImage, match="2 files: a link that leads to nothing"):
        scan(exam.folder)
    exam.add(31, "psir_sa", np.ones((3, 16, 16), np.float32), a_patient(slices=3).study.geometry,
             tags=LGE)
    found = scan(exam.folder)
    assert len(found.frames) == 3 and found.left.total() == 2
