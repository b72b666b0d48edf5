"""`deepgmm segment`: images and an LV mask in, a segmentation out."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepgmm.cli.common import AsJson, Log, Quiet, check_places, hushed, progress_bar, table, warn
from deepgmm.errors import InputError
from deepgmm.settings import Covariance, Device, Method, Papillary, Preset, Settings

if TYPE_CHECKING:
    from deepgmm.result import Result

_IN, _OUT, _FIT = "Input", "Output", "Method"
_IMAGE = "NIfTI, NRRD, MetaImage, or a folder with one DICOM series."


def segment(
    bssfp: Annotated[Path | None, typer.Option(
        metavar="FILE", help=f"bSSFP image: {_IMAGE}", rich_help_panel=_IN)] = None,
    lge: Annotated[Path | None, typer.Option(
        metavar="FILE", help="LGE image.", rich_help_panel=_IN)] = None,
    t2: Annotated[Path | None, typer.Option(
        metavar="FILE", help="T2 image.", rich_help_panel=_IN)] = None,
    mask: Annotated[Path | None, typer.Option(
        metavar="FILE", help="LV mask: blood and wall together; any value but 0 is inside.",
        rich_help_panel=_IN)] = None,
    wall: Annotated[Path | None, typer.Option(
        metavar="FILE", help="The wall, where blood and wall are known apart; the LV mask is "
        "then the union of --mask and --wall.", rich_help_panel=_IN)] = None,
    lge_kind: Annotated[str, typer.Option(
        metavar="KIND", help="auto, magnitude, psir, dark-blood or unknown.",
        rich_help_panel=_IN)] = "auto",
    t2_kind: Annotated[str, typer.Option(
        metavar="KIND", help="auto, dark-blood (STIR, SPAIR), prepared, map (ms) or unknown.",
        rich_help_panel=_IN)] = "auto",
    slices: Annotated[str | None, typer.Option(
        metavar="LIST", help="Slices to segment, counted from 0: 0,2-5. All by default.",
        rich_help_panel=_IN)] = None,
    resample: Annotated[bool, typer.Option(
        "--resample", help="Bring images on different grids onto the LGE grid.",
        rich_help_panel=_IN)] = False,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.seg.nrrd", help="Segmentation for 3D Slicer.",
        rich_help_panel=_OUT)] = None,
    labelmap: Annotated[Path | None, typer.Option(
        metavar="OUT.nii.gz", help="Labels: 0 background, 1 blood, 2 myocardium, 3 edema, "
        "4 scar.", rich_help_panel=_OUT)] = None,
    probabilities: Annotated[Path | None, typer.Option(
        metavar="OUT.nii.gz", help="Probability of each tissue, 4D.",
        rich_help_panel=_OUT)] = None,
    montage: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="A picture of all slices.", rich_help_panel=_OUT)] = None,
    report: Annotated[Path | None, typer.Option(
        metavar="OUT.json", help="Settings, volumes, parameters, warnings, hashes.",
        rich_help_panel=_OUT)] = None,
    method: Annotated[Method, typer.Option(
        help="How tissues are found.", rich_help_panel=_FIT)] = Method.AUTO,
    preset: Annotated[Preset, typer.Option(
        help="Of the networks: quick, careful, or as in the paper.",
        rich_help_panel=_FIT)] = Preset.FAST,
    device: Annotated[Device, typer.Option(
        help="Where networks are fitted.", rich_help_panel=_FIT)] = Device.AUTO,
    covariance: Annotated[Covariance, typer.Option(
        help="Form of the tissues' covariances.", rich_help_panel=_FIT)] = Covariance.DIAGONAL,
    seed: Annotated[int, typer.Option(
        help="Of all random numbers.", rich_help_panel=_FIT)] = 0,
    tissues: Annotated[str | None, typer.Option(
        metavar="LIST", help="Tissues sought: blood,myocardium,edema,scar. By default those that "
        "the images can tell apart.", rich_help_panel=_FIT)] = None,
    degrees: Annotated[float, typer.Option(
        help="Degrees of freedom of Student-t tissues in gmm and svgmm; 0 for Gaussians.",
        rich_help_panel=_FIT)] = 0.0,
    outlier: Annotated[float, typer.Option(
        help="Share of an outlier class in gmm and svgmm.", rich_help_panel=_FIT)] = 0.0,
    papillary: Annotated[Papillary, typer.Option(
        help="Count papillary muscles as pool or as wall.",
        rich_help_panel=_FIT)] = Papillary.POOL,
    mvo: Annotated[bool, typer.Option(
        "--mvo", help="Label microvascular obstruction as 5 instead of counting it as scar.",
        rich_help_panel=_FIT)] = False,
    priors: Annotated[Path | None, typer.Option(
        metavar="FILE.json", help="Your own contrast priors.", rich_help_panel=_FIT)] = None,
    quiet: Quiet = False,
    json: AsJson = False,
    log: Log = None,
) -> None:
    """Split the left ventricle into blood, myocardium, edema and scar.

    Give any one of the three sequences or more, on one grid, and the LV mask. The tissues
    sought follow from what is given.

    Example:

        deepgmm segment --bssfp bssfp.nii.gz --lge lge.nii.gz --t2 t2.nii.gz
        --mask lv.nii.gz -o out.seg.nrrd --montage out.png
    """
    job = Job(
        inputs={"bssfp": bssfp, "lge": lge, "t2": t2, "mask": mask, "wall": wall},
        outputs={"segmentation": output, "labelmap": labelmap, "probabilities": probabilities,
                 "montage": montage, "report": report},
        settings=Settings(method=method, preset=preset, device=device, covariance=covariance,
                          seed=seed, tissues=_names(tissues), priors=str(priors or ""),
                          degrees=degrees, outlier=outlier, papillary=papillary,
                          keep_mvo=mvo),
        lge_kind=lge_kind, t2_kind=t2_kind, slices=slices, resample=resample)
    if not json and not any(job.outputs.values()):
        raise InputError("no output asked for: give -o OUT.seg.nrrd, --labelmap, "
                         "--probabilities, --montage, --report or --json")
    began = time.perf_counter()
    result = run(job, quiet=quiet)
    if json:
        from deepgmm.review.report import report_text

        sys.stdout.write(report_text(result))
    elif not quiet:
        print(summary(result, time.perf_counter() - began))
        print(written(job.outputs))


@dataclass
class Job:
    """One run: files by their roles, and the choices made.

    Attributes
    ----------
    inputs : "bssfp", "lge", "t2", "mask", "wall".
    outputs : as `deepgmm.review.outputs.write_outputs` takes them.
    """

    inputs: dict[str, Path | None]
    outputs: dict[str, Path | None]
    settings: Settings = field(default_factory=Settings)
    lge_kind: str = "auto"
    t2_kind: str = "auto"
    slices: str | None = None
    resample: bool = False


_TITLES = {"bssfp": "bSSFP", "lge": "LGE", "t2": "T2", "mask": "LV mask", "wall": "wall"}


def run(job: Job, *, quiet: bool) -> Result:
    """Read, fit, write; say warnings, and show progress unless `quiet`.

    Raises
    ------
    DeepGMMError
        Nothing has been written then.
    """
    sources = {_TITLES[name]: path for name, path in job.inputs.items()}
    if job.settings.priors:
        sources["contrast priors"] = Path(job.settings.priors)
        if not Path(job.settings.priors).is_file():
            raise InputError("the contrast priors file does not exist: check the path given "
                             "to --priors")
    check_places(job.outputs, sources)
    with progress_bar(quiet) as progress:
        from deepgmm.study.reading import read_study

        began = time.perf_counter()
        given = job.inputs
        with hushed():
            study = read_study(
                bssfp=given.get("bssfp"), lge=given.get("lge"), t2=given.get("t2"),
                mask=given.get("mask"), wall=given.get("wall"), lge_kind=job.lge_kind,
                t2_kind=job.t2_kind, slices=job.slices, resample=job.resample)
        reading = time.perf_counter() - began

        from deepgmm.segment import segment as fit

        result = fit(study, job.settings,
                     progress=lambda fraction, stage: progress(0.05 + 0.85 * fraction, stage))
        result.provenance.setdefault("seconds", {})["read"] = round(reading, 3)
        progress(0.92, "writing")

        from deepgmm.review.outputs import write_outputs

        write_outputs(result, **job.outputs)
        progress(1.0, "done")
    warn([*study.warnings, *result.warnings])
    return result


def summary(result: Result, seconds: float) -> str:
    """Volumes and what they were found with, as text."""
    study = result.study
    given = ", ".join(f"{role.title} ({s.kind.value})" if s.kind.value != role.value
                      else role.title for role, s in study.sequences.items())
    fitted = len(result.fits)
    slices = f"{fitted} slice" + ("s" if fitted != 1 else "")
    from deepgmm.review.report import percent_of_wall, present_tissues

    rows = [("tissue", "ml", "90 % interval", "% of wall")]
    shares = percent_of_wall(result)
    for tissue in present_tissues(result):
        share = shares.get(tissue.title)
        low, high = result.volume_interval(tissue)
        rows.append((tissue.title, f"{result.volume(tissue):.1f}",
                     f"{low:.1f} to {high:.1f}" if low == low else "-",
                     "-" if share is None else f"{share:.0f}"))
    return f"{given}; {slices}; {seconds:.1f} s\n{table(rows)}"


def written(outputs: dict[str, Path | None]) -> str:
    """Where the files are, one a line."""
    return "\n".join(f"{what}: {path}" for what, path in outputs.items() if path is not None)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []
