"""Which part of the wall is infarcted: a state for every sector, contiguous around the ring."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.chain import Ring
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


class SectorStates:
    """The posterior of the state of every sector, q(z).

    Attributes
    ----------
    q : (S, A, states).
    """

    def __init__(self, ventricle: Ventricle, prior: SectorPrior, like: Tensor) -> None:
        self.ventricle, self.prior = ventricle, prior
        states = prior.tables.shape[0]
        flat = like.new_zeros((len(ventricle.study), ventricle.sectors, states))
        self.ring = Ring(flat, prior.log_pair(ventricle.sectors), prior.evidence)
        self.q, self.divergence = self.ring.q, flat[:, 0, 0].clone()

    def update(self, log_state: Tensor, in_wall: Tensor, *, tied: bool = True) -> None:
        """Lower the objective in q(z), given (S, P, states) the log density of each pixel as wall
        of a sector in each state, and (S, P) the probability of wall.

        Slices are tied to those beside them, so every other one moves at a time.
        """
        gain = (log_state - log_state[..., :1]) * in_wall[..., None]
        evidence = self.prior.evidence * self.ventricle.by_sector(gain)
        tied = tied and self.prior.across > 0
        q = self.q.clone()
        for rows in self.ventricle.halves if tied else (slice(None),):
            total = (evidence + self.prior.across * self.ventricle.beside(q) if tied
                     else evidence)
            q[rows], self.divergence[rows] = self.ring.posterior(total, rows)
        self.q = q

    def select(self, index: Tensor, ventricle: Ventricle) -> SectorStates:
        """The posterior of some slices; `ventricle` is theirs."""
        part = SectorStates(ventricle, self.prior, self.q)
        part.q, part.divergence = self.q[index], self.divergence[index]
        return part

    def energy(self) -> Tensor:
        """(S,) this term of the objective: the divergence from the prior, and the ties."""
        ties = 0.5 * self.prior.across * (self.q * self.ventricle.beside(self.q)).sum((1, 2))
        return (self.divergence - ties) / self.prior.evidence
