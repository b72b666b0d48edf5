"""An atlas deformed to an image by a diffeomorphism while the tissues' Gaussians are fitted.

Minimises over v, mu and sigma (unsupervised-bayesian-atlas-slides)

    - mean log sum_l A(l, phi_v(x)) p(I(x) | l) + lambda |grad u_v|^2 + priors,

    phi_v = exp(v) = id + u_v.

The mean is over voxels of the mask and of a shell around it, |grad u|^2 the mean over voxels of its
sum over components and axes (`deepgmm.model.warp.roughness`), without unit. Outside the mask the
tissue is known to be background, the last class of the atlas: there the term is
-log A(background, phi_v(x)), and inside the background explains nothing.

The Gaussians follow in closed form between the steps of v; held, they leave the gradient of v as it
is, since they are at their optimum. Coarse grids of v come before finer ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from deepgmm.model.tissue_mixture import TissueMixture, TissuePrior, e_step, m_step
from deepgmm.model.warp import displacement, roughness, warped

#: The least that an atlas says of any tissue anywhere.
FLOOR = 1e-6


@dataclass(frozen=True)
class DeformableOptions:
    """How an atlas is deformed.

    Attributes
    ----------
    smoothness : lambda.
    shell : weight of voxels outside the mask beside those inside.
    levels : how many times coarser than the image's grid v is, from first to last.
    iterations : steps of v at each level.
    step : of v in voxels of its own grid (Adam).
    every : steps of v between those of the Gaussians.
    squarings : of the exponential.
    """

    smoothness: float = 8.0
    shell: float = 1.0
    levels: tuple[int, ...] = (4, 2)
    iterations: tuple[int, ...] = (40, 40)
    step: float = 0.1
    every: int = 4
    squarings: int = 6


@dataclass(frozen=True)
class Deformed:
    """A fitted deformation.

    Attributes
    ----------
    velocity : (1, D, *coarse) on the last level's grid over the same box, in the image's voxels.
    displacement : (1, D, *shape) of the image's grid, voxels.
    mixture : the Gaussians.
    trace : the objective at each step.
    """

    velocity: Tensor
    displacement: Tensor
    mixture: TissueMixture
    trace: list[float]


def floored(atlas: Tensor, floor: float = FLOOR) -> Tensor:
    """(B, K, *shape) probabilities, none below the floor, that sum to one."""
    raised = atlas.clamp_min(floor)
    return raised / raised.sum(1, keepdim=True)


def objective(atlas: Tensor, image: Tensor, mask: Tensor, mixture: TissueMixture, u: Tensor,
              options: DeformableOptions, *, field: Tensor | None = None,
              shell: Tensor | None = None, log_likelihood: Tensor | None = None) -> Tensor:
    """(B,) what is minimised, without the priors of the Gaussians.

    Parameters
    ----------
    atlas : (1 or B, K + 1, *shape) probabilities, floored, the background last.
    image : (B, *shape); mask : (B, *shape) bool.
    u : (B, D, *shape) displacement.
    field : (B, *shape) b, by default 1.
    shell : (B, *shape) bool, where outside the mask the background is known; by default
        everywhere.
    log_likelihood : (B, K, *shape), where it was computed before.
    """
    if log_likelihood is None:
        log_likelihood = likelihood_image(image, mixture, field)
    log_atlas = warped(atlas, u).clamp_min(1e-12).log()
    inside = torch.logsumexp(log_atlas[:, :-1] + log_likelihood, 1)
    weight = mask.to(inside)
    outer = (~mask).to(inside) if shell is None else (shell & ~mask).to(inside)
    outer = options.shell * outer
    total = (weight * inside + outer * log_atlas[:, -1]).flatten(1).sum(1)
    count = (weight + outer).flatten(1).sum(1).clamp_min(1)
    return -total / count + options.smoothness * roughness(u)


def likelihood_image(image: Tensor, mixture: TissueMixture, field: Tensor | None = None) -> Tensor:
    """(B, K, *shape) log p(I | l)."""
    flat = mixture.log_likelihood(image.flatten(), None if field is None else field.flatten())
    return flat.view(*image.shape, -1).movedim(-1, 1)


def deform(atlas: Tensor, image: Tensor, mask: Tensor, start: TissueMixture, prior: TissuePrior,
           options: DeformableOptions | None = None, *, used: Tensor | None = None,
           field: Callable[[TissueMixture, Tensor], Tensor] | None = None,
           velocity: Tensor | None = None) -> Deformed:
    """Fit v and the Gaussians to one image.

    Parameters
    ----------
    atlas : (1, K + 1, *shape) probabilities; the background is last.
    image : (1, *shape); mask : (1, *shape) bool.
    used : (1, *shape) bool, voxels of the mask whose intensity tells something; by default all.
    field : given the Gaussians and the warped atlas (1, K + 1, *shape), b of (1, *shape); called
        where the Gaussians are fitted.
    velocity : to start from.
    """
    options = options or DeformableOptions()
    atlas = floored(atlas)
    shape = tuple(image.shape[1:])
    told = mask if used is None else mask & used
    index = told.flatten().nonzero()[:, 0]
    values = image.flatten()[index]
    shell = functional.max_pool3d(mask[:, None].to(image), 9, 1, 4)[:, 0] > 0 \
        if len(shape) == 3 else functional.max_pool2d(mask[:, None].to(image), 9, 1, 4)[:, 0] > 0
    mixture, trace = start, []
    v = image.new_zeros(1, len(shape), *shape) if velocity is None else velocity
    b: Tensor | None = None

    def refit(u: Tensor, mixture: TissueMixture, b: Tensor | None
              ) -> tuple[TissueMixture, Tensor | None]:
        with torch.no_grad():
            moved = warped(atlas, u)
            log_prior = moved[0, :-1].flatten(1)[:, index].T.log()
            if field is not None:
                b = field(mixture, moved)
            at = None if b is None else b.flatten()[index]
            _, r = e_step(log_prior, mixture, values, at)
            return m_step(values, r, prior, at), b

    for factor, steps in zip(options.levels, options.iterations, strict=True):
        coarse = tuple(max(2, math.ceil(n / factor)) for n in shape)
        w = _resized(v, coarse).detach().requires_grad_()
        adam = torch.optim.Adam([w], lr=options.step * _scale(shape, coarse))
        likelihood: Tensor | None = None
        for step in range(steps):
            for group in adam.param_groups:
                group["lr"] = options.step * _scale(shape, coarse) * min(1.0, 2 - 2 * step / steps)
            u = _exponential(w, shape, options.squarings)
            if likelihood is None or step % options.every == 0:
                mixture, b = refit(u.detach(), mixture, b)
                likelihood = likelihood_image(image, mixture, b).detach()
                likelihood = torch.where(told[:, None] | ~mask[:, None], likelihood, 0.0)
            loss = objective(atlas, image, mask, mixture, u, options, shell=shell,
                             log_likelihood=likelihood).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            trace.append(float(loss.detach()))
        v = w.detach()
    u = _exponential(v, shape, options.squarings)
    mixture, b = refit(u, mixture, b)
    return Deformed(v, u, mixture, trace)


def _exponential(v: Tensor, shape: tuple[int, ...], squarings: int) -> Tensor:
    """u of exp(v) on a grid, the squarings done on the coarser grid of v."""
    to_own = v.new_tensor([(c - 1) / (n - 1) for c, n in zip(v.shape[2:], shape, strict=True)])
    to_own = to_own.view(1, -1, *[1] * len(shape))
    return _resized(displacement(v * to_own, squarings) / to_own, shape)


def _resized(v: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A field on another grid over the same box; its values stay in the image's voxels."""
    if tuple(v.shape[2:]) == shape:
        return v
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return functional.interpolate(v, shape, mode=mode, align_corners=True)


def _scale(shape: tuple[int, ...], coarse: tuple[int, ...]) -> float:
    return (shape[0] - 1) / (coarse[0] - 1)
