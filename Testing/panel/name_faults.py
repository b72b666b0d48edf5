"""What a Python file of the module names that Slicer, CTK or Qt do not have.

The types of expressions are followed as far as they can be seen: the widgets of the `.ui`, what
their methods give back, `slicer.app`, MRML's nodes, names that were given such values.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator

import slicer
import widget_facts as known
from PySide6 import QtCore

#: Types of names that are the same in every file of the module.
_FIXED = {"slicer.app": "qSlicerApplication", "slicer.mrmlScene": "vtkMRMLScene"}
#: Parameters of these names are such widgets in every function of the module.
_PARAMETERS = {"table": "QTableWidget", "combo": "QComboBox"}
#: Methods of MRML and Qt whose answer has a type of its own.
_ANSWERS = {"GetSegmentation": "vtkSegmentation", "GetImageData": "vtkOrientedImageData",
            "verticalHeader": "QHeaderView", "horizontalHeader": "QHeaderView",
            "horizontalHeaderItem": "QTableWidgetItem"}
#: Parts of `slicer` that are modules of Python, or filled when the application starts.
_OPEN = {"modules", "util", "i18n", "packaging", "ScriptedLoadableModule", "testing",
         "parameterNodeWrapper", "cli", "app", "mrmlScene"}


def name_faults(source: str, widgets: dict[str, str], state: type | None = None) -> Iterator[str]:
    """Everything that is wrong, as "line: what".

    Parameters
    ----------
    widgets : class by name of the widgets of the `.ui`.
    state : the wrapped class of the panel's state, to know its fields by.
    """
    tree = ast.parse(source)
    yield from _import_faults(tree)
    for scope in _classes_and_functions(tree):
        yield from _Reader(widgets, scope, state).faults()


def _import_faults(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slicer."):
            module = (node.module or "").removeprefix("slicer.")
            names = known.python_names(module)
            yield from (f"{node.lineno}: slicer.{module} has no {one.name}" for one in node.names
                        if names is None or one.name not in names)


def _classes_and_functions(tree: ast.Module) -> list[list[ast.stmt]]:
    """Bodies within which a name means one thing: each class, and what is outside of all."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    rest = [node for node in tree.body if not isinstance(node, ast.ClassDef)]
    return [list(one.body) for one in classes] + [[node] for node in rest]


class _Reader:
    """Reads one class or function."""

    def __init__(self, widgets: dict[str, str], body: list[ast.stmt], state: type | None) -> None:
        self._widgets, self._body, self._state = widgets, body, state
        self._types: dict[str, set[str]] = {name: {kind} for name, kind in _PARAMETERS.items()}
        self._called: set[int] = set()
        self._stored: set[int] = set()

    def faults(self) -> Iterator[str]:
        nodes = [node for statement in self._body for node in ast.walk(statement)]
        # Twice: a name may be given its value further down than where it is read.
        for _ in range(2):
            for node in nodes:
                self._learn(node)
        self._called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        self._stored = {id(node) for node in nodes if isinstance(node, ast.Attribute)
                        and isinstance(node.ctx, ast.Store)}
        for node in nodes:
            found = None
            if isinstance(node, ast.Attribute):
                found = self._attribute_fault(node)
            elif isinstance(node, ast.Call):
                found = self._connection_fault(node)
            if found:
                yield f"{node.lineno}: {found}"

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._give(target, node.value)
        elif isinstance(node, (ast.For, ast.comprehension)) and isinstance(
                node.iter, (ast.Tuple, ast.List)):
            for value in node.iter.elts:
                self._give(node.target, value)

    def _give(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts):
                self._give(one, other)
        elif isinstance(target, (ast.Name, ast.Attribute)):
            found = self._types_of(value)
            if found:
                self._types.setdefault(ast.unparse(target), set()).update(found)

    def _types_of(self, node: ast.expr) -> set[str]:
        """Classes that an expression's value may have; none where it cannot be told."""
        said = ast.unparse(node)
        if said in _FIXED:
            return {_FIXED[said]}
        if said in self._types:
            return self._types[said]
        if isinstance(node, ast.Attribute):
            if _is_ui(node.value):
                return {self._widgets[node.attr]} if node.attr in self._widgets else set()
            if self._is_state(node.value):
                return self._nodes_of(node.attr)
            return {found for kind in self._types_of(node.value)
                    if (found := known.property_class(kind, node.attr))}
        if isinstance(node, ast.Call):
            return self._answer_of(node)
        return set()

    def _is_state(self, node: ast.expr) -> bool:
        return self._state is not None and ast.unparse(node) in (
            "state", "self.state", "panel.state", "self.panel.state")

    def _nodes_of(self, field: str) -> set[str]:
        """Classes of the node that a field of the state holds."""
        if field not in self._state.allParameters:
            return set()
        kind = self._state.allParameters[field].kind
        every = typing.get_args(kind) or (kind,)
        return {one.__name__ for one in every
                if isinstance(one, type) and issubclass(one, slicer.vtkMRMLNode)}

    def _answer_of(self, node: ast.Call) -> set[str]:
        called = node.func
        if not isinstance(called, ast.Attribute):
            return set()
        if isinstance(called.value, ast.Name) and called.value.id in ("qt", "ctk", "slicer"):
            return {called.attr} if _is_known(called.attr) else set()
        if called.attr in _ANSWERS:
            return {_ANSWERS[called.attr]}
        answers = {known.returned(kind, called.attr) for kind in self._types_of(called.value)}
        return {one for one in answers if one}

    def _attribute_fault(self, node: ast.Attribute) -> str | None:
        if _is_ui(node.value):
            return None if node.attr in self._widgets else f"the .ui has no widget {node.attr}"
        if isinstance(node.value, ast.Name) and node.value.id in ("qt", "ctk", "slicer"):
            return _module_fault(node.value.id, node.attr)
        if isinstance(node.value, ast.Attribute) and ast.unparse(node.value) == "slicer.util":
            fine = node.attr in (known.python_names("util") or ())
            return None if fine else f"slicer.util has no {node.attr}"
        if isinstance(node.value, ast.Attribute) and isinstance(node.value.value, ast.Name) and (
                node.value.value.id == "qt"):
            return _static_fault(node.value.attr, node.attr)
        if self._is_state(node.value):
            return None if hasattr(self._state, node.attr) or node.attr == "parameterNode" else (
                f"the state has no {node.attr}")
        return self._fault_of_all(node)

    def _fault_of_all(self, node: ast.Attribute) -> str | None:
        """The fault of a member that none of the classes has that a value may be of."""
        found = [self._member_fault(kind, node) for kind in sorted(self._types_of(node.value))]
        return found[0] if found and all(found) else None

    def _member_fault(self, kind: str, node: ast.Attribute) -> str | None:
        if not known.is_class(kind):
            return None if hasattr(getattr(slicer, kind), node.attr) else (
                f"{kind} has no {node.attr}")
        what = known.member(kind, node.attr)
        if what is None:
            return f"{kind} has no {node.attr}"
        if id(node) in self._called and what in ("property", "read only"):
            return f"{kind}.{node.attr} is a property and cannot be called"
        if id(node) in self._stored and what != "property":
            return f"{kind}.{node.attr} cannot be set"
        return None

    def _connection_fault(self, node: ast.Call) -> str | None:
        if not isinstance(node.func, ast.Attribute) or not node.args or node.func.attr not in (
                "connect", "disconnect"):
            return None
        signal = node.args[0]
        if not isinstance(signal, ast.Constant) or not isinstance(signal.value, str):
            return None
        kinds = self._types_of(node.func.value)
        if not kinds:  # of a widget that the function was given
            kinds = {*self._widgets.values(), "QMenu", "QAction"}
            some = any(known.has_signal(kind, signal.value) for kind in kinds)
            return None if some else f"no widget of the .ui has a signal {signal.value}"
        wrong = [kind for kind in sorted(kinds) if not known.has_signal(kind, signal.value)]
        return f"{wrong[0]} has no signal {signal.value}" if wrong else None


def _is_ui(node: ast.expr) -> bool:
    return ast.unparse(node) in ("ui", "self.ui", "self.panel.ui", "panel.ui")


def _is_known(name: str) -> bool:
    return known.is_class(name) or isinstance(getattr(slicer, name, None), type)


def _module_fault(module: str, name: str) -> str | None:
    if module == "ctk":
        fine = name in known.facts()["classes"] or name in known.facts()["decorated_elsewhere"]
    elif module == "qt":
        fine = known.qt_class(name) is not None or name in ("QUiLoader", "Qt") or (
            name.startswith("q") and hasattr(QtCore, name))
    else:
        fine = name in known.facts()["classes"] or name in _OPEN or (
            name.startswith("vtk") and hasattr(slicer, name))
    return None if fine else f"{module} has no {name}"


def _static_fault(kind: str, name: str) -> str | None:
    """Of `qt.QFileDialog.getOpenFileName`, `qt.Qt.Checked`."""
    found = QtCore.Qt if kind == "Qt" else known.qt_class(kind)
    return None if found is not None and hasattr(found, name) else f"qt.{kind} has no {name}"
