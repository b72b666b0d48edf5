"""All slices of a study in one batch: the pixels of the LV mask, packed side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass
class PixelBatch:
    """The mask pixels of several slices, padded to the longest slice.

    Attributes
    ----------
    values : (slices, pixels, sequences) normalised intensities, 0 in the padding.
    valid : (slices, pixels) 1 for a mask pixel, 0 for padding; the dtype of `values`.
    rows, columns : (slices, pixels) position inside the slice's own crop; 0 in the padding.
    corner : (slices, 2) row and column of each crop's first pixel in the full image.
    shape : rows and columns of the common crop. Every slice lies at the crop's top left, so
        what a network computes for a slice does not depend on the slices beside it.
    """

    values: Tensor
    valid: Tensor
    rows: Tensor
    columns: Tensor
    corner: Tensor
    shape: tuple[int, int]

    @classmethod
    def from_images(
        cls,
        images: npt.NDArray[np.floating],
        mask: npt.NDArray[np.bool_],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> PixelBatch:
        """Pack images of shape (slices, sequences, rows, columns) inside a mask.

        Raises
        ------
        ValueError : where a slice has no mask pixel.
        """
        counts = mask.sum(axis=(1, 2))
        if len(counts) == 0 or counts.min() == 0:
            raise ValueError("every slice of a batch needs at least one mask pixel")
        slices, longest = len(counts), int(counts.max())
        values = np.zeros((slices, longest, images.shape[1]))
        rows = np.zeros((slices, longest), dtype=np.int64)
        columns = np.zeros((slices, longest), dtype=np.int64)
        corner = np.zeros((slices, 2), dtype=np.int64)
        for index in range(slices):
            r, c = np.nonzero(mask[index])
            values[index, : len(r)] = images[index][:, r, c].T
            corner[index] = r.min(), c.min()
            rows[index, : len(r)] = r - r.min()
            columns[index, : len(r)] = c - c.min()
        valid = np.arange(longest)[None, :] < counts[:, None]
        return cls(
            values=torch.as_tensor(values, dtype=dtype, device=device),
            valid=torch.as_tensor(valid, device=device).to(dtype),
            rows=torch.as_tensor(rows, device=device),
            columns=torch.as_tensor(columns, device=device),
            corner=torch.as_tensor(corner, device=device),
            shape=(int(rows.max()) + 1, int(columns.max()) + 1),
        )

    @classmethod
    def joined(cls, batches: list[PixelBatch]) -> PixelBatch:
        """Several batches as one, padded to the longest slice of all."""
        if len(batches) == 1:
            return batches[0]
        longest = max(b.values.shape[1] for b in batches)

        def together(name: str) -> Tensor:
            parts = [getattr(b, name) for b in batches]
            if name != "corner":
                parts = [pad(p, (0, 0) * (p.ndim - 2) + (0, longest - p.shape[1])) for p in parts]
            return torch.cat(parts)
        return cls(**{name: together(name)
                      for name in ("values", "valid", "rows", "columns", "corner")},
                   shape=(max(b.shape[0] for b in batches), max(b.shape[1] for b in batches)))

    @property
    def slices(self) -> int:
        return self.values.shape[0]

    @property
    def sequences(self) -> int:
        return self.values.shape[2]

    @cached_property
    def features(self) -> Tensor:
        """(slices, 1 + 2 sequences, pixels): 1, x and x^2, which is all that a mixture with
        diagonal covariances asks of a pixel. Pixels run last, where sums over tissues are quick.
        """
        x = self.values.transpose(1, 2)
        return torch.cat([torch.ones_like(x[:, :1]), x, x.square()], dim=1)

    @cached_property
    def counts(self) -> Tensor:
        """(slices,) number of mask pixels, |Omega|."""
        return self.valid.sum(dim=1)

    def select(self, index: Tensor, pixels: int | None = None) -> PixelBatch:
        """The batch of some of its slices, repeated where the index repeats.

        Parameters
        ----------
        pixels : pad to so many only, which must hold the longest slice chosen.
        """
        part = replace(self, corner=self.corner[index], **{
            name: getattr(self, name)[:, :pixels][index]
            for name in ("values", "valid", "rows", "columns")})
        if "features" in self.__dict__:  # quicker copied than made again
            part.__dict__["features"] = self.features[:, :, :pixels][index]
        return part

    def to(self, dtype: torch.dtype) -> PixelBatch:
        return replace(self, values=self.values.to(dtype), valid=self.valid.to(dtype))

    def on(self, device: torch.device | str) -> PixelBatch:
        """The batch on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in
                                ("values", "valid", "rows", "columns", "corner")})

    def grid(self, packed: Tensor, shape: tuple[int, int] | None = None) -> Tensor:
        """(slices, pixels, channels) laid out as (slices, channels, rows, columns), else 0."""
        height, width = shape or self.shape
        channels = packed.shape[2]
        flat = packed.new_zeros((self.slices, height * width, channels))
        place = (self.rows * width + self.columns)[:, :, None].expand(-1, -1, channels)
        # padding repeats place 0 and adds 0 there, so a real pixel at place 0 survives
        flat = flat.scatter_add(1, place, packed * self.valid[:, :, None].to(packed.dtype))
        return flat.transpose(1, 2).reshape(self.slices, channels, height, width)

    def pack(self, grid: Tensor) -> Tensor:
        """(slices, channels, rows, columns) gathered at the mask pixels, 0 in the padding."""
        width = grid.shape[3]
        place = (self.rows * width + self.columns)[:, None, :].expand(-1, grid.shape[1], -1)
        packed = grid.flatten(2).gather(2, place).transpose(1, 2)
        return packed * self.valid[:, :, None].to(packed.dtype)

    def mean(self, per_pixel: Tensor) -> Tensor:
        """(slices,) mean of a (slices, pixels) quantity over the mask pixels."""
        return (per_pixel * self.valid).sum(dim=1) / self.counts

    def paint(self, packed: npt.NDArray, out: npt.NDArray) -> None:
        """Write (slices, pixels) numbers of this batch into `out` (slices, rows, columns)."""
        valid = self.valid.cpu().numpy() > 0
        rows = (self.rows + self.corner[:, :1]).cpu().numpy()
        columns = (self.columns + self.corner[:, 1:]).cpu().numpy()
        for index in range(self.slices):
            inside = valid[index]
            out[index, rows[index, inside], columns[index, inside]] = packed[index, inside]
