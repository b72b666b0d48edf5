"""Tables 1 to 4 of gmm-loss-brain-paper on a folder that the user brings.

A part of the training cases is labelled; networks learn from these labels by cross entropy, with
and without the mixture loss, which also sees the cases without labels. Recall, F1 and Jaccard of
the cases held back, the paper's figures beside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from deepgmm.brain.layouts import BrainCase, brain_cases, read_case, said_of
from deepgmm.brain.published import (
    FRACTIONS,
    LOSSES,
    published_overlap,
    published_recall,
)
from deepgmm.brain.scores import Agreement, agreement
from deepgmm.brain.tissues import TISSUES, BrainTissue
from deepgmm.brain.unsupervised import UnsupervisedSettings, fit, segment
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError
from deepgmm.model.architecture import NAMES
from deepgmm.progress import Progress, share_of, silent

#: Where these tables do not do as the paper did.
DEPARTURES = (
    "Cases, not slices, are divided into labelled, unlabelled and held back.",
    "Terms are means over voxels where the paper sums; its beta of 1e-10 beside a sum over 20 "
    "slices is about 1e-4 here, and `likelihood_weight` is chosen larger by default.",
    "The mixture loss has the entropy that equation 3.2 lacks, and its parameters are a volume's.",
    "Slices lie along the axis of the longest voxels and are shown with both neighbours.",
    "AdamW over a set number of steps, the learning rate falling along half a cosine.",
)


@dataclass(frozen=True)
class TableSettings:
    """How the tables are run.

    Attributes
    ----------
    fractions : of the training cases that are labelled; at least one case always is.
    networks : of `deepgmm.model.architecture.NAMES`.
    held_back : share of the cases to score on, where the folder names no validation set.
    likelihood_weight : beta of the rows with the mixture loss, per voxel.
    seeds : networks a row, over which it is averaged; each also draws who is labelled.
    training : all else of each training.
    """

    fractions: tuple[float, ...] = FRACTIONS
    networks: tuple[str, ...] = ("unet", "modified-unet")
    held_back: float = 1 / 3
    likelihood_weight: float = 0.05
    seeds: int = 1
    seed: int = 0
    training: UnsupervisedSettings = field(default_factory=lambda: UnsupervisedSettings(
        label_weight=1.0, filters=8, levels=4, degree=0, corrects=False, variation=0.1,
        steps=600))

    def __post_init__(self) -> None:
        if not self.fractions or not all(0 < f <= 1 for f in self.fractions):
            raise InputError("the labelled fractions must be above 0 and at most 1")
        if not 0 < self.held_back < 1:
            raise InputError("the share held back must be above 0 and below 1")
        if self.seeds < 1:
            raise InputError("a row needs at least one seed")

    def quick(self) -> TableSettings:
        """A trial whose figures mean nothing: small networks, few steps."""
        return replace(self, training=replace(
            self.training, filters=4, levels=2, convolutions=1, steps=12, batch=4))


@dataclass(frozen=True)
class TableRow:
    """One network, loss and fraction.

    Attributes
    ----------
    labelled, unlabelled : cases that entered the loss with and without their labels.
    scores : one for each case held back and seed, {tissue: Agreement}.
    seconds : of the trainings.
    """

    network: str
    loss: str
    fraction: float
    labelled: int
    unlabelled: int
    scores: list[dict[BrainTissue, Agreement]]
    seconds: float

    def mean(self, measure: str, tissue: BrainTissue) -> float:
        """Per cent, over cases and seeds where somebody has the tissue."""
        values = np.array([getattr(s[tissue], measure) for s in self.scores])
        values = values[np.isfinite(values)]
        return 100 * float(values.mean()) if len(values) else float("nan")

    def average(self, measure: str) -> float:
        """Per cent, the mean over the tissues."""
        return float(np.mean([self.mean(measure, tissue) for tissue in TISSUES]))


@dataclass(frozen=True)
class BrainTable:
    """What a run of the tables gave.

    Attributes
    ----------
    layout : "IBSR18" or "MRBrainS18".
    training, scored : names of the cases.
    warnings : of the images, with how many cases each is of.
    """

    layout: str
    settings: TableSettings
    training: tuple[str, ...]
    scored: tuple[str, ...]
    rows: list[TableRow]
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "layout": self.layout, "settings": asdict(self.settings),
            "training": list(self.training), "scored": list(self.scored),
            "departures": list(DEPARTURES), "warnings": list(self.warnings),
            "rows": [{
                "network": row.network, "loss": row.loss, "fraction": row.fraction,
                "labelled": row.labelled, "unlabelled": row.unlabelled, "seconds": row.seconds,
                "recall": row.average("recall"), "published_recall": published_recall(
                    self.layout, row.loss, row.fraction, row.network),
                "tissues": {t.name: {m: row.mean(m, t) for m in ("recall", "f1", "jaccard")}
                            for t in TISSUES},
                "published_overlap": published_overlap(
                    self.layout, row.loss, row.fraction, row.network)} for row in self.rows]}

    def markdown(self) -> str:
        """Two tables: recall beside Tables 1 and 2, each tissue beside Tables 3 and 4."""
        first = _lines(("loss", "labelled", "network", "recall", "paper's recall"), [
            (r.loss, f"{r.fraction:g} ({r.labelled} of {len(self.training)} cases)",
             r.network, _cell(r.average("recall")),
             _cell(published_recall(self.layout, r.loss, r.fraction, r.network)))
            for r in self.rows])
        second = _lines(
            ("loss", "labelled", "network", "F1 CSF / GM / WM", "Jaccard", "paper's (\"IoU\")"), [
                (r.loss, f"{r.fraction:g}", r.network,
                 _three([r.mean("f1", t) for t in TISSUES]),
                 _three([r.mean("jaccard", t) for t in TISSUES]),
                 _three(published_overlap(self.layout, r.loss, r.fraction, r.network)))
                for r in self.rows])
        cases = (f"{self.layout}: {len(self.training)} cases to learn from, {len(self.scored)} "
                 f"scored; {self.settings.seeds} seed(s); per cent, labels as their graders drew "
                 "them; the paper's rows are of its own cases.")
        return "\n".join([cases, "", first, "", second, "", *(f"- {d}" for d in DEPARTURES), ""])


def table(folder: str | os.PathLike[str], settings: TableSettings | None = None, *,
          progress: Progress = silent) -> BrainTable:
    """Run Tables 1 to 4 on a folder of labelled cases in IBSR18's or MRBrainS18's layout.

    Raises
    ------
    InputError : no folder, no layout that is known, fewer than three labelled cases, cases that
        cannot be read, a network that is not known or needs MONAI.
    """
    settings = settings or TableSettings()
    for network in settings.networks:
        if network not in NAMES:  # before an hour's work
            raise InputError(f"no network is called {network!r}: choose from {', '.join(NAMES)}")
    cases = brain_cases(folder, contrast=settings.training.contrast, labelled=True)
    learning, scored = _divided(cases, settings)
    volumes = {case.name: read_case(case) for case in (*learning, *scored)}
    runs = [(fraction, loss, network) for fraction in settings.fractions
            for loss in LOSSES for network in settings.networks]
    rows = []
    for number, (fraction, loss, network) in enumerate(runs):
        part = share_of(progress, number / len(runs), 1 / len(runs))
        rows.append(_row(fraction, loss, network, [volumes[c.name] for c in learning],
                         [volumes[c.name] for c in scored], settings, part))
    return BrainTable(cases[0].layout, settings, tuple(c.name for c in learning),
                      tuple(c.name for c in scored), rows, said_of(list(volumes.values())))


def _row(fraction: float, loss: str, network: str, learning: Sequence[BrainVolume],
         scored: Sequence[BrainVolume], settings: TableSettings, progress: Progress) -> TableRow:
    with_mixture = loss == LOSSES[1]
    count = max(1, round(fraction * len(learning)))
    scores: list[dict[BrainTissue, Agreement]] = []
    began = time.perf_counter()
    for index in range(settings.seeds):
        seed = settings.seed + index
        chosen = set(np.random.default_rng(seed).permutation(len(learning))[:count].tolist())
        own = replace(settings.training, network=network, seed=seed,
                      likelihood_weight=settings.likelihood_weight if with_mixture else 0.0)
        # without the mixture loss nothing is learned of a case without labels
        taken = [i for i in range(len(learning)) if with_mixture or i in chosen]
        part = share_of(progress, index / settings.seeds, 1 / settings.seeds)
        trained = fit([learning[i] for i in taken], own, labelled=[i in chosen for i in taken],
                      progress=part)
        for volume in scored:
            assert volume.labels is not None
            scores.append(agreement(segment(volume, trained, own).labels, volume.labels))
    return TableRow(network, loss, fraction, count, len(learning) - count if with_mixture else 0,
                    scores, time.perf_counter() - began)


def _divided(cases: list[BrainCase], settings: TableSettings
             ) -> tuple[list[BrainCase], list[BrainCase]]:
    """Who learns and who is scored: by the folder's own sets, else drawn by the seed."""
    held = [case for case in cases if case.group in ("validation", "test")]
    learning = [case for case in cases if case not in held]
    if not held or not learning:
        if len(cases) < 3:
            raise InputError(f"the folder has {len(cases)} labelled case(s): the tables need at "
                             "least three")
        order = np.random.default_rng(settings.seed).permutation(len(cases)).tolist()
        count = min(max(1, round(settings.held_back * len(cases))), len(cases) - 1)
        held = [cases[i] for i in sorted(order[:count])]
        learning = [cases[i] for i in sorted(order[count:])]
    return learning, held


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |"
                     for cells in (header, ["---"] * len(header), *rows))


def _cell(value: float | None) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.2f}"


def _three(values: Sequence[float] | None) -> str:
    return "-" if values is None else " / ".join(map(_cell, values))
