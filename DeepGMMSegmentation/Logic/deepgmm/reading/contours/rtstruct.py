"""Contours of a DICOM structure set (RTSTRUCT); DICOM PS3.3 C.8.8.6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.contours.parts import Part, part_of_name
from deepgmm.reading.contours.polygons import Contour
from deepgmm.reading.dicom.headers import the_reader


def read_rtstruct(path: Path) -> tuple[list[Contour], list[str]]:
    """The left ventricle's contours, found by the names of their regions, and warnings.

    Raises
    ------
    InputError
        A damaged file, no contour, or no region that is known by its name.
    """
    try:
        return _contours(the_reader().dcmread(path))
    except InputError:
        raise
    # pydicom looks at an element when it is asked for, and then raises nearly anything.
    except Exception as error:
        raise InputError("the structure set is truncated, damaged or breaks the standard: "
                         "export it again") from error


def _contours(dataset: Any) -> tuple[list[Contour], list[str]]:
    names = {int(roi.ROINumber): str(roi.get("ROIName", ""))
             for roi in dataset.get("StructureSetROISequence") or []}
    regions = [(names.get(int(item.ReferencedROINumber), ""), list(item.get("ContourSequence")
                                                                    or []))
               for item in dataset.get("ROIContourSequence") or []]
    drawn = [(name, lines) for name, lines in regions if lines]
    if not drawn:
        raise InputError("the structure set holds no contour: export it again")
    chosen, warnings = choose([name for name, _ in drawn], "structure set", "region")
    contours, opened = [], 0
    for number, ((_, lines), part) in enumerate(zip(drawn, chosen)):
        if part is None:
            continue
        for line in lines:
            if "CLOSED" not in str(line.get("ContourGeometricType", "")):
                opened += 1
                continue
            points = np.asarray(line.ContourData, dtype=np.float64).reshape(-1, 3)
            contours.append(Contour(part, points, _image(line), str(number)))
    if not contours:
        raise InputError("no contour of the structure set closes: close them and export again")
    if opened:
        warnings.append(f"{opened} contours of the structure set do not close; left out")
    return contours, warnings


def _image(line: Any) -> str:
    """The image that a line says it was drawn on, with "#" and the frame of a multi-frame one."""
    images = line.get("ContourImageSequence") or []
    if len(images) != 1:
        return ""
    frame = images[0].get("ReferencedFrameNumber")
    uid = str(images[0].get("ReferencedSOPInstanceUID", ""))
    return f"{uid}#{int(frame)}" if uid and frame and not hasattr(frame, "__len__") else uid


def choose(names: list[str], what: str, item: str) -> tuple[list[Part | None], list[str]]:
    """The part that each named region or segment is, and what a user must know.

    One alone whose name says nothing is taken for the whole left ventricle.

    Raises
    ------
    InputError
        None of several is understood.
    """
    understood = [part_of_name(name) for name in names]
    parts = [part for _, part in understood]
    if any(part is not None for part in parts):
        strange = sum(not known for known, _ in understood)
        return parts, [f"{strange} {item}s of the {what} have names that say no part of the left "
                       "ventricle; left out"] if strange else []
    if len(names) == 1 and not understood[0][0]:
        return [Part.VENTRICLE], [f"the {what}'s only {item} does not say what it is and was "
                                  "taken for the whole left ventricle, blood and wall together"]
    raise InputError(f"no {item} of the {what} is the left ventricle by its name: name them for "
                     "instance 'LV epicardium' and 'LV endocardium', or 'LV myocardium' and "
                     "'LV blood pool'")
