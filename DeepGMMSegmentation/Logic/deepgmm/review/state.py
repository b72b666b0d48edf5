"""A study, its fit and its versions in one file, so that corrections can go on from there.

A `.dgmm` file is a safetensors file: numbers only, nothing in it can run. It holds the images in
the LV mask's box, so it holds images of a patient, and it says so; no name, number or date of the
patient is in it, and no path.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm import __version__
from deepgmm.errors import InputError
from deepgmm.files import held, sha256
from deepgmm.review.report import plain
from deepgmm.review.sound import DAMAGED, check_grid, check_study, check_version, undamaged
from deepgmm.review.versions import Version, Versions, described, of_description
from deepgmm.study.coordinates import box_of
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role, Tissue

FORMAT, FORMAT_VERSION = "deepgmm state", 1
NOTICE = ("Holds images of a patient, in the box of the LV mask, and what was drawn on them; no "
          "name, number or date of the patient. Keep it as you keep the images. Research software, "
          "not for diagnosis.")
#: Pixels around the mask's box that are kept: a fit sees what lies beside the mask.
AROUND = 24
#: Bytes of a file that anybody reads.
LARGEST = 4_000_000_000
#: Seconds that a run waits for another that is writing the same state.
PATIENCE = 60.0
_CHANGED = "the state was changed by another run meanwhile: run this one again, nothing was lost"
_BUSY = "the state is being written by another run: run this one again, nothing was lost"

Arrays = dict[str, npt.NDArray[Any]]


def study_key(study: Study) -> str:
    """What names the images, mask and place of a study: 64 hexadecimal digits. It follows from
    what lies in the mask's box alone."""
    return _digest(*_study_arrays(study))


def state_bytes(versions: Versions) -> bytes:
    """The file's content."""
    from safetensors.numpy import save

    header, arrays = _study_arrays(versions.study)
    said = {"study": header, "images_sha256": _digest(header, arrays),
            "tissues": [int(t) for t in versions.tissues],
            "versions": [plain(described(v)) for v in versions.line],
            "deepgmm": __version__}
    for version in versions.line:
        arrays |= {f"versions.{version.number}.{name}": np.frombuffer(content, np.uint8)
                   for name, (content, _, _) in version.arrays.items()}
    text = json.dumps(said, ensure_ascii=True, sort_keys=True)
    return bytes(save(arrays, {
        "format": FORMAT, "format_version": str(FORMAT_VERSION), "notice": NOTICE, "state": text,
        "sha256": _digest(text, arrays)}))


def read_state(path: str | os.PathLike[str]) -> tuple[Versions, str]:
    """The versions in a file, and the SHA-256 of its bytes.

    Raises
    ------
    InputError
        No such file, no state, one of another version, one that is damaged, or whose images are
        not those that it was made of.
    """
    source = Path(path)
    try:
        if source.exists() and not source.is_file():
            raise InputError("the state is a folder or no file: give what segment --state wrote")
        if source.stat().st_size > LARGEST:
            raise InputError("the state is larger than any of ours: give what segment --state "
                             "wrote")
        content = source.read_bytes()
    except OSError as error:
        raise InputError(f"the state cannot be read ({error.strerror}): give what segment --state "
                         "wrote") from error
    return of_bytes(content), hashlib.sha256(content).hexdigest()


@contextmanager
def unchanged(path: str | os.PathLike[str], digest: str) -> Iterator[Callable[[], None]]:
    """Hold a state while it is written over, so that of two runs on it one is refused.

    Yields
    ------
    function
        To be called just before the new file takes its place: refuses where the SHA-256 of the
        file is not `digest` any longer.
    """
    place = Path(os.path.realpath(path))
    name = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:12]  # which may name a patient

    def check() -> None:
        if sha256(place) != digest:
            raise InputError(_CHANGED)
    with held(place.parent / f".deepgmm-{name}.lock", "folder of the state", _BUSY, PATIENCE):
        yield check


def of_bytes(content: bytes) -> Versions:
    """As `read_state`, of a file's content."""
    from safetensors.numpy import load

    about = _metadata(content)
    if about.get("format") != FORMAT:
        raise InputError("this file is no state of a study: give what segment --state wrote")
    if about.get("format_version") != str(FORMAT_VERSION):
        raise InputError("the state was written by another version of DeepGMM (form "
                         f"{str(about.get('format_version'))[:8]}, this one reads "
                         f"{FORMAT_VERSION}): refine it with that one, or segment the study again")
    with undamaged():
        arrays: Arrays = dict(load(content))
        text = about["state"]
        said = json.loads(text)
        own = {name: values for name, values in arrays.items()
               if not name.startswith("versions.")}
        if _digest(said["study"], own) != said["images_sha256"]:
            raise InputError("the images in the state are not those that it was made of: segment "
                             "the study again")
        if _digest(text, arrays) != about["sha256"]:
            raise InputError(DAMAGED)
        check_grid(said["study"], own)
        study = _study(said["study"], own)
        check_study(study)
        line: list[Version] = []
        for one in said["versions"]:
            check_version(one, study)
            start = f"versions.{one['number']}."
            line.append(of_description(one, {
                name.removeprefix(start): values.tobytes()
                for name, values in arrays.items() if name.startswith(start)}))
        tissues = tuple(Tissue(t) for t in said["tissues"])
        numbers = [version.number for version in line]
        if not line or not tissues or numbers != sorted(set(numbers)):
            raise InputError(DAMAGED)
        return Versions(study, tissues, line)


def _metadata(content: bytes) -> dict[str, str]:
    """What a safetensors file says of itself; nothing of another file."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(len(content) - 8, 500_000_000) or content[8:9] != b"{":
        return {}
    try:
        about = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (ValueError, AttributeError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _study_arrays(study: Study) -> tuple[dict[str, Any], Arrays]:
    """A study as JSON values, and its arrays in the mask's box."""
    rows, columns = box_of(np.asarray(study.mask.any(axis=0)), around=AROUND)
    rows = slice(rows.start, min(rows.stop, study.mask.shape[1]))
    columns = slice(columns.start, min(columns.stop, study.mask.shape[2]))
    arrays: Arrays = {f"images.{role.value}": _ready(s.values[:, rows, columns])
                      for role, s in study.sequences.items()}
    arrays["mask"] = _ready(study.mask[:, rows, columns].astype(np.uint8))
    if study.wall is not None:
        arrays["wall"] = _ready(study.wall[:, rows, columns].astype(np.uint8))
    if study.insertion_points is not None:
        arrays["insertion_points"] = _ready(study.insertion_points)
    header = {
        "shape": list(study.mask.shape),
        "box": [rows.start, rows.stop, columns.start, columns.stop],
        "geometry": asdict(study.geometry), "file_axes": list(study.file_axes),
        "kinds": {role.value: s.kind.value for role, s in study.sequences.items()},
        "excluded": [[int(i), why] for i, why in study.excluded.items()],
        "warnings": list(study.warnings), "hashes": dict(study.hashes),
        "provenance": plain(study.provenance)}
    return json.loads(json.dumps(header)), arrays


def _ready(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    kind = values.dtype.newbyteorder("=") if values.dtype.kind in "iuf" else np.dtype(np.float64)
    return np.ascontiguousarray(values, dtype=kind)


def _study(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Study:
    shape, (top, bottom, left, right) = tuple(header["shape"]), header["box"]

    def whole(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        grid = np.zeros(shape, values.dtype)
        grid[:, top:bottom, left:right] = values
        return grid
    place = header["geometry"]
    return Study(
        {Role(role): Sequence(Role(role), whole(arrays[f"images.{role}"]), Kind(kind))
         for role, kind in header["kinds"].items()},
        whole(arrays["mask"]) > 0,
        Geometry(tuple(place["spacing"]), tuple(place["origin"]), tuple(place["direction"])),
        whole(arrays["wall"]) > 0 if "wall" in arrays else None,
        np.array(arrays["insertion_points"]) if "insertion_points" in arrays else None,
        {int(i): why for i, why in header["excluded"]}, list(header["warnings"]),
        dict(header["hashes"]), dict(header["provenance"]), tuple(header["file_axes"]))


def _digest(header: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.name} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
