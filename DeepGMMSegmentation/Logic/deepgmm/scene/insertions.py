"""RV insertion points: a list of points in the scene, brought onto the slices of a study.

A list holds pairs: the anterior insertion of the right ventricle, then the inferior one, on one
slice or on several. They say where the septum is.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.scene.grids import Grid
from deepgmm.scene.places import RAS_TO_LPS
from deepgmm.study.study import BoolArray, FloatArray
from deepgmm.study.words import named_slices

if TYPE_CHECKING:
    import slicer

_NAME = "the RV insertion points"

#: Of the radius of the mask: nearer to its middle, or further, is no place where walls meet.
_NEAREST, _FURTHEST = 0.5, 1.6

#: Two points closer than this are one, mm.
_APART = 5.0


@dataclass(frozen=True)
class Insertions:
    """RV insertion points on a study's grid.

    Attributes
    ----------
    points : (slices, 2, 2) row and column of the anterior and the inferior insertion; on every
        slice, for between slices with points they are interpolated and beyond them repeated.
    given : slice to the points that were given there, likewise.
    warnings : what a user must know.
    """

    points: FloatArray
    given: dict[int, FloatArray]
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For provenance: what was given, by slice."""
        return {str(index): {"anterior": pair[0].round(3).tolist(),
                             "inferior": pair[1].round(3).tolist()}
                for index, pair in self.given.items()}


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
    if len(placed) % 2:
        raise InputError(f"{_NAME} are {len(placed)}, and every slice needs two: place the "
                         "anterior one and then the inferior one")
    given: dict[int, FloatArray] = {}
    warnings: list[str] = []
    for anterior, inferior in zip(placed[::2], placed[1::2]):
        index, pair = _pair(anterior, inferior, grid, len(mask))
        if index in given:
            raise InputError(f"{_NAME} of slice {index} are given twice: delete two of them")
        given[index] = pair
        if _is_behind(anterior, inferior):
            warnings.append(f"of {_NAME} on slice {index} the first lies lower and further back "
                            "than the second: see whether the anterior one comes first")
    given = dict(sorted(given.items()))
    far = [i for i, pair in given.items() if mask[i].any() and _is_far(pair, mask[i])]
    if far:
        warnings.append(f"{_NAME} lie far from the rim of the LV mask on {named_slices(far)}: "
                        "see whether they were placed on this heart")
    return Insertions(_on_every_slice(given, len(mask)), given, warnings)


def _placed(node: Any) -> list[FloatArray]:
    """LPS mm of the points that are placed."""
    points = []
    for i in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(i) == node.PositionDefined:
            ras = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(i, ras)
            points.append((RAS_TO_LPS @ np.array([*ras, 1.0]))[:3])
    return points


def _pair(anterior: FloatArray, inferior: FloatArray, grid: Grid,
          slices: int) -> tuple[int, FloatArray]:
    """The slice of a pair, and row and column of both."""
    places = [_on_grid(point, grid, slices) for point in (anterior, inferior)]
    (one, _), (other, _) = places
    if one != other:
        raise InputError(f"{_NAME} lie two by two on one slice, but one of a pair is on slice "
                         f"{one} and one on slice {other}: move it, or delete one")
    if np.linalg.norm(anterior - inferior) < _APART:
        raise InputError(f"both of {_NAME} on slice {one} lie in one place: move the inferior "
                         "one to where the walls meet below")
    return one, np.stack([where for _, where in places])


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


def _is_behind(anterior: FloatArray, inferior: FloatArray) -> bool:
    """Whether the first is both further back and lower than the second, in LPS."""
    _, back, up = anterior - inferior
    return bool(back > 0 and up < 0)


def _is_far(pair: FloatArray, mask: BoolArray) -> bool:
    inside = np.argwhere(mask)
    radius = np.sqrt(len(inside) / np.pi)
    away = np.linalg.norm(pair - inside.mean(axis=0), axis=1) / radius
    return bool((away < _NEAREST).any() or (away > _FURTHEST).any())


def points_again(said: dict[str, Any], slices: int) -> FloatArray:
    """The points of `Insertions.as_dict`, on every slice."""
    return _on_every_slice({int(index): np.array([pair["anterior"], pair["inferior"]])
                            for index, pair in said.items()}, slices)


def _on_every_slice(given: dict[int, FloatArray], slices: int) -> FloatArray:
    known = np.array(list(given))
    pairs = np.stack(list(given.values()))
    points = np.empty((slices, 2, 2))
    for which, axis in itertools.product(range(2), range(2)):
        points[:, which, axis] = np.interp(np.arange(slices), known, pairs[:, which, axis])
    return points
