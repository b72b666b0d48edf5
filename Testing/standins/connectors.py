"""Which widget shows which type of a parameter. Part of the stand-in for `parameterNodeWrapper`.

As the real: the widget's type is compared exactly, and a pair that is not known is an error.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import slicer
from PySide6 import QtWidgets

from . import ctk_, mrml_widgets
from .serialisers import _PATHS, split_annotations
from .validators import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange

_LEAST, _MOST = -2**31, 2**31 - 1


class Connector:
    """A widget that shows a parameter.

    Parameters
    ----------
    widget : of exactly the type that the connection is for.
    signal : name of the signal that says that the user changed it.
    read, write : value of the widget.
    """

    def __init__(self, widget: Any, signal: str, read: Callable[[], Any],
                 write: Callable[[Any], None]) -> None:
        self._signal = getattr(widget, signal)
        self.read, self.write = read, write
        self._callback: Callable[[], None] | None = None

    def on_changed(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        if callback is None:
            self._signal.disconnect(self._changed)
        else:
            self._signal.connect(self._changed)

    def _changed(self) -> None:
        if self._callback is not None:
            self._callback()


def connector_of(widget: Any, annotated: Any) -> Connector:
    """The connector for a widget and a type.

    Raises
    ------
    RuntimeError
        There is none.
    """
    kind, annotations = split_annotations(annotated)
    for widgets, suits, make in _KNOWN:
        if type(widget) in widgets and suits(kind):
            return make(widget, annotated)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{annotated}' to widget "
                       f"type '{type(widget)}' ({widget.objectName}; {annotations})")


def _first(annotated: Any, wanted: type) -> Any:
    return next((one for one in split_annotations(annotated)[1] if isinstance(one, wanted)), None)


def _of(name: str, signal: str) -> Callable[[Any, Any], Connector]:
    return lambda widget, kind: Connector(
        widget, signal, lambda: getattr(widget, name),
        lambda value: setattr(widget, name, value))


def _push_button(widget: Any, kind: Any) -> Connector:
    widget.setCheckable(True)
    return _of("checked", "toggled")(widget, kind)


def _number(widget: Any, annotated: Any) -> Connector:
    for wanted, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
        said = _first(annotated, wanted)
        if said is not None:
            setattr(widget, name, said.value)
    within = _first(annotated, WithinRange)
    low, high = within or _first(annotated, Minimum), within or _first(annotated, Maximum)
    slides = isinstance(widget, (QtWidgets.QSlider, ctk_.ctkSliderWidget))
    if slides and not (low and high):
        raise RuntimeError("Cannot have a connection to a slider where the type is unbounded.")
    whole = split_annotations(annotated)[0] is int
    least, most = (_LEAST, _MOST) if whole else (float("-inf"), float("inf"))
    widget.minimum = low.minimum if low else least
    widget.maximum = high.maximum if high else most
    return _of("value", "valueChanged")(widget, annotated)


def _combo_box(widget: Any, annotated: Any) -> Connector:
    kind = split_annotations(annotated)[0]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        choices = list(kind)
        label = getattr(kind, "label", lambda one: one.name)
    else:
        choice = _first(annotated, Choice)
        if choice is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation")
        choices, label = list(choice.choices), str
    widget.clear()
    for one in choices:
        widget.addItem(label(one))
    return Connector(widget, "currentIndexChanged", lambda: choices[widget.currentIndex],
                     lambda value: widget.setCurrentIndex(choices.index(value)))


def _path(widget: Any, annotated: Any) -> Connector:
    kind = split_annotations(annotated)[0]
    return Connector(widget, "currentPathChanged", lambda: kind(widget.currentPath),
                     lambda value: widget.setCurrentPath(str(value)))


def _plain_text(widget: Any, annotated: Any) -> Connector:
    return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)


def _node(widget: Any, annotated: Any) -> Connector:
    kind = split_annotations(annotated)[0]
    every = typing.get_args(kind) or (kind,)
    widget.nodeTypes = tuple(one().GetClassName() for one in every if one is not type(None))
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _is_node(kind: Any) -> bool:
    every = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind,)
    return all(isinstance(one, type) and (one is type(None) or issubclass(
        one, slicer.vtkMRMLNode)) for one in every)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda kind: kind in kinds


def _is_choice(kind: Any) -> bool:
    return kind in (int, float, str, bool) or isinstance(kind, type) and issubclass(
        kind, enum.Enum)


_KNOWN: list[tuple[tuple[type, ...], Callable[[Any], bool], Callable[[Any, Any], Connector]]] = [
    ((QtWidgets.QCheckBox,), _is(bool), _of("checked", "stateChanged")),
    ((QtWidgets.QPushButton,), _is(bool), _push_button),
    ((QtWidgets.QSlider, QtWidgets.QSpinBox), _is(int), _number),
    ((QtWidgets.QDoubleSpinBox, ctk_.ctkSliderWidget), _is(float, int), _number),
    ((QtWidgets.QComboBox,), _is_choice, _combo_box),
    ((QtWidgets.QLabel,), _is(str), lambda widget, kind: Connector(
        widget, "linkActivated", lambda: widget.text, widget.setText)),
    ((QtWidgets.QLineEdit,), _is(str), _of("text", "textChanged")),
    ((QtWidgets.QTextEdit,), _is(str), _plain_text),
    ((ctk_.ctkPathLineEdit,), _is(*_PATHS), _path),
    ((mrml_widgets.qMRMLNodeComboBox,), _is_node, _node),
]
