"""What is observed, by object and tag; Slicer's mixin keeps every object that it ever observed."""

from collections.abc import Callable


class Observers:
    """Observers of VTK objects, each dropped with the last that is known of its object."""

    def __init__(self) -> None:
        self._known: list[tuple[object, object, Callable, int]] = []

    def add(self, what, event, call: Callable) -> None:
        """Call when an event of an object happens; once, however often it is asked for."""
        if self._find(what, event, call) is None:
            self._known.append((what, event, call, what.AddObserver(event, call)))

    def remove(self, what, event, call: Callable) -> None:
        """Call no longer; nothing happens where it was not asked for."""
        number = self._find(what, event, call)
        if number is not None:
            what.RemoveObserver(self._known.pop(number)[3])

    def clear(self) -> None:
        """Let go of all."""
        while self._known:
            what, _event, _call, tag = self._known.pop()
            what.RemoveObserver(tag)

    def _find(self, what, event, call: Callable) -> int | None:
        # `is` of the object: VTK's own comparison of two segments, say, is of what is in them.
        return next((number for number, (one, kind, known, _tag) in enumerate(self._known)
                     if one is what and kind == event and known == call), None)
