"""Messages over a pair of pipes: a JSON header, then arrays as raw bytes. Nothing in them runs.

A message is the mark, the header's length (4 bytes, little endian), the header, and the arrays'
bytes in C order, little endian. The header names the arrays with their types and shapes. It is
JSON as Python writes it: NaN and infinities keep their names.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Header = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]
Pieces = list[bytes | memoryview]

#: A process that starts may print before it is ours; the mark is found behind that.
MARK = b"\xd6GMM"
#: What no message of ours exceeds: bytes before the first mark, of a header, of all arrays
#: together; arrays, axes.
MOST_NOISE, MOST_HEADER, MOST_BYTES, MOST_ARRAYS, MOST_AXES = 1 << 16, 1 << 26, 1 << 35, 64, 8

_TYPES = frozenset(("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
                    "float16", "float32", "float64"))


class ProtocolError(Exception):
    """What came is no message."""


class Readable(Protocol):
    """What can be read from: a raw binary stream, whose `readinto` may bring less than asked."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the start of the buffer; how much of it. 0 at the end."""


class Writable(Protocol):
    """What can be written to: a raw binary stream."""

    def write(self, data: memoryview, /) -> int:
        """Write the start of the data; how much of it."""


def pieces(header: Mapping[str, Any],
           arrays: Mapping[str, npt.NDArray[Any]] | None = None) -> Pieces:
    """A message, to be written piece after piece; arrays are not copied.

    Raises
    ------
    ProtocolError
        What a message cannot hold.
    """
    ready = {name: _little(name, values) for name, values in (arrays or {}).items()}
    text = json.dumps({**header, "arrays": [[name, values.dtype.name, values.shape]
                                            for name, values in ready.items()]},
                      ensure_ascii=False, separators=(",", ":"), default=_plain).encode()
    if len(text) > MOST_HEADER or len(ready) > MOST_ARRAYS:
        raise ProtocolError("the message is too large")
    return [MARK + len(text).to_bytes(4, "little") + text,
            *(values.reshape(-1).view(np.uint8).data for values in ready.values() if values.size)]


def read_message(stream: Readable, noise: bytearray | None = None) -> tuple[Header, Arrays] | None:
    """The next message, or None where the stream has ended between two.

    Parameters
    ----------
    noise : where given, whatever stands before the mark is put there and is no error.

    Raises
    ------
    ProtocolError
        No message, or one that breaks off.
    """
    mark = _to_mark(stream, noise)
    if mark is None:
        return None
    length = int.from_bytes(_read(stream, 4), "little")
    if length > MOST_HEADER:
        raise ProtocolError(f"a header of {length} bytes")
    try:
        header = json.loads(bytes(_read(stream, length)))
        described = header.pop("arrays")
        shapes = [(str(name), _type(kind), tuple(map(_extent, shape)))
                  for name, kind, shape in described]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProtocolError("the header is not of the form agreed upon") from error
    if (len(shapes) > MOST_ARRAYS or any(len(shape) > MOST_AXES for _, _, shape in shapes)
            or sum(math.prod(shape) * kind.itemsize for _, kind, shape in shapes) > MOST_BYTES):
        raise ProtocolError("arrays too large")
    arrays: Arrays = {}
    for name, kind, shape in shapes:
        arrays[name] = values = np.empty(shape, kind)
        if values.size:
            _fill(stream, values.reshape(-1).view(np.uint8).data)
    return header, arrays


def write_piece(stream: Writable, piece: bytes | memoryview) -> None:
    """All of it: a raw stream may take less at once."""
    left = memoryview(piece)
    while left:
        left = left[stream.write(left):]


def _little(name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.name not in _TYPES or values.ndim > MOST_AXES:
        raise ProtocolError(f"{name}: {values.ndim} axes of {values.dtype} cannot be sent")
    return np.asarray(values, _type(values.dtype.name), order="C")


def _plain(value: Any) -> Any:
    """What numpy leaves among JSON values."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise ProtocolError(f"a header cannot hold {type(value).__name__}")


def _type(name: Any) -> np.dtype[Any]:
    if name not in _TYPES:
        raise ValueError(name)
    native = np.dtype(name)
    return native if sys.byteorder == "little" else native.newbyteorder("<")


def _extent(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def _to_mark(stream: Readable, noise: bytearray | None) -> bytes | None:
    """Read on until behind the mark; None at the end."""
    seen = bytearray()
    while not seen.endswith(MARK):
        step = bytearray(1 if seen else len(MARK))
        count = stream.readinto(memoryview(step))
        if not count:
            if noise is None and seen:
                raise ProtocolError("the stream broke off")
            if noise is not None:
                noise += seen
            return None
        seen += step[:count]
        if noise is None and not MARK.startswith(seen):
            raise ProtocolError("no message begins here")
        if len(seen) > MOST_NOISE:
            raise ProtocolError("no message came, but much else")
    if noise is not None:
        noise += seen[:-len(MARK)]
    return MARK


def _read(stream: Readable, count: int) -> bytearray:
    buffer = bytearray(count)
    _fill(stream, memoryview(buffer))
    return buffer


def _fill(stream: Readable, buffer: memoryview) -> None:
    at = 0
    while at < len(buffer):
        count = stream.readinto(buffer[at:])
        if not count:
            raise ProtocolError("the stream broke off")
        at += count
