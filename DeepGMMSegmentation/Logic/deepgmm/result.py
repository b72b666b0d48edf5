"""What a fit gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.study.study import Study
from deepgmm.study.words import Tissue


@dataclass
class SliceFit:
    """The fitted mixture of one slice, in the units of the image files.

    Attributes
    ----------
    index : slice index in the study.
    weights : (tissues,) mixing weights.
    means : (tissues, sequences).
    covariances : (tissues, sequences, sequences).
    nll : raw negative log-likelihood per mask pixel, nats.
    trace : objective after each iteration, normalised units.
    iterations, converged : as they say.
    """

    index: int
    weights: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]
    nll: float
    trace: list[float]
    iterations: int
    converged: bool


@dataclass
class Result:
    """A segmentation with its uncertainty, parameters, warnings and provenance.

    Attributes
    ----------
    tissues : the tissues sought, in the order of the posterior's axis.
    labels : (slices, rows, columns) uint8, values of `Tissue`; 0 outside the mask and in
        excluded slices.
    posterior : (slices, tissues, rows, columns) float32, sums to 1 over the tissues inside
        the fitted mask and is 0 elsewhere.
    fits : one per fitted slice.
    warnings : what a user must see, input's first.
    provenance : settings, versions, seed, device, input hashes, times; JSON values only.
    """

    study: Study
    tissues: tuple[Tissue, ...]
    labels: npt.NDArray[np.uint8]
    posterior: npt.NDArray[np.float32]
    fits: list[SliceFit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    def volume(self, tissue: Tissue) -> float:
        """Volume of one tissue, ml."""
        return float((self.labels == tissue).sum()) * self.study.geometry.voxel_volume

    def entropy(self) -> npt.NDArray[np.float32]:
        """(slices, rows, columns) entropy of the posterior over its maximum, 0 to 1."""
        p = np.clip(self.posterior, 1e-12, 1.0)
        h = -(self.posterior * np.log(p)).sum(axis=1)
        return (h / np.log(max(len(self.tissues), 2))).astype(np.float32)
