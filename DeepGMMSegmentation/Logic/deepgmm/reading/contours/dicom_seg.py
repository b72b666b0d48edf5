"""DICOM segmentations (SEG; DICOM PS3.3 C.8.20), read with highdicom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError, how_to_install
from deepgmm.reading.contours.parts import Part, combine
from deepgmm.reading.contours.rtstruct import choose
from deepgmm.study.study import BoolArray

if TYPE_CHECKING:
    import SimpleITK


def read_seg(path: Path) -> tuple[SimpleITK.Image, SimpleITK.Image | None, list[str]]:
    """LV mask and, where blood and wall are apart, the wall, on the segmentation's own grid.

    Segments are known by their names. Fractions from a half on are inside.

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
        import highdicom
    except ImportError as error:
        raise InputError("a DICOM segmentation needs highdicom: "
                         + how_to_install("pydicom>=2.4", "highdicom>=0.28")) from error
    try:
        segmentation = highdicom.seg.segread(path)
        numbers = list(segmentation.segment_numbers)
        names = [_name(segmentation.get_segment_description(n)) for n in numbers]
    # highdicom checks what it reads, and raises nearly anything where a file is wrong.
    except Exception as error:
        raise InputError("the DICOM segmentation is damaged or breaks the standard: export it "
                         "again") from error
    chosen, warnings = choose(names, "DICOM segmentation", "segment")
    parts: dict[Part, BoolArray] = {}
    volume = None
    for number, part in zip(numbers, chosen):
        if part is None:
            continue
        volume = _volume(segmentation, number)
        inside = np.asarray(volume.array[..., 0]) >= 0.5
        parts[part] = parts[part] | inside if part in parts else inside
    assert volume is not None
    found = combine(parts)
    wall = None if found.wall is None else _image(found.wall, volume.affine)
    return _image(found.mask, volume.affine), wall, warnings + found.warnings


def _name(segment: Any) -> str:
    """What a segment is called; its code's meaning where the name alone says little."""
    return f"{segment.segment_label} {segment.segmented_property_type.meaning}"


def _volume(segmentation: Any, number: int) -> Any:
    try:
        return segmentation.get_volume(segment_numbers=[number])
    except Exception as error:
        raise InputError("the slices of the DICOM segmentation make no regular stack (or it has "
                         "no positions): export it again, or give a labelmap") from error


def _image(inside: BoolArray, affine: np.ndarray) -> SimpleITK.Image:
    """An image from an array and its (slice, row, column) to LPS affine."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    axes = affine[:3, 2::-1]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image
