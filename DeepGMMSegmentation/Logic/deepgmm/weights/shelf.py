"""Where networks lie: those that ship with the library, and those of the user."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from deepgmm.errors import InputError
from deepgmm.files import unwritable
from deepgmm.user_folders import Purpose, user_folder
from deepgmm.weights.card import NAME, Card, is_name, read_card

SHIPPED = Path(__file__).resolve().parent.parent / "data" / "models"

#: Of the environment: another folder for the user's networks.
VARIABLE = "DEEPGMM_MODELS"


@dataclass(frozen=True)
class Shelved:
    """A network on the shelf.

    Attributes
    ----------
    name : of its folder.
    folder : where it lies.
    shipped : whether it came with the library.
    card : none where it cannot be read.
    problem : what is wrong with the card, else empty. The weights are not looked at.
    """

    name: str
    folder: Path
    shipped: bool
    card: Card | None
    problem: str = ""


def own_folder() -> Path:
    """Where the user's networks lie: in the user's data folder, unless `VARIABLE` says where."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    return user_folder(Purpose.DATA) / "models"


def listed() -> list[Shelved]:
    """All networks on the shelf, the shipped ones first, by name.

    Raises
    ------
    InputError : the user's folder cannot be read.
    """
    return [_shelved(folder, shipped) for place, shipped in ((SHIPPED, True), (own_folder(), False))
            for folder in _folders(place)]


def find(name: str | os.PathLike[str] = "") -> Path:
    """The folder, or file of weights, of a network.

    Parameters
    ----------
    name : of a network on the shelf, where the user's come before the shipped ones; else a path.
        Empty means the shipped one.

    Raises
    ------
    InputError : there is none, or several ship and none was named.
    """
    if not os.fspath(name):
        shipped = _folders(SHIPPED)
        if len(shipped) != 1:
            ship = f"{len(shipped)} networks ship" if shipped else "no network ships"
            raise InputError(f"{ship} with this deepgmm, and none was named" + _known())
        return shipped[0]
    if is_name(str(name)):
        for place in (own_folder(), SHIPPED):
            if (place / name).is_dir():
                return place / name
    path = Path(name)
    if not path.exists():
        raise InputError("there is no network of that name or path" + _known())
    return path


def import_model(path: str | os.PathLike[str], name: str | None = None) -> Shelved:
    """Put a network on the user's shelf, after loading it as if it were to be used.

    Parameters
    ----------
    path : as for `deepgmm.weights.folder.load_network`.
    name : under which it shall lie there; by default its card's.

    Raises
    ------
    InputError
        As `load_network`; a name that cannot be or is taken; a shelf that cannot be written to.
    """
    from deepgmm.weights.folder import read, write

    _, card, weights = read(path)
    card = replace(card, name=card.name if name is None else name)
    taken = next((s for s in listed() if s.name == card.name), None)
    if taken:
        raise InputError(f"a network called '{card.name}' is on the shelf already: give another "
                         "name with --name" + ("" if taken.shipped else ", or take that one off "
                                               f"with deepgmm models remove {card.name}"))
    shelf = own_folder()
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".deepgmm-", dir=shelf))
    except OSError as error:
        raise unwritable(error, "network's place on the shelf") from error
    try:
        write(beside / card.name, weights, card)
        os.rename(beside / card.name, shelf / card.name)
    except OSError as error:
        raise unwritable(error, "network's place on the shelf") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _shelved(shelf / card.name, shipped=False)


def removable(name: str) -> Shelved:
    """A network that `remove_model` would delete.

    Raises
    ------
    InputError
        No network of the user's has that name, or its folder holds more than a network.
    """
    from deepgmm.weights.folder import WEIGHTS

    found = [s for s in listed() if s.name == name]
    if not found:
        raise InputError("there is no network of that name" + _known())
    if found[-1].shipped:
        raise InputError(f"'{name}' came with deepgmm and stays: only networks of your own can be "
                         "removed")
    folder = found[-1].folder
    try:
        others = {p.name for p in folder.iterdir()} - {NAME, WEIGHTS}
    except OSError as error:
        raise unwritable(error, "network's place on the shelf") from error
    if others and not folder.is_symlink():
        raise InputError(f"the folder of '{name}' holds more than a network ({len(others)} other "
                         "files or folders): move them elsewhere first")
    return found[-1]


def remove_model(name: str) -> Shelved:
    """Delete a network of the user's; of one that is linked to from the shelf, only the link.

    Raises
    ------
    InputError : as `removable`; a shelf that cannot be written to.
    """
    shelved = removable(name)
    try:
        if shelved.folder.is_symlink():
            shelved.folder.unlink()
            return shelved
        # whoever lists the shelf meanwhile never sees half a network
        beside = Path(tempfile.mkdtemp(prefix=".deepgmm-", dir=shelved.folder.parent))
        try:
            os.rename(shelved.folder, beside / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise unwritable(error, "network's place on the shelf") from error
    return shelved


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(p for p in place.iterdir() if is_name(p.name) and p.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"the folder of networks cannot be read ({error.strerror}): see "
                         f"{VARIABLE}") from error


def _shelved(folder: Path, shipped: bool) -> Shelved:
    try:
        card, problem = read_card(folder / NAME), ""
    except InputError as error:
        return Shelved(folder.name, folder, shipped, None, str(error))
    if card.name != folder.name:
        problem = f"its card calls it '{card.name}'"
    return Shelved(folder.name, folder, shipped, card, problem)


def _known() -> str:
    names = ", ".join(shelved.name for shelved in listed())
    return f": on the shelf are {names}" if names else (
        ": none is on the shelf, where deepgmm models import puts one")
