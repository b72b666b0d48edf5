"""A stack: parallel slices that belong together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deepgmm.reading.dicom.frames import Frame, Variation


@dataclass
class Stack:
    """Parallel slices that belong together.

    Attributes
    ----------
    slices : by position along the normal; each the frames of one place, in their order.
    variation : how the frames of a slice differ.
    repeats, oddities : what a user must know about how it was put together: of images where
        others lie, and the rest.
    """

    slices: list[list[Frame]]
    variation: Variation = Variation.NONE
    repeats: list[str] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """All that a user must know about how it was put together."""
        return [*self.repeats, *self.oddities]

    @property
    def first(self) -> Frame:
        return self.slices[0][0]

    @property
    def typical(self) -> Frame:
        """A frame that says of itself what most slices say."""
        firsts = self.slices_first()

        def words(frame: Frame) -> tuple[str, ...]:
            return frame.description, frame.protocol, frame.sequence

        most = Counter(map(words, firsts)).most_common(1)[0][0]
        return next(frame for frame in firsts if words(frame) == most)

    @property
    def frames(self) -> list[Frame]:
        return [frame for one in self.slices for frame in one]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The series that it was made of."""
        return tuple(sorted({frame.number for frame in self.frames}))

    @property
    def phases(self) -> int:
        """Images a slice; where slices differ, the most frequent number."""
        return Counter(map(len, self.slices)).most_common(1)[0][0]

    @property
    def heights(self) -> npt.NDArray[np.float64]:
        """Position of each slice along the normal, mm."""
        return heights(self.slices_first(), self.first)

    @property
    def gap(self) -> float:
        """Median distance of neighbouring slices, mm; the thickness of a single one."""
        if len(self.slices) > 1:
            return float(np.median(np.diff(self.heights)))
        return self.first.thickness or 0.0

    @property
    def acquired(self) -> str:
        return max(frame.acquired for frame in self.frames)

    def slices_first(self) -> list[Frame]:
        """One frame a slice."""
        return [one[0] for one in self.slices]


def heights(frames: list[Frame], like: Frame) -> npt.NDArray[np.float64]:
    """Positions along the normal of `like`, mm."""
    return np.array([f.position for f in frames], float) @ like.axes[:, 2]
