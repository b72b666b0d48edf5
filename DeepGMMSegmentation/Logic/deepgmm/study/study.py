"""A study: one patient's aligned sequences, LV mask and geometry. Data only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.words import TISSUES_BY_ROLES, Kind, Role, Tissue

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Geometry:
    """Where a grid lies in the patient, in ITK's convention (LPS, millimetres).

    Attributes
    ----------
    spacing : (columns, rows, slices) voxel size in mm.
    origin : centre of voxel (0, 0, 0) in mm, LPS.
    direction : 9 numbers, the 3 x 3 direction cosines row by row; column j is the
        direction of axis j in the order columns, rows, slices.
    """

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @property
    def pixel_area(self) -> float:
        """In-plane pixel area, mm^2."""
        return float(self.spacing[0] * self.spacing[1])

    @property
    def voxel_volume(self) -> float:
        """Voxel volume, ml."""
        return float(np.prod(self.spacing)) / 1000.0

    def index_to_world(self) -> npt.NDArray[np.float64]:
        """4 x 4 matrix from (column, row, slice, 1) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction).reshape(3, 3) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix


@dataclass
class Sequence:
    """One sequence of a study.

    Attributes
    ----------
    values : (slices, rows, columns), intensities as in the file.
    kind : how it was acquired; `Kind.UNKNOWN` widens the prior and warns.
    """

    role: Role
    values: FloatArray
    kind: Kind = Kind.UNKNOWN


@dataclass
class Study:
    """One patient's sequences and LV mask on one grid.

    Attributes
    ----------
    sequences : by role, always iterated in the order bSSFP, LGE, T2.
    mask : (slices, rows, columns) bool, the LV mask: blood and wall together.
    wall : (slices, rows, columns) bool or None, myocardium, edema and scar together.
    insertion_points : (slices, 2, 2) float or None, (row, column) of the anterior and the
        inferior RV insertion per slice; NaN where unknown.
    excluded : slice index to the reason why it is left out of the fit.
    warnings : what a user must see about the input.
    hashes : input role ("bssfp", "mask", ...) to the SHA-256 of the file's bytes.
    provenance : what was chosen or done on the way in, for the report: JSON values.
    file_axes : which axes of the mask's file are columns, rows and slices, for images that are
        written back in its order; 0, 1, 2 where the file counts slices last, as most do.
    """

    sequences: dict[Role, Sequence]
    mask: BoolArray
    geometry: Geometry = field(default_factory=Geometry)
    wall: BoolArray | None = None
    insertion_points: FloatArray | None = None
    excluded: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    file_axes: tuple[int, int, int] = (0, 1, 2)

    def __post_init__(self) -> None:
        if not self.sequences:
            raise InputError("no sequence given: give at least one of bSSFP, LGE and T2")
        self.sequences = {role: self.sequences[role] for role in Role if role in self.sequences}
        self.mask = np.asarray(self.mask, dtype=bool)
        if self.mask.ndim != 3:
            raise InputError(f"the LV mask has {self.mask.ndim} axes, wanted 3: "
                             "slices, rows, columns")
        for role, sequence in self.sequences.items():
            if sequence.values.shape != self.mask.shape:
                raise InputError(f"{role.title} has shape {sequence.values.shape}, "
                                 f"the LV mask {self.mask.shape}: bring them onto one grid")
        if self.wall is not None:
            self.wall = np.asarray(self.wall, dtype=bool)
            if self.wall.shape != self.mask.shape:
                raise InputError(f"the wall has shape {self.wall.shape}, "
                                 f"the LV mask {self.mask.shape}: bring them onto one grid")

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(self.sequences)

    @property
    def images(self) -> npt.NDArray[np.float32]:
        """(slices, sequences, rows, columns), float32."""
        return np.stack([s.values for s in self.sequences.values()], axis=1).astype(np.float32)

    @property
    def tissues(self) -> tuple[Tissue, ...]:
        """The tissues that these sequences can tell apart."""
        return TISSUES_BY_ROLES[frozenset(self.sequences)]

    @property
    def slices(self) -> tuple[int, ...]:
        """Indices of the slices that are fitted: masked and not excluded."""
        return tuple(i for i in range(self.mask.shape[0])
                     if self.mask[i].any() and i not in self.excluded)


def case_key(hashes: Mapping[str, str]) -> str:
    """A short name of a case that says nothing of the patient: 16 hexadecimal digits.

    It follows from the bytes of the image files alone, so the same images have it under any name
    and with any mask and labels.

    Parameters
    ----------
    hashes : role to SHA-256, as `Study.hashes`.
    """
    own = [f"{role.value} {hashes[role.value]}\n" for role in Role if role.value in hashes]
    return hashlib.sha256("".join(own).encode()).hexdigest()[:16]
