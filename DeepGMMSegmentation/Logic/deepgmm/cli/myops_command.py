"""`deepgmm myops`: the tables of the DeepGMM paper, on a copy of the data that the user has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import check_places, hushed, progress_bar, table, warn
from deepgmm.errors import InputError
from deepgmm.settings import Device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepgmm.training.paper_images import Cohort, Parting
    from deepgmm.training.paper_rows import Published, Row
    from deepgmm.training.paper_tables import Protocol

#: Cases that a trial reads, from the first.
QUICK_CASES = 6


def myops(
    folder: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="Your copy of MyoPS 2020, the folder that holds train25 and "
        "train25_myops_gd; or a folder a case with bssfp, lge, t2, mask and truth.")],
    only: Annotated[int | None, typer.Option(
        "--table", min=1, max=2, help="1: every image by itself; 2: networks trained on some "
        "patients. By default both.")] = None,
    quick: Annotated[bool, typer.Option(
        "--quick", help=f"A trial: {QUICK_CASES} cases, small networks, few steps; its figures "
        "mean nothing.")] = False,
    seed: Annotated[int, typer.Option(
        min=0, help="Of the split, of the images for mu_data and of random starts.")] = 0,
    seeds: Annotated[int, typer.Option(
        min=1, help="Random starts and networks a row, over which it is averaged; the paper has "
        "one.")] = 1,
    test: Annotated[str, typer.Option(
        metavar="LIST", help="Cases that table 2 tests on, with commas; by default a fifth, "
        "drawn.")] = "",
    training_steps: Annotated[int | None, typer.Option(
        min=1, help="Of a network of table 2, four images each; 1500 by default.")] = None,
    device: Annotated[Device, typer.Option(help="Where networks are fitted.")] = Device.AUTO,
    report: Annotated[Path | None, typer.Option(
        metavar="OUT.json", help="All figures, image by image; cases by their hashes.")] = None,
    quiet: options.Quiet = False,
    log: options.Log = None,
) -> None:
    """Run tables 1 and 2 of the DeepGMM paper on your own copy of MyoPS 2020.

    Prints our rows under the paper's: in its protocol, where truth orders the components, and as
    a user has it, without truth. Nothing of the data is kept.

    Example:

        deepgmm myops "MyoPS 2020 Dataset" --report tables.json

    Or, to try it:

        deepgmm phantom --layout myops --patients 6 -o like-myops

        deepgmm myops like-myops --quick
    """
    from deepgmm.model.devices import choose_device
    from deepgmm.training.machines import require_extra
    from deepgmm.training.paper_images import read_cohort
    from deepgmm.training.paper_report import report as content_of
    from deepgmm.training.paper_tables import Protocol, parted, table_1, table_2

    check_places({"report": report}, {})
    if report is not None and folder.resolve() in report.resolve().parents:
        raise InputError("the report would lie among the data: give it another folder")
    protocol = Protocol(seed=seed, seeds=seeds, device=device)
    if quick:
        protocol = protocol.quick()
    if only == 1 and (test or training_steps):
        raise InputError("--test and --training-steps are for table 2: leave them out, or leave "
                         "out --table")
    if training_steps is not None:
        protocol = replace(protocol, training_steps=training_steps)
    if only != 1:
        require_extra()
    choose_device(device.value)  # before a large folder is read
    with progress_bar(quiet) as progress:
        cohort = read_cohort(folder, most=QUICK_CASES if quick else None, progress=progress,
                             around=hushed)
    from deepgmm.study.levels import numbering_in

    warn([f"case {patient.name}: {numbering_in(patient.study.mask).in_words(text)}"
          for patient in cohort.patients for text in patient.study.warnings], numbered=True)
    # before an hour goes into the other table
    names = options.words_in(test)
    parting = parted(cohort, protocol, names) if only != 1 else None
    first = second = None
    if not quiet:
        print(heading(cohort, protocol, quick=quick), flush=True)
    if only != 2:
        with progress_bar(quiet) as progress:
            first = table_1(cohort, protocol, progress)
        print(shown("Table 1: every image by itself", first), flush=True)
    if parting is not None:
        with progress_bar(quiet) as progress:
            second = table_2(cohort, parting, protocol, progress)
        print(shown(title_2(cohort, parting), second))
    if not quiet:
        print(notes(cohort, only))
    if report is not None:
        _write(report, content_of(cohort, protocol, first, second, parting), quiet)


def _write(path: Path, content: dict[str, Any], quiet: bool) -> None:
    from deepgmm.files import together

    with together() as outputs:
        outputs.path(path, "report").write_text(
            json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if not quiet:
        print(f"\nreport: {path}")


def heading(cohort: Cohort, protocol: Protocol, *, quick: bool) -> str:
    """What is counted, and how big the networks are."""
    slices = sum(len(patient.study.slices) for patient in cohort.patients)
    shape = protocol.shape
    text = (f"{len(cohort.images)} images, of {slices} slices of {len(cohort.patients)} patients: "
            "those that hold blood, myocardium, edema and scar (in the paper 79 of 25 patients).\n"
            f"U-Nets of {shape.filters} filters and {shape.levels} levels; at most "
            f"{protocol.steps} steps an image, {protocol.training_steps} of {protocol.batch} "
            f"images for many; {protocol.seeds} random start{'s' if protocol.seeds > 1 else ''} "
            f"from seed {protocol.seed}.")
    return f"{text}\nA trial: no figure below means anything." if quick else text


def title_2(cohort: Cohort, parting: Parting) -> str:
    """How the images were parted."""
    def counted(images: Sequence[int]) -> str:
        owners = len(cohort.owners(images))
        return f"{len(images)} images of {owners} patient{'s' if owners > 1 else ''}"

    return (f"Table 2: trained on {counted(parting.training)}, tested on "
            f"{counted(parting.tested)} (in the paper 60 and 19 images); mu_data of "
            f"{counted(parting.means.images)} among the former")


def shown(title: str, rows: Sequence[Published | Row]) -> str:
    """A table as text."""
    from deepgmm.training.paper_rows import lines

    return f"\n{title}\n\n{table(lines(rows))}"


def notes(cohort: Cohort, only: int | None) -> str:
    """What the tables need beside them: words, sources, and what differs from the paper."""
    from deepgmm.training.paper_rows import LEGEND, SOURCE
    from deepgmm.training.paper_tables import DEPARTURES

    tables = f"table {only}" if only else "tables 1 and 2"
    sources = "; ".join(dict.fromkeys(cohort.images[0].contrast.sources))
    return "\n".join(["", *LEGEND, f"Contrast tables: {sources}.",
                      f"(paper): {tables} of {SOURCE}.", "",
                      "Where our rows do not do as the paper did:",
                      *(f"- {text}" for text in DEPARTURES)])
