"""Files that appear whole or not at all, and the hashes that name them."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepgmm.detached import data_files
from deepgmm.errors import ComputationError, InputError

#: Formats that hold a volume and its place in one file.
IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")

#: Bytes of a JSON file that anybody reads.
LARGEST_JSON = 64_000_000

#: Suffixes that belong together; the writers choose the format by them.
_DOUBLE_SUFFIXES = (".seg.nrrd", ".nii.gz")


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix that decides the format, lower case: '.nii.gz' for 'A.B.NII.GZ'."""
    name = Path(path).name.lower()
    for suffix in _DOUBLE_SUFFIXES:
        if name.endswith(suffix):
            return suffix
    return Path(name).suffix


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, or of a folder's files in the order of their names.

    An image whose header names other files (`.mhd`, `.nhdr`, `.hdr`) is its header and these.

    Raises
    ------
    InputError
        When the file cannot be read. The message holds no path: callers name the role.
    """
    source = Path(path)
    digest = hashlib.sha256()
    try:
        files = sorted(p for p in source.iterdir() if p.is_file()) if source.is_dir() else \
            [source, *data_files(source)]
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise InputError(f"a file cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def read_json(path: str | os.PathLike[str], largest: int = LARGEST_JSON) -> Any:
    """The value in a JSON file, in any of UTF-8, UTF-16 and UTF-32, with a mark before it or not.

    Raises
    ------
    FileNotFoundError, OSError
        There is no such file, or it cannot be read.
    ValueError
        No JSON, a number that is not finite, too deep or too large. Its text is one
        that a user can be shown.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest // 1_000_000} MB")
    try:
        text = content.decode(json.detect_encoding(content))
        values = json.loads(text.removeprefix("\ufeff"), parse_constant=_finite,
                            parse_float=_finite)
        if "\\u" in text:  # half a character could be written nowhere
            json.dumps(values, ensure_ascii=False).encode()
        return values
    except RecursionError:
        raise ValueError("it is no JSON text that a program of ours wrote") from None
    except UnicodeError:
        raise ValueError("it is no JSON text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON text: line {error.lineno}, column {error.colno}"
                         ) from None


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"it holds the number {word}, which is not finite")
    return number


@dataclass
class _Pending:
    what: str
    final: Path
    temporary: Path


class Outputs:
    """The files of one piece of work; made by `together`."""

    def __init__(self) -> None:
        self._pending: list[_Pending] = []

    def path(self, final: str | os.PathLike[str], what: str = "output") -> Path:
        """Where to write what shall become `final`: beside it, with the same suffix.

        Parameters
        ----------
        final : the file wanted; its folder must exist.
        what : the file's role, for messages ("segmentation", "montage").

        Raises
        ------
        InputError
            No such folder, a folder that cannot be written to, a folder of that name, or
            the same file asked for twice.
        """
        target = Path(os.path.realpath(final))
        if target.is_dir():
            raise InputError(f"the {what} cannot be written: a folder has that name; "
                             "give a file name")
        if not target.parent.is_dir():
            raise InputError(f"the {what} cannot be written: its folder does not exist; "
                             "create it or choose another")
        for other in self._pending:
            if other.final == target:
                raise InputError(f"{other.what} and {what} have the same file name; "
                                 "give each its own")
        # The user's file name may name a patient, so a leftover must not carry it.
        temporary = target.parent / f".deepgmm-{secrets.token_hex(6)}{suffix_of(target)}"
        try:
            temporary.touch(exist_ok=False)
        except OSError as error:
            raise unwritable(error, what) from error
        self._pending.append(_Pending(what, target, temporary))
        return temporary

    def discard(self) -> None:
        for output in self._pending:
            with suppress(OSError):
                output.temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        for output in self._pending:
            try:
                with output.temporary.open("rb+") as stream:
                    if stream.seek(0, os.SEEK_END) == 0:
                        raise ComputationError(f"the {output.what} came out empty; "
                                               "see whether the disk is full")
                    os.fsync(stream.fileno())
            except OSError as error:
                raise unwritable(error, output.what) from error

    def _publish(self) -> None:
        """Rename all; when one cannot be renamed, put back what had been there."""
        backups: list[tuple[Path, Path | None]] = []
        try:
            for output in self._pending:
                try:
                    backups.append((output.final, _backup(output.final)))
                    os.replace(output.temporary, output.final)
                except OSError as error:
                    raise unwritable(error, output.what) from error
        except BaseException:
            for final, backup in reversed(backups):
                with suppress(OSError):
                    if backup is not None:
                        os.replace(backup, final)
                        # two names of one file: renaming one to the other leaves both
                        backup.unlink(missing_ok=True)
                    elif not any(o.final == final and o.temporary.exists()
                                 for o in self._pending):
                        final.unlink(missing_ok=True)
            raise
        for _, backup in backups:
            if backup is not None:
                with suppress(OSError):
                    backup.unlink()


@contextmanager
def together() -> Iterator[Outputs]:
    """Write several files that appear together, once all of them have been written.

    On any error inside the block, or an interruption, none appears, older files of the same
    names stay as they were, and nothing is left over.

    Raises
    ------
    InputError
        A folder that does not exist or cannot be written to, a full disk.
    ComputationError
        A writer that left an empty file.

    Examples
    --------
    >>> with together() as outputs:                                        # doctest: +SKIP
    ...     outputs.path("a.json", "report").write_text("{}")
    ...     outputs.path("b.png", "montage").write_bytes(picture)
    """
    outputs = Outputs()
    try:
        yield outputs
        outputs._flush()
        outputs._publish()
    except OSError as error:
        raise unwritable(error, "output") from error
    finally:
        outputs.discard()


def write_whole(path: str | os.PathLike[str], content: bytes, what: str) -> None:
    """Write one file, whole or not at all.

    Parameters
    ----------
    what : the file's role, for messages.

    Raises
    ------
    InputError, ComputationError : as `together`.
    """
    with together() as outputs:
        temporary = outputs.path(path, what)
        try:
            temporary.write_bytes(content)
        except OSError as error:
            raise unwritable(error, what) from error


@contextmanager
def held(path: str | os.PathLike[str], what: str, busy: str, patience: float = 0.0
         ) -> Iterator[None]:
    """Hold a lock file, which is gone afterwards; the system lets go of it whatever ends this
    process.

    Parameters
    ----------
    what : that which it stands for, for messages.
    busy : said where another process holds it, after so many seconds of `patience`.

    Raises
    ------
    InputError : another process holds it, or its folder cannot be written to.
    """
    lock, until = Path(path), time.monotonic() + patience
    while True:
        try:
            stream = lock.open("a+b")
        except OSError as error:
            raise InputError(f"the {what} cannot be written to ({error.strerror}): choose "
                             "another or change its permissions") from error
        try:
            _take(stream.fileno())
        except OSError as error:
            stream.close()
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            raise InputError(busy) from error
        with suppress(OSError):
            if os.fstat(stream.fileno()).st_ino == lock.stat().st_ino:
                break
        stream.close()  # whoever held it took the file away: try again
    try:
        yield
    finally:
        with suppress(OSError):
            if os.name == "nt":  # where a file that is open cannot be removed
                stream.close()
            lock.unlink()
        stream.close()


def _take(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _backup(final: Path) -> Path | None:
    """A second name for the older file of that name, or None where there is none."""
    if not final.exists():
        return None
    backup = final.parent / f".deepgmm-{secrets.token_hex(6)}.old"
    try:
        os.link(final, backup)
    except OSError:  # a file system without hard links
        shutil.copy2(final, backup)
    return backup


def unwritable(error: OSError, what: str) -> InputError:
    """The system's refusal to write a file in words that a user can act on."""
    reasons = {
        errno.ENOSPC: "the disk is full; make room",
        errno.EDQUOT: "your disk quota is used up; make room",
        errno.EFBIG: "the file is larger than the system allows; choose another folder",
        errno.EACCES: "its folder cannot be written to; choose another or change its permissions",
        errno.EPERM: "its folder cannot be written to; choose another or change its permissions",
        errno.EROFS: "its disk is read-only; choose another folder",
        errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
    }
    reason = reasons.get(error.errno or 0, error.strerror or "the system refused")
    return InputError(f"the {what} cannot be written: {reason}")
