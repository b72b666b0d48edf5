"""A small patient as files, quicker than the phantom: a disk of blood in a ring of wall."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SPACING, ORIGIN = (2.0, 2.0, 8.0), (-40.0, 12.5, 30.0)
OBLIQUE = (0.8, -0.36, 0.48, 0.6, 0.48, -0.64, 0.0, 0.8, 0.6)
SHAPE = (3, 48, 48)

#: What lay where an output is to be written.
BEFORE = b"what was there before"

Y, X = np.mgrid[: SHAPE[1], : SHAPE[2]] - 23.5
RADIUS = np.broadcast_to(np.hypot(Y, X), SHAPE)
MASK, POOL = RADIUS < 17, RADIUS < 9
WALL = MASK & ~POOL
EDEMA = WALL & (Y > abs(X))
SCAR = EDEMA & (RADIUS < 13)
TRUTH = (MASK + 1 * WALL + 1 * EDEMA + 1 * SCAR).astype(np.uint8)

#: Background, blood, myocardium, edema, scar.
SIGNALS = {
    "bssfp": (60, 300, 120, 140, 145), "lge": (40, 250, 60, 85, 300),
    "t2": (40, 60, 150, 270, 260),
}


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Images, mask and wall by role; (slices, rows, columns)."""
    rng = np.random.default_rng(seed)
    images = {
        role: (np.array(signals, float)[TRUTH] + rng.normal(0, 8, SHAPE)).astype(np.float32)
        for role, signals in SIGNALS.items()
    }
    return {**images, "mask": MASK.astype(np.uint8), "wall": WALL.astype(np.uint8)}


def an_image(
    values: np.ndarray, *, spacing=SPACING, origin=ORIGIN, direction=OBLIQUE
) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def save(values: np.ndarray, path: Path, **grid) -> Path:
    """Write an array as an image on the patient's grid, or on another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(an_image(values, **grid), str(path))
    return path


def save_all(
    folder: Path, roles: Iterable[str] = ("bssfp", "lge", "t2", "mask"), suffix: str = ".nii.gz"
) -> dict[str, Path]:
    made = arrays()
    return {role: save(made[role], folder / f"{role}{suffix}") for role in roles}


def save_cases(folder: Path, patients: int, labelled: int) -> Path:
    """So many patients, a folder each, of whom the first so many have labels."""
    for seed in range(patients):
        for role, values in arrays(seed).items():
            if role != "wall":
                save(values, folder / f"p{seed}" / f"{role}.nii.gz")
        if seed < labelled:
            save(TRUTH, folder / f"p{seed}" / "labels.nii.gz")
    return folder


def options(paths: dict[str, Path]) -> list[str]:
    """As arguments of the command line."""
    return [word for role, path in paths.items() for word in (f"--{role}", str(path))]
