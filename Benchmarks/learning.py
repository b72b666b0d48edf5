"""How well do networks trained on many studies do, beside `map` and plain cross entropy?

    python Benchmarks/learning.py                      trains what is not there, then scores
    python Benchmarks/learning.py --patients 10 --seeds 1 --steps 100

Networks taught by `map` see no label; the shipped network is scored as it is, on these patients
and on phantoms of two other makes. A make may be harder in itself: how well a network does that
was trained on that very make, with its labels, says how much of a drop is difficulty, and the rest
is what did not carry over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
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
from trainings import (
    COHORT_SEED,
    COHORT_SETS,
    cohort_patient,
    examples_at,
    other_patient,
    prior_patient,
    third_patient,
    trained_at,
)

from deepgmm.review.metrics import FOUR_TISSUES, bootstrap_interval

COHORT, LABELLED = 160, range(9000, 9010)
SETS = ("typical", "atypical", "healthy")
ADAPT = 20
BAR, DROP = 0.86, 0.05
#: Phantoms by make, and who draws the patients of those that a network of their own learns from.
MAKES = {"own": "Calibrated phantom", "other": "Phantom of a second make",
         "third": "Phantom of a third make"}
HOME = {"own": cohort_patient, "other": other_patient, "third": third_patient}
#: Weights of the objective by what a network learns from; every make as the library's phantom.
WEIGHTS: dict[str, dict[str, Any]] = {
    "taught": {"label_weight": 0.0, "teacher_weight": 1.0, "likelihood_weight": 0.05},
    "entropy": {"label_weight": 1.0, "teacher_weight": 0.0, "likelihood_weight": 0.0, "bare": 1.0},
    "own": {"label_weight": 1.0, "teacher_weight": 0.0, "likelihood_weight": 0.05, "bare": 0.2}}
HOME_SEED, HOME_STEPS, AT_HOME = 50_000, 900, "trained on this make: "
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Row:
    """A way to segment: settings of `segment`, and the labelled cases behind it."""

    name: str
    settings: tuple[tuple[str, object], ...]
    priors: int = 10
    loss: int = 0
    tuning: int = 0

    @property
    def labelled(self) -> str:
        return f"{self.priors} / 0 / {self.loss} / {self.tuning}"


@dataclass(frozen=True)
class Task:
    """A patient and all the ways."""

    make: str
    patient_set: str
    seed: int
    rows: tuple[Row, ...]


def scores_of(task: Task) -> list[Scores]:
    """One patient's scores by every row; see `phantom_accuracy.score`."""
    from other_phantom import make_other_patient
    from third_phantom import make_third_patient

    from deepgmm import Settings, segment
    from deepgmm.phantom import make_patient

    make = {"own": make_patient, "other": make_other_patient, "third": make_third_patient}
    patient = make[task.make](task.seed, patient_set=task.patient_set)
    return [score(segment(patient.study, Settings(**dict(row.settings))).labels, patient)
            for row in task.rows]


def train(task: tuple[str, Path, int, int, int]) -> float:
    """Train one network of the tables; minutes."""
    from deepgmm.study.words import Role
    from deepgmm.training.augmentation import Augmentation
    from deepgmm.training.settings import TrainingSettings
    from deepgmm.weights.card import Card, LabelledCases, Learning

    what, work, patients, seed, steps = task
    learned, loss = _lessons(what, work, patients)
    settings = TrainingSettings(steps=steps, seed=seed, device="cpu",
                                **WEIGHTS.get(what, WEIGHTS["own"]))
    card = Card(
        name=f"{what}-{seed}", title=f"benchmark network, {what}",
        learning=Learning.SYNTHETIC if loss else Learning.PRIORS,
        labelled_cases=LabelledCases(priors=10, loss=loss),
        architecture=settings.architecture, sequences=tuple(Role),
        # a density that counts for nothing leaves the softmax as it is
        temperature=1e9 if what == "entropy" else 2.0, priors="shipped", training={},
        licence="Apache-2.0")
    return trained_at(work / card.name, learned, settings, Augmentation(), card)


def _lessons(what: str, work: Path, patients: int):
    """What a network learns from, and from how many patients' labels."""
    if what in HOME:
        return home(work, what, patients, 1)[0], patients
    if what == "taught":
        return cohort(work, patients, 1)[0], 0
    return labelled(work, 1)[0], len(LABELLED)


def cohort(work: Path, patients: int, processes: int):
    return examples_at(work / f"cohort-{patients}.safetensors", cohort_patient,
                       range(COHORT_SEED, COHORT_SEED + patients), processes=processes)


def home(work: Path, make: str, patients: int, processes: int):
    return examples_at(work / f"{make}-{patients}.safetensors", HOME[make],
                       range(HOME_SEED, HOME_SEED + patients), teach=False, processes=processes)


def labelled(work: Path, processes: int):
    return examples_at(work / "labelled.safetensors", prior_patient, LABELLED, teach=False,
                       processes=processes)


def rows_of(options) -> tuple[Row, ...]:
    from deepgmm.weights.card import read_card
    from deepgmm.weights.shelf import find

    def network(name: str, **settings: object) -> tuple[tuple[str, object], ...]:
        return (("method", "pretrained"), ("device", "cpu"), ("model", name), *settings.items())

    def at(name: str) -> str:
        return str((options.work / name).resolve())
    seeds = range(options.seeds)
    return (
        Row("map", (("device", "cpu"),)),
        *(Row(f"taught by map, training {s}", network(at(f"taught-{s}"))) for s in seeds),
        *(Row(f"taught by map, training {s}, --adapt {ADAPT}",
              network(at(f"taught-{s}"), adapt=ADAPT)) for s in seeds),
        *(Row(f"cross entropy, training {s}", network(at(f"entropy-{s}")), loss=len(LABELLED))
          for s in seeds),
        *(Row(f"network {card.name}", network(name), card.labelled_cases.priors,
              card.labelled_cases.loss, card.labelled_cases.tuning)
          for name, card in ((name, read_card(find(name) / "card.json"))
                             for name in ("", *options.also))),
        *(Row(f"{AT_HOME}{make}", network(at(f"{make}-0")), loss=options.cohort)
          for make in HOME),
    )


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=50, help="a set, of each make")
    parser.add_argument("--seeds", type=int, default=3, help="trainings a row")
    parser.add_argument("--steps", type=int, default=800, help="of the networks taught by map")
    parser.add_argument("--home-steps", type=int, default=HOME_STEPS,
                        help="of the networks trained on one make")
    parser.add_argument("--cohort", type=int, default=COHORT, help="patients they learn from")
    parser.add_argument("--also", nargs="*", default=[], help="folders of other networks")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"),
                        help="where examples and networks are kept")
    options = parser.parse_args()
    cohort(options.work, options.cohort, options.threads)
    labelled(options.work, options.threads)
    wanted = [(what, options.work, options.cohort, seed, steps) for what, steps in
              (("taught", options.steps), ("entropy", min(400, options.steps)))
              for seed in range(options.seeds)]
    for make in HOME:
        home(options.work, make, options.cohort, options.threads)
        wanted.append((make, options.work, options.cohort, 0, options.home_steps))
    minutes = in_processes(train, wanted, options.threads)
    rows = rows_of(options)
    tasks = [Task(make, patient_set, REPORTED_SEED + i,
                  tuple(row for row in rows if _scored(row, make)))
             for make in MAKES for patient_set in SETS for i in range(options.patients)]
    found: dict[tuple[str, str, str], list[Scores]] = {}
    for task, scores in zip(tasks, in_processes(scores_of, tasks, options.threads), strict=True):
        for row, one in zip(task.rows, scores, strict=True):
            found.setdefault((task.make, task.patient_set, row.name), []).append(one)
    report(options, rows, found, minutes)


def _scored(row: Row, make: str) -> bool:
    """Whether a way is scored on a make: its own network, and elsewhere only those asked about."""
    if row.name.startswith(AT_HOME):
        return row.name == AT_HOME + make
    return make == "own" or row.name == "map" or row.name.startswith("network")


def averaged(several: Sequence[list[Scores]]) -> list[Scores]:
    """The mean over trainings, patient by patient."""
    from deepgmm.review.metrics import mean_of

    return [{key: mean_of(one[key] for one in same).value for key in same[0]}
            for same in zip(*several, strict=True)]


def report(options, rows: Sequence[Row], found: dict[tuple[str, str, str], list[Scores]],
           minutes: list[float]) -> None:
    print(f"{options.patients} phantom patients a set, five slices, seeds from {REPORTED_SEED}; "
          "none was trained or tuned on. Dice a slice over all slices, mean over a patient's, then "
          "over patients; a tissue absent from both is left out, one found where there is none "
          "scores 0; 95 % intervals of patients drawn with replacement; rows of several trainings "
          "are their mean, with the spread of their means beside. Labelled cases: in priors / "
          f"atlas / loss / tuning. Networks taught by `map` learned from {COHORT} calibrated "
          f"patients (seeds from {COHORT_SEED}) in {options.steps} steps, "
          f"{np.mean(minutes[:options.seeds]):.0f} minutes each on one thread beside another; "
          f"cross entropy from the truth of the {len(LABELLED)} patients behind the priors. "
          f"`--adapt` is {ADAPT}. The network trained on a make itself learned from the labels of "
          f"{options.cohort} of its patients, {_shares()}, in "
          f"{options.home_steps} steps. The shipped network's labels, and how its stages were "
          "chosen, stand in its card: seeds 100 to 127 of the other makes were looked at then.")
    print(machine(options.threads) + "\n")
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = row.name
        for seed in range(options.seeds):
            name = name.replace(f", training {seed}", "")
        groups.setdefault(name, []).append(row)
    means = {(make, s, name): averaged([found[make, s, r.name] for r in group])
             for name, group in groups.items() for make in MAKES for s in SETS
             if (make, s, group[0].name) in found}
    for make, title in MAKES.items():
        for s in SETS:
            print(f"**{title}, {s}**\n")
            lines = []
            for name, group in groups.items():
                if (make, s, name) not in means:
                    continue
                scores = means[make, s, name]
                spread = np.std([np.nanmean([_number(p["all mean"]) for p in
                                             found[make, s, r.name]]) for r in group])
                lines.append((name.removesuffix(make).removesuffix(": ")
                              if name.startswith(AT_HOME) else name, group[0].labelled,
                              *(mean_with_interval([p[f"all {t.name}"] for p in scores], 3)
                                for t in FOUR_TISSUES),
                              mean_with_interval([p["all mean"] for p in scores], 3),
                              number(float(spread), 3),
                              _false(scores)))
            print(table(("row", "labelled cases", *(t.title.lower() for t in FOUR_TISSUES), "mean",
                         "spread", "false disease, % of wall"), lines))
    print("**Difference from `map`**, mean Dice, patient by patient:\n")
    differences = []
    for name in (n for n in groups if not n.startswith(AT_HOME)):
        cells = [_difference(means, "own", s, name)[0] for s in SETS]
        if name != "map":
            differences.append((name, *cells))
    print(table(("row", *SETS), differences))
    print(_split(means, groups))
    print(bars(_checks(means, groups, options)))


def _shares() -> str:
    return ", ".join(f"{COHORT_SETS.count(s)} in {len(COHORT_SETS)} {s}" for s in SETS)


def _mean(means: dict, make: str, s: str, name: str) -> float:
    return float(np.nanmean([_number(p["all mean"]) for p in means[make, s, name]]))


def _split(means: dict, groups: dict) -> str:
    """What a network loses elsewhere, and how much of it one trained there loses too."""
    lines = []
    for name in (n for n in groups if n.startswith("network")):
        for make in list(MAKES)[1:]:
            for s in SETS:
                here, there = (_mean(means, m, s, name) for m in ("own", make))
                at_home = {m: _mean(means, m, s, AT_HOME + m) for m in ("own", make)}
                lines.append((name, MAKES[make], s, f"{here - there:+.3f}",
                              f"{at_home['own'] - at_home[make]:+.3f}",
                              f"{at_home[make] - there:+.3f}"))
    return ("**Drops elsewhere**, mean Dice: what the network loses against the calibrated "
            "phantom, what networks trained on either make differ by, and what lies between it "
            "and the one trained there:\n\n"
            + table(("row", "phantom", "set", "drop", "difficulty", "behind one trained there"),
                    lines))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _false(scores: list[Scores]) -> str:
    return number(float(np.mean([_number(p["false EDEMA"]) + _number(p["false SCAR"])
                                 for p in scores])), 1)


def _difference(means: dict, make: str, s: str, name: str,
                key: str = "all mean") -> tuple[str, float, float]:
    """In words; the mean, and the upper end of its interval."""
    apart = [_number(a[key]) - _number(b[key])
             for a, b in zip(means[make, s, name], means[make, s, "map"], strict=True)]
    apart = [value for value in apart if value == value]
    interval = bootstrap_interval(apart, lambda value: value)
    if not apart or interval is None:
        return "-", float("nan"), float("nan")
    mean = float(np.mean(apart))
    return f"{mean:+.4f} ({interval[0]:+.4f} to {interval[1]:+.4f})", mean, interval[1]


def _checks(means: dict, groups: dict, options) -> list[tuple[str, str, str, bool | None]]:
    def mean(make: str, s: str, name: str) -> float:
        return _mean(means, make, s, name)
    taught, adapted = "taught by map", f"taught by map, --adapt {ADAPT}"
    checks: list[tuple[str, str, str, bool | None]] = [(
        "taught by map, typical, mean Dice", f"at least {BAR}",
        number(mean("own", "typical", taught), 3), mean("own", "typical", taught) >= BAR)]
    for s in SETS:
        words, _, high = _difference(means, "own", s, taught)
        checks.append((f"taught by map against map, {s}", "interval reaches 0", words, high >= 0))
    for s in SETS:
        for t in FOUR_TISSUES:
            words, _, high = _difference(means, "own", s, adapted, f"all {t.name}")
            if words != "-":
                checks.append((f"with --adapt {ADAPT} against map, {s}, {t.title.lower()}",
                               "interval reaches 0", words, high >= 0))
    for name in (n for n in groups if n.startswith("network")):
        for make in list(MAKES)[1:]:
            whole = float(np.mean([mean("own", s, name) - mean(make, s, name) for s in SETS]))
            checks.append((f"{name}, drop on the {MAKES[make].lower()}, mean of the sets",
                           f"at most {DROP}", f"{whole:+.3f}", whole <= DROP))
            for s in SETS:
                drop = mean("own", s, name) - mean(make, s, name)
                behind = mean(make, s, AT_HOME + make) - mean(make, s, name)
                checks += [
                    (f"{name}, drop on the {MAKES[make].lower()}, {s}", f"at most {DROP}",
                     f"{drop:+.3f}", drop <= DROP),
                    (f"{name}, behind one trained on the {MAKES[make].lower()}, {s}",
                     f"at most {DROP}", f"{behind:+.3f}", behind <= DROP)]
    return checks


if __name__ == "__main__":
    run(main)
