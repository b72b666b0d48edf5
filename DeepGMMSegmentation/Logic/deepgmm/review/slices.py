"""Of every slice: used or not and why, level, uncertainty, what to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.result import Result
from deepgmm.segment import LEAST_AGREEMENT
from deepgmm.study.levels import LEVELS, levels, numbering_of
from deepgmm.study.study import BoolArray, Study
from deepgmm.study.words import Role, slices_named

__all__ = ["LEVELS", "levels", "slice_rows", "slices_named"]

_NO_MASK = "no LV mask on this slice"


def slice_rows(result: Result) -> list[dict[str, Any]]:
    """One row for every slice of the grid, as JSON values.

    Returns
    -------
    list of dict
        `index`, counted from 0 in the order of the grid; `number`, counted from 1, the base
        first; `used` in the fit, and `why` not; `locked`, left as the user had
        it, or done; `level` ("base", "mid", "apex", or "" where it cannot be told, see `levels`);
        `uncertainty`, the mean entropy inside the LV mask from 0 to 1, None where nothing was
        fitted or the slice is locked; `warning`, the most important one of this slice;
        `areas_mm2` of the tissues, by their titles.
    """
    study = result.study
    level, warnings = levels(study), _warnings(result)
    numbering = numbering_of(level, len(result.labels))
    locked = set(result.provenance.get("locked_slices", ()))
    if result.corrections is not None:
        locked |= set(result.corrections.done)
    area, titles = study.geometry.pixel_area, result.present_tissues
    entropy = result.entropy()
    rows = []
    for index, labels in enumerate(result.labels):
        used = index in study.slices
        rows.append({
            "index": index, "number": numbering.of(index),
            "used": used, "why": "" if used else _why(study, index),
            "locked": index in locked, "level": level.get(index, ""),
            "uncertainty": (_mean_inside(entropy[index], study.mask[index])
                            if used and index not in locked else None),
            "warning": warnings.get(index, ""),
            "areas_mm2": {t.title: float((labels == t).sum()) * area for t in titles},
        })
    return rows


def _why(study: Study, index: int) -> str:
    return study.excluded.get(index, "") or _NO_MASK


def _mean_inside(values: npt.NDArray[np.float32], mask: BoolArray) -> float | None:
    return float(values[mask].mean(dtype=np.float64)) if mask.any() else None


def _warnings(result: Result) -> dict[int, str]:
    """The first that is said of each slice, the gravest kind first."""
    found: dict[int, str] = {}
    for index, text in _said(result):
        found.setdefault(index, text)
    return found


def _said(result: Result) -> Iterator[tuple[int, str]]:
    """What spoils the image, then what the fit itself doubts, then all else that names a slice."""
    findings = [f for f in result.provenance.get("quality", ()) if f["index"] is not None]
    for finding in sorted(findings, key=lambda f: not f["exclude"]):
        role = finding["role"]
        yield (finding["index"],
               f"{Role(role).title} {finding['reason']}" if role else finding["reason"])
    for fit in result.fits:
        if fit.agreement < LEAST_AGREEMENT and fit.index not in result.settled:
            yield fit.index, (f"other starts of the fit label {1 - fit.agreement:.0%} of the "
                              "pixels otherwise")
    for warning in result.warnings:
        for index in slices_named(warning):
            yield index, warning
