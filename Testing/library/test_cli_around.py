"""The commands around `segment`: phantom, evaluate and demo, used as people use them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from study_files import SHAPE, TRUTH, options, save

from deepgmm.cli.main import main

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_phantom_then_segment_then_evaluate(tmp_path: Path, capsys) -> None:
    made = tmp_path / "made"
    assert run("phantom", "--patients", 2, "--seed", 5, "--slices", 2, "--difficulty", 0.5,
               "--lge-kind", "psir", "-o", made, "-q") == 0
    assert sorted(p.name for p in made.iterdir()) == ["phantom-0005", "phantom-0006"]
    facts = json.loads((made / "phantom-0005" / "phantom.json").read_text())
    assert (facts["seed"], facts["kinds"]["lge"]) == (5, "lge-psir")
    found = tmp_path / "found"
    found.mkdir()
    for case in ("phantom-0005", "phantom-0006"):
        paths = {r: made / case / f"{r}.nii.gz" for r in ("bssfp", "lge", "t2", "mask")}
        assert run("segment", *options(paths), "-o", found / f"{case}.seg.nrrd", "-q") == 0
    capsys.readouterr()
    assert run("evaluate", found, made, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert set(scores["cases"]) == {"phantom-0005", "phantom-0006"} and scores["patients"] == 2
    assert scores["volume"]["Blood"]["dice"]["mean"] > 0.8
    assert run("evaluate", found, made) == 0
    table = capsys.readouterr().out
    assert table.startswith("2 cases") and "Edema" in table


def test_phantoms_are_the_same_each_time_and_replaced_whole(tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (tmp_path / "phantom-0003").iterdir()}

    arguments = ("phantom", "--seed", 3, "--slices", 1, "--sequences", "lge", "-o", tmp_path, "-q")
    assert run(*arguments) == 0
    first = content()
    assert set(first) == {"lge.nii.gz", "mask.nii.gz", "wall.nii.gz", "truth.nii.gz",
                          "phantom.json"}
    assert run(*arguments, "--force") == 0
    for name in first:
        if name.endswith(".gz"):
            # gzip keeps a time; what matters is what it holds
            read = nibabel.load(tmp_path / "phantom-0003" / name).get_fdata()
            assert np.isfinite(read).all()
    assert set(content()) == set(first)
    assert [p.name for p in tmp_path.iterdir()] == ["phantom-0003"]


def test_phantoms_do_not_mix_with_what_a_folder_holds(tmp_path: Path, capsys) -> None:
    arguments = ("phantom", "--seed", 3, "--slices", 1, "-o", tmp_path, "-q")
    (tmp_path / ".hidden").touch()
    assert run(*arguments) == 0
    assert run(*arguments, "--sequences", "lge") == 2
    assert "add --force" in capsys.readouterr().err
    patient = tmp_path / "phantom-0003"
    assert (patient / "t2.nii.gz").exists()
    assert run(*arguments, "--sequences", "lge", "--force") == 0
    assert {p.name for p in patient.glob("*.gz")} == {"lge.nii.gz", "mask.nii.gz", "wall.nii.gz",
                                                      "truth.nii.gz"}


def test_phantom_in_the_layout_of_myops(tmp_path: Path) -> None:
    assert run("phantom", "--slices", 2, "--layout", "myops", "-o", tmp_path, "-q") == 0
    assert len(list(tmp_path.rglob("*.nii.gz"))) >= 4


def test_evaluate_the_truth_against_itself_is_perfect(tmp_path: Path, capsys) -> None:
    truth = save(TRUTH, tmp_path / "truth.nii.gz")
    assert run("evaluate", truth, truth, "--json") == 0
    scores = json.loads(capsys.readouterr().out)["volume"]
    assert set(scores) == {"Blood", "Myocardium", "Edema", "Scar"}
    for score in scores.values():
        assert score["dice"] == 1 and score["hausdorff95"] == score["surface_distance"] == 0


def test_evaluate_gives_dice_as_worked_out_by_hand(tmp_path: Path, capsys) -> None:
    """Two squares of 4 x 4 voxels of 2 x 2 x 8 mm, one voxel apart: 12 of 16 overlap, and on
    either side 4 of 16 lie 2 mm from the other."""
    a, b = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    a[1, 10:14, 10:14] = b[1, 10:14, 11:15] = 1
    one, other = save(a, tmp_path / "a.nrrd"), save(b, tmp_path / "b.nrrd")
    assert run("evaluate", one, other) == 0
    row = next(r for r in capsys.readouterr().out.splitlines() if r.startswith("Blood"))
    assert row.split()[1:] == ["0.750", "2.0", "0.50", "0.5", "0.5"]


def test_folders_are_matched_by_case_not_by_order(tmp_path: Path, capsys) -> None:
    """Names that sort differently in the two folders, and one truth too many."""
    blank = TRUTH.copy()
    blank[0] = 0
    for folder, names in (("found", ("b", "a")), ("true", ("b", "a", "c"))):
        for name in names:
            save(blank if name == "a" else TRUTH, tmp_path / folder / f"{name}.nii.gz")
    assert run("evaluate", tmp_path / "found", tmp_path / "true", "--json") == 0
    captured = capsys.readouterr()
    scores = json.loads(captured.out)
    assert all(s["volume"]["Scar"]["dice"] == 1 for s in scores["cases"].values())
    assert captured.err == "warning: 1 truths have no prediction; left out\n"


def test_slices_without_any_prediction_are_asked_about(tmp_path: Path, capsys) -> None:
    found = TRUTH.copy()
    found[[0, 2]] = 0
    truth, prediction = save(TRUTH, tmp_path / "t.nrrd"), save(found, tmp_path / "p.nrrd")
    assert run("evaluate", prediction, truth) == 0
    printed = capsys.readouterr().out
    assert ("note: slices 1 and 3 hold no prediction: were they left out? They were not compared"
            in printed)
    for row in printed.splitlines()[1:5]:  # what is left is perfect
        assert row.split()[1] == "1.000", row
    assert run("evaluate", truth, truth) == 0
    assert "no prediction" not in capsys.readouterr().out


def test_a_scar_that_is_missed_is_no_slice_left_out(tmp_path: Path, capsys) -> None:
    """A prediction of scar alone says by an empty slice that there is none."""
    found = np.where(TRUTH == 4, TRUTH, 0)
    found[0] = 0
    truth, prediction = save(TRUTH, tmp_path / "t.nrrd"), save(found, tmp_path / "p.nrrd")
    assert run("evaluate", prediction, truth, "--tissues", "scar", "--labels", "deepgmm",
               "--json") == 0
    said = json.loads(capsys.readouterr().out)["volume"]["Scar"]
    assert said["dice"] < 1 and said["true_volume_ml"] > said["volume_ml"]


@pytest.mark.parametrize("mask_is", ["prediction", "truth"])
def test_a_plain_mask_is_compared_as_one_too(tmp_path: Path, capsys, mask_is) -> None:
    mask = save((TRUTH > 0).astype(np.uint8), tmp_path / "mask.nrrd")
    truth = save(TRUTH, tmp_path / "t.nrrd")
    files = (mask, truth) if mask_is == "prediction" else (truth, mask)
    assert run("evaluate", *files, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["volume"]["Scar"]["dice"] == 0
    assert "plain LV mask" in captured.err and "Dice of 1.000" in captured.err
    blood = save(np.where(TRUTH == 1, TRUTH, 0), tmp_path / "blood.nrrd")
    assert run("evaluate", blood, truth, "--json") == 0  # a pool is no mask
    assert json.loads(capsys.readouterr().out)["volume"]["Scar"]["dice"] == 0


def test_demo(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("demo") == 0
    made = tmp_path / "demo-output"
    assert {p.name for p in made.iterdir()} == {
        "input", "segmentation.seg.nrrd", "labelmap.nii.gz", "montage.png", "report.json"}
    printed = capsys.readouterr().out
    for word in ("Blood", "Myocardium", "Edema", "Scar", "Dice", "montage.png"):
        assert word in printed
    assert run("demo", "--quiet") == 0  # over the first run's files
    assert capsys.readouterr().out == ""
