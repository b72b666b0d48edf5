"""The chosen stacks of an examination as a study folder (see `study_folder`)."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import IMAGE_SUFFIXES, sha256, together
from deepgmm.progress import Progress, silent
from deepgmm.reading.dicom.choice import Choice, Entry
from deepgmm.reading.dicom.meaning import Type
from deepgmm.reading.dicom.pixels import Volume, volume_of
from deepgmm.reading.images.cine import median_trigger
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.images.phases import Phase, asked_for, nearest_in_time, parse_phase, tells
from deepgmm.reading.masks.labelmap import write_image
from deepgmm.reading.studies.study_folder import (
    FORMAT,
    NAME,
    VERSION,
    is_study_folder,
    read_description,
)
from deepgmm.study.kinds import Guess, agreed
from deepgmm.study.words import Kind, Role

if TYPE_CHECKING:
    from deepgmm.reading.dicom.examination import Examination

#: Upper quartiles above this are tenths of a millisecond, as Siemens stores T2 maps: of what is
#: in a chest, little but fluid has a T2 of so many milliseconds.
_TENTHS = 300.0

#: Share of negative pixels above which LGE is signed, so PSIR.
_SIGNED = 0.02


def write_study_folder(
    examination: Examination, folder: str | os.PathLike[str], *,
    phase: int | str | None = None, identified: bool = False, suffix: str = ".nii.gz",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the chosen stacks of an examination; all files appear, or none.

    Files of an earlier import, as its study.json names them, go; others in the folder stay.

    `bssfp` is one frame of the cine: the one asked for, or nearest to LGE in the heartbeat; where
    the headers do not say when that was, it is left to `read_study_folder`, which has a mask.
    All frames are in `cine`.

    Parameters
    ----------
    phase : frame of the cine, counted from 0, or "match" to leave it to the mask.
    identified : put patient, dates and descriptions into study.json.
    suffix : one of `deepgmm.files.IMAGE_SUFFIXES`.

    Returns
    -------
    said : what study.json holds.

    Raises
    ------
    InputError
        Nothing to write, an image that cannot be decoded, or a folder that cannot be written to.
    """
    choice = examination.choice
    if choice.problem:
        raise InputError(choice.problem)
    if isinstance(parse_phase(phase), str):
        raise InputError(f"--phase {phase}: an examination says not which frame that is; "
                         "leave it out here, and say it to deepgmm segment with the contours")
    stale = _files_of(Path(folder))
    said: dict[str, Any] = {"format": FORMAT, "version": VERSION, "sequences": {}, "warnings": []}
    with together() as outputs:
        for done, (role, entry) in enumerate(choice.taken.items()):
            progress(done / len(choice.taken), f"reading {role.title}")
            volume = volume_of(entry.stack, whole=False)
            guess = _checked(role, entry, volume)
            said["warnings"] += [f"{role.title}: {w}" for w in volume.warnings]
            own = _described(entry, volume, guess)
            for name, values in _images(role, choice, volume, phase, own).items():
                own["cine" if name == "cine" else "file"] = name + suffix
                path = outputs.path(Path(folder) / f"{name}{suffix}", name)
                write_image(image_of(values, volume.geometry), path, name)
                own.setdefault("sha256", {})[name] = sha256(path)
            if identified:
                own["descriptions"] = sorted({f.description for f in entry.stack.frames})
            said["sequences"][role.value] = own
        said["warnings"] = [*choice.warnings, *said["warnings"]]
        said["remarks"] = examination.remarks
        said["left"] = [_left(entry) for entry in examination.entries if entry.role is None]
        if identified:
            said["identity"] = dict(examination.scan.identity)
        outputs.path(Path(folder) / NAME, NAME).write_text(
            json.dumps(said, indent=2, allow_nan=False, ensure_ascii=False) + "\n",
            encoding="utf-8")
    for name in stale - _named(said):
        with suppress(OSError):
            (Path(folder) / name).unlink()
    return said


def _files_of(folder: Path) -> set[str]:
    """Images of an earlier import into a folder."""
    try:
        return _named(read_description(folder)) if is_study_folder(folder) else set()
    except (InputError, AttributeError, TypeError):
        return set()  # damaged, and no file is removed on a guess


def _named(said: dict[str, Any]) -> set[str]:
    """The images that a study.json names, of the names that an import gives."""
    named = [own.get(key) for own in said["sequences"].values() for key in ("file", "cine")]
    names = [*(role.value for role in Role), "cine"]
    return {name + suffix for name in names for suffix in IMAGE_SUFFIXES if name + suffix in named}


def _images(role: Role, choice: Choice, volume: Volume, phase: int | str | None,
            own: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """What is written of a sequence, by file name; `own` is told of the frame."""
    if role is not Role.BSSFP or len(volume.values) == 1:
        if role is Role.BSSFP and parse_phase(phase) is not None:
            raise InputError("--phase: bSSFP has one frame; leave --phase out")
        return {role.value: volume.values[-1]}
    entry, lge = choice.taken[role], choice.taken.get(Role.LGE)
    interval = entry.stack.first.interval
    chosen = _phase(volume, phase, interval, None if lge is None else median_trigger(lge.stack))
    own["phase"] = None if chosen is None else chosen.as_dict()
    own["times_ms"] = [None if math.isnan(t) else t for t in volume.times]
    own["interval_ms"] = interval
    still = {} if chosen is None else {role.value: volume.values[chosen.frame]}
    return still | {"cine": volume.values}


def _checked(role: Role, entry: Entry, volume: Volume) -> Guess:
    """The kind by header and by what can be seen without a mask; maps in ms."""
    guess = Guess(entry.kind, entry.meaning.confidence, ", ".join(entry.meaning.reasons))
    if role is not Role.BSSFP and len(volume.values) > 1:
        volume.warnings.append(f"each slice has {len(volume.values)} images; the last was taken")
    if role is Role.LGE:
        below = float((volume.values < 0).mean())
        if below > _SIGNED:
            seen = agreed(guess, Guess(Kind.LGE_PSIR, min(0.95, 0.6 + 4 * below),
                                       "negative values"))
            if seen.kind is not guess.kind:
                volume.warnings.append("it has negative values and is taken for PSIR, whatever "
                                       "its header says: say --lge-kind if that is wrong")
            return seen
    if entry.meaning.type is Type.T2_MAP:
        positive = volume.values[volume.values > 0]
        if positive.size and np.percentile(positive, 75) > _TENTHS:
            volume.values = (volume.values / 10.0).astype(np.float32)
            volume.warnings.append("the map's values look like tenths of a millisecond and were "
                                   "divided by 10")
    return guess


def _phase(volume: Volume, said: int | str | None, interval: float | None,
           lge_time: float | None) -> Phase | None:
    """The frame, where it can be told without a mask."""
    number = parse_phase(said)
    if isinstance(number, int):
        return asked_for(number, len(volume.values))
    if said == "match" or lge_time is None or not tells(volume.times):
        return None
    return nearest_in_time(volume.times, lge_time, interval)


def _described(entry: Entry, volume: Volume, guess: Guess) -> dict[str, Any]:
    """What study.json says of a sequence; no word of the header itself."""
    return {
        "kind": guess.kind.value,
        "kind_confidence": round(guess.confidence, 3),
        "is": entry.meaning.title,
        "view": entry.view.value,
        "why": [*entry.meaning.reasons, f"{entry.view.value} {entry.view_reason}"],
        "series": list(entry.stack.numbers),
        "slices": [{"layer": layer, "along_mm": round(height, 4),
                    "moved_mm": [round(s, 4) for s in shift]}
                   for layer, height, shift in zip(volume.layers, volume.heights,
                                                   volume.shifts)],
        "trigger_ms": median_trigger(entry.stack),
    }


def _left(entry: Entry) -> dict[str, Any]:
    return {"series": list(entry.stack.numbers), "is": entry.meaning.title,
            "view": entry.view.value, "why": entry.why_left}
