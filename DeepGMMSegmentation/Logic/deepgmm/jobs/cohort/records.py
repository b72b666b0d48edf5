"""What is done already: a record with each case, one lock on the folder, nothing half."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deepgmm.detached import data_files
from deepgmm.errors import InputError
from deepgmm.files import held, read_json, sha256, write_whole
from deepgmm.jobs.cohort.cases import Case

RECORD, CASES = "record.json", "cases"
_FORMAT = "deepgmm cohort case"
_LOCK = ".deepgmm-lock"


def place_of(out: Path, pseudonym: str) -> Path:
    """The folder of a case's files."""
    return out / CASES / pseudonym


def record_of(out: Path, pseudonym: str) -> dict[str, Any] | None:
    """What is known of a finished case; None where there is nothing that is whole."""
    try:
        said = read_json(place_of(out, pseudonym) / RECORD)
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and said.get("format") == _FORMAT else None


def new_record(case: Case, plan_key: str, run: str, **more: Any) -> dict[str, Any]:
    """The record of a case whose files have just been made."""
    return {"format": _FORMAT, "case": case.pseudonym, "plan": plan_key, "run": run,
            "choices": case.choices, **more}


def is_done(case: Case, plan_key: str, out: Path) -> bool:
    """Whether a case's files are there, and its inputs are what they were made from.

    Inputs whose sizes, times and places on the disk are as they were are not read again; of others
    the hash decides.
    """
    record = record_of(out, case.pseudonym)
    if record is None or (record.get("plan"), record.get("choices")) != (plan_key, case.choices):
        return False
    folder = place_of(out, case.pseudonym)
    if not all((folder / str(name)).is_file() for name in record.get("files", ())):
        return False
    try:
        stamp = stamp_of(case)
        if record.get("stamp") == stamp:
            return True
        if record.get("inputs") != hashes_of(case):
            return False
    except (OSError, InputError):
        return False
    record["stamp"] = stamp
    with suppress(InputError):  # it costs time the next time, nothing else
        write_whole(folder / RECORD, encoded(record), "record")
    return True


def encoded(record: dict[str, Any]) -> bytes:
    """A record as the bytes of its file."""
    return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()


def stamp_of(case: Case) -> str:
    """Of sizes, times and places of all files that a case is read from; SHA-256.

    Raises
    ------
    OSError : one is not there.
    """
    digest = hashlib.sha256()
    for role, path in sorted(case.sources.items()):
        for file in _files(path):
            found = os.stat(file)
            said = (role, str(file), found.st_size, found.st_mtime_ns, found.st_ctime_ns,
                    found.st_ino)
            digest.update(repr(said).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def hashes_of(case: Case) -> dict[str, str]:
    """Role to SHA-256 of what is read.

    Raises
    ------
    InputError : a file cannot be read.
    """
    return {role: _hash(path) for role, path in sorted(case.sources.items())}


def _hash(path: Path) -> str:
    if not path.is_dir():
        return sha256(path)
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(os.fsencode(file.relative_to(path)) + b"\0" + sha256(file).encode())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path, *data_files(path)]


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold an output folder; the system lets go of it whatever ends this process.

    Raises
    ------
    InputError : another run holds it.
    """
    with held(out / _LOCK, "output folder", "another run is at work on this output folder: wait "
              "for it, or choose another folder"):
        yield


def sweep(out: Path) -> None:
    """Take away what a run that was killed left unfinished; locks, which others may hold, stay."""
    for folder in (out, out / CASES, *((out / CASES).glob("case-*"))):
        for path in folder.glob(".deepgmm-*"):
            if path.name.endswith("lock"):
                continue
            with suppress(OSError):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
    with suppress(OSError):
        for folder in (out / CASES).iterdir():
            with suppress(OSError):
                folder.rmdir()  # only what is empty
