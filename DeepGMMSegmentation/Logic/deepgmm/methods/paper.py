"""The `paper` preset: deepG and deepSVG as their authors ran them, the benchmarks' baseline."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from deepgmm.methods.problem import Case, Problem, name_components
from deepgmm.model.batch import PixelBatch
from deepgmm.model.deep import DeepOptions, fit_deep
from deepgmm.model.fit import Fit
from deepgmm.model.mixture import Mixture
from deepgmm.progress import Progress
from deepgmm.study.normalisation import Scale

CROP = 160
STEPS = 200


def fit_paper(problem: Problem, progress: Progress, *, spatial: bool) -> Fit:
    """One network a slice, one slice after the other (deepgmm-paper sections 4.1 and 4.3).

    Random initialisation, diagonal covariance, U-Net of 32 filters and 4 levels on the 160 x 160
    crop about the mask, z-scored over the crop, AdamW at 1e-3, stop at the first gain under 1e-3
    after iteration 10, at most 200; no patience, no restarts, deepG labelled by argmax w. Two
    departures: the result is read off a forward pass after the last step, and components are
    named by assignment to the contrast priors, since no truth is at hand.
    """
    options = DeepOptions(spatial=spatial, patience=0, steps=STEPS, label_by_network=not spatial,
                          mean_weight=problem.settings.mean_weight,
                          variation_weight=problem.settings.total_variation)
    fits: list[Fit] = []
    slices = sum(len(case.slices) for case in problem.cases)
    for case in problem.cases:
        for i, index in enumerate(case.slices):
            fits.append(_fit_slice(case, i, options))
            progress(len(fits) / slices, f"network, slice {index}")
    longest = int(problem.batch.counts.max())
    joined = Fit.joined([_padded(fit, longest) for fit in fits], problem.device)
    return name_components(problem, joined)


def _fit_slice(case: Case, i: int, options: DeepOptions) -> Fit:
    crop = _crop(case.study.images[case.slices[i]], case.mask[i])
    scale = Scale(crop.mean((1, 2)), np.maximum(crop.std((1, 2)), 1e-12))
    reference = case.normalised[1]
    image = scale.apply(case.study.images[case.slices[i]][None])
    batch = PixelBatch.from_images(image, case.mask[i][None], device=case.device,
                                   dtype=torch.float32)
    # mu_data is told in the study's units; the network works in the crop's
    known = reference.raw_means(case.contrast.means)
    target = torch.as_tensor((known - scale.centre) / scale.width, dtype=torch.float32,
                             device=case.device)
    fit = fit_deep(batch, len(case.tissues), options, canvas=(CROP, CROP), mean_target=target,
                   seed=case.settings.seed + case.slices[i])
    return _in_units_of(fit, scale, reference)


def _crop(images: npt.NDArray, mask: npt.NDArray) -> npt.NDArray[np.float64]:
    """(sequences, 160, 160) about the middle of the mask, smaller where the image ends."""
    middle = [int(axis.mean()) for axis in np.nonzero(mask)]
    window = []
    for centre, size in zip(middle, mask.shape, strict=True):
        first = min(max(centre - CROP // 2, 0), max(size - CROP, 0))
        window.append(slice(first, first + CROP))
    return images[:, window[0], window[1]].astype(np.float64)


def _in_units_of(fit: Fit, scale: Scale, reference: Scale) -> Fit:
    """Parameters and NLL of one slice, moved from its own normalisation to the study's."""
    def tensor(values: npt.NDArray) -> torch.Tensor:
        return torch.as_tensor(values, device=fit.nll.device)
    m, ratio = fit.mixture, scale.width / reference.width
    shift = (scale.centre - reference.centre) / reference.width
    fit.mixture = Mixture(m.log_weights.double(),
                          m.means.double() * tensor(ratio) + tensor(shift),
                          m.covariances.double() * tensor(ratio**2))
    fit.nll = fit.nll.double() + scale.log_volume - reference.log_volume
    return fit


def _padded(fit: Fit, pixels: int) -> Fit:
    """A one-slice fit, padded to the longest slice."""
    def longer(w: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(w, (0, 0, 0, pixels - w.shape[1]))
    fit.posterior = longer(fit.posterior)
    if fit.responsibilities is not None:
        fit.responsibilities = longer(fit.responsibilities)
    if fit.mixture.spatial:
        fit.mixture.log_weights = longer(fit.mixture.log_weights)
    return fit
