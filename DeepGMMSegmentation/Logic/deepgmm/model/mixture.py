"""The Gaussian mixture in tensors: densities, posterior, NLL and M-step, for many slices.

Notation of deepgmm-paper: pi and Pi mixing weights, mu means, Sigma covariances, w
responsibilities, g densities. Shapes: S slices, P pixels, M sequences, K tissues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch

LOG_2PI = math.log(2.0 * math.pi)


@dataclass
class Mixture:
    """Parameters of one mixture per slice.

    Attributes
    ----------
    log_weights : (S, K) log pi; or (S, P, K) log Pi(x) for spatially variant weights.
    means : (S, K, M).
    covariances : (S, K, M) variances, or (S, K, M, M) full matrices.
    """

    log_weights: Tensor
    means: Tensor
    covariances: Tensor

    @property
    def full(self) -> bool:
        return self.covariances.ndim == 4

    @property
    def spatial(self) -> bool:
        """Whether the weights vary from pixel to pixel (SVGMM)."""
        return self.log_weights.ndim == 3

    def select(self, index: Tensor, pixels: int | None = None) -> Mixture:
        """The mixtures of some slices; spatial weights of the first so many `pixels`."""
        part = Mixture(*(getattr(self, f.name)[index] for f in fields(self)))
        if part.spatial:
            part.log_weights = part.log_weights[:, :pixels]
        return part

    def write(self, index: Tensor, other: Mixture) -> None:
        """Overwrite the slices `index` of this mixture with those of another, in place."""
        for f in fields(self):
            value = getattr(other, f.name)
            # spatial weights may come padded to fewer pixels
            getattr(self, f.name)[index, :value.shape[1]] = value

    def clone(self) -> Mixture:
        return Mixture(*(getattr(self, f.name).clone() for f in fields(self)))

    def to(self, dtype: torch.dtype) -> Mixture:
        return Mixture(*(getattr(self, f.name).to(dtype) for f in fields(self)))

    def permute(self, order: Tensor) -> Mixture:
        """Reorder the components; `order` is (S, K), new component k is old `order[:, k]`."""
        row = torch.arange(order.shape[0], device=order.device)[:, None]
        weights = (self.log_weights.gather(2, order[:, None].expand_as(self.log_weights))
                   if self.spatial else self.log_weights.gather(1, order))
        return Mixture(weights, self.means[row, order], self.covariances[row, order])


def log_density(batch: PixelBatch, means: Tensor, covariances: Tensor,
                offset: Tensor | None = None) -> Tensor:
    """log g_k(x), (S, P, K); deepgmm-paper section 2, in log space throughout.

    Diagonal covariances use the expanded square, one batched product with the features 1, x,
    x^2. Full ones are whitened by their Cholesky factor.

    Parameters
    ----------
    offset : (S, K) to be added, which costs nothing here.
    """
    x = batch.values
    constant = -0.5 * LOG_2PI * x.shape[2] + (0.0 if offset is None else offset)
    if covariances.ndim == 3:
        precision = 1.0 / covariances
        scaled = means * precision
        constant = constant - 0.5 * (covariances.log() + means * scaled).sum(-1)
        weights = torch.cat([constant[..., None], scaled, -0.5 * precision], dim=2)
        return torch.bmm(weights, batch.features).transpose(1, 2)
    factor = torch.linalg.cholesky(covariances)
    centred = (x[:, None] - means[:, :, None]).transpose(2, 3)  # (S, K, M, P)
    whitened = torch.linalg.solve_triangular(factor, centred, upper=False)
    constant = constant - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return (constant[:, :, None] - 0.5 * whitened.square().sum(2)).transpose(1, 2)


def log_joint(batch: PixelBatch, mixture: Mixture) -> Tensor:
    """log Pi_k(x) + log g_k(x), (S, P, K)."""
    if mixture.spatial:
        return log_density(batch, mixture.means, mixture.covariances) + mixture.log_weights
    return log_density(batch, mixture.means, mixture.covariances, mixture.log_weights)


def e_step(batch: PixelBatch, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """(S,) NLL and (S, P, K) posterior, as the two functions below, at the cost of one."""
    joint = log_joint(batch, mixture)
    top = joint.amax(2, keepdim=True)
    share = joint.sub_(top).exp_()  # nobody else holds it
    total = share.sum(2)
    nll = -batch.mean(total.log().add_(top[..., 0]))
    return nll, share.mul_((batch.valid / total)[..., None])


def negative_log_likelihood(batch: PixelBatch, mixture: Mixture) -> Tensor:
    """(S,) NLL per mask pixel: deepgmm-paper equation 2, or NLL_V for spatial weights."""
    return -batch.mean(torch.logsumexp(log_joint(batch, mixture), dim=2))


def posterior(batch: PixelBatch, mixture: Mixture) -> Tensor:
    """(S, P, K) responsibilities by Bayes' rule; 0 in the padding."""
    joint = log_joint(batch, mixture)
    return torch.softmax(joint, dim=2) * batch.valid[:, :, None]


@dataclass
class Moments:
    """Sufficient statistics of responsibilities: enough for every M-step of the house.

    Attributes
    ----------
    mass : (S, K) sum of responsibilities, N_k.
    first : (S, K, M) sum of w x.
    second : (S, K, M) sum of w x^2, or (S, K, M, M) sum of w x x^T.
    """

    mass: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, batch: PixelBatch, w: Tensor, *, full: bool = False) -> Moments:
        """Summarise responsibilities `w` (S, P, K), which must be 0 in the padding."""
        x = batch.values
        wt = w.transpose(1, 2)
        if not full:
            sums = torch.bmm(wt, batch.features.transpose(1, 2))
            return cls(sums[..., 0], *sums[..., 1:].split(x.shape[2], dim=2))
        square = (x[:, :, :, None] * x[:, :, None, :]).flatten(2)
        second = torch.bmm(wt, square).unflatten(2, (x.shape[2], x.shape[2]))
        return cls(wt.sum(2), torch.bmm(wt, x), second)

    def means(self, mass: Tensor) -> Tensor:
        return self.first / mass[:, :, None]

    def scatter(self, centre: Tensor) -> Tensor:
        """sum_x w (x - c)(x - c)^T about `centre` (S, K, M), in the shape of `second`."""
        if self.second.ndim == 3:
            return self.second - 2 * centre * self.first + self.mass[..., None] * centre.square()
        cross = self.first[..., :, None] * centre[..., None, :]
        outer = centre[..., :, None] * centre[..., None, :]
        return (self.second - cross - cross.transpose(2, 3)
                + self.mass[..., None, None] * outer)


def pixel_weights(w: Tensor) -> Tensor:
    """(S, P, K) log Pi(x) = log w, finite where w is 0: the M-step of Algorithm 2."""
    return w.clamp_min(torch.finfo(w.dtype).tiny).log()


def m_step(batch: PixelBatch, w: Tensor, *, full: bool = False, floor: float = 1e-6) -> Mixture:
    """Maximum-likelihood M-step (Algorithm 1, line 4); pi is the mean of `w`.

    `floor` is added to every variance after the division, and ten machine epsilons to every
    class mass, as scikit-learn does: a class nobody takes stays finite.
    """
    moments = Moments.of(batch, w, full=full)
    eps = torch.finfo(w.dtype).eps
    mass = moments.mass + 10 * eps
    means = moments.means(mass)
    if full:
        covariances = (moments.second / mass[..., None, None]
                       - means[..., :, None] * means[..., None, :])
        covariances = covariances + floor * torch.eye(means.shape[2], dtype=w.dtype,
                                                      device=w.device)
    else:
        covariances = moments.second / mass[..., None] - means.square() + floor
    weights = mass / mass.sum(1, keepdim=True)
    return Mixture(weights.log(), means, covariances)
