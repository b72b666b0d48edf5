"""Stand-in for `slicer.parameterNodeWrapper`: typed fields kept in a parameter node.

Values are cached and read anew when the node is modified, as the real ones are: a reference to a
node that was removed stays until something modifies the parameter node.
"""

from __future__ import annotations

import logging
import typing
from typing import Any

import vtk
from PySide6.QtWidgets import QWidget

from .connectors import Connector, connector_of
from .serialisers import Serialiser, modifying, serialiser_of
from .validators import Default

PARAMETER_NAME = "SlicerParameterName"
_RESERVED = ("allParameters", "default", "isCached", "dataType", "getValue", "setValue",
             "connectGui", "connectParametersToGui", "disconnectGui", "StartModify", "EndModify",
             "AddObserver", "RemoveObserver", "Modified")


class _Field:
    """One field of a wrapped class."""

    def __init__(self, name: str, kind: Any, owner: type) -> None:
        self.name, self.kind = name, kind
        try:
            self.serialiser: Serialiser
            self.serialiser, others = serialiser_of(kind)
        except Exception as said:
            raise Exception(f"Unable to create serializer for {owner} member {name}") from said
        said_default = [one.value for one in others if isinstance(one, Default)]
        self.default = getattr(owner, name) if hasattr(owner, name) else (
            said_default[0] if said_default else self.serialiser.default)
        unused = [one for one in others if not isinstance(one, Default)]
        if unused:
            logging.warning("Unused annotations: %s", unused)

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance._values[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        instance._write(self, value)


class _Wrapper:
    """What every wrapped class can do."""

    allParameters: dict[str, _Field]

    def __init__(self, parameterNode: Any, prefix: str = "") -> None:
        self.parameterNode = parameterNode
        self._prefix = prefix
        self._values: dict[str, Any] = {}
        self._connected: dict[int, dict[str, Connector]] = {}
        self._busy = self._showing = False
        self._read()
        parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._on_modified())

    def _read(self) -> None:
        """All of it; what closing the scene took away gets its default again."""
        for name, field in self.allParameters.items():
            if not field.serialiser.is_in(self.parameterNode, self._prefix + name):
                self._write(field, field.default)
        self._values = {name: field.serialiser.read(self.parameterNode, self._prefix + name)
                        for name, field in self.allParameters.items()}

    def _on_modified(self) -> None:
        if not self._busy:
            self._read()

    def _write(self, field: _Field, value: Any) -> None:
        name = self._prefix + field.name
        self._busy = True
        try:
            with modifying(self.parameterNode):
                field.serialiser.write(self.parameterNode, name, value)
                self._values[field.name] = field.serialiser.read(self.parameterNode, name)
        finally:
            self._busy = False

    def _field(self, name: str) -> _Field:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def default(self, name: str) -> Default:
        return Default(self._field(name).default)

    def dataType(self, name: str) -> Any:
        return self._field(name).kind

    def getValue(self, name: str) -> Any:
        return self._values[self._field(name).name]

    def setValue(self, name: str, value: Any) -> None:
        self._write(self._field(name), value)

    def connectGui(self, gui: Any) -> int:
        """Bind every widget whose `SlicerParameterName` is a field, by what `ui` holds or below a
        widget."""
        is_widget = getattr(gui, "isWidgetType", bool)()
        below = gui.findChildren(QWidget) if is_widget else list(vars(gui).values())
        named = {widget.property(PARAMETER_NAME): widget for widget in below
                 if widget.property(PARAMETER_NAME)}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._field(name)
        made = {name: connector_of(widget, self._field(name).kind)
                for name, widget in mapping.items()}
        tag = len(self._connected)
        self._connected[tag] = made
        for name, connector in made.items():
            connector.write(self.getValue(name))
            connector.on_changed(lambda name=name, one=connector: self._from_gui(name, one))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._connected.get(tag, {}).values():
            connector.on_changed(None)
        self._connected[tag] = {}

    def _from_gui(self, name: str, connector: Connector) -> None:
        if not self._showing:
            self.setValue(name, connector.read())

    def _to_gui(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            with modifying(self.parameterNode):
                for made in self._connected.values():
                    for name, connector in made.items():
                        connector.write(self.getValue(name))
        finally:
            self._showing = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, before: int) -> int:
        return self.parameterNode.EndModify(before)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(kind: type | None = None) -> Any:
    """Decorator: a class of annotated fields becomes a wrapper of a parameter node."""
    if kind is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {name: _Field(name, hint, kind) for name, hint in hints.items()}
    for name in _RESERVED:
        if name in fields or hasattr(kind, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    members = {name: value for name, value in vars(kind).items()
               if name not in ("__dict__", "__weakref__", "__init__")}
    return type(kind.__name__, (_Wrapper,), {
        **members, **fields, "allParameters": fields, "_is_parameter_node_wrapper": True})


def isParameterNodeWrapper(what: Any) -> bool:
    """Whether a class or an object is of this making."""
    return getattr(what, "_is_parameter_node_wrapper", False)
