"""Diffeomorphisms as exponentials of stationary velocity fields, in 2D and 3D.

All fields are (B, D, *shape) for D of 2 or 3 axes, in voxels of their own grid, and component d
moves along axis d of the array. A displacement u says where a voxel's value comes from:

    warped(A, u)(x) = A(x + u(x)),        phi_v(x) = x + u(x) = exp(v)(x)

(unsupervised-bayesian-atlas-slides). Beyond the border an image and a field go on as at the border;
with zeros there, as some libraries have it by default, exp(v) is wrong by a voxel at the border.
As displacement and place are in the same voxels, gradients of u and the Jacobian have no unit, and
are the same whatever the size of an isotropic voxel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SQUARINGS = 7


def displacement(velocity: Tensor, squarings: int = SQUARINGS) -> Tensor:
    """u of exp(v) = id + u, by scaling and squaring (Arsigny et al., MICCAI 2006).

    exp(v) = exp(v / 2^n) composed with itself n times, from exp(v / 2^n) = id + v / 2^n.

    Parameters
    ----------
    velocity : (B, D, *shape), voxels.
    squarings : n; the error grows with |grad v| |v| / 2^n.

    Returns
    -------
    (B, D, *shape) voxels. `displacement(-velocity)` is its inverse but for interpolation.

    Raises
    ------
    ValueError : when the channels are not as many as the axes, or squarings are negative.
    """
    _check(velocity)
    if squarings < 0:
        raise ValueError("squarings cannot be negative")
    u = velocity / 2**squarings
    for _ in range(squarings):
        u = composed(u, u)
    return u


def composed(first: Tensor, second: Tensor) -> Tensor:
    """The displacement of (id + first) after (id + second): second + first(x + second)."""
    return second + warped(first, second)


def warped(volume: Tensor, displacement: Tensor) -> Tensor:
    """volume(x + u(x)), by linear interpolation, with the border's value beyond the border.

    Parameters
    ----------
    volume : (B, C, *shape); a batch of one serves every displacement.
    displacement : (B, D, *shape), voxels.

    Returns
    -------
    (B, C, *shape). What sums to one over C still does.
    """
    _check(displacement)
    shape = displacement.shape[2:]
    if volume.shape[2:] != shape:
        raise ValueError(f"a volume of {tuple(volume.shape[2:])} under a field of {tuple(shape)}")
    grid = []
    for axis in reversed(range(len(shape))):     # grid_sample counts the last axis first
        size = shape[axis]
        view = [-1 if a == axis else 1 for a in range(len(shape))]
        place = torch.arange(size, dtype=displacement.dtype, device=displacement.device).view(view)
        grid.append((place + displacement[:, axis]) * 2 / max(size - 1, 1) - 1)
    volume = volume.expand(displacement.shape[0], *volume.shape[1:])
    return functional.grid_sample(volume, torch.stack(grid, -1), mode="bilinear",
                                  padding_mode="border", align_corners=True)


def jacobian(displacement: Tensor) -> Tensor:
    """det grad(id + u), (B, *shape), by central differences; one-sided at the border.

    Volumes grow where it is over 1 as one goes from x to x + u(x); at 0 and below the map folds.
    """
    _check(displacement)
    axes = displacement.ndim - 2
    columns = [torch.stack(torch.gradient(displacement[:, d], dim=list(range(1, axes + 1))), -1)
               for d in range(axes)]
    matrix = torch.stack(columns, -2)
    return torch.linalg.det(matrix + torch.eye(axes, dtype=matrix.dtype, device=matrix.device))


def folded(displacement: Tensor, inside: Tensor | None = None) -> Tensor:
    """(B,) share of voxels, of those inside where a mask is given, whose Jacobian is not positive.

    inside : (B, *shape) or (1, *shape) bool.
    """
    wrong = jacobian(displacement) <= 0
    within = torch.ones_like(wrong) if inside is None else inside.expand_as(wrong)
    count = within.flatten(1).sum(1).clamp_min(1)
    return (wrong & within).flatten(1).sum(1) / count


def roughness(displacement: Tensor) -> Tensor:
    """(B,) |grad u|^2: its mean over voxels, summed over components and axes; forward differences.

    Of u = g x along one axis it is g^2. No unit.
    """
    _check(displacement)
    total = displacement.new_zeros(displacement.shape[0])
    for axis in range(2, displacement.ndim):
        if displacement.shape[axis] > 1:
            difference = displacement.diff(dim=axis)
            total = total + difference.square().sum(1).flatten(1).mean(1)
    return total


def _check(field: Tensor) -> None:
    axes = field.ndim - 2
    if axes not in (2, 3) or field.shape[1] != axes:
        raise ValueError("a field has shape (B, 2, H, W) or (B, 3, D, H, W), "
                         f"not {tuple(field.shape)}")
