"""What place is worth to free mixtures on real LGE, and what smoothness adds to it.

LGE alone does not tell pool from scar, so gmm, svgmm, deepg and deepsvg name them by chance. Here
their mixing weights are held by where `map` finds pool, wall and diseased sectors
(`methods/placed.py`); deepsvg also with total variation, which phantoms spoke
against.

    python Benchmarks/real_lge_place.py
    python Benchmarks/real_lge_place.py --rows "gmm,no place;gmm" --patients 4
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from common import in_processes, machine, parser_of, run, table
from real_lge import DATA, HEADING, measured, patients_in, row

from deepgmm.methods.placed import WEIGHT

#: Rows: method, whether the true wall is given, further settings.
ROWS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "gmm, no place": ("gmm", False, {"place": 0.0}),
    "svgmm, no place": ("svgmm", False, {"place": 0.0}),
    **{f"{method}{words}": (method, walled, {})
       for method in ("gmm", "svgmm", "deepg", "deepsvg")
       for walled, words in ((False, ""), (True, ", true wall given"))},
    "deepsvg, total variation 1": ("deepsvg", False, {"total_variation": 1.0})}


def chose(names: list[str]) -> set[str]:
    """The patients on whom the weight was chosen: every fourth, ill and healthy."""
    return {name for letter in "PN"
            for name in [n for n in names if n.startswith(f"Case_{letter}")][::4]}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", default=";".join(ROWS), help="separated by ;")
    parser.add_argument("--patients", type=int, help="only the first so many")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.patients]
    if not names:
        print("Not measured: no `*_lge.nii.gz` in the data folder; give it with --data.\n")
        return
    began, lines = time.perf_counter(), []
    rows = options.rows.split(";")
    tasks = [(options.data, name, method, walled, more)
             for method, walled, more in (ROWS[called] for called in rows) for name in names]
    found = in_processes(measured, tasks, options.threads)
    choosers = chose(names)
    for i, called in enumerate(rows):
        scores = found[i * len(names):(i + 1) * len(names)]
        lines.append(row(called, scores))
        others = [s for s in scores if s.patient not in choosers]
        if not called.endswith("no place") and len(others) > 2:
            lines.append(row(f"{called}: the {len(others)} others", others))
    print(f"{len(names)} patients of EMIDEC (CC BY-NC-SA 4.0), LGE alone, the LV mask from the "
          "experts' contours; no truth in any fit but for the rows that are given the wall. Place "
          f"prior of weight {WEIGHT:g}, chosen on {len(choosers)} of them (scar Dice, mask given); "
          "below each row that of the others. Labelled cases: none but those of the contrast "
          f"priors. {time.perf_counter() - began:.0f} s.")
    print(machine(options.threads) + "\n")
    print(table(HEADING, lines))


if __name__ == "__main__":
    run(main)
