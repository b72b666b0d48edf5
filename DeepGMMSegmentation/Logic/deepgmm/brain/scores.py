"""How well labels of a brain agree with somebody's, tissue by tissue, and methods with each other.

CSF in the sulci is CSF to physics and to most methods; the graders of IBSR labelled it grey
matter. That convention alone moves grey matter by ten points and more, so every score says one of:

- *physical*: what a method calls CSF is CSF, wherever it lies;
- *as labelled*: what it calls CSF outside the ventricles counts as grey matter, as IBSR has it;
- *left out*: voxels in dispute are not scored: those that are labelled grey matter and whose
  intensity is nearer to the CSF's. They follow from image and truth alone, so they are the same
  for every method.

The *trivial row* is a method that finds no CSF at all: everything called CSF counted as grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.tissues import TISSUES, UNLABELLED, BrainTissue
from deepgmm.errors import InputError

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: Of a tissue, in the order of tables.
MEASURES = ("f1", "precision", "recall", "jaccard")


#: Of the ventricles, mm and mm^3.
_DEEP, _THICK, _AROUND, _PIECE = 6.0, 1.3, 2.0, 200.0

#: mm below the border of a brain, which hardly any white matter reaches.
_RIM = 5.0


class Convention(str, Enum):
    """What becomes of CSF in the sulci."""

    PHYSICAL = "physical"
    AS_LABELLED = "as labelled"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Agreement:
    """One tissue's, from counts of voxels; NaN where nobody has the tissue.

    Two of the four are functions of each other (`jaccard = f1 / (2 - f1)`).
    """

    both: int
    ours: int
    theirs: int

    @property
    def f1(self) -> float:
        """Dice."""
        return _ratio(2 * self.both, self.ours + self.theirs)

    @property
    def precision(self) -> float:
        return _ratio(self.both, self.ours)

    @property
    def recall(self) -> float:
        return _ratio(self.both, self.theirs)

    @property
    def jaccard(self) -> float:
        return _ratio(self.both, self.ours + self.theirs - self.both)


def agreement(labels: Labels, truth: Labels, region: Mask | None = None
              ) -> dict[BrainTissue, Agreement]:
    """Counts of each tissue.

    Parameters
    ----------
    labels, truth : of one shape, values of `BrainTissue`; where the truth is `UNLABELLED` nothing
        is scored.
    region : where to score; by default everywhere.

    Raises
    ------
    InputError : different shapes.
    """
    if labels.shape != truth.shape:
        raise InputError("the labels and the truth have different shapes: bring them onto one "
                         "grid")
    scored = truth != UNLABELLED
    if region is not None:
        scored &= region
    ours, theirs = labels[scored], truth[scored]
    return {t: Agreement(int(((ours == t) & (theirs == t)).sum()), int((ours == t).sum()),
                         int((theirs == t).sum())) for t in TISSUES}


def under(convention: Convention, labels: Labels, truth: Labels, *,
          ventricles: Mask | None = None, disputed: Mask | None = None,
          region: Mask | None = None) -> dict[BrainTissue, Agreement]:
    """Counts of each tissue under one of the three conventions.

    Parameters
    ----------
    ventricles : for *as labelled*: where CSF is the ventricles'; see `ventricular`.
    disputed : for *left out*: see `in_dispute`.
    region : where to score; by default everywhere.
    """
    if convention is Convention.AS_LABELLED:
        if ventricles is None:
            raise ValueError("as labelled needs the ventricles")
        labels = sulci_as_grey(labels, ventricles)
    if convention is Convention.LEFT_OUT:
        if disputed is None:
            raise ValueError("left out needs the voxels in dispute")
        region = ~disputed if region is None else region & ~disputed
    return agreement(labels, truth, region)


def sulci_as_grey(labels: Labels, ventricles: Mask) -> Labels:
    """Labels in which CSF outside the ventricles is grey matter."""
    sulcal = (labels == BrainTissue.CSF) & ~ventricles
    return np.where(sulcal, np.uint8(BrainTissue.GM), labels)


def trivial(labels: Labels) -> Labels:
    """Labels in which all CSF is grey matter."""
    return sulci_as_grey(labels, np.zeros(labels.shape, bool))


def in_dispute(image: npt.NDArray[np.float32], truth: Labels) -> Mask:
    """Voxels labelled grey matter that look like CSF: their intensity is nearer to its median.

    Both medians are of what the truth labels so, which makes it the same for every method and
    every contrast. Where the truth has no CSF nothing is in dispute.
    """
    csf, grey = truth == BrainTissue.CSF, truth == BrainTissue.GM
    if not csf.any() or not grey.any():
        return np.zeros(truth.shape, bool)
    levels = np.median(image[csf]), np.median(image[grey])
    return grey & (np.abs(image - levels[0]) < np.abs(image - levels[1]))


def ventricular(labels: Labels, mask: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Where CSF is the ventricles', where no atlas says so: it is deep in the brain and thick.

    Chosen on IBSR18's training folder, where of scikit-learn's mixture it leaves CSF that agrees
    with the graders' by an F1 of .6 to .9, by the size of the ventricles; an atlas does better.

    Parameters
    ----------
    labels : with CSF in the sulci.
    mask : the brain.
    spacing : voxel edges in the order of the arrays, mm.

    Returns
    -------
    CSF no further than `_AROUND` from a piece of it, of `_PIECE` at least, that is `_DEEP` below
    the mask's border and further than a voxel from all else.
    """
    from scipy import ndimage

    csf = labels == BrainTissue.CSF
    below = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    thick = ndimage.distance_transform_edt(csf, sampling=spacing)
    within = max(_THICK, 1.01 * min(spacing))
    pieces, _ = ndimage.label((thick > within) & (below >= _DEEP))
    large = np.bincount(pieces.ravel()) * np.prod(spacing) >= _PIECE
    large[0] = False
    cores = large[pieces]
    if not cores.any():
        return cores
    near = ndimage.distance_transform_edt(~cores, sampling=spacing) <= within + _AROUND
    return np.asarray(csf & near & (below >= _DEEP))


def upside_down(labels: Labels, mask: Mask, spacing: tuple[float, float, float]) -> bool:
    """Whether more of the white matter than of the grey lies within `_RIM` of the mask's border."""
    from scipy.ndimage import distance_transform_edt

    below = distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    white, grey = ((below <= _RIM)[labels == t] for t in (BrainTissue.WM, BrainTissue.GM))
    return bool(white.size and grey.size and white.mean() > grey.mean())


@dataclass(frozen=True)
class Paired:
    """One method less another over the same cases.

    Attributes
    ----------
    mean : of the differences.
    low, high : 95 % interval of the mean, by resampling cases.
    better : of how many cases the first is above the second.
    cases : with both values.
    """

    mean: float
    low: float
    high: float
    better: int
    cases: int


def paired(one: Mapping[str, float], other: Mapping[str, float], *, seed: int = 0,
           draws: int = 10_000) -> Paired:
    """The difference of two rows, case by case; cases that either lacks are left out.

    Raises
    ------
    InputError : no case in common.
    """
    common = [case for case in one if case in other
              and np.isfinite(one[case]) and np.isfinite(other[case])]
    if not common:
        raise InputError("the two rows have no case in common")
    differences = np.array([one[case] - other[case] for case in common])
    chosen = np.random.default_rng(seed).integers(0, len(common), (draws, len(common)))
    low, high = np.quantile(differences[chosen].mean(axis=1), (0.025, 0.975))
    return Paired(float(differences.mean()), float(low), float(high),
                  int((differences > 0).sum()), len(common))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation over cases; those where nobody has the tissue are counted."""
    numbers = np.array([v for v in values if np.isfinite(v)])
    spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
    return {"mean": float(numbers.mean()) if len(numbers) else float("nan"), "sd": spread,
            "cases": len(numbers), "undefined": len(values) - len(numbers)}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
