"""A case's files: all that `segment` and `quantify` write, a thumbnail, and its row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.files import together, write_whole
from deepgmm.jobs.cohort.agreement import scored
from deepgmm.jobs.cohort.cases import NO_AGREEMENT, TRUTH, Plan
from deepgmm.study.levels import numbering_in
from deepgmm.study.words import Align

if TYPE_CHECKING:
    from deepgmm.jobs.cohort.reading import Prepared
    from deepgmm.result import Result
    from deepgmm.review.numbers import Numbers

SEGMENTATION, MONTAGE, REPORT = "segmentation.seg.nrrd", "montage.png", "report.json"
ALIGNMENT = "alignment.png"
DICOM = "dicom"
THUMBNAIL, NUMBERS, BULLSEYE = "thumbnail.png", "numbers.csv", "bullseye.png"

_UNITS = {"%": "percent", "": "", "ml": "ml", "g": "g", "mm": "mm", "bits": "bits"}


def write_case(one: Prepared, result: Result, plan: Plan) -> dict[str, Any]:
    """Write into a case's staging folder.

    Returns
    -------
    What its record says: "row" of the table, "warnings", "look" (what the index sorts by), and
    "agreement" with a truth.
    """
    from deepgmm.review.outputs import write_outputs

    staging, case = one.staging, one.case
    result.warnings += one.notes
    result.provenance["input_sha256"] = dict(result.study.hashes)
    write_outputs(result, segmentation=staging / SEGMENTATION,
                  labelmap=staging / "labelmap.nii.gz",
                  probabilities=staging / "probabilities.nii.gz", montage=staging / MONTAGE,
                  report=staging / REPORT)
    if plan.align in (Align.SHIFT, Align.RIGID) and len(one.study.sequences) > 1:
        from deepgmm.review.alignment_picture import alignment_picture

        write_whole(staging / ALIGNMENT, alignment_picture(one.came, one.study,
                                                           Path(ALIGNMENT)), "alignment picture")
    numbers = _quantified(result, plan, staging)
    _thumbnail(result, staging)
    agreement: dict[str, Any] = {}
    if TRUTH in case.files:
        try:
            agreement = scored(staging / SEGMENTATION, case.files[TRUTH], plan.labels, result.study)
        except InputError as error:
            result.warnings.append(f"{NO_AGREEMENT}{error}")
    numbering = numbering_in(result.study.mask, result.study.insertion_points)
    warnings = list(dict.fromkeys(numbering.in_words(text) for text in (
        *result.warnings, *numbers.warnings)))
    return {
        "row": _row(one, result, numbers, len(warnings)) | agreement.get("row", {}),
        "warnings": [case.scrubbed(text) for text in warnings],
        "look": {"uncertainty": _uncertainty(result), "confidence": one.confidence},
        "agreement": agreement.get("tissues", {}),
    }


def _quantified(result: Result, plan: Plan, staging: Path) -> Numbers:
    from deepgmm.review.figures import bullseyes, png
    from deepgmm.review.numbers import quantify_result
    from deepgmm.review.tables import csv_text, json_text

    numbers = quantify_result(result, model=plan.segments)
    numbers.provenance = {"input SHA-256": dict(result.study.hashes),
                          "settings": {"segments": plan.segments}}
    with together() as outputs:
        outputs.path(staging / "numbers.json", "numbers").write_text(
            json_text(numbers), encoding="utf-8")
        outputs.path(staging / NUMBERS, "numbers' table").write_text(
            csv_text(numbers), encoding="utf-8")
        if numbers.segments.any():
            outputs.path(staging / BULLSEYE, "bull's-eye").write_bytes(png(bullseyes(numbers)))
    if plan.dicom:
        _as_dicom(numbers, staging / DICOM)
    return numbers


def _as_dicom(numbers: Numbers, folder: Path) -> None:
    """SEG and structured report of a derived series of nobody, also where the case came as DICOM:
    a cohort's files name no patient."""
    from deepgmm.review.dicom import write_beside

    folder.mkdir()
    said = len(numbers.warnings)
    with together() as outputs:
        write_beside(numbers, outputs, folder / "segmentation.dcm", report=folder / "numbers.dcm")
    del numbers.warnings[said:]  # that the series is derived goes without saying here


def _thumbnail(result: Result, staging: Path) -> None:
    from deepgmm.review.montage import thumbnail_png

    write_whole(staging / THUMBNAIL, thumbnail_png(result), "thumbnail")


def _uncertainty(result: Result) -> float:
    """Mean entropy over the fitted mask, 0 to 1."""
    inside = result.posterior.any(axis=1)
    return round(float(result.entropy()[inside].mean()), 5) if inside.any() else 0.0


def _row(one: Prepared, result: Result, numbers: Numbers, warnings: int) -> dict[str, Any]:
    study = result.study
    row: dict[str, Any] = {f"{role.value}_kind": s.kind.value for role, s in
                           study.sequences.items()}
    row |= {"method": result.provenance.get("method", ""), "slices": len(study.slices),
            "mask": "given" if one.confidence is None else "proposed",
            "mask_confidence": one.confidence, "uncertainty": _uncertainty(result),
            "warnings": warnings}
    for number in numbers.rows:
        if number.scope != "study":
            continue
        unit = _UNITS.get(number.unit, number.unit)
        name = number.key if not unit or number.key.endswith(unit) else f"{number.key}_{unit}"
        row[name] = _finite(number.value)
        if number.low is not None and number.key.endswith("_volume"):
            row |= {f"{name}_low_90": _finite(number.low), f"{name}_high_90": _finite(number.high)}
    return row


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
