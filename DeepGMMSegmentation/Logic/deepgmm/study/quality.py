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

from deepgmm.study.coordinates import VentricleCoordinates, box_of, ventricle_coordinates
from deepgmm.study.levels import levels
from deepgmm.study.study import BoolArray, Sequence, Study
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

#: How it begins that slices had better be left out.
LEAVE_OUT = "it is proposed to leave"

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


@dataclass(frozen=True)
class _Region:
    """The mask of a slice: whole, in the box with two pixels around it, and there without its
    outermost pixels."""

    mask: BoolArray
    box: tuple[slice, slice]
    boxed: BoolArray
    inner: BoolArray

    @classmethod
    def of(cls, mask: BoolArray) -> _Region:
        from scipy.ndimage import binary_erosion

        box = box_of(mask, around=2)
        return cls(mask, box, mask[box], binary_erosion(mask[box]))


@dataclass(frozen=True)
class _Seen:
    """A sequence on the slices to fit: whole images, the values in each slice's mask and their
    contrast, the range that normalisation takes for one."""

    values: FloatArray
    regions: list[_Region]
    inside: list[FloatArray]
    contrasts: FloatArray

    @classmethod
    def of(cls, sequence: Sequence, slices: tuple[int, ...], regions: list[_Region]) -> _Seen:
        values = sequence.values[list(slices)].astype(np.float64)
        inside = [image[region.mask] for image, region in zip(values, regions)]
        return cls(values, regions, inside, np.array([_contrast(one) for one in inside]))

    def boxed(self) -> Iterator[tuple[FloatArray, _Region]]:
        """What lies in the box of each slice."""
        return ((image[region.box], region)
                for image, region in zip(self.values, self.regions))


def find_faults(study: Study, coordinates: VentricleCoordinates | None = None) -> list[Finding]:
    """Look at the slices that are to be fitted; nothing is changed.

    Parameters
    ----------
    study : checked (`deepgmm.study.checks.check_study`).
    coordinates : of these slices, where they have been taken.

    Returns
    -------
    findings : the mask's first, then by sequence and slice.
    """
    slices = study.slices
    found = list(_of_mask(study, slices))
    found += _open_walls(study, slices, coordinates)
    regions = [_Region.of(study.mask[i]) for i in slices]
    for role, sequence in study.sequences.items():
        seen = _Seen.of(sequence, slices, regions)
        found += (Finding(None if i is None else slices[i], role, reason, i is not None)
                  for check in (_signal, _cuts, _saturation, _motion, _wrap)
                  for i, reason in check(seen))
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
    return lines + left_out_said(out, study)


def left_out_said(out: list[int], study: Study) -> list[str]:
    """How a user is told to leave slices out; nothing where there are none, or all are."""
    rest = [i for i in study.slices if i not in out]
    if not out or not rest:
        return []
    kept = ranges(rest)  # the option's own count, which no one who shows it may change
    return [f"{LEAVE_OUT} {named_slices(out)} out, which keeps {kept} (--slices {kept})"]


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
                                       f"beyond the {_end(study, i)}")


def _open_walls(study: Study, slices: tuple[int, ...],
                coordinates: VentricleCoordinates | None) -> Iterator[Finding]:
    """Basal slices, by bSSFP: blood is bright, and wall dark whatever its tissue."""
    sequence = study.sequences.get(Role.BSSFP)
    if sequence is None or study.wall is not None:
        return
    coordinates = coordinates or ventricle_coordinates(study, slices)
    for n, i in enumerate(slices):
        share = _open_share(sequence.values[i], study.mask[i], coordinates.depth[n],
                            coordinates.angle[n])
        if share >= _MOST_OPEN:
            yield Finding(i, Role.BSSFP, f"shows no closed wall ({100 * share:.0f} % of the rim "
                                         f"is as bright as blood), as beyond the "
                                         f"{_end(study, i)}")


def _end(study: Study, index: int) -> str:
    """Beyond what a slice would lie that shows no closed wall: base, apex, or it is not known."""
    level = levels(study).get(index)
    return level if level in ("base", "apex") else "ventricle"


def _open_share(values: npt.NDArray, mask: BoolArray, depth: npt.NDArray,
                angle: npt.NDArray) -> float:
    """The longest run of sectors without dark wall, as a share of the circumference."""
    from scipy.ndimage import median

    rim = mask & (depth > _RIM[0]) & (depth < _RIM[1])
    sector = (angle[rim] / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    if len(np.unique(sector)) < _SECTORS:
        return 0.0
    levels = median(values[rim], sector, np.arange(_SECTORS))
    pool = np.median(values[mask & (depth > 0.6 * depth.max())])
    dark = np.percentile(levels, 25)
    if not pool > dark:
        return 0.0
    run = longest = 0
    for bright in np.tile((levels - dark) / (pool - dark) > _AS_POOL, 2):
        run = run + 1 if bright else 0
        longest = max(longest, run)
    return min(longest, _SECTORS) / _SECTORS


def _signal(seen: _Seen) -> Iterator[tuple[int | None, str]]:
    alone = len(seen.contrasts) == 1
    shares = np.ones(1) if alone else seen.contrasts / _of_others(seen.contrasts)
    for i, (image, region) in enumerate(seen.boxed()):
        noise = _noise(image, region.inner)
        signal = float(np.sqrt(max(seen.contrasts[i]**2 - (_OF_NOISE * noise)**2, 0.0)))
        if signal < LEAST_OVER_NOISE * noise:
            yield i, f"is hardly above its noise (contrast {signal / noise:.1f} times noise)"
        elif shares[i] < LEAST_CONTRAST:
            yield i, f"has little contrast ({100 * shares[i]:.0f} % of that on the other slices)"


def _of_others(figures: FloatArray) -> FloatArray:
    """For each slice the median of the others."""
    others = np.stack([np.delete(figures, i, axis=0) for i in range(len(figures))])
    return np.asarray(np.median(others, axis=1))


def _noise(image: FloatArray, inner: BoolArray) -> float:
    """Standard deviation of normal noise, in the units of the image; 0 in a tiny mask."""
    if not inner.any():
        return 0.0
    curved = np.diff(np.diff(image, 2, axis=0), 2, axis=1)
    # Second differences along both axes multiply the noise's standard deviation by 6.
    return float(np.median(np.abs(curved[inner[1:-1, 1:-1]]))) * 1.4826 / 6


def _cuts(seen: _Seen) -> Iterator[tuple[int | None, str]]:
    """Padding of one value along a border that reaches into the mask, or to it."""
    from scipy.ndimage import binary_dilation

    padding = np.zeros(seen.values.shape, dtype=bool)
    for turns in range(4):
        turned = np.rot90(seen.values, turns, axes=(1, 2))
        for i in np.flatnonzero(np.ptp(turned[:, :_PADDING], axis=(1, 2)) == 0):
            flat = (turned[i] == turned[i, 0, 0]).all(axis=1)
            np.rot90(padding[i], turns)[:len(flat) if flat.all() else int(np.argmin(flat))] = True
    for i in np.flatnonzero(padding.any(axis=(1, 2)) & ~padding.all(axis=(1, 2))):
        mask = seen.regions[i].mask
        cut = int((mask & binary_dilation(padding[i])).sum())
        if cut > _MOST_CUT * mask.sum():
            yield int(i), f"is cut off in the LV mask ({cut} pixels in or at the padding)"


def _saturation(seen: _Seen) -> Iterator[tuple[int | None, str]]:
    top = seen.values.max()
    for i, inside in enumerate(seen.inside):
        share = float((inside == top).mean())
        if share > MOST_SATURATED and len(np.unique(np.concatenate(seen.inside))) > VALUES:
            yield i, f"is saturated ({100 * share:.0f} % of the LV mask has the highest value)"


def _motion(seen: _Seen) -> Iterator[tuple[int | None, str]]:
    """Blur and ghosts, against the other slices.

    Breathing changes what is acquired from one line of the spectrum to the next: along the
    direction of phase encoding its power becomes ragged.
    """
    if len(seen.values) < 3:
        return
    steep = np.array([_steepness(image, region.boxed) for image, region in seen.boxed()])
    sharp = steep / np.maximum(seen.contrasts, 1e-12)
    ragged = _raggedness(seen.values)
    edges = sharp / np.maximum(_of_others(sharp), 1e-12)
    lines = (ragged / np.maximum(_of_others(ragged), 1e-12)).max(axis=1)
    for i in range(len(sharp)):
        if edges[i] < LEAST_SHARP:
            yield i, f"is blurred (edges {100 * edges[i]:.0f} % as steep as on the other slices)"
        if lines[i] > MOST_RAGGED:
            yield i, (f"looks ghosted by breathing (lines of its spectrum {lines[i]:.1f} times "
                      "as uneven as on the other slices)")


def _steepness(image: FloatArray, mask: BoolArray) -> float:
    down, right = (np.gradient(image, axis=axis)[mask] for axis in (0, 1))
    return float(np.percentile(np.hypot(down, right), 95))


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


def _wrap(seen: _Seen) -> Iterator[tuple[int | None, str]]:
    """Fold-over: what leaves the image on one side comes in on the other."""
    whole = _contrast(np.concatenate(seen.inside))
    for axis, where in ((1, "upper and lower"), (2, "left and right")):
        lines = np.moveaxis(seen.values, axis, 1)
        if lines.shape[1] < 16:
            continue
        first, last = _in_twos(lines[:, :2])[:, 0], _in_twos(lines[:, -2:])[:, 0]
        one, other = (edge - edge.mean(axis=1, keepdims=True) for edge in (first, last))
        spread = one.std(axis=1), other.std(axis=1)
        clear = np.minimum(*spread) / whole > _SEEN
        alike = clear & ((one * other).mean(axis=1) > _ALIKE * spread[0] * spread[1])
        if alike.sum() <= len(alike) / 2:
            continue
        apart = np.abs(first - last).mean(axis=1)
        usual = np.abs(np.diff(_in_twos(lines), axis=1)).mean(axis=(1, 2))
        if (alike & (apart < _STEPS * usual)).sum() > len(alike) / 2:
            yield None, (f"goes on across its {where} border (fold-over): see whether what came "
                         "in reaches the heart")


def _in_twos(lines: FloatArray) -> FloatArray:
    """(slices, lines / 2, along) means of every two lines, smoothed along them."""
    from scipy.ndimage import uniform_filter1d

    count = lines.shape[1] // 2
    pairs = lines[:, :2 * count].reshape(len(lines), count, 2, -1)
    return uniform_filter1d(pairs.mean(axis=2), 9, axis=2)


def _contrast(inside: FloatArray) -> float:
    return float(np.ptp(np.percentile(inside, (2, 98))))
