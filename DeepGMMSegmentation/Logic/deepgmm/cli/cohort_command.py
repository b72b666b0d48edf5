"""`deepgmm cohort`: a folder of examinations in, every case's files, a table and a page out."""

from __future__ import annotations

import json as json_format
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import check_priors, warn
from deepgmm.cli.measuring import Segments
from deepgmm.errors import InputError, MissingPackages, how_to_install
from deepgmm.settings import Covariance, Device, Method, Papillary, Preset
from deepgmm.study.words import Align

if TYPE_CHECKING:
    from deepgmm.jobs.cohort.run import Summary

#: Failures that are logged one by one.
_MOST_TRACES = 20


def cohort(
    folder: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="A folder for each case: bssfp, lge, t2 and mask as files, a study "
        "folder of deepgmm import, or an examination's DICOM files.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="OUT", help="Where everything goes: table.csv, index.html, "
        "failures.csv, and cases/ with each case's files.")],
    manifest: Annotated[Path | None, typer.Option(
        metavar="FILE.csv", help="The cases that are meant, one a line: case, and as wanted "
        "folder, bssfp, lge, t2, mask, wall, truth, edited, rv_points, lge_kind, t2_kind; files as "
        "seen from FOLDER.")] = None,
    subgroups: Annotated[str | None, typer.Option(
        metavar="LIST", help="Columns of the manifest that go into the table, and by which "
        "agreement is divided: scanner,sex. What identifies must not be among them.")] = None,
    truth: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="True labels, named like the cases: agreement goes into the table, "
        "and over all into agreement.csv. A case's own file called truth needs no option.")] = None,
    drawn_only: Annotated[bool, typer.Option(
        "--drawn-only", help="Propose no LV mask: a case without one fails.")] = False,
    mask_labels: options.MaskLabels = None,
    labels: Annotated[str | None, typer.Option(
        "--labels", metavar="CONVENTION",
        help="What the truths' values mean: deepgmm, emidec, acdc, mnms or myops.")] = None,
    lge_kind: options.LgeKind = "auto",
    t2_kind: options.T2Kind = "auto",
    phase: Annotated[str | None, typer.Option(
        metavar="N|ed|es|match",
        help="Frame of a bSSFP cine, as deepgmm segment takes it.")] = None,
    align: options.AlignHow = Align.CHECK,
    dicom: Annotated[bool, typer.Option(
        "--dicom", help="Of every case DICOM SEG and a structured report (TID 1500) too, in "
        "dicom/; they refer to a derived series of nobody.")] = False,
    force: Annotated[bool, typer.Option(
        "--force", help="Do all cases anew, also those that are done and unchanged.")] = False,
    key_file: Annotated[Path | None, typer.Option(
        metavar="FILE.csv",
        help="Which pseudonym is which case, for you alone; not in OUT.")] = None,
    workers: Annotated[int | None, typer.Option(
        min=1, help="Processes on this machine; by default one a GPU, else one a core.")] = None,
    memory: Annotated[str | None, typer.Option(
        metavar="SIZE",
        help="Of each worker of this machine, as 4GB; a worker that takes more is ended.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Cases that are fitted together, at most.")] = 4,
    scheduler: Annotated[str | None, typer.Option(
        metavar="ADDRESS", help="A Dask scheduler that runs already: tls://HOST:PORT, or tcp:// "
        "where everybody who can reach it may run code.")] = None,
    scheduler_file: Annotated[Path | None, typer.Option(
        metavar="FILE.json", help="The same, as the scheduler wrote it.")] = None,
    tls_ca_file: Annotated[Path | None, typer.Option(
        metavar="FILE.pem", help="Who signed the scheduler's certificate.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(
        metavar="FILE.pem", help="Your own certificate there.")] = None,
    tls_key: Annotated[Path | None, typer.Option(
        metavar="FILE.pem", help="Its key, if it is in a file of its own.")] = None,
    slurm: Annotated[str | None, typer.Option(
        metavar="WORDS", help='Workers from Slurm: "jobs=10 cores=4 memory=16GB walltime=12:00:00 '
        'queue=long --gres=gpu:1".')] = None,
    pbs: Annotated[str | None, typer.Option(
        metavar="WORDS", help="Workers from PBS, likewise.")] = None,
    dashboard: Annotated[bool, typer.Option(
        "--dashboard", help="Show Dask's pages, on this machine alone.")] = False,
    method: options.MethodOf = Method.AUTO,
    preset: options.PresetOf = Preset.FAST,
    device: options.DeviceOf = Device.AUTO,
    covariance: options.CovarianceOf = Covariance.DIAGONAL,
    seed: options.Seed = 0,
    tissues: options.TissuesOf = None,
    papillary: options.PapillaryOf = Papillary.POOL,
    mvo: options.KeepMvo = False,
    priors: options.PriorsFile = None,
    model: options.ModelOf = "",
    adapt: options.Adapt = 0,
    degrees: options.Degrees = 0.0,
    outlier: options.Outlier = 0.0,
    restarts: options.Restarts = 5,
    mean_weight: options.MeanWeight = 0.0,
    total_variation: options.TotalVariation = 0.0,
    bias_degree: options.BiasDegree = 0,
    segments: Segments = 16,
    quiet: options.Quiet = False,
    json: Annotated[bool, typer.Option(
        "--json", help="Print what happens, one JSON value a line.")] = False,
    log: options.Log = None,
) -> None:
    """Segment and measure every case of a folder: one table, and a page of what to look at.

    Run again, it does what is missing or has changed. Cases get pseudonyms; no name of a patient,
    file or folder is written. Exit status 2 where a case failed: failures.csv says why.

    Example:

        deepgmm cohort examinations -o results

        deepgmm cohort examinations -o results --slurm "jobs=10 cores=4 memory=16GB"
    """
    check_priors(priors)
    priors = priors and priors.resolve()  # workers may stand elsewhere
    settings = options.settings_of(locals())
    from deepgmm.jobs.cohort.cases import Plan, find_cases
    from deepgmm.jobs.cohort.manifest import add_truths, read_manifest
    from deepgmm.jobs.cohort.run import cohort as run
    from deepgmm.jobs.cohort.where import Where

    plan = Plan(settings, lge_kind, t2_kind, mask_labels, phase, align, not drawn_only, labels,
                segments, dicom)
    if dicom and find_spec("highdicom") is None:  # said now, not of every case
        raise MissingPackages(f"writing DICOM needs highdicom: {how_to_install('deepgmm[dicom]')}",
                              ("highdicom>=0.28",))
    where = Where(workers, memory, scheduler, scheduler_file, tls_ca_file, tls_cert, tls_key,
                  slurm, pbs, dashboard, device)
    columns = subgroups.split(",") if subgroups else []
    if columns and manifest is None:
        raise InputError("--subgroups names columns of a manifest: give --manifest too")
    cases, notes = (find_cases(folder, output), list[str]()) if manifest is None else read_manifest(
        manifest, folder, columns, output)
    if truth is not None:
        notes += add_truths(cases, truth)
    began = time.perf_counter()
    with _teller(quiet, json) as tell:
        summary = run(cases, output, plan, where, force=force, batch=batch, notes=notes, tell=tell,
                      key_file=key_file)
    warn(summary.notes)
    if not (quiet or json):
        print(_said(summary, output, time.perf_counter() - began))
    if summary.failed:
        raise InputError(f"{summary.failed} of {summary.cases} cases failed: failures.csv in the "
                         "output folder says why; the others are done"
                         ) from _for_the_log(summary.traces)


def _for_the_log(traces: list[str]) -> Exception | None:
    """What failed in ways that are not the input's fault, with where, for the log alone."""
    return RuntimeError("\n".join(["in workers:", *traces[:_MOST_TRACES]])) if traces else None


def _said(summary: Summary, output: Path, seconds: float) -> str:
    before = f", {summary.skipped} before" if summary.skipped else ""
    count = (f"{summary.done} of {summary.cases} cases done{before}, {summary.failed} failed"
             if summary.done or summary.failed or not summary.skipped else
             f"nothing to do: {summary.skipped} of {summary.cases} cases done before")
    return (f"{count}; {seconds:.0f} s\n"
            f"table: {output / 'table.csv'}\npage: {output / 'index.html'}")


@contextmanager
def _teller(quiet: bool, json: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What becomes of events: JSON lines on stdout, a bar on stderr, or a line for some."""
    if json:
        def printed(event: dict[str, Any]) -> None:
            sys.stdout.write(json_format.dumps(event, ensure_ascii=False) + "\n")
            sys.stdout.flush()

        yield printed
        return
    if quiet or not sys.stderr.isatty():
        yield lambda event: _line(event, quiet)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                  TextColumn("{task.fields[failed]}"), console=Console(stderr=True),
                  transient=True) as bar:
        task = bar.add_task("looking", total=None, failed="")

        def shown(event: dict[str, Any]) -> None:
            if event["event"] == "skipped":
                bar.update(task, total=event["to_do"], description="cases")
            elif event["event"] == "case":
                bar.advance(task)
                if event["failed"]:
                    bar.update(task, failed=f"{event['failed']} failed")
            elif event["event"] in ("note", "dashboard"):
                bar.console.print(event.get("text") or f"dashboard: {event['address']}",
                                  markup=False)

        yield shown


def _line(event: dict[str, Any], quiet: bool) -> None:
    if event["event"] == "dashboard":
        print(f"dashboard: {event['address']}", file=sys.stderr)
    elif event["event"] == "note" and not quiet:
        print(f"note: {event['text']}", file=sys.stderr)
