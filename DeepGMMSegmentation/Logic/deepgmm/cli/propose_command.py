"""`deepgmm propose-mask`: images in, a proposed LV mask out, for a person to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import check_places, existing, hushed, progress_bar, table, warn, written
from deepgmm.cli.redrawn import changed_since, redrawn, slices_drawn
from deepgmm.errors import InputError
from deepgmm.study.words import Align

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepgmm.files import Outputs
    from deepgmm.propose.correcting import BorderPoint
    from deepgmm.propose.proposed import MaskProposal
    from deepgmm.study.study import Geometry, Study

#: Said to --mask of `deepgmm segment` instead of a file.
PROPOSE = "propose"
BOTH_GIVEN = "--study and single images were both given: give one or the other"


def propose(
    study: Annotated[Path | None, typer.Option(
        metavar="FOLDER",
        help="Study folder made by deepgmm import, instead of single images.")] = None,
    bssfp: Annotated[Path | None, typer.Option(metavar="FILE", help="bSSFP image or cine.")] = None,
    lge: Annotated[Path | None, typer.Option(metavar="FILE", help="LGE image.")] = None,
    t2: Annotated[Path | None, typer.Option(metavar="FILE", help="T2 image.")] = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.nii.gz|OUT.seg.nrrd",
        help="The mask, blood and wall together: 1 inside; as .seg.nrrd with the note that it was "
        "proposed.")] = None,
    probabilities: Annotated[Path | None, typer.Option(
        metavar="OUT.nii.gz", help="Probability of each pixel being inside: over .5 within the "
        "mask.")] = None,
    montage: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="All slices with the outline and its confidence.")] = None,
    phase: Annotated[str | None, typer.Option(
        metavar="N", help="Frame of a bSSFP cine, counted from 0; by default the "
        "nearest to LGE in the heartbeat where headers say it, else the first.")] = None,
    fixed: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Slices that you drew, in any format of --mask: they stay, and the "
        "slices beside them follow; what is as proposed counts as not drawn.")] = None,
    mask_labels: options.MaskLabels = None,
    point: Annotated[list[str] | None, typer.Option(
        metavar="X,Y,Z,BORDER", help="A place that a border passes through, LPS mm, and epi or "
        "endo; may be given several times.")] = None,
    points: Annotated[Path | None, typer.Option(
        metavar="FILE.mrk.json", help="The same from 3D Slicer; points whose label says endo lie "
        "on the endocardium, others on the epicardium.")] = None,
    resample: Annotated[bool, typer.Option(
        "--resample", help="Bring images on different grids onto the LGE grid.")] = False,
    align: Annotated[Align, typer.Option(
        help="Several images are looked at moved onto LGE, where the mask will lie: by shift (as "
        "with check) or rigid, with rotation; off: where they lie.")] = Align.SHIFT,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
    log: options.Log = None,
) -> None:
    """Propose the outline of the left ventricle; look at it before you use it.

    Example:

        deepgmm propose-mask --lge lge.nii.gz -o lv.seg.nrrd --montage lv.png

        deepgmm propose-mask --lge lge.nii.gz --fixed two-slices.nrrd -o lv.seg.nrrd
    """
    outputs = {"LV mask": output, "probabilities": probabilities, "picture": montage}
    if not json and not any(outputs.values()):
        raise InputError("no output asked for: give -o OUT.nii.gz, --probabilities, --montage or "
                         "--json")
    check_places(outputs, {"bSSFP": bssfp, "LGE": lge, "T2": t2, "slices that were drawn": fixed,
                           "points": points, **files_of(study)})
    older = existing(outputs)
    if output is not None and changed_since(output):
        raise InputError("-o: a proposal of that name is there that was changed since it was "
                         "written, as where somebody drew in it: give that file with --fixed and "
                         "another name to -o, or remove it")
    from deepgmm.propose.proposal import propose_mask

    with progress_bar(quiet) as progress:
        with hushed():
            images = _images(study, {"bssfp": bssfp, "lge": lge, "t2": t2}, phase, resample)
            drawn = None if fixed is None else slices_drawn(fixed, images, mask_labels)
        places_given = _points(point or [], points, images.geometry)
        found = (propose_mask(images, points=places_given, align=align, progress=progress)
                 if drawn is None else redrawn(images, drawn, places_given, align, progress))
        from deepgmm.files import together

        with hushed(), together() as places:
            if output is not None:
                write_mask(found, images.geometry, places.path(output, "LV mask"))
            if probabilities is not None:
                write_probabilities(found, images.geometry,
                                    places.path(probabilities, "probabilities"))
            if montage is not None:
                from deepgmm.review.proposal_picture import proposal_png

                places.path(montage, "picture").write_bytes(proposal_png(images, found))
    from deepgmm.study.levels import numbering_in

    numbering = numbering_in(found.mask)
    warn([*images.warnings, *found.warnings], numbering)
    if json:
        from json import dumps

        sys.stdout.write(dumps(found.provenance, indent=2) + "\n")
    elif not quiet:
        print(table([("slice", "confidence", ""), *(
            (str(numbering.of(i)), f"{round(float(found.confidence[i]), 3):.2f}", _about(found, i))
            for i in sorted(range(len(found.mask)), key=numbering.of))]))
        print(written(outputs, older))


def _about(found: MaskProposal, index: int) -> str:
    """What the table says of a slice beside its confidence."""
    if found.left_out.get(index) or index not in found.provenance.get("fixed", ()):
        return found.left_out.get(index, "")
    return "drawn" + (", far from what was proposed"
                      if index in found.provenance["elsewhere"] else "")


def files_of(folder: Path | None) -> dict[str, Path]:
    """The files of a study folder, by what they are."""
    if folder is None or not folder.is_dir():
        return {}
    return {f"study's {file.name}": file for file in folder.iterdir()}


def _images(folder: Path | None, single: Mapping[str, Path | None], phase: str | None,
            resample: bool) -> Study:
    """What a mask is proposed for: a study folder's images, or single ones."""
    if folder is None:
        from deepgmm.reading.studies.from_files import read_images

        return read_images(**single, resample=resample, phase=phase)
    if any(single.values()):
        raise InputError(BOTH_GIVEN)
    from deepgmm.reading.studies.study_folder import read_folder_images

    return read_folder_images(folder, phase=phase)


def _points(given: list[str], path: Path | None, geometry: Geometry) -> list[BorderPoint]:
    """What --point and --points say."""
    import numpy as np

    from deepgmm.propose.correcting import ENDO, EPI, border_points

    places: list[list[float]] = []
    borders: list[str] = []
    for one in given:
        *numbers, border = (part.strip() for part in one.lower().split(","))
        try:
            places.append([float(n) for n in numbers])
        except ValueError:
            numbers = []
        if "_" in "".join(numbers):  # Python reads 1_0 as 10
            numbers = []
        if len(numbers) != 3 or border not in (EPI, ENDO) or not np.isfinite(places[-1]).all():
            raise InputError(f"--point {one[:40]!r} is no point on a border: give X,Y,Z,{EPI} or "
                             f"X,Y,Z,{ENDO}, LPS mm")
        borders.append(border)
    if path is not None:
        from deepgmm.reading.contours.markups import read_named_points

        read, names = read_named_points(path, "points")
        if not len(read):
            raise InputError("the points file holds no point that was placed: place some, or "
                             "leave it out")
        places += read.tolist()
        borders += [ENDO if "endo" in name.lower() else EPI for name in names]
    return border_points(np.reshape(places, (-1, 3)), borders, geometry)


def write_mask(found: MaskProposal, geometry: Geometry, path: Path) -> None:
    """The proposed mask as an image of 0 and 1; a `.seg.nrrd` notes that it was proposed.

    Raises
    ------
    InputError : the file cannot be written.
    """
    import numpy as np

    from deepgmm.files import suffix_of, together
    from deepgmm.reading.images.grids import image_of
    from deepgmm.reading.masks.labelmap import write_image
    from deepgmm.reading.masks.seg_nrrd import mask_seg_nrrd_image

    with together() as places:
        image = (mask_seg_nrrd_image(found.mask, geometry, found.note)
                 if suffix_of(path) == ".seg.nrrd" else
                 image_of(found.mask.astype(np.uint8), geometry))
        write_image(image, places.path(path, "LV mask"), "LV mask")


def write_probabilities(found: MaskProposal, geometry: Geometry, path: Path) -> None:
    """Each pixel's probability of being inside, float32.

    Raises
    ------
    InputError : the file cannot be written.
    """
    from deepgmm.reading.images.grids import image_of
    from deepgmm.reading.masks.labelmap import write_image

    image = image_of(found.probability(geometry), geometry)
    image.SetMetaData("ITK_FileNotes", "DeepGMM: probability of being inside the LV mask")
    write_image(image, path, "probabilities")


def beside(outputs: Mapping[str, Path | None]) -> Path | None:
    """Where the mask is written that `deepgmm segment` proposes: beside its first output."""
    from deepgmm.files import suffix_of

    first = next((path for path in outputs.values() if path is not None), None)
    return first and first.with_name(
        first.name.removesuffix(suffix_of(first)) + "-proposed-mask.seg.nrrd")


def propose_for(job: Any, places: Outputs) -> MaskProposal:
    """Propose a mask for a `Job` of `deepgmm segment`, write it to appear with `places` beside the
    first of the job's outputs, and let the job take it from there.

    Raises
    ------
    InputError : as `propose_mask`; another mask has that name, which may have been corrected.
    """
    from deepgmm.propose.proposal import propose_mask

    place = beside(job.outputs)
    if place is None:
        raise InputError("--mask propose needs an output file, beside which the proposed mask is "
                         "written; or run deepgmm propose-mask first")
    given = {name: path for name, path in job.inputs.items() if str(path) != PROPOSE}
    images = _images(job.study, {name: given[name] for name in ("bssfp", "lge", "t2")}, job.phase,
                     job.resample)
    check_places({"LV mask": place}, given | files_of(job.study))
    found = propose_mask(images, align=job.align)
    job.inputs["mask"] = new = places.path(place, "LV mask")
    write_mask(found, images.geometry, new)
    if place.exists() and not _same_mask(place, new):
        raise InputError("a proposed mask lies beside the outputs already and is not what is "
                         "proposed now: if it was corrected, give that file with --mask; else "
                         "remove it, or give the outputs other names")
    return found


def _same_mask(one: Path, other: Path) -> bool:
    """Whether two files hold the same mask."""
    import numpy as np
    import SimpleITK as sitk

    from deepgmm.reading.images.grids import difference
    from deepgmm.reading.images.image import read_image

    try:
        first, second = (read_image(path, "LV mask", labels=True)[0] for path in (one, other))
    except InputError:
        return False
    return not difference(first, second) and bool(
        np.array_equal(*(sitk.GetArrayViewFromImage(i) for i in (first, second))))
