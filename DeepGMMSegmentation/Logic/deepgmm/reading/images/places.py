"""Where an image file lies in the patient, if it says so, and which of its axes counts slices.

ITK reads the files, but of a doubtful header it takes what it can and says nothing: the voxel size
of a NIfTI file from `pixdim` whatever the sform says, zeros for what is no number, a sheared grid
for a straight one. So the places that headers give are looked at here, and a stack whose slices lie
beside each other is made straight, as one of DICOM is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.reading.images.grids import notes_of
from deepgmm.reading.images.nifti import Forms, read_forms, readable

if TYPE_CHECKING:
    import SimpleITK

    Axes = tuple[int, int, int]

#: Cosines between axes above this are no rounding: 0.1 degrees, 0.2 mm over a stack of 100 mm.
_RIGHT_ANGLES = 2e-3

#: Two places are one if no corner of the image is moved by this share of its smallest voxel edge:
#: two forms of one header, and one form read twice.
_APART, _SAME = 0.1, 1e-3

#: Slices are thick, mm, and so many times as thick as pixels are wide: only then is a file's own
#: order of axes left.
_THICK, _THICKER = 3.0, 2.0

#: No cine has more frames, where it must be told by its sizes which axis counts them.
_MOST_FRAMES = 60

_NO_PLACE = "the {} file says no place in the patient: an offset or direction is not a number"
_AGAIN = "; convert or export it again"


@dataclass
class Said:
    """What a header says of its place.

    Attributes
    ----------
    affine : 4 x 4, indices to mm, LPS; None where ITK's reading stands.
    warnings : what a user must know.
    """

    affine: npt.NDArray[np.float64] | None = None
    warnings: list[str] = field(default_factory=list)


def place_said(path: Path, name: str) -> Said:
    """See what a file's header says of its place, before anyone reads the file.

    Raises
    ------
    InputError
        It says a place or a voxel size that is none.
    """
    suffix = suffix_of(path)
    if suffix in (".nii", ".nii.gz", ".hdr"):
        forms = read_forms(path)
        if forms is None:
            return Said()
        said = _of_nifti(forms, name)
        if suffix == ".hdr":  # ITK would say less, and its voxels are another file's
            _check_angles(said.affine, name)
        return said
    if suffix in (".mha", ".mhd", ".nrrd", ".nhdr", ".seg.nrrd"):
        _check_text(path, name)
    return Said()


def _of_nifti(forms: Forms, name: str) -> Said:
    said: list[str] = []
    size = forms.size
    if forms.sform is not None and not _usable(forms.sform):
        if forms.qform is None or not _usable(forms.qform) or not forms.qform_known:
            if np.isfinite(forms.sform).all():
                raise _no_size(name)
            raise InputError(_NO_PLACE.format(name) + _AGAIN)
        said.append(f"{name}: its sform says no place; its qform was used")
        return Said(_lps(forms.qform), said)
    if forms.sform is not None:
        # The sform comes first, as nibabel and most programs have it.
        if forms.qform is not None and _usable(forms.qform) and forms.qform_known:
            far = _far(forms.sform, forms.qform, size)
            if far > _APART * _edges(forms.sform).min():
                said.append(f"{name}: its sform and qform disagree (by up to {far:.3g} mm); "
                            "the sform was used")
        return Said(_lps(forms.sform), said)
    if not np.isfinite(forms.pixdim).all() or (forms.pixdim[np.array(size) > 1] == 0).any():
        raise _no_size(name)
    if forms.qform is None or not np.isfinite(forms.qform).all():
        raise InputError(_NO_PLACE.format(name) + _AGAIN)
    qform = forms.qform
    if not forms.qform_known:
        said.append(f"{name}: its header has neither sform nor qform, so nobody knows where it "
                    "lies; it was placed as 3D Slicer does")
    if (forms.pixdim < 0).any():
        said.append(f"{name}: its header says a negative voxel size; it was taken without sign")
    if (forms.pixdim == 0).any():
        said.append(f"{name}: its only slice has no thickness; 1 mm was taken")
        qform = qform + np.pad(np.outer(*_unit(qform)), (0, 1))
    return Said(_lps(qform), said)


def _check_angles(affine: npt.NDArray[np.float64] | None, name: str, axes: Sequence[int] = (0, 1, 2)
                  ) -> None:
    """See that some axes of a grid are at right angles."""
    if affine is not None and not _straight(affine, axes):
        raise InputError(f"the {name} file's axes are not at right angles: resample it onto a "
                         "straight grid, for instance in 3D Slicer, mask and images alike")


def _straight(affine: npt.NDArray[np.float64], axes: Sequence[int] = (0, 1, 2)) -> bool:
    cosines = (affine[:3, :3] / _edges(affine))[:, list(axes)]
    return bool(np.abs(cosines.T @ cosines - np.eye(len(axes))).max() <= _RIGHT_ANGLES)


def _unit(affine: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """The direction that an axis of no length must have, and which axis it is."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    empty = int(np.argmin(lengths))
    a, b = (affine[:3, k] / (lengths[k] or 1.0) for k in ((empty + 1) % 3, (empty + 2) % 3))
    return np.cross(a, b), np.eye(3)[empty]


def _no_size(name: str) -> InputError:
    return InputError(f"the {name} file does not say how large a voxel is (zero, or not a number)"
                      + _AGAIN)


def _usable(affine: npt.NDArray[np.float64]) -> bool:
    return bool(np.isfinite(affine).all() and (_edges(affine) > 0).all()
                and abs(np.linalg.det(affine[:3, :3])) > 1e-9 * np.prod(_edges(affine)))


def _edges(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def _far(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64],
         size: tuple[int, ...]) -> float:
    """The most that a corner is moved from one place to another, mm."""
    corners = np.array(np.meshgrid(*[(0, s - 1) for s in size], [1])).reshape(4, -1)
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())


def _lps(ras: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ ras


_FIELD = re.compile(rb"^(?:space origin|space directions|spacings|Offset|Origin|Position|"
                    rb"TransformMatrix|Rotation|Orientation|ElementSpacing|ElementSize)"
                    rb"\s*[:=]\s*(.*)$", re.MULTILINE | re.IGNORECASE)


def _check_text(path: Path, name: str) -> None:
    """See that a header of text has numbers where its place should be; ITK reads 0 for "nan"."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    for end in (b"\n\n", b"\r\n\r\n", b"ElementDataFile"):
        head = head.split(end)[0]
    for found in _FIELD.findall(head.replace(b"\r", b"")):
        if re.search(rb"\b(?:nan|inf(?:inity)?)\b", found, re.IGNORECASE):
            # Of a list of values or of another axis that is none in space, NRRD says "nan".
            words = re.split(rb"[\s,()]+", found.strip(b" ()"))
            if b"(" in found or b"none" in found or len(words) in (2, 3, 9):
                raise InputError(_NO_PLACE.format(name) + _AGAIN)


def settled(image: SimpleITK.Image, said: Said, name: str, *, labels: bool = False
            ) -> tuple[SimpleITK.Image, list[str]]:
    """An image of three or four axes at the place its header says, straight, the slice axis third.

    Parameters
    ----------
    labels : its values are labels, which no resampling may mix.

    Raises
    ------
    InputError
        It lies nowhere, or its rows and columns are not at right angles.
    """
    affine = _affine(image) if said.affine is None else said.affine
    if not np.isfinite(affine).all():
        raise InputError(_NO_PLACE.format(name) + _AGAIN)
    edges = _edges(affine)
    if not (edges > 0).all():
        raise _no_size(name)
    order = slice_axis_last(image.GetSize()[:3], tuple(edges))
    sheared = not _straight(affine)
    # Where ITK read the same, its digits stay.
    if not sheared and said.affine is not None and not (
            _far(affine, _affine(image), image.GetSize()[:3]) <= _SAME * edges.min()):
        u, _, v = np.linalg.svd(affine[:3, :3] / edges)
        _place(image, u @ v, edges, affine[:3, 3])
    warnings = list(said.warnings)
    if order != (0, 1, 2):
        image = _permuted(image, order)
        warnings.append(
            f"{name}: its slices lie along the file's {_NTH[order[2]]} axis "
            f"({image.GetSize()[2]} of {edges[order[2]]:.3g} mm) and were taken so")
    if sheared:
        image, far = _straightened(image, affine[:, [*order, 3]], name, labels)
        warnings.append(f"{name}: its slices do not lie straight above each other (the grid is "
                        f"sheared, by up to {far:.1f} mm); each was moved in its plane to where it "
                        f"was acquired ({'nearest pixel' if labels else 'linear'})")
    return image, warnings


def _place(image: SimpleITK.Image, direction: npt.NDArray[np.float64],
           spacing: npt.NDArray[np.float64], origin: npt.NDArray[np.float64]) -> None:
    """Say where an image of three or four axes lies."""
    axes = image.GetDimension()
    whole = np.eye(axes)
    whole[:3, :3] = direction
    image.SetSpacing((*map(float, spacing), *image.GetSpacing()[3:]))
    image.SetOrigin((*map(float, origin), *image.GetOrigin()[3:]))
    image.SetDirection(tuple(map(float, whole.ravel())))


def _straightened(image: SimpleITK.Image, affine: npt.NDArray[np.float64], name: str, labels: bool
                  ) -> tuple[SimpleITK.Image, float]:
    """Slices of a sheared grid moved in their planes onto a straight one, and the furthest way, mm.

    The middle slice stays as it is, and a voxel keeps its volume.

    Parameters
    ----------
    affine : 4 x 4, indices to mm, LPS; the slice axis is the third.

    Raises
    ------
    InputError
        Rows and columns are not at right angles, slices lie more beside than above each other, or
        a voxel has several values.
    """
    import SimpleITK as sitk
    from scipy.ndimage import shift

    _check_angles(affine, name, (0, 1))
    edges = _edges(affine)
    across, down, step = affine[:3, 0] / edges[0], affine[:3, 1] / edges[1], affine[:3, 2]
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal) * (np.sign(normal @ step) or 1.0)
    apart = float(normal @ step)
    aside = step - apart * normal  # of one slice against the one before
    if np.linalg.norm(aside) > apart or image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"the {name} file's axes are not at right angles: resample it onto a "
                         "straight grid, for instance in 3D Slicer, mask and images alike")
    values = sitk.GetArrayFromImage(image)
    if not labels:
        values = values.astype(np.float32)
    middle = values.shape[-3] // 2
    for frame in values.reshape(-1, *values.shape[-3:]):
        for k, one in enumerate(frame):
            moved = [(k - middle) * float(aside @ axis) / edge
                     for axis, edge in ((down, edges[1]), (across, edges[0]))]
            one[...] = shift(one, moved, order=0 if labels else 1,
                             mode="constant" if labels else "nearest")
    straight = sitk.GetImageFromArray(values, isVector=False)
    for key, text in notes_of(image).items():
        straight.SetMetaData(key, text)
    if straight.GetDimension() == 4:
        straight.SetSpacing((1.0, 1.0, 1.0, image.GetSpacing()[3]))
    _place(straight, np.stack([across, down, normal], axis=1),
           np.array([edges[0], edges[1], apart]), affine[:3, 3] + middle * aside)
    return straight, max(middle, values.shape[-3] - 1 - middle) * float(np.linalg.norm(aside))


_NTH = ("first", "second")


def slice_axis_last(size: tuple[int, ...], spacing: tuple[float, ...]) -> Axes:
    """The file's axes in the order columns, rows, slices.

    Programs that turn an image to a body's axes leave the slices of a short-axis stack on any
    axis. They are along the one that is much longer a step than the others, or the one of one
    step alone; where none is, the file's order stands.
    """
    single = [k for k in range(3) if size[k] == 1]
    if len(single) == 1:
        thick = single[0]
    else:
        thick = int(np.argmax(spacing))
        others = max(s for k, s in enumerate(spacing) if k != thick)
        if single or spacing[thick] < max(_THICK, _THICKER * others):
            return 0, 1, 2
    return {0: (1, 2, 0), 1: (0, 2, 1)}.get(thick, (0, 1, 2))  # type: ignore[return-value]


def time_first(size: Sequence[int]) -> bool:
    """Whether the first of four axes counts frames: it is short, and the two after it are a
    slice's rows and columns, longer than both it and the last."""
    first, *plane, last = size
    return (2 <= first <= _MOST_FRAMES and 2 * first < min(plane) and last < min(plane)
            and max(plane) <= 2 * min(plane))


def _permuted(image: SimpleITK.Image, order: Axes) -> SimpleITK.Image:
    import SimpleITK as sitk

    turned = sitk.PermuteAxes(image, (*order, 3)[:image.GetDimension()])
    for key, said in notes_of(image).items():  # which the filter leaves behind
        turned.SetMetaData(key, said)
    return turned


def axes_of_file(path: str | os.PathLike[str]) -> Axes:
    """Which axes of an image file are columns, rows and slices; 0, 1, 2 for all but files that
    `settled` turns."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    try:
        said = place_said(Path(path), "")
        with readable(path) as name:
            reader.SetFileName(name)
            reader.ReadImageInformation()
    except (RuntimeError, OSError, InputError):
        return 0, 1, 2
    if reader.GetDimension() < 3 or reader.GetDimension() == 4 and time_first(reader.GetSize()):
        return 0, 1, 2
    spacing = tuple(_edges(said.affine)) if said.affine is not None else reader.GetSpacing()
    return slice_axis_last(reader.GetSize()[:3], spacing[:3])


def in_order_of_file(image: SimpleITK.Image, order: Axes) -> SimpleITK.Image:
    """An image of the house in the order of a file's axes, at the same place in the patient."""
    if order == (0, 1, 2):
        return image
    back = np.argsort(order)
    return _permuted(image, (int(back[0]), int(back[1]), int(back[2])))


def _affine(image: SimpleITK.Image) -> npt.NDArray[np.float64]:
    axes = image.GetDimension()
    affine = np.eye(4)
    affine[:3, :3] = (np.asarray(image.GetDirection()).reshape(axes, axes)[:3, :3]
                      * np.asarray(image.GetSpacing())[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    return affine
