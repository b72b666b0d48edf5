"""Phantom patients of another make, for the test side: no method was ever tuned on them.

Anatomy, diseases, signals, scanner and motion are other than the library's phantom's, and nothing
of that one is used here: a ventricle in prolate spheroidal coordinates with trabeculae, diseases
as level sets of coronary territories in three dimensions (`other_phantom_heart.py`,
`other_phantom_lesions.py`), signals from relaxation times by the equations of each sequence, and
images by way of k-space (`other_phantom_scanner.py`).

LGE is where the truth was drawn, so it lies nearest to it; bSSFP and T2 come from other
breath-holds, each slice from its own. Pixels measure 0.9 to 1.9 mm; slices of 6 to 8 mm lie 8 to
14 mm apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from other_phantom_heart import (
    ELSEWHERE,
    Array,
    Codes,
    Field,
    Heart,
    Matter,
    Pose,
    draw_heart,
)
from other_phantom_lesions import disease_of
from other_phantom_scanner import (
    PLASMA,
    POOLS,
    Protocol,
    Readout,
    Tissues,
    coil_gain,
    fine_images,
    protocol_of,
    smooth,
)
from whole_stacks import Beyond, kept

from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role, Tissue

SETS = ("typical", "atypical", "healthy")
KINDS = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}

#: Keeps this phantom's random numbers apart from any other's.
_MAKE = 0x0D6E
#: Planes through a slice that are averaged: off by so much of a fine sample along columns and
#: rows, which softens the samples' steps, and of the slice's thickness.
_PLANES = np.array([(-1, 1, -1), (0, -2, 0), (1, 1, 1)], np.float32) / 3
#: Pixels around the image against wrapping in k-space.
_MARGIN = 8

_TRUTH = {Tissue.BLOOD: (Matter.BLOOD, Matter.SLOW_BLOOD, Matter.PAPILLARY),
          Tissue.MYOCARDIUM: (Matter.MUSCLE,),
          Tissue.EDEMA: (Matter.EDEMA,),
          Tissue.SCAR: (Matter.INFARCT, Matter.OBSTRUCTED, Matter.FIBROSIS)}


@dataclass
class OtherPatient:
    """A patient whose tissues are known.

    Attributes
    ----------
    study : what a user would have: sequences, LV mask, geometry, RV insertion points.
    truth : (slices, rows, columns) uint8 labels 0 to 4, apex first; obstruction and fibrosis
        count as scar, papillary muscles and trabeculae as blood.
    pattern : "one artery", one of `other_phantom_lesions.PATTERNS`, or "healthy".
    """

    study: Study
    truth: Codes
    seed: int
    patient_set: str
    pattern: str


@dataclass(frozen=True)
class Stack:
    """Where the samples lie: `factor` a pixel in each direction, in an image with its margin.

    Attributes
    ----------
    shape : (rows, columns) with the margin.
    depths : (slices,) z of the slices' middles.
    tilt : (2,) z gained along x and y, and what x and y lose with z.
    turn : of the heart in the image, radians.
    """

    shape: tuple[int, int]
    pixel: float
    factor: int
    depths: Array
    thickness: float
    gap: float
    tilt: Array
    turn: float

    @classmethod
    def draw(cls, rng: np.random.Generator, heart: Heart, slices: int | None) -> Stack:
        low, high = heart.span()
        gap = rng.uniform(8.0, 14.0)
        count = int(np.clip((high - low) // gap + 1, 3, 10)) if slices is None else slices
        gap = round(min(gap, (high - low) / max(count - 1, 1)), 3)
        room = (high - low - gap * (count - 1)) / 2
        middle = (low + high) / 2 + rng.uniform(-0.5, 0.5) * min(room, 15.0)
        depths = middle - (np.arange(count) - (count - 1) / 2) * gap
        pixel = round(float(np.exp(rng.uniform(np.log(0.9), np.log(1.9)))), 4)
        shape = tuple(2 * int(np.ceil(mm / pixel / 2)) + 2 * _MARGIN
                      for mm in rng.uniform(150, 200, 2))
        return cls((shape[0], shape[1]), pixel, 1 if pixel < 1.4 else 2,
                   depths.astype(np.float32), min(rng.uniform(6.0, 8.0), gap), gap,
                   rng.normal(0, 0.06, 2).astype(np.float32), float(rng.normal(0, 0.25)))

    @property
    def cut(self) -> tuple[slice, slice, slice]:
        """The image without its margin."""
        return (slice(None), slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))

    def axes(self, factor: int) -> tuple[Array, Array]:
        """mm from the middle along rows and columns, at so many samples a pixel."""
        y, x = (((np.arange(n * factor) + 0.5) / factor - n / 2) * self.pixel for n in self.shape)
        return y.astype(np.float32), x.astype(np.float32)

    def codes(self, heart: Heart, around: Codes, pose: Pose) -> Codes:
        """(slices, planes, fine rows, fine columns) of `Matter`."""
        y, x = self.axes(self.factor)
        left, right, top, bottom = heart.reach()
        columns = slice(*np.searchsorted(x, (-left, right)))
        rows = slice(*np.searchsorted(y, (-top, bottom)))
        full = np.repeat(around[:, None], len(_PLANES), 1)
        off = (_PLANES * (self.pixel / self.factor, self.pixel / self.factor, self.thickness))
        along, down, through = (off.T[:, None, :, None, None]
                                - pose.shifts.T[:, :, None, None, None]).astype(np.float32)
        painted = heart.paint(*self._in_heart(
            x[columns] + along, y[rows, None] + down,
            self.depths[:, None, None, None] + through, pose.turn), pose.squeeze)
        box = full[:, :, rows, columns]
        box[:] = np.where(painted == ELSEWHERE, box, painted)
        return full

    def _in_heart(self, u: Array, v: Array, z: Array, turn: float) -> tuple[Array, Array, Array]:
        """From the image's axes, along columns and rows, to the heart's."""
        cos, sin = np.cos(np.float32(self.turn + turn)), np.sin(np.float32(self.turn + turn))
        x, y = cos * u + sin * v, cos * v - sin * u
        a, b = self.tilt
        return x - a * z, y - b * z, z + a * x + b * y

    def pixel_of(self, point: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(row, column) in the image without its margin, of a point of the heart."""
        x, y = point[0] + self.tilt[0] * point[2], point[1] + self.tilt[1] * point[2]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        at = np.array([sin * x + cos * y, cos * x - sin * y]) / self.pixel
        return np.asarray(at + np.array(self.shape) / 2 - 0.5 - _MARGIN)


def make_other_patient(seed: int, *, patient_set: str = "typical",
                       kinds: dict[Role, Kind] | None = None,
                       slices: int | None = None, beyond: Beyond | None = None
                       ) -> OtherPatient:
    """Draw one patient; the same arguments give the same bytes.

    Heart, disease, stack and truth depend on seed, set and slices alone, and a sequence on its
    own kind besides.

    Parameters
    ----------
    patient_set : typical (one artery), atypical (`PATTERNS` in turn, by seed) or healthy.
    kinds : per role; only the roles named are made. bSSFP, LGE magnitude and T2 dark-blood by
        default.
    slices : 1 to 10; by default as many as the ventricle has room for, 3 to 10.
    beyond : goes on beyond apex and valve.

    Raises
    ------
    ValueError : an argument outside its range.
    """
    if patient_set not in SETS:
        raise ValueError(f"no set {patient_set!r}: give one of {', '.join(SETS)}")
    if slices is not None and not 1 <= slices <= 10:
        raise ValueError(f"{slices} slices: give 1 to 10")
    # one stream a part, so that a change of one leaves the others as they were
    body, lesion, place, tissue, *scans = (
        np.random.default_rng([_MAKE, seed, SETS.index(patient_set), part])
        for part in range(4 + len(Role)))
    kinds = KINDS if kinds is None else kinds
    for role, kind in kinds.items():
        if kind.role is not role:
            raise ValueError(f"{kind.value} is no kind of {role.title}")
    pattern, disease = disease_of(patient_set, seed)
    heart = draw_heart(body, lesion, disease)
    stack = Stack.draw(place, heart, slices)
    if beyond is not None:
        stack = replace(stack, depths=beyond.depths(*heart.ends(), stack.gap).astype(np.float32))
    around = surroundings(place, stack)

    def codes_in(pose: Pose) -> Codes:
        codes = stack.codes(heart, around, pose)
        if beyond is None:
            return codes
        depths = stack.depths[:, None] + _PLANES[:, 2] * stack.thickness
        return beyond.with_atrium(
            codes.reshape(-1, *codes.shape[2:]), depths.ravel(), *stack.axes(stack.factor),
            valve=heart.ends()[1], ventricle=[m for ms in _TRUTH.values() for m in ms],
            wall=Matter.RV_WALL, blood=Matter.RV_BLOOD).reshape(codes.shape)
    still = Pose(np.zeros((len(stack.depths), 3), np.float32))
    truth = _truth(codes_in(still), stack)
    if beyond is not None:
        truth = kept(truth, _truth(stack.codes(heart, around, still), stack), Tissue.BLOOD)
    tissues, plasma = Tissues.draw(tissue), float(tissue.uniform(*PLASMA))
    uneven = smooth(tissue, (len(truth), *stack.shape), tissue.uniform(2.0, 4.0) / stack.pixel)

    sequences = {}
    for role, kind in kinds.items():
        rng = scans[list(Role).index(role)]
        protocol = protocol_of(rng, kind, tissues, plasma)
        pose = Pose.draw(rng, len(truth), 0.4 if role is Role.LGE else 1.0)
        codes = codes_in(pose)
        sequences[role] = Sequence(
            role, _acquire(rng, protocol, codes, stack, tissues, uneven), kind)
    points = np.array([[stack.pixel_of(p) for p in heart.insertions(float(z))]
                       for z in stack.depths])
    study = Study(sequences, truth > 0, _geometry(place, stack), insertion_points=points)
    return OtherPatient(study, truth, seed, patient_set, pattern)


def _truth(codes: Codes, stack: Stack) -> Codes:
    """A pixel of which half or more is the left ventricle is pool or wall, whichever is more of
    it, and the wall what most of the wall in it is."""
    f = stack.factor
    counts = []
    for matters in _TRUTH.values():
        held = np.isin(np.arange(ELSEWHERE), matters).astype(np.uint8)[codes].sum(1, np.uint8)
        counts.append(sum(held[:, i::f, j::f] for i in range(f) for j in range(f)))
    pool, wall = counts[0], np.sum(counts[1:], 0)
    labels = np.array(list(_TRUTH)[1:], np.uint8)[np.argmax(counts[1:], 0)]
    labels[pool > wall] = Tissue.BLOOD
    labels[2 * (pool + wall) < len(_PLANES) * f * f] = Tissue.BACKGROUND
    return np.ascontiguousarray(labels[stack.cut])


def _acquire(rng: np.random.Generator, protocol: Protocol, codes: Codes, stack: Stack,
             tissues: Tissues, uneven: Array) -> Array:
    """(slices, rows, columns) of one sequence, in the scanner's units or, of a map, in ms."""
    shape, factor = stack.shape, stack.factor
    readout = Readout.draw(rng, stack.pixel)
    y, x = stack.axes(1)
    gain = coil_gain(rng, y, x)
    lost = 1 - protocol.loss * np.exp(-((y[:, None] - rng.normal(18, 8)) ** 2
                                        + (x - rng.normal(22, 6)) ** 2) / (2 * 18.0 ** 2))
    flow = smooth(rng, (len(codes), *shape), rng.uniform(3.0, 6.0) / stack.pixel)
    fields = [field.repeat(factor, 1).repeat(factor, 2) for field in (uneven, flow)]
    images = []
    for plain, more in zip(protocol.signals(tissues), protocol.signals(tissues.more(1.0)),
                           strict=True):
        slope = more - plain
        slope[list(POOLS)] = protocol.flow * np.abs(plain[list(POOLS)])
        clean = readout.image(fine_images(codes, plain, slope, *fields), shape, stack.pixel)
        noise = readout.noise(rng, (len(codes), *shape), stack.pixel)
        images.append(clean * (gain * lost).astype(np.float32) + np.float32(protocol.noise) * noise)
    values = protocol.combine(np.stack(images))[stack.cut]
    if not protocol.quantitative:
        values = values * (np.exp(rng.uniform(np.log(200), np.log(2000))) / np.abs(values).max())
    return np.ascontiguousarray(values, np.float32)


def surroundings(rng: np.random.Generator, stack: Stack) -> Codes:
    """(slices, fine rows, fine columns): lungs, chest wall above left, liver below, aorta."""
    y, x = stack.axes(stack.factor)
    y, x = np.broadcast_arrays(y[:, None], x[None, :])
    around = np.full((len(stack.depths), *y.shape), Matter.LUNG, np.uint8)
    bumps = 4 * Field.draw(rng, 40.0)(np.stack([x, y, np.zeros_like(x)], -1))
    chest, liver = rng.uniform(72, 88), rng.uniform(52, 66)
    aorta = rng.uniform((60, 35), (75, 60))
    for plane, z in zip(around, stack.depths, strict=True):
        plane[y - 0.25 * x + bumps - 0.3 * z > liver] = Matter.LIVER
        front = -0.55 * x - 0.83 * y + bumps + 0.0012 * (0.83 * x - 0.55 * y) ** 2
        plane[front > chest] = Matter.SKELETAL
        plane[front > chest + 12] = Matter.FAT
        plane[np.hypot(x - aorta[0], y - aorta[1]) < 11] = Matter.RV_BLOOD
    return around


def _geometry(rng: np.random.Generator, stack: Stack) -> Geometry:
    """An oblique stack from apex to base; its columns run to the patient's left and back."""
    base = np.array([-0.62, 0.60, 0.50]) + rng.normal(0, 0.07, 3)
    base /= np.linalg.norm(base)
    columns = np.cross((0.1, 0.3, -1.0), base)
    columns /= np.linalg.norm(columns)
    direction = np.stack([columns, np.cross(base, columns), base], 1)
    spacing = np.array([stack.pixel, stack.pixel, stack.gap])
    size = np.array([stack.shape[1] - 2 * _MARGIN, stack.shape[0] - 2 * _MARGIN,
                     len(stack.depths)])
    origin = rng.normal((30.0, -30.0, 0.0), 20.0) - direction @ (spacing * (size - 1) / 2)
    return Geometry((stack.pixel, stack.pixel, stack.gap),
                    (float(origin[0]), float(origin[1]), float(origin[2])),
                    tuple(float(d) for d in direction.ravel()))
