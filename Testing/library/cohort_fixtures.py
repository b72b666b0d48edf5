"""Fixtures of a cohort's tests, for `pytest_plugins`: small patients, and a user of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cohort_desk import NAMES
from inline_cluster import do_it_here

from deepgmm.phantom import make_patient, write_patient


@pytest.fixture
def a_user(tmp_path, monkeypatch):
    """Whose salt and log are no real user's."""
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
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
