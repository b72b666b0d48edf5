"""A study and a result as a header of JSON values and named arrays, and back: every field of them.

In a header, whole numbers that were keys are words, so they stand in pairs; everything else in
`Study` and `Result` that is no array is JSON already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.given import Corrections, Edit, Strength
from deepgmm.result import Result, SliceFit
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role, Tissue

Header = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]

#: Fields of `SliceFit` that every slice has in the same shape.
_STACKED = ("index", "weights", "means", "covariances", "nll", "iterations", "converged",
            "agreement")
_POSTERIOR, _INSIDE, _STUDY, _FITS = "posterior", "inside", "study.", "fits."
_AT, _TISSUE, _EDIT = (f"corrections.{name}" for name in ("at", "tissue", "edit"))


def encode_study(study: Study, known: Study | None = None) -> tuple[Header, Arrays]:
    """A study as header and arrays, which are its own and are not copied.

    Parameters
    ----------
    known : a study that the other side has: arrays that are the very same in both are left out.
    """
    header: Header = {
        "kinds": {role.value: sequence.kind.value for role, sequence in study.sequences.items()},
        "geometry": asdict(study.geometry), "excluded": list(study.excluded.items()),
        "warnings": study.warnings, "hashes": study.hashes, "provenance": study.provenance,
    }
    there = _arrays_of(study)
    other = {} if known is None else _arrays_of(known)
    header["given"] = list(there)
    return header, {name: values for name, values in there.items()
                    if values is not other.get(name)}


def decode_study(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]],
                 known: Study | None = None) -> Study:
    """The study of `encode_study`.

    Parameters
    ----------
    known : the study that was known there; what was left out is taken from it.

    Raises
    ------
    ValueError
        The header is no study's, or an array is missing.
    """
    mine = {} if known is None else _arrays_of(known)
    try:
        there = {name: arrays[name] if name in arrays else mine[name] for name in header["given"]}
        place = header["geometry"]
        return Study(
            sequences={Role(role): Sequence(Role(role), there[role], Kind(kind))
                       for role, kind in header["kinds"].items()},
            mask=there["mask"], wall=there.get("wall"),
            insertion_points=there.get("insertion_points"),
            geometry=Geometry(tuple(place["spacing"]), tuple(place["origin"]),
                              tuple(place["direction"])),
            excluded={int(index): reason for index, reason in header["excluded"]},
            warnings=list(header["warnings"]), hashes=dict(header["hashes"]),
            provenance=dict(header["provenance"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no study: {error!r}") from error


def encode_result(result: Result, known: Study | None = None) -> tuple[Header, Arrays]:
    """A result as header and arrays. Of the posterior only the pixels are sent that have one.

    Parameters
    ----------
    known : as `encode_study` takes it.
    """
    study, arrays = encode_study(result.study, known)
    arrays = {_STUDY + name: values for name, values in arrays.items()}
    arrays |= {"labels": result.labels, **_packed(result.posterior)}
    arrays |= {_FITS + name: np.stack([np.asarray(getattr(fit, name)) for fit in result.fits])
               for name in _STACKED if result.fits}
    if result.automatic is not None:
        arrays |= _packed(result.automatic, "automatic.")
    corrections = None
    if result.corrections is not None:
        corrections, more = encode_corrections(result.corrections)
        arrays |= more
    header = {"study": study, "corrections": corrections,
              "tissues": [int(tissue) for tissue in result.tissues],
              "traces": [fit.trace for fit in result.fits],
              "warnings": list(result.warnings), "provenance": result.provenance}
    return header, arrays


def decode_result(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]],
                  known: Study | None = None) -> Result:
    """The result of `encode_result`.

    Raises
    ------
    ValueError
        The header is no result's, or an array is missing.
    """
    try:
        study = decode_study(header["study"], {
            name.removeprefix(_STUDY): values for name, values in arrays.items()
            if name.startswith(_STUDY)}, known)
        posterior = _unpacked(arrays)
        fits = [SliceFit(**{name: _number(arrays[_FITS + name][i]) for name in _STACKED},
                         trace=trace) for i, trace in enumerate(header["traces"])]
        return Result(study, tuple(Tissue(label) for label in header["tissues"]),
                      arrays["labels"], posterior, fits,
                      list(header["warnings"]), dict(header["provenance"]),
                      decode_corrections(header["corrections"], arrays)
                      if header.get("corrections") else None,
                      _unpacked(arrays, "automatic.") if "automatic." + _INSIDE in arrays
                      else None)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ValueError(f"no result: {error!r}") from error


def _packed(posterior: npt.NDArray[np.float32], name: str = "") -> Arrays:
    """The pixels of a posterior that have one, and where they are."""
    inside = (posterior != 0).any(axis=1)
    return {name + _INSIDE: inside, name + _POSTERIOR: posterior.transpose(0, 2, 3, 1)[inside]}


def _unpacked(arrays: Mapping[str, npt.NDArray[Any]], name: str = "") -> npt.NDArray[Any]:
    """The posterior of `_packed`."""
    inside, packed = arrays[name + _INSIDE], arrays[name + _POSTERIOR]
    slices, rows, columns = inside.shape
    posterior = np.zeros((slices, packed.shape[1], rows, columns), packed.dtype)
    posterior.transpose(0, 2, 3, 1)[inside] = packed
    return posterior


def encode_corrections(corrections: Corrections) -> tuple[Header, Arrays]:
    """Corrections as header and arrays: of the voxels alone of which something was said."""
    at = np.flatnonzero(corrections.fixed)
    header = {"shape": list(corrections.tissue.shape), "done": list(corrections.done),
              "edits": [asdict(edit) | {"strength": int(edit.strength)}
                        for edit in corrections.edits]}
    return header, {_AT: at.astype(np.int64), _TISSUE: corrections.tissue.ravel()[at],
                    _EDIT: corrections.edit.ravel()[at]}


def decode_corrections(header: Mapping[str, Any],
                       arrays: Mapping[str, npt.NDArray[Any]]) -> Corrections:
    """The corrections of `encode_corrections`.

    Raises
    ------
    ValueError
        The header is none of corrections, or an array is missing.
    """
    try:
        edits = [Edit(Strength(edit["strength"]), str(edit["when"]), int(edit["run"]),
                      edit["seconds"]) for edit in header["edits"]]
        found = Corrections.none(tuple(header["shape"]))
        found.tissue.flat[arrays[_AT]] = arrays[_TISSUE]
        found.edit.flat[arrays[_AT]] = arrays[_EDIT]
        return Corrections(found.tissue, found.edit, edits, tuple(header["done"]))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no corrections: {error!r}") from error


def _arrays_of(study: Study) -> dict[str, npt.NDArray[Any]]:
    named = {role.value: sequence.values for role, sequence in study.sequences.items()}
    more = {"mask": study.mask, "wall": study.wall, "insertion_points": study.insertion_points}
    return named | {name: values for name, values in more.items() if values is not None}


def _number(value: Any) -> Any:
    """A copy of one slice's array; of a single number, Python's own."""
    return value.item() if np.ndim(value) == 0 else np.array(value)
