"""What every way of segmenting a brain gives back: labels, probabilities, and how they came."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as made
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.tissues import TISSUES, BrainTissue
from deepgmm.brain.volumes import BrainVolume

#: Errors of neighbouring voxels go together, as one in so many mm^3, and borders lie off as a
#: whole by so many mm (standard deviation). Of phantom brains; see `Docs/brain.md`.
TOGETHER_MM3, BORDER_MM = 60.0, 0.1


@dataclass
class BrainResult:
    """Tissues of one brain.

    Attributes
    ----------
    volume : what was segmented.
    labels : (slices, rows, columns) uint8, values of `BrainTissue`, 0 outside the mask.
    posterior : (3, slices, rows, columns) float32 in the order of `TISSUES`; sums to one in the
        mask, 0 outside.
    means, deviations, weights : (3,) of the tissues, in the image's units, the field taken out.
    field : (slices, rows, columns) float32 b, 1 outside the mask; None where none was fitted.
    atlas : what it was: "title", "sha256", "labelled_cases"; empty without one.
    deformation : "smallest_jacobian", "folded_share", "largest_mm", "lambda"; empty without one.
    supervision : which labels entered where, in words.
    warnings : what a user must know, those of the volume apart.
    provenance : settings, seconds, what else a report should say: JSON values.
    """

    volume: BrainVolume
    labels: npt.NDArray[np.uint8]
    posterior: npt.NDArray[np.float32]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    field: npt.NDArray[np.float32] | None = None
    atlas: dict[str, Any] = made(default_factory=dict)
    deformation: dict[str, Any] = made(default_factory=dict)
    supervision: str = "no label entered"
    warnings: list[str] = made(default_factory=list)
    provenance: dict[str, Any] = made(default_factory=dict)

    @property
    def corrected(self) -> npt.NDArray[np.float32] | None:
        """The image less its field."""
        if self.field is None:
            return None
        return np.asarray(self.volume.image / np.maximum(self.field, 1e-3), np.float32)

    def ml(self, tissue: BrainTissue) -> float:
        """Volume of a tissue's voxels."""
        return float((self.labels == tissue).sum()) * self.volume.voxel_volume

    def interval(self, tissue: BrainTissue) -> tuple[float, float]:
        """90 % interval of a tissue's volume, ml.

        About the expected volume, from what the probabilities leave open and from borders that
        lie off together, widened where needed to hold the volume of the labels. It knows nothing
        of a convention about the sulci, nor of an atlas that does not fit.
        """
        p = self.posterior[TISSUES.index(tissue)].astype(np.float64)
        edges = np.array(self.volume.spacing)
        here = self.labels == tissue
        area = sum(np.prod(edges) / edges[axis]
                   * float(((here ^ np.roll(here, 1, axis)) & inner).sum())
                   for axis, inner in enumerate(_inner(self.volume.mask)))
        spread = TOGETHER_MM3 * np.prod(edges) * (p * (1 - p)).sum() + (BORDER_MM * area) ** 2
        expected, half = p.sum() * self.volume.voxel_volume, 1.645 * np.sqrt(spread) / 1000
        return (float(max(min(expected - half, self.ml(tissue)), 0.0)),
                float(max(expected + half, self.ml(tissue))))


def _inner(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    """Faces between two voxels of the mask, along each axis."""
    return [mask & np.roll(mask, 1, axis) for axis in range(3)]
