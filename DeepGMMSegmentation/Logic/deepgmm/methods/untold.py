"""Edema that T2 does not show: said to be unsure, with an interval from nothing, and not painted.

A prior that knows how edema lies around a scar draws it also where T2 is flat or all noise.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deepgmm.identify.absence import APART, VISIBLE, above_free
from deepgmm.methods.problem import Problem
from deepgmm.study.words import Role, Tissue

BLIND = "T2 hardly tells blood from wall"
_WORDS = "edema cannot be told here"


def edema_held_back(problem: Problem, posterior: Tensor, said: dict[int, list[str]]) -> Tensor:
    """(S, P, K) the posterior with edema that T2 does not show given to healthy wall, where it was
    likelier; what is to be said of it is added."""
    wanted = {Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA}
    if not wanted <= set(problem.tissues) or Role.T2 not in problem.roles:
        return posterior
    result = posterior
    for index in range(len(problem.cases)):
        rows = problem.slices_of([index])
        notes = said.get(index, [])
        found = _found(problem, posterior, rows)
        if found is None:
            continue
        drawn, why = found
        if drawn:
            result = result.clone() if result is posterior else result
            columns = [problem.tissues.index(t) for t in (Tissue.EDEMA, Tissue.MYOCARDIUM)]
            everywhere = torch.ones_like(result[rows][..., 0], dtype=torch.bool)
            result[rows] = held_back(posterior[rows], columns[0], everywhere, columns[1])
        said[index] = [note for note in notes if not note.startswith("no edema")] + [
            f"{_WORDS}: {why}, so that none is drawn; look for it yourself"]
    return result


def _found(problem: Problem, posterior: Tensor, rows: Tensor) -> tuple[bool, str] | None:
    """Whether edema was drawn, and why that cannot be told; None where it can."""
    batch, ventricle = problem.batch, problem.ventricle
    labels = np.asarray(problem.tissues)[posterior[rows].argmax(2).cpu().numpy()]
    valid = batch.valid[rows].cpu().numpy() > 0
    values = batch.values[rows, :, problem.roles.index(Role.T2)].cpu().numpy()
    wall, edema = valid & (labels != Tissue.BLOOD), valid & (labels == Tissue.EDEMA)
    diseased = wall & (labels != Tissue.MYOCARDIUM)

    def apart(chosen: np.ndarray) -> float:
        return above_free(chosen, diseased, wall, values, ventricle.sector[rows].cpu().numpy(),
                          ventricle.sectors)
    if not edema.any():
        return (False, BLIND) if abs(apart(valid & ~wall)) < APART else None
    contrast = apart(edema)
    if not contrast < VISIBLE:
        return None
    share = edema.sum() / wall.sum()
    return True, (f"what looks like it covers {share:.0%} of the wall and is on T2 only "
                  f"{max(contrast, 0.0):.1f} standard deviations of the sectors without brighter "
                  f"than those (asked: {VISIBLE:g})")


def held_back(posterior: Tensor, column: int, where: Tensor,
              receiver: int | None = None) -> Tensor:
    """(S, P, K) posterior with one tissue no longer the likeliest where it must not be drawn.

    Parameters
    ----------
    column : of the tissue.
    where : (S, P) bool; other pixels stay as they are.
    receiver : column of the tissue that what is taken goes to, and that wins; by default the
        likeliest of the others.
    """
    rest = posterior.clone()
    rest[..., column] = -1.0
    to = rest.argmax(2, keepdim=True)
    if receiver is not None:
        to = torch.full_like(to, receiver)
    both = posterior[..., column, None] + posterior.gather(2, to)
    others = rest.scatter(2, to, -1.0).amax(2, keepdim=True)
    # a tie is no winner
    new = torch.maximum(both / 2, others) * (1 + 1e-6)
    changed = posterior.scatter(2, to, new)
    changed[..., column] = (both - new)[..., 0].clamp_min(0)
    held = where & (posterior.argmax(2) == column)
    changed = changed / changed.sum(2, keepdim=True).clamp_min(1e-12)
    return torch.where(held[..., None], changed, posterior)
