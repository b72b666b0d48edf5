"""Numbers that follow a drawing: masses, extent and AHA segments, again only where it changed.

The numbers are those of `deepgmm.review.measures`; here is only what need not be done twice. A
slice's chords are the dear part, and a stroke changes one slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from deepgmm.review.aha import segment_map
from deepgmm.review.measures import Measure
from deepgmm.review.quantities import GROUPS, Numbers
from deepgmm.review.transmurality import Chords, radial_chords
from deepgmm.study.coordinates import box_of
from deepgmm.study.study import FloatArray, Geometry
from deepgmm.study.words import WALL_TISSUES, Tissue

Labels = npt.NDArray[np.uint8]

#: Pixels around what is drawn that are kept in view, lest every stroke at the rim begin anew.
_ROOM = 12


class Live:
    """One segmentation's numbers, brought up to date step by step.

    Parameters
    ----------
    geometry : of the labels.
    tissues : those that were sought.
    points : (slices, 2, 2) RV insertions, or None: then there are no AHA segments.
    level : "base", "mid" or "apex" of the slices that have one.
    insertions : how the points came, as `Numbers.insertions`.
    model : of 16 segments, or of 17.

    Examples
    --------
    >>> labels = np.full((1, 20, 20), Tissue.MYOCARDIUM, np.uint8)
    >>> live = Live(Geometry((1.0, 1.0, 10.0)), [Tissue.MYOCARDIUM])
    >>> live.take(labels)
    >>> while live.step():
    ...     pass
    >>> live.numbers().get("wall_volume").value
    4.0
    """

    def __init__(self, geometry: Geometry, tissues: Iterable[Tissue],
                 points: FloatArray | None = None, level: Mapping[int, str] | None = None,
                 insertions: str = "given", model: int = 16) -> None:
        self.geometry, self.tissues = geometry, set(tissues)
        self.points, self.level = points, dict(level or {})
        self.insertions, self.model = insertions, model
        self._spacing = (geometry.spacing[1], geometry.spacing[0])
        self._labels: Labels | None = None
        self._of: tuple[int, tuple[int, ...]] = (0, ())  # slices, and their rows and columns
        self._box: tuple[slice, slice] = (slice(0), slice(0))
        self._mapped: tuple[bytes, Labels] | None = None  # what segments were made of, and they
        self._chords: dict[int, Chords] = {}
        self._pending: set[int] = set()

    def take(self, labels: Labels) -> None:
        """Take labels, (slices, rows, columns), as they are now; `step` does the rest."""
        flat = np.asarray((labels > 0).any(axis=0))
        if not flat.any():
            self._labels, self._chords, self._pending = labels[:, :0, :0], {}, set()
            return
        size = labels.shape[1:]
        wanted = tuple(slice(max(one.start - _ROOM, 0), min(one.stop + _ROOM, n))
                       for one, n in zip(box_of(flat), size))
        if self._labels is None or (len(labels), size) != self._of or not self._labels.size:
            self._labels, self._chords, self._pending = None, {}, set()
            self._of, self._box = (len(labels), size), (wanted[0], wanted[1])
        elif not all(held.start <= one.start and one.stop <= held.stop
                     for held, one in zip(self._box, box_of(flat))):
            self._widen(wanted)
        rows, columns = self._box
        inside = labels[:, rows, columns].copy()
        changed = range(len(labels)) if self._labels is None else np.flatnonzero(
            (inside != self._labels).any(axis=(1, 2)))
        self._labels = inside
        for index in map(int, changed):
            self._chords.pop(index, None)
            self._pending.discard(index)
            if np.isin(inside[index], WALL_TISSUES).any():
                self._pending.add(index)

    def _widen(self, box: tuple[slice, ...]) -> None:
        """Have another box in view too; what was measured stays."""
        assert self._labels is not None
        wide = [slice(min(held.start, one.start), max(held.stop, one.stop))
                for held, one in zip(self._box, box)]
        before = [held.start - new.start for held, new in zip(self._box, wide)]
        after = [new.stop - held.stop for held, new in zip(self._box, wide)]
        self._labels = np.pad(self._labels, [(0, 0), *zip(before, after)])
        self._chords = {index: replace(chords, place=chords.place + before)
                        for index, chords in self._chords.items()}
        self._box = (wide[0], wide[1])

    @property
    def waiting(self) -> bool:
        """Whether slices are to be done yet."""
        return bool(self._pending)

    def step(self) -> bool:
        """Do one slice; whether more are to be done."""
        if self._pending and self._labels is not None and Tissue.SCAR in self.tissues:
            index = self._pending.pop()
            labels = self._labels[index]
            self._chords[index] = radial_chords(
                np.isin(labels, GROUPS["infarct"]), np.isin(labels, WALL_TISSUES),
                labels == Tissue.BLOOD, self._spacing)
        else:
            self._pending.clear()
        return self.waiting

    def numbers(self) -> Numbers:
        """Of the study: amounts and radial transmurality; of AHA segments: all but Laplace's.
        Of slices whose turn is yet to come there are no chords."""
        assert self._labels is not None, "no labels were taken"
        found = Numbers([], [], self._labels, self.geometry, self._segments(),
                        {"radial": dict(self._chords), "laplace": {}}, [], self.insertions,
                        self.model)
        measure = Measure(found, self.tissues, {}, "")
        counts = measure.counts(self._labels > 0)
        found.rows = [*measure.amounts("study", "", counts), *measure.chords("study", ""),
                      *measure.segments()]
        found.rows = [row for row in found.rows if not row.key.endswith("_laplace")]
        return found

    def slice_of(self, segment: int, key: str) -> int | None:
        """The slice on which an AHA segment has most of what a key is of; of those alike, the
        middle one. None for a segment without wall."""
        if self._labels is None:
            return None
        where = self._segments() == segment
        wall = (where & np.isin(self._labels, WALL_TISSUES)).sum(axis=(1, 2))
        held = np.flatnonzero(wall)
        if not len(held):
            return None
        what = GROUPS["edema" if key.startswith("edema") else "infarct"]
        amount = (where & np.isin(self._labels, what)).sum(axis=(1, 2))
        if amount.any():
            return int(np.argmax(amount))
        return int(held[len(held) // 2])

    def _segments(self) -> Labels:
        labels = self._labels
        assert labels is not None
        if self.points is None or not labels.size:
            return np.zeros(labels.shape, np.uint8)
        # only where the ventricle's outline, or where its pool ends, has changed
        made_of = np.packbits(labels > 0).tobytes() + bytes(
            (labels == Tissue.BLOOD).any(axis=(1, 2))) + bytes(str(self._box), "ascii")
        if self._mapped is None or self._mapped[0] != made_of:
            origin = np.array([self._box[0].start, self._box[1].start])
            self._mapped = made_of, segment_map(labels, labels > 0, self.points - origin,
                                                self._spacing, self.model, self.level)
        return self._mapped[1]
