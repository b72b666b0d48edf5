"""`.ui` files into stand-ins, and their connections, which Qt cannot make for MRML's types.

Stand-in for the loader that Slicer's Designer plug-ins extend.
"""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray
from PySide6.QtUiTools import QUiLoader as QtUiLoader
from PySide6.QtWidgets import QWidget

from .pythonqt import without_children

#: Stand-ins by the class name that a `.ui` uses; filled by `install`.
WIDGETS: dict[str, type] = {}


class QUiLoader(QtUiLoader):
    """Qt's loader that knows the stand-ins."""

    def createWidget(self, kind: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        if kind.startswith("Q"):
            return super().createWidget(kind, parent, name)
        try:
            widget = WIDGETS[kind](parent)
        except Exception as said:
            self._failed.append(said)
            widget = QWidget(parent)
        widget.setObjectName(name)
        return widget

    def load(self, file: Any, parent: QWidget | None = None) -> QWidget:
        tree = ElementTree.fromstring(bytes(file.readAll().data()))
        _enumerations_to_numbers(tree)
        connections = tree.find("connections")
        made = [] if connections is None else list(connections)
        if connections is not None:
            tree.remove(connections)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(tree, encoding="utf-8",
                                                       xml_declaration=True)))
        buffer.open(QBuffer.ReadOnly)
        self._failed: list[Exception] = []
        with without_children():
            widget = super().load(buffer, parent)
        if self._failed:
            raise RuntimeError("a stand-in is missing or faulty") from self._failed[0]
        if widget is None:
            raise RuntimeError(self.errorString())
        for one in made:
            _connect(widget, *(one.findtext(part, "")
                               for part in ("sender", "signal", "receiver", "slot")))
        return widget


def _enumerations_to_numbers(tree: ElementTree.Element) -> None:
    """Qt knows no enumeration of a stand-in: its values are written as numbers."""
    for prop in tree.iter("property"):
        said = prop.find("set") if prop.find("set") is not None else prop.find("enum")
        if said is None or not (said.text or "").startswith(tuple(f"{k}::" for k in WIDGETS)):
            continue
        value = 0
        for word in (said.text or "").split("|"):
            kind, name = word.split("::")[0], word.split("::")[-1]
            value |= getattr(WIDGETS[kind], name)
        prop.remove(said)
        ElementTree.SubElement(prop, "number").text = str(value)


def _connect(top: QWidget, sender: str, signal: str, receiver: str, slot: str) -> None:
    """As Qt does it: what is not there is warned of and left out."""
    ends = [top if top.objectName == name else top.findChild(QWidget, name)
            for name in (sender, receiver)]
    name = slot.split("(")[0]
    if None in ends or not hasattr(ends[1], name):
        warnings.warn(f"{sender}.{signal} -> {receiver}.{slot} cannot be connected", stacklevel=2)
        return
    ends[0].connect(signal, getattr(ends[1], name))
