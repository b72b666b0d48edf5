"""Contrast priors from labelled studies: the DeepGMM paper's mu_data (section 4.2).

The paper averages the tissues' means over ten labelled training images. Here they are taken study
by study, for every kind of sequence apart, in the units of `deepgmm.study.normalisation`, and
with two spreads beside them: within a patient, and between patients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import write_whole
from deepgmm.identify.contrast import FIELDS, prior_name, shipped_prior
from deepgmm.progress import Progress, silent
from deepgmm.reading.studies.labelled import LabelledCase
from deepgmm.study.normalisation import normalise
from deepgmm.study.study import Study
from deepgmm.study.words import FOUR_TISSUES, Tissue

UNITS = "normalised: -1 and 1 are the 2nd and 98th percentile inside the LV mask, per study"

#: A tissue with no more labelled pixels in a study says nothing there.
FEW_PIXELS = 20
#: Of fewer studies no spread between patients can be had.
FEWEST_CASES = 2
#: Spreads between patients are widened so: those to come vary more than those seen.
WIDENED = 1.5
#: No spread within a patient is taken to be below this.
LEAST_SPREAD = 0.15
#: Nor any between patients; the contrast of edema and scar depends on the age of the infarct.
LEAST_STRAY = {Tissue.BLOOD: 0.12, Tissue.MYOCARDIUM: 0.12, Tissue.EDEMA: 0.3, Tissue.SCAR: 0.3}

Numbers = tuple[float, float, float]


@dataclass(frozen=True)
class Contrast:
    """What one tissue looks like on one sequence of one study, in normalised units.

    Attributes
    ----------
    mean : the median, since partial volume and papillary muscle lie between the tissues.
    spread : the interquartile range over that of a normal distribution.
    pixels : how many were labelled.
    """

    mean: float
    spread: float
    pixels: int


@dataclass(frozen=True)
class Estimate:
    """Contrast priors and how they came about.

    Attributes
    ----------
    kinds : name of the kind to an entry as the shipped files have it; each tissue's row says also
        of how many `cases` and `pixels` it is, 0 where it is the shipped one.
    remarks : what a user must know about them.
    """

    kinds: dict[str, dict[str, Any]]
    remarks: list[str]


def contrasts(study: Study, labels: npt.NDArray[np.uint8]) -> dict[str, dict[Tissue, Contrast]]:
    """What the labelled tissues look like on each sequence of a study, by the kind's prior name.

    Parameters
    ----------
    labels : (slices, rows, columns), values of `Tissue`; others are not looked at. Slices that
        the study leaves out are not either.

    Raises
    ------
    InputError : where a sequence is constant inside the mask.
    """
    slices = study.slices
    images, _ = normalise(study, slices)
    truth = labels[list(slices)]
    found: dict[str, dict[Tissue, Contrast]] = {}
    for m, (role, sequence) in enumerate(study.sequences.items()):
        own = found[prior_name(role, sequence.kind)] = {}
        for tissue in FOUR_TISSUES:
            pixels = images[:, m][truth == tissue]
            if len(pixels) > FEW_PIXELS:
                spread = np.subtract(*np.percentile(pixels, (75, 25))) / 1.349
                own[tissue] = Contrast(float(np.median(pixels)), float(spread), len(pixels))
    return found


def summary(tissue: Tissue, seen: Iterable[Contrast]) -> Numbers:
    """(mean, sd, mean_sd) of a tissue over studies, whatever their order, not rounded."""
    means = np.sort([one.mean for one in seen])
    spread = float(np.median([one.spread for one in seen]))
    return (float(np.median(means)), max(spread, LEAST_SPREAD),
            max(WIDENED * float(np.std(means)), LEAST_STRAY[tissue]))


def rounded(numbers: Numbers) -> dict[str, float]:
    """A tissue's row in a file of priors."""
    return {name: round(number, 2) for name, number in zip(FIELDS, numbers)}


def entry(name: str, source: str, rows: dict[Tissue, dict[str, float]]) -> dict[str, Any]:
    """A kind of a file of priors."""
    return {"kind": name, "units": UNITS, "source": source,
            "tissues": {tissue.name.lower(): row for tissue, row in rows.items()}}


def estimate(studies: Iterable[tuple[Study, npt.NDArray[np.uint8]]]) -> Estimate:
    """Contrast priors of all kinds that the labelled studies hold.

    A tissue that fewer than `FEWEST_CASES` of a kind's studies have labelled keeps the shipped
    row; a kind of fewer studies than that is left out. Both are said.

    Parameters
    ----------
    studies : each with its labels, (slices, rows, columns) values of `Tissue`. Their order does
        not matter.

    Raises
    ------
    InputError
        No kind with enough labelled studies.

    Examples
    --------
    >>> estimate([case.read() for case in cases]).kinds["bssfp"]           # doctest: +SKIP
    """
    seen: dict[str, list[dict[Tissue, Contrast]]] = {}
    for study, labels in studies:
        for name, found in contrasts(study, labels).items():
            if found:
                seen.setdefault(name, []).append(found)
    remarks = [f"{name} has one labelled case, of which no prior can be made: the shipped one "
               "stays" for name in sorted(seen) if len(seen[name]) < FEWEST_CASES]
    kinds = {}
    for name in sorted(seen):
        if len(seen[name]) >= FEWEST_CASES:
            kinds[name], more = _of_kind(name, seen[name])
            remarks += more
    if not kinds:
        raise InputError(f"contrast priors need at least {FEWEST_CASES} labelled cases of one kind "
                         f"of sequence, with over {FEW_PIXELS} labelled pixels of a tissue in the "
                         "slices that are fitted: label more")
    return Estimate(kinds, remarks)


def priors_of_cases(cases: Sequence[LabelledCase], *, identified: bool = False,
                    progress: Progress = silent
                    ) -> tuple[dict[str, Any], list[str]]:
    """What a file of contrast priors holds, and what a user must know about it.

    Only these cases are read. They are listed by key, so that the file says for whom it must not
    be used to measure anything.

    Parameters
    ----------
    cases : labelled ones.
    identified : whether their names go into the file too.

    Returns
    -------
    content : JSON values; `deepgmm.identify.contrast.contrast_prior` takes the file as its table.
    remarks : of the estimate and of the studies.

    Raises
    ------
    InputError
        Fewer than `FEWEST_CASES` labelled cases, or one that can no longer be read.
    """
    if len(cases) < FEWEST_CASES:
        raise InputError(f"contrast priors need at least {FEWEST_CASES} labelled cases, and "
                         f"{len(cases)} {'is' if len(cases) == 1 else 'are'} there: label more")
    remarks: dict[str, int] = {}

    def read() -> Iterable[tuple[Study, npt.NDArray[np.uint8]]]:
        for number, case in enumerate(cases):
            progress(number / len(cases), f"reading case {number + 1} of {len(cases)}")
            study, labels = case.read()
            for warning in study.warnings:
                remarks[warning] = remarks.get(warning, 0) + 1
            if labels is not None:
                yield study, labels

    made = estimate(read())
    listed = sorted(cases, key=lambda case: case.key)
    content = {
        "cases": [{"key": case.key} | ({"name": case.name} if identified else {})
                  for case in listed],
        "kinds": made.kinds}
    of_studies = [f"in {count} of {len(cases)} cases: {warning}"
                  for warning, count in remarks.items()]
    return content, [*made.remarks, *of_studies]


def write_priors(content: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a file of contrast priors, whole or not at all.

    Raises
    ------
    InputError : a folder that is not there or cannot be written to, a full disk.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, text.encode(), "contrast priors")


def _of_kind(name: str, seen: list[dict[Tissue, Contrast]]) -> tuple[dict[str, Any], list[str]]:
    """A kind's entry, and which tissues of it are not from these cases."""
    rows: dict[Tissue, dict[str, float]] = {}
    kept = []
    for tissue in FOUR_TISSUES:
        own = [found[tissue] for found in seen if tissue in found]
        if len(own) >= FEWEST_CASES:
            rows[tissue] = rounded(summary(tissue, own)) | {
                "cases": len(own), "pixels": sum(one.pixels for one in own)}
        else:
            kept.append(tissue.name.lower())
            rows[tissue] = shipped_prior(name)["tissues"][tissue.name.lower()] | {
                "cases": 0, "pixels": 0}
    source = f"{len(seen)} labelled cases, spread between them widened"
    if not kept:
        return entry(name, source, rows), []
    words = " and ".join(kept)
    return entry(name, f"{source}; {words} as shipped", rows), [
        f"{name}: fewer than {FEWEST_CASES} cases have enough labels of {words}, which "
        f"{'keeps' if len(kept) == 1 else 'keep'} the shipped numbers"]
