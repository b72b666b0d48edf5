"""MATLAB's files of version 7, read only when they are whole.

scipy's reader crashes Python on some damaged files. The checksums of compressed variables, which
MATLAB has written since version 7, find damage beforehand.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import IO, Any

from deepgmm.errors import InputError

_HEADER, _COMPRESSED, _BLOCK = 128, 15, 1 << 20


def read_variable(path: Path, variable: str, name: str) -> Any:
    """One variable of a `.mat` file as scipy gives it, or None where there is none.

    Parameters
    ----------
    name : what to call the file in messages.

    Raises
    ------
    InputError
        Empty, damaged, of another version, or no `.mat` file.
    """
    from scipy.io import loadmat

    if path.stat().st_size == 0:
        raise InputError(f"the {name} is empty: save it again")
    damaged = f"the {name} is truncated, damaged or no .mat file: save it again"
    with path.open("rb") as stream:
        header = stream.read(_HEADER)
        if header.startswith(b"MATLAB 7.3") or header[124:126] in (b"\x00\x02", b"\x02\x00"):
            raise InputError(f"the {name} is in MATLAB's format 7.3: save it with save -v7")
        order = {b"IM": "<", b"MI": ">"}.get(header[126:])
        if order is None or not header.startswith(b"MATLAB"):
            raise InputError(damaged)
        while tag := stream.read(8):
            kind, size = struct.unpack(f"{order}II", tag.ljust(8, b"\0"))
            if len(tag) == 8 and kind in (1, 14):
                raise InputError(f"the {name} is not compressed, so that damage to it cannot be "
                                 "found: save it with save -v7")
            if kind != _COMPRESSED or not _whole(stream, size):
                raise InputError(damaged)
    try:
        return loadmat(path, variable_names=[variable]).get(variable)
    # What is whole may still be strange, and scipy raises nearly anything.
    except Exception as error:
        raise InputError(damaged) from error


def _whole(stream: IO[bytes], size: int) -> bool:
    """Whether so many bytes are one zlib stream whose checksum is right."""
    inflate = zlib.decompressobj()
    try:
        while size and (block := stream.read(min(size, _BLOCK))):
            size -= len(block)
            while block and not inflate.eof:
                inflate.decompress(block, _BLOCK)
                block = inflate.unconsumed_tail
    except zlib.error:
        return False
    return not size and inflate.eof
