"""The networks that propose, as files: one that finds the ventricle, one that is shown a drawn
slice."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm.errors import InputError

if TYPE_CHECKING:
    from torch import nn

_DATA = Path(__file__).resolve().parent.parent / "data"
SHIPPED, BESIDE = _DATA / "outline", _DATA / "beside"
WEIGHTS, CARD = "network.safetensors", "card.json"
FORMAT, BESIDE_FORMAT = "deepgmm outline network", "deepgmm network beside a drawn slice"
_TITLES = {FORMAT: "U-Net that proposes the LV mask, synthetic-supervised",
           BESIDE_FORMAT: "Network by which slices follow one that was drawn, synthetic-supervised"}


def save(folder: Path, network: nn.Module, training: dict[str, Any]) -> dict[str, Any]:
    """Write weights as 16-bit numbers, and a card that names their hash.

    Parameters
    ----------
    network : an `OutlineNet` or a `BesideNet`.

    Returns
    -------
    card : as written.
    """
    import torch
    from safetensors.torch import save as packed

    content = packed({name: value.detach().to(torch.float16).contiguous()
                      for name, value in network.named_parameters()})
    kind, size = ((FORMAT, {"widths": list(network.widths)}) if hasattr(network, "widths")
                  else (BESIDE_FORMAT, {"width": network.width}))
    card = {"format": kind, "version": 1, "name": "outline" if kind == FORMAT else "beside",
            "title": _TITLES[kind], **size, "licence": "Apache-2.0",
            "training": training, "sha256": hashlib.sha256(content).hexdigest()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(content)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n",
                               encoding="utf-8")
    return card


@lru_cache(maxsize=4)
def load(folder: Path = SHIPPED) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a folder, ready to be asked, and its card.

    Raises
    ------
    InputError : a file that is missing, damaged, or not what the card is about.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as unpacked

    from deepgmm.model.beside import BesideNet
    from deepgmm.model.outline import OutlineNet

    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        content = (folder / WEIGHTS).read_bytes()
        if card.get("version") != 1:
            raise ValueError
        network: nn.Module = {FORMAT: lambda: OutlineNet(card["widths"]),
                              BESIDE_FORMAT: lambda: BesideNet(card["width"])}[card["format"]]()
        if hashlib.sha256(content).hexdigest() != card["sha256"]:
            raise ValueError
        network.load_state_dict({name: value.to(torch.float32)
                                 for name, value in unpacked(content).items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError,
            SafetensorError) as error:
        raise InputError("the network that proposes masks is missing or damaged: install deepgmm "
                         "again") from error
    return network.eval(), card
