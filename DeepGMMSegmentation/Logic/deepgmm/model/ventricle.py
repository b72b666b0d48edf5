"""Where pixels lie in the ventricle, in tensors, and what may lie where."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from deepgmm.model.batch import PixelBatch


@dataclass
class Ventricle:
    """LV coordinates of the pixels of a batch, which may hold several studies.

    Attributes
    ----------
    depth : (S, P) mm from the epicardium.
    sector : (S, P) index of the angular sector, 0 to sectors - 1.
    sectors : number of sectors around the ventricle.
    neighbours : (S, P, 4) place of the pixel above, below, left and right; the pixel itself
        where that lies outside the mask.
    touching : (S, P, 4) 1 where the neighbour exists.
    dark : (S, P) chequerboard colour, 0 or 1.
    study : (S,) which study a slice is of, counted from 0; a study's slices follow each other.
    wall : (S, P) 1 in the wall, 0 in the pool, where they were given apart; else None.
    relative : (S, P) depth in shares of the wall, 0 at the epicardium and 1 at the endocardium,
        where the wall was given; else None.
    surroundings : (S, P, 2 M) mean and variance of what lies beyond the epicardium near a pixel;
        `rim` : (S, P) mm to the mask's border, infinite where that is not seen or far.
    """

    depth: Tensor
    sector: Tensor
    sectors: int
    neighbours: Tensor
    touching: Tensor
    dark: Tensor
    study: Tensor
    wall: Tensor | None = None
    relative: Tensor | None = None
    surroundings: Tensor | None = None
    rim: Tensor | None = None

    @classmethod
    def of(cls, batch: PixelBatch, depth: Tensor, angle: Tensor, *, sectors: int,
           study: Tensor | None = None, wall: Tensor | None = None,
           relative: Tensor | None = None) -> Ventricle:
        """From packed depth (S, P) in mm, angle (S, P) in radians and, if known, the wall."""
        sector = (angle / (2 * torch.pi) * sectors).long().clamp(0, sectors - 1)
        neighbours, touching = _neighbours(batch)
        if study is None:
            study = torch.zeros(batch.slices, dtype=torch.long, device=depth.device)
        return cls(depth, sector, sectors, neighbours, touching,
                   (batch.rows + batch.columns) % 2, study, wall, relative)

    @classmethod
    def joined(cls, ventricles: list[Ventricle]) -> Ventricle:
        """Ventricles of several studies as one, padded like their batches."""
        if len(ventricles) == 1:
            return ventricles[0]
        pixels, first = max(v.depth.shape[1] for v in ventricles), 0
        padded = []
        for v in ventricles:
            padded.append(v._padded(pixels, first))
            first += v.studies
        return replace(ventricles[0], **{
            f.name: torch.cat([getattr(v, f.name) for v in padded]) for f in fields(cls)
            if isinstance(getattr(padded[0], f.name), Tensor)})

    def _padded(self, pixels: int, first: int) -> Ventricle:
        """The same with more padding and studies counted from `first`; padding is its own
        neighbour."""
        more = pixels - self.depth.shape[1]
        own = torch.arange(self.depth.shape[1], pixels, device=self.depth.device)
        longer = {f.name: pad(getattr(self, f.name), (0, more)) for f in fields(self)
                  if f.name in ("depth", "sector", "dark", "wall", "relative")
                  and getattr(self, f.name) is not None}
        if self.rim is not None and self.surroundings is not None:
            longer["rim"] = pad(self.rim, (0, more), value=torch.inf)
            longer["surroundings"] = pad(self.surroundings, (0, 0, 0, more))
        neighbours = own[:, None].expand(len(self.depth), -1, 4)
        return replace(self, **longer, study=self.study + first,
                       neighbours=torch.cat([self.neighbours, neighbours], 1),
                       touching=pad(self.touching, (0, 0, 0, more)))

    def select(self, index: Tensor) -> Ventricle:
        """The ventricles of some slices, all of each study that stays; studies count anew."""
        chosen = {f.name: getattr(self, f.name)[index] for f in fields(self)
                  if isinstance(getattr(self, f.name), Tensor)}
        chosen["study"] = chosen["study"].unique_consecutive(return_inverse=True)[1]
        return replace(self, **chosen)

    @cached_property
    def studies(self) -> int:
        return int(self.study.max()) + 1

    @cached_property
    def to_pool(self) -> Tensor | None:
        """(S, P) mm from a pixel of the given wall to the pool, infinite elsewhere; None where no
        wall was given."""
        if self.wall is None or self.relative is None:
            return None
        left = self.depth * (1 / self.relative.clamp_min(1e-3) - 1)
        return left.masked_fill((self.wall == 0) | (self.relative == 0), torch.inf)

    @cached_property
    def follows(self) -> Tensor:
        """(S - 1,) whether slice s + 1 is of the same study as slice s."""
        return self.study[1:] == self.study[:-1]

    @cached_property
    def halves(self) -> tuple[Tensor, ...]:
        """Every other slice of each study, and the rest: no two of a half lie side by side."""
        place = torch.arange(len(self.study), device=self.study.device)
        first = torch.full((self.studies,), len(self.study), device=place.device)
        first = first.scatter_reduce(0, self.study, place, "amin")
        odd = (place - first[self.study]) % 2 == 1
        halves = (~odd).nonzero()[:, 0], odd.nonzero()[:, 0]
        return halves if len(halves[1]) else halves[:1]

    def by_study(self, quantity: Tensor) -> Tensor:
        """(N, ...) sums of a (S, ...) quantity over the slices of each study."""
        total = quantity.new_zeros((self.studies, *quantity.shape[1:]))
        return total.index_add(0, self.study, quantity)

    def beside(self, quantity: Tensor) -> Tensor:
        """(S, ...) sum of a (S, ...) quantity over the slices above and below in the study."""
        total = torch.zeros_like(quantity)
        follows = self.follows.reshape(-1, *(1,) * (quantity.ndim - 1)).to(quantity.dtype)
        total[1:] += quantity[:-1] * follows
        total[:-1] += quantity[1:] * follows
        return total

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
