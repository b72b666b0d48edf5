"""`deepgmm quantify`: the numbers of a segmentation, whoever made it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepgmm.cli import options
from deepgmm.cli.common import existing, progress_bar, warn, written
from deepgmm.cli.measuring import (
    T2,
    Bssfp,
    Csv,
    FromReport,
    LabelsOfIt,
    Lge,
    LgeKind,
    Mask,
    Remote,
    RvPoints,
    Segmentation,
    Segments,
    T2Kind,
    T2Ms,
    Tissues,
    all_or_none,
    check_files,
    measured,
    sources_of,
    summary,
    text_writer,
)
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.review.measured import Sources
    from deepgmm.review.numbers import Numbers


def quantify(
    segmentation: Segmentation,
    mask: Mask = None,
    lge: Lge = None,
    t2: T2 = None,
    bssfp: Bssfp = None,
    lge_kind: LgeKind = "auto",
    t2_kind: T2Kind = "auto",
    rv_points: RvPoints = None,
    remote: Remote = None,
    from_report: FromReport = None,
    labels: LabelsOfIt = None,
    tissues: Tissues = None,
    segments: Segments = 16,
    t2_ms: T2Ms = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.json", help="All numbers and how they were made.")] = None,
    csv: Csv = None,
    bullseye: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="The bull's-eyes of infarct, edema and transmurality.")] = None,
    dicom_seg: Annotated[Path | None, typer.Option(
        "--dicom-seg", metavar="OUT.dcm", help="The segmentation as DICOM SEG. Where the images "
        "are no DICOM, a derived series is written beside it.")] = None,
    dicom_sr: Annotated[Path | None, typer.Option(
        "--dicom-sr", metavar="OUT.dcm",
        help="The numbers as a DICOM structured report (TID 1500); with --dicom-seg.")] = None,
    dicom_source: Annotated[Path | None, typer.Option(
        "--dicom-source", metavar="FOLDER", help="The DICOM series that the segmentation lies on; "
        "by default --lge, --t2 or --bssfp where that is a folder.")] = None,
    quiet: options.Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
    log: options.Log = None,
) -> None:
    """Measure volumes, masses, extent, transmurality and where, of any segmentation.

    Docs/numbers.md says of each number what it is and by which source. DICOM files carry the
    patient of the DICOM series that they refer to.

    Example:

        deepgmm quantify out.seg.nrrd --lge lge.nii.gz --t2 t2.nii.gz -o numbers.json
        --csv numbers.csv
    """
    sources = sources_of(
        segmentation, tissues=tissues, segments=segments, labels=labels, mask=mask, lge=lge, t2=t2,
        bssfp=bssfp, lge_kind=lge_kind, t2_kind=t2_kind, points=rv_points, remote=remote,
        report=from_report,
        t2_ms=t2_ms)
    if dicom_seg is None and (dicom_sr is not None or dicom_source is not None):
        raise InputError("--dicom-sr and --dicom-source go with --dicom-seg OUT.dcm")
    outputs = {"numbers": output, "numbers' table": csv, "bull's-eye": bullseye,
               "DICOM segmentation": dicom_seg, "DICOM report": dicom_sr}
    check_files(sources, outputs)
    older = existing(outputs)
    source = dicom_source or _folder(sources)
    with progress_bar(quiet) as progress:
        progress(0.1, "reading")
        found = measured(sources)
        numbers = found.numbers
        progress(0.7, "writing")
        _write(numbers, output, csv, bullseye)
        if dicom_seg is not None:
            _write_dicom(numbers, dicom_seg, dicom_sr, source)
    warn(numbers.warnings, numbers.numbering)
    if json:
        from deepgmm.review.tables import json_text

        sys.stdout.write(json_text(numbers))
    elif not quiet:
        print(summary(numbers))
        if dicom_seg is not None and source is None:
            outputs["derived series"] = dicom_seg.with_name(f"{dicom_seg.stem}-derived-*.dcm")
        if any(outputs.values()):
            # names alone: numbers are copied from a terminal, and folders are named after patients
            print(written({what: None if path is None else Path(path.name)
                           for what, path in outputs.items()}, older))


def _write(numbers: Numbers, output: Path | None, csv: Path | None,
           bullseye: Path | None) -> None:
    from deepgmm.review.tables import csv_text, json_text

    def drawn(path: Path) -> None:
        from deepgmm.review.figures import bullseyes, png

        if not numbers.segments.any():
            raise InputError("there is no bull's-eye: " + numbers.insertions)
        path.write_bytes(png(bullseyes(numbers)))

    all_or_none({"numbers": (output, text_writer(lambda: json_text(numbers))),
                      "numbers' table": (csv, text_writer(lambda: csv_text(numbers))),
                      "bull's-eye": (bullseye, drawn)})


def _folder(sources: Sources) -> Path | None:
    """The first image that came as a DICOM folder, in the order of grids."""
    for given in (sources.lge, sources.bssfp, sources.t2):
        if given is not None and Path(given).is_dir():
            return Path(given)
    return None


def _write_dicom(numbers: Numbers, seg: Path, report: Path | None, folder: Path | None) -> None:
    """SEG, report and, where there is no DICOM to refer to, a derived series beside."""
    from deepgmm.files import together, unwritable
    from deepgmm.review.dicom import write_beside

    with together() as outputs:
        try:
            write_beside(numbers, outputs, seg, report=report, folder=folder)
        except OSError as error:
            raise unwritable(error, "DICOM segmentation") from error
