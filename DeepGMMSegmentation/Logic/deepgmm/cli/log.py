"""The log: every error with its traceback, and no path of a user's file."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

from deepgmm import __version__

#: A log that has grown beyond this is begun anew.
_LARGEST = 1_000_000

_PATH = re.compile(r"""(?<![\w<.])(?:[A-Za-z]:)?(?:[\\/][^\s'"\\/:,;]+){2,}""")
_FRAME = re.compile(r'^(\s*)File "(.+)", line (\d+)', re.MULTILINE)


def default_log() -> Path:
    """Where the log is unless --log says otherwise: the user's state folder."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Logs"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    return base / "deepgmm" / "deepgmm.log"


def log_error(error: BaseException, arguments: list[str]) -> str:
    """Append an error and its traceback to the log.

    Returns
    -------
    where : " (log: PATH)" for a message to the user; empty where no log could be written.
    """
    text = "".join(traceback.TracebackException.from_exception(error).format())
    text = _scrubbed(_FRAME.sub(_shortened, text), arguments)
    entry = (f"{time.strftime('%Y-%m-%d %H:%M:%S')} deepgmm {__version__}\n"
             f"{_command_line(arguments)}\n{text}\n")
    wanted = _option(arguments, "--log")
    places = [Path(wanted)] if wanted else [
        default_log(), Path(tempfile.gettempdir()) / f"deepgmm-{os.getpid()}.log"]
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            full = place.is_file() and place.stat().st_size > _LARGEST
            with place.open("w" if full else "a", encoding="utf-8",
                            errors="backslashreplace") as stream:
                stream.write(entry)
            return f" (log: {place})"
        except (OSError, ValueError):
            continue
    return ""


def _option(arguments: list[str], name: str) -> str | None:
    for i, argument in enumerate(arguments):
        if argument == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None


def _named(arguments: list[str]) -> list[tuple[str, str]]:
    """(value, role) of every argument that may be a path."""
    named, role = [], ""
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if argument.startswith("-") and len(argument) > 1:
            role = name.lstrip("-")
            if not equals:
                continue
        else:
            value = argument
        if number and (re.search(r"[\\/.]", value) or Path(value).exists()):
            named.append((value, f"<{role or 'input'}>"))
        role = ""
    return named


def _command_line(arguments: list[str]) -> str:
    roles = dict(_named(arguments))
    words = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        words.append(f"{name}={roles.get(value, value)}" if equals and argument.startswith("-")
                     else roles.get(argument, argument))
    return " ".join(["deepgmm", *words])


def _scrubbed(text: str, arguments: list[str]) -> str:
    """Users' paths out of a text: first those given, by their roles, then whatever looks so."""
    known: dict[str, str] = {}
    for value, role in _named(arguments):
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
            head, colon, message = line.partition(": ")
            message = given.sub(lambda match: known[match[0]], message)
            line = head + colon + _PATH.sub("<path>", message)
        lines.append(line)
    return "".join(lines)


def _shortened(match: re.Match[str]) -> str:
    parts = Path(match[2]).parts[-3:]
    return f'{match[1]}File "{"/".join(parts)}", line {match[3]}'
