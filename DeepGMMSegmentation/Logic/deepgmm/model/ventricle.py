"""Where pixels lie in the ventricle, in tensors, and what may lie where."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch


@dataclass
class Ventricle:
    """LV coordinates of the pixels of a batch.

    Attributes
    ----------
    depth : (S, P) mm from the epicardium.
    sector : (S, P) index of the angular sector, 0 to sectors - 1.
    sectors : number of sectors around the ventricle.
    neighbours : (S, P, 4) place of the pixel above, below, left and right; the pixel itself
        where that lies outside the mask.
    touching : (S, P, 4) 1 where the neighbour exists.
    dark : (S, P) chequerboard colour, 0 or 1.
    wall : (S, P) 1 in the wall, 0 in the pool, where they were given apart; else None.
    """

    depth: Tensor
    sector: Tensor
    sectors: int
    neighbours: Tensor
    touching: Tensor
    dark: Tensor
    wall: Tensor | None = None

    @classmethod
    def of(cls, batch: PixelBatch, depth: Tensor, angle: Tensor, *, sectors: int,
           wall: Tensor | None = None) -> Ventricle:
        """From packed depth (S, P) in mm, angle (S, P) in radians and, if known, the wall."""
        sector = (angle / (2 * torch.pi) * sectors).long().clamp(0, sectors - 1)
        neighbours, touching = _neighbours(batch)
        return cls(depth, sector, sectors, neighbours, touching,
                   (batch.rows + batch.columns) % 2, wall)

    def select(self, index: Tensor) -> Ventricle:
        return replace(
            self, depth=self.depth[index], sector=self.sector[index],
            neighbours=self.neighbours[index], touching=self.touching[index],
            dark=self.dark[index], wall=None if self.wall is None else self.wall[index])

    def around(self, quantity: Tensor) -> Tensor:
        """(S, P, 4, C) what the four neighbours hold of a (S, P, C) quantity, 0 where none."""
        slices, pixels, channels = quantity.shape
        place = self.neighbours.reshape(slices, pixels * 4, 1).expand(-1, -1, channels)
        found = quantity.gather(1, place).reshape(slices, pixels, 4, channels)
        return found * self.touching[..., None]

    def by_sector(self, quantity: Tensor) -> Tensor:
        """(S, A, C) sums of a (S, P, C) quantity over the pixels of each sector."""
        total = quantity.new_zeros((quantity.shape[0], self.sectors, quantity.shape[2]))
        return total.scatter_add(1, self.sector[..., None].expand_as(quantity), quantity)

    def from_sector(self, quantity: Tensor) -> Tensor:
        """(S, P, C) the value of each pixel's sector in a (S, A, C) quantity."""
        return quantity.gather(1, self.sector[..., None].expand(-1, -1, quantity.shape[2]))


def _neighbours(batch: PixelBatch) -> tuple[Tensor, Tensor]:
    height, width = batch.shape[0] + 2, batch.shape[1] + 2
    place = (batch.rows + 1) * width + batch.columns + 1
    own = torch.arange(batch.values.shape[1], device=place.device).expand_as(place)
    table = torch.full((batch.slices, height * width), -1, dtype=torch.long, device=place.device)
    real = batch.valid > 0
    row = torch.arange(batch.slices, device=place.device)[:, None].expand_as(place)
    table[row[real], place[real]] = own[real]
    steps = torch.tensor([-width, width, -1, 1], device=place.device)
    found = table.gather(1, (place[..., None] + steps).flatten(1)).unflatten(1, (-1, 4))
    touching = (found >= 0) & real[..., None]
    return torch.where(touching, found, own[..., None]), touching.to(batch.values.dtype)
