"""RV insertion points: a list of points in the scene, brought onto the slices of a study.

A list holds pairs: the anterior insertion of the right ventricle, then the inferior one, on one
slice or on several. They say where the septum is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.scene.grids import Grid
from deepgmm.scene.places import RAS_TO_LPS
from deepgmm.study.insertion_points import Insertions, paired
from deepgmm.study.study import BoolArray, FloatArray

if TYPE_CHECKING:
    import slicer

__all__ = ["Insertions", "count_points", "insertion_points", "name_points"]

_NAME = "the RV insertion points"


def count_points(node: slicer.vtkMRMLMarkupsNode) -> int:
    """How many points of a list are placed; one that still hangs on the mouse is not."""
    return len(_placed(node))


def name_points(node: slicer.vtkMRMLMarkupsNode) -> None:
    """Label the points "anterior" and "inferior" in turn, as they are meant."""
    for i in range(node.GetNumberOfControlPoints()):
        label = "inferior" if i % 2 else "anterior"
        if node.GetNthControlPointLabel(i) != label:
            node.SetNthControlPointLabel(i, label)


def insertion_points(node: slicer.vtkMRMLMarkupsNode, grid: Grid, mask: BoolArray) -> Insertions:
    """The points of a list as RV insertions.

    Parameters
    ----------
    node : the points, two for a slice: the anterior one first.
    grid : of the study.
    mask : (slices, rows, columns) LV mask; points far from its rim are said.

    Raises
    ------
    InputError
        An odd number of points, points beside the slices, a pair on two slices, two pairs on
        one, or a pair in one place.
    """
    if not node.IsA("vtkMRMLMarkupsNode"):
        raise InputError(f"{_NAME} are no list of points: choose one, or none")
    placed = _placed(node)
    if not placed:
        raise InputError(f"{_NAME} hold no point: place the anterior one and then the inferior "
                         "one on a slice, or choose none")
    places = [_on_grid(point, grid, len(mask)) for point in placed]
    across, along, _ = grid.place.geometry.spacing
    return paired(np.array(placed), np.array([index for index, _ in places]),
                  np.array([where for _, where in places]), mask, (along, across))


def _placed(node: Any) -> list[FloatArray]:
    """LPS mm of the points that are placed."""
    points = []
    for i in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(i) == node.PositionDefined:
            ras = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(i, ras)
            points.append((RAS_TO_LPS @ np.array([*ras, 1.0]))[:3])
    return points


def _on_grid(point: FloatArray, grid: Grid, slices: int) -> tuple[int, FloatArray]:
    """The slice on which a point lies, and its row and column."""
    column, row, depth = (np.linalg.inv(grid.place.matrix) @ np.array([*point, 1.0]))[:3]
    thick = np.linalg.norm(grid.place.matrix[:3, 2])
    along = np.arange(slices) * thick if grid.place.along is None else grid.place.along
    apart = np.abs(along - depth * thick)
    index = int(apart.argmin())
    half = max(np.diff(along).max(initial=0.0), thick) / 2
    rows, columns = grid.image.GetSize()[1::-1]
    if apart[index] > half or not (-0.5 <= row < rows - 0.5 and -0.5 <= column < columns - 0.5):
        raise InputError(f"one of {_NAME} lies beside the slices of {grid.name}: delete it, or "
                         f"move it onto a slice")
    return index, np.array([row, column])
