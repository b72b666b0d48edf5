"""`deepgmm priors`: a folder of labelled cases in, a small file out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from study_files import MASK, SHAPE, TRUTH, arrays, options, save, save_all

from deepgmm.cli.main import main
from deepgmm.identify.contrast import contrast_prior
from deepgmm.reading.studies.labelled import find_labelled
from deepgmm.study.words import Kind, Role, Tissue

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

NAMES = ("Doe_Jane", "Mueller_Hans", "Roe_Richard", "Smith_Ann")
WORDS = ("--lge-kind", "magnitude", "--t2-kind", "dark-blood")


def add(folder: Path, name: str, seed: int) -> None:
    for role, values in arrays(seed).items():
        save(values, folder / name / f"{role}.nii.gz")
    save(TRUTH, folder / name / "labels.nii.gz")


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """Four labelled cases, and one without labels."""
    for seed, name in enumerate((*NAMES, "unlabelled")):
        add(tmp_path / "cases", name, seed)
    (tmp_path / "cases" / "unlabelled" / "labels.nii.gz").unlink()
    return tmp_path / "cases"


def run(*words: object) -> int:
    return main(["priors", *map(str, words), *WORDS])


def made(folder: Path, *words: object) -> dict:
    """What the file holds."""
    file = folder.parent / "mu_data.json"
    assert run(folder, "-o", file, "-q", *words) == 0
    return json.loads(file.read_text())


def test_the_file_holds_numbers_counts_and_keys(a_folder: Path, tmp_path: Path, capsys) -> None:
    assert run(a_folder, "-o", tmp_path / "mu_data.json") == 0
    said = capsys.readouterr().out
    assert "5 cases: 5 with bSSFP, LGE, T2; 4 labelled" in said
    assert "contrast priors of 4 labelled cases: " in said and "lge-magnitude, scar" in said
    content = json.loads((tmp_path / "mu_data.json").read_text())
    keys = {case.key for case in find_labelled(a_folder) if case.labelled}
    assert content["cases"] == [{"key": key} for key in sorted(keys)] and len(keys) == 4
    assert list(content["kinds"]) == ["bssfp", "lge-magnitude", "t2-dark-blood"]
    scar = content["kinds"]["lge-magnitude"]["tissues"]["scar"]
    assert scar["cases"] == 4 and scar["pixels"] == 4 * (TRUTH == Tissue.SCAR).sum()
    values = [arrays(seed)["lge"].astype(float) for seed in range(4)]
    ends = [np.percentile(v[MASK], (2, 98)) for v in values]
    medians = [np.median(2 * (v[TRUTH == Tissue.SCAR] - low) / (high - low) - 1)
               for v, (low, high) in zip(values, ends)]
    assert scar["mean"] == pytest.approx(np.median(medians), abs=0.0051)


def test_names_go_in_only_when_asked_for(a_folder: Path) -> None:
    text = json.dumps(made(a_folder))
    assert not any(name in text for name in (*NAMES, "unlabelled", str(a_folder)))
    cases = {case.key: case.name for case in find_labelled(a_folder)}
    named = made(a_folder, "--identified")["cases"]
    assert {case["name"] for case in named} == set(NAMES)
    assert all(cases[case["key"]] == case["name"] for case in named)


def test_names_and_order_of_the_folders_change_nothing(a_folder: Path) -> None:
    before = made(a_folder, "--cases", "3", "--seed", 1)
    for letter, name in zip("dbac", NAMES):
        (a_folder / name).rename(a_folder / letter)
    assert made(a_folder, "--cases", "3", "--seed", 1) == before


def test_only_the_chosen_cases_enter(a_folder: Path) -> None:
    """Whatever the labels of the others are."""
    before = made(a_folder, "--cases", "Doe_Jane,Smith_Ann")
    keys = {case.name: case.key for case in find_labelled(a_folder)}
    assert {c["key"] for c in before["cases"]} == {keys["Doe_Jane"], keys["Smith_Ann"]}
    for name in ("Mueller_Hans", "Roe_Richard"):
        swapped = np.choose(TRUTH, [0, 4, 3, 2, 1]).astype(np.uint8)
        save(swapped, a_folder / name / "labels.nii.gz")
    assert made(a_folder, "--cases", "Doe_Jane,Smith_Ann") == before
    assert made(a_folder)["kinds"] != before["kinds"]


def test_a_number_draws_by_seed(a_folder: Path) -> None:
    contents = [made(a_folder, "--cases", 2, "--seed", seed) for seed in range(3)]
    drawn = [frozenset(case["key"] for case in content["cases"]) for content in contents]
    assert all(len(keys) == 2 for keys in drawn) and len(set(drawn)) > 1
    assert drawn[0] == frozenset(c["key"] for c in made(a_folder, "--cases", 2)["cases"])


def test_segment_takes_the_file(a_folder: Path, tmp_path: Path, capsys) -> None:
    made(a_folder)
    table, report = tmp_path / "mu_data.json", tmp_path / "report.json"
    inputs = options(save_all(tmp_path / "new"))
    assert main(["segment", *inputs, *WORDS, "--priors", str(table), "--report", str(report),
                 "-q"]) == 0
    assert "4 labelled cases, spread between them widened" in report.read_text()
    kinds = {Role.LGE: Kind.LGE_MAGNITUDE}
    (blood,), (shipped,) = (contrast_prior(kinds, (Tissue.BLOOD,), t).means for t in (table, None))
    assert blood != shipped


def test_the_kind_said_is_the_kind_of_the_prior(a_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mu_data.json"
    assert main(["priors", str(a_folder), "-o", str(file), "-q", "--lge-kind", "psir",
                 "--t2-kind", "prepared"]) == 0
    assert list(json.loads(file.read_text())["kinds"]) == ["bssfp", "lge-psir", "t2-prepared"]


def test_what_the_studies_warn_of_is_said_once(a_folder: Path, tmp_path: Path, capsys) -> None:
    for name in NAMES[:2]:
        values = arrays(NAMES.index(name))["t2"]
        values[1, 20, 20] = np.nan
        save(values, a_folder / name / "t2.nii.gz")
    assert run(a_folder, "-o", tmp_path / "mu_data.json", "-q") == 0
    warned = capsys.readouterr().err
    assert warned.count("in 2 of 4 cases: T2 has NaN or infinite values in 1 pixels") == 1
    assert not any(name in warned for name in NAMES)


@pytest.mark.parametrize(("words", "reason"), [
    (("--cases", "1"), "at least 2 labelled cases, and 1 is there"),
    (("--cases", "Doe_Jane"), "at least 2 labelled cases, and 1 is there"),
    (("--cases", "5"), "5 labelled cases were asked for, and 4 are there"),
    (("--cases", "unlabelled,Doe_Jane"), "no labelled case is called unlabelled"),
    (("--lge-kind", "strange"), "is no kind of LGE"),
])
def test_what_cannot_be_is_refused_and_nothing_written(a_folder: Path, tmp_path: Path, capsys,
                                                       words, reason: str) -> None:
    file = tmp_path / "mu_data.json"
    assert main(["priors", str(a_folder), "-o", str(file), *WORDS, *words]) == 2
    assert reason in capsys.readouterr().err and not file.exists()


def test_the_output_takes_no_cases_place(a_folder: Path, tmp_path: Path, capsys) -> None:
    own = a_folder / "Doe_Jane" / "phantom.json"
    own.write_text(json.dumps({"kinds": {"bssfp": "bssfp"}}))
    before = own.read_text()
    assert run(a_folder, "-o", own) == 2
    assert "would overwrite the case's phantom.json" in capsys.readouterr().err
    assert own.read_text() == before
    assert run(a_folder, "-o", tmp_path / "mu_data.txt") == 2
    assert "must end with .json" in capsys.readouterr().err
    assert run(a_folder, "-o", tmp_path / "no such folder" / "mu_data.json") == 2


def test_an_older_file_is_replaced_whole_or_stays(a_folder: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "mu_data.json"
    file.write_text("older")
    save(np.zeros(SHAPE, np.uint8), a_folder / "Doe_Jane" / "mask.nii.gz")
    assert run(a_folder, "-o", file) == 2
    assert file.read_text() == "older"
    save(MASK.astype(np.uint8), a_folder / "Doe_Jane" / "mask.nii.gz")
    assert run(a_folder, "-o", file) == 0
    assert capsys.readouterr().out.endswith("mu_data.json (replaced)\n")
    assert len(json.loads(file.read_text())["cases"]) == 4
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_damaged_file_is_said_in_one_line(a_folder: Path, tmp_path: Path, capfd) -> None:
    """Image libraries print lines of their own on such files."""
    image = save(arrays(0)["lge"], a_folder / "Doe_Jane" / "lge.mha")
    image.write_bytes(image.read_bytes()[:3000])
    (a_folder / "Doe_Jane" / "lge.nii.gz").unlink()
    assert run(a_folder, "-o", tmp_path / "mu.json") == 2
    said = capfd.readouterr().err
    assert "Doe_Jane: the LGE file is truncated or damaged" in said and said.count("\n") == 1


def test_names_stay_out_of_the_log(a_folder: Path, tmp_path: Path, capsys) -> None:
    """The terminal names the cases that are wrong, the log does not."""
    for name in ("Mueller_Hans", "Roe_Richard"):
        (a_folder / name / "mask.nii.gz").unlink()
    log = tmp_path / "run.log"
    assert run(a_folder, "-o", tmp_path / "mu.json", "--log", log) == 2
    assert "Mueller_Hans, Roe_Richard: no LV mask" in capsys.readouterr().err
    for name in ("Mueller_Hans", "Roe_Richard"):
        save(MASK.astype(np.uint8), a_folder / name / "mask.nii.gz")
    wanted = ("--cases", "Doe_Jane,Schmidt_Eva")
    assert run(a_folder, "-o", tmp_path / "mu.json", "--log", log, *wanted) == 2
    assert "no labelled case is called Schmidt_Eva" in capsys.readouterr().err
    text = log.read_text()
    assert "<name>, <name>: no LV mask" in text
    parts = [part for name in (*NAMES, "Schmidt_Eva") for part in name.split("_")]
    assert not any(part in text for part in parts), text
