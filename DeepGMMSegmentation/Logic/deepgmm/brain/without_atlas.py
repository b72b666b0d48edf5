"""One brain without an atlas: a mixture of three under a field, its shares near an adult's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.brain.halfway import divided
from deepgmm.brain.scene import BrainSegmentation, BrainSettings, Scene
from deepgmm.brain.scores import sulci_as_grey, upside_down, ventricular
from deepgmm.brain.tissues import TISSUES
from deepgmm.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from deepgmm.model.tissue_mixture import TissueMixture

#: Standard deviation of a tissue to start from, in units of bright.
_USUAL_SD = 0.07


def alone(scene: Scene, settings: BrainSettings, progress: Progress) -> BrainSegmentation:
    """One mixture of three under a field, its shares held; then `deepgmm.brain.halfway`.

    Of degree 0 there is no field, and so none of `halfway` either.
    """
    import torch
    from scipy.ndimage import distance_transform_edt

    from deepgmm.model.tissue_mixture import TissueMixture, TissuePrior, VolumeField, fit

    since = time.perf_counter()
    x = scene.values[scene.part].double()
    shares = np.array(settings.shares) / sum(settings.shares)
    order = np.arange(3) if settings.dark_first else np.arange(3)[::-1]
    steps = np.concatenate([[0], np.cumsum(shares[order])])
    levels = np.quantile(x.numpy(), (steps[:-1] + steps[1:]) / 2)
    start = TissueMixture(torch.from_numpy(levels[order].copy()),
                          torch.full((3,), _USUAL_SD**2, dtype=torch.float64),
                          torch.ones(3, dtype=torch.float64), torch.arange(3))
    prior = TissuePrior(start, settings.strength, 2.5 * settings.strength, 0.0)
    weights = torch.from_numpy(shares)
    everywhere: Callable[[Tensor], Tensor] | None = None
    bent = None
    if settings.degree:
        basis, everywhere = scene.basis(settings.degree)
        bent = VolumeField(basis, settings.ridge_alone)
    found = fit(x, torch.zeros(len(x), 3, dtype=torch.float64), start, prior, field=bent,
                weights=weights, weight_prior=settings.hold * weights, iterations=60,
                tolerance=1e-6)
    mixture = found.mixture.to(scene.values)
    assert found.weights is not None
    b = scene.ones if everywhere is None or found.omega is None else everywhere(found.omega)
    progress(0.5, "mixture fitted")
    joint = mixture.log_likelihood(scene.values, b) + found.weights.float().log()
    posterior = torch.softmax(joint, 1)
    _beyond(posterior, scene.values / b, mixture)
    if settings.degree:
        posterior, b = divided(scene, posterior, b, mixture, (0, 1, 2))
    labels = scene.volume_of(posterior.argmax(1).numpy().astype(np.uint8) + 1)
    missing = scene.volume.mask & (scene.volume.image == 0)
    probabilities = scene.volume_of(posterior.T.numpy())
    if missing.any():
        box = scene.box
        hole = missing[box] | ~scene.mask
        nearest = distance_transform_edt(hole, sampling=scene.volume.spacing,
                                         return_distances=False, return_indices=True)
        at = tuple(axis[missing[box]] for axis in nearest)
        labels[missing] = labels[box][at]
        for of_tissue in probabilities:
            of_tissue[missing] = of_tissue[box][at]
    ventricles = ventricular(labels, scene.volume.mask, scene.volume.spacing)
    as_labelled = sulci_as_grey(labels, ventricles)
    if upside_down(labels, scene.volume.mask, scene.volume.spacing):
        scene.warnings.append("what was taken for white matter lies at the brain's border, where "
                              "grey matter and CSF lie: see whether it is T1 or T2 (--contrast)")
    scene.timed("mixture and field", since)
    progress(1.0, "done")
    return BrainSegmentation(
        labels, as_labelled, ventricles, probabilities, scene.volume_of(b.numpy(), 1.0),
        scene.components(mixture, list(TISSUES)), "mixture and field, no atlas",
        "no label; the shares of an adult's tissues hold the mixture",
        warnings=scene.warnings, seconds=scene.seconds)


def _beyond(posterior: Tensor, values: Tensor, mixture: TissueMixture) -> None:
    """What is darker than the darkest tissue's mean is that tissue, and so the brightest.

    A tissue of wide variance would otherwise reappear beyond one of narrow variance.
    """
    dark, bright = int(mixture.means.argmin()), int(mixture.means.argmax())
    for which, there in ((dark, values < mixture.means[dark]),
                         (bright, values > mixture.means[bright])):
        wrong = there & (posterior.argmax(1) != which)
        posterior[wrong] = 0
        posterior[wrong, which] = 1
