"""A small network that is shown a drawn slice and the one beside it, both along a border.

It sees rays across a border: angles around, places along each ray. What it gives is by how much the
border beside moves at each angle. Convolutions close around the circle.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepgmm.model.outline import fold

#: What `deepgmm.propose.beside` shows; places along a ray.
INPUTS, PLACES = 13, 25
WIDTHS, DEPTHS = (16, 24, 24), (1, 2, 4, 8, 1)
#: mm that the network's numbers mean.
UNIT = 4.0


class Across(nn.Module):
    """Convolution over (angles, places), normalisation where it learns, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int], learns: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, (3, 5), stride=stride)
        self.norm = nn.BatchNorm2d(outputs) if learns else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(F.pad(x, (2, 2, 0, 0)), (0, 0, 1, 1), mode="circular")
        return F.relu(self.norm(self.conv(x)))


class Along(nn.Module):
    """Convolution over angles so far apart; from another number of channels, or added."""

    def __init__(self, inputs: int, outputs: int, apart: int, learns: bool) -> None:
        super().__init__()
        self.apart, self.adds = apart, inputs == outputs
        self.conv = nn.Conv1d(inputs, outputs, 3, dilation=apart)
        self.norm = nn.BatchNorm1d(outputs) if learns else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.conv(F.pad(x, (self.apart, self.apart), mode="circular"))))
        return x + y if self.adds else y


class BesideNet(nn.Module):
    """mm outward, (N, angles), of (N, `INPUTS`, angles, `PLACES`); angles must be even.

    Parameters
    ----------
    width : channels along the border.
    learns : with batch normalisation, to be trained.
    """

    def __init__(self, width: int = 48, learns: bool = False) -> None:
        super().__init__()
        self.width = width
        first, second, third = WIDTHS
        self.across = nn.Sequential(Across(INPUTS, first, (1, 2), learns),
                                    Across(first, second, (2, 1), learns),
                                    Across(second, third, (1, 2), learns))
        self.along = nn.Sequential(Along(third * ((PLACES + 3) // 4), width, 1, learns),
                                   *(Along(width, width, apart, learns) for apart in DEPTHS))
        self.drop = nn.Dropout1d(0.1 if learns else 0.0)
        self.head = nn.Conv1d(width, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.across(x).transpose(2, 3).flatten(1, 2)
        every_second = UNIT * self.head(self.drop(self.along(x)))[:, 0]
        between = (every_second + every_second.roll(-1, 1)) / 2
        return torch.stack([every_second, between], 2).flatten(1)


def folded(network: BesideNet) -> BesideNet:
    """A trained network with its normalisation inside the weights; the same function."""
    plain = BesideNet(network.width)
    fold(network, plain, (Across, Along))
    return plain.eval()
