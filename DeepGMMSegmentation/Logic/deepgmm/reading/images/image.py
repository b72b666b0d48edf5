"""One image file or DICOM folder in, one 3D SimpleITK image out, or a line that says why not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.images.nifti import wild_voxels

if TYPE_CHECKING:
    import SimpleITK

#: Slice gaps may differ by this share before a user is told.
GAP_TOLERANCE = 0.01

#: Encodings of an NRRD that ITK knows, as their headers call them.
_ENCODINGS = (b"raw", b"txt", b"text", b"ascii", b"hex", b"gz", b"gzip")

#: What a DICOM series says about how it was made; never about whom.
_TELLING_TAGS = ("0008|103e", "0018|1030", "0018|0024", "0008|0008")


def read_image(path: str | os.PathLike[str], name: str) -> tuple[SimpleITK.Image, list[str], str]:
    """Read one 3D image.

    Parameters
    ----------
    path : a NIfTI, NRRD or MetaImage file, or a folder holding one DICOM series.
    name : what to call it in messages ("LGE", "LV mask"); paths may name a patient.

    Returns
    -------
    image : three axes; a 2D file becomes one slice.
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
        if source.is_dir():
            with quiet():
                return _read_series(source, name)
        if not source.is_file():
            raise InputError(f"the {name} file does not exist: check the path that was given")
        if suffix_of(source) in (".nii", ".nii.gz"):
            wild = wild_voxels(source)
            if wild is None:
                raise InputError(_unreadable(name, "", source))
    except OSError as error:
        raise InputError(f"the {name} file cannot be read ({error.strerror}): check its path "
                         "and its permissions") from error
    try:
        with quiet():
            image = sitk.ReadImage(os.fspath(source))
    except RuntimeError as error:
        raise InputError(_unreadable(name, str(error), source)) from error
    if not np.isfinite([*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]).all():
        raise InputError(f"the {name} file does not say where it lies: its grid holds NaN or "
                         "infinite numbers; export it again")
    image = _three_axes(image, name)
    if wild is not None and wild.size and image.GetNumberOfComponentsPerPixel() == 1:
        values = sitk.GetArrayFromImage(image)
        values.reshape(-1)[wild] = np.nan
        mended = sitk.GetImageFromArray(values)
        mended.CopyInformation(image)
        image = mended
    return image, [], _description(image)


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
    with suppress(OSError), path.open("rb") as stream:
        head = stream.read(4096)
        header = head.partition(b"\n\n")[0].lower()
    if head.startswith(b"\x1f\x8b") and not path.name.lower().endswith(".gz"):
        return (f"the {name} file is packed (gzip) and its name does not say so: call it .nii.gz "
                "if it is a NIfTI file, or unpack it")
    if head.startswith(b"NRRD") and (found := re.search(rb"^encoding: *(\w+)", header, re.M)) \
            and found[1] not in _ENCODINGS:
        packed = found[1].decode("ascii", "replace")
        return (f"the {name} file is an NRRD packed as {packed}, which is not read here: save it "
                "again with gzip, or unpacked")
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


def _description(image: SimpleITK.Image) -> str:
    keys = set(image.GetMetaDataKeys())
    return " ".join(image.GetMetaData(tag).strip() for tag in _TELLING_TAGS if tag in keys)


def _read_series(folder: Path, name: str) -> tuple[SimpleITK.Image, list[str], str]:
    """Read the one DICOM series of a folder, its slices sorted by position."""
    import SimpleITK as sitk

    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(os.fspath(folder))
    if not series:
        raise InputError(f"the {name} folder holds no DICOM series: give a folder with one, "
                         "or a NIfTI, NRRD or MetaImage file")
    if len(series) > 1:
        raise InputError(f"the {name} folder holds {len(series)} DICOM series: "
                         "give a folder with only one")
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(os.fspath(folder), series[0])
    try:
        if len(files) == 1:
            image = _three_axes(sitk.ReadImage(files[0]), name)
            return image, [], _description(image)
        warnings = _check_positions(files, name)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        reader.MetaDataDictionaryArrayUpdateOn()
        image = reader.Execute()
        description = " ".join(reader.GetMetaData(0, tag).strip() for tag in _TELLING_TAGS
                               if reader.HasMetaDataKey(0, tag))
    except RuntimeError as error:
        raise InputError(f"the {name} DICOM series cannot be read: export it again") from error
    return _three_axes(image, name), warnings, description


def _check_positions(files: tuple[str, ...], name: str) -> list[str]:
    """Warnings about slices that are not evenly spaced.

    Raises
    ------
    InputError
        Slices of one series that are not parallel, or several at one position.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    origins, normals = [], []
    for file in files:
        reader.SetFileName(file)
        reader.ReadImageInformation()
        origins.append(reader.GetOrigin()[:3])
        axes = np.asarray(reader.GetDirection(), float)
        normals.append(axes.reshape(3, 3)[:, 2] if axes.size == 9 else (0.0, 0.0, 1.0))
    if np.abs(np.asarray(normals) @ np.asarray(normals[0]) - 1.0).max() > 1e-3:
        raise InputError(f"the {name} series has slices that are not parallel (a localiser, or "
                         "a long-axis view among them): give the short-axis stack alone")
    gaps = np.diff(np.asarray(origins) @ np.asarray(normals[0]))
    if np.abs(gaps).min() < 1e-3:
        raise InputError(f"the {name} series has several images at one position (heart phases?): "
                         "give one frame of each slice")
    if np.ptp(gaps) <= GAP_TOLERANCE * abs(np.median(gaps)):
        return []
    low, high = np.sort(np.abs(gaps))[[0, -1]]
    return [f"{name}: the slices are unevenly spaced ({low:.1f} to {high:.1f} mm); they are "
            "treated as even, so volumes and positions are off: see whether slices are missing"]
