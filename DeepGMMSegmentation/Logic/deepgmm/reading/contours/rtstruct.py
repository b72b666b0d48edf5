"""Contours of a DICOM structure set (RTSTRUCT); DICOM PS3.3 C.8.8.6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.contours.parts import choose
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
    names = {int(roi.ROINumber): str(roi.get("ROIName", "") or "")
             for roi in dataset.get("StructureSetROISequence") or []}
    regions: dict[int, list[Any]] = {}
    for item in dataset.get("ROIContourSequence") or []:
        # A region without contours may have no sequence, or an empty one.
        lines = [line for line in item.get("ContourSequence") or [] if line.get("ContourData")]
        if lines:
            regions.setdefault(int(item.ReferencedROINumber), []).extend(lines)
    if not regions:
        raise InputError("the structure set holds no contour: export it again")
    chosen, warnings = choose([names.get(number, "") for number in regions], "structure set",
                              "region")
    contours, opened, twice = [], 0, 0
    for (number, lines), part in zip(regions.items(), chosen):
        seen: set[tuple[str, bytes]] = set()
        for line in lines if part is not None else ():
            if "CLOSED" not in str(line.get("ContourGeometricType", "")):
                opened += 1
                continue
            points = np.asarray(line.ContourData, dtype=np.float64).reshape(-1, 3)
            # A line in a line is a hole; the same line again would be a hole as large as it.
            key = _image(line), points.tobytes()
            if key in seen:
                twice += 1
                continue
            seen.add(key)
            assert part is not None
            contours.append(Contour(part, points, key[0], str(number)))
    if not contours:
        raise InputError("no contour of the structure set closes: close them and export again")
    if opened:
        warnings.append(f"{opened} contours of the structure set do not close; left out")
    if twice:
        warnings.append(f"{twice} contours stand twice in one region of the structure set; taken "
                        "once")
    return contours, warnings


def _image(line: Any) -> str:
    """The image that a line says it was drawn on, with "#" and the frame of a multi-frame one."""
    images = line.get("ContourImageSequence") or []
    if len(images) != 1:
        return ""
    frame = images[0].get("ReferencedFrameNumber")
    uid = str(images[0].get("ReferencedSOPInstanceUID", ""))
    return f"{uid}#{int(frame)}" if uid and frame and not hasattr(frame, "__len__") else uid
