"""Studies made ready for the model, and what a fit gives back to the front hall."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deepgmm.identify.assignment import assign
from deepgmm.identify.contrast import ContrastPrior, reanchored
from deepgmm.model.batch import PixelBatch
from deepgmm.model.devices import choose_device, few_threads
from deepgmm.model.fit import Fit
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.ventricle import Ventricle
from deepgmm.settings import Covariance, Method, Settings
from deepgmm.study.coordinates import VentricleCoordinates, ventricle_coordinates
from deepgmm.study.normalisation import Scale, normalise
from deepgmm.study.study import Study
from deepgmm.study.surroundings import seen_beyond, surroundings
from deepgmm.study.words import Role, Tissue

#: Angular sectors around the ventricle, 15 degrees each.
SECTORS = 24
#: Deeper than this lies the pool, in mm from the epicardium; between these, the outer wall.
CORE_MM = 14.0
RING_MM = (1.5, 5.5)

#: nu of the anchored fit. Healthy wall that may be as uneven as it likes takes in a scar that
#: covers half of it.
ANCHORED_SPREAD = 1.0


@dataclass
class Case:
    """One study made ready for the model: normalised, cropped, packed, with its prior."""

    study: Study
    slices: tuple[int, ...]
    tissues: tuple[Tissue, ...]
    contrast: ContrastPrior
    settings: Settings

    @cached_property
    def found_where_known(self) -> dict[tuple[Tissue, ...], npt.NDArray[np.float32]]:
        """Posteriors of `presence.found_where_known`, for later refits of the same study."""
        return {}

    @cached_property
    def looks(self) -> dict[str, list[torch.Tensor]]:
        """What `last_layer.taught` keeps for later refits, by the network's digest."""
        return {}

    @cached_property
    def gone_on(self) -> dict[bytes, npt.NDArray[np.float32]]:
        """What `refit.refit_map` makes of a fit without corrections, by the fit's digest."""
        return {}

    @cached_property
    def device(self) -> torch.device:
        return choose_device(self.settings.device.value)

    @cached_property
    def normalised(self) -> tuple[npt.NDArray[np.float64], Scale]:
        images, scale = normalise(self.study, self.slices)
        return seen_beyond(images, self.mask), scale

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(slices, rows, columns) of the fitted slices."""
        return self.study.mask[list(self.slices)]

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.device.type == "mps" else torch.float64

    @property
    def geometric(self) -> bool:
        """Whether the method knows wall from pool, or labels pixel by pixel."""
        return self.settings.method in (Method.AUTO, Method.MAP, Method.PRETRAINED)

    @property
    def alike(self) -> Hashable:
        """What studies must share to be fitted together."""
        kinds = tuple((role, s.kind) for role, s in self.study.sequences.items())
        return kinds, self.tissues, self.study.wall is not None

    @cached_property
    def batch(self) -> PixelBatch:
        return PixelBatch.from_images(self.normalised[0], self.mask, device=self.device,
                                      dtype=self.dtype)

    @cached_property
    def coordinates(self) -> VentricleCoordinates:
        """Of the fitted slices."""
        return ventricle_coordinates(self.study, self.slices)

    @cached_property
    def ventricle(self) -> Ventricle:
        """LV coordinates of the batch's pixels."""
        coordinates = self.coordinates

        def packed(grid: npt.NDArray | None) -> torch.Tensor | None:
            if grid is None:
                return None
            one = PixelBatch.from_images(grid[:, None], self.mask, device=self.device,
                                         dtype=self.dtype)
            return one.values[..., 0]
        wall = self.study.wall
        ventricle = Ventricle.of(
            self.batch, packed(coordinates.depth), packed(coordinates.angle), sectors=SECTORS,
            wall=packed(None if wall is None else wall[list(self.slices)].astype(float)),
            relative=packed(coordinates.relative))
        seen, rim = surroundings(self.normalised[0], self.mask,
                                 float(np.mean(self.study.geometry.spacing[:2])))
        around = PixelBatch.from_images(seen, self.mask, device=self.device, dtype=self.dtype)
        near = packed(rim)
        assert near is not None
        return replace(ventricle, surroundings=around.values,
                       rim=near.masked_fill(self.batch.valid == 0, torch.inf))

    def for_tissues(self, tissues: tuple[Tissue, ...]) -> Case:
        """The same case with fewer tissues, sharing what has been prepared."""
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


@dataclass
class Problem:
    """Cases that are fitted together: of the same sequences, kinds and tissues.

    Every case has its own parameters, so its fit does not depend on the cases beside it.
    """

    cases: tuple[Case, ...]

    @property
    def tissues(self) -> tuple[Tissue, ...]:
        return self.cases[0].tissues

    @property
    def settings(self) -> Settings:
        return self.cases[0].settings

    @property
    def contrast(self) -> ContrastPrior:
        """Of all the cases: they share kinds."""
        return self.cases[0].contrast

    @property
    def roles(self) -> tuple[Role, ...]:
        return self.cases[0].study.roles

    @property
    def device(self) -> torch.device:
        return self.cases[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.cases[0].dtype

    @cached_property
    def batch(self) -> PixelBatch:
        return PixelBatch.joined([case.batch for case in self.cases])

    @cached_property
    def ventricle(self) -> Ventricle:
        return Ventricle.joined([case.ventricle for case in self.cases])

    @property
    def full(self) -> bool:
        return self.settings.covariance is Covariance.FULL

    def for_tissues(self, tissues: tuple[Tissue, ...]) -> Problem:
        """The same problem with fewer tissues, sharing what has been prepared."""
        if tissues == self.tissues:
            return self
        part = Problem(tuple(case.for_tissues(tissues) for case in self.cases))
        part.__dict__ |= {"batch": self.batch, "ventricle": self.ventricle}
        return part

    def slices_of(self, cases: Iterable[int]) -> torch.Tensor:
        """Where the slices of some cases lie in the batch."""
        wanted = torch.as_tensor(sorted(cases), device=self.ventricle.study.device)
        return torch.isin(self.ventricle.study, wanted).nonzero()[:, 0]

    def select(self, cases: Iterable[int]) -> Problem:
        """Some of the cases, in their order, packed as they are."""
        chosen = sorted(cases)
        if len(chosen) == len(self.cases):
            return self
        part, rows = Problem(tuple(self.cases[i] for i in chosen)), self.slices_of(chosen)
        part.__dict__ |= {"batch": self.batch.select(rows),
                          "ventricle": self.ventricle.select(rows)}
        return part

    def twice(self) -> Problem:
        """Every case two times, for two starts; the second copies follow the first."""
        part = Problem(self.cases * 2)
        part.__dict__ |= {"batch": PixelBatch.joined([self.batch] * 2),
                          "ventricle": Ventricle.joined([self.ventricle] * 2)}
        return part

    def prior(self, strength: float = 1.0) -> ConjugatePrior:
        """The contrast prior as a penalty, the same for all: (K, M)."""
        return self.penalty([self.contrast], strength).select(torch.tensor(0))

    def anchored_prior(self, anchored: Sequence[bool]) -> ConjugatePrior:
        """(N, K, M) a prior for each case: the table's, moved to the patient where `anchored`."""
        prior = self.penalty([case.anchored_contrast if moved else case.contrast
                              for case, moved in zip(self.cases, anchored, strict=True)])
        return replace(prior, variance_strength=ANCHORED_SPREAD)

    def penalty(self, priors: list[ContrastPrior], strength: float = 1.0) -> ConjugatePrior:
        """(N, K, M) contrast priors, one a case, as the M-step's penalty."""
        def tensor(values: list[npt.NDArray]) -> torch.Tensor:
            return torch.as_tensor(np.stack(values), dtype=self.dtype, device=self.device)
        return ConjugatePrior(
            means=tensor([c.means for c in priors]),
            variances=tensor([c.deviations**2 for c in priors]),
            weights=torch.as_tensor(self.contrast.weights, dtype=self.dtype, device=self.device),
            mean_strength=tensor([strength * mean_strength(c) for c in priors]),
            variance_strength=0.05 * strength, weight_strength=0.05 * strength)


def found_contrast(problem: Problem, posterior: torch.Tensor) -> ContrastPrior:
    """The contrast prior of a problem of one case, moved to where a posterior (S, P, K) finds this
    patient's blood and healthy wall."""
    case, mass = problem.cases[0], posterior.sum((0, 1))
    if float(mass[:2].min()) < 20:
        return case.anchored_contrast
    means = torch.einsum("spk,spm->km", posterior, problem.batch.values) / mass[:, None]
    kinds = {role: s.kind for role, s in case.study.sequences.items()}
    return reanchored(case.contrast, kinds, means[0].cpu().numpy(), means[1].cpu().numpy())


def mean_strength(contrast: ContrastPrior) -> npt.NDArray[np.float64]:
    """(K, M) kappa of `ConjugatePrior`: a tissue whose mean hardly varies between patients is
    held harder, by (sd / mean_sd)^2 of its share of the pixels."""
    trust = np.minimum((contrast.deviations / contrast.mean_deviations) ** 2, 4.0)
    return 0.02 * trust


@dataclass
class Outcome:
    """What a method gives back, in numpy: see `Result` and `SliceFit` for the shapes, and
    `methods/bias.py: Unshaded` for the notes on a bias field."""

    posterior: npt.NDArray[np.float32]
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
    bias_field: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    agreement: npt.NDArray[np.float64] | None = None


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


def pack_outcomes(problem: Problem, fit: Fit, name: Method) -> Iterator[Outcome]:
    """A fit in numpy, one outcome a case, each made when it is asked for."""
    for index, case in enumerate(problem.cases):
        with few_threads(case.batch.valid.numel()):
            outcome = _packed(case, fit.select(problem.slices_of([index])), name,
                              fit.warnings + fit.of_study.get(index, []))
        yield outcome


def _packed(case: Case, fit: Fit, name: Method, warnings: list[str]) -> Outcome:
    """The posterior is painted into (slices, tissues, rows, columns)."""
    def numbers(tensor: torch.Tensor) -> npt.NDArray:
        return tensor.detach().to(torch.float64).cpu().numpy()

    packed = fit.posterior[:, : case.batch.values.shape[1]].transpose(1, 2)
    full = np.zeros((len(case.slices), len(case.tissues), *case.mask.shape[1:]), np.float32)
    for k in range(len(case.tissues)):
        case.batch.paint(numbers(packed[:, k]), full[:, k])
    covariances = fit.mixture.covariances
    if not fit.mixture.full:
        covariances = torch.diag_embed(covariances)
    mass = fit.posterior.sum(1)
    return Outcome(
        posterior=full, weights=numbers(mass / mass.sum(1, keepdim=True)),
        means=numbers(fit.mixture.means), covariances=numbers(covariances),
        nll=numbers(fit.nll), traces=fit.traces, iterations=fit.iterations.cpu().numpy(),
        converged=fit.converged.cpu().numpy(), scale=case.normalised[1], method=name.value,
        device=str(case.device), warnings=warnings, network=fit.network,
        agreement=None if fit.agreement is None else numbers(fit.agreement))
