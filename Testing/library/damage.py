"""What the makers of damaged files share: a good patient, a place to work, ways to spoil bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from study_files import SIGNALS, TRUTH, an_image, arrays, save

from deepgmm.cli.main import main

#: Quick, and a fit all the same.
QUICK = ("--method", "gmm", "--restarts", "1", "--quiet")

#: What people and programs write where a number should stand.
NUMBERS = ("nan", "inf", "-inf", "1e999", "-1", "0", "", " ", "1,5", "0x10", "١٢", "1e308", "-0.0",
           "99999999999999999999", "1e-320", "None", "true", "3.5", "-7", "1_0", "½", "2;3")

#: Words with whatever may stand in a text.
WORDS = ("", " ", "x" * 300, "y" * 10_000, "a b" * 3000, "Müller, José 患者", "line\nbreak",
         "\x1b[31mred", "tab\there", "a\0b", "‮backwards", "/etc/passwd", "../../elsewhere",
         "C:\\Users\\someone\\file.nii", "{}", "[]", "%s%n", "'\"`", "-", "--", "NaN", "null")


@dataclass(eq=False)
class Good:
    """A sound patient on disk, in every format; made once, never changed.

    Attributes
    ----------
    folder : where the files lie; `Good.path` gives one.
    """

    folder: Path
    _bytes: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def made(cls, folder: Path) -> Good:
        good = cls(folder)
        values = arrays()
        whole = {role: np.rint(values[role]).astype(np.int16) for role in SIGNALS}
        for role, image in {**whole, "mask": values["mask"]}.items():
            for suffix in (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"):
                save(image, folder / role / f"{role}{suffix}")
            # pixels unpacked, so that damage to the header is not damage to a stream
            for suffix in (".nrrd", ".mha"):
                sitk.WriteImage(an_image(image), str(folder / role / f"{role}-raw{suffix}"), False)
        save(values["lge"], folder / "lge" / "float.nii")
        sitk.WriteImage(sitk.JoinSeries([sitk.ReadImage(str(good.path("bssfp.nii")))] * 4),
                        str(folder / "bssfp" / "cine.nii"))
        save(TRUTH, folder / "truth" / "truth.nii.gz")
        for role, image in arrays(5).items():
            save(image, folder / "other" / f"{role}.nii.gz")
        return good

    def cases(self, folder: Path, roles: Sequence[str] = ("bssfp", "lge", "t2")) -> Path:
        """Two labelled patients to learn from, a folder each, in a folder that is made."""
        for name in ("one", "two"):
            (folder / name).mkdir(parents=True)
            for role in (*roles, "mask", "truth"):
                source = self.path(f"{role}.nii.gz")
                if name == "two" and role in roles:
                    source = self.folder / "other" / source.name
                shutil.copy(source, folder / name / source.name)
        return folder

    def path(self, name: str) -> Path:
        """Of one of the files: "lge.nii.gz", "mask-raw.nrrd", "float.nii"."""
        role = name.split(".")[0].split("-")[0]
        return self.folder / {"float": "lge", "cine": "bssfp"}.get(role, role) / name

    def bytes(self, name: str) -> bytes:
        if name not in self._bytes:
            self._bytes[name] = self.path(name).read_bytes()
        return self._bytes[name]


@dataclass
class Desk:
    """Where one case is made.

    Attributes
    ----------
    out : the folder of its outputs.
    done : what was damaged, in words.
    kept : what lay in `out` before the run, by name.
    run : what is done with the arguments and gives a status; by default the command.
    """

    rng: np.random.Generator
    folder: Path
    good: Good
    done: list[str] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    run: Callable[[list[str]], int] = main

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def contents(self) -> dict[str, bytes | None]:
        """What lies in `out`."""
        return {str(path.relative_to(self.out)): path.read_bytes() if path.is_file() else None
                for path in self.out.rglob("*")}

    def choose(self, things: Any) -> Any:
        return things[int(self.rng.integers(len(things)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def say(self, what: str) -> None:
        self.done.append(what)

    def segment(self, **files: Path | str) -> list[Any]:
        """Arguments of `segment` with LGE and mask, or with the files given."""
        if "study" not in files and not {"bssfp", "t2", "lge"} & set(files):
            files = {"lge": self.good.path("lge.nii.gz"), **files}
        files = {"mask": self.good.path("mask.nii.gz"), **files}
        chosen = [word for role, path in files.items() for word in (f"--{role}", path)]
        return ["segment", *chosen, *self.outputs(), *QUICK]

    def outputs(self) -> list[Any]:
        return ["-o", self.out / "o.seg.nrrd", "--labelmap", self.out / "labels.nii.gz",
                "--report", self.out / "report.json"]


def flipped(desk: Desk, content: bytes, *, first: int = 0, last: int | None = None) -> bytes:
    """A few bytes between two places changed."""
    spoilt = bytearray(content)
    last = min(last or len(spoilt), len(spoilt))
    for _ in range(int(desk.choose((1, 1, 2, 5, 30)))):
        at = int(desk.rng.integers(first, last))
        spoilt[at] = int(desk.rng.integers(256))
        desk.say(f"byte {at} is {spoilt[at]}")
    return bytes(spoilt)


def cut(desk: Desk, content: bytes) -> bytes:
    """The start of a file, or all but its last bytes, or with more at its end."""
    length = int(desk.choose((0, 1, 2, 4, 100, 347, 348, 351, 352, len(content) - 1,
                              len(content) - 8, int(desk.rng.integers(len(content))))))
    length = max(min(length, len(content)), 0)
    desk.say(f"cut to {length} of {len(content)} bytes")
    return content[:length]


def spoilt(desk: Desk, content: bytes) -> bytes:
    """Damage of any form that a disk, a copy or a mail program does."""
    how = desk.choose(("flip", "cut", "insert", "remove", "zeros", "text", "twice", "tail"))
    at = int(desk.rng.integers(max(len(content), 1)))
    count = int(desk.choose((1, 2, 7, 512)))
    if how == "flip" and content:
        return flipped(desk, content)
    if how == "cut":
        return cut(desk, content)
    desk.say(f"{how} at {at}, {count}")
    if how == "insert":
        return content[:at] + desk.rng.bytes(count) + content[at:]
    if how == "remove":
        return content[:at] + content[at + count:]
    if how == "zeros":
        return content[:at] + bytes(min(count, len(content) - at)) + content[at + count:]
    if how == "text":  # as sent by a program that took it for text
        return content.replace(b"\n", b"\r\n") if desk.chance(0.5) else bytes(
            b & 0x7F for b in content)
    return content * 2 if how == "twice" else content + desk.rng.bytes(count)
