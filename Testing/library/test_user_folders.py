"""What is the user's own lies where the system keeps such things."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deepgmm.cli.log import default_log
from deepgmm.weights.shelf import VARIABLE, own_folder


@pytest.mark.parametrize(("system", "given", "models", "log"), [
    ("linux", {"XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state"}, "data/deepgmm/models",
     "state/deepgmm/deepgmm.log"),
    ("linux", {}, "home/.local/share/deepgmm/models", "home/.local/state/deepgmm/deepgmm.log"),
    ("darwin", {}, "home/Library/Application Support/deepgmm/models",
     "home/Library/Logs/deepgmm/deepgmm.log"),
    ("win32", {"LOCALAPPDATA": "local"}, "local/deepgmm/models", "local/deepgmm/deepgmm.log"),
    ("win32", {}, "home/AppData/Local/deepgmm/models", "home/AppData/Local/deepgmm/deepgmm.log"),
])
def test_networks_and_log_lie_where_the_system_keeps_such_things(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, given: dict[str, str],
        models: str, log: str) -> None:
    for name in (VARIABLE, "XDG_DATA_HOME", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in given.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(sys, "platform", system)
    assert (own_folder(), default_log()) == (tmp_path / models, tmp_path / log)
