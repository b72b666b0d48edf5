"""The anchored fit taken up again where some pixels' tissues are known.

A known pixel is no longer asked: its responsibility is its tissue's, its place in pool or wall is
told to the contour, and its tissue to its sector's state. How much it weighs follows how likely its
tissue drew it: one that the images contradict moves no mean, no contour and no state.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from deepgmm.model.anchored import AnchoredOptions, _AnchoredFit, _Evidence
from deepgmm.model.batch import PixelBatch
from deepgmm.model.fit import Fit
from deepgmm.model.mixture import Mixture
from deepgmm.model.pool import log_box
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.ventricle import Ventricle
from deepgmm.progress import Progress, silent

#: Of a pixel's tissue: nobody has said it; it is none, and the pixel is left out.
FREE, NONE = -1, -2
#: Log-likelihood by which a known pixel tells the contour whether it is wall.
SURE = 8.0
#: A known pixel is half believed where another tissue is so much likelier, log-likelihood.
BELIEVED = 4.0
#: No probability that a fit is begun from is nearer to 0 or 1.
_LEAST = 1e-3


def refit_anchored(batch: PixelBatch, ventricle: Ventricle, prior: ConjugatePrior,
                   options: AnchoredOptions, posterior: Tensor, known: Tensor, *,
                   weight: float = 1.0, progress: Progress = silent) -> tuple[Fit, Tensor]:
    """Go on with the fit of one study, from what it had found.

    Parameters
    ----------
    options : its `iterations` are the rounds at most.
    posterior : (S, P, K) as the fit left it; of the tissues it is the only state needed, for
        means, levels, sectors and thickness follow from it.
    known : (S, P) long, the tissue of each pixel, or `FREE` or `NONE`.
    weight : of a known pixel, beside one that is not.

    Returns
    -------
    Fit, whose posterior is certain of known pixels, and (S, P) how much each known pixel weighed,
    0 to 1; 0 elsewhere.
    """
    running = _Clamped(batch, ventricle, prior, options, posterior, known, weight)
    settled = torch.zeros(ventricle.studies, dtype=torch.bool, device=known.device)
    for round_ in range(1, options.iterations + 1):
        settled = running.round()
        progress(round_ / options.iterations, "anchored EM")
        if bool(settled.all()):
            break
    return running.fit(settled), running.trust


def believed(batch: PixelBatch, density: Tensor, known: Tensor, outlier: float,
             pool: Tensor | None = None) -> Tensor:
    """How much each known pixel is believed: how likely its tissue drew it, beside the likeliest.

    With several sequences outliers count, which are as likely under every tissue. On one alone
    that would leave hardly a pixel too unlike its tissue to be believed: there Gaussians speak.

    Parameters
    ----------
    density : (S, P, K) log N of each pixel under each tissue.
    known : (S, P) long, its tissue, or `FREE` or `NONE`.
    outlier : share of outliers.
    pool : (S, P) with several sequences, log-likelihood of the pool; by default the likelier of
        blood and muscle, for it holds both.

    Returns
    -------
    (S, P) from 0 to 1; 0 where no tissue is known.
    """
    if batch.sequences > 1:
        density = torch.logaddexp(density, torch.full_like(density, log_box(batch, outlier)))
    if pool is None or batch.sequences == 1:
        pool = density[..., :2].amax(2)
    density = torch.cat([pool[..., None], density[..., 1:]], dim=2)
    own = density.gather(2, known.clamp_min(0)[..., None])[..., 0]
    return torch.sigmoid(BELIEVED + own - density.amax(2)) * (known >= 0)


class _Clamped(_AnchoredFit):
    """A fit under way in which some pixels are known.

    Attributes
    ----------
    told : (S, P) `known`, once what the fit had been without it is found again.
    trust : (S, P) how much each known pixel is believed: by how likely its tissue drew it, beside
        the likeliest, before anything was known. What follows cannot make itself likely.
    """

    def __init__(self, batch: PixelBatch, ventricle: Ventricle, prior: ConjugatePrior,
                 options: AnchoredOptions, posterior: Tensor, known: Tensor,
                 weight: float) -> None:
        self.known, self.begun, self.weight = known, posterior, weight
        self.told = torch.full_like(known, FREE)
        self.trust = torch.zeros_like(batch.valid)
        super().__init__(batch, ventricle, prior, options)

    def _geometric_start(self) -> None:
        self._begin(self.begun)
        self._m_step()
        self.trust = self._trusted()
        self.told = self.known
        self._begin(torch.where((self.told >= 0)[..., None], self._certain(), self.begun))

    def _begin(self, posterior: Tensor) -> None:
        """Wall and pool, the tissues of the wall and its states as a posterior has them."""
        wall = (1 - posterior[..., 0]) * self.batch.valid
        self.tissue = posterior[..., 1:] / wall.clamp_min(_LEAST)[..., None]
        self.tissue[..., 0] += (1 - self.tissue.sum(2)).clamp_min(0)
        self.inlier = torch.ones_like(posterior)
        self.parts = torch.stack([self.batch.valid, torch.zeros_like(self.batch.valid)], 2)
        if self.ventricle.wall is None:
            sure = wall.clamp(_LEAST, 1 - _LEAST)
            self.wall.update(sure.log(), (1 - sure).log(), tied=False)
            self.wall.in_wall = wall  # pixel by pixel, until the contour is found again
        self.posterior = posterior
        if self.sectors is not None:
            self._refresh_geometry()
            assert self.tables is not None
            said = torch.einsum("spk,spzk->spz", self.tissue, self.tables.log())
            self.sectors.update(said, self.in_wall, tied=False)

    def _trusted(self) -> Tensor:
        """(S, P) `trust` under the mixture of now."""
        return believed(self.batch, self._density(self.mixture), self.known, self.options.outlier,
                        super()._evidence(self.mixture).pool)

    @property
    def in_wall(self) -> Tensor:
        """(S, P) w(x)."""
        found = super().in_wall
        return torch.where(self.told >= 0, (self.told >= 1).to(found.dtype), found)

    def _certain(self) -> Tensor:
        """(S, P, K) all of each known pixel to its tissue, 0 elsewhere."""
        certain = torch.zeros_like(self.begun)
        certain.scatter_(2, self.told.clamp_min(0)[..., None], 1.0)
        return certain * (self.told >= 0)[..., None]

    def _responsibilities(self) -> Tensor:
        w, weight = super()._responsibilities(), self.weight * self.trust
        w = torch.where((self.told >= 0)[..., None], weight[..., None] * w, w)
        return w.masked_fill((self.told == NONE)[..., None], 0.0)

    def _evidence(self, mixture: Mixture) -> _Evidence:
        found = super()._evidence(mixture)
        wall, pool, none = self.told >= 1, self.told == 0, self.told == NONE
        # of a wall pixel that is known, only its own tissue speaks
        column = (self.told - 1).clamp_min(0)[..., None, None].expand(*found.tissue.shape[:3], 1)
        mine = found.tissue.gather(3, column)[..., 0]
        never = torch.full_like(found.tissue, -1e4).scatter(3, column, mine[..., None])
        tissue = torch.where(wall[..., None, None], never, found.tissue)
        # what it says of its sector's state, and of the contour, by its trust
        weight = self.weight * self.trust
        middle = mine.mean(2, keepdim=True)
        mine = middle + weight[..., None] * (mine - middle)
        state = torch.where(wall[..., None], mine, found.state)
        state = torch.where(pool[..., None], (found.pool - SURE * weight)[..., None], state)
        of_pool = torch.where(wall, state.amax(2) - SURE * weight, found.pool)
        return replace(found, tissue=tissue, state=state.masked_fill(none[..., None], 0.0),
                       pool=of_pool.masked_fill(none, 0.0))

    def _posterior(self, tissue: Tensor) -> Tensor:
        found = super()._posterior(tissue)
        return torch.where((self.told >= 0)[..., None], self._certain(), found)
