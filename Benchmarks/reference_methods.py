"""Reference methods on real LGE, inside the experts' wall and inside ours: the table of papers.

Needs the EMIDEC patients of `real_lge.py`. Every n-SD, FWHM, Otsu and two-component mixture of the
library inside the experts' wall and inside the wall that the default finds; remote wall found
without truth, and, in rows of their own, the experts' healthy wall. Dice of the volume over
patients with infarct, extent in % of the wall, and its bias and limits of agreement (Bland and
Altman). Only means are printed: nothing of a single patient.

    python Benchmarks/reference_methods.py
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import in_processes, machine, mean_with_interval, number, parser_of, run, table
from real_lge import DATA, patients_in, read_patient, wall_of

from deepgmm import Settings, Tissue, segment
from deepgmm.review.metrics import dice
from deepgmm.review.statistics import bland_altman
from deepgmm.review.thresholds import ON_LGE, references
from deepgmm.study.study import Study
from deepgmm.study.words import Role

#: Walls and what is remote in them, in the order of the table.
WALLS = ("experts' wall", "experts' wall, their healthy wall as remote", "our wall")
OURS = "default (auto)"


@dataclass
class Found:
    """One patient by one method: Dice (None without infarct), extents in % of the wall used."""

    dice: float | None
    extent: float
    experts: float
    refused: int


def of_patient(task: tuple[Path, str]) -> dict[tuple[str, str], Found]:
    """Every method inside every wall; by wall and name."""
    folder, name = task
    study, truth = read_patient(folder, name)
    found: dict[tuple[str, str], Found] = {}
    true_wall, pool = wall_of(truth), truth == Tissue.BLOOD
    for called, remote in ((WALLS[0], None), (WALLS[1], truth == Tissue.MYOCARDIUM)):
        found |= _by_references(called, study, true_wall, pool, truth, remote)
    labels = segment(study, Settings()).labels
    found |= _by_references(WALLS[2], study, wall_of(labels), labels == Tissue.BLOOD, truth, None)
    found[WALLS[2], OURS] = _compared(labels == Tissue.SCAR, wall_of(labels), truth, 0)
    return found


def _by_references(called: str, study: Study, wall: npt.NDArray[np.bool_],
                   pool: npt.NDArray[np.bool_], truth: npt.NDArray[np.uint8],
                   remote: npt.NDArray[np.bool_] | None) -> dict[tuple[str, str], Found]:
    spacing = study.geometry.spacing[1::-1]
    lge = {Role.LGE: study.sequences[Role.LGE]}
    return {(called, r.name): _compared(r.bright, wall, truth, len(r.refused))
            for r in references(lge, wall, pool, spacing, remote=remote)}


def _compared(bright: npt.NDArray[np.bool_], wall: npt.NDArray[np.bool_],
              truth: npt.NDArray[np.uint8], refused: int) -> Found:
    scar, true_wall = truth == Tissue.SCAR, wall_of(truth)
    return Found(dice(bright, scar) if scar.any() else None,
                 100.0 * int(bright.sum()) / max(int(wall.sum()), 1),
                 100.0 * int(scar.sum()) / int(true_wall.sum()), refused)


def rows_of(patients: list[dict[tuple[str, str], Found]]) -> list[tuple[str, ...]]:
    rows = []
    for called in WALLS:
        for name in (*ON_LGE, OURS):
            if (called, name) not in patients[0]:
                continue
            mine = [p[called, name] for p in patients]
            agreement = bland_altman([f.extent for f in mine], [f.experts for f in mine])
            low, high = number(agreement.low, 1), number(agreement.high, 1)
            well = [f.extent for f in mine if f.dice is None]
            rows.append((f"{name}, {called}",
                         mean_with_interval([f.dice for f in mine if f.dice is not None]),
                         mean_with_interval([f.extent for f in mine], 1),
                         number(float(np.mean(well)) if well else None, 1),
                         number(agreement.bias, 1), f"{low} to {high}",
                         str(sum(f.refused for f in mine))))
    experts = [next(iter(p.values())).experts for p in patients]
    return [*rows, ("experts", "1.00", mean_with_interval(experts, 1), "0.0", "0.0", "-", "0")]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--patients", type=int, help="only the first so many")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.patients]
    if not names:
        print("Not measured: no `*_lge.nii.gz` in the data folder; give it with --data.\n")
        return
    began = time.perf_counter()
    patients = in_processes(of_patient, [(options.data, name) for name in names], options.threads)
    ill = sum(next(iter(p.values())).dice is not None for p in patients)
    print(f"{len(names)} patients of EMIDEC (CC BY-NC-SA 4.0), PSIR, {ill} with infarct; the LV "
          "mask is the experts'. Infarct and no-reflow together. Remote wall is the darkest 72 "
          "degrees of each slice's wall, found without truth, except where it says otherwise; "
          "FWHM from the remote mean, for PSIR has no zero of no signal. Means over patients (95 % "
          "patient bootstrap); extent in % of the wall used; bias and limits of agreement of the "
          f"extent in points. {time.perf_counter() - began:.0f} s.")
    print(machine(options.threads) + "\n")
    print(table(("method, wall", "Dice (with infarct)", "extent, % of the wall",
                 "extent in healthy hearts", "bias", "limits of agreement", "slices refused"),
                rows_of(patients)))


if __name__ == "__main__":
    run(main)
