"""On which frames of a cine contours were drawn, where their file names the images."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.contours.cvi42 import read_cvi42
from deepgmm.reading.contours.parts import Part
from deepgmm.reading.contours.planes import planes_of
from deepgmm.reading.contours.polygons import Contour
from deepgmm.reading.contours.rtstruct import read_rtstruct
from deepgmm.reading.dicom.headers import the_reader

_WORKSPACES = (".cvi42wsx", ".xml")
_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True)
class DrawnFrames:
    """Frames of a cine that contours were drawn on.

    Attributes
    ----------
    images : the cine's images (`deepgmm.reading.images.cine.Cine.images`).
    areas : frame to what its contours enclose, mm2 over all slices.
    elsewhere : whether there are contours on other images too.
    """

    images: Mapping[str, int] = field(default_factory=dict)
    areas: dict[int, float] = field(default_factory=dict)
    elsewhere: bool = False

    def left_out(self, frame: int, on_cine: bool) -> frozenset[str]:
        """The cine's images whose contours do not belong to the mask.

        Parameters
        ----------
        frame : the one taken.
        on_cine : whether the mask is wanted on the cine's own slices; on others, contours that
            were drawn there come before the cine's.
        """
        if self.elsewhere and not on_cine:
            return frozenset(self.images)
        if frame not in self.areas:  # those of the only frame that has any
            return frozenset()
        return frozenset(uid for uid, number in self.images.items() if number != frame)


def drawn_frames(path: str | os.PathLike[str], images: Mapping[str, int],
                 dicom: Sequence[str | os.PathLike[str]]) -> DrawnFrames:
    """Which frames the contours of a file were drawn on; none for files without contours.

    Parameters
    ----------
    images : image to its frame.
    dicom : folders of the images, for contours that do not say themselves where they lie.
    """
    try:
        contours = _contours(Path(path), dicom) if images else []
    except (InputError, OSError):  # whoever draws them says what is wrong
        contours = []
    frames: dict[int, dict[Part, float]] = defaultdict(lambda: defaultdict(float))
    for contour in contours:
        if contour.source in images:
            frames[images[contour.source]][contour.part] += _area(contour)
    common = set.intersection(*map(set, frames.values())) if frames else set()
    # The pool changes most; what was not drawn on every frame cannot be compared.
    part = next((p for p in (Part.POOL, Part.VENTRICLE, Part.WALL) if p in common), None)
    areas = {frame: own[part] if part else max(own.values()) for frame, own in frames.items()}
    return DrawnFrames(images, dict(sorted(areas.items())),
                       any(c.source and c.source not in images for c in contours))


def names_images(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds contours that may name the images that they were drawn on."""
    try:
        single = _single(Path(path))
        return single.suffix.lower() in _WORKSPACES or _is_structure_set(single)
    except OSError:
        return False


def _single(path: Path) -> Path:
    files = [p for p in path.iterdir() if p.is_file()] if path.is_dir() else []
    return files[0] if len(files) == 1 else path


def _contours(path: Path, dicom: Sequence[str | os.PathLike[str]]) -> list[Contour]:
    path = _single(path)
    if path.suffix.lower() in _WORKSPACES:
        return read_cvi42(path, planes_of(dicom))[0] if dicom else []
    return read_rtstruct(path)[0] if _is_structure_set(path) else []


def _is_structure_set(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return False
    try:
        meta = the_reader().filereader.read_file_meta_info(path)
        return str(meta.MediaStorageSOPClassUID) == _STRUCTURES
    except Exception:  # a damaged file raises nearly anything
        return False


def _area(contour: Contour) -> float:
    """Of a closed line in its plane, mm2."""
    if len(contour.points) < 3:
        return 0.0
    around = contour.points - contour.points[0]
    return float(np.linalg.norm(np.cross(around, np.roll(around, -1, axis=0)).sum(axis=0)) / 2)
