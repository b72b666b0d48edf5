"""The atlas deformed by one pass of a network: brains onto the atlas' grid and back.

The network works on voxels of the atlas' own coarse grid. A brain comes there by the affine map
that carries the first two moments of the atlas' brain to those of its mask, which takes no time
and turns nothing over; what it leaves is the network's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.held_atlas import Atlas
from deepgmm.brain.registering import (
    Array,
    Matrix,
    box_of,
    regrid,
    resampled,
    shifted,
    thinned,
)
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import ComputationError, InputError
from deepgmm.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from deepgmm.model.amortised import AmortisedNet, AmortisedOptions, Pass, Scan

#: Smoothing before a brain is sampled on the coarse grid, as a share of its voxel.
_SMOOTHING = 0.4


@dataclass(frozen=True)
class AmortisedSettings:
    """Every choice of a training.

    Attributes
    ----------
    widths : channels of the U-Net's levels, the finest first.
    smoothness : lambda of |grad u|^2, beside the objective's mean over voxels.
    voxel : of the grid on which the network works, mm.
    jitter, bent, turned : see `AmortisedOptions`.
    steps, batch, learning_rate, seed : of the descent; images a step.
    """

    widths: tuple[int, ...] = (16, 32, 32)
    smoothness: float = 1.0
    voxel: float = 4.0
    jitter: float = 0.01
    bent: float = 1.0
    turned: float = 0.0
    steps: int = 1500
    batch: int = 1
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= len(self.widths) <= 6 or not all(1 <= w <= 128 for w in self.widths):
            raise InputError("the network's widths are from 2 to 6 whole numbers from 1 to 128")
        if self.steps < 1 or self.batch < 1:
            raise InputError("steps and batch of a training must be at least 1")
        if not 0 <= self.turned <= 1:
            raise InputError("the share of turned contrasts is a number from 0 to 1")
        if not (self.smoothness > 0 and min(self.jitter, self.bent) >= 0
                and 2 <= self.voxel <= 8):
            raise InputError("smoothness must be above 0, jitter and bent from 0, voxels from 2 "
                             "to 8 mm")
        if not 0 < self.learning_rate < 1:
            raise InputError(f"the learning rate is {self.learning_rate}: give a number above 0 "
                             "and below 1")

    @property
    def options(self) -> AmortisedOptions:
        from deepgmm.model.amortised import AmortisedOptions
        from deepgmm.model.deformable import DeformableOptions

        return AmortisedOptions(DeformableOptions(smoothness=self.smoothness), self.steps,
                                self.batch, self.learning_rate, jitter=self.jitter, bent=self.bent,
                                turned=self.turned, seed=self.seed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"widths": list(self.widths)}


@dataclass(frozen=True)
class CoarseAtlas:
    """An atlas on the grid on which the network works.

    Attributes
    ----------
    probabilities : (K + 1, D, H, W) float32, the background last; they sum to one. K is 3 where
        the atlas' graders counted the sulci's CSF as grey matter, else 4.
    affine : 4 x 4, index to mm: up, back, left.
    """

    probabilities: Array
    affine: Matrix

    @classmethod
    def of(cls, atlas: Atlas, voxel: float) -> CoarseAtlas:
        """On voxels of so many mm."""
        classes = atlas.probabilities if atlas.sulci_are_grey else atlas.classes
        shape, grid = regrid(classes.shape[1:], atlas.affine, voxel)
        maps = np.stack([resampled(p, atlas.affine, shape, grid, smoothing=_SMOOTHING * voxel)
                         for p in classes])
        rest = np.clip(1 - maps.sum(0, keepdims=True), 0, None)
        whole = np.concatenate([maps, rest])
        return cls((whole / whole.sum(0)).astype(np.float32), grid)

    @property
    def tissues(self) -> int:
        """K."""
        return len(self.probabilities) - 1

    @property
    def tensor(self) -> Tensor:
        """(1, K + 1, D, H, W)."""
        import torch

        return torch.from_numpy(self.probabilities)[None]


@dataclass(frozen=True)
class Laid:
    """A brain on the atlas' grid.

    Attributes
    ----------
    scan : what the network sees.
    to_image : from mm of the atlas to mm of the brain.
    scale : the image's intensity that is 1 there.
    """

    scan: Scan
    to_image: Matrix
    scale: float

    @classmethod
    def of(cls, volume: BrainVolume, atlas: CoarseAtlas, to_image: Matrix | None = None) -> Laid:
        """Bring a brain onto the atlas' grid; by moments where no map is given.

        Raises
        ------
        InputError : no positive voxel in the mask.
        """
        import torch

        from deepgmm.model.amortised import Scan

        box = box_of(volume, 4)
        values, inside = volume.image[box], volume.mask[box]
        # exact zeros are no measurement and must not darken their neighbours
        told = inside & (values > 0)
        if not told.any():
            raise InputError("the image has no positive voxel inside the brain mask: export it "
                             "with the scanner's own intensities")
        scale = float(np.percentile(values[told], 98))
        to = by_moments(atlas, volume) if to_image is None else to_image
        shape, affine = atlas.probabilities.shape[1:], shifted(volume.affine, box)
        coarse = float(np.linalg.norm(atlas.affine[:3, 0]))

        def onto(part: npt.NDArray[Any]) -> Array:
            thin, grid = thinned(part, affine, coarse / 2)
            return resampled(thin, grid, shape, atlas.affine, to, smoothing=_SMOOTHING * coarse)

        bright, brain = onto(np.where(told, np.minimum(values / scale, 2), 0)), onto(inside)
        seen = brain if np.array_equal(told, inside) else onto(told)
        mask = brain > 0.5
        image = np.where(mask & (seen > 0.1), bright / np.maximum(seen, 0.1), 0)
        return cls(Scan(torch.from_numpy(image.astype(np.float32))[None],
                        torch.from_numpy(mask)[None]), to, scale)


def by_moments(atlas: CoarseAtlas, volume: BrainVolume) -> Matrix:
    """The map in mm that carries centre and covariance of the atlas' brain to the mask's.

    Of all such maps the one that moves least, which turns nothing: the optimal transport of one
    normal distribution to another, A = C^-1/2 (C^1/2 D C^1/2)^1/2 C^-1/2.
    """
    # where half the brains have one: the blur around it would seem to be size
    centre, spread = _moments(np.argwhere(atlas.probabilities[-1] < 0.5), atlas.affine)
    sparse = volume.mask[::2, ::2, ::2]
    other, wanted = _moments(2 * np.argwhere(sparse), volume.affine)
    root = _root(spread)
    inverse = np.linalg.inv(root)
    matrix = inverse @ _root(root @ wanted @ root) @ inverse
    result = np.eye(4)
    result[:3, :3] = matrix
    result[:3, 3] = other - matrix @ centre
    return result


def fit(volumes: Sequence[BrainVolume], atlas: CoarseAtlas,
        settings: AmortisedSettings | None = None, *, progress: Progress = silent
        ) -> AmortisedNet:
    """Train a network on brains without their labels.

    Raises
    ------
    InputError : no volume, or one without a positive voxel.
    ComputationError : weights that are no longer numbers.
    """
    import torch

    from deepgmm.model.amortised import AmortisedNet, learn

    settings = settings or AmortisedSettings()
    if not volumes:
        raise InputError("a training needs at least one volume")
    scans = [Laid.of(volume, atlas).scan for volume in volumes]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        network = AmortisedNet(atlas.tissues, settings.widths)
    learn(network, scans, atlas.tensor, settings.options, progress=progress)
    if not all(bool(value.isfinite().all()) for value in network.parameters()):
        raise ComputationError("the network's weights are no longer numbers: train with a lower "
                               "learning rate")
    return network


def passed(volume: BrainVolume, atlas: CoarseAtlas, network: AmortisedNet,
           settings: AmortisedSettings, *, steps: int = 0, laid: Laid | None = None
           ) -> tuple[Laid, Pass]:
    """One pass on a brain, `laid` where it was before, and so many steps on it afterwards."""
    from deepgmm.model.amortised import one_pass

    laid = Laid.of(volume, atlas) if laid is None else laid
    return laid, one_pass(network, laid.scan, atlas.tensor, settings.options, steps=steps)


def _moments(places: npt.NDArray[Any], affine: Matrix) -> tuple[Matrix, Matrix]:
    at = places @ affine[:3, :3].T + affine[:3, 3]
    return at.mean(0), np.cov(at.T)


def _root(matrix: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
