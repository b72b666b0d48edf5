"""What was chosen on real patients, scored on others: how scar's islands are judged.

`LIKELY` and `SURE` of `identify/islands.py` were chosen looking at the patients of `real_lge.py`.
Here they are chosen on four fifths of the patients, by the rule `gain`, and scored on the last,
five times; beside that stands the row of the values that ship.

    python Benchmarks/real_lge_folds.py
"""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from common import in_processes, machine, parser_of, run, table
from real_lge import DATA, HEADING, Score, measured, patients_in, row, summary

from deepgmm.identify.islands import LIKELY, SURE, judged

FOLDS = 5
#: Pairs that are tried.
LIKELIES, SURES = (0.4, 0.5, 0.6), (0.6, 0.7, 0.8)
Pair = tuple[float, float]


def gain(scores: list[Score]) -> float:
    """Scar's Dice, less what false scar in healthy hearts beyond 0.75 % of the wall, and ill hearts
    called free, cost."""
    s = summary(scores)
    false, missed = s["false"] or 0.0, s["missed"] or 0.0
    return (s["scar"] or 0.0) - 0.1 * max(false - 0.75, 0.0) - 0.002 * missed


def at_every_pair(task: tuple[Path, str, str, list[Pair]]) -> dict[tuple[bool, Pair], Score]:
    """One patient with the mask given and with the true wall, at every pair."""
    from deepgmm.methods import pretrained

    folder, name, model, pairs = task
    found = {}
    for pair in pairs:
        pretrained.judged = partial(judged, likely=pair[0], sure=pair[1])  # type: ignore[assignment]
        for walled in (False, True):
            settings = {"model": model} if model else {}
            found[walled, pair] = measured((folder, name, "auto", walled, settings))
    pretrained.judged = judged  # type: ignore[assignment]
    return found


def fold_of(names: list[str]) -> dict[str, int]:
    """Ill and healthy patients dealt out evenly, in the order of their names."""
    folds: dict[str, int] = {}
    for letter in ("P", "N"):
        for place, name in enumerate(n for n in names if n.startswith(f"Case_{letter}")):
            folds[name] = place % FOLDS
    return folds


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--patients", type=int, help="only the first so many")
    parser.add_argument("--short", action="store_true", help="four pairs alone")
    parser.add_argument("--model", default="", help="the shipped network by default")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.patients]
    if not names:
        print("Not measured: no `*_lge.nii.gz` in the data folder; give it with --data.\n")
        return
    pairs = list(product((0.4, LIKELY), (SURE, 0.8)) if options.short
                 else {*product(LIKELIES, SURES), (LIKELY, SURE)})
    found = dict(zip(names, in_processes(
        at_every_pair, [(options.data, name, options.model, sorted(pairs)) for name in names],
        options.threads)))
    folds = fold_of(names)

    def scores(pair: Pair, walled: bool, chosen: list[str]) -> list[Score]:
        return [found[name][walled, pair] for name in chosen]
    rows, picked = [], []
    left_out: dict[bool, list[Score]] = {False: [], True: []}
    for fold in range(FOLDS):
        learned = [name for name in names if folds[name] != fold]
        best = max(sorted(pairs), key=lambda pair: float(np.mean([
            gain(scores(pair, walled, learned)) for walled in (False, True)])))
        picked.append(best)
        for walled, kept in left_out.items():
            kept += scores(best, walled, [name for name in names if folds[name] == fold])
    for walled, words in ((False, "mask given"), (True, "true wall given")):
        rows += [row(f"chosen on others, {words}", left_out[walled]),
                 row(f"as shipped, {words}", scores((LIKELY, SURE), walled, names))]
    print(f"{len(names)} patients of EMIDEC in {FOLDS} folds, ill and healthy dealt evenly. "
          f"`likely` and `sure` of {len(pairs)} pairs by each fold's others: "
          + "; ".join(f"{a:g}, {b:g}" for a, b in picked) + f". Shipped: {LIKELY:g}, {SURE:g}.")
    print(machine(options.threads) + "\n")
    print(table(HEADING, rows))


if __name__ == "__main__":
    run(main)
