"""What was chosen on real patients, scored on patients that did not choose it.

Constants were chosen looking at the patients of `real_lge.py`: the two thresholds of scar's islands
(`identify/islands.py`), and some of `map`. Here each is chosen on four fifths of the patients and
scored on the last, five times over, the others staying as shipped; beside that stands the row of
the value that ships.

    python Benchmarks/real_lge_folds.py
    python Benchmarks/real_lge_folds.py --constants evidence,plain,reach,spread,apart
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from common import in_processes, machine, parser_of, run, table
from real_lge import DATA, HEADING, Score, measured, patients_in, row, summary

from deepgmm import Method, Tissue
from deepgmm import result as results
from deepgmm.identify import absence, anatomy
from deepgmm.identify.islands import Thresholds
from deepgmm.methods import METHODS as FITS
from deepgmm.methods import problem
from deepgmm.methods.pretrained import fit_pretrained
from deepgmm.study.words import Role

FOLDS = 5
#: The interval of the scar's volume is to hold the experts' in at least this share, %.
HELD = 85.0


def by_scar(value: Any, scores: list[Score]) -> float:
    """Scar's Dice, less what false scar in healthy hearts beyond 0.75 % of the wall, and ill hearts
    called free, cost."""
    s = summary(scores)
    false, missed = s["false"] or 0.0, s["missed"] or 0.0
    return (s["scar"] or 0.0) - 0.1 * max(false - 0.75, 0.0) - 0.002 * missed


def by_scar_of_map(value: Any, scores: list[Score]) -> float:
    """The same of `map`, which paints more: every per cent costs."""
    s = summary(scores)
    return (s["scar"] or 0.0) - 0.02 * (s["false"] or 0.0)


def by_width(value: Any, scores: list[Score]) -> float:
    """The narrowest interval that holds enough."""
    held = summary(scores)["covered"] or 0.0
    return -value if held >= HELD else held - 1e3


@dataclass(frozen=True)
class Choice:
    """A constant that was chosen on these patients.

    Attributes
    ----------
    method : which it belongs to.
    shipped, values : what it is, and what it is chosen from.
    put : gives it a value, in this process.
    gain : what it is chosen by, the more the better.
    """

    method: str
    shipped: Any
    values: tuple[Any, ...]
    put: Callable[[Any], object]
    gain: Callable[[Any, list[Score]], float] = by_scar_of_map


def _islands(pair: tuple[float, float]) -> None:
    FITS[Method.PRETRAINED] = partial(fit_pretrained, thresholds=Thresholds(*pair))


def _reach(value: float) -> None:
    anatomy.REACH[Tissue.SCAR, Role.LGE] = value


def _spread(value: float) -> None:
    problem.ANCHORED_SPREAD = value


def _apart(method: str) -> Callable[[float], None]:
    def put(value: float) -> None:
        results.SCAR_PIECES[method] = value
    return put


_ISLANDS = (Thresholds().likely, Thresholds().sure)
CHOICES: dict[str, Choice] = {
    "islands": Choice("auto", _ISLANDS, tuple(product((0.4, 0.5, 0.6), (0.6, 0.7, 0.8))),
                      _islands, by_scar),
    "evidence": Choice("map", absence.SCAR_LEAST["evidence"], (0.0, 0.06, 0.1, 0.15, 0.2),
                       lambda v: absence.SCAR_LEAST.update(evidence=v)),
    "plain": Choice("map", absence.SCAR_LEAST["plain"], (0.1, 0.15, 0.2),
                    lambda v: absence.SCAR_LEAST.update(plain=v)),
    "reach": Choice("map", anatomy.REACH[Tissue.SCAR, Role.LGE], (0.0, 0.6, 0.75), _reach),
    "spread": Choice("map", problem.ANCHORED_SPREAD, (0.05, 0.3, 1.0), _spread),
    **{f"apart{words}": Choice(method, results.SCAR_PIECES[name],
                               (0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2), _apart(name), by_width)
       for words, method, name in (("", "auto", "pretrained"), (" of map", "map", "map"))}}


def at_every_value(task: tuple[Path, str, str, dict, tuple]) -> dict[tuple[bool, Any], Score]:
    """One patient with the mask given and with the true wall, at every value of a constant."""
    folder, name, constant, settings, values = task
    choice, found = CHOICES[constant], {}
    try:
        for value in values:
            choice.put(value)
            for walled in (False, True):
                found[walled, value] = measured((folder, name, choice.method, walled, settings))
    finally:
        choice.put(choice.shipped)
    return found


def fold_of(names: list[str]) -> dict[str, int]:
    """Ill and healthy patients dealt out evenly, in the order of their names."""
    folds: dict[str, int] = {}
    for letter in ("P", "N"):
        for place, name in enumerate(n for n in names if n.startswith(f"Case_{letter}")):
            folds[name] = place % FOLDS
    return folds


def folded(choice: Choice, found: dict[str, dict[tuple[bool, Any], Score]],
           values: tuple) -> tuple[list[Any], dict[bool, list[Score]]]:
    """The value that each fold's other patients choose, and every patient's scores under it."""
    folds, chosen = fold_of(list(found)), []
    left_out: dict[bool, list[Score]] = {False: [], True: []}
    for fold in range(FOLDS):
        others = [name for name in found if folds[name] != fold]
        best = max(values, key=lambda value, those=others: float(np.mean([
            choice.gain(value, [found[name][walled, value] for name in those])
            for walled in (False, True)])))
        chosen.append(best)
        for walled, kept in left_out.items():
            kept += [found[name][walled, best] for name in found if folds[name] == fold]
    return chosen, left_out


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--patients", type=int, help="only the first so many")
    parser.add_argument("--constants", default="islands", help="comma-separated")
    parser.add_argument("--short", action="store_true", help="two values of each alone")
    parser.add_argument("--model", default="", help="the shipped network by default")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.patients]
    if not names:
        print("Not measured: no `*_lge.nii.gz` in the data folder; give it with --data.\n")
        return
    print(f"{len(names)} patients of EMIDEC in {FOLDS} folds, ill and healthy dealt evenly.")
    print(machine(options.threads) + "\n")
    for constant in options.constants.split(","):
        choice = CHOICES[constant]
        few = choice.values[-2:] if options.short else choice.values
        values = tuple(dict.fromkeys((*few, choice.shipped)))
        settings = {"model": options.model} if options.model and choice.method == "auto" else {}
        found = dict(zip(names, in_processes(
            at_every_value, [(options.data, name, constant, settings, values) for name in names],
            options.threads), strict=True))
        chosen, left_out = folded(choice, found, values)
        print(f"**{constant}**, `{choice.method}`: of {len(values)} values the five folds' others "
              f"choose {'; '.join(map(_said, chosen))}. Shipped: {_said(choice.shipped)}.\n")
        print(table(HEADING, [line for walled, words in (
            (False, "mask given"), (True, "true wall given")) for line in (
            row(f"chosen on others, {words}", left_out[walled]),
            row(f"as shipped, {words}", [found[n][walled, choice.shipped] for n in names]))]))


def _said(value: Any) -> str:
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"


if __name__ == "__main__":
    run(main)
