"""A network's card: what it is, how it came about and what it may be used for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from deepgmm.errors import InputError
from deepgmm.files import read_json
from deepgmm.model.architecture import INPUTS, INPUTS_AROUND, Architecture
from deepgmm.study.words import FOUR_TISSUES, Role, Tissue

NAME, FORMAT, VERSION = "card.json", "deepgmm network", 1

#: How intensities and depths reach a network; a new number with every change.
NORMALISATION = (1, "per study and sequence, the 2nd to 98th percentile inside the LV mask to -1 "
                    "to 1, cut at 8; depth in units of 10 mm")


#: A card is a page or two.
_LARGEST = 1_000_000


class Learning(str, Enum):
    """Which labels a network learned from, in any way; the later ones are worth more."""

    UNSUPERVISED = "unsupervised"
    PRIORS = "unsupervised with contrast priors"
    SYNTHETIC = "synthetic-supervised"
    PARTLY = "partly labelled"
    SUPERVISED = "supervised"


@dataclass(frozen=True)
class LabelledCases:
    """How many labelled cases entered where."""

    priors: int = 0
    atlas: int = 0
    loss: int = 0
    tuning: int = 0


@dataclass(frozen=True)
class Card:
    """What is known of a network besides its weights.

    Attributes
    ----------
    name : of its folder on the shelf: small letters, digits, dots, hyphens and underscores.
    title : one line for people.
    learning : which labels it learned from.
    labelled_cases : how many of them, and where.
    architecture : see `Architecture`.
    sequences : that it was trained with, together or some of them.
    tissues : of its logits, in their order.
    temperature : of the densities in its posterior, see `deepgmm.model.images.read`.
    priors : the contrast priors used, in words.
    training : the data and settings: counts, seeds, hashed names of cases; and, where they differ
        from `temperature`, the `temperatures` of some sets of sequences, {"bssfp+lge+t2": 4.0}.
    scores : what it reached, and where.
    familiar : the training studies as the mixture saw them: for each set of sequences
        ("bssfp+lge+t2") the mean and standard deviation of some measures,
        {"nll": {"mean": ..., "sd": ...}}.
    licence : of the weights.
    normalisation, normalisation_version : see `NORMALISATION`.
    versions : of the packages it was made with; filled in when it is saved.
    sha256 : of the file of weights; filled in when it is saved.
    """

    name: str
    title: str
    learning: Learning
    labelled_cases: LabelledCases
    architecture: Architecture
    sequences: tuple[Role, ...]
    temperature: float
    priors: str
    training: dict[str, Any]
    licence: str
    scores: dict[str, Any] = field(default_factory=dict)
    familiar: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    tissues: tuple[Tissue, ...] = FOUR_TISSUES
    normalisation: str = NORMALISATION[1]
    normalisation_version: int = NORMALISATION[0]
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
        a, usual = self.architecture, Architecture()
        known = a.inputs in (INPUTS, INPUTS_AROUND) and a.outputs == usual.outputs
        if not known or self.tissues != FOUR_TISSUES:
            raise InputError(f"the network '{self.name}' has {a.inputs} inputs and {a.outputs} "
                             f"outputs; this version reads those of {INPUTS} or {INPUTS_AROUND} "
                             "and of "
                             + ", ".join(tissue.name.lower() for tissue in FOUR_TISSUES))
        if self.normalisation_version != NORMALISATION[0]:
            raise InputError(f"the network '{self.name}' wants images normalised in another way "
                             f"(version {self.normalisation_version}): update deepgmm")
        several = self.training.get("temperatures", {})
        if not isinstance(several, dict) or not {type(t) for t in several.values()} <= {int, float}:
            raise InputError(f"{NAME}, training: temperatures must be a number for each set of "
                             "sequences")
        for temperature in (self.temperature, *several.values()):
            if not 0 < temperature < float("inf"):
                raise InputError(f"the temperature of the network '{self.name}' is "
                                 f"{temperature}: it must be a positive number")
        cases = self.labelled_cases
        barred = {Learning.UNSUPERVISED: cases.priors + cases.atlas + cases.loss,
                  Learning.PRIORS: cases.loss}
        if barred.get(self.learning):
            raise InputError(f"the network '{self.name}' is called {self.learning.value}, but "
                             "labels entered its training: name it for what it is")

    def learned_cases(self) -> set[str]:
        """Keys of the cases that it learned from, those of the network it began with included."""
        before = self.training.get("began_with")
        lists = [part.get("cases") for part in (self.training, before) if isinstance(part, dict)]
        # a card may hold their number alone
        return {str(key) for keys in lists if isinstance(keys, list) for key in keys}

    def temperature_of(self, sequences: str) -> float:
        """The temperature for a set of sequences, named as in `familiar`."""
        return float(self.training.get("temperatures", {}).get(sequences, self.temperature))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"format": FORMAT, "version": VERSION} | plain | {
            "learning": self.learning.value,
            "labelled_cases": asdict(self.labelled_cases),
            "architecture": self.architecture.as_dict(),
            "sequences": [role.value for role in self.sequences],
            "tissues": [tissue.name.lower() for tissue in self.tissues]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Card:
        """What `as_dict` gave.

        Raises
        ------
        InputError : no card, one of a later version, an entry that is missing, not known or of
            the wrong type.
        """
        if values.get("format") != FORMAT:
            raise InputError(f"{NAME} is not the card of one of deepgmm's networks")
        if values.get("version") != VERSION:
            raise InputError(f"{NAME} is of version {values.get('version')!r} and this deepgmm "
                             f"reads version {VERSION}: update deepgmm")
        said = {key: value for key, value in values.items() if key not in ("format", "version")}
        for wrong, what in ((set(_READERS) - set(said), "lacks"),
                            (set(said) - set(_READERS), "has what is not known:")):
            if wrong:
                raise InputError(f"{NAME} {what} {', '.join(sorted(wrong))}")
        return cls(**{key: _read(key, value) for key, value in said.items()})


def is_name(text: str) -> bool:
    """Whether a network may be called so."""
    return re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", text) is not None


def read_card(path: Path) -> Card:
    """The card in a file.

    Raises
    ------
    InputError : no such file, no JSON, or as `Card.from_dict`.
    """
    return Card.from_dict(card_values(
        path, missing="so that nothing says what they are: give a folder made by deepgmm train, or "
                      "import one", wrong="the card of one of deepgmm's networks"))


def card_values(path: Path, *, missing: str, wrong: str) -> dict[str, Any]:
    """What a card of any kind of network holds, not judged yet.

    Parameters
    ----------
    missing, wrong : the ends of the messages where there is no card, or no object in it.

    Raises
    ------
    InputError : no such file, or no JSON object.
    """
    try:
        values = read_json(path, _LARGEST)
    except FileNotFoundError:
        raise InputError(f"no {NAME} lies beside the weights, {missing}") from None
    except OSError as error:
        raise InputError(f"{NAME} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{NAME} is damaged: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{NAME} is not {wrong}")
    return values


def _read(key: str, value: Any) -> Any:
    try:
        return _READERS[key](value)
    except InputError as error:
        raise InputError(f"{NAME}, {key}: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise InputError(f"{NAME}, {key}: {json.dumps(value)[:60]} cannot be") from None


def _a(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value
    return check


def _number(value: Any) -> float:
    return float(value if type(value) is int else _a(float)(value))


def _count(value: Any) -> int:
    if _a(int)(value) < 0:
        raise ValueError
    return int(value)


def _labelled_cases(value: Any) -> LabelledCases:
    return LabelledCases(**{f.name: _count(value[f.name]) for f in fields(LabelledCases)})


def _familiar(value: Any) -> dict[str, dict[str, dict[str, float]]]:
    return {sequences: {measure: {key: _number(numbers[key]) for key in ("mean", "sd")}
                        for measure, numbers in measures.items()}
            for sequences, measures in _a(dict)(value).items()}


def _hash(value: Any) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", _a(str)(value)):
        raise ValueError
    return str(value)


def _several(kind: Callable[[Any], Any]) -> Callable[[Any], tuple]:
    def check(value: Any) -> tuple:
        found = tuple(map(kind, _a(list)(value)))
        if not found or len(set(found)) < len(found):
            raise ValueError
        return found
    return check


_READERS: dict[str, Callable[[Any], Any]] = {
    "name": _a(str), "title": _a(str), "learning": Learning, "labelled_cases": _labelled_cases,
    "architecture": lambda value: Architecture.from_dict(_a(dict)(value)),
    "sequences": _several(Role), "tissues": _several(lambda name: Tissue.named(_a(str)(name))),
    "temperature": _number, "priors": _a(str), "training": _a(dict), "licence": _a(str),
    "scores": _a(dict), "familiar": _familiar, "normalisation": _a(str),
    "normalisation_version": _a(int),
    "versions": lambda value: {key: _a(str)(text) for key, text in _a(dict)(value).items()},
    "sha256": _hash}
