"""The compatibility Markov random field: which tissues like to lie side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from deepgmm.model.ventricle import Ventricle


def sweep(ventricle: Ventricle, log_potential: Tensor, q: Tensor, compatibility: Tensor,
          presence: Tensor) -> Tensor:
    """One chequerboard sweep of mean field; the free energy never rises.

    q(x) is proportional to exp(log_potential(x) + sum over the four neighbours of
    presence * compatibility @ q(neighbour)). Sites of one colour have no neighbours of their
    own colour, so each half-sweep minimises exactly over its sites.

    Parameters
    ----------
    log_potential, q : (S, P, K); `compatibility` : (K, K), symmetric.
    presence : (S, P) 0 to 1, how much a site takes part (the pair counts by the product).
    """
    for colour in (0, 1):
        here = (ventricle.dark == colour)[..., None]
        message = messages(ventricle, q, compatibility, presence)
        q = torch.where(here, torch.softmax(log_potential + message, dim=2), q)
    return q


def smoothed(ventricle: Ventricle, q: Tensor, compatibility: Tensor, presence: Tensor,
             *, sweeps: int = 10, tolerance: float = 1e-3) -> Tensor:
    """(S, P, K) probabilities after the field: sweeps from q, which is also the potential.

    Each slice is swept until its probabilities change by less than `tolerance` on average.
    """
    log_potential, moving = q.clamp_min(1e-12).log(), torch.ones_like(presence[:, 0]) > 0
    for _ in range(sweeps):
        after = sweep(ventricle, log_potential, q, compatibility, presence)
        change = ((after - q).abs().sum(2) * presence).sum(1) / presence.sum(1).clamp_min(1e-9)
        q = torch.where(moving[:, None, None], after, q)
        moving = moving & (change >= tolerance)
        if not moving.any():
            break
    return q


def messages(ventricle: Ventricle, q: Tensor, compatibility: Tensor, presence: Tensor) -> Tensor:
    """(S, P, K) what the neighbours say to each site."""
    said = ventricle.around(q * presence[..., None]).sum(2) @ compatibility
    return said * presence[..., None]


def free_energy(ventricle: Ventricle, log_potential: Tensor, q: Tensor, compatibility: Tensor,
                presence: Tensor, valid: Tensor) -> Tensor:
    """(S,) mean-field free energy: - entropy - expected potential - half the pair terms."""
    pairs = 0.5 * (q * messages(ventricle, q, compatibility, presence)).sum(2)
    own = (q * (q.clamp_min(1e-300).log() - log_potential)).sum(2)
    return ((own - pairs) * valid).sum(1)
