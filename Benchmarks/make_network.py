"""Make the shipped network: a U-Net trained on phantom patients of wide variety.

    python Benchmarks/make_network.py OUT                    the phantom's labels enter the loss
    python Benchmarks/make_network.py OUT --teacher map      none does: `map` is the teacher
    python Benchmarks/make_network.py OUT --resume           goes on where it was stopped

The first is called synthetic-supervised, the second unsupervised with contrast priors; both are
scored by `learning.py`. Training has two stages, see `STAGES`. Examples are kept beside the
network, so that a second run begins with training. The same command on the same machine with one
thread gives the same weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from common import machine, run, use_threads
from trainings import examples_at
from wide_phantoms import FIRST_SEED, FIRST_WIDEST_SEED, wide_patient, widest_patient

from deepgmm.model.learning import Examples
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


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes
    ----------
    steps, learning_rate : gradient steps and the peak of their rate.
    widest : whether it learns from the widest patients too.
    """

    steps: int
    learning_rate: float
    augmentation: Augmentation
    widest: bool = False


#: Sequences are left out of slices so often that it knows every set of them. First every pool is
#: lined with trabeculae, as real ones are. But a network that has seen no other draws every pool
#: too wide: so it then learns to tell them from smooth ones, under stronger shading, and sees some
#: hearts and images that the library's phantom has not. Widest patients from the start, or more of
#: them, made a network that hesitates to call edema what is edema.
STAGES = (
    Stage(1600, 3e-3, Augmentation(missing=0.25, zoom=0.35, trabeculae=1.0, lined=1.0)),
    Stage(400, 1.5e-3, Augmentation(missing=0.25, zoom=0.35, trabeculae=1.0, lined=0.3,
                                    bias=0.35, gamma=0.3), widest=True),
)
#: By what the stages were chosen, besides the validation: none of it entered a loss.
LOOKED_AT = ("the stages were chosen looking at scores on seeds 100 to 127 of the library's "
             "phantom and of two of other makes, and on three patients of the Sunnybrook data")
#: Weights of the objective besides the one cross entropy, see `Objective`.
LIKELIHOOD, BARE = 0.05, 0.2


def settings_of(options: argparse.Namespace, stage: Stage) -> TrainingSettings:
    taught = options.teacher == "map"
    return TrainingSettings(
        label_weight=0.0 if taught else 1.0, teacher_weight=1.0 if taught else 0.0,
        likelihood_weight=LIKELIHOOD, bare=BARE, batch=options.batch, validate_every=200,
        steps=max(1, round(stage.steps * options.length)), learning_rate=stage.learning_rate,
        missing=stage.augmentation.missing, seed=options.seed, device="cpu")


def fitting(examples: Examples) -> Examples:
    """The slices that fit the canvas, on it."""
    beyond = examples.inside.clone()
    beyond[..., :CANVAS, :CANVAS] = 0
    kept = examples.select(beyond.sum((1, 2, 3)) == 0)
    return dataclasses.replace(kept, **{
        name: value[..., :CANVAS, :CANVAS] for name, value in vars(kept).items()
        if value is not None and value.shape[-2:] == kept.canvas}).enlarged(CANVAS)


def trained_in_stages(options: argparse.Namespace, learned: Examples, widest: Examples,
                      checked: Examples) -> list[Trained]:
    """Each stage goes on from the best network of the one before."""
    done: list[Trained] = []
    for number, stage in enumerate(STAGES, start=1):
        print(f"stage {number} of {len(STAGES)}", flush=True)
        folder = stage_folder(options, number)
        folder.mkdir(exist_ok=True)
        done.append(train_network(
            Examples.joined([learned, widest]) if stage.widest else learned, checked,
            settings_of(options, stage), folder, progress=said,
            augment=stage.augmentation.augmented, start=done[-1].network if done else None,
            resume=checkpoints.newest(folder, print) if options.resume else None))
    return done


def stage_folder(options: argparse.Namespace, number: int) -> Path:
    """Where a stage keeps its trace, curves and checkpoints."""
    return Path(options.out) / f"stage-{number}"


def card_of(options: argparse.Namespace, trained: list[Trained],
            learning: Learning, familiar: dict) -> Card:
    taught = learning is Learning.PRIORS
    stages = [settings_of(options, stage) for stage in STAGES]
    used = "the teacher `map`, no label" if taught else "the phantom's own labels"
    return Card(
        name=options.out.name, title=f"phantom-trained U-Net, {learning.value}",
        learning=learning,
        labelled_cases=LabelledCases(
            priors=10, loss=0 if taught else options.patients + options.widest,
            tuning=0 if taught else VALIDATION),
        architecture=stages[-1].architecture, sequences=tuple(Role),
        temperature=stages[-1].temperature, priors="shipped",
        training={
            "patients": f"{options.patients} phantom patients of wide variety, seeds {FIRST_SEED} "
                        f"to {FIRST_SEED + options.patients - 1}: typical, atypical and healthy; "
                        "all kinds of LGE and T2; difficulty 0.5 to 1.6; 3 to 8 slices; in the "
                        f"second stage {options.widest} more, whose hearts, diseases and images "
                        f"are drawn from wider ranges, seeds from {FIRST_WIDEST_SEED}",
            "learned_from": used,
            "validation": f"{VALIDATION} more from the following seeds chose the step",
            "looked_at": LOOKED_AT,
            "command": " ".join(
                ["python Benchmarks/make_network.py", options.out.name, "--threads",
                 str(options.threads), *(["--teacher", "map"] if taught else [])]),
            "stages": [{
                "settings": settings.as_dict() | {"priors": "shipped"},
                "augmentation": dataclasses.asdict(stage.augmentation),
                "step": part.step, "seconds": round(part.seconds)}
                for stage, settings, part in zip(STAGES, stages, trained, strict=True)]},
        licence="Apache-2.0", scores={"validation": trained[-1].scores}, familiar=familiar)


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
    parser.add_argument("--length", type=float, default=1.0, help="times the steps of STAGES")
    parser.add_argument("--widest", type=int, default=60, help="patients from wider ranges")
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
    widest = fitting(examples_at(
        options.out / f"widest-{options.widest}.safetensors", widest_patient,
        range(FIRST_WIDEST_SEED, FIRST_WIDEST_SEED + options.widest),
        processes=options.threads)[0])
    print(f"{len(learned)} slices of {options.patients} patients, {len(widest)} of "
          f"{options.widest} and {len(checked)} of {VALIDATION}, with a teacher's answer: "
          f"{time.perf_counter() - began:.0f} s")
    trained = trained_in_stages(options, learned.enlarged(CANVAS), widest, checked)
    last, temperature = trained[-1], settings_of(options, STAGES[-1]).temperature
    card = save_network(options.out, last.network, card_of(
        options, trained, Learning.PRIORS if taught else Learning.SYNTHETIC,
        familiar_of(last.network, checked, owner, temperature=temperature, fewer=True)))
    for number in range(1, len(STAGES) + 1):
        checkpoints.remove(stage_folder(options, number))
    print(f"{card.name}: {card.learning.value}; "
          f"{sum(part.seconds for part in trained) / 60:.1f} min of training, "
          f"sha256 {card.sha256}")
    print(machine(options.threads))


if __name__ == "__main__":
    run(main)
