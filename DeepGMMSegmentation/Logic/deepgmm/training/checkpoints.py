"""Where a training stands, on disk: safetensors and JSON, two generations.

A checkpoint is a file of tensors and a file of words. The words are written last and hold the
hash of the tensors, so that a training that is killed at any moment leaves a whole checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from deepgmm.errors import InputError
from deepgmm.files import read_json, unwritable, write_whole

#: Of the checkpoints' format.
VERSION = 1
#: How many are kept.
GENERATIONS = 2

_FOLDER = "checkpoints"


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stood.

    Attributes
    ----------
    step : steps taken.
    tensors : network, optimiser and best network, by name.
    words : all else, JSON values.
    """

    step: int
    tensors: dict[str, Tensor]
    words: dict[str, Any]

    def check(self) -> None:
        """See that the words say all that a training goes on from.

        Raises
        ------
        InputError : they do not.
        """
        words, best = self.words, self.words.get("best")
        seconds = words.get("seconds")
        if not (isinstance(words.get("settings"), dict) and isinstance(words.get("data"), str)
                and type(words.get("waited")) is int and words["waited"] >= 0
                and isinstance(seconds, (int, float)) and 0 <= seconds < 1e12
                and isinstance(best, dict)
                and (not best or type(best.get("step")) is int
                     and isinstance(best.get("validation"), dict)
                     and isinstance(best["validation"].get("loss"), float))):
            raise InputError("the checkpoint in the model folder is damaged; begin anew with "
                             "--force, or in another folder")


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into a model folder and let the oldest go, and whatever came after it.

    Raises
    ------
    InputError
        It cannot be written; the older ones are as they were.
    """
    from safetensors.torch import save as serialised

    place = folder / _FOLDER
    data = serialised({name: t.detach().cpu().contiguous()
                       for name, t in checkpoint.tensors.items()})
    words = {"version": VERSION, "step": checkpoint.step, **checkpoint.words}
    words["sha256"] = _hash(data, words)
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(error, "checkpoint") from error
    write_whole(_tensors(place, checkpoint.step), data, "checkpoint")
    write_whole(_words(place, checkpoint.step), json.dumps(words, indent=1).encode(), "checkpoint")
    _forget(place, checkpoint.step)


def newest(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint of a model folder that is whole; None where there is none.

    Parameters
    ----------
    say : takes a warning where a newer one is damaged.

    Raises
    ------
    InputError : all of them are damaged, or of another version of this program.
    """
    place = folder / _FOLDER
    steps = _steps(place)
    for step in steps:
        found = _read(place, step)
        if isinstance(found, Checkpoint):
            if step != steps[0]:
                say(f"the checkpoint of step {steps[0]} is damaged: that of step {step} is used")
            return found
    if steps:
        raise InputError("no checkpoint in the model folder can be used: " + str(found)
                         + "; begin anew with --force, or in another folder")
    return None


def exist(folder: Path) -> bool:
    """Whether a model folder holds a training that has not ended."""
    return bool(_steps(folder / _FOLDER))


def remove(folder: Path) -> None:
    """Remove all checkpoints of a model folder."""
    place = folder / _FOLDER
    if place.is_dir():
        _forget(place, -1)
    with suppress(OSError):
        place.rmdir()


def _read(place: Path, step: int) -> Checkpoint | str:
    """A checkpoint, or what is wrong with it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        words = read_json(_words(place, step))
        if words["version"] != VERSION:
            return "they are of another version of this program"
        data = _tensors(place, step).read_bytes()
        if words.pop("sha256") != _hash(data, words):
            return "they are damaged"
        if type(words["step"]) is not int or words["step"] != step:
            return "they are damaged"
        own = {name: value for name, value in words.items() if name not in ("version", "step")}
        return Checkpoint(words["step"], load(data), own)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError):
        return "they are damaged"


def _hash(data: bytes, words: dict[str, Any]) -> str:
    """Of tensors and words together."""
    return hashlib.sha256(data + json.dumps(words, sort_keys=True).encode()).hexdigest()


def _steps(place: Path) -> list[int]:
    """Steps of the checkpoints whose words are there, newest first."""
    names = [path.stem.removeprefix("step-") for path in place.glob("step-*.json")]
    return sorted((int(name) for name in names if name.isdigit()), reverse=True)


def _forget(place: Path, newest: int) -> None:
    """Leave the newest generations up to a step, and nothing that a killed process left."""
    kept = [step for step in _steps(place) if step <= newest][:GENERATIONS]
    whole = {path for step in kept for path in (_words(place, step), _tensors(place, step))}
    for path in place.iterdir():
        if path not in whole and path.name.startswith(("step-", ".deepgmm-")):
            with suppress(OSError):
                path.unlink()


def _words(place: Path, step: int) -> Path:
    return place / f"step-{step:07d}.json"


def _tensors(place: Path, step: int) -> Path:
    return place / f"step-{step:07d}.safetensors"
