"""Whatever ends a run, from a full disk to an interruption: nothing is lost or left behind."""

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
from study_files import BEFORE, options

from deepgmm.cli.main import main
from deepgmm.errors import ComputationError

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


@pytest.fixture
def a_fit(monkeypatch: pytest.MonkeyPatch):
    """Put a stand-in in the place of the fit."""

    def put(function) -> None:
        monkeypatch.setattr(importlib.import_module("deepgmm.segment"), "segment", function)

    return put


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


def test_no_output_asked_for(files, capsys) -> None:
    assert main(["segment", *options(files)]) == 2
    assert "no output asked for" in capsys.readouterr().err


def test_a_full_disk(refused, monkeypatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("deepgmm.files.os.fsync", full)
    assert "the disk is full" in refused()


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up_while_writing(files, out: Path) -> None:
    """For real: the system lets no file grow beyond 1 kB."""
    (out / "o.nii.gz").write_bytes(BEFORE)
    code = ("import resource, sys; from deepgmm.cli.main import main; "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)); sys.exit(main())")
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "segment", *options(files),
         "--labelmap", out / "o.nii.gz", "--probabilities", out / "p.nii.gz", "--log", os.devnull],
        capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {"o.nii.gz": BEFORE}


def test_a_second_run_on_the_same_output_replaces_it(files, out: Path) -> None:
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
def test_a_run_that_is_stopped_leaves_nothing(files, out: Path, how) -> None:
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
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 130
    assert errors == "deepgmm: error: interrupted: no unfinished file was left\n"
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {"o.seg.nrrd": BEFORE}


def test_an_interruption_while_commands_are_loaded(monkeypatch, capsys) -> None:
    def load():
        raise KeyboardInterrupt

    monkeypatch.setattr("deepgmm.cli.main._command", load)
    assert main(["--version"]) == 130
    assert capsys.readouterr().err == "deepgmm: error: interrupted: no unfinished file was left\n"
