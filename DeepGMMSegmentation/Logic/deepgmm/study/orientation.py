"""How a short-axis slice is turned for reading: what of its grid goes to the right and down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.study.study import Geometry

#: What a radiologist expects to the right and below, in LPS: left and back; feet and back.
_RIGHT, _DOWN = np.array([1.0, 0.7, 0.0]), np.array([0.0, 0.5, -1.0])


@dataclass(frozen=True)
class Turn:
    """A slice as it is read.

    Attributes
    ----------
    right, down : (3,) where these point in the patient, LPS.
    exchanged : whether the grid's rows run across the picture and its columns down.
    flip : of the picture's rows and columns, -1 where they run against the grid's.
    """

    right: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    exchanged: bool
    flip: tuple[int, int]


def turn_of(geometry: Geometry) -> Turn:
    """How slices of a grid are turned; only by quarters, and mirrored where the grid is."""
    direction = np.asarray(geometry.direction).reshape(3, 3)
    across, down = direction[:, 0], direction[:, 1]
    exchanged = bool(abs(down @ _RIGHT) + abs(across @ _DOWN)
                     > abs(across @ _RIGHT) + abs(down @ _DOWN))
    if exchanged:
        across, down = down, across
    flip = (-1 if down @ _DOWN < 0 else 1, -1 if across @ _RIGHT < 0 else 1)
    return Turn(across * flip[1], down * flip[0], exchanged, flip)


def expected_axes(geometry: Geometry) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Unit vectors in the slices' plane, LPS: what a radiologist expects to the right, as nearly
    as the plane allows, and at right angles to it, downwards."""
    direction = np.asarray(geometry.direction).reshape(3, 3)
    plane = direction[:, :2]
    right = plane @ (plane.T @ _RIGHT)
    right /= np.linalg.norm(right)
    down = np.cross(direction[:, 2], right)
    down /= np.linalg.norm(down)
    return right, down if down @ _DOWN >= 0 else -down
