"""PythonQt's manners on PySide6: what Slicer's Python sees of Qt objects.

Stand-in. Properties are plain attributes, and an accessor of the same name is not there to be
called; signals connect by `connect("name(types)", f)` as well as `name.connect(f)`; a wrapper
takes no new attributes; any method may be called with an underscore behind its name.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

QObject = QtCore.QObject
_FIND_ATTRIBUTE = QObject.__getattribute__
_STATIC_CONNECT, _STATIC_DISCONNECT = QObject.connect, QObject.disconnect
_PROPERTY, _SET_PROPERTY = QObject.property, QObject.setProperty
_OBJECT_NAME, _SET_OBJECT_NAME = QObject.objectName, QObject.setObjectName

_children_refused = False

#: Signatures of each Qt class's own signals and slots.
QT_SIGNALS: dict[type, set[str]] = {}
QT_SLOTS: dict[type, set[str]] = {}


def adopt_manners() -> None:
    """Give every class of Qt PythonQt's manners, once for the process."""
    if "name" in QObject.__dict__:
        return
    for kind in _qt_classes():
        _properties_as_attributes(kind)
        _remember_signatures(kind)
        kind.__setattr__ = _set_attribute
    QObject.__getattribute__ = _get_attribute
    # PySide6 gives menus a way of their own to find attributes.
    QtWidgets.QMenu.connect = lambda self, *to: connect(self, *to)
    QtWidgets.QMenu.disconnect = lambda self, *to: disconnect(self, *to)
    QObject.name = property(_OBJECT_NAME, _SET_OBJECT_NAME)
    QObject.className = lambda self: type(self).__name__


def _qt_classes() -> list[type]:
    """Classes of QObjects, bases first."""
    # PySide6 makes its classes when they are first asked for.
    every = (getattr(module, name) for module in (QtCore, QtGui, QtWidgets) for name in dir(module))
    found = {kind for kind in every if isinstance(kind, type) and issubclass(kind, QObject)}
    return sorted(found, key=lambda kind: len(kind.__mro__))


def _properties_as_attributes(kind: type) -> None:
    meta = kind.staticMetaObject
    for i in range(meta.propertyCount()):
        name = meta.property(i).name()
        if i >= meta.propertyOffset() or name in kind.__dict__:
            setattr(kind, name, _as_attribute(kind, name, meta.property(i).isWritable()))


def _remember_signatures(kind: type) -> None:
    """A class's meta-object may be gone later; what it says is kept."""
    meta = kind.staticMetaObject
    own = [meta.method(i) for i in range(meta.methodOffset(), meta.methodCount())]
    for kept, wanted in ((QT_SIGNALS, QtCore.QMetaMethod.Signal),
                         (QT_SLOTS, QtCore.QMetaMethod.Slot)):
        kept[kind] = {one.methodSignature().data().decode() for one in own
                      if one.methodType() == wanted}


def _as_attribute(kind: type, name: str, writable: bool) -> property:
    capital = name[0].upper() + name[1:]
    read = _plain_method(kind, name) or _plain_method(kind, f"is{capital}")
    write = _plain_method(kind, f"set{capital}")
    return property(
        read or (lambda self: _PROPERTY(self, name)),
        (write or (lambda self, value: _SET_PROPERTY(self, name, value))) if writable else None)


def _plain_method(kind: type, name: str) -> Callable | None:
    """A method of Qt; of a base whose method has become an attribute, what reads that."""
    found = inspect.getattr_static(kind, name, None)
    if isinstance(found, property):
        return found.fget
    method = getattr(kind, name, None)
    if isinstance(method, types.BuiltinFunctionType):  # static
        return lambda self, *value: method(*value)
    return method if inspect.ismethoddescriptor(found) else None


def _get_attribute(self: Any, name: str) -> Any:
    if name == "connect":
        return lambda *to: connect(self, *to)
    if name == "disconnect":
        return lambda *to: disconnect(self, *to)
    try:
        return _FIND_ATTRIBUTE(self, name)
    except AttributeError:
        if name.endswith("_") and not name.startswith("_"):
            return _FIND_ATTRIBUTE(self, name[:-1])
        if not name.startswith("_") and name.encode() in self.dynamicPropertyNames():
            return _PROPERTY(self, name)
        raise


@contextlib.contextmanager
def without_children() -> Iterator[None]:
    """PySide6's loader gives a widget its children as attributes; PythonQt's does not."""
    global _children_refused
    _children_refused = True
    try:
        yield
    finally:
        _children_refused = False


def _set_attribute(self: Any, name: str, value: Any) -> None:
    if _children_refused and isinstance(value, QObject) and not name.startswith("_"):
        return None
    kind = type(self)
    found = inspect.getattr_static(kind, name, None)
    if hasattr(type(found), "__set__"):
        return found.__set__(self, value)
    # PySide6 keeps a signal that it has looked up.
    looked_up = isinstance(value, QtCore.SignalInstance)
    if looked_up or name.startswith("_") or not is_wrapper(kind):
        self.__dict__[name] = value
        return None
    if name.encode() in self.dynamicPropertyNames():
        _SET_PROPERTY(self, name, value)
    else:
        raise AttributeError(f"{self.className()} has no attribute {name!r} that may be set")
    return None


def is_wrapper(kind: type) -> bool:
    """Whether a class is one of Qt's, CTK's or Slicer's own, not a Python subclass of a user's."""
    return kind.__module__.startswith(("PySide6", __package__))


class Property(QtCore.Property):
    """A property of a stand-in, for Qt's loader and for Python alike."""

    def __init__(self, kind: Any, read: Callable, write: Callable | None = None) -> None:
        super().__init__(kind, read, write)
        self._read, self._write = read, write

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self._read(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if self._write is None:
            raise AttributeError("a property that is read only")
        self._write(instance, value)


class Signal:
    """Signals of one name of a stand-in; the first is the one that `name.connect` means."""

    def __init__(self, *signatures: str) -> None:
        self.signatures = signatures

    def __set_name__(self, owner: type, name: str) -> None:
        assert all(s.split("(")[0] == name for s in self.signatures), name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else BoundSignal(instance, self.signatures[0])

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError("a signal takes no value")


class BoundSignal:
    """One signal of one object."""

    def __init__(self, owner: Any, signature: str) -> None:
        self._owner, self._signature = owner, signature

    def _handlers(self) -> list[Callable]:
        try:
            every = _FIND_ATTRIBUTE(self._owner, "_signal_handlers")
        except AttributeError:
            every = {}
            self._owner.__dict__["_signal_handlers"] = every
        return every.setdefault(self._signature, [])

    def connect(self, function: Callable) -> bool:
        if not callable(function):
            raise TypeError(f"cannot connect {self._signature} to {function!r}")
        self._handlers().append(function)
        return True

    def disconnect(self, function: Callable) -> bool:
        if function not in self._handlers():
            return False
        self._handlers().remove(function)
        return True

    def emit(self, *values: Any) -> None:
        if self._owner.signalsBlocked():
            return
        for function in list(self._handlers()):
            call_slot(function, *values)

    __call__ = emit


def emit(owner: Any, signature: str, *values: Any) -> None:
    """Emit one overload of a stand-in's signal."""
    if signature not in signals_of(type(owner)):
        raise AttributeError(f"{owner.className()} has no signal {signature}")
    BoundSignal(owner, signature).emit(*values)


def call_slot(function: Callable, *values: Any) -> None:
    """Call with as many values as the function takes; what it raises is shown, not passed on."""
    try:
        function(*values[:_most_arguments(function, len(values))])
    except Exception:
        sys.excepthook(*sys.exc_info())


def _most_arguments(function: Callable, given: int) -> int:
    try:
        wanted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return given
    if any(p.kind is p.VAR_POSITIONAL for p in wanted):
        return given
    return min(given, sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
                          for p in wanted))


def signals_of(kind: type) -> set[str]:
    """Signatures of the signals that a stand-in itself has, with those of its bases."""
    return {signature for base in kind.__mro__ for found in vars(base).values()
            if isinstance(found, Signal) for signature in found.signatures}


def connect(sender: Any, signal: Any, receiver: Any, slot: Any = None) -> Any:
    """Connect by signature. The real one answers False to a wrong signature, in silence; here it
    is an error, so that no test overlooks it."""
    if signal is sender:  # PySide6's own way, when it connects by name
        return _STATIC_CONNECT(sender, receiver, slot)
    function = receiver if slot is None else getattr(receiver, slot.split("(")[0])
    if signal in signals_of(type(sender)):
        return BoundSignal(sender, signal).connect(function)
    _check_signal(sender, signal)
    return bool(_STATIC_CONNECT(sender, QtCore.SIGNAL(signal), function))


def disconnect(sender: Any, signal: Any, receiver: Any, slot: Any = None) -> Any:
    """Disconnect by signature."""
    if signal is sender:
        return _STATIC_DISCONNECT(sender, receiver, slot)
    function = receiver if slot is None else getattr(receiver, slot.split("(")[0])
    if signal in signals_of(type(sender)):
        return BoundSignal(sender, signal).disconnect(function)
    _check_signal(sender, signal)
    return bool(_STATIC_DISCONNECT(sender, QtCore.SIGNAL(signal), function))


def _check_signal(sender: Any, signal: str) -> None:
    known = any(signal in QT_SIGNALS.get(base, ()) for base in type(sender).__mro__)
    if not known and sender.metaObject().indexOfSignal(signal) < 0:
        raise AttributeError(f"{sender.className()} has no signal {signal}")
