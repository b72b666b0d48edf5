"""Make the shipped network: a U-Net trained on phantom patients of wide variety.

    python Benchmarks/make_network.py OUT                    the phantom's labels enter the loss
    python Benchmarks/make_network.py OUT --start FOLDER     the last stage alone, from a network
    python Benchmarks/make_network.py OUT --teacher map      no label: `map` is the teacher
    python Benchmarks/make_network.py OUT --resume           goes on where it was stopped

The first is called synthetic-supervised, the third unsupervised with contrast priors; both are
scored by `learning.py`, the first by `real_lge.py` too. Training has stages, see `STAGES`; the
teacher has the first two. Examples are kept beside the network, so that a second run begins with
training. The same command on the same machine with one thread gives the same weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import machine, run, use_threads
from lifelike import FIRST_SEED as FIRST_LIFELIKE_SEED
from lifelike import training_patient
from torch import Tensor, nn
from trainings import examples_at
from wide_phantoms import FIRST_SEED, FIRST_WIDEST_SEED, wide_patient, widest_patient

from deepgmm.model.architecture import INPUTS, INPUTS_AROUND
from deepgmm.model.architectures import build
from deepgmm.model.learning import Examples
from deepgmm.study.words import Role
from deepgmm.training import checkpoints
from deepgmm.training.augmentation import Augmentation
from deepgmm.training.familiar import familiar_of
from deepgmm.training.loop import Trained, train_network
from deepgmm.training.settings import TrainingSettings
from deepgmm.weights.card import Card, LabelledCases, Learning
from deepgmm.weights.folder import load_network, save_network

#: Patients by whose loss the best step is chosen; their seeds follow those of the training.
VALIDATION = 40
#: Rows and columns of the canvas, with room for hearts larger than these patients'; and of the
#: canvas that shows what lies around.
CANVAS, CANVAS_AROUND = 72, 80
#: Stands for no temperature at all: what is trained is the network's own say.
BARE_TEMPERATURE = 1e6
#: At which the shipped network is read all the same: beside other sequences a pixel of its own adds
#: a little, with all three more, and on LGE alone it harms nothing.
READ_TEMPERATURE = 10.0
READ_TEMPERATURES = {"bssfp+lge+t2": 3.0}
MAKERS: dict[str, tuple[Callable[[int], Any], int]] = {
    "wide": (wide_patient, FIRST_SEED), "widest": (widest_patient, FIRST_WIDEST_SEED),
    "lifelike": (training_patient, FIRST_LIFELIKE_SEED)}


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes
    ----------
    steps, learning_rate : gradient steps and the peak of their rate.
    patients : which of `MAKERS` it learns from.
    around : whether the network sees what lies around the mask, and the slices beside.
    more : further settings of the training.
    """

    steps: int
    learning_rate: float
    augmentation: Augmentation
    patients: tuple[str, ...] = ("wide",)
    around: bool = False
    more: dict[str, Any] = dataclasses.field(default_factory=lambda: {
        "likelihood_weight": 0.05, "bare": 0.2})

    @property
    def inputs(self) -> int:
        return INPUTS_AROUND if self.around else INPUTS


#: Sequences are left out of slices so often that it knows every set of them. First every pool is
#: lined with trabeculae, as real ones are. But a network that has seen no other draws every pool
#: too wide: so it then learns to tell them from smooth ones, under stronger shading, and sees some
#: hearts and images that the library's phantom has not. Widest patients from the start, or more of
#: them, made a network that hesitates to call edema what is edema. Last come patients whose LGE is
#: as real LGE was measured to be, of more than half of them LGE alone, and with them a view of
#: what lies around the mask: where the contour is a pixel off, fat beside the wall is no scar.
#: 600 or 800 steps more, with 160 patients whose scars lie in any layer of the wall, made nothing
#: better, neither on lifelike patients nor on such ones.
STAGES = (
    Stage(1600, 3e-3, Augmentation(missing=0.25, zoom=0.35, trabeculae=1.0, lined=1.0)),
    Stage(400, 1.5e-3, Augmentation(missing=0.25, zoom=0.35, trabeculae=1.0, lined=0.3,
                                    bias=0.35, gamma=0.3), ("wide", "widest")),
    Stage(2600, 3e-3, Augmentation(missing=0.15, zoom=0.25, trabeculae=1.0, lined=0.25, bias=0.25,
                                   gamma=0.15, noise=0.12), ("wide", "widest", "lifelike"), True,
          {"likelihood_weight": 0.0, "bare": 1.0, "overlap_weight": 1.0,
           "temperature": BARE_TEMPERATURE}),
)
#: By what the stages were chosen, besides the validation: none of it entered a loss.
LOOKED_AT = ("the first two stages were chosen looking at scores on seeds 100 to 127 of the "
             "library's phantom and of two of other makes, and on three patients of the Sunnybrook "
             "data; the ranges of the lifelike patients and the last stage looking at figures of "
             "29 patients of EMIDEC and at scores on them; the temperature of all three sequences "
             "at scores on seeds 100 to 127 of the library's phantom and of a third make, after "
             "a first choice on seeds 1000 to 1013")


def settings_of(options: argparse.Namespace, stage: Stage) -> TrainingSettings:
    taught = options.teacher == "map"
    return TrainingSettings(
        label_weight=0.0 if taught else 1.0, teacher_weight=1.0 if taught else 0.0,
        batch=options.batch, validate_every=200, around=stage.around,
        steps=max(1, round(stage.steps * options.length)), learning_rate=stage.learning_rate,
        missing=stage.augmentation.missing, seed=options.seed, device="cpu", **stage.more)


def fitting(examples: Examples, canvas: int) -> Examples:
    """The slices that fit a canvas, on it."""
    beyond = examples.inside.clone()
    beyond[..., :canvas, :canvas] = 0
    kept = examples.select(beyond.sum((1, 2, 3)) == 0)
    return dataclasses.replace(kept, **{
        name: value[..., :canvas, :canvas] for name, value in vars(kept).items()
        if value is not None and value.shape[-2:] == kept.canvas}).enlarged(canvas)


def sees_around(network: nn.Module) -> bool:
    """Whether it has the inputs of the last stage already."""
    return next(iter(network.state_dict().values())).shape[1] == INPUTS_AROUND


def shown_around(network: nn.Module) -> nn.Module:
    """A network of the first stages as one that is shown more, and does not heed it yet."""
    wider = build(TrainingSettings(around=True).architecture)
    state = network.state_dict()
    first = next(iter(state))
    old, new = state[first], wider.state_dict()[first].clone().zero_()
    sequences = len(Role)
    # values first; then which are there, the mask and the depth, which stay last
    new[:, :sequences] = old[:, :sequences]
    new[:, -(old.shape[1] - sequences):] = old[:, sequences:]
    wider.load_state_dict({**state, first: new})
    return wider


class Pools:
    """Patients as slices, made when a stage asks for them, and kept."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.counts = {"wide": options.patients, "widest": options.widest,
                       "lifelike": options.lifelike}

    def learned(self, stage: Stage) -> Examples:
        return Examples.joined([self._of(name, stage, 0, self.counts[name])[0]
                                for name in stage.patients])

    def checked(self, stage: Stage) -> tuple[Examples, Tensor]:
        """Slices to choose the best step by, and which patient each is of: of the last make."""
        name = "lifelike" if stage.around else "wide"
        return self._of(name, stage, self.counts[name], VALIDATION)

    def _of(self, name: str, stage: Stage, skip: int, count: int) -> tuple[Examples, Tensor]:
        maker, first = MAKERS[name]
        path = self.options.out / f"{name}-{skip}-{count}-{stage.inputs}.safetensors"
        examples, owner = examples_at(
            path, maker, range(first + skip, first + skip + count), inputs=stage.inputs,
            teach=self.options.teacher is not None, processes=self.options.processes)
        canvas = CANVAS_AROUND if stage.around else CANVAS
        if name == "wide" and not stage.around:
            return examples.enlarged(canvas), owner
        kept = fitting(examples, canvas)
        return kept, owner if len(kept) == len(owner) else owner[: len(kept)]


def trained_in_stages(options: argparse.Namespace, pools: Pools,
                      start: nn.Module | None) -> list[Trained]:
    """Each stage goes on from the best network of the one before."""
    done: list[Trained] = []
    for number, stage in stages_of(options):
        print(f"stage {number} of {len(STAGES)}", flush=True)
        folder = options.out / f"stage-{number}"
        folder.mkdir(exist_ok=True)
        before = done[-1].network if done else start
        if stage.around and before is not None and not sees_around(before):
            before = shown_around(before)
        done.append(train_network(
            pools.learned(stage), pools.checked(stage)[0], settings_of(options, stage), folder,
            progress=said, augment=stage.augmentation.augmented, start=before,
            resume=checkpoints.newest(folder, print) if options.resume else None))
    return done


def stages_of(options: argparse.Namespace) -> list[tuple[int, Stage]]:
    """The stages to be run, numbered from 1."""
    numbered = list(enumerate(STAGES, start=1))
    if options.start:
        return numbered[2:]
    return numbered[:2] if options.teacher else numbered


def card_of(options: argparse.Namespace, trained: list[Trained],
            learning: Learning, familiar: dict) -> Card:
    taught = learning is Learning.PRIORS
    run_stages = [stage for _, stage in stages_of(options)]
    settings = [settings_of(options, stage) for stage in run_stages]
    last = run_stages[-1]
    patients = options.patients + options.widest + (options.lifelike if last.around else 0)
    return Card(
        name=options.out.name, title=f"phantom-trained U-Net, {learning.value}",
        learning=learning,
        labelled_cases=LabelledCases(priors=10, loss=0 if taught else patients,
                                     tuning=0 if taught else VALIDATION),
        architecture=settings[-1].architecture, sequences=tuple(Role),
        temperature=READ_TEMPERATURE if last.around else settings[-1].temperature,
        priors="shipped",
        training=({"temperatures": READ_TEMPERATURES} if last.around else {}) | {
            "patients": described(options, last),
            "learned_from": "the teacher `map`, no label" if taught else "the phantom's own labels",
            "validation": f"{VALIDATION} more from the following seeds chose the step",
            "looked_at": LOOKED_AT,
            "command": " ".join(
                ["python Benchmarks/make_network.py", options.out.name, "--threads",
                 str(options.threads), *(["--teacher", "map"] if taught else []),
                 *(["--start", "FOLDER"] if options.start else [])]),
            "stages": [{
                "settings": one.as_dict() | {"priors": "shipped"},
                "augmentation": dataclasses.asdict(stage.augmentation),
                "patients": list(stage.patients), "step": part.step,
                "seconds": round(part.seconds)}
                for stage, one, part in zip(run_stages, settings, trained, strict=True)]}
        | ({"began_with": options.start.name} if options.start else {}),
        licence="Apache-2.0", scores={"validation": trained[-1].scores}, familiar=familiar)


def described(options: argparse.Namespace, last: Stage) -> str:
    words = (f"{options.patients} phantom patients of wide variety, seeds {FIRST_SEED} to "
             f"{FIRST_SEED + options.patients - 1}: typical, atypical and healthy; all kinds of "
             "LGE and T2; difficulty 0.5 to 1.6; 3 to 8 slices; from the second stage on "
             f"{options.widest} more, whose hearts, diseases and images are drawn from wider "
             f"ranges, seeds from {FIRST_WIDEST_SEED}")
    if last.around:
        words += (f"; in the last {options.lifelike} whose LGE is drawn as real LGE was measured "
                  f"to be, seeds from {FIRST_LIFELIKE_SEED}, more than half of them LGE alone")
    return words


def said(fraction: float, stage: str) -> None:
    """A line a hundred steps."""
    words = stage.split()
    if words[:1] == ["step"] and int(words[1]) % 100 == 0:
        print(stage, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="the network's folder; its name is the network's")
    parser.add_argument("--teacher", choices=("map",), help="learn from it and not from labels")
    parser.add_argument("--start", type=Path, metavar="FOLDER",
                        help="a network of the first stages, to run the last")
    parser.add_argument("--patients", type=int, default=380)
    parser.add_argument("--length", type=float, default=1.0, help="times the steps of STAGES")
    parser.add_argument("--widest", type=int, default=60, help="patients from wider ranges")
    parser.add_argument("--lifelike", type=int, default=800, help="patients with lifelike LGE")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2, help="that make patients")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    began, pools = time.perf_counter(), Pools(options)
    last = stages_of(options)[-1][1]
    start = load_network(options.start)[0] if options.start else None
    for _, stage in stages_of(options):
        print(f"{len(pools.learned(stage))} slices to learn from, "
              f"{len(pools.checked(stage)[0])} to check by: {time.perf_counter() - began:.0f} s")
    use_threads(options.threads)
    trained = trained_in_stages(options, pools, start)
    temperature = READ_TEMPERATURE if last.around else settings_of(options, last).temperature
    checked, owner = pools.checked(last)
    card = save_network(options.out, trained[-1].network, card_of(
        options, trained, Learning.PRIORS if options.teacher else Learning.SYNTHETIC,
        familiar_of(trained[-1].network, checked, owner, temperature=temperature, fewer=True)))
    for folder in options.out.glob("stage-*"):
        checkpoints.remove(folder)
    print(machine(options.threads))
    print(f"{card.name}: sha256 {card.sha256}; {sum(t.seconds for t in trained):.0f} s of training")


if __name__ == "__main__":
    run(main)
