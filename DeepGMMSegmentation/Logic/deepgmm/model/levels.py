"""How far pool and wall of one slice lie from their study's: coil, timing and breath-hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.gain import EVIDENCE
from deepgmm.model.mixture import Mixture, Moments
from deepgmm.model.ventricle import Ventricle

#: Holds the mean of a study's levels at 0, which its means stand for, against a slice's precision.
CENTRED = 1e4


@dataclass(frozen=True)
class LevelPrior:
    """What is known of the levels of slices before the image is seen; normalised units.

    Attributes
    ----------
    pool, wall : (M,) standard deviation of a slice's level about the study's; 0 for none.
    together : correlation of pool and wall in a slice.
    along : correlation of a slice with the next.
    """

    pool: Tensor
    wall: Tensor
    together: float = 0.66
    along: float = 0.85

    def precision(self, ventricle: Ventricle) -> Tensor:
        """(M, 2 S, 2 S) of pool and wall of every slice, pools first.

        A product: slices of a study are a stationary chain, pool and wall are correlated, and
        the sum over a study is held at 0.
        """
        slices, follows = len(ventricle.study), ventricle.follows.to(self.pool.dtype)
        rest = 1 - self.along**2
        chain = torch.eye(slices, dtype=follows.dtype, device=follows.device)
        tied = follows * self.along**2 / rest
        chain.diagonal()[1:] += tied
        chain.diagonal()[:-1] += tied
        chain.diagonal(1)[:] = chain.diagonal(-1)[:] = -follows * self.along / rest
        same = (ventricle.study[:, None] == ventricle.study).to(follows.dtype)
        spread = torch.stack([self.pool, self.wall], 1).clamp_min(1e-6)  # (M, 2)
        inverse = torch.tensor([[1.0, -self.together], [-self.together, 1.0]]).to(spread)
        inverse = inverse / (1 - self.together**2) / (spread[:, :, None] * spread[:, None])
        both = torch.einsum("mgh,st->mgsht", inverse, chain)
        own = torch.diag_embed(inverse.diagonal(dim1=1, dim2=2))
        both = both + CENTRED * torch.einsum("mgh,st->mgsht", own, same)
        return both.reshape(len(spread), 2 * slices, 2 * slices)


class SliceLevels:
    """An offset of the pool and one of the wall in every slice.

    Attributes
    ----------
    value : (S, 2, M) of pool and wall.
    """

    def __init__(self, ventricle: Ventricle, prior: LevelPrior) -> None:
        self.ventricle, self.prior = ventricle, prior
        self.precision = prior.precision(ventricle)
        self.value = prior.pool.new_zeros((len(ventricle.study), 2, len(prior.pool)))

    def of_tissues(self, tissues: int) -> Tensor:
        """(S, K, M) the level of each tissue: blood takes the pool's, the others the wall's."""
        return torch.cat([self.value[:, :1], self.value[:, 1:].expand(-1, tissues - 1, -1)], 1)

    def fitted(self, batch: PixelBatch, w: Tensor, mixture: Mixture) -> Tensor:
        """(S, 2, M) the levels of least F, given (S, P, K) which Gaussian drew each pixel."""
        moments, study = Moments.of(batch, w), self.ventricle.study
        weight = 1.0 / mixture.covariances[study]
        mass = moments.mass[..., None] * weight
        away = moments.first * weight - mass * mixture.means[study]
        return self.solved(*(torch.stack([part[:, 0], part[:, 1:].sum(1)], 1)
                             for part in (mass, away)))

    def solved(self, mass: Tensor, away: Tensor) -> Tensor:
        """(S, 2, M) levels from (S, 2, M) precisions of what is seen, and those times it."""
        slices, _, sequences = mass.shape
        seen = (EVIDENCE * mass).permute(2, 1, 0).reshape(sequences, -1)
        said = (EVIDENCE * away).permute(2, 1, 0).reshape(sequences, -1, 1)
        found = torch.linalg.solve(self.precision + torch.diag_embed(seen), said)
        return found.reshape(sequences, 2, slices).permute(2, 1, 0)

    def energy(self) -> Tensor:
        """(S,) this term of the objective."""
        slices, _, sequences = self.value.shape
        flat = self.value.permute(2, 1, 0).reshape(sequences, -1, 1)
        pull = (flat * (self.precision @ flat)).reshape(sequences, 2, slices).sum((0, 1))
        return 0.5 * pull / EVIDENCE

    def select(self, index: Tensor, ventricle: Ventricle) -> SliceLevels:
        """The levels of some slices, all of each study; `ventricle` is theirs."""
        part = SliceLevels(ventricle, self.prior)
        part.value = self.value[index]
        return part


def about_levels(moments: Moments, level: Tensor) -> Moments:
    """Moments of the intensities less (S, K, M) what a slice adds to each tissue."""
    mass = moments.mass[..., None]
    return Moments(moments.mass, moments.first - mass * level,
                   moments.second - 2 * level * moments.first + mass * level.square())
