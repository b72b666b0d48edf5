"""Runs and corrections of a study as a line of versions; two compared, and the way back."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.given import Corrections
from deepgmm.result import Result
from deepgmm.review.corrections import now
from deepgmm.review.encoding import (
    decode_corrections,
    decode_result,
    encode_result,
    encode_study,
)
from deepgmm.review.metrics import dice
from deepgmm.review.report import scrubbed_settings, volumes
from deepgmm.review.sound import check_labels, check_result, undamaged
from deepgmm.study.levels import levels, numbering_of
from deepgmm.study.study import Study
from deepgmm.study.words import Tissue

#: Bytes that the versions of a study may take; beyond, the oldest lose their probabilities, the
#: first of all last.
MOST_BYTES = 150_000_000
Packed = tuple[bytes, str, tuple[int, ...]]
Table = list[dict[str, Any]]


@dataclass
class Version:
    """One state of a study, packed.

    Attributes
    ----------
    number : counted from 1.
    when : UTC, ISO 8601; `what` was done: "segmented", "refined", "went back to version 2".
    settings : of the fit; a file of priors by its hash, a network by its name.
    numbers : volumes in ml by tissue, corrected voxels, slices done.
    arrays, words : its result as `encoding` has it, without the study, the arrays compressed.
    """

    number: int
    when: str
    what: str
    settings: dict[str, Any]
    numbers: dict[str, Any]
    arrays: dict[str, Packed]
    words: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(content) for content, _, _ in self.arrays.values())

    @property
    def has_posterior(self) -> bool:
        """Whether it still has its probabilities, without which nothing can follow from it."""
        return "posterior" in self.arrays

    def give_up(self) -> None:
        """Lose the probabilities; labels and corrections stay."""
        without_posterior(self.arrays)

    def labels(self) -> npt.NDArray[np.uint8]:
        """(slices, rows, columns), a copy."""
        with undamaged():
            return check_labels(unpacked(self.arrays["labels"]))

    def corrections(self) -> Corrections | None:
        """All that had been corrected by then."""
        said = self.words["corrections"]
        with undamaged():
            return said and decode_corrections(said, {
                name: unpacked(one) for name, one in self.arrays.items()
                if name.startswith("corrections.")})


@dataclass
class Versions:
    """A study and the line of its versions; the last is the one that stands.

    Attributes
    ----------
    study : whose images all versions share.
    tissues : sought, the same in all.
    """

    study: Study
    tissues: tuple[Tissue, ...]
    line: list[Version] = field(default_factory=list)

    @classmethod
    def begun(cls, result: Result) -> Versions:
        """A line that begins with a result."""
        versions = cls(result.study, result.tissues)
        versions.add(result, "segmented")
        return versions

    @property
    def last(self) -> Version:
        return self.line[-1]

    def numbered(self, number: int) -> Version:
        """A version by its number.

        Raises
        ------
        InputError : there is none of that number.
        """
        for version in self.line:
            if version.number == number:
                return version
        raise InputError(f"there is no version {number}: there are "
                         f"{self.line[0].number} to {self.last.number}")

    def add(self, result: Result, what: str, when: str | None = None) -> Version:
        """A result as the next version."""
        header, plain_arrays = encode_result(result, result.study)
        words = {name: header[name] for name in ("corrections", "tissues", "traces", "warnings")}
        words["provenance"] = {k: v for k, v in result.provenance.items() if k != "settings"}
        arrays = {name: packed(values) for name, values in plain_arrays.items()}
        refined = result.provenance.get("refined", {})
        numbers = {"volumes_ml": volumes(result),
                   "corrected_voxels": refined.get("corrected_voxels", 0),
                   "done_slices": refined.get("done_slices", [])}
        version = Version(self.last.number + 1 if self.line else 1, now() if when is None else when,
                          what, scrubbed_settings(result.provenance.get("settings")) or {},
                          numbers, arrays, words)
        self.line.append(version)
        make_room(self.line)
        return version

    def result(self, number: int | None = None) -> Result:
        """The result of a version, the last by default.

        Raises
        ------
        InputError : there is none of that number, or its probabilities have been given up.
        """
        version = self.last if number is None else self.numbered(number)
        if not version.has_posterior:
            raise InputError(f"version {version.number} has its labels and corrections left, not "
                             "its probabilities: they were given up for room; take a later one")
        study, _ = encode_study(self.study, self.study)
        words = {**version.words, "study": study, "provenance": {
            "settings": dict(version.settings), **version.words["provenance"]}}
        with undamaged():
            result = decode_result(words, {name: unpacked(one)
                                           for name, one in version.arrays.items()}, self.study)
            check_result(result)
        return result

    def back(self, number: int) -> Version:
        """An earlier version as the next one; those between stay in the line.

        Raises
        ------
        InputError : as `result`.
        """
        return self.add(self.result(number), f"went back to version {number}")

    def edited_from(self, labels: npt.NDArray[np.uint8]) -> Version:
        """The version that a segmentation was edited from: that of which the most slices were left
        alone, else that which it is nearest to; of equals the last.

        What was corrected in any version hardly says it: who goes on with an older file has the
        same corrections in it.
        """
        free = np.ones(labels.shape, bool)
        for version in self.line:
            given = version.corrections()
            if given is not None:
                free &= ~given.fixed

        def nearness(version: Version) -> tuple[int, ...]:
            differs = version.labels() != labels
            left = (differs & free).sum((1, 2))
            return int((left == 0).sum()), -int(left.sum()), -int(differs.sum()), version.number
        return max(self.line, key=nearness)

    def compared(self, version: Version, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(slices, rows, columns) labels with which a segmentation edited from a version is to be
        compared: the version's, and the last one's where a correction of that version is in the
        segmentation, but the line went back behind it and nobody said otherwise since."""
        base, then = version.labels(), version.corrections()
        if version is self.last or then is None:
            return base
        since = self.last.corrections()
        again = then.fixed & (labels == then.tissue)
        if since is not None:
            again &= ~since.fixed
        return np.where(again, self.last.labels(), base)

    def rows(self) -> Table:
        """One row a version: number, when, what, and its numbers."""
        return [{"version": v.number, "when": v.when, "what": v.what, **v.numbers,
                 "settings": v.settings} for v in self.line]


class Roomy(Protocol):
    """What `make_room` asks of a version."""

    @property
    def size(self) -> int: ...

    def give_up(self) -> None: ...


def make_room(line: Sequence[Roomy]) -> None:
    """Have the oldest versions of a line lose their probabilities until all keep to `MOST_BYTES`.

    The first, which nobody corrected, loses them after all others; the last never does.
    """
    for version in [*line[1:-1], *line[: len(line) > 1]]:
        if sum(v.size for v in line) <= MOST_BYTES:
            return
        version.give_up()


def without_posterior(arrays: dict[str, Any]) -> None:
    """Take the probabilities from the arrays of `encoding.encode_result`."""
    for name in ("posterior", "automatic.posterior"):
        arrays.pop(name, None)


def differences(versions: Versions, first: int, second: int) -> dict[str, Any]:
    """What differs between two versions.

    Returns
    -------
    dict
        `tissues`: of each its ml in both, the difference, their Dice, the voxels that are of it in
        one of the two alone, and how many of these were corrected by hand; `slices`: of each with
        its `index` and `number` (from 1, the base first), the pixels that changed, the share of
        them that was corrected by hand in either, and Dice of each tissue.
    """
    one, other = (versions.numbered(number).labels() for number in (first, second))
    hand = hand_drawn(versions, first, second)
    voxel = versions.study.geometry.voxel_volume
    present = [t for t in Tissue if t and (t in versions.tissues or (one == t).any()
                                           or (other == t).any())]
    numbering = numbering_of(levels(versions.study), len(one))
    tissues, slices = [], []
    for tissue in present:
        x, y = one == tissue, other == tissue
        tissues.append({"tissue": tissue.title, "first_ml": float(x.sum()) * voxel,
                        "second_ml": float(y.sum()) * voxel,
                        "difference_ml": (float(y.sum()) - float(x.sum())) * voxel,
                        "dice": dice(x, y), "changed_voxels": int((x ^ y).sum()),
                        "by_hand": int(((x ^ y) & hand).sum())})
    for index in np.flatnonzero(((one > 0) | (other > 0)).any((1, 2))):
        changed = one[index] != other[index]
        slices.append({
            "index": int(index), "number": numbering.of(int(index)),
            "changed_pixels": int(changed.sum()),
            "by_hand": int((changed & hand[index]).sum()),
            "dice": {t.title: dice(one[index] == t, other[index] == t) for t in present}})
    return {"first": first, "second": second, "tissues": tissues,
            "slices": sorted(slices, key=lambda row: row["number"])}


def hand_drawn(versions: Versions, first: int, second: int) -> npt.NDArray[np.bool_]:
    """(slices, rows, columns) what a person corrected between two versions."""
    given = [versions.numbered(number).corrections() for number in (first, second)]
    shape = versions.study.mask.shape
    one, other = (Corrections.none(shape) if c is None else c for c in given)
    return np.asarray((one.edit != other.edit) | (one.tissue != other.tissue))


def packed(values: npt.NDArray[Any]) -> Packed:
    """An array compressed, with its type and shape."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return zlib.compress(little.tobytes(), 1), values.dtype.name, tuple(values.shape)


def unpacked(content: Packed) -> npt.NDArray[Any]:
    """The array of `packed`, a copy.

    Raises
    ------
    ValueError, zlib.error : it is no such array.
    """
    data, kind, shape = content
    little = np.dtype(kind).newbyteorder("<")
    size = math.prod(shape) * little.itemsize
    text = zlib.decompressobj().decompress(data, size + 1)  # a few bytes may be gigabytes else
    if len(text) != size:
        raise ValueError(f"{len(text)} bytes and more, not {size}")
    values = np.frombuffer(text, little)
    return np.array(values.reshape(shape), dtype=kind)


def described(version: Version) -> dict[str, Any]:
    """A version but for its arrays, as JSON values."""
    return {"number": version.number, "when": version.when, "what": version.what,
            "settings": version.settings, "numbers": version.numbers, "words": version.words,
            "arrays": {name: [kind, list(shape)]
                       for name, (_, kind, shape) in version.arrays.items()}}


def of_description(said: Mapping[str, Any], arrays: Mapping[str, bytes]) -> Version:
    """The version of `described`, given its compressed arrays by name."""
    return Version(int(said["number"]), str(said["when"]), str(said["what"]),
                   dict(said["settings"]), dict(said["numbers"]),
                   {name: (arrays[name], str(kind), tuple(shape))
                    for name, (kind, shape) in said["arrays"].items()}, dict(said["words"]))

