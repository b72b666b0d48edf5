"""A phantom patient as the files a user would have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.study import Geometry

if TYPE_CHECKING:
    from deepgmm.study.phantom.patient import PhantomPatient


def write_volume(values: npt.NDArray[np.generic], geometry: Geometry, path: Path) -> None:
    """Write (slices, rows, columns) in its place; appears whole or not at all.

    Raises
    ------
    InputError : the folder cannot be written or the file name's ending has no format.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    beside = path.with_name(f".part-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(beside), useCompression=True)
        beside.replace(path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"cannot write '{path.name}' into its folder: choose a folder you may "
                         "write to, and a name ending in .nii.gz, .nrrd or .mha") from error


def write_patient(patient: PhantomPatient, folder: str | Path, *,
                  suffix: str = ".nii.gz") -> dict[str, Path]:
    """Write sequences, LV mask, wall and truth into `folder`.

    Returns
    -------
    paths : by role: "bssfp", "lge", "t2" (those the patient has), "mask", "wall", "truth".
    """
    folder = Path(folder)
    study = patient.study
    volumes: dict[str, npt.NDArray[np.generic]] = {
        role.value: sequence.values.astype(np.float32)
        for role, sequence in study.sequences.items()}
    volumes["mask"] = study.mask.astype(np.uint8)
    volumes["wall"] = patient.wall.astype(np.uint8)
    volumes["truth"] = patient.truth
    paths = {}
    for name, values in volumes.items():
        paths[name] = folder / f"{name}{suffix}"
        write_volume(values, study.geometry, paths[name])
    return paths
