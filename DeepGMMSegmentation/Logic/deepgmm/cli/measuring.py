"""What `quantify` and `report` share: their inputs, their outputs, their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli.common import check_places, hushed, table
from deepgmm.cli.options import LgeKind as LgeKind
from deepgmm.cli.options import T2Kind as T2Kind
from deepgmm.cli.options import words_in
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.review.measured import Measured, Sources
    from deepgmm.review.numbers import Numbers


Segmentation = Annotated[Path, typer.Argument(
    help="A segmentation of the tissues, whoever made it: .seg.nrrd, or a labelmap with 0 "
    "background, 1 blood, 2 myocardium, 3 edema, 4 scar, 5 microvascular obstruction.")]
Mask = Annotated[Path | None, typer.Option(
    metavar="FILE", help="LV mask; by default whatever the segmentation labels.")]
Lge = Annotated[Path | None, typer.Option(
    metavar="FILE", help="LGE image on the segmentation's grid: NIfTI, NRRD, MetaImage or a folder "
    "with one DICOM series.")]
T2 = Annotated[Path | None, typer.Option(metavar="FILE", help="T2 image.")]
Bssfp = Annotated[Path | None, typer.Option(metavar="FILE", help="bSSFP image, for pictures.")]
RvPoints = Annotated[Path | None, typer.Option(
    "--rv-points", metavar="FILE.mrk.json", help="RV insertion points from 3D Slicer, two on a "
    "slice: the anterior one first. Without them they are estimated, and marked so.")]
Remote = Annotated[Path | None, typer.Option(
    metavar="FILE", help="Remote wall that you drew, for n-SD and FWHM; by default the darkest "
    "sector of each slice.")]
FromReport = Annotated[Path | None, typer.Option(
    "--from-report", metavar="FILE.json",
    help="What segment --report wrote: its posterior's intervals go beside the volumes.")]
Tissues = Annotated[str | None, typer.Option(
    metavar="LIST", help="Tissues that were sought, so that none found means 0: "
    "blood,myocardium,edema,scar,mvo. By default those found, scar with --lge, edema with --t2.")]
LabelsOfIt = Annotated[str | None, typer.Option(
    "--labels", metavar="CONVENTION", help="What the segmentation's values mean: deepgmm, emidec, "
    "acdc, mnms or myops. By default values and shapes must tell.")]
Segments = Annotated[int, typer.Option(
    help="AHA model: of 16 segments, or 17 with the apex proper.")]
T2Ms = Annotated[float | None, typer.Option(
    "--t2-ms", metavar="MS", help="Threshold of a T2 map, ms; 59 by default.")]
Csv = Annotated[Path | None, typer.Option(metavar="OUT.csv", help="All numbers, one a line.")]


def sources_of(segmentation: Path, *, tissues: str | None, segments: int,
               **given: Any) -> Sources:
    """Files and choices as they were given.

    Raises
    ------
    InputError
        A tissue or a model that there is not.
    """
    from deepgmm.review.measured import Sources, tissues_named

    if segments not in (16, 17):
        raise InputError("--segments is 16 or 17")
    return Sources(segmentation, tissues=tissues_named(words_in(tissues)), model=segments, **given)


def check_files(sources: Sources, outputs: Mapping[str, Path | None]) -> None:
    """See that the outputs can be written and overwrite no input."""
    names = ("segmentation", "mask", "bssfp", "lge", "t2", "points", "remote", "report",
             "probabilities")
    check_places(outputs, {name: None if getattr(sources, name) is None
                           else Path(getattr(sources, name)) for name in names})


def measured(sources: Sources) -> Measured:
    """Read and measure, without what image libraries print themselves."""
    from deepgmm.review.measured import measure

    with hushed():
        return measure(sources)


def all_or_none(writers: Mapping[str, tuple[Path | None, Callable[[Path], None]]]) -> None:
    """Write every file that was asked for; they appear together, or none does."""
    from deepgmm.files import together, unwritable

    with together() as outputs:
        for what, (final, write) in writers.items():
            if final is None:
                continue
            path = outputs.path(final, what)
            try:
                write(path)
            except OSError as error:
                raise unwritable(error, what) from error


def text_writer(text: Callable[[], str]) -> Callable[[Path], None]:
    """Writes a text that is made when it is needed."""
    def write(path: Path) -> None:
        path.write_bytes(text().encode("utf-8"))
    return write


def summary(numbers: Numbers) -> str:
    """The main numbers as text, and the reasons that they refer to, numbered as on the page."""
    from deepgmm.review.page import tables

    parts: list[str] = []
    for title, heading, rows in tables(numbers):
        if title.startswith("Why"):  # the last one
            above = "\n".join(parts)
            reasons = [f"{mark} {why}" for mark, why in rows if mark in above]
            parts += ["\n".join([title, *reasons])] if reasons else []
        elif title.startswith(("Volumes", "AHA")):
            parts.append(f"{title}\n" + table([tuple(heading), *(tuple(row) for row in rows)]))
        elif title.startswith("Reference"):
            parts.append(f"{title}\n" + table([tuple(heading[:-1]),
                                               *(tuple(row[:-1]) for row in rows)]))
    return "\n\n".join(parts)
