"""`map`: prior-anchored EM that knows the ventricle, and says which disease is not there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from deepgmm.identify.absence import (
    EDEMA_ALONE_LEAST,
    EDEMA_LEAST,
    SCAR_LEAST,
    Support,
    support,
)
from deepgmm.identify.anatomy import anchored_options
from deepgmm.methods.mixtures import fit_plain_map
from deepgmm.methods.problem import Problem
from deepgmm.methods.untold import edema_held_back
from deepgmm.model.anchored import AnchoredOptions, fit_anchored
from deepgmm.model.devices import few_threads
from deepgmm.model.fit import Fit
from deepgmm.progress import Progress
from deepgmm.settings import Papillary
from deepgmm.study.words import Role, Tissue

#: The sequence that shows a disease, and the tissues that are bright there with it.
SHOWN_BY = {Tissue.SCAR: (Role.LGE, (Tissue.SCAR,)),
            Tissue.EDEMA: (Role.T2, (Tissue.EDEMA, Tissue.SCAR))}

#: Fitted on phantom patients of seeds 100 to 115; see the calibration table.
TEMPERATURE = 2.0

#: A start that ends so much higher, nats a pixel, is no rival to the one kept.
RIVAL = 0.15

#: The diseases that data do not support: what was found of each, and what was asked.
Absent = dict[Tissue, tuple[Support, dict[str, float]]]


@dataclass(frozen=True)
class Terms:
    """The terms of the anchored fit, each of which can be switched off (for the ablation).

    Attributes
    ----------
    anchor : a start from the contrast priors moved to this patient's blood and outer wall.
    sectors : the states of the wall's sectors and their depth tables.
    field : the compatibility of neighbours.
    gain : a gain per slice.
    levels : levels of pool and wall in every slice, tied over slices.
    outer, inner : mixtures of wall with what lies outside the mask, and with blood, at the
        wall's borders.
    blends : mixtures of blood and muscle in the pool.
    outlier : the outlier density.
    gaps, reach : the least contrast of a disease, against healthy wall's spread and against blood.
    even : healthy wall and the other tissues are about as uneven as the priors say.
    across : the tie of wall and sectors between slices.
    absence : the test whether a disease is there at all.
    smooth : that test asks more than what smooth noise looks like by chance.
    """

    anchor: bool = True
    sectors: bool = True
    field: bool = True
    gain: bool = True
    levels: bool = True
    outer: bool = True
    inner: bool = True
    blends: bool = True
    outlier: bool = True
    gaps: bool = True
    reach: bool = True
    even: bool = True
    across: bool = True
    absence: bool = True
    smooth: bool = True

    def applied(self, options: AnchoredOptions) -> AnchoredOptions:
        """The options with the terms that are off taken out."""
        sectors = options.sectors if self.sectors else None
        wall = options.wall
        if not self.across:
            wall = replace(wall, across=0.0)
            sectors = None if sectors is None else replace(sectors, across=0.0)
        return replace(
            options, wall=wall, sectors=sectors,
            compatibility=options.compatibility if self.field else None,
            gain=options.gain if self.gain else None,
            levels=options.levels if self.levels else None,
            outer=options.outer if self.outer else None,
            inner=options.inner if self.inner else None, gaps=options.gaps if self.gaps else None,
            reach=options.reach if self.reach else None,
            papillary=options.papillary if self.blends else 1e-6,
            outlier=options.outlier if self.outlier else 0.0)


ALL_TERMS = Terms()


def fit_map(problem: Problem, progress: Progress, *, terms: Terms = ALL_TERMS) -> Fit:
    """Anchored EM; component k is tissue k throughout.

    A disease that a study's data do not support is taken out and the rest of it fitted again, so
    that an absent tissue is reported absent instead of painted.
    """
    if problem.tissues[:2] != (Tissue.BLOOD, Tissue.MYOCARDIUM):
        return fit_plain_map(problem, progress)
    said: dict[int, list[str]] = {}
    first, anchored, unsupported = _better_start(problem, progress, terms)
    rounds = [(problem.tissues, list(range(len(problem.cases))), first, unsupported)]
    done: list[tuple[torch.Tensor, Fit]] = []
    for sought, cases, fit, judgements in rounds:  # grows where a disease is found absent
        part = problem.select(cases).for_tissues(sought)
        kept: list[int] = []
        fewer: dict[tuple[Tissue, ...], list[int]] = {}
        for place, (case, absent) in enumerate(zip(cases, judgements, strict=True)):
            if absent:
                fewer.setdefault(tuple(t for t in sought if t not in absent), []).append(case)
                said.setdefault(case, []).extend(absence_note(t, *why) for t, why in absent.items())
            else:
                kept.append(place)
        for left, again in fewer.items():
            smaller = problem.select(again).for_tissues(left)
            refit = _fit(smaller, progress, terms, [anchored[case] for case in again])
            rounds.append((left, again, refit, _judgements(smaller, refit, terms)))
        if kept:
            done.append((problem.slices_of(cases[place] for place in kept),
                         widened(problem.select(cases[place] for place in kept),
                                 fit.select(part.slices_of(kept)), sought)))
    order = torch.cat([rows for rows, _ in done]).argsort()
    whole = Fit.joined([fit for _, fit in done], problem.batch.values.device).select(order)
    whole.posterior = tempered(whole.posterior, TEMPERATURE)
    if terms.absence:
        whole.posterior = edema_held_back(problem, whole.posterior, said)
    whole.of_study, whole.agreement = said, first.agreement
    return whole


def _better_start(problem: Problem, progress: Progress,
                  terms: Terms) -> tuple[Fit, list[bool], list[Absent]]:
    """Every case from two starts, and for each the fit with the lower objective.

    Where healthy wall is rare (scar all around) what is taken for it is disease, and the anchor
    leads astray; where it is common the anchor knows more than the table.

    Returns
    -------
    Fit, and for each case whether its anchored start was the better, and the diseases that its
    data do not support. `agreement` of the fit is the share of each slice's pixels that both
    starts give the same label, such diseases apart; 1 where the other start was no rival.
    """
    count = len(problem.cases)
    if not terms.anchor:
        fit = _fit(problem, progress, terms, [False] * count)
        return fit, [False] * count, _judgements(problem, fit, terms)
    both = problem.twice()
    fit = _fit(both, progress, terms, [True] * count + [False] * count)
    energy = np.array([fit.traces[int(both.slices_of([case])[0])][-1] for case in range(2 * count)])
    anchored = energy[:count] <= energy[count:]
    better = np.where(anchored, 0, count) + np.arange(count)
    rows = torch.cat([both.slices_of([case]) for case in better])
    labels, judgements = fit.posterior.argmax(2), _judgements(both, fit, terms)
    for case, unsupported in enumerate(judgements):
        own = both.slices_of([case])
        for absent in unsupported:  # what will not be in the result
            painted = labels[own] == both.tissues.index(absent)
            labels[own] = labels[own].masked_fill(painted, both.tissues.index(Tissue.MYOCARDIUM))
    first, second = labels.chunk(2)
    agreement = problem.batch.mean((first == second).to(problem.dtype))
    beaten = torch.as_tensor(np.abs(energy[:count] - energy[count:]) > RIVAL,
                             device=agreement.device)[problem.ventricle.study]
    agreement = torch.where(beaten, torch.ones_like(agreement), agreement)
    return (replace(fit.select(rows), agreement=agreement), anchored.tolist(),
            [judgements[case] for case in better])


def _fit(problem: Problem, progress: Progress, terms: Terms, anchored: list[bool]) -> Fit:
    options = terms.applied(
        anchored_options(problem.tissues, problem.roles, problem.device, problem.dtype))
    options.papillary_in_wall = problem.settings.papillary is Papillary.WALL
    prior = problem.anchored_prior(anchored)
    if not terms.even:
        prior = replace(prior, variance_strength=problem.prior().variance_strength)
    with few_threads(problem.batch.valid.numel()):
        return fit_anchored(problem.batch, problem.ventricle, prior, options, progress=progress)


def _judgements(problem: Problem, fit: Fit, terms: Terms) -> list[Absent]:
    """For each case, what the test of absence finds; nothing with the test off."""
    return [absent_tissues(problem, fit, case, smooth=terms.smooth) if terms.absence else {}
            for case in range(len(problem.cases))]


def absent_tissues(problem: Problem, fit: Fit, case: int, *, smooth: bool = True) -> Absent:
    """The diseases of one case that its data do not support, and what was asked of each.

    Parameters
    ----------
    smooth : whether smooth noise is reckoned with.
    """
    found = judged_diseases(problem, fit.posterior, case)
    scarred = Tissue.SCAR in found and found[Tissue.SCAR].suffices(SCAR_LEAST)
    least = {Tissue.SCAR: SCAR_LEAST, Tissue.EDEMA: EDEMA_LEAST if scarred else EDEMA_ALONE_LEAST}
    if not smooth:
        least = {tissue: asked | {"smooth": 0.0} for tissue, asked in least.items()}
    return {t: (s, least[t]) for t, s in found.items() if not s.suffices(least[t])}


def judged_diseases(problem: Problem, posterior: torch.Tensor, case: int) -> dict[Tissue, Support]:
    """What speaks for each disease that is sought in the posterior (S, P, K) of one case."""
    rows = problem.slices_of([case])
    batch, ventricle = problem.batch, problem.ventricle
    labels = np.asarray(problem.tissues)[posterior[rows].argmax(2).cpu().numpy()]
    wall = (batch.valid[rows].cpu().numpy() > 0) & (labels != Tissue.BLOOD)
    sector, sectors = ventricle.sector[rows].cpu().numpy(), ventricle.sectors
    found = {}
    for tissue in (t for t in problem.tissues if t in SHOWN_BY):
        role, bright = SHOWN_BY[tissue]
        column = problem.roles.index(role) if role in problem.roles else -1
        values = batch.values[rows, :, column].cpu().numpy()
        whole = support(np.isin(labels, bright), wall, values, sector, sectors)
        own = support(labels == tissue, wall, values, sector, sectors)
        found[tissue] = replace(whole, share=own.share)
    return found


def tempered(posterior: torch.Tensor, temperature: float) -> torch.Tensor:
    """(S, P, K) probabilities raised to 1 / temperature and normalised; no label changes.

    Neighbouring pixels share noise and partial volume, so their posteriors are surer than they
    have a right to be (Guo et al. 2017 for the method).
    """
    floor = 1e-9
    soft = torch.where(posterior > floor, posterior, 0.0) ** (1 / temperature)
    return soft / soft.sum(2, keepdim=True).clamp_min(floor)


def absence_note(tissue: Tissue, found: Support, least: dict[str, float]) -> str:
    """What a user is told of a disease that is reported absent."""
    text = (f"no {tissue.title.lower()} was found: what looked like it covers "
            f"{found.share:.1%} of the wall")
    if found.share < least["share"] or np.isnan(found.contrast):
        return f"{text} (asked: {least['share']:.0%})"
    plain = f", or {least['plain']:.0%} of the wall" if found.share < least["plain"] else ""
    return (f"{text} and stands out by {found.contrast:.1f} standard deviations of the sectors "
            f"without (asked: {found.asked(least):.1f}{plain}); look for it yourself")


def widened(problem: Problem, fit: Fit, sought: tuple[Tissue, ...]) -> Fit:
    """A fit of some tissues as one of all: the absent have weight 0 and the prior's contrast."""
    if sought == problem.tissues:
        return fit
    mixture = problem.anchored_prior([True] * len(problem.cases)).mixture(len(problem.cases))
    mixture = mixture.select(problem.ventricle.study)
    place = torch.tensor([problem.tissues.index(t) for t in sought], device=fit.nll.device)
    mixture.log_weights = torch.full_like(mixture.log_weights, -torch.inf)
    for name in ("log_weights", "means", "covariances"):
        getattr(mixture, name)[:, place] = getattr(fit.mixture, name)
    posterior = fit.posterior.new_zeros((*fit.posterior.shape[:2], len(problem.tissues)))
    posterior[..., place] = fit.posterior
    where = fit.place
    if where is not None:
        where = torch.zeros_like(posterior)
        where[..., place] = fit.place
    return replace(fit, mixture=mixture, posterior=posterior, place=where)
