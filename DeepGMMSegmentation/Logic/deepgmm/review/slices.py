"""Of every slice: used or not and why, level, uncertainty, what to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.result import Result
from deepgmm.segment import LEAST_AGREEMENT
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Role

#: From base to apex.
LEVELS = ("base", "mid", "apex")

#: The LV mask's area must change by this share along the stack to say where the apex is.
_LEAST_CHANGE = 0.1

_NO_MASK = "no LV mask on this slice"


def slice_rows(result: Result) -> list[dict[str, Any]]:
    """One row for every slice of the grid, as JSON values.

    Returns
    -------
    list of dict
        `index`, counted from 0; `used` in the fit, and `why` not; `locked`, left as the user had
        it; `level` ("base", "mid", "apex", or "" where it cannot be told, see `levels`);
        `uncertainty`, the mean entropy inside the LV mask from 0 to 1, None where nothing was
        fitted or the slice is locked; `warning`, the most important one of this slice;
        `areas_mm2` of the tissues, by their titles.
    """
    study = result.study
    level, warnings = levels(study), _warnings(result)
    locked = set(result.provenance.get("locked_slices", ()))
    area, titles = study.geometry.pixel_area, result.present_tissues
    entropy = result.entropy()
    rows = []
    for index, labels in enumerate(result.labels):
        used = index in study.slices
        rows.append({
            "index": index, "used": used, "why": "" if used else _why(study, index),
            "locked": index in locked, "level": level.get(index, ""),
            "uncertainty": (_mean_inside(entropy[index], study.mask[index])
                            if used and index not in locked else None),
            "warning": warnings.get(index, ""),
            "areas_mm2": {t.title: float((labels == t).sum()) * area for t in titles},
        })
    return rows


def levels(study: Study) -> dict[int, str]:
    """The level of every slice with LV mask; see `levels_of`."""
    return levels_of(study.mask, study.insertion_points)


def levels_of(mask: BoolArray, points: FloatArray | None = None) -> dict[int, str]:
    """The level of every slice with LV mask: thirds of the way from base to apex.

    The way goes from the first slice with LV mask to the last; a slice belongs to the third in
    which its middle lies. The apex is where the mask's area falls, by a straight line through
    the areas. Where that falls by less than a tenth of the mean area, RV insertion points that
    are known on one side only say that the apex is on the other: the right ventricle ends above
    it. Where neither tells, and for a single slice, no slice has a level.

    Parameters
    ----------
    mask : (slices, rows, columns).
    points : (slices, 2, 2) RV insertions, NaN where unknown, or None.
    """
    masked = np.flatnonzero(mask.any(axis=(1, 2)))
    direction = _towards_apex(mask, points, masked) if len(masked) > 1 else 0
    if not direction:
        return {}
    way = (masked - masked[0] + 0.5) / (masked[-1] - masked[0] + 1)
    way = way if direction > 0 else 1 - way
    return {int(i): LEVELS[min(int(3 * w), 2)] for i, w in zip(masked, way)}


def slices_named(text: str) -> set[int]:
    """The slices that a warning speaks of, as "slice 3" or "slices 0-2, 5"."""
    named: set[int] = set()
    for listed in re.findall(r"\bslices? ((?:\d+(?:-\d+)?(?:, | and )?)+)", text):
        for part in re.findall(r"\d+(?:-\d+)?", listed):
            first, _, last = part.partition("-")
            named.update(range(int(first), int(last or first) + 1))
    return named


def _towards_apex(mask: BoolArray, points: FloatArray | None, masked: np.ndarray) -> int:
    """1 where the apex is at the last slices, -1 at the first, 0 where nothing tells."""
    areas = mask[masked].sum(axis=(1, 2)).astype(float)
    slope = float(np.polyfit(masked, areas, 1)[0])
    if abs(slope) * (masked[-1] - masked[0]) >= _LEAST_CHANGE * areas.mean():
        return -1 if slope > 0 else 1
    if points is None:
        return 0
    known = np.isfinite(points[masked]).all(axis=(1, 2))
    if known.all() or not known.any():
        return 0
    with_points, without = masked[known], masked[~known]
    return int(with_points.max() < without.min()) - int(without.max() < with_points.min())


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
        if fit.agreement < LEAST_AGREEMENT:
            yield fit.index, (f"other starts of the fit label {1 - fit.agreement:.0%} of the "
                              "pixels otherwise")
    for warning in [*result.study.warnings, *result.warnings]:
        for index in slices_named(warning):
            yield index, warning
