"""When the GPU is too small: halve the batch, then take the CPU, and say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.fit import Fit


def within_memory(batch: PixelBatch, run: Callable[[PixelBatch, Tensor], Fit]) -> Fit:
    """Fit slices together, in halves where memory does not suffice, and at last on the CPU.

    The slices' networks are independent, so the pieces give what the whole would have given.

    Parameters
    ----------
    run : fits a batch; its second argument says which of the slices these are.
    """
    said: list[str] = []

    def attempt(index: Tensor, device: torch.device) -> list[Fit]:
        try:
            return [run(batch.select(index.to(batch.values.device)).on(device), index)]
        except torch.OutOfMemoryError:
            if device.type != "cpu":
                torch.cuda.empty_cache()
            if len(index) > 1:
                said.append("memory did not suffice for all slices at once: they were fitted in "
                            "smaller groups")
                middle = len(index) // 2
                return attempt(index[:middle], device) + attempt(index[middle:], device)
            if device.type == "cpu":
                raise MemoryError("one slice alone is too large for this machine") from None
            said.append("the GPU's memory did not suffice: some slices were fitted on the CPU, "
                        "which is slower")
            return attempt(index, torch.device("cpu"))

    fits = attempt(torch.arange(batch.slices), batch.values.device)
    whole = Fit.joined(fits, batch.values.device)
    return replace(whole, warnings=whole.warnings + list(dict.fromkeys(said)))
