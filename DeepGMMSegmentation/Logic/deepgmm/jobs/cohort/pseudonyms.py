"""Pseudonyms: names of cases by a salted hash, whose salt never leaves the user's folder."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from deepgmm.errors import InputError
from deepgmm.jobs.cohort.cases import Case
from deepgmm.user_folders import Purpose, user_folder

_BYTES = 32


def salt_file() -> Path:
    """Where the user's salt lies."""
    return user_folder(Purpose.DATA) / "cohort-salt"


def the_salt() -> bytes:
    """The user's salt; made at first use, readable by nobody else.

    Raises
    ------
    InputError : it cannot be made or read, or is damaged.
    """
    path = salt_file()
    try:
        if not path.exists():
            _make(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
        salt = path.read_bytes()
    except OSError as error:
        raise InputError("the salt of the pseudonyms cannot be kept in your data folder "
                         f"({error.strerror}): see whether it can be written to") from error
    if len(salt) != _BYTES:
        raise InputError("the salt of the pseudonyms in your data folder (cohort-salt) is damaged: "
                         "put back its copy; without it cases get new pseudonyms")
    return salt


def _make(path: Path) -> None:
    """Whole or not at all, and never in place of one that another run made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def pseudonym(name: str, salt: bytes) -> str:
    """A case's pseudonym.

    Examples
    --------
    >>> pseudonym("Doe", b"0" * 32) == pseudonym("Doe", b"0" * 32) != pseudonym("Doe", b"1" * 32)
    True
    """
    return "case-" + _hash(salt, b"case:" + os.fsencode(name))[:12]


def mark_of(salt: bytes) -> str:
    """By which an output folder knows the salt that its names were made with."""
    return _hash(salt, b"which salt this is")[:16]


def _hash(salt: bytes, text: bytes) -> str:
    return hmac.new(salt, text, hashlib.sha256).hexdigest()


def write_key(cases: Iterable[Case], path: Path, out: Path) -> None:
    """Which pseudonym is whose, readable by the user alone.

    Raises
    ------
    InputError : the file would lie in the output folder, or cannot be written.
    """
    from deepgmm.files import together, unwritable
    from deepgmm.jobs.cohort.table import cell

    if Path(os.path.realpath(out)) in Path(os.path.realpath(path)).parents:
        raise InputError("the key file would lie beside the pseudonyms that it unlocks: give it "
                         "another folder than the output's")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["pseudonym", "case"])
    writer.writerows([case.pseudonym, cell(case.name)] for case in cases)
    with together() as outputs:
        draft = outputs.path(path, "key file")
        try:
            if os.name == "posix":
                draft.chmod(0o600)
            draft.write_bytes(buffer.getvalue().encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise unwritable(error, "key file") from error
