"""Segmentations of 3D Slicer read, whichever version saved them.

As Slicer's own reader (vtkMRMLSegmentationStorageNode) has it:

- segments share an image (a layer) by label values, or overlap in several; where a file does not
  say the layer, as before Slicer 4.11, it is the segment's number, and a label value that is not
  there is 1;
- the layers are the list axis of the NRRD, first or last, or its fourth axis in the oldest files;
- the origin is that of the first voxel in the file. Only the oldest files, which have
  `Segmentation_Extent`, give the origin of an index 0 that may lie outside them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.contours.parts import Part, choose, combine
from deepgmm.reading.conventions import PLAIN, Parts, parts_of
from deepgmm.reading.conventions.names import Meaning, listed_names
from deepgmm.reading.images.grids import notes_of
from deepgmm.reading.images.image import read_image
from deepgmm.reading.masks.seg_nrrd import PROPOSAL, Segment, tag_of
from deepgmm.study.study import BoolArray
from deepgmm.study.words import Tissue

if TYPE_CHECKING:
    import SimpleITK

_BINARY = "Binary labelmap"
_SEGMENT = re.compile(r"Segment(\d+)_(ID|Name|LabelValue|Layer|Tags|Extent|Color)")

#: How segments may be called that are to be labels.
_TISSUE_NAMES = ", ".join(t.title for t in Tissue if t)


@dataclass(frozen=True)
class Segmentation:
    """A segmentation as its file has it.

    Attributes
    ----------
    image : its grid (three axes).
    values : (slices, rows, columns, layers).
    """

    image: SimpleITK.Image
    values: npt.NDArray[Any]
    segments: list[Segment]
    warnings: list[str] = field(default_factory=list)

    @property
    def filled(self) -> list[tuple[Segment, BoolArray]]:
        """The segments that hold something, and where."""
        found = [(one, self.values[..., one.layer] == one.value) for one in self.segments]
        return [(one, where) for one, where in found if where.any()]


def read_segmentation(path: str | os.PathLike[str], name: str) -> Segmentation | None:
    """A segmentation of Slicer; None for a file of any other kind.

    Parameters
    ----------
    name : what to call it in messages ("LV mask", "truth").

    Raises
    ------
    InputError
        A file that is damaged, or that holds surfaces or fractions instead of voxels.
    """
    import SimpleITK as sitk

    if os.fspath(path).lower().endswith((".vtm", ".vtp", ".stl", ".obj")):
        raise InputError(f"the {name} holds surfaces, not voxels: {_to_voxels()}")
    header, shift = _header(path)
    if not any(_SEGMENT.fullmatch(key) for key in header):
        return None
    kept = header.get("Segmentation_SourceRepresentation",
                      header.get("Segmentation_MasterRepresentation", _BINARY))
    if kept != _BINARY:
        raise InputError(f"the {name} keeps its segments as {kept[:30].lower()}, not as voxels of "
                         f"0 and 1: {_to_voxels()}")
    warnings: list[str] = []
    if header["dimension"] == "4":
        image, values = _four_axes(path, name)
    else:
        image, warnings, _ = read_image(path, name, labels=True)
        values = sitk.GetArrayFromImage(image)
    if values.dtype.kind not in "iu":
        whole = np.rint(values)
        if not np.isfinite(values).all() or np.abs(values - whole).max() > 0.01:
            raise InputError(f"the {name} is a segmentation whose voxels are fractions: "
                             + _to_voxels())
        values = whole
    values = values[..., None] if values.ndim == 3 else values
    if shift is not None:
        image.SetOrigin((np.asarray(image.GetOrigin()) + shift).tolist())
    segments = _segments(header, values)
    stray = _stray(values, segments)
    if stray:
        warnings.append(f"{stray} voxels of the {name} belong to none of its segments; left out")
    return Segmentation(image, values, segments, warnings)


def _to_voxels() -> str:
    return ("in 3D Slicer's Segmentations module create the representation Binary labelmap, make "
            "it the source, and save as .seg.nrrd")


def _header(path: str | os.PathLike[str]) -> tuple[dict[str, str], npt.NDArray[Any] | None]:
    """The fields of a file, its number of axes among them, and how far its origin is to be moved.

    Nothing of a file that is no image: whoever reads its voxels says what is wrong.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        if not os.path.isfile(path) or suffix_of(path) in (".nii", ".nii.gz", ".hdr"):
            return {}, None
        reader.ReadImageInformation()
    except RuntimeError:
        return {}, None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
    header = notes_of(reader)
    axes = reader.GetDimension()
    header["dimension"] = str(axes)
    try:
        start = [int(v) for v in header.get("Segmentation_Extent", "").split()][:6:2]
    except ValueError:
        start = []
    if len(start) != 3 or not any(start):
        return header, None
    steps = (np.asarray(reader.GetDirection()).reshape(axes, axes)[:3, :3]
             * np.asarray(reader.GetSpacing())[:3])
    return header, steps @ start


def _four_axes(path: str | os.PathLike[str], name: str
               ) -> tuple[SimpleITK.Image, npt.NDArray[Any]]:
    """Grid and values of a file whose segments are its fourth axis."""
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(os.fspath(path))
    except RuntimeError as error:
        raise InputError(f"the {name} file is truncated or damaged: copy or export it "
                         "again") from error
    return image[..., 0], np.moveaxis(sitk.GetArrayFromImage(image), 0, 3)


def read_segments(image: SimpleITK.Image) -> list[Segment]:
    """The segments that an image's header names; none for an ordinary label image.

    Raises
    ------
    InputError
        A damaged header.
    """
    import SimpleITK as sitk

    values = sitk.GetArrayViewFromImage(image)
    return _segments(notes_of(image),
                     values[..., None] if values.ndim == 3 else values)


def _segments(header: Mapping[str, str], values: npt.NDArray[Any]) -> list[Segment]:
    numbers = sorted({int(m[1]) for m in map(_SEGMENT.fullmatch, header) if m})
    layers = values.shape[3]
    told = {n: header.get(f"Segment{n}_LabelValue") for n in numbers}
    found = []
    for place, number in enumerate(numbers):
        own = told[number]
        # Not of Slicer: one image for all, and label values that tell its segments apart.
        alone = layers == 1 and own is not None and list(told.values()).count(own) == 1
        text = header.get(f"Segment{number}_Layer", "0" if alone else str(place))
        try:
            layer, value = int(text), int("1" if own is None else own)
        except ValueError as error:
            raise InputError(f"the header of segment {number} is damaged: its label value and "
                             "layer must be whole numbers; save the file again") from error
        tags = header.get(f"Segment{number}_Tags", "")
        if not 0 <= layer < layers:
            raise InputError(f"the segmentation's header speaks of layer {layer}, its image has "
                             f"{layers}: the file is damaged, save it again")
        found.append(Segment(
            name=header.get(f"Segment{number}_Name", header.get(f"Segment{number}_ID", "")),
            value=value, layer=layer,
            terminology=tag_of(tags, "TerminologyEntry"), proposal=tag_of(tags, PROPOSAL)))
    return found


def _stray(values: npt.NDArray[Any], segments: Sequence[Segment]) -> int:
    """Voxels with a value that no segment of their layer has."""
    return sum(int((~np.isin(values[..., layer], [
        0, *(s.value for s in segments if s.layer == layer)])).sum())
        for layer in range(values.shape[3]))


def parts_of_segments(segmentation: Segmentation, convention: str | None, name: str) -> Parts:
    """LV mask and wall from segments, by their codes and names.

    Parameters
    ----------
    convention : None, where the mask alone is taken; `PLAIN`, where what is not understood is
        inside too; "deepgmm", where the wall is taken as well.

    Raises
    ------
    InputError
        None of several segments is the left ventricle, or blood and wall are not there.
    """
    filled = segmentation.filled
    nothing = np.zeros(segmentation.values.shape[:3], bool)
    if not filled:
        return Parts(nothing)
    names = [segment.name for segment, _ in filled]
    meanings = [segment.meaning for segment, _ in filled]
    if name == "wall" and Meaning.MYOCARDIUM in meanings:  # the pool is no part of it
        meanings = [Meaning.OTHER if m in (Meaning.POOL, Meaning.VENTRICLE) else m
                    for m in meanings]
    if convention == PLAIN:
        inside = [where for (_, where), m in zip(filled, meanings) if m is not Meaning.OTHER]
        left = len(filled) - len(inside)
        return Parts(np.any(inside, axis=0) if inside else nothing, None, [
            f"{left} of the {name}'s segments are no part of it by their names; left "
            "out"] if left else [])
    chosen, warnings = choose(names, name, "segment", meanings)
    parts: dict[Part, BoolArray] = {}
    for (_, where), part in zip(filled, chosen):
        if part is not None:
            parts[part] = parts[part] | where if part in parts else where
    if convention is None:
        return Parts(np.any(list(parts.values()), axis=0), None, warnings)
    if Part.VENTRICLE in parts:
        found = combine(parts)
    else:
        kept = [segment for (segment, _), part in zip(filled, chosen) if part is not None]
        labels, more = label_segments(segmentation.values, kept)
        found = parts_of(labels, convention, name)
        warnings += more
    return Parts(found.mask, found.wall, warnings + found.warnings)


def labels_of_segments(
    values: npt.NDArray[Any], segments: list[Segment]
) -> npt.NDArray[np.uint8]:
    """As `label_segments`, without its warnings."""
    return label_segments(values, segments)[0]


def label_segments(
    values: npt.NDArray[Any], segments: Sequence[Segment]
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Labels of the house from a segmentation's values.

    Where segments overlap the later tissue wins (microvascular obstruction over scar over edema
    over myocardium over blood), for edema is counted without scar. The left ventricle as a whole is
    no tissue: it stands for the one of blood and myocardium that no other segment says, and for
    nothing where both are there. What is no left ventricle by its name is background.

    Parameters
    ----------
    values : (slices, rows, columns) or (slices, rows, columns, layers).

    Returns
    -------
    labels : (slices, rows, columns) uint8.
    warnings : what was left out or made of the whole.

    Raises
    ------
    InputError
        A segment with voxels whose tissue cannot be told.
    """
    layers = values[..., None] if values.ndim == 3 else values
    found: dict[Meaning, BoolArray] = {}
    strange = []
    for segment in segments:
        if segment.layer >= layers.shape[3]:
            raise InputError(f"the segmentation's header speaks of layer {segment.layer}, its "
                             f"image has {layers.shape[3]}: the file is damaged, save it again")
        where = layers[..., segment.layer] == segment.value
        if not where.any():
            continue
        meaning = segment.meaning
        if meaning is None:
            strange.append(segment.name)
        else:
            found[meaning] = found[meaning] | where if meaning in found else where
    warnings = []
    if strange:
        error = InputError("the segmentation has a segment that is no tissue of ours "
                           f"({listed_names(strange)}): name each of them one of {_TISSUE_NAMES}, "
                           "or delete it")
        error.private = (*strange, *(name[:21] for name in strange))  # they may name a patient
        raise error
    if found.pop(Meaning.OTHER, None) is not None:
        warnings.append("segments that are no left ventricle by their names were left out")
    whole = found.pop(Meaning.VENTRICLE, None)
    if whole is not None:
        warnings += _share_whole(whole, found)
    labels = np.zeros(layers.shape[:3], np.uint8)
    tissues = {meaning.tissue: where for meaning, where in found.items() if meaning.tissue}
    for tissue in sorted(tissues):
        labels[tissues[tissue]] = tissue
    return labels, warnings


def overlapping(values: npt.NDArray[Any], segments: Sequence[Segment]) -> list[str]:
    """A warning where segments of several tissues share voxels."""
    layers = values[..., None] if values.ndim == 3 else values
    drawn: dict[Tissue, BoolArray] = {}
    for segment in segments:
        tissue = segment.meaning.tissue if segment.meaning else None
        if tissue:
            where = layers[..., segment.layer] == segment.value
            drawn[tissue] = drawn[tissue] | where if tissue in drawn else where
    shared = int((sum((where.astype(np.uint8) for where in drawn.values()),
                      np.zeros(layers.shape[:3], np.uint8)) > 1).sum())
    order = " over ".join(tissue.title.lower() for tissue in sorted(drawn, reverse=True))
    return [] if not shared else [
        f"segments overlap on {shared} voxels, each of which counts once: {order}; where "
        "that is not meant, erase the upper one"]


def _share_whole(whole: BoolArray, found: dict[Meaning, BoolArray]) -> list[str]:
    """Puts a segment of the whole ventricle where it belongs among the tissues `found`."""
    if Meaning.POOL in found and Meaning.MYOCARDIUM in found:
        return ["the segment of the left ventricle as a whole was left out: blood and wall are "
                "there"]
    if Meaning.POOL in found:
        found[Meaning.MYOCARDIUM] = whole & ~found[Meaning.POOL]
        return ["what the left ventricle as a whole has beyond the blood pool was taken for "
                "myocardium"]
    if Meaning.MYOCARDIUM in found:
        wall = np.any([where for meaning, where in found.items()], axis=0)
        found[Meaning.POOL] = whole & ~wall
        return ["what the left ventricle as a whole has beyond the wall was taken for blood"]
    raise InputError("the segmentation has the left ventricle as a whole, and not both blood and "
                     f"wall: name its segments {_TISSUE_NAMES}, or delete it")
