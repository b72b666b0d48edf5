"""Where to compute, and what to do where that does not exist."""

from __future__ import annotations

import torch

from deepgmm.errors import InputError


def choose_device(wanted: str) -> torch.device:
    """The torch device for auto, cpu, cuda or mps.

    Raises
    ------
    InputError : where cuda or mps is asked for and absent.
    """
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    if wanted == "cuda" and not cuda:
        raise InputError("no CUDA device was found: use --device cpu or auto")
    if wanted == "mps" and not mps:
        raise InputError("no Apple GPU (mps) was found: use --device cpu or auto")
    if wanted == "auto":
        wanted = "cuda" if cuda else "cpu"  # mps lacks float64, so it is never guessed
    return torch.device(wanted)
