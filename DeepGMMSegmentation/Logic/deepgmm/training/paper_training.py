"""Algorithm 4 of deepgmm-paper: one network trained on many images, without or with mu_data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from deepgmm.errors import Cancelled, ComputationError
from deepgmm.model.images import read
from deepgmm.model.learning import Examples
from deepgmm.model.priors import ConjugatePrior
from deepgmm.progress import Progress
from deepgmm.training.loop import train_network
from deepgmm.training.paper_fits import TISSUES, Components
from deepgmm.training.paper_images import KnownMeans, Labels, PaperImage, joined
from deepgmm.training.settings import TrainingSettings

#: Least variance, units of the image, and the share of a mask that stands for "no pixel": the
#: M-step is that of maximum likelihood, and stays finite for a class that nobody takes.
FLOOR, NOTHING = 1e-4, 1e-6
#: Images that a trained network sees at a time.
AT_ONCE = 16


@dataclass
class PaperExamples(Examples):
    """Images whose M-step is Algorithm 2's, without the contrast prior of the house."""

    def prior(self) -> ConjugatePrior:
        """Next to none; `means` are mu_data, for the loss alone."""
        even = torch.full_like(self.means[..., 0], 1 / TISSUES)
        return ConjugatePrior(
            self.means, torch.ones_like(self.means), even, torch.full_like(self.means, NOTHING),
            variance_strength=NOTHING, weight_strength=0.0, variance_floor=FLOOR)


def examples_of(images: Sequence[PaperImage], means: KnownMeans | None = None,
                truths: Sequence[Labels] | None = None) -> PaperExamples:
    """Images as `train_network` takes them: intensities and mask, no depth.

    Parameters
    ----------
    truths : labels of the mask's pixels, for cross entropy; none for Algorithm 4.
    """
    batch = joined(images).to(torch.float32)
    values, inside = batch.grid(batch.values), batch.grid(batch.valid[..., None])
    count, sequences = values.shape[:2]
    target = np.zeros((TISSUES, sequences)) if means is None else means.means
    table = torch.as_tensor(target, dtype=torch.float32).expand(count, -1, -1).clone()
    labels = None
    if truths is not None:
        packed = torch.zeros(batch.valid.shape)
        for i, truth in enumerate(truths):
            packed[i, : len(truth)] = torch.as_tensor(truth)
        # blood is 1 among labels and 0 among a network's outputs; 0 lies outside the mask
        labels = batch.grid(packed[..., None])[:, 0].long() - 1
    return PaperExamples(
        values=values, present=torch.ones(count, sequences), inside=inside,
        depth=torch.zeros_like(inside), sought=torch.ones(count, TISSUES), means=table,
        variances=torch.ones_like(table), trust=torch.full_like(table, NOTHING), labels=labels)


def trained(images: Sequence[PaperImage], settings: TrainingSettings, *,
            means: KnownMeans | None = None, truths: Sequence[Labels] | None = None,
            progress: Progress) -> nn.Module:
    """A network trained on images; what it learns from is said by the settings' weights.

    Raises
    ------
    Cancelled, ComputationError : as `train_network`; nothing is kept.
    """
    examples = examples_of(images, means, truths)
    with TemporaryDirectory() as folder:
        try:
            return train_network(examples, None, settings, Path(folder),
                                 progress=progress).network
        except Cancelled as error:
            raise Cancelled("interrupted: no network and no table was kept") from error
        except ComputationError as error:
            raise ComputationError("the loss of a network is no longer a number: take another "
                                   "--seed") from error


def answers(network: nn.Module, images: Sequence[PaperImage]
            ) -> tuple[list[Components], list[Components]]:
    """The components of new images by posterior, after an M-step, and by argmax w."""
    by_posterior: list[Components] = []
    by_network: list[Components] = []
    device = next(network.parameters()).device
    for first in range(0, len(images), AT_ONCE):
        part = examples_of(images[first : first + AT_ONCE]).enlarged(network.multiple)  # type: ignore[arg-type]
        part = part.to(device)
        with torch.no_grad():
            logits = network(part.channels(), part.inside).float()
            reading = read(part, logits, temperature=1.0)
        inside = part.inside.flatten(1) > 0
        for i in range(len(part)):
            for found, log_p in ((by_posterior, reading.log_posterior),
                                 (by_network, reading.log_weights)):
                found.append(Components.of(log_p[i, inside[i]].exp(), reading.mixture.means[i],
                                           reading.mixture.covariances[i]))
    return by_posterior, by_network
