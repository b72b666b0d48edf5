"""What the pool holds: blood, papillary muscle, and their partial volume."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.mixture import log_density

#: Shares of blood in the blends between pure muscle and pure blood.
BLENDS = (0.25, 0.5, 0.75)


def pool_density(density: Tensor, blends: Tensor, papillary: float) -> tuple[Tensor, Tensor]:
    """Log density of a pool pixel, and which of its parts is pure.

    Parameters
    ----------
    density : (S, P, K) log densities, blood first, healthy wall second.
    blends : (S, P, 3) of `blend_density`.
    papillary : share of the pool that is not pure blood; the four compositions share it.

    Returns
    -------
    (S, P) log density, and (S, P, 2) the probabilities of pure blood and of pure muscle.
    """
    other = math.log(papillary / (len(BLENDS) + 1))
    parts = torch.cat([density[..., :1] + math.log(1 - papillary), density[..., 1:2] + other,
                       blends + other], dim=2)
    log_pool = torch.logsumexp(parts, dim=2)
    return log_pool, (parts[..., :2] - log_pool[..., None]).exp()


def blend_density(batch: PixelBatch, means: Tensor, covariances: Tensor,
                  log_beside: Tensor) -> Tensor:
    """(S, P, 3) log density of a pool pixel that is one, two or three quarters blood.

    The rest is what the wall beside it holds, `log_beside` (S, P, K - 1): next to a scar the
    blurred endocardium is a blend of blood and scar, not of blood and healthy muscle.
    """
    densities = []
    for share in BLENDS:
        mean = share * means[:, :1] + (1 - share) * means[:, 1:]
        spread = 2 * (share**2 * covariances[:, :1] + (1 - share)**2 * covariances[:, 1:])
        densities.append(torch.logsumexp(log_density(batch, mean, spread) + log_beside, dim=2))
    return torch.stack(densities, dim=2)


def log_box(batch: PixelBatch, share: float) -> float:
    """log of `share` times the uniform density over the box of normalised intensities."""
    if share == 0:
        return -math.inf
    return math.log(share) - batch.sequences * math.log(3.0)
