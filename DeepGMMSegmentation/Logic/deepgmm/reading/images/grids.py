"""Grids of images: to and from numbers, compared, and one image brought onto another's."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.study import Geometry

if TYPE_CHECKING:
    import SimpleITK

#: Tolerances: spacing relative, origin in voxels of the plane, direction cosines absolute.
#: NIfTI keeps its geometry in single precision, hence not zero.
SPACING, ORIGIN, DIRECTION = 1e-3, 1e-2, 1e-3

#: A mask of which less than the first share lies on the images is refused, of which less than the
#: second is said: of those of its voxels that lie between the first and the last slice.
LEAST_KEPT, WELL_KEPT = 0.8, 0.98

#: Likewise of all its voxels, since a mask may well go on where LGE has no slices.
LEAST_ALONG = 0.5


def image_of(values: npt.NDArray[Any], geometry: Geometry) -> SimpleITK.Image:
    """An image of (slices, rows, columns), or 4D of (frames or tissues, slices, rows, columns)."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(values), isVector=False)
    if values.ndim == 3:
        image.SetSpacing(geometry.spacing)
        image.SetOrigin(geometry.origin)
        image.SetDirection(geometry.direction)
        return image
    direction = np.eye(4)
    direction[:3, :3] = np.asarray(geometry.direction).reshape(3, 3)
    image.SetSpacing((*geometry.spacing, 1.0))
    image.SetOrigin((*geometry.origin, 0.0))
    image.SetDirection(tuple(direction.ravel()))
    return image


def notes_of(image: Any) -> dict[str, str]:
    """What a header says beside the grid, of an image or its reader; what is no text left out."""
    found = {}
    for key in image.GetMetaDataKeys():
        with suppress(TypeError, UnicodeError):
            found[key] = image.GetMetaData(key)
    return found


def geometry_of(image: SimpleITK.Image) -> Geometry:
    """Where a 3D image lies."""
    return Geometry(image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def difference(one: SimpleITK.Image, other: SimpleITK.Image) -> str:
    """What differs between two grids, in words ("size 128x128x5 against 64x64x5"); "" if same."""
    sizes = one.GetSize(), other.GetSize()
    if sizes[0] != sizes[1]:
        return f"size {_times(sizes[1])} against {_times(sizes[0])}"
    spacings = np.array([one.GetSpacing(), other.GetSpacing()])
    # The thickness of a single slice moves no voxel.
    apart = np.abs(spacings[1] / spacings[0] - 1)[np.array(sizes[0]) > 1]
    if apart.size and apart.max() > SPACING:
        return f"spacing {_mm(spacings[1])} mm against {_mm(spacings[0])} mm"
    turn = np.abs(np.subtract(one.GetDirection(), other.GetDirection())).max()
    if turn > DIRECTION:
        return f"direction cosines, by up to {turn:.3g}"
    shift = np.subtract(other.GetOrigin(), one.GetOrigin())
    if np.abs(shift).max() > ORIGIN * spacings[0][:2].min():
        return f"origin, by {np.linalg.norm(shift):.3g} mm"
    return ""


def on_grid_of(image: SimpleITK.Image, grid: SimpleITK.Image, *, is_mask: bool,
               name: str) -> SimpleITK.Image:
    """Resample: linear for images, nearest for masks; NaN where an image has nothing to say.

    Raises
    ------
    InputError
        When the two do not overlap at all.
    """
    import SimpleITK as sitk

    if is_mask:
        moved = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0,
                              sitk.sitkUInt8)
        if _any(image) and not _any(moved):
            raise InputError(f"the {name} and the images lie in different places, even after "
                             "resampling: see whether they are of one patient and one scan")
        return moved
    return sitk.Resample(sitk.Cast(image, sitk.sitkFloat32), grid, sitk.Transform(),
                         sitk.sitkLinear, float("nan"), sitk.sitkFloat32)


def check_shown(image: SimpleITK.Image, moved: SimpleITK.Image, grid: SimpleITK.Image, name: str,
                grid_name: str) -> None:
    """See that an image brought onto another's grid still shows something.

    Raises
    ------
    InputError
        Nothing of it lies there: by how many mm they lie apart.
    """
    import SimpleITK as sitk

    def shows(of: SimpleITK.Image) -> bool:
        return bool(np.isfinite(sitk.GetArrayViewFromImage(of)).any())
    if shows(moved) or not shows(image):
        return
    corners = np.array(np.meshgrid(*([-0.5, n - 0.5] for n in image.GetSize()))).reshape(3, -1).T
    there = corners @ _axes(image).T + np.subtract(image.GetOrigin(), grid.GetOrigin())
    along = np.linalg.solve(_axes(grid), there.T).T
    last = np.array(grid.GetSize()) - 0.5
    gap = np.maximum(np.maximum(along.min(0) - last, -0.5 - along.max(0)), 0.0)
    apart = float(np.linalg.norm(gap * grid.GetSpacing()))
    raise InputError(f"{name} and {grid_name} do not overlap" + (
        f": they lie {apart:.0f} mm apart" if apart >= 1 else "") +
        "; see whether they are of one patient and one scan")


def overlap_warnings(mask: SimpleITK.Image, grid: SimpleITK.Image, name: str) -> list[str]:
    """What a user must know when a mask of another grid does not wholly lie on this one.

    Raises
    ------
    InputError
        When little of it does.
    """
    import SimpleITK as sitk

    found = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    if not len(found):
        return []
    to_grid = np.linalg.inv(_axes(grid)) @ _axes(mask)
    offset = np.linalg.solve(_axes(grid), np.subtract(mask.GetOrigin(), grid.GetOrigin()))
    index = found @ to_grid.T + offset
    on_axis = (index >= -0.5) & (index <= np.array(grid.GetSize()) - 0.5)
    on_grid, along = on_axis.all(axis=1), on_axis[:, 2]
    kept = float(on_grid.mean())
    if kept < LEAST_ALONG or on_grid.sum() < LEAST_KEPT * along.sum():
        raise InputError(f"the {name} and the images lie in different places, even after "
                         f"resampling ({100 * kept:.0f} % of the {name} lies on them): see "
                         "whether they are of one patient and one scan, and if so, give images "
                         f"that show all of it, or cut the {name} to what they show")
    if kept < WELL_KEPT:
        return [f"only {100 * kept:.0f} % of the {name} lies on the images; the rest was cut off"]
    return []


def same_voxels(image: SimpleITK.Image, grid: SimpleITK.Image) -> bool:
    """Whether two grids' voxels coincide, though one may be a piece of the other or count its
    slices, rows or columns the other way, so that resampling changes no voxel."""
    steps = np.linalg.solve(_axes(grid), _axes(image))
    offset = np.linalg.solve(_axes(grid), np.subtract(image.GetOrigin(), grid.GetOrigin()))
    # Steps of one voxel may be off by so little that the last voxel still coincides.
    apart = (np.abs(np.abs(steps) - np.eye(3)) * image.GetSize()).max()
    return bool(max(apart, np.abs(offset - np.rint(offset)).max()) < 0.05)


def _axes(image: SimpleITK.Image) -> np.ndarray:
    """(3, 3) mm along each index axis, in columns."""
    return np.asarray(image.GetDirection()).reshape(3, 3) * np.asarray(image.GetSpacing())


def place(piece: SimpleITK.Image, grid: SimpleITK.Image) -> SimpleITK.Image:
    """A piece of the same grid put where it belongs in the whole; unchanged if it is no piece."""
    import SimpleITK as sitk

    if not difference(grid, piece):
        return piece
    index = np.array(grid.TransformPhysicalPointToContinuousIndex(piece.GetOrigin()))
    offset = np.rint(index).astype(int)
    if np.abs(index - offset).max() > ORIGIN:
        return piece
    for corner in np.diag([s - 1 for s in piece.GetSize()]).tolist():
        there = np.array(grid.TransformPhysicalPointToContinuousIndex(
            piece.TransformIndexToPhysicalPoint(corner)))
        if np.abs(there - offset - corner).max() > ORIGIN:
            return piece
    values = sitk.GetArrayFromImage(piece)
    found = np.argwhere(values)
    target = found + offset[::-1]
    size = np.array(grid.GetSize())[::-1]
    if (target < 0).any() or (target >= size).any():
        return piece
    whole = np.zeros(tuple(size), np.uint8)
    whole[tuple(target.T)] = 1
    placed = sitk.GetImageFromArray(whole)
    placed.CopyInformation(grid)
    return placed


def _any(image: SimpleITK.Image) -> bool:
    import SimpleITK as sitk

    return bool(sitk.GetArrayViewFromImage(image).any())


def _times(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))


def _mm(spacing: np.ndarray) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing)
