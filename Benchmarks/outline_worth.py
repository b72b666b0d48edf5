"""What an outline is worth: the default method inside the experts', a proposed, a wrong LV mask.

Needs the folder that `real_lge.py` needs; LGE alone, no truth in any fit but the outline of the
first row and of slices that are said to be drawn. The experts' mask is moved out or in by shares of
a pixel, on every slice alike; of a proposal some slices are the experts', and the others follow.

    python Benchmarks/outline_worth.py
    python Benchmarks/outline_worth.py --rows proposed,drawn:3
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
from deepgmm.study.study import Study

#: Pixels by which the experts' outline is moved; `PROPOSED`; or the proposed one of which every
#: so manieth slice is drawn.
PROPOSED, DRAWN = "proposed", "drawn:"
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


def outline(study: Study, row: str) -> npt.NDArray[np.bool_]:
    """The LV mask of one row, from the experts' and the images."""
    if row == PROPOSED:
        return propose_mask(study).mask
    if row.startswith(DRAWN):
        every = int(row.removeprefix(DRAWN))
        there = np.flatnonzero(study.mask.any((1, 2)))
        drawn = {int(i): study.mask[i] for i in there[every // 2::every]}
        return propose_mask(study, fixed=drawn).mask
    return study.mask if float(row) == 0 else moved(study.mask, float(row))


def words(row: str) -> str:
    if row == PROPOSED:
        return row
    if row.startswith(DRAWN):
        return f"proposed, one slice in {row.removeprefix(DRAWN)} drawn"
    by = float(row)
    return ("the experts'" if by == 0 else
            f"{abs(by):g} pixels too {'large' if by > 0 else 'small'}")


def measured(folder: Path, task: tuple[str, str]) -> Score:
    """One patient, inside one outline."""
    name, row = task
    study, truth = read_patient(folder, name)
    mask = outline(study, row)
    result = segment(replace(study, mask=mask), Settings())
    return score(name, result.labels, truth, result)


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
    rows = []
    for k, by in enumerate(asked):
        found = summary(scores[k * len(names):(k + 1) * len(names)])
        rows.append((words(by), *(number(found[key], digits) for key, digits in (
            ("blood", 3), ("wall", 3), ("scar", 2), ("false", 1), ("free", 0), ("missed", 0),
            ("r", 2), ("limits", 0)))))
    print(machine(options.threads) + "\n")
    print(table(("outline", "blood Dice", "wall Dice", "scar Dice", "false scar, %",
                 "under 1 %, %", "missed, %", "extent, r", "±"), rows))


if __name__ == "__main__":
    run(main)
