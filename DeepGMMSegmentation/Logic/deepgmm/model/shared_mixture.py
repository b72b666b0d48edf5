"""One mixture and one smooth field that all slices of a volume share, from sums over voxels.

gmm-loss-brain-paper, equations 3.6 to 3.8: I = b J + n with b = omega^T G, G products of Legendre
polynomials, here of three coordinates, and omega_0 = 1 for the constant, as in `bias_field`. The
closed forms of mu, Sigma, pi and omega ask of responsibilities s only

    A_k = sum s_k G G^T,    c_k = sum s_k I G,    q_k = sum s_k I^2,

so that slices can be seen one after another, the sums of each kept, and the volume's parameters
had from their sum at no cost: the incremental EM of Neal and Hinton (1998). Without a field J = 1
and the sums are those of any mixture.

Shapes: S slices, V volumes, K tissues, P pixels a slice, J polynomials.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from deepgmm.model.mixture import LOG_2PI

#: No variance falls below this; intensities are scaled to about 1.
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class LevelPrior:
    """What holds a mixture without an atlas; strengths count in shares of the voxels.

    The likelihood's own optimum is not tissue: without `weight_strength` the darkest component
    spreads into grey matter.

    Attributes
    ----------
    weights : the tissues' shares, the darkest first; an adult brain without its skull on T1.
    weight_strength : of the Dirichlet prior whose mode `weights` are.
    variance, variance_strength : of the inverse gamma prior of every variance.
    ridge : weight of 1/2 |omega|^2 beside a mean over voxels. Without an atlas white matter in
        the middle and grey matter around it look like a field: it must be strong.
    """

    weights: tuple[float, ...] = (0.06, 0.56, 0.38)
    weight_strength: float = 1.0
    variance: float = 0.006
    variance_strength: float = 0.0
    ridge: float = 5.0


@dataclass
class Levels:
    """Parameters of one mixture under a field for each volume, or each slice.

    Attributes
    ----------
    log_weights, means, variances : (V, K).
    omega : (V, J), the field's coefficients, the first of them 1.
    """

    log_weights: Tensor
    means: Tensor
    variances: Tensor
    omega: Tensor

    def __getitem__(self, index: Tensor) -> Levels:
        """Of some volumes, repeated where the index repeats."""
        return Levels(*(getattr(self, f.name)[index] for f in fields(self)))

    def detached(self) -> Levels:
        return Levels(*(getattr(self, f.name).detach() for f in fields(self)))


@dataclass
class FieldSums:
    """power (..., K, J, J) of A_k, product (..., K, J) of c_k, square (..., K) of q_k."""

    power: Tensor
    product: Tensor
    square: Tensor

    @classmethod
    def of(cls, values: Tensor, s: Tensor, basis: Tensor) -> FieldSums:
        """The sums of each slice.

        Parameters
        ----------
        values : (S, P) intensities.
        s : (S, K, P) responsibilities, 0 outside the mask.
        basis : (S, J, P) polynomials, the constant first.
        """
        slices, tissues, pixels = s.shape
        weighted = (s[:, :, None] * basis[:, None]).reshape(slices, -1, pixels)
        power = (weighted @ basis.transpose(1, 2)).reshape(slices, tissues, basis.shape[1], -1)
        product = (weighted @ values[..., None]).reshape(slices, tissues, -1)
        return cls(power, product, (s @ values.square()[..., None])[..., 0])

    def added(self, owner: Tensor, owners: int) -> FieldSums:
        """The sums of each of so many volumes; `owner` (S,) says which a slice is of."""
        def add(part: Tensor) -> Tensor:
            return part.new_zeros(owners, *part.shape[1:]).index_add(0, owner, part)
        return FieldSums(add(self.power), add(self.product), add(self.square))


def solved(sums: FieldSums, prior: LevelPrior, before: Levels | None = None,
           rounds: int = 3) -> Levels:
    """mu, Sigma, pi and omega for given responsibilities: equation 3.8, by turns.

    Minimises  -sum_k s_k log(pi_k N(I; b mu_k, Sigma_k)) / N  and the priors' terms, and does not
    rise in a round. With a flat field one round is the whole of it, mu and Sigma being exact.

    Parameters
    ----------
    before : whose field to begin with; none for a flat one.
    """
    power, product, square = sums.power, sums.product, sums.square
    mass = power[..., 0, 0]
    total = mass.sum(-1, keepdim=True).clamp_min(1.0)
    tiny = 1e-12
    power, product, square = (power / total[..., None, None], product / total[..., None],
                              square / total)
    mass = mass / total
    expected = mass.new_tensor(prior.weights)
    weights = mass + prior.weight_strength * expected
    weights = (weights / weights.sum(-1, keepdim=True)).clamp_min(tiny)
    count = power.shape[-1]
    omega = torch.zeros_like(product[..., 0, :])
    omega[..., 0] = 1
    if before is not None:
        omega = before.omega
    ridge = prior.ridge * torch.eye(count - 1, dtype=mass.dtype, device=mass.device)
    nu = prior.variance_strength
    means = variances = torch.ones_like(mass)
    for turn in range(rounds if count > 1 else 1):
        if turn:
            u = ((means.square() / variances)[..., None, None] * power).sum(-3)
            v = ((means / variances)[..., None] * product).sum(-2)
            right = v[..., 1:] - u[..., 1:, 0]
            rest = torch.linalg.solve(u[..., 1:, 1:] + ridge, right[..., None])[..., 0]
            omega = torch.cat([torch.ones_like(rest[..., :1]), rest], -1)
        seen = torch.einsum("...j,...kj->...k", omega, product)
        shone = torch.einsum("...i,...kij,...j->...k", omega, power, omega)
        means = seen / shone.clamp_min(tiny)
        scatter = square - 2 * means * seen + means.square() * shone
        variances = ((scatter + nu * prior.variance) / (mass + nu).clamp_min(tiny)).clamp_min(
            LEAST_VARIANCE)
    return Levels(weights.log(), means, variances, omega)


def field_of(basis: Tensor, levels: Levels) -> Tensor:
    """b (S, P), of polynomials (S, J, P) and the levels of each slice; stays above 0.1."""
    return torch.einsum("sj,sjp->sp", levels.omega, basis).clamp_min(0.1)


def log_joint(values: Tensor, basis: Tensor, levels: Levels) -> Tensor:
    """log pi_k + log N(I; b mu_k, Sigma_k), (S, K, P); levels of each slice."""
    away = values[:, None] - field_of(basis, levels)[:, None] * levels.means[..., None]
    constant = levels.log_weights - 0.5 * (LOG_2PI + levels.variances.log())
    return constant[..., None] - 0.5 * away.square() / levels.variances[..., None]


def lower_bound(log_s: Tensor, joint: Tensor) -> Tensor:
    """sum_k s_k (log pi_k g_k - log s_k), (S, P): equation 3.2 or 3.7 with the entropy it lacks.

    Without it the best s is one tissue for certain. With it the bound equals log sum_k pi_k g_k
    where s is the posterior, and is below it everywhere else.
    """
    return (log_s.exp() * (joint - log_s)).sum(1)


def started(values: Tensor, basis: Tensor, owner: Tensor, inside: Tensor, prior: LevelPrior,
            *, rounds: int = 30) -> Levels:
    """Levels by EM from the quantiles at which the prior's shares part the intensities.

    Nothing is drawn at random: the same image has the same levels. Few rounds on purpose: EM
    that runs to its end leaves the tissues.

    Parameters
    ----------
    values, inside : (S, P); basis : (S, J, P); owner : (S,) volume of each slice, from 0.
    """
    volumes = int(owner.max()) + 1
    shares = torch.tensor(prior.weights, dtype=values.dtype)
    middle = shares.cumsum(0) - shares / 2
    means = torch.stack([torch.quantile(values[owner == v][inside[owner == v] > 0].cpu(), middle)
                         for v in range(volumes)]).to(values.device)
    flat = torch.zeros((volumes, basis.shape[1]), dtype=values.dtype, device=values.device)
    flat[:, 0] = 1
    gap = (means[:, 1:] - means[:, :-1]).amin(1, keepdim=True).clamp_min(1e-3) / 2
    levels = Levels(shares.log().to(values.device).expand_as(means), means,
                    gap.square().expand_as(means), flat)
    for _ in range(rounds):
        s = torch.softmax(log_joint(values, basis, levels[owner]), 1) * inside[:, None]
        levels = solved(FieldSums.of(values, s, basis).added(owner, volumes), prior, levels, 2)
    return levels
