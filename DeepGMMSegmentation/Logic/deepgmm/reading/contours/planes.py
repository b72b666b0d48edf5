"""Where the images of a DICOM folder lie, by their SOP instance UID."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.dicom.headers import scan


@dataclass(frozen=True)
class Plane:
    """One image in the patient.

    Attributes
    ----------
    origin : (3,) centre of its first pixel, mm, LPS.
    along_columns, along_rows : (3,) mm from one column to the next, from one row to the next.
    """

    origin: npt.NDArray[np.float64]
    along_columns: npt.NDArray[np.float64]
    along_rows: npt.NDArray[np.float64]

    def world(self, columns: npt.NDArray, rows: npt.NDArray) -> npt.NDArray[np.float64]:
        """(points, 3) mm from (points,) indices; whole numbers are the centres of pixels."""
        points = (self.origin + np.multiply.outer(columns, self.along_columns)
                  + np.multiply.outer(rows, self.along_rows))
        return np.asarray(points, dtype=np.float64)


def planes_of(folders: Iterable[str | os.PathLike[str]]) -> dict[str, Plane]:
    """Every image with a position in these folders and the folders in them.

    Images that share a UID, as frames of multi-frame images do and as some anonymisers leave
    them, are left out: it does not tell them apart.

    Raises
    ------
    InputError
        A folder that is not there, or without DICOM images of one patient.
    """
    frames = []
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError("the folder of the contours' DICOM images does not exist: check "
                             "the path given to --mask-dicom")
        frames += scan(folder).frames
    places: dict[str, set[object]] = defaultdict(set)
    for frame in frames:
        places[frame.uid].add((frame.position, frame.orientation))
    several = {frame.uid for frame in frames if frame.index > 0 or len(places[frame.uid]) > 1}
    found = {}
    for frame in frames:
        # A scan holds only frames with a place; the checks are for the type's sake.
        if frame.uid in several or not (frame.position and frame.orientation and frame.spacing):
            continue
        axes = np.asarray(frame.orientation, dtype=float).reshape(2, 3)
        found[frame.uid] = Plane(np.asarray(frame.position, dtype=float),
                                 axes[0] * frame.spacing[1], axes[1] * frame.spacing[0])
    return found
