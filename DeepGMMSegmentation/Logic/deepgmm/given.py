"""What a fit is given beside settings: what a person corrected, voxel by voxel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.words import Tissue


class Strength(IntEnum):
    """How a person came to say what a voxel is."""

    VOXEL = 1  #: this voxel is this tissue
    CONTOUR = 2  #: the border of pool and wall runs beside it
    SLICE = 3  #: everything in the slice is right, also what was left alone

    @property
    def title(self) -> str:
        return {1: "voxel", 2: "contour", 3: "slice done"}[self.value]


@dataclass(frozen=True)
class Edit:
    """One act of correcting.

    Attributes
    ----------
    when : UTC, ISO 8601; empty where nobody knows.
    run : the version that was corrected, counted from 1; 0 where it was of none.
    seconds : that it took, where that was told.
    """

    strength: Strength
    when: str = ""
    run: int = 0
    seconds: float | None = None


@dataclass
class Corrections:
    """What a person says of a result's voxels. It never changes by a fit.

    Attributes
    ----------
    tissue : (slices, rows, columns) uint8, values of `Tissue`; 0 for what belongs to none.
    edit : (slices, rows, columns) uint16, the edit that a voxel comes from, counted from 1; 0
        where nothing was said.
    edits : in their order.
    done : slices that are right as a whole, counted from 0.
    """

    tissue: npt.NDArray[np.uint8]
    edit: npt.NDArray[np.uint16]
    edits: list[Edit] = field(default_factory=list)
    done: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.tissue = np.asarray(self.tissue, np.uint8)
        self.edit = np.asarray(self.edit, np.uint16)
        self.done = tuple(sorted({int(index) for index in self.done}))
        if self.tissue.ndim != 3 or self.tissue.shape != self.edit.shape:
            raise InputError(f"corrections have shapes {self.tissue.shape} and {self.edit.shape}: "
                             "give one tissue and one edit for every voxel")
        if self.edit.size and int(self.edit.max()) > len(self.edits):
            raise InputError("corrections name an edit that is not there: make them anew")
        if not np.isin(self.tissue[self.fixed], list(Tissue)).all():
            raise InputError("corrections hold values that are no tissue: make them anew")

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Corrections:
        """Of a grid on which nothing was said."""
        return cls(np.zeros(shape, np.uint8), np.zeros(shape, np.uint16))

    @property
    def fixed(self) -> npt.NDArray[np.bool_]:
        """(slices, rows, columns) where something was said."""
        return self.edit > 0

    @property
    def strength(self) -> npt.NDArray[np.uint8]:
        """(slices, rows, columns) values of `Strength`, 0 where nothing was said."""
        return np.array([0, *(int(e.strength) for e in self.edits)], np.uint8)[self.edit]

    @property
    def bordered(self) -> list[int]:
        """The slices of whose border of pool and wall anything is known by itself, from 0."""
        return [int(i) for i in np.flatnonzero((self.strength == Strength.CONTOUR).any((1, 2)))]

    def __bool__(self) -> bool:
        return bool(self.edit.any())

    def painted(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Labels with what was said put over them; a copy."""
        return np.where(self.fixed, self.tissue, labels)

    def outlined(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(slices, rows, columns) an LV mask with what was drawn outside it and without what was
        erased."""
        return np.where(self.fixed, self.tissue > 0, mask)

    def joined(self, later: Corrections) -> Corrections:
        """These and later ones, which hold where both speak.

        Where a border or a slice that is called right has a voxel as it was drawn before, that
        keeps its own edit, so that it stays when the border or slice is taken back.

        Raises
        ------
        InputError : of another grid.
        """
        if later.tissue.shape != self.tissue.shape:
            raise InputError(f"the corrections have shapes {self.tissue.shape} and "
                             f"{later.tissue.shape}: they are of different images")
        first = len(self.edits)
        kind = later.strength
        stays = (self.fixed & later.fixed & (self.tissue == later.tissue)
                 & (kind > Strength.VOXEL) & (self.strength <= kind))
        new = later.fixed & ~stays
        return Corrections(
            np.where(new, later.tissue, self.tissue),
            np.where(new, later.edit + first, self.edit),
            [*self.edits, *later.edits], (*self.done, *later.done))

    def holds(self, later: Corrections) -> bool:
        """Whether later ones say nothing that these do not: the same of every voxel, by no kind
        of edit that would stay longer."""
        again = later.fixed
        if not set(later.done) <= set(self.done) or not self.fixed[again].all():
            return False
        return bool((self.tissue == later.tissue)[again].all()
                    and (self.strength <= later.strength)[again].all())

    def contradicted(self, later: Corrections) -> int:
        """How many voxels later ones call another tissue."""
        return int((self.fixed & later.fixed & (self.tissue != later.tissue)).sum())

    def without(self, slices: Iterable[int],
                strength: Strength = Strength.SLICE) -> Corrections:
        """With slices no longer done, or their borders no longer right: what was drawn there by
        hand stays."""
        free = sorted(set(slices))
        taken = np.zeros_like(self.fixed)
        taken[free] = self.strength[free] == strength
        edit, edits, done = self.edit.copy(), self.edits, self.done
        if strength is Strength.SLICE:
            done = tuple(i for i in done if i not in free)
        else:  # all of a slice that is done stays right
            whole = np.isin(np.arange(len(taken)), done)[:, None, None] & taken
            if whole.any():
                called = [n for n, e in enumerate(edits, 1) if e.strength == Strength.SLICE]
                edits = edits if called else [*edits, Edit(Strength.SLICE)]
                edit[whole] = called[-1] if called else len(edits)
                taken &= ~whole
        return replace(self, edit=np.where(taken, 0, edit),
                       tissue=np.where(taken, 0, self.tissue), edits=edits, done=done)
