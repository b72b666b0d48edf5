"""Network and optimiser as named tensors, for checkpoints, and back."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from deepgmm.errors import InputError
from deepgmm.model.learning import Examples

_NETWORK, _OPTIMISER, _BEST = "network/", "optimiser/", "best/"


def tensors_of(network: nn.Module, optimiser: torch.optim.Optimizer,
               best: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """All that the next step depends on, and the weights of the best network so far."""
    tensors = {_NETWORK + name: value for name, value in network.state_dict().items()}
    for name, weight in network.named_parameters():
        tensors |= {f"{_OPTIMISER}{name}/{key}": value
                    for key, value in optimiser.state.get(weight, {}).items()}
    return tensors | {_BEST + name: value for name, value in (best or {}).items()}


def put_back(tensors: dict[str, Tensor], network: nn.Module,
             optimiser: torch.optim.Optimizer) -> dict[str, Tensor] | None:
    """Undo `tensors_of`; gives the best network's weights, if there are any.

    Raises
    ------
    InputError : the tensors are not those of such a network.
    """
    try:
        network.load_state_dict(_under(_NETWORK, tensors))
        for name, weight in network.named_parameters():
            for key, value in _under(f"{_OPTIMISER}{name}/", tensors).items():
                # laid out in memory like the weight, so that sums come in the same order
                same = torch.zeros_like(weight) if value.shape == weight.shape else value.clone()
                optimiser.state[weight][key] = same.copy_(value)
    except RuntimeError as error:
        raise InputError("the checkpoint holds another network than the one wanted: begin anew "
                         "with --force, or in another folder") from error
    return _under(_BEST, tensors) or None


def fingerprint(*sets: Examples | None) -> str:
    """SHA-256 of masks, labels and sequences of some slices: of which a training is made.

    Intensities stay out: another machine may round them otherwise.
    """
    digest = hashlib.sha256()
    for examples in sets:
        if examples is not None:
            for values in (examples.inside, examples.present, examples.labels):
                if values is not None:
                    digest.update(repr(tuple(values.shape)).encode())
                    digest.update(values.cpu().to(torch.int8).numpy().tobytes())
        digest.update(b"|")
    return digest.hexdigest()


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items()
            if name.startswith(prefix)}
