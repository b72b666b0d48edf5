"""Synthetic chests to learn the left ventricle's outline from: `make_mask_network.py` uses them.

Hearts and infarcts are those of `wide_hearts.py` and `lifelike.py`, made wider still: thin and
dilated, thick and contracted. Around them lies a whole chest with lungs, wall, spine, aorta, liver
and stomach. The stack runs beyond the apex, where the cavity closes before its muscle ends, and
beyond the valve, where the wall opens and an atrium follows. Every chest is seen in looks of bSSFP,
LGE and T2, and in looks of no sequence at all, whose tissues are as bright as chance will have it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from lifelike import Around, infarcts, smooth
from scipy.ndimage import gaussian_filter
from wide_hearts import bounds_of, draw_heart, draw_lesions, thinning_of

from deepgmm.phantom.anatomy import FloatArray, Grid, Heart, Pose, paint_heart
from deepgmm.phantom.anatomy import Material as M

#: mm of a pixel, samples in it, pixels of a side: a chest is 320 mm wide.
PIXEL, FACTOR, SIDE = 2.0, 2, 160
#: Beyond the library's materials.
BONE, AIR, GUT, SKIN_FAT, ATRIUM_WALL, ATRIUM_BLOOD = range(len(M), len(M) + 6)
MATERIALS = len(M) + 6
LOOKS = {"bssfp": 0.34, "lge": 0.36, "t2": 0.14, "any": 0.16}
#: The level from which a cap is drawn, not the heart's own shape; and the mm2 of cavity that a
#: slice at the apex must show to be outlined: a disc as wide as slices are thick.
TIP, LEAST_CAVITY = 0.985, 50.0
_WALL = (M.MYOCARDIUM, M.EDEMA, M.SCAR, M.MVO)
_POOL = (M.BLOOD, M.PAPILLARY)


@dataclass(frozen=True)
class _Tip:
    """How a ventricle ends: its cavity first, then a cap of muscle.

    Attributes
    ----------
    closes : level at which no cavity is left.
    narrows : of the ventricle's length, how much before that it begins to narrow.
    cap : of the wall's radius at `TIP`, how far its muscle goes on beyond that.
    """

    closes: float
    narrows: float
    cap: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Tip:
        return cls(rng.uniform(0.88, 1.0), rng.uniform(0.03, 0.2), rng.uniform(0.2, 1.0))

    def pose(self, heart: Heart, levels: FloatArray) -> Pose:
        """`levels` : (levels,) as the stack lies, over `TIP` too."""
        begins = self.closes - self.narrows
        narrow = _round((levels - begins) / self.narrows)
        round_ = _round(self._beyond(heart, levels))
        return Pose(outer=lambda _: (round_ - 1)[:, None],
                    inner=lambda _: (narrow * round_ - 1)[:, None])

    def ends(self, heart: Heart, levels: FloatArray) -> npt.NDArray[np.bool_]:
        """Of the same shape: where no muscle is left."""
        return np.asarray(self._beyond(heart, levels) >= 1)

    def _beyond(self, heart: Heart, levels: FloatArray) -> FloatArray:
        """Of the cap, how far it has been passed."""
        radius = float(heart.outer(np.array([TIP])).mean())
        return np.asarray((levels - TIP) * heart.length / (self.cap * radius))


def _round(way: FloatArray) -> FloatArray:
    """Radius of a half ellipse, at a share of its length from where it is widest; never nothing."""
    return np.sqrt(np.clip(1 - np.clip(way, 0, None) ** 2, 1e-4, None))


@dataclass
class Chest:
    """What a network learns the outline from.

    Attributes
    ----------
    images : (looks, slices, rows, columns) float16, each look of its own brightness.
    pool, wall : (slices, rows, columns) uint8, the share of a pixel in 1/255.
    """

    images: npt.NDArray[np.float16]
    pool: npt.NDArray[np.uint8]
    wall: npt.NDArray[np.uint8]


def chest(seed: int, looks: int = 3) -> Chest:
    """One of them, all drawn from the seed."""
    rng = np.random.default_rng([seed, 91])
    grid = Grid(SIDE, SIDE, PIXEL, FACTOR)
    heart = _heart(rng)
    lesions = ([] if rng.random() < 0.35 else
               infarcts(rng) if rng.random() < 0.8 else draw_lesions(rng))
    slices = int(rng.integers(4, 13))
    levels = _levels(rng, heart, slices)
    at = np.clip(levels, 0.0, TIP)
    tip = _Tip.draw(np.random.default_rng([seed, 93]))
    flat = at.ravel()
    around = Around.draw(rng)
    if rng.random() < 0.5:
        around = replace(around, fat=rng.uniform(-2.0, 2.0))
    painted = around.painted(heart, at, grid, _plane(rng, heart, grid))
    with_heart = paint_heart(painted, heart, at, grid, bounds_of(lesions, heart, flat),
                             thinning_of(lesions, heart, flat, rng.uniform(-0.2, 0.45)),
                             tip.pose(heart, levels.ravel()))
    beyond = levels.mean(1)
    ended = tip.ends(heart, levels).all(1)
    for i in range(slices):
        if ended[i]:
            with_heart[i] = _closed(painted[i], rng)
        elif beyond[i] < 0.0:
            with_heart[i] = _atrium(rng, with_heart[i], beyond[i] * heart.length, grid)
    materials = with_heart

    def share(of: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        held = grid.average(np.isin(np.arange(MATERIALS), of)[materials].astype(np.float32))
        return np.round(255 * held).astype(np.uint8)
    pool, wall = share(_POOL), share(_WALL)
    # where the wall is open, or no cavity is left at the apex, no ventricle is to be outlined
    cavity = pool.sum((1, 2)) / 255 * PIXEL ** 2 >= LEAST_CAVITY
    gone = (beyond < 0.0) | ((beyond > 0.5) & (np.cumsum(cavity) == 0))
    pool[gone], wall[gone] = 0, 0
    names = list(LOOKS)
    images = [look(np.random.default_rng([seed, 92, k]),
                   names[int(rng.choice(len(names), p=list(LOOKS.values())))], materials, grid)
              for k in range(looks)]
    return Chest(np.stack(images).astype(np.float16), pool, wall)


def _heart(rng: np.random.Generator) -> Heart:
    heart = draw_heart(rng)
    heart = replace(heart, rv=heart.rv * np.array([rng.uniform(0.9, 1.15), rng.uniform(0.9, 1.5),
                                                   rng.uniform(0.9, 1.25)]))
    kind = rng.random()
    if kind < 0.2:  # dilated and thin
        radius = rng.uniform(34.0, 47.0)
        return replace(heart, radius=radius, thickness=rng.uniform(4.5, 9.0))
    if kind < 0.45:  # thick, or contracted
        radius = rng.uniform(24.0, 38.0)
        return replace(heart, radius=radius, thickness=radius * rng.uniform(0.38, 0.7))
    return heart


def _levels(rng: np.random.Generator, heart: Heart, slices: int) -> FloatArray:
    """(slices, FACTOR), apex first; under 0 is beyond the valve, over 1 beyond the apex."""
    gap = min(rng.uniform(6.0, 12.0), 1.25 * heart.length / slices)
    thick = min(rng.uniform(5.0, 9.0), gap) / heart.length
    span = gap * (slices - 1) / heart.length
    middle = 0.5 + (rng.uniform(-0.5, 0.5) * abs(1.1 - span) if span < 1.1
                    else rng.uniform(-0.1, 0.1))
    within = ((np.arange(FACTOR) + 0.5) / FACTOR - 0.5) * thick
    return (middle + span / 2 - np.arange(slices) * gap / heart.length)[:, None] - within


def _plane(rng: np.random.Generator, heart: Heart, grid: Grid) -> npt.NDArray[np.uint8]:
    """(fine rows, fine columns) of a chest without its heart."""
    y, x = (axis.astype(np.float32) for axis in grid.axes())
    y, x = np.meshgrid(y, x, indexing="ij")
    cos, sin = np.cos(heart.rotation), np.sin(heart.rotation)
    # the heart's own axes: lateral wall at +u, inferior wall at +v
    u, v = x * cos + y * sin, y * cos - x * sin
    bump = 6.0 * smooth(rng, (1, *u.shape), 14.0)[0]
    plane = np.full(u.shape, M.LUNG, np.uint8)
    # vessels of the lung
    plane[smooth(rng, (1, *u.shape), 1.6)[0] > rng.uniform(2.2, 3.5)] = M.RV_BLOOD
    if rng.random() < 0.25:
        plane[:] = M.MUSCLE
    # mediastinum, on the side of the right ventricle
    plane[(u + rng.uniform(45, 90)) ** 2 + (v + bump + rng.uniform(-30, 20)) ** 2
          < rng.uniform(25, 50) ** 2] = rng.choice([M.FAT, M.MUSCLE, M.RV_BLOOD])
    turn = rng.normal(1.35, 0.35)
    below = u * np.cos(turn) + v * np.sin(turn) + bump
    plane[below > rng.uniform(36, 75)] = M.LIVER
    if rng.random() < 0.6:  # stomach, under the lateral wall
        at = rng.uniform(10, 70), rng.uniform(45, 85)
        size = rng.uniform(18, 40)
        away = np.hypot(u - at[0], (v - at[1]) * rng.uniform(0.8, 1.6)) + bump
        plane[away < size] = GUT
        plane[(away < size) & (v < at[1] - size * rng.uniform(-0.3, 0.6))] = AIR
    aorta = rng.uniform(45, 85), rng.uniform(20, 70)
    away = np.hypot(u - aorta[0], v - aorta[1])
    size = rng.uniform(9, 15)
    plane[away < size + 2] = ATRIUM_WALL
    plane[away < size] = M.RV_BLOOD
    spine = rng.uniform(60, 110), rng.uniform(50, 90)
    plane[np.hypot(u - spine[0], v - spine[1]) + 0.4 * bump < rng.uniform(15, 24)] = BONE
    # chest wall: in front, up and to the right ventricle's side, and behind
    for turn, low, high in ((-1.9, 45, 90), (0.75, 85, 130), (2.7, 80, 140), (-0.4, 75, 140)):
        turn += rng.normal(0.0, 0.25)
        along = u * np.cos(turn) + v * np.sin(turn) + 0.7 * bump
        across = v * np.cos(turn) - u * np.sin(turn)
        along = along + across ** 2 * rng.uniform(0.0005, 0.003)
        start, muscle = rng.uniform(low, high), rng.uniform(5, 22)
        plane[along > start] = M.MUSCLE
        ribs = np.sin(across * (2 * np.pi / rng.uniform(22, 35)) + rng.uniform(0, 6)) > 0.5
        plane[(along > start + 2) & (along < start + min(muscle, 10)) & ribs] = BONE
        plane[along > start + muscle] = SKIN_FAT
        plane[along > start + muscle + rng.uniform(4, 35)] = AIR
    return plane


def _closed(plane: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A slice beyond the apex: fat, and what lies around."""
    return np.where(plane == M.RV_BLOOD, rng.choice([M.FAT, M.MUSCLE]), plane).astype(np.uint8)


def _atrium(rng: np.random.Generator, slice_: npt.NDArray[np.uint8], beyond: float,
            grid: Grid) -> npt.NDArray[np.uint8]:
    """A slice beyond the valve: a wall open on one side near it, an atrium and the aortic root
    farther away. `beyond` : mm, negative."""
    held = np.isin(slice_, (*_WALL, *_POOL))
    wall = np.isin(slice_, _WALL)
    y, x = (axis.astype(np.float32) for axis in grid.axes())
    cy, cx = (float((np.nonzero(held)[k] + 0.5).mean()) for k in (0, 1))
    step = grid.pixel / grid.factor
    y, x = y - (cy - y.size / 2) * step, x - (cx - x.size / 2) * step
    y, x = y[:, None], x[None, :]
    found = slice_.copy()
    found[np.isin(found, _POOL)] = ATRIUM_BLOOD
    if beyond > -12.0 and rng.random() < 0.7:
        away = np.abs((np.arctan2(y, x) - rng.uniform(-np.pi, np.pi) + np.pi) % (2 * np.pi) - np.pi)
        open_ = wall & (away < rng.uniform(0.6, 2.4))
        found[open_] = rng.choice([ATRIUM_BLOOD, M.FAT])
    else:
        found[wall] = ATRIUM_BLOOD
        size = rng.uniform(10, 17)
        at = rng.uniform(-15, 5, 2)
        off = np.hypot(y - at[0], x - at[1])
        found[held & (off < size + 2.5)] = rng.choice([ATRIUM_WALL, M.FAT])
        found[held & (off < size)] = ATRIUM_BLOOD
        inner = gaussian_filter(held.astype(np.float32), 2.5) > rng.uniform(0.6, 0.8)
        found[held & ~inner] = rng.choice([ATRIUM_WALL, M.FAT, ATRIUM_BLOOD])
    return found


def look(rng: np.random.Generator, name: str, materials: npt.NDArray[np.uint8],
         grid: Grid) -> npt.NDArray[np.float32]:
    """(slices, rows, columns) of materials as one sequence shows them."""
    signal = _signal(rng, name)
    values = grid.average(signal[materials])
    shape, pixel = values.shape, grid.pixel
    # all unevenness is relative to how well blood and wall can be told apart
    reach = max(abs(float(signal[M.BLOOD] - signal[M.MYOCARDIUM])), 0.2)

    def share(*of: int) -> FloatArray:
        return grid.average(np.isin(np.arange(MATERIALS), of)[materials].astype(np.float32))
    blood, wall = share(M.BLOOD), share(*_WALL)
    outside = 1 - share(*_WALL, *_POOL)
    for where, most in ((blood, 0.18), (wall, 0.18), (outside, 0.4)):
        values += where * reach * rng.uniform(0.0, most) * smooth(
            rng, shape, rng.uniform(1.5, 8.0) / pixel)
    for where, strong in ((blood, 0.4), (outside, 0.3)):  # rims at both borders
        near = np.clip(gaussian_filter(where, (0, *[rng.uniform(1.0, 2.5) / pixel] * 2)), 0, 1)
        values += wall * near * reach * rng.uniform(-0.25, strong)
    blur = rng.uniform(0.2, 0.8)
    values = gaussian_filter(values, (0, blur, blur))
    y, x = ((np.arange(n) - (n - 1) / 2) * pixel / 60.0 for n in shape[1:])
    c = rng.normal(0.0, rng.uniform(0.0, 0.35), 5)
    coil = c[0] * y[:, None] + c[1] * x + 0.4 * (c[2] * y[:, None] * x + c[3] * x * x
                                                 + c[4] * (y * y)[:, None])
    values = values * np.exp(np.clip(coil, -1.0, 1.0)).astype(np.float32)
    values = values * np.exp(rng.normal(0.0, rng.uniform(0.0, 0.15), (len(values), 1, 1)))
    values = values + reach * rng.normal(0.0, rng.uniform(0.0, 0.15), (len(values), 1, 1))
    if name == "lge" and rng.random() < 0.4:
        values = np.abs(values + rng.uniform(0.05, 0.7))
    fine, coarse = np.exp(rng.uniform(np.log(0.02), np.log((0.2, 0.12))))
    values = values + reach * (fine * smooth(rng, shape, rng.uniform(0.3, 0.7))
                               + coarse * smooth(rng, shape, rng.uniform(1, 3)))
    return (values / max(float(np.abs(values).max()), 1e-6)).astype(np.float32)


def _signal(rng: np.random.Generator, name: str) -> npt.NDArray[np.float32]:
    """(MATERIALS,)"""
    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))
    s = np.zeros(MATERIALS, np.float32)
    if name == "any":
        s[:] = rng.uniform(0.0, 1.0, MATERIALS)
        apart = between(0.15, 0.9) * rng.choice([-1, 1])
        s[M.BLOOD] = s[M.MYOCARDIUM] + apart
        for same in (M.EDEMA, M.SCAR, M.MVO):
            s[same] = s[M.MYOCARDIUM] + rng.normal(0.0, 0.3)
        s[M.PAPILLARY] = s[M.MYOCARDIUM] + rng.normal(0.0, 0.05)
        rv = s[M.BLOOD] + rng.normal(0.0, 0.1)
    elif name == "lge":
        s[M.BLOOD] = 1.0 if rng.random() < 0.85 else between(-0.4, 0.4)
        scar = float(np.clip(np.exp(rng.normal(np.log(1.2), 0.33)), 0.6, 2.8))
        s[M.SCAR], s[M.MVO] = scar, np.clip(rng.normal(0.4, 0.45), -0.9, 1.0) * scar
        s[M.EDEMA], s[M.PAPILLARY] = scar * 0.03, between(-0.1, 0.4)
        rv = s[M.BLOOD] * between(0.8, 1.25)
        fat = np.exp(between(np.log(0.4), np.log(3.0)))
        s[[M.FAT, SKIN_FAT]] = fat, fat * between(0.7, 1.4)
        s[M.LUNG], s[AIR] = between(-1.0, 0.3), between(-1.0, 0.0)
        s[M.LIVER], s[M.MUSCLE] = between(-0.3, 1.3), between(-0.2, 1.0)
        s[GUT], s[BONE] = between(-0.3, 1.5), between(-0.2, 1.5)
        s[M.RV_WALL] = s[ATRIUM_WALL] = between(-0.1, 0.5)
    else:
        dark = name == "t2" and rng.random() < 0.6
        muscle = between(0.25, 0.65)
        blood = between(0.0, 0.3) if dark else 1.0
        s[M.BLOOD], s[M.MYOCARDIUM] = blood, muscle
        if name == "t2":
            s[M.EDEMA] = muscle * between(1.1, 1.8)
            s[[M.SCAR, M.MVO]] = s[M.EDEMA] * between(0.7, 1.05), muscle * between(0.8, 1.3)
        else:
            s[[M.EDEMA, M.SCAR, M.MVO]] = muscle * rng.uniform(0.9, 1.35, 3)
        s[M.PAPILLARY] = muscle * between(0.9, 1.1)
        rv = blood * between(0.75, 1.15)
        fat = between(0.2, 1.3) if not dark else between(0.05, 1.2)
        s[[M.FAT, SKIN_FAT]] = fat, fat * between(0.8, 1.6)
        s[M.LUNG], s[AIR] = between(0.0, 0.15), between(0.0, 0.05)
        s[M.LIVER], s[M.MUSCLE] = muscle * between(0.5, 1.4), muscle * between(0.5, 1.2)
        s[GUT], s[BONE] = between(0.1, 1.0), between(0.1, 0.8)
        s[M.RV_WALL] = s[ATRIUM_WALL] = muscle * between(0.9, 1.1)
    s[[M.RV_BLOOD, ATRIUM_BLOOD]] = rv, rv * rng.uniform(0.9, 1.1) if name != "any" else rv
    return s

