"""The unsupervised network of gmm-loss-brain-paper on volumes: trained, and asked in one pass.

The network sees slices along the axis in which voxels are longest, its mixture and field are the
volume's. It corrects the posterior of a mixture that is fitted without drawing anything, so that
every seed begins at the same labels; `corrects=False` leaves all to the network, as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.tissues import TISSUES, UNLABELLED, BrainTissue
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import ComputationError, InputError
from deepgmm.model.architecture import Architecture
from deepgmm.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepgmm.model.shared_mixture import LevelPrior, Levels
    from deepgmm.model.volume_slices import SliceObjective, VolumeSlices

#: The tissues from the darkest to the brightest; the order of the network's logits.
ORDERS: dict[str, tuple[BrainTissue, ...]] = {
    "T1": (BrainTissue.CSF, BrainTissue.GM, BrainTissue.WM),
    "IR": (BrainTissue.CSF, BrainTissue.GM, BrainTissue.WM),
    "T2": (BrainTissue.WM, BrainTissue.GM, BrainTissue.CSF),
    "inverted": (BrainTissue.WM, BrainTissue.GM, BrainTissue.CSF),
    "FLAIR": (BrainTissue.CSF, BrainTissue.WM, BrainTissue.GM),
}

#: Shares of an adult's brain in its mask, in the order of `TISSUES`: what the mixture without an
#: atlas expects. CSF of the sulci that a mask holds is some 6 % of it.
SHARES = {BrainTissue.CSF: 0.06, BrainTissue.GM: 0.56, BrainTissue.WM: 0.38}


@dataclass(frozen=True)
class UnsupervisedSettings:
    """Every choice of a training.

    Attributes
    ----------
    contrast : of `ORDERS`.
    network, filters, levels, convolutions : see `Architecture`; the paper's own network is the
        modified U-Net with 4 levels.
    degree : P of the field's Legendre polynomials; 0 for no field.
    variation : gamma of the total variation (equation 3.4), per voxel.
    label_weight, likelihood_weight : alpha and beta of equation 3.5.
    corrects : whether the network corrects the posterior of the mixture it starts with.
    steps, batch, learning_rate, seed : of the descent; slices a step.
    """

    contrast: str = "T1"
    network: str = "modified-unet"
    filters: int = 8
    levels: int = 3
    convolutions: int = 2
    degree: int = 2
    variation: float = 0.35
    label_weight: float = 0.0
    likelihood_weight: float = 1.0
    corrects: bool = True
    steps: int = 150
    batch: int = 8
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.contrast not in ORDERS:
            raise InputError(f"no contrast is called {self.contrast!r}: choose from "
                             + ", ".join(ORDERS))
        if type(self.degree) is not int or not 0 <= self.degree <= 4:
            raise InputError(f"the field's degree is {self.degree!r}: give a whole number from 0 "
                             "(no field) to 4")
        if not 1 <= self.levels <= 6 or self.filters < 1:
            raise InputError(f"the network has {self.levels} levels and {self.filters} filters: "
                             "give 1 to 6 levels, as each halves the slices, and a filter or more")
        if self.steps < 1 or self.batch < 1:
            raise InputError("steps and batch of a training must be at least 1")
        for name in ("variation", "label_weight", "likelihood_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}: give a number from 0")
        if not 0 < self.learning_rate < 1:
            raise InputError(f"the learning rate is {self.learning_rate}: give a number above 0 "
                             "and below 1")
        if self.label_weight + self.likelihood_weight == 0:
            raise InputError("a training needs the labels' weight or the likelihood's")

    @property
    def architecture(self) -> Architecture:
        from deepgmm.model.volume_slices import INPUTS

        return Architecture(self.network, INPUTS, len(TISSUES), self.filters, self.levels,
                            self.convolutions)

    @property
    def order(self) -> tuple[BrainTissue, ...]:
        return ORDERS[self.contrast]

    @property
    def prior(self) -> LevelPrior:
        from deepgmm.model.shared_mixture import LevelPrior

        return LevelPrior(weights=tuple(SHARES[tissue] for tissue in self.order))

    @property
    def objective(self) -> SliceObjective:
        from deepgmm.model.volume_slices import SliceObjective

        return SliceObjective(self.label_weight, self.likelihood_weight, self.variation,
                              self.steps, self.batch, self.learning_rate, seed=self.seed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Sliced:
    """Volumes cut into slices, and how labels go back.

    Attributes
    ----------
    slices : see `VolumeSlices`.
    axes : of each volume, the axis along which it was cut.
    places : of each volume the numbers of its slices, and the canvas' first row and column.
    """

    slices: VolumeSlices
    axes: tuple[int, ...]
    places: list[tuple[npt.NDArray[Any], tuple[int, int]]]

    @classmethod
    def of(cls, volumes: Sequence[BrainVolume], settings: UnsupervisedSettings, *,
           labelled: Sequence[bool] | None = None) -> Sliced:
        """Cut volumes, each along the axis of its longest voxels.

        Parameters
        ----------
        labelled : whose labels the network is shown; nobody's where not given.

        Raises
        ------
        InputError : a volume without a positive voxel in its mask.
        """
        from deepgmm.model.volume_slices import VolumeSlices, start_of

        axes = tuple(_across(volume) for volume in volumes)
        labels = None
        if labelled is not None:
            code = np.full(256, -1, np.int64)
            for index, tissue in enumerate(settings.order):
                code[tissue] = index
            code[[BrainTissue.BACKGROUND, UNLABELLED]] = -1
            labels = [np.moveaxis(code[v.labels], a, 0) if shown and v.labels is not None else None
                      for v, a, shown in zip(volumes, axes, labelled)]
        try:
            slices, places = VolumeSlices.of(
                [np.moveaxis(v.image, a, 0) for v, a in zip(volumes, axes)],
                [np.moveaxis(v.mask, a, 0) for v, a in zip(volumes, axes)],
                degree=settings.degree, labels=labels,
                # a network of MONAI's own asks for more
                multiple=max(1 << settings.levels, _MULTIPLES.get(settings.network, 1)))
        except ValueError as error:
            raise InputError("the image has no positive voxel inside the brain mask: export it "
                             "with the scanner's own intensities") from error
        if settings.corrects:
            slices.start = start_of(slices, settings.prior)
        return cls(slices, axes, places)

    def back(self, values: npt.NDArray[Any], volume: int, shape: tuple[int, ...]
             ) -> npt.NDArray[Any]:
        """Values (..., slices, rows, columns) of one volume's slices on its own grid, else 0."""
        axis, (taken, (row, column)) = self.axes[volume], self.places[volume]
        turned = np.moveaxis(np.empty(shape, np.uint8), axis, 0).shape
        out = np.zeros((*values.shape[:-3], *turned), values.dtype)
        height = min(values.shape[-2], turned[1] - row)
        width = min(values.shape[-1], turned[2] - column)
        out[..., taken, row:row + height, column:column + width] = \
            values[..., :height, :width]
        ahead = values.ndim - 3
        return np.ascontiguousarray(np.moveaxis(out, ahead, ahead + axis))


#: Rows and columns of MONAI's networks must be multiples of these.
_MULTIPLES = {"unet++": 32, "unetr": 16, "swinunetr": 64}


@dataclass(frozen=True)
class NetworkResult:
    """What a network says of one volume.

    Attributes
    ----------
    labels : (slices, rows, columns) uint8 of `BrainTissue`.
    probabilities : (3, slices, rows, columns) in the order of `TISSUES`, 0 outside the mask.
    posterior : uint8, labels by the mixture that follows from the network, without it.
    means, deviations, weights : (3,) of the tissues in the order of `TISSUES`, in the image's
        units, the field taken out.
    field : (slices, rows, columns) b, 1 outside the mask; None where none was asked for.
    """

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    posterior: npt.NDArray[np.uint8]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    field: npt.NDArray[np.float32] | None


def fit(volumes: Sequence[BrainVolume], settings: UnsupervisedSettings, *,
        labelled: Sequence[bool] | None = None, start: nn.Module | None = None,
        progress: Progress = silent) -> nn.Module:
    """Train a network on volumes; with `label_weight` 0, or nobody `labelled`, no label enters.

    Parameters
    ----------
    start : a network of the same architecture whose weights it begins with; it stays as it is.

    Raises
    ------
    InputError : no volume, labels asked for that nobody has, or as `Sliced.of`.
    ComputationError : weights that are no longer numbers.
    """
    from copy import deepcopy

    from deepgmm.model.architectures import build
    from deepgmm.model.volume_slices import learn

    if not volumes:
        raise InputError("a training needs at least one volume")
    if settings.label_weight > 0 and not any(labelled or ()):
        raise InputError("the labels have a weight, but no volume is labelled: give labels, or "
                         "the labels' weight 0")
    sliced = Sliced.of(volumes, settings,
                       labelled=labelled if settings.label_weight > 0 else None)
    network = build(settings.architecture, seed=settings.seed) if start is None \
        else deepcopy(start)
    learn(network, sliced.slices, settings.objective, settings.prior, progress=progress)
    if not all(bool(value.isfinite().all()) for value in network.parameters()):
        raise ComputationError("the network's weights are no longer numbers: train with a lower "
                               "learning rate")
    return network


def segment(volume: BrainVolume, network: nn.Module, settings: UnsupervisedSettings
            ) -> NetworkResult:
    """One forward pass: labels, and the mixture and field that follow from them."""
    import torch

    from deepgmm.model.volume_slices import levels_of, responsibilities

    sliced = Sliced.of([volume], settings)
    s = responsibilities(network, sliced.slices)
    levels = levels_of(sliced.slices, s, settings.prior)
    order = settings.order
    place = [order.index(tissue) for tissue in TISSUES]
    spread = s.transpose(0, 1).numpy()[place]
    probabilities = sliced.back(spread.astype(np.float32), 0, volume.image.shape)
    labels = _labels(probabilities, volume.mask)
    own, field = _posterior(sliced.slices, levels)
    posterior = _labels(sliced.back(own.transpose(0, 1).numpy()[place], 0, volume.image.shape),
                        volume.mask)
    positive = volume.image[volume.mask & (volume.image > 0)]
    scale = float(np.percentile(positive, 98))
    b = None
    if settings.degree:
        b = sliced.back(field.numpy(), 0, volume.image.shape)
        b = np.where(volume.mask, b, np.float32(1))
    with torch.no_grad():
        return NetworkResult(
            labels, probabilities, posterior,
            scale * levels.means[0, place].double().numpy(),
            scale * levels.variances[0, place].sqrt().double().numpy(),
            levels.log_weights[0, place].exp().double().numpy(), b)


def _across(volume: BrainVolume) -> int:
    """The axis of the longest voxels; the first where they are as long as each other."""
    return int(np.argmax(np.round(volume.spacing, 3)))


def _labels(probabilities: npt.NDArray[Any], mask: npt.NDArray[np.bool_]
            ) -> npt.NDArray[np.uint8]:
    codes = np.array([int(tissue) for tissue in TISSUES], np.uint8)
    return np.where(mask, codes[probabilities.argmax(0)], np.uint8(0))


def _posterior(slices: VolumeSlices, levels: Levels) -> tuple[Tensor, Tensor]:
    """(S, K, H, W) by Bayes' rule from the levels alone, and the field (S, H, W)."""
    import torch

    from deepgmm.model.shared_mixture import field_of, log_joint

    parts, fields = [], []
    for index in torch.arange(len(slices)).split(16):
        basis, own = slices.basis(index), levels[slices.owner[index]]
        shape = (len(index), -1, *slices.images.shape[1:])
        parts.append(log_joint(slices.images[index].flatten(1), basis, own).softmax(1)
                     .reshape(shape))
        fields.append(field_of(basis, own).reshape(len(index), *shape[2:]))
    return torch.cat(parts), torch.cat(fields)
