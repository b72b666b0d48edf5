"""Does the slice that the library names next teach the others more than another slice would?

The reader of `refine.py` makes slices right one after the other: the worst (which needs the truth),
the one that `review_next` names first, the most uncertain, or simply from base to apex. Printed are
the share of the error that goes from the slices that nobody corrected, and what is left of the
heart's error once the corrected slices are right.

    python Benchmarks/where_next.py
    python Benchmarks/where_next.py --patients 1 --makes own --method map
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from common import (
    REPORTED_SEED,
    bars,
    in_processes,
    machine,
    mean_with_interval,
    parser_of,
    run,
    table,
)
from phantom_makes import SETS
from real_lge import DATA, patients_in
from refine import POLICIES, SLICES, error, finished, next_slice, patient

from deepgmm import Settings, refine, segment
from deepgmm.refine import case_of

NAMES = {"worst": "the worst (by truth)", "useful": "the one named",
         "change": "most change elsewhere", "uncertain": "most uncertain", "order": "base to apex"}
#: The one named is to be no worse than the others by more than this share of the error.
LESS = 0.01


@dataclass
class Read:
    """One heart: by policy, after each slice, error of the others before and after, and the share
    of the whole heart's error that is left."""

    others: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    left: dict[str, list[float]] = field(default_factory=dict)


def measured(task: tuple[str, str, Any, str]) -> Read:
    """One patient by every policy."""
    make, patient_set, which, method = task
    study, truth, _ = patient(make, patient_set, which)
    result = segment(study, Settings(method=method))
    case, found = case_of(result), Read()
    fitted = [fit.index for fit in result.fits]
    whole = error(result.labels, result.labels, truth, fitted, result.tissues)
    for policy in POLICIES:
        new, done = result, []
        for _ in range(SLICES):
            if len(fitted) - len(done) < 2:
                break
            done.append(next_slice(new, truth, [i for i in fitted if i not in done], policy))
            new = refine(new, finished(new, truth, done[-1]), case=case)
            rest = [i for i in fitted if i not in done]
            found.others.setdefault(policy, []).append(tuple(
                error(labels, result.labels, truth, rest, result.tissues)
                for labels in (result.labels, new.labels)))
            found.left.setdefault(policy, []).append(error(
                new.labels, result.labels, truth, fitted, result.tissues) / max(whole, 1e-9))
    return found


def gone(hearts: list[Read], policy: str, count: int) -> float:
    """Share of the other slices' error that goes after so many."""
    pairs = [h.others[policy][count - 1] for h in hearts
             if len(h.others.get(policy, ())) >= count]
    before, after = np.sum(pairs, axis=0)
    return float(1 - after / before)


def left(hearts: list[Read], policy: str, count: int) -> list[float]:
    return [h.left[policy][count - 1] for h in hearts if len(h.left.get(policy, ())) >= count]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=5, help="phantoms a set and make")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--makes", default="own,second,third", help="comma-separated")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--data", type=type(DATA), default=DATA)
    parser.add_argument("--real", type=int, help="real patients, the first so many")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.real]
    seeds = range(options.first_seed, options.first_seed + options.patients)
    tasks = [(make, name, seed, options.method) for make in options.makes.split(",")
             for name in options.sets.split(",") for seed in seeds]
    phantoms = len(tasks)
    tasks += [("EMIDEC", "", (options.data, one, names[(k + 1) % len(names)]), options.method)
              for k, one in enumerate(names)]
    found = in_processes(measured, tasks, options.threads)
    groups = {"phantoms": found[:phantoms], "EMIDEC": found[phantoms:]}
    rows, checks = [], []
    for title, hearts in groups.items():
        if not hearts:
            continue
        for policy in POLICIES:
            rows.append((f"{title}, {len(hearts)}", NAMES[policy],
                         *(f"{100 * gone(hearts, policy, k):.1f}" for k in (1, SLICES)),
                         *(mean_with_interval([100 * x for x in left(hearts, policy, k)], 0)
                           for k in (1, SLICES))))
        for other in ("change", "uncertain", "order"):
            mine, theirs = (float(np.mean(left(hearts, p, SLICES))) for p in ("useful", other))
            checks.append((f"{title}: the heart's error left after {SLICES}, the one named against "
                           f"{NAMES[other]}", f"at most {100 * LESS:g} points more",
                           f"{100 * mine:.0f} against {100 * theirs:.0f} %",
                           mine <= theirs + LESS))
    print(f"{phantoms} phantom patients, seeds from {seeds[0]}, three sequences, and {len(names)} "
          f"real ones (EMIDEC, LGE alone). After the first and the third slice: the share of the "
          "error that goes from the slices not corrected, which are not the same for every way of "
          "choosing; and the share of the whole heart's error that is left, the corrected slices "
          "being right (95 % patient bootstrap).")
    print(machine(options.threads) + "\n")
    print(table(("patients", "the next slice is", "goes after 1, %", f"after {SLICES}, %",
                 "of the heart left after 1, %", f"after {SLICES}, %"), rows))
    print(bars(checks))


if __name__ == "__main__":
    run(main)
