"""Volumes and masks of other grids brought onto the study's, by their true positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.images.grids import (
    difference,
    image_of,
    on_grid_of,
    overlap_warnings,
    same_voxels,
)
from deepgmm.scene.places import Place
from deepgmm.scene.stacks import Stack
from deepgmm.study.slice_positions import at_positions, distance_warning, same_places
from deepgmm.study.study import BoolArray, FloatArray

if TYPE_CHECKING:
    import SimpleITK


@dataclass(frozen=True)
class Grid:
    """The grid of a study.

    Attributes
    ----------
    name : of the sequence that it is taken from.
    image : an image on it, in the patient.
    place : the same in numbers, with the true positions of slices that are not even.
    framed : the image in the frame of the transform that bends it; the same as `image` if none.
    """

    name: str
    image: SimpleITK.Image
    place: Place
    framed: SimpleITK.Image


def volume_on(grid: Grid, stack: Stack, warnings: list[str]) -> FloatArray:
    """(slices, rows, columns) float32 of a volume on the grid; NaN where it does not reach.

    Linear; a parallel stack of thick slices gives each slice its nearest one.

    Raises
    ------
    InputError
        Thin slices that are unevenly spaced.
    """
    import SimpleITK as sitk

    image, target, onto = stack.image, grid.place.along, grid.image
    if stack.framed:
        target, onto = None, grid.framed
    even = image.GetSpacing()[2] * np.arange(image.GetSize()[2])
    here, there = (even if a is None else a for a in (stack.place.along, target))
    if difference(onto, image) or not same_places(here, there):
        matched = at_positions(image, onto, places=stack.place.along, grid_places=target)
        if matched is not None:
            image, distance = matched
            warnings.append(distance_warning(stack.name, grid.name, distance))
        elif stack.place.along is not None:
            raise InputError(f"{stack.name} is under a non-linear transform and does not lie "
                             f"parallel to {grid.name} in thick slices: harden the transform in "
                             "Transforms, and give the volume that comes out")
        else:
            image = _on_planes(image, onto, target, is_mask=False, name=stack.name)
            warnings.append(f"{stack.name} was resampled onto the {grid.name} grid (linear)")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is seen
        return np.asarray(sitk.GetArrayFromImage(image)).astype(np.float32)


def mask_on(grid: Grid, mask: Stack, warnings: list[str]) -> BoolArray:
    """(slices, rows, columns) bool of a mask on the grid, nearest voxel.

    Raises
    ------
    InputError
        A mask that lies elsewhere, or under a non-linear transform of its own.
    """
    import SimpleITK as sitk

    if mask.place.along is not None:
        raise InputError(f"the {mask.name} is under a non-linear transform that is not "
                         f"{grid.name}'s: harden it in Transforms, or put both under the same")
    along, onto = (None, grid.framed) if mask.framed else (grid.place.along, grid.image)
    image = mask.image
    if not sitk.GetArrayViewFromImage(image).any():
        return np.zeros(sitk.GetArrayViewFromImage(onto).shape, bool)
    if along is not None or difference(onto, image):
        warnings += overlap_warnings(image, onto, mask.name)
        if along is not None or not same_voxels(image, onto):
            warnings.append(f"{mask.name} was resampled onto the {grid.name} grid "
                            "(nearest voxel)")
        image = _on_planes(image, onto, along, is_mask=True, name=mask.name)
    return np.asarray(sitk.GetArrayFromImage(image) > 0)


def mask_image(grid: Grid, inside: BoolArray) -> SimpleITK.Image:
    """A mask on the grid as an image of 0 and 1, in the patient."""
    return image_of(inside.astype(np.uint8), grid.place.geometry)


def _on_planes(image: SimpleITK.Image, onto: SimpleITK.Image, along: FloatArray | None, *,
               is_mask: bool, name: str) -> SimpleITK.Image:
    """Resampled onto a grid whose slices lie where `along` says."""
    import SimpleITK as sitk

    if along is None:
        return on_grid_of(image, onto, is_mask=is_mask, name=name)
    normal = np.asarray(onto.GetDirection()).reshape(3, 3)[:, 2]
    how, nothing = ((sitk.sitkNearestNeighbor, 0.0) if is_mask
                    else (sitk.sitkLinear, float("nan")))
    moving = sitk.Cast(image, sitk.sitkUInt8 if is_mask else sitk.sitkFloat32)
    planes = []
    for k, place in enumerate(along):
        plane = onto[:, :, k:k + 1]
        plane.SetOrigin(tuple(np.asarray(onto.GetOrigin()) + place * normal))
        planes.append(sitk.GetArrayFromImage(
            sitk.Resample(moving, plane, sitk.Transform(), how, nothing)))
    moved = sitk.GetImageFromArray(np.concatenate(planes))
    moved.CopyInformation(onto)
    return moved
