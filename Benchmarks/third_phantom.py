"""Phantom patients of a third make, for the test side only: nothing was ever tuned on them.

Nothing of the other two phantoms is used here. Ventricles are superquadrics with lattice noise on
their surfaces; an infarct lies in the bed that some of the heart's end arteries feed, the part of
the wall that is nearest to them; images come from `third_phantom_scanner.py`, at 3 T, by pulses
played one after the other and coils that each see the heart and their own noise.

Lengths are mm: x to the lateral wall, y to the inferior wall, z to the apex, 0 at the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from third_phantom_scanner import Array, Matter, Scanner
from whole_stacks import Beyond, kept

from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role, Tissue

SETS = ("typical", "atypical", "healthy")
#: The atypical hearts, in the order in which seeds run through them.
PATTERNS = ("two beds", "band in mid wall", "rim under the epicardium", "shell around the pool",
            "edema alone", "scar alone", "one small bed")
KINDS = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}
SLICES, FIELD = 5, 104.0
#: Samples a pixel along rows and columns, and through a slice.
FINE, PLANES = 2, 3
_THROUGH = ((np.arange(PLANES) + 0.5) / PLANES - 0.5) * 7.0
#: End arteries that share the wall among them.
ARTERIES = 18

_TRUTH = {Tissue.BLOOD: (Matter.BLOOD, Matter.PAPILLARY), Tissue.MYOCARDIUM: (Matter.MUSCLE,),
          Tissue.EDEMA: (Matter.EDEMA,),
          Tissue.SCAR: (Matter.INFARCT, Matter.OLD_SCAR, Matter.OBSTRUCTED)}


@dataclass
class ThirdPatient:
    """A patient whose tissues are known; `truth` (slices, rows, columns) 0 to 4, apex first."""

    study: Study
    truth: npt.NDArray[np.uint8]
    seed: int
    patient_set: str
    pattern: str


@dataclass(frozen=True)
class Solid:
    """A superquadric: |x/a|^p + |y/b|^p, and the long axis by a power of its own.

    Attributes
    ----------
    axes : half of its size along x, y and z; towards the base twice as much.
    round_, blunt : powers in the plane and along z.
    """

    centre: Array
    axes: Array
    round_: float = 2.0
    blunt: float = 2.0

    def outside(self, x: Array, y: Array, z: Array) -> Array:
        """mm along the ray from its centre to beyond its surface, negative inside."""
        x, y, z = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        a, b, c = self.axes
        flat = (np.abs(x / a) ** self.round_ + np.abs(y / b) ** self.round_) ** (
            self.blunt / self.round_)
        gauge = (flat + np.abs(z / np.where(z > 0, c, 2 * c)) ** self.blunt) ** (1 / self.blunt)
        return np.asarray((1 - 1 / np.maximum(gauge, 0.05)) * np.sqrt(x * x + y * y + z * z))


class Lattice:
    """Smooth noise of about unit variance: numbers on a lattice with so many mm between them."""

    def __init__(self, rng: np.random.Generator, spacing: float | tuple[float, float, float]):
        self.spacing = np.broadcast_to(np.asarray(spacing, np.float64), 3)
        self.values = 1.6 * rng.standard_normal(
            np.ceil(300 / self.spacing).astype(int) + 2).astype(np.float32)

    def __call__(self, *points: Array) -> Array:
        from scipy.ndimage import map_coordinates

        at = [(p + 150) / s for p, s in zip(np.broadcast_arrays(*points), self.spacing,
                                            strict=True)]
        return np.asarray(map_coordinates(self.values, at, order=1, mode="nearest"))


class Heart:
    """One patient's heart with its disease; `matter` tells what lies where."""

    def __init__(self, body: np.random.Generator, lesion: np.random.Generator, pattern: str):
        a, b = body.uniform(27, 35) * np.array([1, body.uniform(0.9, 1.1)])
        self.length = body.uniform(52, 68)
        self.wall = body.uniform(7.0, 11.0)
        thin = np.array([self.wall, self.wall * body.uniform(0.9, 1.15), 0.8 * self.wall])
        outer, powers = np.array([a, b, self.length]), body.uniform(1.8, 2.5, 4)
        self.outer = Solid(np.zeros(3), outer, powers[0], powers[1])
        self.inner = Solid(np.append(body.normal(0, 0.7, 2), 0.0), outer - thin,
                           powers[2], powers[3])
        self.right = Solid(np.array([-1.05 * a, 0.15 * b, -8.0]),
                           np.array([0.95 * a, 1.05 * b, 0.9 * self.length]))
        self.uneven = Lattice(body, 17.0), Lattice(body, 9.0)
        self.ridges, self.smooth = Lattice(body, (3.0, 3.0, 12.0)), body.uniform(0.8, 2.6)
        self.muscles = [(body.normal(at, 0.2), body.uniform(0.62, 0.8), body.uniform(2.2, 4.5))
                        for at in (-0.7, 1.5)]
        self.fat = body.uniform(1.0, 5.0)
        self.floor = body.uniform(40, 50)
        self.pattern, self.rough = pattern, (Lattice(lesion, 7.0), Lattice(lesion, 5.0))
        turn = np.arange(ARTERIES) * 2.4 + lesion.uniform(0, 2 * np.pi)
        high = np.linspace(-0.5, 0.92, ARTERIES) * self.length
        wide = np.sqrt(np.clip(1 - (np.maximum(high, 0) / self.length) ** 2, 0.05, 1))
        self.ends = np.stack([a * wide * np.cos(turn), b * wide * np.sin(turn), high], 1)
        # the middle of the disease, at the height of the slices
        middle, angle = lesion.uniform(-0.05, 0.45) * self.length, lesion.uniform(0, 2 * np.pi)
        self.sites = [np.array([a * np.cos(angle + t), b * np.sin(angle + t), middle + rise])
                      for t, rise in ((0.0, 0.0), (np.pi + lesion.normal(0, 0.3),
                                                   lesion.uniform(-10, 10)))]
        self.fed = int(lesion.integers(5, 9))
        self.reach, self.depth = lesion.uniform(2.0, 6.0), lesion.uniform(0.55, 1.05)
        self.core = lesion.uniform(4.0, 8.0) if lesion.random() < 0.3 else np.inf
        self.band = lesion.uniform(0.3, 0.42)

    def matter(self, x: Array, y: Array, z: Array) -> npt.NDArray[np.uint8]:
        """Codes of `Matter` at points of one shape."""
        broad, small = (noise(x, y, z) for noise in self.uneven)
        out = self.outer.outside(x, y, z) + 0.7 * broad
        inn = self.inner.outside(x, y, z) + 0.7 * broad + 0.5 * small
        right = self.right.outside(x, y, z)
        codes = np.where(y > self.floor + 2 * broad, Matter.LIVER, Matter.LUNG).astype(np.uint8)
        for where, what in ((out < self.fat, Matter.FAT), (right < self.fat, Matter.FAT),
                            (right < 3.0, Matter.RV_WALL), (right < 0, Matter.RV_BLOOD),
                            (out < 0, Matter.MUSCLE)):
            codes[where] = what
        inside, wall = inn < 0, (out < 0) & (inn >= 0)
        codes[inside] = Matter.BLOOD
        rim = inside & (inn > -4.0) & (x > -12)
        rim[rim] = self.ridges(x[rim], y[rim], z[rim]) > self.smooth - 0.25 * inn[rim]
        codes[rim] = Matter.PAPILLARY
        low = np.clip(1 - np.maximum(z, 0) / self.inner.axes[2], 0.05, 1)
        for turn, share, thick in self.muscles:
            off = np.hypot(x - share * self.inner.axes[0] * low * np.cos(turn),
                           y - share * self.inner.axes[1] * low * np.sin(turn))
            codes[inside & (off < thick) & (np.abs(z - 12) < 22)] = Matter.PAPILLARY
        if self.pattern != "healthy":
            depth = inn[wall] / np.maximum(inn[wall] - out[wall], 1e-3)
            codes[wall] = self._diseased(np.stack([x[wall], y[wall], z[wall]], 1), depth)
        return codes

    def _diseased(self, points: Array, depth: Array) -> npt.NDArray[np.uint8]:
        """The wall's codes, from (n, 3) points and how deep they lie, 0 at the pool to 1."""
        border, fine = (noise(*points.T) for noise in self.rough)
        codes = np.full(len(depth), Matter.MUSCLE, np.uint8)
        band = self.band + 0.05 * fine

        def bed(site: Array, fed: int) -> Array:
            """mm into the bed of so many end arteries around a site."""
            order = np.argsort(np.linalg.norm(self.ends - site, axis=1))
            away = np.linalg.norm(points[:, None] - self.ends[None, order], axis=2)
            return (away[:, fed:].min(1) - away[:, :fed].min(1)) / 2 + 1.5 * border

        def infarct(margin: Array, scar: Matter = Matter.INFARCT) -> None:
            if scar is Matter.INFARCT:
                codes[margin > 0] = Matter.EDEMA
            dead = depth < self.depth * np.clip((margin - self.reach) / 5.0, 0, 1) + 0.06 * fine
            codes[dead & (margin > self.reach)] = scar
            codes[dead & (margin > self.reach + self.core) & (depth > 0.15)
                  & (depth < 0.5)] = Matter.OBSTRUCTED
        first, second = self.sites
        if self.pattern == "one bed":
            infarct(bed(first, self.fed))
        elif self.pattern == "two beds":
            infarct(bed(first, 4))
            infarct(bed(second, 3))
        elif self.pattern == "one small bed":
            infarct(bed(first, 2) + 1.0)
        elif self.pattern == "scar alone":
            infarct(bed(first, self.fed), Matter.OLD_SCAR)
        elif self.pattern == "edema alone":
            codes[bed(first, self.fed) > 0] = Matter.EDEMA
        elif self.pattern == "shell around the pool":
            codes[depth < band + 0.25] = Matter.EDEMA
            codes[depth < band] = Matter.INFARCT
        elif self.pattern == "band in mid wall":
            margin = np.maximum(bed(first, 5), bed(second, 3))
            codes[(margin > 0) & (np.abs(depth - 0.5) < band)] = Matter.EDEMA
            codes[(margin > 2.5) & (np.abs(depth - 0.5) < 0.6 * band)] = Matter.INFARCT
        else:
            margin = np.maximum(bed(first, 5), bed(second, 3))
            codes[(margin > 0) & (depth > 0.75 - band)] = Matter.EDEMA
            codes[(margin > 2.5) & (depth > 0.9 - band)] = Matter.INFARCT
        return codes


def make_third_patient(seed: int, *, patient_set: str = "typical",
                       slices: int = SLICES, beyond: Beyond | None = None) -> ThirdPatient:
    """Draw one patient; the same arguments give the same bytes. `beyond` lets the stack go on
    beyond apex and valve.

    Raises
    ------
    ValueError : a set that there is not.
    """
    if patient_set not in SETS:
        raise ValueError(f"no set {patient_set!r}: give one of {', '.join(SETS)}")
    number = SETS.index(patient_set)
    pattern = ("one bed", PATTERNS[seed % len(PATTERNS)], "healthy")[number]
    body, lesion, place, *scans = (np.random.default_rng([0x3A3, seed, number, part])
                                   for part in range(3 + len(Role)))
    heart = Heart(body, lesion, pattern)
    pixel = round(float(place.uniform(1.15, 1.6)), 3)
    count = 2 * int(FIELD / pixel / 2)
    top, bottom = -0.35 * heart.length, 0.72 * heart.length
    gap = round(float(min(place.uniform(7.0, 13.0), 0.95 * (bottom - top) / slices)), 2)
    middle = bottom - place.uniform(0, bottom - top - gap * slices) - gap * (slices - 1) / 2 - 3
    depths = middle + ((slices - 1) / 2 - np.arange(slices)) * gap
    turn = place.normal(0, 0.3)
    valve = top - 8.0
    if beyond is not None:
        depths = beyond.depths(heart.length, valve, gap)
        slices = len(depths)

    def codes_off(off: Array) -> npt.NDArray[np.uint8]:
        codes = _codes(heart, count, pixel, depths, turn, off)
        if beyond is None:
            return codes
        line = ((np.arange(codes.shape[-1]) + 0.5) / FINE - count / 2) * pixel
        return beyond.with_atrium(
            codes.reshape(-1, *codes.shape[2:]), (depths[:, None] + _THROUGH).ravel(), line, line,
            valve=valve, ventricle=[m for ms in _TRUTH.values() for m in ms],
            wall=Matter.RV_WALL, blood=Matter.RV_BLOOD).reshape(codes.shape)
    still = np.zeros((slices, 3))
    truth = _truth(codes_off(still))
    if beyond is not None:
        truth = kept(truth, _truth(_codes(heart, count, pixel, depths, turn, still)), Tissue.BLOOD)
    scanner = Scanner(place, count, pixel)
    sequences = {}
    for (role, kind), rng in zip(KINDS.items(), scans, strict=True):
        # breath-holds: all slices together, and each by itself
        off = rng.normal(0, (0.35, 0.35, 0.8), 3) + rng.normal(0, 0.35, (slices, 3))
        seen = codes_off(off * (0.3 if role is Role.LGE else 1))
        sequences[role] = Sequence(role, scanner.image(rng, kind, seen), kind)
    study = Study(sequences, truth > 0, Geometry((pixel, pixel, gap)))
    return ThirdPatient(study, truth, seed, patient_set, pattern)


def _codes(heart: Heart, count: int, pixel: float, depths: Array, turn: float,
           off: Array) -> npt.NDArray[np.uint8]:
    """(slices, planes, fine rows, fine columns); each slice lies `off` by (x, y, z) mm."""
    line = (((np.arange(count * FINE) + 0.5) / FINE - count / 2) * pixel).astype(np.float32)
    v, u = line[:, None], line[None, :]
    x, y = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    return np.stack([[heart.matter(*np.broadcast_arrays(x - dx, y - dy, z + t - dz))
                      for t in _THROUGH] for z, (dx, dy, dz) in zip(depths, off, strict=True)])


def _truth(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A pixel that is half the left ventricle is pool or wall, then what most of the wall is."""
    def share(matters: tuple[Matter, ...]) -> Array:
        held = np.isin(codes, matters).mean(1)
        rows, columns = (n // FINE for n in held.shape[1:])
        return np.asarray(held.reshape(-1, rows, FINE, columns, FINE).mean((2, 4)))
    pool, *wall = (share(matters) for matters in _TRUTH.values())
    labels = np.array(list(_TRUTH)[1:], np.uint8)[np.argmax(wall, 0)]
    labels[pool >= np.sum(wall, 0)] = Tissue.BLOOD
    labels[pool + np.sum(wall, 0) < 0.5] = Tissue.BACKGROUND
    return labels
