"""A small U-Net that tells ventricle from chest: three slices of one sequence in, logits out.

It sees one sequence at a time and knows none by name, so any set of them can be asked in turn.
While it learns, a batch's statistics are normalised away; `folded` puts them into the weights, so
that what is shipped knows neither a batch nor how wide a field of view is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: The slice before, the slice, the slice behind, and where there is an image at all.
INPUTS = 4
#: Background, wall, pool.
OUTPUTS = 3
WIDTHS = (16, 32, 64, 128, 128)


class Step(nn.Module):
    """Convolution, normalisation where it learns, ReLU."""

    def __init__(self, inputs: int, outputs: int, learns: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs) if learns else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class OutlineNet(nn.Module):
    """Logits (N, 3, H, W) of (N, 4, H, W); H and W must be multiples of `multiple`.

    Parameters
    ----------
    widths : channels of each level, the finest first.
    learns : with batch normalisation, to be trained.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, learns: bool = False) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.multiple = 1 << (len(widths) - 1)
        self.down = nn.ModuleList([Step(INPUTS, widths[0], learns)])
        for above, own in zip(widths, widths[1:]):
            self.down.append(nn.Sequential(Step(above, own, learns), Step(own, own, learns)))
        self.up = nn.ModuleList(Step(own + below, own, learns)
                                for own, below in zip(widths, widths[1:]))
        self.head = nn.Conv2d(widths[0], OUTPUTS, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for level, step in enumerate(self.down):
            x = step(x if level == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for level in reversed(range(len(self.up))):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.up[level](torch.cat([kept[level], x], dim=1))
        return self.head(x)


def folded(network: OutlineNet) -> OutlineNet:
    """A trained network with its normalisation inside the weights; the same function."""
    plain = OutlineNet(network.widths)
    fold(network, plain, (Step,))
    return plain.eval()


def fold(network: nn.Module, plain: nn.Module, steps: tuple[type[nn.Module], ...]) -> None:
    """Put a network's weights into one of the same kind that has no normalisation.

    Parameters
    ----------
    steps : kinds of its modules that are a `conv`, its `norm`, and what has no weights. The rest
        that has weights is its `head`.
    """
    mine = dict(network.named_modules())
    with torch.no_grad():
        for name, module in plain.named_modules():
            if isinstance(module, steps):
                own = mine[name]
                scale = own.norm.weight / torch.sqrt(own.norm.running_var + own.norm.eps)
                shape = (-1,) + (1,) * (own.conv.weight.ndim - 1)
                module.conv.weight.copy_(own.conv.weight * scale.reshape(shape))
                module.conv.bias.copy_(
                    (own.conv.bias - own.norm.running_mean) * scale + own.norm.bias)
        plain.head.load_state_dict(network.head.state_dict())
