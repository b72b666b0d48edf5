"""`deepgmm brain train` and `deepgmm brain table`: networks from a folder of brains."""

from __future__ import annotations

import json as json_format
import sys
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import check_places, existing, hushed, progress_bar, warn, written
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.brain.table import TableSettings


class Contrast(str, Enum):
    """Of the images of a folder."""

    T1 = "T1"
    FLAIR = "FLAIR"
    IR = "IR"


Folder = Annotated[Path, typer.Argument(
    metavar="FOLDER", help="Brains in IBSR18's layout (CASE/CASE.nii.gz, CASE_seg.nii.gz) or "
    "MRBrainS18's (CASE/pre/reg_T1.nii.gz, CASE/segm.nii.gz); which, is found out and said.")]
ContrastOf = Annotated[Contrast, typer.Option(
    help="Which of a case's images; IBSR18 has T1 alone.")]


def train(
    folder: Folder,
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="NETWORK", help="Where network and card go.")],
    atlas: Annotated[str | None, typer.Option(
        metavar="mni|FILE", help="Train the network that deforms this atlas in one pass; without "
        "it, the one that finds tissues slice by slice.")] = None,
    contrast: ContrastOf = Contrast.T1,
    network: Annotated[str | None, typer.Option(
        metavar="NAME", help="Of slices: modified-unet (the paper's), unet, unet++, unetr, "
        "swinunetr; modified-unet by default.")] = None,
    filters: Annotated[int | None, typer.Option(
        help="Of slices: at the highest resolution; 8 by default.")] = None,
    levels: Annotated[int | None, typer.Option(
        help="Of slices: downward steps, 1 to 6; 3 by default.")] = None,
    bias_degree: Annotated[int | None, typer.Option(
        help="Of slices: degree of the bias field's Legendre polynomials; 2 by default, 0 for "
        "none.")] = None,
    total_variation: Annotated[float | None, typer.Option(
        help="Of slices: weight of the total variation, gamma; 0.35 by default.")] = None,
    label_weight: Annotated[float | None, typer.Option(
        help="Of slices: alpha, of the cross entropy on labels; 0, by default, uses no "
        "label.")] = None,
    likelihood_weight: Annotated[float | None, typer.Option(
        help="Of slices: beta, of the mixture loss; 1 by default.")] = None,
    smoothness: Annotated[float | None, typer.Option(
        help="With --atlas: lambda, of the squared gradient of the displacement; 1 by "
        "default.")] = None,
    turned: Annotated[float | None, typer.Option(
        help="With --atlas: share of the steps that see the contrast turned over; 0 by "
        "default.")] = None,
    steps: Annotated[int | None, typer.Option(
        help="Gradient steps; 150 of slices, 1500 with --atlas, by default.")] = None,
    batch: Annotated[int | None, typer.Option(
        help="Slices, or brains, a step; 8 and 1 by default.")] = None,
    learning_rate: Annotated[float | None, typer.Option(
        help="Of the descent; 0.003 by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all random numbers; 0 by default.")] = None,
    force: Annotated[bool, typer.Option(
        "--force", help="Replace a network that is there.")] = False,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
    log: options.Log = None,
) -> None:
    """Train a network on brains, without labels unless --label-weight says so.

    Without --atlas it is the network of the mixture loss, with --bias-degree under a bias field.
    With --atlas it is the one that reads image and atlas and gives the deformation in one pass.

    Example:

        deepgmm brain train IBSR18/Training_Set --atlas mni -o brain-network
    """
    from deepgmm.brain.training import train as learn

    slices = {"network": network, "filters": filters, "levels": levels, "degree": bias_degree,
              "variation": total_variation, "label_weight": label_weight,
              "likelihood_weight": likelihood_weight}
    deforming = {"smoothness": smoothness, "turned": turned}
    common = {"steps": steps, "batch": batch, "learning_rate": learning_rate, "seed": seed}
    idle = [name for name, value in (slices if atlas else deforming).items() if value is not None]
    if idle:
        option = {"degree": "bias-degree", "variation": "total-variation"}.get(
            idle[0], idle[0].replace("_", "-"))
        raise InputError(f"--{option} is for the network " + (
            "of slices, and --atlas asks for the other one" if atlas else
            "that deforms an atlas: name one with --atlas") + "; leave it out")
    if atlas and contrast is not Contrast.T1:
        raise InputError(f"--contrast {contrast.value} is for the network of slices: the one that "
                         "deforms an atlas is trained on T1; leave one of the two out")
    given: dict[str, Any]
    with progress_bar(quiet) as progress, hushed():
        if atlas is None:
            from deepgmm.brain.unsupervised import UnsupervisedSettings

            given = {"unsupervised": UnsupervisedSettings(
                contrast=contrast.value, **_said({**slices, **common}))}
        else:
            from deepgmm.brain.amortised import AmortisedSettings
            from deepgmm.brain.atlas_choice import chosen_atlas

            given = {"amortised": AmortisedSettings(**_said({**deforming, **common})),
                     "atlas": chosen_atlas(atlas)}
        card = learn(folder, output, force=force, progress=progress, **given)
    warn(card.training["warnings"], numbered=True)
    if json:
        sys.stdout.write(json_format.dumps(card.as_dict(), indent=2, allow_nan=False) + "\n")
    elif not quiet:
        used = card.labelled_cases
        print(f"{card.title}; {card.training['count']} cases ({card.training['layout']}), "
              f"{card.training['seconds']:.0f} s\n"
              f"labelled cases: {used.atlas} in the atlas, {used.loss} in the loss\n"
              f"network: {output}")


def table(
    folder: Folder,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.md", help="The tables as Markdown.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="OUT.json", help="All figures.")] = None,
    fractions: Annotated[str, typer.Option(
        metavar="LIST", help="Of the training cases that are labelled.")] = "0.25,0.5,0.75",
    networks: Annotated[str, typer.Option(
        metavar="LIST", help="Of unet, modified-unet, unet++, unetr, swinunetr.")] =
        "unet,modified-unet",
    contrast: ContrastOf = Contrast.T1,
    likelihood_weight: Annotated[float | None, typer.Option(
        help="beta of the rows with the mixture loss, a voxel.")] = None,
    seeds: Annotated[int, typer.Option(
        min=1, help="Networks a row, over which it is averaged.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the first, and of who is labelled.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Of each training.")] = None,
    quick: Annotated[bool, typer.Option(
        "--quick", help="A trial: small networks, few steps; its figures mean nothing.")] = False,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
    log: options.Log = None,
) -> None:
    """Run Tables 1 to 4 of the brain paper on your own copy of IBSR18 or MRBrainS18.

    Networks learn from a part of the labels, with and without the mixture loss, and are scored on
    cases held back: the folder's validation set, or a third. The paper's figures stand beside.

    Example:

        deepgmm brain table IBSR18 --fractions 0.25 -o tables.md
    """
    from deepgmm.brain.report import finite
    from deepgmm.brain.table import TableSettings
    from deepgmm.brain.table import table as run_tables

    outputs: dict[str, Path | None] = {"tables": output, "report": report}
    check_places(outputs, {})
    for path in (output, report):
        if path is not None and folder.resolve() in path.resolve().parents:
            raise InputError("the tables would lie among the data: give them another folder")
    older = existing(outputs)
    settings = TableSettings(fractions=tuple(_numbers(fractions, "--fractions")),
                             networks=tuple(options.words_in(networks)),
                             seeds=seeds, seed=seed)
    settings = _trained(settings, contrast, likelihood_weight, steps)
    if quick:
        settings = settings.quick()
    with progress_bar(quiet) as progress, hushed():
        found = run_tables(folder, settings, progress=progress)
    warn(found.warnings, numbered=True)
    content = json_format.dumps(finite(found.as_dict()), indent=2, allow_nan=False) + "\n"
    _write(output, report, found.markdown(), content)
    if json:
        sys.stdout.write(content)
    elif not quiet:
        print(("A trial: no figure below means anything.\n\n" if quick else "")
              + found.markdown() + written(outputs, older))


def _write(output: Path | None, report: Path | None, markdown: str, content: str) -> None:
    from deepgmm.files import together

    with together() as outputs:
        for path, what, text in ((output, "tables", markdown), (report, "report", content)):
            if path is not None:
                outputs.path(path, what).write_text(text, encoding="utf-8")


def _trained(settings: TableSettings, contrast: Contrast, likelihood_weight: float | None,
             steps: int | None) -> TableSettings:
    training = replace(settings.training, contrast=contrast.value,
                       **_said({"steps": steps}))
    return replace(settings, training=training,
                   **_said({"likelihood_weight": likelihood_weight}))


def _said(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(word) for word in options.words_in(text)]
    except ValueError:
        raise InputError(f"{option}: give numbers with commas between, as 0.25,0.5") from None

