"""How well one slice of a sequence lies on the reference, at every in-plane shift.

The reference's pixels, inside the LV mask and a rim around it, are put into classes: by their
distance from the mask's border, and within each distance by their brightness on the reference.
A class knows nothing of how bright the other sequence is there, only that its pixels are alike:
scar, edema and nulled or dark blood may look as they like. The similarity is the mutual
information of class and intensity where intensities are normal within a class, which is the
correlation ratio (Roche et al., MICCAI 1998) taken in logarithms:

    similarity(s) = -1/2 sum_c n_c/n log var_c(s),

with `var_c(s)` the variance of the moved slice's ranks in class `c`. Sums and sums of squares of
all classes at all shifts of whole pixels are correlations, hence a few Fourier transforms; no
interpolation smooths the noise at some shifts and not at others, as it does in histograms of
resampled images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.study.study import BoolArray, FloatArray

#: How far around the LV mask is looked, and how far a slice may have moved, mm.
RIM, SEARCH = 8.0, 10.0

#: Distances from the mask's border that part the classes, mm, negative inside.
_BANDS = (-6.0, -3.0, 0.0, 3.0)

#: Classes by brightness within a band: with one reference; with two, the nearer kin first.
_ONE, _TWO = (4,), (3, 2)

#: A class has at least so many pixels.
_LEAST_PIXELS = 20

#: Smoothing of reference and moved slice, pixels.
_SMOOTH_REFERENCE, _SMOOTH = 0.6, 0.4

#: Added to every variance (ranks have variance 1), so that a class of equal pixels is not all.
_FLOOR = 0.02

#: Neighbouring pixels that err together, to turn nats a pixel into evidence.
_PIXELS_TOGETHER = 4.0

#: Steps a pixel in the search for the peak, and how far around the best whole pixel.
_STEPS, _AROUND = 10, 3


@dataclass(frozen=True)
class Window:
    """The part of a slice that is looked at.

    Attributes
    ----------
    rows, columns : indices into the slice; those beyond its border repeat the border.
    region : (rows, columns) bool, the mask and its rim.
    distance : (rows, columns) from the mask's border in mm, negative inside.
    reach : shifts searched, whole pixels each way in rows and columns.
    spacing : of rows and columns, mm.
    """

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    region: BoolArray
    distance: FloatArray
    reach: tuple[int, int]
    spacing: tuple[float, float]

    @classmethod
    def around(cls, mask: BoolArray, spacing: tuple[float, float]) -> Window:
        """The window of one slice's mask; `spacing` of rows and columns, mm."""
        from scipy.ndimage import distance_transform_edt

        step = np.asarray(spacing)
        reach = np.ceil(SEARCH / step).astype(int)
        margin = reach + np.ceil(RIM / step).astype(int)
        found = np.argwhere(mask)
        low, high = found.min(0) - margin, found.max(0) + margin + 1
        rows, columns = (np.clip(np.arange(a, b), 0, n - 1)
                         for a, b, n in zip(low, high, mask.shape))
        inside = np.zeros(high - low, bool)
        inside[tuple((found - low).T)] = True
        distance = (distance_transform_edt(~inside, sampling=step)
                    - distance_transform_edt(inside, sampling=step))
        return cls(rows, columns, distance <= RIM, distance, (int(reach[0]), int(reach[1])),
                   spacing)

    def cut(self, values: FloatArray, smooth: float) -> FloatArray:
        """This part of a slice, smoothed by so many pixels."""
        from scipy.ndimage import gaussian_filter

        part = values[np.ix_(self.rows, self.columns)].astype(np.float32)
        return np.asarray(gaussian_filter(part, smooth))

    def offsets(self) -> tuple[FloatArray, FloatArray]:
        """Row and column shifts of a similarity map, mm; shapes (shifts, 1) and (1, shifts)."""
        y, x = (np.arange(-n, n + 1) * s for n, s in zip(self.reach, self.spacing))
        return y[:, None], x[None, :]


def reference_classes(window: Window, references: list[FloatArray]) -> FloatArray:
    """(classes, rows, columns) of 0 and 1, from one or two slices that lie on the mask."""
    bright = [window.cut(values, _SMOOTH_REFERENCE).ravel() for values in references]
    band = np.digitize(window.distance, _BANDS)
    pieces: list[npt.NDArray[np.intp]] = []
    for i in range(len(_BANDS) + 1):
        parts = [np.flatnonzero(window.region & (band == i))]
        for values, count in zip(bright, _ONE if len(bright) == 1 else _TWO):
            parts = [piece for part in parts for piece in _split(part, values[part], count)]
        pieces += [part for part in parts if part.size]
    classes = np.zeros((len(pieces), window.region.size), np.float32)
    for line, piece in zip(classes, pieces):
        line[piece] = 1.0
    return classes.reshape(-1, *window.region.shape)


def _split(part: npt.NDArray[np.intp], values: FloatArray,
           count: int) -> list[npt.NDArray[np.intp]]:
    """A part's pixels in pieces of equal size, from dark to bright."""
    count = max(1, min(count, part.size // _LEAST_PIXELS))
    return np.array_split(part[np.argsort(values, kind="stable")], count)


class Matcher:
    """One reference slice, ready to be compared with slices of other sequences."""

    def __init__(self, window: Window, references: list[FloatArray]) -> None:
        from scipy.fft import next_fast_len, rfft2

        self.window = window
        classes = reference_classes(window, references)
        self.count = classes.sum(axis=(1, 2))[:, None, None]
        self._size = tuple(next_fast_len(n, real=True) for n in window.region.shape)
        self._classes = np.conj(rfft2(classes, s=self._size))

    @property
    def independent(self) -> float:
        """How many pixels the region is worth: neighbours err together."""
        return float(self.count.sum()) / _PIXELS_TOGETHER

    def similarity(self, values: FloatArray) -> FloatArray:
        """Of a whole slice, at every shift of whole pixels.

        Returns
        -------
        (row shifts, column shifts) : nats a pixel; at [r, c] the slice's content lies
            `r - reach[0]` rows and `c - reach[1]` columns off the reference.
        """
        ranks = self._ranks(self.window.cut(values, _SMOOTH))
        mean = self._sums(ranks) / self.count
        variance = np.maximum(self._sums(ranks * ranks) / self.count - mean * mean, 0.0)
        unbiased = variance * self.count / np.maximum(self.count - 1, 1)
        share = self.count / self.count.sum()
        return np.asarray(-0.5 * (share * np.log(unbiased + _FLOOR)).sum(axis=0), np.float64)

    def _ranks(self, values: FloatArray) -> FloatArray:
        """Ranks among the region's values, of mean 0 and variance 1: no intensity outweighs."""
        known = np.sort(values[self.window.region])
        rank = 0.5 * (np.searchsorted(known, values) + np.searchsorted(known, values, "right"))
        return np.asarray((rank / known.size - 0.5) * np.sqrt(12.0), np.float32)

    def _sums(self, values: FloatArray) -> FloatArray:
        """(classes, row shifts, column shifts) sums over each class of the moved values."""
        from scipy.fft import irfft2, rfft2

        sums = irfft2(self._classes * rfft2(values, s=self._size), s=self._size)
        rows, columns = (np.arange(-n, n + 1) % size
                         for n, size in zip(self.window.reach, self._size))
        return np.asarray(sums[:, rows[:, None], columns[None, :]])


def peak(surface: FloatArray) -> tuple[FloatArray, float, bool]:
    """The highest point between the samples of a surface, by a cubic spline.

    Returns
    -------
    place : (row, column) from the surface's centre, samples.
    value : there.
    inside : false where the surface still rises at its border.
    """
    from scipy.ndimage import map_coordinates

    best = np.array(np.unravel_index(int(surface.argmax()), surface.shape))
    last = np.array(surface.shape) - 1
    inside = bool(((best > 0) & (best < last)).all())
    low, high = np.maximum(best - _AROUND, 0), np.minimum(best + _AROUND, last)
    fine = [np.linspace(a, b, (b - a) * _STEPS + 1) for a, b in zip(low, high)]
    part = surface[low[0]:high[0] + 1, low[1]:high[1] + 1]
    places = np.meshgrid(fine[0] - low[0], fine[1] - low[1], indexing="ij")
    values = map_coordinates(part, places, order=3, mode="nearest")
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    place = np.array([fine[0][row], fine[1][column]]) - last / 2
    return place, float(values[row, column]), inside
