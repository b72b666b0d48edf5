"""The radial atlas of the left ventricle: which tissue to expect how deep below the epicardium."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RadialAtlas:
    """Shares of tissues by depth, before an image is seen.

    Attributes
    ----------
    thickness : median thickness of the wall, mm, and `spread` : standard deviation of its
        logarithm.
    outer, inner : shares of myocardium, edema and scar in the wall at the epicardium and at the
        endocardium, linear in between; each sums to 1.
    """

    thickness: float
    spread: float
    outer: tuple[float, float, float]
    inner: tuple[float, float, float]

    def log_shares(self, depth: Tensor) -> Tensor:
        """(S, P, 4) log probability of blood, myocardium, edema and scar.

        Parameters
        ----------
        depth : (S, P) mm from the epicardium.
        """
        distance = (depth.clamp_min(1e-3).log() - math.log(self.thickness)) / self.spread
        pool = 0.5 * (1 + torch.erf(distance / math.sqrt(2)))
        inward = (depth / self.thickness).clamp(0, 1)[..., None]
        shares = depth.new_tensor(self.outer) * (1 - inward) + depth.new_tensor(self.inner) * inward
        wall = shares * (1 - pool)[..., None]
        return torch.cat([pool[..., None], wall], dim=2).clamp_min(1e-4).log()
