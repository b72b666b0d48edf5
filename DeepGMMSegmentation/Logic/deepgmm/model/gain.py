"""How much brighter one slice is than its study: coil and breath-hold vary from slice to slice."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.mixture import Mixture, Moments
from deepgmm.model.ventricle import Ventricle

#: How much of the pixels' evidence counts: neighbours share their noise.
EVIDENCE = 0.1


def slice_gain(batch: PixelBatch, w: Tensor, mixture: Mixture, ventricle: Ventricle,
               gain: Tensor, spread: Tensor, dark: float) -> Tensor:
    """(S, M) how much brighter each slice is, with prior N(0, spread^2) on its logarithm.

    Least squares of the intensities above `dark` on the study's means, weighted by the
    responsibilities; one Gauss-Newton step in the log gain. The mean log gain of a study is 0.

    Parameters
    ----------
    w : (S, P, K) which Gaussian drew each pixel; `mixture` : one a study.
    gain : (S, M) of the round before; `spread` : (M,), 0 for the same gain everywhere.
    dark : where zero intensity is taken to lie, normalised units.
    """
    moments = Moments.of(batch, w)
    expected = (mixture.means - dark)[ventricle.study]
    precision = (1.0 / mixture.covariances)[ventricle.study]
    seen = moments.first - moments.mass[..., None] * dark
    # the model is seen = gain * expected, its noise scaled by the gain as well
    slope = (moments.mass[..., None] * expected.square() * precision).sum(1)
    fitted = (seen * expected * precision).sum(1) / slope.clamp_min(1e-12)
    step = (fitted / gain).clamp(0.25, 4.0).log()
    loose = spread.square() * slope * EVIDENCE
    log_gain = loose / (loose + 1) * (gain.log() + step)
    slices = ventricle.by_study(log_gain.new_ones(len(log_gain)))
    mean = ventricle.by_study(log_gain) / slices[:, None]
    return (log_gain - mean[ventricle.study]).exp()


def without_gain(batch: PixelBatch, gain: Tensor, dark: float) -> PixelBatch:
    """The batch as it would be at gain 1."""
    level = (batch.values - dark) / gain[:, None, :] + dark
    return replace(batch, values=level * batch.valid[..., None])


def surroundings_without_gain(around: Tensor, gain: Tensor, dark: float) -> Tensor:
    """(N, 2 M) means and variances of what lies around pixels, as they would be at gain 1;
    `gain` is (N, M)."""
    mean, variance = around.chunk(2, 1)
    return torch.cat([(mean - dark) / gain + dark, variance / gain.square()], 1)


def gain_energy(batch: PixelBatch, gain: Tensor, spread: Tensor) -> Tensor:
    """(S,) this term of the objective: the prior on the log gain, and the change of variables
    that makes densities of corrected values densities of the values seen."""
    held = spread > 0
    log_gain = gain.log()
    pull = 0.5 * (log_gain[:, held] / spread[held]).square().sum(1) / EVIDENCE
    return pull + batch.counts * log_gain.sum(1)
