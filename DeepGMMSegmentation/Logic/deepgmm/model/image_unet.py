"""U-Nets that many images share: the papers' plain one, and gmm-loss-brain-paper's own.

As in `unet`, features outside the mask are zeroed after every step and never enter a
normalisation: neither what lies there, nor the size of the canvas, nor the other images of a
batch change a logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepgmm.model.architecture import Architecture
from deepgmm.model.unet import MaskedNorm


class Stage(nn.Module):
    """Convolution, masked normalisation and leaky ReLU, some times."""

    def __init__(self, inputs: int, outputs: int, convolutions: int) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * convolutions
        # the normalisation takes any bias out again
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False)
                                   for a, b in pairwise(widths))
        self.norms = nn.ModuleList(MaskedNorm(1, outputs, torch.float32)
                                   for _ in range(convolutions))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x), mask), 0.01)
        return x


class Skip(nn.Module):
    """Convolution and ReLU, some times: encoded features brought nearer to decoded ones."""

    def __init__(self, channels: int, convolutions: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1)
                                   for _ in range(convolutions))
        for conv in self.convs:
            # nothing normalises here: keep the features' size through the chain
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.relu(conv(x)) * mask
        return x


class ImageUNet(nn.Module):
    """phi_theta of deepgmm-paper section 3 with one set of weights for all images.

    Parameters
    ----------
    inputs, outputs : input channels, logits.
    filters : at the top; doubled on each downward step.
    down : convolutions of each stage on the way down, the top first, the bottom included.
    up : convolutions of each stage on the way up, the top first; one fewer.
    skips : convolutions on each connection from down to up, the top first; 0 hands over as is.
    """

    def __init__(self, inputs: int, outputs: int, filters: int, down: Sequence[int],
                 up: Sequence[int], skips: Sequence[int]) -> None:
        super().__init__()
        widths = [filters << level for level in range(len(down))]
        #: Rows and columns must be multiples of this.
        self.multiple = 1 << len(up)
        self.down = nn.ModuleList(
            Stage(a, b, count)
            for a, b, count in zip([inputs, *widths[:-1]], widths, down, strict=True))
        self.up = nn.ModuleList(
            Stage(widths[level] + widths[level + 1], widths[level], count)
            for level, count in enumerate(up))
        self.skips = nn.ModuleList(
            Skip(widths[level], count) for level, count in enumerate(skips))
        self.head = nn.Conv2d(filters, outputs, 1)
        nn.init.normal_(self.head.weight, std=0.1)
        nn.init.zeros_(self.head.bias)

    def forward(self, channels: Tensor, inside: Tensor) -> Tensor:
        """Logits (S, K, H, W) of images (S, C, H, W) whose mask (S, 1, H, W) is 1 inside."""
        masks = [inside]
        for _ in self.up:
            masks.append(F.max_pool2d(masks[-1], 2))
        # convolutions on a CPU are faster with the channels of a pixel side by side
        x = (channels * inside).contiguous(memory_format=torch.channels_last)
        features: list[Tensor] = []
        for level, stage in enumerate(self.down):
            x = stage(x if level == 0 else F.max_pool2d(x, 2), masks[level])
            features.append(x)
        for level in reversed(range(len(self.up))):
            wide = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            skipped = self.skips[level](features[level], masks[level])
            x = self.up[level](torch.cat([skipped, wide * faded(masks[level])], dim=1),
                               masks[level])
        return self.head(x)


def unet(a: Architecture) -> ImageUNet:
    """The plain U-Net of deepgmm-paper section 3."""
    return ImageUNet(a.inputs, a.outputs, a.filters, down=[a.convolutions] * (a.levels + 1),
                     up=[a.convolutions] * a.levels, skips=[0] * a.levels)


def modified_unet(a: Architecture) -> ImageUNet:
    """The U-Net of gmm-loss-brain-paper section 3.3; published with 4 levels.

    Its lower half's stages, down (scale blocks A) and up (scale blocks B), have one convolution
    more, to see farther. Its connections from down to up are convolutions too, fewer the deeper
    they lie. The paper does not say how many: here one at the lowest, one more each level up.
    """
    plain, scaled = (a.levels + 1) // 2, a.levels // 2
    stages = [a.convolutions] * plain + [a.convolutions + 1] * scaled
    return ImageUNet(a.inputs, a.outputs, a.filters, down=[*stages, a.convolutions], up=stages,
                     skips=list(range(a.levels, 0, -1)))


def faded(mask: Tensor) -> Tensor:
    """A mask (S, 1, H, W) times what interpolation at the canvas's border must be multiplied by.

    Interpolating to twice the size, torch repeats the outermost pixels beyond the border, where a
    larger canvas has 0; there a pixel of the border weighs 3/4.
    """
    mask = mask.clone()
    for border in (mask[..., 0, :], mask[..., -1, :], mask[..., 0], mask[..., -1]):
        border.mul_(0.75)
    return mask
