"""The probability of each pixel being inside a proposed mask, that goes with its outline.

The network's own probabilities do not follow a border that edges or corrections moved. So each
pixel's is a logistic function of how deep it lies within the outline, whose width, angle by angle,
is in proportion to how open the network leaves the border there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from deepgmm.propose.rings import RADII, STEP, THETA, Ring, along
from deepgmm.study.study import BoolArray, FloatArray

#: The width as a share of the network's own, as edges place a border better than it; chosen on
#: synthetic chests and phantoms by likelihood (`Docs/mask_proposal_measured.md`).
SCALE = 0.7
#: mm from the outline within which that is looked at, and angles over which it is smoothed.
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
                   for values in (ring.outer, SCALE * open_by(ring, inside, spacing)))
    return np.asarray(0.5 + 0.5 * np.tanh((edge - np.hypot(y[:, None], x)) / (2 * width)))


def open_by(ring: Ring, inside: FloatArray, spacing: tuple[float, float]) -> FloatArray:
    """(ANGLES,) mm by which the network's (rows, columns) of one slice leave the border open: the
    scale of a logistic function that does so, which is the integral of p (1 - p) along a ray."""
    from scipy.ndimage import gaussian_filter1d

    rays = along(inside[None], (ring.centre / np.array(spacing))[None], spacing, "constant")[0]
    near = np.abs(ring.outer[:, None] - RADII) <= NEAR
    spread = (rays * (1 - rays) * near).sum(1) * STEP
    return np.maximum(gaussian_filter1d(spread, EVEN, mode="wrap"), STEP)
