"""Label images and probabilities in files: NIfTI, NRRD, MetaImage and `.seg.nrrd`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.conventions import MYOPS_CODES, MYOPS_RV
from deepgmm.reading.images.grids import geometry_of, image_of
from deepgmm.reading.images.image import read_image
from deepgmm.reading.masks.seg_nrrd import labels_of_segments, read_segments
from deepgmm.study.study import Geometry
from deepgmm.study.words import Tissue

if TYPE_CHECKING:
    import SimpleITK

#: The truth of MyoPS 2020 as our labels: what is not ours is background.
_MYOPS = {0: 0, MYOPS_RV: 0, **{code: tissue for tissue, code in MYOPS_CODES.items()}}

#: In a file of labels to learn from: nobody has labelled this voxel.
UNLABELLED = 255


@dataclass(frozen=True)
class Labels:
    """A labelmap and where it lies.

    Attributes
    ----------
    values : (slices, rows, columns) uint8, values of `Tissue`.
    """

    values: npt.NDArray[np.uint8]
    geometry: Geometry

    def on(self, geometry: Geometry, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """The same labels on a larger or smaller piece of the same grid.

        Slicer saves only the box that holds something, so a segmentation that was edited
        there comes back on a piece of its grid.

        Parameters
        ----------
        geometry, shape : the grid wanted; shape is (slices, rows, columns).

        Raises
        ------
        InputError
            When the grids are not pieces of one grid, to a hundredth of a voxel, or when the
            piece wanted does not hold all labels.
        """
        mapping = np.linalg.solve(geometry.index_to_world(), self.geometry.index_to_world())
        corners = np.array([[i, j, k, 1.0] for i in (0, self.values.shape[2] - 1)
                            for j in (0, self.values.shape[1] - 1)
                            for k in (0, self.values.shape[0] - 1)])
        offset = np.rint(mapping[:3, 3]).astype(int)
        if np.abs(corners @ mapping.T - corners - [*offset, 0]).max() > 0.01:
            raise InputError("the label images lie on different grids: bring one onto the "
                             "grid of the other")
        placed = np.zeros(shape, np.uint8)
        if not self.values.any():
            return placed
        found = np.argwhere(self.values)
        target = found + offset[::-1]
        if (target < 0).any() or (target >= shape).any():
            raise InputError("a label image reaches beyond the grid of the other: give both "
                             "on one grid")
        placed[tuple(target.T)] = self.values[tuple(found.T)]
        return placed


def probability_image(posterior: npt.NDArray[np.float32], geometry: Geometry,
                      tissues: tuple[Tissue, ...]) -> SimpleITK.Image:
    """A 4D float32 image, axes columns, rows, slices, tissues, from a posterior.

    Parameters
    ----------
    posterior : (slices, tissues, rows, columns).
    tissues : in the order of that axis; their names go into NIfTI's description.
    """
    image = image_of(np.moveaxis(posterior, 1, 0).astype(np.float32), geometry)
    image.SetMetaData("ITK_FileNotes", ("DeepGMM: " + ", ".join(t.title for t in tissues))[:79])
    return image


def write_image(image: SimpleITK.Image, path: str | os.PathLike[str], what: str) -> None:
    """Write an image, compressed, and see that it is all there.

    The NIfTI writer says nothing when a disk is full, so what was written is read again.

    Raises
    ------
    InputError
        When the file cannot be written or comes back different.
    """
    import SimpleITK as sitk

    try:
        sitk.WriteImage(image, os.fspath(path), useCompression=True)
        back = sitk.ReadImage(os.fspath(path))
        whole = np.array_equal(sitk.GetArrayViewFromImage(back),
                               sitk.GetArrayViewFromImage(image))
    except RuntimeError:
        whole = False
    if not whole:
        raise InputError(f"the {what} cannot be written whole: see whether the disk is full or "
                         "the folder may be written to, or choose another folder")


def read_labels(path: str | os.PathLike[str], role: str = "labels", *,
                partly: bool = False) -> Labels:
    """Read a labelmap or a segmentation, whoever wrote it.

    `.seg.nrrd` is read by its segments' terminology or names, whatever their label values;
    other formats hold the house's labels (0 background, 1 blood, 2 myocardium, 3 edema,
    4 scar, 5 microvascular obstruction) or those of MyoPS 2020.

    Parameters
    ----------
    role : what to call it in messages ("prediction", "truth").
    partly : whether voxels may be `UNLABELLED`; they stay so.

    Raises
    ------
    InputError
        A file that cannot be read, is not 3D, or holds values that are no tissue.

    Examples
    --------
    >>> labels = read_labels("scar.seg.nrrd", "truth")                     # doctest: +SKIP
    """
    import SimpleITK as sitk

    image, _, _ = read_image(path, role)
    values = sitk.GetArrayFromImage(image)
    segments = read_segments(image)
    if segments:
        return Labels(labels_of_segments(values, segments), geometry_of(image))
    if values.ndim != 3:
        raise InputError(f"the {role} has {values.shape[3]} components a voxel, wanted 1")
    if suffix_of(path) == ".seg.nrrd" and values.any():
        raise InputError(f"the {role} is called .seg.nrrd but its header names no segment: "
                         "save it again from Slicer, or as .nrrd")
    unlabelled = (values == UNLABELLED) & partly
    labels = _known_labels(np.where(unlabelled, 0, values), role)
    return Labels(np.where(unlabelled, np.uint8(UNLABELLED), labels), geometry_of(image))


def _known_labels(values: npt.NDArray[np.generic], role: str) -> npt.NDArray[np.uint8]:
    present = np.unique(values)
    if np.isin(present, [int(t) for t in Tissue]).all():
        return values.astype(np.uint8)
    if np.isin(present, list(_MYOPS)).all():
        labels = np.zeros(values.shape, np.uint8)
        for code, tissue in _MYOPS.items():
            labels[values == code] = tissue
        return labels
    strange = ", ".join(f"{v:g}" for v in present if v not in [int(t) for t in Tissue])
    raise InputError(f"the {role} holds values that are no tissue ({strange[:60]}): wanted "
                     "0 background, 1 blood, 2 myocardium, 3 edema, 4 scar, 5 microvascular "
                     "obstruction")
