"""The methods behind one interface: a `Problem` in, a `Fit` out.

`METHODS` names them; whoever adds a method adds a line there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from deepgmm.acting import method_run
from deepgmm.methods.anchored import fit_map
from deepgmm.methods.bias import without_shading
from deepgmm.methods.networks import fit_deepg, fit_deepsvg
from deepgmm.methods.placed import fit_placed_gmm, fit_placed_svgmm
from deepgmm.methods.pretrained import fit_pretrained
from deepgmm.methods.problem import Case, Outcome, Problem, pack_outcomes
from deepgmm.model.fit import Fit
from deepgmm.progress import Progress
from deepgmm.settings import Method

__all__ = ["METHODS", "Case", "Outcome", "Problem", "run_method"]

METHODS: dict[Method, Callable[[Problem, Progress], Fit]] = {
    Method.GMM: fit_placed_gmm,
    Method.SVGMM: fit_placed_svgmm,
    Method.MAP: fit_map,
    Method.DEEPG: fit_deepg,
    Method.DEEPSVG: fit_deepsvg,
    Method.PRETRAINED: fit_pretrained,
}


def run_method(cases: Sequence[Case], progress: Progress) -> Iterator[Outcome]:
    """Run the method that the settings name on cases that are alike (`Case.alike`), together.

    Any shading is taken out of each first, where the settings ask for it. The fit is made at
    once; the outcomes, one a case, when they are asked for.
    """
    name = method_run(cases[0].settings, cases[0].study.roles)
    clear = [without_shading(case) for case in cases]
    problem = Problem(tuple(c.case for c in clear))
    fit = METHODS[name](problem, progress)

    def outcomes() -> Iterator[Outcome]:
        for outcome, c in zip(pack_outcomes(problem, fit, name), clear, strict=True):
            outcome.warnings[:0], outcome.bias_field = c.warnings, c.notes
            yield outcome
    return outcomes()
