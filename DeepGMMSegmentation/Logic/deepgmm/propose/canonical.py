"""Images as the network is shown them: pixels of 2 mm, brightness made comparable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

#: mm of a pixel that the network sees, and of the field around the heart that it sees twice.
PIXEL, FIELD = 2.0, 160.0
#: Noise, as a share of an image's range, that much noise is brought to; by blurs from the narrowest
#: to the widest, in pixels: what asks for less is shown as it is.
QUIET, NARROWEST, WIDEST = 0.04, 0.6, 1.3
#: Share of the brightest under which an image shows air.
AIR = 0.2
_NOT_PLANE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6


@dataclass(frozen=True)
class Frame:
    """Where a canonical grid lies on an image's grid.

    Attributes
    ----------
    first : (row, column) of canonical pixel (0, 0) in pixels of the image.
    step : (rows, columns) of the image from one canonical pixel to the next.
    shape : (rows, columns) of the canonical grid.
    """

    first: tuple[float, float]
    step: tuple[float, float]
    shape: tuple[int, int]

    @classmethod
    def whole(cls, shape: tuple[int, int], spacing: tuple[float, float], multiple: int) -> Frame:
        """All of an image of (rows, columns), `spacing` mm apart, padded to a multiple."""
        sizes = [int(np.ceil(max(n * s / PIXEL, multiple) / multiple)) * multiple
                 for n, s in zip(shape, spacing)]
        return cls._about(((shape[0] - 1) / 2, (shape[1] - 1) / 2), spacing,
                          (sizes[0], sizes[1]))

    @classmethod
    def around(cls, middle: tuple[float, float], spacing: tuple[float, float],
               pixel: float = PIXEL) -> Frame:
        """`FIELD` mm, or as many pixels of another size, around a (row, column) of the image."""
        side = round(FIELD / PIXEL)
        return cls._about(middle, spacing, (side, side), pixel)

    @classmethod
    def _about(cls, middle: tuple[float, float], spacing: tuple[float, float],
               shape: tuple[int, int], pixel: float = PIXEL) -> Frame:
        step = (pixel / spacing[0], pixel / spacing[1])
        first = (middle[0] - step[0] * (shape[0] - 1) / 2, middle[1] - step[1] * (shape[1] - 1) / 2)
        return cls(first, step, shape)

    def to_image(self, points: FloatArray) -> FloatArray:
        """(..., 2) canonical (row, column) to the image's."""
        return np.asarray(points * np.array(self.step) + np.array(self.first))

    def to_canonical(self, points: FloatArray) -> FloatArray:
        """(..., 2) the image's (row, column) to canonical."""
        return np.asarray((points - np.array(self.first)) / np.array(self.step))

    def sampled(self, values: FloatArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(slices, rows, columns) of an image on this grid, and where it has an image, (rows,
        columns); a border of one value, as padding leaves it, is none. Finer pixels are averaged
        first."""
        from scipy.ndimage import affine_transform, gaussian_filter

        blur = [0.42 * np.sqrt(max(s * s - 1, 0.0)) for s in self.step]
        found = np.empty((len(values), *self.shape), np.float32)
        for image, out in zip(values, found):
            smooth = gaussian_filter(np.asarray(image, np.float32), blur, mode="nearest")
            affine_transform(smooth, np.array(self.step), self.first, self.shape, out, order=1,
                             mode="nearest")
        rows, columns = (first + step * np.arange(n) for first, step, n in
                         zip(self.first, self.step, self.shape))
        held = [(axis > low - 0.6) & (axis < high - 0.4) for axis, (low, high) in
                zip((rows, columns), _shown(values))]
        return found, held[0][:, None] & held[1][None, :]

    def back(self, values: FloatArray, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """(slices, ...) of this grid on the image's (rows, columns); 0 beyond this grid."""
        from scipy.ndimage import affine_transform

        inverse = 1 / np.array(self.step)
        offset = -np.array(self.first) * inverse
        found = np.empty((len(values), *shape), np.float32)
        for plane, out in zip(values, found):
            affine_transform(np.asarray(plane, np.float32), inverse, offset, shape, out, order=1)
        return found


def _shown(values: FloatArray) -> list[tuple[int, int]]:
    """From where to where rows, and columns, of (slices, rows, columns) hold more than one value in
    any slice."""
    known = np.nan_to_num(values)
    found = []
    for across in (2, 1):
        at = np.flatnonzero((known.max(across) > known.min(across)).any(0))
        found.append((int(at[0]), int(at[-1]) + 1) if at.size else (0, values.shape[3 - across]))
    return found


def without_air(values: FloatArray) -> FloatArray:
    """(slices, rows, columns) whose air all around is of one value, as padding is, where air is
    more than half of both sides: else brightness would be judged by its noise. Air is under a fifth
    of how bright the images are, smoothed."""
    from scipy.ndimage import gaussian_filter

    known = np.nan_to_num(np.asarray(values, np.float32))
    shown = gaussian_filter(known.max(0) - known.min(), 2.0)
    bright = shown > AIR * float(np.percentile(shown, 99.9))
    box = [slice(None)]
    for across in (1, 0):
        held = np.flatnonzero(bright.any(across))
        if not held.size or 2 * (held[-1] + 1 - held[0]) > bright.shape[1 - across]:
            return values
        box.append(slice(held[0], held[-1] + 1))
    bare = np.full_like(values, known.min())
    bare[tuple(box)] = values[tuple(box)]
    return bare


def noise_of(values: FloatArray, seen: npt.NDArray[np.bool_]) -> float:
    """Standard deviation of the noise of (slices, rows, columns), as a share of the range from
    each slice's 2nd to 98th percentile: what is left of a pixel where everything that is plane over
    3 x 3 is taken away (Immerkaer, 1996), by its median, median over slices."""
    from scipy.ndimage import binary_erosion, correlate

    within = binary_erosion(seen, np.ones((3, 3)))
    found = []
    for image in values:
        known = np.nan_to_num(image)
        low, high = np.percentile(known[seen], [2.0, 98.0]) if seen.any() else (0.0, 0.0)
        left = np.abs(correlate(known, _NOT_PLANE)) / max(float(high - low), 1e-6)
        left = left[within & (known > known.min())]  # what is blank has none
        found.append(float(np.median(left)) / 0.6745 if left.size else 0.0)
    return float(np.median(found))


def calmed(values: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_]
           ) -> npt.NDArray[np.float32]:
    """Images noisier than the network saw while it learned, blurred until they are as quiet."""
    from scipy.ndimage import gaussian_filter

    # white noise falls so much by a Gaussian
    width = min(noise_of(values, seen) / QUIET / (2 * np.sqrt(np.pi)), WIDEST)
    if width < NARROWEST or not np.isfinite(values).all():
        return values
    return np.stack([gaussian_filter(image, width, mode="nearest") for image in values])


def normalised(values: FloatArray, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Each slice's 2nd to 98th percentile where it is seen to -1 to 1, cut; 0 elsewhere."""
    found = np.zeros(values.shape, np.float32)
    for image, out in zip(values, found):
        inside = image[seen]
        if not inside.size or not np.isfinite(inside).all():
            inside = inside[np.isfinite(inside)]
            if not inside.size:
                continue
        low, high = np.percentile(inside, [2.0, 98.0])
        scaled = 2 * (np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) / max(
            float(high - low), 1e-6) - 1
        out[seen] = np.clip(scaled, -1.5, 1.5)[seen]
    return found


def brightened(values: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_], gamma: float
               ) -> npt.NDArray[np.float32]:
    """What `normalised` gives, brighter where gamma is under 1; its darkest and brightest stay."""
    unit = np.clip((values + 1) / 2, 0, 1.25) ** gamma
    return np.where(seen, 2 * unit - 1, 0).astype(np.float32)


def channels(values: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_]
             ) -> npt.NDArray[np.float32]:
    """(slices, 4, rows, columns): the slice before, the slice, the slice behind, where seen."""
    before = np.concatenate([np.zeros_like(values[:1]), values[:-1]])
    behind = np.concatenate([values[1:], np.zeros_like(values[:1])])
    there = np.broadcast_to(seen.astype(np.float32), values.shape)
    return np.stack([before, values, behind, there], axis=1)
