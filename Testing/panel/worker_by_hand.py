"""A worker without a process, which says what a test wants and when."""

from __future__ import annotations

import json
from typing import Any

from deepgmm.jobs import kept
from deepgmm.jobs.client import Cancelled, Done, Event, Failed, Progress, Ready, Said, State
from deepgmm.jobs.tasks import TASKS

#: As `deepgmm.jobs.machine.machine` tells of a computer without a GPU.
CPU_ONLY: dict[str, Any] = {
    "torch": "2.9.0", "missing": "", "threads": 3,
    "devices": [{"id": "cpu", "name": "Some CPU", "memory": 16 * 2**30}]}


#: Answers to orders that were given before, and what a worker keeps of them.
_known: dict[str, tuple[dict, dict]] = {}
_results: dict[str, kept.Kept] = {}


class WorkerByHand:
    """Stands in for `deepgmm.jobs.client.Worker`; nothing happens but what a test asks for."""

    def __init__(self) -> None:
        self.state = State.STOPPED
        self.orders: list[tuple[str, dict, dict]] = []
        self.started = self.closed = 0
        self._events: list[Event] = []

    def start(self) -> None:
        if self.state is State.STOPPED:
            self.started += 1
            self.state = State.STARTING

    def submit(self, task: str, header: dict, arrays: dict) -> int:
        self.start()
        assert self.state in (State.STARTING, State.IDLE)
        self.orders.append((task, header, arrays))
        self.state = State.BUSY
        return len(self.orders)

    def cancel(self) -> None:
        self.state = State.CANCELLING

    def poll(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        self.closed += 1
        self.state = State.STOPPED
        self._events.clear()

    def is_ready(self, machine: dict | None = None) -> None:
        self.state = State.IDLE
        self._events.append(Ready(CPU_ONLY if machine is None else machine))

    def reports(self, fraction: float, stage: str, seconds_left: float | None = None) -> None:
        self._events.append(Progress(len(self.orders), fraction, stage, seconds_left))

    def answers(self) -> None:
        """Do the last order truly, here."""
        task, header, arrays = self.orders[-1]
        key = json.dumps([task, header], sort_keys=True)  # the arrays' hashes are in it
        if header.get("locked") or task in ("refine", "correct") or key not in _known:
            _known[key] = TASKS[task](header, arrays, lambda fraction, stage: None)
            if task == "segment":
                _results[key] = kept.find(_known[key][0]["kept"])
        if task == "segment":  # other tests may have had it forgotten
            kept._kept[_known[key][0]["kept"]] = _results[key]
        self.state = State.IDLE
        self._events.append(Done(len(self.orders), *_known[key]))

    def fails(self, kind: str, message: str) -> None:
        self.state = State.IDLE
        self._events.append(Failed(len(self.orders), kind, message))

    def has_stopped(self) -> None:
        """The job that was cancelled is over."""
        assert self.state is State.CANCELLING
        self.state = State.IDLE
        self._events.append(Cancelled(len(self.orders)))

    def ends_for_good(self) -> None:
        self.state = State.STOPPED
        self._events.append(Said("the worker ended 3 times"))
