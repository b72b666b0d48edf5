"""`deepgmm propose-mask`: images in, a proposed LV mask out, for a person to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli.common import AsJson, Log, Quiet, check_places, hushed, progress_bar, table, warn
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.propose.proposed import MaskProposal
    from deepgmm.study.study import Geometry

#: Said to --mask of `deepgmm segment` instead of a file.
PROPOSE = "propose"


def propose(
    bssfp: Annotated[Path | None, typer.Option(metavar="FILE", help="bSSFP image or cine.")] = None,
    lge: Annotated[Path | None, typer.Option(metavar="FILE", help="LGE image.")] = None,
    t2: Annotated[Path | None, typer.Option(metavar="FILE", help="T2 image.")] = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.nii.gz",
        help="The mask, blood and wall together: 1 inside.")] = None,
    montage: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="All slices with the outline and its confidence.")] = None,
    phase: Annotated[str | None, typer.Option(
        metavar="N", help="Frame of a bSSFP cine, counted from 0; the first by default.")] = None,
    resample: Annotated[bool, typer.Option(
        "--resample", help="Bring images on different grids onto the LGE grid.")] = False,
    quiet: Quiet = False,
    json: AsJson = False,
    log: Log = None,
) -> None:
    """Propose the outline of the left ventricle; look at it before you use it.

    Example:

        deepgmm propose-mask --lge lge.nii.gz -o lv.nii.gz --montage lv.png
    """
    outputs = {"LV mask": output, "picture": montage}
    if not json and not any(outputs.values()):
        raise InputError("no output asked for: give -o OUT.nii.gz, --montage or --json")
    check_places(outputs, {"bSSFP": bssfp, "LGE": lge, "T2": t2})
    from deepgmm.propose.proposal import propose_mask
    from deepgmm.reading.studies.from_files import read_images

    with progress_bar(quiet) as progress:
        with hushed():
            study = read_images(bssfp=bssfp, lge=lge, t2=t2, resample=resample, phase=phase)
        found = propose_mask(study, progress=progress)
        if output is not None:
            write_mask(found, study.geometry, output)
        if montage is not None:
            from deepgmm.files import together
            from deepgmm.review.proposal_picture import proposal_png

            with together() as places:
                places.path(montage, "picture").write_bytes(proposal_png(study, found))
    warn([*study.warnings, *found.warnings])
    if json:
        from json import dumps

        sys.stdout.write(dumps(found.provenance, indent=2) + "\n")
    elif not quiet:
        print(table([("slice", "confidence", ""), *(
            (str(i), f"{c:.2f}", found.left_out.get(i, "")) for i, c in
            enumerate(found.confidence))]))


def write_mask(found: MaskProposal, geometry: Geometry, path: Path) -> None:
    """The proposed mask as an image of 0 and 1.

    Raises
    ------
    InputError : the file cannot be written.
    """
    import numpy as np

    from deepgmm.files import together
    from deepgmm.reading.images.grids import image_of
    from deepgmm.reading.masks.labelmap import write_image

    with together() as places:
        image = image_of(found.mask.astype(np.uint8), geometry)
        write_image(image, places.path(path, "LV mask"), "LV mask")


def propose_for(job: Any) -> MaskProposal:
    """Propose a mask for a `Job` of `deepgmm segment`, write it beside the first of its outputs,
    and let the job take it from there."""
    from deepgmm.files import suffix_of
    from deepgmm.propose.proposal import propose_mask
    from deepgmm.reading.studies.from_files import read_images

    beside = next((path for path in job.outputs.values() if path is not None), None)
    if job.study is not None or beside is None:
        raise InputError("--mask propose needs single images and an output file, beside which the "
                         "proposed mask is written; or run deepgmm propose-mask first")
    given = {name: path for name, path in job.inputs.items() if str(path) != PROPOSE}
    images = read_images(bssfp=given["bssfp"], lge=given["lge"], t2=given["t2"],
                         resample=job.resample, phase=job.phase)
    found = propose_mask(images)
    place = beside.with_name(beside.name.removesuffix(suffix_of(beside)) + "-proposed-mask.nii.gz")
    check_places({"LV mask": place}, given)
    write_mask(found, images.geometry, place)
    job.inputs["mask"] = place
    return found
