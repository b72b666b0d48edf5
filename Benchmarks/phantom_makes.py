"""Any method on phantoms of three makes: Dice, healthy hearts, and whether scar's interval holds.

    python Benchmarks/phantom_makes.py
    python Benchmarks/phantom_makes.py --methods auto,pretrained --patients 50 --makes own,third
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from common import (
    REPORTED_SEED,
    bars,
    in_processes,
    machine,
    mean_with_interval,
    number,
    parser_of,
    run,
    table,
)
from phantom_accuracy import score

SETS = ("typical", "atypical", "healthy")
#: The least mean Dice of the default on the library's own phantom, and the share, %, of its healthy
#: hearts with less than `FREE` % of the wall called diseased.
WANTED, FREE = {"typical": 0.86, "atypical": 0.82, "healthy": 90.0}, 1.0


def patient_of(make: str, seed: int, patient_set: str) -> Any:
    """One patient of a make: the library's, the second or the third."""
    if make == "own":
        from deepgmm.phantom import make_patient as maker
    elif make == "second":
        from other_phantom import make_other_patient as maker
    else:
        from third_phantom import make_third_patient as maker
    return maker(seed, patient_set=patient_set)


def measured(task: tuple[str, str, int, dict]) -> dict[str, float | None]:
    """The scores of `phantom_accuracy.score`, and whether scar's interval holds (0 or 1; None
    where no scar is there and none may be)."""
    from deepgmm import Settings, Tissue, segment

    make, patient_set, seed, settings = task
    patient = patient_of(make, seed, patient_set)
    result = segment(patient.study, Settings(**settings))
    low, high = result.volume_interval(Tissue.SCAR)
    true = int((patient.truth == Tissue.SCAR).sum()) * patient.study.geometry.voxel_volume
    asked = (true > 0 or high > 0) and np.isfinite(low)
    return score(result.labels, patient) | {
        "covered": float(low - 1e-9 <= true <= high + 1e-9) if asked else None}


def main() -> None:
    parser = parser_of(__doc__)
    add_options(parser)
    options = parser.parse_args()
    methods, makes = options.methods.split(","), options.makes.split(",")
    seeds = range(options.first_seed, options.first_seed + options.patients)
    tasks = [(make, name, seed, {**options.settings, "method": method}) for method in methods
             for make in makes for name in options.sets.split(",") for seed in seeds]
    began = time.perf_counter()
    found = iter(in_processes(measured, tasks, options.threads))
    rows, checks = [], []
    for method in methods:
        for make in makes:
            for name in options.sets.split(","):
                scores = [next(found) for _ in seeds]
                false = [(s["false EDEMA"] or 0.0) + (s["false SCAR"] or 0.0) for s in scores]
                held = [s["covered"] for s in scores if s["covered"] is not None]
                free = int(np.sum(np.array(false) < FREE))
                means = [s["all mean"] for s in scores]
                rows.append((method, make, name, mean_with_interval(means, 3),
                             *(number(mean_of(scores, t)) for t in
                               ("BLOOD", "MYOCARDIUM", "EDEMA", "SCAR")),
                             number(np.mean(false), 1), f"{free} of {len(scores)}",
                             f"{np.mean(held):.0%} of {len(held)}" if held else "-"))
                if method == "auto" and make == "own":
                    value = 100 * free / len(scores) if name == "healthy" else float(
                        np.mean([m for m in means if m is not None]))
                    words = "healthy under 1 % false, %" if name == "healthy" else "mean Dice"
                    checks.append((f"own phantom, {name}: {words}", f"at least {WANTED[name]:g}",
                                   number(value, 3), value >= WANTED[name]))
    print(f"{len(seeds)} patients a set, seeds {seeds[0]} to {seeds[-1]}, three sequences. Dice a "
          "slice, mean over a patient's slices, tissues and patients (95 % patient bootstrap); "
          "false disease in % of the wall; scar's 90 % interval where scar is there or may be. "
          f"{time.perf_counter() - began:.0f} s in all.")
    print(machine(options.threads) + "\n")
    print(table(("method", "make", "set", "mean Dice", "blood", "wall", "edema", "scar",
                 "false disease", f"under {FREE:g} %", "interval holds"), rows))
    if checks:
        print(bars(checks))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", default="auto,pretrained", help="comma-separated")
    parser.add_argument("--makes", default="own,second,third", help="comma-separated")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated")
    parser.add_argument("--patients", type=int, default=14, help="a set; 14 by default")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--settings", type=json.loads, default={},
                        help="further settings of all methods, as JSON")


def mean_of(scores: list[dict[str, float | None]], tissue: str) -> float | None:
    """Over patients, of a tissue's Dice."""
    values = [s[f"all {tissue}"] for s in scores]
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


if __name__ == "__main__":
    run(main)
