"""The methods of deepgmm-paper's tables that fit every image by itself, and ours beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deepgmm.identify.assignment import assign
from deepgmm.model.deep import DeepOptions, fit_deep
from deepgmm.model.devices import few_threads
from deepgmm.model.em import fit_em
from deepgmm.model.mixture import Mixture, posterior
from deepgmm.model.starts import several_starts
from deepgmm.progress import Progress
from deepgmm.review.ordering import ordered_by_truth
from deepgmm.segment import segment_many
from deepgmm.settings import Settings
from deepgmm.study.study import Study
from deepgmm.study.words import FOUR_TISSUES
from deepgmm.training.paper_images import KnownMeans, Labels, PaperImage, joined

#: Of EM: the gain below which it stops, nats a pixel, and the iterations at most. At the paper's
#: 1e-3 many random starts stop before they have parted.
TOLERANCE, ITERATIONS = 2e-4, 100
TISSUES = len(FOUR_TISSUES)


@dataclass(frozen=True)
class Components:
    """What a fit found in one image, before anything is named.

    Attributes
    ----------
    winner : (pixels,) component of each mask pixel.
    means, variances : (K, M), units of the image; weights : (K,) share of the mask.
    """

    winner: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]

    @classmethod
    def of(cls, probabilities: Tensor, means: Tensor, variances: Tensor) -> Components:
        """From (pixels, K) probabilities of the mask's pixels and (K, M) parameters."""
        def numbers(tensor: Tensor) -> npt.NDArray[np.float64]:
            return tensor.detach().cpu().double().numpy()
        return cls(probabilities.argmax(1).cpu().numpy(), numbers(means), numbers(variances),
                   numbers(probabilities.mean(0)))


def as_they_stand(found: Sequence[Components]) -> list[Labels]:
    """Component k is tissue k, for fits that began or were held there."""
    return [np.asarray(FOUR_TISSUES, np.uint8)[c.winner] for c in found]


def named(images: Sequence[PaperImage], found: Sequence[Components]) -> list[Labels]:
    """Components named by assignment to the contrast priors, without truth."""
    labels = []
    for image, c in zip(images, found, strict=True):
        order = assign(c.means[None], c.variances[None], c.weights[None], image.contrast)[0]
        tissue = np.zeros(TISSUES, dtype=np.uint8)
        tissue[order] = FOUR_TISSUES
        labels.append(tissue[c.winner])
    return labels


def rearranged(truths: Sequence[Labels], found: Sequence[Components]) -> list[Labels]:
    """Components ordered by each image's own truth, as the paper does. No segmentation."""
    return [ordered_by_truth(c.winner[None], truth[None], FOUR_TISSUES)[0]
            for truth, c in zip(truths, found, strict=True)]


def fit_mixtures(images: Sequence[PaperImage], *, spatial: bool, seed: int,
                 start: KnownMeans | None = None) -> list[Components]:
    """Algorithm 1, or 2 where `spatial`, from one random start an image or from known means.

    Means, variances and weights of a start belong together.
    """
    batch = joined(images)
    if start is None:
        _, first = several_starts(batch, TISSUES, starts=1, seed=seed, random=True)
    else:
        numbers = (np.log(start.shares), start.means, start.variances)
        first = Mixture(*(torch.as_tensor(n).expand(len(images), *n.shape) for n in numbers))
    with few_threads(batch.valid.numel()):
        fit = fit_em(batch, first, spatial=spatial, tolerance=TOLERANCE,
                     max_iterations=ITERATIONS)
    counts = batch.counts.long().tolist()
    return [Components.of(fit.posterior[i, :n], fit.mixture.means[i], fit.mixture.covariances[i])
            for i, n in enumerate(counts)]


def fit_networks(images: Sequence[PaperImage], options: DeepOptions, *, seed: int,
                 device: torch.device, progress: Progress,
                 ) -> tuple[list[Components], list[Components]]:
    """Algorithm 3 with a network an image, one image after the other.

    The network sees the box of the mask. What lies outside the mask is zeroed, so that the
    paper's crop of 160 x 160 pixels gives the same numbers more slowly.

    Returns
    -------
    The components by posterior, and by argmax w.
    """
    by_posterior: list[Components] = []
    by_network: list[Components] = []
    for number, image in enumerate(images):
        batch = image.batch.to(torch.float32).on(device)
        fit = fit_deep(batch, TISSUES, options, seed=seed + number)
        assert fit.responsibilities is not None  # a network has them
        for found, p in ((by_posterior, posterior(batch, fit.mixture)),
                         (by_network, fit.responsibilities)):
            found.append(Components.of(p[0], fit.mixture.means[0], fit.mixture.covariances[0]))
        progress((number + 1) / len(images), f"network, image {number + 1} of {len(images)}")
    return by_posterior, by_network


def by_ourselves(images: Sequence[PaperImage], settings: Settings, *, alone: bool,
                 progress: Progress) -> list[Labels]:
    """`deepgmm segment` on the images: each `alone`, or with all slices of its study."""
    studies: dict[object, Study] = {}
    for image in images:
        if alone:
            others = {i: "not this image" for i in image.study.slices if i != image.index}
            studies[image.patient, image.index] = replace(
                image.study, excluded={**image.study.excluded, **others})
        else:
            studies[image.patient] = image.study
    results = dict(zip(studies, _counted(segment_many(studies.values(), settings), len(studies),
                                         progress), strict=True))
    return [results[(image.patient, image.index) if alone else image.patient]
            .labels[image.index][image.mask] for image in images]


def _counted(results: Iterator, count: int, progress: Progress) -> Iterator:
    for number, result in enumerate(results):
        progress((number + 1) / count, "auto")
        yield result
