"""MONAI's networks in two dimensions, for comparison; loaded only when one is asked for.

They normalise each image by itself, never a batch. Unlike our own networks they count the zeros
outside the mask in that, so that the size of the canvas tells: compare on one canvas.
"""

from __future__ import annotations

import torch
from monai.networks.nets import UNETR, BasicUNetPlusPlus, SwinUNETR
from torch import Tensor, nn

from deepgmm.errors import InputError
from deepgmm.model.architecture import Architecture

_NORM = ("instance", {"affine": True})

#: Rows and columns of one of UNETR's patches, and how many patches a side can have.
_PATCH, _MOST_PATCHES = 16, 16


class MonaiNetwork(nn.Module):
    """One of MONAI's networks behind the house's interface.

    Parameters
    ----------
    core : takes (S, C, H, W) to logits, or to a list of one such tensor.
    multiple : rows and columns must be multiples of this. Where a core would normalise a single
        pixel, it is twice the factor by which the core shrinks its canvas.
    """

    def __init__(self, core: nn.Module, multiple: int) -> None:
        super().__init__()
        self.core = core
        self.multiple = multiple

    def forward(self, channels: Tensor, inside: Tensor) -> Tensor:
        """Logits (S, K, H, W) of images (S, C, H, W) whose mask (S, 1, H, W) is 1 inside."""
        logits = self.core(channels * inside)
        return logits[0] if isinstance(logits, list) else logits


def unet_plus_plus(a: Architecture) -> MonaiNetwork:
    """U-Net++, which has 4 levels with 2 convolutions a stage."""
    f = a.filters
    core = BasicUNetPlusPlus(2, a.inputs, a.outputs, (f, 2 * f, 4 * f, 8 * f, 16 * f, f),
                             norm=_NORM)
    for unused in ("final_conv_0_1", "final_conv_0_2", "final_conv_0_3"):
        setattr(core, unused, nn.Identity())
    return MonaiNetwork(core, 32)


def swin_unetr(a: Architecture) -> MonaiNetwork:
    """SwinUNETR, which has 5 levels."""
    return MonaiNetwork(SwinUNETR(a.inputs, a.outputs, feature_size=a.filters, norm_name=_NORM,
                                  spatial_dims=2), 64)


def unetr(a: Architecture) -> MonaiNetwork:
    """UNETR with 12 heads of `filters` channels: at 16 filters a quarter of MONAI's own width."""
    hidden = 12 * a.filters
    core = _AnyCanvasUNETR(a.inputs, a.outputs, _PATCH * _MOST_PATCHES, feature_size=a.filters,
                           hidden_size=hidden, mlp_dim=4 * hidden, norm_name=_NORM,
                           spatial_dims=2)
    core.vit.patch_embedding = _Patches(a.inputs, hidden)
    for block in core.vit.blocks:
        block.norm_cross_attn = nn.Identity()  # unused
    return MonaiNetwork(core, _PATCH)


class _AnyCanvasUNETR(UNETR):
    """UNETR on canvases of any size up to its own."""

    def forward(self, x_in: Tensor) -> Tensor:
        rows, columns = (side // _PATCH for side in x_in.shape[2:])
        if max(rows, columns) > _MOST_PATCHES:
            raise InputError(f"unetr takes at most {_PATCH * _MOST_PATCHES} rows and columns: "
                             "choose another network")
        self.proj_view_shape = [rows, columns, self.hidden_size]
        return super().forward(x_in)


class _Patches(nn.Module):
    """Patches as tokens, each with a learned mark of its place, counted from the top left."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, hidden, _PATCH, stride=_PATCH)
        self.places = nn.Parameter(torch.empty(1, hidden, _MOST_PATCHES, _MOST_PATCHES))
        nn.init.trunc_normal_(self.places, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x)
        rows, columns = tokens.shape[2:]
        return (tokens + self.places[:, :, :rows, :columns]).flatten(2).transpose(1, 2)
