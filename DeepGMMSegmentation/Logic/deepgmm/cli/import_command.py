"""`deepgmm import`: an examination's DICOM folder in, a list and a study folder out."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import LONGEST_WARNING, hushed, kinds_said, make_folder, progress_bar, warn
from deepgmm.errors import InputError, shortened
from deepgmm.progress import share_of

if TYPE_CHECKING:
    from deepgmm.reading.dicom.choice import Entry
    from deepgmm.reading.dicom.examination import Examination

_SERIES = "take this series, or none"


def import_folder(
    folder: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="DICOM files of one examination, in any folders in it.")],
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="STUDY_FOLDER", help="Where the study goes. Without it, the "
        "list is printed and nothing written.")] = None,
    phase: Annotated[str | None, typer.Option(
        metavar="N|match", help="Frame of the bSSFP cine, counted from 0, or match: the one that "
        "fits the LV mask. By default the nearest to LGE in the heartbeat, if the headers say "
        "when that was.")] = None,
    bssfp: Annotated[str | None, typer.Option(
        metavar="SERIES", help=f"For bSSFP {_SERIES}.")] = None,
    lge: Annotated[str | None, typer.Option(
        metavar="SERIES", help=f"For LGE {_SERIES}.")] = None,
    t2: Annotated[str | None, typer.Option(
        metavar="SERIES", help=f"For T2 {_SERIES}.")] = None,
    lge_kind: Annotated[str, typer.Option(
        metavar="KIND", help="Of several LGE stacks take this kind: magnitude, psir or "
        "dark-blood.")] = "auto",
    t2_kind: Annotated[str, typer.Option(
        metavar="KIND", help="Of several T2 stacks take this kind: dark-blood, prepared or "
        "map.")] = "auto",
    identified: Annotated[bool, typer.Option(
        "--identified", help="Put patient, dates and series names into study.json.")] = False,
    force: Annotated[bool, typer.Option(
        "--force", help="Write into a folder that holds something already; the images of an "
        "earlier import are replaced or removed, other files stay.")] = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
) -> None:
    """Find bSSFP, LGE and T2 short-axis stacks in an examination and make a study of them.

    Prints every group of series: what it was taken for and why, or why it was left.

    Example:

        deepgmm import dicom -o patient
        deepgmm segment --study patient --mask lv.nii.gz -o out.seg.nrrd
    """
    from deepgmm.reading.dicom.examination import read_examination
    from deepgmm.reading.images.phases import parse_phase
    from deepgmm.study.words import Role

    parse_phase(phase)
    if output is not None and not force:
        _refuse_to_mix(output)
    kinds = kinds_said(lge_kind, t2_kind)
    said: dict[str, Any] = {}
    with progress_bar(quiet) as progress:
        found = read_examination(
            folder, series={Role.BSSFP: bssfp, Role.LGE: lge, Role.T2: t2}, kinds=kinds,
            progress=share_of(progress, 0, 0.7))
        if output is not None and not found.choice.problem:
            said = _write(found, output, phase, identified, share_of(progress, 0.7, 0.3))
    if not quiet:
        show(found)
        _say_phase(said)
        for remark in found.remarks:
            print(f"note: {remark}")
    if found.choice.problem:  # one line says why; what else was found belongs to the list
        if not quiet:
            for warning in found.choice.warnings:
                print(f"note: {shortened(warning, LONGEST_WARNING)}")
        raise InputError(found.choice.problem)
    warn([*(said.get("warnings") or found.choice.warnings)])
    if output is not None and not quiet:
        print(f"study folder: {output}")


def _refuse_to_mix(output: Path) -> None:
    with suppress(OSError):  # what cannot be read is told where it is to be made
        if any(not path.name.startswith(".") for path in output.iterdir()):
            raise InputError("the study folder is not empty, and may hold another patient: "
                             "choose another, or add --force to replace an earlier import")


def _write(found: Examination, output: Path, phase: str | None, identified: bool,
           progress: Any) -> dict[str, Any]:
    from deepgmm.reading.studies.imported import write_study_folder

    ours = not output.exists()
    make_folder(output, "study")
    if any(output.glob("mask.*")):
        found.choice.warnings.append("the study folder has a mask already, which stays: see "
                                     "whether it belongs to this examination")
    try:
        with hushed():
            return write_study_folder(found, output, phase=phase, identified=identified,
                                      progress=progress)
    except BaseException:
        if ours:
            with suppress(OSError):
                output.rmdir()
        raise


def show(found: Examination) -> None:
    """Print the list: a table where there is a terminal, else a line a group."""
    entries = [*found.choice.taken.values(), *(e for e in found.entries if e.role is None)]
    frames = len(found.scan.frames)
    print(f"{frames} image{'s' if frames != 1 else ''}, {len(entries)} "
          f"group{'s' if len(entries) != 1 else ''} of series")
    if sys.stdout.isatty():
        _show_table(entries)
        return
    for entry in entries:
        taken = f"taken for {entry.role.title}" if entry.role else "left"
        why = why_of(entry)
        print(f"{taken}: {entry.name}{_name(entry)}: {entry.meaning.title}, {entry.view.value}, "
              f"{size(entry)}" + (f": {why}" if why else ""))


def _show_table(entries: list[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("taken for", "series", "name", "it is", "view", "size", "why"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        table.add_row(entry.role.title if entry.role else "-", entry.name.partition(" ")[2],
                      entry.stack.first.description, entry.meaning.title, entry.view.value,
                      size(entry), why_of(entry), style=None if entry.role else "dim")
    Console(markup=False).print(table)


def size(entry: Entry) -> str:
    """"10 slices of 25 frames, 8.0 mm apart"."""
    count, phases = len(entry.stack.slices), entry.stack.phases
    text = f"{count} slice{'s' if count > 1 else ''}"
    if phases > 1:
        text += f" of {phases} frames"
    return text + (f", {entry.stack.gap:.1f} mm apart" if count > 1 else "")


def _name(entry: Entry) -> str:
    name = entry.stack.first.description
    return f' "{name}"' if name else ""


def why_of(entry: Entry) -> str:
    """What says what a group is, and why it was left, where that does not go without saying."""
    if entry.why_left:
        return entry.why_left
    reasons = list(entry.meaning.reasons)
    if entry.role is not None:
        reasons.append(f"{entry.view.value} {entry.view_reason}")
    return ", ".join(reasons)


def _say_phase(said: dict[str, Any]) -> None:
    own = said.get("sequences", {}).get("bssfp", {})
    if own.get("phase"):
        phase = own["phase"]
        print(f"bSSFP: frame {phase['frame']} of {phase['of']} (counted from 0) was taken: "
              f"{phase['why']}; --phase takes another")
    elif own.get("cine"):
        print(f"bSSFP: all {len(own['times_ms'])} frames were kept; deepgmm segment takes the one "
              "that fits the LV mask, or --phase N")
