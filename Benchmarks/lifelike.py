"""Phantom patients whose LGE is what real LGE was measured to be, to train networks on.

Hearts and lesions are those of `wide_hearts.py`; bSSFP and T2 those of `wide_scans.py`. LGE is
drawn after figures measured on real patients (`calibrate_lge.py` prints them beside this
phantom's), in units of blood less healthy wall: levels that drift from apex to base, shading
around the slice, bright rims, scar as bright as blood, smooth noise, fat and right ventricle
outside, and contours that lie half a pixel to two beside the borders, as people draw them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from wide_hearts import Lesion, bounds_of, draw_heart, draw_lesions, one_of, thinning_of
from wide_phantoms import KINDS, WidePatient, drawn_labels
from wide_scans import scanned

from deepgmm.phantom.anatomy import (
    ANGLES,
    FloatArray,
    Grid,
    Heart,
    Pose,
    Waves,
    paint_heart,
    paint_right_ventricle,
)
from deepgmm.phantom.anatomy import Material as M
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role

#: Seeds of training patients begin here.
FIRST_SEED = 30_000
FACTOR = 3
PIXEL = (1.15, 1.8)
#: Rows and columns of an image, mm.
FIELD = 116.0


#: Share of patients without a lesion, and of training patients of whom there is LGE alone.
HEALTHY, ALONE = 0.4, 0.6
#: Share of diseased patients who have scars of any disease and not of one artery.
OTHER = 0.25


def training_patient(seed: int) -> WidePatient:
    """One of those that networks learn from: of more than half of them there is LGE alone."""
    alone = np.random.default_rng([seed, 81]).random() < ALONE
    return lifelike_patient(seed, (Role.LGE,) if alone else tuple(Role))


def lifelike_patient(seed: int, roles: tuple[Role, ...] = tuple(Role), *,
                     bright_blood: bool = False) -> WidePatient:
    """One patient, all drawn from the seed."""
    rng = np.random.default_rng([seed, 79])
    pixel = round(float(np.exp(rng.uniform(*np.log(PIXEL)))), 4)
    side = 2 * int(FIELD / pixel / 2)
    grid = Grid(side, side, pixel, FACTOR)
    heart = draw_heart(rng)
    smaller = rng.uniform(0.78, 1.0) if rng.random() < 0.35 else 1.0
    heart = replace(heart, radius=smaller * heart.radius,
                    thickness=min(heart.thickness, 0.42 * smaller * heart.radius))
    lesions = [] if rng.random() < HEALTHY else lesions_of(rng)
    thinning = rng.uniform(-0.2, 0.45)
    slices = int(rng.integers(4, 11))
    levels, gap = stack(rng, heart, slices)
    contours = drawn(rng, heart, pixel)
    around = Around.draw(rng)

    def painted(pose: Pose, along: npt.ArrayLike = 0.0) -> npt.NDArray[np.uint8]:
        at = np.clip(levels + np.asarray(along) / heart.length, 0.0, 0.985)
        flat = at.ravel()
        return paint_heart(around.painted(heart, at, grid), heart, at, grid,
                           bounds_of(lesions, heart, flat),
                           thinning_of(lesions, heart, flat, thinning), pose)
    kinds = {role: one_of(rng, shares) for role, shares in KINDS.items()}
    if bright_blood or kinds[Role.LGE] is not Kind.LGE_DARK_BLOOD:
        kinds[Role.LGE] = Kind.LGE_PSIR if rng.random() < 0.6 else Kind.LGE_MAGNITUDE
    truth = drawn_labels(painted(contours), grid, rng.uniform(0.35, 0.6))
    old = any(lesion.age == "old" for lesion in lesions)
    sequences = {}
    for role in Role:
        own = np.random.default_rng([seed, 80, list(Role).index(role)])
        if role not in roles:
            continue
        kind = kinds[role]
        if role is Role.LGE:
            materials = painted(Pose())
            values = late_enhancement(own, materials, grid, kind)
        else:
            off = own.normal(0.0, 1.0) + own.normal(0.0, 0.7, (slices, 1))
            materials = painted(Pose.draw(own, own.uniform(0.3, 2.0), pixel), off)
            values = scanned(own, materials, grid, kind, old)
            # coils and motion leave unevenness as wide as a quarter of the wall
            values = values * (1 + own.uniform(0.0, 0.12) * smooth(
                own, values.shape, own.uniform(4.0, 16.0) / pixel))
        sequences[role] = Sequence(role, values, kind)
    study = Study(sequences, truth > 0, Geometry((pixel, pixel, float(gap))))
    return WidePatient(study, truth)


def lesions_of(rng: np.random.Generator) -> list[Lesion]:
    """Mostly of one artery; of some patients the scars of any disease."""
    return infarcts(rng) if rng.random() >= OTHER else draw_lesions(rng)


def infarcts(rng: np.random.Generator) -> list[Lesion]:
    """Of one artery: from the endocardium outwards, 11 to 70 mm wide, thin to transmural, often
    with a dark core."""
    found = []
    age = one_of(rng, {"fresh": 0.7, "old": 0.3})
    for _ in range(int(one_of(rng, {1: 0.75, 2: 0.25}))):
        lesion = Lesion.draw(rng, str(age))
        across = float(np.exp(rng.uniform(np.log(10.0), np.log(65.0))))
        apical = rng.random() < 0.4
        found.append(replace(
            lesion, across=across,
            along=across * float(np.exp(rng.uniform(np.log(0.8), np.log(2.2)))),
            level=rng.uniform(0.6, 1.0) if apical else rng.uniform(0.1, 0.9),
            layer="through" if rng.random() < 0.15 else "inner", depth=rng.uniform(0.4, 1.4),
            soft=rng.uniform(1.0, 7.0),
            core=rng.uniform(1.5, 7.0) if rng.random() < 0.45 else np.inf,
            rough=Waves.draw(rng, 2, 12, rng.uniform(0.05, 0.3), drift=4.0)))
    return found


def stack(rng: np.random.Generator, heart: Heart, slices: int) -> tuple[FloatArray, float]:
    """(slices, FACTOR) levels, apex first, and mm between slices; the tip of the apex and the base
    are in the stack as often as readers leave them there."""
    gap = min(rng.uniform(7.0, 13.0), 0.95 * heart.length / slices)
    thick = min(rng.uniform(5.0, 10.0), gap) / heart.length
    room = 0.97 - gap * (slices - 1) / heart.length - thick
    first = 0.97 - thick / 2 - max(room, 0.0) * rng.beta(1.0, 1.5)
    within = ((np.arange(FACTOR) + 0.5) / FACTOR - 0.5) * thick
    return (first - np.arange(slices) * gap / heart.length)[:, None] - within, gap


def drawn(rng: np.random.Generator, heart: Heart, pixel: float) -> Pose:
    """The contours that a reader draws: beside the borders, waving, the outer one rather outside.

    Endocardial and epicardial waves are relative to their radii.
    """
    def waves(mean: float, size: float, radius: float, high: int) -> Waves:
        wave = Waves.draw(rng, 1, high, size * pixel / radius, drift=6.0)
        return replace(wave, orders=np.r_[0, wave.orders],
                       amplitudes=np.r_[mean * pixel / radius, wave.amplitudes],
                       phases=np.r_[0.0, wave.phases], drifts=np.r_[0.0, wave.drifts])
    inside = heart.radius - heart.thickness
    return Pose(outer=waves(rng.normal(0.25, 0.45), rng.uniform(0.35, 0.9), heart.radius, 8),
                inner=waves(rng.normal(0.0, 0.5), rng.uniform(0.3, 0.9), inside, 8))


@dataclass(frozen=True)
class Around:
    """What surrounds the heart: fat in patches, right ventricle, lung, chest wall and liver.

    Attributes
    ----------
    fat : mm of epicardial fat around the heart, a mean and waves; negative means none.
    lung : angle of the middle of the lung and its half width.
    wall, liver : (angle, mm from the heart's centre) of the chest wall and the liver.
    """

    fat: float
    waves: Waves
    rv_fat: float
    lung: tuple[float, float]
    wall: tuple[float, float]
    liver: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Around:
        return cls(
            rng.uniform(-2.0, 5.0), Waves.draw(rng, 1, 6, rng.uniform(1.0, 4.0), drift=3.0),
            rng.uniform(0.0, 5.0),
            (rng.normal(0.0, 0.5), rng.uniform(0.6, 2.0)),
            (rng.normal(-1.6, 0.4), rng.uniform(40.0, 75.0)),
            (rng.normal(1.7, 0.4), rng.uniform(38.0, 75.0)))

    def painted(self, heart: Heart, levels: FloatArray, grid: Grid,
                plane: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """(slices, fine rows, fine columns) materials around the left ventricle; with a plane of
        (fine rows, fine columns) its fat and right ventricle on that."""
        if plane is None:
            plane = self._plane(heart, grid)
        slices, factor = levels.shape
        y, x = (axis.astype(np.float32) for axis in grid.axes())
        y, x = y[:, None], x[None, :]
        labels = np.broadcast_to(plane, (slices, *plane.shape)).copy()
        flat = levels.ravel()
        centres = heart.centres(flat).reshape(slices, factor, 2)
        outer = heart.outer(flat).reshape(slices, factor, ANGLES)
        thick = np.clip(self.fat + self.waves(flat), 0.0, 12.0).reshape(slices, factor, ANGLES)
        ellipses = heart.rv_ellipses(flat).reshape(slices, factor, 3)
        cos, sin = np.cos(heart.rotation), np.sin(heart.rotation)
        for i in range(slices):
            for k in range(factor):
                part = labels[i, k::factor]
                dy, dx = y[k::factor] - centres[i, k, 0], x - centres[i, k, 1]
                v, u = dy * cos - dx * sin, dx * cos + dy * sin
                paint_right_ventricle(part, u, v, ellipses[i, k], 3.0 + self.rv_fat)
                r = np.hypot(dy, dx)
                turn = ((np.arctan2(dy, dx) - heart.rotation) % (2 * np.pi)
                        * (ANGLES / (2 * np.pi))).astype(np.int64) % ANGLES
                rim = (r < (outer[i, k] + thick[i, k])[turn]) & (part != M.RV_BLOOD)
                part[rim] = M.FAT
        return labels

    def _plane(self, heart: Heart, grid: Grid) -> npt.NDArray[np.uint8]:
        """(fine rows, fine columns) lung, liver and chest wall."""
        y, x = (axis.astype(np.float32) for axis in grid.axes())
        y, x = y[:, None], x[None, :]
        angle = np.arctan2(y, x) - heart.rotation
        plane = np.full((y.size, x.size), M.MUSCLE, np.uint8)
        away = np.abs((angle - self.lung[0] + np.pi) % (2 * np.pi) - np.pi)
        plane[away < self.lung[1]] = M.LUNG
        for (turn, distance), material in ((self.liver, M.LIVER), (self.wall, M.FAT)):
            along = x * np.cos(turn + heart.rotation) + y * np.sin(turn + heart.rotation)
            plane[along > distance] = material
            if material is M.FAT:
                plane[along > distance + 8] = M.MUSCLE
        return plane


def late_enhancement(rng: np.random.Generator, materials: npt.NDArray[np.uint8], grid: Grid,
                     kind: Kind) -> npt.NDArray[np.float32]:
    """(slices, rows, columns) LGE; healthy wall is 0 and blood 1 before anything else happens."""
    slices = len(materials)
    dark = kind is Kind.LGE_DARK_BLOOD
    signal = np.zeros(len(M), np.float32)
    blood = rng.uniform(-0.6, 0.1) if dark else 1.0
    scar = float(np.clip(np.exp(rng.normal(np.log(1.2), 0.33)), 0.6, 2.8))
    signal[M.BLOOD] = blood
    signal[M.RV_BLOOD] = blood * rng.uniform(0.8, 1.25)
    signal[M.SCAR] = scar
    signal[M.MVO] = np.clip(rng.normal(0.4, 0.45), -0.9, 1.0) * scar
    signal[M.EDEMA] = scar * max(rng.normal(0.03, 0.08), -0.05)
    signal[M.PAPILLARY] = rng.uniform(-0.1, 0.4)
    signal[M.RV_WALL] = rng.uniform(-0.1, 0.5)
    signal[M.FAT] = np.exp(rng.uniform(np.log(0.5), np.log(3.0)))
    signal[M.LUNG] = rng.uniform(-1.2, 0.2)
    signal[M.LIVER] = rng.uniform(-0.3, 1.3)
    signal[M.MUSCLE] = rng.uniform(-0.3, 1.2)
    values = signal[materials]
    values = grid.average(values)
    shape = values.shape
    pixel = grid.pixel

    def share(*of: M) -> FloatArray:
        return grid.average(np.isin(np.arange(len(M)), of)[materials].astype(np.float32))
    wall = share(M.MYOCARDIUM, M.EDEMA, M.SCAR, M.MVO)
    pool, scarred = share(M.BLOOD), share(M.SCAR)
    outside = 1 - wall - share(M.BLOOD, M.PAPILLARY)
    # unevenness of scar, pool, wall and what lies outside
    values += scarred * scar * rng.uniform(0.05, 0.35) * smooth(
        rng, shape, rng.uniform(1, 4) / pixel)
    values += pool * rng.uniform(0.02, 0.2) * smooth(rng, shape, rng.uniform(2, 8) / pixel)
    values += wall * rng.uniform(0.02, 0.12) * smooth(rng, shape, rng.uniform(1.5, 7) / pixel)
    values += outside * rng.uniform(0.05, 0.5) * smooth(rng, shape, rng.uniform(1.5, 8) / pixel)
    # trabeculae and flow beside the wall, partial volume in time: bright rims
    near_pool = np.clip(gaussian_filter(pool, (0, *[rng.uniform(1.0, 2.5) / pixel] * 2)), 0, 1)
    near_out = np.clip(gaussian_filter(outside, (0, *[rng.uniform(1.0, 2.5) / pixel] * 2)), 0, 1)
    values += wall * (near_pool * rng.uniform(-0.05, 0.15) * max(blood, 0.1)
                      + near_out * rng.uniform(-0.1, 0.15))
    blur = rng.uniform(0.3, 0.9)
    values = gaussian_filter(values, (0, blur, blur))
    values = values + pool * rng.normal(0.0, rng.uniform(0.0, 0.25), (slices, 1, 1))
    values = drift(rng, values, pixel)
    values += noise(rng, shape, pixel)
    if kind is Kind.LGE_MAGNITUDE or dark:
        zero = rng.uniform(0.05, 0.7) + (0.0 if not dark else 0.6)
        values = np.abs(values + zero)
    else:
        values = values + rng.uniform(-0.5, 1.5)
    return (values * np.exp(rng.uniform(np.log(100.0), np.log(800.0)))).astype(np.float32)


def drift(rng: np.random.Generator, values: FloatArray, pixel: float) -> FloatArray:
    """Levels and gains that change from slice to slice, smoothly from apex to base, and coils."""
    slices = len(values)
    along = np.linspace(1.0, 0.0, slices) if slices > 1 else np.zeros(1)
    size = np.exp(rng.normal(np.log(0.17), 0.75))
    size = min(size, 1.0)
    trend = along ** rng.uniform(0.7, 4.0)
    if rng.random() < 0.25:
        trend = -trend
    if rng.random() < 0.2:
        trend = trend[::-1]
    walk = np.cumsum(rng.normal(0.0, 1.0, slices))
    walk = (walk - walk.mean()) / max(walk.std(), 1e-6)
    trend = (trend - trend.mean()) / max(trend.std(), 1e-6)
    mix = rng.uniform(0.0, 1.0)
    level = size * (mix * trend + (1 - mix) * walk + rng.normal(0.0, 0.3, slices))
    gain = np.exp(np.clip(0.4 * size * trend * rng.uniform(-0.5, 1.5)
                          + rng.normal(0.0, 0.08, slices), -0.7, 0.9))
    y, x = ((np.arange(n) - (n - 1) / 2) * pixel / 30.0 for n in values.shape[1:])
    y, x = y[None, :, None], x[None, None, :]
    def field(strength: float) -> FloatArray:
        c = rng.normal(0.0, strength, 5) + rng.normal(0.0, 0.3 * strength, (slices, 5))
        c = c.T[:, :, None, None]
        return c[0] * y + c[1] * x + 0.4 * (c[2] * x * y + c[3] * x * x + c[4] * y * y)
    shade = np.clip(field(rng.uniform(0.03, 0.28)), -1.5, 1.5)
    coil = np.exp(np.clip(field(rng.uniform(0.0, 0.2)), -0.8, 0.8))
    return (values * gain[:, None, None] * coil + level[:, None, None] + shade)


def noise(rng: np.random.Generator, shape: tuple[int, ...], pixel: float) -> FloatArray:
    """White, interpolated and smooth noise together."""
    fine = np.exp(rng.uniform(np.log(0.03), np.log(0.18)))
    coarse = np.exp(rng.uniform(np.log(0.02), np.log(0.12)))
    return (fine * smooth(rng, shape, rng.uniform(0.3, 1.2))
            + coarse * smooth(rng, shape, rng.uniform(2.0, 6.0) / pixel))


def smooth(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> FloatArray:
    """Unit variance, correlated in the plane over `width` pixels."""
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0.0, width, width))
    return np.asarray(field / max(float(field.std()), 1e-6))
