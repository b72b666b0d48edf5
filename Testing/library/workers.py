"""Workers to test with, and what is asked of them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, TypeVar

from deepgmm.jobs.client import Event, Said, Worker

STANDINS = Path(__file__).resolve().parents[1] / "standins"
ODD, LAUNCHER = str(STANDINS / "odd_worker.py"), str(STANDINS / "launcher.py")

#: What is started: the worker, or a launcher that starts it.
STARTED = {"direct": [sys.executable, ODD], "by a launcher": [sys.executable, LAUNCHER, ODD]}
#: Nothing here takes so long, in seconds, unless it hangs.
LIMIT = 180.0

Kind = TypeVar("Kind")


def polled(worker: Worker, wanted: type[Event]) -> list[Event]:
    """Everything that comes until such an event does."""
    events: list[Event] = []
    began = time.monotonic()
    while not any(isinstance(event, wanted) for event in events):
        assert time.monotonic() - began < LIMIT, f"nothing came but {events}"
        events += worker.poll()
        time.sleep(0.005)
    return events


def until(worker: Worker, wanted: type[Kind]) -> Kind:
    """The next event of a kind."""
    return next(e for e in polled(worker, wanted) if isinstance(e, wanted))


def the(wanted: type[Kind], events: list[Event]) -> Kind:
    """The one event of its kind."""
    found = [event for event in events if isinstance(event, wanted)]
    assert len(found) == 1, events
    return found[0]


def words_said(events: list[Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Said))


def until_said(worker: Worker, words: str, seen: list[Event]) -> str:
    """Everything that was said for the log, once these words are in it."""
    began = time.monotonic()
    while words not in words_said(seen):
        assert time.monotonic() - began < LIMIT, seen
        seen += worker.poll()
    return words_said(seen)


def do(worker: Worker, task: str, header: dict[str, Any] | None = None,
       arrays: dict[str, Any] | None = None) -> int:
    return worker.submit(task, header or {}, arrays or {})
