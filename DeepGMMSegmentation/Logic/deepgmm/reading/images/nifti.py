"""What ITK does not say of a NIfTI file: that half of it is missing, and which voxels are NaN.

ITK fills what is missing with zeros, and turns NaN and infinite voxels into zeros as well.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 20

#: Where voxels may begin, bytes; behind extensions of whatever programs add.
_FURTHEST = 1 << 31

#: NIfTI's codes of the floating-point types.
_FLOATS = {16: "f4", 64: "f8"}


@dataclass(frozen=True)
class _Header:
    order: str
    offset: int
    voxels: int
    bits: int
    code: int


def wild_voxels(path: Path) -> npt.NDArray[np.int64] | None:
    """Which voxels of a `.nii` or `.nii.gz` file are NaN or infinite, as the file counts them.

    Compressed files are read to their end, so that damage inside them is found too.

    Returns
    -------
    indices : into the voxels in the file's order (columns fastest); None where the file does
        not hold all the voxels that its header promises, or is damaged.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    unpacked: IO[bytes] = gzip.open(path) if packed else path.open("rb")  # type: ignore[assignment]
    try:
        with unpacked as stream:
            header = _header(stream.read(540))
            if header is None:
                return None
            stream.seek(header.offset)
            found = _scan(stream, header)
            while stream.read(_BLOCK):  # the checksum stands at the end
                pass
            return found
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None


def _header(head: bytes) -> _Header | None:
    for order in "<>":
        if len(head) >= 348 and struct.unpack(f"{order}i", head[:4])[0] == 348:
            dimensions = struct.unpack(f"{order}8h", head[40:56])
            code, bits = struct.unpack(f"{order}2h", head[70:74])
            start = struct.unpack(f"{order}f", head[108:112])[0]
            if not 0 <= start < _FURTHEST:  # also where it is NaN
                return None
            offset = int(start)
        elif len(head) == 540 and struct.unpack(f"{order}i", head[:4])[0] == 540:
            dimensions = struct.unpack(f"{order}8q", head[16:80])
            code, bits = struct.unpack(f"{order}2h", head[12:16])
            offset = struct.unpack(f"{order}q", head[168:176])[0]
        else:
            continue
        if not 1 <= dimensions[0] <= 7 or offset < 0:
            return None
        voxels = 1
        for size in dimensions[1:dimensions[0] + 1]:
            voxels *= max(size, 1)
        return _Header(order, offset, voxels, bits, code)
    return None


def _scan(stream: IO[bytes], header: _Header) -> npt.NDArray[np.int64] | None:
    wanted = header.voxels * header.bits // 8
    found: list[npt.NDArray[np.int64]] = []
    done = 0
    while done < wanted:
        block = stream.read(min(_BLOCK, wanted - done))
        if not block:
            return None
        if header.code in _FLOATS:
            size = header.bits // 8
            while len(block) % size and (more := stream.read(size - len(block) % size)):
                block += more
            if len(block) % size:
                return None
            values = np.frombuffer(block, header.order + _FLOATS[header.code])
            found.append(np.flatnonzero(~np.isfinite(values)) + done // size)
        done += len(block)
    return np.concatenate(found) if found else np.zeros(0, np.int64)
