"""All numbers of a segmentation, whoever made it: what a CMR researcher publishes.

`Docs/numbers.md` says of every key what it is, in which unit, by which source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.result import Result
from deepgmm.review.aha import segment_map
from deepgmm.review.measures import Measure
from deepgmm.review.quantities import GROUPS, WAYS, Numbers
from deepgmm.review.thresholds import references
from deepgmm.review.transmurality import Chords, laplace_chords, radial_chords
from deepgmm.study.insertion_points import estimated_points
from deepgmm.study.levels import levels_of, numbering_in
from deepgmm.study.study import BoolArray, FloatArray, Geometry, Study
from deepgmm.study.study import Sequence as Images
from deepgmm.study.words import WALL_TISSUES, Role, Tissue, named_slices

NO_POSTERIOR = "no posterior was given, so there is no interval"


def quantify(
    labels: npt.NDArray[np.uint8],
    geometry: Geometry,
    *,
    mask: BoolArray | None = None,
    sequences: Mapping[Role, Images] | None = None,
    points: FloatArray | None = None,
    tissues: Iterable[Tissue] | None = None,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    no_intervals: str = NO_POSTERIOR,
    model: int = 16,
    remote: BoolArray | None = None,
    t2_ms: float | None = None,
) -> Numbers:
    """Measure a segmentation.

    Parameters
    ----------
    labels : (slices, rows, columns), values of `Tissue`.
    mask : LV mask, likewise; None: whatever has a label.
    sequences : images on the same grid, for entropy, thresholds and pictures; may be empty.
    points : (slices, 2, 2) RV insertions; None: estimated from how the patient lies, and said.
    tissues : those that were sought, so that none found is 0; None: blood, myocardium, those
        found, scar where LGE is given, edema where T2 is given.
    intervals : title of a tissue to the 90 % interval of its volume, ml (`Result.volume_interval`).
    no_intervals : why there are none.
    model : of 16 segments, or 17.
    remote : remote wall that a reader drew.
    t2_ms : threshold for a T2 map.

    Raises
    ------
    InputError
        Shapes that differ, no wall at all, values that are no tissue.

    Examples
    --------
    >>> labels = np.full((1, 20, 20), Tissue.MYOCARDIUM, np.uint8)
    >>> quantify(labels, Geometry((1.0, 1.0, 10.0))).get("wall_volume").value
    4.0
    """
    labels, mask = _checked(labels, mask)
    sequences = dict(sequences or {})
    for role, images in sequences.items():
        if images.values.shape != labels.shape:
            raise InputError(f"{role.title} and the segmentation lie on different grids: bring "
                             "them onto one")
    warnings = _warnings(labels, mask)
    sought = _sought(labels, sequences, tissues)
    warnings += [f"no voxel of {t.title.lower()}: counted as 0"
                 for t in (Tissue.EDEMA, Tissue.SCAR) if t in sought and not (labels == t).any()]
    spacing = (geometry.spacing[1], geometry.spacing[0])
    points, insertions, said = _points(points, mask, geometry)
    warnings += said
    segments = np.zeros(labels.shape, np.uint8)
    if points is not None:
        segments = segment_map(labels, mask, points, spacing, model)
        if not segments.any():
            insertions = "base and apex cannot be told, or no slice has RV insertion points"
            warnings.append(f"no AHA segments: {insertions}")
    wall = np.isin(labels, WALL_TISSUES)
    infarct, pool = np.isin(labels, GROUPS["infarct"]), labels == Tissue.BLOOD
    chords: dict[str, dict[int, Chords]] = {way: {} for way in WAYS}
    for i in np.flatnonzero(wall.any(axis=(1, 2))):
        parts = (infarct[i], wall[i], pool[i], spacing)
        chords["radial"][int(i)] = radial_chords(*parts)
        chords["laplace"][int(i)] = laplace_chords(*parts)
    found = references(sequences, wall, pool, spacing, remote=remote, t2_ms=t2_ms)
    numbers = Numbers([], warnings, labels, geometry, segments, chords, found, insertions, model,
                      sequences, numbering=numbering_in(mask, points))
    measure = Measure(numbers, sought, dict(intervals or {}), no_intervals)
    numbers.rows = [*measure.study(), *measure.slices(mask), *measure.segments(),
                    *measure.territories(), *measure.methods()]
    return numbers


def quantify_result(result: Result, **more: Any) -> Numbers:
    """Measure what this library found, with the intervals of its posterior.

    Parameters
    ----------
    more : further arguments of `quantify`.
    """
    study = result.study
    intervals = {t.title: result.volume_interval(t) for t in result.tissues}
    known = {title: pair for title, pair in intervals.items() if np.isfinite(pair).all()}
    given: dict[str, Any] = {
        "mask": study.mask, "sequences": study.sequences, "points": study.insertion_points,
        "tissues": result.present_tissues, "intervals": known,
        "no_intervals": "the method's posterior allows none for this"}
    return quantify(result.labels, study.geometry, **(given | more))


def intervals_of(said: Mapping[str, Any], labels: npt.NDArray[np.uint8],
                 geometry: Geometry) -> tuple[dict[str, tuple[float, float]], str]:
    """Intervals from the report of the run that made a segmentation, and why others have none.

    A tissue whose volume is no longer the report's was corrected since, and has none.
    """
    grid = said.get("grid")
    size = grid.get("size") if isinstance(grid, Mapping) else None
    if not isinstance(size, list) or size != list(labels.shape[::-1]):
        raise InputError("the report is not of this segmentation: its grid is another")
    pairs, volumes = said.get("volume_intervals_90_ml", {}), said.get("volumes_ml", {})
    known = {}
    try:
        for title, (low, high) in pairs.items():
            volume = float((labels == Tissue.named(title)).sum()) * geometry.voxel_volume
            before = volumes.get(title)
            if None not in (low, high, before) \
                    and abs(before - volume) <= geometry.voxel_volume / 2:
                known[title] = (float(low), float(high))
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise InputError("the report's volumes and intervals are none: give what segment --report "
                         "wrote, as it wrote it") from None
    return known, "the run's posterior allows none for this, or it was corrected since"


def _checked(labels: npt.NDArray[Any], mask: BoolArray | None
             ) -> tuple[npt.NDArray[np.uint8], BoolArray]:
    if labels.ndim != 3:
        raise InputError(f"the segmentation has {labels.ndim} axes, wanted 3: slices, rows, "
                         "columns")
    if not np.isin(np.unique(labels), [int(t) for t in Tissue]).all():
        raise InputError("the segmentation holds values that are no tissue: wanted 0 to 5")
    labels = labels.astype(np.uint8)
    if not np.isin(labels, WALL_TISSUES).any():
        raise InputError("the segmentation has no wall (myocardium, edema, scar): there is nothing "
                         "to measure; see whether it is the right file")
    if mask is None:
        return labels, labels > 0
    mask = np.asarray(mask, bool)
    if mask.shape != labels.shape:
        raise InputError("the LV mask and the segmentation lie on different grids: bring them "
                         "onto one")
    if not mask.any():
        raise InputError("the LV mask is empty: give the outline of the left ventricle")
    if not (mask & (labels > 0)).any():
        raise InputError("the LV mask and the segmentation do not meet: see whether both are of "
                         "this patient")
    return labels, mask


def _warnings(labels: npt.NDArray[np.uint8], mask: BoolArray) -> list[str]:
    outside = int(((labels > 0) & ~mask).sum())
    bare = int((mask & (labels == 0)).sum())
    wall = np.isin(labels, WALL_TISSUES)
    pool = labels == Tissue.BLOOD
    held = (labels > 0).any(axis=(1, 2))
    found = []
    if outside:
        found.append(f"{outside} voxels of the segmentation lie outside the LV mask; they count in "
                     "volumes, and have no AHA segment")
    if bare:
        found.append(f"{bare} voxels of the LV mask have no label and count as nothing")
    if held.sum() == 1:
        found.append("a single slice: volumes are of its thickness alone, and there are no AHA "
                     "segments")
    without = np.flatnonzero(held & ~wall.any(axis=(1, 2)))
    if len(without):
        found.append(f"no wall on {named_slices(without)}")
    opened = [int(i) for i in np.flatnonzero(wall.any(axis=(1, 2)) & pool.any(axis=(1, 2)))
              if _is_open(pool[i], wall[i])]
    if opened:
        found.append(f"the wall does not close around the pool on {named_slices(opened)}: chords "
                     "through the gap count as no wall")
    return found


def _is_open(pool: BoolArray, wall: BoolArray) -> bool:
    """Whether blood touches what is neither blood nor wall."""
    around = np.pad(pool | wall, 1)
    beside = np.zeros(pool.shape, bool)
    for part in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
        beside |= ~part
    return bool((pool & beside).any())


def _sought(labels: npt.NDArray[np.uint8], sequences: Mapping[Role, Images],
            tissues: Iterable[Tissue] | None) -> set[Tissue]:
    found = {Tissue(int(v)) for v in np.unique(labels) if v}
    if tissues is not None:
        return found | set(tissues)
    if Role.LGE in sequences or Tissue.MVO in found:
        found.add(Tissue.SCAR)
    if Role.T2 in sequences:
        found.add(Tissue.EDEMA)
    return found


def _points(points: FloatArray | None, mask: BoolArray, geometry: Geometry
            ) -> tuple[FloatArray | None, str, list[str]]:
    """RV insertions, how they came, and what must be said of that."""
    if not levels_of(mask.sum(axis=(1, 2)), points):
        return points, "base and apex cannot be told", []
    if points is not None:
        return points, "given", []
    try:
        return estimated_points(mask, geometry), "estimated", [
            "RV insertion points are estimated from how the patient lies: AHA segments and "
            "territories may be turned by some 20 degrees; give the points for exact ones"]
    except InputError as refused:
        return None, str(refused), [f"no AHA segments: {refused}"]


def study_numbers(study: Study, labels: npt.NDArray[np.uint8], **more: Any) -> Numbers:
    """Measure any labels on a study's grid, with its mask, images and insertion points."""
    given: dict[str, Any] = {"mask": study.mask, "sequences": study.sequences,
                             "points": study.insertion_points}
    return quantify(labels, study.geometry, **(given | more))
