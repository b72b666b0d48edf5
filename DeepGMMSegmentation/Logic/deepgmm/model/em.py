"""Expectation maximisation: Algorithm 1 (GMM), Algorithm 2 (SVGMM) and MAP with priors."""

from __future__ import annotations

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.fit import Fit, Progress, silent
from deepgmm.model.mixture import (
    Mixture,
    Moments,
    log_joint,
    m_step,
    negative_log_likelihood,
    posterior,
)
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.tails import Tails

#: Converged slices leave the batch once fewer than this share of it still runs: each leaving
#: copies what stays.
LEAVING = 0.75


def fit_em(
    batch: PixelBatch,
    start: Mixture,
    *,
    spatial: bool = False,
    prior: ConjugatePrior | None = None,
    tails: Tails | None = None,
    floor: float = 1e-6,
    tolerance: float = 1e-3,
    max_iterations: int = 100,
    minimum_mass: float = 0.0,
    progress: Progress = silent,
) -> Fit:
    """Run EM on every slice of a batch; slices that have converged leave it.

    Parameters
    ----------
    start : (S, ...) mixtures; diagonal or full covariances stay what they are.
    spatial : Algorithm 2, with Pi(x) <- w(x) instead of pi <- mean w.
    prior : penalises means, covariances and weights; the M-step is then its exact mode and
        `floor` is not used.
    tails : Student-t components or an outlier class; not together with a prior.
    floor : added to every variance after the division (scikit-learn's `reg_covar`).
    tolerance : a slice stops when its objective changes by less between two E-steps.
    max_iterations : E- and M-steps at most.
    minimum_mass : pixels; with a prior, a class that ends with less is taken out of its slice,
        and the slice goes on without it.

    Returns
    -------
    Fit
        Its `traces` hold the objective at each E-step, that is before the M-step that follows
        it; `posterior` comes from a last E-step, so that labels agree with the parameters.

    Raises
    ------
    ValueError : for tails together with a prior.
    """
    if prior is not None and tails is not None:
        raise ValueError("tails and a prior cannot be combined")
    device = batch.values.device
    mixture = start.clone()
    if spatial and not mixture.spatial:
        weights = mixture.log_weights[:, None].expand(-1, batch.values.shape[1], -1)
        mixture.log_weights = weights.clone()
    iterations = torch.zeros(batch.slices, dtype=torch.long, device=device)
    converged = torch.zeros(batch.slices, dtype=torch.bool, device=device)
    active = torch.arange(batch.slices, device=device)
    running = torch.ones_like(active, dtype=torch.bool)
    work, current = batch, mixture.clone()
    previous = torch.full((batch.slices,), float("inf"), dtype=batch.values.dtype, device=device)
    history: list[Tensor] = []
    for step in range(max_iterations):
        if tails is None:
            objective, w = _e_step(work, current, prior)
            updated = _m_step(work, w, current, prior=prior, floor=floor)
        else:
            objective, w, precision = tails.e_step(work, current)
            updated = tails.m_step(work, w, precision, full=current.full, floor=floor)
        if spatial:
            updated.log_weights = w.clamp_min(torch.finfo(w.dtype).tiny).log()
        current = updated
        seen = objective.new_full((batch.slices,), float("nan"))
        seen[active[running]] = objective[running]
        history.append(seen)
        iterations[active[running]] += 1
        done = running & ((previous - objective).abs() < tolerance)
        previous = objective
        if bool(done.any()):
            converged[active[done]] = True
            mixture.write(active[done], current.select(done))
            running = running & ~done
            if not bool(running.any()):
                break
            if running.double().mean() < LEAVING:
                active, previous = active[running], previous[running]
                work, current = work.select(running), current.select(running)
                running = running[running]
        progress((step + 1) / max_iterations, "EM")
    mixture.write(active[running], current.select(running))
    traces = [trace[: int(n)] for trace, n in
              zip(torch.stack(history, 1).tolist(), iterations.tolist(), strict=True)]
    if tails is None:
        labels, nll = posterior(batch, mixture), negative_log_likelihood(batch, mixture)
    else:
        labels, nll = tails.posterior(batch, mixture), tails.e_step(batch, mixture)[0]
    fit = Fit(mixture, labels, nll, traces, iterations, converged)
    mass = fit.posterior.sum(1)
    starved = (mass > 0) & (mass < minimum_mass)
    if prior is None or spatial or not bool(starved.any()):
        return fit
    mixture.log_weights[starved] = -torch.inf
    mixture.log_weights = torch.log_softmax(mixture.log_weights, dim=1)
    again = fit_em(batch, mixture, prior=prior, tolerance=tolerance, minimum_mass=minimum_mass,
                   max_iterations=max_iterations)
    again.traces = [a + b for a, b in zip(traces, again.traces, strict=True)]
    again.iterations = again.iterations + iterations
    return again


def _e_step(batch: PixelBatch, mixture: Mixture,
            prior: ConjugatePrior | None) -> tuple[Tensor, Tensor]:
    """The objective at these parameters, (S,), and the responsibilities (S, P, K)."""
    joint = log_joint(batch, mixture)
    log_evidence = torch.logsumexp(joint, dim=2)
    objective = -batch.mean(log_evidence)
    if prior is not None:
        objective = objective + prior.penalty(mixture)
    return objective, (joint - log_evidence[:, :, None]).exp() * batch.valid[:, :, None]


def _m_step(batch: PixelBatch, w: Tensor, mixture: Mixture, *, prior: ConjugatePrior | None,
            floor: float) -> Mixture:
    if prior is None:
        return m_step(batch, w, full=mixture.full, floor=floor)
    alive = None if mixture.spatial else mixture.log_weights.isfinite()
    return prior.mode(Moments.of(batch, w, full=mixture.full), batch.counts, alive)
