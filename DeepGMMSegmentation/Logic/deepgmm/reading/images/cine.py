"""A cine where one image is wanted: a 4D file or a DICOM folder, and the frame taken from it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import sha256
from deepgmm.reading.images.grids import geometry_of, image_of, on_grid_of
from deepgmm.reading.images.image import quiet
from deepgmm.reading.images.phases import Phase, asked_for, best_fit, nearest_in_time, parse_phase
from deepgmm.study.study import BoolArray, Geometry

if TYPE_CHECKING:
    import SimpleITK

    #: Draws LV mask and, where known, the wall for an image: as images of 0 and 1.
    Draw = Callable[[SimpleITK.Image], tuple[SimpleITK.Image, SimpleITK.Image | None]]


@dataclass
class ImageInMemory:
    """A 3D image that was read already, where `read_study` takes a path.

    Attributes
    ----------
    hash : SHA-256 of the file or folder that it came from.
    """

    image: SimpleITK.Image
    hash: str
    warnings: list[str] = field(default_factory=list)


@dataclass
class Cine:
    """All frames of a stack.

    Attributes
    ----------
    values : (phases, slices, rows, columns).
    times : trigger time of each frame, ms; NaN where not known.
    interval : length of a heartbeat, ms; None where not known.
    """

    values: npt.NDArray[Any]
    geometry: Geometry
    hash: str
    times: list[float]
    interval: float | None = None
    warnings: list[str] = field(default_factory=list)

    def frame(self, number: int) -> SimpleITK.Image:
        """One frame as a 3D image."""
        return image_of(self.values[number], self.geometry)


def read_cine(path: str | os.PathLike[str]) -> Cine | None:
    """The cine in a 4D file or a folder with one DICOM cine; None where there is no such thing.

    A folder needs pydicom; without it, None.
    """
    if os.path.isdir(path):
        return _from_dicom(Path(path))
    return _from_file(Path(path)) if os.path.isfile(path) else None


def _from_file(path: Path) -> Cine | None:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    try:
        with quiet():
            reader.ReadImageInformation()
            if reader.GetDimension() != 4 or reader.GetSize()[3] < 2:
                return None
            image = reader.Execute()
    except RuntimeError:  # whoever reads it as one image says what is wrong
        return None
    values = sitk.GetArrayFromImage(image)
    return Cine(values, geometry_of(image[..., 0]), sha256(path), [math.nan] * len(values))


def _from_dicom(folder: Path) -> Cine | None:
    from deepgmm.reading.dicom.frames import Variation
    from deepgmm.reading.dicom.pixels import volume_of

    stack = _only_stack(folder)
    if stack is None or stack.variation not in (Variation.PHASE, Variation.ORDER):
        return None
    volume = volume_of(stack)
    return Cine(volume.values, volume.geometry, sha256(folder), volume.times,
                stack.first.interval, [*stack.notes, *volume.warnings])


def _only_stack(folder: Path) -> Any:
    from deepgmm.reading.dicom.headers import scan
    from deepgmm.reading.dicom.stacks import stacks_of

    try:
        stacks = stacks_of(scan(folder).frames)
    except InputError:
        return None
    return stacks[0] if len(stacks) == 1 else None


def trigger_time(path: Any) -> float | None:
    """When in the heartbeat the DICOM series of a folder was acquired, ms; None if not said."""
    stack = _only_stack(Path(path)) if isinstance(path, (str, os.PathLike)) \
        and os.path.isdir(path) else None
    return median_trigger(stack) if stack is not None else None


def median_trigger(stack: Any) -> float | None:
    """Median trigger time of a stack of single images, ms; None if not said."""
    times = [f.trigger for f in stack.frames if f.trigger]
    return float(np.median(times)) if times and stack.phases == 1 else None


def still_of(cine: Cine, phase: int | str | None, draw: Draw,
             lge_time: float | None = None) -> tuple[ImageInMemory, Phase]:
    """The frame that was asked for; else nearest to LGE in time; else that fits the mask.

    Parameters
    ----------
    phase : its number, counted from 0; "match" fits the mask even if times are known.
    draw : gives the mask, asked only if it is needed.
    """
    number = parse_phase(phase)
    if number is not None:
        chosen = asked_for(number, len(cine.values))
    elif phase is None and lge_time is not None and np.isfinite(cine.times).any():
        chosen = nearest_in_time(cine.times, lge_time, cine.interval)
    else:
        still = cine.frame(0)
        mask, wall = draw(still)
        chosen = best_fit(cine.values, _inside(mask, still),
                          None if wall is None else _inside(wall, still))
    return ImageInMemory(cine.frame(chosen.frame), cine.hash, list(cine.warnings)), chosen


def _inside(mask: SimpleITK.Image, grid: SimpleITK.Image) -> BoolArray:
    import SimpleITK as sitk

    moved = on_grid_of(mask, grid, is_mask=True, name="LV mask")
    return np.asarray(sitk.GetArrayFromImage(moved) > 0)
