"""What does the mixture loss add where only some patients are labelled?

Networks learn from 40 phantom patients of which a quarter, a half or three quarters are labelled:
by cross entropy alone, with the mixture loss (gmm-loss-brain-paper 3.5), and with the teacher.

    python Benchmarks/partial_labels.py
    python Benchmarks/partial_labels.py --network modified-unet --seeds 1
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from trainings import COHORT_SEED, cohort_patient, examples_at, labelled_patients, prior_patient

from deepgmm.study.words import FOUR_TISSUES

if TYPE_CHECKING:
    from deepgmm.model.learning import Examples

PATIENTS = 40
FRACTIONS = {"1/4": 10, "1/2": 20, "3/4": 30}
BAR = 0.88
#: The objective's weights of each row; the mixture's were set before and not tuned.
LOSSES = {
    "cross entropy": {"label_weight": 1.0, "likelihood_weight": 0.0, "teacher_weight": 0.0,
                      "bare": 1.0},
    "cross entropy + mixture": {"label_weight": 1.0, "likelihood_weight": 0.05,
                                "variation_weight": 0.01, "teacher_weight": 0.0, "bare": 1.0},
    "cross entropy + mixture + teacher": {
        "label_weight": 1.0, "likelihood_weight": 0.05, "variation_weight": 0.01,
        "teacher_weight": 0.5, "bare": 0.2},
}
#: Rows that are trained at every fraction; the last at the least of them alone.
EVERYWHERE = ("cross entropy", "cross entropy + mixture")


@dataclass(frozen=True)
class Task:
    """One network to be trained and scored."""

    work: Path
    network: str
    loss: str
    fraction: str
    seed: int
    steps: int
    patients: int


def scores_of(task: Task) -> np.ndarray:
    """(patients, tissues, 3) recall, IoU and Dice, means over a patient's slices; NaN where a
    slice has no such tissue in truth or answer."""
    from deepgmm.training.augmentation import Augmentation
    from deepgmm.training.loop import train_network
    from deepgmm.training.settings import TrainingSettings

    learned, owner = cohort(task.work, 1)
    learned = labelled_patients(learned, owner, range(FRACTIONS[task.fraction]))
    settings = TrainingSettings(
        network=task.network, steps=task.steps, seed=task.seed, device="cpu",
        checkpoint_every=0, **LOSSES[task.loss])
    if not settings.teacher_weight and not settings.likelihood_weight:
        assert learned.labels is not None
        learned = learned.select((learned.labels >= 0).flatten(1).any(1).nonzero()[:, 0])
    with tempfile.TemporaryDirectory() as folder:
        trained = train_network(learned, None, settings, Path(folder),
                                augment=Augmentation().augmented)
    seen, patient = reported(task.work, task.patients, 1)
    return scored(trained.network, seen, patient.numpy(), bare=settings.bare == 1.0)


def scored(network, examples: Examples, owner: np.ndarray, *, bare: bool) -> np.ndarray:
    """As `scores_of`; labels by the softmax alone where `bare`, else by the posterior."""
    import torch

    from deepgmm.model.images import read

    examples = examples.enlarged(network.multiple)
    labels = []
    with torch.no_grad():
        for first in range(0, len(examples), 20):
            part = examples.select(slice(first, first + 20))
            logits = network(part.channels().contiguous(memory_format=torch.channels_last),
                             part.inside)
            reading = read(part, logits, temperature=2.0)
            best = (reading.log_weights if bare else reading.log_posterior).argmax(2)
            labels.append(torch.where(part.inside.flatten(1) > 0, best, -1))
    found, truth = torch.cat(labels).numpy(), examples.labels.flatten(1).numpy()
    slices = np.full((len(found), len(FOUR_TISSUES), 3), np.nan)
    for k in range(len(FOUR_TISSUES)):
        a, b = (found == k) & (truth >= 0), truth == k
        both, one, other = (a & b).sum(1), a.sum(1), b.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            slices[:, k] = np.stack([both / other, both / (a | b).sum(1),
                                     2 * both / (one + other)], axis=1)
    return np.stack([np.nanmean(slices[owner == p], axis=0) for p in np.unique(owner)])


def cohort(work: Path, processes: int):
    return examples_at(work / f"cohort-{PATIENTS}.safetensors", cohort_patient,
                       range(COHORT_SEED, COHORT_SEED + PATIENTS), processes=processes)


def reported(work: Path, patients: int, processes: int):
    return examples_at(work / f"reported-{patients}.safetensors", prior_patient,
                       range(REPORTED_SEED, REPORTED_SEED + patients), teach=False,
                       processes=processes)


def tasks_of(options) -> list[Task]:
    rows = [(loss, fraction) for loss in LOSSES for fraction in FRACTIONS
            if loss in EVERYWHERE or fraction == next(iter(FRACTIONS))]
    return [Task(options.work, options.network, loss, fraction, seed, options.steps,
                 options.patients) for loss, fraction in rows for seed in range(options.seeds)]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--network", default="unet", help="see deepgmm train --help")
    parser.add_argument("--seeds", type=int, default=3, help="trainings a row")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--patients", type=int, default=50, help="that scores are reported on")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"),
                        help="where examples are kept")
    options = parser.parse_args()
    cohort(options.work, options.threads)
    reported(options.work, options.patients, options.threads)
    tasks = tasks_of(options)
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for task, scores in zip(tasks, in_processes(scores_of, tasks, options.threads), strict=True):
        found.setdefault((task.loss, task.fraction), []).append(scores)
    report(options, found)


def report(options, found: dict[tuple[str, str], list[np.ndarray]]) -> None:
    print(f"Network {options.network}, {options.steps} steps of 12 slices, {options.seeds} "
          f"trainings a row; {PATIENTS} calibrated phantom patients (2 in 5 typical, 2 atypical, 1 "
          f"healthy; seeds from {COHORT_SEED}), of whom so many are labelled. Scored on "
          f"{options.patients} typical patients (seeds from {REPORTED_SEED}), means over slices, "
          "then patients; 95 % intervals of patients drawn with replacement, the trainings of a "
          "row averaged before. Cross entropy alone is the network's softmax on labelled slices; "
          "the teacher is `map`. Labelled cases: 10 in the contrast priors (rows with mixture), "
          "none in an atlas or for tuning.")
    print(machine(options.threads) + "\n")
    rows, differences = [], []
    for (loss, fraction), trainings in found.items():
        per_training = [np.nanmean(one[..., 2]) for one in trainings]
        mean = np.mean(trainings, axis=0)
        rows.append((loss, fraction, str(FRACTIONS[fraction]),
                     *(number(float(np.nanmean(mean[:, k, m])), 3)
                       for m in (0, 1) for k in range(len(FOUR_TISSUES))),
                     number(float(np.nanmean(mean[..., 2])), 3),
                     f"{np.std(per_training, ddof=1) if len(per_training) > 1 else 0:.3f}"))
    names = [t.title.lower() for t in FOUR_TISSUES]
    print(table(("loss", "labelled", "cases in loss", *(f"recall {n}" for n in names),
                 *(f"IoU {n}" for n in names), "Dice", "sd of trainings"), rows))
    for fraction in FRACTIONS:
        with_, without = (np.mean(found[loss, fraction], axis=0)[..., 2].mean(1)
                          for loss in reversed(EVERYWHERE))
        differences.append((fraction, mean_with_interval(list(with_ - without), 4)))
    print("**What the mixture loss adds**, mean Dice with it less without:\n")
    print(table(("labelled", "difference (95 % of patients)"), differences))
    checks: list[tuple[str, str, str, bool | None]] = []
    least = next(iter(FRACTIONS))
    best = max((float(np.nanmean(np.mean(found[loss, least], axis=0)[..., 2])), loss)
               for loss in LOSSES if loss != "cross entropy")
    checks.append((f"10 of {PATIENTS} patients labelled, mean Dice, {best[1]}",
                   f"at least {BAR}", number(best[0], 3), best[0] >= BAR))
    print(bars(checks))


if __name__ == "__main__":
    run(main)
