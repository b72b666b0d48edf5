"""The constants of `map` that were chosen on real LGE, scored on patients that did not choose them.

Each constant is chosen on four fifths of the patients and scored on the fifth, five times over; the
others stay as shipped. Data and licence as for real_lge.py.

    python Benchmarks/real_lge_map_folds.py
    python Benchmarks/real_lge_map_folds.py --constants evidence --wall
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common import in_processes, number, parser_of, run, table
from real_lge import DATA, Score, patients_in, read_patient, score, summary, wall_of

from deepgmm import Settings, Tissue, segment
from deepgmm import result as results
from deepgmm.identify import absence, anatomy
from deepgmm.methods import problem
from deepgmm.study.words import Role

FOLDS = 5
#: What one per cent of a healthy wall called scar costs, in Dice.
COST = 0.02
#: The interval of the scar's volume is to hold the experts' in at least this share.
HELD = 85.0


def _reach(value: float) -> None:
    anatomy.REACH[Tissue.SCAR, Role.LGE] = value


def _spread(value: float) -> None:
    problem.ANCHORED_SPREAD = value


def _apart(value: float) -> None:
    results.SCAR_APART = {"found": value, "given": value}


#: A constant's name: how it is set, its value as shipped, and what it is chosen from.
CONSTANTS: dict[str, tuple[Callable[[float], object], float, tuple[float, ...]]] = {
    "evidence": (lambda v: absence.SCAR_LEAST.update(evidence=v), absence.SCAR_LEAST["evidence"],
                 (0.0, 0.06, 0.1, 0.15, 0.2)),
    "plain": (lambda v: absence.SCAR_LEAST.update(plain=v), absence.SCAR_LEAST["plain"],
              (0.1, 0.15, 0.2)),
    "reach": (_reach, anatomy.REACH[Tissue.SCAR, Role.LGE], (0.0, 0.6, 0.75)),
    "spread": (_spread, problem.ANCHORED_SPREAD, (0.05, 0.3, 1.0)),
    "apart": (_apart, 0.0, (0.0, 0.2, 0.3, 0.45, 0.6))}


def measured(task: tuple[Path, str, bool, str, float]) -> Score:
    """One patient with one constant at one value."""
    folder, name, walled, constant, value = task
    study, truth = read_patient(folder, name)
    if walled:
        study = replace(study, wall=wall_of(truth))
    put, shipped, _ = CONSTANTS[constant]
    kept = dict(results.SCAR_APART)
    put(value)
    try:
        result = segment(study, Settings(method="map"))
        return score(name, result.labels, truth, result)
    finally:
        put(shipped)
        results.SCAR_APART = kept


def gain(constant: str, value: float, scores: list[Score]) -> float:
    """What a constant is chosen by, the more the better."""
    s = summary(scores)
    if constant == "apart":  # the narrowest interval that holds enough
        return -value if (s["covered"] or 0.0) >= HELD else (s["covered"] or 0.0) - 1e3
    return (s["scar"] or 0.0) - COST * (s["false"] or 0.0)


def folded(constant: str, by_value: dict[float, list[Score]]) -> tuple[list[float], list[Score]]:
    """The value that each fold's other patients choose, and every patient's score under it."""
    count = len(next(iter(by_value.values())))
    chosen, out = [], []
    for fold in range(FOLDS):
        value = max(by_value, key=lambda v, f=fold: gain(
            constant, v, [s for i, s in enumerate(by_value[v]) if i % FOLDS != f]))
        chosen.append(value)
        out += [by_value[value][i] for i in range(fold, count, FOLDS)]
    return chosen, out


def row(constant: str, by_value: dict[float, list[Score]]) -> tuple[str, ...]:
    chosen, scores = folded(constant, by_value)
    s = summary(scores)
    return (constant, ", ".join(f"{v:g}" for v in chosen), number(s["scar"], 3),
            number(s["false"], 1), number(s["free"], 0), number(s["missed"], 0), number(s["r"]),
            number(s["covered"], 0))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--constants", default=",".join(CONSTANTS), help="comma-separated")
    parser.add_argument("--wall", action="store_true", help="with the experts' wall given")
    options = parser.parse_args()
    names = patients_in(options.data)
    if not names:
        print("Not measured: no `*_lge.nii.gz` in the data folder; give it with --data.")
        return
    # healthy and ill patients in every fold alike: names are sorted by kind
    rows = []
    for constant in options.constants.split(","):
        values = CONSTANTS[constant][2]
        found = in_processes(measured, [(options.data, name, options.wall, constant, v)
                                        for v in values for name in names], options.threads)
        by_value = {v: found[i * len(names):(i + 1) * len(names)] for i, v in enumerate(values)}
        rows.append(row(constant, by_value))
    print(f"{len(names)} patients, {FOLDS} folds, {'wall' if options.wall else 'mask'} given. "
          f"Chosen by scar Dice less {COST:g} for each per cent of healthy wall called scar; the "
          f"interval's width as the least that holds {HELD:g} %.\n")
    print(table(("constant", "chosen by the five folds", "scar Dice", "healthy: false %",
                 "under 1 %", "ill called free %", "extent: r", "interval holds %"), rows))


if __name__ == "__main__":
    run(main)
