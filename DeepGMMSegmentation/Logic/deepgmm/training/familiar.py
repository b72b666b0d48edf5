"""What studies look like to a network that knows them: for the alarm over those it does not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from deepgmm.methods.pretrained import sequences_key, strangeness
from deepgmm.model.images import Images, read
from deepgmm.model.learning import Examples
from deepgmm.study.words import Role
from deepgmm.training.augmentation import with_sequences

#: A few studies may happen to be alike, but another that is a little less so is not strange.
LEAST_SD = 0.05

Familiar = dict[str, dict[str, dict[str, float]]]


def familiar_of(network: nn.Module, examples: Examples, owner: Tensor, *, temperature: float,
                fewer: bool) -> Familiar:
    """What a card keeps of studies: mean and standard deviation of each measure of strangeness.

    Parameters
    ----------
    network : on the CPU, in eval mode.
    owner : (S,) which study each slice is of.
    fewer : whether the network has learned to do without sequences, so that every set of those
        that a study has is familiar to it.
    """
    seen: dict[str, list[dict[str, float]]] = {}
    for number in owner.unique().tolist():
        study = examples.select((owner == number).nonzero()[:, 0])
        there = tuple(r for r, has in zip(Role, study.present[0].tolist(), strict=True) if has)
        least = 1 if fewer else len(there)
        for count in range(len(there), least - 1, -1):
            for roles in combinations(there, count):
                kept = study.present.new_tensor([float(role in roles) for role in Role])
                part = with_sequences(study, kept.expand_as(study.present))
                seen.setdefault(sequences_key(roles), []).append(
                    _measures(network, part, temperature))
    return {key: {name: _numbers([one[name] for one in found]) for name in found[0]}
            for key, found in seen.items()}


def _measures(network: nn.Module, images: Images, temperature: float) -> dict[str, float]:
    multiple = network.multiple
    assert isinstance(multiple, int)
    images = images.enlarged(multiple)
    with torch.no_grad():
        logits = network(images.channels().contiguous(memory_format=torch.channels_last),
                         images.field)
        return vars(strangeness(images, read(images, logits, temperature=temperature)))


def _numbers(values: list[float]) -> dict[str, float]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": round(float(np.mean(values)), 4), "sd": round(max(spread, LEAST_SD), 4)}
