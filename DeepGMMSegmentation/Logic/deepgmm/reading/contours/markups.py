"""Points placed and curves drawn in 3D Slicer: a markups file (`.mrk.json`)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import read_json
from deepgmm.study.study import Geometry
from deepgmm.study.words import named_slices

#: What 3D Slicer calls a line that closes; points that it is drawn through, at least; and points
#: of the line from one of them to the next.
_CLOSED, _LEAST, _BETWEEN = "ClosedCurve", 3, 10


def read_points(path: str | os.PathLike[str], role: str = "points") -> npt.NDArray[np.float64]:
    """The placed points of all lists of a markups file, in their order.

    Returns
    -------
    (points, 3) LPS mm.

    Raises
    ------
    InputError
        As `read_named_points`.
    """
    return read_named_points(path, role)[0]


def read_named_points(path: str | os.PathLike[str], role: str = "points"
                      ) -> tuple[npt.NDArray[np.float64], list[str]]:
    """The same points and how each is labelled.

    Returns
    -------
    (points, 3) LPS mm, and as many labels, empty where there is none.

    Raises
    ------
    InputError
        A file that is missing or no markups file, coordinates other than mm of LPS or RAS. The
        message names the role, never the path.
    """
    lists = _lists(path, role)
    found = np.concatenate([np.zeros((0, 3)), *(places for _, places, _ in lists)])
    return found, [name for _, _, names in lists for name in names]


def read_closed_curves(path: str | os.PathLike[str], geometry: Geometry, slices: int,
                       role: str = "contours") -> dict[int, npt.NDArray[np.float64]]:
    """The closed curves of a markups file, by the slice that each was drawn on.

    As in 3D Slicer a curve is the periodic cubic spline through its points.

    Parameters
    ----------
    geometry : of the grid.
    slices : that it has.

    Returns
    -------
    slice, counted from 0, to (points, 2) row and column; whole numbers are the centres of pixels.

    Raises
    ------
    InputError
        As `read_named_points`; no closed curve, one of too few points or that does not lie in one
        slice, or two in a slice.
    """
    from scipy.interpolate import CubicSpline

    found: dict[int, npt.NDArray[np.float64]] = {}
    for kind, places, _ in _lists(path, role):
        if kind != _CLOSED:
            raise InputError(f"the {role} file holds other markups than closed curves: save the "
                             "curves alone, drawn with Closed Curve in 3D Slicer")
        if len(places) < _LEAST:
            raise InputError(f"the {role} file holds a curve of fewer than {_LEAST} points: draw "
                             "it on, or delete it")
        whole = np.concatenate([places, np.ones((len(places), 1))], axis=1)
        at = whole @ np.linalg.inv(geometry.index_to_world()).T
        index = round(float(at[:, 2].mean()))
        if not 0 <= index < slices:
            raise InputError(f"the {role} file holds a curve outside the images: see whether it "
                             "was drawn on this examination")
        if np.abs(at[:, 2] - index).max() > 0.5:
            raise InputError(f"the {role} file holds a curve that does not lie in one slice: draw "
                             "each in a slice view of these images")
        if index in found:
            raise InputError(f"the {role} file holds two curves on {named_slices([index])}: keep "
                             "one, the border of pool and wall")
        line = at[:, 1::-1]
        through = CubicSpline(np.arange(len(line) + 1), np.r_[line, line[:1]],
                              bc_type="periodic")
        found[index] = through(np.arange(len(line) * _BETWEEN) / _BETWEEN)
    if not found:
        raise InputError(f"the {role} file holds no curve: draw one, or leave it out")
    return found


def _lists(path: str | os.PathLike[str], role: str
           ) -> list[tuple[str, npt.NDArray[np.float64], list[str]]]:
    """Kind, places (points, 3) in LPS mm and labels of every list of a file."""
    found = []
    try:
        said = read_json(path)
        for markup in said["markups"]:
            turn = _turn(markup, role)
            places: list[list[float]] = []
            names: list[str] = []
            for point in markup["controlPoints"]:
                if point.get("positionStatus", "defined") == "defined":
                    x, y, z = point["position"]
                    places.append([float(x) * turn[0], float(y) * turn[1], float(z) * turn[2]])
                    names.append(str(point.get("label", "")))
            found.append((str(markup.get("type", "")), np.array(places, float).reshape(-1, 3),
                          names))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"the {role} file cannot be read ({error.strerror}): check its path and "
                         "its permissions") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"the {role} file is no markups file of 3D Slicer (.mrk.json): save the "
                         "points again from there") from error
    if not all(np.isfinite(places).all() for _, places, _ in found):
        raise InputError(f"the {role} file holds a point without a place: delete it")
    return found


def _turn(markup: dict[str, Any], role: str) -> list[float]:
    """What x, y and z of a list are multiplied by to be LPS; old files number the systems."""
    units = markup.get("coordinateUnits", "mm")
    if (units[0] if isinstance(units, list) and units else units) != "mm":
        raise InputError(f"the {role} file has coordinateUnits other than mm: save the points "
                         "in mm")
    system = markup.get("coordinateSystem", "LPS")
    known = {"LPS": 1.0, "1": 1.0, "RAS": -1.0, "0": -1.0}
    if isinstance(system, (bool, float)) or str(system).upper() not in known:
        raise InputError(f"the {role} file has a coordinateSystem other than LPS and RAS: save the "
                         "points again from 3D Slicer")
    sign = known[str(system).upper()]
    return [sign, sign, 1.0]
