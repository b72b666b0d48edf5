"""A cohort's cases, what is written of them, and what is kept back."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from cohort_work import stub
from inline_cluster import do_it_here

pytest.importorskip("distributed")
pytest.importorskip("cryptography")

from deepgmm.cli.main import main  # noqa: E402
from deepgmm.errors import InputError  # noqa: E402
from deepgmm.jobs.cohort import agreement, index, pseudonyms, records, work  # noqa: E402
from deepgmm.jobs.cohort.cases import Case, Plan, Sort, batches, find_cases  # noqa: E402
from deepgmm.jobs.cohort.manifest import read_manifest  # noqa: E402
from deepgmm.jobs.cohort.run import cohort  # noqa: E402
from deepgmm.phantom import make_patient, write_patient  # noqa: E402
from deepgmm.settings import Settings  # noqa: E402

NAMES = ("Mustermann_Max", "Doe_Jane", "Roe_Richard")


@pytest.fixture(autouse=True)
def a_user(tmp_path, monkeypatch):
    """Whose salt and log are no real user's."""
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> Path:
    """Three case folders of a slice or two."""
    root = tmp_path_factory.mktemp("clinic")
    for seed, name in enumerate(NAMES):
        write_patient(make_patient(seed, slices=2 - (seed > 0)), root / name)
    return root


@pytest.fixture
def clinic(patients, tmp_path) -> Path:
    """The same, to spoil."""
    return Path(shutil.copytree(patients, tmp_path / "clinic"))


@pytest.fixture
def here(monkeypatch):
    do_it_here(monkeypatch)


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run(*words: object) -> int:
    return main(["cohort", *map(str, words), "--quiet", "--method", "gmm", "--restarts", "1"])


def everything_said(out: Path, *more: str) -> str:
    """All names of files and all texts of an output folder, and what was printed."""
    said = list(more)
    for path in out.rglob("*"):
        said.append(str(path.relative_to(out)))
        if path.suffix in (".csv", ".json", ".html"):
            said.append(path.read_text())
    return "\n".join(said)


def test_from_folder_to_table(clinic, out, capsys, here, tmp_path):
    """One case without a mask, one of another kind, one that cannot be read, one folder twice:
    each is named, the rest is done, and nothing written names a patient."""
    (clinic / NAMES[1] / "mask.nii.gz").unlink()
    (clinic / "Broken_Bea").mkdir()
    (clinic / "Broken_Bea" / "lge.nii.gz").write_bytes(b"no image")
    shutil.copytree(clinic / NAMES[2], clinic / "Roe_again")
    assert run(clinic, "-o", out, "--key-file", tmp_path / "key.csv") == 2
    printed = capsys.readouterr()
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
