"""A mixture under a smooth multiplicative field: EM over both (brain paper, 3.2).

The image is I = b J + n (eq. 2.8): a tissue has the level mu_k, the coil's sensitivity b(x)
scales it and the noise comes on top, so g_k(x) = N(I(x); b(x) mu_k, Sigma_k). That asks for
intensities whose zero is the scanner's: scaled, never centred, nowhere negative.

The paper writes b = omega^T G(x) with a free constant (eq. 3.6). Here b = 1 + omega^T G(x),
where G holds the Legendre polynomials but the constant, each less its mean over the mask. A
free constant has no optimum beside a ridge on the others: b / c with c mu_k is the same image,
and the smaller b the cheaper. Afterwards the field is brought to geometric mean 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.mixture import LOG_2PI, Mixture
from deepgmm.model.priors import ConjugatePrior

#: No variance falls below this; scaled intensities have a range of about 2.
LEAST_VARIANCE = 1e-9


@dataclass(frozen=True)
class FieldOptions:
    """How a field is fitted.

    Attributes
    ----------
    degree : P, the highest total degree of the polynomials; at least 1.
    spread : standard deviation that a coefficient is expected to have. It makes the ridge.
    together : how many pixels err together, and so count as one against the ridge: neighbours
        share noise, texture and partial volume.
    lowest : the field stays above this, before it is brought to geometric mean 1.
    tolerance : a slice stops when its objective changes by less in a round.
    max_iterations : rounds at most.
    """

    degree: int = 2
    spread: float = 0.05
    together: float = 40.0
    lowest: float = 0.1
    tolerance: float = 1e-6
    max_iterations: int = 300


@dataclass
class FieldFit:
    """Mixtures and fields of a batch; S slices, P pixels, M sequences, K tissues.

    Attributes
    ----------
    field : (S, P, M) b(x), of geometric mean 1 over each slice's mask; 1 in the padding.
    mixture : the levels behind the field, in the batch's units.
    traces : per slice the objective at each E-step.
    converged : (S,).
    """

    field: Tensor
    mixture: Mixture
    traces: list[list[float]]
    converged: Tensor


def legendre_basis(batch: PixelBatch, degree: int) -> Tensor:
    """(S, P, J) products of Legendre polynomials of total degree 1 to `degree`: G of eq. 3.6.

    The coordinates run from -1 to 1 over each slice's own crop. Every polynomial has mean 0
    over its slice's mask and is 0 in the padding. J = (degree + 1)(degree + 2) / 2 - 1.
    """
    def ladder(place: Tensor) -> Tensor:
        place = place.to(batch.values.dtype)
        half = place.amax(1, keepdim=True).clamp_min(1) / 2
        values = np.polynomial.legendre.legvander((place / half - 1).cpu().numpy(), degree)
        return torch.as_tensor(values, device=place.device, dtype=place.dtype)

    down, across = ladder(batch.rows), ladder(batch.columns)
    basis = torch.stack([down[..., i] * across[..., j] for i in range(degree + 1)
                         for j in range(degree + 1 - i) if i + j > 0], 2)
    inside = batch.valid[..., None]
    mean = (basis * inside).sum(1, keepdim=True) / batch.counts[:, None, None]
    return (basis - mean) * inside


@dataclass
class _State:
    """What EM updates: mixtures, and omega (S, J, M)."""

    mixture: Mixture
    omega: Tensor

    def select(self, index: Tensor) -> _State:
        return _State(self.mixture.select(index), self.omega[index])

    def write(self, index: Tensor, other: _State) -> None:
        self.mixture.write(index, other.mixture)
        self.omega[index] = other.omega


@dataclass
class _Work:
    """The slices that still run, with what stays the same from round to round."""

    batch: PixelBatch
    basis: Tensor
    prior: ConjugatePrior
    even: Tensor
    options: FieldOptions

    def select(self, index: Tensor) -> _Work:
        return replace(self, batch=self.batch.select(index), basis=self.basis[index])

    @property
    def ridge(self) -> Tensor:
        """(S,) weight of 1/2 |omega|^2 beside a mean over the mask's pixels."""
        return self.options.together / (self.options.spread**2 * self.batch.counts)

    def field(self, omega: Tensor) -> Tensor:
        """b = 1 + omega^T G, (S, P, M): eq. 3.6."""
        return 1 + self.basis @ omega

    def features(self, field: Tensor) -> Tensor:
        """(S, P, 1 + 3M): 1, x^2, b x and b^2, all that a mixture under a field asks of a pixel."""
        x = self.batch.values
        return torch.cat([torch.ones_like(x[..., :1]), x.square(), field * x, field.square()], 2)


def fit_bias_field(batch: PixelBatch, start: Mixture, options: FieldOptions | None = None, *,
                   prior: ConjugatePrior | None = None, even: Tensor | None = None) -> FieldFit:
    """Fit one mixture a slice and one field a slice and sequence.

    Minimises, per mask pixel and up to a constant,

        NLL(pi, mu, Sigma, b) + the prior's penalty + together / (2 spread^2 |Omega|) sum omega^2

    by rounds of an E-step and exact steps for pi, mu and Sigma, then for omega: it never rises.
    The NLL itself stands in for eq. 3.7, which lacks the entropy of s.

    Parameters
    ----------
    batch : intensities scaled but not centred, nowhere negative.
    start : (S, ...) mixtures with diagonal covariances and global weights.
    prior : in the batch's units; holds the tissues at their contrasts.
    even : (M,) bool, sequences without a field: they help to tell the tissues apart, and may be
        negative.

    Raises
    ------
    ValueError : for full covariances, weights that vary from pixel to pixel, or a degree below 1.
    """
    options = options or FieldOptions()
    if start.full or start.spatial or options.degree < 1:
        raise ValueError("a field needs diagonal covariances, global weights and degree 1 or more")
    device = batch.values.device
    if even is None:
        even = torch.zeros(batch.sequences, dtype=torch.bool, device=device)
    whole = work = _Work(batch, legendre_basis(batch, options.degree),
                         prior or _no_prior(start), even, options)
    state = _State(start.clone(),
                   batch.values.new_zeros(batch.slices, work.basis.shape[2], batch.sequences))
    running = torch.arange(batch.slices, device=device)
    final = state.select(running)
    converged = torch.zeros(batch.slices, dtype=torch.bool, device=device)
    previous = batch.values.new_full((batch.slices,), float("inf"))
    traces: list[list[float]] = [[] for _ in range(batch.slices)]
    for _ in range(options.max_iterations):
        objective, w = _e_step(work, state)
        for index, value in zip(running.tolist(), objective.tolist(), strict=True):
            traces[index].append(value)
        goes_on = (previous - objective).abs() >= options.tolerance
        if not bool(goes_on.all()):
            final.write(running[~goes_on], state.select(~goes_on))
            converged[running[~goes_on]] = True
            running, objective, w = running[goes_on], objective[goes_on], w[goes_on]
            work, state = work.select(goes_on), state.select(goes_on)
            if len(running) == 0:
                break
        previous, state = objective, _m_step(work, state, w)
    final.write(running, state)
    return _gauged(whole, final, traces, converged)


def _no_prior(start: Mixture) -> ConjugatePrior:
    """A prior that asks for nothing."""
    none = torch.zeros_like(start.means[0])
    return ConjugatePrior(none, none, none[:, 0], none, variance_strength=0.0,
                          weight_strength=0.0, variance_floor=0.0)


def _e_step(work: _Work, state: _State) -> tuple[Tensor, Tensor]:
    """The objective (S,), and s of eq. 2.5 with b mu_k for mu_k, (S, P, K)."""
    mu, variances = state.mixture.means, state.mixture.covariances
    constant = (state.mixture.log_weights
                - 0.5 * (LOG_2PI * mu.shape[2] + variances.log().sum(-1)))
    # (x - b mu)^2 / Sigma multiplied out, in the order of the features
    factors = torch.cat([constant[..., None], -0.5 / variances, mu / variances,
                         -0.5 * mu.square() / variances], 2)
    joint = work.features(work.field(state.omega)) @ factors.transpose(1, 2)
    evidence = torch.logsumexp(joint, 2)
    objective = (-work.batch.mean(evidence) + work.prior.penalty(state.mixture)
                 + 0.5 * work.ridge * state.omega.square().sum((1, 2)))
    return objective, (joint - evidence[..., None]).exp() * work.batch.valid[..., None]


def _m_step(work: _Work, state: _State, w: Tensor) -> _State:
    """pi, mu and Sigma under the field as it stands, then the field for these: eq. 3.8."""
    sums = w.transpose(1, 2) @ work.features(work.field(state.omega))
    sums = sums / work.batch.counts[:, None, None]
    mixture = _mixture_step(work.prior, sums[..., 0], *sums[..., 1:].chunk(3, dim=2))
    return _State(mixture, _field_step(work, mixture, w, state.omega))


def _mixture_step(prior: ConjugatePrior, mass: Tensor, square: Tensor, product: Tensor,
                  power: Tensor) -> Mixture:
    """The mode of pi, mu and Sigma, from the mask's means of s, s x^2, s b x and s b^2.

    Without a prior mu_k = sum s b x / sum s b^2, Sigma_k = sum s (x - b mu_k)^2 / sum s and
    pi_k = mean s (eq. 3.8). With one as in `ConjugatePrior.mode`, but that sum s b^2 takes the
    place of the mass that has seen mu_k.
    """
    tiny = torch.finfo(mass.dtype).tiny
    kappa, nu = prior.mean_strength, prior.variance_strength
    mu = (product + kappa * prior.means) / (power + kappa).clamp_min(tiny)
    scatter = (square - 2 * mu * product + mu.square() * power
               + kappa * (mu - prior.means).square() + nu * prior.variances)
    variances = (scatter / (mass[..., None] + nu).clamp_min(tiny)).clamp_min(LEAST_VARIANCE)
    variances = torch.maximum(variances, prior.variance_floor * prior.variances)
    weights = mass + prior.weight_strength * prior.weights
    return Mixture((weights / weights.sum(1, keepdim=True)).log(), mu, variances)


def _field_step(work: _Work, mixture: Mixture, w: Tensor, omega: Tensor) -> Tensor:
    """omega = U^-1 V of eq. 3.8, per slice and sequence, with the ridge and the constant at 1.

    With J_1 = sum_k s mu_k^2 / Sigma_k and J_2 = sum_k s mu_k x / Sigma_k at each pixel, what
    depends on omega is 1/2 sum J_1 (1 + omega^T G)^2 - sum J_2 (1 + omega^T G) and the ridge.
    Its gradient is zero where

        (sum G G^T J_1 + ridge |Omega|) omega = sum G (J_2 - J_1).

    As this is convex, going only part of the way also lowers it: that is done where all of the
    way would take the field below `lowest`.
    """
    x, basis, counts = work.batch.values, work.basis, work.batch.counts[:, None, None]
    j1 = w @ (mixture.means.square() / mixture.covariances)
    j2 = w @ (mixture.means / mixture.covariances) * x
    v = (basis.transpose(1, 2) @ (j2 - j1) / counts).transpose(1, 2)
    u = torch.einsum("spi,spm,spj->smij", basis, j1, basis) / counts[..., None]
    u = u + work.ridge[:, None, None, None] * torch.eye(basis.shape[2], dtype=x.dtype,
                                                        device=x.device)
    best = torch.linalg.solve(u, v[..., None])[..., 0].transpose(1, 2)
    best = torch.where(work.even, 0.0, best)
    now, then = work.field(omega), work.field(best)
    room = (now - work.options.lowest) / (now - then).clamp_min(1e-12)
    room = room.amin(1, keepdim=True)
    return omega + torch.where(room > 1, 1.0, 0.9 * room) * (best - omega)


def _gauged(work: _Work, state: _State, traces: list[list[float]], converged: Tensor) -> FieldFit:
    """b <- b / c and mu <- c mu with c = exp(mean log b), per slice and sequence.

    Then I -> I / b has determinant 1 over the mask, and the NLL of what is corrected stays
    comparable with that of the image as it came.
    """
    field, inside = work.field(state.omega), work.batch.valid[..., None]
    c = ((field.log() * inside).sum(1) / work.batch.counts[:, None]).exp()
    mixture = replace(state.mixture, means=state.mixture.means * c[:, None])
    return FieldFit(torch.where(inside > 0, field / c[:, None], 1.0), mixture, traces, converged)
