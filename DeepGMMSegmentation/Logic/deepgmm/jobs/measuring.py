"""The worker's task "measure": all numbers of a segmentation, and files of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import Outputs
from deepgmm.jobs.codec import decode_study, encode_study
from deepgmm.jobs.protocol import Arrays, Header
from deepgmm.progress import Progress
from deepgmm.review.quantities import Number, Numbers
from deepgmm.study.study import Study
from deepgmm.study.words import Role, Tissue

_LABELS, _ENTROPY = "measured_labels", "entropy"


def measure_request(study: Study, labels: npt.NDArray[np.uint8], *,
                    tissues: Iterable[Tissue] = (), guess: Iterable[Role] = (),
                    said: Mapping[str, Any] | None = None,
                    entropy: npt.NDArray[Any] | None = None, model: int = 16,
                    files: Mapping[str, str] | None = None,
                    dicom: Mapping[str, Any] | None = None) -> tuple[Header, Arrays]:
    """Header and arrays that ask for "measure".

    Parameters
    ----------
    study : images, LV mask and RV insertion points; a mask that is empty means: whatever has a
        label.
    labels : (slices, rows, columns), values of `Tissue`.
    tissues : those that were sought.
    guess : sequences whose kind is to be guessed from their looks.
    said : the report of the run that made the labels, for its intervals.
    entropy : (slices, rows, columns) of its posterior, 0 to 1, for the report's picture.
    model : of 16 segments, or of 17.
    files : "csv", "html" or "seg" to the path to write; they appear together or not at all.
    dicom : what a DICOM segmentation is to refer to: `folder`, `series` and `instances` as
        `deepgmm.review.dicom.sources_in` takes them. Where that cannot be, a derived series is
        written, and a warning says why.
    """
    described, arrays = encode_study(study)
    arrays[_LABELS] = np.asarray(labels, np.uint8)
    if entropy is not None:
        arrays[_ENTROPY] = np.asarray(entropy)
    wanted = ("grid", "volumes_ml", "volume_intervals_90_ml")
    return ({"study": described, "tissues": [int(t) for t in tissues],
             "guess": [role.value for role in guess],
             "said": {key: said[key] for key in wanted if key in said} if said else None,
             "model": model, "files": dict(files or {}),
             "dicom": None if dicom is None else dict(dicom)}, arrays)


def measured(header: Mapping[str, Any]) -> tuple[list[Number], list[str], str]:
    """What came back: every number, warnings, and how RV insertion points came."""
    return ([Number(**row) for row in header["rows"]], list(header["warnings"]),
            str(header["insertions"]))


def measure_task(header: Header, arrays: Arrays, progress: Progress) -> tuple[Header, Arrays]:
    """Measure, and write the files asked for; in the worker."""
    progress(0.0, "measuring")
    study = decode_study(header["study"], arrays)
    numbers = _numbers(study, header, arrays)
    files = {what: Path(path) for what, path in header["files"].items()}
    if files:
        progress(0.5, "writing")
        _write(numbers, files, arrays.get(_ENTROPY), header["dicom"])
    return {"rows": [asdict(row) for row in numbers.rows], "warnings": numbers.warnings,
            "insertions": numbers.insertions}, {}


def _numbers(study: Study, header: Header, arrays: Arrays) -> Numbers:
    from deepgmm.review.numbers import NO_POSTERIOR, intervals_of, quantify
    from deepgmm.study.kinds import LEAST_CONFIDENCE, guess_kind

    labels, said = arrays[_LABELS], header["said"]
    intervals, why = intervals_of(said, labels, study.geometry) if said else ({}, NO_POSTERIOR)
    mask = study.mask if study.mask.any() else None
    for role in map(Role, header["guess"]):
        images = study.sequences[role]
        kind, confidence = guess_kind(role, images.values, labels > 0)
        images.kind = kind if confidence >= LEAST_CONFIDENCE else images.kind
    return quantify(labels, study.geometry, mask=mask, sequences=study.sequences,
                    points=study.insertion_points,
                    tissues=[Tissue(value) for value in header["tissues"]] or None,
                    intervals=intervals, no_intervals=why, model=header["model"])


def _write(numbers: Numbers, files: dict[str, Path], entropy: npt.NDArray[Any] | None,
           dicom: Mapping[str, Any] | None) -> None:
    from deepgmm.files import together

    with together() as outputs:
        if "csv" in files:
            from deepgmm.review.tables import csv_text

            # with a mark at its start, by which spreadsheets know the encoding
            outputs.path(files["csv"], "table").write_text(csv_text(numbers), encoding="utf-8-sig")
        if "html" in files:
            from deepgmm.review.page import html_page, pictures

            page = html_page(numbers, pictures(numbers, entropy))
            outputs.path(files["html"], "report").write_text(page, encoding="utf-8")
        if "seg" in files:
            _write_seg(numbers, outputs, files["seg"], dicom)


def _write_seg(numbers: Numbers, outputs: Outputs, seg: Path,
               dicom: Mapping[str, Any] | None) -> None:
    from deepgmm.review.dicom import sources_in, write_beside

    shape = numbers.labels.shape
    if dicom is not None:
        try:
            sources_in(geometry=numbers.geometry, shape=(shape[0], shape[1], shape[2]), **dicom)
        except InputError as refused:
            numbers.warnings.append("the segmentation refers to no DICOM of the patient: "
                                    f"{refused}")
            dicom = None
    write_beside(numbers, outputs, seg, **(dicom or {}))
