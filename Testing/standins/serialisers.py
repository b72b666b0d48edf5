"""How a value of the panel's state is kept in a parameter node.

Part of the stand-in for `slicer.parameterNodeWrapper`: takes and refuses the types that Slicer's
takes and refuses, and keeps them under the same names in the node.
"""

from __future__ import annotations

import contextlib
import enum
import pathlib
import typing
from collections.abc import Iterator, MutableMapping, MutableSequence
from typing import Any

import slicer

from .validators import IsInstance, IsNone, NotNone, Validator

_PATHS = (pathlib.Path, pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePath,
          pathlib.PurePosixPath, pathlib.PureWindowsPath)


def split_annotations(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and what `Annotated` says of it."""
    args = typing.get_args(typing.Annotated[kind, None])
    return args[0], args[1:-1]


def serialiser_of(annotated: Any) -> tuple[Serialiser, tuple[Any, ...]]:
    """The serialiser of a type, and the annotations that are not validators.

    Raises
    ------
    Exception
        A type that the real wrapper knows none for.
    """
    kind, annotations = split_annotations(annotated)
    made = _plain(kind)
    made.validators += [one for one in annotations if isinstance(one, Validator)]
    return made, tuple(one for one in annotations if not isinstance(one, Validator))


def _plain(kind: Any) -> Serialiser:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in (int, float):
        return Simple(str, kind, 0, NotNone(), IsInstance(kind if kind is int else (int, float)))
    if kind is str:
        return Simple(str, str, "", NotNone(), IsInstance(str))
    if kind is bool:
        return Simple(str, "True".__eq__, False, NotNone(), IsInstance(bool))
    if kind in _PATHS:
        return Simple(str, kind, kind(), NotNone(), IsInstance(kind))
    if kind is type(None):
        return Simple(lambda value: "True", lambda text: None, None, IsNone())
    if origin is list and len(args) == 1:
        return List(serialiser_of(args[0])[0])
    if origin is dict and len(args) == 2:
        return Dict(*(serialiser_of(one)[0] for one in args))
    if origin is tuple and args and ... not in args:
        return Tuple([serialiser_of(one)[0] for one in args])
    if origin is typing.Union:
        return Union([(one, serialiser_of(one)[0]) for one in args])
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return Node(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and len(kind):
        return Simple(lambda value: value.name, kind.__getitem__, next(iter(kind)),
                      IsInstance(kind))
    raise Exception(f"Unable to create serializer for type: {kind}")


class Serialiser:
    """Base: what the node keeps is under the parameter's name and names made from it."""

    def __init__(self, default: Any, *validators: Validator) -> None:
        self.default = default
        self.validators = list(validators)

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        self._write(node, name, value)

    def is_in(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class Simple(Serialiser):
    """One text in the node."""

    def __init__(self, to_text: Any, from_text: Any, default: Any, *validators: Validator) -> None:
        super().__init__(default, *validators)
        self._to_text, self._from_text = to_text, from_text

    def _write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, self._to_text(value))

    def read(self, node: Any, name: str) -> Any:
        return self._from_text(node.GetParameter(name))


class Node(Serialiser):
    """A reference to a node of the scene, with an empty parameter that says there may be none."""

    def __init__(self, kind: type) -> None:
        super().__init__(None, IsInstance(kind))

    def _write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class List(Serialiser):
    """A length and numbered elements."""

    def __init__(self, element: Serialiser) -> None:
        super().__init__([])
        self._element = element

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}_len") or 0)

    def is_in(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}_len"))

    def _write(self, node: Any, name: str, values: Any) -> None:
        values = list(values)
        with modifying(node):
            for value in values:
                self._element.validate(value)
            before = self._length(node, name)
            for i, value in enumerate(values):
                self._element.write(node, f"{name}_{i}", value)
            node.SetParameter(f"{name}_len", str(len(values)))
            for i in range(len(values), before):
                self._element.remove(node, f"{name}_{i}")

    def read(self, node: Any, name: str) -> ObservedList:
        return ObservedList(self, node, name, [self._element.read(node, f"{name}_{i}")
                                               for i in range(self._length(node, name))])

    def remove(self, node: Any, name: str) -> None:
        for i in range(self._length(node, name)):
            self._element.remove(node, f"{name}_{i}")
        node.UnsetParameter(f"{name}_len")


class Tuple(Serialiser):
    """A fixed number of numbered elements."""

    def __init__(self, elements: list[Serialiser]) -> None:
        super().__init__(tuple(one.default for one in elements))
        self._elements = elements

    def validate(self, value: Any) -> None:
        super().validate(value)
        if len(value) != len(self._elements):
            raise ValueError("Unexpected number of tuple values")
        for one, element in zip(value, self._elements):
            element.validate(one)

    def is_in(self, node: Any, name: str) -> bool:
        return self._elements[0].is_in(node, f"{name}_0")

    def _write(self, node: Any, name: str, values: Any) -> None:
        with modifying(node):
            for i, (value, element) in enumerate(zip(values, self._elements)):
                element.write(node, f"{name}_{i}", value)

    def read(self, node: Any, name: str) -> tuple[Any, ...]:
        return tuple(one.read(node, f"{name}_{i}") for i, one in enumerate(self._elements))

    def remove(self, node: Any, name: str) -> None:
        for i, element in enumerate(self._elements):
            element.remove(node, f"{name}_{i}")


class Dict(Serialiser):
    """A list of pairs."""

    def __init__(self, key: Serialiser, value: Serialiser) -> None:
        super().__init__({})
        self._pairs = List(Tuple([key, value]))

    def is_in(self, node: Any, name: str) -> bool:
        return self._pairs.is_in(node, name)

    def _write(self, node: Any, name: str, value: Any) -> None:
        self._pairs.write(node, name, value.items())

    def read(self, node: Any, name: str) -> ObservedDict:
        return ObservedDict(self, node, name, dict(self._pairs.read(node, name)))

    def remove(self, node: Any, name: str) -> None:
        self._pairs.remove(node, name)


class Union(Serialiser):
    """The one of several serialisers that takes the value; its number is part of the name."""

    def __init__(self, members: list[tuple[Any, Serialiser]]) -> None:
        optional = len(members) == 2 and members[1][0] is type(None)
        super().__init__(None if optional else members[0][1].default)
        self._members = members

    def validate(self, value: Any) -> None:
        super().validate(value)
        self._index(value)

    def _index(self, value: Any) -> int:
        refused: Exception | None = None
        for i, (kind, member) in enumerate(self._members):
            if _suits(split_annotations(kind)[0], type(value)):
                try:
                    member.validate(value)
                    return i
                except (TypeError, ValueError) as said:
                    refused = said
        raise refused or TypeError(
            f"Unable to write value '{value}' of type '{type(value)}'")

    def is_in(self, node: Any, name: str) -> bool:
        return any(m.is_in(node, f"{name}.{i}") for i, (_, m) in enumerate(self._members))

    def _write(self, node: Any, name: str, value: Any) -> None:
        with modifying(node):
            i = self._index(value)
            self.remove(node, name)
            self._members[i][1].write(node, f"{name}.{i}", value)

    def read(self, node: Any, name: str) -> Any:
        return next(m.read(node, f"{name}.{i}") for i, (_, m) in enumerate(self._members)
                    if m.is_in(node, f"{name}.{i}"))

    def remove(self, node: Any, name: str) -> None:
        for i, (_, member) in enumerate(self._members):
            member.remove(node, f"{name}.{i}")


def _suits(kind: Any, given: type) -> bool:
    """Whether a value's type is of the same sort as a member: any node for any node class."""
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return issubclass(given, slicer.vtkMRMLNode)
    if kind in (int, float):
        return given in (int, float)
    return given is kind


@contextlib.contextmanager
def modifying(node: Any) -> Iterator[None]:
    """Many changes of a node, one event."""
    before = node.StartModify()
    try:
        yield
    finally:
        node.EndModify(before)


class _Observed:
    """A container whose every change is written to the node."""

    def __init__(self, serialiser: Serialiser, node: Any, name: str, values: Any) -> None:
        self._keep = serialiser, node, name
        self._values = values

    def _save(self) -> None:
        serialiser, node, name = self._keep
        try:
            serialiser.write(node, name, self._values)
        finally:
            self._values = serialiser.read(node, name)._values

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[key] = value
        self._save()

    def __delitem__(self, key: Any) -> None:
        del self._values[key]
        self._save()

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, type(self)) else other)


class ObservedList(_Observed, MutableSequence):
    """A list. `+` and `*` are refused."""

    def insert(self, index: int, value: Any) -> None:
        self._values.insert(index, value)
        self._save()

    def sort(self, **how: Any) -> None:
        self._values.sort(**how)
        self._save()

    def __add__(self, other: object) -> Any:
        raise NotImplementedError("Adding an ObservedList is not supported")

    __radd__ = __mul__ = __rmul__ = __add__

    def __repr__(self) -> str:
        return f"ObservedList({self._values})"


class ObservedDict(_Observed, MutableMapping):
    """A dict. `get` and `pop` take no default."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def get(self, key: Any) -> Any:
        return self._values.get(key)

    def pop(self, key: Any) -> Any:
        value = self._values.pop(key)
        self._save()
        return value

    def __repr__(self) -> str:
        return f"ObservedDict({self._values})"
