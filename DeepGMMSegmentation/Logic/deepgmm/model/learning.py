"""The objective of one network over many images: Algorithm 4 with the house's regularisers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepgmm.model.atlas import RadialAtlas
from deepgmm.model.deep import total_variation
from deepgmm.model.images import Images, Reading, merged, read

#: Pixels added to both sides of the soft Dice, so that a tissue that is not there has one.
SMOOTH = 5.0


@dataclass
class Examples(Images):
    """Images with what a network may learn from besides the likelihood.

    Attributes
    ----------
    teacher : (S, K, H, W) probabilities of a teacher, 0 outside the mask; or none.
    labels : (S, H, W) int64 tissue index, 0 blood to 3 scar, where a person labelled the pixel,
        else -1; or none.
    """

    teacher: Tensor | None = None
    labels: Tensor | None = None

    @staticmethod
    def _padding(name: str) -> float:
        return -1.0 if name == "labels" else 0.0


@dataclass(frozen=True)
class Objective:
    """Weights of the terms, all of them means over mask pixels; 0 leaves a term out.

    Attributes
    ----------
    likelihood : beta, of NLL_V (deepgmm-paper, Algorithm 4; gmm-loss-brain-paper 3.5).
    labels : alpha, of the cross entropy on labelled pixels (gmm-loss-brain-paper 3.5), a mean
        over the labelled pixels of a slice.
    teacher : of the cross entropy against the teacher's probabilities.
    means : lambda of ||mu - mu_data||^2 (deepgmm-paper 4.2).
    variation : gamma, of the total variation of Pi (gmm-loss-brain-paper 3.4).
    atlas : of the divergence KL(Pi || A) from the radial atlas `expected`.
    overlap : of 1 - soft Dice of each tissue that is sought, against the labels; a mean over
        tissues (Milletari et al., V-Net, 2016). Small tissues count as much as large ones there.
    bare : of both cross entropies' network softmax beside the posterior, in [0, 1]: 1 trains the
        softmax alone, as plain cross entropy does; 0 the posterior alone.
    temperature : see `read`.
    """

    likelihood: float = 0.0
    labels: float = 0.0
    teacher: float = 0.0
    means: float = 0.0
    variation: float = 0.0
    atlas: float = 0.0
    bare: float = 0.0
    temperature: float = 2.0
    expected: RadialAtlas | None = None
    overlap: float = 0.0


def losses(examples: Examples, logits: Tensor, objective: Objective) -> tuple[Tensor, Reading]:
    """(S,) the objective of every slice, and what was read of the network on the way.

    Parameters
    ----------
    logits : (S, K, H, W).
    """
    o = objective
    reading = read(examples, logits, temperature=o.temperature)
    total = torch.zeros_like(reading.nll)
    if o.likelihood > 0:
        total = total + o.likelihood * reading.nll
    if o.teacher > 0 and examples.teacher is not None:
        taught = examples.teacher.flatten(2).transpose(1, 2)
        total = total + o.teacher * _entropy(
            reading, merged(taught.log(), examples.sought).exp(), examples, o.bare)
    if max(o.labels, o.overlap) > 0 and examples.labels is not None:
        chosen = examples.labels.flatten(1)
        known = torch.nn.functional.one_hot(chosen.clamp_min(0), logits.shape[1])
        known = known.to(logits.dtype) * (chosen >= 0)[..., None]
        target = merged(known.log(), examples.sought).exp()
        if o.labels > 0:
            total = total + o.labels * _entropy(reading, target, examples, o.bare)
        if o.overlap > 0:
            total = total + o.overlap * _mismatch(reading, target, examples)
    if o.means > 0:
        away = (reading.mixture.means - examples.means) * examples.present[:, None]
        total = total + o.means * (away.square().sum(2) * examples.sought).sum(1)
    if o.variation > 0:
        batch = examples.pixels()
        rough = total_variation(batch, reading.log_weights.exp()) / batch.counts
        total = total + o.variation * rough
    if o.atlas > 0 and o.expected is not None:
        expected = merged(o.expected.log_shares(examples.depth.flatten(1)), examples.sought)
        total = total + o.atlas * _divergence(reading.log_weights, expected, examples)
    return total, reading


def _divergence(log_w: Tensor, expected: Tensor, examples: Images) -> Tensor:
    """(S,) KL(Pi || A), a mean over the mask pixels."""
    there = log_w > -torch.inf
    apart = torch.where(there, log_w, 0.0) - torch.where(there, expected, 0.0)
    inside = examples.inside.flatten(1)
    return ((log_w.exp() * apart).sum(2) * inside).sum(1) / inside.sum(1)


def _entropy(reading: Reading, target: Tensor, examples: Images, bare: float) -> Tensor:
    """(S,) cross entropy of (S, P, K) targets, a mean over the mask pixels that have one."""
    inside = examples.inside.flatten(1)
    target = target * inside[..., None]
    cost = torch.zeros_like(target)
    for share, log_p in ((1 - bare, reading.log_posterior), (bare, reading.log_weights)):
        if share > 0:
            cost = cost - share * torch.where(target > 0, target * log_p.clamp_min(-30.0), 0.0)
    return cost.sum((1, 2)) / target.sum((1, 2)).clamp_min(1.0)


def _mismatch(reading: Reading, target: Tensor, examples: Images) -> Tensor:
    """(S,) 1 - soft Dice of Pi and (S, P, K) targets, over the pixels that have one, a mean over
    the tissues that are sought."""
    inside = examples.inside.flatten(1)[..., None]
    target = target * inside
    found = reading.log_weights.exp() * inside * target.sum(2, keepdim=True)
    both = (found * target).sum(1)
    dice = (2 * both + SMOOTH) / (found.sum(1) + target.sum(1) + SMOOTH)
    return ((1 - dice) * examples.sought).sum(1) / examples.sought.sum(1)
