"""The card of a brain's network: what it is, which labels entered where, and its files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm.errors import InputError, how_to_install
from deepgmm.model.architecture import Architecture
from deepgmm.weights.card import NAME, LabelledCases, Learning, card_values, is_name
from deepgmm.weights.folder import read_as, save_as

if TYPE_CHECKING:
    from torch import nn

    from deepgmm.model.amortised import AmortisedNet

FORMAT, VERSION = "deepgmm brain network", 1

#: More channels and levels than anyone trains, so that a stranger's card cannot ask for all memory.
_WIDEST, _DEEPEST = 128, 6


class NetworkKind(str, Enum):
    """Which of the two systems a network is of."""

    UNSUPERVISED = "unsupervised"
    AMORTISED = "amortised"


def network_that_deforms() -> type[AmortisedNet]:
    """The class of amortised networks.

    Raises
    ------
    InputError : it needs MONAI, which is not installed.
    """
    try:
        from deepgmm.model.amortised import AmortisedNet
    except ImportError as missing:
        if (missing.name or "").split(".")[0] != "monai":
            raise
        raise InputError("a network that deforms an atlas needs MONAI: "
                         + how_to_install("monai>=1.5")) from missing
    return AmortisedNet


@dataclass(frozen=True)
class BrainCard:
    """What is known of a network besides its weights.

    Attributes
    ----------
    name : small letters, digits, dots, hyphens and underscores.
    title : one line for people.
    kind : slices to tissues (gmm-loss-brain-paper), or a brain and an atlas to a deformation
        (unsupervised-bayesian-atlas-slides).
    learning, labelled_cases : which labels it learned from, and where they entered.
    architecture : of slices {"name", "inputs", "outputs", "filters", "levels", "convolutions"};
        of an atlas {"tissues", "widths"}.
    contrast : "T1", ...; it says which tissue is the brightest.
    atlas : of an amortised network: its "sha256", "title", voxel size and the keys of its cases.
    training : data and settings: counts, seeds, hashed names of cases.
    licence : of the weights.
    scores, versions, sha256 : what it reached; of packages; of the weights' file.
    """

    name: str
    title: str
    kind: NetworkKind
    learning: Learning
    labelled_cases: LabelledCases
    architecture: dict[str, Any]
    contrast: str
    atlas: dict[str, Any]
    training: dict[str, Any]
    licence: str
    scores: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse what this version could not use.

        Raises
        ------
        InputError : naming the entry.
        """
        if not is_name(self.name):
            raise InputError(f"a network cannot be called {self.name!r}: use small letters, "
                             "digits, hyphens, dots and underscores, at most 64")
        cases = self.labelled_cases
        barred = {Learning.UNSUPERVISED: cases.priors + cases.atlas + cases.loss,
                  Learning.PRIORS: cases.loss}
        if barred.get(self.learning):
            raise InputError(f"the network '{self.name}' is called {self.learning.value}, but "
                             "labels entered its training: name it for what it is")
        if self.kind is NetworkKind.AMORTISED:
            widths = self.architecture.get("widths")
            possible = (set(self.architecture) == {"tissues", "widths"}
                        and self.architecture["tissues"] in range(2, 9)
                        and isinstance(widths, list)
                        and 2 <= len(widths) <= _DEEPEST
                        and all(type(w) is int and 1 <= w <= _WIDEST for w in widths))
            if not possible:
                raise InputError(f"{NAME}, architecture: "
                                 f"{json.dumps(self.architecture)[:60]} cannot be")
        else:
            Architecture.from_dict(self.architecture)

    def learned_cases(self) -> set[str]:
        """Keys of the cases that it, or its atlas, learned from."""
        lists = [part.get("cases") for part in (self.training, self.atlas)]
        return {str(key) for keys in lists if isinstance(keys, list) for key in keys}

    def made(self) -> nn.Module:
        """A network of this architecture, its weights drawn.

        Raises
        ------
        InputError : it needs MONAI, which is not installed.
        """
        import torch

        if self.kind is NetworkKind.UNSUPERVISED:
            from deepgmm.model.architectures import build

            return build(Architecture.from_dict(self.architecture))
        amortised = network_that_deforms()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return amortised(self.architecture["tissues"], self.architecture["widths"])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"format": FORMAT, "version": VERSION} | plain | {
            "kind": self.kind.value, "learning": self.learning.value,
            "labelled_cases": asdict(self.labelled_cases)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BrainCard:
        """What `as_dict` gave.

        Raises
        ------
        InputError : no such card, one of a later version, an entry that is missing, not known or
            of the wrong type.
        """
        if values.get("format") != FORMAT:
            raise InputError(f"{NAME} is not the card of a brain's network: give a folder made by "
                             "deepgmm brain train")
        if values.get("version") != VERSION:
            raise InputError(f"{NAME} is of version {values.get('version')!r} and this deepgmm "
                             f"reads version {VERSION}: update deepgmm")
        said = {key: value for key, value in values.items() if key not in ("format", "version")}
        wanted = {f.name for f in fields(cls)}
        if set(said) != wanted:
            odd = sorted(map(str, set(said) ^ wanted))
            raise InputError(f"{NAME} lacks, or has what is not known: {', '.join(odd)[:120]}")
        try:
            for key, kind in (("name", str), ("title", str), ("architecture", dict),
                              ("contrast", str), ("atlas", dict), ("training", dict),
                              ("licence", str), ("scores", dict), ("versions", dict),
                              ("sha256", str)):
                if type(said[key]) is not kind:
                    raise TypeError(key)
            said["kind"], said["learning"] = NetworkKind(said["kind"]), Learning(said["learning"])
            counts = said["labelled_cases"]
            if any(type(count) is not int or count < 0 for count in counts.values()):
                raise ValueError("labelled_cases")
            said["labelled_cases"] = LabelledCases(**counts)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{NAME} holds what cannot be: {str(error)[:80]}") from None
        return cls(**said)


def read_brain_card(path: Path) -> BrainCard:
    """The card in a file.

    Raises
    ------
    InputError : no such file, no JSON, or as `BrainCard.from_dict`.
    """
    return BrainCard.from_dict(card_values(
        path, missing="so that nothing says what they are: give a folder made by deepgmm brain "
                      "train", wrong="the card of a brain's network"))


def save_brain_network(folder: str | os.PathLike[str], network: nn.Module, card: BrainCard
                       ) -> BrainCard:
    """Weights and card, both or neither; as `weights.folder.save_network`."""
    return save_as(folder, network, card, card.made())


def load_brain_network(path: str | os.PathLike[str]) -> tuple[nn.Module, BrainCard]:
    """A network ready to be used, and its card; as `weights.folder.load_network`."""
    network, card, _ = read_as(path, read_brain_card, lambda card: card.made())
    return network, card
