"""Agreement with a truth: of one case, and over a cohort and its subgroups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm.study.levels import LEVELS, levels

if TYPE_CHECKING:
    from deepgmm.study.study import Study

COLUMNS = ("subgroup", "value", "tissue", "cases", "dice", "dice_sd", "dice_undefined",
           *(f"dice_{level}" for level in LEVELS), "hausdorff95_mm", "surface_distance_mm",
           "bias_ml", "limit_low_ml", "limit_high_ml", "icc")


def scored(prediction: Path, truth: Path, labels: str | None, study: Study) -> dict[str, Any]:
    """One case against its truth, as `deepgmm evaluate` does.

    Returns
    -------
    row : columns of the table; tissues : title to scores, for `agreement_rows`.
    """
    from deepgmm.review.label_files import score_of
    from deepgmm.review.metrics import mean_of

    scores, _, _ = score_of("", prediction, truth, None, labels, None)
    level = levels(study)
    row: dict[str, Any] = {}
    tissues: dict[str, Any] = {}
    for tissue, found in scores.tissues.items():
        by_level = {name: mean_of(s.tissues[tissue].dice for s in scores.slices
                                  if level.get(s.index) == name).value for name in LEVELS}
        tissues[tissue.title] = {
            "dice": found.dice, "volume": found.volume, "true": found.true_volume,
            "hausdorff95": found.hausdorff95, "surface_distance": found.surface_distance,
            **by_level}
        name = tissue.name.lower()
        row |= {f"{name}_dice": found.dice,
                **{f"{name}_dice_{key}": value for key, value in by_level.items()},
                f"{name}_hausdorff95_mm": found.hausdorff95,
                f"{name}_true_volume_ml": found.true_volume,
                f"{name}_volume_difference_ml": found.volume_difference}
    return {"row": row, "tissues": tissues}


def agreement_rows(cases: Iterable[tuple[Mapping[str, str], Mapping[str, Any]]]
                   ) -> list[dict[str, Any]]:
    """Agreement over all cases, and over each subgroup.

    Parameters
    ----------
    cases : of each its subgroups, column to value, and its tissues, as `scored` gives them.

    Returns
    -------
    Rows of `COLUMNS`: means over what is defined, bias and 95 % limits of agreement by Bland and
    Altman, ICC(2,1).
    """
    held: dict[tuple[str, str], dict[str, list[Any]]] = {}
    for groups, tissues in cases:
        for subgroup in [("", ""), *groups.items()]:
            for title, scores in tissues.items():
                held.setdefault(subgroup, {}).setdefault(title, []).append(scores)
    return [_row(subgroup, title, scores) for subgroup, tissues in sorted(held.items())
            for title, scores in tissues.items()]


def _row(subgroup: tuple[str, str], title: str, scores: list[Any]) -> dict[str, Any]:
    import numpy as np

    from deepgmm.review.metrics import mean_of
    from deepgmm.review.statistics import bland_altman, icc

    dice = mean_of(s["dice"] for s in scores)
    found, true = [s["volume"] for s in scores], [s["true"] for s in scores]
    away = bland_altman(found, true)
    return {
        "subgroup": subgroup[0], "value": subgroup[1], "tissue": title, "cases": len(scores),
        "dice": dice.value, "dice_sd": dice.spread, "dice_undefined": dice.undefined,
        **{f"dice_{level}": mean_of(s[level] for s in scores).value for level in LEVELS},
        "hausdorff95_mm": mean_of(s["hausdorff95"] for s in scores).value,
        "surface_distance_mm": mean_of(s["surface_distance"] for s in scores).value,
        "bias_ml": away.bias, "limit_low_ml": away.low, "limit_high_ml": away.high,
        "icc": icc(np.array([found, true]).T)}
