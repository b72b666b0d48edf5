"""Stacks whose slices lie elsewhere along the normal: matched by position, never by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.study.study import Study
from deepgmm.study.words import GRID_ORDER, Role, named_slices

if TYPE_CHECKING:
    import SimpleITK

#: Stacks with slices at least so far apart hold anatomy between them that blending would
#: invent, mm.
_THICK = 4.0

#: Largest difference of the direction cosines of two stacks' normals that are called parallel.
_PARALLEL = 0.01

#: Distance of matched slices that a user is told of, mm.
_TOLD = 1.0

#: Slices no further apart than this lie at one place, mm.
_SAME = 0.05


def at_positions(image: SimpleITK.Image, grid: SimpleITK.Image, *,
                 places: npt.ArrayLike | None = None, grid_places: npt.ArrayLike | None = None,
                 ) -> tuple[SimpleITK.Image, float] | None:
    """Every slice of a grid with what the nearest slice of a parallel stack shows.

    Parameters
    ----------
    image : a stack of thick slices, at positions of its own.
    grid : where it is wanted; in the plane it is resampled linearly.
    places, grid_places : where the slices of each were acquired, mm along its normal from its
        origin, NaN for none; evenly by default.

    Returns
    -------
    image, distance : on the grid, float32, NaN where no slice is nearer than half the stack's
        spacing or outside the plane; and the largest distance of a matched slice, mm. None
        where the two are not parallel or the image's slices are thin: interpolate those.
    """
    import SimpleITK as sitk

    normal, other = (np.asarray(i.GetDirection()).reshape(3, 3)[:, 2] for i in (grid, image))
    step = image.GetSpacing()[2]
    count = image.GetSize()[2]
    if 1.0 - abs(float(normal @ other)) > _PARALLEL**2 / 2 or step < _THICK or count < 2:
        return None
    origin = np.asarray(image.GetOrigin())
    even = grid.GetSpacing()[2] * np.arange(grid.GetSize()[2])
    here = step * np.arange(count) if places is None else np.asarray(places, float)
    there = even if grid_places is None else np.asarray(grid_places, float)
    planes, distances = [], []
    for i in range(grid.GetSize()[2]):
        plane = grid[:, :, i:i + 1]
        drawn = float((np.asarray(plane.GetOrigin()) - origin) @ other)
        apart = drawn + (there[i] - even[i]) * float(normal @ other) - here
        nearest = int(np.argmin(np.nan_to_num(np.abs(apart), nan=np.inf)))
        off = float(apart[nearest])
        if not abs(off) <= step / 2 + 1e-3:
            empty = sitk.Image(plane.GetSize(), sitk.sitkFloat32) + float("nan")
            empty.CopyInformation(plane)
            planes.append(empty)
            continue
        distances.append(abs(off))
        # one slice alone reaches as far as it must, so that nothing is blended with its neighbour
        shown = sitk.Cast(image[:, :, nearest:nearest + 1], sitk.sitkFloat32)
        along = sitk.TranslationTransform(3, [float((nearest * step - drawn) * c)
                                              for c in other])
        planes.append(sitk.Resample(shown, plane, along, sitk.sitkLinear, float("nan"),
                                    sitk.sitkFloat32))
    values = np.concatenate([sitk.GetArrayFromImage(p) for p in planes])
    matched = sitk.GetImageFromArray(values)
    matched.CopyInformation(grid)
    return matched, max(distances, default=0.0)


def same_places(one: npt.ArrayLike, other: npt.ArrayLike) -> bool:
    """Whether the slices of two stacks lie at the same places, mm along the normal of both; NaN
    stands for none."""
    return np.shape(one) == np.shape(other) and bool(
        np.allclose(one, other, atol=_SAME, equal_nan=True))


def distance_warning(name: str, onto: str, distance: float) -> str:
    """How the slices of a stack were matched, in words."""
    far = (f", which lie up to {distance:.1f} mm away: see whether they show the same level"
           if distance > _TOLD else "")
    return f"{name} was brought onto the {onto} grid, slice by nearest slice{far}"


def grid_first(study: Study) -> list[Role]:
    """The sequences, that which gives the grid first: where it has no slice, the others cannot
    be brought there either, and are not to blame."""
    return [role for role in GRID_ORDER if role in study.sequences]


def leave_out_unreached(study: Study) -> None:
    """Exclude slices that a sequence does not reach, unless that is all of them."""
    for role in grid_first(study):
        values = study.sequences[role].values
        missing = [i for i in study.slices if not np.isfinite(values[i][study.mask[i]]).any()]
        if not missing or len(missing) == len(study.slices):
            continue
        for i in missing:
            study.excluded[i] = f"{role.title} has no slice there"
        said = ("was left out: {} has no slice there" if len(missing) == 1 else
                "were left out: {} has no slices there").format(role.title)
        study.warnings.append(f"{named_slices(missing)} {said}")
    for sequence in study.sequences.values():
        lacking = [i for i in study.excluded if study.mask[i].any()
                   and not np.isfinite(sequence.values[i][study.mask[i]]).any()]
        if lacking:
            sequence.values = sequence.values.copy()
            sequence.values[lacking] = 0
