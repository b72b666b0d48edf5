"""What a person corrected, as evidence for the voxels that they did not.

How far a posterior is off is a smooth field over the ventricle, and in the slice beside it is much
the same field; of several sequences it is also one over their intensities. So the log odds of each
tissue against healthy wall get Gaussian processes g over the angle around the ventricle, the depth
below the epicardium and the place along the axis, and b over intensities x and depth,

    p(tissue | voxel, corrections)  ~  p(tissue | voxel) exp(g(tissue; slice, angle, depth)
                                                             + b(tissue; x, depth)),
    cov g = SIZE^2 along(dz) exp(-ddepth^2 / 2 DEPTH^2) exp(-dangle^2 / 2 ANGLE^2),
    along(dz) = OWN [dz = 0] + (1 - OWN) (COMMON + (1 - COMMON) exp(-|dz| / ALONG)),
    cov b = BRIGHT^2 exp(-|dx|^2 / 2 STEP^2) exp(-ddepth^2 / 2 LAYER^2),

where OWN is what a slice errs by itself (of the pool alone), and COMMON what all slices of a heart
share, such as a habit of whoever draws. The mode given the corrected voxels is found as in
classification with
Gaussian processes (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter
3), the processes written as sums of functions with independent normal weights: g of smooth ones
(ibid. section 4.3 and appendix B), b of those of some voxels (ibid. section 8.3.1, subset of
regressors). Voxels beside each other err together, so that each counts as `WEIGHT` of one. Where
the posterior is sure g changes little, and far from what was corrected no more than what all slices
share. A disease of which nothing was found, and that is drawn, begins as a small share of the wall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deepgmm.given import Corrections
from deepgmm.methods.problem import Case
from deepgmm.study.words import Tissue

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Smoothness:
    """How the error of a posterior lies over the ventricle.

    Attributes
    ----------
    size : standard deviation of the log odds.
    angle, depth, along : lengths of correlation, radians, mm and mm.
    weight : how many independent voxels one corrected voxel counts as.
    common : share of the variance that all slices have in common, 0 to 1.
    pool_own : share of the pool's that each slice has by itself.
    bright : standard deviation of the log odds of diseases by intensity.
    """

    size: float = 1.0
    angle: float = 0.4
    depth: float = 2.5
    along: float = 15.0
    weight: float = 0.3
    common: float = 0.0
    pool_own: float = 0.0
    bright: float = 0.0


#: Of one sequence, chosen on real LGE of 29 patients; of several, where what is left is more a
#: matter of the patient than of the slice, on phantom patients of three makes, seeds 100 to 109,
#: how much intensities say on 110 to 115: there are no real ones. The longer way of these would
#: spoil other slices of real hearts, and so would what all their slices have in common, and what
#: intensities say.
ALONE, SEVERAL = Smoothness(), Smoothness(size=1.5, along=40.0, pool_own=0.4)
#: The same of several once whole slices are done: only these show intensities of all tissues. And
#: once they are so many: one slice does not tell a habit from an oddity, and of hearts unlike those
#: of training more got worse.
ONE = replace(SEVERAL, bright=0.9)
WHOLE, SLICES_OF_WHOLE = replace(ONE, size=2.0, common=0.25, bright=1.6), 2
#: A disease of which nothing was found, once it is drawn: its share of the healthy wall to begin
#: with, and its `bright`, for nothing else yet tells where it is.
BEGUN, BEGUN_BRIGHT = 0.05, 1.5
#: What is drawn of a disease must be believed so much, in the mean over its voxels, to say that it
#: is there: more than not. On phantoms of three makes (seeds 100 to 111) missed disease has .59 and
#: more, scar painted into dark wall mostly .5 at most.
BELIEVED_LEAST = 0.5
#: Lengths of correlation by intensity, where 2 % and 98 % of the mask lie at -1 and 1, and of depth
#: with it, mm; and of how many voxels functions are made.
STEP, LAYER, CENTRES = 0.5, 3.0, 60
#: Probabilities below are as good as none, when the process is fitted.
LEAST = 1e-3
#: Log odds that move less stay: what was held back from being scar lies just below one half.
LEAST_ODDS = 0.05
#: Waves around the ventricle that are kept; and the pool's middle, mm, where depth ends.
WAVES, DEEPEST_MM = 8, 22.5
#: An island of scar that was not there before is drawn from this area on, mm2.
LEAST_ISLAND_MM2 = 45.0
ROUNDS = 60


def followed(case: Case, before: FloatArray, corrections: Corrections,
             trust: FloatArray | None = None, smoothness: Smoothness | None = None) -> FloatArray:
    """Probabilities that follow corrections by place.

    Parameters
    ----------
    before : (slices, tissues, rows, columns) of the fitted slices, 0 outside the mask, as they were
        before anything was corrected.
    corrections : of the fitted slices.
    trust : (slices, rows, columns) how much each corrected voxel is believed, 0 to 1; None for
        wholly. What contradicts the images teaches the rest nothing.
    smoothness : by default `ALONE`, `SEVERAL`, `ONE` or `WHOLE`, by the number of sequences and of
        slices that are done.

    Returns
    -------
    Of the same shape; at corrected voxels, too, what the model says.
    """
    smoothness = smoothness or _by_default(case, corrections)
    known = _known(case, corrections)
    told = np.flatnonzero((known >= 0).any((1, 2)))
    if not len(told) or Tissue.MYOCARDIUM not in case.tissues:
        return before
    wall = case.tissues.index(Tissue.MYOCARDIUM)
    believed = np.ones(known.shape) if trust is None else np.nan_to_num(np.asarray(trust, float))
    new = [k for k in range(len(case.tissues))
           if (known == k).any() and not (before[:, k] > 0).any()]
    begun = [k for k in new if is_believed(believed, known == k)]
    known[np.isin(known, [k for k in new if k not in begun])] = -1
    told = np.flatnonzero((known >= 0).any((1, 2)))
    if not len(told):
        return before
    if begun:
        before = np.array(before)
        before[:, begun] = BEGUN * before[:, [wall]]
        before /= np.maximum(before.sum(1, keepdims=True), 1e-12)
    moved = [k for k in range(len(case.tissues)) if k != wall and (before[:, k] > 0).any()]
    fields = [_by_place(case, moved, smoothness)]
    if smoothness.bright:
        fields += _by_intensity(case, moved, begun, smoothness)
    weights = _mode(before, known, believed, told, fields, smoothness.weight)
    after = np.array(before)
    for index, inside in enumerate(case.mask):
        total = np.zeros((int(inside.sum()), len(case.tissues)))
        for one, mine in zip(fields, weights, strict=True):
            total[:, one.columns] += one.functions(index, inside) @ mine[index]
        total[np.abs(total) < LEAST_ODDS] = 0
        after[index][:, inside] *= np.exp(total.T)
    after /= np.maximum(after.sum(1, keepdims=True), 1e-12)
    after *= case.mask[:, None]
    return _without_specks(case, before, after, wall)


def is_believed(trust: FloatArray, drawn: npt.NDArray[np.bool_]) -> bool:
    """Whether what is drawn of a disease says that it is there, though the fit found none.

    Parameters
    ----------
    trust : how much each corrected voxel is believed, 0 to 1.
    """
    return bool(drawn.any()) and float(np.nan_to_num(trust[drawn]).mean()) >= BELIEVED_LEAST


def _by_default(case: Case, corrections: Corrections) -> Smoothness:
    if len(case.study.sequences) == 1:
        return ALONE
    done = len(corrections.done)
    return WHOLE if done >= SLICES_OF_WHOLE else ONE if done else SEVERAL


@dataclass(frozen=True)
class _Field:
    """A process written as functions with normal weights, a set of them for each slice.

    Attributes
    ----------
    columns : of the tissues that it moves.
    functions : of a slice and where in it: (voxels, functions).
    covariance : (tissues moved, slices, slices) of a function's weights.
    """

    columns: list[int]
    functions: Callable[[int, npt.NDArray[np.bool_]], npt.NDArray[np.float64]]
    covariance: npt.NDArray[np.float64]


def _by_place(case: Case, moved: list[int], smoothness: Smoothness) -> _Field:
    heights = case.study.geometry.spacing[2] * np.asarray(case.slices, float)
    near = np.exp(-np.abs(heights[:, None] - heights) / smoothness.along)
    shared = smoothness.common + (1 - smoothness.common) * near
    own = np.array([smoothness.pool_own if case.tissues[k] == Tissue.BLOOD else 0.0
                    for k in moved])[:, None, None]
    return _Field(moved, lambda index, where: _basis(case, index, where, smoothness),
                  own * np.eye(len(heights)) + (1 - own) * shared)


def _by_intensity(case: Case, moved: list[int], begun: list[int],
                  smoothness: Smoothness) -> list[_Field]:
    """Of diseases alone: where the pool ends is seen by its form."""
    columns = [k for k in moved if case.tissues[k] != Tissue.BLOOD]
    if not columns:
        return []

    def scaled(index: int, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        values = case.normalised[0][index][:, where].T / STEP
        depth = np.minimum(case.coordinates.depth[index][where], DEEPEST_MM) / LAYER
        return np.column_stack([values, depth])

    def bell(one: npt.NDArray, other: npt.NDArray) -> npt.NDArray[np.float64]:
        square = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
        return np.exp(-0.5 * np.maximum(square, 0))

    every = np.concatenate([scaled(i, inside) for i, inside in enumerate(case.mask)])
    centres = _spread(every, CENTRES)
    root = np.linalg.cholesky(np.linalg.inv(bell(centres, centres) + 1e-3 * np.eye(len(centres))))
    size = np.array([BEGUN_BRIGHT if k in begun else smoothness.bright for k in columns])
    everywhere = np.ones((len(case.mask),) * 2)  # one habit, all slices
    return [_Field(columns, lambda index, where: bell(scaled(index, where), centres) @ root,
                   size[:, None, None]**2 * everywhere)]


def _spread(points: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """So many of some points, each the farthest from those before it (Gonzalez 1985)."""
    some = points[:: max(len(points) // (6 * count), 1)]
    chosen = [0]
    away = np.full(len(some), np.inf)
    for _ in range(min(count, len(some)) - 1):
        away = np.minimum(away, ((some - some[chosen[-1]])**2).sum(1))
        chosen.append(int(away.argmax()))
    return some[chosen]


def _known(case: Case, corrections: Corrections) -> npt.NDArray[np.int64]:
    """(slices, rows, columns) the column of each corrected voxel's tissue, else -1."""
    tissue = np.where(corrections.tissue == Tissue.MVO, Tissue.SCAR, corrections.tissue)
    known = np.full(tissue.shape, -1)
    for column, one in enumerate(case.tissues):
        known[corrections.fixed & (tissue == one) & case.mask] = column
    return known


def _mode(before: FloatArray, known: npt.NDArray[np.int64], believed: FloatArray,
          told: npt.NDArray[np.intp], fields: list[_Field],
          weight: float) -> list[npt.NDArray[np.float64]]:
    """Of each field, (slices, functions, tissues moved): the likeliest weights."""
    from scipy.optimize import minimize

    nugget = 1e-6 * np.eye(len(told))
    among = [one.covariance[:, told][:, :, told] + nugget for one in fields]
    roots = [np.linalg.cholesky(one).transpose(1, 2, 0) for one in among]
    parts = []
    for index in told:
        where = known[index] >= 0
        odds = np.log(np.maximum(before[index][:, where].T, LEAST)).astype(float)
        label = np.eye(odds.shape[1])[known[index][where]]
        parts.append(([one.functions(index, where) for one in fields], odds, label,
                      weight * believed[index][where][:, None]))
    shapes = [(len(told), basis.shape[1], len(one.columns))
              for one, basis in zip(fields, parts[0][0], strict=True)]
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])

    def apart(flat: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
        return [flat[first:last].reshape(shape) for first, last, shape
                in zip(ends[:-1], ends[1:], shapes, strict=True)]

    def energy(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        whitened, slope = apart(flat), np.zeros_like(flat)
        slopes, value = apart(slope), 0.5 * float(flat @ flat)
        for place, (bases, odds, label, share) in enumerate(parts):
            moving = odds.copy()
            for one, basis, root, mine in zip(fields, bases, roots, whitened, strict=True):
                moving[:, one.columns] += basis @ (root[place][:, None] * mine).sum(0)
            moving = log_softmax(moving)
            value -= float((share * label * moving).sum())
            pull = share * (np.exp(moving) - label)
            for one, basis, root, mine in zip(fields, bases, roots, slopes, strict=True):
                mine += root[place][:, None] * (basis.T @ pull[:, one.columns])
        return value, flat + slope

    found = minimize(energy, np.zeros(ends[-1]), jac=True, method="L-BFGS-B",
                     options={"maxiter": ROUNDS})
    result = []
    for one, own, root, mine in zip(fields, among, roots, apart(found.x), strict=True):
        at = np.einsum("stk,tfk->ksf", root, mine)
        near = np.linalg.solve(own, one.covariance[:, told]).transpose(0, 2, 1)
        result.append(np.einsum("kst,ktf->sfk", near, at))
    return result


def log_softmax(odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, K) the logarithm of probabilities in these odds; finite ones, without SciPy's checks,
    which take longer than the sum."""
    below = odds - odds.max(1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(1, keepdims=True)))


def _basis(case: Case, index: int, where: npt.NDArray[np.bool_],
           smoothness: Smoothness) -> npt.NDArray[np.float64]:
    """(voxels, functions) of a slice, such that weights of variance one give the process."""
    coordinates = case.coordinates
    angle = coordinates.angle[index][where]
    depth = np.minimum(coordinates.depth[index][where], DEEPEST_MM)
    waves = np.arange(1, WAVES + 1)
    power = np.exp(-0.5 * (waves * smoothness.angle) ** 2)
    total = 1 + 2 * power.sum()
    amplitude = np.sqrt(2 * power / total)
    around = np.column_stack([
        np.full(len(angle), 1 / np.sqrt(total)), np.cos(angle[:, None] * waves) * amplitude,
        np.sin(angle[:, None] * waves) * amplitude])
    knots = np.arange(0.0, DEEPEST_MM + smoothness.depth, smoothness.depth)

    def bell(a: npt.NDArray, b: npt.NDArray) -> npt.NDArray:
        return np.exp(-0.5 * ((a[:, None] - b) / smoothness.depth) ** 2)

    inner = bell(depth, knots) @ np.linalg.cholesky(
        np.linalg.inv(bell(knots, knots) + 1e-3 * np.eye(len(knots))))
    return smoothness.size * (around[:, :, None] * inner[:, None]).reshape(len(angle), -1)


def _without_specks(case: Case, before: FloatArray, after: FloatArray, wall: int) -> FloatArray:
    """Without new islands of scar too small to be believed."""
    if Tissue.SCAR not in case.tissues:
        return after
    scar = case.tissues.index(Tissue.SCAR)
    least = LEAST_ISLAND_MM2 / np.prod(case.study.geometry.spacing[:2])
    for was, now in zip(before.argmax(1) == scar, after, strict=True):
        islands, count = ndimage.label((now.argmax(0) == scar) & (now[scar] > 0), np.ones((3, 3)))
        numbers = np.arange(1, count + 1)
        new = ~np.isin(numbers, islands[was]) & (
            np.bincount(islands.ravel(), minlength=count + 1)[1:] < least)
        specks = np.isin(islands, numbers[new])
        both = now[scar][specks] + now[wall][specks]
        now[scar][specks] = np.minimum(now[scar][specks], 0.499 * both)
        now[wall][specks] = both - now[scar][specks]
    return after
