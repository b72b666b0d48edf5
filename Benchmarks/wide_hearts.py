"""Hearts of wide variety for networks to learn from: sizes, walls, muscles and diseases.

The library's phantom paints them; but they are drawn from ranges that hold small and large,
thin and thick, smooth and trabeculated ventricles, and lesions of any size, depth and place. A
lesion is what lies within a border on the wall's surface, in mm, and between two depths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepgmm.phantom.anatomy import ANGLES, THETA, FloatArray, Heart, Material, Waves

#: How many lesions a heart has, and how probable that is.
LESIONS = {0: 0.17, 1: 0.53, 2: 0.2, 3: 0.1}
#: What a lesion is: with edema around its scar, an old scar without, or edema alone.
AGES = {"fresh": 0.7, "old": 0.12, "edema": 0.18}
#: Where in the wall scar begins.
LAYERS = {"inner": 0.6, "middle": 0.15, "outer": 0.15, "through": 0.1}
#: Share of lesions that run all around, and of those that lie at the apex.
RINGS, APICAL = 0.08, 0.15
#: Share of fresh scars whose core is obstructed.
OBSTRUCTED = 0.25
#: Depths between which a material lies at every level and angle, (levels, 2, angles).
Bounds = list[tuple[Material, FloatArray]]


def draw_heart(rng: np.random.Generator) -> Heart:
    """48 to 84 mm outside, walls of 5 to 14 mm, pools from smooth to strongly trabeculated."""
    heart = Heart.draw(rng)
    radius = rng.uniform(24.0, 42.0)
    muscles = heart.papillaries.copy()
    muscles[:, 2] = rng.uniform(0.0, 0.25, len(muscles))
    muscles[:, 1] = rng.uniform(0.5, 0.95, len(muscles))
    return replace(
        heart, length=rng.uniform(65.0, 110.0), radius=radius,
        thickness=min(rng.uniform(5.0, 14.0), 0.4 * radius),
        ellipticity=rng.uniform(0.0, 0.3), rotation=rng.normal(0.0, 0.5),
        epicardium=Waves.draw(rng, 2, 6, rng.uniform(0.005, 0.04)),
        endocardium=Waves.draw(rng, 1, 12, rng.uniform(0.04, 0.2), drift=3.0),
        papillaries=muscles, trabeculae=Waves.draw(rng, 6, 30, rng.uniform(0.0, 0.2), drift=6.0))


@dataclass(frozen=True)
class Lesion:
    """A disease of part of a wall.

    Attributes
    ----------
    angle, level : its middle.
    across, along : mm from there to its border around the heart and along it; infinite across
        goes all around.
    age : one of `AGES`.
    layer : one of `LAYERS`.
    depth : share of the wall that scar fills where it is fullest.
    soft : mm from the border within which it reaches that depth.
    spread : mm by which edema goes beyond scar.
    whole : whether edema goes through the whole wall, else `swell` beyond the scar's depth.
    core : mm from the border to an obstructed core; infinite without one.
    rough : of the border, relative to its size, and of the depths.
    """

    angle: float
    level: float
    across: float
    along: float
    age: str
    layer: str
    depth: float
    soft: float
    spread: float
    whole: bool
    swell: float
    core: float
    rough: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, age: str) -> Lesion:
        ring, apical = rng.random() < RINGS, rng.random() < APICAL
        across = float(np.exp(rng.uniform(np.log(7.0), np.log(45.0))))
        along = across * float(np.exp(rng.uniform(np.log(0.6), np.log(2.5))))
        return cls(
            angle=rng.uniform(-np.pi, np.pi),
            level=rng.uniform(0.85, 1.0) if apical else rng.uniform(0.05, 0.95),
            across=np.inf if ring or apical and rng.random() < 0.5 else across,
            along=max(along, 30.0) if ring or apical else along,
            age=age, layer=one_of(rng, LAYERS), depth=rng.uniform(0.2, 1.1),
            soft=rng.uniform(1.0, 12.0), spread=rng.uniform(0.5, 18.0),
            whole=rng.random() < 0.6, swell=rng.uniform(0.08, 0.4),
            core=rng.uniform(2.0, 8.0) if rng.random() < OBSTRUCTED else np.inf,
            rough=Waves.draw(rng, 2, 16, rng.uniform(0.05, 0.35), drift=4.0))

    def margin(self, heart: Heart, levels: FloatArray, waves: FloatArray) -> FloatArray:
        """(levels, angles) mm into the lesion, negative outside."""
        turn = np.abs((THETA - self.angle + np.pi) % (2 * np.pi) - np.pi)
        around = 0.85 * heart.outer(levels).mean(1, keepdims=True) * turn / self.across
        down = (levels[:, None] - self.level) * heart.length / self.along
        size = min(self.across, self.along)
        return np.asarray((1 - np.hypot(around, down) + waves) * size)

    def bounds(self, heart: Heart, levels: FloatArray) -> Bounds:
        waves = self.rough(levels)
        margin = self.margin(heart, levels, waves)
        full = np.clip(margin / self.soft, 0.0, 1.0) ** 0.7 * (1 + 0.6 * waves)
        low, high = self._depths(full)
        found: Bounds = []
        if self.age != "old":
            beyond = margin + (0.0 if self.age == "edema" else self.spread)
            if self.whole:
                # a risk area narrows towards the epicardium
                edema = np.zeros_like(full), np.clip(beyond / (0.5 * self.spread), 0.0, 1.3)
            else:
                edema = self._depths(np.clip(beyond / self.soft, 0.0, 1.0), self.swell)
            found.append((Material.EDEMA, _held(*edema, beyond > 0)))
        if self.age != "edema":
            found.append((Material.SCAR, _held(low, high, margin > 0)))
            found.append((Material.MVO, _held(low + 0.1, low + 0.6 * (high - low),
                                              margin > self.core)))
        return found

    def _depths(self, full: FloatArray, more: float = 0.0) -> tuple[FloatArray, FloatArray]:
        depth = self.depth * full + more * (full > 0)
        if self.layer == "inner":
            return np.zeros_like(full), depth
        if self.layer == "outer":
            return 1.0 - depth, np.full_like(full, 1.01)
        if self.layer == "middle":
            return 0.5 - 0.4 * depth, 0.5 + 0.4 * depth
        return np.zeros_like(full), np.full_like(full, 1.01)


def draw_lesions(rng: np.random.Generator) -> list[Lesion]:
    """Some, all of one patient and, where they are scars, all old or none."""
    count = one_of(rng, LESIONS)
    ages = [one_of(rng, AGES) for _ in range(count)]
    return [Lesion.draw(rng, "old" if "old" in ages else age) for age in ages]


def bounds_of(lesions: list[Lesion], heart: Heart, levels: FloatArray) -> Bounds:
    """All lesions', edema first: the edge of one must not cover another's scar."""
    found = [bound for lesion in lesions for bound in lesion.bounds(heart, levels)]
    return sorted(found, key=lambda bound: bound[0])


def thinning_of(lesions: list[Lesion], heart: Heart, levels: FloatArray,
                most: float) -> FloatArray:
    """(levels, angles) relative thinning of the diseased wall; where `most` is negative it
    swells."""
    deepest: FloatArray = np.zeros((len(levels), ANGLES))
    for lesion in lesions:
        margin = lesion.margin(heart, levels, np.zeros_like(deepest))
        deepest = np.maximum(deepest, np.clip(margin / 12.0, 0.0, 1.0))
    return np.asarray(most * deepest)


def one_of(rng: np.random.Generator, shares: dict) -> object:
    """A key, as probable as its value says."""
    names = list(shares)
    return names[int(rng.choice(len(names), p=list(shares.values())))]


def _held(low: FloatArray, high: FloatArray, where: FloatArray) -> FloatArray:
    return np.stack([np.where(where, low, 2.0), np.where(where, high, -1.0)], axis=1)
