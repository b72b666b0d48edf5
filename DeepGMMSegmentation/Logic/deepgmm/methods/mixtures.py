"""Mixtures without space: GMM and SVGMM from random starts, and EM held at the priors."""

from __future__ import annotations

import torch

from deepgmm.errors import InputError
from deepgmm.methods.problem import Problem, name_components
from deepgmm.model.devices import few_threads
from deepgmm.model.em import fit_em
from deepgmm.model.fit import Fit
from deepgmm.model.starts import several_starts
from deepgmm.model.tails import Tails
from deepgmm.progress import Progress
from deepgmm.settings import Preset

#: Pixels; a class with less is taken for absent.
MINIMUM_MASS = 5.0


def fit_gmm(problem: Problem, progress: Progress, *, spatial: bool = False) -> Fit:
    """Algorithm 1 or 2 from several starts; the best by NLL is named by assignment."""
    s = problem.settings
    paper = s.preset is Preset.PAPER
    starts = 1 if paper else s.restarts
    tissues = len(problem.tissues)
    batch, start = several_starts(problem.batch, tissues, starts=starts, seed=s.seed,
                                  full=problem.full, random=paper)
    if s.degrees < 0 or not 0 <= s.outlier < 1:
        raise InputError("degrees of freedom must be 0 (Gaussian) or more, and the outlier share "
                         "from 0 to below 1")
    tails = Tails(s.degrees or None, s.outlier) if s.degrees or s.outlier else None
    with few_threads(batch.valid.numel()):
        if spatial and not paper:
            # Algorithm 2 has no global weights to hold it: start where Algorithm 1 has settled
            start = fit_em(batch, start, tolerance=1e-3, max_iterations=20, floor=1e-4).mixture
        fit = fit_em(batch, start, spatial=spatial, tails=tails, floor=1e-4,
                     tolerance=1e-4, max_iterations=200, progress=progress)
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
