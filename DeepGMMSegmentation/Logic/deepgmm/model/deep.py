"""deepG and deepSVG: responsibilities from a U-Net, parameters from the M-step (Algorithm 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.fit import Fit, Progress, silent
from deepgmm.model.mixture import (
    Mixture,
    log_joint,
    m_step,
    negative_log_likelihood,
    posterior,
)
from deepgmm.model.unet import SliceUNet, UNetShape


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


def objective(batch: PixelBatch, w: Tensor, options: DeepOptions,
              mean_target: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The loss of every slice, (S,), and its NLL alone, (S,), at responsibilities w (S, P, K).

    NLL of equation 2 with pi = mean w, or NLL_V with Pi = w, plus the regularisers.
    """
    mixture = m_step(batch, w, floor=options.floor)
    if not options.through:
        mixture = Mixture(*(t.detach() for t in
                            (mixture.log_weights, mixture.means, mixture.covariances)))
    if options.spatial:
        mixture.log_weights = w.clamp_min(torch.finfo(w.dtype).tiny).log()
    nll = -batch.mean(torch.logsumexp(log_joint(batch, mixture), dim=2))
    loss = nll
    if options.mean_weight > 0 and mean_target is not None:
        # its gradient needs the M-step even where the likelihood holds it fixed
        means = mixture.means if options.through else m_step(batch, w, floor=options.floor).means
        loss = loss + options.mean_weight * (means - mean_target).square().sum((1, 2))
    if options.variation_weight > 0:
        loss = loss + options.variation_weight * total_variation(batch, w) / batch.counts
    return loss, nll


def total_variation(batch: PixelBatch, w: Tensor) -> Tensor:
    """(S,) anisotropic total variation of w, summed over tissues and neighbour pairs.

    gmm-loss-brain-paper section 3.4, read as |grad s|; only pairs that both lie in the mask
    count, so that the mask's own outline costs nothing.
    """
    grid, inside = batch.grid(w), batch.grid(batch.valid[:, :, None])
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
    canvas: tuple[int, int] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Fit:
    """Fit one network per slice, all in one batch (Algorithm 3).

    Parameters
    ----------
    start_logits : (S, P, K) logits that the network corrects; None leaves all to the network.
    mean_target : (K, M) mu_data, normalised units.
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
    dtype = batch.values.dtype
    side = options.shape.multiple
    least = canvas or (0, 0)
    height, width = (-(-max(a, b) // side) * side for a, b in zip(batch.shape, least, strict=True))
    shape = (height, width)
    images = batch.grid(batch.values, shape)
    inside = batch.grid(batch.valid[:, :, None], shape)
    network = SliceUNet(batch.slices, batch.sequences, tissues, options.shape, seed=seed,
                        gain=1.0 if start_logits is None else 0.1,
                        dtype=dtype).to(batch.values.device)

    def forward() -> Tensor:
        logits = batch.pack(network(images, inside))
        if start_logits is not None:
            logits = logits + start_logits
        return torch.softmax(logits, dim=2) * batch.valid[:, :, None]

    best_w, traces, iterations, converged = _descend(
        forward, network, batch, options, mean_target, progress)
    with torch.no_grad():
        mixture = m_step(batch, best_w, floor=options.floor)
        if options.spatial:
            mixture.log_weights = best_w.clamp_min(torch.finfo(dtype).tiny).log()
        labels = best_w if options.label_by_network else posterior(batch, mixture)
        nll = negative_log_likelihood(batch, mixture)
    return Fit(mixture, labels, nll, traces, iterations, converged, responsibilities=best_w)


def _descend(forward: Callable[[], Tensor], network: SliceUNet, batch: PixelBatch,
             options: DeepOptions, mean_target: Tensor | None, progress: Progress,
             ) -> tuple[Tensor, list[list[float]], Tensor, Tensor]:
    """AdamW on the sum of the slices' losses; each slice keeps its own best iterate."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.learning_rate)
    slices, device = batch.slices, batch.values.device
    best = torch.full((slices,), float("inf"), dtype=batch.values.dtype, device=device)
    reference = best.clone()
    waited = torch.zeros(slices, dtype=torch.long, device=device)
    iterations = torch.zeros(slices, dtype=torch.long, device=device)
    running = torch.ones(slices, dtype=torch.bool, device=device)
    best_w = torch.zeros(0)
    history = []
    for step in range(options.steps + 1):
        w = forward()
        loss, _ = objective(batch, w, options, mean_target)
        values = loss.detach()
        history.append(values)
        better = (values < best) & running
        best = torch.where(better, values, best)
        best_w = w.detach() if step == 0 else torch.where(better[:, None, None], w.detach(),
                                                          best_w)
        gained = values < reference - options.tolerance
        reference = torch.where(gained, values, reference)
        waited = torch.where(gained, 0, waited + 1)
        iterations = torch.where(running, step, iterations)
        if step >= options.minimum_steps:
            running = running & (waited <= options.patience)
        progress(step / max(options.steps, 1), "network")
        if step == options.steps or not bool(running.any()):
            break
        optimiser.zero_grad(set_to_none=True)
        loss[running].sum().backward()
        optimiser.step()
    trace = torch.stack(history, 1).cpu()
    traces = [trace[s, : int(n) + 1].tolist() for s, n in enumerate(iterations.tolist())]
    return best_w, traces, iterations, ~running
