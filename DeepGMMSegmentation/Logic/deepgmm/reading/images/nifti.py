"""What ITK does not say of a NIfTI file: that half of it is missing, which voxels are NaN, and
what its header says of its place.

ITK fills what is missing with zeros, and turns NaN and infinite voxels into zeros as well.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from deepgmm.files import suffix_of

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
    try:
        with _unpacked(path) as stream:
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


#: Where a NIfTI-1 header says its place: voxel sizes, the forms' codes, and their numbers. No
#: number of a real place, mm, is as large.
_PIXDIM, _CODES, _NUMBERS, _PLACES = slice(76, 108), slice(252, 256), slice(256, 328), 1e7

#: ITK reads no sform whose axes' cosines are above this; sheared grids are made straight here.
_RIGHT_ANGLES = 1e-4


@contextmanager
def readable(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name under which ITK can read a file: its own, or of a NIfTI-1 copy that says no place.

    ITK runs for ever on some forms that are no numbers, refuses those that are sheared, and does
    not know NIfTI-2; the place is for the caller to know.

    Raises
    ------
    RuntimeError, as ITK does : the file is damaged.
    """
    file = Path(path)
    head = _head_of(file) if suffix_of(file) in (".nii", ".nii.gz", ".hdr") else b""
    second = _is_second(head)
    first = _in_first(head)
    if first is None or not second and _tame(first):
        yield os.fspath(path)
        return
    if suffix_of(file) == ".hdr":  # its voxels lie in another file
        raise RuntimeError("a header without a place")
    order, mended = _order_of(first), bytearray(first)
    sizes = np.frombuffer(first[_PIXDIM], f"{order}f4")
    mended[_PIXDIM] = np.where(np.abs(sizes) < _PLACES, sizes, 1).astype(f"{order}f4").tobytes()
    mended[_CODES], mended[_NUMBERS] = bytes(4), bytes(72)
    with tempfile.TemporaryDirectory() as folder, _unpacked(file) as stream:
        copy = Path(folder, "image.nii")
        try:
            stream.read(540 if second else 348)
            if second:  # what follows the header are extensions
                stream.seek(struct.unpack(f"{order}q", head[168:176])[0])
            with copy.open("wb") as out:
                out.write(mended + bytes(4) * second)
                shutil.copyfileobj(stream, out)
        except (EOFError, OSError, ValueError, zlib.error) as error:
            raise RuntimeError("damaged") from error
        yield os.fspath(copy)


def _order_of(head: bytes) -> str | None:
    """The byte order of a NIfTI-1 header; None where it is none."""
    return next((o for o in "<>" if len(head) >= 348
                 and struct.unpack(f"{o}i", head[:4])[0] == 348), None)


def _tame(head: bytes) -> bool:
    """Whether ITK reads a NIfTI-1 header's place, be it right or wrong."""
    order = _order_of(head)
    numbers = np.frombuffer(head[_PIXDIM] + head[_NUMBERS], f"{order}f4").astype(float)
    if not (np.abs(numbers) < _PLACES).all():
        return False
    if struct.unpack(f"{order}2h", head[_CODES])[1] <= 0:
        return True
    axes = numbers[-12:].reshape(3, 4)[:, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not (lengths > 0).all():
        return True
    return bool(np.abs(axes.T @ axes / np.outer(lengths, lengths) - np.eye(3)).max()
                < _RIGHT_ANGLES)


#: NIfTI-2's order of what NIfTI-1 holds in other places and types (nifti2.h): where it lies in
#: either, and how it is stored.
_BOTH = ((12, "2h", 70, "2h"), (80, "3d", 56, "3f"), (104, "8d", 76, "8f"), (176, "2d", 112, "2f"),
         (240, "80s", 148, "80s"), (320, "24s", 228, "24s"), (344, "2i", 252, "2h"),
         (352, "18d", 256, "18f"), (500, "i", 123, "B"), (504, "i", 68, "h"),
         (508, "16s", 328, "16s"), (524, "B", 39, "B"))


def _is_second(head: bytes) -> bool:
    return len(head) >= 540 and any(struct.unpack(f"{o}i", head[:4])[0] == 540 for o in "<>") \
        and head[4:7] == b"n+2"


def _in_first(head: bytes) -> bytes | None:
    """A NIfTI-1 header, or what one of NIfTI-2 says as NIfTI-1; None where it is neither, or says
    what NIfTI-1 cannot hold."""
    if not _is_second(head):
        return head[:348] if _order_of(head) else None
    order = next(o for o in "<>" if struct.unpack(f"{o}i", head[:4])[0] == 540)
    made = bytearray(348)
    try:
        struct.pack_into(f"{order}i", made, 0, 348)
        struct.pack_into(f"{order}8h", made, 40, *struct.unpack_from(f"{order}8q", head, 16))
        for there, form, here, narrow in _BOTH:
            values = struct.unpack_from(f"{order}{form}", head, there)
            if narrow.endswith("f"):
                with np.errstate(over="ignore"):
                    values = tuple(np.array(values).astype(np.float32).tolist())
            struct.pack_into(f"{order}{narrow}", made, here, *values)
    except (struct.error, OverflowError):
        return None
    struct.pack_into(f"{order}f", made, 108, 352.0)
    made[344:348] = b"n+1\0"
    return bytes(made)


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]


def _head_of(path: Path) -> bytes:
    try:
        with _unpacked(path) as stream:
            return stream.read(540)
    except (OSError, EOFError, zlib.error):
        return b""


@dataclass(frozen=True)
class Forms:
    """What a NIfTI header says of its place; matrices from indices to mm, RAS.

    Attributes
    ----------
    size : columns, rows, slices as in the file.
    pixdim : (3,) voxel size as it stands there.
    sform : None where its code is 0.
    qform : None where its numbers are none; `qform_known` whether its code is not 0.
    """

    size: tuple[int, int, int]
    pixdim: npt.NDArray[np.float64]
    sform: npt.NDArray[np.float64] | None
    qform: npt.NDArray[np.float64] | None
    qform_known: bool


def read_forms(path: Path) -> Forms | None:
    """The forms of a `.nii`, `.nii.gz` or `.hdr` file; None where it is no NIfTI file.

    Lengths said to be metres or micrometres become millimetres.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    try:
        with _unpacked(path) as stream:
            head = _in_first(stream.read(540))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None
    order = _order_of(head or b"")
    if head is None or order is None or head[344:347] not in (b"n+1", b"ni1"):
        return None
    return _forms(struct.unpack(f"{order}8h", head[40:56]),
                  np.array(struct.unpack(f"{order}8f", head[76:108]), float),
                  struct.unpack(f"{order}2h", head[252:256]),
                  np.array(struct.unpack(f"{order}18f", head[256:328]), float), head[123] & 7)


def _forms(size: tuple[int, ...], pixdim: npt.NDArray[np.float64], codes: tuple[int, ...],
           numbers: npt.NDArray[np.float64], units: int) -> Forms:
    edges = pixdim[1:4].copy()
    three = [max(int(s), 1) if k < size[0] else 1 for k, s in enumerate(size[1:4])]
    edges[size[0]:] = np.where(edges[size[0]:] > 0, edges[size[0]:], 1.0)  # of axes not there
    scale = np.diag([*[{1: 1e3, 3: 1e-3}.get(units, 1.0)] * 3, 1.0])
    sform = None
    if codes[1] > 0:
        sform = scale @ np.vstack([numbers[6:].reshape(3, 4), [0, 0, 0, 1]])
    turned = _turned(numbers[:3])
    qform = None
    if turned is not None and np.isfinite(edges).all():
        qform = np.eye(4)
        qform[:3, :3] = turned * np.abs(edges)
        qform[:3, 2] *= -1.0 if pixdim[0] < 0 else 1.0
        qform[:3, 3] = numbers[3:6]
        qform = scale @ qform
    return Forms((three[0], three[1], three[2]), edges, sform, qform, codes[0] > 0)


def _turned(quaternion: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """The rotation that a NIfTI header's three numbers say; None where they say none."""
    b, c, d = (float(q) for q in quaternion)
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest > -1e-5:
        return None
    a = float(np.sqrt(max(rest, 0.0)))
    return np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c]])
