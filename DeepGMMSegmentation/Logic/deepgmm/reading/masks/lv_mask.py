"""The LV mask from whatever it was drawn in: labelmaps, contours, DICOM; for every door."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.conventions import PLAIN, parse_convention, parts_of
from deepgmm.reading.dicom.headers import the_reader
from deepgmm.reading.images.grids import (
    difference,
    on_grid_of,
    overlap_warnings,
    place,
    same_voxels,
)
from deepgmm.reading.masks.frames import read_label_image
from deepgmm.reading.masks.seg_nrrd import changed_slices, proposal_note
from deepgmm.reading.masks.segmentation import parts_of_segments, read_segmentation
from deepgmm.study.study import BoolArray
from deepgmm.study.words import to_be_looked_at, unsure_outlines

if TYPE_CHECKING:
    import SimpleITK

    from deepgmm.reading.masks.segmentation import Segmentation

    PathLike = str | os.PathLike[str]

#: SEG, LABELMAP SEG, RTSTRUCT.
_DICOM = {"1.2.840.10008.5.1.4.1.1.66.4": "seg", "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct",
          "1.2.840.10008.5.1.4.1.1.66.7": "seg"}


@dataclass(frozen=True)
class MaskAndWall:
    """An LV mask on the grid of a study.

    Attributes
    ----------
    mask : (slices, rows, columns) the left ventricle, blood and wall together.
    wall : likewise, or None where blood and wall are not known apart.
    warnings : what a user must know about how they came to be.
    note : what its file notes of a proposal, as `proposal_note` reads it; empty where it was drawn.
    own : the mask as it lay in its file, where that is another grid.
    """

    mask: BoolArray
    wall: BoolArray | None
    warnings: list[str]
    note: dict[str, Any] = field(default_factory=dict)
    own: BoolArray | None = None


@dataclass
class Drawn:
    """An LV mask, and the wall where it is apart, as images of 0 and 1 on one grid.

    `provenance` is for a report: "mask_proposal" where the mask was proposed; `note` what the file
    says of that.
    """

    mask: SimpleITK.Image
    wall: SimpleITK.Image | None = None
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    note: dict[str, Any] = field(default_factory=dict)


def read_mask(path: PathLike, grid: SimpleITK.Image, *, convention: str | None = None,
              dicom: PathLike | None = None, name: str = "LV mask") -> MaskAndWall:
    """Read an LV mask onto a grid.

    Parameters
    ----------
    path : a labelmap (NIfTI, NRRD, MetaImage, `.seg.nrrd`), a cvi42 XML workspace (`.cvi42wsx`),
        a `.mat` of Segment, or a DICOM SEG or RTSTRUCT.
    grid : any image on the grid wanted.
    convention : what the values of a labelmap mean (`deepgmm.reading.conventions`). "plain" takes
        no wall from contours either.
    dicom : the folder of the DICOM images that cvi42's contours were drawn on.
    name : what to call it in messages.

    Raises
    ------
    InputError
        A file that cannot be used, or that lies elsewhere than the grid.

    Examples
    --------
    >>> read_mask("lv.cvi42wsx", lge_image, dicom="LGE").wall.any()        # doctest: +SKIP
    """
    drawn = draw_mask(path, grid, convention=convention,
                      dicom=[dicom] if dicom is not None else [], name=name)
    warnings = list(drawn.warnings)
    mask = _onto(drawn.mask, grid, name, warnings)
    wall = None if drawn.wall is None else _onto(drawn.wall, grid, "wall", [])
    moved = difference(grid, drawn.mask) and not same_voxels(drawn.mask, grid)
    return MaskAndWall(mask, wall, warnings, drawn.note,
                       _inside(drawn.mask) if moved else None)


def draw_mask(path: PathLike, grid: SimpleITK.Image, *, convention: str | None = None,
              dicom: Sequence[PathLike] = (), name: str = "LV mask",
              leave: Collection[str] = (), frame: int | None = None) -> Drawn:
    """Read an LV mask; as `read_mask`, but a labelmap stays on its own grid.

    Contours and DICOM segmentations say themselves where they lie and come back on `grid`; a
    piece of it in a `.seg.nrrd` is put into its place.

    Parameters
    ----------
    leave : images whose contours are left out, as they are of other frames of a cine.
    frame : of a labelmap with frames of a cine the one wanted, counted from 0.
    """
    convention = parse_convention(convention)
    source = _single(Path(path))
    kind = _kind(source)
    if kind == "image":
        segmentation = read_segmentation(source, name)
        if segmentation is None:
            return _from_image(source, convention, name, frame)
        return _from_segments(segmentation, convention, name, grid)
    if convention not in (None, PLAIN):
        raise InputError(f"--mask-labels {convention} is for labelmaps, and the {name} says "
                         f"itself what is what: leave it out, or say {PLAIN} to take no wall "
                         "from it")
    drawn = (_from_seg(source, grid, name) if kind == "seg"
             else _from_contours(source, kind, grid, dicom, leave))
    if convention == PLAIN:
        drawn.wall = None
    return drawn


def _single(path: Path) -> Path:
    """The one file of a folder that holds one, as exports of SEG and RTSTRUCT often do."""
    if path.is_dir():
        files = [p for p in path.iterdir() if p.is_file()]
        if len(files) == 1:
            return files[0]
    return path


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".cvi42ws":
        raise InputError("the cvi42 workspace is binary: export it from cvi42 as "
                         "'Cvi42 XML Workspace (*.cvi42wsx)'")
    if suffix in (".cvi42wsx", ".xml"):
        return "cvi42"
    if suffix == ".mat":
        return "segment"
    return _DICOM.get(_sop_class(path), "image")


def _sop_class(path: Path) -> str:
    """Of a DICOM file with the standard's preamble; empty for anything else."""
    try:
        with path.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return ""
    except OSError:  # named by whoever reads it as an image
        return ""
    pydicom = the_reader()
    try:
        return str(pydicom.filereader.read_file_meta_info(path).MediaStorageSOPClassUID)
    except Exception:  # likewise
        return ""


def _from_image(path: Path, convention: str | None, name: str, frame: int | None) -> Drawn:
    import SimpleITK as sitk

    image, warnings = read_label_image(path, name, frame)
    values = sitk.GetArrayFromImage(image)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        raise InputError(f"the {name} holds NaN or infinite values: save it as whole numbers")
    if values.ndim == 4 and suffix_of(path) == ".seg.nrrd" and convention in (None, PLAIN):
        values = (values != 0).any(axis=3)  # overlapping segments without names
    if values.ndim == 4:
        raise InputError(f"the {name} has {values.shape[3]} values a voxel, wanted 1")
    if suffix_of(path) == ".seg.nrrd" and convention not in (None, PLAIN):
        raise InputError(f"the {name} is called .seg.nrrd but names no segment: save it again "
                         "from Slicer, or as .nrrd, or leave --mask-labels out")
    parts = parts_of(values, convention, name)
    return Drawn(_like(parts.mask, image), None if parts.wall is None else _like(parts.wall, image),
                 warnings + parts.warnings)


def _from_segments(segmentation: Segmentation, convention: str | None, name: str,
                   grid: SimpleITK.Image) -> Drawn:
    if convention not in (None, PLAIN, "deepgmm"):
        raise InputError(f"the {name} is a Slicer segmentation, which says itself what its "
                         "segments are: say --mask-labels deepgmm to take them by their names")
    parts = parts_of_segments(segmentation, convention, name)
    like = segmentation.image
    notes = [proposal_note(one.proposal) for one, _ in segmentation.filled if one.proposal]
    mask = place(_like(parts.mask, like), grid)
    said, provenance = _of_proposals(notes, name, _inside(mask))
    return Drawn(mask, None if parts.wall is None else place(_like(parts.wall, like), grid),
                 said + segmentation.warnings + parts.warnings, provenance,
                 notes[0] if len(notes) == 1 else {})


def _of_proposals(notes: list[dict[str, Any]], name: str, mask: BoolArray
                  ) -> tuple[list[str], dict[str, Any]]:
    """What is to be said of segments that were proposed, and kept for a report. Of what a file
    notes only what is no text goes on.

    Parameters
    ----------
    mask : (slices, rows, columns) what the file holds, which may lie on another grid than what was
        proposed.
    """
    if not notes:
        return [], {}
    looked_at = all(note["looked_at"] for note in notes)
    first = notes[0]["provenance"]
    proposed = any(note["provenance"].get("proposed") is not False for note in notes)
    found: dict[str, Any] = {"proposed": proposed, "looked_at": looked_at}
    numbers, fixed = first.get("confidence"), first.get("fixed")
    sure = [float(n) for n in numbers] if isinstance(numbers, list) and all(
        type(n) in (int, float) and 0 <= n <= 1 for n in numbers) else []
    by_hand = {i for i in fixed if type(i) is int and 0 <= i < (len(sure) or len(mask))
               } if len(notes) == 1 and isinstance(fixed, list) else set()
    there: list[int] = []
    if len(sure) == len(mask):
        if len(notes) == 1:
            by_hand |= changed_slices(mask, notes[0])
        for i in by_hand:
            sure[i] = float(mask[i].any())
        there = np.flatnonzero(mask.any((1, 2))).tolist()
    found |= {"confidence": sure} if sure else {}
    found |= {"fixed": sorted(by_hand)} if by_hand else {}
    said = [] if looked_at else [
        f"the {name} was proposed from the images and not drawn, and its file does not say that "
        f"anybody looked at it: {to_be_looked_at(by_hand)}", *unsure_outlines(sure, there)]
    return said, {"mask_proposal": found}


def _from_seg(path: Path, grid: SimpleITK.Image, name: str) -> Drawn:
    from deepgmm.reading.contours.dicom_seg import read_seg

    mask, wall, warnings = read_seg(path)
    inside = _onto(mask, grid, name, warnings)
    return Drawn(_like(inside, grid),
                 None if wall is None else _like(_onto(wall, grid, "wall", []), grid), warnings)


def _from_contours(path: Path, kind: str, grid: SimpleITK.Image, dicom: Sequence[PathLike],
                   leave: Collection[str]) -> Drawn:
    from deepgmm.reading.contours.parts import combine
    from deepgmm.reading.contours.polygons import rasterise

    warnings: list[str] = []
    if not path.is_file():
        raise InputError("the contours' file does not exist: check the path that was given")
    if kind == "cvi42":
        from deepgmm.reading.contours.cvi42 import read_cvi42
        from deepgmm.reading.contours.planes import planes_of

        if not dicom:
            raise InputError("cvi42 says on which images its contours lie, not where: give the "
                             "folder of these DICOM images with --mask-dicom")
        contours, warnings = read_cvi42(path, planes_of(dicom))
    elif kind == "segment":
        from deepgmm.reading.contours.segment_mat import read_segment

        contours = read_segment(path, grid)
    else:
        from deepgmm.reading.contours.rtstruct import read_rtstruct

        contours, warnings = read_rtstruct(path)
    drawn, more = rasterise([c for c in contours if c.source not in leave], grid)
    warnings += more
    try:
        parts = combine(drawn)
    except InputError as error:  # what was left out may be why
        raise InputError("; ".join([str(error), *warnings])) from error
    return Drawn(_like(parts.mask, grid), None if parts.wall is None else _like(parts.wall, grid),
                 warnings + parts.warnings)


def _onto(image: SimpleITK.Image, grid: SimpleITK.Image, name: str,
          warnings: list[str]) -> BoolArray:
    """A mask on the grid, resampled to the nearest voxel where it lies on another."""
    if difference(grid, image):
        warnings += overlap_warnings(image, grid, name)
        if not same_voxels(image, grid):
            warnings.append(f"{name} was resampled onto the grid of the images (nearest voxel)")
        image = on_grid_of(image, grid, is_mask=True, name=name)
    return _inside(image)


def _inside(image: SimpleITK.Image) -> BoolArray:
    import SimpleITK as sitk

    return np.asarray(sitk.GetArrayFromImage(image) > 0)


def _like(inside: BoolArray, grid: SimpleITK.Image) -> SimpleITK.Image:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    image.CopyInformation(grid)
    return image
