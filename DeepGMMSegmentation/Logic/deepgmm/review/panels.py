"""What the pictures share: how slices are cut, turned and enlarged, greys, edges, colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.study.orientation import turn_of
from deepgmm.study.study import Geometry

Pixels = npt.NDArray[np.float32]

#: Between panels, and around all, pixels.
GAP, EDGE = 6, 16
BACKGROUND = 18
TEXT, QUIET = "#e8e8e8", "#9a9a9a"


@dataclass(frozen=True)
class View:
    """How slices are cut, turned and enlarged; the same for all, so that sizes compare.

    Attributes
    ----------
    rows, columns : of an image, that are shown.
    turned : rows and columns are exchanged; `flip` : 1 or -1 for each axis of what is shown.
    size : (height, width) of a panel, pixels.
    letters : where right and below lie in the patient.
    """

    rows: slice
    columns: slice
    turned: bool
    flip: tuple[int, int]
    size: tuple[int, int]
    letters: tuple[str, str]

    def cut(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        part = image[self.rows, self.columns]
        return (part.T if self.turned else part)[::self.flip[0], ::self.flip[1]]

    def smooth(self, image: npt.NDArray[Any]) -> Pixels:
        """An image enlarged by linear interpolation, (height, width)."""
        part = self.cut(image).astype(np.float32)
        for axis, wanted in enumerate(self.size):
            at = (np.arange(wanted) + 0.5) / wanted * part.shape[axis] - 0.5
            low = np.clip(np.floor(at).astype(int), 0, part.shape[axis] - 1)
            high = np.minimum(low + 1, part.shape[axis] - 1)
            share = np.clip(at - low, 0.0, 1.0).astype(np.float32)
            share = share[:, None] if axis == 0 else share[None, :]
            part = part.take(low, axis) * (1 - share) + part.take(high, axis) * share
        return part

    def blocks(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels enlarged, (height, width): each pixel a block, nothing in between invented."""
        part = self.cut(image)
        for axis, wanted in enumerate(self.size):
            at = ((np.arange(wanted) + 0.5) / wanted * part.shape[axis]).astype(int)
            part = part.take(at, axis)
        return part


def outlines_of(said: Mapping[str, Any], count: int) -> tuple[float, ...]:
    """Slice by slice how sure a proposed outline is, 0 to 1; empty where it was drawn or every
    slice is done, or nothing says it. The outline of a slice that is done is one that a person
    accepted: it is sure.

    Parameters
    ----------
    said : a result's provenance, or its report.
    count : of slices.
    """
    proposal = said.get("mask_proposal")
    known = proposal if isinstance(proposal, dict) and proposal.get("proposed") is True else {}
    found = known.get("confidence")
    if not isinstance(found, list) or len(found) != count or not all(
            type(c) in (int, float) and 0 <= c <= 1 for c in found):
        return ()
    refined = said.get("refined")
    done = set(refined.get("done_slices", ())) if isinstance(refined, dict) else set()
    if done and all(i in done for i, c in enumerate(found) if c > 0):
        return ()
    return tuple(1.0 if i in done else float(c) for i, c in enumerate(found))


def view_of(mask: npt.NDArray[np.bool_], geometry: Geometry, rows: int = 0) -> View:
    """The box of the mask in all slices with a margin, square in mm where the image allows,
    turned as a radiologist expects.

    Parameters
    ----------
    rows : of panels that lie below each other, which decides on their size; by default as many as
        slices.
    """
    spacing = np.array([geometry.spacing[1], geometry.spacing[0]])
    shape = np.array(mask.shape[1:])
    found = np.argwhere(mask.any(axis=0))
    low, high = (found.min(0), found.max(0) + 1) if len(found) else (np.zeros(2, int), shape)
    side = ((high - low) * spacing).max() * 1.25 + 8.0
    middle = (low + high) / 2
    half = side / spacing / 2
    start = np.maximum(np.floor(middle - half), 0).astype(int)
    stop = np.minimum(np.ceil(middle + half), shape).astype(int)
    millimetres = (stop - start) * spacing
    rows = rows or mask.shape[0]
    longest = 330 if rows <= 2 else 240 if rows <= 7 else 190
    size = np.maximum(np.rint(millimetres * longest / millimetres.max()), 16).astype(int)

    turn = turn_of(geometry)
    height, width = (int(n) for n in (size[::-1] if turn.exchanged else size))
    return View(
        rows=slice(int(start[0]), int(stop[0])), columns=slice(int(start[1]), int(stop[1])),
        turned=turn.exchanged, flip=turn.flip, size=(height, width),
        letters=(_letters(turn.right), _letters(turn.down)))


def _letters(direction: npt.NDArray[np.float64]) -> str:
    """Where a direction points in the patient, as viewers write it: the largest first."""
    names = ("RL", "AP", "FH")
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(names[axis][int(direction[axis] > 0)] for axis in order[:2]
                   if abs(direction[axis]) > 0.35)


def grey_window(values: npt.NDArray[Any], top: float = 99.5) -> tuple[float, float]:
    """What is black and what is white, so that these values are well seen, and a little beyond.

    Parameters
    ----------
    top : percentile of the values that is nearly white.
    """
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [0.5, top]) if values.size else (0.0, 1.0)
    span = float(high - low) or 1.0
    return float(low) - 0.05 * span, float(high) + 0.1 * span


def grey(image: Pixels, window: tuple[float, float]) -> Pixels:
    """(rows, columns, 3), from 0 to 1; what is no number is black."""
    low, high = window
    part = np.clip((np.nan_to_num(image, nan=low) - low) / (high - low), 0, 1)
    return np.broadcast_to(part[..., None].astype(np.float32), (*part.shape, 3))


def inner_edge(regions: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Pixels of a region (not 0) beside a pixel of another, or at the border."""
    around = np.pad(regions, 1)
    edge = np.zeros(regions.shape, bool)
    for beside in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
        edge |= beside != regions
    return edge & (regions != 0)


def as_bytes(panel: Pixels) -> npt.NDArray[np.uint8]:
    """Of 0 to 1, 0 to 255."""
    return (panel * 255 + 0.5).astype(np.uint8)
