"""Base and apex: which end of a stack is which, and slices counted from the base as clinicians do.

Arrays, JSON and options such as `--slices` count slices from 0 in the order of the grid; what a
person reads counts from 1, the base first. Messages and warnings of the library name slices by
index; whoever shows them says them by `Numbering.in_words`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.errors import DeepGMMError, InputError
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import ranges

#: From base to apex.
LEVELS = ("base", "mid", "apex")

#: The LV mask's area must change by this share along the stack to say where the apex is.
_LEAST_CHANGE = 0.1

_NAMED = re.compile(r"(?<!-)\b([Ss]lices?|keeps) (\d+(?:-\d+)?(?:(?:, ?| and )\d+(?:-\d+)?)*)"
                    r"(, counted from 0)?")

#: Messages about an index that was given speak of it as it was given.
_OF_AN_INDEX = ("--slices:", "--done:", "--border:", "--reopen:", "there is no slice")
#: And these name slices by their numbers already.
_COUNTED = "counted from 1, the base first"


@dataclass(frozen=True)
class Numbering:
    """How the slices of a grid are counted for a person.

    Attributes
    ----------
    count : of slices; 0 where it is not known, and then the order of the grid is kept.
    towards_apex : 1 where the apex is at the last slices, -1 at the first, 0 where nothing tells;
        then the order of the grid is kept too.
    """

    count: int = 0
    towards_apex: int = 0

    def of(self, index: int) -> int:
        """The number of a slice, counted from 1, of its index, counted from 0."""
        return self.count - index if self.count and self.towards_apex < 0 else index + 1

    def listed(self, indices: Iterable[int]) -> str:
        """Numbers of slices with runs joined: "1-3, 6"."""
        return ranges((self.of(index) for index in indices), ", ")

    def index_of(self, number: int) -> int:
        """The index of a slice, counted from 0, of its number."""
        return self.count - number if self.count and self.towards_apex < 0 else number - 1

    def parsed(self, text: str, option: str) -> set[int]:
        """The indices of the slices that "1,3-6" names by their numbers.

        Raises
        ------
        InputError
            Not of that form, or a slice that is not there.
        """
        wanted: set[int] = set()
        for part in text.split(","):
            match = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part)
            if not match:
                # other words may be a path or a name, which no message repeats
                said = part.strip() if re.fullmatch(r"[\d\s.+-]{1,20}", part) else "what was given"
                raise InputError(f"{option}: {said} is no slice or range: write for instance "
                                 "1,3-6")
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise InputError(f"{option}: {first}-{last} runs backwards: write {last}-{first}")
            if first < 1 or last > self.count:
                raise InputError(f"{option}: there is no slice {last if first else first}: the "
                                 f"images have {self.count}, {_COUNTED}")
            wanted.update(self.index_of(number) for number in range(first, last + 1))
        return wanted

    def in_words(self, text: str) -> str:
        """A message of the library, which names slices by index, with their numbers."""
        if text.startswith(_OF_AN_INDEX) or _COUNTED in text:
            return text

        def numbered(found: re.Match[str]) -> str:
            indices: list[int] = []
            for part in re.findall(r"\d+(?:-\d+)?", found[2]):
                first, _, last = part.partition("-")
                indices += range(int(first), int(last or first) + 1)
            what = found[1] if found[1] == "keeps" else \
                found[1].removesuffix("s") + ("s" if len(indices) > 1 else "")
            return f"{what} {self.listed(indices)}"

        return _NAMED.sub(numbered, text)


def numbering_of(levels_by_index: dict[int, str], count: int) -> Numbering:
    """The numbering that the levels of some slices of a grid imply."""
    known = [(index, LEVELS.index(level)) for index, level in sorted(levels_by_index.items())
             if level in LEVELS]
    step = known[-1][1] - known[0][1] if known else 0
    return Numbering(count, (step > 0) - (step < 0))


def numbering_in(mask: BoolArray, insertions: FloatArray | None = None) -> Numbering:
    """How the slices of an LV mask are counted, (slices, rows, columns)."""
    return numbering_of(levels_of(mask.sum(axis=(1, 2)), insertions), len(mask))


@contextmanager
def counted(mask: BoolArray, insertions: FloatArray | None = None) -> Iterator[None]:
    """Errors in the block are told how the slices of this LV mask are counted."""
    try:
        yield
    except DeepGMMError as error:
        if error.numbering is None:
            error.numbering = numbering_in(mask, insertions)
        raise


def levels(study: Study) -> dict[int, str]:
    """The level of every slice with LV mask: thirds of the way from base to apex.

    The way goes from the first slice with LV mask to the last; a slice belongs to the third in
    which its middle lies. The apex is where the mask's area falls, by a straight line through
    the areas. Where that falls by less than a tenth of the mean area, RV insertion points that
    are known on one side only say that the apex is on the other: the right ventricle ends above
    it. Where neither tells, and for a single slice, no slice has a level.
    """
    return levels_of(study.mask.sum(axis=(1, 2)), study.insertion_points)


def levels_of(areas: npt.NDArray[np.integer],
              insertions: FloatArray | None = None) -> dict[int, str]:
    """The same from the LV mask's area on every slice, and the points where they are known."""
    masked = np.flatnonzero(areas)
    direction = _towards_apex(masked, areas, insertions) if len(masked) > 1 else 0
    if not direction:
        return {}
    way = (masked - masked[0] + 0.5) / (masked[-1] - masked[0] + 1)
    way = way if direction > 0 else 1 - way
    return {int(i): LEVELS[min(int(3 * w), 2)] for i, w in zip(masked, way)}


def _towards_apex(masked: npt.NDArray[np.integer], all_areas: npt.NDArray[np.integer],
                  insertions: FloatArray | None) -> int:
    """1 where the apex is at the last slices, -1 at the first, 0 where nothing tells."""
    areas = all_areas[masked].astype(float)
    slope = float(np.polyfit(masked, areas, 1)[0])
    if abs(slope) * (masked[-1] - masked[0]) >= _LEAST_CHANGE * areas.mean():
        return -1 if slope > 0 else 1
    if insertions is None:
        return 0
    known = np.isfinite(insertions[masked]).all(axis=(1, 2))
    if known.all() or not known.any():
        return 0
    with_points, without = masked[known], masked[~known]
    return int(with_points.max() < without.min()) - int(without.max() < with_points.min())
