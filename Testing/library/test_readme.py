"""The README's examples run as they stand, in the order in which they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deepgmm.cli.main import main

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


def test_the_examples_run(a_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd,
                          a_log_of_our_own: Path) -> None:
    """In one process, each as a process of its own would: that `deepgmm` is a command, other tests
    say."""
    monkeypatch.chdir(a_folder)
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "README", "exec"), {"__name__": "__main__"})
        else:
            for line in lines_of(text):
                assert main(line[1:]) == 0, f"{line}\n{capfd.readouterr()}"
    for name in ("result.seg.nrrd", "result.nii.gz", "result.png", "result.json",
                 "scar.seg.nrrd", "python.seg.nrrd", "python.png"):
        assert (a_folder / name).stat().st_size > 0, name


def test_every_file_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def rows_of(text: str, title: str) -> dict[str, list[str]]:
    """The rows of a section's tables, by their first cell."""
    section = text.split(title, 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip(" *`") for cell in line.strip("| ").split("|")]
            for line in section.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize(("said", "measured"), [
    ("default** (`auto`)", "auto"), ("default**, the wall given (`--wall`)",
                                     "auto, true wall given"),
    ("network alone (`pretrained`)", "pretrained"), ("map`, which learns from nothing", "map"),
    ("map`, the wall given", "map, true wall given")])
def test_its_first_table_says_what_was_measured(said: str, measured: str) -> None:
    measurements = (ROOT / "Docs" / "measurements.md").read_text(encoding="utf-8")
    dice, _, false, free, missed, r, points, wall, blood, _ = rows_of(
        measurements, "## Accuracy on real LGE")[measured]
    own_dice, own_false, own_missed, own_extent, own_both = rows_of(
        README, "## How well it does on real patients")[said.strip("`")]

    assert own_dice == dice.replace("0.", ".")
    assert own_false == f"{false.split()[0].replace('0.', '.')}; {free}"
    assert own_missed == missed
    assert own_extent.removesuffix(" points") == f"r {r.removeprefix('0')}, ±{points}"
    both = f"{wall.removeprefix('0')}; {blood.removeprefix('0')}"
    assert own_both == ("given" if wall == "1.000" else both)
