"""What Slicer's and CTK's widgets truly have, for whoever holds a name to it.

Read from `slicer_widgets.json`, which lies beside the repository where it was made; Qt's own
classes are read from PySide6.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from standins.pythonqt import QT_SIGNALS, QT_SLOTS

PATH = Path(__file__).resolve().parents[3] / "shared" / "slicer_widgets.json"

#: What PythonQt gives every object (see "Known traps" of the facts).
_OF_ALL = {"name": "property", "className": "method", "connect": "method", "disconnect": "method",
           "inherits": "method", "delete": "method", "help": "method", "parent": "method",
           "children": "method", "property": "method", "setProperty": "method"}


@functools.cache
def facts() -> dict[str, Any]:
    """All there is to know; looked up once."""
    return json.loads(PATH.read_text(encoding="utf-8"))


def is_class(name: str) -> bool:
    """Whether this is a class of Slicer, of CTK or of Qt."""
    return name in facts()["classes"] or qt_class(name) is not None


def qt_class(name: str) -> type | None:
    """A class of Qt by its name."""
    found = next((getattr(module, name) for module in (QtWidgets, QtGui, QtCore)
                  if hasattr(module, name)), None)
    return found if isinstance(found, type) else None


def chain(name: str) -> tuple[list[dict[str, Any]], str]:
    """What is said of a class and its bases, and Qt's class below them."""
    said, base = [], name
    waiting: list[str] = []
    while base in facts()["classes"]:
        one = facts()["classes"][base]
        said.append(one)
        waiting += one.get("also", [])
        base = one["base"]
    said += [facts()["classes"][one] for one in waiting if one in facts()["classes"]]
    return said, base


def signature_name(signature: str) -> str:
    """`setValue` of `static setValue(int=0)->bool`."""
    return signature.removeprefix("static ").split("(")[0]


def member(kind: str, name: str) -> str | None:
    """What a member of a class is: "property", "read only", "signal", "method" or "enum"; None
    where there is none."""
    said, base = chain(kind)
    for one in said:
        if name in one.get("properties", {}):
            return "property" if "write" in one["properties"][name] else "read only"
    for one in said:
        for what, where in (("signal", "signals"), ("method", "slots"), ("method", "methods"),
                            ("method", "decorated")):
            if name in map(signature_name, one.get(where, [])):
                return what
        if any(name == enum or name in values for enum, values in one.get("enums", {}).items()):
            return "enum"
    return _OF_ALL.get(name) or qt_member(base, name)


def qt_member(base: str, name: str) -> str | None:
    """The same of a class of Qt."""
    kind = qt_class(base)
    name = name if hasattr(kind, name) else name.removesuffix("_")
    if kind is None or not hasattr(kind, name):
        return None
    found = inspect.getattr_static(kind, name)
    if isinstance(found, property):
        return "property" if found.fset is not None else "read only"
    if isinstance(found, QtCore.Signal):
        return "signal"
    value = getattr(kind, name)
    return "method" if callable(value) and not isinstance(value, type) else "enum"


def _of_qt(kept: dict[type, set[str]], name: str) -> set[str]:
    kind = qt_class(name)
    return set().union(*(kept.get(base, set()) for base in kind.__mro__)) if kind else set()


def has_signal(kind: str, signature: str) -> bool:
    """Whether a class has a signal of exactly this signature."""
    said, base = chain(kind)
    if any(signature in one.get("signals", []) for one in said):
        return True
    return signature in _of_qt(QT_SIGNALS, base)


def has_slot(kind: str, signature: str) -> bool:
    """Whether a class has a slot of this name that a `.ui` can connect to."""
    said, base = chain(kind)
    plain = [re.sub(r"=[^,)]*", "", slot).split("->")[0] for one in said
             for slot in one.get("slots", [])]
    if signature in plain:
        return True
    return signature in _of_qt(QT_SLOTS, base)


def returned(kind: str, name: str) -> str | None:
    """The class of what a method gives back, where it is one that is known."""
    for one in chain(kind)[0]:
        for where in ("methods", "slots", "decorated"):
            for signature in one.get(where, []):
                if signature_name(signature) == name and "->" in signature:
                    found = signature.split("->")[1].strip("*")
                    return found if is_class(found) or hasattr(slicer, found) else None
    return None


def property_class(kind: str, name: str) -> str | None:
    """The class of a property's value, where it is one that is known."""
    for one in chain(kind)[0]:
        if name in one.get("properties", {}):
            found = one["properties"][name]["type"].strip("*")
            return found if is_class(found) else None
    return None


def public(module: Any) -> list[str]:
    """Names that a module offers."""
    return [name for name in vars(module) if not name.startswith("_")]


def parameters(signature: str) -> list[str]:
    """Names of the parameters of "(text, more=None)->int", as the facts write it."""
    (function,) = ast.parse(f"def f{signature.replace('->', ' -> ')}: pass").body
    return [one.arg for one in function.args.args]


def parameter_names() -> set[str]:
    """What `slicer.parameterNodeWrapper` offers."""
    said = facts()["python"]["parameterNodeWrapper"].values()
    return {name for one in said for name in one["__all__"]}


def python_names(module: str) -> set[str] | None:
    """What a Python module of Slicer offers; None where nothing is known of it."""
    said = facts()["python"].get(module)
    if module == "parameterNodeWrapper":
        return parameter_names()
    return None if said is None else {*said.get("functions", {}), *said.get("classes", {}),
                                      *said.get("variables", {})}
