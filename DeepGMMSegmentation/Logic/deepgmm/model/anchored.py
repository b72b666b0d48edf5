"""Anchored, spatially aware EM: tissues held by contrast priors, places by the ventricle.

One mixture for the whole study, and for every pixel three questions, each answered given the
others: is it wall or pool (`endocardium`), is its sector diseased (`sectors`), what do its
neighbours say (`field`). The M-step is the conjugate mode of `priors`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.endocardium import WallPrior, wall_probability
from deepgmm.model.field import sweep
from deepgmm.model.fit import Fit, Progress, silent
from deepgmm.model.mixture import (
    Mixture,
    Moments,
    log_density,
    negative_log_likelihood,
)
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.sectors import SectorPrior, sector_states
from deepgmm.model.ventricle import Ventricle


@dataclass
class AnchoredOptions:
    """The terms of the anchored fit. Component 0 is the pool's blood, 1 the healthy wall.

    Attributes
    ----------
    wall : prior on the wall's thickness.
    sectors : states of the wall; None for a wall of one tissue, or to switch the term off.
    compatibility : (K, K) what neighbouring wall pixels prefer; None switches the field off.
    papillary : share of the pool that is not pure blood: papillary muscle, trabeculae and
        their partial volume with blood, from all muscle to three quarters blood in four steps.
        At 0.8 all five compositions of the pool are equally likely.
    papillary_in_wall : label papillary muscle as healthy wall instead of pool.
    outlier : share of every tissue that lies anywhere in the mask's intensity box, so that
        one pixel's evidence for a tissue is bounded.
    gaps : (K, M) how many standard deviations of healthy wall a tissue's mean must stand above
        the healthy mean; -inf for no demand. Without it a disease that is absent takes over
        part of the healthy wall.
    gain : (M,) standard deviation of a slice's log gain; 0 for the same gain everywhere.
    dark : where zero intensity is taken to lie, normalised units; the gain acts about it. The
        darkest percentiles of a mask are near zero on every sequence, and told from them, not
        from the file's zero, the fit is the same for a I + b.
    iterations, tolerance : EM rounds at most, and the mean change of the posterior at which
        the fit has settled.
    """

    wall: WallPrior = field(default_factory=WallPrior)
    sectors: SectorPrior | None = None
    compatibility: Tensor | None = None
    papillary: float = 0.8
    papillary_in_wall: bool = False
    outlier: float = 0.02
    gaps: Tensor | None = None
    gain: Tensor | None = None
    dark: float = -1.15
    iterations: int = 40
    tolerance: float = 1e-3


@dataclass
class _State:
    """What one round hands to the next.

    Attributes
    ----------
    in_wall : (S, P) probability of wall; `tissue` : (S, P, K - 1) of each tissue there.
    pool_parts : (S, P, 2) in the pool, the shares of pure blood and of muscle.
    inlier : (S, P, K) that a tissue's Gaussian, not the outlier density, drew the pixel.
    states : (S, A, states) of the sectors; `thickness` : (S, A) of the wall, mm.
    """

    in_wall: Tensor
    tissue: Tensor
    pool_parts: Tensor
    inlier: Tensor
    states: Tensor | None
    thickness: Tensor


def fit_anchored(batch: PixelBatch, ventricle: Ventricle, prior: ConjugatePrior,
                 options: AnchoredOptions, *, progress: Progress = silent) -> Fit:
    """Fit one study: every slice of the batch shares means and covariances.

    Returns
    -------
    Fit
        `posterior` labels the pixels: blood is the pool, papillary muscles included.
    """
    state = _geometric_start(batch, ventricle, prior, options)
    given, gain = batch, batch.values.new_ones((batch.slices, batch.sequences))
    previous, trace, converged = None, [], False
    for round_ in range(options.iterations):
        mixture = _m_step(batch, state, prior, options)
        if options.gain is not None:
            gain = slice_gain(given, _weights(given, state), mixture, gain, options)
            batch = replace(given, values=_without_gain(given, gain, options.dark))
        state = _e_step(batch, ventricle, mixture, state, options)
        everything = _posterior(batch, state, options)
        trace.append(_objective(batch, mixture, prior, everything))
        progress((round_ + 1) / options.iterations, "anchored EM")
        if previous is not None:
            change = float((everything - previous).abs().sum() / batch.valid.sum())
            if change < options.tolerance:
                converged = True
                break
        previous = everything
    return _fit(given, mixture, gain, options.dark, everything, trace, converged)


def _geometric_start(batch: PixelBatch, ventricle: Ventricle, prior: ConjugatePrior,
                     options: AnchoredOptions) -> _State:
    """Wall and pool from thickness alone; tissues in the wall from the contrast prior."""
    zero = torch.zeros_like(ventricle.depth)
    in_wall, thickness = wall_probability(ventricle, zero, zero, batch.valid, options.wall)
    if ventricle.wall is not None:
        in_wall = ventricle.wall
    mixture = prior.mixture(1)
    density = log_density(batch, mixture.means.expand(batch.slices, -1, -1),
                          mixture.covariances.expand(batch.slices, -1, -1))
    weights = mixture.log_weights[:, None, 1:]
    tissue = torch.softmax(density[..., 1:] + weights, dim=2)
    blood = torch.tensor([1.0, 0.0], dtype=zero.dtype, device=zero.device)
    return _State(in_wall * batch.valid, tissue, blood.expand(*zero.shape, 2),
                  torch.ones_like(density), None, thickness)


def _m_step(batch: PixelBatch, state: _State, prior: ConjugatePrior,
            options: AnchoredOptions) -> Mixture:
    """Means and covariances of the study from all its slices; (1, K, ...)."""
    moments = Moments.of(batch, _weights(batch, state))
    total = Moments(moments.mass.sum(0, keepdim=True), moments.first.sum(0, keepdim=True),
                    moments.second.sum(0, keepdim=True))
    mixture = prior.mode(total, batch.counts.sum()[None])
    if options.gaps is not None:
        healthy = mixture.means[:, 1:2], mixture.covariances[:, 1:2].sqrt()
        mixture.means = torch.maximum(mixture.means, healthy[0] + options.gaps * healthy[1])
    return mixture


def _weights(batch: PixelBatch, state: _State) -> Tensor:
    """(S, P, K) which Gaussian drew each pixel; blends and outliers count for none."""
    pool = batch.valid - state.in_wall
    wall = state.in_wall[..., None] * state.tissue
    blood, muscle = (pool[..., None] * state.pool_parts).split(1, dim=2)
    return torch.cat([blood, wall[..., :1] + muscle, wall[..., 1:]], dim=2) * state.inlier


def slice_gain(batch: PixelBatch, w: Tensor, mixture: Mixture, gain: Tensor,
               options: AnchoredOptions) -> Tensor:
    """(S, M) how much brighter each slice is than the study, with prior N(0, gain^2) on its log.

    Least squares of the intensities above `dark` on the study's means, weighted by the
    responsibilities; one Gauss-Newton step in the log gain. The mean log gain is 0.
    """
    moments = Moments.of(batch, w)
    expected = mixture.means - options.dark
    seen = moments.first + moments.mass[..., None] * -options.dark
    precision = 1.0 / mixture.covariances
    # the model is seen = gain * expected, its noise scaled by the gain as well
    assert options.gain is not None
    slope = (moments.mass[..., None] * expected.square() * precision).sum(1)
    fitted = (seen * expected * precision).sum(1) / slope.clamp_min(1e-12)
    evidence = slope * 0.1  # neighbouring pixels share their noise
    step = (fitted / gain).clamp(0.25, 4.0).log()
    loose = options.gain.square() * evidence
    log_gain = loose / (loose + 1) * (gain.log() + step)
    return (log_gain - log_gain.mean(0)).exp()


def _without_gain(batch: PixelBatch, gain: Tensor, dark: float) -> Tensor:
    """(S, P, M) values as they would be at gain 1."""
    level = (batch.values - dark) / gain[:, None, :] + dark
    return level * batch.valid[..., None]


def _e_step(batch: PixelBatch, ventricle: Ventricle, mixture: Mixture, state: _State,
            options: AnchoredOptions) -> _State:
    """Sectors, wall and tissue in turn, each given the others of the round before."""
    density = log_density(batch, mixture.means.expand(batch.slices, -1, -1),
                          mixture.covariances.expand(batch.slices, -1, -1))
    anywhere = torch.full_like(density[..., :1], _log_box(batch, options.outlier))
    inlier = torch.sigmoid(density - anywhere)
    density = torch.logaddexp(density, anywhere)
    log_expected, states = _expected_tissue(ventricle, density[..., 1:], mixture, state, options)
    log_tissue = density[..., 1:] + log_expected
    blends = torch.logaddexp(_blend_density(batch, mixture, log_expected), anywhere)
    log_pool, pool_parts = _pool(density, blends, options.papillary)
    in_wall, thickness = wall_probability(ventricle, torch.logsumexp(log_tissue, dim=2),
                                          log_pool, batch.valid, options.wall, state.thickness)
    if ventricle.wall is not None:
        in_wall = ventricle.wall
    tissue = torch.softmax(log_tissue, dim=2)
    if options.compatibility is not None:
        tissue = sweep(ventricle, log_tissue, state.tissue if state.states is not None else tissue,
                       options.compatibility, in_wall)
    return _State(in_wall, tissue, pool_parts, inlier, states, thickness)


def _expected_tissue(ventricle: Ventricle, log_tissues: Tensor, mixture: Mixture, state: _State,
                     options: AnchoredOptions) -> tuple[Tensor, Tensor | None]:
    """(S, P, K - 1) log probability of each wall tissue where a pixel lies, and the sectors'
    states (S, A, states); the mixture's own weights where there are no states."""
    if options.sectors is None:
        weights = mixture.log_weights[:, None, 1:]
        return weights - torch.logsumexp(weights, 2, keepdim=True), None
    thickness = ventricle.from_sector(state.thickness.clamp_min(1.0)[..., None])[..., 0]
    tables = options.sectors.tissue_tables(ventricle.depth / thickness)
    states = sector_states(ventricle, log_tissues, tables, state.in_wall, options.sectors,
                           state.states)
    expected = torch.einsum("spa,spak->spk", ventricle.from_sector(states), tables)
    return expected.clamp_min(1e-12).log(), states


def _pool(density: Tensor, blends: Tensor, papillary: float) -> tuple[Tensor, Tensor]:
    """(S, P) log density of a pool pixel, and (S, P, 2) its shares of blood and of muscle."""
    parts = torch.cat([density[..., :1] + math.log(1 - papillary),
                       density[..., 1:2] + math.log(papillary / 4),
                       blends + math.log(papillary / 4)], dim=2)
    log_pool = torch.logsumexp(parts, dim=2)
    return log_pool, (parts[..., :2] - log_pool[..., None]).exp()


def _blend_density(batch: PixelBatch, mixture: Mixture, log_expected: Tensor) -> Tensor:
    """(S, P, 3) log density of a pool pixel that is one, two or three quarters blood.

    The rest is what the wall beside it holds, `log_expected` (S, P, K - 1): next to a scar the
    blurred endocardium is a blend of blood and scar, not of blood and healthy muscle.
    """
    densities = []
    for share in (0.25, 0.5, 0.75):
        means = share * mixture.means[:, :1] + (1 - share) * mixture.means[:, 1:]
        covariances = 2 * (share**2 * mixture.covariances[:, :1]
                           + (1 - share)**2 * mixture.covariances[:, 1:])
        by_tissue = log_density(batch, means.expand(batch.slices, -1, -1),
                                covariances.expand(batch.slices, -1, -1))
        densities.append(torch.logsumexp(by_tissue + log_expected, dim=2))
    return torch.stack(densities, dim=2)


def _log_box(batch: PixelBatch, share: float) -> float:
    """log of `share` times the uniform density over the box of normalised intensities."""
    if share == 0:
        return -math.inf
    return math.log(share) - batch.sequences * math.log(3.0)


def _posterior(batch: PixelBatch, state: _State, options: AnchoredOptions) -> Tensor:
    pool = (batch.valid - state.in_wall)[..., None]
    wall = state.in_wall[..., None] * state.tissue
    if options.papillary_in_wall:
        muscle = pool * state.pool_parts[..., 1:]
        pool, wall = pool - muscle, torch.cat([wall[..., :1] + muscle, wall[..., 1:]], dim=2)
    return torch.cat([pool, wall], dim=2)


def _objective(batch: PixelBatch, mixture: Mixture, prior: ConjugatePrior, w: Tensor) -> float:
    """NLL under these responsibilities as mixing weights, with the prior's penalty."""
    spatial = Mixture(w.clamp_min(1e-12).log(), mixture.means.expand(batch.slices, -1, -1),
                      mixture.covariances.expand(batch.slices, -1, -1))
    nll = negative_log_likelihood(batch, spatial)
    share = batch.counts / batch.counts.sum()
    return float((nll * share).sum() + prior.penalty(mixture)[0])


def _fit(batch: PixelBatch, mixture: Mixture, gain: Tensor, dark: float, w: Tensor,
         trace: list[float], converged: bool) -> Fit:
    """Every slice's mixture as it lies in the intensities given, gain and all."""
    slices, device = batch.slices, w.device
    mass = w.sum(1)
    own = Mixture((mass / mass.sum(1, keepdim=True)).clamp_min(1e-12).log(),
                  (mixture.means - dark) * gain[:, None] + dark,
                  mixture.covariances * gain[:, None].square())
    return Fit(own, w, negative_log_likelihood(batch, own), [list(trace)] * slices,
               torch.full((slices,), len(trace), device=device),
               torch.full((slices,), converged, device=device))
