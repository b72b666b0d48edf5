"""Which cases a cohort has: found or named by a manifest, and by what names they go on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cohort_work import stub

pytest.importorskip("distributed")
pytest.importorskip("cryptography")

from cohort_desk import NAMES, everything_said, rows, run  # noqa: E402
from dicom_files import Examination, a_patient, add_sequences  # noqa: E402

from deepgmm.errors import InputError  # noqa: E402
from deepgmm.jobs.cohort import pseudonyms, work  # noqa: E402
from deepgmm.jobs.cohort.cases import Case, Plan, Sort, batches, find_cases  # noqa: E402
from deepgmm.jobs.cohort.manifest import add_truths, read_manifest  # noqa: E402
from deepgmm.jobs.cohort.run import cohort  # noqa: E402

pytest_plugins = ["cohort_fixtures"]
pytestmark = pytest.mark.usefixtures("a_user")


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def test_pseudonyms(tmp_path, out):
    salt = pseudonyms.the_salt()
    file = pseudonyms.salt_file()
    assert file.is_relative_to(tmp_path / "user") and len(salt) == 32
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600
    names = [pseudonyms.pseudonym(f"patient {i}", salt) for i in range(500)]
    assert len(set(names)) == 500 and names[0] == pseudonyms.pseudonym("patient 0", salt)
    assert not {pseudonyms.pseudonym(f"patient {i}", b"other" * 6) for i in range(500)} & {*names}
    with pytest.raises(InputError, match="another folder than the output's"):
        pseudonyms.write_key([Case("a", names[0])], out / "key.csv", out)
    file.write_bytes(b"short")
    with pytest.raises(InputError, match="damaged"):
        pseudonyms.the_salt()


def test_anothers_salt_is_noticed(out, here):
    cohort([Case("a")], out, work=stub)
    pseudonyms.salt_file().write_bytes(b"another salt, of thirty two bytes"[:32])
    with pytest.raises(InputError, match="made by another user or on another machine"):
        cohort([Case("a")], out, work=stub)


def test_manifest(clinic, tmp_path, out, capsys, here):
    """Names, kinds and subgroups; what is missing, twice or unknown is named."""
    manifest = tmp_path / "m.csv"
    first, second, third = NAMES
    manifest.write_text(
        "Case;lge;lge_kind;edited;scanner;patient_name\n"
        f"{first};;magnitude;;A;Max\n"
        f"{second};{second}/lge.nii.gz;psir;;B;Jane\n"
        f"{third};gone.nii.gz;;;B;\n"
        f"{first};;;;A;\n"
        "nobody;;;;A;\n", encoding="utf-8-sig")
    cases, notes = read_manifest(manifest, clinic, ["scanner"])
    assert "columns that are not known were passed over: patient_name" in notes[0]
    assert [c.name for c in cases] == [first, second, third, first, "nobody"]
    assert cases[0].kinds["lge"] == "magnitude" and cases[1].kinds["lge"] == "psir"
    assert cases[1].files["lge"] == clinic / second / "lge.nii.gz"
    assert "bssfp" not in cases[1].files and cases[1].files["mask"].parent.name == second
    assert cases[2].faults == ["the manifest names a file that is not there: lge"]
    assert "no image" in cases[4].faults[0] or "no case of this name" in cases[4].faults[0]
    assert [c.groups["scanner"] for c in cases] == ["A", "B", "B", "A", "A"]
    assert run(clinic, "-o", out, "--manifest", manifest, "--subgroups", "scanner") == 2
    failed = [row["message"] for row in rows(out / "failures.csv")]
    assert any("a case of this name came before" in text for text in failed) and len(failed) == 3
    assert {row["scanner"] for row in rows(out / "table.csv")} == {"A", "B"}
    assert {row["value"] for row in rows(out / "agreement.csv")} == {"", "A", "B"}
    assert "Max" not in everything_said(out) and "patient_name" in capsys.readouterr().err


def test_truths_of_another_folder(clinic, tmp_path):
    """Named like the cases; who has none is counted, and names that fit none are refused."""
    truths = tmp_path / "truths"
    truths.mkdir()
    for name in NAMES:
        (clinic / name / "truth.nii.gz").rename(truths / f"{name}.nii.gz")
    (truths / f"{NAMES[2]}.nii.gz").unlink()
    cases = find_cases(clinic)
    assert add_truths(cases, truths) == ["1 case has no truth of the same name"]
    assert {case.name for case in cases if case.files.get("truth") == truths /
            f"{case.name}.nii.gz"} == {*NAMES[:2]}
    with pytest.raises(InputError, match="none of the 1 cases has the name"):
        add_truths([Case("somebody")], truths)
    with pytest.raises(InputError, match="folder of truths does not exist"):
        add_truths(cases, tmp_path / "gone")


@pytest.mark.parametrize("length", [300, 5000, 200_000])
def test_a_name_that_is_too_long_fails_alone(clinic, tmp_path, out, here, length):
    manifest, long = tmp_path / "m.csv", "n" * length
    manifest.write_text(f"case,folder,mask\n{NAMES[0]},,\n{long},,\nb,{long},\nc,,{long}\n")
    cases, _ = read_manifest(manifest, clinic)
    found = cohort(cases, out, work=stub)
    assert found.done == 1 and found.failed == 3
    assert all(name.startswith("case-") for name in found.failures)
    assert "nnnn" not in everything_said(out)


@pytest.mark.parametrize("text, message", [
    ("", "no column called case"), ("a,b\n1,2\n", "no column called case"),
    ("case\n", "names no case"), ("case,lge,lge\nx,a,b\n", "two columns called lge"),
    ("case\0\n", "no CSV file"), ("case,lge\ra,b\rc,d\r", "old Macs"),
])
def test_what_is_no_manifest(tmp_path, text, message):
    file = tmp_path / "m.csv"
    file.write_bytes(text.encode())
    with pytest.raises(InputError, match=message):
        read_manifest(file, tmp_path)


def test_subgroups_that_are_names(tmp_path):
    file = tmp_path / "m.csv"
    file.write_text("case,who\n" + "".join(f"c{i},person {i}\n" for i in range(30)))
    cases, notes = read_manifest(file, tmp_path, ["who"])
    assert all(not case.groups for case in cases) and "may identify" in notes[0]
    with pytest.raises(InputError, match="no column age"):
        read_manifest(file, tmp_path, ["age"])


@pytest.mark.parametrize("column", ["case", "folder", "lge", "mask", "truth", "edited", "status",
                                    "uncertainty", "blood_volume_ml", "lge_kind", "message"])
def test_subgroups_that_the_table_must_not_have(tmp_path, column):
    file = tmp_path / "m.csv"
    file.write_text(f"case{'' if column == 'case' else ',' + column}\na,x\nb,x\n")
    with pytest.raises(InputError, match=f"column {column} "):
        read_manifest(file, tmp_path, [column])


@pytest.mark.parametrize("values, kept", [
    ("A B", True), ("A A B B", True), ("A B C", False), ("A B B C C", False),
    (("x " * 9) + "y", True)])
def test_subgroups_of_a_small_cohort(tmp_path, values, kept):
    file = tmp_path / "m.csv"
    file.write_text("case,who\n" + "".join(f"c{i},{w}\n" for i, w in enumerate(values.split())))
    cases, notes = read_manifest(file, tmp_path, ["who"])
    assert all(bool(case.groups) is kept for case in cases)
    assert any("may identify" in note for note in notes) is not kept


def test_a_pseudonym_is_never_overwritten(out, here):
    """Whatever a caller divides by; and no header or name is a formula."""
    case = Case("=1+1", groups={"case": "Mustermann", "status": "x", "=2+2": "+3"})
    cohort([case], out, work=stub, key_file=out.parent / "key.csv")
    row = rows(out / "table.csv")[0]
    assert row["case"] == case.pseudonym and row["status"] == "done" and row["'=2+2"] == "'+3"
    assert "Mustermann" not in everything_said(out)
    assert rows(out.parent / "key.csv")[0]["case"] == "'=1+1"


def test_batches_are_of_like_cases():
    cases = [Case(f"{i}", files={"lge": Path("a")} | ({"t2": Path("b")} if i % 2 else {}))
             for i in range(9)] + [Case(name, sort=Sort.EXAMINATION) for name in ("d", "e")]
    found = batches(cases, 4)
    assert sorted(len(b) for b in found) == [1, 1, 1, 4, 4]
    assert all(len({case.like for case in batch}) == 1 for batch in found)
    assert sorted(case.name for batch in found for case in batch) == sorted(c.name for c in cases)


def test_what_engines_log_names_nobody():
    case = Case("Mustermann", "case-1", folder=Path("/data/Mustermann"))
    batch = work.Batch([case], Plan(), Path("/data/Mustermann/out"), "r")
    assert "Mustermann" not in f"{case} {batch!r} {Plan()} {[case]!r}"
    assert "Mustermann" not in case.scrubbed("Mustermann: /data/Mustermann/x.nii is broken")


def test_the_output_folder_is_no_case(tmp_path):
    for name in ("a", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    assert [case.name for case in find_cases(tmp_path, tmp_path / "results")] == ["a"]


def test_a_name_that_is_no_utf_8(clinic, out, here):
    """Fails alone, with the odd characters named and no more of the name."""
    odd = os.fsencode(clinic) + b"/M\xfcller"
    try:
        os.rename(os.fsencode(clinic / NAMES[0]), odd)
    except OSError:
        pytest.skip("this disk has no such names")
    found = cohort(find_cases(clinic), out, work=stub, key_file=out.parent / "key.csv")
    assert found.done == 2 and list(found.failures.values()) == [
        r"its name or path holds characters that are no UTF-8 (\xfc): rename it"]
    assert "ller" not in everything_said(out) and b"M\xfcller" in (
        out.parent / "key.csv").read_bytes()


def test_an_output_folder_among_the_inputs(tmp_path):
    """Beside the cases it may lie, not over them and not in one of them."""
    (tmp_path / "all" / "a" / "sub").mkdir(parents=True)
    (tmp_path / "all" / "a" / "x").touch()
    (tmp_path / "link").symlink_to(tmp_path / "all")
    manifest = tmp_path / "m.csv"
    manifest.write_text("case,folder\nb,a\n")
    for out, message in (("all", "is the folder of cases"), ("link", "is the folder of cases"),
                         ("all/a/out", "folder of a case"), ("link/a/sub/out", "folder of a case")):
        with pytest.raises(InputError, match=message):
            find_cases(tmp_path / "all", tmp_path / out)
        with pytest.raises(InputError, match=message):
            read_manifest(manifest, tmp_path / "all", (), tmp_path / out)
    deep = tmp_path / "all" / "out" / "1"
    with pytest.raises(InputError, match="folder of a case"):  # the next run would take out for one
        find_cases(tmp_path / "all", deep)
    assert len(read_manifest(manifest, tmp_path / "all", (), deep)[0]) == 1
    assert len(find_cases(tmp_path / "all", tmp_path / "all" / "out")) == 1
    assert len(read_manifest(manifest, tmp_path / "all", (), tmp_path / "out")[0]) == 1


def test_a_link_to_nothing_is_a_failed_case(clinic, out, here):
    (clinic / "Lost_Lea").symlink_to(clinic.parent / "gone")
    found = cohort(find_cases(clinic), out, work=stub)
    assert found.done == 3 and [text[:12] for text in found.failures.values()] == ["is not there"]
    assert "Lost" not in everything_said(out)


def test_kinds_of_cases(tmp_path, patients):
    (tmp_path / "all" / "exam").mkdir(parents=True, exist_ok=True)
    (tmp_path / "all" / "exam" / "IM1").write_bytes(b"x")
    shutil.copytree(patients / NAMES[0], tmp_path / "all" / "images")
    study = tmp_path / "all" / "study"
    study.mkdir()
    shutil.copy(patients / NAMES[0] / "lge.nii.gz", study)
    (study / "study.json").write_text(json.dumps({
        "format": "deepgmm study", "version": 1, "sequences": {"lge": {"file": "lge.nii.gz"}}}))
    (tmp_path / "all" / "nothing").mkdir()
    found = {case.name: case for case in find_cases(tmp_path / "all")}
    assert {name: case.sort for name, case in found.items() if not case.faults} == {
        "exam": Sort.EXAMINATION, "images": Sort.IMAGES, "study": Sort.STUDY}
    assert found["nothing"].faults == ["the folder is empty"]


def test_a_link_to_nothing_in_a_case_is_said(clinic, out, here):
    """Not passed over: the case would be done without one of its sequences."""
    image = clinic / NAMES[0] / "t2.nii.gz"
    image.unlink()
    image.symlink_to(clinic.parent / "gone.nii.gz")
    found = cohort(find_cases(clinic), out, work=stub)
    assert found.done == 2
    (text,) = found.failures.values()
    assert "a link that leads to nothing" in text and "t2.nii.gz" in text


def test_an_examination_is_imported_and_its_mask_proposed(tmp_path, out, here):
    """From DICOM files to the table; nothing of their headers is in what is written, and a folder
    of two patients fails alone."""
    pytest.importorskip("pydicom")
    patient = a_patient(100, slices=2)
    said = {"patient": "Mustermann^Max", "patient_id": "MRN4711"}
    for name in ("kiel-2026", "bonn-2026"):
        add_sequences(Examination(tmp_path / "in" / name, **said), patient)
    add_sequences(Examination(tmp_path / "in" / "bonn-2026", patient="Roe^R", patient_id="X2"),
                  patient, "lge")
    assert run(tmp_path / "in", "-o", out) == 2
    (failed,) = rows(out / "failures.csv")
    assert "patient" in failed["message"]
    (done,) = [row for row in rows(out / "table.csv") if row["status"] == "done"]
    assert done["mask"] == "proposed" and float(done["blood_volume_ml"]) > 0
    made = {path.name for path in (out / "cases" / done["case"]).iterdir()}
    assert {"study", "proposed-mask.seg.nrrd", "segmentation.seg.nrrd"} < made
    texts = everything_said(out)
    for word in ("Mustermann", "MRN4711", "kiel-2026", "bonn-2026", "Roe"):
        assert word not in texts, word
