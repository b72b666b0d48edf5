"""Bad input, everywhere: a clear line and an exit status, and nothing lost or left behind."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_files import MASK, SHAPE, TRUTH, an_image, arrays, options, save, save_all

from deepgmm.cli.main import main

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


def test_different_grids(files, refused, tmp_path: Path) -> None:
    files["t2"] = save(arrays()["t2"][:, :40], tmp_path / "t2.nii.gz")
    message = refused()
    assert "T2 and LV mask lie on different grids: size 48x40x3 against 48x48x3" in message
    assert "--resample" in message


def test_mismatched_affines(files, refused, tmp_path: Path) -> None:
    files["lge"] = save(arrays()["lge"], tmp_path / "l.nii.gz", origin=(-39.0, 12.5, 30.0))
    message = refused()
    assert "different grids: origin, by 1 mm" in message and "LGE" in message


def test_a_mask_that_misses_the_image(files, refused) -> None:
    for role in ("bssfp", "lge", "t2"):
        save(np.where(np.arange(48) < 45, 0, arrays()[role]), files[role])
    assert "misses what there is to see on bSSFP" in refused()


def test_an_empty_mask(files, refused) -> None:
    save(np.zeros(SHAPE, np.uint8), files["mask"])
    assert "LV mask is empty" in refused()


def test_a_mask_of_one_pixel(files, refused) -> None:
    one = np.zeros(SHAPE, np.uint8)
    one[1, 24, 24] = 1
    save(one, files["mask"])
    assert "single pixel" in refused()


def test_fewer_pixels_than_tissues_want(files, refused) -> None:
    few = np.zeros(SHAPE, np.uint8)
    few[:, 24, 22:25] = 1
    save(few, files["mask"])
    assert "at most 3 pixels on a slice, too few for 4 tissues" in refused()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_many_wild_voxels(files, refused, wrong: float) -> None:
    values = arrays()["lge"]
    values[:, 20:28] = wrong
    save(values, files["lge"])
    assert "LGE has NaN or infinite values in" in refused()


@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_a_few_wild_voxels_are_mended_and_said(files, out, capsys, wrong: float) -> None:
    main(["segment", *options(files), "--labelmap", str(out / "good.nrrd"), "-q"])
    values = arrays()["lge"]
    values[1, 24, 24] = values[0, 0, 0] = wrong
    save(values, files["lge"])
    assert main(["segment", *options(files), "--labelmap", str(out / "o.nrrd"), "-q"]) == 0
    assert "warning: LGE has NaN or infinite values in 1 pixels" in capsys.readouterr().err
    good, found = (sitk.GetArrayFromImage(sitk.ReadImage(str(out / n)))
                   for n in ("good.nrrd", "o.nrrd"))
    assert (good != found).mean() < 0.001


@pytest.mark.parametrize("role", ["bssfp", "lge", "t2"])
def test_a_constant_image(files, refused, role: str) -> None:
    save(np.full(SHAPE, 12, np.int16), files[role])
    assert "is constant (12 everywhere)" in refused()


def test_one_slice_is_enough(files, out: Path, capsys) -> None:
    for role, path in files.items():
        save(arrays()[role][:1], path)
    assert main(["segment", *options(files), "--method", "map", "--labelmap",
                 str(out / "o.nrrd"), "-q"]) == 0
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "o.nrrd")))[0]
    for tissue in (1, 2, 3, 4):
        a, b = found == tissue, TRUTH[0] == tissue
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8


def test_no_image_at_all(files, refused) -> None:
    for role in ("bssfp", "lge", "t2"):
        del files[role]
    assert "no sequence given" in refused()


def test_no_mask(files, refused) -> None:
    del files["mask"]
    said = refused()
    assert "no LV mask given" in said and "--mask FILE" in said and "--mask propose" in said


# Files

def test_a_missing_file(files, refused) -> None:
    files["bssfp"].unlink()
    assert "bSSFP file does not exist" in refused()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_truncated_file(files, refused, tmp_path: Path, suffix: str) -> None:
    files["t2"] = save(arrays()["t2"], tmp_path / f"t2{suffix}")
    whole = files["t2"].read_bytes()
    files["t2"].write_bytes(whole[: len(whole) // 2])
    assert "T2 file is truncated or damaged" in refused()


def test_a_file_that_is_no_image(files, refused) -> None:
    files["mask"].write_text("not an image")
    assert "LV mask file is truncated or damaged" in refused()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(files, refused) -> None:
    files["lge"].chmod(0)
    assert "LGE file cannot be read" in refused()


def test_frames_of_lge(files, refused) -> None:
    sitk.WriteImage(sitk.JoinSeries([an_image(arrays()["lge"])] * 3), str(files["lge"]))
    assert "LGE file has 3 frames" in refused()


def test_names_with_accents_blanks_and_other_scripts(
        tmp_path: Path, a_log_of_our_own: Path, capsys) -> None:
    folder = tmp_path / "Müller, José 患者"
    paths = save_all(folder)
    output = folder / "résultat — 結果.seg.nrrd"
    assert main(["segment", *options(paths), "--method", "map", "-o", str(output), "-q"]) == 0
    assert output.is_file() and capsys.readouterr().err == ""
    paths["lge"].unlink()
    assert main(["segment", *options(paths), "-o", str(output), "-q"]) == 2
    log = next(a_log_of_our_own.rglob("*.log")).read_text(encoding="utf-8")
    assert "José" not in log and "患者" not in log and "結果" not in log


# Options

@pytest.mark.parametrize(("words", "hint"), [
    (["--methd", "map"], "deepgmm segment --help"),
    (["--method", "magic"], "deepgmm segment --help"),
    (["--seed", "soon"], "deepgmm segment --help"),
    (["stray"], "deepgmm segment --help"),
    (["--lge-kind", "t1"], "auto, magnitude, psir, dark-blood, unknown"),
    (["--slices", "0-9"], "there is no slice 9"),
    (["--slices", "first"], "write for instance 0,2-5"),
    (["--tissues", "blood,tumour"], "tissue"),
    (["--priors", "nowhere.json"], "prior"),
])  # fmt: skip
def test_a_wrong_option(refused, words, hint: str) -> None:
    assert hint in refused(*words)


def test_an_unknown_command(capsys) -> None:
    assert main(["segmnt"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("deepgmm: error: ") and error.count("\n") == 1


def test_a_tissue_that_these_images_do_not_show(files, refused) -> None:
    del files["t2"]
    assert "edema cannot be told" in refused("--tissues", "blood,myocardium,edema")


@pytest.mark.parametrize("method", ["deepsvg", "map"])
def test_no_gpu(refused, monkeypatch, method: str) -> None:
    torch = importlib.import_module("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in refused("--device", "cuda", "--method", method)


# The whole command in a process of its own

@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_the_command_itself(tmp_path: Path, out: Path, suffix: str) -> None:
    """Image libraries print of their own on such files; the user sees one line."""
    files = save_all(tmp_path, suffix=suffix)
    files["lge"].write_bytes(files["lge"].read_bytes()[:2000])
    line = [sys.executable, "-m", "deepgmm", "segment", *options(files), "-o",
            str(out / "o.seg.nrrd")]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == ("deepgmm: error: the LGE file is truncated or damaged: "
                           "copy or export it again\n")
    assert not list(out.iterdir())


# The other commands

def test_a_demo_where_no_folder_can_be(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    for command in (["demo"], ["phantom"]):
        assert main([*command, "-o", str(tmp_path / "file" / "x")]) == 2
        assert "output folder cannot be made: a file has that name" in capsys.readouterr().err


@pytest.mark.parametrize("words", [
    ["--patients", "0"], ["--slices", "99"], ["--difficulty", "-1"], ["--set", "strange"],
    ["--sequences", "bssfp,t1"], ["--lge-kind", "map"],
])  # fmt: skip
def test_a_phantom_that_cannot_be(tmp_path: Path, capsys, words) -> None:
    assert main(["phantom", "-o", str(tmp_path / "made"), *words]) == 2
    assert capsys.readouterr().err.startswith("deepgmm: error: ")
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_what_cannot_be_evaluated(tmp_path: Path, capsys) -> None:
    truth = save(TRUTH, tmp_path / "true" / "a.nii.gz")
    moved = save(TRUTH, tmp_path / "moved.nii.gz", origin=(0.7, 0.0, 0.0))
    image = save(arrays()["lge"], tmp_path / "image.nii.gz")
    empty = save(np.zeros(SHAPE, np.uint8), tmp_path / "empty.nii.gz")
    (tmp_path / "none").mkdir()
    save(TRUTH, tmp_path / "other" / "b.nii.gz")
    half = tmp_path / "half.nii.gz"
    half.write_bytes(truth.read_bytes()[:300])
    for prediction, against, hint in (
        (tmp_path / "gone.nii.gz", truth, "prediction does not exist"),
        (moved, truth, "different grids"),
        (half, truth, "prediction file is truncated or damaged"),
        (image, truth, "no tissue"),
        (empty, empty, "neither prediction nor truth holds any tissue"),
        (truth, tmp_path / "true", "both be files or both be folders"),
        (tmp_path / "none", tmp_path / "true", "prediction folder holds no label images"),
        (tmp_path / "other", tmp_path / "true", "none of the 1 predictions"),
    ):
        assert main(["evaluate", str(prediction), str(against)]) == 2
        assert hint in capsys.readouterr().err


def test_a_mask_is_no_prediction_by_accident(tmp_path: Path, capsys) -> None:
    """A binary mask reads as blood alone: every other tissue then scores 0, never nothing."""
    mask = save(MASK.astype(np.uint8), tmp_path / "mask.nii.gz")
    truth = save(TRUTH, tmp_path / "truth.nii.gz")
    assert main(["evaluate", str(mask), str(truth)]) == 0
    rows = {r.split()[0]: r.split()[1] for r in capsys.readouterr().out.splitlines()[1:5]}
    assert rows["Scar"] == rows["Edema"] == rows["Myocardium"] == "0.000"
