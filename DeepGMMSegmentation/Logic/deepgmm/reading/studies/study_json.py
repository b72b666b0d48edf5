"""Whether a study.json can be what an import wrote: every entry that is used, of its type."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from deepgmm.study.words import Role

#: No slice lies further away, mm.
_FAR = 1e5


def is_sound(said: Any) -> bool:
    """Whether all that `study_folder` looks at is there and of its type.

    What later versions add is not looked at, nor are entries that are only passed on.
    """
    if not isinstance(said, dict) or type(said.get("version", 0)) is not int:
        return False
    sequences = said.get("sequences")
    if not isinstance(sequences, dict) or not {role.value for role in Role} & set(sequences):
        return False
    if not _several(str)(said.get("warnings", [])):
        return False
    return all(isinstance(own, dict) and _is_sequence(own) for own in sequences.values())


def _is_sequence(own: dict[str, Any]) -> bool:
    files = [own.get(key) for key in ("file", "cine") if own.get(key) is not None]
    return (bool(files) and all(map(_is_name, files))
            and all(key not in own or right(own[key]) for key, right in _RIGHT.items())
            and ("cine" not in own or "times_ms" in own))


def _is_name(value: Any) -> bool:
    """Of a file in the folder itself."""
    return (isinstance(value, str) and value not in ("", ".", "..") and "\0" not in value
            and os.path.basename(value) == value and "\\" not in value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9


def _or_none(right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or right(value)


def _several(kind: type | Callable[[Any], bool]) -> Callable[[Any], bool]:
    def right(value: Any) -> bool:
        return isinstance(value, list) and all(
            isinstance(one, kind) if isinstance(kind, type) else kind(one) for one in value)
    return right


def _is_slice(value: Any) -> bool:
    return (isinstance(value, dict) and type(value.get("layer")) is int and value["layer"] >= 0
            and _is_number(value.get("along_mm")) and abs(value["along_mm"]) < _FAR)


_RIGHT: dict[str, Callable[[Any], bool]] = {
    "kind": lambda value: isinstance(value, str), "kind_confidence": _is_number,
    "slices": _several(_is_slice), "times_ms": _several(_or_none(_is_number)),
    "interval_ms": _or_none(_is_number), "trigger_ms": _or_none(_is_number),
    "phase": _or_none(lambda value: isinstance(value, dict)),
}
