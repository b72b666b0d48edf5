"""What tests of a cohort share: its cases' names, the command, and what was written."""

from __future__ import annotations

import csv
from pathlib import Path

from deepgmm.cli.main import main

NAMES = ("Mustermann_Max", "Doe_Jane", "Roe_Richard")


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run(*words: object) -> int:
    return main(["cohort", *map(str, words), "--quiet", "--method", "gmm", "--restarts", "1"])


def everything_said(out: Path, *more: str) -> str:
    """All names of files and all texts of an output folder, and what was printed."""
    said = list(more)
    for path in out.rglob("*"):
        said.append(str(path.relative_to(out)))
        if path.suffix in (".csv", ".json", ".html"):
            said.append(path.read_text())
    return "\n".join(said)
