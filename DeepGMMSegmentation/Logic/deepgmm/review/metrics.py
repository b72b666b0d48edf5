"""How well labels agree with the truth, which enters on this floor and above it only.

Conventions, stated here once:

- **Dice** is 2 |A and B| / (|A| + |B|). Where both are empty it is undefined: None, counted
  in `undefined`, never averaged in. Where one is empty it is 0.
- **Surface** of a tissue: its voxels of which a face neighbour is not of the tissue; what lies
  beyond the grid is not of it. Distances are between centres of surface voxels, in mm.
- **Hausdorff 95**: the larger of the two directed 95th percentiles (linear interpolation).
- **Mean surface distance**: the mean over both directions' distances taken together.
  Both are undefined where either is empty. These are MONAI's definitions.
- Per volume surfaces are 3D; per slice they are the slice's own, 2D.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.study import BoolArray, Geometry
from deepgmm.study.words import FOUR_TISSUES, Tissue


@dataclass(frozen=True)
class TissueScore:
    """Agreement on one tissue, in one volume or one slice.

    Attributes
    ----------
    dice : 0 to 1, or None where both are empty.
    hausdorff95, surface_distance : mm, or None where either is empty.
    volume, true_volume : ml.
    """

    dice: float | None
    hausdorff95: float | None
    surface_distance: float | None
    volume: float
    true_volume: float

    @property
    def volume_difference(self) -> float:
        """Predicted minus true volume, ml."""
        return self.volume - self.true_volume


@dataclass(frozen=True)
class SliceScores:
    """Scores of one slice; `four_tissues`: whether its truth holds all four."""

    index: int
    four_tissues: bool
    tissues: dict[Tissue, TissueScore]


@dataclass(frozen=True)
class Mean:
    """A mean over what is defined, with how much that is.

    Attributes
    ----------
    value, spread : mean and standard deviation (n - 1); None where nothing (less than two
        values) is defined.
    defined, undefined : counts.
    """

    value: float | None
    spread: float | None
    defined: int
    undefined: int


@dataclass(frozen=True)
class Scores:
    """Scores of one study.

    Attributes
    ----------
    tissues : per volume.
    slices : per slice, of those slices that hold any label in prediction or truth.
    """

    tissues: dict[Tissue, TissueScore]
    slices: list[SliceScores] = field(default_factory=list)

    def mean(self, measure: str, tissue: Tissue, *, four_tissues_only: bool = False) -> Mean:
        """Mean of one measure ('dice', 'hausdorff95', ...) over the slices."""
        return mean_of(getattr(s.tissues[tissue], measure) for s in self.slices
                       if s.four_tissues or not four_tissues_only)

    def as_dict(self) -> dict[str, object]:
        """JSON values: per volume, slice means over four-tissue and all slices, per slice."""
        return {
            "volume": {t.title: _score_dict(s) for t, s in self.tissues.items()},
            "slice_means": _slice_means([self]),
            "slices": [{"index": s.index, "four_tissues": s.four_tissues,
                        "tissues": {t.title: _score_dict(v) for t, v in s.tissues.items()}}
                       for s in self.slices],
        }


def evaluate(
    prediction: npt.NDArray[np.integer],
    truth: npt.NDArray[np.integer],
    geometry: Geometry,
    tissues: Sequence[Tissue] = FOUR_TISSUES,
) -> Scores:
    """Compare two labelmaps on one grid.

    Parameters
    ----------
    prediction, truth : (slices, rows, columns), values of `Tissue`.
    geometry : gives the spacing, mm.
    tissues : those to compare. Microvascular obstruction counts as scar unless it is one.

    Raises
    ------
    InputError
        Different shapes.

    Examples
    --------
    >>> ones = np.ones((1, 4, 4), np.uint8)
    >>> evaluate(ones, ones, Geometry(), [Tissue.BLOOD]).tissues[Tissue.BLOOD].dice
    1.0
    """
    if prediction.shape != truth.shape:
        raise InputError(f"the prediction has shape {prediction.shape}, the truth "
                         f"{truth.shape}: give both on one grid")
    if Tissue.MVO not in tissues:
        prediction, truth = (np.where(a == Tissue.MVO, Tissue.SCAR, a) for a in (prediction, truth))
    spacing = geometry.spacing[::-1]
    pairs = {tissue: (prediction == tissue, truth == tissue) for tissue in tissues}
    held = {index for index in range(truth.shape[0])
            if any(a[index].any() or b[index].any() for a, b in pairs.values())}
    slices = [SliceScores(
        index=index,
        four_tissues=all((truth[index] == tissue).any() for tissue in FOUR_TISSUES),
        tissues={tissue: _score(a[index], b[index], spacing[1:], geometry.voxel_volume)
                 for tissue, (a, b) in pairs.items()},
    ) for index in sorted(held)]
    return Scores({tissue: _score(a, b, spacing, geometry.voxel_volume)
                   for tissue, (a, b) in pairs.items()}, slices)


def dice(a: BoolArray, b: BoolArray) -> float | None:
    """Overlap 2 |A and B| / (|A| + |B|), 0 to 1; None where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else None


def surface_distances(
    a: BoolArray, b: BoolArray, spacing: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Distances from a's surface to b's and from b's to a's, mm; None where either is empty.

    Parameters
    ----------
    a, b : two or three axes.
    spacing : mm, in the order of the axes.
    """
    if not (a.any() and b.any()):
        return None
    box = tuple(slice(int(ends.min()), int(ends.max()) + 1) for ends in np.nonzero(a | b))
    edges = [_surface(part[box]) for part in (a, b)]
    distances = [_distance_to(edge, spacing) for edge in edges]
    return distances[1][edges[0]], distances[0][edges[1]]


def _surface(region: BoolArray) -> BoolArray:
    """Voxels with a face neighbour outside the region or outside the grid."""
    padded = np.pad(region, 1)
    inner = padded.copy()
    for axis in range(region.ndim):
        inner &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
    core = (slice(1, -1),) * region.ndim
    return region & ~inner[core]


def _distance_to(edge: BoolArray, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(edge.astype(np.uint8))
    image.SetSpacing([float(s) for s in reversed(spacing)])
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False,
                                            useImageSpacing=True)
    # Negative inside: where surface voxels lie side by side they are still at distance 0.
    return np.maximum(sitk.GetArrayFromImage(distance).astype(np.float64), 0.0)


def distances(a: BoolArray, b: BoolArray,
              spacing: Sequence[float]) -> tuple[float | None, float | None]:
    """Hausdorff 95 and mean surface distance, mm; None where either is empty."""
    both = surface_distances(a, b, spacing)
    if both is None:
        return None, None
    return (max(float(np.percentile(d, 95)) for d in both), float(np.concatenate(both).mean()))


def _score(a: BoolArray, b: BoolArray, spacing: Sequence[float], voxel: float) -> TissueScore:
    return TissueScore(dice(a, b), *distances(a, b, spacing), int(a.sum()) * voxel,
                       int(b.sum()) * voxel)


def mean_of(values: Iterable[float | None]) -> Mean:
    """Mean over the values that are not None, with counts."""
    given = list(values)
    known = [v for v in given if v is not None]
    return Mean(
        value=float(np.mean(known)) if known else None,
        spread=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        defined=len(known), undefined=len(given) - len(known))


def bootstrap_interval(
    patients: Sequence[Scores], measure: Callable[[Scores], float | None],
    *, level: float = 0.95, draws: int = 2000, seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile interval of a mean over patients, patients drawn with replacement.

    Slices of one patient are not independent, so patients are drawn, not slices. None where
    fewer than two patients have the measure.
    """
    known = np.array([v for v in map(measure, patients) if v is not None])
    if len(known) < 2:
        return None
    picks = np.random.default_rng(seed).integers(len(known), size=(draws, len(known)))
    low, high = np.quantile(known[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def aggregate(patients: Sequence[Scores]) -> dict[str, object]:
    """Scores of several patients in one table of JSON values.

    Per tissue and measure: mean over patients of the volumes' scores (with a 95 % patient
    bootstrap interval for Dice), and mean over all patients' slices, over four-tissue slices
    and over all. `mean_dice` is the mean of the tissues' means.
    """
    tissues = list(dict.fromkeys(t for p in patients for t in p.tissues))
    volume: dict[str, object] = {}
    for tissue in tissues:
        held = [p for p in patients if tissue in p.tissues]
        volume[tissue.title] = {
            measure: _mean_dict(mean_of(getattr(p.tissues[tissue], measure) for p in held))
            for measure in _MEASURES
        } | {"dice_interval": bootstrap_interval(
            held, lambda p, tissue=tissue: p.tissues[tissue].dice)}  # type: ignore[misc]
    return {"patients": len(patients), "volume": volume, "slice_means": _slice_means(patients)}


_MEASURES = ("dice", "hausdorff95", "surface_distance", "volume_difference")


def _slice_means(patients: Sequence[Scores]) -> dict[str, object]:
    tissues = list(dict.fromkeys(t for p in patients for t in p.tissues))
    table: dict[str, object] = {}
    for name, only in (("four_tissue_slices", True), ("all_slices", False)):
        chosen = [s for p in patients for s in p.slices if s.four_tissues or not only]
        rows: dict[str, object] = {"slices": len(chosen)}
        means = []
        for tissue in tissues:
            scores = [s.tissues[tissue] for s in chosen if tissue in s.tissues]
            rows[tissue.title] = {measure: _mean_dict(mean_of(getattr(s, measure)
                                                              for s in scores))
                                  for measure in _MEASURES}
            means.append(mean_of(s.dice for s in scores).value)
        rows["mean_dice"] = mean_of(means).value
        table[name] = rows
    return table


def _mean_dict(mean: Mean) -> dict[str, float | int | None]:
    return {"mean": mean.value, "sd": mean.spread, "defined": mean.defined,
            "undefined": mean.undefined}


def _score_dict(score: TissueScore) -> dict[str, float | None]:
    return {"dice": score.dice, "hausdorff95": score.hausdorff95,
            "surface_distance": score.surface_distance, "volume_ml": score.volume,
            "true_volume_ml": score.true_volume, "volume_difference_ml": score.volume_difference}
