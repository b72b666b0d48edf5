"""One test's time with the application: begins empty, ends with nothing left and nothing raised.

Part of the stand-ins.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import slicer
from PySide6.QtCore import QEvent, QEventLoop

from . import dialogs, packages

_raised: list[str] = []
_hook: Any = None


def begin() -> None:
    """A new scene, settings as on the first day, and an ear for what slots and observers raise."""
    global _hook
    _raised.clear()
    if _hook is None:
        _hook, sys.excepthook = sys.excepthook, _remember
    dialogs.forget()
    packages.forget()
    slicer.app.settings().clear()
    slicer.app._start()


def end() -> None:
    """Let go of the scene.

    Raises
    ------
    AssertionError
        A slot or an observer raised, which the application would only have printed.
    """
    global _hook
    slicer.mrmlScene.Clear(1)
    settle()
    slicer.app._stop()
    sys.excepthook, _hook = _hook or sys.excepthook, None
    assert not _raised, "raised in a slot or an observer:\n" + "\n".join(_raised)


def raised() -> list[str]:
    """What slots and observers raised, for a test that expects it; it is then forgiven."""
    said = list(_raised)
    _raised.clear()
    return said


def settle() -> None:
    """Let everything happen that is due now, deletions too."""
    for _ in range(3):
        slicer.app.sendPostedEvents(None, QEvent.DeferredDelete)
        slicer.app.processEvents()


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Let the application run until something is so.

    Raises
    ------
    AssertionError
        It was not so in time.
    """
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not so within {seconds} s: {condition}"
        slicer.app.processEvents(QEventLoop.AllEvents, 20)
        time.sleep(0.001)


def _remember(kind: Any, value: Any, trace: Any) -> None:
    _raised.append("".join(traceback.format_exception(kind, value, trace)))
    _hook(kind, value, trace)
