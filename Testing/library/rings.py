"""Analytic rings and wedges on any grid, whose numbers are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from small_results import OBLIQUE

from deepgmm.review.borders import border_length, border_with_part, perimeter
from deepgmm.review.transmurality import high_end, laplace_chords, radial_chords
from deepgmm.study.study import Geometry
from deepgmm.study.words import Tissue


@dataclass(frozen=True)
class Ring:
    """A wall between two circles with an infarct from the endocardium out over an arc, mm.

    The infarct reaches from `inner` to `ill`, from the angle `begin` on over `arc` radians.
    """

    inner: float = 20.0
    outer: float = 30.0
    ill: float = 25.0
    arc: float = 2 * np.pi
    begin: float = 0.3

    @property
    def transmurality(self) -> float:
        return (self.ill - self.inner) / (self.outer - self.inner)

    @property
    def infarct_area(self) -> float:
        return self.arc / 2 * (self.ill**2 - self.inner**2)

    @property
    def wall_area(self) -> float:
        return np.pi * (self.outer**2 - self.inner**2)

    @property
    def is_whole(self) -> bool:
        return self.arc > 6.28

    @property
    def border(self) -> float:
        """Between infarct and the rest of the wall."""
        arc = self.ill * self.arc if self.ill < self.outer else 0.0
        return arc + (0.0 if self.is_whole else 2 * (self.ill - self.inner))

    @property
    def perimeter(self) -> float:
        sides = 0.0 if self.is_whole else 2 * (self.ill - self.inner)
        return (self.ill + self.inner) * self.arc + sides

    def parts(self, spacing: tuple[float, float], shift=(0.0, 0.0)):
        """Infarct, wall and pool, (rows, columns); its middle is `shift` pixels off the grid's."""
        rows, columns = (int(2 * self.outer / s) + 12 for s in spacing)
        grid = np.indices((rows, columns), float)
        y = (grid[0] - rows / 2 + shift[0]) * spacing[0]
        x = (grid[1] - columns / 2 + shift[1]) * spacing[1]
        radius, angle = np.hypot(y, x), (np.arctan2(y, x) - self.begin) % (2 * np.pi)
        wall = (radius >= self.inner) & (radius < self.outer)
        return wall & (radius < self.ill) & (angle < self.arc), wall, radius < self.inner

    def labels(self, spacing: tuple[float, float], slices: int = 1, shift=(0.0, 0.0)):
        """(slices, rows, columns): blood, myocardium and scar, each slice alike."""
        infarct, wall, pool = self.parts(spacing, shift)
        one = np.where(infarct, int(Tissue.SCAR), np.where(wall, int(Tissue.MYOCARDIUM), 0))
        return np.stack([np.where(pool, int(Tissue.BLOOD), one).astype(np.uint8)] * slices)


def oblique(spacing: tuple[float, float], thick: float = 8.0) -> Geometry:
    """A grid with no axis along any of the patient's; spacing of rows and of columns."""
    return Geometry((spacing[1], spacing[0], thick), (-71.1, 33.3, -210.0), OBLIQUE)


#: Where the middle of a ring lies between pixels.
POSITIONS = np.random.default_rng(20).uniform(-0.5, 0.5, (20, 2))

RINGS = {"whole": Ring(), "thin": Ring(ill=22.5), "half": Ring(arc=np.pi),
         "60 degrees": Ring(arc=np.pi / 3), "through": Ring(ill=30.0, arc=np.pi / 3),
         "small heart": Ring(15.0, 24.0, 21.0, np.pi / 2),
         # not two pixels of 1.4 mm thick, the first hardly one; six sectors wide
         "strip": Ring(ill=21.5), "short strip": Ring(ill=22.0, arc=np.pi / 3),
         "30 degrees": Ring(arc=np.pi / 6)}

#: What `errors` are of.
MEASURES = ("area", "border", "outline", "mean, radial", "mean, Laplace", "95th, radial",
            "95th, Laplace", "endocardium")


def errors(ring: Ring, spacing: tuple[float, float], shift=(0.0, 0.0)) -> np.ndarray:
    """(measures,) each measure of a ring over its closed form, less 1."""
    infarct, wall, pool = ring.parts(spacing, shift)
    share = ring.arc / (2 * np.pi)
    chords = [way(infarct, wall, pool, spacing) for way in (radial_chords, laplace_chords)]
    resolution = np.sqrt(spacing[0] * spacing[1]) / (ring.outer - ring.inner)
    whole, ill = border_with_part(pool, wall, infarct, spacing)
    return np.array([
        infarct.sum() * spacing[0] * spacing[1] / ring.infarct_area,
        border_length(infarct, wall & ~infarct, spacing) / ring.border,
        perimeter(infarct, spacing) / ring.perimeter,
        *(np.nanmean(one.transmurality) / (ring.transmurality * share) for one in chords),
        *(high_end(one.transmurality, resolution, beside=one.beside) / ring.transmurality
          for one in chords), ill / whole / share]) - 1
