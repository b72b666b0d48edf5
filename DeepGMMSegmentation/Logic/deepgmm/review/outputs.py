"""Writing a result: every file that was asked for, or none."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.errors import InputError
from deepgmm.files import IMAGE_SUFFIXES, suffix_of, together, unwritable
from deepgmm.result import Result
from deepgmm.review.report import report_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepgmm.review.versions import Versions

Where = str | os.PathLike[str] | None

#: How the file name of each output may end.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "segmentation": (".seg.nrrd",),
    "labelmap": IMAGE_SUFFIXES,
    "probabilities": (".nii.gz", ".nii"),
    "montage": (".png",),
    "report": (".json",),
    "state": (".dgmm",),
}


def write_outputs(
    result: Result,
    *,
    segmentation: Where = None,
    labelmap: Where = None,
    probabilities: Where = None,
    montage: Where = None,
    report: Where = None,
    state: Where = None,
    versions: Versions | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Write the files asked for; they appear together, once all have been written.

    Parameters
    ----------
    segmentation : `.seg.nrrd` for 3D Slicer: names, colours, terminology, reference grid.
    labelmap : NIfTI, NRRD or MetaImage, uint8, values of `Tissue`; its axes in the order of the
        mask's file.
    probabilities : NIfTI, float32, axes columns, rows, slices (in that order too), tissues; the
        order of the tissues is in the report and in the file's description.
    montage : PNG.
    state : the study and its versions, to be refined; see `deepgmm.review.state`.
    versions : for the state; by default a line that begins with the result.
    check : called once all is written and before any of it appears; may refuse.
    report : JSON. The times of a result that has any say how long the other files took, too.

    Raises
    ------
    InputError
        A wrong suffix, a folder that does not exist or cannot be written to, a full disk.
        Then none of the files appears, and older ones of these names stay.
    """
    wanted = (
        (segmentation, "segmentation", _write_segmentation),
        (labelmap, "labelmap", _write_labelmap),
        (probabilities, "probabilities", _write_probabilities),
        (montage, "montage", _write_montage),
        (state, "state", partial(_write_state, versions=versions)),
        (report, "report", _write_report),
    )
    for final, what, _ in wanted:
        if final is not None and suffix_of(final) not in SUFFIXES[what]:
            raise InputError(f"the file name of the {what} must end with "
                             + " or ".join(SUFFIXES[what]))
    with together() as outputs:
        # All places are tried before any work is done.
        places = [(outputs.path(final, what), what, write) for final, what, write in wanted
                  if final is not None]
        began = time.perf_counter()
        for path, what, write in places:
            try:
                write(result, path)
            except OSError as error:
                raise unwritable(error, what) from error
            if what != "report" and "seconds" in result.provenance:
                result.provenance["seconds"]["write"] = round(time.perf_counter() - began, 3)
        if check is not None:
            check()


def _write_segmentation(result: Result, path: Path) -> None:
    from deepgmm.reading.masks.labelmap import write_image
    from deepgmm.reading.masks.seg_nrrd import seg_nrrd_image

    write_image(seg_nrrd_image(result.labels, result.study.geometry, result.present_tissues),
                path, "segmentation")


def _write_labelmap(result: Result, path: Path) -> None:
    from deepgmm.reading.images.grids import image_of
    from deepgmm.reading.images.places import in_order_of_file
    from deepgmm.reading.masks.labelmap import OWN_NOTE, write_image

    labels = in_order_of_file(image_of(result.labels.astype(np.uint8), result.study.geometry),
                              result.study.file_axes)
    labels.SetMetaData("ITK_FileNotes", OWN_NOTE)  # whose labels these are, for whoever reads them
    write_image(labels, path, "labelmap")


def _write_probabilities(result: Result, path: Path) -> None:
    from deepgmm.reading.images.places import in_order_of_file
    from deepgmm.reading.masks.labelmap import probability_image, write_image

    image = probability_image(result.posterior, result.study.geometry, result.tissues)
    write_image(in_order_of_file(image, result.study.file_axes), path, "probabilities")


def _write_montage(result: Result, path: Path) -> None:
    from deepgmm.review.montage import montage_png

    path.write_bytes(montage_png(result))


def _write_state(result: Result, path: Path, versions: Versions | None) -> None:
    from deepgmm.review.state import state_bytes
    from deepgmm.review.versions import Versions

    path.write_bytes(state_bytes(versions or Versions.begun(result)))


def _write_report(result: Result, path: Path) -> None:
    path.write_text(report_text(result), encoding="utf-8")
