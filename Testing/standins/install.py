"""Puts the stand-ins in the place of what they stand for. Part of the stand-ins."""

from __future__ import annotations

import ctypes
import os
import sys
import types
from typing import Any


def install() -> Any:
    """Make `qt`, `ctk` and the missing part of `slicer` importable; answers `slicer.app`.

    Safe to call again: the second call changes nothing.
    """
    import slicer

    if hasattr(slicer, "app"):
        return slicer.app
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    _keep_singletons_alive()
    from .pythonqt import adopt_manners

    adopt_manners()
    from . import application, dialogs

    _module("qt", _qt())
    _module("ctk", _stand_ins("ctk_"))
    for name, value in _widgets().items():
        setattr(slicer, name, value)
    slicer.modules = types.SimpleNamespace()
    _base_classes(slicer)
    slicer.app = application.qSlicerApplication()
    slicer.app._start()
    dialogs.forget()
    return slicer.app


def _keep_singletons_alive() -> None:
    """Before Python 3.12, PySide6 6.12 gives away references to None, True and False that it does
    not own: after enough of them the interpreter ends with "deallocating None"."""
    if sys.version_info < (3, 12):
        for one in (None, True, False):
            ctypes.c_ssize_t.from_address(id(one)).value += 2**40


def _module(name: str, members: dict[str, Any]) -> types.ModuleType:
    module = types.ModuleType(name, "Stand-in; see Testing/standins.")
    vars(module).update(members)
    sys.modules[name] = module
    return module


def _qt() -> dict[str, Any]:
    from PySide6 import QtCore, QtGui, QtWidgets

    from .loader import QUiLoader

    members = {name: getattr(module, name) for module in (QtCore, QtGui, QtWidgets)
               for name in dir(module) if name.startswith(("Q", "q")) and name != "QUiLoader"}
    return {**members, "QUiLoader": QUiLoader}


def _stand_ins(*modules: str) -> dict[str, type]:
    """The classes of these files that stand for one of the same name, known to the loader too."""
    import importlib

    from .loader import WIDGETS

    found = {}
    for name in modules:
        module = importlib.import_module(f"{__package__}.{name}")
        found.update({name: value for name, value in vars(module).items()
                      if isinstance(value, type) and name.startswith(("ctk", "qMRML", "qSlicer"))
                      and value.__module__ == module.__name__})
    WIDGETS.update(found)
    return found


def _widgets() -> dict[str, type]:
    return _stand_ins("mrml_widgets", "segment_selector", "segments_table", "segment_effects",
                      "segment_editor",
                      "slice_views", "three_d_view", "layout_manager", "application", "main_window")


def _base_classes(slicer: Any) -> None:
    """Modules of `slicer` that are Python in the real one too."""
    from . import packages, parameter_node, scripted_module, validators

    bases = {name: value for name, value in vars(scripted_module).items()
             if name.startswith("ScriptedLoadableModule")}
    slicer.ScriptedLoadableModule = _module("slicer.ScriptedLoadableModule", {
        **bases, "__all__": list(bases)})
    slicer.i18n = _module("slicer.i18n", {
        "tr": scripted_module.tr, "translate": scripted_module.translate})
    slicer.packaging = _module("slicer.packaging", {
        name: getattr(packages, name) for name in (
            "pip_ensure", "pip_check", "pip_install", "pip_uninstall", "load_requirements",
            "isPipInstallInProgress")})
    slicer.parameterNodeWrapper = _module("slicer.parameterNodeWrapper", {
        "parameterNodeWrapper": parameter_node.parameterNodeWrapper,
        "isParameterNodeWrapper": parameter_node.isParameterNodeWrapper,
        "SlicerParameterNamePropertyName": parameter_node.PARAMETER_NAME,
        **{name: getattr(validators, name) for name in validators.__all__}})
