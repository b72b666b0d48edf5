"""Phantom patients of wide variety, to train networks on: `make_network.py` uses them.

`wide_patient` draws from the library's phantom, of all sets and kinds and of any difficulty;
`widest_patient` hearts and images from ranges so wide that they hold more than any one phantom
shows: `wide_hearts.py`, `wide_scans.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from wide_hearts import bounds_of, draw_heart, draw_lesions, one_of, thinning_of
from wide_scans import scanned

from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.phantom.anatomy import Grid, Material, Pose, paint_heart, surroundings
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import FOUR_TISSUES, Kind, Role, Tissue

#: Seeds of training patients begin here; none of them is tuned, scored or taken priors from.
FIRST_SEED, FIRST_WIDEST_SEED = 20_000, 25_000
SETS = {"typical": 0.45, "atypical": 0.35, "healthy": 0.2}
KINDS = {
    Role.BSSFP: {Kind.BSSFP: 1.0},
    Role.LGE: {Kind.LGE_MAGNITUDE: 0.6, Kind.LGE_PSIR: 0.25, Kind.LGE_DARK_BLOOD: 0.15},
    Role.T2: {Kind.T2_DARK_BLOOD: 0.55, Kind.T2_PREPARED: 0.25, Kind.T2_MAP: 0.2},
}
DIFFICULTY = (0.5, 1.6)
SLICES = (3, 8)
#: mm; images of other pixels are brought to a middle one before a network sees them.
PIXEL, FIELD = (0.9, 1.9), 112.0
#: Samples a pixel in each direction.
FACTOR = 3

_TISSUES = {Tissue.BLOOD: (Material.BLOOD, Material.PAPILLARY),
            Tissue.MYOCARDIUM: (Material.MYOCARDIUM,),
            Tissue.EDEMA: (Material.EDEMA,),
            Tissue.SCAR: (Material.SCAR, Material.MVO)}


@dataclass
class WidePatient:
    """What a network learns from: a study, and (slices, rows, columns) labels 0 to 4."""

    study: Study
    truth: npt.NDArray[np.uint8]


def wide_patient(seed: int) -> PhantomPatient:
    """One of them: set, kinds, difficulty and slices are drawn from the seed."""
    draw = np.random.default_rng([seed, 77])
    return make_patient(
        seed, patient_set=str(one_of(draw, SETS)), difficulty=float(draw.uniform(*DIFFICULTY)),
        slices=int(draw.integers(SLICES[0], SLICES[1] + 1)),
        kinds={role: one_of(draw, kinds) for role, kinds in KINDS.items()})


def widest_patient(seed: int) -> WidePatient:
    """A patient of any heart, disease and scanner, all drawn from the seed."""
    rng = np.random.default_rng([seed, 78])
    kinds = {role: one_of(rng, shares) for role, shares in KINDS.items()}
    slices = int(rng.integers(SLICES[0], SLICES[1] + 1))
    pixel = round(float(np.exp(rng.uniform(*np.log(PIXEL)))), 4)
    side = 2 * int(FIELD / pixel / 2)
    grid = Grid(side, side, pixel, FACTOR)
    heart, lesions = draw_heart(rng), draw_lesions(rng)
    thinning = rng.uniform(-0.25, 0.45)
    gap = min(rng.uniform(6.0, 16.0), 0.82 * heart.length / slices)
    thick = min(rng.uniform(5.0, 10.0), gap) / heart.length
    room = 0.86 - gap * (slices - 1) / heart.length - thick
    middle = 0.07 + thick / 2 + rng.uniform(0.0, max(room, 0.0))
    first = middle + gap * (slices - 1) / heart.length
    within = ((np.arange(FACTOR) + 0.5) / FACTOR - 0.5) * thick
    levels = (first - np.arange(slices) * gap / heart.length)[:, None] - within

    def painted(pose: Pose, along: npt.ArrayLike = 0.0) -> npt.NDArray[np.uint8]:
        """`along` : mm by which slices lie off, towards the apex."""
        at = np.clip(levels + np.asarray(along) / heart.length, 0.0, 0.97)
        flat = at.ravel()
        return paint_heart(surroundings(heart, at, grid), heart, at, grid,
                           bounds_of(lesions, heart, flat),
                           thinning_of(lesions, heart, flat, thinning), pose)
    truth = drawn_labels(painted(Pose()), grid, rng.uniform(0.35, 0.65))
    old = any(lesion.age == "old" for lesion in lesions)
    sequences = {}
    for role, kind in kinds.items():
        off = rng.normal(0.0, 1.0) + rng.normal(0.0, 0.7, (slices, 1))
        pose = Pose.draw(rng, rng.uniform(0.3, 2.0), pixel)
        sequences[role] = Sequence(role, scanned(rng, painted(pose, off), grid, kind, old), kind)
    return WidePatient(Study(sequences, truth > 0, Geometry((pixel, pixel, float(gap)))), truth)


def drawn_labels(materials: npt.NDArray[np.uint8], grid: Grid,
                 least: float) -> npt.NDArray[np.uint8]:
    """Pixels of which at least so much is the left ventricle, and what most of that is: readers
    draw the epicardium now inside and now outside of its middle."""
    shares = np.stack([grid.average(np.isin(np.arange(len(Material)), held)[materials]
                                    .astype(np.float32)) for held in _TISSUES.values()])
    labels = np.array(FOUR_TISSUES, np.uint8)[shares.argmax(0)]
    labels[shares.sum(0) < least] = Tissue.BACKGROUND
    return labels
