"""What a shared network sees of a case, and what it answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from deepgmm.methods.problem import Case, mean_strength
from deepgmm.model.images import Images, Laid
from deepgmm.study.words import FOUR_TISSUES, Role

#: Pixel sizes that networks are trained for, mm; an image of others is brought to the middle.
PIXEL_MM, MIDDLE_MM = (1.1, 1.8), 1.4


def images_of(case: Case, dtype: torch.dtype = torch.float32) -> Images:
    """The slices of a case on the canvas of its batch; tissues that it does not seek have gone."""
    batch, contrast = case.batch, case.contrast
    slices, canvas, device = batch.slices, batch.shape, batch.values.device
    column = [list(Role).index(role) for role in case.study.roles]
    row = [FOUR_TISSUES.index(tissue) for tissue in case.tissues]

    def spread(numbers: object, empty: float) -> Tensor:
        """Numbers of the sought tissues and the present sequences among all, for every slice."""
        table = torch.full((len(FOUR_TISSUES), len(Role)), empty, dtype=dtype, device=device)
        table[torch.tensor(row)[:, None], torch.tensor(column)] = torch.as_tensor(
            numbers, dtype=dtype, device=device)
        return table.expand(slices, -1, -1).clone()

    values = torch.zeros((slices, len(Role), *canvas), dtype=dtype, device=device)
    values[:, column] = batch.grid(batch.values).to(dtype)
    present = torch.zeros((slices, len(Role)), dtype=dtype, device=device)
    present[:, column] = 1
    sought = torch.zeros((slices, len(FOUR_TISSUES)), dtype=dtype, device=device)
    sought[:, row] = 1
    return Images(
        values, present, batch.grid(batch.valid[..., None]).to(dtype),
        batch.grid(case.ventricle.depth[..., None]).to(dtype), sought,
        spread(contrast.means, 0.0), spread(contrast.deviations**2, 1.0),
        spread(mean_strength(contrast), 1.0))


def pixel_of(case: Case) -> float:
    """The size of a pixel, mm."""
    return float(np.sqrt(case.study.geometry.pixel_area))


def scale_of(pixel: float) -> float:
    """By how much images of such pixels, mm, are scaled before a network sees them."""
    low, high = PIXEL_MM
    return 1.0 if low <= pixel <= high else pixel / MIDDLE_MM


def logits_of(network: nn.Module, images: Images, pixel: float) -> Tensor:
    """(S, K, H, W) what a network answers, on the images' own canvas.

    Parameters
    ----------
    pixel : size of a pixel in mm.
    """
    height, width = images.canvas
    factor = scale_of(pixel)
    seen = images if factor == 1 else resized(images, factor)
    rows, columns = seen.canvas
    multiple = getattr(network, "multiple", 1)
    assert isinstance(multiple, int)
    padded = seen.enlarged(multiple)
    channels = padded.channels().contiguous(memory_format=torch.channels_last)
    logits = network(channels, padded.inside)[..., :rows, :columns]
    if seen is images:
        return logits
    return interpolate(logits, (height, width), mode="bilinear", align_corners=False)


def resized(images: Laid, factor: float) -> Laid:
    """The images with `factor` as many rows and columns; what lies outside the mask stays out."""
    size = [max(8, round(side * factor)) for side in images.canvas]

    def shrunk(grid: Tensor) -> Tensor:
        if factor < 1:
            return interpolate(grid, size, mode="area")
        return interpolate(grid, size, mode="bilinear", align_corners=False)
    share = shrunk(images.inside)
    inside = (share > 0.5).to(share.dtype)
    return replace(
        images, inside=inside, values=shrunk(images.values) / share.clamp_min(1e-3) * inside,
        depth=shrunk(images.depth) / share.clamp_min(1e-3) * inside)
