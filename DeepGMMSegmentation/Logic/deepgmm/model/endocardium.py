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

from deepgmm.model.chain import Ring
from deepgmm.model.ventricle import Ventricle

#: Stands for minus infinity where a thickness cannot be.
NEVER = -1e4


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


class Endocardium:
    """The posterior of the wall's thickness around every slice, q(T).

    Attributes
    ----------
    in_wall : (S, P) probability that a pixel lies in the wall, 0 outside the mask.
    thickness : (S, A) expected thickness, mm.
    """

    def __init__(self, ventricle: Ventricle, valid: Tensor, prior: WallPrior) -> None:
        self.ventricle, self.valid, self.prior = ventricle, valid, prior
        slices, sectors = len(valid), ventricle.sectors
        deepest = (ventricle.depth * valid).amax(1)
        deepest = deepest.new_zeros(ventricle.studies).scatter_reduce(
            0, ventricle.study, deepest, "amax")[ventricle.study]
        bins = torch.ceil(deepest / prior.step).long() + 2
        self.bins = int(bins.max())
        place = ventricle.depth / prior.step
        low = place.floor().long().clamp(0, self.bins - 2)
        self.share = (place - low).clamp(0, 1)  # of the pixel that lies beyond bin `low`
        self.at = ventricle.sector * self.bins + low
        self.each = torch.arange(self.bins, device=place.device, dtype=place.dtype) * prior.step
        offset = (self.each.clamp_min(prior.step / 2) / prior.thickness).log() / prior.spread
        # one prior a slice, shared out over the sectors, which are not independent draws
        log_prior = (-0.5 * offset.square() * (6.0 / sectors)).expand(slices, sectors, -1)
        allowed = torch.arange(self.bins, device=place.device) < bins[:, None]
        log_prior = torch.where(allowed[:, None], log_prior, NEVER)
        change = (self.each[:, None] - self.each[None, :]) / (
            prior.roughness * math.sqrt(2 * math.pi / sectors))
        self.ring = Ring(log_prior, -0.5 * change.square(), prior.evidence)
        self.tie = 0.0
        if prior.across > 0:
            self.tie = 0.25 / prior.across**2 * (6.0 / sectors)
        self._take(self.ring.q)
        self.divergence = torch.zeros_like(deepest)

    def _take(self, q: Tensor) -> None:
        self.q, self.thickness = q, q @ self.each
        thicker = q.flip(2).cumsum(2).flip(2).flatten(1)  # P(T >= t) at each bin
        low, high = thicker.gather(1, self.at), thicker.gather(1, self.at + 1)
        between = low * (1 - self.share) + high * self.share
        self.in_wall = between.clamp(0, 1) * self.valid

    def update(self, log_wall: Tensor, log_pool: Tensor, *, tied: bool = True) -> None:
        """Lower the objective in q(T), given (S, P) log densities of each pixel as wall, as pool.

        Slices are tied to those beside them, so every other one moves at a time.
        """
        ratio = self.prior.evidence * (log_wall - log_pool) * self.valid
        histogram = ratio.new_zeros((len(ratio), self.ventricle.sectors * self.bins))
        histogram.scatter_add_(1, self.at, ratio * (1 - self.share))
        histogram.scatter_add_(1, self.at + 1, ratio * self.share)
        evidence = histogram.unflatten(1, (-1, self.bins)).cumsum(2)
        tied = tied and self.tie > 0
        q = self.q.clone()
        for rows in self.ventricle.halves if tied else (slice(None),):
            total = evidence + self._tie(q @ self.each) if tied else evidence
            q[rows], self.divergence[rows] = self.ring.posterior(total, rows)
        self._take(q)

    def select(self, index: Tensor, ventricle: Ventricle, valid: Tensor) -> Endocardium:
        """The posterior of some slices; `ventricle` and `valid` are theirs."""
        part = Endocardium(ventricle, valid, self.prior)
        part._take(self.q[index][..., : part.bins])
        part.divergence = self.divergence[index]
        return part

    def energy(self) -> Tensor:
        """(S,) this term of the objective: the divergence from the prior, and the ties."""
        spread = self.q @ self.each.square()
        count = self.ventricle.beside(torch.ones_like(spread))
        beside = self.ventricle.beside(self.thickness)
        ties = self.tie * (count * spread - self.thickness * beside).sum(1)
        return (self.divergence + ties) / self.prior.evidence

    def _tie(self, thickness: Tensor) -> Tensor:
        """(S, A, N) what the slices beside say for each thickness."""
        count = self.ventricle.beside(torch.ones_like(thickness))[..., None]
        beside = self.ventricle.beside(thickness)[..., None]
        return -self.tie * (count * self.each.square() - 2 * self.each * beside)
