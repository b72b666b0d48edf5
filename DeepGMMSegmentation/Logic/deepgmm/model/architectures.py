"""Networks that many images share, by name: how each is made from a few numbers.

All of them take (channels (S, C, H, W), inside (S, 1, H, W)) to logits (S, K, H, W), have the
attribute `multiple`, of which H and W must be multiples, and know no statistics over a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deepgmm.errors import InputError, how_to_install
from deepgmm.model.architecture import SIZED, Architecture

if TYPE_CHECKING:
    from torch import nn


def build(architecture: Architecture, *, seed: int = 0) -> nn.Module:
    """A network on the CPU with initial weights drawn by a seed.

    The caller's random numbers stay as they are.

    Raises
    ------
    InputError : the network is MONAI's, and that is not installed.
    """
    import torch

    make = _makers(architecture.name)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return make(architecture)


def _makers(name: str) -> Callable[[Architecture], nn.Module]:
    if name in SIZED:
        from deepgmm.model import image_unet

        return {"unet": image_unet.unet, "modified-unet": image_unet.modified_unet}[name]
    try:
        from deepgmm.model import monai_networks
    except ImportError as missing:
        if (missing.name or "").split(".")[0] not in ("monai", "einops"):
            raise
        raise InputError(f"the network {name} needs MONAI: "
                         + how_to_install("monai>=1.5", "einops>=0.7")) from missing
    return {"unet++": monai_networks.unet_plus_plus, "unetr": monai_networks.unetr,
            "swinunetr": monai_networks.swin_unetr}[name]
