"""The rival of the network that proposes the LV mask: a template and circular paths, no learning.

A bright disc in a dark ring, which need be closed in seven of eight sectors only (scar breaks it),
chained over the slices; then the endocardium as the closed path that parts bright from dark best,
and the epicardium as that of the strongest edge a wall's thickness farther out. Its numbers were
chosen by looking at synthetic chests. `mask_proposal.py` puts its scores beside the network's.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.signal import fftconvolve

from deepgmm.propose.canonical import PIXEL, Frame, normalised
from deepgmm.propose.rings import RADII, STEP, THETA, THICK, Ring, _paths, _smooth
from deepgmm.study.study import BoolArray, FloatArray, Study

#: Pool radii tried, mm; how far the ring's middle lies outside of them; sectors that may be open.
POOLS, OUT, OPEN, SECTORS = (13.0, 18.0, 23.0, 28.0), 5.0, 1, 8
#: A ring so much darker is dark enough, lest lungs and air look best; mm about the image's middle
#: where hearts lie.
ENOUGH, CENTRAL = 0.7, 70.0
#: What a pixel of the centre's way between slices costs; the weight of a wall's usual thickness.
WANDER, HOLD = 0.04, 0.02
#: A slice whose ring stands out less than this share of the best one's has no ventricle.
LEAST = 0.35


def outlined(study: Study) -> BoolArray:
    """(slices, rows, columns) the LV mask that is found without learning, perhaps empty."""
    image = next(iter(study.sequences.values())).values
    spacing = (float(study.geometry.spacing[1]), float(study.geometry.spacing[0]))
    shape = image.shape[1:]
    frame = Frame.whole((shape[0], shape[1]), spacing, 16)
    values, seen = frame.sampled(image)
    grey = normalised(values, seen)
    score = np.stack([_standing_out(one) for one in grey])
    score[:, ~seen] = -9.0
    centres = _chained(score)
    best = max(score[i][tuple(at)] for i, at in enumerate(centres))
    found = np.zeros(image.shape, bool)
    for i, at in enumerate(centres):
        if best > 0 and score[i][tuple(at)] > LEAST * best:
            ring = _ring(grey[i], at.astype(float))
            found[i] = Ring(frame.to_image(ring.centre) * np.array(spacing), ring.outer,
                            ring.inner).filled((shape[0], shape[1]), spacing)
    return found


def _standing_out(grey: FloatArray) -> FloatArray:
    """How much a disc around each pixel is brighter than all but one of its ring's sectors."""
    reach = int((max(POOLS) + OUT + 3) / PIXEL) + 1
    y, x = np.mgrid[-reach:reach + 1, -reach:reach + 1] * PIXEL
    away, turn = np.hypot(y, x), np.arctan2(y, x)
    sector = ((turn + np.pi) * SECTORS / (2 * np.pi)).astype(int) % SECTORS

    def mean(of: BoolArray) -> FloatArray:
        return np.asarray(fftconvolve(grey, of[::-1, ::-1] / of.sum(), mode="same"))
    def mean2(of: BoolArray) -> FloatArray:
        return np.asarray(fftconvolve(grey ** 2, of / of.sum(), mode="same"))
    found = np.full(grey.shape, -9.0)
    for radius in POOLS:
        disc = mean(away < 0.75 * radius)
        ring = np.abs(away - radius - OUT) < 3.0
        contrast = np.sort([np.minimum(disc - mean(ring & (sector == k)), ENOUGH)
                            for k in range(SECTORS)], axis=0)
        uneven = np.sqrt(np.maximum(mean2(away < 0.75 * radius) - disc ** 2, 0.0))
        found = np.maximum(found, contrast[OPEN:].mean(0) + contrast[OPEN] - uneven)
    middle = [(np.arange(n) - (n - 1) / 2) * PIXEL / CENTRAL for n in grey.shape]
    return found - 0.5 * (middle[0][:, None] ** 2 + middle[1] ** 2)


def _chained(score: FloatArray) -> FloatArray:
    """(slices, 2) the way through the stack that stands out most; costs grow with each step."""
    from scipy.ndimage import maximum_filter

    total, steps = score[0], 6
    came = []
    y, x = np.mgrid[-steps:steps + 1, -steps:steps + 1]
    cost = WANDER * np.hypot(y, x)
    for one in score[1:]:
        padded = np.pad(total, steps, constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, cost.shape) - cost
        flat = windows.reshape(*total.shape, -1)
        came.append(flat.argmax(-1))
        total = one + flat.max(-1)
    at = np.array(np.unravel_index(int(maximum_filter(total, 1).argmax()), total.shape))
    way = [at]
    for back in reversed(came):
        step = divmod(int(back[tuple(at)]), cost.shape[1])
        at = at + np.array(step) - steps
        way.append(at)
    return np.array(way[::-1])


def _ring(grey: FloatArray, centre: FloatArray) -> Ring:
    rays = map_coordinates(gaussian_filter(grey, 0.5), centre[:, None, None] + RADII / PIXEL * (
        np.stack([np.sin(THETA), np.cos(THETA)])[..., None]), order=1, mode="nearest")
    core = float(np.median(rays[:, RADII < 9.0]))
    # the darkest part of each ray is wall: half way to it parts pool from wall
    dark = float(np.median(rays[:, (RADII > 9) & (RADII < 42)].min(1)))
    half = (core + dark) / 2
    usual = 0.0006 * (RADII - 24.0) ** 2 * np.maximum(core - dark, 0.2)
    within = -np.cumsum((rays - half) * RADII, axis=1) * STEP / 10.0 + usual * 30
    inner = _smooth(RADII[_paths(within[None])[0]])
    edge = np.abs(np.gradient(gaussian_filter(rays, (1.5, 1.5), mode=("wrap", "nearest")),
                              STEP, axis=1)) / max(core - dark, 0.2)
    wall = RADII - inner[:, None]
    cost = -edge * 4.0 + HOLD * (wall - THICK) ** 2 + 100.0 * np.maximum(4.0 - wall, 0)
    outer = np.maximum(_smooth(RADII[_paths(cost[None])[0]]), inner + 2.0)
    return Ring(centre, outer, inner)


def ellipse(truth: np.ndarray, share: float = 0.30) -> np.ndarray:
    """The middle of the box, image never read: as far out, by the box's sides, as EMIDEC's masks
    reach on average, all slices of a patient together."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in truth.shape[1:])
    inside = (y[:, None] / truth.shape[1]) ** 2 + (x / truth.shape[2]) ** 2 < share ** 2
    return np.broadcast_to(inside, truth.shape)
