"""What a `.ui` says that is not so: classes, properties, signals, slots."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

from widget_facts import facts, has_signal, has_slot, is_class, member, qt_class

#: Of layouts, written by Designer as if they were properties.
_MARGINS = {"leftMargin", "topMargin", "rightMargin", "bottomMargin", "margin", "spacing",
            "horizontalSpacing", "verticalSpacing"}
#: Properties that are added to any widget, for Slicer's parameter nodes.
_DYNAMIC = {"SlicerParameterName"}


def widgets_of(tree: ElementTree.Element) -> dict[str, str]:
    """Class by name of every widget."""
    return {one.get("name", ""): one.get("class", "") for one in tree.iter("widget")}


def ui_faults(text: str, bindable: Any = None) -> Iterator[str]:
    """Everything that is wrong.

    Parameters
    ----------
    bindable : names that `SlicerParameterName` may have; any where None.
    """
    tree = ElementTree.fromstring(text)
    names = [one.get("name", "") for one in tree.iter("widget")]
    yield from (f"{name} twice" for name in sorted({n for n in names if names.count(n) > 1}))
    for widget in tree.iter("widget"):
        yield from _widget_faults(widget, bindable)
    for layout in tree.iter("layout"):
        for prop in layout.findall("property"):
            name, kind = prop.get("name", ""), layout.get("class", "")
            if name not in _MARGINS and member(kind, name) != "property":
                yield f"{kind} has no property {name}"
    yield from _custom_faults(tree)
    yield from _connection_faults(tree, widgets_of(tree))


def _widget_faults(widget: ElementTree.Element, bindable: Any) -> Iterator[str]:
    kind, widget_name = widget.get("class", ""), widget.get("name", "")
    if not is_class(kind):
        yield f"{widget_name}: no class {kind}"
        return
    for prop in widget.findall("property"):
        name = prop.get("name", "")
        if name in _DYNAMIC and prop.get("stdset") == "0":
            value = prop.findtext("string", "")
            if bindable is not None and value not in bindable:
                yield f"{widget_name}: no field {value}"
            if kind not in _connectable():
                yield f"{widget_name}: {kind} cannot be bound to a field"
        elif member(kind, name) != "property":
            yield f"{widget_name}: {kind} has no property {name} that may be set"


def _connectable() -> set[str]:
    return {name.split(".")[1] for name in facts()["gui_connectors"]}


def _custom_faults(tree: ElementTree.Element) -> Iterator[str]:
    """Slicer's classes are said again at the end of a `.ui`, with what they extend."""
    said = {one.findtext("class", ""): one for one in tree.iter("customwidget")}
    used = {one.get("class", "") for one in tree.iter("widget")}
    yield from (f"{kind} is not among the custom widgets" for kind in sorted(used)
                if kind not in said and qt_class(kind) is None and is_class(kind))
    for kind, one in said.items():
        if not is_class(kind):
            yield f"no class {kind} among the custom widgets"
            continue
        if not one.findtext("header"):
            yield f"{kind} without a header"
        holds = any(widget.find("layout") is not None for widget in tree.iter("widget")
                    if widget.get("class") == kind)
        if holds and not facts()["designer"].get(kind, {}).get("container"):
            yield f"{kind} holds widgets and is no container"


def _connection_faults(tree: ElementTree.Element, widgets: dict[str, str]) -> Iterator[str]:
    for one in tree.iter("connection"):
        sender, signal, receiver, slot = (
            one.findtext(part, "") for part in ("sender", "signal", "receiver", "slot"))
        for end in (sender, receiver):
            if end not in widgets:
                yield f"a connection of {end}, which is no widget"
        if sender in widgets and not has_signal(widgets[sender], signal):
            yield f"{sender}: {widgets[sender]} has no signal {signal}"
        if receiver in widgets and not has_slot(widgets[receiver], slot):
            yield f"{receiver}: {widgets[receiver]} has no slot {slot}"
