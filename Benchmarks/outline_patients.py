"""Whose outlines are measured: real patients in the layouts that they come in, phantoms of three
makes, and synthetic chests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from whole_stacks import Beyond, library_patient

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
            study, truth = library_patient(seed, Beyond.draw(seed))
        elif make == MAKES[0]:
            patient = make_patient(seed)
            study, truth = patient.study, patient.truth
        else:
            maker = make_other_patient if make == MAKES[1] else make_third_patient
            other = maker(seed, beyond=Beyond.draw(seed) if beyond else None)
            study, truth = other.study, other.truth
        yield study, truth, truth == Tissue.BLOOD


def chests(count: int, first: int = FIRST_CHEST) -> Iterator[tuple[Study, np.ndarray, BoolArray]]:
    """One look each of chests that the network did not see; stacks that go beyond both ends."""
    from whole_chest import PIXEL, chest

    for seed in range(first, first + count):
        one = chest(seed, looks=1)
        values = one.images[0].astype(np.float32)
        truth = (one.pool.astype(int) + one.wall) > 127
        yield (Study({Role.LGE: Sequence(Role.LGE, values)}, np.zeros(values.shape, bool),
                     Geometry((PIXEL, PIXEL, 9.0))), truth, one.pool > 127)
