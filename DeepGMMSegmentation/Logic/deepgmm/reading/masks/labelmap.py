"""Label images and probabilities in files: NIfTI, NRRD, MetaImage and `.seg.nrrd`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.conventions import (
    CONVENTIONS,
    PLAIN,
    Convention,
    listed,
    parse_convention,
    present_in,
    tissues_of,
    whole_numbers,
)
from deepgmm.reading.conventions.whose import agreed, candidates, fits, of_file
from deepgmm.reading.images.grids import geometry_of, image_of, notes_of
from deepgmm.reading.masks.frames import read_label_image
from deepgmm.reading.masks.segmentation import (
    label_segments,
    overlapping,
    read_segmentation,
)
from deepgmm.study.study import Geometry
from deepgmm.study.words import Tissue

if TYPE_CHECKING:
    import SimpleITK

#: What labelmaps of the house say of themselves in their headers.
OWN_NOTE = "DeepGMM labels"

#: In a file of labels to learn from: nobody has labelled this voxel.
UNLABELLED = 255


@dataclass(frozen=True)
class Labels:
    """A labelmap and where it lies.

    Attributes
    ----------
    values : (slices, rows, columns) uint8, values of `Tissue`.
    convention : whose labels the file has (`CONVENTIONS`); empty where segments have names.
    alike : further conventions that the labels may as well follow, with other tissues.
    ours : whether no convention but the house's has such labels, or the file says that they are.
    warnings : how the labels were read, where nobody said it.
    """

    values: npt.NDArray[np.uint8]
    geometry: Geometry
    convention: str = ""
    alike: tuple[str, ...] = ()
    ours: bool = False
    warnings: list[str] = field(default_factory=list)

    def on(self, geometry: Geometry, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """The same labels on a larger or smaller piece of the same grid.

        Slicer saves only the box that holds something, so a segmentation that was edited
        there comes back on a piece of its grid. Other programs write the voxels of the same grid in
        another order.

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
        whole = np.rint(mapping).astype(int)
        axes = np.abs(whole[:3, :3])
        if ((axes.sum(0) != 1).any() or (axes.sum(1) != 1).any()
                or np.abs(corners @ (mapping - whole).T).max() > 0.01):
            raise InputError("the label images lie on different grids: bring one onto the "
                             "grid of the other")
        placed = np.zeros(shape, np.uint8)
        if not self.values.any():
            return placed
        found = np.argwhere(self.values)
        target = (found[:, ::-1] @ whole[:3, :3].T + whole[:3, 3])[:, ::-1]
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


#: Of the values of a labelmap and the names of the conventions that they may follow: which it is.
Decide = Callable[[npt.NDArray[Any], list[str]], "str | None"]


def read_labels(path: str | os.PathLike[str], role: str = "labels", *, partly: bool = False,
                convention: str | None = None, decide: Decide | None = None,
                because: str = "too", option: str = "--labels") -> Labels:
    """Read a labelmap or a segmentation, whoever wrote it.

    A segmentation of Slicer is read by its segments' terminology or names, whatever their label
    values. A labelmap holds the house's labels (0 background, 1 blood, 2 myocardium, 3 edema,
    4 scar, 5 microvascular obstruction) or those of a convention that is named, or that file
    name, values and shapes tell. Where 3 and 4 could be edema and scar here, or infarct and
    no-reflow of EMIDEC, they are taken for the house's, and `Labels.alike` names the other.

    Parameters
    ----------
    role : what to call it in messages ("prediction", "truth").
    partly : whether voxels may be `UNLABELLED`; they stay so.
    convention : whose labels it holds (`deepgmm.reading.conventions`).
    decide : asked where several conventions would do; None leaves it open. `because` says in a
        warning by what it decided.
    option : the command's option for `convention`, for messages.

    Raises
    ------
    InputError
        A file that cannot be read, is not 3D, or holds values that are no tissue, that the
        convention named does not have, or that could mean several things.

    Examples
    --------
    >>> labels = read_labels("scar.seg.nrrd", "truth")                     # doctest: +SKIP
    """
    import SimpleITK as sitk

    convention = parse_convention(convention)
    if convention == PLAIN:
        raise InputError(f"{option} {PLAIN} says nothing of tissues: name one of "
                         + ", ".join(CONVENTIONS))
    segmentation = read_segmentation(path, role)
    if segmentation is not None and segmentation.segments:
        labels, warnings = label_segments(segmentation.values, segmentation.segments)
        warnings += overlapping(segmentation.values, segmentation.segments)
        return Labels(labels, geometry_of(segmentation.image),
                      warnings=segmentation.warnings + warnings)
    image, warnings = read_label_image(path, role)
    values = sitk.GetArrayFromImage(image)
    if values.ndim != 3:
        raise InputError(f"the {role} has {values.shape[3]} components a voxel, wanted 1")
    if suffix_of(path) == ".seg.nrrd" and values.any():
        raise InputError(f"the {role} is called .seg.nrrd but its header names no segment: "
                         "save it again from Slicer, or as .nrrd")
    values = whole_numbers(values)
    unlabelled = (values == UNLABELLED) & partly
    values = np.where(unlabelled, 0, values)
    whose, alike, said = _whose(values, Path(path), image, role, convention, decide, because,
                                option)
    labels = np.where(unlabelled, np.uint8(UNLABELLED), tissues_of(values, whose))
    ours = whose.name == "deepgmm" and not alike and (
        convention is not None or _is_ours(image) or not agreed(present_in(values)))
    return Labels(labels, geometry_of(image), whose.name, alike, ours, warnings + said)


def _whose(values: npt.NDArray[Any], path: Path, image: SimpleITK.Image, role: str,
           convention: str | None, decide: Decide | None, because: str, option: str
           ) -> tuple[Convention, tuple[str, ...], list[str]]:
    """The convention of a labelmap, those that it could be as well, and what is to be said."""
    present = set(present_in(values))
    if convention is not None:
        named = CONVENTIONS[convention]
        strange = sorted(present - named.known)
        if strange:
            raise InputError(f"the {role} holds values that are no tissue in the labels of "
                             f"{named.title} ({listed(strange)}): see whether {option} "
                             f"{convention} is right")
        return named, (), []
    if _is_ours(image) and fits(CONVENTIONS["deepgmm"], present):
        return CONVENTIONS["deepgmm"], (), []
    by_file = of_file(path)
    if by_file is not None and fits(CONVENTIONS[by_file], present):
        return CONVENTIONS[by_file], (), _said(CONVENTIONS[by_file], role, "by its name", option)
    found = candidates(values)
    if not found:
        ours = CONVENTIONS["deepgmm"].known
        strange = [v for v in present_in(values) if v not in ours]
        raise InputError(f"the {role} holds values that are no tissue ({listed(strange)}): wanted "
                         "0 background, 1 blood, 2 myocardium, 3 edema, 4 scar, 5 microvascular "
                         f"obstruction, or the labels of a data set that {option} names")
    names = [c.name for c in found]
    chosen = decide(values, names) if decide is not None and len(found) > 1 else None
    if chosen in names:
        return CONVENTIONS[chosen], (), _said(CONVENTIONS[chosen], role, because, option)
    if len(found) == 1:
        return found[0], (), _said(found[0], role, "by values and shapes", option)
    if found[0].name == "deepgmm" and {3, 4} <= present:
        return found[0], tuple(names[1:]), []
    raise InputError(f"the {role} holds the labels {listed(sorted(present))}, which mean "
                     f"different things to different people: say {option} "
                     + " or ".join(names))


def _said(convention: Convention, role: str, why: str, option: str) -> list[str]:
    """That a labelmap was read as somebody else's."""
    if convention.name == "deepgmm":
        return []
    return [f"the {role} was read as labels of {convention.title} {why}: say {option} if that is "
            "wrong"]


def _is_ours(image: SimpleITK.Image) -> bool:
    """Whether a labelmap says that we wrote it."""
    notes = notes_of(image)
    return any(notes.get(key, "").strip() == OWN_NOTE
               for key in ("ITK_FileNotes", "descrip", "Comment"))
