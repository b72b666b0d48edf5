"""One frame of a cine: the one that was asked for, that is nearest in time, or that fits.

Trigger times of late enhancement and of a cine both count from the R wave, so the frame nearest
in time shows the heart as late enhancement saw it. Without times, the frame is sought on which
the outline drawn lies on edges of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.coordinates import box_of
from deepgmm.study.study import BoolArray

#: Width of the rings on both sides of an outline, pixels, and the sectors in which they are
#: compared.
_RING, _SECTORS = 1.5, 24

#: How far from an outline the frame's spread is taken, pixels.
_NEAR = 8


@dataclass(frozen=True)
class Phase:
    """The frame chosen, counted from 0, of how many, and why."""

    frame: int
    count: int
    why: str

    def __str__(self) -> str:
        return f"frame {self.frame} of {self.count} (counted from 0): {self.why}"

    def as_dict(self) -> dict[str, Any]:
        """For provenance."""
        return {"frame": self.frame, "of": self.count, "why": self.why}


def parse_phase(text: str | int | None) -> int | None:
    """The frame that a user names, counted from 0; None for None and "match".

    Raises
    ------
    InputError
        Neither.
    """
    if text is None or text == "match":
        return None
    if str(text).strip().isdigit():
        return int(text)
    raise InputError(f"--phase: '{text}' is no frame: give its number, counted from 0, or match")


def asked_for(frame: int, count: int) -> Phase:
    """The frame that the user named.

    Raises
    ------
    InputError
        There is no such frame.
    """
    if frame >= count:
        raise InputError(f"--phase: there is no frame {frame}: the cine has {count}, "
                         f"0 to {count - 1}")
    return Phase(frame, count, "as asked for")


def nearest_in_time(times: Sequence[float], wanted: float, interval: float | None = None) -> Phase:
    """The frame whose trigger time is nearest, going round the heartbeat.

    Parameters
    ----------
    times : trigger time of each frame, ms.
    wanted : trigger time of LGE, ms.
    interval : length of a heartbeat, ms; without it, time does not go round.
    """
    apart = np.abs(np.asarray(times, float) - wanted)
    if interval:
        apart = np.minimum(apart % interval, interval - apart % interval)
    frame = int(np.nanargmin(apart))
    return Phase(frame, len(times), f"its trigger time, {times[frame]:.0f} ms, is nearest to "
                                    f"LGE's, {wanted:.0f} ms")


def best_fit(frames: npt.NDArray[Any], mask: BoolArray, wall: BoolArray | None = None) -> Phase:
    """The frame on whose edges the outline lies.

    Parameters
    ----------
    frames : (phases, slices, rows, columns).
    mask, wall : (slices, rows, columns); the wall's inner border counts as well, if given.

    Raises
    ------
    InputError
        The mask is empty.
    """
    scores = edge_scores(frames, mask)
    if wall is not None and (mask & ~wall).any():
        scores = scores + edge_scores(frames, mask & ~wall)
    if not np.isfinite(scores).all():
        raise InputError("no frame of the cine can be matched, because the LV mask is empty: "
                         "give the outline, or say which frame to take")
    return Phase(int(scores.argmax()), len(frames), "its edges fit the LV mask best")


def edge_scores(frames: npt.NDArray[Any], region: BoolArray) -> npt.NDArray[np.float64]:
    """How much brightness changes across a region's border, per frame.

    Mean over sectors of the absolute difference between a ring inside and one outside the
    border, over the frame's spread there. NaN where the region is empty.

    Returns
    -------
    (phases,)
    """
    from scipy.ndimage import distance_transform_edt

    found = []
    for s in np.flatnonzero(region.any(axis=(1, 2))):
        crop = box_of(region[s], around=_NEAR + 1)
        inside = distance_transform_edt(region[s][crop])
        outside = distance_transform_edt(~region[s][crop])
        inner = (inside > 0) & (inside <= _RING)
        outer = (outside > 0) & (outside <= _RING)
        near = outside <= _NEAR
        sector = _sectors(region[s][crop])
        values = frames[:, s][:, crop[0], crop[1]].astype(np.float64)
        spread = np.ptp(np.percentile(values[:, near], (5, 95), axis=1), axis=0)
        change = np.abs(_means(values, inner, sector) - _means(values, outer, sector))
        found.append(np.nanmean(change, axis=1) / np.maximum(spread, 1e-9))
    return np.mean(found, axis=0) if found else np.full(len(frames), np.nan)


def _sectors(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Number of the sector about the region's middle, of every pixel."""
    row, column = np.argwhere(region).mean(axis=0)
    rows, columns = np.indices(region.shape)
    angle = np.arctan2(rows - row, columns - column) / (2 * math.pi) + 0.5
    return np.minimum((angle * _SECTORS).astype(int), _SECTORS - 1)


def _means(values: npt.NDArray[np.float64], ring: npt.NDArray[np.bool_],
           sector: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(phases, sectors) mean in each sector of a ring; NaN where it has no pixel."""
    which = sector[ring]
    count = np.bincount(which, minlength=_SECTORS)
    sums = np.stack([np.bincount(which, v, minlength=_SECTORS) for v in values[:, ring]])
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
