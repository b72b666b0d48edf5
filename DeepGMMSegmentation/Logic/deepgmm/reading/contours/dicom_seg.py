"""DICOM segmentations: SEG and LABELMAP SEG (DICOM PS3.3 C.8.20), read with pydicom.

Where a frame lies, and which segment it is of, is taken from its functional groups alone: how a
file orders or indexes its frames says nothing, and frames without a voxel may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.contours.parts import Part, choose, combine
from deepgmm.reading.conventions.names import Meaning, meaning_of_codes
from deepgmm.reading.dicom.headers import the_reader
from deepgmm.study.study import BoolArray

if TYPE_CHECKING:
    import SimpleITK

#: Slices are at one place that lie nearer to each other than this (mm), and a stack is regular
#: whose slices are off their places by no more than this share of their distance.
_SAME_MM, _OFF = 0.01, 0.02

#: Direction cosines of one stack differ by no more than this.
_TURN = 1e-3

#: No stack has more slices: a wrong distance would ask for no end of memory.
_MOST_SLICES = 4096


@dataclass(frozen=True)
class _Frames:
    """All frames of a segmentation.

    Attributes
    ----------
    segments : the segment of each frame; 0 where its values are segments' numbers.
    positions : (frames, 3) mm, LPS, of the first voxel.
    rows, columns : direction along a row and down a column.
    spacing : mm along a row and down a column.
    distance : mm between slices as the file says it, or 0.
    """

    segments: list[int]
    positions: npt.NDArray[np.float64]
    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    distance: float


def read_seg(path: Path) -> tuple[SimpleITK.Image, SimpleITK.Image | None, list[str]]:
    """LV mask and, where blood and wall are apart, the wall, on the segmentation's own grid.

    Segments are known by their codes, and then by their names. Fractions from a half on are
    inside, which is said.

    Returns
    -------
    mask, wall : images of 0 and 1.
    warnings

    Raises
    ------
    InputError
        A damaged file, slices that make no regular stack, or no segment that is known.
    """
    try:
        dataset = the_reader().dcmread(path)
        numbers, names, meanings = _segments(dataset)
        frames = _frames(dataset)
    except InputError:
        raise
    # pydicom looks at an element when it is asked for, and then raises nearly anything.
    except Exception as error:
        raise InputError("the DICOM segmentation is damaged or breaks the standard: export it "
                         "again") from error
    chosen, warnings = choose(names, "DICOM segmentation", "segment", meanings)
    wanted = {number: part for number, part in zip(numbers, chosen) if part is not None}
    places, distance = _places(frames)
    try:
        parts = _parts(dataset, frames, wanted, places)
    except Exception as error:
        raise InputError("the frames of the DICOM segmentation cannot be read: it is damaged, or "
                         "compressed in a way that is not known here; export it again") from error
    if _is_fractional(dataset):
        warnings.append("the DICOM segmentation holds fractions; a voxel is inside from a half on")
    found = combine(parts)

    def image(inside: BoolArray) -> SimpleITK.Image:
        return _image(inside, frames, places, distance)

    return (image(found.mask), None if found.wall is None else image(found.wall),
            warnings + found.warnings)


def _is_fractional(dataset: Any) -> bool:
    return str(dataset.get("SegmentationType", "")).upper() == "FRACTIONAL"


def _segments(dataset: Any) -> tuple[list[int], list[str], list[Meaning | None]]:
    """Number, name and meaning of each segment; a LABELMAP may describe its background as 0."""
    numbers, names, meanings = [], [], []
    for item in dataset.SegmentSequence:
        number = int(item.SegmentNumber)
        if number == 0:
            continue
        name = str(item.get("SegmentLabel", "") or "")
        numbers.append(number)
        names.append(name)
        meanings.append(_meaning(item, name))
    return numbers, names, meanings


def _meaning(item: Any, name: str) -> Meaning | None:
    def coded(owner: Any, keyword: str) -> list[Any]:
        return list(owner.get(keyword) or [])

    def values(items: list[Any]) -> list[str]:
        return [str(one.get("CodeValue", "")) for one in items]

    kinds = coded(item, "SegmentedPropertyTypeCodeSequence")
    regions = (coded(item, "AnatomicRegionSequence")
               + coded(item, "PrimaryAnatomicStructureSequence"))
    modifiers = [one for owner in (*kinds, *regions) for keyword in (
        "SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionModifierSequence",
        "PrimaryAnatomicStructureModifierSequence") for one in coded(owner, keyword)]
    kind = "".join(values(kinds)[:1])
    found = meaning_of_codes(kind, values(regions), name, values(modifiers))
    if found is not None or not kinds:
        return found
    # A code that is not known here may still have a telling meaning.
    return meaning_of_codes(kind, (), f"{name} {kinds[0].get('CodeMeaning', '')}")


def _frames(dataset: Any) -> _Frames:
    """Where the frames lie and of which segments they are."""
    each = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    shared = (list(dataset.get("SharedFunctionalGroupsSequence") or []) or [None])[0]
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    if len(each) != count:
        raise InputError(f"the DICOM segmentation has {count} frames and says where {len(each)} "
                         "of them lie: it is damaged, export it again")

    def group(own: Any, sequence: str) -> Any:
        for groups in (own, shared):
            items = groups.get(sequence) if groups is not None else None
            if items:
                return items[0]
        return None

    labelmap = str(dataset.get("SegmentationType", "")).upper() == "LABELMAP"
    segments, positions, orientations, measures = [], [], [], []
    for own in each:
        position, orientation, measure = (group(own, name) for name in (
            "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"))
        if position is None or orientation is None or measure is None:
            raise InputError("the DICOM segmentation does not say where its slices lie: export it "
                             "again, or give a labelmap")
        positions.append([float(v) for v in position.ImagePositionPatient])
        orientations.append([float(v) for v in orientation.ImageOrientationPatient])
        measures.append([float(v) for v in measure.PixelSpacing])
        segments.append(0 if labelmap else int(
            group(own, "SegmentIdentificationSequence").ReferencedSegmentNumber))
        distance = float(measure.get("SpacingBetweenSlices") or 0)
        thickness = float(measure.get("SliceThickness") or 0)
    turned = np.ptp(np.asarray(orientations), axis=0).max()
    if turned > _TURN or np.ptp(np.asarray(measures), axis=0).max() > 1e-3:
        raise InputError("the slices of the DICOM segmentation are not parallel or differ in their "
                         "spacing: export it again, or give a labelmap")
    axes = np.asarray(orientations[0]).reshape(2, 3)
    down, along = measures[0]
    single = len({tuple(p) for p in positions}) == 1
    return _Frames(segments, np.asarray(positions), axes[0], axes[1], (along, down),
                   abs(distance) or (thickness if single else 0.0))


def _places(frames: _Frames) -> tuple[npt.NDArray[np.int64], float]:
    """The slice of each frame, from 0, and the slices' distance in mm.

    Raises
    ------
    InputError
        Slices that make no regular stack.
    """
    normal = np.cross(frames.rows, frames.columns)
    along = frames.positions @ normal
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    apart = steps > _SAME_MM
    if not apart.any():
        return np.zeros(len(along), np.int64), frames.distance or 1.0
    # Where slices without a voxel are missing, the file's own distance says how many.
    for distance in (frames.distance, float(steps[apart].min())):
        if distance <= _SAME_MM or np.ptp(along) / distance > _MOST_SLICES:
            continue
        counts = np.where(apart, np.rint(steps / distance), 0)
        if (counts[apart] < 1).any():
            continue
        distance = float(np.ptp(along) / counts.sum())
        places = np.empty(len(along), np.int64)
        places[order] = np.concatenate([[0], np.cumsum(counts)])
        line = frames.positions[order[0]] + np.outer(places * distance, normal)
        aside = np.linalg.norm(frames.positions - line, axis=1).max()
        if (np.abs(steps - counts * distance).max() <= _OFF * distance
                and aside <= max(0.05, 0.1 * min(frames.spacing))):
            return places, distance
    raise InputError("the slices of the DICOM segmentation make no regular stack: export it "
                     "again, or give a labelmap")


def _parts(dataset: Any, frames: _Frames, wanted: dict[int, Part],
           places: npt.NDArray[np.int64]) -> dict[Part, BoolArray]:
    """(slices, rows, columns) of each part of the left ventricle."""
    shape = (int(places.max()) + 1, int(dataset.Rows), int(dataset.Columns))
    parts = {part: np.zeros(shape, bool) for part in wanted.values()}
    half = 0.5
    if _is_fractional(dataset):
        half = 0.5 * float(dataset.get("MaximumFractionalValue", 255) or 255)
    used = [n for n, segment in enumerate(frames.segments) if segment in wanted or segment == 0]
    for number, pixels in zip(used, _pixels(dataset, used, len(frames.segments))):
        segment, place = frames.segments[number], places[number]
        if segment:
            parts[wanted[segment]][place] |= pixels >= half
            continue
        for value, part in wanted.items():
            parts[part][place] |= pixels == value
    return parts


def _pixels(dataset: Any, used: list[int], count: int) -> Any:
    """(rows, columns) of some frames, one after the other: a file may have thousands."""
    try:
        from pydicom.pixels import iter_pixels
    except ImportError:  # pydicom 2
        every = dataset.pixel_array
        return iter(every[used] if count > 1 else every[None])
    return iter_pixels(dataset, indices=used)


def _image(inside: BoolArray, frames: _Frames, places: npt.NDArray[np.int64],
           distance: float) -> SimpleITK.Image:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    normal = np.cross(frames.rows, frames.columns)
    axes = np.stack([frames.rows, frames.columns, normal], axis=1)
    image.SetSpacing((*frames.spacing, distance))
    image.SetDirection(axes.ravel().tolist())
    image.SetOrigin(frames.positions[int(np.argmin(places))].tolist())
    return image
