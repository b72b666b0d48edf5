"""Damaged messages to the worker, checkpoints of trainings, reports and points read back."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from damage import QUICK, Desk, spoilt
from damaged_texts import _as_text, _changed
from study_files import OBLIQUE, ORIGIN, SPACING

from deepgmm.cli.main import main
from deepgmm.study.study import Geometry


def markups(desk: Desk) -> list[Any]:
    """The points of a `.mrk.json`."""
    grid = Geometry(SPACING, ORIGIN, OBLIQUE).index_to_world()
    points = [{"label": f"RV-{row}", "position": (grid @ [7.0, row, 1.0, 1.0])[:3].tolist(),
               "positionStatus": "defined"} for row in (16, 31)]  # beside the wall, left
    content = {"@schema": "markups", "markups": [
        {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points}]}
    made = desk.write("points.mrk.json", _as_text(desk, _changed(desk, content)))
    return ["quantify", desk.good.path("truth.nii.gz"), "--labels", "deepgmm", "--rv-points", made,
            "-o", desk.out / "numbers.json", "--quiet"]


@cache
def _a_report(good: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        written = Path(place, "report.json")
        status = main([str(word) for word in (
            "segment", "--lge", good / "lge/lge.nii.gz", "--mask", good / "mask/mask.nii.gz",
            "--report", written, *QUICK)])
        assert status == 0
        return json.loads(written.read_text())


def report_json(desk: Desk) -> list[Any]:
    """The report of a run, read back for its intervals."""
    made = desk.write("report.json", _as_text(desk, _changed(
        desk, _a_report(desk.good.folder))))
    return ["quantify", desk.good.path("truth.nii.gz"), "--labels", "deepgmm", "--from-report",
            made, "-o", desk.out / "numbers.json", "--quiet"]


def _train(words: list[str]) -> int:
    """Without the picture of the curves, which takes longer than the training."""
    with patch("deepgmm.training.loop.write_curves"):
        return main(words)


@cache
def _a_training(good: Any) -> tuple[bytes, dict[str, Any]]:
    """A checkpoint after one of two steps, as files: tensors and words."""
    with tempfile.TemporaryDirectory() as place:
        cases, out = good.cases(Path(place, "cases"), ["lge"]), Path(place, "out")
        with patch("deepgmm.training.checkpoints.remove"):
            assert _train([str(word) for word in (
                "train", cases, "-o", out, "--steps", 2, "--checkpoint-every", 1, "--filters", 2,
                "--levels", 1, "--convolutions", 1, "--batch", 2, "--teacher-weight", 0,
                "--validation", 0, "--no-augmentation", "--quiet")]) == 0
        stem = out / "checkpoints" / "step-0000001"
        return (stem.with_suffix(".safetensors").read_bytes(),
                json.loads(stem.with_suffix(".json").read_text()))


def checkpoint(desk: Desk) -> list[Any]:
    """A checkpoint of `train`: words and tensors; mostly with the hash that goes with them, as
    another version of a program may have written it."""
    tensors, words = _a_training(desk.good)
    words = json.loads(json.dumps(words))
    what = desk.choose(("words", "words", "settings", "tensors", "text", "nothing"))
    if what == "settings":
        words["settings"] = _changed(desk, words["settings"])
    elif what == "words":
        words = _changed(desk, words)
    elif what == "tensors":
        tensors = spoilt(desk, tensors)
    settings = words.get("settings") if isinstance(words, dict) else None
    if isinstance(settings, dict):  # a long training is no fault
        for name in ("steps", "batch"):
            if type(settings.get(name, 99)) is int and settings.get(name, 99) > 4:
                settings[name] = 2
    if isinstance(words, dict) and desk.chance(0.8):
        words.pop("sha256", None)
        with contextlib.suppress(TypeError, UnicodeError, ValueError):
            words["sha256"] = hashlib.sha256(
                tensors + json.dumps(words, sort_keys=True).encode()).hexdigest()
    desk.say(what)
    name = desk.out.name + "/trained/checkpoints/step-0000001"
    desk.write(name + ".safetensors", tensors)
    desk.write(name + ".json", _as_text(desk, words) if what == "text" else
               json.dumps(words).encode("utf-8", "surrogatepass"))
    desk.kept = desk.contents()
    desk.run = _train
    return ["train", desk.good.cases(desk.folder / "cases", ["lge"]), "-o", desk.out / "trained",
            "--resume", "--quiet"]


# To the worker

@cache
def _an_order(good: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A header and arrays that ask for a segmentation."""
    from deepgmm import Settings, read_study
    from deepgmm.jobs.tasks import segment_request

    study = read_study(lge=good.path("lge.nii.gz"), mask=good.path("mask.nii.gz"))
    return segment_request(study, Settings(method="gmm", restarts=1))


def _sent(header: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    from deepgmm.jobs.protocol import pieces

    return b"".join(bytes(piece) for piece in pieces(header, arrays))


def _sendable(value: Any) -> Any:
    """Half a character cannot be sent, and stands here for a whole one."""
    return json.loads(json.dumps(value).replace("\\ud800", "?"))


def worker_message(desk: Desk) -> list[Any]:
    """What comes to the worker: bytes changed anywhere, headers and arrays that do not fit."""
    request, arrays = _an_order(desk.good)
    arrays = dict(arrays)
    header: Any = {"say": "do", "job": 3, "task": "segment", "header": request}
    what = desk.choose(("bytes", "request", "request", "arrays", "described", "nothing"))
    desk.say(what)
    if what == "request":
        header["header"] = _sendable(_changed(desk, json.loads(json.dumps(request))))
    elif what == "arrays":
        name = desk.choose(sorted(arrays))
        values = arrays[name]
        arrays[name] = desk.choose((
            values[:0], values[..., None], values[0], values.astype(np.uint8), values * np.nan,
            np.zeros((4, 4, 4), np.float32), values.T.copy(), ~values.astype(bool)))
        desk.say(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
        if desk.chance(0.3):
            del arrays[name]
    content = _sent(header, arrays)
    if what == "bytes":
        content = spoilt(desk, content)
    elif what == "described":  # the list of arrays in the header alone
        length = int.from_bytes(content[4:8], "little")
        said = json.loads(content[8:8 + length])
        said["arrays"] = _changed(desk, {"a": said["arrays"]}).get("a")
        text = json.dumps(said).encode("utf-8", "surrogatepass")
        content = content[:4] + len(text).to_bytes(4, "little") + text + content[8 + length:]
    desk.run = lambda words: _answered(content)
    return ["a message to the worker"]


class _Listener:
    """Stands for the stream to whoever started the worker."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def say(self, what: str, arrays: Any = None, **words: Any) -> None:
        _sent({"say": what, **words}, arrays or {})  # it can be sent
        self.said.append((what, words))


class _Nobody:
    """Stands for orders: none waits, and nothing is cancelled."""

    def cancelled(self, job: int) -> bool:
        return False


def _answered(content: bytes) -> int:
    """Do what a message asks for, as the worker does; a status as the command's."""
    from deepgmm.jobs import service
    from deepgmm.jobs.protocol import ProtocolError, read_message

    try:
        message = read_message(io.BytesIO(content))
    except (ProtocolError, MemoryError):  # the worker ends, or says that there is no memory
        message = None
    if message is None or not isinstance(message[0], dict) or "job" not in message[0] \
            or "task" not in message[0] or "header" not in message[0]:
        print("deepgmm: error: no message", file=sys.stderr)
        return 2
    listener = _Listener()
    with contextlib.redirect_stderr(io.StringIO()):  # the worker's log
        service._do(message, _Nobody(), listener, "")  # type: ignore[arg-type]
    answers = [(what, words) for what, words in listener.said if what != "progress"]
    assert len(answers) == 1, answers
    (what, words), = answers
    if what == "done":
        return 0
    assert what == "failed" and words["kind"] in ("input", "computation", "dependencies", "memory")
    print("deepgmm: error: " + words["message"], file=sys.stderr)
    return 2


KINDS = (markups, report_json, checkpoint, worker_message)
