"""Files of four axes, three of space and one that counts frames, wherever that axis stands.

NIfTI and MetaImage have it last, or first where somebody forgot to turn the array. NRRD says which
it is: 3D Slicer saves sequences of volumes with an axis of the kind "list" (`.seq.nrrd`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.reading.images.grids import geometry_of
from deepgmm.reading.images.image import quiet
from deepgmm.reading.images.nifti import readable
from deepgmm.reading.images.places import place_said, settled, time_first
from deepgmm.study.study import Geometry

#: A NRRD header has no more lines, nor longer ones.
_LINES, _LENGTH = 10_000, 1 << 16


def read_four_axes(path: Path, title: str = "bSSFP", *, labels: bool = False
                   ) -> tuple[npt.NDArray[Any], Geometry, list[str]] | None:
    """The frames of a file as (frames, slices, rows, columns), where they lie, and warnings.

    Parameters
    ----------
    title : what to call it in warnings.
    labels : its values are labels.

    Returns
    -------
    None where the file has no axis that counts frames, or cannot be read: whoever reads it as one
    image says what is wrong.
    """
    try:
        with quiet(), readable(path) as name:
            return _read(path, name, title, labels)
    except (RuntimeError, OSError):
        return None


def _read(path: Path, name: str, title: str, labels: bool
          ) -> tuple[npt.NDArray[Any], Geometry, list[str]] | None:
    import SimpleITK as sitk

    counted = _counting_axis(path)
    try:
        if counted is not None:
            image = _read_list(path, counted)
            values = sitk.GetArrayFromImage(image)
            if image.GetDimension() != 3 or values.ndim != 4 or values.shape[-1] < 2:
                return None
            return np.ascontiguousarray(np.moveaxis(values, -1, 0)), geometry_of(image), []
        reader = sitk.ImageFileReader()
        reader.SetFileName(name)
        reader.ReadImageInformation()
        if reader.GetDimension() != 4 or max(reader.GetSize()[0], reader.GetSize()[3]) < 2:
            return None
        first = time_first(reader.GetSize())
        if not first and reader.GetSize()[3] < 2:
            return None
        image = reader.Execute()
    except (RuntimeError, OSError):
        return None
    if not first:
        image, warnings = settled(image, place_said(path, title), title, labels=labels)
        return sitk.GetArrayFromImage(image), geometry_of(image[..., 0]), warnings
    values = sitk.GetArrayFromImage(image)
    # The header's first three axes are then those of an image without time.
    geometry = Geometry(image.GetSpacing()[:3], image.GetOrigin()[:3],
                        tuple(np.reshape(image.GetDirection(), (4, 4))[:3, :3].ravel().tolist()))
    values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return values, geometry, [
        f"the first axis of {title}'s file was taken for time ({len(values)} frames), by its "
        "sizes: see whether the frames show slices of the heart"]


def _header(path: Path) -> list[bytes]:
    """The lines of a NRRD's header, without the blank one that ends it; none of other files."""
    with path.open("rb") as stream:
        lines = [stream.readline(_LENGTH).rstrip(b"\r\n")]
        if not lines[0].startswith(b"NRRD"):
            return []
        while len(lines) < _LINES:
            line = stream.readline(_LENGTH).rstrip(b"\r\n")
            if not line:
                return lines
            lines.append(line)
    return []


def _counting_axis(path: Path) -> int | None:
    """Which axis of a 4D NRRD counts frames: of the kind list or time, or without direction."""
    try:
        fields = dict(line.split(b":", 1) for line in _header(path)[1:]
                      if b": " in line and not line.startswith(b"#"))
    except (RuntimeError, OSError):
        return None
    if fields.get(b"dimension", b"").strip() != b"4":
        return None
    kinds = [k.lower() for k in fields.get(b"kinds", b"").split()]
    found = [i for i, kind in enumerate(kinds) if kind in (b"list", b"time")]
    if not found and set(kinds) <= {b"domain", b"space", b"none", b"???"}:
        directions = fields.get(b"space directions", b"").split()
        found = [i for i, one in enumerate(directions) if one == b"none"]
    return found[0] if len(found) == 1 else None


def _read_list(path: Path, axis: int) -> Any:
    """Read a NRRD as a 3D image with as many values a voxel as it has frames.

    ITK reads an axis of the kind list so, and refuses one of the kind time: the header is then
    said to it again, in a file of its own that points to the data.
    """
    import SimpleITK as sitk

    try:
        return sitk.ReadImage(os.fspath(path))
    except RuntimeError:
        pass
    lines = _header(path)
    kept = [line for line in lines if not line.lower().startswith((b"kinds:", b"#"))]
    kinds = b" ".join(b"list" if i == axis else b"domain" for i in range(4))
    kept += [b"kinds: " + kinds]
    if not any(line.lower().startswith((b"data file:", b"datafile:")) for line in lines):
        kept += [b"line skip: %d" % (len(lines) + 1),
                 b"data file: " + os.fsencode(path.resolve())]
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, "frames.nhdr")
        again.write_bytes(b"\n".join(kept) + b"\n")
        return sitk.ReadImage(os.fspath(again))
