"""What an outline is worth: the default method inside the experts', a proposed, a wrong LV mask.

Needs the folder that `real_lge.py` needs; LGE alone, no truth in any fit but the outline of the
first row and of slices that are said to be drawn. The experts' mask is moved out or in by shares of
a pixel, on every slice alike; of a proposal some slices are the experts', and the others follow.

    python Benchmarks/outline_worth.py
    python Benchmarks/outline_worth.py --rows proposed,drawn:3

Then whether the intervals of blood and myocardium hold inside the proposal, with what its outline
adds to them (`result.py: OUTLINE_MM`) chosen on the other patients of five folds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import in_processes, machine, number, parser_of, run, table
from real_lge import DATA, Score, patients_in, read_patient, score, summary

from deepgmm import Settings, segment
from deepgmm.propose.proposal import propose_mask
from deepgmm.result import OUTLINE_MM
from deepgmm.study.study import Study
from deepgmm.study.words import Tissue

#: Pixels by which the experts' outline is moved; `PROPOSED`; or the proposed one of which every
#: so manieth slice is drawn.
PROPOSED, DRAWN = "proposed", "drawn:"
HELD = 0.9
ROWS = ("0", PROPOSED, "drawn:4", "drawn:3", "drawn:2", "-2", "-1", "-0.5", "0.5", "1", "2")


def moved(mask: npt.NDArray[np.bool_], by: float, fine: int = 8) -> npt.NDArray[np.bool_]:
    """The mask with its outline so many pixels farther out; slices without mask stay so.

    Pixels are cut into `fine` a side and their staircase is smoothed first; those that lie inside
    by half and more are inside.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    out = mask.copy()
    for i in np.flatnonzero(mask.any((1, 2))):
        inside = gaussian_filter(np.kron(mask[i], np.ones((fine, fine))), 0.75 * fine) > 0.5
        away = np.where(inside, 0.5 - distance_transform_edt(inside),
                        distance_transform_edt(~inside) - 0.5) / fine
        rows, columns = mask[i].shape
        share = (away < by).reshape(rows, fine, columns, fine).mean((1, 3))
        out[i] = share >= 0.5
    return out


def outline(study: Study, row: str) -> Study:
    """The study with the LV mask of one row, from the experts' and the images."""
    if row == PROPOSED or row.startswith(DRAWN):
        found = propose_mask(study, fixed=_drawn(study, row))
        return replace(study, mask=found.mask, provenance={"mask_proposal": found.provenance})
    return study if float(row) == 0 else replace(study, mask=moved(study.mask, float(row)))


def _drawn(study: Study, row: str) -> dict[int, npt.NDArray[np.bool_]]:
    """The slices that are the experts'."""
    if row == PROPOSED:
        return {}
    every = int(row.removeprefix(DRAWN))
    there = np.flatnonzero(study.mask.any((1, 2)))
    return {int(i): study.mask[i] for i in there[every // 2::every]}


def words(row: str) -> str:
    if row == PROPOSED:
        return row
    if row.startswith(DRAWN):
        return f"proposed, one slice in {row.removeprefix(DRAWN)} drawn"
    by = float(row)
    return ("the experts'" if by == 0 else
            f"{abs(by):g} pixels too {'large' if by > 0 else 'small'}")


Volumes = dict[Tissue, tuple[float, float, float, float]]


def measured(folder: Path, task: tuple[str, str]) -> tuple[Score, Volumes]:
    """One patient, inside one outline; and of each tissue the true and the expected volume, half
    its interval without what the outline adds, and what one mm of that is, ml."""
    name, row = task
    study, truth = read_patient(folder, name)
    result = segment(outline(study, row), Settings())
    bare = replace(result, provenance=result.provenance | {"mask_proposal": {}})
    volumes = {}
    for tissue in OUTLINE_MM:
        low, high = bare.volume_interval(tissue)
        voxel = study.geometry.voxel_volume
        expected = float(result.posterior[:, result.tissues.index(tissue)].sum()) * voxel
        volumes[tissue] = (float((truth == tissue).sum()) * voxel, expected, (high - low) / 2,
                           1.645 * result.proposed_border(tissue) * study.geometry.spacing[2] / 1e3)
    return score(name, result.labels, truth, result), volumes


def holds(volumes: np.ndarray, more: float) -> npt.NDArray[np.bool_]:
    """Of (patients, 4) volumes, whether intervals so many mm of outline wider hold."""
    true, expected, half, one = volumes.T
    return np.abs(true - expected) <= np.hypot(half, more * one)


def by_folds(volumes: np.ndarray, folds: int = 5) -> tuple[list[float], float]:
    """What each fold's others choose, and the share held of patients who did not choose."""
    which, steps = np.arange(len(volumes)) % folds, np.arange(0.0, 4.0, 0.05)
    chosen, held = [], []
    for fold in range(folds):
        others, own = volumes[which != fold], volumes[which == fold]
        chosen.append(float(next(c for c in steps if holds(others, c).mean() >= HELD)))
        held += holds(own, chosen[-1]).tolist()
    return chosen, float(np.mean(held))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated")
    options = parser.parse_args()
    asked = options.rows.split(",")
    names = patients_in(options.data)
    if not names:
        print(f"no patients of EMIDEC in {options.data.name}: nothing is measured")
        return
    tasks = [(name, by) for by in asked for name in names]
    scores = in_processes(partial(measured, options.data), tasks, options.threads)
    rows, intervals = [], []
    for k, by in enumerate(asked):
        own = scores[k * len(names):(k + 1) * len(names)]
        found = summary([one for one, _ in own])
        if by == PROPOSED and len(names) > 5:
            for tissue, more in OUTLINE_MM.items():
                volumes = np.array([v[tissue] for _, v in own])
                chosen, held = by_folds(volumes)
                intervals.append((tissue.title, *(f"{holds(volumes, c).mean():.0%}"
                                                  for c in (0.0, more)),
                                  ", ".join(f"{c:.2f}" for c in chosen), f"{held:.0%}"))
        rows.append((words(by), *(number(found[key], digits) for key, digits in (
            ("blood", 3), ("wall", 3), ("scar", 2), ("false", 1), ("free", 0), ("missed", 0),
            ("r", 2), ("limits", 0)))))
    print(machine(options.threads) + "\n")
    print(table(("outline", "blood Dice", "wall Dice", "scar Dice", "false scar, %",
                 "under 1 %, %", "missed, %", "extent, r", "±"), rows))
    if intervals:
        print(table(("90 % interval inside the proposal", "holds, as if drawn", "as it is",
                     "mm chosen in five folds", "holds by these"), intervals))


if __name__ == "__main__":
    run(main)
