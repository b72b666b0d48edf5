"""The pixels of a stack on one grid, with every slice where it was acquired."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.dicom.decode import Undecodable, stored_values
from deepgmm.reading.dicom.frames import Frame
from deepgmm.reading.dicom.stack import Stack
from deepgmm.reading.dicom.values import factors
from deepgmm.study.study import Geometry

#: Slices may lie this far from an even grid, of their distance, before a user is told.
_UNEVEN = 0.01

#: In-plane displacements below this many pixels are left alone.
_STRAIGHT = 0.02

#: Slices turned by less than this against each other are parallel, degrees.
_PARALLEL = 0.3


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


def volume_of(stack: Stack, *, whole: bool = True) -> Volume:
    """Read a stack's pixels: rescaled, on an even grid, each slice at its place in the plane.

    Parameters
    ----------
    whole : refuse damaged images; otherwise they are left out and told, if they are the fewer.

    Raises
    ------
    InputError
        An image that cannot be decoded.
    """
    said: list[str] = []
    values_said: list[str] = []
    images = rescaled(stack.frames, values_said, whole=whole)
    if len(images) < len(stack.frames):
        stack = replace(stack, slices=[left for one in stack.slices if (
            left := [f for f in one if (f.file, f.index) in images])])
    layers, gap, start = _layers(stack, said)
    shifts = _shifts(stack)
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
    turned = _turned(stack)
    if turned > _PARALLEL:
        said.append(f"the slices are turned by up to {turned:.1f} degrees against each other; "
                    "they were taken for parallel")
    said += values_said
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


def _turned(stack: Stack) -> float:
    """The largest angle between a slice's axes and the first's, degrees."""
    cosines = [float(np.einsum("ij,ij->j", f.axes, stack.first.axes).min())
               for f in stack.slices_first()]
    return float(np.rad2deg(np.arccos(np.clip(min(cosines), -1, 1))))


def _moved(image: npt.NDArray[np.float32], shift: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    from scipy.ndimage import shift as move

    return move(image, shift, order=1, mode="nearest")


Planes = dict[tuple[Path, int], npt.NDArray[np.float32]]


def rescaled(frames: list[Frame], said: list[str], *, whole: bool = True) -> Planes:
    """Every frame's values by file and index; each file is read once.

    Parameters
    ----------
    said : is told what a user must know.
    whole : refuse a damaged image; otherwise it is left out and told.

    Raises
    ------
    InputError
        An image that cannot be decoded.
    """
    files: dict[Path, list[Frame]] = defaultdict(list)
    for frame in frames:
        files[frame.file].append(frame)
    factor = dict(zip(((f.file, f.index) for f in frames), factors(frames, said)))
    found: Planes = {}
    lost = 0
    for file, own in files.items():
        number = own[0].number
        try:
            stored = stored_values(file, number, max(f.index for f in own) + 1,
                                   lookup=own[0].lookup)
            if stored.shape[1:] != (own[0].rows, own[0].columns):
                raise Undecodable("its pixels are not those that its header tells of")
        except Undecodable as reason:
            lost += len(own)
            if whole or lost > len(frames) / 2:
                raise InputError(
                    f"series {number} has an image that cannot be decoded ({reason}): it is "
                    "damaged, or compressed in an uncommon way; export the examination again, "
                    "uncompressed") from None
            continue
        for frame in own:
            key = frame.file, frame.index
            plane = stored[frame.index]
            scale = factor[key]
            slope, intercept = frame.slope * scale, frame.intercept * scale
            if frame.lookup:
                slope, intercept = scale, 0.0
            if (slope, intercept) != (1.0, 0.0):
                plane = plane * slope + intercept  # in double precision, as others do
            found[key] = plane.astype(np.float32)
    if lost:
        said.append(f"{lost} image{'s' if lost > 1 else ''} of series {frames[0].number} left out, "
                    f"because {'they are' if lost > 1 else 'it is'} truncated or damaged: export "
                    f"{'them' if lost > 1 else 'it'} again")
    said += sorted({f.doubt for f in frames} - {""})
    return found


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
