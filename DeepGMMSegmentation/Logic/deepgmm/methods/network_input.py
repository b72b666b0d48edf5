"""What a shared network sees of a case, and what it answers."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, softmax

from deepgmm.methods.problem import Case, mean_strength
from deepgmm.model.architecture import INPUTS_AROUND
from deepgmm.model.images import REACH, Images, Laid
from deepgmm.study.words import FOUR_TISSUES, Role

#: The axes along which images are mirrored, one set a look: four on one sequence alone; of several,
#: which say more, two do as well and take half the time.
MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))
FEWER: tuple[tuple[int, ...], ...] = ((), (2, 3))
#: Pixel sizes that networks are trained for, mm; an image of others is brought to the middle.
PIXEL_MM, MIDDLE_MM = (1.1, 1.8), 1.4


def images_of(case: Case, dtype: torch.dtype = torch.float32, *, margin: int = 0) -> Images:
    """The slices of a case on the canvas of its batch; tissues that it does not seek have gone.

    Parameters
    ----------
    margin : rows and columns added on each side of the canvas, with `around` on it; 0 for neither.
    """
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
    around = None
    if margin:
        around = torch.as_tensor(_around(case, column, margin), dtype=dtype, device=device)

    def framed(grid: Tensor) -> Tensor:
        return pad(grid, (margin,) * 4) if margin else grid
    return Images(
        framed(values), present, framed(batch.grid(batch.valid[..., None]).to(dtype)),
        framed(batch.grid(case.ventricle.depth[..., None]).to(dtype)), sought,
        spread(contrast.means, 0.0), spread(contrast.deviations**2, 1.0),
        spread(mean_strength(contrast), 1.0), around)


def _around(case: Case, column: list[int], margin: int) -> npt.NDArray[np.float32]:
    """(S, 3 M, H, W) of `Images.around`: what lies beyond the image is its border's nearest."""
    images, (height, width) = case.normalised[0], case.batch.shape
    corner = case.batch.corner.tolist()
    seen = np.zeros((len(images), 3, len(Role), height + 2 * margin, width + 2 * margin),
                    np.float32)
    for i, (row, first) in enumerate(corner):
        rows, columns = (np.clip(np.arange(start - margin, start + side + margin), 0, most - 1)
                         for start, side, most in ((row, height, images.shape[2]),
                                                   (first, width, images.shape[3])))
        for place, other in enumerate((i, i + 1, i - 1)):
            beside = 0 <= other < len(images) and abs(case.slices[other] - case.slices[i]) <= 1
            if beside:
                seen[i, place, column] = images[other][:, rows[:, None], columns]
    return seen.reshape(len(images), -1, *seen.shape[3:])


def pixel_of(case: Case) -> float:
    """The size of a pixel, mm."""
    return float(np.sqrt(case.study.geometry.pixel_area))


def scale_of(pixel: float) -> float:
    """By how much images of such pixels, mm, are scaled before a network sees them."""
    low, high = PIXEL_MM
    return 1.0 if low <= pixel <= high else pixel / MIDDLE_MM


def margin_of(inputs: int, pixel: float) -> int:
    """Rows and columns that a network with so many input channels sees around a canvas of such
    pixels, mm."""
    return math.ceil((REACH + 1) / scale_of(pixel)) if inputs == INPUTS_AROUND else 0


def answer_of(network: nn.Module, inputs: int, case: Case, images: Images) -> Tensor:
    """(S, K, H, W) what a network with so many input channels answers to a case, whose `images`
    have none around."""
    pixel = pixel_of(case)
    margin = margin_of(inputs, pixel)
    if not margin:
        return logits_of(network, images, pixel)
    wider = images_of(case, images.values.dtype, margin=margin)
    mirrors = MIRRORS if len(case.study.sequences) == 1 else FEWER
    logits = seen_from_all_sides(network, wider, pixel, mirrors)
    rows, columns = case.batch.shape
    kept = logits[..., margin : margin + rows, margin : margin + columns]
    height, width = images.canvas
    return pad(kept, (0, width - columns, 0, height - rows))


def seen_from_all_sides(network: nn.Module, images: Images, pixel: float,
                        mirrors: tuple[tuple[int, ...], ...] = MIRRORS) -> Tensor:
    """(S, K, H, W) log of the mean of what a network says of the images, seen so mirrored."""
    total: Tensor | None = None
    for axes in mirrors:
        answer = softmax(logits_of(network, _mirrored(images, axes), pixel), dim=1).flip(axes)
        total = answer if total is None else total + answer
    assert total is not None
    return (total / len(mirrors)).clamp_min(1e-12).log()


def features_of(network: nn.Module, inputs: int, case: Case) -> list[Tensor]:
    """(S, F, H, W) what the last layer of a network is given, of each look as `answer_of` has
    them, on the canvas of the case's batch."""
    bare = copy(network)
    bare._modules = {**network._modules, "head": nn.Identity()}
    pixel = pixel_of(case)
    margin = margin_of(inputs, pixel)
    images = images_of(case, margin=margin)
    if not margin:
        return [logits_of(bare, images, pixel)]
    mirrors = MIRRORS if len(case.study.sequences) == 1 else FEWER
    rows, columns = case.batch.shape
    return [logits_of(bare, _mirrored(images, axes), pixel).flip(axes)[
        ..., margin : margin + rows, margin : margin + columns] for axes in mirrors]


def _mirrored(images: Images, axes: tuple[int, ...]) -> Images:
    """Seen along one mirrored axis, the slices beside change sides too: it stays a heart turned."""
    assert images.around is not None
    own, after, before = images.around.chunk(3, 1)
    beside = [before, after] if len(axes) % 2 else [after, before]
    return replace(images, values=images.values.flip(axes), inside=images.inside.flip(axes),
                   depth=images.depth.flip(axes), around=torch.cat([own, *beside], 1).flip(axes))


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
    logits = network(channels, padded.field)[..., :rows, :columns]
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
        depth=shrunk(images.depth) / share.clamp_min(1e-3) * inside,
        around=None if images.around is None else shrunk(images.around))
