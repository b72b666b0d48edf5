"""Damaged JSON files and networks, and options of the command line that cannot be."""

from __future__ import annotations

import copy
import json
import shutil
import struct
from functools import cache
from pathlib import Path
from typing import Any

from damage import NUMBERS, QUICK, WORDS, Desk, spoilt

from deepgmm.identify.contrast import SHIPPED

_DEEP = 100_000

#: What no JSON value should be where another type is wanted.
_STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 10 ** 40, "", "x" * 10_000, [], {}, [[]], {"a": 1}, [None], "../up",
    "a\0b", "/etc/hostname", "line\nbreak", "nan", 0.5, float("nan"), float("inf"),
    ["x" * 500] * 50, "lge.nii.gz", {"x" * 5000: 1}, [1, "a", None], 3, "\ud800")


def _paths(value: Any, so_far: tuple = ()) -> list[tuple]:
    """Where values stand in a JSON value."""
    inner = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ())
    return [so_far, *(p for key, item in inner for p in _paths(item, (*so_far, key)))]


def _changed(desk: Desk, content: Any) -> Any:
    """A value replaced, taken away, or under another name."""
    content = copy.deepcopy(content)
    for _ in range(desk.choose((1, 1, 2))):
        *road, last = desk.choose(_paths(content)[1:] or [("nothing",)])
        place = content
        for step in road:
            place = place[step]
        how = desk.choose(("value", "value", "value", "gone", "name", "more"))
        new = desk.choose(_STRANGE)
        desk.say(f"{'.'.join(map(str, (*road, last)))}: {how}, {repr(new)[:60]}")
        if how == "gone" and isinstance(place, (dict, list)):
            place.pop(last, None) if isinstance(place, dict) else place.pop(last)
        elif how == "name" and isinstance(place, dict):
            place[desk.choose(WORDS)] = place.pop(last, None)
        elif how == "more" and isinstance(place, dict):
            place[desk.choose(WORDS)] = new
        else:
            place[last] = new
    return content


def _as_text(desk: Desk, content: Any) -> bytes:
    """Written as others write: with marks, in other letters, twice the same key, too deep."""
    text = json.dumps(content, indent=1).encode()
    how = desk.choose(("plain",) * 6 + ("bom", "utf-16", "utf-32", "latin", "twice", "deep",
                                        "deeper", "two", "long number", "bytes", "empty",
                                        "constants", "keys"))
    desk.say(how)
    if how == "bytes":
        return spoilt(desk, text)
    return {
        "plain": text, "bom": b"\xef\xbb\xbf" + text, "utf-16": text.decode().encode("utf-16"),
        "utf-32": text.decode().encode("utf-32"), "latin": text[:-1] + b',"\xfc":1}',
        "twice": b"{" + text.strip()[1:-1] + b"," + text.strip()[1:-1] + b"}",
        "deep": b"[" * _DEEP + b"]" * _DEEP, "two": text + text, "empty": b"",
        "deeper": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
        "long number": text.replace(b"1", b"1" * 5000, 1),
        "constants": text.replace(b"1", b"NaN", 1),
        "keys": b"{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}",
    }[how]


@cache
def _a_study() -> dict[str, Any]:
    one = {"kind": "lge-psir", "kind_confidence": 0.9, "is": "LGE, PSIR", "view": "short axis",
           "why": ["PSIR in ImageType"], "series": [31], "trigger_ms": 600.0, "file": "lge.nii.gz",
           "slices": [{"layer": n, "along_mm": 8.0 * n, "moved_mm": [0.0, 0.0]} for n in range(3)],
           "sha256": {"lge": "0" * 64}}
    cine = one | {"kind": "bssfp", "file": "bssfp.nii.gz", "cine": "cine.nii",
                  "times_ms": [20.0, 220.0, 420.0, 620.0], "interval_ms": 900.0,
                  "phase": {"frame": 3, "of": 4, "why": "nearest"}}
    return {"format": "deepgmm study", "version": 1, "sequences": {"bssfp": cine, "lge": one},
            "warnings": ["LGE: something"], "remarks": [], "left": []}


def study_json(desk: Desk) -> list[Any]:
    """The study.json of a study folder."""
    folder = desk.folder / "study"
    folder.mkdir()
    for name in ("lge.nii.gz", "bssfp.nii.gz", "mask.nii.gz", "cine.nii"):
        shutil.copy(desk.good.path(name), folder / name)
    desk.write("study/study.json", _as_text(desk, _changed(desk, _a_study())))
    use = desk.choose(("segment", "segment", "phase", "import", "priors"))
    if use == "priors":
        shutil.copy(desk.good.path("truth.nii.gz"), folder / "labels.nii.gz")
        cases = desk.good.cases(desk.folder / "cases")
        shutil.rmtree(cases / "one")
        shutil.copytree(folder, cases / "one")
        return ["priors", cases, "-o", desk.out / "priors.json"]
    if use == "import":
        from damaged_dicom import _examination

        _examination(desk)
        shutil.copytree(folder, desk.out / "study")
        desk.kept = desk.contents()
        return ["import", desk.folder / "exam", "-o", desk.out / "study", "--force"]
    more = desk.choose((["--phase", "1"], ["--phase", "match"])) if use == "phase" else []
    return ["segment", "--study", folder, *desk.outputs(), *QUICK, *more]


def priors_json(desk: Desk) -> list[Any]:
    """The user's own contrast priors."""
    own = json.loads((SHIPPED / "lge-psir.json").read_text())
    kinds = {"lge-psir": own, "lge-magnitude": own, "lge-unknown": own, "lge-dark-blood": own}
    content = desk.choose((kinds, {"kinds": kinds, "cases": ["a", "b"]}))
    made = desk.write("priors.json", _as_text(desk, _changed(desk, content)))
    method = desk.choose(("map", "gmm"))
    return [*desk.segment(priors=made), "--method", method]


def phantom_json(desk: Desk) -> list[Any]:
    """The phantom.json of labelled cases."""
    cases = desk.good.cases(desk.folder / "cases")
    content = {"seed": 1, "kinds": {"bssfp": "bssfp", "lge": "lge-magnitude",
                                    "t2": "t2-dark-blood"}}
    desk.write("cases/one/phantom.json", _as_text(desk, _changed(desk, content)))
    return ["priors", cases, "-o", desk.out / "priors.json"]


@cache
def _a_network() -> tuple[bytes, dict[str, Any]]:
    import tempfile

    from small_networks import save_small

    with tempfile.TemporaryDirectory() as place:
        folder = save_small(Path(place) / "small")
        return ((folder / "network.safetensors").read_bytes(),
                json.loads((folder / "card.json").read_text()))


def network(desk: Desk) -> list[Any]:
    """A network's card and its weights."""
    import hashlib

    weights, card = _a_network()
    what = desk.choose(("card", "card", "weights", "header", "text"))
    if what == "card":
        card = _changed(desk, card)
    elif what == "weights":
        weights = spoilt(desk, weights)
    elif what == "header":
        length, = struct.unpack("<Q", weights[:8])
        head = json.loads(weights[8:8 + length])
        head = json.dumps(_changed(desk, head)).encode()
        claimed = desk.choose((len(head), len(head), 0, 1 << 62, (1 << 64) - 1, 1 << 40))
        weights = struct.pack("<Q", claimed) + head + weights[8 + length:]
    if what in ("weights", "header") and isinstance(card, dict):
        card = card | {"sha256": hashlib.sha256(weights).hexdigest()}  # as its maker would
    place = desk.choose(("given", "shelf"))
    folder = "given" if place == "given" else "shelf/small"
    desk.write(f"{folder}/network.safetensors", weights)
    desk.write(f"{folder}/card.json", _as_text(desk, card) if what == "text"
               else json.dumps(card).encode())
    name = desk.folder / folder if place == "given" else "small"
    desk.say(f"{what}, {place}")
    return desk.choose((
        ["models", "show", name], ["models", "show", name, "--json"], ["models", "verify", name],
        ["models", "list"], ["models", "list", "--json"],
        ["models", "import", desk.folder / folder, "--name", "other"],
        [*desk.segment(), "--method", "pretrained", "--model", name],
        [*desk.segment(), "--method", "pretrained", "--model", name]))


# Options

_NUMERIC = ("--seed", "--degrees", "--outlier", "--restarts", "--mean-weight", "--total-variation",
            "--bias-degree", "--adapt", "--slices", "--phase")
_WORDY = ("--lge-kind", "--t2-kind", "--mask-labels", "--slices", "--phase", "--method", "--preset",
          "--device", "--covariance", "--tissues", "--papillary", "--align", "--model")
_LISTS = ("0-99999999999999", "0-0", "0,0,0", "2-1", ",", "0,", "-1", "0--2", "0-1-2", "1" * 5000,
          "٠", "0;1", "0 - 2", "*", "0x1", "1e0", ",".join(["0"] * 3000))


def option_values(desk: Desk) -> list[Any]:
    """Numbers, words and lists that cannot be."""
    words = []
    for _ in range(desk.choose((1, 1, 2))):
        name = desk.choose(_NUMERIC + _WORDY)
        value = desk.choose(NUMBERS + _LISTS) if name in _NUMERIC else desk.choose(WORDS + NUMBERS)
        value = value.replace("\0", "?")  # the system hands on none
        words += [f"{name}={value}"] if desk.chance(0.7) else [name, value]
        desk.say(f"{name} {value[:60]!r}")
    files = {"bssfp": desk.good.path("cine.nii")} if desk.chance(0.2) else {}
    return [*desk.segment(**files), *words]


def _name(desk: Desk) -> Any:
    """What stands where a file should: too long, a folder, nothing, a device, itself."""
    folder = desk.folder / "a folder"
    folder.mkdir(exist_ok=True)
    empty = desk.write("empty.nii.gz", b"")
    text = desk.write("text.nrrd", b"not an image\n" * 100)
    return desk.choose((
        "", " ", "n" * 300, "n" * 5000, "n" * 300 + ".nii.gz", "n" * 251 + ".nii",
        desk.folder / ("m" * 300) / "x.nii.gz", "d/" * 3000 + "x.nii", "Müller 患者.nii.gz",
        desk.folder / "line\nbreak.nii", "a\udcff.nii.gz", folder, empty, text, "-", "--", "~x",
        "/dev/null/x.nii.gz", folder / "..", desk.good.path("lge.nii.gz"), desk.good.folder,
        desk.good.path("mask.nii.gz"), desk.good.path("lge.nii.gz") / "x", "http://x.y/z.nii",
        "*.nii.gz", "%s.nii", desk.folder / "nowhere.nii.gz", desk.folder / "nowhere" / "x.nrrd"))


def option_files(desk: Desk) -> list[Any]:
    """Names of inputs and outputs of which no file can be read or made."""
    arguments = desk.segment()
    for _ in range(desk.choose((1, 1, 2))):
        name = desk.choose(("--study", "--bssfp", "--lge", "--t2", "--mask", "--mask-dicom",
                            "--wall", "-o", "--labelmap", "--probabilities", "--montage",
                            "--align-picture", "--report", "--priors", "--model", "--log"))
        value = _name(desk)
        desk.say(f"{name} {str(value)[-60:]!r}")
        if name in arguments:
            arguments[arguments.index(name) + 1] = value
        else:
            arguments += [name, value]
    return arguments


def other_commands(desk: Desk) -> list[Any]:
    """Names and words given to the other commands."""
    one, two = _name(desk), _name(desk)
    if not str(one).startswith("/"):
        one = one if desk.chance(0.5) else desk.folder / str(one)
    number = desk.choose(NUMBERS)
    word = desk.choose(WORDS).replace("\0", "?")
    out = desk.out
    arguments = desk.choose((
        ["evaluate", one, two, "--json"], ["evaluate", one, desk.good.path("truth.nii.gz")],
        ["evaluate", desk.good.path("truth.nii.gz"), one, f"--tissues={word}"],
        ["evaluate", desk.good.folder / "truth", one],
        ["import", one], ["import", one, "-o", out / "study"],
        ["import", desk.good.folder, f"--lge={word}", f"--phase={number}"],
        ["priors", one, "-o", out / "priors.json"], ["priors", desk.good.folder, "-o", one],
        ["priors", one, "-o", out / "priors.json", f"--cases={number}", f"--seed={number}"],
        ["models", "show", word], ["models", "show", one], ["models", "verify", one],
        ["models", "import", one], ["models", "import", one, f"--name={word}"],
        ["models", "remove", word, "--yes"], ["models", word],
        ["phantom", "-o", out / "made", "--patients", "1", f"--slices={number}"],
        ["phantom", "-o", out / "made", f"--patients={number}", f"--seed={word}"],
        ["phantom", "-o", out / "made", "--patients", "1", f"--sequences={word}"],
        ["phantom", "-o", out / "made", "--patients", "1", f"--difficulty={number}"],
        ["myops", one, "-o", out / "tables"], ["train", one, "-o", out / "trained"],
        ["train", desk.good.folder, "-o", out / "trained", f"--steps={number}",
         f"--batch={number}"],
        [word], [word, one], [f"--{word}"], ["segment", word], ["segment", f"--{word}={number}"],
        ["segment", f"-{word}"]))
    desk.say(" ".join(str(a)[-40:] for a in arguments))
    return arguments


KINDS = (study_json, priors_json, phantom_json, network, option_values, option_files,
         other_commands)

