"""What several test files of the library share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def a_log_of_our_own(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test writes into the user's state folder."""
    state = tmp_path_factory.mktemp("state")
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(state))
    return state


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """A network as it is saved."""
    from small_networks import save_small

    return save_small(tmp_path / "small")
