"""Quality before the fit: what on which slice may spoil it, as proposals that the user decides on.

Thresholds are of physics or anatomy where there is one, else set between clean phantoms (seeds
100 to 120) with the Sunnybrook patients, and phantoms that were spoilt. Noise is that of
Immerkaer (1996), by the median. Slices are compared with the others of their sequence, so some
findings need three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.study.coordinates import ventricle_coordinates
from deepgmm.study.study import BoolArray, Study
from deepgmm.study.words import Role, named_slices, ranges

FloatArray = npt.NDArray[np.float64]

#: Contrast of a slice over its noise, and over the contrast of the sequence; clean: 5.7, 0.56.
LEAST_OVER_NOISE, LEAST_CONTRAST = 2.5, 0.35
#: The contrast that normal noise alone has, in its standard deviations.
_OF_NOISE = 4.1

#: Edges against the other slices', and raggedness of the spectrum; clean: 0.67, 1.6.
LEAST_SHARP, MOST_RAGGED = 0.5, 2.5

#: Share of the mask at a sequence's highest value, and of how many distinct values it counts.
MOST_SATURATED, VALUES = 0.03, 32

#: Radius of a circle of the mask's area: the wall alone is about so thick, mm.
LEAST_RADIUS = 10.0

#: Outermost part of the wall, mm from the epicardium; how near the pool's signal it is where it
#: is missing; and the share of the circumference that may be missing; clean: 0.17.
_RIM, _AS_POOL, _MOST_OPEN = (1.0, 4.0), 0.75, 1 / 3
_SECTORS = 24

#: Rows or columns of exactly one value along a border, from which they are padding.
_PADDING = 2
#: Share of the mask that may lie in or at what was cut.
_MOST_CUT = 0.01

#: Opposite borders that are one another's continuation: alike, with something to see, and no
#: further apart than rows elsewhere.
_ALIKE, _SEEN, _STEPS = 0.9, 0.1, 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that may spoil the fit.

    Attributes
    ----------
    index : the slice, or None for the whole sequence.
    role : the sequence, or None where it is the mask.
    reason : what, with its figures.
    exclude : whether leaving the slice out is proposed.
    """

    index: int | None
    role: Role | None
    reason: str
    exclude: bool = True

    def as_dict(self) -> dict[str, Any]:
        """JSON values, for the report."""
        return asdict(self) | {"role": self.role.value if self.role else None}


def find_faults(study: Study) -> list[Finding]:
    """Look at the slices that are to be fitted; nothing is changed.

    Parameters
    ----------
    study : checked (`deepgmm.study.checks.check_study`).

    Returns
    -------
    findings : the mask's first, then by sequence and slice.
    """
    slices = study.slices
    found = list(_of_mask(study, slices))
    found += _open_walls(study, slices)
    for role, sequence in study.sequences.items():
        values = sequence.values[list(slices)].astype(np.float64)
        masks = study.mask[list(slices)]
        found += (Finding(None if i is None else slices[i], role, reason, i is not None)
                  for check in (_signal, _cuts, _saturation, _motion, _wrap)
                  for i, reason in check(values, masks))
    return found


def proposals(findings: list[Finding], study: Study) -> list[str]:
    """The findings as lines for a user, slices with the same ones together, and how to follow
    them."""
    lines, out = [], []
    alike: dict[str, list[int]] = {}
    for finding in (f for f in findings if f.index is None):
        lines.append(f"{finding.role.title if finding.role else 'LV mask'}: {finding.reason}")
    for index in sorted({f.index for f in findings if f.index is not None}):
        of_slice = [f for f in findings if f.index == index]
        reasons = "; ".join(f"{f.role.title} {f.reason}" if f.role else f.reason
                            for f in of_slice)
        alike.setdefault(reasons, []).append(index)
        out += [index] if any(f.exclude for f in of_slice) else []
    lines += [f"{named_slices(which)}: {reasons}"
              for reasons, which in alike.items()]
    rest = [i for i in study.slices if i not in out]
    if out and rest:
        lines.append(f"to leave the slices named out, say --slices {ranges(rest)}")
    return lines


def _of_mask(study: Study, slices: tuple[int, ...]) -> Iterator[Finding]:
    """Slices that hardly hold a ventricle, or one that the image's border cuts."""
    from scipy.ndimage import binary_fill_holes

    for i in slices:
        mask = study.mask[i]
        radius = float(np.sqrt(mask.sum() * study.geometry.pixel_area / np.pi))
        if radius < LEAST_RADIUS:
            yield Finding(i, None, f"the LV mask is very small (radius {radius:.0f} mm), at or "
                                   "beyond the apex")
        border = mask.copy()
        border[1:-1, 1:-1] = False
        if border.sum() > _MOST_CUT * mask.sum() and min(mask.shape) > 2:
            yield Finding(i, None, "the image's border cuts the LV mask")
        if study.wall is not None:
            wall = study.wall[i]
            pool = mask & ~wall
            if pool.any() and (pool & binary_fill_holes(wall)).sum() < 0.5 * pool.sum():
                yield Finding(i, None, "the wall given does not close around the blood pool, as "
                                       "beyond the base")


def _open_walls(study: Study, slices: tuple[int, ...]) -> Iterator[Finding]:
    """Basal slices, by bSSFP: blood is bright, and wall dark whatever its tissue."""
    sequence = study.sequences.get(Role.BSSFP)
    if sequence is None or study.wall is not None:
        return
    coordinates = ventricle_coordinates(study, slices)
    for n, i in enumerate(slices):
        share = _open_share(sequence.values[i], study.mask[i], coordinates.depth[n],
                            coordinates.angle[n])
        if share >= _MOST_OPEN:
            yield Finding(i, Role.BSSFP, f"shows no closed wall ({100 * share:.0f} % of the rim "
                                         "is as bright as blood), as beyond the base")


def _open_share(values: npt.NDArray, mask: BoolArray, depth: npt.NDArray,
                angle: npt.NDArray) -> float:
    """The longest run of sectors without dark wall, as a share of the circumference."""
    rim = mask & (depth > _RIM[0]) & (depth < _RIM[1])
    sector = (angle[rim] / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    if len(np.unique(sector)) < _SECTORS:
        return 0.0
    of_rim = values[rim]
    levels = np.array([np.median(of_rim[sector == k]) for k in range(_SECTORS)])
    pool = np.median(values[mask & (depth > 0.6 * depth.max())])
    dark = np.percentile(levels, 25)
    if not pool > dark:
        return 0.0
    run = longest = 0
    for bright in np.tile((levels - dark) / (pool - dark) > _AS_POOL, 2):
        run = run + 1 if bright else 0
        longest = max(longest, run)
    return min(longest, _SECTORS) / _SECTORS


def _signal(values: FloatArray, masks: BoolArray) -> Iterator[tuple[int | None, str]]:
    contrasts = np.array([_contrast(image[mask]) for image, mask in zip(values, masks)])
    for i, (image, mask) in enumerate(zip(values, masks)):
        noise = _noise(image, mask)
        signal = float(np.sqrt(max(contrasts[i]**2 - (_OF_NOISE * noise)**2, 0.0)))
        share = contrasts[i] / np.median(np.delete(contrasts, i)) if len(values) > 1 else 1.0
        if signal < LEAST_OVER_NOISE * noise:
            yield i, f"is hardly above its noise (contrast {signal / noise:.1f} times noise)"
        elif share < LEAST_CONTRAST:
            yield i, f"has little contrast ({100 * share:.0f} % of that on the other slices)"


def _noise(image: FloatArray, mask: BoolArray) -> float:
    """Standard deviation of normal noise, in the units of the image; 0 in a tiny mask."""
    from scipy.ndimage import binary_erosion, convolve

    box = _box(mask)
    inner = binary_erosion(mask[box])
    if not inner.any():
        return 0.0
    kernel = np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])
    # The kernel multiplies the noise's standard deviation by 6.
    return float(np.median(np.abs(convolve(image[box], kernel))[inner])) * 1.4826 / 6


def _cuts(values: FloatArray, masks: BoolArray) -> Iterator[tuple[int | None, str]]:
    """Padding of one value along a border that reaches into the mask, or to it."""
    from scipy.ndimage import binary_dilation

    for i, (image, mask) in enumerate(zip(values, masks)):
        padding = np.zeros_like(mask)
        for turns in range(4):
            turned = np.rot90(image, turns)
            if np.ptp(turned[:_PADDING]) > 0:
                continue
            flat = (turned == turned[0, 0]).all(axis=1)
            np.rot90(padding, turns)[:len(flat) if flat.all() else int(np.argmin(flat))] = True
        if not padding.any():
            continue
        if padding.all():
            continue
        cut = int((mask & binary_dilation(padding)).sum())
        if cut > _MOST_CUT * mask.sum():
            yield i, f"is cut off in the LV mask ({cut} pixels in or at the padding)"


def _saturation(values: FloatArray, masks: BoolArray) -> Iterator[tuple[int | None, str]]:
    top = values.max()
    for i, (image, mask) in enumerate(zip(values, masks)):
        share = float((image[mask] == top).mean())
        if share > MOST_SATURATED and len(np.unique(values[masks])) > VALUES:
            yield i, f"is saturated ({100 * share:.0f} % of the LV mask has the highest value)"


def _motion(values: FloatArray, masks: BoolArray) -> Iterator[tuple[int | None, str]]:
    """Blur and ghosts, against the other slices.

    Breathing changes what is acquired from one line of the spectrum to the next: along the
    direction of phase encoding its power becomes ragged.
    """
    if len(values) < 3:
        return
    sharp = np.array([_sharpness(image, mask) for image, mask in zip(values, masks)])
    ragged = _raggedness(values)
    for i in range(len(values)):
        edges = sharp[i] / max(np.median(np.delete(sharp, i)), 1e-12)
        others = np.maximum(np.median(np.delete(ragged, i, axis=0), axis=0), 1e-12)
        lines = float((ragged[i] / others).max())
        if edges < LEAST_SHARP:
            yield i, f"is blurred (edges {100 * edges:.0f} % as steep as on the other slices)"
        if lines > MOST_RAGGED:
            yield i, (f"looks ghosted by breathing (lines of its spectrum {lines:.1f} times as "
                      "uneven as on the other slices)")


def _sharpness(image: FloatArray, mask: BoolArray) -> float:
    box = _box(mask)
    down, right = np.gradient(image[box])
    steep = np.percentile(np.hypot(down, right)[mask[box]], 95)
    return float(steep / max(_contrast(image[mask]), 1e-12))


def _raggedness(values: FloatArray) -> FloatArray:
    """(slices, 2) along rows and columns, standard deviation of the spectrum's log power about
    its own running mean."""
    from scipy.ndimage import uniform_filter, uniform_filter1d

    detail = values - uniform_filter(values, (1, 9, 9))
    found = []
    for axis, other in ((1, 2), (2, 1)):
        power = (np.abs(np.fft.rfft(detail, axis=axis))**2).mean(other)
        level = np.log(power[:, 2:-1] + 1e-12 * power.max(1, keepdims=True) + 1e-300)
        found.append(np.std(level - uniform_filter1d(level, 5, axis=1), axis=1))
    return np.stack(found, axis=1)


def _wrap(values: FloatArray, masks: BoolArray) -> Iterator[tuple[int | None, str]]:
    """Fold-over: what leaves the image on one side comes in on the other."""
    from scipy.ndimage import uniform_filter1d

    whole = _contrast(values[masks])
    for axis, where in ((1, "upper and lower"), (2, "left and right")):
        if values.shape[axis] < 16:
            continue
        pairs = np.moveaxis(values, axis, 1)
        count = pairs.shape[1] // 2
        pairs = uniform_filter1d(
            pairs[:, :2 * count].reshape(len(values), count, 2, -1).mean(axis=2), 9, axis=2)
        first, last = pairs[:, 0], uniform_filter1d(
            np.moveaxis(values, axis, 1)[:, -2:].mean(axis=1), 9, axis=1)
        seen = np.minimum(first.std(axis=1), last.std(axis=1)) / whole > _SEEN
        apart = np.abs(first - last).mean(axis=1)
        usual = np.abs(np.diff(pairs, axis=1)).mean(axis=(1, 2))
        wrapped = [bool(s) and np.corrcoef(a, b)[0, 1] > _ALIKE and d < _STEPS * u
                   for s, a, b, d, u in zip(seen, first, last, apart, usual)]
        if sum(wrapped) > len(wrapped) / 2:
            yield None, (f"goes on across its {where} border (fold-over): see whether what came "
                         "in reaches the heart")


def _contrast(inside: FloatArray) -> float:
    """The range that normalisation takes for one."""
    return float(np.ptp(np.percentile(inside, (2, 98))))


def _box(mask: BoolArray) -> tuple[slice, slice]:
    """The mask's box with two pixels around it, within the image."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (slice(max(rows[0] - 2, 0), rows[-1] + 3),
            slice(max(columns[0] - 2, 0), columns[-1] + 3))
