"""Which processes run, and whether they end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from workers import LIMIT

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(),
                                reason="which processes run is read from /proc")


def alive(pid: int | None) -> bool:
    """Whether a process runs; one that has ended and waits to be cleared away does not."""
    assert pid is not None
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def ends(pid: int | None) -> bool:
    """Whether a process ends, given time."""
    began = time.monotonic()
    while alive(pid):
        if time.monotonic() - began > LIMIT:
            return False
        time.sleep(0.01)
    return True


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid and alive(int(folder.name)):
                found.append(int(folder.name))
    return found
