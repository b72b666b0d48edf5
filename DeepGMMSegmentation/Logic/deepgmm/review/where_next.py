"""Which slice to look at next: the one whose correction would settle most, in it and elsewhere."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.result import Result
from deepgmm.study.levels import levels, numbering_of

#: Slices over which what one says of another falls to 1 / e.
REACH = 2.0
#: Bins of a histogram of intensities.
_BINS = 24


class By(str, Enum):
    """By what slices are put in order."""

    USEFUL = "useful"  #: what is unsure in it, and how much its correction may change elsewhere
    CHANGE = "change"  #: how much its correction may change elsewhere
    UNCERTAIN = "uncertain"  #: the most uncertain first
    ORDER = "order"  #: from base to apex


def review_next(result: Result, by: By | str = By.USEFUL) -> list[dict[str, Any]]:
    """The slices that are not done, in the order in which to correct them.

    By default by what is unsure in a slice, which its correction settles, and what that may change
    elsewhere together. What it may change elsewhere is taken as its own uncertainty times the sum
    over the other slices of their uncertainty and of how much they are like it: near, and of
    the same intensities inside the LV mask. Uncertainty is the entropy of the posterior summed
    over the pixels that nobody corrected.

    Returns
    -------
    list of dict
        `index`, counted from 0; `number`, from 1, the base first; `uncertainty`, a sum in pixels:
        how many wholly unsure ones (entropy 1, its most) would be as unsure together, so not the
        mean from 0 to 1 of `slice_rows`; `change`, expected elsewhere, in the same unit. Empty
        where all are done.
    """
    by = By(by)
    study, given = result.study, result.corrections
    fitted = [fit.index for fit in result.fits] or list(study.slices)
    done = set() if given is None else set(given.done)
    entropy = result.entropy().astype(np.float64)
    if given is not None:
        entropy[given.fixed] = 0
    unsure = entropy[fitted].sum((1, 2))
    like = _likeness(result, fitted)
    open_ = np.array([index not in done for index in fitted])
    elsewhere = (like * open_) @ unsure
    share = unsure / np.maximum([study.mask[i].sum() for i in fitted], 1)
    numbering = numbering_of(levels(study), len(result.labels))
    rows = [{"index": index, "number": numbering.of(index), "uncertainty": float(unsure[i]),
             "change": float(share[i] * elsewhere[i])}
            for i, index in enumerate(fitted) if open_[i]]
    if by is By.ORDER:
        return sorted(rows, key=lambda row: row["number"])
    keys = {By.USEFUL: ("uncertainty", "change"), By.CHANGE: ("change",),
            By.UNCERTAIN: ("uncertainty",)}[by]
    return sorted(rows, key=lambda row: (-sum(row[key] for key in keys), row["number"]))


def _likeness(result: Result, slices: list[int]) -> npt.NDArray[np.float64]:
    """(S, S) from 0 to 1 how much slices are like each other; 0 of a slice with itself."""
    study = result.study
    place = np.asarray(slices, float)
    near = np.exp(-np.abs(place[:, None] - place) / REACH)
    same = np.ones_like(near)
    for sequence in study.sequences.values():
        inside = sequence.values[slices][study.mask[slices]]
        edges = np.quantile(inside, np.linspace(0.01, 0.99, _BINS + 1))
        edges = np.unique(edges)
        if len(edges) < 3:
            continue
        seen = np.stack([np.histogram(np.clip(sequence.values[i][study.mask[i]], edges[0],
                                              edges[-1]), edges)[0] for i in slices]).astype(float)
        seen /= np.maximum(seen.sum(1, keepdims=True), 1)
        same *= np.minimum(seen[:, None], seen[None]).sum(2)
    np.fill_diagonal(near, 0)
    return near * same ** (1 / len(study.sequences))
