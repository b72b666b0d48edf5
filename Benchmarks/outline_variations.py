"""A case otherwise: turned, cut, in other pixels, in fewer slices, noisy, contracted; and no heart.

Each variation takes a case and gives one whose truth is known as well, and what was proposed on the
plain one goes the same way, so that a variation is compared with what it was made from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import (
    affine_transform,
    distance_transform_edt,
    gaussian_filter,
    map_coordinates,
)

from deepgmm.propose.rings import ring_of_mask
from deepgmm.study.study import BoolArray, Geometry, Sequence, Study
from deepgmm.study.words import Role

#: (slices, rows, columns)
Planes = np.ndarray
Way = Callable[[Planes], Planes]


@dataclass(frozen=True)
class Case:
    """Images of a heart, and masks that go with them wherever they go.

    Attributes
    ----------
    images : of each sequence.
    masks : truth, and what was proposed on the plain case.
    spacing : mm of (columns, rows, slices).
    """

    images: dict[Role, Planes]
    masks: tuple[BoolArray, ...]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, study: Study, *masks: BoolArray) -> Case:
        return cls({role: s.values for role, s in study.sequences.items()}, masks,
                   tuple(study.geometry.spacing))

    @property
    def study(self) -> Study:
        shape = next(iter(self.images.values())).shape
        return Study({role: Sequence(role, np.ascontiguousarray(v, np.float32))
                      for role, v in self.images.items()},
                     np.zeros(shape, bool), Geometry(self.spacing))

    def moved(self, way: Way, masks: Way | None = None,
              spacing: tuple[float, float, float] | None = None) -> Case:
        """All that it holds, moved one way; masks, as shares of pixels, another where one is
        given."""
        other = masks or way
        return Case({role: way(v) for role, v in self.images.items()},
                    tuple(np.asarray(other(m.astype(np.float32))) > 0.5 for m in self.masks),
                    spacing or self.spacing)

    def shown(self, way: Way) -> Case:
        """Other brightness in the same places."""
        return replace(self, images={role: way(v) for role, v in self.images.items()})

    def contrast(self, values: Planes) -> float:
        """How far pool and wall, the inner and the outer half of the truth, lie apart, about."""
        return float(np.percentile(values[self.masks[0]], 85)
                     - np.percentile(values[self.masks[0]], 15))


Variation = Callable[[Case, np.random.Generator], Case]


def turned(quarters: int, mirrored: bool = False) -> Variation:
    def one(case: Case, _: np.random.Generator) -> Case:
        x, y, z = case.spacing

        def way(v: Planes) -> Planes:
            new = np.rot90(v, quarters, (1, 2))
            return new[:, :, ::-1] if mirrored else new
        return case.moved(way, spacing=(y, x, z) if quarters % 2 else (x, y, z))
    return one


def backwards(case: Case, _: np.random.Generator) -> Case:
    return case.moved(lambda v: v[::-1])


def in_file(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Variation:
    """As a file whose axes come in another order and run backwards, at the same place in the
    patient, read by the house."""
    import SimpleITK as sitk

    from deepgmm.reading.images.grids import image_of
    from deepgmm.reading.images.image import read_image
    from deepgmm.reading.studies.from_files import read_images

    tilt = np.linalg.qr(np.array([[0.8, 0.3, 0.5], [-0.5, 0.8, 0.1], [0.2, -0.4, 0.9]]))[0]

    def one(case: Case, _: np.random.Generator) -> Case:
        place = Geometry(case.spacing, (31.0, -42.0, 17.0), tuple(tilt.ravel()))
        with tempfile.TemporaryDirectory() as folder:
            def written(values: Planes, name: str) -> str:
                file = str(Path(folder) / f"{name}.nii.gz")
                sitk.WriteImage(sitk.Flip(sitk.PermuteAxes(image_of(values, place), axes), flips),
                                file)
                return file
            study = read_images(**{role.value: written(v, role.value)
                                   for role, v in case.images.items()})
            masks = tuple(sitk.GetArrayFromImage(read_image(
                written(m.astype(np.uint8), f"mask{k}"), "mask", labels=True)[0]) > 0
                for k, m in enumerate(case.masks))
        return Case.of(study, *masks)
    return one


def brightness(scale: float, offset: float) -> Variation:
    """Times so much, and more by so many of its own ranges."""
    return lambda case, _: case.shown(
        lambda v: scale * (v + offset * np.float32(np.ptp(v[np.isfinite(v)]))))


def cut(*, least: float, most: float, side: float | None = None) -> Variation:
    """To the truth and so many pixels around, drawn by chance, as far as there is an image; one
    side, drawn too, to another number of them, less than none inside the heart."""
    def one(case: Case, rng: np.random.Generator) -> Case:
        held = np.nonzero(case.masks[0].any(0))
        ends = [(int(at.min()), int(at.max()) + 1) for at in held]
        margins = rng.uniform(least, most + 1, (2, 2)).astype(int)
        if side is not None:
            margins[tuple(rng.integers(0, 2, 2))] = side
        rows, columns = (slice(max(low - a, 0), high + b)
                         for (low, high), (a, b) in zip(ends, margins))
        return case.moved(lambda v: v[:, rows, columns])
    return one


def bordered(mm: float, noise: float = 0.0) -> Variation:
    """So many mm of nothing around, or of the air's noise as a share of the contrast."""
    def one(case: Case, rng: np.random.Generator) -> Case:
        wide = [(0, 0), *((round(mm / s),) * 2 for s in case.spacing[1::-1])]

        def way(v: Planes) -> Planes:
            low = float(v.min())
            new = np.pad(v, wide, constant_values=low)
            if noise:
                beyond = np.pad(np.zeros(v.shape, bool), wide, constant_values=True)
                new[beyond] += noise * case.contrast(v) * np.hypot(
                    *rng.normal(size=(2, int(beyond.sum()))))
            return new
        return case.moved(way, lambda m: np.pad(m, wide))
    return one


def to_field(mm: float) -> Variation:
    """Air around, until it is so wide."""
    def one(case: Case, rng: np.random.Generator) -> Case:
        rows = case.masks[0].shape[1] * case.spacing[1]
        return bordered(max((mm - rows) / 2, 0.0), 0.05)(case, rng)
    return one


def rotated(degrees: float) -> Variation:
    """About the image's middle; what comes in from beyond is dark."""
    def one(case: Case, _: np.random.Generator) -> Case:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        scale = np.array(case.spacing[1::-1])
        matrix = np.array([[c, -s], [s, c]]) * scale / scale[:, None]
        middle = (np.array(case.masks[0].shape[1:]) - 1) / 2

        def way(v: Planes, order: int = 3) -> Planes:
            return np.stack([affine_transform(p, matrix, middle - matrix @ middle, order=order,
                                              cval=float(v.min())) for p in v])
        return case.moved(lambda v: way(v.astype(np.float32)), lambda m: way(m, 1))
    return one


def in_pixels(mm: float) -> Variation:
    def one(case: Case, _: np.random.Generator) -> Case:
        step = [mm / s for s in case.spacing[1::-1]]
        shape = [max(int(n / f), 1) for n, f in zip(case.masks[0].shape[1:], step)]
        first = [((n - 1) - f * (m - 1)) / 2
                 for n, f, m in zip(case.masks[0].shape[1:], step, shape)]
        blur = [0.42 * np.sqrt(max(f * f - 1, 0.0)) for f in step]

        def way(v: Planes, order: int = 3) -> Planes:
            return np.stack([affine_transform(gaussian_filter(p, blur), step, first, tuple(shape),
                                              order=order, mode="nearest") for p in v])
        return case.moved(lambda v: way(v.astype(np.float32)), lambda m: way(m, 1),
                          (mm, mm, case.spacing[2]))
    return one


def in_slices(count: int) -> Variation:
    """So many from the truth's first to its last: picked, or where there are fewer, put between."""
    def one(case: Case, _: np.random.Generator) -> Case:
        held = np.flatnonzero(case.masks[0].any((1, 2)))
        there = int(held[-1] - held[0]) + 1
        at = np.linspace(held[0], held[-1], count)
        if count <= there:
            at = at.round()
        gap = case.spacing[2] * (there - 1) / (count - 1)

        def way(v: Planes) -> Planes:
            low = np.floor(at).astype(int)
            share = (at - low)[:, None, None]
            return (1 - share) * v[low] + share * v[np.minimum(low + 1, len(v) - 1)]
        return case.moved(lambda v: way(v.astype(np.float32)),
                          lambda m: 0.5 + np.clip(way(_depth(m > 0.5)), -0.5, 0.5),
                          (*case.spacing[:2], gap))
    return one


def thick(beside: float) -> Variation:
    """Each slice holds so much of each beside it; its truth stays."""
    def way(v: Planes) -> Planes:
        wide = np.pad(v.astype(np.float32), ((1, 1), (0, 0), (0, 0)), mode="edge")
        return beside * (wide[:-2] + wide[2:]) + (1 - 2 * beside) * wide[1:-1]
    return lambda case, _: case.shown(way)


def noisy(ratio: float) -> Variation:
    """As Rice has it, so strong that the contrast of pool and wall is `ratio` of its sigmas."""
    def one(case: Case, rng: np.random.Generator) -> Case:
        def way(v: Planes) -> Planes:
            sigma, low = case.contrast(v) / ratio, float(v.min())
            return np.hypot(v - low + sigma * rng.normal(size=v.shape),
                            sigma * rng.normal(size=v.shape))
        return case.shown(way)
    return one


def shaded(times: float) -> Variation:
    """A coil so many times as near on one side, drawn by chance, as 200 mm across from it."""
    def one(case: Case, rng: np.random.Generator) -> Case:
        angle = rng.uniform(0, 2 * np.pi)
        y, x = ((np.arange(n) - (n - 1) / 2) * s
                for n, s in zip(case.masks[0].shape[1:], case.spacing[1::-1]))
        along = (y[:, None] * np.sin(angle) + x * np.cos(angle)) / 200.0
        field = np.exp(np.log(times) * np.clip(along, -0.75, 0.75)).astype(np.float32)
        return case.shown(lambda v: (v - v.min()) * field)
    return one


def contracted(left: float) -> Variation:
    """A later phase: of the pool so much area is left, the wall keeps its own, and what lies beyond
    follows over 30 mm. Slices stay at their level."""
    def one(case: Case, _: np.random.Generator) -> Case:
        scale = np.array(case.spacing[1::-1])
        shape = case.masks[0].shape
        grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape[1:], scale)),
                                    indexing="ij"))
        places = np.repeat(grid[None], shape[0], 0)
        for i, held in enumerate(case.masks[0]):
            ring = ring_of_mask(held, tuple(scale))
            if ring is None:
                continue
            off = grid - ring.centre[:, None, None]
            now = np.hypot(*off)
            outer = float(np.sqrt((ring.outer ** 2).mean()))
            inner = max(outer - 9.0, 0.45 * outer)
            gone = (1 - left) * inner ** 2
            small, less = inner * np.sqrt(left), outer - np.sqrt(outer ** 2 - gone)
            before = np.where(now < small, now / np.sqrt(left), np.sqrt(now ** 2 + gone))
            beyond = np.clip(1 - (now - (outer - less)) / 30.0, 0.0, 1.0)
            before = np.where(now > outer - less, now + less * beyond, before)
            places[i] = ring.centre[:, None, None] + off * (before / np.maximum(now, 1e-6))
        places /= scale[:, None, None]

        def way(v: Planes) -> Planes:
            return np.stack([map_coordinates(p.astype(np.float32), at, order=1, mode="nearest")
                             for p, at in zip(v, places)])
        return case.moved(way)
    return one


def _depth(masks: BoolArray) -> Planes:
    """Pixels to the border of each slice's mask, outside of it less than none."""
    return np.stack([distance_transform_edt(m) - distance_transform_edt(~m) if m.any()
                     else np.full(m.shape, -8.0) for m in masks])


def without_heart(hearts: list[Case], seeds: range) -> Iterator[tuple[str, Study]]:
    """Images that hold no left ventricle, and what they are."""
    from lifelike import smooth
    from whole_chest import FACTOR, PIXEL, SIDE, _heart, _plane, look

    from deepgmm.brain.phantom import make_brain
    from deepgmm.phantom.anatomy import Grid, Material

    def study(values: Planes, role: Role, pixel: float = 1.5, gap: float = 8.0) -> Study:
        return Case({role: values}, (np.zeros(values.shape, bool),), (pixel, pixel, gap)).study
    for seed in seeds:
        rng = np.random.default_rng([seed, 17])
        role = (Role.BSSFP, Role.LGE)[seed % 2]
        shape = (8, 150, 140)
        yield "noise", study(100 + 10 * rng.normal(size=shape), role)
        yield "clouds", study(smooth(rng, shape, rng.uniform(2.0, 8.0)), role)
        yield "one grey", study(np.full(shape, 100.0), role)
        brain = make_brain(seed, contrast=("T1", "T2", "inverted")[seed % 3], spacing=1.5)
        yield "a brain", study(brain.volume.image[10:-10:5], role, 1.5, 7.5)
        heart, grid = _heart(rng), Grid(SIDE, SIDE, PIXEL, FACTOR)
        plane = np.stack([_plane(rng, heart, grid)] * 6)
        yield "a chest without its heart", study(
            look(rng, role.value, plane, grid), role, PIXEL, 9.0)
        liver = np.full_like(plane, Material.LIVER)
        vessels = smooth(rng, plane.shape, 3.0) > 2.0
        liver[vessels] = Material.RV_BLOOD
        yield "liver alone", study(look(rng, role.value, liver, grid), role, PIXEL, 9.0)
    for case in hearts:
        (role, values), = case.images.items()
        rows, columns = np.nonzero(case.masks[0].any(0))
        gap = int(10 / case.spacing[0])
        parts = [values[:, :rows.min() - gap], values[:, rows.max() + gap:],
                 values[:, :, :columns.min() - gap], values[:, :, columns.max() + gap:]]
        yield "a chest beside its heart", study(
            max(parts, key=lambda p: p.size), role, case.spacing[0], case.spacing[2])
