"""Stand-in for `slicer.packaging`: installs nothing, does what a test says.

>>> packages.will("decline")      # or "fail", "succeed"
>>> packages.calls                # what was asked for
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from . import dialogs


@dataclass
class _User:
    """What happens when an install is asked for, and which packages there are."""

    does: str = "succeed"
    installed: dict[str, str] | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)


_user = _User()
calls = _user.calls


def will(do: str, installed: dict[str, str] | None = None) -> None:
    """The next installs succeed, are declined or fail; `installed` are names and versions of all
    packages there are, or None for those that really are there."""
    if do not in ("succeed", "decline", "fail"):
        raise ValueError(do)
    _user.does, _user.installed = do, installed


def forget() -> None:
    """As it was before any test."""
    will("succeed")
    calls.clear()


def load_requirements(path: str | Path) -> list[Requirement]:
    """The lines of a requirements file that name a package."""
    lines = (line.split("#")[0].strip() for line in Path(path).read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pip_check(req: Any, _seen: Any = None) -> bool:
    """Whether all of these are there, in a fitting version."""
    return all(_is_there(one) for one in _requirements(req))


def pip_ensure(requirements: Any, constraints: str | Path | None = None,
               skip_packages: list[str] | None = None, prompt_install: bool = True,
               prompt_restart: bool = True, requester: str | None = None,
               skip_in_testing: bool = True, show_progress: bool = True) -> list[str] | None:
    """Install what is missing, after asking.

    Raises
    ------
    RuntimeError
        The user declined.
    subprocess.CalledProcessError
        pip failed.
    """
    missing = [one for one in _requirements(requirements)
               if not _is_there(one) and one.name not in (skip_packages or [])]
    if not missing:
        return None
    if prompt_install:
        dialogs.asked.append(dialogs.Asked(
            f"{requester}: install {', '.join(map(str, missing))}?", "Install Python packages?",
            ("Ok", "Cancel"), "Cancel" if _user.does == "decline" else "Ok"))
        if _user.does == "decline":
            raise RuntimeError("User declined to install required Python packages.")
    return pip_install([str(one) for one in missing], constraints=constraints,
                       skip_packages=skip_packages, requester=requester,
                       show_progress=show_progress)


def pip_install(requirements: Any, constraints: str | Path | None = None,
                no_deps_requirements: Any = None, skip_packages: list[str] | None = None,
                blocking: bool = True, show_progress: bool = True, requester: str | None = None,
                logCallback: Any = None, completedCallback: Any = None) -> list[str] | None:
    """Install; here only noted down."""
    wanted = _requirements(requirements)
    calls.append({"requirements": [str(one) for one in wanted],
                  "constraints": None if constraints is None else Path(
                      constraints).read_text("utf-8"), "requester": requester})
    if _user.does == "fail":
        raise subprocess.CalledProcessError(1, ["pip", "install"])
    if _user.installed is not None:
        _user.installed.update({one.name: "1000" for one in wanted})
    return None


def pip_uninstall(requirements: Any, blocking: bool = True, logCallback: Any = None,
                  completedCallback: Any = None) -> None:
    """Take away; here only from what `will` says there is."""
    for one in _requirements(requirements):
        (_user.installed or {}).pop(one.name, None)


def isPipInstallInProgress() -> bool:
    """Whether one runs now: never."""
    return False


def _requirements(given: Any) -> list[Requirement]:
    every = given if isinstance(given, list) else given.split("\n") if isinstance(
        given, str) else [given]
    return [one if isinstance(one, Requirement) else Requirement(one) for one in every if one]


def _is_there(one: Requirement) -> bool:
    from importlib import metadata

    if one.marker is not None and not one.marker.evaluate():
        return True
    try:
        version = metadata.version(one.name) if _user.installed is None else (
            _user.installed.get(one.name))
    except metadata.PackageNotFoundError:
        version = None
    return version is not None and one.specifier.contains(version, prereleases=True)
