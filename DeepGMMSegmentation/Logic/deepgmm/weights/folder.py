"""A network's folder: its weights, which can hold numbers only, and its card."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from deepgmm import __version__
from deepgmm.errors import ComputationError, InputError
from deepgmm.files import IMAGE_SUFFIXES, together, unwritable
from deepgmm.model.architectures import build
from deepgmm.weights import card as cards
from deepgmm.weights.card import Card, read_card

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "network.safetensors"

#: Endings of files that are pickles, or archives of them.
_PICKLED = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".zip", ".tar", ".gz")

#: How such files begin: zip archives, pickles of protocol 2 to 5, gzip.
_MAGIC = (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6)), b"\x1f\x8b")

_NO_PICKLE = ("the network is a pickle or an archive, which could run a stranger's program: ask "
              f"for a folder with {WEIGHTS} and {cards.NAME}")


class AnyCard(Protocol):
    """What every network's card has, of whatever kind."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    def as_dict(self) -> dict[str, Any]: ...


CardT = TypeVar("CardT", bound=AnyCard)


def save_network(folder: str | os.PathLike[str], network: nn.Module, card: Card) -> Card:
    """Write a network and its card, both or neither; older ones of that folder are replaced.

    Parameters
    ----------
    folder : made if it is not there; its parent must be.
    network : of the card's architecture, on any device.
    card : its hash and the packages' versions are filled in.

    Returns
    -------
    card : as written.

    Raises
    ------
    InputError
        The folder cannot be written to, or the disk is full.
    ComputationError
        Weights or numbers on the card that are not finite, or weights that are not those of
        the card's architecture.
    """
    return save_as(folder, network, card, build(card.architecture))


def save_as(folder: str | os.PathLike[str], network: nn.Module, card: CardT, made: nn.Module
            ) -> CardT:
    """As `save_network`, with a card of any kind.

    Parameters
    ----------
    card : a dataclass with `versions` and `sha256`, which are filled in.
    made : a network as the card's architecture has it.
    """
    import torch
    from safetensors.torch import save

    weights = {name: value.detach().to("cpu", torch.float32).contiguous()
               for name, value in network.named_parameters()}
    problem = _misfit(weights, made)
    if problem:
        raise ComputationError(f"the network cannot be saved: {problem}")
    content = save(weights)
    card = replace(card, versions=_versions(),  # type: ignore[type-var]
                   sha256=hashlib.sha256(content).hexdigest())
    write(Path(folder), content, card)
    return card


def write(folder: Path, weights: bytes, card: AnyCard) -> None:
    """Write a file of weights and a card, both or neither; as `save_network`."""
    try:
        text = json.dumps(card.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ComputationError("the network cannot be saved: a number on its card is not finite"
                               ) from error
    ours = not folder.exists()
    try:
        if ours:
            folder.mkdir()
        elif not folder.is_dir():
            raise InputError("the network's folder cannot be made: a file has that name; choose "
                             "another")
        with together() as outputs:
            for name, what, content in (
                    (WEIGHTS, "network", weights),
                    (cards.NAME, "network's card", f"{text}\n".encode())):
                try:
                    outputs.path(folder / name, what).write_bytes(content)
                except OSError as error:
                    raise unwritable(error, what) from error
    except BaseException as error:
        if ours:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise unwritable(error, "network's folder") from error
        raise


def load_network(path: str | os.PathLike[str]) -> tuple[nn.Module, Card]:
    """A network ready to be used, and its card.

    Parameters
    ----------
    path : a network's folder, or its file of weights, beside which its card lies.

    Raises
    ------
    InputError
        Nothing there, a pickle by name or by content, no card, a card that cannot be or that
        does not belong to the weights, damaged or changed weights, weights that are no numbers.
    """
    network, card, _ = read(path)
    return network, card


def read(path: str | os.PathLike[str]) -> tuple[nn.Module, Card, bytes]:
    """As `load_network`, with the content of the file of weights."""
    return read_as(path, read_card, lambda card: build(card.architecture))


def read_as(path: str | os.PathLike[str], card_in: Callable[[Path], CardT],
            make: Callable[[CardT], nn.Module]) -> tuple[nn.Module, CardT, bytes]:
    """As `read`, with a card of any kind.

    Parameters
    ----------
    card_in : reads a card's file; make : a network as a card's architecture has it.
    """
    import torch

    try:
        source = _weights_file(Path(path))
        content = source.read_bytes()
    except OSError as error:
        raise InputError(f"the network's weights cannot be read: {error.strerror}") from error
    if _looks_pickled(content):
        raise InputError(_NO_PICKLE)
    card = card_in(source.parent / cards.NAME)
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise InputError(f"the weights of the network '{card.name}' are damaged, or are not those "
                         f"that {cards.NAME} is about: copy or import the network again")
    weights = _tensors(content, card)
    network = make(card)
    problem = _misfit(weights, network)
    if problem:
        raise InputError(f"the network '{card.name}' cannot be used: {problem}")
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(weights[name])
    return network.eval(), card, content


def _weights_file(path: Path) -> Path:
    """The file of weights that a user means."""
    if path.is_dir():
        if (path / WEIGHTS).is_file():
            return path / WEIGHTS
        if any(map(_named_pickle, path.iterdir())):
            raise InputError(_NO_PICKLE)
        raise InputError(f"the network's folder holds no {WEIGHTS}: give a folder made by deepgmm "
                         "train, or a name that deepgmm models list prints")
    if not path.is_file():
        raise InputError("the network does not exist: give its folder, or a name that deepgmm "
                         "models list prints")
    if _named_pickle(path):
        raise InputError(_NO_PICKLE)
    return path.parent / WEIGHTS if path.name == cards.NAME else path


def _named_pickle(path: Path) -> bool:
    """By its ending; an image may be packed without being one."""
    name = path.name.lower()
    return name.endswith(_PICKLED) and not name.endswith(IMAGE_SUFFIXES)


def _looks_pickled(content: bytes) -> bool:
    """By its first bytes, which in a safetensors file are the length of the text that follows."""
    length = int.from_bytes(content[:8], "little")
    whole = length <= len(content) - 8 and content[8:9] == b"{"
    # a safetensors file cut short goes on with a 0, and those others never
    return not whole and content.startswith(_MAGIC) and content[2:3] != b"\0"


def _tensors(content: bytes, card: AnyCard) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(content))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the weights of the network '{card.name}' are no safetensors file: "
                         "copy or import the network again") from error


def _misfit(weights: Mapping[str, Tensor], network: nn.Module) -> str:
    """Why weights cannot be those of a network; empty where they can."""
    wanted = dict(network.named_parameters())
    if set(weights) != set(wanted):
        odd = sorted(set(weights) ^ set(wanted))
        return (f"its weights are not those of the architecture on its card ({len(odd)} names "
                f"differ, such as {odd[0][:60]!r})")
    for name, value in wanted.items():
        given = weights[name]
        if (given.shape, given.dtype) != (value.shape, value.dtype):
            return (f"its weights '{name}' are {tuple(given.shape)} {given.dtype}, where its card "
                    f"says {tuple(value.shape)} {value.dtype}")
        if not given.isfinite().all():
            return f"its weights '{name}' are not all finite numbers"
    return ""


def _versions() -> dict[str, str]:
    found = {"deepgmm": __version__, "python": platform.python_version()}
    for package in ("torch", "monai", "safetensors", "lightning-fabric"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
