"""The heart and what surrounds it: where each material lies, before any image is made.

All lengths are millimetres, all angles radians. Angles run in the image plane from the lateral
wall (image right) over the inferior wall (image bottom) and the septum (image left) to the
anterior wall (image top), the usual view of a short-axis slice. Levels run from 0 at the base
to 1 at the apex. Depth runs through the wall from 0 at the endocardium to 1 at the epicardium.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

#: Angles at which contours and infarct borders are tabulated.
ANGLES = 720
THETA = (np.arange(ANGLES) + 0.5) * (2.0 * np.pi / ANGLES)


class Material(IntEnum):
    """What a fine sample is made of; the first six follow `Tissue`."""

    LUNG = 0
    BLOOD = 1
    MYOCARDIUM = 2
    EDEMA = 3
    SCAR = 4
    MVO = 5
    PAPILLARY = 6
    RV_BLOOD = 7
    RV_WALL = 8
    FAT = 9
    MUSCLE = 10
    LIVER = 11


@dataclass(frozen=True)
class Waves:
    """A smooth random function of angle and level: harmonics whose phases drift to the apex."""

    orders: npt.NDArray[np.int64]
    amplitudes: FloatArray
    phases: FloatArray
    drifts: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, low: int, high: int, size: float,
             drift: float = 1.5) -> Waves:
        """Orders `low` to `high`; `size` is the function's standard deviation."""
        orders = np.arange(low, high + 1)
        amplitudes = rng.rayleigh(1.0, orders.size) / orders
        amplitudes *= size * np.sqrt(2.0) / np.sqrt((amplitudes ** 2).sum())
        return cls(orders, amplitudes, rng.uniform(0, 2 * np.pi, orders.size),
                   rng.normal(0.0, drift, orders.size))

    def __call__(self, levels: FloatArray) -> FloatArray:
        """(levels, angles)."""
        phase = (self.orders[:, None, None] * THETA + self.phases[:, None, None]
                 + self.drifts[:, None, None] * np.asarray(levels)[None, :, None])
        return np.asarray((self.amplitudes[:, None, None] * np.cos(phase)).sum(axis=0))


@dataclass(frozen=True)
class Pose:
    """How the heart in one sequence differs from the truth's contours.

    Breath-hold and cardiac phase move and reshape the heart between sequences, and a reader
    draws smooth contours that the image follows only roughly.

    Attributes
    ----------
    shift : (rows, columns) displacement of the whole image, mm.
    dilation : relative change of the blood pool's radius.
    outer, inner : unevenness of epicardium and endocardium, relative to their radii.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    dilation: float = 0.0
    outer: Waves | None = None
    inner: Waves | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, difficulty: float, pixel: float) -> Pose:
        """Shift of 0.3 pixels standard deviation a direction at difficulty 1, never over 2."""
        shift = np.clip(0.3 * difficulty * rng.standard_normal(2), -2.0, 2.0) * pixel
        return cls((float(shift[0]), float(shift[1])),
                   0.006 * difficulty * float(np.clip(rng.standard_normal(), -2, 2)),
                   Waves.draw(rng, 1, 6, 0.006 * difficulty),
                   Waves.draw(rng, 1, 8, 0.008 * difficulty))


@dataclass(frozen=True)
class Heart:
    """A left ventricle with papillary muscles, a right ventricle, and their neighbours.

    Attributes
    ----------
    length : base to apex, mm.
    radius : epicardial radius at the base, mm.
    thickness : wall thickness at the base, mm.
    ellipticity, tilt : ratio of the in-plane axes less one, and the long axis' angle.
    rotation : of the whole heart in the image; 0 puts the septum to the left.
    epicardium, endocardium : roughness of the two borders, relative to radius and thickness.
    drift : (rows, columns) displacement of the centre from base to apex, mm.
    papillaries : (muscles, 4): angle, distance from the centre and radius as fractions of the
        pool's radius, and elongation along the radius.
    trabeculae : ridges of the inner border, as fractions of the pool's radius: muscle that a
        contour of the compact wall leaves to the pool.
    rv : (3,) the right ventricle's ellipse at the base, in epicardial radii: distance of its
        centre, half width, half height.
    rv_end : level at which the right ventricle ends.
    chest : (3,) random numbers, 0 to 1, that place chest wall, liver and fat.
    """

    length: float
    radius: float
    thickness: float
    ellipticity: float
    tilt: float
    rotation: float
    epicardium: Waves
    endocardium: Waves
    drift: tuple[float, float]
    papillaries: FloatArray
    trabeculae: Waves
    rv: FloatArray
    rv_end: float
    chest: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Heart:
        """Sizes of adults: outer diameter 60 to 73 mm, wall 7.5 to 10.5 mm, length 80 to 100 mm."""
        muscles = np.stack([
            np.array([-0.75, 1.35]) + rng.normal(0, 0.2, 2),
            rng.uniform(0.60, 0.85, 2),
            rng.uniform(0.12, 0.20, 2),
            rng.uniform(1.0, 1.5, 2)], axis=1)
        return cls(
            length=rng.uniform(80, 100),
            radius=rng.uniform(30, 36.5),
            thickness=rng.uniform(7.5, 10.5),
            ellipticity=rng.uniform(0.0, 0.12),
            tilt=rng.uniform(0, np.pi),
            rotation=rng.normal(0, 0.2),
            epicardium=Waves.draw(rng, 2, 5, 0.015),
            endocardium=Waves.draw(rng, 2, 12, 0.09, drift=3.0),
            drift=(rng.normal(0, 3.0), rng.normal(0, 3.0)),
            papillaries=muscles,
            trabeculae=Waves.draw(rng, 6, 24, rng.uniform(0.04, 0.09), drift=6.0),
            rv=np.array([rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.05), rng.uniform(0.9, 1.1)]),
            rv_end=rng.uniform(0.85, 1.0),
            chest=rng.uniform(0, 1, 3))

    def centres(self, levels: FloatArray) -> FloatArray:
        """(levels, 2), row and column of the pool's centre from the image's centre."""
        return np.outer(np.asarray(levels) - 0.5, self.drift)

    def outer(self, levels: FloatArray) -> FloatArray:
        """(levels, angles) epicardial radius: a truncated ellipsoid, elliptic and uneven."""
        levels = np.asarray(levels, dtype=np.float64)
        taper = np.sqrt(np.clip(1.0 - (0.96 * levels) ** 2.2, 0.05, None))
        oval = 1.0 + 0.5 * self.ellipticity * np.cos(2 * (THETA - self.tilt))
        return np.asarray(self.radius * taper[:, None] * oval * (1.0 + self.epicardium(levels)))

    def inner(self, levels: FloatArray, thinning: FloatArray | float = 0.0) -> FloatArray:
        """(levels, angles) endocardial radius; `thinning` is the infarct's, 0 to 1."""
        levels = np.asarray(levels, dtype=np.float64)
        wall = self.thickness * (1.0 - 0.25 * levels[:, None]) * (1.0 + self.endocardium(levels))
        outer = self.outer(levels)
        return np.asarray(np.clip(outer - wall * (1.0 - thinning), 0.12 * outer, None))

    def rv_ellipses(self, levels: FloatArray) -> FloatArray:
        """(levels, 3) distance of the centre, half width and half height, mm."""
        levels = np.asarray(levels, dtype=np.float64)
        size = self.outer(levels).mean(axis=1)
        fade = np.sqrt(np.clip(1.0 - (levels / self.rv_end) ** 3, 0.0, None))
        width = self.rv[1] * size * fade
        return np.stack([self.rv[0] * size, width, self.rv[2] * size * (0.4 + 0.6 * fade)], axis=1)

    def insertion_points(self, levels: FloatArray) -> FloatArray:
        """(levels, 2, 2) anterior and inferior RV insertion, (row, column) from the image's
        centre, mm: where the right ventricle's outline leaves the epicardium. NaN where the
        right ventricle has ended.
        """
        levels = np.asarray(levels, dtype=np.float64)
        points = np.full((levels.size, 2, 2), np.nan)
        radius = self.outer(levels)
        for i, (distance, width, height) in enumerate(self.rv_ellipses(levels)):
            if width < 3.0 or distance + width < radius[i].mean() + 3.0:
                continue
            x, y = radius[i] * np.cos(THETA), radius[i] * np.sin(THETA)
            touched = np.flatnonzero(((x + distance) / width) ** 2 + (y / height) ** 2 < 1.0)
            if touched.size == 0:
                continue
            # The septum is centred on pi, so that the run of touched angles never wraps around.
            for j, angle in enumerate((touched[-1], touched[0])):
                turned = THETA[angle] + self.rotation
                points[i, j] = (radius[i, angle] * np.sin(turned),
                                radius[i, angle] * np.cos(turned))
            points[i] += self.centres(levels)[i]
        return points


@dataclass(frozen=True)
class Grid:
    """Fine samples of the image: `factor` x `factor` a pixel, and `factor` levels a slice.

    The rows of samples within a pixel lie at different levels through the slice's thickness,
    so that averaging them gives the partial volume of all three directions at the price of two.
    """

    rows: int
    columns: int
    pixel: float
    factor: int

    def axes(self) -> tuple[FloatArray, FloatArray]:
        """Row and column coordinates of the samples from the image's centre, mm."""
        step = self.pixel / self.factor
        return ((np.arange(self.rows * self.factor) + 0.5) * step - self.rows * self.pixel / 2,
                (np.arange(self.columns * self.factor) + 0.5) * step
                - self.columns * self.pixel / 2)

    def to_pixel(self, points: FloatArray) -> FloatArray:
        """(..., 2) from mm to pixel indices (row, column)."""
        return points / self.pixel + np.array([self.rows / 2 - 0.5, self.columns / 2 - 0.5])

    def average(self, samples: FloatArray) -> FloatArray:
        """(slices, rows, columns) means of (slices, fine rows, fine columns)."""
        f = self.factor
        # Strided sums: several times as fast as a mean over two short axes.
        rows = samples[:, ::f].copy()
        for k in range(1, f):
            rows += samples[:, k::f]
        means = rows[:, :, ::f].copy()
        for k in range(1, f):
            means += rows[:, :, k::f]
        means /= f * f
        return means


def surroundings(heart: Heart, levels: FloatArray, grid: Grid) -> npt.NDArray[np.uint8]:
    """(slices, fine rows, fine columns) materials around the left ventricle.

    `levels` holds `grid.factor` levels a slice, (slices, factor).
    """
    slices, factor = levels.shape
    y, x = (axis.astype(np.float32) for axis in grid.axes())
    y, x = y[:, None], x[None, :]
    a, b, c = heart.chest
    plane = np.full((y.size, x.size), Material.LUNG, dtype=np.uint8)
    # Chest wall in front (top left): muscle under a layer of fat, both arcs of a large circle.
    front = np.hypot(y - 75.0, x - 40.0)
    plane[front > 142.0 + 10 * a] = Material.MUSCLE
    plane[front > 152.0 + 10 * a] = Material.FAT
    plane[((x + 55.0) / 85.0) ** 2 + ((y - 85.0 - 8 * b) / 45.0) ** 2 < 1.0] = Material.LIVER
    labels = np.broadcast_to(plane, (slices, *plane.shape)).copy()

    flat = levels.ravel()
    centres = heart.centres(flat).reshape(slices, factor, 2)
    radii = heart.outer(flat).mean(axis=1).reshape(slices, factor)
    ellipses = heart.rv_ellipses(flat).reshape(slices, factor, 3)
    cos, sin = np.cos(heart.rotation), np.sin(heart.rotation)
    for i in range(slices):
        for k in range(factor):
            # Sample rows of one level; the view writes through to `labels`.
            part = labels[i, k::factor]
            dy, dx = y[k::factor] - centres[i, k, 0], x - centres[i, k, 1]
            v, u = dy * cos - dx * sin, dx * cos + dy * sin
            fat = 5.0 + 4.0 * c
            rim = radii[i, k] + fat
            part[u * u + v * v < rim * rim] = Material.FAT
            paint_right_ventricle(part, u, v, ellipses[i, k], fat)
    return labels


def paint_right_ventricle(part: npt.NDArray[np.uint8], u: FloatArray, v: FloatArray,
                          ellipse: FloatArray, fat: float) -> None:
    """The right ventricle over one level of the surroundings, in place; none where it is narrow.

    Parameters
    ----------
    u, v : mm from the heart's centre along its own axes.
    ellipse : (3,) distance, width and height, of `Heart.rv_ellipses`.
    fat : mm of fat around it, its wall included.
    """
    distance, width, height = ellipse
    if width < 3.0:
        return
    u = u + distance
    for extra, material in ((fat, Material.FAT), (3.0, Material.RV_WALL),
                            (0.0, Material.RV_BLOOD)):
        part[(u / (width + extra)) ** 2 + (v / (height + extra)) ** 2 < 1.0] = material


def paint_heart(labels: npt.NDArray[np.uint8], heart: Heart, levels: FloatArray, grid: Grid,
                bounds: list[tuple[Material, FloatArray]], thinning: FloatArray,
                pose: Pose) -> npt.NDArray[np.uint8]:
    """The left ventricle in its pose over its surroundings, which move along.

    Parameters
    ----------
    labels : (slices, fine rows, fine columns) from `surroundings`.
    levels : (slices, factor).
    bounds : per lesion its material and (slices * factor, 2, angles), the depths between which
        it lies at each angle; later lesions lie over earlier ones.
    thinning : (slices * factor, angles) of the wall.
    """
    slices, factor = levels.shape
    step = grid.pixel / grid.factor
    steps = tuple(int(round(s / step)) for s in pose.shift)
    # Through-plane levels belong to sample rows, so rows may move by whole pixels only.
    steps = (int(round(steps[0] / factor)) * factor, steps[1])
    painted = np.roll(labels, steps, axis=(1, 2))
    flat = levels.ravel()
    outer = heart.outer(flat)
    inner = heart.inner(flat, thinning)
    ridges = np.clip(heart.trabeculae(flat), 0.0, 0.3) * _mid(flat, 0.02, 0.98)[:, None]
    ridges = ridges.astype(np.float32)
    if pose.outer is not None:
        outer = outer * (1.0 + pose.outer(flat))
    if pose.inner is not None:
        inner = inner * (1.0 + pose.inner(flat))
    inner = np.minimum(inner * (1.0 + pose.dilation), 0.95 * outer)
    wall = (outer - inner).astype(np.float32)
    outer, inner = outer.astype(np.float32), inner.astype(np.float32)
    centres = heart.centres(flat) + np.asarray(pose.shift)
    reach = float(outer.max()) + 2 * step
    y, x = (axis.astype(np.float32) for axis in grid.axes())
    for i in range(slices):
        middle = centres[i * factor:(i + 1) * factor].mean(axis=0)
        # Whole pixels, so that sample row k of the box belongs to level k of the slice.
        r0, r1 = (factor * (int(np.searchsorted(y, middle[0] + s * (reach + 3))) // factor)
                  for s in (-1, 1))
        c0, c1 = (int(np.searchsorted(x, middle[1] + s * (reach + 3))) for s in (-1, 1))
        for k in range(factor):
            table = i * factor + k
            dy = (y[r0 + k:r1:factor] - centres[table, 0])[:, None].astype(np.float32)
            dx = (x[c0:c1] - centres[table, 1])[None, :].astype(np.float32)
            r = np.hypot(dy, dx)
            inside = r < reach
            angle = np.arctan2(dy, dx)[inside] - heart.rotation
            r = r[inside]
            bin_ = (angle * (ANGLES / (2 * np.pi))).astype(np.int64)
            # Truncation rounds negative angles up: step back so that bins keep their borders.
            bin_ = (bin_ - (angle < 0)) % ANGLES
            part = painted[i, r0 + k:r1:factor, c0:c1]
            material = part[inside]
            edge, thick = inner[table][bin_], wall[table][bin_]
            depth = (r - edge) / thick
            material[depth < 1.0] = Material.MYOCARDIUM
            for name, bound in bounds:
                low, high = bound[table].astype(np.float32)
                material[(depth >= np.maximum(low[bin_], 0.0)) & (depth < high[bin_])
                         & (depth < 1.0)] = name
            pool = depth < 0.0
            material[pool] = Material.BLOOD
            muscle = r > edge * (1.0 - ridges[table][bin_])
            muscle |= _papillary(heart, flat[table], r, angle, edge)
            material[pool & muscle] = Material.PAPILLARY
            part[inside] = material
    return painted


def _mid(levels: FloatArray, start: float, end: float) -> FloatArray:
    """(levels,) 1 between two levels, fading to 0 over the 0.12 before them."""
    levels = np.asarray(levels)
    return np.clip(np.minimum(levels - start, end - levels) / 0.12, 0.0, 1.0)


def _papillary(heart: Heart, level: float, r: FloatArray, angle: FloatArray,
               edge: FloatArray) -> npt.NDArray[np.bool_]:
    """Which samples of the pool lie in a papillary muscle; none near base and apex."""
    strength = _mid(np.array([level]), 0.15, 0.85)[0]
    inside = np.zeros(r.shape, dtype=bool)
    if strength <= 0.0:
        return inside
    reach = r / np.maximum(edge, 1e-3)
    for centre, distance, radius, elongation in heart.papillaries:
        turn = angle - centre
        along = (reach * np.cos(turn) - distance) / (radius * elongation * strength)
        across = reach * np.sin(turn) / (radius * strength)
        inside |= along ** 2 + across ** 2 < 1.0
    return inside
