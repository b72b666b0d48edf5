"""`deepgmm segment`: images and an LV mask in, a segmentation out."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.acting import method_in_words
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
from deepgmm.cli.idle import idle_options
from deepgmm.cli.propose_command import BOTH_GIVEN, PROPOSE, beside, files_of, propose_for
from deepgmm.errors import InputError
from deepgmm.files import together
from deepgmm.progress import share_of
from deepgmm.settings import Covariance, Device, Method, Papillary, Preset, Settings
from deepgmm.study.words import Align

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from deepgmm.result import Result
    from deepgmm.study.study import Study

_IMAGE = "NIfTI, NRRD, MetaImage, or a folder with one DICOM series."


def segment(
    study: Annotated[Path | None, typer.Option(
        metavar="FOLDER",
        help="Study folder made by deepgmm import, instead of single images.")] = None,
    bssfp: Annotated[Path | None, typer.Option(
        metavar="FILE", help=f"bSSFP image: {_IMAGE} Also a cine, in 4D or DICOM.")] = None,
    lge: Annotated[Path | None, typer.Option(metavar="FILE", help="LGE image.")] = None,
    t2: Annotated[Path | None, typer.Option(metavar="FILE", help="T2 image.")] = None,
    mask: Annotated[Path | None, typer.Option(
        metavar="FILE", help="LV mask: blood and wall together; any value but 0 is inside. Also "
        "contours: cvi42 (.cvi42wsx), Segment (.mat), DICOM SEG or RTSTRUCT. Or propose: found in "
        "the images and written beside the result, for you to look at.")] = None,
    mask_labels: options.MaskLabels = None,
    mask_dicom: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="DICOM images that cvi42's contours were drawn on.")] = None,
    wall: Annotated[Path | None, typer.Option(
        metavar="FILE", help="The wall, where blood and wall are known apart; the LV mask is then "
        "the union of --mask and --wall.")] = None,
    lge_kind: options.LgeKind = "auto",
    t2_kind: options.T2Kind = "auto",
    slices: Annotated[str | None, typer.Option(
        metavar="LIST", help="Slices to segment: 0,2-5. Counted from 0 in the file's order, as in "
        "JSON; what is printed, and --done of deepgmm refine, count from 1, the base first. All by "
        "default.")] = None,
    phase: Annotated[str | None, typer.Option(
        metavar="N|ed|es|match", help="Frame of a bSSFP cine, counted from 0; ed or es: end "
        "diastole or end systole of those that contours were drawn on; or match: the one that fits "
        "the LV mask. By default that which contours name, else the nearest to LGE in the "
        "heartbeat, if known, else match.")] = None,
    resample: Annotated[bool, typer.Option(
        "--resample", help="Bring images on different grids onto the LGE grid.")] = False,
    align: options.AlignHow = Align.CHECK,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.seg.nrrd", help="Segmentation for 3D Slicer.")] = None,
    labelmap: options.Labelmap = None,
    probabilities: options.Probabilities = None,
    montage: options.Montage = None,
    align_picture: Annotated[Path | None, typer.Option(
        metavar="OUT.png|gif", help="The images before and after the shift that --align finds; "
        "flickering as .gif.")] = None,
    report: Annotated[Path | None, typer.Option(
        metavar="OUT.json", help="Settings, volumes, parameters, warnings, hashes.")] = None,
    state: Annotated[Path | None, typer.Option(
        metavar="OUT.dgmm",
        help="The study and its fit, for deepgmm refine. Holds images of the patient.")] = None,
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
    quiet: options.Quiet = False,
    json: options.AsJson = False,
    log: options.Log = None,
) -> None:
    """Split the left ventricle into blood, myocardium, edema and scar.

    Give any one of the three sequences or more, on one grid, and the LV mask. The tissues
    sought follow from what is given.

    Example:

        deepgmm segment --bssfp bssfp.nii.gz --lge lge.nii.gz --t2 t2.nii.gz
        --mask lv.nii.gz -o out.seg.nrrd --montage out.png
    """
    settings = options.settings_of(locals())
    job = Job(
        inputs={"bssfp": bssfp, "lge": lge, "t2": t2, "mask": mask, "wall": wall},
        outputs={"segmentation": output, "labelmap": labelmap, "probabilities": probabilities,
                 "montage": montage, "report": report, "state": state},
        settings=settings,
        lge_kind=lge_kind, t2_kind=t2_kind, mask_labels=mask_labels, mask_dicom=mask_dicom,
        slices=slices, resample=resample, study=study, phase=phase, align=align,
        align_picture=align_picture)
    if not json and not any(job.files.values()):
        raise InputError("no output asked for: give -o OUT.seg.nrrd, --labelmap, "
                         "--probabilities, --montage, --report, --state or --json")
    proposed = {"proposed LV mask": beside(job.outputs) if str(mask) == PROPOSE else None}
    older = existing(job.files | proposed)
    began = time.perf_counter()
    result = run(job, quiet=quiet)
    if json:
        from deepgmm.review.report import report_text

        sys.stdout.write(report_text(result))
    elif not quiet:
        print(summary(result, time.perf_counter() - began))
        print(written(job.files | proposed, older))


@dataclass
class Job:
    """One run: files by their roles, and the choices made.

    Attributes
    ----------
    inputs : "bssfp", "lge", "t2", "mask", "wall".
    study : a study folder, instead of the first three.
    outputs : as `deepgmm.review.outputs.write_outputs` takes them.
    align, align_picture : what is done about sequences that do not lie on each other.
    """

    inputs: dict[str, Path | None]
    outputs: dict[str, Path | None]
    settings: Settings = field(default_factory=Settings)
    lge_kind: str = "auto"
    t2_kind: str = "auto"
    mask_labels: str | None = None
    mask_dicom: Path | None = None
    slices: str | None = None
    resample: bool = False
    study: Path | None = None
    phase: str | None = None
    align: Align = Align.CHECK
    align_picture: Path | None = None

    @property
    def files(self) -> dict[str, Path | None]:
        """Every file that is to be written, by what it is."""
        return self.outputs | {"alignment picture": self.align_picture}


_MOVES = (Align.SHIFT, Align.RIGID)
_TITLES = {"bssfp": "bSSFP", "lge": "LGE", "t2": "T2", "mask": "LV mask", "wall": "wall"}


def run(job: Job, *, quiet: bool) -> Result:
    """Read, fit, write; say warnings, and show progress unless `quiet`.

    Raises
    ------
    DeepGMMError
        Nothing has been written then.
    """
    sources = {_TITLES[name]: path for name, path in job.inputs.items()
               if str(path) != PROPOSE}
    check_priors(job.settings.priors)
    if job.settings.priors:
        sources["contrast priors"] = Path(job.settings.priors)
    sources |= files_of(job.study)
    check_places(job.files, sources)
    with progress_bar(quiet) as progress, together() as beside_them:
        began = time.perf_counter()
        with hushed():
            marked = propose_for(job, beside_them) if str(job.inputs["mask"]) == PROPOSE else None
            # what --mask-labels says is of masks that were drawn
            came = _read(job if marked is None else replace(job, mask_labels=None))
        if marked is not None:
            from deepgmm.propose.proposed import mark

            mark(came, marked)
        checked: Future[Study] | None = None
        if job.align is Align.CHECK:  # it moves nothing, so the fit need not wait for it
            study, checked = came, _aside(_aligned, came, job)
        else:
            study = _aligned(came, job)
        read = time.perf_counter()

        import deepgmm.methods  # noqa: F401  torch, which the report's times hold apart
        from deepgmm.segment import segment as fit

        loaded = time.perf_counter()
        from deepgmm.study.levels import counted

        with counted(study.mask, study.insertion_points):
            result = fit(study, job.settings, progress=share_of(progress, 0.05, 0.85))
        if checked is not None:
            study = checked.result()
            result.provenance |= study.provenance
            found = study.warnings[:len(study.warnings) - len(came.warnings)]
            result.warnings[:0] = result.study.warnings[:0] = found
        result.provenance["seconds"] = {
            name: round(seconds, 3) for name, seconds in (
                ("read", read - began), ("load", loaded - read),
                ("segment", time.perf_counter() - loaded))}
        progress(0.92, "writing")

        with hushed():
            _write(result, came, job)
        progress(1.0, "done")
    from deepgmm.study.levels import numbering_in

    warn([*idle_options(job.settings), *study.warnings, *result.warnings],
         numbering_in(study.mask, study.insertion_points))
    return result


def _aside(function: Callable[..., Study], *given: Any) -> Future[Study]:
    """`function` in a thread of its own."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(function, *given)
    finally:
        pool.shutdown(wait=False)


def _aligned(study: Study, job: Job) -> Study:
    """The study as `--align` wants it; of a single sequence no picture is made."""
    from deepgmm.study.alignment import with_alignment

    study = with_alignment(study, job.align)
    if len(study.sequences) == 1 and job.align_picture is not None:
        study.warnings.insert(0, f"no alignment picture is made: {study.roles[0].title} is the "
                                 "only sequence")
        job.align_picture = None
    return study


def _write(result: Result, came: Study, job: Job) -> None:
    """All files, or none; `came` is the study before it was aligned."""
    from deepgmm.review.outputs import write_outputs

    with together() as outputs:
        if job.align_picture is not None:
            from deepgmm.review.alignment_picture import alignment_picture
            from deepgmm.study.alignment import with_alignment

            moved = result.study if job.align in _MOVES else with_alignment(came, Align.SHIFT)
            outputs.path(job.align_picture, "alignment picture").write_bytes(
                alignment_picture(came, moved, job.align_picture))
        write_outputs(result, **job.outputs)  # type: ignore[arg-type]  # files alone


def _read(job: Job) -> Study:
    given: dict[str, Any] = {
        **job.inputs, "lge_kind": job.lge_kind, "t2_kind": job.t2_kind,
        "mask_labels": job.mask_labels, "mask_dicom": job.mask_dicom, "slices": job.slices,
        "phase": job.phase}
    if job.study is None:
        from deepgmm.reading.studies.from_files import read_study

        return read_study(**given, resample=job.resample)
    if any(given.pop(name) for name in ("bssfp", "lge", "t2")):
        raise InputError(BOTH_GIVEN)
    from deepgmm.reading.studies.study_folder import read_study_folder

    return read_study_folder(job.study, **given)


def summary(result: Result, seconds: float) -> str:
    """Volumes and what they were found with, as text."""
    study = result.study
    guessed = study.provenance.get("kinds_guessed", [])
    given = ", ".join(
        f"{role.title} ({s.kind.value}{', guessed' if role.value in guessed else ''})"
        if s.kind.value != role.value else role.title for role, s in study.sequences.items())
    fitted = len(result.fits)
    slices = f"{fitted} slice" + ("s" if fitted != 1 else "")
    from deepgmm.review.report import percent_of_wall

    rows = [("tissue", "ml", "90 % interval", "% of wall")]
    shares = percent_of_wall(result)
    for tissue in result.present_tissues:
        share = shares.get(tissue.title)
        low, high = result.volume_interval(tissue)
        rows.append((tissue.title, f"{result.volume(tissue):.1f}",
                     f"{low:.1f} to {high:.1f}" if low == low else "-",
                     "-" if share is None else f"{share:.0f}"))
    phase = study.provenance.get("bssfp_phase")
    frame = (f"bSSFP: frame {phase['frame']} of {phase['of']} (counted from 0): {phase['why']}\n"
             if phase else "")
    network = result.provenance.get("network")
    learned = f"network {network['name']}, {network['learning']}\n" if network else ""
    ran = f"method {method_in_words(result.provenance)}\n"
    return f"{given}; {slices}; {seconds:.1f} s\n{ran}{learned}{frame}{table(rows)}{_moves(study)}"


def _moves(study: Study) -> str:
    """The table of the alignment, where the study was moved."""
    found = study.provenance.get("alignment")
    if not found or not found["applied"] or not found["moves"]:
        return ""
    from deepgmm.study.alignment import alignment_rows
    from deepgmm.study.levels import numbering_in

    numbering = numbering_in(study.mask, study.insertion_points)
    return f"\n{table(alignment_rows(found, numbering))}"
