"""Readers and methods compared over a series: by tissue, by AHA segment, and in tables.

What is missing follows the conventions of `deepgmm.review.metrics`: where both are empty there is
no Dice and no distance, where one is there is no distance and Dice is 0; such values are counted
and never averaged in. A volume of nothing is 0 ml, and enters differences as such.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.review.aha import NAMES, segment_map
from deepgmm.review.metrics import Scores, TissueScore, dice, distances, mean_of
from deepgmm.review.statistics import bland_altman, holm, icc, kappa, wilcoxon
from deepgmm.study.study import FloatArray, Geometry
from deepgmm.study.words import WALL_TISSUES, Tissue

#: Grades of a segment's infarct in % of its wall, upper ends: none, to a quarter, ...
GRADES = (0.0, 25.0, 50.0, 75.0)

COLUMNS = ("method", "case", "scope", "where", "tissue", "dice", "hausdorff95_mm",
           "surface_distance_mm", "volume_ml", "true_volume_ml", "volume_difference_ml", "note")


@dataclass(frozen=True)
class SegmentScore:
    """One tissue in one AHA segment: Dice (None where both are empty), volumes in ml, shares of
    the wall that each drew there, % (None without wall), and distances of the two surfaces of what
    lies in the segment, mm (None where either is empty)."""

    segment: int
    tissue: Tissue
    dice: float | None
    volume: float
    true_volume: float
    percent: float | None
    true_percent: float | None
    hausdorff95: float | None = None
    surface_distance: float | None = None


@dataclass
class Compared:
    """One case of one method against the reference.

    Attributes
    ----------
    scores : per volume and slice.
    segments : per AHA segment, where it was asked for.
    """

    scores: Scores
    segments: list[SegmentScore] = field(default_factory=list)


def by_segment(prediction: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8],
               geometry: Geometry, points: FloatArray, tissues: Sequence[Tissue],
               model: int = 16) -> list[SegmentScore]:
    """Scores in the AHA segments of the reference; empty where it has none.

    Parameters
    ----------
    points : (slices, 2, 2) RV insertions.
    tissues : as `metrics.evaluate` takes them; obstruction counts as scar unless it is one.
    """
    if Tissue.MVO not in tissues:
        prediction, truth = (np.where(a == Tissue.MVO, Tissue.SCAR, a).astype(np.uint8)
                             for a in (prediction, truth))
    either = (truth > 0) | (prediction > 0)
    segments = segment_map(truth, either, points, (geometry.spacing[1], geometry.spacing[0]), model)
    found = []
    for number in (n for n in NAMES if (segments == n).any()):
        inside = segments == number
        walls = [int((np.isin(a, WALL_TISSUES) & inside).sum()) for a in (prediction, truth)]
        for tissue in (t for t in tissues if t is not Tissue.BLOOD):
            a, b = ((labels == tissue) & inside for labels in (prediction, truth))
            counts = [int(a.sum()), int(b.sum())]
            shares = [100.0 * n / wall if wall else None for n, wall in zip(counts, walls)]
            found.append(SegmentScore(number, tissue, dice(a, b),
                                      counts[0] * geometry.voxel_volume,
                                      counts[1] * geometry.voxel_volume, shares[0], shares[1],
                                      *distances(a, b, geometry.spacing[::-1])))
    return found


def note_of(score: TissueScore | SegmentScore) -> str:
    """Why a score has no Dice or no distance."""
    if score.volume == 0 and score.true_volume == 0:
        return "empty in both: no Dice, no distance"
    if score.volume == 0 or score.true_volume == 0:
        return "empty in one: Dice 0, no distance"
    return ""


def scores_csv(methods: Mapping[str, Mapping[str, Compared]]) -> str:
    """Every score on a line, by method and case.

    Parameters
    ----------
    methods : name to case to what was compared.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)

    def cell(value: float | None) -> str:
        return "" if value is None else repr(float(value))

    for method, cases in methods.items():
        for case, found in cases.items():
            places = [("volume", "", found.scores.tissues)] + [
                ("slice", str(s.index), s.tissues) for s in found.scores.slices]
            for scope, where, tissues in places:
                for tissue, s in tissues.items():
                    writer.writerow([method, case, scope, where, tissue.title, cell(s.dice),
                                     cell(s.hausdorff95), cell(s.surface_distance),
                                     cell(s.volume), cell(s.true_volume),
                                     cell(s.volume_difference), note_of(s)])
            for p in found.segments:
                writer.writerow([method, case, "segment", p.segment, p.tissue.title, cell(p.dice),
                                 cell(p.hausdorff95), cell(p.surface_distance),
                                 cell(p.volume), cell(p.true_volume),
                                 cell(p.volume - p.true_volume), note_of(p)])
    return buffer.getvalue()


def tests_of(methods: Mapping[str, Mapping[str, Compared]]) -> dict[str, dict[str, Any]]:
    """Dice of the first method against every other's, by tissue: Wilcoxon's signed-rank test over
    the cases where both are defined, with Holm's correction for all of these tests together."""
    names = list(methods)
    first = methods[names[0]]
    raw: dict[str, float | None] = {}
    said: dict[str, dict[str, Any]] = {}
    for other in names[1:]:
        for tissue in _tissues(methods):
            pairs = [(a, b) for case in first if case in methods[other]
                     for a, b in [(_dice(first[case], tissue),
                                   _dice(methods[other][case], tissue))]
                     if a is not None and b is not None]
            key = f"{names[0]} against {other}, {tissue.title}"
            raw[key] = wilcoxon(*np.array(pairs).T) if pairs else None
            said[key] = {"cases": len(pairs),
                         "mean_difference": float(np.mean([a - b for a, b in pairs]))
                         if pairs else None, "p": raw[key]}
            if raw[key] is None:
                said[key]["note"] = "under six cases differ: no test"
    for key, p in holm(raw).items():
        said[key]["p_holm"] = p
    return said


def agreement_of(one: Mapping[str, npt.NDArray[np.uint8]],
                 other: Mapping[str, npt.NDArray[np.uint8]],
                 geometries: Mapping[str, Geometry], tissues: Sequence[Tissue],
                 segments: Sequence[SegmentScore] = ()) -> dict[str, Any]:
    """Two readers of the same cases.

    Parameters
    ----------
    one, other : case to labels on one grid.
    segments : of all cases, `one` as prediction, where segments are asked for.

    Returns
    -------
    dict
        `kappa`: of all tissues, over the voxels that either put into the ventricle, all cases
        together. By tissue: `kappa` of it against the rest, `icc` of volumes and their Bland and
        Altman over the cases. With segments `grade_kappa`: quadratic-weighted, of the grade of
        infarct of each segment (0, to 25, 50, 75, 100 % of its wall).
    """
    def merged(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if Tissue.MVO in tissues:
            return labels
        return np.where(labels == Tissue.MVO, Tissue.SCAR, labels).astype(np.uint8)

    cases = [c for c in one if c in other]
    pairs = [(merged(one[c]), merged(other[c])) for c in cases]
    inside = [(a > 0) | (b > 0) for a, b in pairs]
    flat = [np.concatenate([pair[k][where] for pair, where in zip(pairs, inside)])
            if cases else np.zeros(0, np.uint8) for k in range(2)]
    said: dict[str, Any] = {"cases": len(cases), "kappa": kappa(flat[0], flat[1]), "tissues": {}}
    for tissue in tissues:
        volumes = np.array([[float((part == tissue).sum()) * geometries[c].voxel_volume
                             for part in pair] for c, pair in zip(cases, pairs)])
        away = bland_altman(volumes[:, 0], volumes[:, 1])
        said["tissues"][tissue.title] = {
            "kappa": kappa((flat[0] == tissue).astype(int), (flat[1] == tissue).astype(int)),
            "icc": icc(volumes), "bias_ml": away.bias, "limits_ml": [away.low, away.high],
            "volumes_ml": volumes.tolist()}
    graded = [(s.percent, s.true_percent) for s in segments
              if s.tissue is Tissue.SCAR and s.percent is not None and s.true_percent is not None]
    if graded:
        grades = np.searchsorted(GRADES, np.array(graded))
        said["grade_kappa"] = kappa(grades[:, 0], grades[:, 1], weighted=True)
        said["graded_segments"] = len(graded)
    return said


def segment_means(cases: Mapping[str, Compared]) -> dict[str, dict[str, dict[str, Any]]]:
    """Tissue to segment to mean Dice, mean difference of its share of the wall and mean distances,
    over cases."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    everything = [s for c in cases.values() for s in c.segments]
    for tissue in dict.fromkeys(s.tissue for s in everything):
        for number in NAMES:
            mine = [s for s in everything if s.tissue is tissue and s.segment == number]
            if not mine:
                continue
            overlap = mean_of(s.dice for s in mine)
            away = mean_of(None if s.percent is None or s.true_percent is None
                           else s.percent - s.true_percent for s in mine)
            found.setdefault(tissue.title, {})[str(number)] = {
                "dice": overlap.value, "defined": overlap.defined,
                "undefined": overlap.undefined, "percent_difference": away.value,
                "hausdorff95": mean_of(s.hausdorff95 for s in mine).value,
                "surface_distance": mean_of(s.surface_distance for s in mine).value}
    return found


def latex_table(methods: Mapping[str, Mapping[str, Compared]],
                tests: Mapping[str, Mapping[str, Any]]) -> str:
    """A table for a paper (booktabs): mean and standard deviation over cases."""
    names = list(methods)
    lines = [r"\begin{tabular}{llrrrrrr}", r"\toprule",
             r"Tissue & Method & Dice & HD95 (mm) & Surface (mm) & Volume difference (ml) & "
             r"Cases (undefined) & $p$ \\", r"\midrule"]
    for tissue in _tissues(methods):
        for name in names:
            scores = [c.scores.tissues[tissue] for c in methods[name].values()
                      if tissue in c.scores.tissues]
            overlap = mean_of(s.dice for s in scores)
            test = tests.get(f"{names[0]} against {name}, {tissue.title}", {})
            cells = [tissue.title, _tex(name), _mean_tex([s.dice for s in scores], 3),
                     _mean_tex([s.hausdorff95 for s in scores], 1, overlap.defined),
                     _mean_tex([s.surface_distance for s in scores], 2, overlap.defined),
                     _mean_tex([s.volume_difference for s in scores], 1),
                     f"{overlap.defined} ({overlap.undefined})",
                     "--" if test.get("p_holm") is None else f"{test['p_holm']:.3g}"]
            lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}",
              r"% Mean $\pm$ standard deviation over cases; undefined (empty in both) are not "
              "averaged in; a number in brackets after a distance: of so many cases, for where a "
              "tissue is empty in one there is none.",
              r"% p: Wilcoxon signed-rank of Dice against the first method, Holm-corrected."]
    return "\n".join(lines) + "\n"


def _tissues(methods: Mapping[str, Mapping[str, Compared]]) -> list[Tissue]:
    return sorted({t for cases in methods.values() for c in cases.values()
                   for t in c.scores.tissues})


def _dice(found: Compared, tissue: Tissue) -> float | None:
    score = found.scores.tissues.get(tissue)
    return None if score is None else score.dice


def _mean_tex(values: Sequence[float | None], digits: int, cases: int = 0) -> str:
    """Mean and deviation; and of how many, where these are fewer than the cases."""
    mean = mean_of(values)
    if mean.value is None:
        return "--"
    spread = "" if mean.spread is None else rf" \pm {mean.spread:.{digits}f}"
    fewer = f" ({mean.defined})" if mean.defined < cases else ""
    return f"${mean.value:.{digits}f}{spread}${fewer}"


def _tex(text: str) -> str:
    for sign, safe in (("\\", r"\textbackslash{}"), ("_", r"\_"), ("&", r"\&"), ("%", r"\%"),
                       ("#", r"\#"), ("$", r"\$")):
        text = text.replace(sign, safe)
    return text
