"""Where to compute, and what to do where that does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from deepgmm.errors import InputError

#: Pixels of a batch below which one thread is the safe choice.
SMALL = 100_000


def choose_device(wanted: str) -> torch.device:
    """The torch device for auto, cpu, cuda or mps.

    Raises
    ------
    InputError : where cuda or mps is asked for and absent.
    """
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    if wanted == "cuda" and not cuda:
        raise InputError("no CUDA device was found: use the device cpu or auto")
    if wanted == "mps" and not mps:
        raise InputError("no Apple GPU (mps) was found: use the device cpu or auto")
    if wanted == "auto":
        wanted = "cuda" if cuda else "cpu"  # mps lacks float64, so it is never guessed
    return torch.device(wanted)


@contextmanager
def few_threads(work: int) -> Iterator[None]:
    """One thread for a small problem, where waiting for the others can cost more than they do.

    Parameters
    ----------
    work : number of pixels in the batch. Below `SMALL`, two threads save a fifth of the time of
        a study of five slices on a quiet machine, and cost several times as much on a busy one.
    """
    before = torch.get_num_threads()
    if work < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
