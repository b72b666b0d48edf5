"""What can go wrong, by whose fault; the doors turn these into exit statuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

_PATH = re.compile(r"""(?<![\w<.])(?:[A-Za-z]:)?(?:[\\/][^\s'"\\/:,;]+){2,}""")

#: Of a message, characters: with what the command line puts before it, it stays below 300.
LONGEST = 280

#: A word of a file or an option that is longer than this is cut.
_WORD = 80
_LONG_WORD = re.compile(rf"\S{{{_WORD},}}")

_FRAME = re.compile(r'^(\s*)File "(.+)", line (\d+)', re.MULTILINE)


def how_to_install(*requirements: str) -> str:
    """The command that brings packages to the Python that runs."""
    python = Path(sys.executable or "python").name
    return " ".join([python, "-m pip install", *(f"'{r}'" for r in requirements)])


def without_paths(text: str) -> str:
    """A text for a log, with "<path>" for whatever looks like one."""
    return _PATH.sub("<path>", text)


def short_frames(traceback: str) -> str:
    """A traceback that names of every file only the file and the two folders it lies in."""
    return _FRAME.sub(_shortened, traceback)


def _shortened(match: re.Match[str]) -> str:
    parts = re.split(r"[\\/]", match[2])[-3:]
    return f'{match[1]}File "{"/".join(parts)}", line {match[3]}'


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text as one line that a terminal shows, whatever stood in the file that it tells of.

    Of a long text the middle is left out: the start says what it is about, the end what to do.

    Parameters
    ----------
    longest : of the line, characters.
    """
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else "?" for c in line)
    line = _LONG_WORD.sub(lambda word: f"{word[0][:_WORD - 20]}...{word[0][-10:]}", line)
    if len(line) <= longest:
        return line
    end = longest // 3
    return f"{line[:longest - end - 5].rstrip()} ... {line[-end:].lstrip()}"


class DeepGMMError(Exception):
    """Base of the house's own errors. The message is one line that a user can act on.

    Whatever it repeats of a file or an option is `shortened`.

    Parameters
    ----------
    longest : of the message, characters; more only where many faults are told at once.

    Attributes
    ----------
    whole : the message before that, from which the log takes out what is a user's.
    private : words in it that the log must not hold, such as a user's names of cases.
    numbering : how the slices that it names by index are counted for a person
        (`deepgmm.study.levels.Numbering`), None where that is not known.
    """

    exit_status = 3
    private: tuple[str, ...] = ()
    numbering: Any = None

    def __init__(self, message: str = "", *, longest: int = LONGEST) -> None:
        super().__init__(shortened(message, longest))
        self.whole = " ".join(str(message).split())


class InputError(DeepGMMError, ValueError):
    """The input is at fault (exit status 2): what, where, and what to do."""

    exit_status = 2


class MissingPackages(InputError):
    """Packages that this input needs are not installed.

    Attributes
    ----------
    requirements : what pip must be asked for; a door that can install offers it.
    """

    def __init__(self, message: str, requirements: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.requirements = requirements


class ComputationError(DeepGMMError, RuntimeError):
    """The computation failed (exit status 3)."""

    exit_status = 3


class Cancelled(DeepGMMError):
    """The user stopped the work (exit status 130)."""

    exit_status = 130
