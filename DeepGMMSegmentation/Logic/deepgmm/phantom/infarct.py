"""Scar, edema and microvascular obstruction as depths of the wall per level and angle.

At each level and angle a material lies between two depths. A subendocardial wedge is then
"from 0 to a depth that falls off towards its ends", a mid-wall patch "from 0.3 to 0.7".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deepgmm.phantom.anatomy import ANGLES, THETA, FloatArray, Heart, Material, Waves

#: The atypical hearts, in the order in which seeds run through them.
PATTERNS = ("two infarcts", "mid-wall patches", "subepicardial patches",
            "circumferential subendocardial scar", "edema without scar", "scar without edema",
            "5 % infarct")

#: Angle of the centre of the territories of the three coronary arteries: LAD, LCX, RCA.
TERRITORIES = (-2.0, 0.1, 1.75)


@dataclass
class Patch:
    """One lesion: an angular window, a longitudinal window and the depths it fills.

    Attributes
    ----------
    angle, half_width : of the window, radians.
    level, reach : centre and half extent from base to apex.
    low, high : depths between which it lies where it is fullest.
    """

    angle: float
    half_width: float
    level: float
    reach: float
    low: float
    high: float

    def bounds(self, levels: FloatArray, waves: FloatArray) -> FloatArray:
        """(levels, 2, angles) depths; empty (low above high) outside the patch.

        `waves` (levels, angles) roughens the borders.
        """
        along = np.clip(1.0 - ((np.asarray(levels) - self.level) / self.reach) ** 2, 0.0, None)
        width = self.half_width * np.sqrt(along)[:, None] * (1.0 + 0.25 * waves)
        turn = np.abs((THETA - self.angle + np.pi) % (2 * np.pi) - np.pi)[None, :]
        away = np.where(width > 0.02, turn / np.maximum(width, 0.02), 2.0)
        # Blunt towards the ends: nearly full over the middle, gone at the border.
        full = np.sqrt(np.clip(1.0 - away ** 4, 0.0, None)) * (1.0 + 0.3 * waves)
        full *= np.clip(1.6 * along, 0.0, 1.0)[:, None] ** 0.5
        if self.low <= 0.0:
            low, high = np.zeros_like(full), self.high * full
        elif self.high >= 1.0:
            low, high = 1.0 - (1.0 - self.low) * full, np.full_like(full, 1.01)
        else:
            middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
            low, high = middle - half * full, middle + half * full
        empty = (away >= 1.0) | (full <= 0.0)
        return np.stack([np.where(empty, 2.0, low), np.where(empty, -1.0, high)], axis=1)


@dataclass
class Infarct:
    """The lesions of a heart; an empty one is a healthy heart's.

    Attributes
    ----------
    pattern : in words.
    lesions : material and its patch, painted in this order.
    thinning : greatest relative thinning of the scarred wall.
    rough : of the lesions' borders, one function for all.
    chronic : an old scar, whose T2 is nearly the myocardium's.
    """

    pattern: str
    lesions: list[tuple[Material, Patch]] = field(default_factory=list)
    thinning: float = 0.0
    rough: Waves | None = None
    chronic: bool = False

    def bounds(self, levels: FloatArray) -> list[tuple[Material, FloatArray]]:
        """Per lesion, (levels, 2, angles) depths."""
        waves: FloatArray = np.zeros((np.asarray(levels).size, ANGLES))
        if self.rough is not None:
            waves = self.rough(levels)
        return [(material, patch.bounds(levels, waves)) for material, patch in self.lesions]

    def thinned(self, levels: FloatArray) -> FloatArray:
        """(levels, angles) relative thinning, smooth over angle."""
        scar = np.zeros((np.asarray(levels).size, ANGLES))
        for material, bound in self.bounds(levels):
            if material is Material.SCAR:
                scar = np.maximum(scar, np.clip(bound[:, 1] - bound[:, 0], 0.0, 1.0))
        # A circular moving average of 30 degrees: the wall does not step.
        kernel = np.zeros(ANGLES)
        kernel[:ANGLES // 12] = 12 / ANGLES
        kernel = np.roll(kernel, -(ANGLES // 24))
        smooth = np.fft.irfft(np.fft.rfft(scar, axis=1) * np.fft.rfft(kernel), n=ANGLES, axis=1)
        return np.asarray(self.thinning * np.clip(smooth, 0.0, 1.0))


def healthy() -> Infarct:
    """No lesion."""
    return Infarct("healthy")


def wedge(rng: np.random.Generator, centre: float, *, mvo: bool, size: float = 1.0,
          edema: bool = True, scar: bool = True) -> list[tuple[Material, Patch]]:
    """A subendocardial wedge of scar inside a wider, nearly transmural edema."""
    half = rng.uniform(0.62, 1.07) * size
    border = rng.uniform(0.28, 0.46)
    level = rng.uniform(0.35, 0.65)
    reach = rng.uniform(0.50, 0.75) * min(1.0, 0.5 + 0.5 * size)
    high = rng.uniform(0.45, 0.80)
    swell = rng.uniform(0.22, 0.40)
    core = rng.uniform(0.40, 0.60)
    lesions = []
    if edema:
        lesions.append((Material.EDEMA, Patch(centre, half + border, level, reach * 1.15, 0.0,
                                              high + swell if high + swell < 0.85 else 1.2)))
    if scar:
        lesions.append((Material.SCAR, Patch(centre, half, level, reach, 0.0, high)))
    if mvo:
        lesions.append((Material.MVO, Patch(centre, half * core, level, reach * 0.7,
                                            0.10, 0.10 + high * core)))
    return lesions


def draw_typical(rng: np.random.Generator, *, mvo_fraction: float) -> Infarct:
    """One wedge in the territory of one artery."""
    centre = TERRITORIES[rng.integers(3)] + rng.normal(0, 0.35)
    mvo = bool(rng.uniform() < mvo_fraction)
    thinning = rng.uniform(0.0, 0.30)
    rough = Waves.draw(rng, 3, 14, 0.23, drift=3.0)
    return Infarct("one infarct", wedge(rng, centre, mvo=mvo), thinning, rough)


def draw_atypical(rng: np.random.Generator, index: int, heart: Heart,
                  levels: FloatArray) -> Infarct:
    """The atypical heart number `index`, in the cycle of `PATTERNS`."""
    pattern = PATTERNS[index % len(PATTERNS)]
    rough = Waves.draw(rng, 3, 14, 0.20, drift=3.0)
    centre = rng.uniform(-np.pi, np.pi)
    level = rng.uniform(0.40, 0.60)
    edema, scar = Material.EDEMA, Material.SCAR
    lesions: list[tuple[Material, Patch]] = []
    if pattern == "two infarcts":
        lesions = wedge(rng, centre, mvo=False, size=0.7)
        lesions += wedge(rng, centre + rng.uniform(2.4, 3.8), mvo=False, size=0.55)
        # All edema first: the edge of one infarct's must not cover the other's scar.
        lesions.sort(key=lambda lesion: lesion[0])
    elif pattern in ("mid-wall patches", "subepicardial patches"):
        low, high = (0.28, 0.72) if pattern.startswith("mid") else (0.45, 1.0)
        for turn in (0.0, rng.uniform(1.8, 2.6), rng.uniform(3.6, 4.5)):
            half = rng.uniform(0.25, 0.50)
            lesions.append((edema, Patch(centre + turn, half + 0.2, level, 0.8,
                                         low - 0.15, min(high + 0.15, 1.0))))
            lesions.append((scar, Patch(centre + turn, half, level, 0.7, low, high)))
        lesions.sort(key=lambda lesion: lesion[0])
    elif pattern == "circumferential subendocardial scar":
        depth = rng.uniform(0.30, 0.45)
        # A half width beyond pi leaves no gap.
        lesions = [(edema, Patch(centre, 8.0, 0.5, 1.5, 0.0, depth + 0.25)),
                   (scar, Patch(centre, 8.0, 0.5, 1.5, 0.0, depth))]
    elif pattern == "edema without scar":
        lesions = wedge(rng, centre, mvo=False, scar=False)
    elif pattern == "scar without edema":
        lesions = wedge(rng, centre, mvo=False, edema=False)
    else:
        lesions = wedge(rng, centre, mvo=False, size=0.5)
        _resize_scar(lesions, heart, levels, rough, share=0.05)
    return Infarct(pattern, lesions, rng.uniform(0.0, 0.15), rough,
                   chronic=pattern == "scar without edema")


def _resize_scar(lesions: list[tuple[Material, Patch]], heart: Heart, levels: FloatArray,
                 rough: Waves, share: float) -> None:
    """Narrow or widen the scar's window until scar is `share` of the wall's area."""
    patch = next(p for m, p in lesions if m is Material.SCAR)
    border = next(p for m, p in lesions if m is Material.EDEMA).half_width - patch.half_width
    waves = rough(levels)
    outer, inner = heart.outer(levels), heart.inner(levels)
    narrow, wide = 0.05, 3.0
    for _ in range(30):
        patch.half_width = (narrow + wide) / 2
        low, high = np.moveaxis(np.clip(patch.bounds(levels, waves), 0.0, 1.0), 1, 0)
        high = np.maximum(high, low)
        # Area between two depths of an annulus: half the difference of the squared radii.
        area = ((inner + high * (outer - inner)) ** 2 - (inner + low * (outer - inner)) ** 2).sum()
        if area / (outer ** 2 - inner ** 2).sum() > share:
            wide = patch.half_width
        else:
            narrow = patch.half_width
    for material, other in lesions:
        if material is Material.EDEMA:
            other.half_width = patch.half_width + border
