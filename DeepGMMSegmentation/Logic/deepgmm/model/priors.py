"""Conjugate priors on a mixture: what keeps a component at its tissue."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deepgmm.model.mixture import Mixture, Moments


@dataclass
class ConjugatePrior:
    """Normal-inverse-Wishart on (mu_k, Sigma_k) and Dirichlet on pi, per mask pixel.

    The penalty added to the mean negative log-likelihood is, up to a constant,

        sum_k 1/2 kappa_k (mu_k - mu0_k)^T Sigma_k^-1 (mu_k - mu0_k)
            + 1/2 nu (log det Sigma_k + tr(Psi_k Sigma_k^-1)) - sum_k alpha_k log pi_k.

    All strengths are fractions of |Omega|, so that a prior neither vanishes on a big mask nor
    swallows a small one: kappa acts as kappa |Omega| pixels seen at mu0, nu as nu |Omega| pixels
    seen with covariance Psi, alpha_k as alpha_k |Omega| pixels seen in class k. In the usual
    parametrisation the inverse-Wishart has nu |Omega| - M - 2 degrees of freedom and scale
    nu |Omega| Psi, the Dirichlet has parameters 1 + alpha_k |Omega|. The modes, with
    n_k = N_k / |Omega|, xbar_k the class mean and S_k(mu) the scatter about mu:

        mu_k    = (n_k xbar_k + kappa_k mu0_k) / (n_k + kappa_k)
        Sigma_k = (n_k S_k(mu_k) + kappa_k (mu_k - mu0_k)(mu_k - mu0_k)^T + nu Psi_k) / (n_k + nu)
        pi_k    = (n_k + alpha_k) / (1 + sum alpha)

    Attributes
    ----------
    means : (K, M) mu0, normalised units; or (N, K, M) with those of each study, and so the next
        two.
    variances : (K, M) diagonal of Psi.
    weights : (K,) expected mixing weights; alpha_k = weight_strength * weights_k.
    mean_strength : (K, M) kappa per class and sequence; a full covariance takes each class's
        smallest.
    variance_strength, weight_strength : nu and sum alpha.
    variance_floor : variances are kept at least this fraction of Psi (an exact constrained
        mode for diagonal covariances); 0 for no floor.
    """

    means: Tensor
    variances: Tensor
    weights: Tensor
    mean_strength: Tensor
    variance_strength: float = 0.05
    weight_strength: float = 0.05
    variance_floor: float = 0.5

    def mixture(self, slices: int, *, full: bool = False) -> Mixture:
        """The start at the prior itself, the same for every slice; or for every study, as many
        as there are, where each has its own."""
        covariances = torch.diag_embed(self.variances) if full else self.variances
        shape = covariances.shape[-3 if full else -2:]
        weights = (self.weights / self.weights.sum()).log()
        return Mixture(
            weights.expand(slices, -1).clone(),
            self.means.expand(slices, *self.means.shape[-2:]).clone(),
            covariances.expand(slices, *shape).clone(),
        )

    def select(self, study: Tensor) -> ConjugatePrior:
        """The prior of some studies, where each has its own."""
        if self.means.ndim == 2:
            return self
        return replace(self, means=self.means[study], variances=self.variances[study],
                       mean_strength=self.mean_strength[study])

    def mode(self, moments: Moments, pixels: Tensor, alive: Tensor | None = None) -> Mixture:
        """The exact M-step of likelihood and prior together.

        Parameters
        ----------
        moments : of (S, ...) slices; `pixels` : (S,) |Omega| of each.
        alive : (S, K) bool, classes that take part; the others keep weight 0.
        """
        mass = moments.mass / pixels[:, None]
        n, first = mass[..., None], moments.first / pixels[:, None, None]
        kappa = self.mean_strength
        if moments.second.ndim == 4:
            kappa = kappa.min(1, keepdim=True).values.expand_as(kappa)
        means = (first + kappa * self.means) / (n + kappa).clamp_min(1e-300)
        away = means - self.means
        nu = self.variance_strength
        if moments.second.ndim == 3:
            scatter = moments.scatter(means) / pixels[:, None, None]
            total = scatter + kappa * away.square() + nu * self.variances
            covariances = total / (n + nu).clamp_min(1e-300)
            covariances = torch.maximum(covariances, self.variance_floor * self.variances)
        else:
            scatter = moments.scatter(means) / pixels[:, None, None, None]
            pull = kappa[:, :1, None] * away[..., :, None] * away[..., None, :]
            total = scatter + pull + nu * torch.diag_embed(self.variances)
            covariances = total / (n + nu)[..., None].clamp_min(1e-300)
        alpha = self.weight_strength * self.weights
        if alive is not None:
            mass, alpha = mass * alive, alpha * alive
        weights = (mass + alpha) / (mass + alpha).sum(1, keepdim=True)
        return Mixture(weights.log(), means, covariances)

    def penalty(self, mixture: Mixture) -> Tensor:
        """(S,) the penalty above for a mixture with global weights."""
        away = mixture.means - self.means
        if mixture.full:
            factor = torch.linalg.cholesky(mixture.covariances)
            kappa = self.mean_strength.min(1).values
            white = torch.linalg.solve_triangular(factor, away[..., None], upper=False)[..., 0]
            pull = kappa * white.square().sum(-1)
            log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            inverse = torch.cholesky_inverse(factor).diagonal(dim1=-2, dim2=-1)
            spread = log_det + (self.variances * inverse).sum(-1)
        else:
            pull = (self.mean_strength * away.square() / mixture.covariances).sum(-1)
            spread = (mixture.covariances.log() + self.variances / mixture.covariances).sum(-1)
        cost = 0.5 * (pull + self.variance_strength * spread).sum(-1)
        if self.weight_strength > 0 and not mixture.spatial:
            alpha = self.weight_strength * self.weights
            counted = (alpha > 0) & mixture.log_weights.isfinite()
            cost = cost - torch.where(counted, alpha * mixture.log_weights, 0.0).sum(-1)
        return cost
