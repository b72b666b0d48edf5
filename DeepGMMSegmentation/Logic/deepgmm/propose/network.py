"""The network that finds the ventricle: its file, its card, and what it is asked."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm.errors import InputError

if TYPE_CHECKING:
    from torch import nn

SHIPPED = Path(__file__).resolve().parent.parent / "data" / "outline"
WEIGHTS, CARD, FORMAT = "network.safetensors", "card.json", "deepgmm outline network"


def save(folder: Path, network: nn.Module, training: dict[str, Any]) -> dict[str, Any]:
    """Write weights as 16-bit numbers, and a card that names their hash.

    Returns
    -------
    card : as written.
    """
    import torch
    from safetensors.torch import save as packed

    content = packed({name: value.detach().to(torch.float16).contiguous()
                      for name, value in network.named_parameters()})
    card = {"format": FORMAT, "version": 1, "name": "outline",
            "title": "U-Net that proposes the LV mask, synthetic-supervised",
            "widths": list(network.widths), "licence": "Apache-2.0",
            "training": training, "sha256": hashlib.sha256(content).hexdigest()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(content)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n",
                               encoding="utf-8")
    return card


@lru_cache(maxsize=2)
def load(folder: Path = SHIPPED) -> tuple[nn.Module, dict[str, Any]]:
    """The network, ready to be asked, and its card.

    Raises
    ------
    InputError : a file that is missing, damaged, or not what the card is about.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as unpacked

    from deepgmm.model.outline import OutlineNet

    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        content = (folder / WEIGHTS).read_bytes()
        if card.get("format") != FORMAT or card.get("version") != 1:
            raise ValueError
        network = OutlineNet(card["widths"])
        if hashlib.sha256(content).hexdigest() != card["sha256"]:
            raise ValueError
        network.load_state_dict({name: value.to(torch.float32)
                                 for name, value in unpacked(content).items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError,
            SafetensorError) as error:
        raise InputError("the network that proposes masks is missing or damaged: install deepgmm "
                         "again") from error
    return network.eval(), card
