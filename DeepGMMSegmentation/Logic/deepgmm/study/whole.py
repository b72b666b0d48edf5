"""Whether a NIfTI file is all there: ITK reads half a file without a word and fills with zeros."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import IO

_BLOCK = 1 << 20


def is_whole_nifti(path: Path) -> bool:
    """Whether a `.nii` or `.nii.gz` file holds all the voxels that its header promises.

    Compressed files are read to their end, so that damage inside them is found too.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    try:
        unpacked: IO[bytes] = gzip.open(path) if packed else path.open("rb")  # type: ignore[assignment]
        with unpacked as stream:
            promised = _promised_bytes(stream)
            return promised is not None and _length(stream) >= promised
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False


def _promised_bytes(stream: IO[bytes]) -> int | None:
    """Bytes of header and voxels together; None where this is no NIfTI-1 or NIfTI-2 header."""
    head = stream.read(540)
    for order in "<>":
        if len(head) >= 348 and struct.unpack(f"{order}i", head[:4])[0] == 348:
            dimensions = struct.unpack(f"{order}8h", head[40:56])
            bits = struct.unpack(f"{order}h", head[72:74])[0]
            offset = int(struct.unpack(f"{order}f", head[108:112])[0])
        elif len(head) == 540 and struct.unpack(f"{order}i", head[:4])[0] == 540:
            dimensions = struct.unpack(f"{order}8q", head[16:80])
            bits = struct.unpack(f"{order}h", head[14:16])[0]
            offset = struct.unpack(f"{order}q", head[168:176])[0]
        else:
            continue
        if not 1 <= dimensions[0] <= 7:
            return None
        voxels = 1
        for size in dimensions[1:dimensions[0] + 1]:
            voxels *= max(size, 1)
        return offset + voxels * bits // 8
    return None


def _length(stream: IO[bytes]) -> int:
    """Where the stream ends, read to the end so that a checksum at the end is checked."""
    while stream.read(_BLOCK):
        pass
    return stream.tell()
