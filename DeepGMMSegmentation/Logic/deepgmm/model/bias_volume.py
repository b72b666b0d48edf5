"""The smooth functions of which a volume's field is made: tensor-Legendre polynomials in 3D."""

from __future__ import annotations

import torch
from torch import Tensor


def exponents(degree: int, axes: int = 3) -> list[tuple[int, ...]]:
    """Powers of the products of total degree 1 to `degree`; in 3D of degree 3 they are 19."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(axes):
        found = [(*f, d) for f in found for d in range(degree + 1 - sum(f))]
    return sorted((f for f in found if sum(f) > 0), key=lambda f: (sum(f), f))


def legendre(places: Tensor, lower: Tensor, upper: Tensor, degree: int,
             centre: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """G of eq. 3.6 at places of a box, without the constant.

    Parameters
    ----------
    places : (N, D) in any units; lower, upper : (D,) of the box, which becomes -1 to 1.
    degree : highest total degree, at least 1.
    centre : (J,) what is taken off; by default the mean over these places, so that the field has
        mean 1 over them.

    Returns
    -------
    (N, J) and the centre, to be given when the same field is wanted elsewhere.
    """
    if degree < 1:
        raise ValueError("a field needs degree 1 or more")
    x = 2 * (places - lower) / (upper - lower).clamp_min(1e-9) - 1
    ladder = [torch.ones_like(x), x]
    for n in range(1, degree):
        ladder.append(((2 * n + 1) * x * ladder[n] - n * ladder[n - 1]) / (n + 1))
    columns = []
    for powers in exponents(degree, places.shape[1]):
        column = torch.ones_like(x[:, 0])
        for axis, power in enumerate(powers):
            column = column * ladder[power][:, axis]
        columns.append(column)
    basis = torch.stack(columns, 1)
    taken = basis.mean(0) if centre is None else centre
    return basis - taken, taken
