"""What is measured, from files: a segmentation of anyone, its images, its LV mask."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepgmm.acting import method_in_words
from deepgmm.errors import InputError
from deepgmm.files import read_json, sha256
from deepgmm.reading.contours.markups import read_points
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.masks.labelmap import Labels, read_labels
from deepgmm.reading.masks.lv_mask import read_mask
from deepgmm.reading.studies.from_files import read_study
from deepgmm.review.numbers import NO_POSTERIOR, intervals_of, quantify
from deepgmm.review.panels import outlines_of
from deepgmm.review.quantities import Numbers
from deepgmm.study.insertion_points import given_points
from deepgmm.study.study import BoolArray, FloatArray, Geometry, Study
from deepgmm.study.words import Role, Tissue

Where = str | os.PathLike[str] | None


@dataclass
class Sources:
    """Files to measure; those that are None are not given.

    Attributes
    ----------
    segmentation : whatever `read_labels` takes; labels : whose values it holds, by the name of
        a convention, None where it tells itself.
    mask, remote : LV mask; remote wall that a reader drew.
    points : RV insertions, `.mrk.json`.
    report : JSON of the run that made the segmentation, for its intervals.
    probabilities : of that run, for the picture of uncertainty.
    """

    segmentation: str | os.PathLike[str]
    mask: Where = None
    bssfp: Where = None
    lge: Where = None
    t2: Where = None
    lge_kind: str = "auto"
    t2_kind: str = "auto"
    points: Where = None
    remote: Where = None
    report: Where = None
    probabilities: Where = None
    tissues: tuple[Tissue, ...] | None = None
    model: int = 16
    t2_ms: float | None = None
    labels: str | None = None


@dataclass
class Measured:
    """Numbers, and the entropy of the posterior, (slices, rows, columns), where it was given."""

    numbers: Numbers
    entropy: FloatArray | None = None


def measure(sources: Sources) -> Measured:
    """Read everything and measure it.

    Raises
    ------
    InputError
        Files that cannot be used, or that lie on different grids.
    """
    labels = read_labels(sources.segmentation, "segmentation", convention=sources.labels)
    if not labels.values.any():
        raise InputError("the segmentation is empty, so there is nothing to measure: see whether "
                         "it is the right file")
    study = _study(sources)
    geometry, values = labels.geometry, labels.values
    if study is not None:
        geometry = study.geometry
        values = _on(labels, geometry, study.mask.shape)
    shape = values.shape
    warnings = [*labels.warnings, *(study.warnings if study is not None else [])]
    # volumes are counted there all the same
    warnings = [re.sub(r"^(slices? .*) (?:was|were) left out: (\w+) has no slices? there$",
                       r"\2 has no values on \1: volumes count there, what needs \2 does not", w)
                for w in warnings]

    def drawn(path: Where, name: str) -> BoolArray | None:
        if path is None:
            return None
        found = read_mask(path, image_of(np.zeros(shape, np.uint8), geometry), convention="plain"
                          if name != "LV mask" else None, name=name)
        warnings.extend(found.warnings)
        return found.mask

    mask = drawn(sources.mask, "LV mask")
    if mask is not None and study is not None:
        mask = study.mask
    points = None
    inside = mask if mask is not None else values > 0
    if sources.points is not None:
        points, said = given_points(read_points(sources.points, "RV insertion points"), geometry,
                                    inside)
        warnings += said
    intervals: dict[str, tuple[float, float]] = {}
    why = NO_POSTERIOR + ": --from-report takes those of the run that made it"
    run: dict[str, Any] = {}
    if sources.report is not None:
        run = _json(sources.report)
        intervals, why = intervals_of(run, values, geometry)
        warnings += [f"the run that made it said: {text}" for text in run.get("warnings") or ()
                     if isinstance(text, str) and text not in warnings]
    numbers = quantify(
        values, geometry, mask=mask, sequences=study.sequences if study is not None else None,
        points=points, tissues=sources.tissues, intervals=intervals, no_intervals=why,
        model=sources.model, remote=drawn(sources.remote, "remote region"), t2_ms=sources.t2_ms)
    numbers.warnings[:0] = [w for w in dict.fromkeys(warnings) if w not in numbers.warnings]
    numbers.outlines = outlines_of(run, len(values))
    given = {name: getattr(sources, name) for name in (
        "segmentation", "mask", "bssfp", "lge", "t2", "points", "remote", "report")}
    numbers.provenance = {
        "input SHA-256": {name: sha256(path) for name, path in given.items() if path is not None},
        "settings": {"segments": sources.model, "t2-ms": sources.t2_ms,
                     "tissues": None if sources.tissues is None else
                     [t.title for t in sources.tissues]}}
    asked = {Role.LGE: sources.lge_kind, Role.T2: sources.t2_kind}
    kinds = {role.title: images.kind.value + (" (guessed)" if asked[role] == "auto" else "")
             for role, images in numbers.sequences.items() if role in asked}
    if kinds:
        numbers.provenance["kind of"] = kinds
    network, versions = (value if isinstance(value, dict) else {}
                         for value in (run.get("network"), run.get("versions")))
    made = {"method": method_in_words(run) or None, "deepgmm": versions.get("deepgmm"),
            "network": network.get("name")}
    if any(isinstance(value, str) for value in made.values()):
        numbers.provenance["made by"] = {
            name: value for name, value in made.items() if isinstance(value, str)}
    return Measured(numbers, _entropy(sources.probabilities, geometry, shape))


def _study(sources: Sources) -> Study | None:
    """The images as a study; None where there are none."""
    if all(path is None for path in (sources.bssfp, sources.lge, sources.t2)):
        return None
    drawn = sources.mask is not None
    try:
        study = read_study(
            bssfp=sources.bssfp, lge=sources.lge, t2=sources.t2,
            mask=sources.mask if sources.mask is not None else sources.segmentation,
            mask_labels=None if drawn else "plain", lge_kind=sources.lge_kind,
            t2_kind=sources.t2_kind, resample=None)
        # a fit wants numbers where an image has no slice; to a measure they would be signal
        for images in study.sequences.values():
            without = [i for i in study.excluded if not images.values[i].any()]
            if without:
                images.values = np.where(np.isin(np.arange(len(images.values)), without)[
                    :, None, None], np.nan, images.values)
        return study
    except InputError as error:
        if drawn:
            raise
        # what stood for the mask has another name for whoever gave it
        raise InputError(error.whole.replace("LV mask", "segmentation")) from error


def _on(labels: Labels, geometry: Geometry, shape: tuple[int, ...]) -> Any:
    try:
        return labels.on(geometry, (shape[0], shape[1], shape[2]))
    except InputError as error:
        raise InputError("the segmentation and the images lie on different grids: bring one onto "
                         "the grid of the other") from error


def _json(path: str | os.PathLike[str]) -> Any:
    try:
        said = read_json(path)
    except OSError as error:
        raise InputError(f"the report cannot be read ({error.strerror}): check its path") from error
    except ValueError as error:
        raise InputError("the report is no JSON: give what segment --report wrote") from error
    if not isinstance(said, dict):
        raise InputError("the report is none of ours: give what segment --report wrote")
    return said


def _entropy(path: Where, geometry: Geometry, shape: tuple[int, ...]) -> FloatArray | None:
    """Entropy of probabilities over its maximum, 0 to 1; 0 where they say nothing."""
    if path is None:
        return None
    import SimpleITK as sitk

    try:
        p = sitk.GetArrayFromImage(sitk.ReadImage(os.fspath(path))).astype(float)
    except RuntimeError as error:
        raise InputError("the probabilities cannot be read: give what segment --probabilities "
                         "wrote") from error
    if p.ndim != 4 or p.shape[1:] != tuple(shape):
        raise InputError("the probabilities and the segmentation lie on different grids: give "
                         "those of the run that made it")
    if not np.isfinite(p).all() or p.min() < 0 or p.sum(axis=0).max() > 1.01:
        raise InputError("the probabilities are none: give what segment --probabilities wrote")
    return np.asarray(-(p * np.log(np.clip(p, 1e-12, 1))).sum(axis=0) / np.log(max(len(p), 2)))


def tissues_named(words: Iterable[str]) -> tuple[Tissue, ...] | None:
    """The tissues of a list of names; None for an empty list.

    Raises
    ------
    InputError
        A name that is no tissue.
    """
    found = tuple(sorted({Tissue.named(word) for word in words}))
    return found or None


