"""The numbers of a segmentation, scope by scope: study, slices, segments, territories, methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.review.aha import APEX, NAMES, SEGMENTS, TERRITORIES
from deepgmm.review.borders import border_length, border_with_part, perimeter
from deepgmm.review.metrics import dice
from deepgmm.review.quantities import BINS, DENSITY, GROUPS, NEEDS, OVER, WAYS, Number, Numbers
from deepgmm.review.thresholds import refusals
from deepgmm.review.transmurality import high_end
from deepgmm.study.study import BoolArray
from deepgmm.study.words import WALL_TISSUES, Role, Tissue


@dataclass(frozen=True)
class _Sectors:
    """Sectors of chords: their slice, AHA segment (0 for none), transmurality, the lesser of both
    neighbours', and thickness in mm."""

    slice_: npt.NDArray[np.int_]
    segment: npt.NDArray[np.int_]
    transmurality: npt.NDArray[np.float64]
    beside: npt.NDArray[np.float64]
    thickness: npt.NDArray[np.float64]


class Measure:
    """Rows of numbers, scope by scope."""

    def __init__(self, numbers: Numbers, sought: set[Tissue],
                 intervals: dict[str, tuple[float, float]], no_intervals: str) -> None:
        self.all, self.labels, self.geometry = numbers, numbers.labels, numbers.geometry
        self.sought, self.intervals, self.no_intervals = sought, intervals, no_intervals
        self.voxel = self.geometry.voxel_volume
        self.spacing = (self.geometry.spacing[1], self.geometry.spacing[0])
        self.pixel = float(np.sqrt(np.prod(self.spacing)))
        self.wall = np.isin(self.labels, WALL_TISSUES)
        self.infarct = np.isin(self.labels, GROUPS["infarct"])
        self.pool = self.labels == Tissue.BLOOD

    # what several scopes share

    def missing(self, group: str) -> str:
        """Why a group has no number; "" where all that it needs was sought."""
        lacking = [t.title.lower() for t in NEEDS.get(group, ()) if t not in self.sought]
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

    def chords(self, scope: str, where: str, *, index: int | None = None,
               segments: Sequence[int] | None = None) -> list[Number]:
        """Transmurality of the sectors of a slice, or in some AHA segments, or of all."""
        rows = []
        for way in WAYS:
            held = self._sectors[way]
            which = np.ones(len(held.slice_), bool)
            if index is not None:
                which &= held.slice_ == index
            if segments is not None:
                which &= np.isin(held.segment, segments)
            t, d = held.transmurality[which], held.thickness[which]
            no_wall = "" if len(t) else ("no chord crosses wall here" if way == "radial"
                                         else "no wall between a pool and the outside here")
            why = self.missing("infarct") or no_wall

            def number(key: str, value: float, unit: str = "", why: str = why, way: str = way
                       ) -> Number:
                return Number(scope, where, f"{key}_{way}", None if why else float(value), unit,
                              why=why)

            rows += [number("transmurality_mean", 0 if why else 100 * t.mean(), "%"),
                     number("transmurality_p95", 0 if why else 100 * high_end(
                         t, self.pixel / d.mean(), beside=held.beside[which]), "%"),
                     *(number(f"chords_over_{least}", (100 * t > least).sum()) for least in OVER),
                     # of the wall alone, whatever was sought in it
                     number("chords", len(t), why=no_wall),
                     number("thickness_mean", 0 if no_wall else d.mean(), "mm", why=no_wall)]
        return rows

    def counts(self, where: BoolArray) -> npt.NDArray[np.int_]:
        return np.bincount(self.labels[where], minlength=max(Tissue) + 1)

    # scopes

    def study(self) -> list[Number]:
        counts = np.bincount(self.labels.ravel(), minlength=max(Tissue) + 1)
        counts[0] = 0
        rows = self.amounts("study", "", counts) + [self.salvage("study", "", counts)]
        rows += self.chords("study", "")
        rows += self.borders("study", "", range(len(self.labels)))
        rows += self.islands()
        return rows + self.entropy()

    def slices(self, mask: BoolArray) -> list[Number]:
        rows: list[Number] = []
        for i in np.flatnonzero((self.labels > 0).any(axis=(1, 2)) | mask.any(axis=(1, 2))):
            where, counts = str(i), self.counts(self._only(int(i)))
            counts[0] = 0
            rows += self.amounts("slice", where, counts)
            rows += self.chords("slice", where, index=int(i))
            rows += self.borders("slice", where, [int(i)])
        return rows

    def segments(self) -> list[Number]:
        if not self.all.segments.any():
            return []
        rows: list[Number] = []
        names = NAMES if self.all.model == APEX else SEGMENTS
        for number in names:
            counts = self._by_segment[number]
            if not counts.any():
                why = "no wall in this segment" if number != APEX else (
                    "no slice with wall lies beyond the pool")
                rows.append(Number("segment", str(number), "wall_volume", None, "ml", why=why))
                continue
            rows += self._without_blood(self.amounts("segment", str(number), counts))
            rows.append(self.salvage("segment", str(number), counts))
            rows += self.chords("segment", str(number), segments=[number])
        return rows

    def territories(self) -> list[Number]:
        if not self.all.segments.any():
            return []
        rows: list[Number] = []
        for name, members in TERRITORIES.items():
            counts = self._by_segment[[m for m in members if m <= self.all.model]].sum(axis=0)
            if not counts.any():
                rows.append(Number("territory", name, "wall_volume", None, "ml",
                                   why="no wall in this territory"))
                continue
            rows += self._without_blood(self.amounts("territory", name, counts))
            rows.append(self.salvage("territory", name, counts))
            rows += self.chords("territory", name, segments=members)
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
            if self.pool[i].any() and self.wall[i].any():
                whole, share = border_with_part(self.pool[i], self.wall[i], self.infarct[i],
                                                self.spacing)
                endocardium, ill = endocardium + whole, ill + share
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

    @cached_property
    def _by_segment(self) -> npt.NDArray[np.int_]:
        """(segments, labels) voxels of wall; the first row is of what has no segment."""
        labels = max(Tissue) + 1
        pairs = self.all.segments[self.wall].astype(int) * labels + self.labels[self.wall]
        return np.bincount(pairs, minlength=(APEX + 1) * labels).reshape(-1, labels)

    @cached_property
    def _sectors(self) -> dict[str, _Sectors]:
        """By way, the sectors of all slices that have wall."""
        found = {}
        for way in WAYS:
            parts = [_Sectors(np.zeros(0, int), np.zeros(0, int), *[np.zeros(0)] * 3)]
            for index, chords in self.all.chords[way].items():
                there = np.isfinite(chords.thickness)
                parts.append(_Sectors(np.full(int(there.sum()), index),
                                      self._segment_of_sectors[index][there],
                                      chords.transmurality[there], chords.beside[there],
                                      chords.thickness[there]))
            found[way] = _Sectors(*(np.concatenate([getattr(part, field.name) for part in parts])
                                    for field in fields(_Sectors)))
        return found

    @cached_property
    def _segment_of_sectors(self) -> dict[int, npt.NDArray[np.int_]]:
        """The segment in which the middle of each sector lies, 0 where in none, by slice."""
        found = {}
        for index, chords in self.all.chords["radial"].items():
            place = np.nan_to_num(chords.place, nan=-1.0)
            row, column = (np.clip(np.rint(place[:, axis]).astype(int), 0,
                                   self.labels.shape[axis + 1] - 1) for axis in (0, 1))
            inside = np.isfinite(chords.place).all(axis=1)
            found[index] = np.where(inside, self.all.segments[index][row, column], 0).astype(int)
        return found


def shannon(counts: npt.NDArray[Any]) -> float:
    """Entropy of a histogram, bits.

    Examples
    --------
    >>> shannon(np.array([5, 5, 0, 5, 5]))
    2.0
    """
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0
