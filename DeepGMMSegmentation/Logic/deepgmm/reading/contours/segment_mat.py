"""Contours of Medviso's Segment, as it saves them in `.mat` files.

`setstruct` holds one struct for each image stack. `EndoX`, `EndoY`, `EpiX` and `EpiY` are points
x time frames x slices, NaN where nothing was drawn; X counts rows and Y columns, from 1 at the
centre of the first pixel. `ImageOrientation` is DICOM's, and slices follow one another against
the normal that it gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.contours.mat_file import read_variable
from deepgmm.reading.contours.parts import Part
from deepgmm.reading.contours.polygons import Contour

if TYPE_CHECKING:
    import SimpleITK

FloatArray = npt.NDArray[np.float64]

_PARTS = {"Endo": Part.POOL, "Epi": Part.VENTRICLE}


def read_segment(path: Path, grid: SimpleITK.Image) -> list[Contour]:
    """The left ventricle's contours of the stack that lies on a grid's slices.

    Raises
    ------
    InputError
        A file that is damaged or not Segment's, no contours, contours on several stacks that
        fit, or in several time frames.
    """
    stacks = [s for s in (_stack(one) for one in _structs(path)) if s]
    if not stacks:
        raise InputError("the Segment file holds no contour of the left ventricle: draw "
                         "epicardium and endocardium in Segment and save again")
    fitting = [s for s in stacks if _lies_on(s, grid)] if len(stacks) > 1 else stacks
    if len(fitting) != 1:
        what = "none of them lies" if not fitting else f"{len(fitting)} of them lie"
        raise InputError(f"the Segment file has contours on {len(stacks)} image stacks, and "
                         f"{what} on the slices of the images: save the stack wanted alone")
    frames = {contour.source for contour in fitting[0]}
    if len(frames) > 1:
        raise InputError(f"the Segment file has contours in {len(frames)} time frames: keep "
                         "those of the frame that the images show")
    return fitting[0]


def _structs(path: Path) -> list[Any]:
    found = read_variable(path, "setstruct", "Segment file")
    if found is None or found.dtype.names is None:
        raise InputError("the .mat file holds no 'setstruct': give one that Segment saved")
    return list(found.ravel())


def _stack(struct: Any) -> list[Contour]:
    """The contours of one image stack, in the patient; `source` is the time frame."""
    contours = []
    for name, part in _PARTS.items():
        x, y = (_numbers(struct, f"{name}{axis}") for axis in "XY")
        if x is None or y is None or not np.isfinite(x).any():
            continue
        if x.shape != y.shape or x.ndim > 3:
            raise InputError(f"the Segment file is damaged: {name}X and {name}Y differ in size")
        # MATLAB drops the last axes where they are of one.
        x, y = (v.reshape(*v.shape, *[1] * (3 - v.ndim)) for v in (x, y))
        for frame, z in np.argwhere(np.isfinite(x).any(axis=0)):
            points = _world(struct, x[:, frame, z], y[:, frame, z], int(z))
            contours.append(Contour(part, points, f"frame {frame}"))
    return contours


def _numbers(struct: Any, name: str) -> FloatArray | None:
    if name not in (struct.dtype.names or ()):
        return None
    values = np.asarray(struct[name])
    if values.dtype.kind not in "fiu" or values.size == 0:
        return None
    return values.astype(np.float64)


def _world(struct: Any, x: FloatArray, y: FloatArray, z: int) -> FloatArray:
    def wanted(name: str, size: int) -> FloatArray:
        values = _numbers(struct, name)
        if values is None or values.size != size or not np.isfinite(values).all():
            raise InputError(f"the Segment file does not say where its images lie ({name}): "
                             "load the DICOM images in Segment and save again")
        return values.ravel()

    orientation, position = wanted("ImageOrientation", 6), wanted("ImagePosition", 3)
    (row_mm,), (column_mm,) = wanted("ResolutionX", 1), wanted("ResolutionY", 1)
    distance = float((wanted("SliceThickness", 1) + wanted("SliceGap", 1))[0])
    along_columns, along_rows = orientation[:3], orientation[3:]
    return (position + np.multiply.outer((x - 1) * row_mm, along_rows)
            + np.multiply.outer((y - 1) * column_mm, along_columns)
            - z * distance * np.cross(along_columns, along_rows))


def _lies_on(contours: list[Contour], grid: SimpleITK.Image) -> bool:
    """Whether every contour lies on a slice of the grid, to a quarter of their distance."""
    for contour in contours:
        k = grid.TransformPhysicalPointToContinuousIndex(contour.points.mean(axis=0).tolist())[2]
        if not -0.25 <= k <= grid.GetSize()[2] - 0.75 or abs(k - round(k)) > 0.25:
            return False
    return True
