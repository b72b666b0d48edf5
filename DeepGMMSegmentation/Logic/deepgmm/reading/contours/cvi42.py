"""Contours of Circle's cvi42, as it exports them in XML workspaces (`.cvi42wsx`).

Under every `ImageStates` stand images by their SOP instance UID, under `Contours` lines by name,
each with its `Points` (x is the column, y the row, times `SubpixelResolution`). A point at 10, 20
after the division is taken for the centre of column 10, row 20, as the published readers do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.contours.parts import Part
from deepgmm.reading.contours.planes import Plane
from deepgmm.reading.contours.polygons import Contour

#: No workspace is larger; bytes.
MOST_BYTES = 1 << 29

#: A further line of one name carries a number.
_NAME = re.compile(r"sa(endo|epi)cardial(Open)?Contour\d*")
_PARTS = {"endo": Part.POOL, "epi": Part.VENTRICLE}


@dataclass
class _Line:
    """One contour as the file gives it."""

    image: str
    name: str
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    resolution: float | None = None


class _Workspace:
    """Takes the contours out of a workspace while it is parsed."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], _Line] = {}
        self._stack: list[str] = []
        self._text: list[str] = []

    def parse(self, path: Path) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = _refuse
        with path.open("rb") as stream:
            parser.ParseFile(stream)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        key = next((v for k, v in attributes.items() if k.rpartition(":")[2] == "key"), None)
        self._stack.append(tag.rpartition(":")[2] if key is None else key)
        self._text.clear()

    def _end(self, tag: str) -> None:
        # ... ImageStates, UID, Contours, name, Points, item, x | ..., name, SubpixelResolution
        *before, here = self._stack
        if here in ("x", "y") and before[-2:-1] == ["Points"]:
            line = self._line(before[:-2])
            if line:
                getattr(line, here).append(float("".join(self._text)))
        elif here == "SubpixelResolution":
            line = self._line(before)
            if line:
                line.resolution = float("".join(self._text))
        self._stack.pop()
        self._text.clear()

    def _line(self, where: list[str]) -> _Line | None:
        if len(where) < 3 or where[-2] != "Contours" or not _NAME.fullmatch(where[-1]):
            return None
        image, _, name = where[-3:]
        return self.lines.setdefault((image, name), _Line(image, name))


def _refuse(*_: object) -> None:
    raise InputError("the cvi42 workspace has a document type or entities of its own, which "
                     "cvi42 never writes and which could harm: export it again from cvi42")


def read_cvi42(path: Path, images: Mapping[str, Plane]) -> tuple[list[Contour], list[str]]:
    """The left ventricle's short-axis contours that were drawn on some of the images given.

    Parameters
    ----------
    images : planes by SOP instance UID (`deepgmm.reading.contours.planes.planes_of`).

    Returns
    -------
    contours : epicardial and endocardial.
    warnings : about contours that were left out.

    Raises
    ------
    InputError
        A damaged, oversized or suspicious file, no contour in it, or none on these images.
    """
    lines = _lines(path)
    known = [line for line in lines if line.image in images]
    if not known:
        raise InputError(f"none of the {len(lines)} contours of the cvi42 workspace was drawn on "
                         "the DICOM images given: give the folder of the images that they were "
                         "drawn on with --mask-dicom")
    warnings = []
    unknown = len({line.image for line in lines}) - len({line.image for line in known})
    if unknown:
        warnings.append(f"the cvi42 workspace also has contours on {unknown} images that are not "
                        "in the DICOM folder; left out")
    drawn = [line for line in known if "Open" not in line.name]
    if len(drawn) < len(known):
        warnings.append(f"{len(known) - len(drawn)} contours do not close (cvi42 calls them "
                        "open); left out: close them in cvi42 and export again")
    if not drawn:
        raise InputError("no contour of the cvi42 workspace closes: close them in cvi42 and "
                         "export again")
    if any(line.resolution is None for line in drawn):
        warnings.append("the cvi42 workspace does not say its sub-pixel resolution; "
                        "whole pixels were taken: see whether the contours lie right")
    return [_contour(line, images[line.image]) for line in drawn], warnings


def _lines(path: Path) -> list[_Line]:
    size = path.stat().st_size
    if size == 0:
        raise InputError("the cvi42 workspace is empty: export it again")
    if size > MOST_BYTES:
        raise InputError(f"the cvi42 workspace is larger than {MOST_BYTES >> 20} MB: export one "
                         "study alone")
    workspace = _Workspace()
    try:
        workspace.parse(path)
    except (expat.ExpatError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the cvi42 workspace is truncated, damaged or no XML: export it from "
                         "cvi42 as 'Cvi42 XML Workspace (*.cvi42wsx)'") from error
    if not workspace.lines:
        raise InputError("the cvi42 workspace holds no short-axis contour of the left ventricle: "
                         "draw epicardium and endocardium in cvi42 and export again")
    return list(workspace.lines.values())


def _contour(line: _Line, plane: Plane) -> Contour:
    match = _NAME.fullmatch(line.name)
    assert match is not None
    resolution = 1.0 if line.resolution is None else line.resolution
    if not resolution > 0 or len(line.x) != len(line.y):
        raise InputError("a contour of the cvi42 workspace is damaged (its points or its "
                         "sub-pixel resolution): export it again")
    points = plane.world(np.asarray(line.x) / resolution, np.asarray(line.y) / resolution)
    return Contour(_PARTS[match[1]], points, line.image)
