"""Methods with a network: deepG and deepSVG, corrected from the anchored fit or as published."""

from __future__ import annotations

import torch

from deepgmm.methods.anchored import fit_map
from deepgmm.methods.memory import within_memory
from deepgmm.methods.paper import fit_paper
from deepgmm.methods.problem import Problem
from deepgmm.model.batch import PixelBatch
from deepgmm.model.deep import DeepOptions, fit_deep
from deepgmm.model.devices import few_threads
from deepgmm.model.em import fit_em
from deepgmm.model.fit import Fit, Progress
from deepgmm.model.mixture import m_step
from deepgmm.model.unet import UNetShape
from deepgmm.settings import Preset

#: Steps of Algorithm 2 between the anchored start and the network.
SETTLING_STEPS = 5


def fit_deepg(problem: Problem, progress: Progress) -> Fit:
    """Algorithm 3 with one set of mixing weights an image; labels from the posterior."""
    return fit_network(problem, progress, spatial=False)


def fit_deepsvg(problem: Problem, progress: Progress) -> Fit:
    """Algorithm 3 with the network's output as every pixel's mixing weights."""
    return fit_network(problem, progress, spatial=True)


FAST_SHAPE = UNetShape(filters=8, levels=2, convolutions=1)
ACCURATE_SHAPE = UNetShape(filters=16, levels=3)


def fit_network(problem: Problem, progress: Progress, *, spatial: bool) -> Fit:
    """Algorithm 3. Outside the `paper` preset the network corrects the `map` solution, so that
    tens of steps suffice and the components keep their names."""
    s = problem.settings
    if s.preset is Preset.PAPER:
        return fit_paper(problem, progress, spatial=spatial)
    warm = fit_map(problem, lambda fraction, stage: progress(0.3 * fraction, stage))
    start = settled(problem, warm.posterior) if spatial else warm.posterior
    fast = s.preset is Preset.FAST
    options = DeepOptions(
        spatial=spatial, shape=FAST_SHAPE if fast else ACCURATE_SHAPE,
        learning_rate=3e-2 if fast else 5e-3, steps=80 if fast else 200,
        patience=10 if fast else 20, mean_weight=s.mean_weight)
    logits = start.clamp_min(1e-6).log().to(torch.float32)
    # what the warm start found absent stays absent
    logits = torch.where(warm.posterior.sum((0, 1)) > 0, logits, -50.0)
    target = problem.prior().means.to(torch.float32)

    def run(batch: PixelBatch, index: torch.Tensor) -> Fit:
        device = batch.values.device
        return fit_deep(batch, len(problem.tissues), options,
                        start_logits=logits[index.to(logits.device)].to(device),
                        mean_target=target.to(device), seed=s.seed,
                        progress=lambda fraction, stage: progress(0.3 + 0.7 * fraction, stage))
    fit = within_memory(problem.batch.to(torch.float32), run)
    fit.warnings = warm.warnings + fit.warnings
    return fit


def settled(problem: Problem, w: torch.Tensor) -> torch.Tensor:
    """(S, P, K) a few steps of Algorithm 2 from given responsibilities: most of the way down
    NLL_V, for a hundredth of what the network's steps cost."""
    w = w.clamp_min(1e-6) * problem.batch.valid[..., None]
    w = w / w.sum(2, keepdim=True).clamp_min(1e-12)
    start = m_step(problem.batch, w, floor=1e-4)
    start.log_weights = w.clamp_min(torch.finfo(w.dtype).tiny).log()
    with few_threads(w.shape[0] * w.shape[1]):
        return fit_em(problem.batch, start, spatial=True, floor=1e-4, tolerance=0.0,
                      max_iterations=SETTLING_STEPS).posterior
