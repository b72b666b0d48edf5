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
    (S, A, N) marginals and (S,) log partition function. So that products of several transfer
    matrices never underflow, nothing counts for less than exp(-80) of the likeliest (exp(-40)
    in float32).
    """
    rings, nodes, states = log_unary.shape
    top = log_unary.amax(2, keepdim=True)
    pair_top = log_pair.max()
    least, scaled_every = (-80.0, 4) if log_unary.dtype == torch.float64 else (-40.0, 1)
    step = ((log_unary - top).clamp_min(least).exp()[..., None]
            * (log_pair - pair_top).clamp_min(least).exp())  # (S, A, N, N)
    identity = torch.eye(states, dtype=step.dtype, device=step.device).expand(rings, -1, -1)
    prefix, log_scale = [identity], torch.zeros(rings, dtype=step.dtype, device=step.device)
    for a in range(nodes):
        product = torch.bmm(prefix[-1], step[:, a])
        if a % scaled_every == scaled_every - 1:
            size = product.amax((1, 2), keepdim=True)
            log_scale = log_scale + size[:, 0, 0].log()
            product = product / size
        prefix.append(product)
    log_partition = (prefix[-1].diagonal(dim1=1, dim2=2).sum(1).log() + log_scale
                     + top.sum((1, 2)) + nodes * pair_top)
    suffix = [identity] * (nodes + 1)
    for a in reversed(range(nodes)):
        suffix[a] = torch.bmm(step[:, a], suffix[a + 1])
        if a % scaled_every == 0:
            suffix[a] = suffix[a] / suffix[a].amax((1, 2), keepdim=True)
    # the diagonal of suffix_a prefix_a closes the ring at node a
    around = torch.einsum("asnm,asmn->san", torch.stack(suffix[:-1]), torch.stack(prefix[:-1]))
    return around / around.sum(2, keepdim=True), log_partition


class Ring:
    """One ring a slice: a prior chain, and its posterior under evidence at the nodes.

    Neighbouring pixels are correlated, so evidence counts by a share below 1; in the objective
    this is a divergence that weighs more than the data by the inverse of that share.

    Attributes
    ----------
    log_prior : (S, A, N), `log_pair` : (N, N) of the prior chain.
    share : of the evidence that counts.
    """

    def __init__(self, log_prior: Tensor, log_pair: Tensor, share: float) -> None:
        self.log_prior, self.log_pair, self.share = log_prior, log_pair, share
        self.q, self.log_partition = ring_marginals(log_prior, log_pair)

    def posterior(self, evidence: Tensor, rows: Tensor | slice = slice(None),
                  ) -> tuple[Tensor, Tensor]:
        """(R, A, N) marginals of some slices' rings and (R,) their divergence from the prior.

        `evidence` (S, A, N) is added to the prior's logarithm as it is: whoever makes it has
        multiplied by `share`.
        """
        here = evidence[rows]
        q, log_partition = ring_marginals(self.log_prior[rows] + here, self.log_pair)
        return q, (q * here).sum((1, 2)) - log_partition + self.log_partition[rows]
