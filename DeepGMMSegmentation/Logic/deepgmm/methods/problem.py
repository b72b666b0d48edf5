"""A study made ready for the model, and what a fit gives back to the front hall."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from deepgmm.identify.assignment import assign
from deepgmm.identify.contrast import ContrastPrior, reanchored
from deepgmm.model.batch import PixelBatch
from deepgmm.model.devices import choose_device
from deepgmm.model.fit import Fit
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.ventricle import Ventricle
from deepgmm.settings import Covariance, Method, Settings
from deepgmm.study.coordinates import ventricle_coordinates
from deepgmm.study.normalisation import Scale, normalise
from deepgmm.study.study import Study
from deepgmm.study.words import Tissue

#: Angular sectors around the ventricle, 15 degrees each.
SECTORS = 24
#: Deeper than this lies the pool, in mm from the epicardium; between these, the outer wall.
CORE_MM = 14.0
RING_MM = (1.5, 5.5)


@dataclass
class Problem:
    """One study made ready for the model: normalised, cropped, packed, with its prior."""

    study: Study
    slices: tuple[int, ...]
    tissues: tuple[Tissue, ...]
    contrast: ContrastPrior
    settings: Settings

    @cached_property
    def device(self) -> torch.device:
        return choose_device(self.settings.device.value)

    @cached_property
    def normalised(self) -> tuple[npt.NDArray[np.float64], Scale]:
        return normalise(self.study, self.slices)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(slices, rows, columns) of the fitted slices."""
        return self.study.mask[list(self.slices)]

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.device.type == "mps" else torch.float64

    @cached_property
    def batch(self) -> PixelBatch:
        return PixelBatch.from_images(self.normalised[0], self.mask, device=self.device,
                                      dtype=self.dtype)

    @cached_property
    def ventricle(self) -> Ventricle:
        """LV coordinates of the batch's pixels."""
        coordinates = ventricle_coordinates(self.study, self.slices)

        def packed(grid: npt.NDArray) -> torch.Tensor:
            one = PixelBatch.from_images(grid[:, None], self.mask, device=self.device,
                                         dtype=self.dtype)
            return one.values[..., 0]
        wall = self.study.wall
        return Ventricle.of(
            self.batch, packed(coordinates.depth), packed(coordinates.angle), sectors=SECTORS,
            wall=None if wall is None else packed(wall[list(self.slices)].astype(float)))

    @property
    def geometric(self) -> bool:
        """Whether the method knows wall from pool, or labels pixel by pixel."""
        return self.settings.method in (Method.AUTO, Method.MAP)

    @property
    def full(self) -> bool:
        return self.settings.covariance is Covariance.FULL

    def for_tissues(self, tissues: tuple[Tissue, ...]) -> Problem:
        """The same problem with fewer tissues, sharing what has been prepared."""
        if tissues == self.tissues:
            return self
        keep = [self.tissues.index(t) for t in tissues]
        c = self.contrast
        part = replace(self, tissues=tissues, contrast=ContrastPrior(
            tissues, c.means[keep], c.deviations[keep], c.mean_deviations[keep],
            c.weights[keep] / c.weights[keep].sum(), c.sources))
        for name in ("normalised", "mask", "batch", "ventricle"):
            part.__dict__[name] = getattr(self, name)
        return part

    @cached_property
    def anchored_contrast(self) -> ContrastPrior:
        """The contrast prior, moved to this patient's blood and outer wall."""
        values, depth = self.batch.values.cpu().numpy(), self.ventricle.depth.cpu().numpy()
        inside = self.batch.valid.cpu().numpy() > 0
        pool = inside & (depth > CORE_MM)
        ring = inside & (depth > RING_MM[0]) & (depth < RING_MM[1])
        if min(pool.sum(), ring.sum()) < 20:
            return self.contrast
        # an infarct is bright on LGE and T2, so healthy wall lies below the ring's median
        return reanchored(self.contrast, {r: s.kind for r, s in self.study.sequences.items()},
                          np.median(values[pool], axis=0),
                          np.percentile(values[ring], 40, axis=0))

    def prior(self, strength: float = 1.0, *, anchored: bool = False) -> ConjugatePrior:
        """The contrast prior as a penalty: a tissue whose mean hardly varies between patients
        is held harder, kappa = (sd / mean_sd)^2 of its share of the pixels."""
        def tensor(values: npt.NDArray) -> torch.Tensor:
            return torch.as_tensor(values, dtype=self.dtype, device=self.device)
        c = self.anchored_contrast if anchored else self.contrast
        trust = np.minimum((c.deviations / c.mean_deviations) ** 2, 4.0)
        return ConjugatePrior(
            means=tensor(c.means), variances=tensor(c.deviations**2), weights=tensor(c.weights),
            mean_strength=tensor(0.02 * strength * trust),
            variance_strength=0.05 * strength, weight_strength=0.05 * strength)


@dataclass
class Outcome:
    """What a method gives back, in numpy: see `Result` and `SliceFit` for the shapes."""

    posterior: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]
    nll: npt.NDArray[np.float64]
    traces: list[list[float]]
    iterations: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    scale: Scale
    method: str
    device: str
    warnings: list[str] = field(default_factory=list)


def name_components(problem: Problem, fit: Fit) -> Fit:
    """Order the components of a randomly started fit as the problem's tissues."""
    covariances = fit.mixture.covariances
    if fit.mixture.full:
        covariances = covariances.diagonal(dim1=-2, dim2=-1)
    mass = fit.posterior.sum(1)
    weights = mass / mass.sum(1, keepdim=True)
    order = assign(fit.mixture.means.cpu().numpy(), covariances.cpu().numpy(),
                   weights.cpu().numpy(), problem.contrast)
    return fit.permute(torch.as_tensor(order, device=mass.device))


def pack_outcome(problem: Problem, fit: Fit, name: Method) -> Outcome:
    """A fit in numpy, its posterior painted into (slices, tissues, rows, columns)."""
    def numbers(tensor: torch.Tensor) -> npt.NDArray:
        return tensor.detach().to(torch.float64).cpu().numpy()

    packed = fit.posterior.transpose(1, 2)
    full = np.zeros((len(problem.slices), len(problem.tissues), *problem.mask.shape[1:]))
    for k in range(len(problem.tissues)):
        problem.batch.paint(numbers(packed[:, k]), full[:, k])
    covariances = fit.mixture.covariances
    if not fit.mixture.full:
        covariances = torch.diag_embed(covariances)
    mass = fit.posterior.sum(1)
    return Outcome(
        posterior=full, weights=numbers(mass / mass.sum(1, keepdim=True)),
        means=numbers(fit.mixture.means), covariances=numbers(covariances),
        nll=numbers(fit.nll), traces=fit.traces, iterations=fit.iterations.cpu().numpy(),
        converged=fit.converged.cpu().numpy(), scale=problem.normalised[1], method=name.value,
        device=str(problem.device), warnings=list(fit.warnings))
