"""Points placed in 3D Slicer: a markups file (`.mrk.json`)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import read_json


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
    try:
        said = read_json(path)
        places: list[list[float]] = []
        names: list[str] = []
        for markup in said["markups"]:
            turn = _turn(markup, role)
            for point in markup["controlPoints"]:
                if point.get("positionStatus", "defined") == "defined":
                    x, y, z = point["position"]
                    places.append([float(x) * turn[0], float(y) * turn[1], float(z) * turn[2]])
                    names.append(str(point.get("label", "")))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"the {role} file cannot be read ({error.strerror}): check its path and "
                         "its permissions") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"the {role} file is no markups file of 3D Slicer (.mrk.json): save the "
                         "points again from there") from error
    found = np.array(places, float).reshape(-1, 3)
    if not np.isfinite(found).all():
        raise InputError(f"the {role} file holds a point without a place: delete it")
    return found, names


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
