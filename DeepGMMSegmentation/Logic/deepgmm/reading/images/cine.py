"""A cine where one image is wanted: a 4D file or a DICOM folder, and the frame taken from it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import sha256
from deepgmm.reading.images.dicom import holds_dicom
from deepgmm.reading.images.four_axes import read_four_axes
from deepgmm.reading.images.grids import image_of, on_grid_of
from deepgmm.reading.images.phases import (
    Phase,
    asked_for,
    best_fit,
    drawn_on,
    nearest_in_time,
    parse_phase,
    tells,
)
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
    images : DICOM image to its frame, by its UID, of a multi-frame one with "#" and its number
        from 1 behind; those whose UID other images have too are left out.
    """

    values: npt.NDArray[Any]
    geometry: Geometry
    hash: str
    times: list[float]
    interval: float | None = None
    warnings: list[str] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)

    def frame(self, number: int) -> SimpleITK.Image:
        """One frame as a 3D image."""
        return image_of(self.values[number], self.geometry)


def read_cine(path: str | os.PathLike[str]) -> Cine | None:
    """The cine in a 4D file or a folder with one DICOM cine; None where there is no such thing."""
    if holds_dicom(path):
        return _from_dicom(Path(path))
    return _from_file(Path(path)) if os.path.isfile(path) else None


def _from_file(path: Path) -> Cine | None:
    found = read_four_axes(path)
    if found is None:
        return None
    values, geometry, warnings = found
    return Cine(values, geometry, sha256(path), [math.nan] * len(values), warnings=warnings)


def _from_dicom(folder: Path) -> Cine | None:
    from deepgmm.reading.dicom.frames import Variation
    from deepgmm.reading.dicom.pixels import volume_of

    stack = _only_stack(folder)
    if stack is None or stack.variation not in (Variation.PHASE, Variation.ORDER):
        return None
    volume = volume_of(stack)
    return Cine(volume.values, volume.geometry, sha256(folder), volume.times,
                stack.first.interval, [*stack.notes, *volume.warnings], images_of(stack))


def images_of(stack: Any) -> dict[str, int]:
    """The frame of each image of a stack, by what names the image (see `Cine`)."""
    count = stack.phases
    several = {f.uid for f in stack.frames if f.index > 0}
    found: dict[str, int] = {}
    repeated: set[str] = set()
    for one in stack.slices:
        for number, frame in enumerate(one):
            name = f"{frame.uid}#{frame.index + 1}" if frame.uid in several else frame.uid
            if name in found or not name:
                repeated.add(name)
            # Slices with other numbers of frames are taken at the same part of the heartbeat.
            found[name] = round(number * (count - 1) / max(len(one) - 1, 1))
    return {name: frame for name, frame in found.items() if name not in repeated}


def images_in(folders: Iterable[str | os.PathLike[str]], count: int,
              series: Iterable[int] = ()) -> dict[str, int]:
    """As `images_of`, of the cines of so many frames in some folders.

    Parameters
    ----------
    series : the series numbers that the cine was made of; any by default.
    """
    from deepgmm.reading.dicom.frames import Variation
    from deepgmm.reading.dicom.headers import scan
    from deepgmm.reading.dicom.stacks import stacks_of

    found: dict[str, int] = {}
    wanted = set(series)
    for folder in folders:
        try:
            stacks = stacks_of(scan(folder).frames)
        except InputError:  # whoever needs the folder says what is wrong
            continue
        for stack in stacks:
            if stack.phases == count and stack.variation in (Variation.PHASE, Variation.ORDER) \
                    and (not wanted or wanted & set(stack.numbers)):
                found |= images_of(stack)
    return found


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
        and holds_dicom(path) else None
    return median_trigger(stack) if stack is not None else None


def median_trigger(stack: Any) -> float | None:
    """Median trigger time of a stack of single images, ms; None if not said."""
    times = [f.trigger for f in stack.frames if f.trigger]
    return float(np.median(times)) if times and stack.phases == 1 else None


def still_of(cine: Cine, phase: int | str | None, draw: Draw | None, lge_time: float | None = None,
             drawn: Mapping[int, float] | None = None) -> tuple[ImageInMemory, Phase]:
    """The frame that was asked for; else that contours were drawn on; else nearest to LGE in
    time; else that fits the mask.

    Parameters
    ----------
    phase : its number, counted from 0; "ed" or "es" among the frames with contours; "match" fits
        the mask even if times are known.
    draw : gives the mask, asked only if it is needed; None where there is none yet, and then the
        first frame stands in for the one that would fit it.
    drawn : frame to what contours drawn on it enclose, mm2.

    Raises
    ------
    InputError
        No such frame; end diastole or end systole asked for, and nothing tells which that is.
    """
    number = parse_phase(phase)
    said: list[str] = []
    if isinstance(number, int):
        chosen = asked_for(number, len(cine.values))
        if drawn and number not in drawn and len(drawn) == 1:
            said = [f"frame {number} was taken as asked for, but the contours were drawn on frame "
                    f"{next(iter(drawn))}: see whether they fit"]
        elif drawn and number not in drawn:
            raise InputError(f"--phase {number}: the contours were drawn on "
                             f"frame{'s' if len(drawn) > 1 else ''} "
                             f"{', '.join(map(str, drawn))}: say one of these, or give a mask of "
                             "that frame")
    elif drawn:
        chosen, said = drawn_on(drawn, len(cine.values), number, cine.times, lge_time,
                                cine.interval)
    elif number is not None and draw is None:
        raise InputError(f"--phase {number} goes by contours, of which there are none yet: "
                         "give the frame's number, counted from 0")
    elif number is not None:
        raise InputError(f"--phase {number}: nothing says which frame that is, as the LV mask "
                         "names no image that it was drawn on: give the frame's number, counted "
                         "from 0, or match")
    elif phase is None and lge_time is not None and tells(cine.times):
        chosen = nearest_in_time(cine.times, lge_time, cine.interval)
    elif draw is None:
        chosen = Phase(0, len(cine.values), "the first, as there is no mask yet")
    else:
        still = cine.frame(0)
        mask, wall = draw(still)
        chosen = best_fit(cine.values, _inside(mask, still),
                          None if wall is None else _inside(wall, still))
    return ImageInMemory(cine.frame(chosen.frame), cine.hash, [*cine.warnings, *said]), chosen


def _inside(mask: SimpleITK.Image, grid: SimpleITK.Image) -> BoolArray:
    import SimpleITK as sitk

    moved = on_grid_of(mask, grid, is_mask=True, name="LV mask")
    return np.asarray(sitk.GetArrayFromImage(moved) > 0)
