"""From files to a study: one grid, a mask, kinds, hashes; nothing else is looked at."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.errors import InputError
from deepgmm.study.checks import check_study, parse_slices
from deepgmm.study.files import sha256, suffix_of
from deepgmm.study.grids import difference, on_grid_of, place
from deepgmm.study.images import read_image
from deepgmm.study.kinds import kind_from_description, parse_kind
from deepgmm.study.labelmap import geometry_of
from deepgmm.study.study import BoolArray, Sequence, Study
from deepgmm.study.words import Kind, Role

if TYPE_CHECKING:
    import SimpleITK

    PathLike = str | os.PathLike[str]

#: Below this share of the wall inside the mask, the mask is taken for the blood pool alone.
_POOL_SHARE = 0.1


@dataclass
class _Input:
    """One input on its way in; `name` is what messages call it."""

    name: str
    image: SimpleITK.Image
    hash: str
    description: str = ""
    warnings: list[str] = field(default_factory=list)


def read_study(
    *,
    bssfp: PathLike | None = None,
    lge: PathLike | None = None,
    t2: PathLike | None = None,
    mask: PathLike | None = None,
    wall: PathLike | None = None,
    bssfp_kind: Kind | str | None = None,
    lge_kind: Kind | str | None = None,
    t2_kind: Kind | str | None = None,
    slices: str | None = None,
    resample: bool = False,
) -> Study:
    """Read a study from files and check it.

    Parameters
    ----------
    bssfp, lge, t2 : NIfTI, NRRD or MetaImage files, or folders with one DICOM series each;
        at least one.
    mask : the LV mask, blood and wall together; every value but 0 is inside. A `.seg.nrrd`
        may cover a piece of the grid only.
    wall : myocardium, edema and scar together, where known apart; the study's mask is the
        union of mask and wall, so that `mask` may also be the blood pool alone.
    bssfp_kind, lge_kind, t2_kind : how the sequence was acquired, a `Kind` or its name with or
        without the sequence ("psir"); guessed by default.
    slices : the slices to fit, for instance "0,2-5", counted from 0; all by default.
    resample : bring everything onto the LGE grid (without LGE: bSSFP, then T2), linear for
        images, nearest for masks. Without it, different grids are an error.

    Returns
    -------
    study : on the mask's grid, checked (`deepgmm.study.checks.check_study`).

    Raises
    ------
    InputError
        A file that cannot be used, or files that do not belong together.

    Examples
    --------
    >>> study = read_study(bssfp="c0.nii.gz", lge="de.nii.gz", t2="t2.nii.gz",
    ...                    mask="lv.nii.gz", lge_kind="psir")              # doctest: +SKIP
    """
    paths = {role: path for role, path in zip(Role, (bssfp, lge, t2)) if path is not None}
    said = dict(zip(Role, (bssfp_kind, lge_kind, t2_kind)))
    if not paths:
        raise InputError("no sequence given: give at least one of bSSFP, LGE and T2")
    if mask is None:
        more = ("the wall alone does not say where the blood is; " if wall is not None else "")
        raise InputError(f"no LV mask given: {more}give the outline of the left ventricle, "
                         "blood and wall together")
    kinds = {role: parse_kind(role, said[role]) for role in paths}
    images = {role: _sequence(path, role.title) for role, path in paths.items()}
    for one, other in itertools.combinations(images, 2):
        if images[one].hash == images[other].hash:
            raise InputError(f"{one.title} and {other.title} are the same file: "
                             "give each sequence its own")
    masks = {"LV mask": _mask(mask, "LV mask")}
    if wall is not None:
        masks["wall"] = _mask(wall, "wall")

    warnings = [w for i in (*images.values(), *masks.values()) for w in i.warnings]
    grid = next(images[r] for r in (Role.LGE, Role.BSSFP, Role.T2) if r in images)
    for part, path in zip(masks.values(), (mask, wall)):
        # Slicer saves only the box that holds something; this loses nothing and moves nothing.
        if path is not None and suffix_of(path) == ".seg.nrrd":
            part.image = place(part.image, grid.image)
    if resample:
        warnings += _resample(grid, [*images.values(), *masks.values()])
    _check_one_grid(masks["LV mask"], [*images.values(), *masks.values()])

    inside = _inside(masks["LV mask"])
    wall_inside = _inside(masks["wall"]) if wall is not None else None
    if wall_inside is not None:
        inside, more_warnings = _union(inside, wall_inside)
        warnings += more_warnings
    study = Study(
        sequences={role: Sequence(role, _values(images[role]), Kind.UNKNOWN) for role in images},
        mask=inside,
        geometry=geometry_of(masks["LV mask"].image),
        wall=wall_inside,
        warnings=warnings,
        hashes={**{role.value: images[role].hash for role in images},
                "mask": masks["LV mask"].hash,
                **({"wall": masks["wall"].hash} if wall is not None else {})},
    )
    if slices is not None:
        wanted = parse_slices(slices, inside.shape[0])
        study.excluded = {i: "left out by --slices" for i in range(inside.shape[0])
                          if i not in wanted}
    for role, kind in kinds.items():
        study.sequences[role].kind = (
            kind or kind_from_description(role, images[role].description) or Kind.UNKNOWN)
    check_study(study, guess=[role for role, kind in kinds.items()
                              if kind is None and study.sequences[role].kind is Kind.UNKNOWN])
    return study


def _sequence(path: PathLike, name: str) -> _Input:
    image, warnings, description = read_image(path, name)
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"the {name} file has several values a voxel (colour, vector or complex "
                         "numbers): give one grey value a voxel")
    return _Input(name, image, sha256(path), description, warnings)


def _mask(path: PathLike, name: str) -> _Input:
    """A mask as an image of 0 and 1, of whatever type and number of layers it came."""
    import SimpleITK as sitk

    image, warnings, _ = read_image(path, name)
    values = sitk.GetArrayFromImage(image)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        raise InputError(f"the {name} holds NaN or infinite values: save it as whole numbers")
    inside = values != 0
    if inside.ndim == 4:
        if suffix_of(path) != ".seg.nrrd":
            raise InputError(f"the {name} has {inside.shape[3]} values a voxel, wanted 1")
        inside = inside.any(axis=3)
    plain = sitk.GetImageFromArray(inside.astype(np.uint8))
    plain.CopyInformation(image)
    return _Input(name, plain, sha256(path), "", warnings)


def _resample(grid: _Input, parts: list[_Input]) -> list[str]:
    """Bring all onto `grid`, in place; returns what a user must know."""
    warnings = []
    for part in parts:
        if not difference(grid.image, part.image):
            continue
        # Every mask of the house ends in one of these two words.
        is_mask = part.name.endswith(("mask", "wall"))
        part.image = on_grid_of(part.image, grid.image, is_mask=is_mask, name=part.name)
        how = "nearest voxel" if is_mask else "linear"
        warnings.append(f"{part.name} was resampled onto the {grid.name} grid ({how})")
    return warnings


def _check_one_grid(reference: _Input, parts: list[_Input]) -> None:
    for part in parts:
        what = difference(reference.image, part.image)
        if what:
            raise InputError(f"{part.name} and {reference.name} lie on different grids: {what}; "
                             "give them on one grid, or add --resample")


def _inside(part: _Input) -> BoolArray:
    import SimpleITK as sitk

    return np.asarray(sitk.GetArrayFromImage(part.image) > 0)


def _values(part: _Input) -> np.ndarray:
    import SimpleITK as sitk

    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is seen
        return sitk.GetArrayFromImage(part.image).astype(np.float32)


def _union(inside: BoolArray, wall: BoolArray) -> tuple[BoolArray, list[str]]:
    """Mask and wall together, and what a user must know about how they lie."""
    if not wall.any():
        raise InputError("the wall is empty: give myocardium, edema and scar together, "
                         "or leave --wall out")
    union = inside | wall
    outside = int((wall & ~inside).sum())
    warnings = []
    if outside and inside.any():
        if (wall & inside).sum() < _POOL_SHARE * wall.sum():
            warnings.append("the LV mask holds almost nothing of the wall, so it is taken for the "
                            "blood pool, and the two together for the left ventricle")
        else:
            warnings.append(f"the wall sticks out of the LV mask by {outside} pixels; "
                            "they were added to the mask: see whether both are of this patient")
    if inside.any() and not (union & ~wall).any():
        warnings.append("the wall fills the LV mask and leaves no blood pool: "
                        "see whether --wall and --mask were exchanged")
    return union, warnings
