"""Whose outlines are measured: real patients in the layouts that they come in, phantoms of three
makes, and synthetic chests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from whole_stacks import Beyond, kept

from deepgmm.study.study import BoolArray, Geometry, Sequence, Study
from deepgmm.study.words import Role, Tissue

MAKES = ("library's phantom", "second make", "third make")
#: Seeds of the phantoms and of the chests that are scored.
FIRST_PHANTOM, FIRST_CHEST = 200, 60_000


def read(image: Path, labels: Path, role: Role) -> tuple[Study, np.ndarray]:
    import SimpleITK as sitk

    held = sitk.ReadImage(str(image))
    values = sitk.GetArrayFromImage(held).astype(np.float32)
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    study = Study({role: Sequence(role, values)}, np.zeros(values.shape, bool),
                  Geometry(tuple(held.GetSpacing())))
    return study, truth


def real(folder: Path, end: str, labels: str, role: Role
         ) -> Iterator[tuple[Study, np.ndarray, BoolArray]]:
    for file in sorted(folder.glob(f"*{end}")):
        study, truth = read(file, file.with_name(file.name.replace(end, labels)), role)
        yield study, truth, truth == 1


def acdc(folder: Path) -> Iterator[tuple[Study, np.ndarray, BoolArray]]:
    """ACDC's layout (Bernard et al., 2018): `Info.cfg` names the frame of end diastole."""
    for info in sorted(folder.rglob("Info.cfg")):
        told = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        stem = f"{info.parent.name}_frame{int(told['ED']):02d}"
        image, labels = (next(iter(sorted(info.parent.glob(f"{stem}{end}.nii*"))), None)
                         for end in ("", "_gt"))
        if image is None or labels is None:
            print(f"a patient of {folder.name} without its frame of end diastole is left out",
                  file=sys.stderr)
            continue
        study, codes = read(image, labels, Role.BSSFP)
        truth = np.select([codes == 3, codes == 2], [1, 2], 0)
        yield study, truth, truth == 1


def phantoms(make: str, count: int, first: int = FIRST_PHANTOM, beyond: bool = False
             ) -> Iterator[tuple[Study, np.ndarray, BoolArray]]:
    """Patients of a make; `beyond` : in stacks that go on beyond apex and valve."""
    from other_phantom import make_other_patient
    from third_phantom import make_third_patient

    from deepgmm.phantom import make_patient
    for seed in range(first, first + count):
        if make == MAKES[0] and beyond:
            study, truth = _library_beyond(seed, Beyond.draw(seed))
        elif make == MAKES[0]:
            patient = make_patient(seed)
            study, truth = patient.study, patient.truth
        else:
            maker = make_other_patient if make == MAKES[1] else make_third_patient
            other = maker(seed, beyond=Beyond.draw(seed) if beyond else None)
            study, truth = other.study, other.truth
        yield study, truth, truth == Tissue.BLOOD


def _library_beyond(seed: int, beyond: Beyond) -> tuple[Study, np.ndarray]:
    """A typical patient of the library's phantom, whose stack goes on beyond apex and valve."""
    from deepgmm.phantom import patient as made
    from deepgmm.phantom.anatomy import Grid, Heart, Material, Pose, paint_heart, surroundings
    from deepgmm.phantom.contrast import DEFAULT_KINDS, image
    from deepgmm.phantom.infarct import draw_typical

    body, lesion, motion, *scans = (np.random.default_rng([seed, 0, part])
                                    for part in range(3 + len(Role)))
    heart, pixel = Heart.draw(body), float(np.round(body.uniform(1.2, 1.45), 4))
    rows, columns = (int(n) for n in 2 * body.integers(64, 81, 2))
    grid = Grid(rows, columns, pixel, made.FACTOR)
    gap = float(np.round(body.uniform(8.0, 14.0), 3))
    # the apex is the tip of the epicardium, the valve where its levels begin
    depths = beyond.depths(heart.length, 0.0, gap)
    within = ((np.arange(made.FACTOR) + 0.5) / made.FACTOR - 0.5) * 8.0
    deep = depths[:, None] - within
    levels = np.clip(deep / heart.length, 0.0, 0.97)
    infarct = draw_typical(lesion, mvo_fraction=0.25)
    around = surroundings(heart, levels, grid)
    below = depths > heart.length
    ventricle = [m for m in Material if Material.BLOOD <= m <= Material.PAPILLARY]

    def painted(pose: Pose, valve: bool = True) -> np.ndarray:
        codes = paint_heart(around, heart, levels, grid, infarct.bounds(levels.ravel()),
                            infarct.thinned(levels.ravel()), pose)
        codes[below] = around[below]
        if not valve:
            return codes
        # sample rows of a pixel lie at different levels
        rows_at = np.tile(deep, (1, grid.rows))
        return beyond.with_atrium(codes, rows_at, *grid.axes(), valve=0.0, ventricle=ventricle,
                                  wall=Material.RV_WALL, blood=Material.RV_BLOOD)
    truth, uncut = (made._truth(painted(Pose(), valve), grid)[0] for valve in (True, False))
    sequences = {}
    for i, role in enumerate(Role):
        pose = Pose.draw(motion, 1.0, pixel)
        if role in DEFAULT_KINDS:
            values, _ = image(scans[i], painted(pose), grid, DEFAULT_KINDS[role], 1.0,
                              infarct.chronic)
            sequences[role] = Sequence(role, values, DEFAULT_KINDS[role])
    truth = kept(truth, uncut, Tissue.BLOOD)
    return Study(sequences, np.zeros(truth.shape, bool), Geometry((pixel, pixel, gap))), truth


def chests(count: int, first: int = FIRST_CHEST) -> Iterator[tuple[Study, np.ndarray, BoolArray]]:
    """One look each of chests that the network did not see; stacks that go beyond both ends."""
    from whole_chest import PIXEL, chest

    for seed in range(first, first + count):
        one = chest(seed, looks=1)
        values = one.images[0].astype(np.float32)
        truth = (one.pool.astype(int) + one.wall) > 127
        yield (Study({Role.LGE: Sequence(Role.LGE, values)}, np.zeros(values.shape, bool),
                     Geometry((PIXEL, PIXEL, 9.0))), truth, one.pool > 127)
