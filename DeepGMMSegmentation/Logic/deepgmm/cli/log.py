"""The log: every error with its traceback, and no path of a user's file."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deepgmm import __version__
from deepgmm.errors import DeepGMMError, short_frames, shortened, without_paths
from deepgmm.user_folders import Purpose, user_folder

#: A log that has grown beyond this is begun anew.
_LARGEST = 1_000_000

#: Characters of a line that is not ours.
_LONGEST_LINE = 2000

COMMANDS = ("segment", "demo", "phantom", "evaluate", "import", "priors", "models", "train",
            "myops", "quantify", "report", "propose-mask", "refine", "versions",
            "cohort", "brain")

#: Commands within a command.
PARTS = {"models": ("list", "show", "verify", "import", "remove"),
         "brain": ("segment", "atlas", "train", "table", "demo")}

#: Options whose values are words or numbers of ours; what follows any other is kept back.
_WORDS = frozenset((
    "lge-kind", "t2-kind", "mask-labels", "slices", "phase", "align", "method", "preset", "device",
    "covariance", "seed", "tissues", "papillary", "degrees", "outlier", "restarts", "mean-weight",
    "total-variation", "bias-degree", "patients", "patient", "set", "difficulty", "sequences",
    "layout", "validation", "labelled", "labelled-by", "network", "filters", "levels",
    "convolutions", "likelihood-weight", "label-weight", "teacher-weight", "variation-weight",
    "bare", "temperature", "steps", "batch", "learning-rate", "warm-up", "weight-decay", "clip",
    "validate-every", "patience", "missing", "precision", "checkpoint-every", "table", "seeds",
    "training-steps", "segments", "t2-ms", "done", "border", "reopen", "from-version",
    "compare", "back", "seconds", "workers", "memory", "contrast", "smoothness", "turned",
    "fractions", "networks", "sulci", "brain"))

#: Options that take no value.
_FLAGS = frozenset(("--resample", "--mvo", "--identified", "--force", "--resume",
                    "--no-augmentation", "--dashboard", "--drawn-only", "--by-segment",
                    "--around", "--affine", "--quick", "--dicom", "--quiet", "-q", "--json",
                    "--yes", "--help", "-h", "--version"))

#: The system's reasons not even to look for a file.
_NO_NAME = {
    errno.ENAMETOOLONG: "its name is too long for a file's: check it, or choose a shorter one",
    errno.ELOOP: "its name leads round in a circle of links: give the file itself",
    errno.EACCES: "its folder may not be looked into: change its permissions, or choose another",
}
_SHORT = "oqh"
_GLUED = re.compile(r"(-(?!-)[qh]*[^\Wqh])(.+)", re.DOTALL)


def default_log() -> Path:
    """Where the log is unless --log says otherwise."""
    return user_folder(Purpose.LOGS) / "deepgmm.log"


def log_error(error: BaseException, arguments: list[str]) -> str:
    """Append an error and its traceback to the log.

    Returns
    -------
    where : " (log: PATH)" for a message to the user; empty where no log could be written.
    """
    text = "".join(traceback.TracebackException.from_exception(error).format())
    if isinstance(error, DeepGMMError):  # of a name cut short too little is left to know it by
        text = text.replace(str(error), error.whole)
    text = _scrubbed(short_frames(text), arguments, getattr(error, "private", ()))
    entry = (f"{time.strftime('%Y-%m-%d %H:%M:%S')} deepgmm {__version__}\n"
             f"{_command_line(arguments)}\n{text}\n")
    wanted = _option(arguments, "--log")
    places = [Path(wanted)] if wanted else [
        default_log(), Path(tempfile.gettempdir()) / f"deepgmm-{os.getpid()}.log"]
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            full = place.is_file() and place.stat().st_size > _LARGEST
            with open(place, "w" if full else "a", encoding="utf-8",
                      errors="backslashreplace", opener=_private) as stream:
                stream.write(entry)
            return f" (log: {place})"
        except (OSError, ValueError):
            continue
    return ""


def _private(place: str, flags: int) -> int:
    """Open a file that none but the user can read, also where it is older than this rule."""
    descriptor = os.open(place, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        with suppress(OSError):
            os.chmod(place, 0o600)
    return descriptor


def refusal_of(error: OSError, arguments: list[str]) -> str:
    """What the user can do about a name that the system takes for no file's; "" for other errors.

    Whoever opens a file says what its role is. This is for what fails before: to ask whether there
    is such a file.
    """
    if error.errno not in _NO_NAME:
        return ""
    reason, option = _NO_NAME[error.errno], ""
    for before, value, _ in _parsed(arguments):
        option = before.rstrip("=") or option
        try:
            os.stat(value)
        except (OSError, ValueError) as same:
            if getattr(same, "errno", None) == error.errno and option.strip("-") not in _WORDS:
                return f"{option or 'a file or folder that was given'}: {reason}"
        option = value if value.startswith("-") else ""
    return f"a file or folder that was given, or one in it: {reason}"


def _option(arguments: list[str], name: str) -> str | None:
    for i, argument in enumerate(arguments):
        if argument == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None


def _parsed(arguments: list[str]) -> Iterator[tuple[str, str, str]]:
    """(what stands before a value, the value, its role) of every argument; a role where the
    value may be a user's: whatever follows an option that is not known to take a word."""
    option, only_values = "", False
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        before, value, role = "", argument, option or "input"
        if not option and not only_values and argument.startswith("-") and len(argument) > 1:
            glued = _GLUED.match(argument)
            if argument == "--":
                only_values = True
            elif equals and name.startswith("--"):
                before, value, role = f"{name}=", argument[len(name) + 1:], name.lstrip("-")
            elif glued:
                before, value, role = glued[1], glued[2], glued[1][-1]
            elif argument.startswith("--") or argument.strip("-") in _SHORT:
                option = "" if argument in _FLAGS else argument.lstrip("-")
            if value == argument:
                yield "", argument, ""
                continue
        option = ""
        ours = value in COMMANDS if number == 0 else (
            role in _WORDS or number == 1 and value in PARTS.get(arguments[0], ()))
        yield before, value, "" if ours and not _looks_a_path(value) else f"<{role}>"


def _looks_a_path(value: str) -> bool:
    return bool(re.search(r"[\\/.]", value)) or os.path.exists(value)


def _command_line(arguments: list[str]) -> str:
    return " ".join(["deepgmm", *(before + (role or value)
                                  for before, value, role in _parsed(arguments))])


def _scrubbed(text: str, arguments: list[str], private: tuple[str, ...] = ()) -> str:
    """Users' words out of a text: first those given, by their roles, then whatever looks like a
    path."""
    known = {name: "<name>" for name in private if len(name) > 2}
    for _, value, role in _parsed(arguments):
        if not role:
            continue
        path = Path(value)
        for spelling in (value, os.path.abspath(value), os.path.realpath(value), path.name,
                         path.name.split(".")[0], os.path.dirname(os.path.abspath(value))):
            # Two letters are in every text.
            if len(spelling) > 2:
                known.setdefault(spelling, role)
                known.setdefault(repr(spelling)[1:-1], role)
    longest_first = sorted(known, key=len, reverse=True)
    given = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
    lines = []
    for line in text.splitlines(keepends=True):
        # Frames and their source lines are indented, and are ours or a library's.
        if not line.startswith(" "):
            head, colon, message = line.partition(": ") if ": " in line else ("", "", line)
            message = given.sub(lambda match: known[match[0]], message)
            line = head + colon + without_paths(message)
            if len(line) > _LONGEST_LINE:
                line = shortened(line, _LONGEST_LINE) + "\n"
        lines.append(line)
    return "".join(lines)
