"""Gaussians of tissues under a prior that varies over space, and a field over a volume.

The image is I = b J + n as in `deepgmm.model.bias_field`: a voxel of tissue l has the density

    p(I | l) = sum over components c of tissue l of share_c N(I; b(x) mu_c, sigma_c^2)

and the prior A(l, x) of its place (unsupervised-bayesian-atlas-slides; with one component a tissue,
theirs). More components serve a tissue of two kinds, as grey matter where graders counted the CSF
of the sulci to it. All is minimised together by EM with closed steps:

    - mean log sum_l A(l, x) p(I | l) + prior of the Gaussians + 1/2 ridge |omega|^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class TissueMixture:
    """Components of K tissues.

    Attributes
    ----------
    means, variances : (C,) in the image's units.
    shares : (C,) of its tissue; those of a tissue sum to one.
    tissues : (C,) int64, 0 to K - 1.
    """

    means: Tensor
    variances: Tensor
    shares: Tensor
    tissues: Tensor

    @property
    def count(self) -> int:
        """K."""
        return int(self.tissues.max()) + 1

    def log_components(self, values: Tensor, field: Tensor | None = None) -> Tensor:
        """(N, C) log share_c N(I; b mu_c, sigma_c^2); values and field (N,)."""
        level = self.means if field is None else field[:, None] * self.means
        away = (values[:, None] - level).square() / self.variances
        return self.shares.log() - 0.5 * (away + LOG_2PI + self.variances.log())

    def log_likelihood(self, values: Tensor, field: Tensor | None = None) -> Tensor:
        """(N, K) log p(I | l)."""
        return per_tissue(self.log_components(values, field), self.tissues, self.count)

    def to(self, like: Tensor) -> TissueMixture:
        return TissueMixture(self.means.to(like), self.variances.to(like), self.shares.to(like),
                             self.tissues.to(like.device))


@dataclass(frozen=True)
class TissuePrior:
    """Conjugate priors on a `TissueMixture`, as `deepgmm.model.priors.ConjugatePrior` has them.

    Strengths are fractions of the voxels: kappa acts as kappa N voxels seen at the mean, nu as nu N
    voxels seen with the variance, alpha as alpha N voxels of the tissue in the expected shares.
    The means keep their order by kappa.

    Attributes
    ----------
    mixture : the expected means, variances and shares.
    mean_strength, variance_strength, share_strength : kappa, nu, alpha per component.
    """

    mixture: TissueMixture
    mean_strength: float = 0.02
    variance_strength: float = 0.02
    share_strength: float = 0.02

    def penalty(self, mixture: TissueMixture) -> Tensor:
        """What the priors add to the mean negative log-likelihood, up to a constant."""
        at = self.mixture
        pull = self.mean_strength * (mixture.means - at.means).square() / mixture.variances
        spread = self.variance_strength * (mixture.variances.log()
                                           + at.variances / mixture.variances)
        shares = self.share_strength * at.shares * mixture.shares.log()
        return 0.5 * (pull + spread).sum() - shares.sum()

    def mode(self, mass: Tensor, square: Tensor, product: Tensor, power: Tensor) -> TissueMixture:
        """The exact M-step, from means over voxels of r, r I^2, r b I and r b^2, (C,) each.

        mu = (sum r b I + kappa mu0) / (sum r b^2 + kappa),
        sigma^2 = (sum r (I - b mu)^2 + kappa (mu - mu0)^2 + nu sigma0^2) / (sum r + nu).
        """
        at, kappa, nu = self.mixture, self.mean_strength, self.variance_strength
        means = (product + kappa * at.means) / (power + kappa).clamp_min(1e-300)
        scatter = square - 2 * means * product + means.square() * power
        total = scatter + kappa * (means - at.means).square() + nu * at.variances
        variances = (total / (mass + nu).clamp_min(1e-300)).clamp_min(1e-9)
        held = mass + self.share_strength * at.shares
        whole = held.new_zeros(at.count).index_add(0, at.tissues, held)
        return TissueMixture(means, variances, held / whole[at.tissues], at.tissues)


@dataclass(frozen=True)
class VolumeField:
    """A field that a fit may bend: b = 1 + G omega.

    Attributes
    ----------
    basis : (N, J) G at the voxels of the fit; see `deepgmm.model.bias_volume.legendre`.
    ridge : weight of 1/2 |omega|^2 beside the mean over voxels.
    lowest : the field stays above this.
    """

    basis: Tensor
    ridge: float = 0.3
    lowest: float = 0.3


@dataclass(frozen=True)
class TissueFit:
    """What EM found.

    Attributes
    ----------
    mixture : the Gaussians.
    omega : (J,) of the field, or None.
    weights : (K,) of tissues, where they were fitted; else None.
    trace : the objective at each E-step; it never rises.
    """

    mixture: TissueMixture
    omega: Tensor | None
    weights: Tensor | None
    trace: list[float]


def e_step(log_prior: Tensor, mixture: TissueMixture, values: Tensor, field: Tensor | None = None
           ) -> tuple[Tensor, Tensor]:
    """log evidence (N,) and responsibilities of components (N, C).

    log_prior : (N, K) log A(l, x), or (K,).
    """
    joint = mixture.log_components(values, field) + log_prior[..., mixture.tissues]
    evidence = torch.logsumexp(joint, 1)
    return evidence, (joint - evidence[:, None]).exp()


def m_step(values: Tensor, r: Tensor, prior: TissuePrior, field: Tensor | None = None
           ) -> TissueMixture:
    """The Gaussians from responsibilities (N, C)."""
    n = len(values)
    b = torch.ones_like(values) if field is None else field
    features = torch.stack([torch.ones_like(values), values.square(), b * values, b.square()])
    mass, square, product, power = (features @ r) / n
    return prior.mode(mass, square, product, power)


def field_step(values: Tensor, r: Tensor, mixture: TissueMixture, field: VolumeField,
               omega: Tensor) -> Tensor:
    """omega of eq. 3.8 with the constant at 1 and a ridge; part of the way where b would be low.

    (mean G G^T J1 + ridge) omega = mean G (J2 - J1), J1 = sum_c r mu^2 / sigma^2,
    J2 = sum_c r mu I / sigma^2.
    """
    g = field.basis
    j1 = r @ (mixture.means.square() / mixture.variances)
    j2 = (r @ (mixture.means / mixture.variances)) * values
    u = (g * j1[:, None]).T @ g / len(values)
    u = u + field.ridge * torch.eye(g.shape[1], dtype=g.dtype, device=g.device)
    best = torch.linalg.solve(u, g.T @ (j2 - j1) / len(values))
    now, then = 1 + g @ omega, 1 + g @ best
    room = ((now - field.lowest) / (now - then).clamp_min(1e-12)).min()
    return omega + (1.0 if room > 1 else 0.9 * float(room)) * (best - omega)


def fit(values: Tensor, log_prior: Tensor, start: TissueMixture, prior: TissuePrior, *,
        field: VolumeField | None = None, omega: Tensor | None = None,
        weights: Tensor | None = None, weight_prior: Tensor | None = None,
        iterations: int = 50, tolerance: float = 1e-5) -> TissueFit:
    """EM over the Gaussians and the field, and the tissues' weights where they are asked for.

    Parameters
    ----------
    values : (N,); log_prior : (N, K).
    omega : where the field starts.
    weights : (K,) to start from; they multiply the prior of a place, A(l, x) w_l, and are fitted.
        With a log_prior that varies over space they are only weights, and A w is not divided by
        its sum.
    weight_prior : (K,) alpha_l, fractions of the voxels seen in each tissue beforehand.
    """
    mixture, trace, before = start, [], math.inf
    if field is not None and omega is None:
        omega = field.basis.new_zeros(field.basis.shape[1])
    for _ in range(iterations):
        b = None if field is None or omega is None else 1 + field.basis @ omega
        place = log_prior if weights is None else log_prior + weights.log()
        evidence, r = e_step(place, mixture, values, b)
        objective = float(-evidence.mean() + prior.penalty(mixture))
        if field is not None and omega is not None:
            objective += 0.5 * field.ridge * float(omega.square().sum())
        if weights is not None and weight_prior is not None:
            objective -= float((weight_prior * weights.log()).sum())
        trace.append(objective)
        if before - objective < tolerance:
            break
        before = objective
        mixture = m_step(values, r, prior, b)
        if weights is not None:
            mass = (r.new_zeros(len(r), len(weights)).index_add(1, mixture.tissues, r)).mean(0)
            mass = mass if weight_prior is None else mass + weight_prior
            weights = mass / mass.sum()
        if field is not None and omega is not None:
            omega = field_step(values, r, mixture, field, omega)
    return TissueFit(mixture, omega, weights, trace)


def started(values: Tensor, prior: Tensor, tissues: Tensor | None = None) -> TissueMixture:
    """One Gaussian a tissue, from what its prior expects where: the M-step with r = A.

    prior : (N, K) probabilities.
    """
    mass = prior.sum(0).clamp_min(1e-12)
    means = (prior * values[:, None]).sum(0) / mass
    variances = (prior * (values[:, None] - means).square()).sum(0) / mass
    kinds = torch.arange(prior.shape[1], device=values.device)
    return TissueMixture(means, variances.clamp_min(1e-9), torch.ones_like(means), kinds)


def per_tissue(log_components: Tensor, tissues: Tensor, count: int) -> Tensor:
    """(N, C) over components to (N, K) over tissues, by logsumexp."""
    columns = [torch.logsumexp(log_components[:, tissues == k], 1) for k in range(count)]
    return torch.stack(columns, 1)

