"""Devices and processes of a training: Lightning Fabric, set up in one place."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deepgmm.errors import InputError, how_to_install
from deepgmm.model.devices import choose_device
from deepgmm.training.settings import Precision, TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_FABRIC = {Precision.FLOAT32: "32-true", Precision.BFLOAT16: "bf16-mixed",
           Precision.FLOAT64: "64-true"}


def leading() -> bool:
    """Whether this process is the one that speaks and writes."""
    return os.environ.get("RANK", "0") == "0" or not _launched()


def device_for(settings: TrainingSettings) -> torch.device:
    """Where a training with these settings will run; asks nothing that takes time.

    Raises
    ------
    InputError
        A device that is not there, numbers that it does not have, more processes than devices or
        than slices in a batch.
    """
    device = choose_device(settings.device.value)
    if settings.precision is Precision.BFLOAT16 and device.type != "cuda":
        raise InputError("bfloat16 is for CUDA devices: leave --precision out")
    if settings.precision is Precision.FLOAT64 and device.type == "mps":
        raise InputError("an Apple GPU (mps) has no float64: leave --precision out, or use "
                         "--device cpu")
    here, everywhere = _processes()
    if device.type == "cuda" and here > torch.cuda.device_count():
        raise InputError(f"{here} processes were started on a machine with "
                         f"{torch.cuda.device_count()} CUDA devices: start one for each")
    if everywhere > settings.batch:
        raise InputError(f"{everywhere} processes share a batch of {settings.batch} slices: "
                         "start fewer, or take a larger batch")
    return device


def started(settings: TrainingSettings) -> Fabric:
    """This process among those that train together: several where torchrun started them.

    Raises
    ------
    InputError : packages that are missing, and as `device_for`.
    """
    require_extra()
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import (
        LightningEnvironment,
        TorchElasticEnvironment,
    )

    device = device_for(settings)
    here, everywhere = _processes()
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=device.type, devices=here, num_nodes=everywhere // here,
            strategy="ddp" if everywhere > 1 else "auto",
            precision=_FABRIC[settings.precision],
            plugins=[TorchElasticEnvironment() if _launched() else LightningEnvironment()])
        fabric.launch()
    return fabric


def require_extra() -> None:
    """See that the packages are there which only learning needs.

    Raises
    ------
    InputError : with the command that installs them.
    """
    if not all(map(importlib.util.find_spec, ("monai", "lightning_fabric", "tensorboardX"))):
        raise InputError("learning needs packages that are not installed: " + how_to_install(
            "monai>=1.5", "einops>=0.7", "lightning-fabric>=2.2", "tensorboardX>=2.6"))


def _launched() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def _processes() -> tuple[int, int]:
    """How many train together on this machine, and on all machines."""
    if not _launched():
        return 1, 1
    return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])


def summed(fabric: Fabric, numbers: Tensor) -> Tensor:
    """Numbers added up over all processes, in float64 on the CPU."""
    numbers = numbers.double() if fabric.device.type != "mps" else numbers.cpu().double()
    if fabric.world_size > 1:
        numbers = fabric.all_reduce(numbers.to(fabric.device), reduce_op="sum")
    return numbers.cpu()
