"""What `mask_proposal.py` says beside its bars: what a better outline would bring, where experts'
borders lie on the image, and the numbers that corrections rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from common import table

from deepgmm import segment
from deepgmm.propose.following import GAP, USUAL, curve_of
from deepgmm.propose.proposed import FILLED, MIDDLE, WIDTH, MaskProposal, drawn
from deepgmm.propose.rings import HARMONICS, THETA, Ring, ring_of_mask
from deepgmm.review.metrics import dice
from deepgmm.study.study import BoolArray, FloatArray, Geometry, Study
from deepgmm.study.words import SURE, Tissue

#: Pixels by which an outline is moved to see how much of its error is that.
MOVED = 4
#: A slice with less ventricle, mm2, is not measured about.
SMALL = 200.0
#: Pixels by which a border is moved to see where the image is steepest, and beside it.
STEPS, BESIDE = np.arange(-4, 4.01, 0.5), 1.5
PROPOSED = "as proposed"


def best_moved(mask: BoolArray, truth: BoolArray) -> tuple[float, tuple[int, int]]:
    """Dice of a mask that is moved in the plane, all slices alike, to where it overlaps best; and
    by how many (rows, columns)."""
    steps = range(-MOVED, MOVED + 1)
    return max((dice(np.roll(mask, (rows, columns), (1, 2)), truth) or 0.0, (rows, columns))
               for rows in steps for columns in steps)


def inside(study: Study, truth: np.ndarray, mask: BoolArray) -> tuple[float, float]:
    """Dice of blood and of wall by the default method inside a mask, mean over the slices that
    hold both."""
    labels = segment(replace(study, mask=mask)).labels
    chosen = [i for i, t in enumerate(truth) if (t == 1).any() and (t == 2).any()]
    blood, wall = (float(np.mean([dice(labels[i] == t, truth[i] == k) or 0.0 for i in chosen]))
                   for t, k in ((Tissue.BLOOD, 1), (Tissue.MYOCARDIUM, 2)))
    return blood, wall


def instead(study: Study, truth: np.ndarray, found: MaskProposal | None
            ) -> dict[str, tuple[float, float, float]]:
    """Dice of the mask, and of blood and wall inside it, were it more like the truth."""
    held = truth > 0
    masks = {PROPOSED: found.mask if found else np.zeros_like(held)}
    if found:
        scale = (study.geometry.spacing[1], study.geometry.spacing[0])
        true = {i: ring for i in found.rings
                if (ring := ring_of_mask(held[i], scale)) is not None}

        def moved(i: int, ring: Ring) -> Ring:
            middles = [np.argwhere(m[i]).mean(0) * scale for m in (held, found.mask)]
            return replace(ring, centre=ring.centre + middles[0] - middles[1])

        def sized(i: int, ring: Ring) -> Ring:
            share = float(np.sqrt(held[i].sum() / found.mask[i].sum()))
            return replace(ring, outer=ring.outer * share, inner=ring.inner * share)

        def with_(change: dict[int, Ring]) -> BoolArray:
            return drawn(found.rings | change, held.shape, scale)[0]
        masks["moved in the plane, all slices alike"] = np.roll(
            found.mask, best_moved(found.mask, held)[1], (1, 2))
        masks["the true centre on every slice"] = with_({i: moved(i, found.rings[i]) for i in true})
        masks["the true size on every slice"] = with_({i: sized(i, found.rings[i]) for i in true})
        masks["both"] = with_({i: moved(i, sized(i, found.rings[i])) for i in true})
        masks["the first and the last slice drawn"] = with_(
            {i: true[i] for i in (min(true), max(true))})
    masks["the truth, a pixel up and to the left"] = np.roll(held, (-1, -1), (1, 2))
    masks["the truth"] = held
    return {name: (dice(mask, held) or 0.0, *inside(study, truth, mask))
            for name, mask in masks.items()}


def steepest(image: FloatArray, truth: BoolArray, pool: BoolArray, geometry: Geometry
             ) -> list[tuple[float, float]]:
    """(rows, columns) by which the pool's border, all slices alike, is to be moved to where the
    image is steepest from within to without; brightness is cut at the contrast of pool and wall.
    Nothing where no slice has enough of a ventricle."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    away = np.stack([np.sin(THETA), np.cos(THETA)], 1)
    moves = np.stack(np.meshgrid(STEPS, STEPS, indexing="ij"), -1)[:, :, None]
    scale = (geometry.spacing[1], geometry.spacing[0])
    total = np.zeros(moves.shape[:2])
    for values, held, deep in zip(image, truth, pool):
        if held.sum() * scale[0] * scale[1] < 4 * SMALL or not deep.any():
            continue
        smooth = gaussian_filter(np.asarray(values, np.float64), 0.7)
        reach = float(np.median(smooth[deep]) - np.median(smooth[held & ~deep]))
        ring = ring_of_mask(held, scale, deep)
        assert ring is not None
        at = ring.points(inner=True) / np.array(scale) + moves
        step = [map_coordinates(smooth, np.moveaxis(at + away * k, -1, 0), order=1, mode="nearest")
                for k in (-BESIDE, BESIDE)]
        total += np.clip((step[0] - step[1]) / (reach or 1.0), 0.0, 1.0).mean(-1)
    if not total.any():
        return []
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return [(float(STEPS[row]), float(STEPS[column]))]


def chosen(slices: list[tuple[float, float]], good: float) -> tuple[float, float]:
    """The two numbers of the confidence that suit slices best (logistic regression), each of a
    confidence and a Dice that is to be good."""
    from scipy.optimize import minimize

    overlap, right = _expected(slices), np.array([d >= good for c, d in slices if 0 < c != FILLED])

    def surprise(numbers: FloatArray) -> float:
        odds = (overlap - numbers[0]) / np.exp(numbers[1])
        return float(np.logaddexp(0, np.where(right, -odds, odds)).mean())
    middle, width = minimize(surprise, [MIDDLE, np.log(WIDTH)], method="Nelder-Mead").x
    return float(middle), float(np.exp(width))


def sure_by(slices: list[tuple[float, float]], good: float, middle: float, width: float
            ) -> tuple[float, float]:
    """% of slices that would be sure by two such numbers, and % of these that are not good."""
    dices = np.array([d for c, d in slices if 0 < c != FILLED])
    sure = (_expected(slices) - middle) / width > np.log(SURE / (1 - SURE))
    return (100 * float(sure.sum()) / len(slices),
            100 * float((dices[sure] < good).mean()) if sure.any() else 0.0)


def _expected(slices: list[tuple[float, float]]) -> FloatArray:
    """The overlap by which slices, other than those filled in, got their confidence."""
    held = np.clip([c for c, _ in slices if 0 < c != FILLED], 1e-9, 1 - 1e-9)
    return np.asarray(MIDDLE + WIDTH * np.log(held / (1 - held)))


@dataclass
class Course:
    """How borders run through stacks, and by how much proposals are off, as `following` has it.

    Attributes
    ----------
    bends : second differences of the truth's numbers, as of slices `GAP` mm apart.
    errors : a proposal's numbers less the truth's, as if its overlap were expected to be `USUAL`.
    """

    bends: list[FloatArray] = field(default_factory=list)
    errors: list[FloatArray] = field(default_factory=list)

    def add(self, true: dict[int, FloatArray], found: MaskProposal, gap: float) -> None:
        self.bends += [(true[i - 1] - 2 * true[i] + true[i + 1]) / (gap / GAP) ** 1.5
                       for i in true if i - 1 in true and i + 1 in true]
        for i, numbers in true.items():
            if found.overlap[i] > 0:
                off = curve_of(found.rings[i].points()) - numbers
                short = max(1 - float(found.overlap[i]), 0.03) / (1 - USUAL)
                off[:5] /= short
                off[5:] /= np.sqrt(short)
                self.errors.append(off)

    def row(self, name: str) -> tuple[str, ...]:
        """Root mean squares, mm: radius, centre, harmonics times their order."""
        orders = np.repeat(np.arange(2, HARMONICS + 1), 2)
        cells = []
        for rows in (self.bends, self.errors):
            numbers = np.array(rows)
            cells += [f"{np.sqrt(np.mean(part ** 2)):.2f}" for part in
                      (numbers[:, 2], numbers[:, :2], numbers[:, 3:] * orders)]
        return name, *cells


def said(sets: Mapping[str, Any], good: float, chests: str) -> Iterator[str]:
    """Tables of the `Rows` of `mask_proposal.py`.

    Parameters
    ----------
    good : Dice of a good slice.
    chests : the name of the synthetic ones.
    """
    if chests in sets:
        numbers = chosen(sets[chests].slices, good)
        yield table((f"were the confidence's numbers chosen on the chests: {numbers[0]:.3f}, "
                     f"{numbers[1]:.3f}", "sure, %", f"sure under {good}, %"),
                    [(r.name, *(f"{v:.1f}" for v in sure_by(r.slices, good, *numbers)))
                     for r in sets.values()])
    yield table(("the numbers that corrections rest on, mm (root mean square)",
                 *(f"{what}: {of}" for what in ("truth bends", "proposal off")
                   for of in ("radius", "centre", "harmonic k, times k"))),
                [r.course.row(r.name) for r in sets.values() if r.course.bends])
    yield table(("experts' endocardium to where the image is steepest, pixels", "patients",
                 "rows, mean", "columns, mean"),
                [(r.name, str(len(r.steepest)), *(f"{v:+.2f}" for v in np.mean(r.steepest, axis=0)))
                 for r in sets.values() if r.steepest])
    for rows in sets.values():
        if rows.inside:
            yield table((f"{rows.name}: the default method inside", "mask Dice", "blood", "wall"),
                        [(what, *(f"{v:.3f}" for v in np.mean(dices, axis=0)))
                         for what, dices in rows.inside.items()])
