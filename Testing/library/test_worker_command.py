"""What starts a worker, and that it finds this library and no other."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from workers import LAUNCHER, LIMIT

import deepgmm
from deepgmm.jobs import client
from deepgmm.jobs.client import State, Worker


def test_in_slicer_slicers_python_is_started(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / ("PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer")
    python.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("SLICER_HOME", raising=False)
    assert client.default_command()[0] == sys.executable
    monkeypatch.setenv("SLICER_HOME", str(tmp_path))
    assert client.default_command()[0] == str(python)


def test_the_worker_finds_this_library_before_any_other(tmp_path: Path) -> None:
    given = {"HOME": "there", "PYTHONPATH": str(tmp_path)}
    made = client.with_library(given)
    library = str(Path(deepgmm.__file__).resolve().parents[1])
    assert made["PYTHONPATH"] == library + os.pathsep + str(tmp_path)
    assert made["HOME"] == "there" and given["PYTHONPATH"] == str(tmp_path)
    assert client.with_library({})["PYTHONPATH"] == library


def test_nor_does_one_come_first_that_is_among_slicers_own_packages(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slicer's launcher puts those before PYTHONPATH."""
    other = tmp_path / "deepgmm"
    other.mkdir()
    (other / "__init__.py").write_text("raise SystemExit('another deepgmm was found')\n")
    monkeypatch.setenv("LAUNCHER_PYTHONPATH", str(tmp_path))
    worker = Worker([sys.executable, LAUNCHER, *client.default_command()[1:]])
    worker.start()
    seen: list = []
    began = time.monotonic()
    while worker.pid is None:
        assert time.monotonic() - began < LIMIT and worker.state is State.STARTING, seen
        seen += worker.poll()
    worker.close()
