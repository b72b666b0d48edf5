"""Damaged files and strange options, made from a seed; run as a program it tries many.

    python Testing/library/damaged_files.py --cases 3000 --seed 7
    python Testing/library/damaged_files.py --kind nifti_field --seed 12 --keep FOLDER

The second makes one case again, as a failing test names it. Of every case must hold what
`faults_of` looks for: a whole, readable result, or one line that says why there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import damaged_dicom
import damaged_images
import damaged_messages
import damaged_texts
import nibabel
import nrrd
import numpy as np
from damage import Desk, Good
from study_files import MASK

#: A kind's name to what makes a case of it: arguments of the command line.
KINDS = {
    maker.__name__: maker
    for module in (damaged_images, damaged_dicom, damaged_texts, damaged_messages)
    for maker in module.KINDS
}

#: A line on the terminal is no longer.
LONGEST = 300

#: How much more memory a case may claim: all inputs are smaller than 1 MB.
CLAIM = 3 << 30


@dataclass
class Ran:
    """What came of one case."""

    kind: str
    seed: int
    arguments: list[str]
    done: list[str]
    status: int
    printed: str
    errors: str
    faults: list[str]
    seconds: float

    def __str__(self) -> str:
        return "\n  ".join(
            [
                f"{'; '.join(self.faults)}",
                f"damage: {'; '.join(self.done)[:600]}",
                f"arguments: {' '.join(self.arguments)[:900]!r}",
                f"exit status {self.status}: {self.errors[-1500:]!r}",
                "again: python Testing/library/damaged_files.py "
                f"--kind {self.kind} --seed {self.seed} --keep FOLDER",
            ]
        )


def try_case(kind: str, seed: int, good: Good, folder: Path) -> Ran:
    """Make one case in an empty folder, run it, and look at what came of it."""
    desk = Desk(np.random.default_rng([seed, sorted(KINDS).index(kind)]), folder, good)
    desk.out.mkdir(parents=True)
    before, where = os.environ.copy(), os.getcwd()
    os.chdir(folder)  # some names are relative, and some of them can be written
    os.environ["DEEPGMM_MODELS"] = str(folder / "shelf")
    # the log of what goes wrong belongs to the case
    os.environ["XDG_STATE_HOME"] = os.environ["LOCALAPPDATA"] = str(folder / "state")
    began = time.perf_counter()
    try:
        arguments = [str(word) for word in KINDS[kind](desk)]
        with _heard() as heard, _little_memory():
            status = desk.run(arguments)
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)
    printed, errors = heard
    faults = faults_of(status, printed, errors, desk, arguments)
    return Ran(
        kind,
        seed,
        arguments,
        desk.done,
        status,
        printed,
        errors,
        faults,
        time.perf_counter() - began,
    )


def faults_of(
    status: int, printed: str, errors: str, desk: Desk, arguments: list[str]
) -> list[str]:
    """What may not be so, whatever was given."""
    faults = []
    lines = errors.splitlines()
    left = [path.name for path in desk.out.rglob("*") if path.name.startswith(".deepgmm")]
    if left:
        faults.append(f"left over: {', '.join(left)}")
    if "Traceback" in errors + printed:
        faults.append("a traceback")
    for line in lines:
        if len(line) >= (LONGEST if line.startswith("deepgmm: error: ") else 2 * LONGEST + 20):
            faults.append(f"a line of {len(line)} characters")
        if str(desk.folder) in line or str(desk.good.folder) in line:
            faults.append("a path in a message")
        if not line.startswith(("warning: ", "deepgmm: error: ", "note: ")):
            faults.append("a line that is not ours")
    if status == 2:
        if len(lines) != 1 or not lines[0].startswith("deepgmm: error: "):
            faults.append(f"refused in {len(lines)} lines")
        if desk.kept != desk.contents():
            faults.append("refused, but the output folder is not as it was")
    elif status == 0:
        try:
            _look_at(desk, arguments, printed)
        except Exception as error:
            faults.append(
                f"the result is not whole: {type(error).__name__}: {error} "
                f"{traceback.format_exc(limit=-1)[-300:]}"
            )
    else:
        log = "".join(path.read_text()[-1500:] for path in desk.folder.rglob("*.log"))
        faults.append(f"exit status {status}: {log[-900:]}")
    return faults


def _look_at(desk: Desk, arguments: list[str], printed: str) -> None:
    """Read all that was written with other people's readers."""
    for path in sorted(desk.out.rglob("*")):
        if path.suffix == ".json":
            _json(path.read_text(encoding="utf-8"))
        elif path.name.endswith(".nii.gz"):
            image = nibabel.load(path)
            values = np.asarray(image.dataobj)
            assert np.isfinite(values).all() and np.isfinite(image.affine).all(), path.name
            assert abs(np.linalg.det(image.affine)) > 0, "no volume"
            if path.name == "labels.nii.gz":
                assert np.isin(values, range(6)).all() and values.any(), np.unique(values)
                assert values.shape[:2] == MASK.shape[1:], values.shape
                said = _json((desk.out / "report.json").read_text(encoding="utf-8"))
                assert said["volumes_ml"] if "volumes_ml" in said else said
        elif path.name.endswith(".seg.nrrd"):
            values, header = nrrd.read(str(path))
            assert np.isin(values, range(6)).all() and values.any()
            assert np.isfinite(header["space directions"]).all()
            assert np.isfinite(header["space origin"]).all()
    if "--json" in arguments:
        _json(printed)
    if arguments[0] == "segment" and "-o" in arguments:
        assert (desk.out / "o.seg.nrrd").is_file(), "nothing was written"


def _json(text: str) -> Any:
    def refuse(word: str) -> float:
        raise ValueError(f"{word} in JSON")

    def finite(word: str) -> float:
        assert math.isfinite(float(word)), word
        return float(word)

    return json.loads(text, parse_constant=refuse, parse_float=finite)


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """What reaches the terminal, also past Python, as [printed, errors]."""
    heard: list[str] = []
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        copies = [os.dup(1), os.dup(2)]
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        said = [
            io.TextIOWrapper(os.fdopen(os.dup(n), "wb"), "utf-8", "backslashreplace")
            for n in (1, 2)
        ]
        try:
            with contextlib.redirect_stdout(said[0]), contextlib.redirect_stderr(said[1]):
                yield heard
        finally:
            for stream in said:
                stream.close()
            for copy, n in zip(copies, (1, 2)):
                os.dup2(copy, n)
                os.close(copy)
            for file in (out, err):
                file.seek(0)
                heard.append(file.read().decode("utf-8", "replace"))


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """A claim of terabytes fails here, and so is found, even where the system would grant it."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # not on Linux
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + CLAIM
    if before[1] != resource.RLIM_INFINITY:
        limit = min(limit, before[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def cases(count: int, seed: int, kinds: list[str] | None = None) -> list[tuple[str, int]]:
    """So many pairs of kind and seed, every kind as often."""
    names = kinds or sorted(KINDS)
    return [(names[n % len(names)], seed * 1_000_000 + n // len(names)) for n in range(count)]


def _program() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--cases", type=int, default=300)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--kind", action="append", choices=sorted(KINDS))
    words.add_argument("--out", type=Path, help="print each case as it begins there")
    words.add_argument("--keep", type=Path, help="make the one case of this kind and seed there")
    said = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        good = Good.made(Path(place) / "good")
        if said.keep:
            ran = try_case(said.kind[0], said.seed, good, said.keep)
            print(
                ran.arguments,
                ran.done,
                ran.status,
                ran.printed,
                ran.errors,
                ran.faults or "good",
                sep="\n",
            )
            return bool(ran.faults)
        wrong, slow, ended = 0, [], {0: 0, 2: 0}
        for number, (kind, seed) in enumerate(cases(said.cases, said.seed, said.kind)):
            folder = Path(place) / f"case{number}"
            if said.out:
                said.out.write_text(f"{kind} {seed}")
            ran = try_case(kind, seed, good, folder)
            shutil.rmtree(folder, ignore_errors=True)
            ended[ran.status] = ended.get(ran.status, 0) + 1
            slow = sorted([*slow, (ran.seconds, kind, seed)], reverse=True)[:5]
            if ran.faults:
                wrong += 1
                print(ran, flush=True)
    print(f"{wrong} of {said.cases} cases failed; exit statuses {ended}; slowest {slow}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(_program())
