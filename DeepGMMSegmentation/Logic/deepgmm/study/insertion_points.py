"""RV insertion points: where the right ventricle's wall meets the left one's, slice by slice.

Given points are two on a slice, the anterior one and the inferior one. Where none are given they
can be estimated from how the patient lies: the right ventricle is to the right and in front.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.orientation import expected_axes
from deepgmm.study.study import BoolArray, FloatArray, Geometry
from deepgmm.study.words import named_slices

_NAME = "the RV insertion points"

#: Half the angle of the septum in the standard model, degrees.
_HALF_SEPTUM = 60.0
#: From the base to the apex the heart points to the left, to the front and down (LPS). A normal of
#: slices further off than so many degrees is of no short axis, or of a grid that lost its place.
_LONG_AXIS, _FURTHEST = np.array([0.66, -0.53, -0.53]), 50.0
#: Two points of one slice closer than this are one, mm; of the radius of the mask, what is too near
#: to its middle or too far off.
_APART, _NEAR, _FAR = 5.0, 0.5, 1.6


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


def points_again(said: dict[str, Any], slices: int) -> FloatArray:
    """The points of `Insertions.as_dict`, on every slice."""
    return _on_every_slice({int(index): np.array([pair["anterior"], pair["inferior"]])
                            for index, pair in said.items()}, slices)


def given_points(places: FloatArray, geometry: Geometry,
                 mask: BoolArray) -> tuple[FloatArray, list[str]]:
    """Points of a list brought onto the slices of a study.

    Parameters
    ----------
    places : (points, 3) LPS mm, two for a slice: the anterior insertion, then the inferior one.
    mask : (slices, rows, columns) LV mask.

    Returns
    -------
    points : (slices, 2, 2) row and column; between slices with points interpolated, beyond them
        repeated.
    warnings

    Raises
    ------
    InputError
        As `paired`; or a point beside the slices.
    """
    index = np.c_[places, np.ones(len(places))] @ np.linalg.inv(geometry.index_to_world()).T
    at = index[:, [2, 1, 0]]
    if ((at < -0.5) | (at >= np.array(mask.shape) - 0.5)).any():
        raise InputError("an RV insertion point lies beside the slices of the segmentation: see "
                         "whether it is of this study, and delete it or move it")
    found = paired(places, np.rint(at[:, 0]).astype(int), at[:, 1:], mask,
                   (geometry.spacing[1], geometry.spacing[0]))
    return found.points, found.warnings


def paired(places: FloatArray, layers: npt.NDArray[np.integer], at: FloatArray, mask: BoolArray,
           spacing: tuple[float, float]) -> Insertions:
    """Points of a list, two for a slice, whose slices are known.

    Parameters
    ----------
    places : (points, 3) LPS mm.
    layers : (points,) the slice of each.
    at : (points, 2) row and column of each.
    mask : (slices, rows, columns) LV mask; points far from its rim are said.
    spacing : of rows and of columns, mm.

    Raises
    ------
    InputError
        None, an odd number, a pair on two slices, two pairs on one, a pair in one place.
    """
    if not len(places) or len(places) % 2:
        raise InputError(f"{_NAME} are {len(places)}, and every slice needs two: place the "
                         "anterior one and then the inferior one")
    given: dict[int, FloatArray] = {}
    warnings: list[str] = []
    for one in range(0, len(places), 2):
        (first, second), pair = map(int, layers[one:one + 2]), places[one:one + 2]
        if first != second:
            raise InputError(f"{_NAME} lie two by two on one slice, but one of a pair is on slice "
                             f"{first} and one on slice {second}: move it, or delete one")
        if np.linalg.norm(pair[0] - pair[1]) < _APART:
            raise InputError(f"both of {_NAME} on slice {first} lie in one place: move the "
                             "inferior one to where the walls meet below")
        if first in given:
            raise InputError(f"{_NAME} of slice {first} are given twice: delete two of them")
        given[first] = np.asarray(at[one:one + 2])
        if _is_behind(*pair):
            warnings.append(f"of {_NAME} on slice {first} the first lies lower and further back "
                            "than the second: see whether the anterior one comes first")
    given = dict(sorted(given.items()))
    far = [i for i, pair in given.items()
           if mask[i].any() and _far(pair, mask[i], np.asarray(spacing))]
    if far:
        warnings.append(f"{_NAME} lie far from the rim of the LV mask on {named_slices(far)}: "
                        "see whether they were placed on this heart")
    return Insertions(_on_every_slice(given, len(mask)), given, warnings)


def estimated_points(mask: BoolArray, geometry: Geometry) -> FloatArray:
    """RV insertions as the patient's position suggests them, on the rim of every slice's mask.

    The septum of the standard model, 120 degrees, about the direction to the patient's right. In
    patients it lies elsewhere by some 20 degrees; whoever uses these says that they are estimated.

    Returns
    -------
    points : (slices, 2, 2) row and column of the anterior and the inferior one; NaN without mask.

    Raises
    ------
    InputError
        The slices' directions are of no short axis, so that nothing is known of the septum.
    """
    direction = np.asarray(geometry.direction).reshape(3, 3)
    off = np.degrees(np.arccos(np.clip(abs(direction[:, 2] @ _LONG_AXIS), 0, 1)))
    if off > _FURTHEST:
        raise InputError("RV insertion points cannot be estimated: the slices do not lie as a "
                         "short axis does, so that the place of the septum is not known; give the "
                         "points")
    right, down = expected_axes(geometry)
    spacing = np.array([geometry.spacing[1], geometry.spacing[0]])
    angle = np.radians([180 + _HALF_SEPTUM, 180 - _HALF_SEPTUM])  # clockwise from the right
    headings = np.cos(angle)[:, None] * right + np.sin(angle)[:, None] * down
    # along rows and columns of the grid, mm
    headings = headings @ direction[:, [1, 0]]
    points = np.full((len(mask), 2, 2), np.nan)
    for i in np.flatnonzero(mask.any(axis=(1, 2))):
        inside = np.argwhere(mask[i]) * spacing
        radius = np.sqrt(len(inside) * spacing.prod() / np.pi)
        points[i] = (inside.mean(axis=0) + radius * headings) / spacing
    return points


def _is_behind(anterior: FloatArray, inferior: FloatArray) -> bool:
    """Whether the first is both further back and lower than the second, in LPS."""
    _, back, up = anterior - inferior
    return bool(back > 0 and up < 0)


def _far(pair: FloatArray, mask: BoolArray, spacing: FloatArray) -> bool:
    inside = np.argwhere(mask) * spacing
    radius = np.sqrt(len(inside) * spacing.prod() / np.pi)
    away = np.linalg.norm(pair * spacing - inside.mean(axis=0), axis=1) / radius
    return bool((away < _NEAR).any() or (away > _FAR).any())


def _on_every_slice(pairs: dict[int, FloatArray], slices: int) -> FloatArray:
    known, values = np.array(list(pairs)), np.stack(list(pairs.values())).reshape(-1, 4)
    return np.stack([np.interp(np.arange(slices), known, part) for part in values.T],
                    axis=1).reshape(slices, 2, 2)
