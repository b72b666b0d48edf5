"""Methods with a network: deepG and deepSVG, corrected from the anchored fit or as published."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from deepgmm.methods.anchored import Terms, fit_map
from deepgmm.methods.memory import within_memory
from deepgmm.methods.paper import fit_paper
from deepgmm.methods.placed import WEIGHT, held_by_place, wants_place
from deepgmm.methods.problem import Problem
from deepgmm.model.batch import PixelBatch
from deepgmm.model.deep import DeepOptions, fit_deep
from deepgmm.model.devices import few_threads
from deepgmm.model.em import fit_em
from deepgmm.model.fit import Fit
from deepgmm.model.mixture import m_step, pixel_weights
from deepgmm.model.place import Place
from deepgmm.model.unet import UNetShape
from deepgmm.progress import Progress, share_of
from deepgmm.settings import Preset


def fit_deepg(problem: Problem, progress: Progress, *, weight: float = WEIGHT) -> Fit:
    """Algorithm 3 with one set of mixing weights an image; labels from the posterior."""
    return fit_network(problem, progress, spatial=False, weight=weight)


def fit_deepsvg(problem: Problem, progress: Progress, *, weight: float = WEIGHT) -> Fit:
    """Algorithm 3 with the network's output as every pixel's mixing weights."""
    return fit_network(problem, progress, spatial=True, weight=weight)


@dataclass(frozen=True)
class Plan:
    """What a preset spends on its networks.

    Attributes
    ----------
    shape, learning_rate, patience : see `DeepOptions`.
    rounds : steps of Algorithm 2 and of the network after them, in turn. Algorithm 2 descends
        NLL_V for a hundredth of the network's cost and moves pixels whose w has saturated,
        which no gradient does; the network leaves the optimum that Algorithm 2 is caught in.
    steps : of the network where the objective is another than NLL_V: deepG, or a regulariser.
    """

    shape: UNetShape
    learning_rate: float
    patience: int
    rounds: tuple[tuple[int, int], ...]
    steps: int


FAST_SHAPE = UNetShape(filters=8, levels=2, convolutions=1)
ACCURATE_SHAPE = UNetShape(filters=16, levels=2, convolutions=1)
PLANS = {
    Preset.FAST: Plan(FAST_SHAPE, 3e-2, 10, ((3, 40), (20, 20)), 80),
    Preset.ACCURATE: Plan(ACCURATE_SHAPE, 6e-2, 20, ((3, 60), (5, 60), (20, 40)), 200),
}

#: The networks' densities know no levels of slices, nor what lies beyond a border: a start that has
#: such terms they only leave. Where the place prior holds them, it is told with all terms.
START = Terms(levels=False, outer=False, inner=False, reach=False, even=False)


def fit_network(problem: Problem, progress: Progress, *, spatial: bool,
                weight: float = WEIGHT) -> Fit:
    """Algorithm 3. Outside the `paper` preset the network corrects the `map` solution, so that
    tens of steps suffice and the components keep their names."""
    s = problem.settings
    if s.preset is Preset.PAPER:
        return fit_paper(problem, progress, spatial=spatial)
    early, late = share_of(progress, 0.0, 0.3), share_of(progress, 0.3, 0.7)
    if not wants_place(problem, weight):
        return _descended(problem, fit_map(problem, early, terms=START), None, spatial, late)
    return held_by_place(problem, early, weight, lambda warm, place: _descended(
        problem, warm, place, spatial, late))


def _descended(problem: Problem, warm: Fit, place: Place | None, spatial: bool,
               progress: Progress) -> Fit:
    """Algorithm 2 and the networks in turn, from a warm start."""
    s = problem.settings
    plan = PLANS[s.preset]
    options = DeepOptions(
        spatial=spatial, shape=plan.shape, learning_rate=plan.learning_rate,
        patience=plan.patience, mean_weight=s.mean_weight, variation_weight=s.total_variation)
    likelihood_alone = spatial and not (s.mean_weight or s.total_variation)
    rounds = plan.rounds
    if not likelihood_alone:
        rounds = ((plan.rounds[0][0] if spatial else 0, plan.steps),)
    present = _present(problem, warm) if place is None else place.shares > 0
    w, fits = warm.posterior, list[Fit]()
    for number, (settling, steps) in enumerate(rounds):
        w = settled(problem, w, present, settling, place)
        fit = _corrected(problem, w, present, replace(options, steps=steps), place,
                         share_of(progress, number / len(rounds), 1 / len(rounds)))
        assert fit.responsibilities is not None  # a network has them
        w = fit.responsibilities
        fits.append(fit)
    return _one_after_the_other(warm, fits)


def _present(problem: Problem, warm: Fit) -> torch.Tensor:
    """(S, 1, K) whether the warm start found a tissue in a slice's study; what it found absent
    stays absent."""
    present = torch.zeros_like(warm.posterior[:, :1], dtype=torch.bool)
    for case in range(len(problem.cases)):
        rows = problem.slices_of([case])
        present[rows] = warm.posterior[rows].sum((0, 1)) > 0
    return present


def _corrected(problem: Problem, w: torch.Tensor, present: torch.Tensor, options: DeepOptions,
               place: Place | None, progress: Progress) -> Fit:
    """Networks that correct given responsibilities (S, P, K)."""
    logits = torch.where(present, w.clamp_min(1e-6).log(), -50.0).to(torch.float32)
    target = problem.prior().means.to(torch.float32)

    def run(batch: PixelBatch, index: torch.Tensor) -> Fit:
        device, rows = batch.values.device, index.to(logits.device)
        with few_threads(batch.valid.numel()):
            return fit_deep(
                batch, len(problem.tissues), replace(options, mixed=device.type == "cuda"),
                start_logits=logits[rows].to(device),
                place=None if place is None else place.select(rows),
                mean_target=target.to(device), seed=problem.settings.seed, progress=progress)
    return within_memory(problem.batch.to(torch.float32), run)


def settled(problem: Problem, w: torch.Tensor, present: torch.Tensor, steps: int,
            place: Place | None = None) -> torch.Tensor:
    """(S, P, K) a few steps of Algorithm 2 from given responsibilities."""
    if steps == 0:
        return w
    w = w.to(problem.dtype).clamp_min(1e-6) * present * problem.batch.valid[..., None]
    w = w / w.sum(2, keepdim=True).clamp_min(1e-12)
    start = m_step(problem.batch, w, floor=1e-4)
    start.log_weights = pixel_weights(w)
    with few_threads(problem.batch.valid.numel()):
        return fit_em(problem.batch, start, spatial=True, place=place, floor=1e-4, tolerance=0.0,
                      max_iterations=steps).posterior


def _one_after_the_other(warm: Fit, networks: list[Fit]) -> Fit:
    """The last fit, with the networks' steps and traces of all rounds and every warning once."""
    return replace(
        networks[-1],
        traces=[sum(each, []) for each in zip(*(f.traces for f in networks), strict=True)],
        iterations=torch.stack([f.iterations for f in networks]).sum(0),
        warnings=list(dict.fromkeys(w for f in (warm, *networks) for w in f.warnings)),
        of_study=warm.of_study)
