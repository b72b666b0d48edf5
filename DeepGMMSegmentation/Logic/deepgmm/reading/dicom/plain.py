"""The elements wanted of a header that is written plainly; some ten times quicker than pydicom.

Nearly every file is: little endian, with a preamble, each element of a known value representation
and within the file. What is written otherwise, or holds anything whose reading takes more than its
bytes, is left to pydicom, which an examination of plain files never loads.
"""

from __future__ import annotations

from collections.abc import Collection
from struct import Struct
from struct import error as StructError
from typing import IO

_IMPLICIT = "1.2.840.10008.1.2"

#: Deflated and big endian.
_LEFT = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")

#: Value representations with two and with four bytes of length (PS3.5, 7.1.2).
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_SYNTAX = 0x00020010
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_ENDS, _SEQUENCE_ENDS = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

#: So much of a file is looked at at a time; an element wanted that is longer is left to pydicom.
_WINDOW = 1 << 14

_explicit, _implicit, _length = Struct("<HH2sH").unpack_from, Struct("<HHL").unpack_from, Struct(
    "<L").unpack_from


class _Otherwise(Exception):
    """The header is not written plainly."""


class _Walk:
    """Where one is in a file, and the part of it that is in memory."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream, self.size = stream, size
        self.start, self.window = 0, b""

    def at(self, place: int, length: int) -> int:
        """Where in the window a place of the file is, so many bytes of it there."""
        here = place - self.start
        if here < 0 or here + length > len(self.window):
            if length > _WINDOW or place + length > self.size:
                raise _Otherwise
            self.stream.seek(place)
            self.start, self.window = place, self.stream.read(_WINDOW)
            here = 0
        return here

    def group(self, place: int) -> int:
        here = self.at(place, 8)
        return int(_implicit(self.window, here)[0])

    def representation(self, place: int) -> bytes:
        """The value representation of an element that has one."""
        here = self.at(place, 8)
        return bytes(_explicit(self.window, here)[2])

    def element(self, place: int, explicit: bool) -> tuple[int, bytes, int, int]:
        """Tag, value representation (empty where not said), length, and where the value begins."""
        here = self.at(place, 8)
        if not explicit:
            group, number, length = _implicit(self.window, here)
            return group << 16 | number, b"", length, place + 8
        group, number, vr, length = _explicit(self.window, here)
        if vr in _SHORT:
            return group << 16 | number, vr, length, place + 8
        if vr not in _LONG:
            raise _Otherwise
        here = self.at(place, 12)
        return group << 16 | number, vr, _length(self.window, here + 8)[0], place + 12

    def after_sequence(self, place: int, explicit: bool) -> int:
        """Where a sequence ends that does not say how long it is."""
        while True:
            here = self.at(place, 8)
            group, number, length = _implicit(self.window, here)
            tag, place = group << 16 | number, place + 8
            if tag == _SEQUENCE_ENDS:
                return place
            if tag != _ITEM:
                raise _Otherwise
            place = self.after_item(place, explicit) if length == _UNDEFINED else place + length

    def after_item(self, place: int, explicit: bool) -> int:
        """Where an item ends that does not say how long it is."""
        while True:
            here = self.at(place, 8)
            group, number, _ = _implicit(self.window, here)
            if group << 16 | number == _ITEM_ENDS:
                return place + 8
            place = self.after(*self.element(place, explicit), explicit)

    def after(self, tag: int, vr: bytes, length: int, place: int, explicit: bool) -> int:
        """Where an element ends."""
        if length != _UNDEFINED:
            return place + length
        if vr not in (b"SQ", b""):  # of unknown representation: written implicitly inside
            raise _Otherwise
        return self.after_sequence(place, explicit)


def plain_elements(stream: IO[bytes], size: int, wanted: Collection[int], texts: Collection[int],
                   left: Collection[int]) -> tuple[dict[int, bytes], str, int] | None:
    """The bytes of elements of a file with a preamble.

    Parameters
    ----------
    stream : unbuffered, of a file of `size` bytes.
    wanted : tags to find.
    texts : those of them that must be ASCII to be plain.
    left : those of them whose presence leaves the file to pydicom.

    Returns
    -------
    values by tag, the transfer syntax, and where the header ends (before the pixels); None where
    the file is not written plainly.
    """
    walk, found, syntax = _Walk(stream, size), {}, ""
    try:
        place, explicit, described = 132, True, True
        while place < size:
            if described and walk.group(place) != 2:  # the data set itself begins
                if not syntax or syntax in _LEFT:
                    return None
                described, explicit = False, syntax != _IMPLICIT
                if not explicit and walk.representation(place) in _SHORT | _LONG:
                    return None  # it is not what it says it is
            tag, vr, length, value = walk.element(place, explicit)
            if tag in _PIXELS:
                break
            place = walk.after(tag, vr, length, value, explicit)
            if place > size or tag in left:
                return None
            if tag in wanted or tag == _SYNTAX:
                here = walk.at(value, length)
                data = walk.window[here:here + length]
                if tag == _SYNTAX:
                    syntax = data.decode("ascii").rstrip(" \0")
                elif tag in texts and not data.isascii():
                    return None
                else:
                    found[tag] = data
    except (_Otherwise, StructError, UnicodeDecodeError, RecursionError):
        return None
    return (found, syntax, place) if syntax else None
