"""What several commands share: options, places for output, progress, words to the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deepgmm.errors import InputError, shortened
from deepgmm.hushing import hushed as hushed
from deepgmm.progress import Progress, silent

if TYPE_CHECKING:
    from deepgmm.study.levels import Numbering
    from deepgmm.study.words import Kind, Role

#: Characters of a warning; those of ours are shorter, and what a file says may not be.
LONGEST_WARNING = 600

#: How the file name of an output may end that `review.outputs` does not know.
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "alignment picture": (".png", ".gif"),
    "contrast priors": (".json",),
    "numbers": (".json",),
    "numbers' table": (".csv",),
    "scores' table": (".csv",),
    "LaTeX table": (".tex",),
    "agreement's picture": (".png",),
    "bull's-eye": (".png",),
    "report page": (".html",),
    "report PDF": (".pdf",),
    "DICOM segmentation": (".dcm",),
    "DICOM report": (".dcm",),
    "LV mask": (".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd"),
    "picture": (".png",),
    "edit log": (".json",),
    "tables": (".md",),
    "field": (".nii.gz", ".nii", ".nrrd", ".mha"),
    "atlas": (".npz",),
}


def check_places(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """See before the computation that its outputs can be written and overwrite no input.

    Raises
    ------
    InputError
        A wrong ending, a folder that is not there or cannot be written to, one file asked for
        twice, or an output that is an input.
    """
    from deepgmm.files import Outputs, suffix_of
    from deepgmm.review.outputs import SUFFIXES

    suffixes = SUFFIXES | _SUFFIXES
    sources = {os.path.realpath(path): name for name, path in inputs.items() if path is not None}
    places = Outputs()
    try:
        for what, path in outputs.items():
            if path is None:
                continue
            if suffix_of(path) not in suffixes[what]:
                raise InputError(f"the file name of the {what} must end with "
                                 + " or ".join(suffixes[what]) + _hint(what, path))
            # Hard links and letter case can make two names one file.
            same = next((name for source, name in sources.items()
                         if os.path.realpath(path) == source or _same_file(path, source)), None)
            if same:
                raise InputError(f"the {what} would overwrite the {same} input: "
                                 "give it another name")
            places.path(path, what)
    finally:
        places.discard()


def _hint(what: str, path: Path) -> str:
    from deepgmm.files import IMAGE_SUFFIXES, suffix_of

    if what == "segmentation" and suffix_of(path) in IMAGE_SUFFIXES:
        return "; use --labelmap for a plain label image"
    return ""


def _same_file(one: Path, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


@contextmanager
def progress_bar(quiet: bool, *, line_every: float | None = None) -> Iterator[Progress]:
    """A bar on stderr, gone when the work is done; nothing where stderr is no terminal, or a plain
    line each so many seconds for work of many minutes."""
    if quiet or not sys.stderr.isatty():
        yield silent if quiet or line_every is None else _lines(line_every)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    with Bar(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
             TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda fraction, stage: bar.update(task, completed=fraction, description=stage)


def _lines(every: float) -> Progress:
    """A progress that prints a line where the last is so many seconds old."""
    from time import monotonic

    told = monotonic()

    def progress(fraction: float, stage: str) -> None:
        nonlocal told
        if monotonic() - told >= every:
            told = monotonic()
            print(f"{100 * fraction:.0f} %: {stage}", file=sys.stderr, flush=True)
    return progress


def kinds_said(lge: str, t2: str) -> dict[Role, Kind]:
    """What --lge-kind and --t2-kind say; nothing of a sequence whose kind is to be found.

    Raises
    ------
    InputError
        No such kind.
    """
    from deepgmm.study.kinds import parse_kind
    from deepgmm.study.words import Role

    said = {role: parse_kind(role, word) for role, word in ((Role.LGE, lge), (Role.T2, t2))}
    return {role: kind for role, kind in said.items() if kind is not None}


def check_priors(path: str | Path | None) -> None:
    """See that the file given to --priors is there, if one was."""
    if path and not Path(path).is_file():
        raise InputError("the contrast priors file does not exist: check the path given "
                         "to --priors")


def warn(texts: list[str], numbering: Numbering | None = None, *,
         numbered: bool = False) -> None:
    """Warnings to stderr, each once, also with --quiet.

    Parameters
    ----------
    numbering : how their slices are counted for a person; by default from 1 in the file's order.
    numbered : whether they say it already, each in its own way.
    """
    from deepgmm.study.levels import Numbering

    numbering = numbering or Numbering()
    told = {text: text if numbered else numbering.in_words(text) for text in texts}
    for text in dict.fromkeys(told.values()):
        print(f"warning: {shortened(text, LONGEST_WARNING)}", file=sys.stderr)
    if any(text != words for text, words in told.items()):
        print(f"note: {about_slices(numbering)}", file=sys.stderr)


def about_slices(numbering: Numbering) -> str:
    """How slices are counted in messages, and in --slices and JSON."""
    if numbering.towards_apex:
        first = 0 if numbering.towards_apex > 0 else numbering.count - 1
        return ("slices are counted from 1, the base first; --slices and JSON count from 0 in the "
                f"file's order, in which slice 1 is {first}")
    return ("slices are counted from 1 in the file's order; --slices and JSON count from 0, so "
            "slice 1 is 0")


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as aligned text; the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def existing(outputs: Mapping[str, Path | None]) -> set[str]:
    """Which of the outputs will take the place of an older file."""
    return {what for what, path in outputs.items() if path is not None and path.exists()}


def written(outputs: Mapping[str, Path | None], older: set[str]) -> str:
    """Where the files are, one a line, and which of them replaced an `older` one."""
    return "\n".join(f"{what}: {path}{' (replaced)' if what in older else ''}"
                     for what, path in outputs.items() if path is not None)


def make_folder(path: Path, what: str) -> None:
    """Make a folder and its parents.

    Raises
    ------
    InputError
        A file has that name, or the system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"the {what} folder cannot be made: a file has that name; "
                         "choose another") from error
    except OSError as error:
        raise InputError(f"the {what} folder cannot be made ({error.strerror}): "
                         "choose another") from error
