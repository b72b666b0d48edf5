"""`deepgmm report`: numbers and pictures of a segmentation on one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deepgmm.cli import options
from deepgmm.cli.common import progress_bar, warn
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
    text_writer,
)
from deepgmm.errors import InputError


def report(
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
    probabilities: Annotated[Path | None, typer.Option(
        metavar="FILE.nii.gz",
        help="What segment --probabilities wrote, for the picture of uncertainty.")] = None,
    tissues: Tissues = None,
    segments: Segments = 16,
    t2_ms: T2Ms = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.html", help="One file that stands alone.")] = None,
    pdf: Annotated[Path | None, typer.Option(metavar="OUT.pdf", help="The same to print.")] = None,
    csv: Csv = None,
    numbers: Annotated[Path | None, typer.Option(
        metavar="OUT.json", help="All numbers and how they were made.")] = None,
    identified: Annotated[bool, typer.Option(
        "--identified", help="Write names into the report: the files', and of DICOM the patient's "
        "name and number and the day.")] = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
) -> None:
    """Make a report of a segmentation: numbers, reference methods, pictures, provenance.

    Names of files and patients stay out of it unless --identified is given.

    Example:

        deepgmm report out.seg.nrrd --lge lge.nii.gz --t2 t2.nii.gz -o report.html
        --pdf report.pdf
    """
    sources = sources_of(
        segmentation, tissues=tissues, segments=segments, labels=labels, mask=mask, lge=lge, t2=t2,
        bssfp=bssfp, lge_kind=lge_kind, t2_kind=t2_kind, points=rv_points, remote=remote,
        report=from_report,
        probabilities=probabilities, t2_ms=t2_ms)
    if not any((output, pdf, csv, numbers)):
        raise InputError("no output asked for: give -o OUT.html, --pdf, --csv or --numbers")
    check_files(sources, {"report page": output, "report PDF": pdf, "numbers' table": csv,
                          "numbers": numbers})
    with progress_bar(quiet) as progress:
        progress(0.1, "reading")
        found = measured(sources)
        made = found.numbers
        title = ""
        if identified:
            given = {"segmentation": segmentation, "lge": lge, "t2": t2, "bssfp": bssfp}
            names = {role: path.name for role, path in given.items() if path is not None}
            made.provenance["files"] = names
            made.provenance |= _identity([p for p in (lge, t2, bssfp) if p is not None])
            title = str(made.provenance.get("patient", {}).get("name") or segmentation.name)
        progress(0.5, "drawing")
        from deepgmm.review.page import html_page, pdf_pages, pictures
        from deepgmm.review.tables import csv_text, json_text

        shown = pictures(made, found.entropy) if output or pdf else []
        all_or_none({
                "report page": (output, text_writer(lambda: html_page(made, shown, title))),
                "report PDF": (pdf, lambda path: _bytes(path, pdf_pages(made, shown, title))),
                "numbers' table": (csv, text_writer(lambda: csv_text(made))),
                "numbers": (numbers, text_writer(lambda: json_text(made)))})
    warn(made.warnings, made.numbering)
    if not quiet:
        for what, path in (("report page", output), ("report PDF", pdf), ("numbers' table", csv),
                           ("numbers", numbers)):
            if path is not None:
                print(f"{what}: {path}", file=sys.stdout)


def _bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _identity(images: list[Path]) -> dict[str, dict[str, str]]:
    """The patient's name and number and the day of the first image that is a DICOM folder."""
    from deepgmm.reading.dicom.headers import the_reader

    for folder in images:
        if not folder.is_dir():
            continue
        pydicom = the_reader()
        for file in sorted(p for p in folder.iterdir() if p.is_file()):
            try:
                header = pydicom.dcmread(file, stop_before_pixels=True)
            except Exception:  # no DICOM: the reader of images has said so where it matters
                continue
            return {"patient": {"name": str(header.get("PatientName", "")),
                                "number": str(header.get("PatientID", "")),
                                "day": str(header.get("StudyDate", ""))}}
    return {}
