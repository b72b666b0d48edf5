"""Mixtures without space: GMM and SVGMM from random starts, and EM held at the priors."""

from __future__ import annotations

import torch

from deepgmm.errors import InputError
from deepgmm.methods.problem import Problem, name_components
from deepgmm.model.devices import few_threads
from deepgmm.model.em import fit_em
from deepgmm.model.fit import Fit
from deepgmm.model.mixture import m_step
from deepgmm.model.place import Place
from deepgmm.model.starts import several_starts
from deepgmm.model.tails import Tails
from deepgmm.progress import Progress
from deepgmm.settings import Preset

#: Pixels; a class with less is taken for absent.
MINIMUM_MASS = 5.0


def fit_gmm(problem: Problem, progress: Progress, *, spatial: bool = False,
            place: Place | None = None, start: torch.Tensor | None = None) -> Fit:
    """Algorithm 1 or 2 from several starts; the best by NLL is named by assignment.

    Parameters
    ----------
    place, start : where tissues are to be expected, and responsibilities (S, P, K) to begin with;
        both or none. Components are then the tissues whose places they hold, and there is that one
        start.
    """
    s = problem.settings
    paper = s.preset is Preset.PAPER
    starts = 1 if paper or place is not None else s.restarts
    tissues = len(problem.tissues)
    if start is None:
        batch, first = several_starts(problem.batch, tissues, starts=starts, seed=s.seed,
                                      full=problem.full, random=paper)
    else:
        batch = problem.batch
        first = m_step(batch, start.to(problem.dtype), full=problem.full, floor=1e-3)
    if s.degrees < 0 or not 0 <= s.outlier < 1:
        raise InputError("degrees of freedom must be 0 (Gaussian) or more, and the outlier share "
                         "from 0 to below 1")
    tails = Tails(s.degrees or None, s.outlier) if s.degrees or s.outlier else None
    with few_threads(batch.valid.numel()):
        if spatial and not paper:
            # Algorithm 2 has no global weights to hold it: start where Algorithm 1 has settled
            first = fit_em(batch, first, place=place, tolerance=1e-3, max_iterations=20,
                           floor=1e-4).mixture
        fit = fit_em(batch, first, spatial=spatial, tails=tails, place=place, floor=1e-4,
                     tolerance=1e-4, max_iterations=200, progress=progress)
    if place is not None:
        return fit
    named = name_components(problem, fit)
    best = named.best_of(starts)
    if starts > 1:
        best.agreement = _agreement(problem, named, best, starts)
    return best


def _agreement(problem: Problem, named: Fit, best: Fit, starts: int) -> torch.Tensor:
    """(S,) share of the pixels that the other starts give the label of the best."""
    labels = named.posterior.argmax(2).unflatten(0, (starts, -1))
    alike = (labels == best.posterior.argmax(2)).sum(0) - 1  # the best agrees with itself
    return problem.batch.mean(alike.to(problem.dtype) / (starts - 1))


def fit_svgmm(problem: Problem, progress: Progress) -> Fit:
    """Algorithm 2, from several starts."""
    return fit_gmm(problem, progress, spatial=True)


def fit_plain_map(problem: Problem, progress: Progress) -> Fit:
    """EM started and held at the contrast prior, slice by slice and without space."""
    prior = problem.prior()
    start = prior.mixture(problem.batch.slices, full=problem.full)
    with few_threads(problem.batch.valid.numel()):
        return fit_em(problem.batch, start, prior=prior, tolerance=1e-5, max_iterations=200,
                      minimum_mass=MINIMUM_MASS, progress=progress)
