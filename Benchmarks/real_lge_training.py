"""What a site's own labelled patients add: `train --start` on folds of the real LGE patients.

The shipped network goes on with the labels of four fifths of the patients and is scored on the
last, five times, beside itself as it ships: a labelled network of the same kind by folds,
which also says how high the ceiling is. `--scratch` begins from nothing, which says how far
labels alone
carry. Networks live in a temporary folder and go with it: nothing that learned from these data may
be kept here.

    python Benchmarks/real_lge_training.py --steps 300
    python Benchmarks/real_lge_training.py --scratch --steps 900
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine, mean_with_interval, parser_of, run, table, use_threads
from make_network import CANVAS_AROUND, fitting
from real_lge import DATA, HEADING, Score, measured, patients_in, read_patient, row
from real_lge_folds import FOLDS, fold_of

from deepgmm.training.augmentation import Augmentation
from deepgmm.training.examples import make_examples
from deepgmm.training.loop import train_network
from deepgmm.training.settings import TrainingSettings
from deepgmm.weights.card import Learning
from deepgmm.weights.folder import load_network, save_network
from deepgmm.weights.shelf import find


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--model", default="", help="to begin with; the shipped one by default")
    parser.add_argument("--scratch", action="store_true", help="begin from nothing")
    parser.add_argument("--folds", type=int, default=FOLDS, help="only the first so many")
    options = parser.parse_args()
    names = patients_in(options.data)
    if not names:
        print("Not measured: no `*_lge.nii.gz` in the data folder; give it with --data.\n")
        return
    use_threads(options.threads)
    start, card = load_network(find(options.model))
    settings = TrainingSettings(
        around=card.architecture.sees_around, label_weight=1.0, overlap_weight=1.0,
        teacher_weight=0.0, likelihood_weight=0.0, bare=1.0, temperature=card.temperature,
        steps=options.steps, learning_rate=options.learning_rate, checkpoint_every=0, device="cpu")
    augmentation = Augmentation(zoom=0.2, misalignment=0.0, missing=0.0, noise=0.08)
    folds, taken = fold_of(names), []
    found: dict[bool, list[Score]] = {False: [], True: []}
    before: dict[bool, list[Score]] = {False: [], True: []}
    for fold in range(options.folds):
        began = time.perf_counter()
        examples = fitting(make_examples(
            (read_patient(options.data, name) for name in names if folds[name] != fold),
            teach=False, inputs=card.architecture.inputs)[0], CANVAS_AROUND)
        with tempfile.TemporaryDirectory() as folder:
            trained = train_network(examples, None, settings, Path(folder), augment=augmentation
                                    .augmented, start=None if options.scratch else start)
            taken.append(time.perf_counter() - began)
            model = Path(folder) / "network"
            model.mkdir()
            save_network(model, trained.network, dataclasses.replace(
                card, name="own", learning=Learning.SUPERVISED, training={}, familiar={}))
            left_out = [name for name in names if folds[name] == fold]
            for walled in (False, True):
                for network, scores in ((str(model), found[walled]),
                                        (options.model, before[walled])):
                    scores += [measured((options.data, name, "pretrained", walled,
                                         {"model": network})) for name in left_out]
    print(f"{len(names)} patients of EMIDEC in {FOLDS} folds: {options.steps} steps with the "
          "labels of four folds, from "
          f"{'nothing' if options.scratch else 'the shipped network'}, scored on the fifth; "
          f"{np.mean(taken) / 60:.1f} min on {options.threads} core(s) a training. Patients "
          f"scored: {len(found[False])}. Nothing of the training was chosen on them.")
    print(machine(options.threads) + "\n")
    print(table(HEADING, [row(f"{called}, {words}", scores[walled]) for walled, words in (
        (False, "mask given"), (True, "true wall given")) for called, scores in (
            ("as it ships", before), ("with labels", found))]))
    print("What the labels add, patient by patient (95 % patient bootstrap):\n")
    print(table(("", "scar Dice (ill)", "healthy: false scar, % of the wall", "wall", "blood"), [
        (words, *gains(before[walled], found[walled])) for walled, words in (
            (False, "mask given"), (True, "true wall given"))]))


def gains(before: list[Score], after: list[Score]) -> tuple[str, ...]:
    """The differences of the same patients' scores."""
    def more(name: str, digits: int, pairs: list[tuple[Score, Score]]) -> str:
        return mean_with_interval([None if getattr(a, name) is None else
                                   getattr(b, name) - getattr(a, name) for a, b in pairs], digits)
    both = list(zip(before, after, strict=True))
    ill, well = [p for p in both if p[0].ill], [p for p in both if not p[0].ill]
    return (more("scar", 3, ill), more("false", 2, well), more("wall", 3, both),
            more("blood", 3, both))


if __name__ == "__main__":
    run(main)
