"""Partial volume at the wall's borders: pixels that hold some of what lies beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Shares of what lies beyond in a blend.
SHARES = (0.25, 0.5, 0.75, 1.0)
#: Farther than this from a border, mm, nothing lies beyond.
REACH = 5.0


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
