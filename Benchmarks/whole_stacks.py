"""Stacks of the phantoms of three makes that go on beyond the apex and the valve.

Each make draws its own heart, surroundings and images; only where its slices lie, and what lies
above a valve whose plane is tilted against them, is said here: an atrium with a thin wall, of the
make's own matters, and the root of the aorta beside its middle. So near the valve the wall is open
on one side. A slice whose wall the valve cuts, or that shows no pool, has no ventricle to outline.
The library's phantom, whose slices end with the ventricle, is painted for such a stack here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role, Tissue

Codes = npt.NDArray[np.uint8]

#: mm of an atrium's wall; what the valve leaves of a closed slice's area at least.
THIN, CLOSED = 2.5, 0.5


@dataclass(frozen=True)
class Beyond:
    """How a stack goes on.

    Attributes
    ----------
    slices : beyond the apex, and beyond the valve.
    start : share of a gap by which the first slice lies nearer to the apex.
    tilt : mm along the long axis that the valve's plane gains for each mm along rows and columns.
    root : (row, column) of the aortic root's middle from the image's, and its radius, mm.
    """

    slices: tuple[int, int]
    start: float
    tilt: tuple[float, float]
    root: tuple[float, float, float]

    @classmethod
    def draw(cls, seed: int) -> Beyond:
        rng = np.random.default_rng([seed, 0xE4D])
        below, above = rng.integers(1, 4, 2)
        return cls((int(below), int(above)), float(rng.uniform()),
                   tuple(float(v) for v in rng.normal(0, 0.2, 2)),
                   (float(rng.uniform(-20, -8)), float(rng.uniform(-22, -8)),
                    float(rng.uniform(9, 13))))

    def depths(self, apex: float, valve: float, gap: float) -> npt.NDArray[np.float64]:
        """Of the slices' middles, apex first; the long axis grows towards the apex."""
        top = apex + gap * (self.slices[0] - self.start)
        count = int(np.floor((top - valve) / gap)) + 1 + self.slices[1]
        return np.asarray(top - gap * np.arange(count))

    def with_atrium(self, codes: Codes, depths: npt.NDArray[np.floating], rows: npt.NDArray,
                    columns: npt.NDArray, *, valve: float, ventricle: Collection[int], wall: int,
                    blood: int) -> Codes:
        """The codes with an atrium where the ventricle would go on above the valve.

        Parameters
        ----------
        codes : (planes, fine rows, fine columns) of a make's matters.
        depths : (planes,) or (planes, fine rows), of what each row of a plane shows.
        rows, columns : mm from the image's middle.
        valve : the depth of its plane in the image's middle.
        ventricle, wall, blood : the make's codes of the left ventricle, and of an atrium.
        """
        from scipy.ndimage import distance_transform_edt

        out = codes.copy()
        plane = valve + self.tilt[0] * rows[:, None] + self.tilt[1] * columns
        step = float(rows[1] - rows[0])
        for one, depth in zip(out, depths):
            held = np.isin(one, list(ventricle))
            above = held & (np.broadcast_to(depth, rows.shape)[:, None] < plane)
            if not above.any():
                continue
            inward = distance_transform_edt(held) * step
            one[above] = np.where(inward[above] < THIN, wall, blood)
            if (depth < valve - 3.0).all():
                row, column, radius = self.root
                middle = np.argwhere(held).mean(0)
                away = np.hypot(rows[:, None] - rows[int(middle[0])] - row,
                                columns - columns[int(middle[1])] - column)
                one[above & (np.abs(away - radius - THIN / 2) < THIN / 2)] = wall
                one[above & (away < radius)] = blood
        return out


def kept(truth: Codes, uncut: Codes, pool: int) -> Codes:
    """The truth without the slices that have no ventricle to outline.

    Parameters
    ----------
    truth, uncut : (slices, rows, columns) labels with and without the valve.
    """
    areas = [(labels > 0).sum((1, 2)) for labels in (truth, uncut)]
    closed = (areas[0] >= CLOSED * areas[1]) & (truth == pool).any((1, 2))
    return np.asarray(truth * closed[:, None, None].astype(np.uint8))


def library_patient(seed: int, beyond: Beyond) -> tuple[Study, np.ndarray]:
    """A typical patient of the library's phantom, whose stack goes on beyond apex and valve."""
    from deepgmm.phantom import patient as made
    from deepgmm.phantom.anatomy import Grid, Heart, Material, Pose, paint_heart, surroundings
    from deepgmm.phantom.contrast import DEFAULT_KINDS, image
    from deepgmm.phantom.infarct import draw_typical

    body, lesion, motion, *scans = (np.random.default_rng([seed, 0, part])
                                    for part in range(3 + len(Role)))
    heart, pixel = Heart.draw(body), float(np.round(body.uniform(1.2, 1.45), 4))
    rows, columns = (int(n) for n in 2 * body.integers(64, 81, 2))
    grid = Grid(rows, columns, pixel, made.FACTOR)
    gap = float(np.round(body.uniform(8.0, 14.0), 3))
    # the apex is the tip of the epicardium, the valve where its levels begin
    depths = beyond.depths(heart.length, 0.0, gap)
    within = ((np.arange(made.FACTOR) + 0.5) / made.FACTOR - 0.5) * 8.0
    deep = depths[:, None] - within
    levels = np.clip(deep / heart.length, 0.0, 0.97)
    infarct = draw_typical(lesion, mvo_fraction=0.25)
    around = surroundings(heart, levels, grid)
    below = depths > heart.length
    ventricle = [m for m in Material if Material.BLOOD <= m <= Material.PAPILLARY]

    def painted(pose: Pose, valve: bool = True) -> np.ndarray:
        codes = paint_heart(around, heart, levels, grid, infarct.bounds(levels.ravel()),
                            infarct.thinned(levels.ravel()), pose)
        codes[below] = around[below]
        if not valve:
            return codes
        # sample rows of a pixel lie at different levels
        rows_at = np.tile(deep, (1, grid.rows))
        return beyond.with_atrium(codes, rows_at, *grid.axes(), valve=0.0, ventricle=ventricle,
                                  wall=Material.RV_WALL, blood=Material.RV_BLOOD)
    truth, uncut = (made._truth(painted(Pose(), valve), grid)[0] for valve in (True, False))
    sequences = {}
    for i, role in enumerate(Role):
        pose = Pose.draw(motion, 1.0, pixel)
        if role in DEFAULT_KINDS:
            values, _ = image(scans[i], painted(pose), grid, DEFAULT_KINDS[role], 1.0,
                              infarct.chronic)
            sequences[role] = Sequence(role, values, DEFAULT_KINDS[role])
    truth = kept(truth, uncut, Tissue.BLOOD)
    return Study(sequences, np.zeros(truth.shape, bool), Geometry((pixel, pixel, gap))), truth
