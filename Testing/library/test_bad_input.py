"""Bad input, everywhere: a clear line and an exit status, and nothing lost or left behind."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_files import MASK, SHAPE, TRUTH, an_image, arrays, options, save, save_all

from deepgmm.cli.main import main
from deepgmm.errors import ComputationError

BEFORE = b"what was there before"


@pytest.fixture
def state(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of our own, where the log goes."""
    folder = tmp_path_factory.mktemp("state")
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(folder))
    return folder


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A good patient of a telling name; each test spoils something."""
    return save_all(tmp_path / "Mustermann")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(files, out: Path, state: Path, capsys):
    """Run `segment` on the files; give its message after looking at all that must hold."""

    def run(*more: object, status: int = 2, log: Path | None = state) -> str:
        (out / "o.seg.nrrd").write_bytes(BEFORE)
        arguments = ["segment", *options(files), "-o", out / "o.seg.nrrd",
                     "--montage", out / "o.png", *more]
        found = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        assert found == status, captured.err
        return check(captured.out, captured.err, log)

    def check(printed: str, errors: str, log: Path | None) -> str:
        lines = errors.splitlines()
        assert len(lines) == 1 and lines[0].startswith("deepgmm: error: "), errors
        assert printed == "" and "Traceback" not in errors
        assert "Mustermann" not in errors
        assert [p.name for p in out.iterdir()] == ["o.seg.nrrd"]  # nothing left behind
        assert (out / "o.seg.nrrd").read_bytes() == BEFORE  # and nothing lost
        logs = [p.read_text() for folder in {state, log or state} for p in folder.rglob("*.log")]
        assert len(logs) == (log is not None)
        for text in logs:
            assert "Traceback (most recent call last)" in text
            assert "Mustermann" not in text and str(out) not in text
        return lines[0].removeprefix("deepgmm: error: ")

    return run


@pytest.fixture
def a_fit(monkeypatch: pytest.MonkeyPatch):
    """Put a stand-in in the place of the fit."""

    def put(function) -> None:
        monkeypatch.setattr(importlib.import_module("deepgmm.segment"), "segment", function)

    return put


# The images and the mask

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
def test_a_few_wild_voxels_are_mended_and_said(files, out, capsys, state, wrong: float) -> None:
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


def test_one_slice_is_enough(files, out: Path, state, capsys) -> None:
    for role, path in files.items():
        save(arrays()[role][:1], path)
    assert main(["segment", *options(files), "--labelmap", str(out / "o.nrrd"), "-q"]) == 0
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
    assert "no LV mask given" in refused()


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


def test_names_with_accents_blanks_and_other_scripts(tmp_path: Path, state, capsys) -> None:
    folder = tmp_path / "Müller, José 患者"
    paths = save_all(folder)
    output = folder / "résultat — 結果.seg.nrrd"
    assert main(["segment", *options(paths), "-o", str(output), "-q"]) == 0
    assert output.is_file() and capsys.readouterr().err == ""
    paths["lge"].unlink()
    assert main(["segment", *options(paths), "-o", str(output), "-q"]) == 2
    log = next(state.rglob("*.log")).read_text(encoding="utf-8")
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


def test_an_unknown_command(state, capsys) -> None:
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


# Outputs

def test_an_unwritable_folder(refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "report cannot be written" in refused("--report", tmp_path / "file" / "o.json")
    assert "report cannot be written" in refused("--report", tmp_path / "nowhere" / "o.json")


def test_outputs_are_tried_before_the_images_are_read(files, refused, tmp_path: Path) -> None:
    files["lge"].unlink()
    assert "labelmap cannot be written" in refused("--labelmap", tmp_path / "no" / "o.nii.gz")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(refused, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "report cannot be written" in refused("--report", locked / "o.json")


def test_a_wrong_ending(refused, out: Path) -> None:
    assert "must end with .seg.nrrd; use --labelmap" in refused("-o", out / "o.nii.gz")
    assert "must end with .png" in refused("--montage", out / "o.jpg")


def test_two_outputs_of_one_name(refused, out: Path) -> None:
    assert "same file name" in refused("--labelmap", out / "p.nii.gz",
                                       "--probabilities", out / "p.nii.gz")


@pytest.mark.parametrize("link", [False, True])
def test_an_output_over_an_input(files, refused, tmp_path: Path, link: bool) -> None:
    target = files["lge"]
    if link:
        target = tmp_path / "link.nii.gz"
        os.link(files["lge"], target)
    before = files["lge"].read_bytes()
    assert "would overwrite the LGE input" in refused("--labelmap", target)
    assert files["lge"].read_bytes() == before


def test_no_output_asked_for(files, state, capsys) -> None:
    assert main(["segment", *options(files)]) == 2
    assert "no output asked for" in capsys.readouterr().err


def test_a_full_disk(refused, monkeypatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("deepgmm.study.files.os.fsync", full)
    assert "the disk is full" in refused()


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up_while_writing(files, out: Path, state) -> None:
    """For real: the system lets no file grow beyond 1 kB."""
    (out / "o.nii.gz").write_bytes(BEFORE)
    code = ("import resource, sys; from deepgmm.cli.main import main; "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)); sys.exit(main())")
    done = subprocess.run(
        [sys.executable, "-c", code, "segment", *options(files), "--labelmap", out / "o.nii.gz",
         "--probabilities", out / "p.nii.gz", "--log", os.devnull],
        capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {"o.nii.gz": BEFORE}


def test_a_second_run_on_the_same_output_replaces_it(files, out: Path, state) -> None:
    arguments = ["segment", *options(files), "-o", str(out / "o.seg.nrrd"), "-q"]
    (out / "o.seg.nrrd").write_bytes(BEFORE)
    assert main(arguments) == 0
    first = sitk.ReadImage(str(out / "o.seg.nrrd"))
    assert main(arguments) == 0
    second = sitk.ReadImage(str(out / "o.seg.nrrd"))
    np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, (first, second)))
    assert [p.name for p in out.iterdir()] == ["o.seg.nrrd"]


# The computation

def test_a_fit_that_fails(refused, a_fit) -> None:
    def fit(study, settings, *, progress):
        raise ComputationError("the fit came to no finite result: try the method map")

    a_fit(fit)
    assert refused(status=3) == "the fit came to no finite result: try the method map"


def test_a_fault_of_ours_is_logged_without_the_users_paths(files, refused, a_fit, tmp_path) -> None:
    told = f"no use for {files['lge']} nor '{files['lge'].parent}/else.dcm', '/data/Mustermann/x'"

    def fit(study, settings, *, progress):
        raise ValueError(told)

    a_fit(fit)
    log = tmp_path / "logs" / "run.log"
    message = refused("--log", log, status=3, log=log.parent)
    assert "the computation failed (ValueError)" in message and str(log) in message
    assert "in fit\n" in log.read_text() and "ValueError: no use for <lge> nor" in log.read_text()


def test_too_little_memory(refused, a_fit) -> None:
    def fit(study, settings, *, progress):
        raise MemoryError

    a_fit(fit)
    assert "not enough memory" in refused(status=3)


def test_an_interruption(refused, a_fit) -> None:
    def fit(study, settings, *, progress):
        raise KeyboardInterrupt

    a_fit(fit)
    assert "interrupted" in refused(status=130, log=None)  # no fault, so no log


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_nothing(files, out: Path, state, how) -> None:
    (out / "o.seg.nrrd").write_bytes(BEFORE)
    code = """
import importlib, sys, time
from deepgmm.cli.main import main
def fit(study, settings, *, progress):
    print("fitting", flush=True)
    time.sleep(60)
importlib.import_module("deepgmm.segment").segment = fit
sys.exit(main())
"""
    running = subprocess.Popen(
        [sys.executable, "-c", code, "segment", *options(files), "-o", str(out / "o.seg.nrrd")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # a shell starts its background jobs with interrupts ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert running.stdout and running.stdout.readline() == "fitting\n"
    running.send_signal(how)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors == "deepgmm: error: interrupted: no unfinished file was left\n"
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {"o.seg.nrrd": BEFORE}


# The whole command in a process of its own

@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_the_command_itself(tmp_path: Path, out: Path, state, suffix: str) -> None:
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

def test_a_demo_where_no_folder_can_be(tmp_path: Path, state, capsys) -> None:
    (tmp_path / "file").write_text("")
    for command in (["demo"], ["phantom"]):
        assert main([*command, "-o", str(tmp_path / "file" / "x")]) == 2
        assert "output folder cannot be made: a file has that name" in capsys.readouterr().err


@pytest.mark.parametrize("words", [
    ["--patients", "0"], ["--slices", "99"], ["--difficulty", "-1"], ["--set", "strange"],
    ["--sequences", "bssfp,t1"], ["--lge-kind", "map"],
])  # fmt: skip
def test_a_phantom_that_cannot_be(tmp_path: Path, state, capsys, words) -> None:
    assert main(["phantom", "-o", str(tmp_path / "made"), *words]) == 2
    assert capsys.readouterr().err.startswith("deepgmm: error: ")
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_what_cannot_be_evaluated(tmp_path: Path, state, capsys) -> None:
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


def test_a_mask_is_no_prediction_by_accident(tmp_path: Path, state, capsys) -> None:
    """A binary mask reads as blood alone: every other tissue then scores 0, never nothing."""
    mask = save(MASK.astype(np.uint8), tmp_path / "mask.nii.gz")
    truth = save(TRUTH, tmp_path / "truth.nii.gz")
    assert main(["evaluate", str(mask), str(truth)]) == 0
    rows = {r.split()[0]: r.split()[1] for r in capsys.readouterr().out.splitlines()[1:5]}
    assert rows["Scar"] == rows["Edema"] == rows["Myocardium"] == "0.000"
