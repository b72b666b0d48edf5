"""What a parameter's value must be. Part of the stand-in for `slicer.parameterNodeWrapper`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Choice", "Decimals", "Default", "Exclude", "IsInstance", "Maximum", "Minimum",
           "NotNone", "SingleStep", "Validator", "WithinRange"]


class Validator:
    """Base of all; raises when a value is refused."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


@dataclass
class Default:
    """The value before any was set."""

    value: Any


@dataclass
class Decimals:
    """Digits that a spin box or slider shows."""

    value: int


@dataclass
class SingleStep:
    """Step of a spin box or slider."""

    value: float


class NotNone(Validator):
    """Refuses None."""

    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class IsNone(Validator):
    """Refuses all but None."""

    def validate(self, value: Any) -> None:
        if value is not None:
            raise ValueError("Value must be None")


@dataclass
class IsInstance(Validator):
    """Refuses other types; None passes."""

    classtype: Any

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type '{self.classtype}', is {value!r}")


@dataclass
class WithinRange(Validator):
    """Between two bounds, both included."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within [{self.minimum}, {self.maximum}]")


@dataclass
class Minimum(Validator):
    """Not less."""

    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is less than {self.minimum}")


@dataclass
class Maximum(Validator):
    """Not more."""

    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is more than {self.maximum}")


@dataclass
class Choice(Validator):
    """One of these."""

    choices: Any

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value} is none of {self.choices}")


@dataclass
class Exclude(Validator):
    """None of these."""

    excludedValues: Any

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value} is one of {self.excludedValues}")
