"""What is asked of a cohort's engine: choices that go together, devices, batches; no process."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytest.importorskip("cryptography")

from cohort_work import stub  # noqa: E402

from deepgmm.cli.cohort_command import _line  # noqa: E402
from deepgmm.errors import InputError, MissingPackages  # noqa: E402
from deepgmm.jobs.cohort import clusters, local, queues  # noqa: E402
from deepgmm.jobs.cohort.cases import Case, Plan  # noqa: E402
from deepgmm.jobs.cohort.engine import Engine  # noqa: E402
from deepgmm.jobs.cohort.where import Where  # noqa: E402
from deepgmm.jobs.cohort.work import Batch, run_batch  # noqa: E402


def test_devices_are_found(tmp_path, monkeypatch):
    """As NVIDIA's program lists them; none where it fails, or where they are hidden."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g.5gb (UUID: M-1)'\n"
                       "echo 'GPU 1: A (UUID: GPU-2)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local._devices() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert local._devices() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program.write_text("#!/bin/sh\necho no driver\nexit 9\n")
    assert local._devices() == []


def test_choices_that_do_not_go_together(tmp_path):
    for given, message in (
            ({"slurm": "", "pbs": ""}, "--slurm and --pbs were both given"),
            ({"tls_cert": tmp_path}, "go with --scheduler"),
            ({"scheduler": "tls://a:1", "tls_cert": tmp_path}, "go together"),
            ({"scheduler_file": tmp_path / "none"}, "--scheduler-file: there is no such file"),
            ({"memory": "lots"}, "--memory is a size")):
        with pytest.raises(InputError, match=message):
            clusters.check(Where(**given))


def test_a_dashboard_without_bokeh_is_refused_and_one_is_told(monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name: None if name == "bokeh" else find_spec(name))
    with pytest.raises(MissingPackages, match="--dashboard needs bokeh"):
        clusters.check(Where(dashboard=True))
    clusters.check(Where(dashboard=True, scheduler="tls://a:1"))  # there it is another's
    _line({"event": "dashboard", "address": "http://127.0.0.1:8787/status"}, quiet=True)
    assert capsys.readouterr().err == "dashboard: http://127.0.0.1:8787/status\n"


def test_a_worker_of_another_version_says_so():
    (outcome,) = run_batch(Batch([Case("a", "case-a")], Plan(), Path(), "r", version="0.0.9"))
    assert "this is 0.0.9: install one version everywhere" in outcome.message


def test_what_slurm_is_told():
    with pytest.raises(InputError, match="neither key=value"):
        queues.queue_options("--slurm", "four cores")
    with pytest.raises(InputError, match="whole numbers"):
        queues.queue_options("--pbs", "cores=many")


def test_the_last_batches_are_shared():
    given = Batch([Case(f"c{i}") for i in range(9)], Plan(), Path(), "r")
    engine = Engine(None, stub, print, bool, print)
    engine._waiting.extend([replace(given, cases=given.cases[:4]),
                            replace(given, cases=given.cases[4:])])
    taken = []
    while engine._waiting:
        taken.append([case.name for case in engine._shared(2).cases])
    assert list(map(len, taken)) == [4, 3, 1, 1] and sum(taken, []) == [f"c{i}" for i in range(9)]
