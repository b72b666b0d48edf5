"""Pools lined with trabeculae: muscle mixed into the blood beside the wall, as real ones are.

Experts draw the endocardium outside of the trabeculae, in the dark, so their pixels stay blood.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from deepgmm.model.learning import Examples

#: Pixels from the wall as far as trabeculae reach.
REACH = 6


def grain(rng: np.random.Generator, canvas: tuple[int, int]) -> npt.NDArray[np.float64]:
    """(H, W) white noise, of which `trabeculated` makes grains of about three pixels."""
    return rng.standard_normal(canvas)


def trabeculated(examples: Examples, most: Tensor, width: Tensor, density: Tensor) -> Examples:
    """The slices with muscle mixed into their pools.

    The pool is where labels, or the teacher where there are none, say blood.

    Parameters
    ----------
    most : (S,) share of muscle beside the wall, 0 to 1.
    width : (S,) pixels over which it falls off.
    density : (S, H, W) of `grain`.
    """
    inside = examples.inside
    blood = _blood(examples) * inside
    wall = inside - blood
    share, reached = torch.zeros_like(blood), wall
    for distance in range(1, REACH + 1):
        wider = max_pool2d(reached, 3, stride=1, padding=1)
        falling = torch.exp(-((distance - 0.5) / width) ** 2)[:, None, None, None]
        share = share + (wider - reached).clamp_min(0) * blood * falling
        reached = wider
    grains = torch.sigmoid(4 * avg_pool2d(density[:, None], 3, stride=1, padding=1))
    share = (share * most[:, None, None, None] * 2 * grains).clamp(0, 1)
    muscle = ((examples.values * wall).sum((2, 3), keepdim=True)
              / wall.sum((2, 3), keepdim=True).clamp_min(1))
    mixed = share * (muscle - examples.values) * examples.present[:, :, None, None]
    around = examples.around
    if around is not None:
        own = mixed.shape[1]
        around = torch.cat([around[:, :own] + mixed, around[:, own:]], 1)
    return replace(examples, values=examples.values + mixed, around=around)


def _blood(examples: Examples) -> Tensor:
    """(S, 1, H, W) 1 where a pixel is blood."""
    likely = torch.zeros_like(examples.inside)
    if examples.teacher is not None:
        likely = (examples.teacher[:, :1] > 0.5).to(likely.dtype)
    if examples.labels is None:
        return likely
    labels = examples.labels[:, None]
    return torch.where(labels >= 0, (labels == 0).to(likely.dtype), likely)
