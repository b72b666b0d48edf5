"""The papers' U-Net, one network per slice, all slices' networks side by side in one batch.

Every weight carries a leading slice axis and the convolutions are grouped by slice, so that S
networks cost one call. After each stage the features outside the mask are zeroed and never
enter a normalisation: neither the padding of the crop nor the other slices change a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class UNetShape:
    """Size of a U-Net: `filters` at the top, doubled on each of `levels` downward steps."""

    filters: int = 32
    levels: int = 4
    convolutions: int = 2

    @property
    def multiple(self) -> int:
        """Rows and columns must be a multiple of this."""
        return 1 << self.levels


class SliceConv(nn.Module):
    """A convolution with its own kernel for every slice: (S, C, H, W) to (S, D, H, W)."""

    def __init__(self, slices: int, inputs: int, outputs: int, size: int,
                 generator: torch.Generator, dtype: torch.dtype) -> None:
        super().__init__()
        # the same draw for every slice: a slice's result must not depend on its place
        bound = math.sqrt(6.0 / ((1 + 0.01**2) * inputs * size * size))
        draw = torch.rand((outputs, inputs, size, size), generator=generator, dtype=torch.float64)
        weight = ((2 * draw - 1) * bound).to(dtype)
        self.weight = nn.Parameter(weight.expand(slices, -1, -1, -1, -1).clone())
        self.bias = nn.Parameter(torch.zeros((slices, outputs), dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        slices, channels, height, width = x.shape
        outputs, size = self.weight.shape[1], self.weight.shape[-1]
        y = F.conv2d(x.reshape(1, slices * channels, height, width), self.weight.flatten(0, 1),
                     self.bias.flatten(), padding=size // 2, groups=slices)
        return y.reshape(slices, outputs, height, width)


class MaskedNorm(nn.Module):
    """Instance normalisation over the mask pixels only, with a learned scale and shift."""

    def __init__(self, slices: int, channels: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones((slices, channels, 1, 1), dtype=dtype))
        self.shift = nn.Parameter(torch.zeros((slices, channels, 1, 1), dtype=dtype))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        count = mask.sum((2, 3), keepdim=True)
        mean = (x * mask).sum((2, 3), keepdim=True) / count
        centred = (x - mean) * mask
        variance = centred.square().sum((2, 3), keepdim=True) / count
        return (centred * torch.rsqrt(variance + 1e-5) * self.scale + self.shift) * mask


class Stage(nn.Module):
    """Convolution, masked normalisation and leaky ReLU, `convolutions` times."""

    def __init__(self, slices: int, inputs: int, outputs: int, shape: UNetShape,
                 generator: torch.Generator, dtype: torch.dtype) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * shape.convolutions
        self.convs = nn.ModuleList(SliceConv(slices, a, b, 3, generator, dtype)
                                   for a, b in zip(widths, widths[1:], strict=False))
        self.norms = nn.ModuleList(MaskedNorm(slices, outputs, dtype)
                                   for _ in range(shape.convolutions))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x), mask), 0.01)
        return x


class SliceUNet(nn.Module):
    """phi_theta of deepgmm-paper section 3, for `slices` images at once.

    Parameters
    ----------
    slices, inputs, outputs : number of networks, input channels, logits.
    shape : filters, levels and convolutions a stage.
    seed : of the initial weights; the same for every slice.
    gain : factor on the last layer's initial weights. Small where the network corrects given
        logits; never 0, since constant logits are a stationary point of the objective.
    """

    def __init__(self, slices: int, inputs: int, outputs: int, shape: UNetShape, *,
                 seed: int = 0, gain: float = 1.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        widths = [shape.filters << level for level in range(shape.levels + 1)]
        self.shape = shape
        self.down = nn.ModuleList(
            Stage(slices, a, b, shape, generator, dtype)
            for a, b in zip([inputs, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(
            Stage(slices, widths[level + 1] + widths[level], widths[level], shape, generator,
                  dtype)
            for level in reversed(range(shape.levels)))
        self.head = SliceConv(slices, widths[0], outputs, 1, generator, dtype)
        with torch.no_grad():
            self.head.weight.mul_(gain)

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        """Logits (S, K, H, W) of images (S, C, H, W) whose mask (S, 1, H, W) is 1 inside."""
        masks = [mask]
        for _ in range(self.shape.levels):
            masks.append(F.max_pool2d(masks[-1], 2))
        features: list[Tensor] = []
        x = images * mask
        for level, stage in enumerate(self.down):
            x = stage(x if level == 0 else F.max_pool2d(x, 2), masks[level])
            features.append(x)
        for level, stage in zip(reversed(range(self.shape.levels)), self.up, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = stage(torch.cat([features[level], x], dim=1), masks[level])
        return self.head(x)
