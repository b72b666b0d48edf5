"""What a cohort writes of its cases, what it does again, and what it says of all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from cohort_work import stub

pytest.importorskip("distributed")
pytest.importorskip("cryptography")

from cohort_desk import NAMES, everything_said, rows, run  # noqa: E402

from deepgmm.cli.cohort_command import _said  # noqa: E402
from deepgmm.cli.main import main  # noqa: E402
from deepgmm.errors import InputError  # noqa: E402
from deepgmm.jobs.cohort import agreement, index, records  # noqa: E402
from deepgmm.jobs.cohort import run as run_module  # noqa: E402
from deepgmm.jobs.cohort.cases import Case, Plan, find_cases  # noqa: E402
from deepgmm.jobs.cohort.run import Summary, cohort  # noqa: E402
from deepgmm.settings import Settings  # noqa: E402

pytest_plugins = ["cohort_fixtures"]
pytestmark = pytest.mark.usefixtures("a_user")


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def test_from_folder_to_table(clinic, out, capsys, here, tmp_path):
    """One case without a mask, one of another kind, one that cannot be read, one folder twice:
    each is named, the rest is done, and nothing written names a patient."""
    (clinic / NAMES[1] / "mask.nii.gz").unlink()
    (clinic / "Broken_Bea").mkdir()
    (clinic / "Broken_Bea" / "lge.nii.gz").write_bytes(b"no image")
    shutil.copytree(clinic / NAMES[2], clinic / "Roe_again")
    assert run(clinic, "-o", out, "--key-file", tmp_path / "key.csv", "--json") == 2
    printed = capsys.readouterr()
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert [e["event"] for e in events] == ["start", "skipped", *["case"] * 5, "end"]
    assert [(e["ended"], e["of"]) for e in events[2:-1]] == [(n, 5) for n in range(1, 6)]
    assert events[-2]["seconds_left"] == 0.0 and events[-1]["failed"] == 1
    assert [e["message"] for e in events[2:-1] if e["status"] == "failed"] == [
        row["message"] for row in rows(out / "failures.csv")]
    assert "1 of 5 cases failed" in printed.err
    assert "hold the same image: is one patient here twice?" in printed.err
    table = rows(out / "table.csv")
    key = {row["case"]: row["pseudonym"] for row in rows(tmp_path / "key.csv")}
    assert set(key) == {*NAMES, "Broken_Bea", "Roe_again"}
    assert {row["case"]: row["status"] for row in table} == {
        name: "failed" if name == key["Broken_Bea"] else "done" for name in key.values()}
    assert [row["case"] for row in rows(out / "failures.csv")] == [key["Broken_Bea"]]
    by_case = {row["case"]: row for row in table}
    proposed = by_case[key[NAMES[1]]]
    assert proposed["mask"] == "proposed" and 0 < float(proposed["mask_confidence"]) <= 1
    assert by_case[key[NAMES[0]]]["mask"] == "given"
    for name in (NAMES[0], NAMES[2]):
        made = {path.name for path in (out / "cases" / key[name]).iterdir()}
        assert made >= {"segmentation.seg.nrrd", "labelmap.nii.gz", "probabilities.nii.gz",
                        "montage.png", "report.json", "numbers.json", "numbers.csv",
                        "thumbnail.png", "record.json"}
    said = everything_said(out, printed.out, printed.err)
    for word in (*NAMES, "Broken", "Roe_again", "Mustermann", "Jane", str(clinic), str(tmp_path)):
        assert word not in said.replace(str(out), ""), word
    page = (out / "index.html").read_text()
    assert page.index(key["Broken_Bea"]) < page.index("Look at these first")
    assert all(f'src="cases/{key[name]}/thumbnail.png"' in page for name in NAMES)
    assert not list(out.rglob(".deepgmm-*"))


def test_numbers_are_those_of_the_commands(patients, out, tmp_path, here):
    """The table holds what `segment` and `quantify` write of the same case."""
    only = tmp_path / "one"
    shutil.copytree(patients / NAMES[0], only / NAMES[0])
    assert run(only, "-o", out) == 0
    row = rows(out / "table.csv")[0]
    folder = only / NAMES[0]
    images = [w for role in ("bssfp", "lge", "t2")
              for w in (f"--{role}", folder / f"{role}.nii.gz")]
    alone = tmp_path / "alone.seg.nrrd"
    words = ["segment", *images, "--mask", folder / "mask.nii.gz", "-o", alone, "--report",
             tmp_path / "r.json", "--quiet", "--method", "gmm", "--restarts", "1",
             "--lge-kind", row["lge_kind"].removeprefix("lge-"),
             "--t2-kind", row["t2_kind"].removeprefix("t2-")]
    assert main([str(w) for w in words]) == 0
    kinds = [w for role in ("lge", "t2")
             for w in (f"--{role}-kind", row[f"{role}_kind"].partition("-")[2])]
    assert main([str(w) for w in ("quantify", alone, *images, "--mask", folder / "mask.nii.gz",
                                  *kinds, "--from-report", tmp_path / "r.json", "--quiet",
                                  "--csv", tmp_path / "n.csv")]) == 0
    theirs = {r["quantity"]: r for r in rows(tmp_path / "n.csv") if r["scope"] == "study"}
    for key in ("blood_volume", "scar_volume", "edema_volume", "infarct_volume"):
        assert float(row[f"{key}_ml"]) == pytest.approx(float(theirs[key]["value"]), rel=1e-9)
    assert float(row["scar_percent"]) == pytest.approx(float(theirs["scar_percent"]["value"]))
    # the phantom's truth lies in its folder, and agreement is evaluate's
    assert main(["evaluate", str(alone), str(folder / "truth.nii.gz"), "--quiet", "--csv",
                 str(tmp_path / "e.csv")]) == 0
    dice = {r["tissue"]: r["dice"] for r in rows(tmp_path / "e.csv") if r["scope"] == "volume"}
    assert float(row["scar_dice"]) == pytest.approx(float(dice["Scar"]), abs=1e-9)


def test_dicom_of_every_case_is_of_nobody(patients, tmp_path, out, here):
    pydicom, highdicom = pytest.importorskip("pydicom"), pytest.importorskip("highdicom")
    shutil.copytree(patients / NAMES[1], tmp_path / "one" / NAMES[1])
    assert run(tmp_path / "one", "-o", out, "--dicom") == 0
    (place,) = (out / "cases").iterdir()
    seg = highdicom.seg.segread(place / "dicom" / "segmentation.dcm")
    report = pydicom.dcmread(place / "dicom" / "numbers.dcm")
    series = [pydicom.dcmread(file) for file in place.glob("dicom/*derived*.dcm")]
    assert seg.number_of_segments >= 2 and report.Modality == "SR"
    assert {one.SeriesInstanceUID for one in series} == {
        seg.ReferencedSeriesSequence[0].SeriesInstanceUID}
    for one in (seg, report, *series):
        assert not set(NAMES[1].split("_")) & set(str(one).replace("^", " ").split())
    record = json.loads((place / "record.json").read_text())
    assert {"dicom/segmentation.dcm", "dicom/numbers.dcm"} < set(record["files"])
    assert not [text for text in record["warnings"] if "derived" in text]


def test_nothing_to_do_is_no_failure() -> None:
    """Of a folder in which all was done before; or something was done or failed."""
    for summary, words in (
            (Summary(cases=2, skipped=2), "nothing to do: 2 of 2 cases done before; 3 s"),
            (Summary(cases=2, done=1, skipped=1), "1 of 2 cases done, 1 before, 0 failed; 3 s"),
            (Summary(cases=2, skipped=1, failures={"case-1": "x"}),
             "0 of 2 cases done, 1 before, 1 failed; 3 s"),
            (Summary(), "0 of 0 cases done, 0 failed; 3 s")):
        assert _said(summary, Path("results"), 3.0).splitlines()[0] == words


def test_done_is_not_done_again(clinic, out, here):
    """Unchanged cases are skipped; a changed file, setting or output brings back its case alone."""
    begun = out.parent / "begun.txt"

    def what_is_done(plan: Plan | None = None, **options) -> list[str]:
        begun.unlink(missing_ok=True)
        found = cohort(find_cases(clinic), out, plan, work=stub, **options)
        assert not found.failures
        done = begun.read_text().split() if begun.exists() else []
        assert found.done == len(done) and found.skipped == 3 - len(done)
        return sorted(done)

    assert what_is_done() == sorted(NAMES)
    before = (out / "table.csv").read_bytes()
    assert what_is_done() == []
    assert (out / "table.csv").read_bytes() == before
    image = clinic / NAMES[0] / "lge.nii.gz"
    os.utime(image)  # touched, and the same
    assert what_is_done() == []
    about = image.stat()
    shutil.copy(clinic / NAMES[1] / "lge.nii.gz", image)
    os.utime(image, ns=(about.st_atime_ns, about.st_mtime_ns))  # as old as it was, and another
    assert what_is_done() == [NAMES[0]]
    next((out / "cases").glob("*/made.txt")).unlink()
    assert len(what_is_done()) == 1
    assert what_is_done(force=True) == sorted(NAMES)
    assert what_is_done(Plan(Settings(seed=1))) == sorted(NAMES)


def test_a_full_disk(clinic, out, here, monkeypatch, capsys):
    """Whose case cannot be written is told of it, the others go on, and nothing half is left."""
    import errno

    from deepgmm.review import outputs

    inner, seen = outputs._write_montage, []

    def full_for_the_second(result, path):
        seen.append(path)
        if len(seen) in (2, 3):  # together, and then alone
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        inner(result, path)

    monkeypatch.setattr(outputs, "_write_montage", full_for_the_second)
    shutil.rmtree(clinic / NAMES[0])
    assert run(clinic, "-o", out) == 2
    failed = rows(out / "failures.csv")
    assert len(failed) == 1 and {row["message"] for row in failed} == {
        "the montage cannot be written: the disk is full; make room"}
    assert not list(out.rglob(".deepgmm-*"))
    assert len(list(out.glob("cases/*/record.json"))) == 1
    assert run(clinic, "-o", out) == 0  # room was made


def test_a_table_that_cannot_be_written_meanwhile_ends_nothing(clinic, out, here, monkeypatch):
    """While cases are done the disk may be full; the table is written at the end."""
    inner, tried = run_module.write_tables, []

    def full_at_first(cases, failures, place):
        tried.append(place)
        if len(tried) < 4:
            raise InputError("the table cannot be written: the disk is full; make room")
        inner(cases, failures, place)

    monkeypatch.setattr(run_module, "REFRESH", -1.0)
    monkeypatch.setattr(run_module, "write_tables", full_at_first)
    assert cohort(find_cases(clinic), out, work=stub).done == 3
    assert len(tried) == 4 and len(rows(out / "table.csv")) == 3


def test_a_fault_of_ours_is_in_the_log(clinic, out, here, monkeypatch, capsys, tmp_path):
    from deepgmm.review import outputs

    def broken(result, path):
        raise ZeroDivisionError(f"{clinic / NAMES[1]} is one too many")

    monkeypatch.setattr(outputs, "_write_montage", broken)
    shutil.rmtree(clinic / NAMES[0])
    shutil.rmtree(clinic / NAMES[2])
    assert run(clinic, "-o", out, "--log", tmp_path / "log.txt") == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "ZeroDivisionError" in rows(out / "failures.csv")[0]["message"]
    log = (tmp_path / "log.txt").read_text()
    assert "ZeroDivisionError" in log and "in broken" in log and NAMES[1] not in log


def test_two_runs_on_one_folder(out):
    out.mkdir()
    with records.locked(out), pytest.raises(InputError, match="another run is at work"):
        with records.locked(out):
            pass
    assert not list(out.iterdir())


def test_agreement_in_closed_form():
    """Bias, limits and means of volumes that are off by known amounts."""
    def case(volume, true, dice):
        return {"Scar": {"dice": dice, "volume": volume, "true": true, "hausdorff95": 2.0,
                         "surface_distance": 1.0, "base": dice, "mid": None, "apex": None}}

    found = agreement.agreement_rows([({"s": "A"}, case(11.0, 10.0, 0.8)),
                                      ({"s": "A"}, case(23.0, 20.0, 0.6)),
                                      ({"s": "B"}, case(30.0, 30.0, None))])
    by = {(row["subgroup"], row["value"]): row for row in found}
    assert by["s", "A"]["bias_ml"] == 2.0 and by["s", "A"]["dice"] == pytest.approx(0.7)
    half = 1.96 * np.std([1.0, 3.0], ddof=1)
    assert by["s", "A"]["limit_high_ml"] == pytest.approx(2.0 + half)
    assert by["", ""]["cases"] == 3 and by["", ""]["dice_undefined"] == 1
    assert by["s", "B"]["icc"] is None and by["", ""]["dice_mid"] is None
    assert by["", ""]["icc"] == pytest.approx(0.98, abs=0.02)


def test_truths_that_were_not_compared_are_told(clinic, out, here):
    """In what is said of the cohort and on the page, with the commonest reason."""
    def unlike(batch):
        outcomes = stub(batch)
        for case in batch.cases:
            place = records.place_of(batch.out, case.pseudonym) / records.RECORD
            record = json.loads(place.read_text())
            why = "other" if case.name == NAMES[2] else "its labels are ambiguous"
            record["warnings"] = [f"no agreement with the truth: {why}"]
            place.write_bytes(records.encoded(record))
        return outcomes

    (clinic / NAMES[2] / "truth.nii.gz").rename(clinic / NAMES[2] / "labels.nii.gz")
    shutil.copytree(clinic / NAMES[0], clinic / "without")
    (clinic / "without" / "truth.nii.gz").unlink()
    cases = find_cases(clinic)
    found = cohort(cases, out, work=lambda b: (stub if b.cases[0].name == "without" else
                                               unlike)(b), batch=1)
    said = "no agreement with the truth for 3 of 3 cases: its labels are ambiguous"
    assert said in found.notes and said in (out / "index.html").read_text()


def test_the_page_is_sorted_by_what_needs_looking_at(out):
    """A rare warning, an uncertain case and a doubtful mask come before what all have."""
    def record(name, warnings, uncertainty, confidence):
        place = records.place_of(out, name)
        place.mkdir(parents=True)
        made = records.new_record(Case("x", name), "", "", row={}, warnings=warnings, look={
            "uncertainty": uncertainty, "confidence": confidence})
        (place / records.RECORD).write_bytes(records.encoded(made))
        return Case("x", name)

    common = "shifted by 3.1 mm on slice 2"
    cases = [record(f"case-{i}", [common.replace("3", str(i))], 0.1, None) for i in range(6)]
    cases += [record("rare", [common, "no edema"], 0.1, None), record("dim", [common], 0.6, None),
              record("guess", [common], 0.1, 0.5), Case("x", "broken")]
    found = [e.pseudonym for e in index.entries(cases, {"broken": "gone"}, out)]
    assert found[0] == "broken" and set(found[1:4]) == {"rare", "dim", "guess"}
    index.write_index(cases, {"broken": "<b>"}, out)
    assert "&lt;b&gt;" in (out / "index.html").read_text()


def test_what_all_cases_are_warned_of_is_said_once():
    every = [index.Entry(f"case-{i}", ["estimated points", f"{i} mm off"]) for i in range(3)]
    assert index._of_all(every[:2]) == []
    assert index._of_all(every) == ["in all 3 cases: estimated points"]
    assert [entry.warnings for entry in every] == [[f"{i} mm off"] for i in range(3)]


def test_a_record_is_of_its_inputs(tmp_path):
    file = tmp_path / "lge.nii.gz"
    file.write_bytes(b"1")
    case = Case("a", "case-a", files={"lge": file})
    plan = Plan()
    place = records.place_of(tmp_path, "case-a")
    place.mkdir(parents=True)
    made = records.new_record(case, plan.key, "r", stamp=records.stamp_of(case),
                              inputs=records.hashes_of(case), files=["x"])
    (place / records.RECORD).write_bytes(records.encoded(made))
    assert not records.is_done(case, plan.key, tmp_path)  # a file of it is gone
    (place / "x").touch()
    assert records.is_done(case, plan.key, tmp_path)
    assert not records.is_done(case, Plan(lge_kind="psir").key, tmp_path)
    case.kinds["lge"] = "psir"
    assert not records.is_done(case, plan.key, tmp_path)


def test_a_lock_that_another_holds_is_not_swept_away(tmp_path):
    place = tmp_path / records.CASES / "case-a"
    place.mkdir(parents=True)
    left, lock = place / ".deepgmm-0123", place / ".deepgmm-state.h5.lock"
    left.mkdir()
    lock.touch()
    records.sweep(tmp_path)
    assert lock.exists() and not left.exists()


def test_blanks_at_the_rim_of_an_edited_file_are_not_erased():
    """A ring of two pixels is missing, as of a smaller mask, and one pixel within was erased."""
    from deepgmm.jobs.cohort.reading import _inside

    labels = np.zeros((2, 20, 20), np.uint8)
    labels[:, 4:16, 4:16] = 2
    edited = np.zeros_like(labels)
    edited[1, 6:14, 6:14] = 2
    edited[1, 9, 9], edited[1, 10, 10] = 0, 4
    found, kept = _inside(edited, labels)
    assert kept == 144 - 64 and not found[0].any()
    assert found[1, 9, 9] == 0 and found[1, 10, 10] == 4
    found[1, 9, 9] = found[1, 10, 10] = 2
    np.testing.assert_array_equal(found[1], labels[1])
