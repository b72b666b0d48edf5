"""The methods behind one interface: a `Problem` in, a `Fit` out.

`METHODS` names them; whoever adds a method adds a line there.
"""

from __future__ import annotations

from collections.abc import Callable

from deepgmm.methods.anchored import fit_map
from deepgmm.methods.mixtures import fit_gmm, fit_svgmm
from deepgmm.methods.networks import fit_deepg, fit_deepsvg
from deepgmm.methods.problem import Outcome, Problem, pack_outcome
from deepgmm.model.fit import Fit, Progress
from deepgmm.settings import Method

__all__ = ["METHODS", "Outcome", "Problem", "run_method"]

METHODS: dict[Method, Callable[[Problem, Progress], Fit]] = {
    Method.GMM: fit_gmm,
    Method.SVGMM: fit_svgmm,
    Method.MAP: fit_map,
    Method.DEEPG: fit_deepg,
    Method.DEEPSVG: fit_deepsvg,
}


def run_method(problem: Problem, progress: Progress) -> Outcome:
    """Run the method that the settings name."""
    name = problem.settings.method
    if name is Method.AUTO:
        name = Method.MAP
    return pack_outcome(problem, METHODS[name](problem, progress), name)
