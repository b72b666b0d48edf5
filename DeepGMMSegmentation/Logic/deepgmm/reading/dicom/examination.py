"""A folder of DICOM files to what is in it, what of it makes a study, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepgmm.progress import Progress, silent
from deepgmm.reading.dicom.choice import Choice, Entry, choose
from deepgmm.reading.dicom.headers import Scan, scan
from deepgmm.reading.dicom.meaning import meaning_of
from deepgmm.reading.dicom.stacks import stacks_of
from deepgmm.reading.dicom.view import view_of
from deepgmm.study.words import Kind, Role


@dataclass
class Examination:
    """What lies in a folder.

    Attributes
    ----------
    entries : every group of series, with what it was taken for and why.
    remarks : what else lay there or was left out, one line each.
    """

    scan: Scan
    entries: list[Entry]
    choice: Choice
    remarks: list[str] = field(default_factory=list)


def read_examination(
    folder: str | os.PathLike[str], *,
    series: Mapping[Role, str | None] | None = None,
    kinds: Mapping[Role, Kind | None] | None = None,
    progress: Progress = silent,
) -> Examination:
    """See what a folder of an examination holds and which stacks make a study.

    Parameters
    ----------
    folder : searched with all folders in it; files need no extension.
    series, kinds : the user's own choices by role: a series number or "none"; a kind.

    Returns
    -------
    Examination : its `choice.problem` says why nothing can be imported, if so.

    Raises
    ------
    InputError
        No DICOM image, several patients or examinations, or a series
        number that is not there.
    """
    found = scan(folder, progress)
    entries = [Entry(stack, meaning_of(stack), *view_of(stack))
               for stack in stacks_of(found.frames)]
    remarks = [f"{count} file{'s' if count > 1 else ''} left out: {reason}"
               for reason, count in sorted(found.left.items())]
    choice = choose(entries, series, kinds)
    choice.warnings += [_lost(number, reason, count, choice)
                        for (number, reason), count in sorted(found.damaged.items())]
    return Examination(found, entries, choice, remarks)


def _lost(number: int, reason: str, count: int, choice: Choice) -> str:
    images = f"{count} image{'s' if count > 1 else ''} of series {number}"
    why = f"{'each' if count > 1 else 'it'} {reason}"
    for role, entry in choice.taken.items():
        if number in entry.stack.numbers:
            return f"{role.title} lacks {images}, because {why}: export them again"
    return f"{images} could not be used, because {why}"
