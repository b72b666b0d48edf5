"""How well a network does on slices that it does not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from deepgmm.model.images import Reading, merged
from deepgmm.model.learning import Examples, Objective, losses
from deepgmm.study.words import FOUR_TISSUES
from deepgmm.training.machines import summed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_NAMES = tuple(tissue.name.lower() for tissue in FOUR_TISSUES)


def scored(network: nn.Module, examples: Examples, objective: Objective, fabric: Fabric, *,
           batch: int) -> dict[str, Any]:
    """Means over slices, shared out among the processes and the same in all of them.

    Parameters
    ----------
    network : not wrapped for several processes; is put into eval mode.
    batch : slices at a time.

    Returns
    -------
    scores : "loss", "nll" and "nll_sd" over slices; where there are labels, "dice" by tissue
        over all labelled pixels together, None where neither network nor labels have any.
    """
    network.eval()
    mine = torch.arange(fabric.global_rank, len(examples), fabric.world_size)
    parts = [_sums(network, examples.select(index.to(examples.values.device)), objective, fabric)
             for index in mine.split(batch)]
    sums = torch.stack(parts).sum(0) if parts else torch.zeros(_LENGTH, dtype=torch.float64)
    loss, nll, squares, *overlaps = summed(fabric, sums).tolist()
    slices = len(examples)
    scores = {"loss": loss / slices, "nll": nll / slices,
              "nll_sd": max(squares / slices - (nll / slices) ** 2, 0.0) ** 0.5}
    if examples.labels is None or not any(overlaps):
        return scores
    both, either = overlaps[:len(FOUR_TISSUES)], overlaps[len(FOUR_TISSUES):]
    return scores | {"dice": {name: 2 * b / e if e else None
                              for name, b, e in zip(_NAMES, both, either, strict=True)}}


#: Of the sums over slices: loss, NLL, its square, and for each tissue the overlap and both sizes.
_LENGTH = 3 + 2 * len(FOUR_TISSUES)


def _sums(network: nn.Module, examples: Examples, objective: Objective,
          fabric: Fabric) -> Tensor:
    """(_LENGTH,) of some slices, float64 on the CPU."""
    with torch.no_grad():
        with fabric.autocast():
            logits = network(examples.channels().contiguous(memory_format=torch.channels_last),
                             examples.field)
        loss, reading = losses(examples, logits.to(examples.values.dtype), objective)
    nll = reading.nll.cpu().double()
    return torch.cat([torch.stack([loss.cpu().double().sum(), nll.sum(), nll.square().sum()]),
                      _overlaps(examples, reading, objective).cpu().double()])


def _overlaps(examples: Examples, reading: Reading, objective: Objective) -> Tensor:
    """(2 K,) labelled pixels that network and labels give the same tissue, then those that the
    one gives it and those that the other does, together."""
    if examples.labels is None:
        return torch.zeros(2 * len(FOUR_TISSUES))
    known = examples.labels.flatten(1)
    labels = one_hot(known.clamp_min(0), len(FOUR_TISSUES)).to(reading.nll.dtype)
    # what a slice does not seek counts as what it is taken for
    truth = merged(labels.log(), examples.sought).argmax(2)
    answer = (reading.log_weights if objective.bare == 1 else reading.log_posterior).argmax(2)
    a, b = (one_hot(chosen, len(FOUR_TISSUES)) * (known >= 0)[..., None]
            * (examples.inside.flatten(1) > 0)[..., None] for chosen in (answer, truth))
    return torch.cat([(a * b).sum((0, 1)), (a + b).sum((0, 1))])
