"""Where tissues are to be expected, for mixtures that are free otherwise.

LGE alone does not tell pool from scar: both are bright. Where there is no bSSFP, which does, the
mixing weights of gmm, svgmm, deepg and deepsvg are held by where `map` finds pool, wall and
diseased sectors; means and covariances stay free.
"""

from __future__ import annotations

from collections.abc import Callable

from deepgmm.methods.anchored import absence_note, absent_tissues, fit_map
from deepgmm.methods.mixtures import fit_gmm
from deepgmm.methods.problem import Problem
from deepgmm.model.fit import Fit
from deepgmm.model.place import Place
from deepgmm.progress import Progress, share_of
from deepgmm.settings import Preset
from deepgmm.study.words import Role, Tissue

#: Weight of the place prior; chosen on eight of 29 real patients. Heavier ones did a little better
#: still: where a pixel lies tells more than what it holds.
WEIGHT = 4.0


def wants_place(problem: Problem, weight: float) -> bool:
    """Whether intensities alone would leave pool and scar to chance."""
    sought = {Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.SCAR} <= set(problem.tissues)
    return (weight > 0 and sought and problem.settings.preset is not Preset.PAPER
            and Role.LGE in problem.roles and Role.BSSFP not in problem.roles)


def held_by_place(problem: Problem, progress: Progress, weight: float,
                  fit: Callable[[Fit, Place], Fit]) -> Fit:
    """A free fit under the place that `map` tells; a disease that it does not support is ruled out,
    and the fit made again.

    Parameters
    ----------
    fit : from what `map` found, and the place prior.
    """
    warm = fit_map(problem, progress)
    assert warm.place is not None  # blood and myocardium are sought
    shares, said = warm.place.clone(), warm.of_study
    found = fit(warm, Place(shares, weight))
    again = False
    for case in range(len(problem.cases)):
        rows = problem.slices_of([case])
        for tissue, why in absent_tissues(problem, found, case).items():
            column = problem.tissues.index(tissue)
            if bool((shares[rows, :, column] > 0).any()):
                shares[rows, :, column] = 0
                said.setdefault(case, []).append(absence_note(tissue, *why))
                again = True
    if again:
        shares = shares / shares.sum(2, keepdim=True).clamp_min(1e-12)
        found = fit(warm, Place(shares, weight))
    found.of_study = said
    return found


def fit_placed_gmm(problem: Problem, progress: Progress, *, spatial: bool = False,
                   weight: float = WEIGHT) -> Fit:
    """Algorithm 1 or 2; from several starts, or from `map` where the place prior is wanted."""
    if not wants_place(problem, weight):
        return fit_gmm(problem, progress, spatial=spatial)

    def under(warm: Fit, place: Place) -> Fit:
        return fit_gmm(problem, share_of(progress, 0.5, 0.5), spatial=spatial, place=place,
                       start=warm.posterior)
    return held_by_place(problem, share_of(progress, 0.0, 0.5), weight, under)


def fit_placed_svgmm(problem: Problem, progress: Progress, *, weight: float = WEIGHT) -> Fit:
    """Algorithm 2, likewise."""
    return fit_placed_gmm(problem, progress, spatial=True, weight=weight)
