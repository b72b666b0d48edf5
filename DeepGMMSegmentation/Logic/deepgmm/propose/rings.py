"""Two closed borders a slice from probabilities: a ring that is smooth around, in mm.

Borders are radii at equally spaced angles around a centre. The epicardium is the closed path that
parts likely inside from likely outside best, found by dynamic programming around the circle; the
endocardium likewise inside of it, with a prior on how thick a wall is. Where the probabilities
leave it open, both lie where the images themselves have an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

ANGLES, STEP, REACH = 64, 0.5, 62.0
THETA = np.arange(ANGLES) * (2 * np.pi / ANGLES)
RADII = np.arange(1, int(REACH / STEP) + 1) * STEP
#: Cost of a border that moves by a step between neighbouring angles, squared, and steps allowed.
BEND, STEPS = 0.12, 3
#: Harmonics around that a border keeps.
HARMONICS = 9
#: mm: what walls are, and how strongly that is held to; and the least.
THICK, HOLD, LEAST = 8.5, 0.004, 2.0
#: What an image's edge is worth to a border; mm over which it is looked for; and the rise over
#: 2 mm, as a share of the contrast of pool and wall, beyond which steeper counts little more.
EDGE, SEEN, STEEP = 4.0, 0.7, 0.6


@dataclass(frozen=True)
class Ring:
    """One slice's borders.

    Attributes
    ----------
    centre : (row, column) in mm on the image's grid.
    outer, inner : (ANGLES,) radii, mm.
    """

    centre: FloatArray
    outer: FloatArray
    inner: FloatArray

    def points(self, inner: bool = False) -> FloatArray:
        """(ANGLES, 2) (row, column), mm."""
        radii = self.inner if inner else self.outer
        return np.asarray(self.centre + radii[:, None] * np.stack(
            [np.sin(THETA), np.cos(THETA)], axis=1))

    def about(self, centre: FloatArray) -> Ring:
        """The same borders seen from another point inside both."""
        def radii(points: FloatArray) -> FloatArray:
            off = points - centre
            turn, away = np.arctan2(off[:, 0], off[:, 1]), np.hypot(off[:, 0], off[:, 1])
            return np.asarray(np.interp(THETA, *_sorted(turn, away), period=2 * np.pi))
        return Ring(np.asarray(centre), radii(self.points()), radii(self.points(inner=True)))

    def filled(self, shape: tuple[int, int], spacing: tuple[float, float], *,
               inner: bool = False) -> npt.NDArray[np.bool_]:
        """(rows, columns) pixels whose middle lies inside a border."""
        radii = self.inner if inner else self.outer
        found = np.zeros(shape, bool)
        box = tuple(slice(*np.clip((int((at - radii.max()) / step), int((at + radii.max()) / step)
                                    + 2), 0, n))
                    for at, step, n in zip(self.centre, spacing, shape))
        y, x = (np.arange(part.start, part.stop) * step - at
                for part, step, at in zip(box, spacing, self.centre))
        edge = np.interp(np.arctan2(y[:, None], x), THETA, radii, period=2 * np.pi)
        found[box] = np.hypot(y[:, None], x) < edge
        return found


def ring_of(inside: FloatArray, pool: FloatArray, centre: FloatArray, pixel: float) -> Ring:
    """The ring of one slice.

    Parameters
    ----------
    inside, pool : (rows, columns) probabilities of ventricle, and of its pool.
    centre : (row, column) in pixels of these; the ring's is in pixels, its radii in mm.
    pixel : mm.
    """
    return rings_of(inside[None], pool[None], np.asarray(centre)[None], pixel)[0]


def rings_of(inside: FloatArray, pool: FloatArray, centres: FloatArray, pixel: float,
             shown: Sequence[FloatArray] = ()) -> list[Ring]:
    """The rings of several slices, each as `ring_of` finds it; together they are found sooner.

    Parameters
    ----------
    inside, pool : (slices, rows, columns).
    centres : (slices, 2).
    shown : of each sequence (slices, ANGLES, radii), its brightness `along` the same rays.
    """
    rays, deep = (along(p, centres, (pixel, pixel), beyond="constant") for p in (inside, pool))
    edges = np.zeros((2, *rays.shape))
    for values in shown:
        rise = _rise(values, deep * RADII, np.clip(rays - deep, 0.0, 1.0) * RADII)
        for k, steep in enumerate((np.abs(rise), np.maximum(rise, 0.0))):
            edges[k] += EDGE * STEEP * -np.expm1(-steep / STEEP) / len(shown)
    # what lies between two borders weighs as its area; the outer one lies half a step within, which
    # suits experts' epicardium better than the middle
    outer = _smooth(RADII[_paths(
        -np.cumsum((rays - 0.5) * RADII, axis=2) * STEP / 10.0 - edges[0])])
    gain = (deep - 0.5) * RADII
    cost = -(np.cumsum(gain, axis=2) - gain / 2) * STEP / 10.0 - edges[1]
    wall = outer[:, :, None] - RADII
    cost = cost + HOLD * RADII * (wall - THICK) ** 2 / 10.0
    cost[wall < LEAST] += 100.0 * (LEAST - wall[wall < LEAST])
    inner = np.minimum(_smooth(RADII[_paths(cost)]), np.maximum(outer - LEAST, 0.3 * outer))
    return [Ring(np.asarray(centre, float), *borders)
            for centre, *borders in zip(centres, outer, inner)]


def along(planes: FloatArray, centres: FloatArray, spacing: tuple[float, float],
          beyond: str = "nearest") -> FloatArray:
    """(slices, ANGLES, radii) of (slices, rows, columns), on rays from a (row, column) of each.

    Parameters
    ----------
    spacing : mm of (rows, columns).
    beyond : what lies there, as `scipy.ndimage.map_coordinates` names it.
    """
    from scipy.ndimage import map_coordinates

    off = RADII * np.stack([np.sin(THETA), np.cos(THETA)])[..., None]
    off /= np.array(spacing)[:, None, None]
    return np.stack([map_coordinates(np.nan_to_num(np.asarray(plane, np.float32)),
                                     centre[:, None, None] + off, order=1, mode=beyond)
                     for plane, centre in zip(planes, centres)]).astype(float)


def _rise(values: FloatArray, pool: FloatArray, wall: FloatArray) -> FloatArray:
    """How steeply brightness goes outward from the pool's to the wall's: over 2 mm, as a share of
    the contrast of both. All are (slices, ANGLES, radii), the latter two weights."""
    from scipy.ndimage import gaussian_filter1d

    means = [(w * values).sum((1, 2)) / np.maximum(w.sum((1, 2)), 1e-3) for w in (pool, wall)]
    contrast = means[1] - means[0]
    contrast[np.abs(contrast) < 1e-6] = 1e-6
    smooth = gaussian_filter1d(values, 1.0, axis=1, mode="wrap")
    slope = gaussian_filter1d(smooth, SEEN / STEP, axis=2, order=1, mode="nearest") / STEP
    return np.asarray(2.0 * slope / contrast[:, None, None])


def _paths(cost: FloatArray) -> npt.NDArray[np.intp]:
    """(slices, angles) the closed paths of least cost through (slices, angles, radii)."""
    start = cost.sum(1).argmin(1)
    for _ in range(2):  # first from anywhere; then closed where that one passed half way round
        chain = np.roll(_open_paths(np.roll(cost, -ANGLES // 2, axis=1), start), ANGLES // 2, 1)
        chain = _open_paths(cost, chain[:, 0])
        start = chain[:, ANGLES // 2]
    return chain


def _open_paths(cost: FloatArray, at: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Each begins and ends at one radius, `at` (slices,)."""
    slices, angles, count = cost.shape
    every, places = np.arange(slices), np.arange(count)
    best = np.full((slices, count), np.inf)
    best[every, at] = cost[every, 0, at]
    came = np.zeros(cost.shape, np.intp)
    moves = np.arange(-STEPS, STEPS + 1)
    padded = np.full((slices, count + 2 * STEPS), np.inf)
    for i in range(1, angles + 1):
        padded[:, STEPS:-STEPS] = best
        options = np.stack([padded[:, STEPS + m:STEPS + m + count] + BEND * m * m for m in moves])
        came[:, i % angles] = places + moves[options.argmin(0)]
        best = options.min(0) + (cost[:, i] if i < angles else 0.0)
    path = np.empty((slices, angles), np.intp)
    now = came[every, 0, at]
    for i in range(angles - 1, -1, -1):
        path[:, i] = now = np.clip(now, 0, count - 1)
        now = came[every, i, now]
    return path


def _smooth(radii: FloatArray) -> FloatArray:
    """Their low harmonics, along the last axis."""
    waves = np.fft.rfft(radii)
    order = np.arange(waves.shape[-1])
    return np.asarray(np.fft.irfft(waves * np.exp(-0.5 * (order / HARMONICS) ** 4),
                                   radii.shape[-1]))


def _sorted(turn: FloatArray, away: FloatArray) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(turn)
    return turn[order], away[order]


def ring_of_mask(mask: npt.NDArray[np.bool_], spacing: tuple[float, float],
                 pool: npt.NDArray[np.bool_] | None = None) -> Ring | None:
    """The ring that a person drew; without a pool a wall of usual thickness. None where empty."""
    if not mask.any():
        return None
    centre = np.argwhere(mask).mean(0)
    scale = np.array(spacing)

    def radii(of: npt.NDArray[np.bool_]) -> FloatArray:
        from scipy.ndimage import map_coordinates

        at = centre[:, None, None] + RADII / scale[:, None, None] * np.stack(
            [np.sin(THETA), np.cos(THETA)])[..., None]
        ray = map_coordinates(of.astype(np.float32), at, order=1)
        # the outermost crossing, between samples
        last = np.array([np.max(np.flatnonzero(r > 0.5), initial=0) for r in ray])
        after = np.minimum(last + 1, len(RADII) - 1)
        a, b = ray[np.arange(ANGLES), last], ray[np.arange(ANGLES), after]
        share = np.where(a > b, (a - 0.5) / np.maximum(a - b, 1e-6), 0.0)
        return np.asarray(RADII[last] + STEP * np.clip(share, 0.0, 1.0))
    outer = radii(mask)
    inner = radii(pool) if pool is not None and pool.any() else np.maximum(
        outer - THICK, 0.4 * outer)
    return Ring(centre * scale, outer, np.minimum(inner, outer))


def between(low: Ring, high: Ring, share: float) -> Ring:
    """The ring so far on the way from one to another."""
    mix = [(1 - share) * a + share * b for a, b in
           ((low.centre, high.centre), (low.outer, high.outer), (low.inner, high.inner))]
    return Ring(*mix)
