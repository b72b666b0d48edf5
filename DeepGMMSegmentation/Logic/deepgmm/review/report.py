"""The JSON report of one segmentation: what was done, with what, and what came out."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import deepgmm
from deepgmm.errors import InputError
from deepgmm.files import sha256
from deepgmm.result import BEFORE, Result, SliceFit
from deepgmm.review.aha import aha_rows
from deepgmm.study.levels import Numbering, levels, numbering_of
from deepgmm.study.words import WALL_TISSUES

NOTICE = "Research software, not for diagnosis."

_PACKAGES = ("numpy", "scipy", "torch", "SimpleITK")


def report(result: Result) -> dict[str, Any]:
    """Everything of a result but its images, as JSON values.

    Inputs are named by role and SHA-256; no path enters. Numbers that are not finite become
    None. What the fit recorded in `result.provenance` is kept under its own keys.

    Returns
    -------
    dict
        What `Docs/report.md` explains, key by key.
    """
    study, provenance = result.study, dict(result.provenance)
    provenance.pop(BEFORE, None)
    numbering = numbering_of(levels(study), len(study.mask))
    head = {
        "notice": NOTICE,
        "settings": scrubbed_settings(provenance.pop("settings", None)),
        "versions": versions() | (provenance.pop("versions", None) or {}),
        "seed": provenance.pop("seed", None),
        "device": provenance.pop("device", None),
        "model_hash": provenance.get("network", {}).get("sha256"),
        "input_hashes": provenance.pop("input_sha256", None) or dict(study.hashes),
        "tissues": [tissue.title for tissue in result.tissues],
        "labels": {tissue.title: int(tissue) for tissue in result.present_tissues},
        "sequences": [{"role": role.value, "kind": sequence.kind.value,
                       "kind_guessed": role.value in study.provenance.get("kinds_guessed", [])}
                      for role, sequence in study.sequences.items()],
        "grid": {
            "size": list(reversed(study.mask.shape)),
            "spacing_mm": list(study.geometry.spacing),
            "origin_lps_mm": list(study.geometry.origin),
            "direction_lps": list(study.geometry.direction),
        },
        "volumes_ml": volumes(result),
        "volume_intervals_90_ml": {t.title: list(result.volume_interval(t))
                                   for t in result.tissues},
        "percent_of_wall": percent_of_wall(result),
        **_aha(result),
        "slices": [_slice(fit, result, numbering) for fit in result.fits],
        "excluded_slices": {str(index): reason for index, reason in study.excluded.items()},
        "warnings": list(dict.fromkeys(result.warnings)),
        "times_s": _times(provenance.pop("seconds", None)),
    }
    said = plain(head | provenance)
    assert isinstance(said, dict)
    return said


def _times(seconds: dict[str, float] | None) -> dict[str, float] | None:
    """Seconds by stage, and their sum: from the start of the reading to this report."""
    return seconds and seconds | {"total": round(sum(seconds.values()), 3)}


def report_text(result: Result) -> str:
    """The report as strict JSON (no NaN, no Infinity)."""
    return json.dumps(report(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def versions() -> dict[str, str]:
    """Versions of the software that decides a result; what is not installed is left out."""
    found = {"deepgmm": deepgmm.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package.lower()] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def volumes(result: Result) -> dict[str, float]:
    """Volume of every tissue sought, ml; 0 for one that is absent."""
    return {tissue.title: result.volume(tissue) for tissue in result.present_tissues}


def percent_of_wall(result: Result) -> dict[str, float | None]:
    """Scar, edema and microvascular obstruction as percent of the wall (the three and
    myocardium together); None where there is no wall."""
    wall = sum(result.volume(tissue) for tissue in WALL_TISSUES)
    return {tissue.title: 100.0 * result.volume(tissue) / wall if wall else None
            for tissue in result.present_tissues if tissue in WALL_TISSUES[1:]}


def _aha(result: Result) -> dict[str, Any]:
    rows = aha_rows(result)
    return {"aha_segments": rows} if rows else {}


def scrubbed_settings(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    """The settings, with the user's own priors named by their hash instead of their path, and a
    network by its folder's name."""
    if settings and settings.get("model"):
        settings = settings | {"model": Path(settings["model"]).name}
    if not settings or not settings.get("priors"):
        return settings
    try:
        return settings | {"priors": f"sha256:{sha256(str(settings['priors']))}"}
    except InputError:  # moved since the fit
        return settings | {"priors": "the user's own"}


def _slice(fit: SliceFit, result: Result, numbering: Numbering) -> dict[str, Any]:
    titles = [tissue.title for tissue in result.tissues]
    area = result.study.geometry.pixel_area
    labels = result.labels[fit.index]
    return {
        "index": fit.index,
        "number": numbering.of(fit.index),
        "nll": fit.nll,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "agreement_of_starts": fit.agreement,
        "weights": dict(zip(titles, fit.weights, strict=True)),
        "means": dict(zip(titles, fit.means, strict=True)),
        "covariances": dict(zip(titles, fit.covariances, strict=True)),
        "trace": fit.trace,
        "areas_mm2": {tissue.title: float((labels == tissue).sum()) * area
                      for tissue in result.present_tissues},
    }


def plain(value: Any) -> Any:
    """JSON values only; what is no number JSON can hold becomes None."""
    if isinstance(value, dict):
        return {str(key.value if isinstance(key, Enum) else key): plain(item)
                for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return str(value)
