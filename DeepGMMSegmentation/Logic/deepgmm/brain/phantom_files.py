"""Phantom brains as files in IBSR18's layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepgmm.brain.phantom import BrainPhantom
from deepgmm.brain.volumes import write_brain
from deepgmm.errors import InputError
from deepgmm.files import together, unwritable


def write_ibsr(phantoms: Sequence[BrainPhantom], folder: str | os.PathLike[str], *,
               physical: bool = False, masks: bool = False) -> list[Path]:
    """Write phantoms as CASE/CASE.nii.gz and CASE/CASE_seg.nii.gz; all appear or none.

    Parameters
    ----------
    folder : made if need be.
    physical : labels in which CSF in the sulci is CSF, instead of grey matter as in IBSR.
    masks : the brain mask too, as CASE/brain.nii.gz, which IBSR does not have.

    Returns
    -------
    images : the file of each case's image.

    Raises
    ------
    InputError : a folder that cannot be written to, or two phantoms of one seed.
    """
    names = [f"{made.contrast.value}_{made.seed:04d}" for made in phantoms]
    if len(set(names)) < len(names):
        raise InputError("two phantoms have the same seed: give each its own")
    images = []
    with together() as outputs:
        for name, made in zip(names, phantoms):
            place = Path(folder) / name
            try:
                place.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unwritable(error, "phantom") from error
            truth = made.labels if physical else made.as_labelled
            files: list[tuple[str, npt.NDArray, str]] = [
                (name, made.volume.image, "image"), (f"{name}_seg", truth, "labels")]
            if masks:
                files.append(("brain", made.volume.mask.astype(np.uint8), "brain mask"))
            for stem, values, what in files:
                path = place / f"{stem}.nii.gz"
                write_brain(made.volume, values, outputs.path(path, what), what)
            images.append(place / f"{name}.nii.gz")
    return images
