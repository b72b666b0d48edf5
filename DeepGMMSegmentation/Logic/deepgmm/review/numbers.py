"""All numbers of a segmentation, whoever made it: what a CMR researcher publishes.

`Docs/numbers.md` says of every key what it is, in which unit, by which source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.result import Result
from deepgmm.review.aha import APEX, NAMES, SEGMENTS, TERRITORIES, segment_map
from deepgmm.review.borders import border_length, perimeter
from deepgmm.review.metrics import dice
from deepgmm.review.slices import levels_of
from deepgmm.review.thresholds import Reference, references, refusals
from deepgmm.review.transmurality import Chords, laplace_chords, radial_chords
from deepgmm.study.insertion_points import estimated_points
from deepgmm.study.study import BoolArray, FloatArray, Geometry, Study
from deepgmm.study.study import Sequence as Images
from deepgmm.study.words import WALL_TISSUES, Role, Tissue, named_slices

#: Density of myocardium, g/ml: Vinnakota, Bassingthwaighte, Am J Physiol Heart Circ Physiol
#: 2004;286:H1742-H1749, as all CMR software takes it.
DENSITY = 1.05
#: Bins of the histogram of which the entropy is taken.
BINS = 128

#: Groups of tissues that have volumes, masses and shares of the LV mass, by the words of keys.
GROUPS: dict[str, tuple[Tissue, ...]] = {
    "blood": (Tissue.BLOOD,),
    "wall": WALL_TISSUES,
    "myocardium": (Tissue.MYOCARDIUM,),
    "edema": (Tissue.EDEMA,),
    "scar": (Tissue.SCAR,),
    "infarct": (Tissue.SCAR, Tissue.MVO),
    "obstruction": (Tissue.MVO,),
    "area_at_risk": (Tissue.EDEMA, Tissue.SCAR, Tissue.MVO),
}
#: What a group needs to have been sought.
_NEEDS = {"edema": (Tissue.EDEMA,), "scar": (Tissue.SCAR,), "infarct": (Tissue.SCAR,),
          "obstruction": (Tissue.MVO,), "area_at_risk": (Tissue.EDEMA, Tissue.SCAR)}

#: Scopes, in the order of tables.
SCOPES = ("study", "slice", "segment", "territory", "method")
#: Ways of measuring transmurality, by the words of keys.
WAYS = ("radial", "laplace")
OVER = (25, 50, 75)

NO_POSTERIOR = "no posterior was given, so there is no interval"


@dataclass(frozen=True)
class Number:
    """One number, or why there is none.

    Attributes
    ----------
    scope, where : "study" and ""; "slice" and its index; "segment" and its number; "territory"
        and the artery; "method" and its name.
    key : as in `Docs/numbers.md`.
    value : None where there is none; `why` then says so.
    unit : "ml", "g", "%", "mm", "bits" or "" for counts.
    low, high : 90 % interval, or None.
    """

    scope: str
    where: str
    key: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass
class Numbers:
    """What was measured, and what of it pictures need.

    Attributes
    ----------
    rows : every number, in the order of `SCOPES`.
    warnings : what a reader must know.
    labels, segments : (slices, rows, columns); segments 0 where there is none.
    chords : by way, slice to its chords.
    references : reference methods, in the order of tables.
    insertions : how RV insertion points came: "given", "estimated" or why there are none.
    model : 16 or 17 segments.
    """

    rows: list[Number]
    warnings: list[str]
    labels: npt.NDArray[np.uint8]
    geometry: Geometry
    segments: npt.NDArray[np.uint8]
    chords: dict[str, dict[int, Chords]]
    references: list[Reference]
    insertions: str
    model: int
    sequences: dict[Role, Images] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str, scope: str = "study", where: str | int = "") -> Number:
        """One number by its key; raises `KeyError` for one that was not asked for."""
        for row in self.rows:
            if (row.key, row.scope, row.where) == (key, scope, str(where)):
                return row
        raise KeyError(f"{scope} {where} {key}")

    def of(self, scope: str) -> dict[str, dict[str, Number]]:
        """Where to key to number, of one scope."""
        found: dict[str, dict[str, Number]] = {}
        for row in self.rows:
            if row.scope == scope:
                found.setdefault(row.where, {})[row.key] = row
        return found


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
    sequences = {role: images for role, images in (sequences or {}).items()}
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
    if Tissue.SCAR in sought:
        for i in np.flatnonzero(wall.any(axis=(1, 2))):
            parts = (infarct[i], wall[i], pool[i], spacing)
            chords["radial"][int(i)] = radial_chords(*parts)
            chords["laplace"][int(i)] = laplace_chords(*parts)
    found = references(sequences, wall, pool, spacing, remote=remote, t2_ms=t2_ms)
    numbers = Numbers([], warnings, labels, geometry, segments, chords, found, insertions, model,
                      sequences)
    measure = _Measure(numbers, sought, dict(intervals or {}), no_intervals)
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
    return quantify(result.labels, study.geometry, **{
        "mask": study.mask, "sequences": study.sequences, "points": study.insertion_points,
        "tissues": result.present_tissues, "intervals": known,
        "no_intervals": "the method's posterior allows none for this"} | more)


def intervals_of(said: Mapping[str, Any], labels: npt.NDArray[np.uint8],
                 geometry: Geometry) -> tuple[dict[str, tuple[float, float]], str]:
    """Intervals from the report of the run that made a segmentation, and why others have none.

    A tissue whose volume is no longer the report's was corrected since, and has none.
    """
    grid = said.get("grid")
    if not isinstance(grid, Mapping) or list(grid.get("size", ())) != list(labels.shape[::-1]):
        raise InputError("the report is not of this segmentation: its grid is another")
    known = {}
    for title, pair in said.get("volume_intervals_90_ml", {}).items():
        volume = float((labels == Tissue.named(title)).sum()) * geometry.voxel_volume
        before = said.get("volumes_ml", {}).get(title)
        if None not in pair and before is not None \
                and abs(before - volume) <= geometry.voxel_volume / 2:
            known[title] = (float(pair[0]), float(pair[1]))
    return known, "the run's posterior allows none for this, or it was corrected since"


def _checked(labels: npt.NDArray[Any], mask: BoolArray | None
             ) -> tuple[npt.NDArray[np.uint8], BoolArray]:
    if labels.ndim != 3:
        raise InputError(f"the segmentation has {labels.ndim} axes, wanted 3: slices, rows, columns")
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
    if not levels_of(mask, points):
        return points, "base and apex cannot be told", []
    if points is not None:
        return points, "given", []
    try:
        return estimated_points(mask, geometry), "estimated", [
            "RV insertion points are estimated from how the patient lies: AHA segments and "
            "territories may be turned by some 20 degrees; give the points for exact ones"]
    except InputError as refused:
        return None, str(refused), [f"no AHA segments: {refused}"]


class _Measure:
    """Rows of numbers, scope by scope."""

    def __init__(self, numbers: Numbers, sought: set[Tissue],
                 intervals: dict[str, tuple[float, float]], no_intervals: str) -> None:
        self.all, self.labels, self.geometry = numbers, numbers.labels, numbers.geometry
        self.sought, self.intervals, self.no_intervals = sought, intervals, no_intervals
        self.voxel = self.geometry.voxel_volume
        self.spacing = (self.geometry.spacing[1], self.geometry.spacing[0])
        self.wall = np.isin(self.labels, WALL_TISSUES)
        self.infarct = np.isin(self.labels, GROUPS["infarct"])
        self.pool = self.labels == Tissue.BLOOD

    # what several scopes share

    def missing(self, group: str) -> str:
        """Why a group has no number; "" where all that it needs was sought."""
        lacking = [t.title.lower() for t in _NEEDS.get(group, ()) if t not in self.sought]
        return f"{' and '.join(lacking)} not sought" if lacking else ""

    def amounts(self, scope: str, where: str, counts: npt.NDArray[np.int_]) -> list[Number]:
        """Volumes, masses and shares of the wall, of voxels counted by label."""
        rows = []
        wall = int(counts[list(WALL_TISSUES)].sum())
        for group, members in GROUPS.items():
            why = self.missing(group)
            count = int(counts[list(members)].sum())
            volume = None if why else count * self.voxel
            low, high, note = self.interval(group) if scope == "study" else (None, None, "")

            def scaled(factor: float | None, low: float | None = low, high: float | None = high
                       ) -> tuple[float | None, float | None]:
                if factor is None or low is None or high is None:
                    return None, None
                return low * factor, high * factor

            rows += [Number(scope, where, f"{group}_volume", volume, "ml", low, high, why or note),
                     Number(scope, where, f"{group}_mass",
                            None if volume is None else volume * DENSITY, "g", *scaled(DENSITY),
                            why or note)]
            if group in ("blood", "wall"):
                continue
            share = 100.0 / (wall * self.voxel) if wall else None
            rows.append(Number(scope, where, f"{group}_percent",
                               None if volume is None or share is None else volume * share, "%",
                               *scaled(share), why or ("" if wall else "no wall here") or note))
        return rows

    def interval(self, group: str) -> tuple[float | None, float | None, str]:
        """90 % interval of a group's volume, ml, and why there is none."""
        titles = [Tissue.BLOOD] if group == "wall" else list(GROUPS[group])
        if group == "infarct" and not (self.labels == Tissue.MVO).any():
            titles = [Tissue.SCAR]
        if not self.intervals:
            return None, None, self.no_intervals
        if len(titles) > 1 or titles[0].title not in self.intervals:
            return None, None, ("intervals are of single tissues" if len(titles) > 1
                                else self.no_intervals)
        low, high = self.intervals[titles[0].title]
        if group == "wall":  # what the pool gains the wall loses
            whole = float((self.labels > 0).sum()) * self.voxel
            low, high = whole - high, whole - low
        return low, high, ""

    def salvage(self, scope: str, where: str, counts: npt.NDArray[np.int_]) -> Number:
        why = self.missing("area_at_risk")
        risk = int(counts[list(GROUPS["area_at_risk"])].sum())
        if not why and not risk:
            why = "no area at risk"
        return Number(scope, where, "salvage_index", None if why else
                      100.0 * int(counts[Tissue.EDEMA]) / risk, "%", why=why)

    def chords(self, scope: str, where: str, chosen: Mapping[int, npt.NDArray[np.bool_]] | None
               ) -> list[Number]:
        """Transmurality of the sectors chosen of each slice; of all where None."""
        rows = []
        for way in WAYS:
            values, pairs, thick = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
            for index, found in self.all.chords[way].items():
                which = np.ones(len(found.angle), bool) if chosen is None else chosen.get(index)
                if which is None:
                    continue
                which = which & np.isfinite(found.thickness)
                values.append(found.transmurality[which])
                pairs.append(found.of_pairs[which])
                thick.append(found.thickness[which])
            t, p, d = (np.concatenate(part) for part in (values, pairs, thick))
            why = self.missing("infarct") or (
                "" if len(t) else "no chord crosses wall here" if way == "radial"
                else "no wall between a pool and the outside here")
            kept = bool(len(t)) and not why

            def number(key: str, value: float, unit: str = "", kept: bool = kept, why: str = why,
                       way: str = way) -> Number:
                return Number(scope, where, f"{key}_{way}", float(value) if kept else None, unit,
                              why=why)

            rows += [number("transmurality_mean", 100 * t.mean() if kept else 0, "%"),
                     number("transmurality_p95", 100 * np.percentile(p, 95) if kept else 0, "%"),
                     *(number(f"chords_over_{least}", (100 * t > least).sum()) for least in OVER),
                     number("chords", len(t)),
                     number("thickness_mean", d.mean() if kept else 0, "mm")]
        return rows

    def counts(self, where: BoolArray) -> npt.NDArray[np.int_]:
        return np.bincount(self.labels[where], minlength=max(Tissue) + 1)

    # scopes

    def study(self) -> list[Number]:
        counts = np.bincount(self.labels.ravel(), minlength=max(Tissue) + 1)
        counts[0] = 0
        rows = self.amounts("study", "", counts) + [self.salvage("study", "", counts)]
        rows += self.chords("study", "", None)
        rows += self.borders("study", "", range(len(self.labels)))
        rows += self.islands()
        return rows + self.entropy()

    def slices(self, mask: BoolArray) -> list[Number]:
        rows: list[Number] = []
        for i in np.flatnonzero((self.labels > 0).any(axis=(1, 2)) | mask.any(axis=(1, 2))):
            where, counts = str(i), self.counts(self._only(int(i)))
            counts[0] = 0
            rows += self.amounts("slice", where, counts)
            all_sectors = {int(i): np.ones(len(c.angle), bool)
                           for c in [self.all.chords["radial"].get(int(i))] if c is not None}
            rows += self.chords("slice", where, all_sectors)
            rows += self.borders("slice", where, [int(i)])
        return rows

    def segments(self) -> list[Number]:
        if not self.all.segments.any():
            return []
        rows: list[Number] = []
        names = NAMES if self.all.model == APEX else SEGMENTS
        for number in names:
            where = self.all.segments == number
            counts = self.counts(where & self.wall)
            if not counts.any():
                why = "no wall in this segment" if number != APEX else (
                    "no slice with wall lies beyond the pool")
                rows.append(Number("segment", str(number), "wall_volume", None, "ml", why=why))
                continue
            rows += self._without_blood(self.amounts("segment", str(number), counts))
            rows.append(self.salvage("segment", str(number), counts))
            rows += self.chords("segment", str(number), self._sectors({number}))
        return rows

    def territories(self) -> list[Number]:
        if not self.all.segments.any():
            return []
        rows: list[Number] = []
        for name, members in TERRITORIES.items():
            counts = self.counts(np.isin(self.all.segments, members) & self.wall)
            if not counts.any():
                rows.append(Number("territory", name, "wall_volume", None, "ml",
                                   why="no wall in this territory"))
                continue
            rows += self._without_blood(self.amounts("territory", name, counts))
            rows.append(self.salvage("territory", name, counts))
            rows += self.chords("territory", name, self._sectors(set(members)))
        return rows

    def methods(self) -> list[Number]:
        """Every reference method, and the segmentation's own figure under the same keys."""
        rows: list[Number] = []
        wall = int(self.wall.sum())
        own = {"infarct": self.infarct,
               "area_at_risk": np.isin(self.labels, GROUPS["area_at_risk"])}
        for reference in self.all.references:
            what = "infarct" if reference.role is Role.LGE else "area_at_risk"
            spoken = np.zeros(len(self.labels), bool)
            spoken[list(reference.levels)] = True
            refused = refusals(reference)
            why = "" if reference.levels else refused or "no slice has wall"
            count = int(reference.bright.sum())
            share = int(self.wall[spoken].sum())
            name = reference.name
            agreement = None if why else dice(reference.bright, own[what] & spoken[:, None, None])
            rows += [
                Number("method", name, f"{what}_volume", None if why else count * self.voxel, "ml",
                       why=why or refused),
                Number("method", name, f"{what}_mass",
                       None if why else count * self.voxel * DENSITY, "g", why=why or refused),
                Number("method", name, f"{what}_percent",
                       None if why or not share else 100.0 * count / share, "%",
                       why=why or refused),
                Number("method", name, "dice_with_segmentation", agreement,
                       why=why or ("" if agreement is not None else "both are empty") or refused)]
        if self.all.references and wall:
            for what, where in own.items():
                if not self.missing(what):
                    count = int(where.sum())
                    rows += [Number("method", "segmentation", f"{what}_volume",
                                    count * self.voxel, "ml"),
                             Number("method", "segmentation", f"{what}_mass",
                                    count * self.voxel * DENSITY, "g"),
                             Number("method", "segmentation", f"{what}_percent",
                                    100.0 * count / wall, "%")]
        return rows

    # single measures

    def borders(self, scope: str, where: str, slices: Sequence[int] | range) -> list[Number]:
        """Border of the infarct with the rest of the wall, its outline, and the share of the
        endocardium that is infarct; sums over slices, in their planes."""
        border = outline = ill = endocardium = 0.0
        for i in slices:
            if self.infarct[i].any():
                border += border_length(self.infarct[i], self.wall[i] & ~self.infarct[i],
                                        self.spacing)
                outline += perimeter(self.infarct[i], self.spacing)
                if self.pool[i].any():
                    ill += border_length(self.pool[i], self.infarct[i], self.spacing)
            if self.pool[i].any() and self.wall[i].any():
                endocardium += border_length(self.pool[i], self.wall[i], self.spacing)
        why = self.missing("infarct")
        no_rim = "" if endocardium else "no border of pool and wall here"
        return [Number(scope, where, "infarct_border", None if why else border, "mm", why=why),
                Number(scope, where, "infarct_perimeter", None if why else outline, "mm", why=why),
                Number(scope, where, "endocardial_extent", None if why or no_rim else
                       min(100.0 * ill / endocardium, 100.0), "%", why=why or no_rim)]

    def islands(self) -> list[Number]:
        """Pieces of infarct: pixels that touch in a slice, also by a corner, and voxels that lie
        on each other in neighbouring slices."""
        from scipy import ndimage

        why = self.missing("infarct")
        structure = np.zeros((3, 3, 3), bool)
        structure[1] = True
        structure[:, 1, 1] = True
        pieces, count = ndimage.label(self.infarct, structure)
        largest = int(np.bincount(pieces.ravel())[1:].max()) if count else 0
        return [Number("study", "", "islands", None if why else float(count), why=why),
                Number("study", "", "largest_island_volume", None if why else largest * self.voxel,
                       "ml", why=why)]

    def entropy(self) -> list[Number]:
        """Shannon's entropy of LGE in the wall and in the infarct, one histogram's bins."""
        images = self.all.sequences.get(Role.LGE)
        rows = []
        for key, where in (("lge_entropy_wall", self.wall), ("lge_entropy_infarct", self.infarct)):
            value, why = None, "" if images is not None else "no LGE given"
            if images is not None:
                inside = np.asarray(images.values, float)[self.wall]
                finite = np.isfinite(inside)
                chosen = where[self.wall] & finite
                if key.endswith("infarct"):
                    why = self.missing("infarct")
                if not why and not chosen.any():
                    why = "no infarct" if finite.any() else "LGE has no values in the wall"
                if not why:
                    edges = np.histogram_bin_edges(inside[finite], BINS)
                    value = shannon(np.histogram(inside[chosen], edges)[0])
            rows.append(Number("study", "", key, value, "bits", why=why))
        return rows

    def _only(self, index: int) -> BoolArray:
        where = np.zeros(self.labels.shape, bool)
        where[index] = True
        return where

    @staticmethod
    def _without_blood(rows: list[Number]) -> list[Number]:
        return [row for row in rows if not row.key.startswith("blood_")]

    def _sectors(self, numbers: set[int]) -> dict[int, npt.NDArray[np.bool_]]:
        """Sectors of chords whose middle lies in these segments, by slice."""
        chosen = {}
        for index, found in self.all.chords["radial"].items():
            place = np.nan_to_num(found.place, nan=-1.0)
            row, column = (np.clip(np.rint(place[:, axis]).astype(int), 0,
                                   self.labels.shape[axis + 1] - 1) for axis in (0, 1))
            inside = np.isfinite(found.place).all(axis=1)
            chosen[index] = inside & np.isin(self.all.segments[index][row, column], list(numbers))
        return chosen


def shannon(counts: npt.NDArray[Any]) -> float:
    """Entropy of a histogram, bits.

    Examples
    --------
    >>> shannon(np.array([5, 5, 0, 5, 5]))
    2.0
    """
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def study_numbers(study: Study, labels: npt.NDArray[np.uint8], **more: Any) -> Numbers:
    """Measure any labels on a study's grid, with its mask, images and insertion points."""
    return quantify(labels, study.geometry, **{
        "mask": study.mask, "sequences": study.sequences,
        "points": study.insertion_points} | more)
