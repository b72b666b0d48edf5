"""Images whose header and voxels are several files: which files they are.

MetaImage (`.mhd`), NRRD (`.nhdr`) and Analyze or NIfTI pairs (`.hdr` and `.img`). The headers are
read as far as they name their data, and no further.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

#: No header is longer, as far as it names its data; bytes. A list of files may follow.
_MOST = 1 << 20


def data_files(path: Path) -> list[Path]:
    """The files that an image's voxels are in, in their order; none where it is one file.

    A file that is named need not be there.

    Parameters
    ----------
    path : the file that a user names; of a pair either.
    """
    suffix = path.suffix.lower()
    if suffix in (".hdr", ".img"):
        return _pair(path)
    if suffix in (".mhd", ".mha"):
        return _named(path, _lines(path), re.compile(r"ElementDataFile\s*=\s*(.*)", re.I))
    if suffix in (".nhdr", ".nrrd"):
        return _named(path, _lines(path), re.compile(r"data ?file:(?!=)\s*(.*)", re.I))
    return []


def _pair(path: Path) -> list[Path]:
    other = {".hdr": ".img", ".img": ".hdr"}[path.suffix.lower()]
    for suffix in (other, other.upper(), f"{other}.gz"):
        partner = path.with_suffix(suffix)
        if partner.is_file():
            return [partner]
    return []


def _lines(path: Path) -> list[str]:
    """The header's lines; an NRRD's end at an empty one, and no image's are longer than `_MOST`."""
    with path.open("rb") as stream:
        text = stream.read(_MOST)
    return text.decode("latin-1").splitlines()


def _named(path: Path, lines: list[str], field: re.Pattern[str]) -> list[Path]:
    for number, line in enumerate(lines):
        if not line.strip():  # what follows is data
            return []
        match = field.fullmatch(line.strip())
        if match:
            return [path.parent / name for name in _listed(match[1].strip(), lines[number + 1:])
                    if "\0" not in name]
    return []


def _listed(value: str, rest: list[str]) -> list[str]:
    """The names that a field gives: one, a list that follows, or a pattern with its numbers."""
    first, *more = value.split() or [""]
    if first.upper() == "LOCAL":
        return []
    if first.upper() == "LIST":
        return [line.strip() for line in rest if line.strip()]
    if "%" in first and len(more) >= 3 and all(re.fullmatch(r"-?\d+", m) for m in more[:3]):
        start, stop, step = map(int, more[:3])
        if step and re.fullmatch(r"[^%]*%0?\d{0,2}d[^%]*", first):
            numbers = range(start, stop + (1 if step > 0 else -1), step)
            return [first % number for number in islice(numbers, 100_000)]
    return [value]
