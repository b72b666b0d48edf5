"""Whose labels a labelmap holds, where nobody says it: by its values and by its shapes.

The same values mean different things: 3 is edema here, infarct in EMIDEC, the blood of the left
ventricle in ACDC, that of the right in M&Ms. What more than one convention explains is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from deepgmm.reading.conventions.codes import CONVENTIONS, Convention, is_heart, present_in

#: How the data sets call their label files (and, for EMIDEC, their folder).
_FILES = (
    (re.compile(r"Case_[PN]\d{3}", re.I), "contours", "emidec"),
    (re.compile(r"patient\d{3}_frame\d{2}_gt", re.I), None, "acdc"),
    (re.compile(r"[A-Z]\d[A-Z0-9]{4}_sa(_ED|_ES)?_gt", re.I), None, "mnms"),
    (re.compile(r"\d{3}_SA_(ED|ES)_gt", re.I), None, "mnms"),
    (re.compile(r"myops_(training|test)_\d+_gd", re.I), None, "myops"),
)

#: Values that a convention's labelmaps hold whenever they hold another: no-reflow lies in an
#: infarct, and nobody outlines a wall without its pool.
_NEEDS = {"emidec": ((4, 3), (3, 2)), "acdc": ((1, 3), (2, 3)), "mnms": ((3, 1), (2, 1))}


def fits(convention: Convention, present: set[float]) -> bool:
    """Whether a labelmap of a convention may hold these values, and no others but 0."""
    return present <= convention.known and all(
        needed in present for value, needed in _NEEDS.get(convention.name, ())
        if value in present)


def agreed(present: Sequence[float]) -> bool:
    """Whether EMIDEC, beside the house, has labelmaps of just these values."""
    return fits(CONVENTIONS["emidec"], set(present))


def candidates(values: npt.NDArray[Any]) -> list[Convention]:
    """The conventions that a labelmap may follow, one of each reading.

    Conventions that take every value for the same tissue are one reading, the house's first. Of
    several readings those stay whose shapes are those of a heart, if there is one.

    Parameters
    ----------
    values : (slices, rows, columns) whole numbers.
    """
    present = set(present_in(values))
    readings: dict[tuple[int, ...], Convention] = {}
    for convention in CONVENTIONS.values():
        if fits(convention, present):
            readings.setdefault(tuple(int(convention.tissues[int(v)]) for v in sorted(present)),
                                convention)
    found = list(readings.values())
    if len(found) < 2:
        return found
    return [c for c in found if is_heart(values, c)] or found


def of_file(path: Path) -> str | None:
    """The convention of a data set whose files are called so."""
    stem = path.name
    for suffix in (".gz", path.suffix, ".nii"):
        stem = stem.removesuffix(suffix)
    for pattern, folder, name in _FILES:
        if pattern.fullmatch(stem) and folder in (None, path.parent.name.lower()):
            return name
    return None
