"""One image file or DICOM folder in, one 3D SimpleITK image out, or a line that says why not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.detached import data_files
from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.images.dicom import holds_dicom, read_dicom
from deepgmm.reading.images.nifti import readable, wild_voxels
from deepgmm.reading.images.places import place_said, settled

if TYPE_CHECKING:
    import SimpleITK

#: Encodings of an NRRD that ITK knows, as their headers call them.
_ENCODINGS = (b"raw", b"txt", b"text", b"ascii", b"hex", b"gz", b"gzip")


def read_image(path: str | os.PathLike[str], name: str, *, labels: bool = False
               ) -> tuple[SimpleITK.Image, list[str], str]:
    """Read one 3D image.

    Parameters
    ----------
    path : a NIfTI, NRRD or MetaImage file, or a folder holding one DICOM series, or a DICOM file.
    name : what to call it in messages ("LGE", "LV mask"); paths may name a patient.
    labels : its values are labels, which no resampling may mix.

    Returns
    -------
    image : three axes, slices last whatever the file's order; a 2D file becomes one slice.
    warnings : what a user must know about it.
    description : what the DICOM header says about the acquisition; empty for other formats.

    Raises
    ------
    InputError
        Missing, unreadable, truncated, with time frames, or several series in the folder.
    """
    import SimpleITK as sitk

    source = Path(path)
    wild = None
    try:
        if holds_dicom(source):
            return read_dicom(source, name)
        if not source.is_file():
            raise InputError(f"the {name} file does not exist: check the path that was given")
        if suffix_of(source) in (".nii", ".nii.gz"):
            wild = wild_voxels(source)
            if wild is None:
                raise InputError(_unreadable(name, "", source))
        place = place_said(source, name)
    except OSError as error:
        raise InputError(f"the {name} file cannot be read ({error.strerror}): check its path "
                         "and its permissions") from error
    try:
        with quiet(), readable(source) as name_of:
            if sitk.ImageFileReader.GetImageIOFromFileName(name_of) == "GDCMImageIO":
                raise InputError(f"the {name} file is DICOM without its preamble: give the folder "
                                 "that holds the series")
            image = sitk.ReadImage(name_of)
    except RuntimeError as error:
        raise InputError(_unreadable(name, str(error), source)) from error
    image = _three_axes(image, name)
    if wild is not None and wild.size and image.GetNumberOfComponentsPerPixel() == 1:
        values = sitk.GetArrayFromImage(image)
        values.reshape(-1)[wild] = np.nan  # as the file counts them: before any axis is turned
        mended = sitk.GetImageFromArray(values)
        mended.CopyInformation(image)
        image = mended
    image, said = settled(image, place, name, labels=labels)
    return image, said, ""


@contextmanager
def quiet() -> Iterator[None]:
    """ITK's warnings go to the terminal; what matters in them is looked at here."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _unreadable(name: str, reason: str, path: Path) -> str:
    """What is wrong with a file, as far as its first bytes and its reader's `reason` say."""
    head, header = b"", b""
    with suppress(OSError):
        if any(not voxels.is_file() for voxels in data_files(path)):
            return (f"the {name} file keeps its voxels in another file, which is not there: keep "
                    "both in one folder, under their own names")
    with suppress(OSError), path.open("rb") as stream:
        head = stream.read(4096)
        header = head.partition(b"\n\n")[0].lower()
    if head.startswith(b"\x1f\x8b") and not path.name.lower().endswith(".gz"):
        return (f"the {name} file is packed (gzip) and its name does not say so: call it .nii.gz "
                "if it is a NIfTI file, or unpack it")
    if head.startswith(b"NRRD") and (found := re.search(rb"^encoding: *(\w+)", header, re.M)) \
            and found[1] not in _ENCODINGS:
        packed = found[1].decode("ascii", "replace")
        return (f"the {name} file is an NRRD compressed with {packed}, which is not read here: "
                "save it again compressed with gzip, for instance in 3D Slicer")
    if "spacing" in reason.lower() or "determinant" in reason.lower():
        return (f"the {name} file does not say how large a voxel is, or which way it lies: convert "
                "or export it again")
    if "orthonormal" in reason:
        return (f"the {name} file's axes are not at right angles: resample it, "
                "for instance in 3D Slicer")
    if "Unable to determine ImageIO" in reason:
        return (f"the {name} file is in no known format: give NIfTI, NRRD or MetaImage, "
                "or a folder with one DICOM series")
    return f"the {name} file is truncated or damaged: copy or export it again"


def _three_axes(image: SimpleITK.Image, name: str) -> SimpleITK.Image:
    import SimpleITK as sitk

    axes = image.GetDimension()
    if axes == 4 and image.GetSize()[3] == 1:
        return image[..., 0]
    if axes == 4:
        raise InputError(f"the {name} file has {image.GetSize()[3]} frames (4D): "
                         "give a single frame as a 3D file")
    if axes == 2:
        return sitk.JoinSeries(image)
    if axes != 3:
        raise InputError(f"the {name} file has {axes} axes, wanted 3: columns, rows, slices")
    return image
