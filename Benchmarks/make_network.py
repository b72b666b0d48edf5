"""Make the shipped network: a U-Net trained on phantom patients of wide variety.

    python Benchmarks/make_network.py OUT                    the phantom's labels enter the loss
    python Benchmarks/make_network.py OUT --teacher map      none does: `map` is the teacher
    python Benchmarks/make_network.py OUT --resume           goes on where it was stopped

The first is called synthetic-supervised, the second unsupervised with contrast priors; both are
scored by `learning.py`. Examples are kept beside the network, so that a second run begins with
training. The same command on the same machine with one thread gives the same weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

from common import machine, run, use_threads
from trainings import examples_at
from wide_phantoms import FIRST_SEED, wide_patient

from deepgmm.study.words import Role
from deepgmm.training import checkpoints
from deepgmm.training.augmentation import Augmentation
from deepgmm.training.familiar import familiar_of
from deepgmm.training.loop import Trained, train_network
from deepgmm.training.settings import TrainingSettings
from deepgmm.weights.card import Card, LabelledCases, Learning
from deepgmm.weights.folder import save_network

#: Patients by whose loss the best step is chosen; their seeds follow those of the training.
VALIDATION = 40
#: Rows and columns of the canvas, with room for hearts larger than these patients'.
CANVAS = 72
#: Sequences are left out of slices so often that it knows every set of them.
VARIED = Augmentation(missing=0.25, zoom=0.35, trabeculae=1.0)
#: Weights of the objective besides the one cross entropy, see `Objective`.
LIKELIHOOD, BARE = 0.05, 0.2


def card_of(options: argparse.Namespace, settings: TrainingSettings, trained: Trained,
            learning: Learning, familiar: dict) -> Card:
    taught = learning is Learning.PRIORS
    used = "the teacher `map`, no label" if taught else "the phantom's own labels"
    return Card(
        name=options.out.name, title=f"phantom-trained U-Net, {learning.value}",
        learning=learning,
        labelled_cases=LabelledCases(
            priors=10, loss=0 if taught else options.patients, tuning=0 if taught else VALIDATION),
        architecture=settings.architecture, sequences=tuple(Role),
        temperature=settings.temperature, priors="shipped",
        training={
            "patients": f"{options.patients} phantom patients of wide variety, seeds {FIRST_SEED} "
                        f"to {FIRST_SEED + options.patients - 1}: typical, atypical and healthy; "
                        "all kinds of LGE and T2; difficulty 0.5 to 1.6; 3 to 8 slices",
            "learned_from": used,
            "validation": f"{VALIDATION} more from the following seeds chose the step",
            "command": " ".join(
                ["python Benchmarks/make_network.py", options.out.name, "--threads",
                 str(options.threads), *(["--teacher", "map"] if taught else [])]),
            "settings": settings.as_dict() | {"priors": "shipped"},
            "augmentation": dataclasses.asdict(VARIED),
            "step": trained.step, "seconds": round(trained.seconds)},
        licence="Apache-2.0", scores={"validation": trained.scores}, familiar=familiar)


def said(fraction: float, stage: str) -> None:
    """A line a hundred steps."""
    words = stage.split()
    if words[:1] == ["step"] and int(words[1]) % 100 == 0:
        print(stage, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="the network's folder; its name is the network's")
    parser.add_argument("--teacher", choices=("map",), help="learn from it and not from labels")
    parser.add_argument("--patients", type=int, default=380)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    use_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    taught, began = options.teacher == "map", time.perf_counter()
    first = FIRST_SEED + options.patients
    learned, _ = examples_at(
        options.out / f"examples-{options.patients}.safetensors", wide_patient,
        range(FIRST_SEED, first), processes=options.threads)
    checked, owner = examples_at(
        options.out / f"validation-{options.patients}.safetensors", wide_patient,
        range(first, first + VALIDATION), processes=options.threads)
    print(f"{len(learned)} slices of {options.patients} patients and {len(checked)} of "
          f"{VALIDATION}, with a teacher's answer: {time.perf_counter() - began:.0f} s")
    settings = TrainingSettings(
        label_weight=0.0 if taught else 1.0, teacher_weight=1.0 if taught else 0.0,
        likelihood_weight=LIKELIHOOD, bare=BARE, steps=options.steps, batch=options.batch,
        validate_every=200, missing=VARIED.missing, seed=options.seed, device="cpu")
    trained = train_network(
        learned.enlarged(CANVAS), checked, settings, options.out, augment=VARIED.augmented,
        resume=checkpoints.newest(options.out, print) if options.resume else None, progress=said)
    learning = Learning.PRIORS if taught else Learning.SYNTHETIC
    card = save_network(options.out, trained.network, card_of(
        options, settings, trained, learning,
        familiar_of(trained.network, checked, owner, temperature=settings.temperature,
                    fewer=True)))
    checkpoints.remove(options.out)
    print(f"{card.name}: {card.learning.value}; best step {trained.step} of {settings.steps}, "
          f"{trained.seconds / 60:.1f} min of training, sha256 {card.sha256}")
    print(machine(options.threads))


if __name__ == "__main__":
    run(main)
