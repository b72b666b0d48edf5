"""How far infarct reaches through the wall: along radial chords and along Laplace's field lines.

What a labelmap says at a point is taken as the share of its surroundings, a Gaussian of `SMOOTH`
pixels, that has the label. Lengths are integrals of such shares along a line: that neither
favours a side of a stair nor loses what is thinner than a pixel.

- **Radial chord**: the half line from the centre of the blood pool (of the LV mask where there is
  no pool). Its length in the infarct over its length in the wall.
- **Laplace**: through a wall between endocardium (potential 0) and epicardium (1) the field lines
  of Laplace's equation lead from one to the other without crossing; their length is the thickness.
  Jones, Buchbinder, Aharon, Hum Brain Mapp 2000;11:12-32. One line starts in every direction, half
  way through.

Both are averaged over sectors of `WIDTH` degrees: single lines are noise on pixels of 1 to 2 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.study.coordinates import box_of
from deepgmm.study.study import BoolArray

#: Degrees of a sector whose lines are averaged, and between lines.
WIDTH, BETWEEN = 5, 1
#: Standard deviation of the smoothing, pixels.
SMOOTH = 0.6
#: Sectors whose transmurality differs by less than so much of a pixel are alike; and one beside
#: which there is less than such a share of it is the end of an infarct. Chosen on rings.
APART, END, _ROUNDS = 0.7, 0.6, 10
#: Step along a line, in pixels, and what must be wall of a line for it to count, pixels.
_STEP, _LEAST = 0.25, 0.75
#: Steps along a field line are so many times longer.
_STRIDE = 2

Lines = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Chords:
    """The sectors of a slice.

    Attributes
    ----------
    angle : (sectors,) radians of their middles, clockwise on the screen from the columns' axis.
    place : (sectors, 2) row and column in the middle of the wall there; NaN without wall.
    thickness : (sectors,) mean length in the wall, mm; NaN without wall.
    infarct : (sectors,) mean length in the infarct, mm; NaN without wall.
    """

    angle: Lines
    place: Lines
    thickness: Lines
    infarct: Lines

    @property
    def transmurality(self) -> Lines:
        """(sectors,) infarct through wall, 0 to 1; NaN without wall."""
        return np.clip(self.infarct / self.thickness, 0.0, 1.0)

    @property
    def beside(self) -> Lines:
        """(sectors,) the lesser transmurality of both neighbours; NaN where neither has wall."""
        found = self.transmurality
        return np.asarray(np.fmin(np.roll(found, 1), np.roll(found, -1)))


def high_end(transmurality: Lines, resolution: float, percentile: float = 95.0,
             beside: Lines | None = None) -> float:
    """A high percentile of sectors that is not that of the pixels' noise.

    A wall is some pixels thick, and a sector's transmurality is uncertain by a share of one: of
    many sectors that are truly alike a high percentile picks those that came out too high. So the
    percentile is replaced by the mean of the sectors that cannot be told from it, until that
    stays; without the ends of an infarct, where two are left, for a sector's edge and the pixels
    have cut them.

    Parameters
    ----------
    transmurality : (sectors,) 0 to 1, all finite.
    resolution : what one pixel is of the wall's thickness.
    beside : (sectors,) the lesser of both neighbours', `Chords.beside`; None: no ends are known.

    Examples
    --------
    >>> round(high_end(np.array([0.0, 0.0, 0.48, 0.5, 0.55]), 0.2), 3)
    0.51
    """
    values = np.asarray(transmurality, float)
    found = float(np.percentile(values, percentile))
    if found == 0.0:
        return found
    for _ in range(_ROUNDS):
        alike = np.abs(values - found) <= APART * resolution
        if beside is not None:
            within = alike & ~(np.asarray(beside) < END * found)
            alike = within if within.sum() > 1 else alike
        if not alike.any() or abs(values[alike].mean() - found) < 1e-4:
            break
        found = float(values[alike].mean())
    return found


def radial_chords(infarct: BoolArray, wall: BoolArray, pool: BoolArray,
                  spacing: tuple[float, float]) -> Chords:
    """Chords of a slice.

    Parameters
    ----------
    infarct, wall, pool : (rows, columns); the infarct lies in the wall.
    spacing : of rows and of columns, mm.
    """
    slice_ = _Slice.of(infarct, wall, pool, spacing)
    if slice_ is None:
        return _nothing()
    angles = np.radians(np.arange(0, 360, BETWEEN) + BETWEEN / 2)
    along = (slice_.steps_through_wall() + 0.5) * slice_.step
    places = slice_.centre + along[None, :, None] * slice_.directions(angles)[:, None]
    inside, ill = slice_.wall_at(places), slice_.infarct_at(places)
    total = np.maximum(inside.sum(axis=1, keepdims=True), 1e-9)
    middle = (inside[..., None] * places).sum(axis=1) / total
    return _averaged(slice_, angles, middle, inside.sum(axis=1) * slice_.step,
                     ill.sum(axis=1) * slice_.step)


def laplace_chords(infarct: BoolArray, wall: BoolArray, pool: BoolArray,
                   spacing: tuple[float, float]) -> Chords:
    """Field lines of a slice; nothing where there is no pool, and so no endocardium."""
    slice_ = _Slice.of(infarct, wall, pool, spacing)
    if slice_ is None or not pool.any():
        return _nothing()
    potential = _Potential(slice_)
    angles = np.radians(np.arange(0, 360, BETWEEN) + BETWEEN / 2)
    starts, found = potential.half_way(angles)
    thickness, ill = np.zeros(len(angles)), np.zeros(len(angles))
    if found.any():
        thickness[found], ill[found] = potential.followed(starts[found])
    return _averaged(slice_, angles, starts, thickness, ill)


def _nothing() -> Chords:
    sectors = 360 // WIDTH
    none = np.full(sectors, np.nan)
    return Chords(_middles(), np.full((sectors, 2), np.nan), none, none)


def _middles() -> Lines:
    return np.asarray(np.radians(np.arange(0, 360, WIDTH) + WIDTH / 2))


def _averaged(slice_: _Slice, angles: Lines, places: Lines, thickness: Lines,
              infarct: Lines) -> Chords:
    """Means over the lines of a sector that meet the wall."""
    met = thickness > _LEAST * slice_.pixel
    count = met.reshape(-1, WIDTH // BETWEEN).sum(axis=1)
    enough = count >= (WIDTH // BETWEEN + 1) // 2

    def mean(values: Lines) -> Lines:
        total = np.where(met, values, 0.0).reshape(-1, WIDTH // BETWEEN).sum(axis=1)
        return np.where(enough, total / np.maximum(count, 1), np.nan)

    rows, columns = ((places / slice_.spacing)[:, axis] + slice_.origin[axis] for axis in (0, 1))
    return Chords(_middles(), np.stack([mean(rows), mean(columns)], axis=1), mean(thickness),
                  mean(infarct))


@dataclass(frozen=True)
class _Slice:
    """A slice cut to its wall, in mm from its first row and column.

    `wall` and `infarct` are shares, (rows, columns); `labels` 1 in the pool, 2 in the wall.
    """

    wall: Lines
    infarct: Lines
    labels: npt.NDArray[np.uint8]
    centre: Lines
    spacing: Lines
    origin: tuple[int, int]

    @classmethod
    def of(cls, infarct: BoolArray, wall: BoolArray, pool: BoolArray,
           spacing: tuple[float, float]) -> _Slice | None:
        from scipy import ndimage

        if not wall.any():
            return None
        wall, infarct = _without_islets(wall, infarct)
        box = box_of(wall | pool)
        labels = np.pad(pool[box] + 2 * wall[box].astype(np.uint8), 4)
        inside = np.pad((infarct & wall)[box], 4)
        step = np.asarray(spacing, float)
        # the same in mm on both axes, so that a grid of long pixels blurs no further along them
        sigma = SMOOTH * np.sqrt(step.prod()) / step
        smooth = [ndimage.gaussian_filter(part.astype(float), sigma, mode="constant", truncate=4)
                  for part in (labels == 2, inside)]
        middle = np.argwhere(labels == 1) if pool.any() else np.argwhere(labels)
        return cls(smooth[0], smooth[1], labels, middle.mean(axis=0) * step, step,
                   (box[0].start - 4, box[1].start - 4))

    @property
    def pixel(self) -> float:
        return float(np.sqrt(self.spacing.prod()))

    @property
    def step(self) -> float:
        return _STEP * self.pixel

    @property
    def reach(self) -> float:
        """From the centre to the furthest corner, mm."""
        size = (np.array(self.labels.shape) - 1) * self.spacing
        return float(np.linalg.norm(np.maximum(self.centre, size - self.centre)))

    def steps_through_wall(self) -> npt.NDArray[np.int_]:
        """Steps from the centre, of which all in between may meet the smoothed wall."""
        away = np.hypot(*(np.argwhere(self.wall > 0) * self.spacing - self.centre).T)
        pixel = float(np.hypot(*self.spacing))  # shares are interpolated between pixels
        return np.arange(max(int((away.min() - pixel) / self.step), 0),
                         int((away.max() + pixel) / self.step) + 1)

    def directions(self, angles: Lines) -> Lines:
        """(angles, 2) unit vectors, rows and columns."""
        return np.stack([np.sin(angles), np.cos(angles)], axis=1)

    def wall_at(self, places: Lines) -> Lines:
        return _at(self.wall, places, self.spacing)

    def infarct_at(self, places: Lines) -> Lines:
        return _at(self.infarct, places, self.spacing)


def _without_islets(wall: BoolArray, infarct: BoolArray) -> tuple[BoolArray, BoolArray]:
    """The largest piece of the wall alone: papillary muscles in the pool are no part of it."""
    from scipy import ndimage

    pieces, count = ndimage.label(wall, np.ones((3, 3)))
    if count < 2:
        return wall, infarct
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return largest, infarct & largest


def _at(image: Lines, places: Lines, spacing: Lines) -> Lines:
    """Linear interpolation at places in mm, (..., 2); 0 outside."""
    from scipy import ndimage

    index = np.moveaxis(places / spacing, -1, 0)
    return np.asarray(ndimage.map_coordinates(image, index, order=1, mode="constant"))


class _Potential:
    """Laplace's potential of a slice's wall, 0 in the pool and 1 outside, and its field lines.

    Solved on a grid refined until its pixels are small against a wall.
    """

    #: Pixels of the refined grid are at most so long, mm; finer than given, at most so many times.
    FINEST, MOST = 0.7, 3

    def __init__(self, slice_: _Slice) -> None:
        self.slice = slice_
        factor = int(np.clip(np.ceil(slice_.spacing.max() / self.FINEST), 1, self.MOST))
        self.spacing = slice_.spacing / factor
        self.shape = tuple((n - 1) * factor + 1 for n in slice_.labels.shape)
        grid = np.moveaxis(np.indices(self.shape), 0, -1) * self.spacing
        inside = slice_.wall_at(grid) >= 0.5
        pool = self._pool(grid) & ~inside
        self.values = self._solved(inside, pool)
        self.gradient = np.stack(list(np.gradient(self.values, *self.spacing)))

    def _pool(self, grid: Lines) -> BoolArray:
        """What lies within the wall: refined pixels whose nearest label of the rest is the pool."""
        from scipy import ndimage

        rows, columns = (np.clip(np.rint(grid[..., axis] / self.slice.spacing[axis]).astype(int), 0,
                                 self.slice.labels.shape[axis] - 1) for axis in (0, 1))
        wall = self.slice.labels == 2
        nearest = ndimage.distance_transform_edt(wall, sampling=self.slice.spacing,
                                                 return_distances=False, return_indices=True)
        return np.asarray((self.slice.labels[tuple(nearest)] == 1)[rows, columns])

    def _solved(self, inside: BoolArray, pool: BoolArray) -> Lines:
        """The five-point equation on the pixels of the wall, solved at once."""
        from scipy import sparse
        from scipy.sparse.linalg import spsolve

        values = np.where(pool, 0.0, 1.0)
        number = np.full(inside.shape, -1)
        number[inside] = np.arange(int(inside.sum()))
        across = np.array([1 / self.spacing[0] ** 2, 1 / self.spacing[1] ** 2])
        rows, columns = np.nonzero(inside)
        known = np.zeros(len(rows))
        entries: list[tuple[npt.NDArray, npt.NDArray, npt.NDArray]] = [
            (np.arange(len(rows)), np.arange(len(rows)), np.full(len(rows), 2 * across.sum()))]
        for down, right, weight in ((1, 0, across[0]), (-1, 0, across[0]), (0, 1, across[1]),
                                    (0, -1, across[1])):
            beside = number[rows + down, columns + right]
            free = beside >= 0
            entries.append((np.flatnonzero(free), beside[free], np.full(int(free.sum()), -weight)))
            known += np.where(free, 0.0, weight * values[rows + down, columns + right])
        i, j, v = (np.concatenate(part) for part in zip(*entries))
        values[inside] = spsolve(sparse.csc_matrix((v, (i, j))), known)
        return values

    def half_way(self, angles: Lines) -> tuple[Lines, BoolArray]:
        """(angles, 2) where half lines from the centre first pass the middle potential in the
        wall, mm, and whether they do."""
        along = self.slice.steps_through_wall() * self.slice.step
        places = self.slice.centre + along[None, :, None] * self.slice.directions(angles)[:, None]
        passed = (_at(self.values, places, self.spacing) >= 0.5) \
            & (self.slice.wall_at(places) >= 0.5)
        first = passed.argmax(axis=1)
        return places[np.arange(len(angles)), first], np.asarray(passed.any(axis=1))

    def followed(self, starts: Lines) -> tuple[Lines, Lines]:
        """Lengths in wall and infarct of the lines through some places, both ways (midpoint rule);
        beyond the wall a line goes straight on, for the smoothed wall does not end at once."""
        step = self.slice.step * _STRIDE
        # both ways at once: the second half of the lines goes against the field
        sign = np.repeat([1.0, -1.0], len(starts))[:, None]
        place = np.concatenate([starts, starts])
        wall, infarct = np.zeros(len(place)), np.zeros(len(place))
        heading = self._heading(place, np.zeros(place.shape)) * sign
        going = np.arange(len(place))
        for _ in range(int(2 * self.slice.reach / step)):
            half = place[going] + heading[going] * step / 2
            here = self.slice.wall_at(half)
            on = here > 0.02
            going, half, here = going[on], half[on], here[on]
            if not len(going):
                break
            wall[going] += here * step
            infarct[going] += self.slice.infarct_at(half) * step
            heading[going] = self._heading(half, heading[going] * sign[going]) * sign[going]
            place[going] += heading[going] * step
        return wall.reshape(2, -1).sum(axis=0), infarct.reshape(2, -1).sum(axis=0)

    def _heading(self, place: Lines, before: Lines) -> Lines:
        """Unit vectors up the potential; beyond the wall and where it is flat, as before."""
        field = np.stack([_at(part, place, self.spacing) for part in self.gradient], axis=1)
        size = np.linalg.norm(field, axis=1, keepdims=True)
        deep = (self.slice.wall_at(place) >= 0.5)[:, None]
        return np.where(deep & (size > 1e-6), field / np.maximum(size, 1e-12), before)
