"""From files to a study: one grid, a mask, kinds, hashes; nothing else is looked at."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.files import IMAGE_SUFFIXES, sha256, suffix_of
from deepgmm.reading.contours.drawn_on import drawn_frames, names_images
from deepgmm.reading.conventions import PLAIN
from deepgmm.reading.images.cine import (
    ImageInMemory,
    images_in,
    read_cine,
    still_of,
    trigger_time,
)
from deepgmm.reading.images.grids import (
    check_shown,
    difference,
    geometry_of,
    on_grid_of,
    overlap_warnings,
    place,
)
from deepgmm.reading.images.image import read_image
from deepgmm.reading.images.phases import parse_phase, tells
from deepgmm.reading.images.places import axes_of_file
from deepgmm.reading.masks.frames import labelled_frames
from deepgmm.reading.masks.lv_mask import draw_mask
from deepgmm.study.checks import check_study, parse_slices
from deepgmm.study.kinds import kind_from_description, parse_kind
from deepgmm.study.levels import counted
from deepgmm.study.slice_positions import at_positions, distance_warning, leave_out_unreached
from deepgmm.study.study import BoolArray, Sequence, Study
from deepgmm.study.words import Kind, Role, grid_role

if TYPE_CHECKING:
    import SimpleITK

    PathLike = str | os.PathLike[str]
    Source = PathLike | ImageInMemory

#: Files whose axes may be in another order than ours.
_IMAGES = (*IMAGE_SUFFIXES, ".seg.nrrd", ".mhd", ".nhdr", ".hdr")

#: Below this share of the wall inside the mask, the mask is taken for the blood pool alone.
_POOL_SHARE = 0.1

ONE_FRAME = "--phase: bSSFP has one frame; leave --phase out, or give the cine"


@dataclass
class _Input:
    """One input on its way in; `name` is what messages call it."""

    name: str
    image: SimpleITK.Image
    hash: str
    description: str = ""
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)


def read_study(
    *,
    bssfp: Source | None = None,
    lge: Source | None = None,
    t2: Source | None = None,
    mask: PathLike | None = None,
    wall: PathLike | None = None,
    bssfp_kind: Kind | str | None = None,
    lge_kind: Kind | str | None = None,
    t2_kind: Kind | str | None = None,
    mask_labels: str | None = None,
    mask_dicom: PathLike | None = None,
    slices: str | None = None,
    resample: bool | None = False,
    phase: int | str | None = None,
    leave: frozenset[str] = frozenset(),
    frame: int | None = None,
) -> Study:
    """Read a study from files and check it.

    Parameters
    ----------
    bssfp, lge, t2 : NIfTI, NRRD or MetaImage files, or folders with one DICOM series each;
        at least one. bSSFP may be a cine, of which one frame is taken.
    mask : the LV mask, blood and wall together, in any format that
        `deepgmm.reading.masks.lv_mask.read_mask` takes; every value but 0 is inside unless
        the labels are those of someone else. A `.seg.nrrd` may cover a piece of the grid only.
    wall : myocardium, edema and scar together, where known apart; the study's mask is the
        union of mask and wall, so that `mask` may also be the blood pool alone.
    bssfp_kind, lge_kind, t2_kind : how the sequence was acquired, a `Kind` or its name with or
        without the sequence ("psir"); guessed by default.
    mask_labels : what the values of the mask mean (`deepgmm.reading.conventions`); where said, its
        wall is used as if given by `wall`.
    mask_dicom : the DICOM images that cvi42's contours were drawn on; by default the sequences
        that are given as folders.
    slices : the slices to fit, for instance "0,2-5", counted from 0; all by default.
    resample : bring everything onto the LGE grid (without LGE: bSSFP, then T2), linear for
        images, nearest for masks; a parallel stack of thick slices at other positions gives
        each slice its nearest one, and slices that it does not reach are left out. Without it,
        different grids are an error, whose message offers it unless this is None.
    phase : the frame of a bSSFP cine, counted from 0; "ed" or "es" for end diastole or end systole
        among those that contours were drawn on; or "match" for the one whose edges fit the mask
        best. By default that which contours name; else that nearest to LGE in the heartbeat,
        where both say when they were acquired; else as "match".
    leave : images whose contours are no part of the mask, as they are of other frames.
    frame : of a mask with frames of a cine the one that goes with a bSSFP of one frame; by default
        the only one that holds something.

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
        raise InputError(f"no LV mask given: {more}give the outline of the left ventricle, blood "
                         "and wall together, with --mask FILE (in Python mask=FILE), or let it "
                         "be proposed with --mask propose (in Python propose_mask)")
    if os.fspath(mask) == "propose" and not os.path.exists(mask):
        raise InputError("the mask is 'propose', which deepgmm segment alone understands: in "
                         "Python propose_mask(read_images(...)) proposes one, and with_proposal "
                         "puts it into the study")
    kinds = {role: parse_kind(role, said[role]) for role in paths}
    folders = [mask_dicom] if mask_dicom is not None else [
        path for path in paths.values()
        if not isinstance(path, ImageInMemory) and os.path.isdir(path)]
    provenance = {}
    cine = read_cine(bssfp) if isinstance(bssfp, (str, os.PathLike)) else None
    if cine is not None:
        shown = cine.images if cine.images or not names_images(mask) else images_in(
            folders, len(cine.values))
        frames = drawn_frames(mask, shown, folders)
        if not frames.areas:
            frames = labelled_frames(mask, len(cine.values))

        def draw(image: SimpleITK.Image) -> tuple[SimpleITK.Image, SimpleITK.Image | None]:
            drawn = _masks(mask, wall, _Input("bSSFP", image, ""), mask_labels, folders, leave)
            return drawn["LV mask"].image, drawn["wall"].image if "wall" in drawn else None

        paths[Role.BSSFP], chosen = still_of(cine, phase, draw, trigger_time(lge),
                                                 frames.areas)
        leave = frames.left_out(chosen.frame, grid_role(paths) is Role.BSSFP)
        frame = chosen.frame
        provenance["bssfp_phase"] = chosen.as_dict()
    elif parse_phase(phase) is not None:
        raise InputError(ONE_FRAME)
    images = {role: _sequence(path, role.title) for role, path in paths.items()}
    for one, other in itertools.combinations(images, 2):
        if images[one].hash == images[other].hash:
            raise InputError(f"{one.title} and {other.title} are the same file: "
                             "give each sequence its own")
        if _same_voxels(images[one], images[other]):
            raise InputError(f"{one.title} and {other.title} hold the same voxels: "
                             "give each sequence its own image")
    grid = images[grid_role(images)]
    masks = _masks(mask, wall, grid, mask_labels, folders, leave, frame)

    warnings = [w for i in (*images.values(), *masks.values()) for w in i.warnings]
    for part, path in zip(masks.values(), (mask, wall)):
        # Slicer saves only the box that holds something; this loses nothing and moves nothing.
        if path is not None and suffix_of(path) == ".seg.nrrd":
            part.image = place(part.image, grid.image)
    if resample:
        warnings += _resample(grid, [*images.values(), *masks.values()])
    _check_one_grid(masks["LV mask"], [*images.values(), *masks.values()],
                    offer=resample is not None)

    inside = _inside(masks["LV mask"])
    wall_inside = _inside(masks["wall"]) if "wall" in masks else None
    if wall_inside is not None:
        inside, more_warnings = _union(inside, wall_inside)
        warnings += more_warnings
    study = Study(
        sequences={role: Sequence(role, _values(images[role]), Kind.UNKNOWN) for role in images},
        mask=inside,
        geometry=geometry_of(masks["LV mask"].image),
        wall=wall_inside,
        warnings=warnings,
        provenance=provenance | masks["LV mask"].provenance,
        hashes={**{role.value: images[role].hash for role in images},
                "mask": masks["LV mask"].hash,
                **({"wall": masks["wall"].hash} if wall is not None else {})},
        file_axes=_file_axes(mask, paths[grid_role(images)]),
    )
    if slices is not None:
        wanted = parse_slices(slices, inside.shape[0])
        study.excluded = {i: "left out by --slices" for i in range(inside.shape[0])
                          if i not in wanted}
    for role, kind in kinds.items():
        study.sequences[role].kind = (
            kind or kind_from_description(role, images[role].description) or Kind.UNKNOWN)
    with counted(study.mask):
        leave_out_unreached(study)
        check_study(study, guess=[role for role, kind in kinds.items()
                                  if kind is None and study.sequences[role].kind is Kind.UNKNOWN])
    return study


def read_images(*, bssfp: Source | None = None, lge: Source | None = None,
                t2: Source | None = None, resample: bool = False,
                phase: int | str | None = None) -> Study:
    """A study of images whose LV mask is still empty, to propose one for; as `read_study`.

    Of a cine without a `phase` that is a number the frame nearest to LGE in the heartbeat is taken,
    where both say when they were acquired, else the first. Kinds that no header
    says are unknown: set them in `sequences`, or `deepgmm.with_proposal` guesses them.

    Raises
    ------
    InputError : a file that cannot be used, or files on different grids.
    """
    paths = {role: path for role, path in zip(Role, (bssfp, lge, t2)) if path is not None}
    if not paths:
        raise InputError("no sequence given: give at least one of bSSFP, LGE and T2")
    provenance = {}
    cine = read_cine(bssfp) if isinstance(bssfp, (str, os.PathLike)) else None
    if cine is not None:
        time = trigger_time(lge) if phase is None and tells(cine.times) else None
        paths[Role.BSSFP], chosen = still_of(cine, phase, None, time)
        provenance["bssfp_phase"] = chosen.as_dict()
    elif parse_phase(phase) is not None:
        raise InputError(ONE_FRAME)
    images = {role: _sequence(path, role.title) for role, path in paths.items()}
    grid = images[grid_role(images)]
    warnings = [w for i in images.values() for w in i.warnings]
    # what lies outside an image that is resampled holds no number either, which is no fault
    unknown = {role: int((~np.isfinite(_values(one))).sum()) for role, one in images.items()}
    if resample:
        warnings += _resample(grid, list(images.values()))
    _check_one_grid(grid, list(images.values()))
    sequences = {role: Sequence(role, _values(one), kind_from_description(role, one.description)
                                or Kind.UNKNOWN) for role, one in images.items()}
    warnings += [f"{role.title} has {count} voxels that are not numbers (NaN or infinite): see "
                 "whether the file is whole" for role, count in unknown.items() if count]
    shape = sequences[grid_role(images)].values.shape
    return Study(sequences, np.zeros(shape, bool), geometry_of(grid.image), warnings=warnings,
                 provenance=provenance,
                 hashes={role.value: one.hash for role, one in images.items()})


def _sequence(path: Source, name: str) -> _Input:
    if isinstance(path, ImageInMemory):
        return _Input(name, path.image, path.hash, "", path.warnings)
    image, warnings, description = read_image(path, name)
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"the {name} file has several values a voxel (colour, vector or complex "
                         "numbers): give one grey value a voxel")
    return _Input(name, image, sha256(path), description, warnings)


def _masks(mask: PathLike, wall: PathLike | None, grid: _Input, labels: str | None,
           folders: list[PathLike], leave: frozenset[str], frame: int | None = None
           ) -> dict[str, _Input]:
    """LV mask and wall as images of 0 and 1, of whatever type and number of layers they came."""
    drawn = draw_mask(mask, grid.image, convention=labels, dicom=folders, leave=leave, frame=frame)
    masks = {"LV mask": _Input("LV mask", drawn.mask, sha256(mask), "", drawn.warnings,
                               drawn.provenance)}
    if wall is not None:
        own = draw_mask(wall, grid.image, convention=PLAIN, dicom=folders, name="wall",
                        leave=leave, frame=frame)
        masks["wall"] = _Input("wall", own.mask, sha256(wall), "", own.warnings)
        if drawn.wall is not None:
            drawn.warnings.append("the wall is taken from --wall, not from the LV mask's labels")
    elif drawn.wall is not None:
        masks["wall"] = _Input("wall", drawn.wall, masks["LV mask"].hash)
    return masks


def _resample(grid: _Input, parts: list[_Input]) -> list[str]:
    """Bring all onto `grid`, in place; returns what a user must know."""
    warnings = []
    for part in parts:
        if not difference(grid.image, part.image):
            continue
        # Every mask of the house ends in one of these two words.
        is_mask = part.name.endswith(("mask", "wall"))
        if is_mask:
            warnings += overlap_warnings(part.image, grid.image, part.name)
        before, matched = part.image, None if is_mask else at_positions(part.image, grid.image)
        if matched is not None:
            part.image, distance = matched
            warnings.append(distance_warning(part.name, grid.name, distance))
        else:
            part.image = on_grid_of(part.image, grid.image, is_mask=is_mask, name=part.name)
            how = "nearest voxel" if is_mask else "linear"
            warnings.append(f"{part.name} was resampled onto the {grid.name} grid ({how})")
        if not is_mask:
            check_shown(before, part.image, grid.image, part.name, grid.name)
    return warnings


def _file_axes(mask: PathLike, grid: Source) -> tuple[int, int, int]:
    """The order of axes of the mask's file; of the images' where contours say the mask."""
    for path in (mask, grid):
        if isinstance(path, (str, os.PathLike)) and suffix_of(path) in _IMAGES:
            return axes_of_file(path)
    return 0, 1, 2


def _check_one_grid(reference: _Input, parts: list[_Input], *, offer: bool = True) -> None:
    for part in parts:
        what = difference(reference.image, part.image)
        if what:
            why = [w for w in {*part.warnings, *reference.warnings} if "qform" in w][:1]
            raise InputError("; ".join([
                f"{part.name} and {reference.name} lie on different grids: {what}", *why,
                "give them on one grid" + (", or add --resample" if offer else "")]))


def _inside(part: _Input) -> BoolArray:
    import SimpleITK as sitk

    return np.asarray(sitk.GetArrayFromImage(part.image) > 0)


def _same_voxels(one: _Input, other: _Input) -> bool:
    """Whether two files are one image, whatever format each is in."""
    import SimpleITK as sitk

    if one.image.GetSize() != other.image.GetSize():
        return False
    a, b = (sitk.GetArrayViewFromImage(part.image) for part in (one, other))
    return bool(a.min() < a.max()) and np.array_equal(a, b)  # that an image is blank is said later


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
