"""A phantom patient as the files a user would have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import IMAGE_SUFFIXES, together, unwritable
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.masks.labelmap import OWN_NOTE, write_image
from deepgmm.study.study import Geometry

if TYPE_CHECKING:
    from deepgmm.phantom.patient import PhantomPatient


def write_volumes(volumes: dict[Path, npt.NDArray[np.generic]], geometry: Geometry) -> None:
    """Write (slices, rows, columns) arrays in their place; all appear or none.

    Raises
    ------
    InputError : a folder that cannot be made or written to, a full disk.
    """
    with together() as outputs:
        for path, values in volumes.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unwritable(error, "phantom") from error
            image = image_of(values, geometry)
            if path.name.startswith("truth."):
                image.SetMetaData("ITK_FileNotes", OWN_NOTE)
            write_image(image, outputs.path(path, path.name), path.name)


def write_patient(patient: PhantomPatient, folder: str | Path, *,
                  suffix: str = ".nii.gz") -> dict[str, Path]:
    """Write sequences, LV mask, wall and truth into `folder`, which is made if need be.

    Parameters
    ----------
    suffix : .nii.gz, .nii, .nrrd or .mha.

    Returns
    -------
    paths : by role: "bssfp", "lge", "t2" (those the patient has), "mask", "wall", "truth".

    Raises
    ------
    InputError : another suffix, or a folder that cannot be written to.

    Examples
    --------
    >>> paths = write_patient(make_patient(7), "phantom-7")                # doctest: +SKIP
    """
    if suffix not in IMAGE_SUFFIXES:
        raise InputError(f"no format '{suffix}' for the phantom: give one of "
                         + ", ".join(IMAGE_SUFFIXES))
    study = patient.study
    volumes: dict[str, npt.NDArray[np.generic]] = {
        role.value: sequence.values.astype(np.float32)
        for role, sequence in study.sequences.items()}
    volumes |= {"mask": study.mask.astype(np.uint8), "wall": patient.wall.astype(np.uint8),
                "truth": patient.truth}
    paths = {name: Path(folder) / f"{name}{suffix}" for name in volumes}
    write_volumes({paths[name]: values for name, values in volumes.items()}, study.geometry)
    return paths
