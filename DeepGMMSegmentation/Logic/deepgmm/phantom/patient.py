"""A whole patient from one seed: heart, infarct, three sequences, truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.phantom.anatomy import (
    FloatArray,
    Grid,
    Heart,
    Material,
    Pose,
    paint_heart,
    surroundings,
)
from deepgmm.phantom.contrast import DEFAULT_KINDS, image, look_of
from deepgmm.phantom.infarct import Infarct, draw_atypical, draw_typical, healthy
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, PatientSet, Role, Tissue

#: Samples a pixel in each direction, from which partial volume is averaged.
FACTOR = 3


@dataclass
class PhantomPatient:
    """A patient whose tissues are known.

    Attributes
    ----------
    study : what a user would have: sequences, LV mask, geometry, RV insertion points.
    truth : (slices, rows, columns) uint8 labels 0 to 4; microvascular obstruction counts as
        scar, papillary muscles as blood.
    truth_mvo : (slices, rows, columns) bool, microvascular obstruction.
    wall : (slices, rows, columns) bool, myocardium, edema and scar together.
    rv : (slices, rows, columns) bool, the right ventricle's pool.
    pattern : the lesion in words, one of `infarct.PATTERNS`, "one infarct" or "healthy".
    signals : noise-free signal per role and tissue, before scaling and shading.
    shifts : (rows, columns) displacement of each sequence against the truth, pixels.
    """

    study: Study
    truth: npt.NDArray[np.uint8]
    truth_mvo: npt.NDArray[np.bool_]
    wall: npt.NDArray[np.bool_]
    rv: npt.NDArray[np.bool_]
    seed: int
    patient_set: PatientSet
    pattern: str
    difficulty: float
    signals: dict[Role, dict[Tissue, float]] = field(default_factory=dict)
    shifts: dict[Role, tuple[float, float]] = field(default_factory=dict)


def make_patient(
    seed: int,
    *,
    patient_set: PatientSet | str = PatientSet.TYPICAL,
    difficulty: float = 1.0,
    slices: int = 5,
    kinds: dict[Role, Kind] | None = None,
    infarct_free_fraction: float = 0.0,
    mvo_fraction: float = 0.25,
    shape: tuple[int, int] | None = None,
) -> PhantomPatient:
    """Draw one patient; the same arguments give the same bytes.

    Heart, lesion and grid depend on the seed and the set alone: other kinds or another
    difficulty give other images of the same heart.

    Parameters
    ----------
    patient_set : typical (one wedge), atypical (the cycle of `infarct.PATTERNS`, by seed) or
        healthy.
    difficulty : scales noise, texture, shading, misalignment and the spread of contrasts;
        1 is calibrated, 0 is a clean image.
    slices : from apex (first) to base.
    kinds : per role; by default bSSFP, LGE magnitude, T2 dark-blood. Only the roles named are
        made; a role without a kind cannot be.
    infarct_free_fraction : share of the typical set's patients without a lesion.
    mvo_fraction : share of the typical set's patients with microvascular obstruction.
    shape : (rows, columns); drawn from 128 to 160 by default.

    Raises
    ------
    InputError : an argument outside its range.
    """
    patient_set = _patient_set(patient_set)
    kinds = dict(DEFAULT_KINDS if kinds is None else kinds)
    _check(seed, difficulty, slices, kinds, shape)
    _check_shares(infarct_free_fraction, mvo_fraction)
    number = list(PatientSet).index(patient_set)
    # One stream per part, so that a change of one leaves the others as they were.
    body, lesion, motion, *scans = (
        np.random.default_rng([seed, number, part]) for part in range(3 + len(Role)))

    heart = Heart.draw(body)
    pixel = float(np.round(body.uniform(1.2, 1.45), 4))
    rows, columns = (int(n) for n in 2 * body.integers(64, 81, 2)) if shape is None else shape
    grid = Grid(rows, columns, pixel, FACTOR)
    gap, middle = _stack(body, heart, slices)
    geometry = _geometry(body, heart, grid, gap, slices)
    centre = middle - (np.arange(slices) - (slices - 1) / 2) * gap / heart.length
    # Slices are 8 mm thick whatever lies between them; samples are spread over the thickness.
    within = ((np.arange(FACTOR) + 0.5) / FACTOR - 0.5) * 8.0 / heart.length
    levels = np.clip(centre[:, None] - within[None, :], 0.0, 0.97)

    infarct = _lesion(lesion, patient_set, seed, heart, centre,
                      infarct_free_fraction, mvo_fraction)
    around = surroundings(heart, levels, grid)
    bounds = infarct.bounds(levels.ravel())
    thinning = infarct.thinned(levels.ravel())

    def paint(pose: Pose) -> npt.NDArray[np.uint8]:
        return paint_heart(around, heart, levels, grid, bounds, thinning, pose)

    truth, truth_mvo, rv = _truth(paint(Pose()), grid)
    sequences: dict[Role, Sequence] = {}
    signals: dict[Role, dict[Tissue, float]] = {}
    shifts: dict[Role, tuple[float, float]] = {}
    for i, role in enumerate(Role):
        # Drawn for every role, so that leaving one out does not move the others.
        pose = Pose.draw(motion, difficulty, pixel)
        if role not in kinds:
            continue
        values, signal = image(scans[i], paint(pose), grid, kinds[role], difficulty,
                               infarct.chronic)
        sequences[role] = Sequence(role, values, kinds[role])
        signals[role] = {t: float(signal[t]) for t in Tissue if t != Tissue.BACKGROUND}
        shifts[role] = (pose.shift[0] / pixel, pose.shift[1] / pixel)

    study = Study(sequences, truth > 0, geometry,
                  insertion_points=grid.to_pixel(heart.insertion_points(centre)))
    return PhantomPatient(study, truth, truth_mvo, truth >= Tissue.MYOCARDIUM, rv, seed,
                          patient_set, infarct.pattern, difficulty, signals, shifts)


def _patient_set(name: PatientSet | str) -> PatientSet:
    try:
        return PatientSet(name)
    except ValueError:
        raise InputError(f"no phantom set '{name}': give one of "
                         + ", ".join(s.value for s in PatientSet)) from None


def _check(seed: int, difficulty: float, slices: int, kinds: dict[Role, Kind],
           shape: tuple[int, int] | None) -> None:
    if seed < 0:
        raise InputError(f"the phantom's seed is {seed}: give 0 or more")
    if not 0.0 <= difficulty <= 5.0:
        raise InputError(f"the phantom's difficulty is {difficulty}: give 0 to 5")
    if not 1 <= slices <= 12:
        raise InputError(f"the phantom has {slices} slices: give 1 to 12")
    if not kinds:
        raise InputError("no sequence asked of the phantom: give a kind for at least one role")
    for role, kind in kinds.items():
        look_of(kind)
        if kind.role is not role:
            raise InputError(f"'{kind.value}' is no kind of {role.title}")
    if shape is not None and min(shape) < 96:
        raise InputError(f"the phantom's image is {shape[0]} x {shape[1]}: "
                         "give at least 96 pixels each way")


def _check_shares(*shares: float) -> None:
    for share in shares:
        if not 0.0 <= share <= 1.0:
            raise InputError(f"the phantom's share of patients is {share}: give 0 to 1")


def _stack(rng: np.random.Generator, heart: Heart, slices: int) -> tuple[float, float]:
    """Distance of the slices in mm and the level of the stack's middle."""
    gap = rng.uniform(8.0, 20.0)
    middle = rng.uniform(0.42, 0.50)
    # The whole stack lies in the ventricle: from just below the valve to above the tip.
    room = 2 * min(middle - 0.06, 0.86 - middle) * heart.length
    if slices > 1:
        gap = min(gap, room / (slices - 1))
    return float(np.round(gap, 3)), middle


def _geometry(rng: np.random.Generator, heart: Heart, grid: Grid, gap: float,
              slices: int) -> Geometry:
    """An oblique short-axis stack: slices from apex to base, rows towards the diaphragm."""
    base = np.array([-0.67, 0.65, 0.35]) + rng.normal(0, 0.08, 3)
    base /= np.linalg.norm(base)
    down = np.array([0.0, 0.0, -1.0])
    down -= base * (down @ base)
    down /= np.linalg.norm(down)
    right = np.cross(down, base)
    # A heart turned in the image is the same heart with the image turned the other way.
    cos, sin = np.cos(heart.rotation), np.sin(heart.rotation)
    columns, rows = cos * right - sin * down, cos * down + sin * right
    direction = np.stack([columns, rows, base], axis=1)
    spacing = np.array([grid.pixel, grid.pixel, gap])
    size = np.array([grid.columns, grid.rows, slices])
    centre = np.array([45.0, -20.0, 30.0]) + rng.normal(0, 15.0, 3)
    origin = centre - direction @ (spacing * (size - 1) / 2)
    return Geometry((grid.pixel, grid.pixel, gap),
                    (float(origin[0]), float(origin[1]), float(origin[2])),
                    tuple(float(d) for d in direction.ravel()))


def _lesion(rng: np.random.Generator, patient_set: PatientSet, seed: int, heart: Heart,
            centre: FloatArray, infarct_free_fraction: float, mvo_fraction: float) -> Infarct:
    if patient_set is PatientSet.HEALTHY:
        return healthy()
    if patient_set is PatientSet.ATYPICAL:
        return draw_atypical(rng, seed, heart, centre)
    free = rng.uniform() < infarct_free_fraction
    infarct = draw_typical(rng, mvo_fraction=mvo_fraction)
    return healthy() if free else infarct


#: Material to the tissue of the truth; what is not the left ventricle is background.
_TISSUES = {Tissue.BLOOD: (Material.BLOOD, Material.PAPILLARY),
            Tissue.MYOCARDIUM: (Material.MYOCARDIUM,),
            Tissue.EDEMA: (Material.EDEMA,),
            Tissue.SCAR: (Material.SCAR, Material.MVO)}


def _truth(materials: npt.NDArray[np.uint8], grid: Grid
           ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Labels, microvascular obstruction and the right ventricle's pool.

    A pixel belongs to the left ventricle if at least half of it does, and then to the tissue
    that has most of it.
    """
    shares = np.stack([
        grid.average(np.isin(materials, wanted).astype(np.float32))
        for wanted in _TISSUES.values()])
    labels = np.array(list(_TISSUES), dtype=np.uint8)[shares.argmax(axis=0)]
    labels[shares.sum(axis=0) < 0.5] = Tissue.BACKGROUND
    mvo = grid.average((materials == Material.MVO).astype(np.float32)) >= 0.5
    rv = grid.average((materials == Material.RV_BLOOD).astype(np.float32)) >= 0.5
    return labels, mvo & (labels == Tissue.SCAR), rv & (labels == Tissue.BACKGROUND)
