"""A DICOM folder, or one file, where one image is wanted: the same road as an examination's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.dicom.frames import Frame
from deepgmm.reading.dicom.headers import NoImage, Scan, is_dicom, scan
from deepgmm.reading.dicom.pixels import rescaled, volume_of
from deepgmm.reading.dicom.stack import Stack
from deepgmm.reading.dicom.stacks import stacks_of
from deepgmm.reading.images.grids import image_of

if TYPE_CHECKING:
    import SimpleITK

#: Axes within so many degrees are of one direction, for what a message says.
_PARALLEL = 2.0


def holds_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether this is a folder, or a file that begins as DICOM files do."""
    return os.path.isdir(path) or is_dicom(Path(path))


def read_dicom(path: str | os.PathLike[str], name: str
               ) -> tuple[SimpleITK.Image, list[str], str]:
    """Read the one stack of a folder or file.

    Parameters
    ----------
    name : what to call it in messages ("LGE").

    Returns
    -------
    image : float32, rescaled; slices that are missing in between are NaN.
    warnings : what a user must know about it.
    description : what the header says about the acquisition, never about whom.

    Raises
    ------
    InputError
        No image that can be placed, several stacks, or several images of a slice.
    """
    found = _scanned(path, name)
    stacks = stacks_of(found.frames)
    stack = _one(stacks, found, name)
    warnings = [f"{count} image{'s' if count > 1 else ''} left out, because "
                f"{'each' if count > 1 else 'it'} {reason}"
                for (_, reason), count in sorted(found.damaged.items())]
    warnings += _without_repeats(stack, found, name)
    volume = volume_of(stack, whole=False)
    values = volume.values[0].astype(np.float32)
    values[sorted(set(range(len(values))) - set(volume.layers))] = np.nan
    # What the stack says of repeats was looked into above.
    for said in [*stack.oddities, *volume.warnings]:
        if "unevenly spaced" in said:
            said += ("; in the patient slices are off by up to half of the difference: "
                     "deepgmm import keeps each slice's own place")
        warnings.append(said)
    return (image_of(values, volume.geometry), [f"{name}: {w}" for w in warnings],
            _description(stack.first))


def _scanned(path: str | os.PathLike[str], name: str) -> Scan:
    where = "folder" if os.path.isdir(path) else "file"
    try:
        found = scan(path)
    except NoImage as error:
        raise InputError(f"the {name} {where} holds no DICOM series of MR images"
                         + (f" ({error.found})" if error.found else "") + ": give a folder with "
                         "one, or a NIfTI, NRRD or MetaImage file") from None
    if not found.frames:
        (_, reason), count = found.damaged.most_common(1)[0]
        raise InputError(f"the {name} {where} holds no image that can be used: "
                         f"{count} image{'s' if count > 1 else ''} of its DICOM series "
                         f"{reason.replace('has ', 'have ', 1) if count > 1 else reason}; "
                         "export the series again from the scanner or archive")
    return found


def _one(stacks: list[Stack], found: Scan, name: str) -> Stack:
    """The only stack of a folder."""
    series = _series(found.frames)
    if len(stacks) > 1:
        if len(series) > 1:
            raise _several(name, len(series))
        axes = [stack.first.axes for stack in stacks]
        least = np.cos(np.deg2rad(_PARALLEL))
        if any(abs(float(a[:, 2] @ axes[0][:, 2])) < least for a in axes):
            raise InputError(f"the {name} series has slices that are not parallel (a localiser, or "
                             "a long-axis view among them): give the short-axis stack alone")
        parts = sorted({stack.first.component.value for stack in stacks} - {"unknown"})
        what = f" ({', '.join(parts)})" if len(parts) > 1 else ""
        raise InputError(f"the {name} series holds {len(stacks)} stacks of slices{what}: write a "
                         "study folder with deepgmm import, and give that with --study")
    stack = stacks[0]
    if len(series) > 1 and not _a_series_a_slice(found.frames, stack, len(series)):
        raise _several(name, len(series))
    if stack.phases > 1:
        raise _phases(name)
    return stack


def _series(frames: list[Frame]) -> set[str]:
    return {frame.series for frame in frames}


def _a_series_a_slice(frames: list[Frame], stack: Stack, series: int) -> bool:
    """Whether several series only part one stack among themselves."""
    return len({frame.uid for frame in frames}) == len(stack.frames) and all(
        len(_series(one)) == 1 for one in stack.slices) and len(_series(stack.frames)) == series


def _several(name: str, count: int) -> InputError:
    return InputError(f"the {name} folder holds {count} DICOM series: give a folder with only one")


def _phases(name: str) -> InputError:
    return InputError(f"the {name} series has several images at one position (heart phases?): "
                      "give one frame of each slice")


def _without_repeats(stack: Stack, found: Scan, name: str) -> list[str]:
    """Warnings about images that lie where another does and show the same.

    Raises
    ------
    InputError
        They show something else.
    """
    kept = {(f.file, f.index) for f in stack.frames}
    uids = {(f.uid, f.index) for f in stack.frames if f.uid}
    rest = [f for f in found.frames if (f.file, f.index) not in kept]
    if not rest:
        return []
    heights = stack.heights
    like = stack.first
    said: list[str] = []
    planes = rescaled([*stack.frames, *rest], said)
    for frame in rest:
        height = float(np.asarray(frame.position) @ like.axes[:, 2])
        (there,) = stack.slices[int(np.argmin(np.abs(heights - height)))]
        if not np.array_equal(planes[frame.file, frame.index], planes[there.file, there.index]):
            raise _phases(name)
    copies = sum((f.uid, f.index) in uids for f in rest)
    repeats = len(rest)
    return [f"{repeats} image{'s are' if repeats > 1 else ' is'} there more than once, with the "
            f"same pixels{' and identifiers' if copies == repeats else ''}; one of each was taken"]


def _description(frame: Frame) -> str:
    return " ".join(filter(None, (frame.description, frame.protocol, frame.sequence,
                                  "\\".join(frame.image_type))))
