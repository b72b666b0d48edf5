"""Which part of the wall is infarcted: a state for every sector, contiguous around the ring."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.chain import ring_marginals
from deepgmm.model.ventricle import Ventricle


@dataclass(frozen=True)
class SectorPrior:
    """States of a wall sector and what tissue each holds at which depth.

    Attributes
    ----------
    tables : (states, depths, K) probability of each tissue; depth runs from the epicardium
        (first) to the endocardium (last). The first state is healthy wall.
    arc : mean length of a diseased arc, radians; `burden` : share of the ring that is diseased.
    evidence : how much of a pixel's log-likelihood counts for its sector's state.
    across : strength of the tie to the same sector of the neighbouring slices.
    """

    tables: Tensor
    arc: float = 1.2
    burden: float = 0.2
    evidence: float = 0.2
    across: float = 0.75

    def log_pair(self, sectors: int) -> Tensor:
        """(states, states) log transition to the next sector."""
        states = self.tables.shape[0]
        leave = min(2 * torch.pi / sectors / self.arc, 0.5)
        enter = leave * self.burden / (1 - self.burden)
        pair = self.tables.new_full((states, states), leave / max(states - 1, 1))
        pair[0] = enter / max(states - 1, 1)
        pair.fill_diagonal_(1 - leave)
        pair[0, 0] = 1 - enter
        return pair.log()

    def tissue_tables(self, relative_depth: Tensor) -> Tensor:
        """(S, P, states, K) tissue probabilities at each pixel's depth, linear in between."""
        depths = self.tables.shape[1]
        position = relative_depth.clamp(0, 1) * (depths - 1)
        low = position.floor().long().clamp(0, max(depths - 2, 0))
        share = (position - low)[..., None, None]
        by_depth = self.tables.transpose(0, 1)
        return by_depth[low] * (1 - share) + by_depth[(low + 1).clamp_max(depths - 1)] * share


def sector_states(ventricle: Ventricle, log_tissue: Tensor, tables: Tensor, in_wall: Tensor,
                  prior: SectorPrior, before: Tensor | None = None) -> Tensor:
    """Posterior of every sector's state.

    Parameters
    ----------
    log_tissue : (S, P, K) log densities; `tables` : (S, P, states, K) of `tissue_tables`.
    in_wall : (S, P) probability of wall, 0 outside the mask.
    before : (S, A, states) the posterior of the round before, for the tie between slices that
        follow each other in the batch; None for none.

    Returns
    -------
    (S, A, states) posterior.
    """
    states = tables.shape[2]
    top = log_tissue.amax(2, keepdim=True)
    likelihood = torch.einsum("spak,spk->spa", tables, (log_tissue - top).exp())
    log_state = likelihood.clamp_min(1e-300).log()
    gain = (log_state - log_state[..., :1]) * in_wall[..., None]
    log_unary = prior.evidence * ventricle.by_sector(gain)
    if before is not None and prior.across > 0 and states > 1:
        tie = torch.zeros_like(before)
        tie[1:] += before[:-1]
        tie[:-1] += before[1:]
        log_unary = log_unary + prior.across * tie
    marginals, _ = ring_marginals(log_unary, prior.log_pair(ventricle.sectors))
    return marginals
