"""A phantom patient in the folder layout of the MyoPS 2020 challenge.

What reads that data set, of which users bring their own copy, can be tried on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.phantom.files import write_volumes
from deepgmm.reading.studies.myops_layout import FOLDERS, SEQUENCE_NAMES, MyopsCase, coded
from deepgmm.study.words import Role

if TYPE_CHECKING:
    from deepgmm.phantom.patient import PhantomPatient


def write_patient(patient: PhantomPatient, root: str | Path,
                  case: int | None = None) -> MyopsCase:
    """Write a phantom patient as a training case; all its files appear or none.

    Parameters
    ----------
    root : the folder that holds, or shall hold, `train25` and `train25_myops_gd`.
    case : its number; by default 101 and the patient's seed.

    Raises
    ------
    InputError
        A patient who lacks a sequence, or a folder that cannot be written to.
    """
    missing = [role.title for role in Role if role not in patient.study.sequences]
    if missing:
        raise InputError(f"the layout of MyoPS 2020 wants all three sequences: make the phantom "
                         f"with {', '.join(missing)} too, or choose the plain layout")
    number = str(101 + patient.seed if case is None else case)
    images, truths = (Path(root) / name for name in FOLDERS)
    sequences = {role: images / f"myops_training_{number}_{name}.nii.gz"
                 for role, name in SEQUENCE_NAMES.items()}
    truth = truths / f"myops_training_{number}_gd.nii.gz"
    volumes: dict[Path, npt.NDArray[np.generic]] = {
        path: patient.study.sequences[role].values.astype(np.float32)
        for role, path in sequences.items()}
    volumes[truth] = coded(patient.truth, patient.rv)
    write_volumes(volumes, patient.study.geometry)
    return MyopsCase(number, sequences, truth)
