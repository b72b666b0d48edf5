"""One picture by which a person can judge the tissues of a brain."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.tissues import COLOURS, TISSUES
from deepgmm.brain.volumes import BrainVolume
from deepgmm.review.lettering import Words, length, lettered
from deepgmm.review.panels import (
    BACKGROUND,
    EDGE,
    GAP,
    QUIET,
    TEXT,
    Pixels,
    as_bytes,
    grey,
    grey_window,
    inner_edge,
)

#: Where the axial slices lie, of the brain's height from below; one coronal, one sagittal after.
_AXIAL = (0.30, 0.47, 0.60, 0.75)

#: The sagittal slice lies beside the middle, mm, where it shows more than the fissure.
_BESIDE = 12.0

_TALL, _TOP, _LEFT, _FOOT = 236, 66, 96, 40
_OPAQUE = 0.45
_SAID = "Right of the patient is on the left. Research software, not for diagnosis."


@dataclass(frozen=True)
class _Plane:
    """A cut: which axis, which index, and the size in which it is shown, pixels."""

    axis: int
    index: int
    box: tuple[slice, slice]
    size: tuple[int, int]
    title: str

    def cut(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        plane = np.take(values, self.index, self.axis)
        return (plane if self.axis == 0 else plane[::-1])[self.box]

    def smooth(self, values: npt.NDArray[Any]) -> Pixels:
        from scipy.ndimage import zoom

        part = self.cut(values).astype(np.float32)
        return np.asarray(zoom(part, np.divide(self.size, part.shape), order=1, grid_mode=True,
                               mode="nearest"), np.float32)

    def blocks(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        part = self.cut(values)
        rows, columns = (((np.arange(wanted) + 0.5) / wanted * have).astype(int)
                         for wanted, have in zip(self.size, part.shape))
        return part[rows[:, None], columns]


def montage(volume: BrainVolume, labels: npt.NDArray[np.uint8], *, title: str = "Brain tissues",
            volumes: Mapping[Any, float] | None = None,
            corrected: npt.NDArray[np.float32] | None = None) -> bytes:
    """A PNG file's bytes: four axial planes, a coronal and a sagittal one.

    Rows are the image as it came, the image less its bias field where there is one, and the
    labels over the image with their borders.

    Parameters
    ----------
    labels : (slices, rows, columns), values of `BrainTissue`.
    volumes : of each tissue, ml, for the legend.
    corrected : the image divided by its field.
    """
    planes = _planes(volume)
    window = grey_window(volume.image[volume.mask])
    rows: list[tuple[str, list[npt.NDArray[np.uint8]]]] = [
        ("Image", [as_bytes(grey(p.smooth(volume.image), window)) for p in planes])]
    shown, shown_window = volume.image, window
    if corrected is not None:
        shown, shown_window = corrected, grey_window(corrected[volume.mask])
        rows.append(("Less field", [as_bytes(grey(p.smooth(shown), shown_window))
                                    for p in planes]))
    rows.append(("Tissues", [_overlay(p, shown, labels, shown_window) for p in planes]))
    lefts = np.cumsum([EDGE + _LEFT, *(p.size[1] + GAP for p in planes)])
    canvas = np.full((_TOP + len(rows) * (_TALL + GAP) + _FOOT, int(lefts[-1]) + EDGE, 3),
                     BACKGROUND, np.uint8)
    words = [Words(EDGE, 22, title, 17, TEXT, bold=True),
             Words(EDGE, canvas.shape[0] - _FOOT // 2, _SAID, 12, QUIET)]
    words += [Words(left + p.size[1] / 2, _TOP - 12, p.title, 13, QUIET, anchor="m")
              for left, p in zip(lefts, planes)]
    for number, (name, pictures) in enumerate(rows):
        top = _TOP + number * (_TALL + GAP)
        words.append(Words(EDGE, top + 16, name, 14, TEXT, bold=True))
        for left, picture in zip(lefts, pictures):
            height, width = picture.shape[:2]
            down = top + (_TALL - height) // 2
            canvas[down:down + height, left:left + width] = picture
    canvas, words = _legend(canvas, words, volumes)
    buffer = io.BytesIO()
    lettered(canvas, words).save(buffer, "png", compress_level=4)
    return buffer.getvalue()


def _planes(volume: BrainVolume) -> list[_Plane]:
    found = [np.flatnonzero(volume.mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    low, high = ([int(f[end]) for f in found] for end in (0, -1))
    spacing = volume.spacing
    per_mm = _TALL / max((high[a] - low[a] + 1) * spacing[a] + 8 for a in (0, 1))
    beside = int(round((low[2] + high[2]) / 2 + _BESIDE / spacing[2]))
    cuts = [(0, round(low[0] + f * (high[0] - low[0])), f"axial {f:.0%} up") for f in _AXIAL]
    cuts += [(1, round((low[1] + high[1]) / 2), "coronal"), (2, min(beside, high[2]), "sagittal")]
    planes = []
    for axis, index, title in cuts:
        box, size = [], []
        for other in (a for a in range(3) if a != axis):
            margin = int(np.ceil(4 / spacing[other]))
            start = max(low[other] - margin, 0)
            stop = min(high[other] + margin + 1, volume.mask.shape[other])
            size.append(max(int(round((stop - start) * spacing[other] * per_mm)), 8))
            if other == 0:  # shown upside down, for up to be up
                count = volume.mask.shape[0]
                start, stop = count - stop, count - start
            box.append(slice(start, stop))
        planes.append(_Plane(axis, int(index), (box[0], box[1]),
                             (min(size[0], _TALL), size[1]), title))
    return planes


def _overlay(plane: _Plane, image: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8],
             window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    drawn = as_bytes(grey(plane.smooth(image), window)).astype(np.float32)
    shown = plane.blocks(labels)
    edge = inner_edge(shown)
    for tissue in TISSUES:
        here = (shown == tissue)[..., None]
        opaque = np.where(edge[..., None], 0.9, _OPAQUE)
        drawn = np.where(here, (1 - opaque) * drawn + opaque * np.array(COLOURS[tissue]), drawn)
    return drawn.round().astype(np.uint8)


def _legend(canvas: npt.NDArray[np.uint8], words: list[Words],
            volumes: Mapping[Any, float] | None) -> tuple[npt.NDArray[np.uint8], list[Words]]:
    right = canvas.shape[1] - EDGE
    for tissue in reversed(TISSUES):
        text = tissue.title if volumes is None else f"{tissue.title} {volumes[tissue]:.0f} ml"
        right -= int(length(text, 14))
        words.append(Words(right, 22, text, 14, TEXT))
        canvas[15:29, right - 22:right - 8] = COLOURS[tissue]
        right -= 44
    return canvas, words
