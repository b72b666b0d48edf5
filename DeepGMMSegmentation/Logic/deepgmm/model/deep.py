"""deepG and deepSVG: responsibilities from a U-Net, parameters from the M-step (Algorithm 3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.descent import Networks, Patience, descend
from deepgmm.model.fit import Fit
from deepgmm.model.mixture import (
    Mixture,
    log_joint,
    m_step,
    negative_log_likelihood,
    pixel_weights,
    posterior,
)
from deepgmm.model.place import Place
from deepgmm.model.unet import SliceUNet, UNetShape
from deepgmm.progress import Progress, silent


@dataclass(frozen=True)
class DeepOptions:
    """How Algorithm 3 is run.

    Attributes
    ----------
    spatial : deepSVG (Pi = w) or deepG (pi = mean w).
    shape : of the U-Net.
    learning_rate : of AdamW.
    steps : gradient steps at most.
    minimum_steps : before which no slice stops.
    tolerance : a gain below it does not count.
    patience : steps without gain after which a slice has converged; 0 stops at the first.
    through : differentiate through the M-step. deepG must: held fixed, its gradient is 0.
    mean_weight : lambda of ||mu - mu_data||^2, per image (section 4.2).
    variation_weight : of the total variation of w (gmm-loss-brain-paper 3.4).
    floor : added to the variances.
    label_by_network : label by argmax w instead of the posterior, as the paper does for deepG.
    mixed : the network in bfloat16, for GPUs; loss and M-step stay in the batch's dtype.
    """

    spatial: bool = True
    shape: UNetShape = field(default_factory=UNetShape)
    learning_rate: float = 1e-3
    steps: int = 200
    minimum_steps: int = 10
    tolerance: float = 1e-3
    patience: int = 10
    through: bool = True
    mean_weight: float = 0.0
    variation_weight: float = 0.0
    floor: float = 1e-4
    label_by_network: bool = False
    mixed: bool = False


def objective(batch: PixelBatch, w: Tensor, options: DeepOptions, mean_target: Tensor | None = None,
              place: Place | None = None) -> tuple[Tensor, Tensor]:
    """The loss of every slice, (S,), and its NLL alone, (S,), at responsibilities w (S, P, K).

    NLL of equation 2 with pi = mean w, or NLL_V with Pi = w, plus the regularisers.
    """
    mixture = m_step(batch, w, floor=options.floor)
    if not options.through:
        mixture = Mixture(*(t.detach() for t in
                            (mixture.log_weights, mixture.means, mixture.covariances)))
    mixture.log_weights = _weights(mixture, w, options, place)
    nll = -batch.mean(torch.logsumexp(log_joint(batch, mixture), dim=2))
    loss = nll
    if options.mean_weight > 0 and mean_target is not None:
        # its gradient needs the M-step even where the likelihood holds it fixed
        means = mixture.means if options.through else m_step(batch, w, floor=options.floor).means
        loss = loss + options.mean_weight * (means - mean_target).square().sum((1, 2))
    if options.spatial and place is not None:
        loss = loss + place.penalty(batch, mixture.log_weights)
    if options.variation_weight > 0:
        loss = loss + options.variation_weight * total_variation(batch, w) / batch.counts
    return loss, nll


def _weights(mixture: Mixture, w: Tensor, options: DeepOptions, place: Place | None) -> Tensor:
    """log pi (S, K), or log Pi(x) (S, P, K) where w or the place says it."""
    if options.spatial:
        return pixel_weights(w)
    if place is None:
        return mixture.log_weights
    return place.of(w if options.through else w.detach())


def total_variation(batch: PixelBatch, w: Tensor) -> Tensor:
    """(S,) anisotropic total variation of w, summed over tissues and neighbour pairs.

    gmm-loss-brain-paper section 3.4, read as |grad s|; only pairs that both lie in the mask
    count, so that the mask's own outline costs nothing.
    """
    return variation(batch.grid(w), batch.grid(batch.valid[:, :, None]))


def variation(grid: Tensor, inside: Tensor) -> Tensor:
    """(S,) as `total_variation`, of images (S, K, H, W) in a mask (S, 1, H, W)."""
    down = (grid[:, :, 1:] - grid[:, :, :-1]).abs() * inside[:, :, 1:] * inside[:, :, :-1]
    right = ((grid[:, :, :, 1:] - grid[:, :, :, :-1]).abs()
             * inside[:, :, :, 1:] * inside[:, :, :, :-1])
    return down.sum((1, 2, 3)) + right.sum((1, 2, 3))


def fit_deep(
    batch: PixelBatch,
    tissues: int,
    options: DeepOptions,
    *,
    start_logits: Tensor | None = None,
    mean_target: Tensor | None = None,
    place: Place | None = None,
    canvas: tuple[int, int] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Fit:
    """Fit one network per slice, all in one batch (Algorithm 3).

    Parameters
    ----------
    start_logits : (S, P, K) logits that the network corrects; None leaves all to the network.
    mean_target : (K, M) mu_data, normalised units.
    place : where tissues are to be expected.
    canvas : rows and columns that the network sees at least; the mask's box, enlarged to what
        the network's levels divide, where not given.

    Returns
    -------
    Fit
        Read off a forward pass at each slice's best iterate. `responsibilities` are w.

    Raises
    ------
    ValueError : for deepG with the M-step held fixed.
    """
    if not (options.spatial or options.through):
        raise ValueError("deepG must be differentiated through the M-step: with the M-step held "
                         "fixed its gradient is zero")
    side = options.shape.multiple
    least = canvas or (0, 0)
    height, width = (-(-max(a, b) // side) * side for a, b in zip(batch.shape, least, strict=True))
    shape = (height, width)
    network = SliceUNet(batch.slices, batch.sequences, tissues, options.shape, seed=seed,
                        gain=1.0 if start_logits is None else 0.1, dtype=batch.values.dtype)
    networks = Networks(network.to(batch.values.device), batch, batch.grid(batch.values, shape),
                        batch.grid(batch.valid[:, :, None], shape), start_logits, options.mixed,
                        None if place is None else place.like(batch))
    end = descend(
        networks, tissues,
        lambda part, w: objective(part, w, options, mean_target, networks.place)[0],
        learning_rate=options.learning_rate, steps=options.steps,
        minimum_steps=options.minimum_steps, tolerance=options.tolerance,
        patience=options.patience, progress=progress)
    return _read_off(batch, end, options, None if place is None else place.like(batch))


def _read_off(batch: PixelBatch, end: Patience, options: DeepOptions,
              place: Place | None) -> Fit:
    """The fit at each slice's best iterate."""
    with torch.no_grad():
        mixture = m_step(batch, end.w, floor=options.floor)
        mixture.log_weights = _weights(mixture, end.w, options, place)
        labels = end.w if options.label_by_network else posterior(batch, mixture)
        nll = negative_log_likelihood(batch, mixture)
    traces = [trace[: n + 1] for trace, n in
              zip(end.trace.tolist(), end.iterations.tolist(), strict=True)]
    return Fit(mixture, labels, nll, traces, end.iterations, ~end.running, responsibilities=end.w)
