"""Where a fit begins: at random, as the papers do, spread by seeding, or at given means."""

from __future__ import annotations

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.mixture import Mixture, m_step


def generator(seed: int) -> torch.Generator:
    """Random numbers are drawn on the CPU, so that a seed means the same on every device."""
    return torch.Generator().manual_seed(seed)


def random_responsibilities(batch: PixelBatch, tissues: int, seed: int) -> Tensor:
    """(S, P, K) uniform draws, normalised; the papers' random initialisation."""
    draws = [torch.rand((int(n), tissues), generator=generator(seed * 100_003 + index),
                        dtype=torch.float64)
             for index, n in enumerate(batch.counts.tolist())]
    w = torch.nn.utils.rnn.pad_sequence(draws, batch_first=True)
    w = w.to(batch.values.device, batch.values.dtype)
    return w / w.sum(2, keepdim=True).clamp_min(1e-12)


def spread_centres(batch: PixelBatch, tissues: int, seed: int, rounds: int = 10) -> Tensor:
    """(S, P, K) hard assignments of a few k-means rounds from distance-weighted seeding."""
    x, valid = batch.values, batch.valid
    draws = torch.rand((batch.slices, tissues), generator=generator(seed), dtype=torch.float64)
    draws = draws.to(x.device, x.dtype)
    weight = valid / valid.sum(1, keepdim=True)
    centres: list[Tensor] = []
    for k in range(tissues):
        pick = (weight.cumsum(1) < draws[:, k, None] * weight.sum(1, keepdim=True)).sum(1)
        pick = torch.minimum(pick, batch.counts.long() - 1)
        centres.append(x[torch.arange(batch.slices, device=x.device), pick])
        distance = torch.cdist(x, torch.stack(centres, 1)).square().min(2).values * valid
        weight = torch.where(distance.sum(1, keepdim=True) > 0, distance, valid)
    mean = torch.stack(centres, 1)
    for _ in range(rounds):
        nearest = torch.cdist(x, mean).argmin(2)
        w = torch.nn.functional.one_hot(nearest, tissues).to(x.dtype) * valid[:, :, None]
        mass = w.sum(1)[:, :, None]
        update = torch.bmm(w.transpose(1, 2), x) / mass.clamp_min(1.0)
        mean = torch.where(mass > 0, update, mean)
    return w


def several_starts(batch: PixelBatch, tissues: int, *, starts: int, seed: int, full: bool = False,
                   random: bool = False) -> tuple[PixelBatch, Mixture]:
    """`starts` copies of every slice, each with its own start: seeded k-means and random ones in
    turn, or all `random`, as the papers do."""
    copies = torch.arange(batch.slices, device=batch.values.device).repeat(starts)
    mixtures = []
    for start in range(starts):
        w = (random_responsibilities(batch, tissues, seed + start) if random or start % 2
             else spread_centres(batch, tissues, seed + start))
        mixtures.append(m_step(batch, w, full=full, floor=1e-3))
    joined = Mixture(*(torch.cat([getattr(m, name) for m in mixtures])
                       for name in ("log_weights", "means", "covariances")))
    return batch.select(copies), joined
