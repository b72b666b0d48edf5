"""One frame of a cine: the one that was asked for, that is nearest in time, or that fits.

Trigger times of late enhancement and of a cine both count from the R wave, so the frame nearest
in time shows the heart as late enhancement saw it. Without times, the frame is sought on which
the outline drawn lies on edges of the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


#: Names of frames: end diastole and end systole.
END_DIASTOLE, END_SYSTOLE = "ed", "es"
_TITLES = {END_DIASTOLE: "end diastole", END_SYSTOLE: "end systole"}


def parse_phase(text: str | int | None) -> int | str | None:
    """The frame that a user names, counted from 0, or "ed" or "es"; None for None and "match".

    Raises
    ------
    InputError
        Neither.
    """
    if text is None or text == "match":
        return None
    said = str(text).strip().lower()
    if said.isdecimal() and said.isascii() and len(said) < 10:
        return int(said)
    if said in _TITLES:
        return said
    raise InputError(f"--phase: '{said[:40]}' is no frame: give its number, counted from 0, or ed, "
                     "es or match")


def tells(times: Sequence[float]) -> bool:
    """Whether trigger times say when each frame was: most are known, and they differ and grow.

    Headers of some archives say 0 for every frame, or nothing for some.
    """
    known = np.asarray(times, float)
    known = known[np.isfinite(known)]
    steps = np.diff(known)
    return (len(known) > 1 and len(known) >= 0.7 * len(times) and bool((steps >= 0).all())
            and int((steps > 0).sum()) >= 0.7 * len(steps))


def drawn_on(areas: Mapping[int, float], count: int, said: int | str | None = None,
             times: Sequence[float] = (), wanted: float | None = None,
             interval: float | None = None) -> tuple[Phase, list[str]]:
    """The frame that contours were drawn on, and what a user must know of the choice.

    Parameters
    ----------
    areas : frame to what its contours enclose, mm2; at least one.
    count : of the cine's frames.
    said : "ed" or "es", or None for whichever was drawn: of several that nearest to LGE in time,
        else end diastole.
    times, wanted, interval : as `nearest_in_time`; `wanted` None where not known.
    """
    largest, smallest = max(areas, key=areas.__getitem__), min(areas, key=areas.__getitem__)
    if len(areas) == 1:
        warnings = [] if said not in _TITLES else [
            f"contours were drawn on one frame only, {largest}, which was taken: whether it is "
            f"{_TITLES[str(said)]} they do not say"]
        return Phase(largest, count, "the contours were drawn on it"), warnings
    if said == END_SYSTOLE:
        return Phase(smallest, count, "the frame with contours that enclose least"), []
    if said == END_DIASTOLE:
        return Phase(largest, count, "the frame with contours that enclose most"), []
    named = ", ".join(map(str, areas))
    if wanted is not None and tells(times):
        near = nearest_in_time([t if f in areas else math.nan for f, t in enumerate(times)],
                               wanted, interval)
        return (Phase(near.frame, count, f"of the frames with contours, {near.why}"),
                [f"contours were drawn on frames {named}; frame {near.frame} was taken, the "
                 "nearest to LGE in the heartbeat: --phase takes another"])
    return (Phase(largest, count, "the frame with contours that enclose most"),
            [f"contours were drawn on frames {named}; frame {largest} was taken, where they "
             "enclose most (end diastole): --phase es takes the one where they enclose least"])


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
