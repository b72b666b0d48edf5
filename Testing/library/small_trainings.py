"""Small examples and settings to train on in seconds."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import torch
from torch.nn.functional import one_hot

from deepgmm.model.learning import Examples
from deepgmm.training.loop import Trained, train_network
from deepgmm.training.settings import TrainingSettings

SIDE = 16
#: What blood, myocardium, edema and scar look like on the three sequences.
MEANS = torch.tensor([[1.0, 0.2, -0.5], [-0.7, -0.5, -0.3], [-0.5, -0.3, 0.8], [-0.5, 0.8, 0.7]])


def some_examples(slices: int, seed: int = 0, *, labelled: bool = True) -> Examples:
    """Rings of wall around blood, with edema and in it scar in one sector each."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*(torch.arange(SIDE) - (SIDE - 1) / 2,) * 2, indexing="ij")
    radius = torch.hypot(x, y)
    inside = (radius < 7).float().expand(slices, 1, -1, -1).clone()
    middle = torch.rand((slices, 1, 1), generator=generator) * 2 * torch.pi
    turn = torch.atan2(y, x) - middle
    away = torch.atan2(turn.sin(), turn.cos()).abs()
    labels = torch.where(radius < 4, 0, torch.where(away < 0.5, 3, torch.where(away < 1, 2, 1)))
    noise = 0.3 * torch.randn((slices, 3, SIDE, SIDE), generator=generator)
    return Examples(
        values=(MEANS[labels].permute(0, 3, 1, 2) + noise) * inside,
        present=torch.ones(slices, 3), inside=inside, depth=(7 - radius) * inside,
        sought=torch.ones(slices, 4), means=MEANS.expand(slices, -1, -1).clone(),
        variances=torch.full((slices, 4, 3), 0.09), trust=torch.ones(slices, 4, 3),
        teacher=one_hot(labels, 4).permute(0, 3, 1, 2) * inside * 0.9 + 0.025 * inside,
        labels=torch.where(inside[:, 0] > 0, labels, -1) if labelled else None)


def small(**other: object) -> TrainingSettings:
    """Settings of a training of seconds."""
    return TrainingSettings(**{
        "filters": 4, "levels": 1, "convolutions": 1, "steps": 12, "batch": 4, "device": "cpu",
        "validate_every": 4, "checkpoint_every": 0, "learning_rate": 1e-2, **other})


def trained(folder: Path, settings: TrainingSettings, slices: int = 7, **more: object) -> Trained:
    """A training on so many examples, in a folder that is made; without the picture of its
    curves, which takes longer than the training."""
    folder.mkdir(exist_ok=True)
    validation = more.pop("validation", None)
    with patch("deepgmm.training.loop.write_curves"):
        return train_network(some_examples(slices), validation, settings, folder, **more)
