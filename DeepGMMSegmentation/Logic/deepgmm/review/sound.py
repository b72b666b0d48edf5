"""Whether what a state holds is a study and its versions: its checksums say only that it is as it
was written."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.result import Result
from deepgmm.settings import Settings
from deepgmm.study.study import Study
from deepgmm.study.words import Tissue

DAMAGED = ("the state is damaged: copy it again from where it was made, or segment the study "
           "again")
NEWER = ("the state was written by a newer DeepGMM: refine it with that one, or segment the study "
         "again")
#: Voxels of a grid that a state may be of.
MOST_VOXELS = 200_000_000


@contextmanager
def undamaged() -> Iterator[None]:
    """Whatever cannot be decoded in the block is a damaged state.

    Raises
    ------
    InputError
    """
    from safetensors import SafetensorError

    try:
        yield
    except InputError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, IndexError,
            zlib.error, MemoryError, OverflowError, RecursionError) as error:
        raise InputError(DAMAGED) from error


def _must(holds: Any) -> None:
    if not holds:
        raise InputError(DAMAGED)


def check_grid(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """See that the shape, the box and the arrays in it go together, before any grid is made.

    Raises
    ------
    InputError
    """
    shape, (top, bottom, left, right) = header["shape"], header["box"]
    _must(len(shape) == 3 and _counts([*shape, *header["box"]]))
    _must(min(shape) > 0 and math.prod(shape) <= MOST_VOXELS)
    _must(top < bottom <= shape[1] and left < right <= shape[2])
    for name, values in arrays.items():
        _must(values.dtype.kind in "iuf")
        _must(values.shape == ((shape[0], 2, 2) if name == "insertion_points"
                               else (shape[0], bottom - top, right - left)))


def check_study(study: Study) -> None:
    """See that a study can be fitted.

    Raises
    ------
    InputError
    """
    place, count = study.geometry, len(study.mask)
    for numbers, length in ((place.spacing, 3), (place.origin, 3), (place.direction, 9)):
        _must(len(numbers) == length and _finite(numbers))
    _must(min(place.spacing) > 0)
    _must(abs(abs(np.linalg.det(np.reshape(place.direction, (3, 3)))) - 1) < 0.1)
    _must(study.sequences and study.mask.any() and sorted(study.file_axes) == [0, 1, 2])
    _must(all(0 <= i < count and isinstance(why, str) for i, why in study.excluded.items()))
    _must(_texts(study.warnings))


def check_version(said: Mapping[str, Any], study: Study) -> None:
    """See that a version's description is one, of this study.

    Raises
    ------
    InputError
    """
    settings, numbers, words = said["settings"], said["numbers"], said["words"]
    if set(settings) - {one.name for one in fields(Settings)}:
        raise InputError(NEWER)
    try:
        Settings(**settings)
    except InputError as error:
        raise InputError(DAMAGED) from error
    shape, room = list(study.mask.shape), 16 * study.mask.size + 100_000
    _must(_counts([said["number"]]) and isinstance(said["when"], str)
          and isinstance(said["what"], str))
    _must(_finite(numbers["volumes_ml"].values()) and _counts([numbers["corrected_voxels"]]))
    _must(_slices(numbers["done_slices"], shape[0]))
    _must(isinstance(words["provenance"], dict) and _texts(words["warnings"])
          and isinstance(words["traces"], list) and isinstance(words["tissues"], list)
          and isinstance(words["provenance"].get("refined", {}), dict))
    _must(_slices(words["provenance"].get("locked_slices", ()), shape[0]))
    given = words["corrections"]
    _must(given is None or (given["shape"] == shape and _slices(given["done"], shape[0])))
    _must(given is None or all(f"corrections.{name}" in said["arrays"]
                               for name in ("at", "tissue", "edit")))
    for name, (kind, size) in said["arrays"].items():
        _must(np.dtype(kind).kind in "biuf" and _counts(size) and math.prod(size) <= room)
        if name in ("inside", "automatic.inside", "labels"):
            _must(size == shape and kind == ("uint8" if name == "labels" else "bool"))
    _must("labels" in said["arrays"])


def check_labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels, all of which are a tissue's.

    Raises
    ------
    InputError
    """
    _must(np.isin(labels, list(Tissue)).all())
    return labels


def check_result(result: Result) -> None:
    """See that the arrays of a result are of its study's grid and its tissues.

    Raises
    ------
    InputError
    """
    slices, rows, columns = result.study.mask.shape
    check_labels(result.labels)
    tissues, roles = len(result.tissues), len(result.study.sequences)
    for posterior in (result.posterior, result.automatic):
        _must(posterior is None or (posterior.shape == (slices, tissues, rows, columns)
                                    and np.isfinite(posterior).all()))
    _must(tissues and result.fits and _slices([fit.index for fit in result.fits], slices))
    for fit in result.fits:
        _must(fit.weights.shape == (tissues,) and fit.means.shape == (tissues, roles)
              and fit.covariances.shape == (tissues, roles, roles))


def _counts(values: Any) -> bool:
    """Whether all are whole numbers from 0."""
    return all(type(value) is int and value >= 0 for value in values)


def _slices(values: Any, count: int) -> bool:
    return _counts(values) and all(value < count for value in values)


def _finite(values: Any) -> bool:
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
