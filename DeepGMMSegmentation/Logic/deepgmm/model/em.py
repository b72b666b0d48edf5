"""Expectation maximisation: Algorithm 1 (GMM), Algorithm 2 (SVGMM) and MAP with priors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.devices import few_threads
from deepgmm.model.fit import Fit
from deepgmm.model.mixture import Mixture, Moments, e_step, m_step, pixel_weights
from deepgmm.model.place import Place
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.tails import Tails
from deepgmm.progress import Progress, share_of, silent

#: Slices fitted together on a CPU: what one iteration touches then stays in its cache.
TOGETHER = 48

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
    place: Place | None = None,
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
    place : where tissues are to be expected; the mixing weights then vary from pixel to pixel.
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
    if place is not None and not mixture.spatial:
        mixture.log_weights = place.scaled(mixture.log_weights)
    if spatial and not mixture.spatial:
        weights = mixture.log_weights[:, None].expand(-1, batch.values.shape[1], -1)
        mixture.log_weights = weights.clone()
    tissues = mixture.means.shape[1]
    labels = batch.values.new_zeros((*batch.valid.shape, tissues))
    nll = batch.values.new_zeros(batch.slices)
    iterations = torch.zeros(batch.slices, dtype=torch.long, device=device)
    converged = torch.zeros(batch.slices, dtype=torch.bool, device=device)
    traces: list[list[float]] = [[] for _ in range(batch.slices)]
    steps = _Steps(prior, tails, spatial, floor)
    groups = _groups(batch)
    for number, group in enumerate(groups):
        part = batch.select(group, int(batch.counts[group].max()))
        first = mixture.select(group, part.valid.shape[1])
        with few_threads(part.valid.numel()):
            where = None if place is None else place.select(group, part.valid.shape[1])
            run = _settle(part, first, steps, where, tolerance, max_iterations,
                          share_of(progress, number / len(groups), 1 / len(groups)))
            nll[group], w = steps.labels(part, run.mixture)
        mixture.write(group, run.mixture)
        labels[group, :w.shape[1]] = w
        iterations[group], converged[group] = run.iterations, run.converged
        for index, trace in zip(group.tolist(), run.traces, strict=True):
            traces[index] = trace
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


def _groups(batch: PixelBatch) -> list[Tensor]:
    """Indices of the slices to be fitted together; slices of a size, so that little is padded."""
    together = TOGETHER if batch.values.device.type == "cpu" else batch.slices
    if batch.slices <= together:
        return [torch.arange(batch.slices, device=batch.values.device)]
    return list(batch.counts.argsort(descending=True).split(together))


@dataclass(frozen=True)
class _Steps:
    """The E- and the M-step that the options ask for."""

    prior: ConjugatePrior | None
    tails: Tails | None
    spatial: bool
    floor: float

    def both(self, batch: PixelBatch, mixture: Mixture,
             place: Place | None = None) -> tuple[Tensor, Mixture]:
        """The objective at these parameters, (S,), and the parameters that follow."""
        if self.tails is not None:
            objective, w, precision = self.tails.e_step(batch, mixture)
            updated = self.tails.m_step(batch, w, precision, full=mixture.full, floor=self.floor)
        else:
            objective, w = e_step(batch, mixture)
            if self.prior is None:
                updated = m_step(batch, w, full=mixture.full, floor=self.floor)
            else:
                objective = objective + self.prior.penalty(mixture)
                alive = None if mixture.spatial else mixture.log_weights.isfinite()
                updated = self.prior.mode(Moments.of(batch, w, full=mixture.full), batch.counts,
                                          alive)
        if place is not None and self.spatial:
            objective = objective + place.penalty(batch, mixture.log_weights)
            updated.log_weights = place.shrunk(w)
        elif place is not None:
            updated.log_weights = place.rescaled(mixture.log_weights, w)
        elif self.spatial:
            updated.log_weights = pixel_weights(w)
        return objective, updated

    def labels(self, batch: PixelBatch, mixture: Mixture) -> tuple[Tensor, Tensor]:
        """(S,) NLL and (S, P, K) posterior of a finished mixture."""
        if self.tails is None:
            return e_step(batch, mixture)
        return self.tails.e_step(batch, mixture)[0], self.tails.posterior(batch, mixture)


@dataclass
class _Run:
    """What became of a group of slices; see `Fit`."""

    mixture: Mixture
    traces: list[list[float]]
    iterations: Tensor
    converged: Tensor


def _settle(batch: PixelBatch, start: Mixture, steps: _Steps, place: Place | None,
            tolerance: float, max_iterations: int, progress: Progress) -> _Run:
    """Iterate until every slice has settled; those that have leave."""
    device = batch.values.device
    mixture, current, work = start.clone(), start, batch
    iterations = torch.zeros(batch.slices, dtype=torch.long, device=device)
    converged = torch.zeros(batch.slices, dtype=torch.bool, device=device)
    active = torch.arange(batch.slices, device=device)
    running = torch.ones_like(converged)
    previous = torch.full_like(batch.counts, float("inf"))
    history: list[Tensor] = []
    for step in range(max_iterations):
        objective, current = steps.both(work, current, place)
        seen = torch.full_like(batch.counts, float("nan"))
        seen[active] = objective
        history.append(seen)
        iterations[active] += running
        done = running & ((previous - objective).abs() < tolerance)
        previous = objective
        if bool(done.any()):
            converged[active[done]] = True
            mixture.write(active[done], current.select(done))
            running = running & ~done
            left = int(running.sum())
            if left == 0:
                break
            if left < LEAVING * len(running):
                active, previous = active[running], previous[running]
                longest = int(work.counts[running].max())
                work, current = work.select(running, longest), current.select(running, longest)
                place = None if place is None else place.select(running, longest)
                running = running[running]
        progress((step + 1) / max_iterations, "EM")
    mixture.write(active[running], current.select(running))
    traces = [trace[: int(n)] for trace, n in
              zip(torch.stack(history, 1).tolist(), iterations.tolist(), strict=True)]
    return _Run(mixture, traces, iterations, converged)
