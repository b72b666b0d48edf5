"""What the brain's benchmarks share: the two sets of a user's IBSR18, and scores as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from common import table

if TYPE_CHECKING:
    import numpy as np

    from deepgmm.brain.layouts import BrainCase
    from deepgmm.brain.volumes import BrainVolume

#: By row, convention, tissue and case: F1, %.
Scores = dict[str, dict[str, dict[str, dict[str, float]]]]

TISSUES = ("GM", "WM", "CSF")


def two_sets(folder: str, *, tune: bool = False, most: int = 99
             ) -> tuple[list[BrainCase], list[BrainCase]]:
    """Cases to learn of and to score on: training and validation folder.

    tune : every other case of the training folder, and the rest of that folder.
    most : cases of each.
    """
    from deepgmm.brain.layouts import brain_cases

    cases = brain_cases(folder, labelled=True)
    ours = [c for c in cases if c.group == "training"]
    held = ours[1::2] if tune else [c for c in cases if c.group == "validation"]
    return (ours[::2] if tune else ours)[:most], held[:most]


def keep(scores: Scores, name: str, volume: BrainVolume, labels: np.ndarray,
         ventricles: np.ndarray) -> None:
    """F1 of a row's labels of one case under the three conventions of CSF in the sulci."""
    from deepgmm.brain.scores import Convention, in_dispute, under

    assert volume.labels is not None
    disputed = in_dispute(volume.image, volume.labels)
    for convention in Convention:
        found = under(convention, labels, volume.labels, ventricles=ventricles, disputed=disputed)
        for tissue, counts in found.items():
            scores.setdefault(name, {}).setdefault(convention.value, {}).setdefault(
                tissue.name, {})[volume.name] = 100 * counts.f1


def mean_of(scores: Scores, name: str, convention: str, tissue: str) -> float:
    """Over the cases where somebody has the tissue."""
    from deepgmm.brain.scores import summary

    return float(summary(list(scores[name][convention][tissue].values()))["mean"])


def cells(scores: Scores, name: str) -> list[str]:
    """A row's mean (standard deviation) of the three tissues, a cell for each convention."""
    from deepgmm.brain.scores import summary

    return [" / ".join("{mean:.1f} ({sd:.1f})".format(**summary(list(tissues[t].values())))
                       for t in TISSUES) for tissues in scores[name].values()]


def headings(scores: Scores) -> list[str]:
    """Of the columns that `cells` fills."""
    return [f"{convention}: {' / '.join(TISSUES)}" for convention in next(iter(scores.values()))]


def differences(scores: Scores, pairs: Iterable[tuple[str, str, str]],
                tissues: Sequence[str] = TISSUES) -> str:
    """A table of one row less another, paired by case.

    pairs : of two rows and a convention; left out where either was not measured.
    """
    from deepgmm.brain.scores import paired

    lines = []
    for one, other, convention in pairs:
        for tissue in tissues if one in scores and other in scores else ():
            d = paired(scores[one][convention][tissue], scores[other][convention][tissue])
            lines.append((f"{one} less {other}, {convention}", tissue, f"{d.mean:+.2f}",
                          f"{d.low:+.2f} to {d.high:+.2f}", f"{d.better} of {d.cases}"))
    return table(("difference", "tissue", "F1", "95 %, by cases", "better in"), lines)
