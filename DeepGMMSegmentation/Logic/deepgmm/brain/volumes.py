"""One brain: image, brain mask and, where somebody drew them, labels, in one orientation.

Files come in any order and sense of axes. Here slices go up, rows go back and columns go left
(LPS), so that one atlas and one network fit all; what is written goes back to the file's order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.tissues import TISSUES
from deepgmm.errors import InputError
from deepgmm.files import sha256
from deepgmm.reading.images.grids import (
    difference,
    geometry_of,
    image_of,
    on_grid_of,
    overlap_warnings,
)
from deepgmm.reading.images.image import read_image
from deepgmm.reading.images.places import axes_of_file, in_order_of_file
from deepgmm.reading.masks.labelmap import write_image
from deepgmm.study.study import Geometry

if TYPE_CHECKING:
    import SimpleITK

    PathLike = str | os.PathLike[str]

#: What label files of brains say of themselves in their headers.
OWN_NOTE = "DeepGMM brain labels: 1 CSF, 2 grey, 3 white"

#: Voxels that a mask must hold, and span along each axis; the share that may be no number.
_FEWEST, _SPAN, _NO_NUMBER = 100, 5, 0.01

#: Volumes of a whole brain with its CSF, ml, beyond which the mask is doubted.
_BRAIN = (400.0, 2300.0)

#: Intensities that lie farther from zero than this many times what they differ by, and grey levels
#: fewer than this, are said: tissues come out wrong of either.
_OFFSET, _LEVELS = 2.0, 12

#: More nonzero voxels than this share of an image are no brain.
_FULL = 0.9

#: What a user's own labels may hold.
_OURS = {0: 0, **{int(t): int(t) for t in TISSUES}}


@dataclass(frozen=True)
class Turn:
    """How a file's axes become slices, rows, columns of LPS, and back.

    Attributes
    ----------
    order : of the array's axes (slices, rows, columns) each one's in the file.
    flips : which of the turned axes run the other way.
    geometry : of the file's grid.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    geometry: Geometry = field(default_factory=Geometry)

    @classmethod
    def of(cls, geometry: Geometry) -> Turn:
        """The turn of a grid; an oblique one goes to the nearest axes."""
        cosines = np.asarray(geometry.direction).reshape(3, 3)
        axes = max(permutations(range(3)),
                   key=lambda p: sum(abs(cosines[w, p[w]]) for w in range(3)))
        flips = [bool(cosines[w, axes[w]] < 0) for w in range(3)]
        order = [2 - axes[2 - a] for a in range(3)]
        return cls((order[0], order[1], order[2]), (flips[2], flips[1], flips[0]), geometry)

    def there(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array (slices, rows, columns) of the file in LPS."""
        turned = values.transpose(self.order)
        return np.ascontiguousarray(np.flip(turned, tuple(self._flipped)))

    def back(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array (..., slices, rows, columns) in LPS in the file's order."""
        ahead = values.ndim - 3
        turned = np.flip(values, tuple(ahead + a for a in self._flipped))
        inverse = [ahead + int(a) for a in np.argsort(self.order)]
        return np.ascontiguousarray(turned.transpose(*range(ahead), *inverse))

    def place(self, shape: tuple[int, ...]) -> Geometry:
        """Where the turned grid lies; `shape` is that of the file's array."""
        old = self.geometry.index_to_world()
        to_old = np.zeros((4, 4))
        to_old[3, 3] = 1
        for new in range(3):  # axes of arrays, whose columns are the last
            source, flip = self.order[new], self.flips[new]
            to_old[2 - source, 2 - new] = -1 if flip else 1
            to_old[2 - source, 3] = shape[source] - 1 if flip else 0
        matrix = old @ to_old
        edges = np.linalg.norm(matrix[:3, :3], axis=0)
        return Geometry(tuple(edges.tolist()), tuple(matrix[:3, 3].tolist()),
                        tuple((matrix[:3, :3] / edges).ravel().tolist()))

    @property
    def _flipped(self) -> list[int]:
        return [a for a in range(3) if self.flips[a]]


@dataclass
class BrainVolume:
    """One contrast of one brain.

    Attributes
    ----------
    image : (slices, rows, columns) float32, LPS: up, back, left; finite everywhere.
    mask : likewise bool, the brain with its CSF.
    labels : likewise uint8, values of `BrainTissue` or `UNLABELLED`, or None.
    geometry : where that grid lies.
    name : of the case, for tables; empty where it might name a patient.
    turn : back to the file's axes.
    warnings : what a user must know.
    hashes : role to the SHA-256 of the file's bytes.
    """

    image: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.uint8] | None = None
    geometry: Geometry = field(default_factory=Geometry)
    name: str = ""
    turn: Turn = field(default_factory=Turn)
    warnings: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.image = np.asarray(self.image, np.float32)
        self.mask = np.asarray(self.mask, bool)
        if self.image.ndim != 3:
            raise InputError(f"the image has {self.image.ndim} axes, wanted 3: slices, rows, "
                             "columns")
        for what, values in (("brain mask", self.mask), ("labels", self.labels)):
            if values is not None and values.shape != self.image.shape:
                raise InputError(f"the {what} and the image have different shapes: bring them "
                                 "onto one grid")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm in the order of the arrays: slices, rows, columns."""
        columns, rows, slices = self.geometry.spacing
        return slices, rows, columns

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """4 x 4 matrix from (slice, row, column, 1) to (z, y, x, 1) in mm: up, back, left."""
        matrix = self.geometry.index_to_world()
        turn = [2, 1, 0, 3]
        return np.asarray(matrix[np.ix_(turn, turn)])

    @property
    def voxel_volume(self) -> float:
        """Voxel volume, ml."""
        return self.geometry.voxel_volume

    def on_file_grid(self, values: npt.NDArray[Any]) -> SimpleITK.Image:
        """Labels (slices, rows, columns), or probabilities (tissues, ...), as the file lies."""
        return image_of(self.turn.back(values), self.turn.geometry)


def read_volume(image: PathLike, *, mask: PathLike | None = None, labels: PathLike | None = None,
                codes: Mapping[int, int] | None = None, name: str = "") -> BrainVolume:
    """Read a brain from files.

    Parameters
    ----------
    image : NIfTI, NRRD, MetaImage or DICOM of one contrast; 4D where it has one frame.
    mask : the brain, nonzero; by default where there are labels, else the image's nonzero voxels.
    labels : truth to score by or learn from; 1 CSF, 2 grey, 3 white matter.
    codes : what other values mean: the file's value to a label or `UNLABELLED`.
    name : of the case.

    Raises
    ------
    InputError
        A file that cannot be used, a mask of too few voxels, an image that is constant in it or
        has too many voxels that are no numbers.

    Examples
    --------
    >>> read_volume("T1.nii.gz", mask="brain.nii.gz").spacing              # doctest: +SKIP
    (1.0, 1.0, 1.0)
    """
    import SimpleITK as sitk

    grid, warnings = _in_order(image, "image")
    if grid.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"the image has {grid.GetNumberOfComponentsPerPixel()} values a voxel: "
                         "give one contrast")
    hashes = {"image": sha256(image)}
    turn = Turn.of(geometry_of(grid))
    values = sitk.GetArrayFromImage(grid).astype(np.float32)
    place = turn.place(values.shape)
    drawn = region = None
    if labels is not None:
        found, said = _onto(labels, grid, "labels")
        hashes["labels"] = sha256(labels)
        warnings += said
        drawn = turn.there(coded(found, _OURS if codes is None else codes))
    if mask is not None:
        found, said = _onto(mask, grid, "brain mask")
        hashes["mask"] = sha256(mask)
        warnings += said
        inside, more = _inside(np.nan_to_num(found))
        warnings += more
        region = turn.there(inside)
    turned = turn.there(values)
    if region is None:
        region, said_of_it = _brain_of(turned, drawn)
        warnings.append(said_of_it)
    return checked(BrainVolume(turned, region, drawn, place, name, turn, warnings, hashes))


def write_brain(volume: BrainVolume, values: npt.NDArray[Any], path: PathLike, what: str) -> None:
    """Write an array on the volume's grid as an image file on its file's grid.

    Parameters
    ----------
    values : (slices, rows, columns), or (tissues, slices, rows, columns).
    what : the file's role, for messages.

    Raises
    ------
    InputError : it cannot be written.
    """
    image = volume.on_file_grid(values)
    if values.dtype == np.uint8:
        image.SetMetaData("ITK_FileNotes", OWN_NOTE)
    write_image(image, path, what)


def coded(values: npt.NDArray[Any], codes: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    """Labels of a file as ours.

    Raises
    ------
    InputError : a value that is not among `codes`.
    """
    whole = np.rint(np.nan_to_num(values, nan=-1.0)).astype(np.int64)
    strange = sorted(set(np.unique(whole).tolist()) - set(codes))
    if strange or np.abs(whole - values).max(initial=0) > 1e-3:
        named = ", ".join(map(str, strange[:5])) or "fractions"
        raise InputError(f"the labels hold values that are no tissue ({named}): wanted 0 "
                         "background, 1 CSF, 2 grey matter, 3 white matter")
    table = np.zeros(max(codes) + 1, np.uint8)
    for value, ours in codes.items():
        table[value] = ours
    return np.asarray(table[whole])


def checked(volume: BrainVolume) -> BrainVolume:
    """The volume with what is no number taken out, or a line that says why it cannot be used.

    Raises
    ------
    InputError : as `read_volume`.
    """
    warnings = list(volume.warnings)
    numbers = np.isfinite(volume.image)
    lost = int((volume.mask & ~numbers).sum())
    inside = int(volume.mask.sum())
    if inside < _FEWEST:
        raise InputError(f"the brain mask holds {inside} voxels: see whether it is of this image "
                         "and not empty")
    spans = [int(np.ptp(at)) + 1 for at in np.nonzero(volume.mask)]
    if min(spans) < _SPAN:
        raise InputError(f"the brain spans {min(spans)} voxel{'s' if min(spans) > 1 else ''} along "
                         "one axis: give a volume, not single slices")
    if lost > _NO_NUMBER * inside:
        raise InputError(f"{100 * lost / inside:.0f} % of the image inside the brain mask are no "
                         "numbers (NaN or infinite): export it again")
    mask = volume.mask & numbers
    if lost:
        warnings.append(f"{lost} voxels of the image inside the mask are no numbers and were "
                        "left out")
    image = np.where(numbers, volume.image, np.float32(0))
    values = image[mask]
    if values.min() == values.max():
        raise InputError("the image is constant inside the brain mask: see whether it is the "
                         "right file")
    if len(np.unique(values[:: max(1, len(values) // 100_000)])) <= len(TISSUES):
        raise InputError("the image has no more than three values inside the brain mask, as "
                         "labels have: give the image itself")
    warnings += _said_of_values(values)
    size = float(mask.sum()) * volume.voxel_volume
    if not _BRAIN[0] <= size <= _BRAIN[1]:
        warnings.append(f"the brain mask holds {size:.0f} ml, which is no whole brain with its "
                        "CSF; see whether the skull was taken off and the voxel size is right")
    return replace(volume, image=image, mask=mask, warnings=warnings)


def _inside(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Where a mask's values mean the brain: not 0, or of probabilities more than a half."""
    between = (values > 0) & (values < 1)
    if between.any() and values.min() >= 0 and values.max() <= 1:
        return values >= 0.5, ["the brain mask holds fractions from 0 to 1: .5 and more was taken "
                               "as the brain"]
    return values != 0, []


def _said_of_values(values: npt.NDArray[np.float32]) -> list[str]:
    """What is to be said of intensities, of which a field and a mixture make little."""
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    said = []
    if min(abs(low), abs(high)) > _OFFSET * (high - low) and low * high > 0:
        said.append(f"the image's values lie far from zero for how much they differ ({low:.4g} to "
                    f"{high:.4g} inside the mask), so that tissues are told apart badly: subtract "
                    "what the background holds")
    levels = len(np.unique(values))
    if levels < _LEVELS:
        said.append(f"the image has only {levels} grey levels inside the mask: export it with more")
    return said


def _brain_of(image: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8] | None
              ) -> tuple[npt.NDArray[np.bool_], str]:
    """The brain where nobody drew it, and what is to be said of that."""
    if labels is not None:
        if not labels.any():
            raise InputError("the labels are 0 everywhere: see whether they are the right file")
        return labels > 0, ("no brain mask was given: where there are labels was taken as the "
                            "brain")
    if (image != 0).mean() > _FULL and np.ptp(image) > 0:
        raise InputError("no brain mask was given and nearly every voxel of the image is not "
                         "zero, so it holds more than a brain: give --mask, or an image whose "
                         "skull was taken off")
    return image != 0, ("no brain mask was given: the image's nonzero voxels were taken, so the "
                        "skull must have been taken off")


def _in_order(path: PathLike, name: str, *, labels: bool = False
              ) -> tuple[SimpleITK.Image, list[str]]:
    """An image in its file's own order of axes."""
    image, warnings, _ = read_image(path, name, labels=labels)
    axes = axes_of_file(path) if Path(path).is_file() else (0, 1, 2)
    if axes == (0, 1, 2):
        return image, warnings
    # nothing is fitted by slices here, so whose axis they lie along is nobody's concern
    return in_order_of_file(image, axes), [w for w in warnings if "slices lie along" not in w]


def _onto(path: PathLike, grid: SimpleITK.Image, name: str
          ) -> tuple[npt.NDArray[Any], list[str]]:
    """A mask's or labels' values on the image's grid, (slices, rows, columns) of the file."""
    import SimpleITK as sitk

    image, warnings = _in_order(path, name, labels=True)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"the {name} has {image.GetNumberOfComponentsPerPixel()} values a voxel, "
                         "wanted 1")
    apart = difference(grid, image)
    if apart:
        image = sitk.Cast(image, sitk.sitkFloat32)
        present = image != 0
        moved = on_grid_of(present, grid, is_mask=True, name=name)
        warnings += overlap_warnings(present, grid, name)
        values = sitk.GetArrayFromImage(sitk.Resample(
            image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, sitk.sitkFloat32))
        warnings.append(f"the {name} lay on another grid ({apart}) and was brought onto the "
                        "image's")
        return np.where(sitk.GetArrayViewFromImage(moved) > 0, values, 0), warnings
    return sitk.GetArrayFromImage(image), warnings
