"""More than Gaussians: Student-t components, and a class for pixels that belong to none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.mixture import LOG_2PI, Mixture, Moments, log_density


@dataclass(frozen=True)
class Tails:
    """How a mixture treats what lies far from every mean.

    Attributes
    ----------
    degrees : degrees of freedom of Student-t components; None for Gaussians.
    outlier : share of a class that is uniform over the box of the slice's intensities, held
        fixed, so that it can never take more than it is given. Its pixels keep the label of
        the nearest tissue.
    """

    degrees: float | None = None
    outlier: float = 0.0

    def __post_init__(self) -> None:
        if self.degrees is not None and not self.degrees > 0:
            raise ValueError(f"degrees of freedom must be positive, not {self.degrees}")
        if not 0 <= self.outlier < 1:
            raise ValueError(f"the outlier share must lie in [0, 1), not {self.outlier}")

    def log_joint(self, batch: PixelBatch, mixture: Mixture) -> tuple[Tensor, Tensor]:
        """log of pi_k times the component's density, (S, P, K), and the pixel weights.

        A t component with nu degrees is a Gaussian whose scale varies from pixel to pixel; its
        expected precision, (nu + M) / (nu + Mahalanobis^2), weighs the pixel in the M-step
        (Peel and McLachlan 2000, equations 6 and 16).
        """
        log_g = log_density(batch, mixture.means, mixture.covariances)
        weights = mixture.log_weights if mixture.spatial else mixture.log_weights[:, None, :]
        if self.degrees is None:
            return log_g + weights, torch.ones_like(log_g)
        sequences, nu = batch.sequences, self.degrees
        covariances = mixture.covariances
        log_det = (covariances.log().sum(-1) if not mixture.full
                   else torch.linalg.slogdet(covariances).logabsdet)[:, None, :]
        distance = (-2 * log_g - sequences * LOG_2PI - log_det).clamp_min(0)
        constant = (math.lgamma((nu + sequences) / 2) - math.lgamma(nu / 2)
                    - sequences / 2 * math.log(nu * math.pi))
        log_t = constant - 0.5 * log_det - (nu + sequences) / 2 * torch.log1p(distance / nu)
        return log_t + weights, (nu + sequences) / (nu + distance)

    def log_outlier(self, batch: PixelBatch) -> Tensor:
        """(S,) log of the outlier class's share times its density."""
        inside = batch.valid[:, :, None] > 0
        low = torch.where(inside, batch.values, torch.inf).amin(1)
        high = torch.where(inside, batch.values, -torch.inf).amax(1)
        return math.log(self.outlier) - (high - low).clamp_min(1e-12).log().sum(1)

    def e_step(self, batch: PixelBatch, mixture: Mixture) -> tuple[Tensor, Tensor, Tensor]:
        """NLL (S,), responsibilities (S, P, K) and the weights of the pixels (S, P, K)."""
        joint, precision = self.log_joint(batch, mixture)
        log_evidence = torch.logsumexp(joint, dim=2)
        if self.outlier > 0:
            joint, log_evidence = (t + math.log1p(-self.outlier) for t in (joint, log_evidence))
            log_evidence = torch.logaddexp(log_evidence, self.log_outlier(batch)[:, None])
        w = (joint - log_evidence[:, :, None]).exp() * batch.valid[:, :, None]
        return -batch.mean(log_evidence), w, precision

    def m_step(self, batch: PixelBatch, w: Tensor, precision: Tensor, *, full: bool,
               floor: float) -> Mixture:
        """Weighted means and covariances; pi from the responsibilities alone."""
        eps = 10 * torch.finfo(w.dtype).eps
        mass = w.sum(1) + eps
        moments = Moments.of(batch, w * precision, full=full)
        means = moments.means(moments.mass + eps)
        scatter = moments.scatter(means)
        if full:
            identity = torch.eye(batch.sequences, dtype=w.dtype, device=w.device)
            covariances = scatter / mass[..., None, None] + floor * identity
        else:
            covariances = scatter.clamp_min(0) / mass[..., None] + floor
        return Mixture((mass / mass.sum(1, keepdim=True)).log(), means, covariances)

    def posterior(self, batch: PixelBatch, mixture: Mixture) -> Tensor:
        """(S, P, K) probabilities among the tissues, outliers included; 0 in the padding."""
        return torch.softmax(self.log_joint(batch, mixture)[0], dim=2) * batch.valid[:, :, None]
