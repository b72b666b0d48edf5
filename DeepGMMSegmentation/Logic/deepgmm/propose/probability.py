"""The probability of each pixel being inside a proposed mask, that goes with its outline.

The network's own probabilities do not follow a border that edges or corrections moved. So each
pixel's is a logistic function of how deep it lies within the outline, and that is as wide, angle
by angle, as the network leaves the border open there or says that it lies elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from deepgmm.propose.rings import RADII, STEP, THETA, Ring, along
from deepgmm.study.study import BoolArray, FloatArray

#: The logistic function's scale for each mm by which the network is off the outline; chosen on
#: synthetic chests and phantoms by likelihood (`Docs/mask_proposal_measured.md`).
SCALE = 0.52
#: mm from the outline within which it is looked at, and angles over which that is smoothed.
NEAR, EVEN = 12.0, 2.0
#: What is left of the network's probabilities on slices that are left out, of which few hold any.
LEFT_OUT = 0.1
#: Nothing of a mask is as likely out as in.
_ABOVE, _BELOW = (np.nextafter(np.float32(0.5), np.float32(way)) for way in (1, 0))


def probability_of(inside: FloatArray, mask: BoolArray, rings: Mapping[int, Ring],
                   drawn: Collection[int], spacing: tuple[float, float]
                   ) -> npt.NDArray[np.float32]:
    """(slices, rows, columns), over .5 within the mask and under .5 beyond it.

    Parameters
    ----------
    inside : (slices, rows, columns) what the network says.
    mask : of the same shape.
    rings : slice to its borders, in mm.
    drawn : slices on which a person said what is inside: 0 and 1 there.
    spacing : mm of (rows, columns).
    """
    found = (LEFT_OUT * inside).astype(np.float32)
    for i, ring in rings.items():
        found[i] = _likely(ring, inside[i], spacing)
    found = np.where(mask, np.maximum(found, _ABOVE), np.minimum(found, _BELOW))
    for i in drawn:
        found[i] = mask[i]
    return found


def _likely(ring: Ring, inside: FloatArray, spacing: tuple[float, float]) -> FloatArray:
    """(rows, columns) of one slice."""
    y, x = (np.arange(n) * step - at for n, step, at in zip(inside.shape, spacing, ring.centre))
    turn = np.arctan2(y[:, None], x)
    edge, width = (np.interp(turn, THETA, values, period=2 * np.pi)
                   for values in (ring.outer, SCALE * off_by(ring, inside, spacing)))
    return np.asarray(0.5 + 0.5 * np.tanh((edge - np.hypot(y[:, None], x)) / (2 * width)))


def off_by(ring: Ring, inside: FloatArray, spacing: tuple[float, float]) -> FloatArray:
    """(ANGLES,) mm by which the network's (rows, columns) of one slice let expect the outline to be
    off: along each ray, what they hold beyond it and lack within it."""
    from scipy.ndimage import gaussian_filter1d

    rays = along(inside[None], (ring.centre / np.array(spacing))[None], spacing, "constant")[0]
    depth = ring.outer[:, None] - RADII
    within = np.clip(depth / STEP + 0.5, 0.0, 1.0)
    apart = within * (1 - rays) + (1 - within) * rays
    off = (apart * (np.abs(depth) <= NEAR)).sum(1) * STEP
    return np.maximum(gaussian_filter1d(off, EVEN, mode="wrap"), STEP)
