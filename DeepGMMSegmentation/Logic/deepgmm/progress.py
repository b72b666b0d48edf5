"""How long work says how far it is, to whoever watches."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the fraction done (0 to 1) and a stage's name; what it raises stops the work.
Progress = Callable[[float, str], None]


def silent(fraction: float, stage: str) -> None:
    """The progress of whoever does not watch."""


def share_of(progress: Progress, start: float, share: float) -> Progress:
    """The progress of a part of the work that begins at `start` and is `share` of all."""
    return lambda fraction, stage: progress(start + share * fraction, stage)
