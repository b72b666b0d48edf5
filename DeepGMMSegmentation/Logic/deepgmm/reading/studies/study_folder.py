"""A study folder: an image a sequence, and study.json, which says what each is and where from."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import IMAGE_SUFFIXES, read_json, sha256
from deepgmm.reading.contours.drawn_on import DrawnFrames, drawn_frames, names_images
from deepgmm.reading.images.cine import ImageInMemory, images_in, read_cine, still_of
from deepgmm.reading.images.grids import difference, geometry_of, image_of
from deepgmm.reading.images.image import read_image
from deepgmm.reading.images.phases import parse_phase
from deepgmm.reading.masks.frames import labelled_frames
from deepgmm.reading.masks.lv_mask import draw_mask
from deepgmm.reading.studies.from_files import ONE_FRAME, read_images, read_study
from deepgmm.reading.studies.study_json import is_sound
from deepgmm.study.kinds import LEAST_CONFIDENCE, Guess, agreed, guess_kind, parse_kind, short_name
from deepgmm.study.slice_positions import at_positions, distance_warning, same_places
from deepgmm.study.study import Study
from deepgmm.study.words import GRID_ORDER, Kind, Role, grid_role

if TYPE_CHECKING:
    import SimpleITK

    from deepgmm.reading.images.cine import Draw

    PathLike = str | os.PathLike[str]

NAME, FORMAT, VERSION = "study.json", "deepgmm study", 1

#: How import's warning begins that is of the folder's own mask.
_OF_OWN_MASK = "the study folder has a mask already"


@dataclass
class _Stack:
    """A sequence as it lies in the folder.

    Attributes
    ----------
    places : where each slice was acquired, mm along the normal from the origin; NaN for those
        that were not.
    """

    role: Role
    image: SimpleITK.Image
    places: npt.NDArray[np.float64]
    hash: str


def is_study_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder was written by `write_study_folder`."""
    return (Path(path) / NAME).is_file()


def read_description(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What study.json says.

    Raises
    ------
    InputError
        No such file, or one that is damaged or of a later version.
    """
    try:
        said = read_json(Path(folder) / NAME)
        right = said["format"] == FORMAT
    except NotADirectoryError:
        raise InputError("--study is a file: give the folder made by deepgmm import") from None
    except FileNotFoundError:
        if not Path(folder).is_dir():
            raise InputError("the study folder was not found: check the path given to "
                             "--study") from None
        raise InputError(f"the study folder has no {NAME}: give a folder made by "
                         "deepgmm import") from None
    except (OSError, ValueError, KeyError, TypeError):
        right, said = False, {}
    if not right:
        raise InputError(f"the study folder's {NAME} is damaged: import the examination again")
    if type(said.get("version")) is int and said["version"] > VERSION:
        raise InputError("the study folder was made by a later version: update deepgmm, or "
                         "import the examination again")
    if not is_sound(said):
        raise InputError(f"the study folder's {NAME} is damaged: import the examination again")
    known = {role.value for role in Role}  # another version may know more
    return {**said, "sequences": {role: own for role, own in said["sequences"].items()
                                  if role in known}}


def read_study_folder(
    folder: PathLike, *,
    mask: PathLike | None = None,
    phase: int | str | None = None,
    mask_labels: str | None = None,
    mask_dicom: PathLike | None = None,
    **others: Any,
) -> Study:
    """Read a study folder as a study, checked: slices matched by position, not by number.

    Everything is brought onto LGE's slices (without LGE: bSSFP's, then T2's): for each of them
    the nearest slice of each other sequence, by where it was acquired and not by where an even
    grid has it (`deepgmm.study.slice_positions`). A slice that a sequence lacks is left out. Of
    a cine the frame chosen at import is taken, unless `phase` says otherwise; where none was
    chosen, that which fits the mask.

    Parameters
    ----------
    mask : the LV mask; by default the folder's own file called mask, of any image format.
    phase, mask_labels, mask_dicom, others : as `deepgmm.reading.studies.from_files.read_study`.

    Raises
    ------
    InputError
        As `read_study`, and a folder that is none or is damaged.

    Examples
    --------
    >>> study = read_study_folder("patient", mask="lv.nii.gz")             # doctest: +SKIP
    """
    source, said = Path(folder), read_description(folder)
    told = [str(w) for w in said.get("warnings", [])
            if mask is None or not str(w).startswith(_OF_OWN_MASK)]
    mask = _own_mask(source) if mask is None else mask
    provenance: dict[str, Any] = {"import": _provenance(said)}

    folders = [] if mask_dicom is None else [mask_dicom]
    frames = _drawn(said["sequences"].get(Role.BSSFP.value) or {}, mask, folders)
    leave: frozenset[str] = frozenset()
    frame: int | None = None

    def draw(image: SimpleITK.Image) -> tuple[SimpleITK.Image, SimpleITK.Image | None]:
        drawn = draw_mask(mask, image, convention=mask_labels, dicom=folders)
        return drawn.mask, drawn.wall

    images, chosen, warnings = _images(source, said["sequences"], phase, draw, frames.areas)
    if chosen:
        provenance["bssfp_phase"] = chosen
        frame = int(chosen["frame"])
        leave = frames.left_out(frame, grid_role([Role(r) for r in said["sequences"]])
                                is Role.BSSFP)
    kinds = {r: _kind(r, said["sequences"][r], others.pop(f"{r}_kind", None)) for r in images}
    study = read_study(
        **images, **{f"{role}_kind": kind for role, kind in kinds.items()},  # type: ignore[arg-type]
        mask=mask, mask_labels=mask_labels, mask_dicom=mask_dicom, resample=True, leave=leave,
        frame=frame, **others)
    study.warnings = [*dict.fromkeys([*told, *warnings, *study.warnings,
                                      *_second_thoughts(study, said)])]
    study.provenance |= provenance
    return study


def read_folder_images(folder: PathLike, *, phase: int | str | None = None) -> Study:
    """A study folder's images with an LV mask that is still empty, to propose one for; on the grid
    of `read_study_folder`.

    Of a cine the frame chosen at import is taken, unless `phase` is a number; where none was
    chosen, as `deepgmm.reading.studies.from_files.read_images`.

    Raises
    ------
    InputError : as `read_images`, and a folder that is none or is damaged.
    """
    source, said = Path(folder), read_description(folder)
    cine = (said["sequences"].get(Role.BSSFP.value) or {}).get("cine")
    if parse_phase(phase) is not None and not cine:
        raise InputError(ONE_FRAME)
    images, chosen, warnings = _images(source, said["sequences"], phase, None, {})
    bssfp, lge, t2 = (images.get(role.value) for role in (Role.BSSFP, Role.LGE, Role.T2))
    study = read_images(bssfp=bssfp, lge=lge, t2=t2, resample=True)
    told = [str(w) for w in said.get("warnings", []) if not str(w).startswith(_OF_OWN_MASK)]
    study.warnings = [*dict.fromkeys([*told, *warnings, *study.warnings])]
    study.provenance |= {"import": _provenance(said)} | ({"bssfp_phase": chosen} if chosen else {})
    for role, sequence in study.sequences.items():
        kind = _kind(role.value, said["sequences"][role.value], None)
        sequence.kind = parse_kind(role, kind) or sequence.kind
    return study


def _images(source: Path, sequences: dict[str, Any], phase: int | str | None, draw: Draw | None,
            drawn: dict[int, float]
            ) -> tuple[dict[str, ImageInMemory], dict[str, Any] | None, list[str]]:
    """A folder's images on one grid's slices, of its cine the frame that was taken, and warnings;
    as `still_of`."""
    stacks, frame = [], None
    warnings: list[str] = []
    for role in Role:
        own = sequences.get(role.value)
        if own:
            lge_time = sequences.get("lge", {}).get("trigger_ms")
            image, digest, chosen, more = _image(source, role, own, phase, draw, lge_time, drawn)
            warnings += more
            stacks.append(_stack(role, own, image, digest))
            frame = chosen or frame
    grid = min(stacks, key=lambda s: GRID_ORDER.index(s.role))
    return {s.role.value: _matched(s, grid, warnings) for s in stacks}, frame, warnings


def _drawn(own: dict[str, Any], mask: PathLike, folders: list[PathLike]) -> DrawnFrames:
    """The frames of the folder's cine that contours or labels were drawn on."""
    count = len(own.get("times_ms") or ())
    if not own.get("cine"):
        return DrawnFrames()
    if not folders or not names_images(mask):
        return labelled_frames(mask, count)
    return drawn_frames(mask, images_in(folders, count, own.get("series") or ()), folders)


def _own_mask(folder: Path) -> Path:
    for suffix in (".seg.nrrd", *IMAGE_SUFFIXES):
        if (folder / f"mask{suffix}").is_file():
            return folder / f"mask{suffix}"
    raise InputError("no LV mask given, and the study folder has no file called mask: draw the "
                     "left ventricle on LGE and give it with --mask")


def _provenance(said: dict[str, Any]) -> dict[str, Any]:
    """What of study.json goes into a report: no identity, whoever asked for it in the folder."""
    kept = ("kind", "kind_confidence", "is", "why", "series", "slices")
    return {role: {key: own[key] for key in kept if key in own}
            for role, own in said["sequences"].items()}


def _image(source: Path, role: Role, own: dict[str, Any], phase: int | str | None,
           draw: Draw | None, lge_time: float | None, drawn: dict[int, float]
           ) -> tuple[SimpleITK.Image, str, dict[str, Any] | None, list[str]]:
    """A sequence's image, its file's hash, of a cine the frame that was taken, and warnings."""
    if own.get("cine") and (phase is not None or drawn or not own.get("file")):
        cine = read_cine(source / own["cine"])
        if cine is None:
            raise InputError("the study folder's cine is missing or damaged: import the "
                             "examination again")
        cine.times = [math.nan if t is None else t for t in own["times_ms"]]
        cine.interval = own.get("interval_ms")
        still, chosen = still_of(cine, phase, draw, lge_time, drawn)
        return still.image, still.hash, chosen.as_dict(), still.warnings
    path = source / str(own.get("file"))
    image, _, _ = read_image(path, role.title)
    return image, sha256(path), own.get("phase"), []


def _stack(role: Role, own: dict[str, Any], image: SimpleITK.Image, digest: str) -> _Stack:
    import SimpleITK as sitk

    places = np.full(image.GetSize()[2], np.nan)
    try:
        for one in own["slices"]:
            places[int(one["layer"])] = float(one["along_mm"])
    except (KeyError, TypeError, ValueError, IndexError):
        raise InputError(f"the study folder's {NAME} and its {role.title} do not belong "
                         "together: import the examination again") from None
    if np.isnan(places).any():  # what was not acquired is no dark slice
        values = sitk.GetArrayFromImage(image).astype(np.float32)
        values[np.isnan(places)] = np.nan
        image = image_of(values, geometry_of(image))
    return _Stack(role, image, places, digest)


def _kind(role: str, own: dict[str, Any], said: Kind | str | None) -> Kind | str | None:
    """The kind that the user said, else that of the header where it is sure enough."""
    if said not in (None, "auto"):
        return said
    known = own.get("kind") in {k.value for k in Kind if k is not Kind.UNKNOWN}
    return own["kind"] if known and own.get("kind_confidence", 0) >= LEAST_CONFIDENCE else None


def _matched(part: _Stack, grid: _Stack, warnings: list[str]) -> ImageInMemory:
    """A sequence on the slices of another."""
    image = part.image
    same = not difference(grid.image, image) and same_places(part.places, grid.places)
    if part is not grid and not same:
        found = at_positions(image, grid.image, places=part.places, grid_places=grid.places)
        if found is not None:
            image, distance = found
            warnings.append(distance_warning(part.role.title, grid.role.title, distance))
    return ImageInMemory(image, part.hash)


def _second_thoughts(study: Study, said: dict[str, Any]) -> list[str]:
    """Where header and image disagree on a kind, and the image seems surer."""
    found = []
    fitted = study.mask.copy()
    fitted[list(study.excluded)] = False  # a slice that is not there is no dark one
    for role, sequence in study.sequences.items():
        own = said["sequences"][role.value]
        if role is Role.BSSFP or sequence.kind.value != own.get("kind"):
            continue
        header = Guess(sequence.kind, float(own.get("kind_confidence", 0)), "by its header")
        kind, confidence = guess_kind(role, sequence.values, fitted)
        both = agreed(header, Guess(kind, confidence, "by its looks"))
        if both.kind is not sequence.kind:
            found.append(f"{role.title} is {short_name(sequence.kind)} by its header, but looks "
                         f"like {short_name(kind)}: say --{role.value}-kind if that is so")
    return found
