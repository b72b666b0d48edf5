"""What slices become beside one that a person corrected: how borders run through a stack.

A border is its centre, its mean radius and its low harmonics around that centre. Along the stack
each of these numbers runs smoothly: its second differences are normal with a known spread (the
prior of a smoothing spline; Wahba, Improper priors, spline smoothing and the problem of guarding
against model errors in regression, 1978). A proposal saw each of them with an error in two parts:
one that the whole stack has nearly in common, and one of the slice's own, the larger the less its
probabilities agree with it; a person saw it without. What is likeliest on the other slices is where
they go.

Everything is linear and Gaussian, so points on a border are conditioned on likewise. But a slice at
an end of the stack that was drawn far from where all this expects it, as where an apex was taken
for too large, says little of its neighbours: they follow it less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.propose.rings import ANGLES, HARMONICS, THETA

FloatArray = npt.NDArray[np.floating]

_ORDERS = np.arange(2, HARMONICS + 1)
#: Of (row, column, mean radius, then two numbers of each harmonic from the second), mm: the
#: standard deviation of second differences between slices `GAP` mm apart, as experts' contours of
#: real hearts have it, and of a proposal's error where its overlap is expected to be `USUAL`: both
#: on EMIDEC, on an earlier proposal, rounded.
ROUGH = np.concatenate([[1.75, 1.75, 2.0], np.repeat(2.4 / _ORDERS, 2)])
ERROR = np.concatenate([[1.15, 1.15, 1.4], np.repeat(1.4 / _ORDERS, 2)])
GAP, USUAL = 10.0, 0.94
#: What the error is multiplied by at least and at most as overlap falls short.
SHORT = 0.5, 3.0
#: Share of an error's variance that the stack has in common, where overlap is usual; correlations,
#: of slices `GAP` mm apart, of that part and of the slices' own; mm of a person's own error at a
#: point.
COMMON, ALIKE, OWN_ALIKE, HAND = 0.6, 0.65, 0.1, 0.25
#: By how much less an end slice is followed for each variance that it lies off beyond one.
SURPRISE = 0.3
#: How far a border goes from where it was expected to where its image shows it.
TRUST = 0.75


def curve_of(points: FloatArray) -> FloatArray:
    """The numbers of a closed border, (row, column) in mm around a point inside."""
    centre = points.mean(0)
    for _ in range(3):
        y, x = (points - centre).T
        turned = x * np.roll(y, -1) - np.roll(x, -1) * y
        centre = centre + [float(((v + np.roll(v, -1)) * turned).sum() / (3 * turned.sum()))
                           for v in (y, x)]
    waves = np.fft.rfft(radii_about(points, centre)) / ANGLES
    held = 2 * waves[2:HARMONICS + 1]
    return np.concatenate([centre, [waves[0].real], np.stack([held.real, held.imag], 1).ravel()])


def points_of(curve: FloatArray) -> FloatArray:
    """(ANGLES, 2) the border that has these numbers."""
    waves = np.zeros(ANGLES // 2 + 1, complex)
    waves[0] = curve[2]
    waves[2:HARMONICS + 1] = (curve[3::2] + 1j * curve[4::2]) / 2
    radii = np.maximum(np.fft.irfft(waves * ANGLES, ANGLES), 1.0)
    return np.asarray(curve[:2] + radii[:, None] * np.stack([np.sin(THETA), np.cos(THETA)], 1))


def radii_about(points: FloatArray, centre: FloatArray) -> FloatArray:
    """(ANGLES,) how far a border is from a point inside of it."""
    off = points - centre
    turn = np.arctan2(off[:, 0], off[:, 1])
    order = np.argsort(turn)
    return np.asarray(np.interp(THETA, turn[order], np.hypot(*off.T)[order], period=2 * np.pi))


@dataclass(frozen=True)
class Seen:
    """A point that a border of one slice passes through, (row, column) in mm."""

    slice: int
    place: FloatArray

    def linear(self, curve: FloatArray) -> tuple[FloatArray, float]:
        """How the border's radius towards the point depends on its numbers, and the radius that
        is wanted less that which it has."""
        off = self.place - curve[:2]
        turn = float(np.arctan2(off[0], off[1]))
        towards = np.concatenate([[np.sin(turn), np.cos(turn), 1.0], np.stack(
            [np.cos(_ORDERS * turn), -np.sin(_ORDERS * turn)], 1).ravel()])
        return towards, float(np.hypot(*off) - towards[2:] @ curve[2:])


def followed(curves: Mapping[int, FloatArray], overlap: FloatArray, gap: float,
             fixed: Mapping[int, FloatArray], seen: Sequence[Seen] = (),
             told: Mapping[int, FloatArray] | None = None) -> dict[int, FloatArray]:
    """The border on all slices from the first to the last that is proposed or fixed.

    Parameters
    ----------
    curves : slice to the numbers proposed.
    overlap : (slices,) Dice that a proposal may expect, by its probabilities; 0 where it saw
        nothing itself.
    gap : mm from slice to slice.
    fixed : slice to numbers that are true.
    seen : points that are true.
    told : slice to numbers that its image shows, once it is known what was drawn nearest to it, in
        the order in which they were asked; they count as `TRUST` of what is then still open, less
        where that is an end that is followed less.

    Returns
    -------
    slice to numbers: those proposed, moved by what is learned from `fixed` and `seen`, and by as
    much of what the slices beside say as that lowers the doubt. Without either nothing moves.
    """
    there = [i for i in sorted({*curves, *fixed}) if i in fixed or overlap[i] > 0]
    first, last = there[0], there[-1]
    count = last - first + 1
    own = np.array([i in curves and overlap[i] > 0 for i in range(first, last + 1)])
    proposed = np.stack([curves.get(i, np.zeros(len(ROUGH))) for i in range(first, last + 1)], 1)
    spread, mean = _unfixed(proposed, own, overlap[first:last + 1], gap / GAP)
    smooth, doubt = mean.copy(), np.einsum("jii->ji", spread).copy()
    held: dict[int, float] = {}
    # ends last: what is expected there knows all that was drawn between them
    for i, true in sorted(fixed.items(), key=lambda one: (one[0] in (first, last), one[0])):
        at = i - first
        known = spread[:, at, at] + 1e-6
        off = (true - mean[:, at]) ** 2 / known
        if at in (0, count - 1):
            held[i] = 1 / (1 + SURPRISE * max(float(off[:3].mean()) - 1, 0.0))
        lean = held.get(i, 1.0) * spread[:, :, at] / known[:, None]
        mean = mean + lean * (true - mean[:, at])[:, None]
        spread = spread - lean[:, :, None] * spread[:, at, None, :]
    for i, shown in (told or {}).items():
        least = min(abs(j - i) for j in fixed)
        trust = TRUST * min(held.get(j, 1.0) for j in fixed if abs(j - i) == least)
        lean = trust * spread[:, :, i - first] / (spread[:, i - first, i - first, None] + 1e-6)
        mean = mean + lean * (shown - mean[:, i - first])[:, None]
        spread = spread - lean[:, :, None] * spread[:, i - first, None, :]
    mean, left = _through(mean, spread, [Seen(s.slice - first, s.place) for s in seen])
    gain = np.sqrt(np.clip(1 - left / doubt, 0.0, 1.0))
    started = np.where(own, proposed, smooth)
    moved = started + (mean - smooth) + gain * (smooth - started)
    found = {first + k: moved[:, k] for k in range(count)}
    return found | dict(fixed)


def _unfixed(proposed: FloatArray, own: npt.NDArray[np.bool_], overlap: FloatArray, gap: float
             ) -> tuple[FloatArray, FloatArray]:
    """(numbers, slices, slices) covariance and (numbers, slices) mean by the proposals alone."""
    count = len(own)
    bends = np.zeros((max(count - 2, 0), count))
    for k in range(count - 2):
        bends[k, k:k + 3] = 1, -2, 1
    precision = (bends.T @ bends)[None] / (ROUGH * gap ** 1.5)[:, None, None] ** 2
    # the first numbers are off where little overlaps; the finer ones less so
    short = np.clip((1 - overlap) / (1 - USUAL), *SHORT)
    error = ERROR[:, None] * np.where(np.arange(len(ERROR))[:, None] < 5, short, np.sqrt(short))
    away = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    both = (COMMON * ERROR[:, None, None] ** 2 * ALIKE ** (gap * away)
            + (1 - COMMON) * error[:, :, None] * error[:, None, :] * OWN_ALIKE ** (gap * away))
    weight = np.zeros_like(precision)
    of = np.ix_(np.arange(len(ROUGH)), own, own)
    weight[of] = np.linalg.inv(both[of])
    # a slice or two alone say nothing of how it goes on; a flat course is then as good as any
    spread = np.linalg.inv(precision + weight + 1e-6 * np.eye(count))
    return spread, np.einsum("jik,jkl,jl->ji", spread, weight, proposed)


def _through(mean: FloatArray, spread: FloatArray, seen: Sequence[Seen]
             ) -> tuple[FloatArray, FloatArray]:
    """Mean and variances, (numbers, slices), once the points are known."""
    left = np.einsum("jii->ji", spread)
    if not seen:
        return mean, left
    at = [s.slice for s in seen]
    now = mean
    for _ in range(4):  # the radius bends with the centre
        towards, wanted = zip(*(s.linear(now[:, s.slice]) for s in seen))
        rows = np.stack(towards)
        lean = rows[:, :, None] * spread[:, :, at].transpose(2, 0, 1)
        inverse = np.linalg.inv(np.einsum("pj,qjp->pq", rows, lean[:, :, at])
                                + HAND ** 2 * np.eye(len(at)))
        short = np.array(wanted) + np.einsum("pj,jp->p", rows, (now - mean)[:, at])
        now = mean + np.einsum("pjs,pq,q->js", lean, inverse, short)
    return now, left - np.einsum("pjs,pq,qjs->js", lean, inverse, lean)
