"""`map`: prior-anchored EM that knows the ventricle, and says which disease is not there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from deepgmm.identify.absence import (
    EDEMA_ALONE_LEAST,
    EDEMA_LEAST,
    SCAR_LEAST,
    Support,
    support,
)
from deepgmm.identify.anatomy import anchored_options
from deepgmm.methods.mixtures import fit_plain_map
from deepgmm.methods.problem import Problem
from deepgmm.model.anchored import AnchoredOptions, fit_anchored
from deepgmm.model.devices import few_threads
from deepgmm.model.fit import Fit, Progress
from deepgmm.model.mixture import Mixture
from deepgmm.settings import Papillary
from deepgmm.study.words import Role, Tissue

#: The sequence that shows a disease, and the tissues that are bright there with it.
SHOWN_BY = {Tissue.SCAR: (Role.LGE, (Tissue.SCAR,)),
            Tissue.EDEMA: (Role.T2, (Tissue.EDEMA, Tissue.SCAR))}

#: Fitted on phantom patients of seeds 100 to 115; see the calibration table.
TEMPERATURE = 2.0


@dataclass(frozen=True)
class Terms:
    """The terms of the anchored fit, each of which can be switched off (for the ablation).

    Attributes
    ----------
    anchor : move the contrast priors to this patient's blood and outer wall.
    sectors : the states of the wall's sectors and their depth tables.
    field : the compatibility of neighbours.
    gain : a gain per slice.
    blends : mixtures of blood and muscle in the pool.
    outlier : the outlier density.
    gaps : the least contrast of a disease.
    across : the tie of wall and sectors between slices.
    absence : the test whether a disease is there at all.
    """

    anchor: bool = True
    sectors: bool = True
    field: bool = True
    gain: bool = True
    blends: bool = True
    outlier: bool = True
    gaps: bool = True
    across: bool = True
    absence: bool = True

    def applied(self, options: AnchoredOptions) -> AnchoredOptions:
        """The options with the terms that are off taken out."""
        sectors = options.sectors if self.sectors else None
        wall = options.wall
        if not self.across:
            wall = replace(wall, across=0.0)
            sectors = None if sectors is None else replace(sectors, across=0.0)
        return replace(
            options, wall=wall, sectors=sectors,
            compatibility=options.compatibility if self.field else None,
            gain=options.gain if self.gain else None, gaps=options.gaps if self.gaps else None,
            papillary=options.papillary if self.blends else 1e-6,
            outlier=options.outlier if self.outlier else 0.0)


ALL_TERMS = Terms()


def fit_map(problem: Problem, progress: Progress, *, terms: Terms = ALL_TERMS) -> Fit:
    """Anchored EM; component k is tissue k throughout.

    A disease that the data do not support is taken out and the rest fitted again, so that an
    absent tissue is reported absent instead of painted.
    """
    if problem.tissues[:2] != (Tissue.BLOOD, Tissue.MYOCARDIUM):
        return fit_plain_map(problem, progress)
    sought, warnings = problem.tissues, []
    while True:
        part = problem.for_tissues(sought)
        options = terms.applied(
            anchored_options(sought, part.study.roles, part.device, part.dtype))
        options.papillary_in_wall = problem.settings.papillary is Papillary.WALL
        with few_threads(part.batch.valid.numel()):
            fit = fit_anchored(part.batch, part.ventricle, part.prior(anchored=terms.anchor),
                               options, progress=progress)
        if not terms.absence:
            break
        found = {t: judged(part, fit, t) for t in sought if t in SHOWN_BY}
        scarred = Tissue.SCAR in found and found[Tissue.SCAR].suffices(SCAR_LEAST)
        least = {Tissue.SCAR: SCAR_LEAST,
                 Tissue.EDEMA: EDEMA_LEAST if scarred else EDEMA_ALONE_LEAST}
        absent = {t: s for t, s in found.items() if not s.suffices(least[t])}
        if not absent:
            break
        sought = tuple(t for t in sought if t not in absent)
        warnings += [f"no {t.title.lower()} was found: what looked like it covers "
                     f"{s.share:.1%} of the wall{_in_words(s)}" for t, s in absent.items()]
    fit.warnings = warnings
    fit.posterior = tempered(fit.posterior, TEMPERATURE)
    return widened(problem, fit, sought)


def tempered(posterior: torch.Tensor, temperature: float) -> torch.Tensor:
    """(S, P, K) probabilities raised to 1 / temperature and normalised; no label changes.

    Neighbouring pixels share noise and partial volume, so their posteriors are surer than they
    have a right to be (Guo et al. 2017 for the method).
    """
    floor = 1e-9
    soft = torch.where(posterior > floor, posterior, 0.0) ** (1 / temperature)
    return soft / soft.sum(2, keepdim=True).clamp_min(floor)


def _in_words(found: Support) -> str:
    if np.isnan(found.contrast):
        return ""
    return f" and stands out by {found.contrast:.1f} standard deviations of the sectors without"


def judged(problem: Problem, fit: Fit, tissue: Tissue) -> Support:
    """What speaks for one disease in a fit."""
    role, bright = SHOWN_BY[tissue]
    if role not in problem.study.roles:
        role = problem.study.roles[-1]
    valid = problem.batch.valid.cpu().numpy() > 0
    labels = np.asarray(problem.tissues)[fit.posterior.argmax(2).cpu().numpy()]
    wall = valid & (labels != Tissue.BLOOD)
    values = problem.batch.values[..., problem.study.roles.index(role)].cpu().numpy()
    sector, sectors = problem.ventricle.sector.cpu().numpy(), problem.ventricle.sectors
    whole = support(np.isin(labels, bright), wall, values, sector, sectors)
    own = support(labels == tissue, wall, values, sector, sectors)
    return replace(whole, share=own.share)


def widened(problem: Problem, fit: Fit, sought: tuple[Tissue, ...]) -> Fit:
    """A fit of some tissues as one of all: the absent have weight 0 and the prior's contrast."""
    if sought == problem.tissues:
        return fit
    prior = problem.prior(anchored=True)
    place = torch.tensor([problem.tissues.index(t) for t in sought], device=fit.nll.device)
    mixture = prior.mixture(problem.batch.slices)
    mixture.log_weights = torch.full_like(mixture.log_weights, -torch.inf)
    for name in ("log_weights", "means", "covariances"):
        getattr(mixture, name)[:, place] = getattr(fit.mixture, name)
    posterior = fit.posterior.new_zeros((*fit.posterior.shape[:2], len(problem.tissues)))
    posterior[..., place] = fit.posterior
    return replace(fit, mixture=Mixture(mixture.log_weights, mixture.means, mixture.covariances),
                   posterior=posterior)
