"""Slices moved: turned, mirrored, scaled and bent in one resampling, as the anatomy moves.

Places are pixels of the canvas, (row, column), and pixels are taken as square.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from deepgmm.model.learning import Examples

#: A slice that keeps less of its mask than this, its zoom allowed for, counts as lost.
LEAST_KEPT = 0.5


@dataclass(frozen=True)
class Motion:
    """Where the anatomy of S slices goes, and how far M sequences stray from it.

    A place of the anatomy, seen from the middle of its mask, is mirrored, turned and scaled, and
    then goes further by `bend`.

    Attributes
    ----------
    flips : (S, 2) -1 where rows, columns are mirrored, else 1.
    turn : (S,) radians.
    zoom : (S,) factor; lowered where the heart would not fit on the canvas.
    bend : (S, 2, H, W) by how much what arrives at a place of the canvas was bent.
    shift : (S, 2) how far down and across the canvas the heart goes, as far as it fits.
    stray : (S, M, 2) how far from the anatomy each sequence shows what it shows.
    twist : (S, M) radians by which it is turned besides, about the middle of the mask.
    rim : no sequence strays by more than so many whole pixels.
    """

    flips: Tensor
    turn: Tensor
    zoom: Tensor
    bend: Tensor
    shift: Tensor
    stray: Tensor
    twist: Tensor
    rim: int


def moved(examples: Examples, motion: Motion) -> tuple[Examples, Tensor]:
    """The slices after a motion.

    The whole heart stays on the canvas: its box starts where it started, at the top left as
    `Images` has it, or by `shift` further down and across, and the zoom is limited to what fits.
    The depth, in mm, is scaled with the zoom: the heart itself is taken to be larger or smaller.
    Nothing outside the mask mixes in: at its edge intensities, depth and the teacher are those
    of the nearest pixels inside. A label is that of the nearest pixel, none if outside the mask.

    Returns
    -------
    The moved slices, and (S,) bool whether the mask was lost on the way, as a thread of single
    pixels is.
    """
    anatomy, sequences, zoom = _places(examples.inside, motion)
    linear = [examples.inside, examples.depth]
    if examples.teacher is not None:
        linear.append(examples.teacher)
    there = _resampled(torch.cat(linear, 1), anatomy, "bilinear", "zeros")
    share, depth, teacher = there[:, :1], there[:, 1:2], there[:, 2:]
    inside = (share > 0.5).to(share.dtype)
    # divided by the share of the mask, what was a mean over all pixels is one over the mask's
    whole = inside / share.clamp_min(0.5)
    labels = examples.labels
    if labels is not None:
        # 0 is what lies beyond the canvas
        nearest = _resampled(labels[:, None].to(depth.dtype) + 1, anatomy, "nearest", "zeros")
        labels = torch.where(inside > 0, nearest.round().to(labels.dtype) - 1, -1)[:, 0]
    kept = inside.sum((1, 2, 3)) > LEAST_KEPT * zoom.square() * examples.inside.sum((1, 2, 3))
    return replace(
        examples, inside=inside, depth=depth * whole * zoom[:, None, None, None], labels=labels,
        teacher=None if examples.teacher is None else teacher * whole,
        **_seen(examples, sequences, motion.rim, inside)), ~kept


def box(inside: Tensor) -> tuple[Tensor, Tensor]:
    """(S, 2) first and last row and column of masks (S, 1, H, W)."""
    first, last = [], []
    for across in (3, 2):
        filled = inside.amax((1, across)) > 0
        place = torch.arange(filled.shape[1], device=inside.device, dtype=inside.dtype)
        first.append(torch.where(filled, place, float(len(place))).amin(1))
        last.append(torch.where(filled, place, -1.0).amax(1))
    return torch.stack(first, 1), torch.stack(last, 1)


def lattice(like: Tensor) -> Tensor:
    """(2, H, W) row and column of each place of a canvas (..., H, W)."""
    rows, columns = (torch.arange(side, device=like.device, dtype=like.dtype)
                     for side in like.shape[-2:])
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def _places(inside: Tensor, motion: Motion) -> tuple[Tensor, Tensor, Tensor]:
    """Where on the old canvas lies what each place of the new one shows.

    Returns
    -------
    (S, 2, H, W) of the anatomy, (S, M, 2, H, W) of each sequence, and (S,) the zoom as limited.
    """
    places = lattice(inside)
    first, last = box(inside)
    middle, flips = ((first + last) / 2)[:, :, None, None], motion.flips[:, :, None, None]
    spread = _turned(flips * (places - middle), motion.turn)
    low = torch.where(inside > 0, spread, torch.inf).amin((2, 3))
    extent = torch.where(inside > 0, spread, -torch.inf).amax((2, 3)) - low
    reach = motion.bend.abs().amax((2, 3))
    room = torch.tensor(inside.shape[2:], device=inside.device) - 1 - 2 * reach
    zoom = torch.minimum(motion.zoom, (room / extent.clamp_min(1.0)).amin(1))
    start = torch.minimum(first - reach + motion.shift, room - zoom[:, None] * extent)
    origin = start.clamp_min(0.0) + reach - zoom[:, None] * low

    bent = places - motion.bend - origin[:, :, None, None]
    anatomy = flips * _turned(bent / zoom[:, None, None, None], -motion.turn)
    sequences = _turned(anatomy[:, None], motion.twist) + motion.stray[..., None, None]
    return anatomy + middle, sequences + middle[:, None], zoom


def _turned(place: Tensor, angle: Tensor) -> Tensor:
    """(..., 2, H, W) places turned about 0 by (...) radians."""
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    rows, columns = place.unbind(-3)
    return torch.stack([cos * rows - sin * columns, sin * rows + cos * columns], -3)


def _seen(examples: Examples, places: Tensor, rim: int, inside: Tensor) -> dict[str, Tensor]:
    """`values`, and `around` where there is one: every sequence at its own places
    (S, M, 2, H, W), values inside the new mask."""
    def shown(images: Tensor, where: Tensor) -> Tensor:
        return _resampled(images.flatten(0, 1)[:, None], where.flatten(0, 1), "bilinear",
                          "border").reshape(images.shape)
    if examples.around is None:
        values = _widened(examples.values, examples.inside, rim + 1)
        return {"values": shown(values, places) * inside}
    around = shown(examples.around, places.repeat(1, 3, 1, 1, 1))
    return {"around": around, "values": around[:, : places.shape[1]] * inside}


def _widened(values: Tensor, inside: Tensor, rim: int) -> Tensor:
    """Values carried over the mask's edge by so many pixels, each the mean of its neighbours."""
    known, values = inside, values * inside
    for _ in range(rim):
        near = _sum_around(known)
        values = torch.where(known > 0, values, _sum_around(values) / near.clamp_min(1.0))
        known = (near > 0).to(near.dtype)
    return values


def _sum_around(images: Tensor) -> Tensor:
    """Sums over 3 x 3 pixels; quicker than torch's pooling on a processor."""
    images = pad(images, (1, 1, 1, 1))
    images = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    return images[..., :-2] + images[..., 1:-1] + images[..., 2:]


def _resampled(images: Tensor, places: Tensor, mode: str, padding: str) -> Tensor:
    """Images (S, C, H, W) at places (S, 2, H, W)."""
    from monai.networks.blocks import Warp

    with warnings.catch_warnings():  # it warns that it uses torch's resampling
        warnings.simplefilter("ignore")
        warp = Warp(mode, padding)
    return warp(images, places - lattice(images))
