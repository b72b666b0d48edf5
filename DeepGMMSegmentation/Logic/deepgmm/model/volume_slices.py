"""The slices of some volumes as a network of two dimensions sees them, and how it learns of them.

gmm-loss-brain-paper: alpha L_CE + beta (L_GMM_B + gamma TV), equations 3.4, 3.5 and 3.7, all of
them means over voxels where the paper sums. alpha = 0 is its unsupervised network.

The parameters of a mixture are a volume's, not a slice's: a slice at the edge of the brain holds
too little of a tissue to know its level. They are held while the weights take a step, which is
exact: at the closed forms the bound is stationary in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepgmm.model.bias_volume import exponents
from deepgmm.model.deep import variation
from deepgmm.model.shared_mixture import (
    FieldSums,
    LevelPrior,
    Levels,
    log_joint,
    lower_bound,
    solved,
    started,
)
from deepgmm.progress import Progress, silent

#: Input channels: the slice and those before and behind it.
INPUTS = 3
#: Logits of the start are no further apart than this.
SUREST = 8.0
#: Voxels of which a volume's first levels are had, at least where it has so many.
SAMPLE = 30_000


def _powers(degree: int) -> list[tuple[int, ...]]:
    """Of the polynomials along slices, rows and columns, the constant first."""
    return [(0, 0, 0), *exponents(degree)]


@dataclass
class VolumeSlices:
    """Slices of V volumes, each volume's in order, on one canvas.

    Attributes
    ----------
    images : (S, H, W) intensities from 0, the 98th percentile of each volume's brain at 1.
    inside : (S, H, W) 1 in the brain. Exact zeros in there are no measurement: the network sees
        and labels them, the mixture does not.
    owner : (S,) the volume of each slice, from 0.
    beside : (S, 2) the slice before and behind, itself at an end.
    ladders : the Legendre polynomials along slices (S, D), rows (V, H, D), columns (V, W, D).
    means : (V, J) of the polynomials over each brain, which are taken off.
    labels : (S, H, W) int64 tissue index where it is known, else -1; or none.
    start : of each volume the levels whose log posterior the network corrects; or none, where
        it does all by itself, as published. With them every seed begins at the same labels.
    """

    images: Tensor
    inside: Tensor
    owner: Tensor
    beside: Tensor
    ladders: tuple[Tensor, Tensor, Tensor]
    means: Tensor
    labels: Tensor | None = None
    start: Levels | None = None

    @classmethod
    def of(cls, volumes: Sequence[npt.NDArray], masks: Sequence[npt.NDArray], *, degree: int = 0,
           labels: Sequence[npt.NDArray | None] | None = None, multiple: int = 16
           ) -> tuple[VolumeSlices, list[tuple[npt.NDArray, tuple[int, int]]]]:
        """Cut volumes (slices, rows, columns) to their brains.

        Parameters
        ----------
        masks : bool, each with a voxel at least.
        degree : of the field's polynomials; 0 for none.
        labels : tissue index from 0 where known, else -1; none for a volume without labels.
        multiple : of rows and columns, see the network.

        Returns
        -------
        slices, and of each volume the numbers of its slices and the canvas' first row and column.
        """
        boxes = []
        for mask in masks:
            taken = np.flatnonzero(mask.any((1, 2)))
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in ((0, 2), (0, 1)))
            boxes.append((taken, (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)))
        height, width = (-(-max(b[a][1] - b[a][0] for b in boxes) // multiple) * multiple
                         for a in (1, 2))
        images, inside, known = [], [], []
        owner: list[int] = []
        beside: list[tuple[int, int]] = []
        ladders: tuple[list[npt.NDArray], ...] = ([], [], [])
        for v, (volume, mask, (taken, r, c)) in enumerate(zip(volumes, masks, boxes)):
            # the canvas may reach beyond the image, where there is nothing
            cut = np.zeros((len(taken), height, width), np.float32)
            there = np.zeros(cut.shape, bool)
            own = np.full(cut.shape, -1, np.int64)
            part = np.s_[taken, r[0]:r[1], c[0]:c[1]]
            into = np.s_[:, :r[1] - r[0], :c[1] - c[0]]
            there[into] = mask[part]
            cut[into] = np.where(mask[part], volume[part], 0)
            positive = cut[there & (cut > 0)]
            if positive.size == 0:
                raise ValueError("a brain without a positive voxel")
            cut = np.clip(cut / np.percentile(positive, 98), 0, 2)
            given = None if labels is None else labels[v]
            if given is not None:
                own[into] = np.where(mask[part], given[part], -1)
            first = len(owner)
            owner += [v] * len(taken)
            last = len(owner) - 1
            beside += [(max(i - 1, first), min(i + 1, last)) for i in range(first, last + 1)]
            for ladder, place, (low, high) in zip(
                    ladders, (taken, np.arange(height), np.arange(width)),
                    ((taken[0], taken[-1] + 1), (0, r[1] - r[0]), (0, c[1] - c[0]))):
                # beyond the brain's box, where nothing is counted, the edge's values
                at = np.clip((2 * place - low - high + 1) / max(high - low - 1, 1), -1, 1)
                ladder.append(np.polynomial.legendre.legvander(at, degree).astype(np.float32))
            images.append(cut)
            inside.append(there)
            known.append(own)
        self = cls(torch.from_numpy(np.concatenate(images)),
                   torch.from_numpy(np.concatenate(inside)).float(),
                   torch.tensor(owner), torch.tensor(beside),
                   (torch.from_numpy(np.concatenate(ladders[0])),
                    *(torch.from_numpy(np.stack(ladder)) for ladder in ladders[1:])),
                   torch.zeros(len(boxes), len(_powers(degree))),
                   None if labels is None else torch.from_numpy(np.concatenate(known)))
        self.means = self._means()
        return self, [(taken, (int(r[0]), int(c[0]))) for taken, r, c in boxes]

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def volumes(self) -> int:
        return self.means.shape[0]

    @property
    def degree(self) -> int:
        return self.ladders[0].shape[1] - 1

    def measured(self, index: Tensor, every: int = 1) -> Tensor:
        """(B, H', W') 1 where the mixture counts a voxel, of every so many rows and columns."""
        part = np.s_[:, ::every, ::every]
        return self.inside[index][part] * (self.images[index][part] > 0)

    def basis(self, index: Tensor, every: int = 1) -> Tensor:
        """G, (B, J, P'), of every so many rows and columns of some slices, the constant first."""
        owner = self.owner[index]
        along, down, across = self.ladders
        along, down, across = along[index], down[owner, ::every], across[owner, ::every]
        maps = [along[:, i, None, None] * down[:, :, j, None] * across[:, None, :, k]
                for i, j, k in _powers(self.degree)]
        basis = torch.stack(maps, 1).flatten(2)
        return basis - self.means[owner][..., None]

    def _means(self) -> Tensor:
        """Over each brain; that of the constant is 0, so that it stays."""
        total = torch.zeros_like(self.means)
        count = torch.zeros(self.volumes)
        for index in torch.arange(len(self)).split(32):
            counted = self.measured(index, 2).flatten(1)
            total.index_add_(0, self.owner[index],
                             (self.basis(index, 2) * counted[:, None]).sum(2))
            count.index_add_(0, self.owner[index], counted.sum(1))
        means = total / count[:, None].clamp_min(1)
        means[:, 0] = 0
        return means

    def channels(self, index: Tensor) -> Tensor:
        """(B, 3, H, W) what the network sees; its mask zeroes what is outside."""
        around = torch.cat([self.beside[index][:, :1], index[:, None],
                            self.beside[index][:, 1:]], 1)
        return self.images[around] - 0.7

    def logits(self, network: nn.Module, index: Tensor) -> Tensor:
        """(B, K, H, W) of some slices by a network."""
        logits = network(self.channels(index), self.inside[index][:, None])
        if self.start is None:
            return logits
        with torch.no_grad():
            joint = log_joint(self.images[index].flatten(1), self.basis(index),
                              self.start[self.owner[index]]).log_softmax(1)
            # far from all levels is no reason to be surer than a network can undo
            first = joint.clamp_min(-SUREST).reshape(logits.shape)
        return logits + first


@dataclass(frozen=True)
class SliceObjective:
    """Weights and steps; 0 leaves a term out.

    Attributes
    ----------
    labels : alpha, of the cross entropy, a mean over labelled voxels.
    likelihood : beta, of minus the lower bound.
    variation : gamma, of the total variation, beside the bound and so times beta.
    steps, batch, learning_rate : gradient steps, slices a step, of AdamW at its peak.
    hold : share of the steps before the volumes' levels leave where they started.
    every : rows and columns of which one is taken for the closed forms' sums.
    seed : of the order of the slices.
    """

    labels: float = 0.0
    likelihood: float = 1.0
    variation: float = 0.1
    steps: int = 400
    batch: int = 8
    learning_rate: float = 3e-3
    hold: float = 0.3
    every: int = 2
    seed: int = 0


def losses(slices: VolumeSlices, index: Tensor, logits: Tensor, levels: Levels | None,
           objective: SliceObjective) -> Tensor:
    """The loss of some slices together, a mean over their voxels.

    Parameters
    ----------
    logits : (B, K, H, W).
    levels : of each of the slices; needed where the likelihood counts.
    """
    inside = slices.inside[index]
    log_s = F.log_softmax(logits, 1)
    total = logits.new_zeros(())
    if objective.labels > 0 and slices.labels is not None:
        labels = slices.labels[index]
        known = labels >= 0
        if bool(known.any()):
            cost = F.nll_loss(log_s, labels.clamp_min(0), reduction="none")
            total = total + objective.labels * (cost * known).sum() / known.sum()
    if objective.likelihood > 0:
        assert levels is not None
        counted = slices.measured(index).flatten(1)
        joint = log_joint(slices.images[index].flatten(1), slices.basis(index), levels)
        bound = lower_bound(log_s.flatten(2), joint)
        loss = -(bound * counted).sum() / counted.sum().clamp_min(1)
        if objective.variation > 0:
            rough = variation(log_s.exp(), inside[:, None]).sum() / inside.sum()
            loss = loss + objective.variation * rough
        total = total + objective.likelihood * loss
    return total


@torch.no_grad()
def sums_of(slices: VolumeSlices, index: Tensor, s: Tensor, every: int) -> FieldSums:
    """The sums of some slices; s (B, K, H, W)."""
    counted = slices.measured(index, every).flatten(1)
    values = slices.images[index][:, ::every, ::every].flatten(1)
    s = s[:, :, ::every, ::every].flatten(2) * counted[:, None]
    return FieldSums.of(values, s, slices.basis(index, every))


@torch.no_grad()
def start_of(slices: VolumeSlices, prior: LevelPrior) -> Levels:
    """The levels of each volume before a network is asked, from a regular sample of its voxels."""
    parts = []
    for v in range(slices.volumes):
        taken = (slices.owner == v).nonzero()[:, 0]
        every = max(1, int((float(slices.inside[taken].sum()) / SAMPLE) ** (1 / 3)))
        taken = taken[::every]
        parts.append(started(slices.images[taken][:, ::every, ::every].flatten(1),
                             slices.basis(taken, every), torch.zeros_like(taken),
                             slices.measured(taken, every).flatten(1), prior))
    return Levels(*(torch.cat([getattr(part, f.name) for part in parts])
                    for f in fields(Levels)))


def learn(network: nn.Module, slices: VolumeSlices, objective: SliceObjective,
          prior: LevelPrior | None = None, *, progress: Progress = silent) -> list[float]:
    """Train a network in place; the loss of each step.

    Parameters
    ----------
    network : takes (B, 3, H, W) and the mask (B, 1, H, W) to logits (B, K, H, W).
    """
    prior = prior or LevelPrior()
    o = objective
    ledger = levels = None
    if o.likelihood > 0:
        levels = start_of(slices, prior)
        ledger = _posterior_sums(slices, levels, o.every)
    optimiser = torch.optim.AdamW(network.parameters(), lr=o.learning_rate, weight_decay=1e-4)
    generator = torch.Generator().manual_seed(o.seed)
    order: list[int] = []
    trace: list[float] = []
    network.train()
    for step in range(o.steps):
        if len(order) < o.batch:
            order = torch.randperm(len(slices), generator=generator).tolist() + order
        index = torch.tensor([order.pop() for _ in range(min(o.batch, len(order)))])
        logits = slices.logits(network, index)
        own = None if levels is None else levels[slices.owner[index]]
        loss = losses(slices, index, logits, own, o)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        rising = min(1.0, (step + 1) / max(1, round(0.05 * o.steps)))
        for group in optimiser.param_groups:
            group["lr"] = o.learning_rate * rising * (1 + math.cos(math.pi * step / o.steps)) / 2
        optimiser.step()
        trace.append(float(loss.detach()))
        if ledger is not None and step >= o.hold * o.steps:
            seen = sums_of(slices, index, logits.detach().softmax(1), o.every)
            for name in ("power", "product", "square"):
                getattr(ledger, name)[index] = getattr(seen, name)
            levels = solved(ledger.added(slices.owner, slices.volumes), prior, levels, 2)
        progress((step + 1) / o.steps, f"step {step + 1} of {o.steps}, loss {trace[-1]:.3f}")
    network.eval()
    return trace


def _posterior_sums(slices: VolumeSlices, levels: Levels, every: int) -> FieldSums:
    """The sums of all slices by the posterior of some levels."""
    parts = []
    for index in torch.arange(len(slices)).split(16):
        part = slices.images[index][:, ::every, ::every]
        joint = log_joint(part.flatten(1), slices.basis(index, every), levels[slices.owner[index]])
        s = torch.softmax(joint, 1) * slices.measured(index, every).flatten(1)[:, None]
        parts.append(FieldSums.of(part.flatten(1), s, slices.basis(index, every)))
    return FieldSums(*(torch.cat([getattr(p, name) for p in parts])
                       for name in ("power", "product", "square")))


@torch.no_grad()
def responsibilities(network: nn.Module, slices: VolumeSlices, batch: int = 16) -> Tensor:
    """s, (S, K, H, W), 0 outside the brain."""
    parts = []
    for index in torch.arange(len(slices)).split(batch):
        parts.append(slices.logits(network, index).softmax(1) * slices.inside[index][:, None])
    return torch.cat(parts)


def levels_of(slices: VolumeSlices, s: Tensor, prior: LevelPrior, every: int = 2) -> Levels:
    """The closed forms of each volume at the network's responsibilities."""
    parts = [sums_of(slices, index, s[index], every)
             for index in torch.arange(len(slices)).split(16)]
    sums = FieldSums(*(torch.cat([getattr(p, name) for p in parts])
                       for name in ("power", "product", "square")))
    return solved(sums.added(slices.owner, slices.volumes), prior, rounds=6)
