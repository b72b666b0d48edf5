"""What a person corrected, as evidence for the voxels that they did not.

How far a posterior is off is a smooth field over the ventricle, and in the slice beside it is much
the same field. So the log odds of each tissue against healthy wall get a
Gaussian process g over the angle around the ventricle, the depth below the epicardium and the place
along the axis,

    p(tissue | voxel, corrections)  ~  p(tissue | voxel) exp g(tissue; slice, angle, depth),
    cov g = SIZE^2 along(dz) exp(-ddepth^2 / 2 DEPTH^2) exp(-dangle^2 / 2 ANGLE^2),
    along(dz) = COMMON + (1 - COMMON) exp(-|dz| / ALONG),

where COMMON is what all slices of a heart share, such as a habit of whoever draws. The mode of g
given the corrected voxels is found as in classification with Gaussian processes (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, chapter 3), the process written as a sum
of smooth functions with independent normal weights (ibid. section 4.3 and appendix B). Voxels
beside each other err together, so that each counts as `WEIGHT` of one. Where the posterior is sure
g changes little, and far from what was corrected no more than what all slices share.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    size: float = 1.0
    angle: float = 0.4
    depth: float = 2.5
    along: float = 15.0
    weight: float = 0.3
    common: float = 0.0


#: Of one sequence, chosen on real LGE of 29 patients; of several, where what is left is more a
#: matter of the patient than of the slice, on phantom patients (`SEVERAL` of two makes, `WHOLE` of
#: three, seeds 1100 to 1105): there are no real ones. The longer way of these would spoil other
#: slices of real hearts, and so would a part that all their slices have in common.
ALONE, SEVERAL = Smoothness(), Smoothness(size=1.5, along=40.0)
#: The same of several once whole slices are done, so many: a stroke or one slice does not tell a
#: habit from an oddity, and of hearts unlike those of training more got worse.
WHOLE, SLICES_OF_WHOLE = Smoothness(size=2.0, along=40.0, common=0.25), 2
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
    smoothness : by default `ALONE`, `SEVERAL` or `WHOLE`, by the number of sequences and of slices
        that are done.

    Returns
    -------
    Of the same shape; at corrected voxels, too, what the model says.
    """
    smoothness = smoothness or (ALONE if len(case.study.sequences) == 1
                                else WHOLE if len(corrections.done) >= SLICES_OF_WHOLE
                                else SEVERAL)
    known = _known(case, corrections)
    told = np.flatnonzero((known >= 0).any((1, 2)))
    if not len(told) or Tissue.MYOCARDIUM not in case.tissues:
        return before
    wall = case.tissues.index(Tissue.MYOCARDIUM)
    moved = [k for k in range(len(case.tissues)) if k != wall and (before[:, k] > 0).any()]
    believed = np.ones(known.shape) if trust is None else np.nan_to_num(np.asarray(trust, float))
    weights = _mode(case, before, known, believed, told, moved, smoothness)
    heights = case.study.geometry.spacing[2] * np.asarray(case.slices, float)
    among = _along(heights[told], heights[told], smoothness) + 1e-6 * np.eye(len(told))
    near = np.linalg.solve(among, _along(heights[told], heights, smoothness)).T
    after = np.array(before)
    for index, inside in enumerate(case.mask):
        basis = _basis(case, index, inside, smoothness)
        field = basis @ np.einsum("t,tmk->mk", near[index], weights)
        field[np.abs(field) < LEAST_ODDS] = 0
        for column, k in enumerate(moved):
            after[index, k][inside] *= np.exp(field[:, column])
    after /= np.maximum(after.sum(1, keepdims=True), 1e-12)
    after *= case.mask[:, None]
    return _without_specks(case, before, after, wall)


def _known(case: Case, corrections: Corrections) -> npt.NDArray[np.int64]:
    """(slices, rows, columns) the column of each corrected voxel's tissue, else -1."""
    tissue = np.where(corrections.tissue == Tissue.MVO, Tissue.SCAR, corrections.tissue)
    known = np.full(tissue.shape, -1)
    for column, one in enumerate(case.tissues):
        known[corrections.fixed & (tissue == one) & case.mask] = column
    return known


def _mode(case: Case, before: FloatArray, known: npt.NDArray[np.int64],
          believed: FloatArray, told: npt.NDArray[np.intp], moved: list[int],
          smoothness: Smoothness) -> npt.NDArray[np.float64]:
    """(slices told of, functions, tissues moved) the likeliest weights of the functions."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    heights = case.study.geometry.spacing[2] * np.asarray(case.slices, float)[told]
    root = np.linalg.cholesky(_along(heights, heights, smoothness) + 1e-6 * np.eye(len(told)))
    parts = []
    for index in told:
        where = known[index] >= 0
        odds = np.log(np.maximum(before[index][:, where].T, LEAST)).astype(float)
        label = np.eye(odds.shape[1])[known[index][where]]
        parts.append((_basis(case, index, where, smoothness), odds, label,
                      smoothness.weight * believed[index][where][:, None]))
    shape = (len(told), parts[0][0].shape[1], len(moved))

    def energy(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        whitened = flat.reshape(shape)
        value, slope = 0.5 * float(flat @ flat), np.zeros(shape)
        for place, (basis, odds, label, share) in enumerate(parts):
            moving = odds.copy()
            moving[:, moved] += basis @ np.tensordot(root[place], whitened, 1)
            moving -= logsumexp(moving, axis=1, keepdims=True)
            value -= float((share * label * moving).sum())
            pull = basis.T @ (share * (np.exp(moving) - label))[:, moved]
            slope += root[place][:, None, None] * pull
        return value, flat + slope.ravel()

    found = minimize(energy, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B",
                     options={"maxiter": ROUNDS})
    return np.tensordot(root, found.x.reshape(shape), 1)


def _along(one: npt.NDArray, other: npt.NDArray, smoothness: Smoothness) -> npt.NDArray:
    """(one, other) correlation between places along the axis, mm."""
    near = np.exp(-np.abs(one[:, None] - other) / smoothness.along)
    return smoothness.common + (1 - smoothness.common) * near


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
