"""Whether two images lie on one grid, and how to bring one onto the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepgmm.errors import InputError

if TYPE_CHECKING:
    import SimpleITK

#: Tolerances: spacing relative, origin in voxels of the plane, direction cosines absolute.
#: NIfTI keeps its geometry in single precision, hence not zero.
SPACING, ORIGIN, DIRECTION = 1e-3, 1e-2, 1e-3


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
