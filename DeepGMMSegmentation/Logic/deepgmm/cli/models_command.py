"""`deepgmm models`: the networks on the shelf; what is known of each."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.weights.shelf import Shelved

models = typer.Typer()

Which = Annotated[str, typer.Argument(
    metavar="NAME", help="On the shelf, or a network's folder. By default the shipped one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@models.callback(invoke_without_command=True)
def shelf(context: typer.Context) -> None:
    """Trained networks: list, show, verify, import and remove them.

    A network is a folder with network.safetensors and card.json, as deepgmm train writes it. Those
    of your own lie in your data folder, or where DEEPGMM_MODELS says.

    Example:

        deepgmm models list
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@models.command("list")
def list_networks(json: AsJson = False, log: options.Log = None) -> None:
    """List the networks on the shelf.

    Example:

        deepgmm models list
    """
    from deepgmm.weights.shelf import listed

    found = listed()
    if json:
        print(json_format.dumps([_entry(shelved) for shelved in found], indent=2))
        return
    for shelved in found:
        print(f"{shelved.name}: {_line(shelved)}")
    if not found:
        print("no networks: deepgmm models import FOLDER brings one")


def _entry(shelved: Shelved) -> dict[str, Any]:
    card = shelved.card
    return {"name": shelved.name, "folder": str(shelved.folder), "shipped": shelved.shipped,
            "title": card.title if card else None,
            "learning": card.learning.value if card else None,
            "problem": shelved.problem or None}


def _line(shelved: Shelved) -> str:
    place = "shipped" if shelved.shipped else "yours"
    if shelved.card is None:
        return f"cannot be used: {shelved.problem} ({place})"
    problem = f"; {shelved.problem}" if shelved.problem else ""
    return f"{shelved.card.title} ({shelved.card.learning.value}; {place}{problem})"


@models.command()
def show(name: Which = "", json: AsJson = False, log: options.Log = None) -> None:
    """Print a network's card.

    It says what the network is, how it came about and what it reached.

    Example:

        deepgmm models show
    """
    from deepgmm.weights.card import NAME, read_card
    from deepgmm.weights.shelf import find

    found = find(name)
    card = read_card((found if found.is_dir() else found.parent) / NAME).as_dict()
    print(json_format.dumps(card, indent=2) if json else "\n".join(_lines(card)))


def _lines(values: dict[str, Any], indent: str = "") -> Iterator[str]:
    """A card as indented text."""
    for key, value in values.items():
        title = f"{indent}{key.replace('_', ' ')}:"
        if isinstance(value, dict):
            yield title if value else f"{title} none"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
            yield title
            yield from _lines({str(i): one for i, one in enumerate(value, 1)}, indent + "  ")
        elif isinstance(value, list):
            yield f"{title} " + (", ".join(map(_plainly, value)) or "none")
        else:
            yield f"{title} {_plainly(value)}"


def _plainly(value: object) -> str:
    """A value as people read it; `--json` has all digits."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value) if value != "" else "none"


@models.command()
def verify(name: Annotated[str, typer.Argument(
        metavar="NAME", help="On the shelf, or a network's folder. By default all on the "
        "shelf.")] = "", log: options.Log = None) -> None:
    """Load networks to see that they are whole.

    Example:

        deepgmm models verify
    """
    from deepgmm.weights.folder import load_network
    from deepgmm.weights.shelf import find, listed

    wrong, places = [], [find(name)] if name else [shelved.folder for shelved in listed()]
    for place in places:
        try:
            network, card = load_network(place)
        except InputError as error:
            if name:
                raise
            wrong.append(place.name)
            print(f"{place.name}: {error}")
        else:
            count = sum(value.numel() for value in network.parameters())
            print(f"{card.name}: sound, {count} weights, SHA-256 {card.sha256}")
    if wrong:
        raise InputError(f"{len(wrong)} of {len(places)} networks cannot be used: "
                         f"{', '.join(wrong)}; import them again")


@models.command("import")
def import_one(
    path: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="A network's folder, or its file of weights beside its card.")],
    name: Annotated[str | None, typer.Option(
        metavar="NAME", help="What it shall be called; by default as its card says.")] = None,
    log: options.Log = None,
) -> None:
    """Put a network on your shelf.

    It can then be named. It is loaded first as if it were to be used; pickles are refused.

    Example:

        deepgmm models import trained --name our-scanner
    """
    from deepgmm.weights.shelf import import_model

    shelved = import_model(path, name)
    print(f"{shelved.name}: {_line(shelved)}")
    print(f"use it with: deepgmm segment --method pretrained --model {shelved.name}")


@models.command()
def remove(
    name: Annotated[str, typer.Argument(
        metavar="NAME", help="Of a network of your own on the shelf.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    log: options.Log = None,
) -> None:
    """Take a network of your own off the shelf and delete it.

    What came with deepgmm stays. Segmentations made with the network stay as they are, and so does
    the folder that it was imported from.

    Example:

        deepgmm models remove our-scanner
    """
    from deepgmm.weights.shelf import removable, remove_model

    shelved = removable(name)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("nothing was removed, for there is no terminal to ask at: add --yes")
        if not typer.confirm(f"Delete {name}: {_line(shelved)}?"):
            print("nothing was removed")
            return
    remove_model(name)
    print(f"removed {name}")
