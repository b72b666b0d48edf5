"""A brain from geometry: how much of every voxel is CSF, grey and white matter.

Lengths are millimetres in LPS (left, back, up) from the middle of the cerebrum. Every surface is
an approximate signed distance, and a voxel that a surface crosses holds of both sides as much as
the distance says: partial volume without sampling.

Cerebrum, cerebellum and brain stem are hulls. From the cerebrum's go in: sulci, along the lines
where a random wave on its surface is zero, as winding as the real ones; the fissure between the
hemispheres; the Sylvian fissures. Grey matter is what lies within a cortex's thickness of all
that. Ventricles, caudate nuclei, putamina and thalami lie in the white matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

#: Half axes of the cerebrum, mm.
CEREBRUM = np.array([67.0, 84.0, 60.0])

#: Of the folds: waves that make them, their length in mm, and points worked on at once.
_WAVES, _FOLD, _BLOCK = 24, 19.0, 8192

#: Thickness of the CSF around the brain, mm, and the angle between folia.
_RIM, _FOLIUM = 0.2, 0.16

# Tubes on the left: points of their middle lines and their radii there.
_VENTRICLE = np.array([(7, -34, 4, 3.8), (7, -22, 10, 4.8), (9, 0, 16, 4.7), (15, 18, 16, 4.8),
                       (22, 32, 9, 5.2), (29, 22, -4, 3.6), (31, 2, -17, 2.8)], np.float32)
_OCCIPITAL_HORN = np.array([(22, 32, 9, 4.4), (22, 52, 4, 2.3)], np.float32)
_CAUDATE = np.array([(14, -28, 6, 5.5), (17, -10, 12, 5.0), (21, 10, 17, 3.5)], np.float32)
_STEM = np.array([(0, 10, -10, 9.5), (0, 14, -30, 12), (0, 24, -64, 7)], np.float32)
_PEDUNCLE = np.array([(0, 22, -38, 6), (24, 40, -40, 5)], np.float32)


@dataclass(frozen=True)
class Brain:
    """One person's brain.

    Attributes
    ----------
    scale : (3,) of the whole, along left, back and up.
    cortex : its thickness, mm.
    sulci : half of their width, mm; atrophy widens them.
    ventricles : their width as a share of usual.
    folds : seed of this brain's own folds.
    bend, phases : (waves, 3) amplitudes in mm and phases of a smooth bending.
    """

    scale: Points = field(default_factory=lambda: np.ones(3))
    cortex: float = 3.5
    sulci: float = 0.2
    ventricles: float = 1.0
    folds: int = 0
    bend: Points = field(default_factory=lambda: np.zeros((4, 3)))
    phases: Points = field(default_factory=lambda: np.zeros((4, 3)))

    @classmethod
    def draw(cls, rng: np.random.Generator, variety: float = 1.0) -> Brain:
        """Another person's; `variety` scales how far from the usual brain, 0 is the usual one."""
        return cls(scale=1 + variety * np.clip(rng.normal(0, [0.03, 0.03, 0.03]), -0.08, 0.08),
                   cortex=3.5 + variety * float(np.clip(rng.normal(0, 0.15), -0.4, 0.4)),
                   sulci=0.2 * float(np.exp(variety * np.clip(rng.normal(0, 0.25), -0.6, 0.6))),
                   ventricles=float(np.exp(variety * np.clip(rng.normal(0, 0.2), -0.5, 0.5))),
                   folds=int(rng.integers(1, 2 ** 31)),
                   bend=variety * rng.normal(0, 1.4, (4, 3)),
                   phases=rng.uniform(0, 2 * np.pi, (4, 3)))


@dataclass(frozen=True)
class Composition:
    """What the voxels of a grid hold.

    Attributes
    ----------
    shares : (3, slices, rows, columns) CSF, grey, white; they sum to one inside the mask.
    mask : (slices, rows, columns) the brain with the CSF in it and a thin rim around it.
    ventricles : where CSF is the ventricles'.
    nuclei : share of white matter's signal in deep grey matter; 0 elsewhere.
    """

    shares: Array
    mask: npt.NDArray[np.bool_]
    ventricles: npt.NDArray[np.bool_]
    nuclei: Array

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """What most of each voxel is."""
        return np.where(self.mask, self.shares.argmax(0) + 1, 0).astype(np.uint8)


def compose(brain: Brain, points: tuple[Array, Array, Array], edge: float) -> Composition:
    """What lies at the voxels of a grid.

    Parameters
    ----------
    points : left, back and up of every voxel's middle, mm; they broadcast to the grid.
    edge : over how many mm a surface is blurred: a voxel's edge.
    """
    usual = _usual(brain, points)
    hull, little, brain_stem = _hulls(*usual)
    mask = np.maximum(np.maximum(hull, little), brain_stem + 0.8) > 0
    x, y, z = (p[mask] for p in usual)
    hull, little, brain_stem = hull[mask], little[mask], brain_stem[mask]
    sulcus = _sulci(brain, hull, x, y, z)
    folia = _folia(little, x, y, z)
    ventricle = _ventricles(brain.ventricles, x, y, z)

    def inside(distance: Array) -> Array:
        return np.clip(0.5 + distance / np.float32(edge), 0, 1)

    # distances to the nearest CSF around the brain's tissue
    cortex = np.minimum(hull - _RIM, sulcus)
    folded = np.minimum(little - _RIM, folia)
    stem = np.minimum(brain_stem, -ventricle)
    tissue = inside(np.maximum(np.maximum(cortex, folded), stem))
    white = inside(np.maximum(np.maximum(cortex - np.float32(brain.cortex), folded - 2), stem))
    deep, whitish = _nuclei(x, y, z)
    within = inside(deep) * (hull > 4)
    hollow = inside(ventricle)
    csf = np.maximum(1 - tissue, hollow)
    white = np.minimum(white * (1 - within), 1 - csf)
    shares = np.zeros((3, *mask.shape), np.float32)
    shares[:, mask] = csf, 1 - csf - white, white
    ventricles, nuclei = np.zeros(mask.shape, bool), np.zeros(mask.shape, np.float32)
    ventricles[mask] = (hollow > 0) & (hollow >= 1 - tissue)
    nuclei[mask] = whitish * within
    return Composition(shares, mask, ventricles, nuclei)


def _usual(brain: Brain, points: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Where in the usual brain the points of this one are."""
    scaled = [p / np.float32(s) for p, s in zip(points, brain.scale)]
    bent = list(scaled)
    for axis in range(3):
        for wave, (size, phase) in enumerate(zip(brain.bend[:, axis], brain.phases[:, axis])):
            along = scaled[(axis + wave) % 3] * np.float32(2 * np.pi / (90 + 20 * wave))
            bent[axis] = bent[axis] + np.float32(size) * np.sin(along + np.float32(phase))
    x, y, z = np.broadcast_arrays(*bent)
    return x, y, z


def _hulls(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Depth below the surfaces of cerebrum, cerebellum and brain stem, mm."""
    base = -37 + 17 / (1 + np.exp((16 - y) / 5)) + 15 / (1 + np.exp((y + 40) / 5))
    cerebrum = np.minimum(_ellipsoid(x, y, z, *CEREBRUM.tolist()), z - base)
    little = np.minimum(_ellipsoid(x, y - 44, z + 41, 47, 27, 21),
                        -22 + 4 * np.exp(-(x / 25) ** 2) - z)
    return cerebrum, little, np.maximum(_tube(_STEM, x, y, z), _tube(_PEDUNCLE, np.abs(x), y, z))


def _sulci(brain: Brain, hull: Array, x: Array, y: Array, z: Array) -> Array:
    """Distance of the cerebrum's points from the nearest sulcus or fissure, mm."""
    place = np.stack([x, y, z]) / CEREBRUM[:, None].astype(np.float32)
    radius = np.sqrt((place ** 2).sum(0)) + np.float32(1e-6)
    sulcus = np.full(hull.shape, 99, np.float32)
    near = (hull > -4) & (hull < 30)
    aside, bottom = _folding(brain, place[:, near] / radius[near])
    sulcus[near] = np.hypot(aside * (0.35 + 0.65 * radius[near]),
                            np.maximum(hull[near] - bottom, 0)) - np.float32(brain.sulci)
    # between the hemispheres, down to the corpus callosum
    above = 30 * np.maximum(1 - np.sqrt((y / 44) ** 2 + ((z + 8) / 32) ** 2), 0)
    middle = x - 1.5 * np.sin(y / 25)
    sulcus = np.minimum(sulcus, np.hypot(middle, above) - np.float32(1.5 * brain.sulci))
    # Sylvian: beside the insula
    ahead = np.maximum(np.abs(y + 8) - 27, 0)
    across = z + 8 - 0.25 * (y + 8) + 2 * np.sin(x / 7)
    inwards = np.maximum(37 + 0.2 * np.abs(y + 8) - np.abs(x), 0)
    return np.minimum(sulcus, np.sqrt(across ** 2 + ahead ** 2 + inwards ** 2)
                      - np.float32(2 * brain.sulci))


def _folding(brain: Brain, directions: Array) -> tuple[Array, Array]:
    """Distance along the cerebrum's surface to the nearest fold, and how deep folds go, mm.

    Folds are the zero lines of random waves of one length; of their variance all brains share
    two fifths.

    Parameters
    ----------
    directions : (3, points) from the middle, of length one.
    """
    waves = []
    for seed, share in ((20, 0.63), (brain.folds, 0.77)):
        rng = np.random.default_rng(seed)
        k = rng.normal(size=(_WAVES, 3))
        k *= 2 * np.pi * CEREBRUM.mean() / _FOLD / np.linalg.norm(k, axis=1, keepdims=True)
        waves.append(np.column_stack([k, rng.uniform(0, 2 * np.pi, _WAVES),
                                      np.full(_WAVES, share * np.sqrt(2 / _WAVES))]))
    table = np.concatenate(waves).astype(np.float32)
    usual = np.float32((2 * np.pi * CEREBRUM.mean() / _FOLD) ** 2 / 3)  # mean square slope
    near = np.empty(directions.shape[1], np.float32)
    for first in range(0, len(near), _BLOCK):
        u = directions[:, first:first + _BLOCK]
        angles = table[:, :3] @ u + table[:, 3:4]
        slope = (table[:, :3] * table[:, 4:]).T @ -np.sin(angles)
        square = (slope ** 2).sum(0) - (u * slope).sum(0) ** 2
        total = table[:, 4] @ np.cos(angles)
        near[first:first + _BLOCK] = total / np.sqrt(np.maximum(square, 0) + 0.2 * usual)
    u, v, w = directions
    return (np.abs(near) * np.float32(CEREBRUM.mean()),
            21 + 6 * np.sin(5 * u + 2 * v) * np.cos(4 * w - 3 * v))


def _folia(little: Array, x: Array, y: Array, z: Array) -> Array:
    """Distance of the cerebellum's points from the nearest gap between its folia, mm."""
    away = np.hypot(z + 38, np.abs(y - 20) + 12)
    turn = np.arctan2(z + 38, np.abs(y - 20) + 12) / _FOLIUM + 0.15 * np.sin(x / 9)
    aside = np.abs(turn % 1 - 0.5) * _FOLIUM * away
    return np.hypot(aside, np.maximum(little - 11, 0)) - 0.15


def _ventricles(width: float, x: Array, y: Array, z: Array) -> Array:
    """Depth in the ventricles, mm."""
    side = np.abs(x)
    wide = np.array([1, 1, 1, width], np.float32)
    lateral = np.maximum(_tube(_VENTRICLE * wide, side, y, z),
                         _tube(_OCCIPITAL_HORN * wide, side, y, z))
    third = np.minimum(1.6 * width - side, _ellipsoid(0 * x, y - 2, z + 1, 1, 13, 9))
    fourth = _ellipsoid(x, y - 31, z + 36, 6 * width, 5, 9)
    return np.maximum(np.maximum(np.minimum(lateral, side - 1.2), third), fourth)


def _nuclei(x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Depth in the deep grey matter, mm, and how white its signal is."""
    side = np.abs(x)
    caudate = _tube(_CAUDATE, side, y, z)
    putamen = _ellipsoid(side - 25 - 0.08 * (y + 4), y + 4, z - 1, 6, 17, 11)
    pallidum = _ellipsoid(side - 18.5 - 0.2 * (y + 2), y + 2, z + 1, 4, 9, 7)
    thalamus = _ellipsoid(side - 10.5 - 0.2 * (y - 14), y - 14, z - 4, 8.5, 14, 9.5)
    parts = np.stack([caudate, putamen, pallidum, thalamus])
    white = np.array([0.0, 0.1, 0.55, 0.4], np.float32)[parts.argmax(0)]
    return parts.max(0), white


def _ellipsoid(x: Array, y: Array, z: Array, a: float, b: float, c: float) -> Array:
    """Depth in an ellipsoid about the origin, mm; exact on its surface."""
    radius = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2) + 1e-6
    steep = np.sqrt((x / a ** 2) ** 2 + (y / b ** 2) ** 2 + (z / c ** 2) ** 2) / radius
    return np.asarray((1 - radius) / np.maximum(steep, 1 / (2 * max(a, b, c))))


def _tube(line: Array, x: Array, y: Array, z: Array) -> Array:
    """Depth in a tube about a line of points (x, y, z, radius), mm."""
    deepest = np.full(x.shape, -np.inf, np.float32)
    for start, end in zip(line[:-1], line[1:]):
        along = end[:3] - start[:3]
        share = sum((p - s) * a for p, s, a in zip((x, y, z), start, along)) / (along @ along)
        share = np.clip(share, 0, 1)
        away = np.sqrt(sum((p - s - share * a) ** 2
                           for p, s, a in zip((x, y, z), start, along)))
        deepest = np.maximum(deepest, start[3] + share * (end[3] - start[3]) - away)
    return deepest
