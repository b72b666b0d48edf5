"""The heart of the second phantom: a ventricle between two prolate spheroids, and its diseases.

The left ventricle is described in prolate spheroidal coordinates, as in models of cardiac
mechanics (Nielsen et al., Am J Physiol 1991): `lambda` grows through the wall, `tau`, the cosine
of the second coordinate, runs from the base to 1 at the apex, and `theta` turns around the long
axis. Diseases are level sets in three dimensions, written into an atlas of the wall: the area at
risk lies within reach of the vessels beyond an occlusion, and the infarct spreads in it from the
endocardium as a wavefront (Reimer and Jennings, Lab Invest 1979).

Lengths are mm. x runs to the lateral wall, y to the inferior wall, z to the apex; z = 0 is where
the ventricle is widest. `theta` is 0 at the lateral wall and pi / 2 at the inferior one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]


class Matter(IntEnum):
    """What a point is made of."""

    LUNG = 0
    BLOOD = 1
    SLOW_BLOOD = 2  # between trabeculae and along the wall
    PAPILLARY = 3  # and trabeculae
    MUSCLE = 4
    EDEMA = 5
    INFARCT = 6
    OBSTRUCTED = 7  # microvascular obstruction
    FIBROSIS = 8  # old or not ischaemic: no edema in it
    RV_BLOOD = 9
    RV_WALL = 10
    FAT = 11
    SKELETAL = 12
    LIVER = 13


#: What `Heart.paint` leaves to the surroundings.
ELSEWHERE = 255

#: The tables' axes: theta, tau and, in the wall's atlas, depth from 0 (endocardium) to 1.
ANGLES, LEVELS, DEPTHS = 240, 72, 10
LOWEST = -0.75
THETA = ((np.arange(ANGLES, dtype=np.float32) + 0.5) * np.float32(2 * np.pi / ANGLES))[:, None]
TAU = np.linspace(LOWEST, 1.0, LEVELS, dtype=np.float32)[None, :]
DEPTH = ((np.arange(DEPTHS, dtype=np.float32) + 0.5) / DEPTHS)[:, None, None]

#: Layers of trabeculae that fill the outermost pool, and their height, mm.
LAYERS, LAYER = 3, 1.5
RV_WALL_MM = 3.0


@dataclass(frozen=True)
class Field:
    """A smooth random function of space with variance 1: a sum of plane waves."""

    waves: Array
    phases: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, length: float | tuple[float, float, float],
             count: int = 14) -> Field:
        """`length` : over which it changes, mm, everywhere or per axis."""
        waves = rng.standard_normal((count, 3)) / np.asarray(length)
        return cls(waves.astype(np.float32),
                   rng.uniform(0, 2 * np.pi, count).astype(np.float32))

    def __call__(self, points: Array) -> Array:
        """(..., 3) mm to (...)."""
        angle = points @ self.waves.T + self.phases
        return np.asarray(np.cos(angle, out=angle).sum(-1) * np.sqrt(2.0 / len(self.phases)),
                          np.float32)


@dataclass(frozen=True)
class Pose:
    """How the heart lay in one sequence against the truth.

    Attributes
    ----------
    shifts : (slices, 3) of each slice, mm.
    turn : around the long axis, radians.
    squeeze : relative change of the endocardium's lambda: another cardiac phase.
    """

    shifts: Array
    turn: float = 0.0
    squeeze: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, slices: int, size: float) -> Pose:
        """At `size` 1: 0.9 mm a direction in the plane, of which 0.7 differ by slice, and 1.5 mm
        through it: what breath-holds leave after registration."""
        shifts = rng.standard_normal((slices, 3)) * (0.7, 0.7, 0.7)
        shifts += rng.standard_normal(3) * (0.5, 0.5, 1.3)
        turn, squeeze = np.clip(rng.standard_normal(2), -2, 2) * (np.radians(1.5), 0.012)
        return cls((size * shifts).astype(np.float32), size * float(turn), size * float(squeeze))


@dataclass(frozen=True)
class Heart:
    """Tables over (angles, levels), unless said otherwise.

    Attributes
    ----------
    focus : half the distance of the spheroids' foci.
    outer, inner : lambda of epicardium and endocardium.
    wall : (depths, angles, levels) what the wall is made of.
    mesh : (layers, angles, levels) where a layer of the pool's rim is trabecula.
    slow : how far from the wall the blood hardly moves.
    rv, fat : thickness of the right ventricle's pool, and of the fat over all.
    septum, spread : angle of the septum's middle, and from there to the insertions of the RV.
    muscles : (heads, 2, 4) ends of the papillary muscles, and the radius there.
    bend : sideways shift of the long axis' ends.
    """

    focus: float
    outer: Array
    inner: Array
    wall: Codes
    mesh: npt.NDArray[np.bool_]
    slow: Array
    rv: Array
    fat: Array
    septum: float
    spread: float
    muscles: Array
    bend: tuple[float, float]

    def reach(self) -> tuple[float, float, float, float]:
        """mm from the axis to the image's left, right, top and bottom that hold the heart."""
        radius = float(self.focus * np.sinh(self.outer.max()))
        return radius + float(self.rv.max()) + 16, radius + 12, radius + 15, radius + 15

    def ends(self) -> tuple[float, float]:
        """z of the apex and of the valve's plane."""
        length = float(self.focus * np.cosh(float(self.outer.mean())))
        return length, -0.40 * length

    def span(self) -> tuple[float, float]:
        """z from 8 mm below the valve's plane to where the pool is 6 mm in radius."""
        inner = float(self.inner.mean())
        low = self.ends()[1] + 8.0
        narrow = 6.0 / (self.focus * np.sinh(inner))
        return float(low), float(self.focus * np.cosh(inner) * np.sqrt(1 - narrow ** 2))

    def place(self, angle: float, z: float) -> npt.NDArray[np.float64]:
        """(3,) the epicardium's point at an angle and a z."""
        column, tau = int(angle % (2 * np.pi) * ANGLES / (2 * np.pi)), 0.0
        for _ in range(5):
            edge = self.outer[column, _level(tau)]
            tau = float(np.clip(z / (self.focus * np.cosh(edge)), LOWEST, 1.0))
        radius = self.focus * np.sinh(edge) * np.sqrt(1 - tau ** 2)
        bend = (z / 60.0) ** 2
        return np.array([radius * np.cos(angle) + self.bend[0] * bend,
                         radius * np.sin(angle) + self.bend[1] * bend, z])

    def insertions(self, z: float) -> npt.NDArray[np.float64]:
        """(2, 3) anterior and inferior insertion of the right ventricle; NaN beyond its end."""
        angles = (self.septum + self.spread, self.septum - self.spread)
        points = np.array([self.place(angle, z) for angle in angles])
        widest = self.rv[int(self.septum * ANGLES / (2 * np.pi))]
        tau = z / (self.focus * np.cosh(float(self.outer.mean())))
        return points if widest[_level(tau)] > 4.0 else np.full((2, 3), np.nan)

    def paint(self, x: Array, y: Array, z: Array, squeeze: float = 0.0) -> Codes:
        """Codes of `Matter` at points of one shape; `ELSEWHERE` beyond fat and ventricles."""
        bend = np.square(z * np.float32(1 / 60))
        x, y = x - np.float32(self.bend[0]) * bend, y - np.float32(self.bend[1]) * bend
        focus = np.float32(self.focus)
        around = x * x + y * y
        far, near = np.sqrt(around + (z + focus) ** 2), np.sqrt(around + (z - focus) ** 2)
        cosh = np.maximum((far + near) / (2 * focus), np.float32(1.0))
        tau = (far - near) / (2 * focus)
        turn = np.arctan2(y, x)
        column = (turn * np.float32(ANGLES / (2 * np.pi)) + ANGLES).astype(np.int32) % ANGLES
        cell = column * LEVELS + _level(tau)
        radial = np.arccosh(cosh)
        step = focus * np.sqrt(np.maximum(cosh * cosh - tau * tau, np.float32(1e-4)))
        outer = self.outer.ravel()[cell]
        inner = self.inner.ravel()[cell] * np.float32(1 + squeeze)

        gap = (radial - outer) * step
        rv = self.rv.ravel()[cell]
        codes = np.full(x.shape, ELSEWHERE, np.uint8)
        free = rv + np.where(rv > 0.5, np.float32(RV_WALL_MM), np.float32(0))
        codes[gap < free + self.fat.ravel()[cell]] = Matter.FAT
        codes[gap < free] = Matter.RV_WALL
        codes[gap < rv] = Matter.RV_BLOOD
        self._mesh(codes, np.flatnonzero((gap > 0) & (gap < rv)), cell, rv - gap, Matter.RV_WALL)

        depth = (radial - inner) / (outer - inner)
        wall = np.flatnonzero((depth >= 0) & (depth < 1))
        layer = (depth.ravel()[wall] * DEPTHS).astype(np.int32)
        codes.ravel()[wall] = self.wall.reshape(DEPTHS, -1)[layer, cell.ravel()[wall]]

        pool = np.flatnonzero(depth < 0)
        inward = (inner - radial) * step
        slow = inward.ravel()[pool] < self.slow.ravel()[cell.ravel()[pool]]
        codes.ravel()[pool] = np.where(slow, Matter.SLOW_BLOOD, Matter.BLOOD)
        self._mesh(codes, pool, cell, inward, Matter.PAPILLARY)
        spots = np.stack([axis.ravel()[pool] for axis in (x, y, z)], -1)
        codes.ravel()[pool[self._in_muscle(spots)]] = Matter.PAPILLARY
        return codes

    def _mesh(self, codes: Codes, where: npt.NDArray[np.intp], cell: npt.NDArray[np.int32],
              inward: Array, matter: Matter) -> None:
        """Trabeculae in the rim of a pool, `inward` mm from its wall."""
        layer = (inward.ravel()[where] / LAYER).astype(np.int32)
        rim = layer < LAYERS
        held = self.mesh.reshape(LAYERS, -1)[layer[rim], cell.ravel()[where[rim]]]
        codes.ravel()[where[rim][held]] = matter

    def _in_muscle(self, points: Array) -> npt.NDArray[np.bool_]:
        inside = np.zeros(len(points), bool)
        for (start, end) in self.muscles:
            axis = (end - start)[:3]
            along = np.clip((points - start[:3]) @ axis / (axis @ axis), 0, 1)
            off = points - start[:3] - along[:, None] * axis
            inside |= (off * off).sum(-1) < (start[3] + along * (end[3] - start[3])) ** 2
        return inside


def _level(tau: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Row of the tables."""
    level = (np.asarray(tau, np.float32) - LOWEST) * np.float32((LEVELS - 1) / (1 - LOWEST)) + 0.5
    return np.clip(level, 0, LEVELS - 1).astype(np.int32)


def spots(focus: float, radial: Array) -> Array:
    """(..., angles, levels, 3) points in space of lambda over theta and tau."""
    across = focus * np.sinh(radial) * np.sqrt(1 - TAU * TAU)
    return np.stack(np.broadcast_arrays(across * np.cos(THETA), across * np.sin(THETA),
                                        focus * np.cosh(radial) * TAU), -1).astype(np.float32)


#: Marks an atlas of the wall, all muscle, from its (depths, angles, levels, 3) points and the
#: (angles, levels, 3) points in mid wall; gives the relative change of the wall's thickness,
#: (angles, levels).
Disease = Callable[[np.random.Generator, Codes, Array, Array], Array]


def draw_heart(body: np.random.Generator, lesion: np.random.Generator,
               disease: Disease | None) -> Heart:
    """Adults' sizes in diastole: 55 to 74 mm outside, walls of 7 to 11 mm, 65 to 100 mm long.

    The disease has numbers of its own, so that a seed's heart is the same without it.
    """
    short = body.uniform(27.5, 37.0)
    long = short * body.uniform(1.65, 1.95)
    focus = float(np.sqrt(long ** 2 - short ** 2))
    mean = float(np.arcsinh(short / focus))
    plain = spots(focus, np.full((ANGLES, LEVELS), mean, np.float32))
    uneven, rough = Field.draw(body, 28.0), Field.draw(body, 9.0)
    outer = mean * (1 + 0.02 * np.cos(2 * (THETA - body.uniform(0, np.pi)))
                    + 0.018 * uneven(plain)).astype(np.float32)
    septum = np.pi + body.normal(0, 0.12)
    thickness = body.uniform(7.0, 11.0) * (1 + body.uniform(-0.05, 0.2) * np.cos(THETA - septum)
                                           + 0.08 * Field.draw(body, 22.0)(plain)
                                           + 0.035 * rough(plain))
    apart = np.asarray(thickness / (focus * np.cosh(mean)), np.float32)

    wall = np.full((DEPTHS, ANGLES, LEVELS), Matter.MUSCLE, np.uint8)
    if disease is not None:
        apart = apart * (1 + disease(lesion, wall, spots(focus, outer - (1 - DEPTH) * apart),
                                     spots(focus, outer - apart / 2)))
    inner = np.maximum(outer - apart, 0.12).astype(np.float32)

    spread = body.uniform(1.05, 1.35)
    away = np.abs((THETA - septum + np.pi) % (2 * np.pi) - np.pi)
    end = body.uniform(0.72, 0.92)
    across = np.clip(np.cos(np.pi / 2 * np.minimum(away / spread, 1)), 0, None)
    rv = (body.uniform(18, 32) * across ** 0.9
          * np.sqrt(np.clip(1 - (np.maximum(TAU, 0) / end) ** 2, 0, None)))
    groove = np.exp(-((away - spread) / 0.25) ** 2)
    fat = np.clip(body.uniform(0.5, 3) + 5 * groove + 1.5 * uneven(plain), 0, None)
    return Heart(focus, outer, inner, wall, _trabeculae(body, focus, inner),
                 np.clip(0.6 + 0.9 * rough(plain) + 2.2 * TAU, 0, None).astype(np.float32),
                 rv.astype(np.float32), fat.astype(np.float32), float(septum), float(spread),
                 _papillaries(body, focus, inner),
                 (float(body.normal(0, 2.5)), float(body.normal(0, 2.5))))


def _trabeculae(rng: np.random.Generator, focus: float, inner: Array) -> npt.NDArray[np.bool_]:
    """A mesh of ridges along the long axis, denser at the apex and thinning inwards."""
    ridges = Field.draw(rng, (1.6, 1.6, 7.0), 40)
    sparse = rng.uniform(0.3, 1.0)
    layers = []
    for i in range(LAYERS):
        middle = inner - np.float32((i + 0.5) * LAYER) / (np.float32(focus) * np.cosh(inner))
        # the septum is smooth
        limit = 0.5 * i + sparse - 0.6 * np.maximum(TAU, 0) - 0.3 * np.cos(THETA)
        layers.append(ridges(spots(focus, middle)) > limit)
    return np.stack(layers)


def _papillaries(rng: np.random.Generator, focus: float, inner: Array) -> Array:
    """Two muscles of two heads, from the apical third of the wall towards the valve."""
    heads = []
    for middle in (-0.85, 1.45):
        angle = middle + rng.normal(0, 0.2)
        for _ in range(2):
            turn, ends = angle + rng.normal(0, 0.22), []
            for tau, share in ((rng.uniform(0.5, 0.7), 1.0),
                               (rng.uniform(-0.15, 0.15), rng.uniform(0.5, 0.72))):
                edge = inner[int(turn % (2 * np.pi) * ANGLES / (2 * np.pi)), _level(tau)]
                radius = share * focus * np.sinh(edge) * np.sqrt(1 - tau ** 2)
                ends.append((radius * np.cos(turn), radius * np.sin(turn),
                             focus * np.cosh(edge) * tau))
            thick = rng.uniform(2.2, 4.2)
            heads.append([(*ends[0], thick * 1.15), (*ends[1], thick * 0.75)])
    return np.asarray(heads, np.float32)
