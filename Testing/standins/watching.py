"""Observers of VTK objects that end with the widget they serve. Part of the stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import shiboken6
import vtk

MODIFIED = vtk.vtkCommand.ModifiedEvent


class Watching:
    """What a widget needs to follow MRML nodes."""

    def _watch(self, thing: Any, event: Any, function: Callable[[], None],
               called: bool = False, priority: float = 0.0) -> None:
        """Call a method at every event; with `called`, with the node that the event is about."""
        if not hasattr(self, "_watches"):
            self._watches: list[tuple[Any, int]] = []

        def happened(caller: Any, what: str, about: Any = None) -> None:
            if shiboken6.isValid(self):
                function(about) if called else function()

        happened.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
        plain = happened if called else lambda caller, what: happened(caller, what)
        self._watches.append((thing, thing.AddObserver(event, plain, priority)))

    def _unwatch(self, thing: Any) -> None:
        """Stop following one object; None is followed by nobody."""
        left = []
        for watched, tag in getattr(self, "_watches", []):
            if watched is thing:
                watched.RemoveObserver(tag)
            else:
                left.append((watched, tag))
        self._watches = left
