"""A network that many images share, as a name and a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from deepgmm.errors import InputError

#: Networks whose levels and convolutions may be chosen; the others have their own.
SIZED = ("unet", "modified-unet")

#: Networks that can be asked for; those of MONAI need its package.
NAMES = (*SIZED, "unet++", "unetr", "swinunetr")

#: Input channels of a network that sees the mask alone, and of one that sees what lies around it
#: and the slices beside, see `Images.channels`.
INPUTS, INPUTS_AROUND = 8, 17

#: More than anyone trains, so that a card from a stranger cannot ask for all the memory.
_LARGEST = {"inputs": 64, "outputs": 64, "filters": 256, "levels": 6, "convolutions": 4}


@dataclass(frozen=True)
class Architecture:
    """A network's name and size.

    Attributes
    ----------
    name : one of `NAMES`.
    inputs, outputs : input channels (`Images.channels`), logits.
    filters : at the highest resolution. A multiple of 12 for swinunetr.
    levels, convolutions : downward steps and convolutions a stage of the networks in `SIZED`.

    Raises
    ------
    InputError : an unknown name, or a number that such a network cannot have.
    """

    name: str = "unet"
    inputs: int = INPUTS
    outputs: int = 4
    filters: int = 16
    levels: int = 3
    convolutions: int = 2

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"no network is called {self.name!r}: choose from {', '.join(NAMES)}")
        for name, largest in _LARGEST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= largest:
                raise InputError(f"{name} of a network is {value!r}: give a whole number from 1 "
                                 f"to {largest}")
        if self.name == "swinunetr" and self.filters % 12:
            raise InputError(f"filters of swinunetr is {self.filters}: give a multiple of 12")

    @property
    def sees_around(self) -> bool:
        """Whether it is shown what lies around the mask."""
        return self.inputs == INPUTS_AROUND

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """What `as_dict` gave.

        Raises
        ------
        InputError : a field that is missing or not known, or a value that it may not have.
        """
        wanted = {f.name for f in fields(cls)}
        if set(values) != wanted:
            raise InputError(f"an architecture has {', '.join(sorted(wanted))}, and not "
                             + (", ".join(sorted(map(str, values))) or "nothing"))
        return cls(**values)
