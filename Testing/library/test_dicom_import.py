"""`deepgmm import`: an examination's folder to a list and a study folder, by choice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import (
    LGE,
    PSIR,
    Examination,
    a_cine,
    add_distractors,
    add_sequences,
    choice_of,
    run,
    whole,
)

from deepgmm import InputError, Kind, Role
from deepgmm.reading.dicom.examination import read_examination

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


@pytest.fixture(scope="module")
def a_whole_examination(tmp_path_factory, patient) -> Path:
    """The three sequences among all that else is acquired, in nested folders, shuffled."""
    folder = tmp_path_factory.mktemp("CD")
    exam = Examination(folder / "DICOM" / "Doe Jane")
    add_distractors(exam, patient.study.geometry, (96, 96))
    add_sequences(exam, patient)
    exam.add(30, "psir_sa_MAG", abs(whole(patient, Role.LGE)), patient.study.geometry, tags=LGE)
    for i, path in enumerate(sorted(exam.folder.iterdir())):
        if i % 3:
            (exam.folder / str(i % 3)).mkdir(exist_ok=True)
            path.rename(exam.folder / str(i % 3) / path.name)
    (folder / "DICOMDIR").write_bytes(bytes(200))
    (folder / "README.TXT").write_text("Viewer")
    return folder


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_list_is_what_a_technologist_would_say(a_whole_examination, tmp_path, capsys) -> None:
    assert run("import", a_whole_examination) == 0
    said = capsys.readouterr()
    assert [line.split(":")[0] + line.split(":")[1] for line in lines(said.out, "taken")] == [
        'taken for bSSFP series 10-14 "cine_retro_sa_b1"',
        'taken for LGE series 31 "psir_sa_PSIR"',
        'taken for T2 series 40 "T2_STIR_sa"']
    assert "5 slices of 12 frames" in said.out and "short axis" in said.out
    left = "\n".join(lines(said.out, "left"))
    for what in ("scout", "anatomy", "perfusion", "inversion-time scout", "T1 mapping",
                 "source images of a T2 map", "phase-contrast flow", "tagging",
                 "LGE (magnitude)"):
        assert f": {what}, " in left, what
    assert left.count("not in short axis") == 3
    assert "note: 1 file left out: not DICOM" in said.out, "the DICOMDIR is not worth a word"
    # nothing is chosen in silence
    assert ("2 stacks can be LGE; series 31 (LGE (psir)) was taken, not series 30 "
            "(LGE (magnitude))") in said.err
    assert "--lge 30 takes the other" in said.err


def test_in_a_terminal_the_list_is_a_table(a_whole_examination, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    assert run("import", a_whole_examination) == 0
    said = capsys.readouterr().out
    assert "taken for" in said and "psir_sa_PSIR" in said and "inversion-time scout" in said


def test_a_study_folder_comes_out(a_whole_examination, patient, tmp_path, capsys) -> None:
    out = tmp_path / "new" / "study"
    assert run("import", a_whole_examination, "-o", out) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "bssfp.nii.gz", "cine.nii.gz", "lge.nii.gz", "study.json", "t2.nii.gz"]
    for role in (Role.LGE, Role.T2):
        image = sitk.ReadImage(str(out / f"{role.value}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), whole(patient, role))
        np.testing.assert_allclose(image.GetOrigin(), patient.study.geometry.origin, atol=1e-3)
        np.testing.assert_allclose(image.GetSpacing(), patient.study.geometry.spacing, rtol=1e-5)
        np.testing.assert_allclose(image.GetDirection(), patient.study.geometry.direction,
                                   atol=1e-5)
    said = json.loads((out / "study.json").read_text())
    kinds = {role: own["kind"] for role, own in said["sequences"].items()}
    assert kinds == {"bssfp": "bssfp", "lge": "lge-psir", "t2": "t2-dark-blood"}
    # LGE was triggered at 620 ms; the cine's frames lie at 20, 95, ... 620 is the ninth
    assert said["sequences"]["bssfp"]["phase"]["frame"] == 8
    assert "frame 8 of 12" in capsys.readouterr().out
    cine = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "cine.nii.gz")))
    np.testing.assert_array_equal(cine, a_cine(whole(patient, Role.BSSFP), patient.study.mask))


def test_a_second_import_replaces_the_first(a_whole_examination, tmp_path) -> None:
    for lge, kind in (("31", "lge-psir"), ("30", "lge-magnitude")):
        assert run("import", a_whole_examination, "-o", tmp_path / "s", "--lge", lge, "-q",
                   "--force") == 0
        said = json.loads((tmp_path / "s" / "study.json").read_text())
        assert said["sequences"]["lge"]["kind"] == kind
        assert said["sequences"]["lge"]["series"] == [int(lge)]


def test_another_patient_does_not_enter_a_study_folder(
        a_whole_examination, exam, patient, tmp_path, capsys) -> None:
    """Nor does a file of the first stay behind once the second is forced in."""
    study = tmp_path / "s"
    assert run("import", a_whole_examination, "-o", study, "-q") == 0
    before = {p.name: p.read_bytes() for p in study.iterdir()}
    add_sequences(exam, patient, "lge")
    assert run("import", exam.folder, "-o", study, "-q") == 2
    assert "not empty" in (said := capsys.readouterr().err) and "--force" in said
    assert {p.name: p.read_bytes() for p in study.iterdir()} == before
    for own in ("mask.nii.gz", "notes.txt", "t2.nrrd"):
        (study / own).write_bytes(b"mine")
    assert run("import", exam.folder, "-o", study, "-q", "--force") == 0
    assert sorted(p.name for p in study.iterdir()) == [
        "lge.nii.gz", "mask.nii.gz", "notes.txt", "study.json", "t2.nrrd"]


def test_a_study_json_cannot_name_a_file_elsewhere_for_removal(exam, patient, tmp_path) -> None:
    study, outside = tmp_path / "s", tmp_path / "t2.nii.gz"
    study.mkdir()
    outside.write_bytes(b"mine")
    (study / "notes.txt").write_bytes(b"mine")
    (study / "study.json").write_text(json.dumps({
        "format": "deepgmm study", "version": 1,
        "sequences": {"t2": {"file": "../t2.nii.gz", "cine": "notes.txt"}, "lge": {"file": []}}}))
    add_sequences(exam, patient, "lge")
    assert run("import", exam.folder, "-o", study, "-q", "--force") == 0
    assert outside.exists() and (study / "notes.txt").exists()


# What may not go along

IDENTIFIERS = (b"Doe", b"Jane", b"MRN-12345", b"19600102", b"20260314", b"General Hospital",
               b"cine_retro", b"psir_sa")


def test_no_identifier_goes_along_unless_asked(a_whole_examination, tmp_path, capsys) -> None:
    import gzip

    out = tmp_path / "study"
    assert run("import", a_whole_examination, "-o", out, "-q") == 0
    header = pydicom.dcmread(next(p for p in a_whole_examination.rglob("IM*") if p.is_file()))
    uid = header.StudyInstanceUID.encode()
    for path in out.iterdir():
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        for word in (*IDENTIFIERS, uid, str(a_whole_examination).encode()):
            assert word not in content, (path.name, word)
    assert not any(w.decode() in capsys.readouterr().err for w in IDENTIFIERS)

    assert run("import", a_whole_examination, "-o", out, "-q", "--identified", "--force") == 0
    content = (out / "study.json").read_text()
    assert "MRN-12345" in content and "Doe^Jane" in content and "psir_sa_PSIR" in content


def test_the_log_of_a_failure_names_nobody(exam, patient, tmp_path) -> None:
    add_sequences(exam, patient, "lge")
    exam.patient_id = "MRN-99999"
    add_sequences(exam, patient, "t2")
    assert run("import", exam.folder, "--log", tmp_path / "log.txt") == 2
    log = (tmp_path / "log.txt").read_text()
    assert "2 patients" in log
    assert not any(w.decode() in log for w in IDENTIFIERS) and "MRN" not in log


# Choices

def test_the_series_that_was_asked_for_is_taken(exam, patient) -> None:
    geometry = patient.study.geometry
    add_sequences(exam, patient)
    exam.add(60, "who knows", whole(patient, Role.T2), geometry)
    choice = choice_of(exam, t2="60", bssfp="none")
    assert choice.taken[Role.T2].stack.numbers == (60,) and Role.BSSFP not in choice.taken
    assert any("it looks like not recognised" in w for w in choice.warnings)
    with pytest.raises(InputError, match=r"--t2: there is no series '7': give one of 10-14, 31"):
        choice_of(exam, t2="7")


def test_of_two_alike_the_later_is_taken_and_said(exam, patient) -> None:
    geometry = patient.study.geometry
    exam.add(20, "lge_sa early", whole(patient, Role.LGE), geometry, tags=PSIR, signed=True)
    exam.add(25, "lge_sa late", whole(patient, Role.LGE), geometry, tags=PSIR, signed=True)
    choice = choice_of(exam)
    assert choice.taken[Role.LGE].stack.numbers == (25,)
    assert "it was acquired later; --lge 20 takes the other" in choice.warnings[0]


def test_two_that_no_rule_parts_are_named_and_nothing_is_taken(exam, patient, capsys) -> None:
    for number in (20, 25):
        exam.add(number, f"lge_sa {'ab'[number == 25]}", whole(patient, Role.LGE),
                 patient.study.geometry, tags=PSIR, signed=True, without=["AcquisitionTime"])
    assert run("import", exam.folder, "-o", exam.folder.parent / "out") == 2
    said = capsys.readouterr()
    assert "series 20 and series 25" in said.err or "series 25 and series 20" in said.err
    assert "say --lge 25 or --lge 20" in said.err or "say --lge 20 or --lge 25" in said.err
    assert "LGE (psir)" in said.out, "the list is shown all the same"
    assert not (exam.folder.parent / "out").exists()
    assert run("import", exam.folder, "--lge", 20, "-q") == 0


def test_a_whole_stack_comes_before_a_few_slices_of_a_better_kind(exam, patient) -> None:
    geometry, values = patient.study.geometry, whole(patient, Role.LGE)
    exam.add(20, "psir_sa_PSIR", values[:2], geometry, tags=PSIR, signed=True)
    exam.add(25, "de_sa", abs(values), geometry, tags=LGE)
    choice = choice_of(exam)
    assert choice.taken[Role.LGE].stack.numbers == (25,)
    assert "5 slices against 2" in choice.warnings[0]


def test_a_t2_map_is_taken_only_where_nothing_weighted_is(exam, patient) -> None:
    tags = {"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"], "ScanningSequence": "GR"}
    exam.add(50, "T2map_sax_T2", whole(patient, Role.T2), patient.study.geometry, tags=tags)
    assert choice_of(exam).taken[Role.T2].kind is Kind.T2_MAP
    add_sequences(exam, patient, "t2")
    choice = choice_of(exam)
    assert choice.taken[Role.T2].stack.numbers == (40,)
    assert any("--t2 50 takes the other" in w for w in choice.warnings)


def test_of_one_series_with_two_kinds_the_kind_is_asked_for(exam, patient) -> None:
    """Philips writes magnitude and real images into one series."""
    values, one = whole(patient, Role.LGE), {"SeriesInstanceUID": "1.2.3"}
    for word, some in (("M", abs(values)), ("R", values)):
        exam.add(9, "PSIR_TFE_SA", some, patient.study.geometry, signed=True,
                 tags=LGE | one | {"ImageType": ["ORIGINAL", "PRIMARY", f"{word}_IR", word]})
    choice = choice_of(exam)
    assert choice.taken[Role.LGE].kind is Kind.LGE_PSIR
    assert "--lge-kind magnitude takes the other" in choice.warnings[0]
    asked = read_examination(exam.folder, kinds={Role.LGE: Kind.LGE_MAGNITUDE}).choice
    assert asked.taken[Role.LGE].kind is Kind.LGE_MAGNITUDE
