"""Being asked to stop, kept until the work can stand still."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop(*, once: bool) -> Iterator[Callable[[], bool]]:
    """Says inside the block whether Ctrl-C or a polite request to end has come.

    Parameters
    ----------
    once : a second Ctrl-C interrupts at once. Not where others pass on what they were told,
        as torchrun does: one Ctrl-C comes twice then.
    """
    asked = False

    def keep(number: int, _: object) -> None:
        nonlocal asked
        if asked and once and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, keep) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
