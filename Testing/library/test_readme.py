"""The README's examples run as they stand, in the order in which they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def a_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would type the examples: an empty folder, shared by all of them."""
    return tmp_path_factory.mktemp("reader")


def lines_of(shell: str) -> list[list[str]]:
    """Command lines of a shell block; `make` has tests of its own."""
    lines = [shlex.split(line) for line in shell.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and line[0] == "deepgmm"]


def test_there_are_examples_of_both_kinds() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}


def test_the_examples_run(a_folder: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT / "DeepGMMSegmentation" / "Logic"),
                        "OMP_NUM_THREADS": "1"}
    for kind, text in BLOCKS:
        commands = ([["-c", text]] if kind == "python"
                    else [["-m", "deepgmm", *line[1:]] for line in lines_of(text)])
        for command in commands:
            done = subprocess.run([sys.executable, *command], cwd=a_folder, env=env,
                                  capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for name in ("result.seg.nrrd", "result.nii.gz", "result.png", "result.json",
                 "scar.seg.nrrd", "python.seg.nrrd", "python.png"):
        assert (a_folder / name).stat().st_size > 0, name


def test_every_file_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link
