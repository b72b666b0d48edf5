"""Where the AHA segments lie in a bull's-eye, for whoever draws one or is clicked into one.

As in the statement of the American Heart Association (`deepgmm.review.aha`): the base outside, the
apex in the middle, anterior above, the septum to the left. Lengths are of the outer radius, angles
in degrees against the clock from the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepgmm.review.aha import APEX

#: First segment of a ring, how many, first edge and width in degrees, outer and inner radius.
_RINGS = ((1, 6, 60.0, 60.0, 1.0, 0.72), (7, 6, 60.0, 60.0, 0.72, 0.44),
          (13, 4, 45.0, 90.0, 0.44, 0.16))
#: Of the innermost ring where there is no segment 17.
_NO_APEX = 0.08

#: What a bull's-eye may show: key of `Docs/numbers.md`, title, unit, value of the darkest shade.
BULLSEYES = (("infarct_percent", "Infarct", "% of the segment's wall", 100.0),
             ("edema_percent", "Edema (without infarct)", "% of the segment's wall", 100.0),
             ("transmurality_mean_radial", "Mean transmurality", "% of the wall's thickness",
              100.0))


@dataclass(frozen=True)
class Sector:
    """One segment's place.

    Attributes
    ----------
    segment : its number, 1 to 17.
    inner, outer : radii, 0 to 1.
    start, width : degrees; the apex proper has 360.
    """

    segment: int
    inner: float
    outer: float
    start: float
    width: float

    @property
    def middle(self) -> tuple[float, float]:
        """To the right and up."""
        if self.segment == APEX:
            return 0.0, 0.0
        angle, radius = np.radians(self.start + self.width / 2), (self.inner + self.outer) / 2
        return float(radius * np.cos(angle)), float(radius * np.sin(angle))


def sectors(model: int = 16) -> list[Sector]:
    """The sectors of the model of 16 segments, or of 17.

    Examples
    --------
    >>> [s.segment for s in sectors(17)][-2:]
    [16, 17]
    """
    found = []
    for first, count, begin, width, outer, inner in _RINGS:
        if first == 13 and model != APEX:
            inner = _NO_APEX
        found += [Sector(first + i, inner, outer, (begin + i * width) % 360, width)
                  for i in range(count)]
    return [*found, Sector(APEX, 0.0, _RINGS[-1][-1], 0.0, 360.0)] if model == APEX else found


def segment_at(right: float, up: float, model: int = 16) -> int:
    """The segment at a place, in outer radii from the middle; 0 where there is none."""
    radius, angle = np.hypot(right, up), np.degrees(np.arctan2(up, right)) % 360
    return next((s.segment for s in sectors(model) if s.inner <= radius < s.outer
                 and (angle - s.start) % 360 < s.width), 0)
