"""A small network on disk, for those who load, list and import them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from deepgmm.model.architecture import Architecture
from deepgmm.model.architectures import build
from deepgmm.study.words import Role
from deepgmm.weights.card import Card, LabelledCases, Learning
from deepgmm.weights.folder import save_network

SMALL = Architecture(filters=4, levels=2, convolutions=1)


def a_card(name: str = "small", **entries: Any) -> Card:
    usual: dict[str, Any] = {
        "title": "A small network", "learning": Learning.SYNTHETIC,
        "labelled_cases": LabelledCases(loss=3), "architecture": SMALL, "sequences": tuple(Role),
        "temperature": 2.0, "priors": "shipped", "licence": "Apache-2.0",
        "training": {"cases": 3, "seeds": "20000-20002"}, "scores": {"dice": {"mean": 0.5}},
        "familiar": {"bssfp+lge+t2": {"nll": {"mean": 1.0, "sd": 0.25}}}}
    return Card(name, **usual | entries)


def a_network(seed: int = 7) -> nn.Module:
    return build(SMALL, seed=seed)


def save_small(folder: Path, name: str = "small", **entries: Any) -> Path:
    save_network(folder, a_network(), a_card(name, **entries))
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a folder, as any reader finds them."""
    return safetensors.torch.load_file(folder / "network.safetensors")


def change_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit a card as a text editor would."""
    path = folder / "card.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
