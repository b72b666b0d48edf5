"""Labels and masks of four axes: a frame for each of a cine's, of which few were drawn on.

ACDC and M&Ms keep the labels of a whole cine so, drawn at end diastole and end systole.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.contours.drawn_on import DrawnFrames
from deepgmm.reading.images.four_axes import read_four_axes
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.images.image import read_image
from deepgmm.reading.images.nifti import wild_voxels
from deepgmm.study.study import Geometry

if TYPE_CHECKING:
    import SimpleITK


def read_label_image(path: str | os.PathLike[str], name: str, frame: int | None = None
                     ) -> tuple[SimpleITK.Image, list[str]]:
    """A labelmap as a 3D image, and what a user must know; of several frames one.

    Parameters
    ----------
    name : what to call it in messages.
    frame : the one that goes with the images, counted from 0; by default, and where there is no
        such frame, the only one that holds something.

    Raises
    ------
    InputError
        As `read_image`; several frames hold labels, or none that was asked for.
    """
    found = _frames(Path(path), name)
    if found is None:
        image, warnings, _ = read_image(path, name, labels=True)
        return image, warnings
    values, geometry, warnings = found
    filled = [n for n, one in enumerate(values) if one.any()]
    if frame is None or frame not in filled:
        if len(filled) > 1:
            raise InputError(
                f"the {name} file has {len(values)} frames (4D), and {len(filled)} of them hold "
                "something: give the cine that they were drawn on as bSSFP, or a single frame as a "
                "3D file")
        frame = filled[0] if filled else 0
    if len(values) > 1:
        warnings = [*warnings, f"of the {len(values)} frames of the {name} file, frame {frame} "
                               "(counted from 0) was taken"]
    return image_of(values[frame], geometry), warnings


def labelled_frames(path: str | os.PathLike[str], count: int) -> DrawnFrames:
    """Which frames of a cine a labelmap has labels on; none where it has not as many frames.

    Parameters
    ----------
    count : the cine's frames.
    """
    try:
        found = _frames(Path(path), "LV mask")
    except (InputError, OSError):  # whoever reads it says what is wrong
        return DrawnFrames()
    if found is None or len(found[0]) != count:
        return DrawnFrames()
    values, geometry, _ = found
    voxel = geometry.spacing[0] * geometry.spacing[1]
    return DrawnFrames(areas={n: float(np.count_nonzero(one)) * voxel
                              for n, one in enumerate(values) if one.any()})


def _frames(path: Path, name: str) -> tuple[npt.NDArray[Any], Geometry, list[str]] | None:
    """The frames of a labelmap; None for files of three axes, and of any other kind."""
    if not path.is_file() or suffix_of(path) == ".seg.nrrd":  # whose list axis are layers
        return None
    found = read_four_axes(path, name, labels=True)
    if found is None or suffix_of(path) not in (".nii", ".nii.gz"):
        return found
    wild = wild_voxels(path)
    if wild is None:
        return None
    if wild.size:
        raise InputError(f"the {name} holds NaN or infinite values: save it as whole numbers")
    return found
