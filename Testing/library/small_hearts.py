"""Slices of a small heart to vary, and strengths to vary them by."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from deepgmm.model.learning import Examples
from deepgmm.training.augmentation import Augmentation

MILLIMETRES = 1.5
NOTHING = Augmentation(**{strength.name: 0.0 for strength in fields(Augmentation)})
#: All ways of moving that leave straight lines straight, and no change of intensities.
STIFF = replace(NOTHING, flip=0.5, rotation=180.0, zoom=0.25, shift=4.0)
MOVING = replace(STIFF, elastic=3.0, misalignment=1.5, twist=3.0)


def a_disc(size: int, radius: float, middle: float) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column from its middle, and the distance to its edge, on a square canvas."""
    place = torch.arange(size, dtype=torch.float64) - middle
    rows, columns = torch.meshgrid(place, place, indexing="ij")
    return rows, columns, (radius - torch.hypot(rows, columns)).clamp_min(0)


def examples_of(values: Tensor, depth: Tensor, *, labels: Tensor | None = None,
                teacher: Tensor | None = None) -> Examples:
    """One slice of (M, H, W) values and (H, W) depth, with a prior nobody may touch."""
    inside = (depth > 0).to(values.dtype)
    prior = torch.arange(12, dtype=values.dtype).reshape(1, 4, 3)
    return Examples(
        values=(values * inside)[None], present=torch.ones((1, 3), dtype=values.dtype),
        inside=inside[None, None], depth=MILLIMETRES * depth[None, None],
        sought=torch.ones((1, 4), dtype=values.dtype), means=prior, variances=prior + 1,
        trust=prior + 2, labels=None if labels is None else labels[None],
        teacher=None if teacher is None else (teacher * inside)[None])


def a_heart(size: int = 64, radius: float = 24.0, middle: float = 24.5,
            texture: int = 0) -> Examples:
    """A pool, a wall, an infarct in one sector, noise; labels, and a teacher that knows them."""
    rows, columns, depth = a_disc(size, radius, middle)
    label = torch.where(depth > 8, 0, 1)
    angle = torch.atan2(rows, columns)
    label[(label == 1) & (angle.abs() < 0.9)] = 2
    label[(label == 2) & (angle.abs() < 0.6) & (depth > 3)] = 3
    level = torch.tensor([[0.8, 0.3, -0.4], [-0.7, -0.7, 0.0], [-0.6, -0.5, 0.7],
                          [-0.6, 0.6, 0.7]], dtype=torch.float64)
    noise = torch.randn((3, size, size), dtype=torch.float64,
                        generator=torch.Generator().manual_seed(texture))
    values = level[label].permute(2, 0, 1) + 0.1 * noise
    teacher = torch.nn.functional.one_hot(label, 4).permute(2, 0, 1).to(torch.float64)
    return examples_of(values, depth, teacher=teacher,
                       labels=torch.where(depth > 0, label, -1)).to(torch.float32)


def repeated(examples: Examples, times: int) -> Examples:
    return Examples.joined([examples] * times)
