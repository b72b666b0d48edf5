"""Partial volume at the wall's borders: pixels that hold some of what lies beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.gain import surroundings_without_gain
from deepgmm.model.ventricle import Ventricle

#: Shares of what lies beyond in a blend.
SHARES = (0.25, 0.5, 0.75, 1.0)
#: Farther than this from a border, mm, nothing lies beyond.
REACH = 3.0


#: Slice and pixel of some pixels, and their log shares.
Place = tuple[tuple[Tensor, ...], Tensor]


@dataclass(frozen=True)
class RimPrior:
    """How sure a border is, mm.

    Attributes
    ----------
    off : standard deviation of the border's place.
    blur : standard deviation of the image's point spread.
    """

    off: float = 1.2
    blur: float = 0.9

    def log_shares(self, depth: Tensor) -> Tensor:
        """(..., 1 + 4) log prior that a pixel `depth` mm inside a border holds nothing of
        what lies beyond, or each of `SHARES` of it.

        A border off by e leaves the share Phi((e - depth) / blur) beyond, so a share between two
        bounds is an interval of e.
        """
        cuts = [(a + b) / 2 for a, b in zip((0.0, *SHARES[:-1]), SHARES, strict=True)]
        normal = torch.distributions.Normal(0.0, 1.0)
        bounds = [self.blur * float(normal.icdf(torch.tensor(c, dtype=torch.float64)))
                  for c in cuts]
        below = [0.5 * (1 + torch.erf((depth + b) / (self.off * math.sqrt(2)))) for b in bounds]
        parts = [below[0], *(b - a for a, b in zip(below[:-1], below[1:], strict=True)),
                 1 - below[-1]]
        return torch.stack(parts, -1).clamp_min(1e-12).log()


def rim_density(values: Tensor, means: Tensor, covariances: Tensor, beyond: Tensor,
                spread: Tensor, log_shares: Tensor) -> Tensor:
    """(N, K) log density of pixels as blends of each tissue with what lies beyond.

    Parameters
    ----------
    values, beyond, spread : (N, M) intensities, what lies beyond and its variance.
    means, covariances : (N, K, M) of the tissues.
    log_shares : (N, 4) log prior of each of `SHARES`.
    """
    share = torch.tensor(SHARES, dtype=values.dtype, device=values.device)[:, None, None]
    mean = share * beyond[:, None, None] + (1 - share) * means[:, None]
    variance = share.square() * spread[:, None, None] + (
        share.square() + 2 * (1 - share).square()) * covariances[:, None]
    away = values[:, None, None] - mean
    log = -0.5 * (away.square() / variance + variance.log() + math.log(2 * math.pi)).sum(3)
    return torch.logsumexp(log + log_shares[..., None], dim=1)


@dataclass(frozen=True)
class Borders:
    """The wall's borders in a batch: the epicardium, and the endocardium where the wall is given.

    Attributes
    ----------
    outer, inner : None for a border that is true to the pixel.
    dark : where zero intensity is taken to lie.
    """

    ventricle: Ventricle
    outer: RimPrior | None
    inner: RimPrior | None
    dark: float

    def blended(self, batch: PixelBatch, means: Tensor, covariances: Tensor, gain: Tensor,
                inlier: Tensor, density: Tensor) -> tuple[Tensor, Tensor]:
        """(S, P, K) `inlier` and `density` with the wall's pixels near its borders as blends,
        perhaps, with what lies beyond; such blends inform no mean.

        Parameters
        ----------
        batch : as at gain 1; `means`, `covariances` : (S, K, M); `gain` : (S, M).
        """
        found = inlier, density
        if self._outside is not None and self.ventricle.surroundings is not None:
            at, log_shares = self._outside
            beyond = surroundings_without_gain(self.ventricle.surroundings[at], gain[at[0]],
                                               self.dark)
            found = _with_blends(batch, means, covariances, *found, at, beyond, log_shares)
        if self._inside is not None:
            at, log_shares = self._inside
            blood = torch.cat([means[:, 0], covariances[:, 0]], 1)[at[0]]
            found = _with_blends(batch, means, covariances, *found, at, blood, log_shares)
        return found

    @cached_property
    def _outside(self) -> Place | None:
        return _near(self.ventricle.rim, self.outer)

    @cached_property
    def _inside(self) -> Place | None:
        return _near(self.ventricle.to_pool, self.inner)


def _near(depth: Tensor | None, prior: RimPrior | None) -> Place | None:
    """The pixels near a border, and their (N, 5) log shares of what lies beyond."""
    if depth is None or prior is None:
        return None
    at = (depth < REACH).nonzero(as_tuple=True)
    return at, prior.log_shares(depth[at])


def _with_blends(batch: PixelBatch, means: Tensor, covariances: Tensor, inlier: Tensor,
                 density: Tensor, at: tuple[Tensor, ...], beyond: Tensor,
                 log_shares: Tensor) -> tuple[Tensor, Tensor]:
    """The same with the pixels `at` as blends with (N, 2 M) what lies beyond."""
    slices = at[0]
    mean, spread = beyond.chunk(2, 1)
    blends = rim_density(batch.values[at], means[slices, 1:], covariances[slices, 1:],
                         mean, spread, log_shares[:, 1:])
    pure = density[at][:, 1:] + log_shares[:, :1]
    both = torch.logaddexp(pure, blends)
    inlier, density = inlier.clone(), density.clone()
    wall = (slices[:, None], at[1][:, None],
            torch.arange(1, density.shape[2], device=density.device)[None])
    inlier[wall] = inlier[wall] * (pure - both).exp()
    density[wall] = both
    return inlier, density
