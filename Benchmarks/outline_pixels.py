"""Are the probabilities of pixels being inside a proposed mask what they say?

    python Benchmarks/outline_pixels.py      how they were chosen, and whether slices' confidence
                                             would gain by them
`mask_proposal.py` prints their reliability for each of its sets. Pixels within `NEAR` mm of the
proposed outline count; those farther off are nearly all right, and would hide the others. Chosen on
chests and phantoms of other seeds than those scored, on no patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from common import machine, parser_of, run, table, use_threads
from outline_patients import MAKES, chests, phantoms

from deepgmm.errors import InputError
from deepgmm.propose import probability
from deepgmm.propose.proposal import propose_mask
from deepgmm.propose.proposed import MaskProposal, overlap_of
from deepgmm.review.metrics import dice
from deepgmm.study.study import BoolArray, Geometry, Study

NEAR, BINS = 10.0, 10
#: To choose by: chests, phantoms of each make and as many whose stacks go on; scales tried.
CHESTS, FIRST_CHEST, PHANTOMS, FIRST_PHANTOM = 48, 61_000, 8, 100
SCALES = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 1.0)
#: A slice is good from this Dice, and said to be sure over that confidence.
GOOD, SURE = 0.85, 0.9


def near(found: MaskProposal, geometry: Geometry) -> BoolArray:
    """(slices, rows, columns) within `NEAR` mm of the outline of a slice that has one."""
    from scipy.ndimage import distance_transform_edt

    spacing = (geometry.spacing[1], geometry.spacing[0])
    held = np.zeros(found.mask.shape, bool)
    for i in found.rings:
        held[i] = (distance_transform_edt(found.mask[i], spacing)
                   + distance_transform_edt(~found.mask[i], spacing)) <= NEAR
    return held


@dataclass
class Pixels:
    """Sums over a set's pixels, by tenths of probability, of the network's and of the outline's."""

    #: (which, bins) counts, probabilities and pixels that are inside; (which,) squared errors.
    sums: np.ndarray = field(default_factory=lambda: np.zeros((2, 3, BINS)))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def add(self, found: MaskProposal, truth: BoolArray, geometry: Geometry) -> None:
        held = near(found, geometry)
        true = truth[held]
        for k, said in enumerate((found.inside, found.probability(geometry))):
            p = said[held].astype(float)
            places = np.minimum((p * BINS).astype(int), BINS - 1)
            for row, weights in zip(self.sums[k], (None, p, true)):
                row += np.bincount(places, weights, BINS)
            self.squares[k] += ((p - true) ** 2).sum()

    def row(self, name: str) -> tuple[str, ...]:
        cells = []
        for (count, said, true), square in zip(self.sums, self.squares):
            total = max(count.sum(), 1.0)
            cells.append((f"{square / total:.4f}", f"{np.abs(said - true).sum() / total:.3f}"))
        return name, f"{self.sums[0, 0].sum():.0f}", *(c for pair in zip(*cells) for c in pair)

    def reliability(self, name: str) -> tuple[str, ...]:
        """Of each tenth the mean of what is said and the % that is inside."""
        count, said, true = self.sums[1]
        return name, *(f"{100 * s / n:.0f}: {100 * t / n:.0f}" if n else "-"
                       for n, s, t in zip(count, said, true))


HEADER = ("pixels near the outline", "pixels", "Brier score, network", "Brier score, outline",
          "expected calibration error, network", "expected calibration error, outline")
BY_TENTHS = ("said, %: inside, %", *(f"{k / BINS:g} to {(k + 1) / BINS:g}" for k in range(BINS)))


def pixels_said(sets: dict[str, Pixels]) -> list[str]:
    """Both tables."""
    held = {name: one for name, one in sets.items() if one.sums.any()}
    return [table(HEADER, [one.row(name) for name, one in held.items()]),
            table(BY_TENTHS, [one.reliability(name) for name, one in held.items()])]


def to_choose() -> Iterator[tuple[Study, np.ndarray, BoolArray]]:
    return chain(chests(CHESTS, FIRST_CHEST),
                 *(phantoms(make, PHANTOMS, FIRST_PHANTOM, beyond=beyond)
                   for make in MAKES for beyond in (False, True)))


def losses(found: MaskProposal, truth: BoolArray, geometry: Geometry) -> list[float]:
    """Mean logarithmic loss of a patient's pixels at each of `SCALES`."""
    held, kept = near(found, geometry), probability.SCALE
    values = []
    for probability.SCALE in SCALES:
        p = np.clip(found.probability(geometry)[held].astype(float), 1e-4, 1 - 1e-4)
        values.append(float(-np.log(np.where(truth[held], p, 1 - p)).mean()))
    probability.SCALE = kept
    return values


def slices_of(found: MaskProposal, truth: BoolArray, geometry: Geometry) -> list[list[float]]:
    """Of each slice with an outline: Dice that pixels let expect, confidence, Dice."""
    pixels = found.probability(geometry)
    return [[overlap_of(pixels[i], found.mask[i]), float(found.confidence[i]),
             dice(found.mask[i], truth[i]) or 0.0] for i in found.rings]


def fitted(rows: np.ndarray) -> tuple[float, float]:
    """Middle and width of the logistic function of expected Dice that tells good slices best."""
    from scipy.optimize import minimize

    good = rows[:, 2] >= GOOD

    def loss(of: np.ndarray) -> float:
        signed = np.where(good, 1, -1) * (rows[:, 0] - of[0]) / np.exp(of[1])
        return float(np.logaddexp(0, -signed).mean())
    middle, width = minimize(loss, (0.85, -3.5), method="Nelder-Mead").x
    return float(middle), float(np.exp(width))


def compared(name: str, rows: np.ndarray, middle: float, width: float) -> tuple[str, ...]:
    """Of the confidence as it is and of that by pixels: sure slices, those of them that are not
    good, Brier score; and of the latter the bad ones where as many are sure."""
    good = rows[:, 2] >= GOOD
    cells = [name, str(len(rows))]
    by_pixels = 1 / (1 + np.exp(-(rows[:, 0] - middle) / width))
    for said_of in (rows[:, 1], by_pixels):
        sure = said_of > SURE
        cells += [f"{100 * sure.mean():.0f}, {100 * (~good[sure]).mean() if sure.any() else 0:.1f}",
                  f"{((said_of - good) ** 2).mean():.3f}"]
    as_many = np.argsort(-by_pixels)[:int((rows[:, 1] > SURE).sum())]
    return *cells, f"{100 * (~good[as_many]).mean() if len(as_many) else 0:.1f}"


def main() -> None:
    from mask_proposal import DATA
    from outline_patients import real

    from deepgmm.study.words import Role

    options = parser_of(__doc__).parse_args()
    use_threads(options.threads)
    lost, rows, pixels, chosen = [], {}, {}, "chests and phantoms it was chosen on"
    for name, patients in {
            chosen: to_choose(),
            "Sunnybrook": real(DATA / "sunnybrook", "_ED.nii.gz", "_ED_lv.nii.gz", Role.BSSFP),
            "EMIDEC": real(DATA / "emidec", "_lge.nii.gz", "_labels.nii.gz", Role.LGE),
            **{make: phantoms(make, PHANTOMS) for make in MAKES},
            **{f"{make}, stacks that go on": phantoms(make, PHANTOMS, beyond=True)
               for make in MAKES},
            "held-out chests": chests(CHESTS // 2)}.items():
        held: list[list[float]] = []
        pixels[name] = Pixels()
        for study, labels, _ in patients:
            try:
                found = propose_mask(study)
            except InputError:
                continue
            held += slices_of(found, labels > 0, study.geometry)
            pixels[name].add(found, labels > 0, study.geometry)
            if name == chosen:
                lost.append(losses(found, labels > 0, study.geometry))
        if held:
            rows[name] = np.array(held)
    print(machine(options.threads) + "\n")
    means = np.mean(lost, axis=0)
    print(table(("scale", "logarithmic loss"),
                [(f"{scale:g}", f"{loss:.4f}") for scale, loss in zip(SCALES, means)]))
    print(*pixels_said(pixels), sep="\n")
    middle, width = fitted(rows[chosen])
    print(f"A slice's confidence by its pixels: middle {middle:.3f}, width {width:.3f}.\n")
    print(table(("slices", "count", "as it is: sure, %; bad of these, %", "Brier score",
                 "by pixels: sure, %; bad of these, %", "Brier score",
                 "by pixels, as many sure: bad, %"),
                [compared(name, one, middle, width) for name, one in rows.items()]))


if __name__ == "__main__":
    run(main)
