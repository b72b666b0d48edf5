"""Which files are copies, and which images are of one series, whatever became of their UIDs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from deepgmm.reading.dicom.frames import Frame
from deepgmm.reading.dicom.headers import the_reader
from deepgmm.study.names import plain

#: Every other slice, in the languages of `deepgmm.study.names`.
_HALVES = "odd|even|ungerade|gerade|impaires?|paires?|impares|pares|dispari|pari"


def family(description: str) -> str:
    """A description without a counter at its end: "cine_sa_b3" and "cine_sa_b12" are one; nor
    which half of the slices it is of."""
    text = re.sub(r"\bti ?\d+\b", "ti", plain(description))  # changed from slice to slice
    text = re.sub(rf" *\b({_HALVES})\b *(?:slices?|slc|sl)?\b *", " ", text).strip()
    return re.sub(r"(?:\b(?:b|s|sl|slice|slc|pos|nr|no|img)|(?<=sa)|(?<=sax)| )\s*\d+$", "",
                  text).strip()


def without_copies(frames: list[Frame]) -> list[Frame]:
    """Each image once, whatever number of copies of its file there are.

    Copies show the same pixels at the same place. A UID alone tells nothing: some anonymisers
    give all images of a series the same one, and others a copy a new one.
    """
    digests: dict[Path, str] = {}
    frames = _once(frames, lambda f: (f.uid, f.index, f.position, f.orientation)
                   if f.uid else None, digests)
    return _once(frames, lambda f: (
        f.position, f.orientation, f.rows, f.columns, f.component, f.trigger, f.inversion, f.echo,
        f.temporal, f.acquired, f.instance, f.index, f.description), digests)


def _once(frames: list[Frame], key: Callable[[Frame], object], digests: dict[Path, str]
          ) -> list[Frame]:
    """The first of those that share a key and their pixels; those without a key as they are."""
    alike: dict[object, list[Frame]] = defaultdict(list)
    for frame in frames:
        what = key(frame)
        alike[id(frame) if what is None else what].append(frame)
    dropped: set[int] = set()
    for together in alike.values():
        seen: set[tuple[str, int]] = set()
        for frame in together if len(together) > 1 else ():
            if frame.file not in digests:
                digests[frame.file] = _digest(frame.file)
            shown = digests[frame.file], frame.index
            if shown in seen:
                dropped.add(id(frame))
            seen.add(shown)
    return [frame for frame in frames if id(frame) not in dropped] if dropped else frames


def _digest(file: Path) -> str:
    """Of a file's stored pixels; of the whole file where they are not found."""
    try:
        data = the_reader().dcmread(file, force=True, specific_tags=[0x7FE00010])
        return sha256(data.get_item(0x7FE00010).value).hexdigest()
    except Exception:  # damaged files raise nearly anything; whoever decodes them says so
        return sha256(file.read_bytes()).hexdigest()


def one_identity(frames: list[Frame]) -> list[Frame]:
    """Images of one series have one series UID again, where each was given its own.

    So it is where a series number and description have several UIDs, most of one image each.
    """
    together: dict[tuple[int, str], list[Frame]] = defaultdict(list)
    for frame in frames:
        together[frame.number, family(frame.description)].append(frame)
    renewed = {key: group[0].series for key, group in together.items()
               if len(group) > 2 and 2 * len(_values(group)) > len({f.file for f in group})}
    if not renewed:
        return frames
    return [replace(frame, series=renewed[key])
            if (key := (frame.number, family(frame.description))) in renewed else frame
            for frame in frames]


def _values(group: Iterable[Frame]) -> set[str]:
    return {frame.series for frame in group}
