"""The pixels of a stack on one grid, with every slice where it was acquired."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.dicom.frames import Frame
from deepgmm.reading.dicom.headers import the_reader
from deepgmm.reading.dicom.stack import Stack
from deepgmm.study.study import Geometry

#: Slices may lie this far from an even grid, of their distance, before a user is told.
_UNEVEN = 0.01

#: In-plane displacements below this many pixels are left alone.
_STRAIGHT = 0.02


@dataclass
class Volume:
    """A stack as an array.

    Attributes
    ----------
    values : (phases, slices, rows, columns), int16 where that holds them, else float32.
    layers : index along the slice axis of each acquired slice; what is missing between them is
        0 everywhere.
    heights : position of each acquired slice along the normal, mm from the first layer.
    shifts : (rows, columns) mm by which each acquired slice was moved in its plane.
    times : trigger time of each phase, ms, median over slices; NaN where not said.
    warnings : what a user must know.
    """

    values: npt.NDArray[Any]
    geometry: Geometry
    layers: list[int]
    heights: list[float]
    shifts: list[tuple[float, float]]
    times: list[float]
    warnings: list[str] = field(default_factory=list)


def volume_of(stack: Stack) -> Volume:
    """Read a stack's pixels: rescaled, on an even grid, each slice at its place in the plane.

    Raises
    ------
    InputError
        An image that cannot be decoded.
    """
    said: list[str] = []
    layers, gap, start = _layers(stack, said)
    shifts = _shifts(stack)
    images = _decoded(stack)
    first, count = stack.first, stack.phases
    values = np.zeros((count, layers[-1] + 1, first.rows, first.columns), np.float32)
    if any(len(one) != count for one in stack.slices):
        said.append(f"not every slice has {count} frames; the others were taken at the "
                        "nearest part of the heartbeat")
    moved = np.abs(shifts / np.asarray(first.spacing)).max() > _STRAIGHT
    for one, layer, shift in zip(stack.slices, layers, shifts):
        for phase in range(count):
            frame = one[round(phase * (len(one) - 1) / max(count - 1, 1))]
            image = images[frame.file, frame.index]
            values[phase, layer] = _moved(image, shift / np.asarray(first.spacing)) \
                if moved else image
    if moved:
        far = float(np.linalg.norm(shifts, axis=1).max())
        said.append(f"the slices do not lie straight above each other (up to {far:.1f} mm); "
                        "each was moved in its plane to where it was acquired (linear)")
    axes = first.axes
    origin = np.asarray(first.position) + axes[:, 2] * start
    rows, columns = first.spacing or (1.0, 1.0)
    geometry = Geometry((columns, rows, gap), (float(origin[0]), float(origin[1]),
                                               float(origin[2])),
                        tuple(float(d) for d in axes.ravel()))
    return Volume(_small(values), geometry, layers, [float(h) for h in
                  stack.heights - stack.heights[0] - start],
                  [(float(r), float(c)) for r, c in shifts], _times(stack), said)


def _layers(stack: Stack, said: list[str]) -> tuple[list[int], float, float]:
    """Place the slices on an even grid: their layers, its spacing, and where it starts.

    The start is relative to the first slice, mm along the normal.
    """
    along = stack.heights - stack.heights[0]
    count = len(along)
    if count == 1:
        if not stack.gap:
            said.append("the only slice has no thickness; 1 mm was taken")
        return [0], stack.gap or 1.0, 0.0
    gap = stack.gap
    layers = np.rint(along / gap).astype(int)
    if (np.diff(layers) < 1).any():
        layers = np.arange(count)
    spacing, start = (float(v) for v in np.polyfit(layers, along, 1))
    missing = sorted(set(range(layers[-1] + 1)) - set(layers.tolist()))
    if missing:
        said.append(
            f"{len(missing)} slice{'s are' if len(missing) > 1 else ' is'} missing "
            f"(slice {', '.join(map(str, missing))}, counted from 0) and left empty")
    if np.abs(along - start - spacing * layers).max() > _UNEVEN * gap:
        steps = np.diff(along) / np.diff(layers)
        said.append(f"the slices are unevenly spaced ({steps.min():.1f} to "
                        f"{steps.max():.1f} mm); the image says {spacing:.2f} mm, and each "
                        "slice's own position is kept in study.json")
    return layers.tolist(), spacing, start


def _shifts(stack: Stack) -> npt.NDArray[np.float64]:
    """(slices, 2) mm along rows and columns between each slice and the line above the first."""
    frames = stack.slices_first()
    apart = np.array([f.position for f in frames], float) - np.asarray(frames[0].position)
    return apart @ stack.first.axes[:, [1, 0]]


def _moved(image: npt.NDArray[np.float32], shift: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    from scipy.ndimage import shift as move

    return move(image, shift, order=1, mode="nearest")


def _decoded(stack: Stack) -> dict[tuple[Path, int], npt.NDArray[np.float32]]:
    """Every frame's rescaled values by file and index; each file is read once."""
    files: dict[Path, list[Frame]] = defaultdict(list)
    for frame in stack.frames:
        files[frame.file].append(frame)
    found = {}
    for file, frames in files.items():
        stored, rescaled = _stored(file, frames[0])
        if stored.ndim == 2:
            stored = stored[None]
        for frame in frames:
            if stored.ndim != 3 or frame.index >= len(stored) \
                    or stored.shape[1:] != (frame.rows, frame.columns):
                raise InputError(f"series {frame.number} has an image whose pixels are not those "
                                 "that its header tells of: it is damaged; export the "
                                 "examination again")
            plane = stored[frame.index].astype(np.float32)
            if not rescaled:
                plane = plane * np.float32(frame.slope) + np.float32(frame.intercept)
            found[file, frame.index] = plane
    return found


def _stored(file: Path, frame: Frame) -> tuple[npt.NDArray[Any], bool]:
    """A file's values, and whether they are rescaled already."""
    pydicom = the_reader()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is found by decoding
            return pydicom.dcmread(file, force=True).pixel_array, False
    except Exception as error:
        reason = f"{type(error).__name__}"
    # Compressed images need decoders that pydicom may lack and ITK brings.
    import SimpleITK as sitk

    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(os.fspath(file)))
    except RuntimeError:
        raise InputError(f"series {frame.number} has an image that cannot be decoded ({reason}): "
                         "it is damaged, or compressed in an uncommon way; export the "
                         "examination again, uncompressed") from None
    return values, True


def _small(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    if np.abs(values).max() <= 32767 and (values == np.rint(values)).all():
        return values.astype(np.int16)
    return values


def _times(stack: Stack) -> list[float]:
    """Trigger time of each phase over the slices that have as many."""
    rows = [[np.nan if f.trigger is None else f.trigger for f in one]
            for one in stack.slices if len(one) == stack.phases]
    times = np.asarray(rows, float)
    return [float("nan") if np.isnan(column).all() else float(np.nanmedian(column))
            for column in times.T]
