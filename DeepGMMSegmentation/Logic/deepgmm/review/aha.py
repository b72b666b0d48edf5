"""The segments of the American Heart Association, from the insertions of the right ventricle.

Cerqueira et al., Standardized myocardial segmentation and nomenclature for tomographic imaging of
the heart, Circulation 2002;105:539-542. The 17th, the apex proper, is the wall beyond the end of
the pool: the slices at the apex that have wall and no blood. The model of 16 has no such segment.
At base and mid the septum lies between the two insertions and is halved; the rest of the wall is
divided into four. At the apex the four segments are of 90 degrees, the septal one about the
septum's middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.result import Result
from deepgmm.study.levels import LEVELS, levels, levels_of
from deepgmm.study.study import BoolArray, FloatArray, Geometry
from deepgmm.study.words import WALL_TISSUES, Tissue

#: Name by number, 1 to 16.
SEGMENTS: dict[int, str] = dict(enumerate((
    *(f"{level} {where}" for level in ("Basal", "Mid") for where in (
        "anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")),
    *(f"Apical {where}" for where in ("anterior", "septal", "inferior", "lateral"))), start=1))

#: The apex proper, and all names.
APEX = 17
NAMES = SEGMENTS | {APEX: "Apex"}

#: Which segments each coronary artery usually feeds, by the same statement.
TERRITORIES: dict[str, tuple[int, ...]] = {
    "LAD": (1, 2, 7, 8, 13, 14, APEX), "RCA": (3, 4, 9, 10, 15), "LCX": (5, 6, 11, 12, 16)}

#: In the order in which they are met from the anterior insertion across the septum to the
#: inferior one and on along the free wall back: which of the six of a level, and of the four.
_SIX = (1, 2, 3, 4, 5, 0)
_FOUR = (1, 2, 3, 0)


def aha_segments(mask: BoolArray, points: FloatArray, level: str,
                 spacing: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """The number of the segment in which each pixel of a slice lies.

    Parameters
    ----------
    mask : (rows, columns) LV mask, whose middle is the centre.
    points : (2, 2) row and column of the anterior and the inferior RV insertion. The septum is
        the shorter way between them.
    level : "base", "mid" or "apex".
    spacing : of rows and of columns, mm.

    Returns
    -------
    (rows, columns), 0 outside the mask.
    """
    inside = np.argwhere(mask)
    centre = inside.mean(axis=0)
    angles = _angle(inside, centre, spacing)
    anterior, inferior = _angle(points, centre, spacing)
    septum = (inferior - anterior + np.pi) % (2 * np.pi) - np.pi  # signed: which way round
    along = ((angles - anterior) * np.sign(septum)) % (2 * np.pi)
    septum = abs(septum)
    first = 6 * LEVELS.index(level) + 1
    numbers = np.zeros(mask.shape, np.uint8)
    if level == "apex":
        begun = (along - septum / 2 + np.pi / 4) % (2 * np.pi)
        which = np.asarray(_FOUR)[np.minimum((begun / (np.pi / 2)).astype(int), 3)]
    else:
        ends = np.concatenate([[septum / 2, septum],
                               septum + (2 * np.pi - septum) * np.arange(1, 4) / 4])
        which = np.asarray(_SIX)[np.searchsorted(ends, along, side="right")]
    numbers[tuple(inside.T)] = first + which
    return numbers


def segment_map(labels: npt.NDArray[np.uint8], mask: BoolArray, points: FloatArray,
                spacing: tuple[float, float], model: int = 16,
                level: Mapping[int, str] | None = None) -> npt.NDArray[np.uint8]:
    """The number of the segment of each voxel of the LV mask; 0 where it has none.

    Parameters
    ----------
    labels, mask : (slices, rows, columns).
    points : (slices, 2, 2) RV insertions, NaN where unknown: such slices have no segment.
    spacing : of rows and of columns, mm.
    model : of 16 segments, or of 17.
    level : of the slices, where it is known from elsewhere; by default the mask tells. Where
        there is a 17th segment the mask tells the others' anyhow.
    """
    cap = apical_cap(labels, mask, points) if model == APEX else []
    body = mask.copy()
    body[cap] = False
    numbers = np.zeros(mask.shape, np.uint8)
    numbers[cap] = np.where(mask[cap], APEX, 0)
    if level is None or cap:
        level = levels_of(body.sum(axis=(1, 2)), points)
    for index, name in level.items():
        if mask[index].any() and np.isfinite(points[index]).all():
            numbers[index] = aha_segments(mask[index], points[index], name, spacing)
    return numbers


def apical_cap(labels: npt.NDArray[np.uint8], mask: BoolArray,
               points: FloatArray | None = None) -> list[int]:
    """The slices at the apex that have wall and no blood."""
    level = levels_of(mask.sum(axis=(1, 2)), points)
    pool = (labels == Tissue.BLOOD).any(axis=(1, 2))
    if not level or not pool.any():
        return []
    apical = [i for i, name in level.items() if name == LEVELS[-1] and not pool[i]]
    held = np.flatnonzero(pool)
    return [i for i in apical if i < held[0] or i > held[-1]]


def aha_rows(result: Result) -> list[dict[str, Any]]:
    """Scar and edema of every segment, as JSON values.

    Returns
    -------
    list of dict
        One of each segment in which any wall was found: `segment`, its number; `name`;
        `wall_ml`; `infarct_percent`, scar and microvascular obstruction, and `edema_percent`,
        both of the segment's wall, None where scar or edema was not sought. Empty without RV
        insertion points, or where no slice has a level (`deepgmm.review.slices.levels`). Slices
        left out of the fit have no labels, unless the user locked what he drew there.
    """
    study = result.study
    if study.insertion_points is None:
        return []
    return aha_rows_of(result.labels, study.mask, study.insertion_points, levels(study),
                       study.geometry, result.tissues)


def aha_rows_of(labels: npt.NDArray[np.uint8], mask: BoolArray, points: FloatArray,
                level: Mapping[int, str], geometry: Geometry,
                tissues: Sequence[Tissue]) -> list[dict[str, Any]]:
    """As `aha_rows`, of labels that may be another's than a fit's.

    Parameters
    ----------
    labels, mask : (slices, rows, columns).
    points : (slices, 2, 2), as `Study.insertion_points`.
    level : of the slices that have one.
    tissues : those that were sought.
    """
    counts = np.zeros((len(SEGMENTS) + 1, max(Tissue) + 1), int)
    spacing = (geometry.spacing[1], geometry.spacing[0])
    for index, name in level.items():
        if mask[index].any() and np.isfinite(points[index]).all():
            numbers = aha_segments(mask[index], points[index], name, spacing)
            np.add.at(counts, (numbers, labels[index]), 1)
    return [_row(number, name, counts[number], geometry.voxel_volume, tissues)
            for number, name in SEGMENTS.items() if counts[number, list(WALL_TISSUES)].any()]


def _row(number: int, name: str, counts: npt.NDArray[np.int_], voxel: float,
         sought: Sequence[Tissue]) -> dict[str, Any]:
    wall = int(counts[list(WALL_TISSUES)].sum())

    def percent(*tissues: Tissue) -> float | None:
        if tissues[0] not in sought:
            return None
        return 100.0 * float(counts[list(tissues)].sum()) / wall

    return {"segment": number, "name": name,
            "wall_ml": wall * voxel,
            "infarct_percent": percent(Tissue.SCAR, Tissue.MVO),
            "edema_percent": percent(Tissue.EDEMA)}


def _angle(points: npt.NDArray[Any], centre: FloatArray,
           spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    y, x = ((points - centre) * spacing).T
    return np.asarray(np.arctan2(y, x))
