"""Exact inference on a ring of discrete variables: what goes around the ventricle."""

from __future__ import annotations

import torch
from torch import Tensor


def ring_marginals(log_unary: Tensor, log_pair: Tensor) -> tuple[Tensor, Tensor]:
    """Marginals and log partition function of a circular chain, by transfer matrices.

    p(z) is proportional to prod_a exp(log_unary[a, z_a] + log_pair[z_a, z_{a+1}]), with the
    last node tied to the first.

    Parameters
    ----------
    log_unary : (S, A, N) of S independent rings with A nodes and N states.
    log_pair : (N, N), the same between all neighbours.

    Returns
    -------
    (S, A, N) marginals and (S,) log partition function.
    """
    rings, nodes, states = log_unary.shape
    top = log_unary.amax(2, keepdim=True)
    pair_top = log_pair.max()
    step = (log_unary - top).exp()[..., None] * (log_pair - pair_top).exp()  # (S, A, N, N)
    identity = torch.eye(states, dtype=step.dtype, device=step.device).expand(rings, -1, -1)
    prefix, log_scale = [identity], torch.zeros(rings, dtype=step.dtype, device=step.device)
    for a in range(nodes):
        product = torch.bmm(prefix[-1], step[:, a])
        size = product.amax((1, 2), keepdim=True)
        log_scale = log_scale + size[:, 0, 0].log()
        prefix.append(product / size)
    log_partition = (prefix[-1].diagonal(dim1=1, dim2=2).sum(1).log() + log_scale
                     + top.sum((1, 2)) + nodes * pair_top)
    suffix, marginals = identity, [identity[:, 0]] * nodes
    for a in reversed(range(nodes)):
        suffix = torch.bmm(step[:, a], suffix)
        suffix = suffix / suffix.amax((1, 2), keepdim=True)
        # the diagonal of suffix_a prefix_a closes the ring at node a
        around = (suffix * prefix[a].transpose(1, 2)).sum(2)
        marginals[a] = around / around.sum(1, keepdim=True)
    return torch.stack(marginals, 1), log_partition
