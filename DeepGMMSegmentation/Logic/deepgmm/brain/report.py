"""The JSON report of one brain, and all files of a result together."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.montage import montage
from deepgmm.brain.result import BrainResult
from deepgmm.brain.tissues import TISSUES
from deepgmm.brain.volumes import write_brain
from deepgmm.files import together
from deepgmm.review.report import NOTICE, versions

#: The files of a result, and how their names may end.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "labelmap": (".nii.gz", ".nii", ".nrrd", ".mha"),
    "probabilities": (".nii.gz", ".nii", ".nrrd", ".mha"),
    "field": (".nii.gz", ".nii", ".nrrd", ".mha"),
    "montage": (".png",),
    "report": (".json",),
}


def report(result: BrainResult) -> dict[str, Any]:
    """What was done, with what, and what came out, as JSON values; no path enters.

    Returns
    -------
    dict
        What `Docs/brain.md` explains, key by key.
    """
    volume, provenance = result.volume, dict(result.provenance)
    field = None
    if result.field is not None:
        inside = result.field[volume.mask]
        field = {"least": float(inside.min()), "most": float(inside.max()),
                 "deviation_of_log": float(np.log(np.maximum(inside, 1e-3)).std())}
    said = {
        "notice": NOTICE,
        "supervision": result.supervision,
        "settings": provenance.pop("settings", None),
        "versions": versions(),
        "input_hashes": dict(volume.hashes),
        "labels": {t.title: int(t) for t in TISSUES},
        "grid": {"size": list(reversed(volume.turn.back(volume.mask).shape)),
                 "spacing_mm": list(volume.turn.geometry.spacing),
                 "origin_lps_mm": list(volume.turn.geometry.origin),
                 "direction_lps": list(volume.turn.geometry.direction)},
        "brain_ml": round(float(volume.mask.sum()) * volume.voxel_volume, 3),
        "volumes_ml": {t.title: round(result.ml(t), 3) for t in TISSUES},
        "volume_intervals_90_ml": {t.title: [round(end, 3) for end in result.interval(t)]
                                   for t in TISSUES},
        "mixture": result.components,
        "field": field,
        "atlas": result.atlas or None,
        "deformation": result.deformation or None,
        "warnings": list(dict.fromkeys([*volume.warnings, *result.warnings])),
        "times_s": provenance.pop("seconds", None),
    }
    plain = finite(said | provenance)
    assert isinstance(plain, dict)
    return plain


def report_text(result: BrainResult) -> str:
    """The report as strict JSON."""
    return json.dumps(report(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_result(result: BrainResult, places: Mapping[str, str | os.PathLike[str] | None]) -> None:
    """Write the files asked for; all appear or none.

    Parameters
    ----------
    places : by what they are, of `SUFFIXES`.

    Raises
    ------
    InputError : a place that cannot be written to, a full disk.
    """
    volume = result.volume
    arrays: dict[str, npt.NDArray[Any]] = {
        "labelmap": result.labels, "probabilities": result.posterior,
        "field": np.ones(volume.image.shape, np.float32) if result.field is None
        else result.field}
    with together() as outputs:
        for what, place in places.items():
            if place is None:
                continue
            path = outputs.path(place, what)
            if what in arrays:
                write_brain(volume, arrays[what], path, what)
            elif what == "montage":
                path.write_bytes(montage(volume, result.labels, corrected=result.corrected,
                                         volumes={t: result.ml(t) for t in TISSUES}))
            else:
                path.write_text(report_text(result), encoding="utf-8")


def finite(value: Any) -> Any:
    """Plain JSON values, with None for what is no number."""
    if isinstance(value, Mapping):
        return {str(key): finite(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [finite(held) for held in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
