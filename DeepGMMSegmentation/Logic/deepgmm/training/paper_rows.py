"""Rows of deepgmm-paper's tables: those that were published, and ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.review.metrics import dice
from deepgmm.study.words import FOUR_TISSUES
from deepgmm.training.paper_images import Labels

SOURCE = ("Schwab, Mayr, Haltmeier: Deep Gaussian mixture model for unsupervised image "
          "segmentation, arXiv:2404.12252")
COLUMNS = (*(tissue.title.lower() for tissue in FOUR_TISSUES), "mean")
#: What stands in the tables besides numbers.
LEGEND = (
    "Dice over images, mean ± standard deviation. 95 %: of the mean, patients drawn with "
    "replacement. s: seconds of an image on this machine; of a network that many images share, "
    "its answer alone.",
    "truth: whether each image's own truth ordered its components, which no user can do.",
    "labelled: cases whose labels entered priors/atlas/loss/tuning. T: the shipped contrast "
    "tables; P: phantom patients; ?: the paper does not say.",
)
#: Of the interval of a mean: draws of patients, and the share that it leaves out on each side.
DRAWS, OUTSIDE = 2000, 0.025


@dataclass(frozen=True)
class LabelUse:
    """How many labelled cases a row learned from, and where; `LEGEND` says what letters mean."""

    priors: int | str = 0
    atlas: int | str = 0
    loss: int | str = 0
    tuning: int | str = 0

    def __str__(self) -> str:
        return f"{self.priors}/{self.atlas}/{self.loss}/{self.tuning}"


@dataclass(frozen=True)
class Published:
    """A row of the paper.

    Attributes
    ----------
    hundredths : mean and standard deviation over images of each of `COLUMNS`.
    priors : "?" where mu_data was used: 10 images, of how many patients is not said.
    """

    name: str
    by_truth: bool
    hundredths: tuple[tuple[int, int], ...]
    priors: int | str = 0

    def cells(self) -> dict[str, str]:
        """What stands in the table, by heading."""
        numbers = [(mean / 100, sd / 100) for mean, sd in self.hundredths]
        return _cells(f"{self.name} (paper)", self.by_truth, LabelUse(self.priors, tuning="?"),
                      numbers)

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "source": SOURCE, "ordered_by_truth": self.by_truth,
                "labelled_cases": vars(LabelUse(self.priors, tuning="?")),
                "dice": {column: {"mean": mean / 100, "sd": sd / 100}
                         for column, (mean, sd) in zip(COLUMNS, self.hundredths, strict=True)}}


@dataclass(frozen=True)
class Row:
    """A row of ours.

    Attributes
    ----------
    by_truth : whether each image's own truth ordered its components.
    scores : (seeds, images, 4) Dice; every image holds all four tissues, so all are defined.
    patients : (images,) which patient each image is of.
    seconds : of an image, of the first seed; of a network that many images share, its answer
        alone.
    """

    name: str
    by_truth: bool
    labelled: LabelUse
    scores: npt.NDArray[np.float64]
    patients: npt.NDArray[np.int64]
    seconds: float

    @property
    def columns(self) -> npt.NDArray[np.float64]:
        """(images, 5) of `COLUMNS`, averaged over the seeds."""
        scores = self.scores.mean(0)
        return np.column_stack([scores, scores.mean(1)])

    @property
    def between_seeds(self) -> float | None:
        """Standard deviation of the mean between the seeds; None where there is one."""
        means = self.scores.mean((1, 2))
        return float(means.std(ddof=1)) if len(means) > 1 else None

    def cells(self) -> dict[str, str]:
        """What stands in the table, by heading."""
        columns, interval, between = self.columns, self.interval(), self.between_seeds
        numbers = list(zip(columns.mean(0).tolist(), _sd(columns).tolist(), strict=True))
        return _cells(self.name, self.by_truth, self.labelled, numbers) | {
            "95 %": "" if interval is None else "-".join(map(_short, interval)),
            "seeds": "" if between is None else f"± {_short(between, 3)}",
            "s": f"{self.seconds:.2f}"}

    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean over images, patients drawn with replacement; None for one.

        Images of one patient are not independent, so a patient is drawn with all its images.
        """
        of_image = self.columns[:, -1]
        _, owner = np.unique(self.patients, return_inverse=True)
        sums, counts = np.bincount(owner, of_image), np.bincount(owner)
        if len(sums) < 2:
            return None
        picks = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
        means = sums[picks].sum(1) / counts[picks].sum(1)
        low, high = np.quantile(means, [OUTSIDE, 1 - OUTSIDE])
        return float(low), float(high)

    def as_dict(self) -> dict[str, Any]:
        columns = self.columns
        return {
            "name": self.name, "source": "ours", "ordered_by_truth": self.by_truth,
            "labelled_cases": vars(self.labelled), "seconds_an_image": self.seconds,
            "dice": {name: {"mean": float(mean), "sd": float(sd)} for name, mean, sd
                     in zip(COLUMNS, columns.mean(0), _sd(columns), strict=True)},
            "mean_interval": self.interval(), "mean_sd_between_seeds": self.between_seeds,
            "images": [dict(zip(COLUMNS, map(float, each), strict=True)) for each in columns],
        }


def _sd(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard deviation (n - 1) over images; 0 for a single one."""
    return columns.std(0, ddof=1) if len(columns) > 1 else np.zeros(columns.shape[1])


def _cells(name: str, by_truth: bool, labelled: LabelUse,
           numbers: Sequence[tuple[float, float]]) -> dict[str, str]:
    dice_ = {column: f"{_short(mean)} ± {_short(sd)}"
             for column, (mean, sd) in zip(COLUMNS, numbers, strict=True)}
    return {"method": name, "truth": "orders" if by_truth else "no",
            "labelled": str(labelled), **dice_}


def _short(number: float, digits: int = 2) -> str:
    """As the tables of the field are set: ".75"."""
    return f"{number:.{digits}f}".removeprefix("0")


HEADINGS = ("method", "truth", "labelled", *COLUMNS, "95 %", "seeds", "s")


def lines(rows: Sequence[Published | Row]) -> list[tuple[str, ...]]:
    """Headings and rows as text; a column that nothing stands in is left out."""
    cells = [row.cells() for row in rows]
    shown = [heading for heading in HEADINGS if any(each.get(heading) for each in cells)]
    return [tuple(shown), *(tuple(each.get(heading, "") for heading in shown) for each in cells)]


def scored(found: Sequence[Labels], truths: Sequence[Labels]) -> npt.NDArray[np.float64]:
    """(images, 4) Dice of labels against truth, both of the mask's pixels."""
    return np.array([[dice(labels == tissue, truth == tissue) for tissue in FOUR_TISSUES]
                     for labels, truth in zip(found, truths, strict=True)], dtype=float)


TABLE_1 = {
    "GMM": Published("GMM", True, ((75, 14), (73, 13), (13, 19), (38, 22), (50, 4))),
    "deepG": Published("deepG", True, ((78, 12), (77, 13), (8, 16), (48, 20), (53, 3))),
    "SVGMM": Published("SVGMM", True, ((77, 8), (74, 10), (18, 19), (49, 17), (55, 5))),
    "deepSVG": Published("deepSVG", True, ((79, 7), (77, 9), (15, 18), (52, 17), (56, 5))),
}
TABLE_2 = {
    "SVGMM": Published("SVGMM", True, ((79, 5), (78, 6), (9, 12), (52, 17), (55, 5))),
    "deepSVG": Published("deepSVG", True, ((70, 11), (79, 4), (12, 8), (49, 16), (52, 4))),
    "SVGMM_mu": Published("SVGMM_mu", False, ((79, 4), (82, 5), (21, 12), (49, 28), (58, 10)),
                          "?"),
    "deepSVG_mu": Published("deepSVG_mu", False, ((86, 4), (83, 6), (29, 15), (53, 25), (63, 8)),
                            "?"),
}
