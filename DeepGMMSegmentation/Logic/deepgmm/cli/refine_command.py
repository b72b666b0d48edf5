"""`deepgmm refine`: a corrected segmentation in, a segmentation that follows it out."""

from __future__ import annotations

import math
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import (
    check_places,
    check_priors,
    existing,
    hushed,
    progress_bar,
    table,
    warn,
    written,
)
from deepgmm.errors import InputError
from deepgmm.progress import share_of
from deepgmm.settings import Device

if TYPE_CHECKING:
    from deepgmm.result import Result
    from deepgmm.review.versions import Versions
    from deepgmm.study.levels import Numbering


_NOTHING_NEW = ("nothing changed: all of this was said before, so nothing was refitted and no "
                "version was added")


def refine(
    state: Annotated[Path, typer.Argument(
        metavar="STATE.dgmm", help="What segment --state wrote. The new version is added to it.",
        show_default=False)],
    edited: Annotated[Path | None, typer.Option(
        metavar="FILE", help="The segmentation as you corrected it: .seg.nrrd of 3D Slicer, or a "
        "labelmap of any program, on the result's grid.")] = None,
    done: Annotated[str | None, typer.Option(
        metavar="LIST", help="Slices in which everything is right now, also what you left alone: "
        "3,4-6. Counted from 1, the base first, as the montage and the panel count them (segment "
        "--slices counts from 0 in the file's order).")] = None,
    border: Annotated[str | None, typer.Option(
        metavar="LIST",
        help="Slices on which the border of pool and wall is right now; counted so too.")] = None,
    contours: Annotated[Path | None, typer.Option(
        metavar="FILE.mrk.json", help="Closed curves of 3D Slicer, one a slice: the border of pool "
        "and wall runs there.")] = None,
    reopen: Annotated[str | None, typer.Option(
        metavar="LIST", help="Slices that are no longer done, and whose border is no longer called "
        "right: both are taken back. What was drawn there stays.")] = None,
    reopen_border: Annotated[str | None, typer.Option(
        "--reopen-border", metavar="LIST", help="Slices whose border alone is no longer called "
        "right; one that is done stays so.")] = None,
    labels: Annotated[str | None, typer.Option(
        metavar="CONVENTION", help="What the values of --edited mean: deepgmm, emidec, acdc, mnms "
        "or myops. By default they must tell.")] = None,
    version: Annotated[int | None, typer.Option(
        "--from-version", min=1, metavar="N", help="The version that was edited; by default the "
        "one that --edited is nearest to.")] = None,
    priors: Annotated[Path | None, typer.Option(
        metavar="FILE.json", help="The contrast priors that segment was given, if any.")] = None,
    seconds: Annotated[float | None, typer.Option(
        min=0.0, help="How long the correcting took, for the edit log.")] = None,
    device: Annotated[Device, typer.Option(help="Where it is computed.")] = Device.AUTO,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="NEW.seg.nrrd", help="Segmentation for 3D Slicer.")] = None,
    new_state: Annotated[Path | None, typer.Option(
        "--state", metavar="NEW.dgmm",
        help="Write the state here instead, and leave the old one as it is.")] = None,
    labelmap: options.Labelmap = None,
    probabilities: options.Probabilities = None,
    montage: options.Montage = None,
    report: Annotated[Path | None, typer.Option(
        metavar="OUT.json", help="Settings, volumes, parameters, warnings, corrections.")] = None,
    edit_log: Annotated[Path | None, typer.Option(
        "--edit-log", metavar="OUT.json", help="What was corrected, for a reader study: Dice of "
        "automatic against corrected, voxels touched, time.")] = None,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
    log: options.Log = None,
) -> None:
    """Have the other slices follow what you corrected in some.

    What you corrected never changes. Nothing is read but the state and the edited segmentation;
    every refit is kept as a version, see deepgmm versions.

    Example:

        deepgmm segment --lge lge.nii.gz --mask lv.nii.gz --state heart.dgmm -o auto.seg.nrrd

        deepgmm refine heart.dgmm --edited auto-edited.seg.nrrd --done 3,4 -o new.seg.nrrd
    """
    if seconds is not None and not math.isfinite(seconds):
        raise InputError("--seconds is no finite number: give how long the correcting took")
    outputs = {"segmentation": output, "labelmap": labelmap, "probabilities": probabilities,
               "montage": montage, "report": report}
    if not any((edited, contours)) and (done, border, reopen, reopen_border) == (None,) * 4:
        raise InputError("nothing was corrected: give --edited FILE, --contours FILE, or --done "
                         "with slices that are right as they are")
    if not json and not any(outputs.values()) and edit_log is None and new_state is None:
        raise InputError("no output asked for: give -o NEW.seg.nrrd, --labelmap, "
                         "--probabilities, --montage, --report, --edit-log, --state or --json")
    check_priors(priors)
    check_places({**outputs, "state": new_state, "edit log": edit_log},
                 {"state": state, "edited segmentation": edited, "contours": contours,
                  "contrast priors": priors})
    files = {**outputs, "edit log": edit_log, "state": new_state or state}
    older = existing(files)
    began = time.perf_counter()
    job = _Job(state, edited, done, border, contours, reopen, reopen_border, labels, version,
               priors, seconds, device)
    with progress_bar(quiet) as progress:
        done_job = _run(job, share_of(progress, 0.0, 0.8))
        progress(0.85, "writing")
        if not done_job.anew and new_state is None:
            files["state"] = None  # it stays as it is
        with hushed():
            _write(done_job, outputs, files["state"], edit_log, began)
    warn([*done_job.result.warnings, *(() if done_job.anew else (_NOTHING_NEW,))],
         done_job.numbering)
    if json:
        from deepgmm.review.report import report_text

        sys.stdout.write(report_text(done_job.result))
    elif not quiet:
        print(_summary(done_job, time.perf_counter() - began))
        print(written(files, older))


@dataclass
class _Job:
    """One refit: what is given, and what came of it."""

    state: Path
    edited: Path | None
    done: str | None
    border: str | None
    contours: Path | None
    reopen: str | None
    reopen_border: str | None
    labels: str | None
    version: int | None
    priors: Path | None
    seconds: float | None
    device: Device
    hash: str = ""
    versions: Versions = field(init=False)
    before: Result = field(init=False)
    result: Result = field(init=False)
    numbering: Numbering = field(init=False)
    log: dict[str, Any] = field(default_factory=dict)
    anew: bool = True  #: whether anything was said that was not said before


def _run(job: _Job, progress: Any) -> _Job:
    from deepgmm.reading.contours.markups import read_closed_curves
    from deepgmm.reading.masks.labelmap import read_labels
    from deepgmm.refine import refine as fit
    from deepgmm.review.corrections import (
        contour_corrections,
        corrections_of,
        decided_by,
        doubts,
        drawn_outside,
        edited_labels,
        left_empty,
        lost_to_curves,
    )
    from deepgmm.review.edit_log import edit_log
    from deepgmm.review.state import read_state
    from deepgmm.study.levels import counted, levels, numbering_of
    from deepgmm.study.words import named_slices

    progress(0.0, "reading")
    job.versions, job.hash = read_state(job.state)
    job.before = job.versions.result()
    _settle(job)
    count = len(job.before.labels)
    job.numbering = numbering_of(levels(job.versions.study), count)
    if not job.numbering.count:
        job.numbering = type(job.numbering)(count)
    finished, borders, reopened, loose = (
        job.numbering.parsed(text, option) if text is not None else set() for text, option in
        ((job.done, "--done"), (job.border, "--border"), (job.reopen, "--reopen"),
         (job.reopen_border, "--reopen-border")))
    if finished & reopened:
        raise InputError("--done: --reopen names the same slices, "
                         f"{job.numbering.listed(finished & reopened)}: give each to one of them")
    if borders & reopened:
        raise InputError("--border: --reopen names the same slices, "
                         f"{job.numbering.listed(borders & reopened)}: give each to one of them")
    if borders & loose:
        raise InputError("--border: --reopen-border names the same slices, "
                         f"{job.numbering.listed(borders & loose)}: give each to one of them")
    known = () if job.before.corrections is None else job.before.corrections.done
    bordered = set(() if job.before.corrections is None else job.before.corrections.bordered)
    if loose - bordered:
        raise InputError("--reopen-border: these slices are not said to have the right border, "
                         f"{job.numbering.listed(loose - bordered)}: leave them out")
    free = reopened & bordered
    if reopened - set(known) - free:
        raise InputError("--reopen: these slices are not done, "
                         f"{job.numbering.listed(reopened - set(known) - free)}, nor said to have "
                         "the right border: leave them out")
    said: list[str] = []
    read_so: list[str] = []
    empty: list[int] = []
    base = job.versions.last
    labels = job.before.labels
    if job.edited is not None:
        with hushed():
            read = read_labels(job.edited, "edited segmentation", convention=job.labels,
                               decide=decided_by(job.before), because="by the tissues sought")
        labels, read_so = edited_labels(read, job.before), read.warnings
        said = list(read_so)
        base = (job.versions.edited_from(labels) if job.version is None
                else job.versions.numbered(job.version))
        empty = left_empty(labels, job.before)
        if empty:
            said.append(f"the edited segmentation has nothing on {named_slices(empty)}: taken for "
                        "left alone, not for erased")
        if base is not job.versions.last:
            said.append(f"the edited segmentation was made from version {base.number}, not from "
                        f"the last: what differs from that is taken for corrected")
    free |= loose
    given = corrections_of(job.before, labels, done=finished, borders=borders, run=base.number,
                           base=job.versions.compared(base, labels), seconds=job.seconds)
    if job.contours is not None:
        with counted(job.versions.study.mask):
            lines = read_closed_curves(job.contours, job.versions.study.geometry, count)
            curve = contour_corrections(job.before, lines, drawn=given, run=base.number,
                                        seconds=job.seconds)
        said += lost_to_curves(given, curve)
        given = given.joined(curve)
    if empty and not given and not reopened and not loose:
        raise InputError(f"nothing was corrected: the edited segmentation has nothing on "
                         f"{named_slices(empty)}, which is taken for left alone, and is the result "
                         "itself elsewhere; draw what is right there, or name slices that are "
                         "right with --done")
    if read_so and not given and not reopened and not loose:
        raise InputError("nothing was corrected: the edited segmentation is the result itself; "
                         + "; ".join(read_so))
    began = time.perf_counter()
    corrected = job.before.corrections
    if corrected is not None and given and not reopened and not loose and corrected.holds(given):
        job.anew, job.result, version = False, job.before, job.versions.last
    else:
        said += doubts(given, job.before, set(known) - reopened)
        job.result = fit(job.before, given, reopened=reopened, unbordered=free,
                         progress=progress)
        job.result.warnings += drawn_outside(job.result)
        version = job.versions.add(job.result, "refined")
    job.result.warnings += said  # of this run alone, so not of the version that is kept
    job.log = edit_log(job.versions, given, base.number, version.number,
                       seconds=job.seconds, refit_seconds=time.perf_counter() - began)
    return job


def _settle(job: _Job) -> None:
    """Put into the settings what the state cannot hold."""
    settings = dict(job.before.provenance.get("settings", {}))
    settings["device"] = job.device.value
    wanted = str(settings.get("priors", ""))
    if job.priors is not None:
        from deepgmm.files import sha256

        if wanted != f"sha256:{sha256(job.priors)}":
            raise InputError("these contrast priors are not those that the state was made with: "
                             + ("give those" if wanted else "leave --priors out"))
        settings["priors"] = str(job.priors)
    job.before.provenance["settings"] = settings


def _write(job: _Job, outputs: dict[str, Path | None], state: Path | None,
           edit_log: Path | None, began: float) -> None:
    """All files, or none; not over a state that has changed meanwhile."""
    from deepgmm.files import together
    from deepgmm.review.edit_log import log_text
    from deepgmm.review.outputs import write_outputs
    from deepgmm.review.state import unchanged

    with unchanged(job.state, job.hash) if state == job.state else nullcontext() as check:
        with together() as places:
            if edit_log is not None:
                places.path(edit_log, "edit log").write_text(log_text(job.log), encoding="utf-8")
            write_outputs(job.result, **outputs, state=state, versions=job.versions, check=check)


def _summary(job: _Job, seconds: float) -> str:
    """What changed, as text, and where to look next."""
    from deepgmm.review.where_next import review_next

    refined = job.result.provenance["refined"]
    changed = job.result.labels != job.before.labels
    assert job.result.corrections is not None
    followed = changed & ~job.result.corrections.fixed
    where = [i for i in range(len(changed)) if followed[i].any()]
    count = int(followed.sum())
    rows = [("tissue", "ml before", "ml now", "90 % interval")]
    for tissue in job.result.present_tissues:
        low, high = job.result.volume_interval(tissue)
        rows.append((tissue.title, f"{job.before.volume(tissue):.1f}",
                     f"{job.result.volume(tissue):.1f}",
                     f"{low:.1f} to {high:.1f}" if low == low else "-"))
    told = "".join(
        f", {what}: slice{'s' if len(refined[key]) > 1 else ''} "
        f"{job.numbering.listed(refined[key])}"
        for what, key in (("done", "done_slices"), ("border", "border_slices")) if refined.get(key))
    left = review_next(job.result)
    then = f"\nlook next at slice {left[0]['number']}" if left else ""
    as_before = "" if job.anew else ", as it was"
    return (f"version {job.versions.last.number}{as_before}: "
            f"{refined['corrected_voxels']} voxels corrected{told}"
            + (f"; {count} other{'' if count == 1 else 's'} followed" if job.anew else "")
            + (f", on slice{'s' if len(where) > 1 else ''} {job.numbering.listed(where)}"
               if where else "") + f"; {seconds:.1f} s\n{table(rows)}{then}")
