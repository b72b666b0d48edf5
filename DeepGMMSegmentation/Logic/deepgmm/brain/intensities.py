"""Which intensities each tissue has where, over the labelled cases of an atlas.

A mixture has one density of intensities for a tissue, p(I | l). In a brain it varies over space:
deep grey matter is brighter than cortex, thin folds are mixed with what lies beside them, and
graders draw a border where they do. Labelled cases tell p(J | l, x), J the intensity in units that
all brains share: 0 is grey matter's mean and 1 white matter's, of the mixture under the field.
Whatever is bright, grey matter is then below white, and CSF beyond grey, so that the contrast of
the cases need not be that of the brain at hand.

Counts in a cell about x, of neighbouring cells by a Gaussian, and as many of all the brain together
as a Dirichlet prior has it:

    p(J | l, x) = (n_l(x, J) + kappa p_l(J)) / (n_l(x) + kappa).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.brain.registering import Matrix, regrid, sampled

if TYPE_CHECKING:
    from torch import Tensor

    from deepgmm.model.tissue_mixture import TissueMixture

Array = npt.NDArray[np.float32]

#: Levels from the first bin's centre to the last one's; what lies beyond counts there.
LOWEST, HIGHEST, BINS = -2.0, 2.0, 41

#: mm, edge of a cell. Then, chosen on IBSR18's training cases: standard deviations of the Gaussian,
#: in cells and bins; kappa, mm^3; the power to which the atlas is raised beside these densities,
#: which know more of a place than a mixture does.
CELL, _WIDE, _BLUNT, _KAPPA, POWER = 4.0, 0.7, 1.0, 25.0, 0.5

#: The least density of a bin.
_LEAST = 1e-6

#: White and grey matter differ by as many standard deviations of white matter, and CSF lies on
#: grey matter's side of white, else the levels of an image mean nothing.
_APART, _BEYOND = 0.75, 0.8


@dataclass(frozen=True)
class LocalIntensities:
    """How often each tissue has which level where.

    Attributes
    ----------
    counts : (3, BINS, D, H, W) float32, mm^3 of the cases' CSF, grey and white matter.
    affine : 4 x 4, index of a cell to mm of the atlas' space.
    """

    counts: Array
    affine: Matrix

    @property
    def stored(self) -> npt.NDArray[np.float16]:
        """The counts as a file holds them, and as they are told from others."""
        return self.counts.clip(max=6e4).astype(np.float16)

    @property
    def sound(self) -> bool:
        """Whether the arrays can be such counts."""
        return (self.counts.ndim == 5 and self.counts.shape[:2] == (3, BINS)
                and min(self.counts.shape) > 1
                and self.affine.shape == (4, 4) and bool(np.isfinite(self.affine).all())
                and np.linalg.matrix_rank(self.affine[:3, :3]) == 3
                and bool(np.isfinite(self.counts).all()) and bool(self.counts.min() >= 0)
                and bool((self.counts.sum((1, 2, 3, 4)) > 0).all()))

    def densities(self, levels: npt.NDArray[np.floating], places: Array) -> Array:
        """p(J | l, x) of bins, over bins they sum to one.

        Parameters
        ----------
        levels : (N,) J.
        places : (N, 3) in the atlas' space, mm.

        Returns
        -------
        (N, 3) float32.
        """
        import torch

        local, whole, common = self._smoothed
        cells = torch.tensor(self.counts.shape[2:])
        through = np.linalg.inv(self.affine)
        where = torch.from_numpy(places @ through[:3, :3].T + through[:3, 3]).float()
        where = where.clamp_min(0).minimum(cells - 1)
        level = torch.from_numpy(np.asarray(levels, np.float32)).clamp(LOWEST, HIGHEST)
        level = (level - LOWEST) * ((BINS - 1) / (HIGHEST - LOWEST))
        low = level.floor().clamp_max(BINS - 2)
        share = (level - low)[:, None]
        below = where.clone()
        # the cells of one bin lie above those of the last: one axis less
        below[:, 0] += low * cells[0]
        above = below + torch.tensor([float(cells[0]), 0, 0])
        seen = sampled(local, below).lerp(sampled(local, above), share)
        usual = common[low.long()].lerp(common[low.long() + 1], share)
        found = (seen + _KAPPA * usual) / (sampled(whole, where) + _KAPPA)
        return np.asarray(found.clamp_min(_LEAST).numpy())

    @cached_property
    def _smoothed(self) -> tuple[Tensor, Tensor, Tensor]:
        """n_l(x, J) as (3, BINS x D, H, W), n_l(x) as (3, D, H, W) and p_l(J) as (BINS, 3)."""
        import torch
        from scipy.ndimage import gaussian_filter

        local = torch.from_numpy(np.stack([
            gaussian_filter(counts, (_BLUNT, _WIDE, _WIDE, _WIDE), mode="nearest")
            for counts in self.counts]))
        pooled = local.sum((2, 3, 4)).T
        return local.flatten(1, 2), local.sum(1), pooled / pooled.sum(0)


@dataclass(frozen=True)
class Levelled:
    """One labelled case as its intensities are counted.

    levels : (N,) J of its measured voxels; places : (N, 3) in the atlas' space, mm;
    tissues : (N,) 0 to 2, else nobody says; volume : mm^3 of a voxel.
    """

    levels: Array
    places: Array
    tissues: npt.NDArray[np.int64]
    volume: float


def counted(cases: Sequence[Levelled], shape: tuple[int, ...], affine: Matrix) -> LocalIntensities:
    """The intensities of cases, in cells over an atlas' grid."""
    cells, grid = regrid(shape, affine, CELL)
    through = np.linalg.inv(grid)
    size = (3, BINS, *cells)
    counts = np.zeros(int(np.prod(size)))
    for case in cases:
        known = (case.tissues >= 0) & (case.tissues < 3)
        at = np.rint(case.places[known] @ through[:3, :3].T + through[:3, 3]).astype(np.int64)
        at = np.clip(at, 0, np.array(cells) - 1)
        bins = np.rint((case.levels[known] - LOWEST) / (HIGHEST - LOWEST) * (BINS - 1))
        which = np.ravel_multi_index(
            (case.tissues[known], np.clip(bins, 0, BINS - 1).astype(np.int64), *at.T), size)
        counts += case.volume * np.bincount(which, minlength=len(counts))
    return LocalIntensities(counts.reshape(size).astype(np.float32), grid)


def levels_of(values: Tensor, b: Tensor, mixture: TissueMixture, grey: int, white: int) -> Array:
    """J (N,) of values (N,) under a field b (N,); `grey` and `white` are components."""
    low, high = float(mixture.means[grey]), float(mixture.means[white])
    return np.asarray(((values / b - low) / (high - low)).numpy(), np.float32)


def told_apart(mixture: TissueMixture, csf: int, grey: int, white: int) -> bool:
    """Whether the levels of an image mean what those of the cases did."""
    low, high, dark = (float(mixture.means[c]) for c in (grey, white, csf))
    apart = abs(high - low) > _APART * float(mixture.variances[white]) ** 0.5
    return apart and (dark - low) / (high - low) < _BEYOND
