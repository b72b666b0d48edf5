"""Where a tissue is to be expected, as a prior of a free mixture's weights.

A mixture knows intensities alone, and where two tissues are equally bright nothing tells them apart
but where they lie. A(x), the place prior, says so: (S, P, K), sums to 1 inside the mask. It enters
with a weight, of which 0 leaves it out:

    pi of an image     Pi_k(x) = pi_k A_k(x)^weight / sum_j pi_j A_j(x)^weight
    Pi of every pixel  the objective gains  -weight mean_x sum_k A_k(x) log Pi_k(x)

The first is the tissue map of Ashburner and Friston (Unified segmentation, 2005); the second a
Dirichlet prior that counts as `weight` pixels seen at x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.mixture import pixel_weights

#: A place that is not ruled out is so likely at least: what a pixel holds may say otherwise.
LEAST = 1e-4
#: log A(x) of what is ruled out.
NEVER = -50.0


@dataclass(frozen=True)
class Place:
    """The place prior of a batch.

    Attributes
    ----------
    shares : (S, P, K) A(x); where it is 0 a tissue is ruled out.
    weight : above 0; see the module.
    """

    shares: Tensor
    weight: float = 1.0

    def select(self, index: Tensor, pixels: int | None = None) -> Place:
        """Of some slices, of the first so many `pixels`."""
        return Place(self.shares[:, :pixels][index], self.weight)

    def like(self, batch: PixelBatch) -> Place:
        """In the dtype and on the device of a batch."""
        return Place(self.shares.to(batch.values), self.weight)

    @property
    def log(self) -> Tensor:
        """(S, P, K) weight times log A(x)."""
        found = self.weight * self.shares.clamp_min(LEAST).log()
        return torch.where(self.shares > 0, found, NEVER)

    def scaled(self, log_pi: Tensor) -> Tensor:
        """(S, P, K) log Pi(x) from log pi (S, K)."""
        return torch.log_softmax(self.log + log_pi[:, None], dim=2)

    def of(self, w: Tensor) -> Tensor:
        """(S, P, K) log Pi(x) whose pi is the mass of responsibilities w (S, P, K) over that of
        A(x): one step of `rescaled` from A itself."""
        tiny = torch.finfo(w.dtype).eps
        mass, own = w.sum(1), (self.log.exp() * (w.sum(2, keepdim=True) > 0)).sum(1)
        return self.scaled((mass + tiny).log() - (own + tiny).log())

    def rescaled(self, log_weights: Tensor, w: Tensor) -> Tensor:
        """(S, P, K) log Pi(x) after an M-step of pi, which never raises the NLL.

        The normaliser's logarithm lies below its tangent, whose mode is pi_k times the mass of w
        over the mass of Pi_k.
        """
        tiny = torch.finfo(w.dtype).eps
        inside = w.sum(2, keepdim=True) > 0
        ratio = (w.sum(1) + tiny).log() - ((log_weights.exp() * inside).sum(1) + tiny).log()
        # a tissue that is nowhere must not gain by the pixels that fit it best
        ratio = torch.where(self.shares.sum(1) > 0, ratio, 0.0)
        return torch.log_softmax(log_weights + ratio[:, None], dim=2)

    def shrunk(self, w: Tensor) -> Tensor:
        """(S, P, K) log Pi(x) of every pixel: the exact mode under the Dirichlet prior."""
        counted = torch.where(self.shares > 0, w, 0.0) + self.weight * self.shares
        return pixel_weights(counted / counted.sum(2, keepdim=True).clamp_min(1e-12))

    def penalty(self, batch: PixelBatch, log_weights: Tensor) -> Tensor:
        """(S,) what the objective of a Pi of every pixel gains."""
        return -self.weight * batch.mean((self.shares * log_weights).sum(2))


def places(batch: PixelBatch, in_wall: Tensor, beside: Tensor | None, flat: Tensor) -> Tensor:
    """(S, P, K) A(x) of a ventricle: pool or wall, and what its sectors hold so deep, before a
    pixel's own intensities are asked.

    Parameters
    ----------
    in_wall : (S, P) probability of wall; `beside` : (S, P, K - 1) log shares of its tissues,
        or `flat` : (S, K - 1) where there are none by place.
    """
    pool, beside = batch.valid - in_wall, flat[:, None] if beside is None else beside
    return torch.cat([pool[..., None], in_wall[..., None] * torch.softmax(beside, 2)], 2)
