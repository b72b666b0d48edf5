"""Agreement of readers and methods over a series of cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = Sequence[float] | npt.NDArray[np.floating]


@dataclass(frozen=True)
class BlandAltman:
    """Bias and 95 % limits of agreement.

    Attributes
    ----------
    bias : mean difference, the first minus the second.
    low, high : bias less and plus 1.96 standard deviations (n - 1); None for one case.
    cases : how many.
    """

    bias: float
    low: float | None
    high: float | None
    cases: int


def bland_altman(one: Values, other: Values) -> BlandAltman:
    """Bland, Altman, Lancet 1986;327:307-310."""
    away = np.asarray(one, float) - np.asarray(other, float)
    if len(away) < 2:
        return BlandAltman(float(away.mean()), None, None, len(away))
    half = 1.96 * float(away.std(ddof=1))
    bias = float(away.mean())
    return BlandAltman(bias, bias - half, bias + half, len(away))


def icc(readings: npt.NDArray[np.floating]) -> float | None:
    """Intraclass correlation ICC(2,1): two-way random, absolute agreement, one reading.

    Shrout, Fleiss, Psychol Bull 1979;86:420-428.

    Parameters
    ----------
    readings : (cases, readers).

    Returns
    -------
    None where there are under two cases or nothing varies.
    """
    readings = np.asarray(readings, float)
    n, k = readings.shape
    if n < 2 or k < 2:
        return None
    grand = readings.mean()
    rows = k * ((readings.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((readings.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    rest = (((readings - grand) ** 2).sum() - rows * (n - 1) - columns * (k - 1)) / (
        (n - 1) * (k - 1))
    below = rows + (k - 1) * rest + k * (columns - rest) / n
    return float((rows - rest) / below) if below > 0 else None


def kappa(one: npt.NDArray[np.integer], other: npt.NDArray[np.integer], *,
          weighted: bool = False) -> float | None:
    """Cohen's kappa of two readings of the same things.

    Cohen, Educ Psychol Meas 1960;20:37-46; weighted by squared steps (of ordered grades): Cohen,
    Psychol Bull 1968;70:213-220.

    Returns
    -------
    None where there is nothing, or both say one and the same of all: chance explains it all.
    """
    one, other = np.ravel(one), np.ravel(other)
    if not one.size:
        return None
    names = np.unique(np.concatenate([one, other]))
    a, b = np.searchsorted(names, one), np.searchsorted(names, other)
    table = np.zeros((len(names), len(names)))
    np.add.at(table, (a, b), 1.0)
    table /= table.sum()
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))
    apart = np.subtract.outer(names, names).astype(float)
    cost = apart**2 if weighted else (apart != 0).astype(float)
    expected = float((cost * chance).sum())
    return None if expected == 0 else float(1.0 - (cost * table).sum() / expected)


def wilcoxon(one: Values, other: Values) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test of paired values; None where under six cases
    differ, for then no p under 0.05 is possible (or nothing differs)."""
    from scipy import stats

    away = np.asarray(one, float) - np.asarray(other, float)
    if (away != 0).sum() < 6:
        return None
    return float(stats.wilcoxon(away).pvalue)


def holm(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """P values corrected for their number by Holm, Scand J Stat 1979;6:65-70; None stays None.

    Examples
    --------
    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None})
    {'a': 0.03, 'b': 0.06, 'c': 0.06, 'd': None}
    """
    known = sorted((p, name) for name, p in values.items() if p is not None)
    found: dict[str, float | None] = dict.fromkeys(values)
    least = 0.0
    for rank, (p, name) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        found[name] = least
    return found
