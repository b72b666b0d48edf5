"""`deepgmm brain`: CSF, grey and white matter of brain MRI; its commands, under one name."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepgmm.cli import options
from deepgmm.cli.brain_learning import Contrast as FolderContrast
from deepgmm.cli.brain_learning import ContrastOf, Folder, table, train
from deepgmm.cli.common import (
    check_places,
    existing,
    hushed,
    make_folder,
    progress_bar,
    warn,
    written,
)
from deepgmm.cli.common import table as aligned
from deepgmm.errors import InputError
from deepgmm.progress import Progress, share_of

if TYPE_CHECKING:
    from deepgmm.brain.result import BrainResult
    from deepgmm.brain.volumes import BrainVolume

brain = typer.Typer(rich_markup_mode=None)


class Brightness(str, Enum):
    """Which tissue is bright, where no atlas tells."""

    T1 = "T1"
    T2 = "T2"
    INVERTED = "inverted"


class Sulci(str, Enum):
    """What becomes of CSF in the sulci in the labelmap."""

    CSF = "csf"
    GREY = "grey"


@brain.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Brain MRI: CSF, grey and white matter, with an atlas or without.

    Commands: segment one brain, make an atlas of labelled cases, train a network, run the tables
    of the brain paper, and a demo on a synthetic brain.

    Example:

        deepgmm brain segment T1.nii.gz --mask brain.nii.gz --atlas mni -o tissues.nii.gz
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@brain.command()
def segment(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="One contrast of one brain.")],
    mask: Annotated[Path | None, typer.Option(
        metavar="FILE",
        help="The brain with its CSF; by default the image's nonzero voxels.")] = None,
    truth: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Somebody's labels (1 CSF, 2 grey, 3 white), to score by at the end; "
        "the segmentation never sees them.")] = None,
    atlas: Annotated[str | None, typer.Option(
        metavar="mni|FILE",
        help="Deform this atlas to the brain; without one, a mixture and a field alone.")] = None,
    network: Annotated[Path | None, typer.Option(
        "--model", metavar="FOLDER", help="One pass of a network made by deepgmm brain train; one "
        "that deforms an atlas needs the same --atlas.")] = None,
    steps: Annotated[int, typer.Option(
        min=0, help="With --model and --atlas: steps on this image after the pass.")] = 0,
    affine: Annotated[bool, typer.Option(
        "--affine", help="Lay the atlas on without deforming it.")] = False,
    smoothness: Annotated[float | None, typer.Option(
        min=0.01, help="Of the deformation: lambda.")] = None,
    bias_degree: Annotated[int | None, typer.Option(
        min=0, max=5,
        help="Of the field's Legendre polynomials; 3 by default, 0 for no field.")] = None,
    contrast: Annotated[Brightness | None, typer.Option(
        help="Without an atlas: T1 (CSF is dark; the default), T2 or inverted (CSF is "
        "bright).")] = None,
    sulci: Annotated[Sulci, typer.Option(
        help="In the labelmap CSF of the sulci is CSF, or grey matter as IBSR has "
        "it.")] = Sulci.CSF,
    seed: Annotated[int, typer.Option(
        min=0, help="Kept in the report; the result is the same for every seed.")] = 0,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.nii.gz",
        help="Labels: 1 CSF, 2 grey, 3 white matter.")] = None,
    probabilities: Annotated[Path | None, typer.Option(
        metavar="OUT.nii.gz", help="Of each tissue, 4D.")] = None,
    field: Annotated[Path | None, typer.Option(
        metavar="OUT.nii.gz", help="The bias field.")] = None,
    montage: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="A picture of six planes.")] = None,
    report: Annotated[Path | None, typer.Option(
        metavar="OUT.json", help="Volumes, mixture, field, atlas, warnings, hashes.")] = None,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
    log: options.Log = None,
) -> None:
    """Split a brain into CSF, grey and white matter.

    Example:

        deepgmm brain segment T1.nii.gz --mask brain.nii.gz --atlas mni -o tissues.nii.gz
        --montage tissues.png
    """
    outputs: dict[str, Path | None] = {
        "labelmap": output, "probabilities": probabilities, "field": field, "montage": montage,
        "report": report}
    if not json and not any(outputs.values()) and truth is None:
        raise InputError("no output asked for: give -o OUT.nii.gz, --probabilities, --field, "
                         "--montage, --report, --truth or --json")
    inputs = {"image": image, "brain mask": mask, "truth": truth}
    if atlas is not None and Path(atlas).is_file():
        inputs["atlas"] = Path(atlas)
    check_places(outputs, inputs)
    way = Way(atlas, network, steps, affine, smoothness, bias_degree, contrast, seed)
    way.check()
    older = existing(outputs)
    began = time.perf_counter()
    with progress_bar(quiet) as progress:
        from deepgmm.brain.volumes import read_volume

        with hushed():
            volume = read_volume(image, mask=mask)
            scored = None if truth is None else _truth_for(volume, truth, image)
        result, scores = way.run(volume, progress, scored)
        if sulci is Sulci.GREY:
            result = result.with_grey_sulci()
        result.provenance["csf_of_the_sulci"] = sulci.value
        if scores:
            result.provenance["scores"] = scores
        progress(0.95, "writing")
        from deepgmm.brain.report import report_text, write_result

        with hushed():
            write_result(result, outputs)
    warn([*volume.warnings, *result.warnings], numbered=True)
    if json:
        sys.stdout.write(report_text(result))
    elif not quiet:
        print(summary(result, time.perf_counter() - began))
        if scores:
            print(f"\nF1 in %, by what becomes of CSF in the sulci\n{score_table(scores)}")
        if any(outputs.values()):
            print(written(outputs, older))


@brain.command()
def atlas(
    folder: Folder,
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="OUT.npz", help="The atlas.")],
    without: Annotated[str, typer.Option(
        metavar="LIST", help="Cases to leave out, with commas: those that you want to score on."
    )] = "",
    contrast: ContrastOf = FolderContrast.T1,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
    log: options.Log = None,
) -> None:
    """Make an atlas of labelled cases: how likely each tissue is where.

    It knows which cases it was made of, and refuses to be scored on them. Images of patients
    cannot be had back from it, but their names are in it.

    Example:

        deepgmm brain atlas IBSR18/Training_Set -o own-atlas.npz
    """
    import json as json_format

    from deepgmm.brain.atlas import make_atlas
    from deepgmm.brain.atlas_choice import described
    from deepgmm.brain.layouts import brain_cases, read_case, said_of

    check_places({"atlas": output}, {})
    older = existing({"atlas": output})
    cases = brain_cases(folder, contrast=contrast.value, labelled=True)
    left = set(options.words_in(without))
    unknown = sorted(left - {case.name for case in cases})
    if unknown:
        raise InputError(f"--without: no labelled case is called {unknown[0]}")
    cases = [case for case in cases if case.name not in left]
    with progress_bar(quiet) as progress:
        volumes = []
        for number, case in enumerate(cases):
            progress(0.3 * number / len(cases), f"reading case {number + 1} of {len(cases)}")
            with hushed():
                volumes.append(read_case(case))
        made = make_atlas(volumes, progress=share_of(progress, 0.3, 0.65))
        made.save(output)
    warn(said_of(volumes), numbered=True)
    if json:
        sys.stdout.write(json_format.dumps(described(made), indent=2) + "\n")
    elif not quiet:
        print(f"{made.title}; CSF of the sulci is "
              + ("grey matter in it" if made.sulci_are_grey else "CSF in it"))
        print(written({"atlas": output}, older))


brain.command("train")(train)
brain.command("table")(table)


@brain.command()
def demo(
    output: options.OutFolder = Path("brain-demo"),
    person: Annotated[int, typer.Option(
        "--brain", min=0, help="Which synthetic brain, 0 or more.")] = 1,
    contrast: Annotated[Brightness, typer.Option(help="Of the image.")] = Brightness.T1,
    quiet: options.Quiet = False,
    log: options.Log = None,
) -> None:
    """Segment a synthetic brain, from files to files.

    Its atlas is made of others of the same make, so that this shows what the commands do and not
    how well they do on people. The truth and the brain mask are written beside the image, and the
    truth compared at the end; in it, as in IBSR, CSF in the sulci is grey matter.

    Example:

        deepgmm brain demo -o brain-demo
    """
    from deepgmm.brain.atlas import make_atlas
    from deepgmm.brain.phantom import make_brain
    from deepgmm.brain.phantom_files import write_ibsr
    from deepgmm.brain.report import write_result
    from deepgmm.brain.volumes import read_volume

    make_folder(output, "output")
    outputs: dict[str, Path | None] = {
        "labelmap": output / "labels.nii.gz", "field": output / "field.nii.gz",
        "montage": output / "montage.png", "report": output / "report.json",
        "atlas": output / "atlas.npz"}
    case = output / "input" / f"{contrast.value}_{person:04d}"
    older = existing({"input": case, **outputs})
    with progress_bar(quiet) as progress:
        progress(0.0, "drawing brains")
        made = make_brain(person, contrast=contrast.value, spacing=DEMO_MM, bias=0.2)
        others = [replace(other.volume, labels=other.as_labelled) for other in (
            make_brain(1000 + n, spacing=DEMO_MM) for n in range(DEMO_OTHERS))]
        (image,) = write_ibsr([made], output / "input", masks=True)
        progress(0.1, "an atlas of others")
        own = make_atlas(others, title="atlas of synthetic brains",
                         progress=share_of(progress, 0.1, 0.5))
        own.save(outputs["atlas"])  # type: ignore[arg-type]
        volume = read_volume(image)
        truth = _truth_for(volume, image.with_name(image.name.replace(".nii.gz", "_seg.nii.gz")),
                           image)
        rows = {}
        for name, way in (("no atlas", Way(contrast=contrast)),
                          ("atlas, deformed", Way(str(outputs["atlas"])))):
            result, scores = way.run(volume, share_of(progress, 0.6, 0.15), truth)
            rows[name] = scores["as labelled"]
        result = result.with_grey_sulci()
        write_result(result, {n: p for n, p in outputs.items() if n != "atlas"})
    if not quiet:
        print(f"{summary(result)}\n\nF1 in %, as the truth labels CSF\n{score_table(rows)}\n\n"
              + written({"input": case, **outputs}, older))


#: Of the demo: voxels in mm, and brains in its atlas.
DEMO_MM, DEMO_OTHERS = 2.0, 4


@dataclass(frozen=True)
class Way:
    """How one brain is segmented; None where an option was not given."""

    atlas: str | None = None
    network: Path | None = None
    steps: int = 0
    affine: bool = False
    smoothness: float | None = None
    degree: int | None = None
    contrast: Brightness | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuse options that would do nothing."""
        idle = {
            "--steps": self.steps and (self.network is None or self.atlas is None),
            "--affine": self.affine and (self.atlas is None or self.network is not None),
            "--smoothness": self.smoothness is not None and (
                self.atlas is None or self.network is not None or self.affine),
            "--bias-degree": self.degree is not None and self.network is not None,
            "--contrast": self.contrast is not None and bool(self.atlas or self.network)}
        for option, useless in idle.items():
            if useless:
                raise InputError(f"{option} does nothing here: "
                                 + ("the atlas or the network knows; " if option == "--contrast"
                                    else "it needs or excludes --atlas or --model; ")
                                 + "leave it out, or see deepgmm brain segment --help")

    def run(self, volume: BrainVolume, progress: Progress, truth: BrainVolume | None = None
            ) -> tuple[BrainResult, dict[str, dict[str, dict[str, float]]]]:
        """The result, and its scores by convention and tissue where a truth was given."""
        from deepgmm.brain.atlas_choice import chosen_atlas
        from deepgmm.brain.result import BrainResult, scores_of

        chosen = None if self.atlas is None else chosen_atlas(self.atlas)
        if truth is not None and chosen is not None:
            chosen.may_score(truth)
        if self.network is not None:
            from deepgmm.brain.by_network import segment_by_network
            from deepgmm.brain.network_card import NetworkKind, load_brain_network

            net, card = load_brain_network(self.network)
            if self.atlas is not None and card.kind is NetworkKind.UNSUPERVISED:
                raise InputError("--atlas does nothing here: this network finds tissues slice by "
                                 "slice and deforms no atlas; leave --atlas out")
            found = segment_by_network(volume, net, card, steps=self.steps, atlas=chosen)
            result = BrainResult.by_network(volume, found, card, chosen)
        else:
            from deepgmm.brain.scene import BrainSettings
            from deepgmm.brain.segmenting import segment_brain

            settings = BrainSettings(deform=not self.affine, seed=self.seed,
                                     dark_first=self.contrast in (None, Brightness.T1))
            if self.smoothness is not None:
                settings = replace(settings, smoothness=self.smoothness)
            if self.degree is not None:
                settings = replace(settings, degree=self.degree)
            fit = segment_brain(volume, chosen, settings, progress=share_of(progress, 0.05, 0.85))
            result = BrainResult.of(volume, fit, settings, chosen)
        return result, {} if truth is None else scores_of(result, truth)


def _truth_for(volume: BrainVolume, labels: Path, image: Path) -> BrainVolume:
    """The volume with labels that the segmentation does not get."""
    from deepgmm.brain.volumes import read_volume

    drawn = read_volume(image, labels=labels)
    return replace(volume, labels=drawn.labels, hashes=volume.hashes | drawn.hashes)


def summary(result: BrainResult, seconds: float | None = None) -> str:
    """Volumes and how they were found, as text."""
    from deepgmm.brain.tissues import TISSUES

    rows = [("tissue", "ml", "90 % interval")]
    for tissue in TISSUES:
        low, high = result.interval(tissue)
        rows.append((tissue.title, f"{result.ml(tissue):.0f}", f"{low:.0f} to {high:.0f}"))
    took = "" if seconds is None else f"; {seconds:.1f} s"
    return f"{result.provenance['method']}{took}\n{result.supervision}\n{aligned(rows)}"


def score_table(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """F1 of each tissue, %, a row for each convention or way."""
    titles = list(next(iter(rows.values())))
    return aligned([("", *titles), *(
        (name, *("-" if s["f1"] is None or s["f1"] != s["f1"] else f"{100 * s['f1']:.1f}"
                 for s in scores.values())) for name, scores in rows.items())])
