"""`deepgmm train`: a folder of cases in, a network in a model folder out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import (
    check_priors,
    hushed,
    kinds_said,
    make_folder,
    progress_bar,
    table,
    warn,
)
from deepgmm.errors import InputError
from deepgmm.settings import Device
from deepgmm.training.settings import LabelledBy, Precision, TrainingSettings

if TYPE_CHECKING:
    from deepgmm.reading.studies.labelled import LabelledCase
    from deepgmm.study.words import Kind, Role
    from deepgmm.training.checkpoints import Checkpoint
    from deepgmm.training.train import Made

#: Seconds between lines where stderr is no terminal.
LINE_EVERY = 60.0


def _setting(name: str, text: str, **more: Any) -> Any:
    """The option of a setting, whose default is said once: there."""
    default = getattr(TrainingSettings, name)
    return typer.Option(help=f"{text} By default {getattr(default, 'value', default)}.", **more)


def train(
    folder: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="Cases: a folder for each with bssfp, lge, t2 (or some of them), "
        "mask, and labels where there are any; study folders with mask and labels; or MyoPS "
        "2020.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="MODEL_FOLDER",
        help="Where network, card, curves and, until the end, checkpoints go.")],
    lge_kind: Annotated[str, typer.Option(
        metavar="KIND",
        help="Of all cases: auto, magnitude, psir, dark-blood or unknown.")] = "auto",
    t2_kind: Annotated[str, typer.Option(
        metavar="KIND", help="Of all cases: auto, dark-blood (STIR, SPAIR), prepared, map (ms) or "
        "unknown.")] = "auto",
    labels: options.LabelsOf = None,
    validation: Annotated[float | None, _setting(
        "validation", "Share of the cases that only choose the best network.")] = None,
    validation_folder: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="Cases that choose the best network, instead of a share.")] = None,
    labelled: Annotated[float | None, _setting(
        "labelled", "Share of the labels that are used.")] = None,
    labelled_by: Annotated[LabelledBy | None, _setting(
        "labelled_by", "Of what that is a share.")] = None,
    priors: Annotated[Path | None, typer.Option(
        metavar="FILE.json", help="Your own contrast priors, made by deepgmm priors.")] = None,
    start: Annotated[str | None, typer.Option(
        "--start", metavar="NAME|FOLDER", help="A network to go on from, by its name on the shelf "
        "or its folder, for instance phantom-synthetic; its architecture and temperature are taken "
        "over.")] = None,
    network: Annotated[str | None, _setting(
        "network", "unet, modified-unet, unet++, unetr or swinunetr.", metavar="NAME")] = None,
    filters: Annotated[int | None, _setting("filters", "At the highest resolution.")] = None,
    levels: Annotated[int | None, _setting("levels", "Downward steps.")] = None,
    convolutions: Annotated[int | None, _setting("convolutions", "In each stage.")] = None,
    around: Annotated[bool | None, typer.Option(
        "--around", help="Show the network what lies around the mask, and the slices beside; as "
        "--start has it where that is given.")] = None,
    likelihood_weight: Annotated[float | None, _setting(
        "likelihood_weight", "Of the mixture's negative log-likelihood.")] = None,
    label_weight: Annotated[float | None, _setting(
        "label_weight", "Of the cross entropy on labelled pixels.")] = None,
    teacher_weight: Annotated[float | None, _setting(
        "teacher_weight", "Of the cross entropy against what --method map says.")] = None,
    mean_weight: Annotated[float | None, _setting(
        "mean_weight", "Hold on the tissues' means to their priors.")] = None,
    variation_weight: Annotated[float | None, _setting(
        "variation_weight", "Of the total variation: smoothness.")] = None,
    atlas_weight: Annotated[float | None, _setting(
        "atlas_weight", "Hold on the radial atlas: which tissue to expect how deep.")] = None,
    overlap_weight: Annotated[float | None, _setting(
        "overlap_weight",
        "Of 1 - soft Dice against the labels, added to their cross entropy.")] = None,
    bare: Annotated[float | None, _setting(
        "bare", "Share of the cross entropies that the network's softmax has, the posterior having "
        "the rest.")] = None,
    temperature: Annotated[float | None, _setting(
        "temperature", "Of the densities in the posterior.")] = None,
    steps: Annotated[int | None, _setting("steps", "Gradient steps.")] = None,
    batch: Annotated[int | None, _setting("batch", "Slices a step.")] = None,
    learning_rate: Annotated[float | None, _setting(
        "learning_rate", "Of AdamW, at its peak.")] = None,
    warm_up: Annotated[float | None, _setting(
        "warm_up", "Share of the steps until that peak.")] = None,
    weight_decay: Annotated[float | None, _setting("weight_decay", "Of AdamW.")] = None,
    clip: Annotated[float | None, _setting("clip", "Largest norm of the gradient.")] = None,
    validate_every: Annotated[int | None, _setting(
        "validate_every", "Steps between two validations.")] = None,
    patience: Annotated[int | None, _setting(
        "patience", "Validations without gain that end the training; 0 for all steps.")] = None,
    no_augmentation: Annotated[bool, typer.Option(
        "--no-augmentation", help="Do not vary the slices.")] = False,
    missing: Annotated[float | None, _setting(
        "missing", "Probability that a sequence is left out of a slice.")] = None,
    seed: Annotated[int | None, _setting("seed", "Of all random numbers.")] = None,
    device: Annotated[Device | None, _setting("device", "Where it is trained.")] = None,
    precision: Annotated[Precision | None, _setting(
        "precision", "Numbers of the network; bfloat16 is for CUDA.")] = None,
    checkpoint_every: Annotated[int | None, _setting(
        "checkpoint_every", "Steps between two checkpoints; 0 for none.")] = None,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on with an interrupted training, with its settings.")] = False,
    force: Annotated[bool, typer.Option(
        "--force", help="Begin anew in a folder that holds something already.")] = False,
    quiet: options.Quiet = False,
    json: Annotated[bool, typer.Option(
        "--json", help="Print the network's card to stdout as JSON.")] = False,
    log: options.Log = None,
) -> None:
    """Train one network on a folder of cases, with labels for all, some or none of them.

    Interrupted by Ctrl-C or a kill, it goes on with the same command and --resume. For several
    processes or GPUs start it by torchrun: torchrun --nproc-per-node 2 -m deepgmm train ...

    Example:

        deepgmm train cases -o my-network

        deepgmm segment --method pretrained --model my-network ...
    """
    given = dict(locals())
    began = time.perf_counter()
    said = {f.name: value for f in fields(TrainingSettings)
            if (value := given.get(f.name)) is not None}
    if no_augmentation:
        said["augmentation"] = False
    if priors is not None:
        said["priors"] = str(priors)
    check_priors(priors)
    if start:
        said = _architecture_of(start) | said

    from deepgmm.training.machines import leading, require_extra

    require_extra()
    first = leading()
    job = Job(folder, validation_folder, output, kinds_said(lge_kind, t2_kind), said, resume, force,
              labels)
    try:
        made = _made(job, quiet=quiet or not first, shown=first and not (quiet or json))
    except Exception:
        if first:
            raise
        raise typer.Exit(1) from None  # the first process says what is wrong
    if made is None:
        return
    if json:
        import json as json_format

        print(json_format.dumps(made.card.as_dict(), indent=2, ensure_ascii=False))
    elif not quiet:
        print(summary(made, time.perf_counter() - began))
        print(f"model folder: {output}\n"
              f"use it: deepgmm segment --method pretrained --model {output} ...")


def _architecture_of(network: str) -> dict[str, Any]:
    """The settings that make a network like a given one, read as that one is."""
    from deepgmm.model.architecture import INPUTS_AROUND
    from deepgmm.weights.folder import load_network
    from deepgmm.weights.shelf import find

    card = load_network(find(network))[1]
    a = card.architecture
    return {"temperature": card.temperature, "network": a.name, "filters": a.filters,
            "levels": a.levels,
            "convolutions": a.convolutions, "around": a.inputs == INPUTS_AROUND}


@dataclass(frozen=True)
class Job:
    """What was asked for.

    Attributes
    ----------
    said : the settings that the user gave, by name.
    labels : what the labels' values mean, where the user says so.
    """

    folder: Path
    validation_folder: Path | None
    output: Path
    kinds: dict[Role, Kind]
    said: dict[str, Any]
    resume: bool
    force: bool
    labels: str | None = None


def _made(job: Job, *, quiet: bool, shown: bool) -> Made | None:
    from deepgmm.training.machines import device_for, leading

    def say(warning: str) -> None:
        if leading():
            warn([warning])

    checkpoint = None
    if job.resume:
        checkpoint = _checkpoint(job.output, say)
        then = TrainingSettings.from_dict(checkpoint.words["settings"])
        settings = replace(then, **job.said)
        settings.go_on_from(then)
        device_for(settings)
    else:
        settings = TrainingSettings(**job.said)
        device_for(settings)  # before a large folder is read
        make_folder(job.output, "model")
        if not job.force:
            _refuse_to_mix(job.output)
    try:
        return _trained(job, settings, checkpoint, say, quiet=quiet, shown=shown)
    except InputError:
        with suppress(OSError):  # only a folder that nothing was written into goes
            job.output.rmdir()
        raise


def _trained(job: Job, settings: TrainingSettings, checkpoint: Checkpoint | None,
             say: Callable[[str], None], *, quiet: bool, shown: bool) -> Made | None:
    from deepgmm.reading.studies.labelled import described, find_labelled, label_warnings
    from deepgmm.training import checkpoints
    from deepgmm.training.machines import leading
    from deepgmm.training.train import train as train_cases

    with progress_bar(quiet, line_every=LINE_EVERY) as progress:
        def found(folder: Path) -> list[LabelledCase]:
            return find_labelled(folder, kinds=job.kinds, labels=job.labels, around=hushed,
                                 progress=lambda _, stage: progress(0.0, stage))
        cases = found(job.folder)
        apart = found(job.validation_folder) if job.validation_folder else None
        for text in label_warnings([*cases, *(apart or [])], job.labels):
            say(text)
        if checkpoint is None and leading():
            checkpoints.remove(job.output)
        made = train_cases(cases, settings, job.output, validation=apart, progress=progress,
                           say=say, resume=checkpoint)
    if shown:
        print(described(cases))
    return made


def _refuse_to_mix(output: Path) -> None:
    if any(not path.name.startswith(".") for path in output.iterdir()):
        raise InputError("the model folder is not empty: go on with --resume where a training was "
                         "interrupted, begin anew with --force, or choose another folder")


def _checkpoint(output: Path, say: Callable[[str], None]) -> Checkpoint:
    from deepgmm.training import checkpoints
    from deepgmm.weights.card import NAME

    found = checkpoints.newest(output, say)
    if found is None:
        ended = (output / NAME).is_file()
        raise InputError("the training in the model folder has ended: there is nothing to resume"
                         if ended else "the model folder holds no checkpoint to go on from: check "
                         "the path given to --output, or leave --resume out")
    found.check()
    return found


def summary(made: Made, seconds: float) -> str:
    """What the network is and how well it did in validation, as text; `seconds` took it all."""
    card, trained = made.card, made.trained
    lines = [f"{card.title}; {len(card.training['cases'])} to learn from, "
             f"{len(card.training['validation_cases'])} to validate; "
             f"{'best at' if trained.scores else 'as of'} step {trained.step}; "
             f"{trained.seconds:.0f} s of training, {seconds:.0f} s with reading and writing"]
    used = card.labelled_cases
    lines.append(f"labelled cases: {used.priors} in priors, {used.loss} in the loss, "
                 f"{used.tuning} in the choice of the best network")
    if "dice" in trained.scores:
        lines.append(table([("tissue", "Dice in validation"), *(
            (tissue, "-" if dice is None else f"{dice:.2f}")
            for tissue, dice in trained.scores["dice"].items())]))
    return "\n".join(lines)
