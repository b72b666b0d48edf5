"""The diseases of the second phantom's hearts, as level sets in three dimensions.

`Disease` in `other_phantom_heart.py` says what each takes and gives. Margins are distances in mm
into a region, negative outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from other_phantom_heart import (
    ANGLES,
    DEPTH,
    LEVELS,
    LOWEST,
    TAU,
    THETA,
    Array,
    Codes,
    Disease,
    Field,
    Matter,
)


@dataclass(frozen=True)
class Artery:
    """Where a vessel runs down the heart, and how far it reaches.

    Attributes
    ----------
    share : of infarcts that it is to blame for.
    start, end : theta at base and end.
    last : tau where it ends; 1 is the apex.
    reach : least and greatest distance that it supplies, mm.
    """

    share: float
    start: float
    end: float
    last: float
    reach: tuple[float, float]


#: Their territories are those of the 17 segments (Cerqueira et al., Circulation 2002).
ARTERIES = {
    "anterior descending": Artery(0.45, -1.75, -2.05, 1.0, (20.0, 31.0)),
    "circumflex": Artery(0.18, -0.15, 0.55, 0.75, (16.0, 25.0)),
    "right": Artery(0.37, 1.95, 1.75, 0.70, (17.0, 27.0)),
}

#: The atypical hearts, in the order in which seeds run through them.
PATTERNS = ("two arteries", "mid-wall stripe", "subepicardial patches", "subendocardial ring",
            "apical edema", "old thin scar", "small embolic infarct")


def _margin(rng: np.random.Generator, artery: Artery, middle: Array) -> Array:
    """(angles, levels) how deep in the territory beyond an occlusion a place lies."""
    first = rng.uniform(-0.45, 0.15)
    taus = np.linspace(first, artery.last, 14)
    angles = artery.start + (artery.end - artery.start) * (taus - LOWEST) / (1 - LOWEST)
    angles += rng.normal(0, 0.25)
    columns = (angles % (2 * np.pi) * ANGLES / (2 * np.pi)).astype(int) % ANGLES
    rows = np.round((taus - LOWEST) / (1 - LOWEST) * (LEVELS - 1)).astype(int)
    # narrow at the occlusion, full further on
    reach = rng.uniform(*artery.reach) * np.minimum(0.55 + 0.9 * (taus - first), 1.0)
    inside = np.full(middle.shape[:2], -np.inf, np.float32)
    for place, width in zip(middle[columns, rows], reach.astype(np.float32), strict=True):
        inside = np.maximum(inside, width - np.linalg.norm(middle - place, axis=-1))
    return inside


def _infarct(rng: np.random.Generator, wall: Codes, points: Array, margin: Array, *,
             old: bool = False, severity: float | None = None) -> None:
    """The area at risk with an infarct that has spread from the endocardium."""
    margin = margin + 2.5 * Field.draw(rng, 11.0)(points)
    severity = rng.uniform(0.35, 1.05) if severity is None else severity
    core = margin - rng.uniform(1.0, 5.0)
    front = (severity * np.clip(core / rng.uniform(6.0, 13.0), 0, 1) ** 0.7
             + 0.10 * Field.draw(rng, 6.0)(points))
    dead = (core > 0) & (front > DEPTH)
    if old:
        wall[dead] = Matter.FIBROSIS
        return
    # the area at risk narrows towards the epicardium
    wall[(margin > rng.uniform(1.0, 4.0) * DEPTH) & (wall == Matter.MUSCLE)] = Matter.EDEMA
    wall[dead] = Matter.INFARCT
    # about half of the severe infarcts have an obstructed core of some 10 % of their size
    if severity > 0.5 and rng.uniform() < 0.5:
        wall[dead & (core > rng.uniform(0.5, 0.75) * core.max()) & (DEPTH > 0.12)
             & (DEPTH < 0.5 * front)] = Matter.OBSTRUCTED


def _by_artery(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    """One occlusion: the typical heart."""
    artery = list(ARTERIES.values())[
        rng.choice(len(ARTERIES), p=[a.share for a in ARTERIES.values()])]
    margin = _margin(rng, artery, middle)
    _infarct(rng, wall, points, margin)
    # fresh edema swells the wall
    return np.asarray(rng.uniform(0.0, 0.15) * np.clip(margin / 10, 0, 1), np.float32)


def _two_arteries(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    """Two infarcts with at least some mm of healthy wall between them."""
    first, second = (list(ARTERIES.values())[i] for i in rng.permutation(len(ARTERIES))[:2])
    one = _margin(rng, first, middle) - 5.0
    _infarct(rng, wall, points, one)
    _infarct(rng, wall, points, np.minimum(_margin(rng, second, middle) - 5.0, -12.0 - one))
    return np.zeros((ANGLES, LEVELS), np.float32)


def _stripe(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    """Fibrosis in the middle of the septum, as dilated hearts have it."""
    away = np.abs((THETA - np.pi - rng.normal(0, 0.2) + np.pi) % (2 * np.pi) - np.pi)
    uneven = Field.draw(rng, 10.0)(points)
    thick = rng.uniform(0.13, 0.22) + 0.05 * uneven
    along = rng.uniform(0.8, 1.3) - away + 0.15 * uneven
    wall[(np.abs(DEPTH - 0.5) < thick) & (along > 0) & (TAU < 0.7)] = Matter.FIBROSIS
    return np.full((ANGLES, LEVELS), -rng.uniform(0.0, 0.15), np.float32)


def _patches(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    """Myocarditis: patches under the lateral epicardium, with edema around."""
    blot = Field.draw(rng, 10.0)(points)
    away = np.abs((THETA - rng.uniform(0.0, 0.7) + np.pi) % (2 * np.pi) - np.pi)
    level = blot + 1.4 * (DEPTH - 0.55) / 0.45 - (away / rng.uniform(0.8, 1.2)) ** 2
    wall[level > rng.uniform(-0.7, -0.4)] = Matter.EDEMA
    wall[(level > rng.uniform(0.0, 0.3)) & (DEPTH > 0.4)] = Matter.INFARCT
    return np.zeros((ANGLES, LEVELS), np.float32)


def _ring(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    """The inner wall all around, after the whole heart was short of blood."""
    front = rng.uniform(0.28, 0.40) + 0.09 * Field.draw(rng, 9.0)(points)
    wall[front + rng.uniform(0.15, 0.30) > DEPTH] = Matter.EDEMA
    wall[front > DEPTH] = Matter.INFARCT
    return np.zeros((ANGLES, LEVELS), np.float32)


def _apex(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    """Takotsubo: the apical half swells, nothing dies."""
    height = middle[..., 2] - rng.uniform(0.05, 0.30) * middle[..., 2].max()
    wall[height + 3.0 * Field.draw(rng, 12.0)(points) > 0] = Matter.EDEMA
    return np.asarray(rng.uniform(0.0, 0.15) * np.clip(height / 10, 0, 1), np.float32)


def _old(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    artery = ARTERIES[("anterior descending", "right")[rng.integers(2)]]
    margin = _margin(rng, artery, middle)
    _infarct(rng, wall, points, margin, old=True, severity=rng.uniform(0.7, 1.2))
    return np.asarray(-rng.uniform(0.2, 0.45) * np.clip(margin / 12, 0, 1), np.float32)


def _embolic(rng: np.random.Generator, wall: Codes, points: Array, middle: Array) -> Array:
    """A side branch: a spot of 20 to 28 mm at risk."""
    row = int((rng.uniform(0.0, 0.45) - LOWEST) / (1 - LOWEST) * (LEVELS - 1))
    place = middle[rng.integers(ANGLES), row]
    margin = rng.uniform(10.0, 14.0) - np.linalg.norm(middle - place, axis=-1)
    _infarct(rng, wall, points, margin.astype(np.float32), severity=rng.uniform(0.5, 0.9))
    return np.zeros((ANGLES, LEVELS), np.float32)


_ATYPICAL: dict[str, Disease] = dict(zip(
    PATTERNS, (_two_arteries, _stripe, _patches, _ring, _apex, _old, _embolic), strict=True))


def disease_of(patient_set: str, seed: int) -> tuple[str, Disease | None]:
    """Its name, and what it does to a wall; None for a healthy one."""
    if patient_set == "healthy":
        return "healthy", None
    if patient_set == "typical":
        return "one artery", _by_artery
    pattern = PATTERNS[seed % len(PATTERNS)]
    return pattern, _ATYPICAL[pattern]
