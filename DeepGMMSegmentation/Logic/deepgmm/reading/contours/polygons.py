"""Closed polygons in the patient to masks on the slices of a grid.

A pixel is inside when at least half of it is: `SAMPLES` x `SAMPLES` points are tried, spread so
that none lies on a quarter or an eighth of a pixel, where contour programs put their vertices.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.contours.parts import Part
from deepgmm.study.study import BoolArray

if TYPE_CHECKING:
    import SimpleITK

FloatArray = npt.NDArray[np.float64]

#: Points tried per pixel and direction.
SAMPLES = 5

#: A contour is open when the way from its last point to its first is longer than this share of
#: the way along it and than this many times any other step.
_GAP_SHARE, _GAP_STEPS = 0.1, 3.0

#: A contour belongs to a slice when it lies nearer than half the slices' distance to it; a user
#: is told when it is further off than this. Tilted further, it lies on no slice.
_OFF, _TILT = 0.25, 0.25


@dataclass(frozen=True)
class Contour:
    """One closed line.

    Attributes
    ----------
    points : (points, 3) in mm, LPS.
    source : the image or frame that it was drawn on.
    region : lines of one region on one slice belong together, a line inside another being a
        hole; regions of one part are added.
    """

    part: Part
    points: FloatArray
    source: str = ""
    region: str = ""


@dataclass(frozen=True)
class _Placed:
    """A contour on its slice: (points, 2) rows and columns, and its distance in slices."""

    contour: Contour
    corners: FloatArray
    off: float


def is_open(points: FloatArray) -> bool:
    """Whether a line of (points, axes) in mm does not come back to where it began."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    gap = float(np.linalg.norm(points[-1] - points[0]))
    return gap > _GAP_SHARE * float(steps.sum()) and gap > _GAP_STEPS * float(steps.max())


def filled(corners: FloatArray, shape: tuple[int, int]) -> BoolArray:
    """(rows, columns) mask of a polygon.

    Parameters
    ----------
    corners : (corners, 2) row and column; whole numbers are the centres of pixels.
    """
    from matplotlib.path import Path

    inside = np.zeros(shape, dtype=bool)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, shape)
    if (low >= high).any():
        return inside
    size = high - low
    within = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    rows, columns = (np.add.outer(np.arange(a, b), within).ravel() for a, b in zip(low, high))
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    hits = Path(corners).contains_points(points).reshape(size[0], SAMPLES, size[1], SAMPLES)
    inside[low[0]:high[0], low[1]:high[1]] = hits.mean(axis=(1, 3)) >= 0.5
    return inside


def rasterise(contours: list[Contour], grid: SimpleITK.Image
              ) -> tuple[dict[Part, BoolArray], list[str]]:
    """Masks of all contours on a grid, by part, and what a user must know about them.

    What is open, or lies on no slice, is left out and named.

    Returns
    -------
    parts : (slices, rows, columns) bool each.
    warnings

    Raises
    ------
    InputError
        No contour remains, or a slice has contours of several heart phases.
    """
    shape = grid.GetSize()[::-1]
    slices: dict[tuple[int, Part, str], list[_Placed]] = {}
    faults: Counter[str] = Counter()
    for contour in contours:
        fault, index, placed = _place(contour, grid)
        if placed is None:
            faults[fault] += 1
        else:
            slices.setdefault((index, contour.part, contour.region), []).append(placed)
    warnings = [f"{_count(n)} {fault}; left out" for fault, n in faults.items()]
    if not slices:
        raise InputError(f"none of the {len(contours)} contours can be used: "
                         + "; ".join(f"{_count(n)} {fault}" for fault, n in faults.items())
                         + ": see whether they are of this patient and of these images")
    parts = {part: np.zeros(shape, dtype=bool) for _, part, _ in slices}
    off = 0.0
    for (index, part, _), together in slices.items():
        chosen = _of_one_source(together, index, part)
        off = max(off, chosen[0].off)
        parts[part][index] |= np.logical_xor.reduce(
            [filled(one.corners, shape[1:]) for one in chosen])
    if off > _OFF:
        warnings.append(f"contours lie up to {off * grid.GetSpacing()[2]:.1f} mm off the slices "
                        "that they were given to: see whether they were drawn on these images")
    return parts, warnings


def _place(contour: Contour, grid: SimpleITK.Image) -> tuple[str, int, _Placed | None]:
    """Where a contour lies on a grid, or what is wrong with it."""
    if len(contour.points) < 3:
        return "of fewer than 3 points", 0, None
    if not np.isfinite(contour.points).all():
        return "with points that are no numbers", 0, None
    if is_open(contour.points):
        return "that do not close", 0, None
    to_index = np.linalg.inv(np.asarray(grid.GetDirection()).reshape(3, 3)
                             * np.asarray(grid.GetSpacing()))
    found = (contour.points - np.asarray(grid.GetOrigin())) @ to_index.T
    middle = float(found[:, 2].mean())
    index = int(np.rint(middle))
    if np.abs(found[:, 2] - middle).max() > _TILT:
        return "that lie across the slices", 0, None
    if not 0 <= index < grid.GetSize()[2]:
        return "that lie on no slice of the images", 0, None
    corners = found[:, 1::-1]
    size = np.asarray(grid.GetSize()[1::-1])
    if (corners.max(axis=0) < 0).any() or (corners.min(axis=0) > size - 1).any():
        return "that lie beside the images", 0, None
    return "", index, _Placed(contour, corners, abs(middle - index))


def _of_one_source(placed: list[_Placed], index: int, part: Part) -> list[_Placed]:
    """The lines nearest to the slice; those of several phases at one place are refused."""
    nearest = min(one.off for one in placed)
    near = [one for one in placed if one.off < nearest + 0.01]
    if len({one.contour.source for one in near}) > 1:
        raise InputError(f"slice {index} has {len(near)} contours of the {part.title} (heart "
                         "phases?): give those of one phase, for instance with --mask-dicom and "
                         "a folder of only its images")
    return near


def _count(number: int) -> str:
    return f"{number} contour" + ("s" if number != 1 else "")


