"""Where the wall ends and the pool begins: a thickness for every sector, smooth around the ring.

Blood and scar can be equally bright on LGE and papillary muscle is as dark as the wall on bSSFP,
so pool and wall are told apart by one closed contour per slice, not pixel by pixel. The contour
is described by the wall's thickness T in each angular sector; its posterior is exact (a ring of
discrete thicknesses), given what the pixels say for wall and for pool.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.chain import ring_marginals
from deepgmm.model.ventricle import Ventricle


@dataclass(frozen=True)
class WallPrior:
    """What is known of the wall's thickness before the image is seen.

    Attributes
    ----------
    thickness : median, mm, and `spread` : standard deviation of its logarithm.
    roughness : standard deviation, in mm, of the change of thickness over one radian (a random
        walk around the ring).
    across : standard deviation, mm, of the thickness from the mean of the slices above and
        below; 0 for slices that know nothing of each other.
    step : width of a thickness bin, mm.
    evidence : how much of a pixel's log-likelihood counts; below 1 because neighbouring
        pixels are correlated.
    """

    thickness: float = 7.5
    spread: float = 0.3
    roughness: float = 0.6
    across: float = 3.0
    step: float = 0.75
    evidence: float = 0.25


def wall_probability(ventricle: Ventricle, log_wall: Tensor, log_pool: Tensor, valid: Tensor,
                     prior: WallPrior, before: Tensor | None = None,
                     ) -> tuple[Tensor, Tensor]:
    """Probability that each pixel lies in the wall.

    Parameters
    ----------
    log_wall, log_pool : (S, P) log density of each pixel as wall and as pool.
    valid : (S, P) 1 for mask pixels.
    before : (S, A) thickness of the round before, of slices that follow each other.

    Returns
    -------
    (S, P) probability of wall, (S, A) expected thickness in mm.
    """
    bins = int(math.ceil(float(ventricle.depth.max()) / prior.step)) + 2
    place = (ventricle.depth / prior.step).long().clamp(0, bins - 2)
    slices, sectors = log_wall.shape[0], ventricle.sectors
    ratio = prior.evidence * (log_wall - log_pool) * valid
    histogram = ratio.new_zeros((slices, sectors * bins))
    histogram.scatter_add_(1, ventricle.sector * bins + place, ratio)
    # a wall that ends below bin t holds the pixels of the bins before t
    ratio_sum = histogram.reshape(slices, sectors, bins).cumsum(2)
    log_unary = torch.cat([torch.zeros_like(ratio_sum[..., :1]), ratio_sum[..., :-1]], dim=2)
    thickness = torch.arange(bins, device=ratio.device, dtype=ratio.dtype) * prior.step
    offset = (thickness.clamp_min(prior.step / 2) / prior.thickness).log() / prior.spread
    # one prior a slice, shared out over the sectors, which are not independent draws
    log_unary = log_unary - 0.5 * offset.square() * (6.0 / sectors)
    if before is not None and prior.across > 0 and slices > 1:
        away = thickness - _beside(before)[..., None]
        log_unary = log_unary - 0.5 * (away / prior.across).square() * (6.0 / sectors)
    change = (thickness[:, None] - thickness[None, :]) / (
        prior.roughness * math.sqrt(2 * math.pi / sectors))
    marginals, _ = ring_marginals(log_unary, -0.5 * change.square())
    beyond = 1.0 - marginals.cumsum(2)  # P(T > t) at each bin's end
    beyond = torch.cat([torch.ones_like(beyond[..., :1]), beyond], dim=2)
    upper = (ventricle.depth / prior.step - place).clamp(0, 1)
    at = ventricle.sector * (bins + 1) + place
    low, high = (beyond.flatten(1).gather(1, at + side) for side in (0, 1))
    by_pixel = (low * (1 - upper) + high * upper).clamp(0, 1)  # cumsum rounds
    return by_pixel * valid, marginals @ thickness


def _beside(thickness: Tensor) -> Tensor:
    """(S, A) mean of the slices above and below; the only one at the ends."""
    padded = torch.cat([thickness[1:2], thickness, thickness[-2:-1]])
    return 0.5 * (padded[:-2] + padded[2:])
