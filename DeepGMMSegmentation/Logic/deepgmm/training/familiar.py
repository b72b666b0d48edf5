"""What studies look like to a network that knows them: for the alarm over those it does not."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from deepgmm.methods.network_input import TISSUES
from deepgmm.methods.pretrained import sequences_key, strangeness
from deepgmm.model.images import Images, read
from deepgmm.model.learning import Examples
from deepgmm.study.words import TISSUES_BY_ROLES, Role

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
                part = study if roles == there else _of(study, roles)
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
                         images.inside)
        return vars(strangeness(images, read(images, logits, temperature=temperature)))


def _of(study: Examples, roles: tuple[Role, ...]) -> Examples:
    """The study as if it had these sequences alone."""
    kept = torch.tensor([role in roles for role in Role]).to(study.present)
    told = torch.tensor([t in TISSUES_BY_ROLES[frozenset(roles)] for t in TISSUES])
    return replace(study, present=study.present * kept, sought=study.sought * told.to(study.sought),
                   values=study.values * kept[:, None, None])


def _numbers(values: list[float]) -> dict[str, float]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": round(float(np.mean(values)), 4), "sd": round(max(spread, LEAST_SD), 4)}
