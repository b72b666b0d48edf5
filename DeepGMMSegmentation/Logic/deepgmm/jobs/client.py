"""A worker as its owner sees it: jobs in, events out, by a timer; never waits, always ends it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import deepgmm
from deepgmm.jobs.process import Process
from deepgmm.jobs.protocol import Arrays, Header, Pieces, pieces

#: Seconds that a worker has to stop a job by itself; then it is killed.
PATIENCE = 0.5
#: Seconds in which a process must have become ready; torch from a slow disk takes its time.
START_LIMIT = 180.0
#: A worker that ends so often by itself, one after the other, is not started ahead again.
MOST_DEATHS = 3
#: Seconds that closing waits for a killed process, lest the system keep its remains.
_LEAVING = 0.2
#: What the worker's Python runs, with this library's folder as its argument. Slicer's launcher puts
#: Slicer's own packages before PYTHONPATH, and a `deepgmm` installed among them would be found.
_WORKER = ("import sys; sys.path.insert(0, sys.argv.pop()); "
           "from deepgmm.jobs.worker import main; main()")
#: Progress from which the time left is told, as a fraction and in seconds.
_KNOWN_FROM = (0.05, 2.0)


class State(Enum):
    """What a worker is about; in the first three it takes a job."""

    STOPPED = "stopped"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    CANCELLING = "cancelling"


@dataclass(frozen=True)
class Ready:
    """The worker is warm; `machine` as `deepgmm.jobs.machine.machine` gives it."""

    machine: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a job is, 0 to 1, and how long it will take, where that can be told."""

    job: int
    fraction: float
    stage: str
    seconds_left: float | None = None


@dataclass(frozen=True)
class Done:
    """A job's answer."""

    job: int
    header: Header
    arrays: Arrays


@dataclass(frozen=True)
class Failed:
    """A job that came to nothing: "input", "computation", "memory", "dependencies" or "crash",
    and one line for the user."""

    job: int
    kind: str
    message: str


@dataclass(frozen=True)
class Cancelled:
    """A job that was cancelled; nothing will come of it."""

    job: int


@dataclass(frozen=True)
class Said:
    """For the log: what the worker's libraries print, and why it ended."""

    text: str


Event = Ready | Progress | Done | Failed | Cancelled | Said


@dataclass
class _Job:
    """The job in hand; `cancelled` says when, `began` when its first progress came."""

    number: int
    order: Pieces
    sent: bool = False
    cancelled: float | None = None
    began: float | None = None


class Worker:
    """One warm process that does one job at a time.

    Nothing here waits: `poll`, called by a timer every 30 to 50 ms, brings what has happened and
    keeps the times. Closing, or the end of this process however it comes, ends the worker.

    Parameters
    ----------
    command : that starts it; by default Slicer's Python where this runs in Slicer, else this one.
    environment : by default this process's own. This library's folder is put first into its
        PYTHONPATH.

    Attributes
    ----------
    machine : what it computes with, once it has been ready.

    Examples
    --------
    >>> worker = Worker()
    >>> worker.state
    <State.STOPPED: 'stopped'>
    """

    def __init__(self, command: Sequence[str] | None = None,
                 environment: Mapping[str, str] | None = None, *,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._command = list(command or default_command())
        self._environment = with_library(os.environ if environment is None else environment)
        self._clock = clock
        self.machine: dict[str, Any] | None = None
        self._process: Process | None = None
        self._leaving: list[Process] = []
        self._ready, self._launched, self._deaths = False, 0.0, 0
        self._job: _Job | None = None
        self._number = 0
        self._waiting: list[Event] = []

    @property
    def state(self) -> State:
        if self._job is not None:
            return State.BUSY if self._job.cancelled is None else State.CANCELLING
        if self._process is None:
            return State.STOPPED
        return State.IDLE if self._ready else State.STARTING

    @property
    def pid(self) -> int | None:
        """The worker's process, once it has told."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it ahead; nothing where it runs. Returns at once; `poll` says how it went."""
        if self._process is None:
            self._deaths = 0
            self._launch()

    def submit(self, task: str, header: Header, arrays: Arrays) -> int:
        """Have a job done; starts the worker where need be.

        Parameters
        ----------
        task, header, arrays : see `deepgmm.jobs.tasks`. The arrays must stay as they are until
            the job has ended.

        Returns
        -------
        job : its number, in the events that concern it.

        Raises
        ------
        RuntimeError
            It has one in hand.
        ProtocolError
            What no message can hold.
        """
        if self._job is not None:
            raise RuntimeError("the worker has a job in hand")
        number = self._number + 1
        self._job = _Job(number, pieces({"say": "do", "job": number, "task": task,
                                         "header": header}, arrays))
        self._number = number
        self.start()
        self._hand_over()
        return number

    def cancel(self) -> None:
        """Stop the job in hand, if there is one. A worker at it is asked, and killed after half a
        second; one that is starting yet goes on with that."""
        job = self._job
        if job is None or job.cancelled is not None:
            return
        job.cancelled = self._clock()
        if job.sent and self._process is not None:
            self._process.send(pieces({"say": "cancel", "job": job.number}))
        if not self._ready:
            self._waiting.append(self._ended(Cancelled(job.number)))

    def poll(self) -> list[Event]:
        """What has happened since the last time. Waits no longer than a few milliseconds."""
        events, self._waiting = self._waiting, []
        process = self._process
        if process is not None:
            for header, arrays in process.messages():
                if process is self._process:
                    events += self._understood(header, arrays)
            if text := process.said():
                events.append(Said(text))
            if process.ended and process is self._process:
                events += self._died(process)
        events += self._out_of_patience() + self._out_of_time()
        self._leaving = [one for one in self._leaving if not one.gone()]
        return _latest_progress(events)

    def close(self) -> None:
        """End the worker at once; a job in hand is forgotten."""
        self._job = None
        self._drop()
        for process in self._leaving:
            process.wait(_LEAVING)

    def _launch(self) -> None:
        self._launched = self._clock()
        try:
            self._process = Process(self._command, self._environment)
        except OSError as error:
            self._waiting.append(Said(f"the worker could not be started: {error.strerror}"))
            self._fail("the background process could not be started: see the log, and install "
                       "DeepGMM anew if it stays so")

    def _drop(self) -> None:
        """Kill the process; its remains are cleared away by the next polls."""
        if self._process is not None:
            self._process.kill()
            self._leaving.append(self._process)
        self._process, self._ready = None, False

    def _hand_over(self) -> None:
        """Send the job as soon as the process can be killed."""
        job = self._job
        if job and not job.sent and self.pid is not None:
            assert self._process is not None
            self._process.send(job.order)
            job.sent = True

    def _understood(self, header: Header, arrays: Arrays) -> Iterator[Event]:
        say = header.get("say")
        if say == "hello":
            yield from self._greeted(header)
        elif say == "ready":
            self._ready, self.machine = True, header["machine"]
            yield Ready(header["machine"])
        elif self._job is not None and header.get("job") in (self._job.number, None):
            yield from self._about(self._job, say, header, arrays)

    def _greeted(self, header: Header) -> Iterator[Event]:
        """The pid is known now; see that it is the library that we are."""
        if header["version"] != deepgmm.__version__:
            yield Said(f"the worker is of DeepGMM {header['version']}, this is "
                       f"{deepgmm.__version__}")
            self._drop()
            self._fail(f"another version of DeepGMM ({header['version']}) was found beside this "
                       f"one ({deepgmm.__version__}): remove it", "dependencies")
        else:
            self._hand_over()

    def _about(self, job: _Job, say: str | None, header: Header,
               arrays: Arrays) -> Iterator[Event]:
        if say == "progress":
            if job.cancelled is None:
                yield Progress(job.number, header["fraction"], header["stage"],
                               self._left(job, header["fraction"]))
            return
        self._deaths = 0
        if job.cancelled is not None:  # whatever came of it in the meantime
            yield self._ended(Cancelled(job.number))
        elif say == "done":
            yield self._ended(Done(job.number, header["header"], arrays))
        elif say == "failed":
            yield self._ended(Failed(job.number, header["kind"], header["message"]))
        if header["job"] is None:  # it could not even take it in, and ends now
            self._drop()
            self._launch()

    def _ended(self, event: Event) -> Event:
        self._job = None
        return event

    def _fail(self, message: str, kind: str = "crash") -> None:
        if self._job is not None:
            self._waiting.append(self._ended(Failed(self._job.number, kind, message)
                                             if self._job.cancelled is None
                                             else Cancelled(self._job.number)))

    def _left(self, job: _Job, fraction: float) -> float | None:
        now = self._clock()
        if job.began is None:
            job.began = now
        least, seconds = _KNOWN_FROM
        if fraction < least or now - job.began < seconds:
            return None
        return (now - job.began) * (1 - fraction) / fraction

    def _died(self, process: Process) -> list[Event]:
        """Say how it ended by itself."""
        when = "" if self._ready else " before it was ready"
        how = ("it was killed: perhaps memory ran out. Close other programs or leave slices out, "
               "and try again" if _was_killed(process.status) and not process.broken else
               "try again; the log says more")
        return [Said(f"the worker ended{when}, status {process.status}"),
                *self._lost(f"the background process ended{when}; {how}")]

    def _out_of_time(self) -> list[Event]:
        """Give up a process that does not come up."""
        if (self._process is None or self._ready
                or self._clock() - self._launched < START_LIMIT):
            return []
        return [Said("the worker did not become ready and was killed"),
                *self._lost("the background process did not start in "
                            f"{START_LIMIT / 60:.0f} minutes: try again; the log says more")]

    def _lost(self, message: str) -> list[Event]:
        """Its job has failed; start another ahead, unless they die without one."""
        self._drop()
        self._deaths = self._deaths + 1 if self._job is None else 1
        self._fail(message)
        said: list[Event] = []
        if self._deaths < MOST_DEATHS:
            self._launch()
        else:
            said.append(Said(f"the worker ended {self._deaths} times, one after the other: it is "
                             "started again when there is something to do"))
        waiting, self._waiting = self._waiting, []
        return [*said, *waiting]

    def _out_of_patience(self) -> list[Event]:
        job = self._job
        if job is None or job.cancelled is None or self._clock() - job.cancelled < PATIENCE:
            return []
        self._drop()
        self._launch()
        return [self._ended(Cancelled(job.number)), Said("the worker was killed to cancel a job")]


def default_command() -> list[str]:
    """What starts a worker: Slicer's Python where this is Slicer, whose own is a launcher."""
    python = shutil.which("PythonSlicer") if "SLICER_HOME" in os.environ else None
    return [python or sys.executable, "-c", _WORKER, library_folder()]


def library_folder() -> str:
    """The folder in which this very library lies."""
    return str(Path(deepgmm.__file__).resolve().parents[1])


def with_library(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a Python finds this very library, and nothing in the folder that it
    happens to be started in."""
    folder = library_folder()
    others = environment.get("PYTHONPATH")
    return {**environment, "PYTHONSAFEPATH": "1",
            "PYTHONPATH": os.pathsep.join([folder, *([others] if others else [])])}


def _was_killed(status: int | None) -> bool:
    """Whether by SIGKILL, from a shell's or a launcher's status too."""
    return status in (-9, 137, 247)


def _latest_progress(events: list[Event]) -> list[Event]:
    """Of reports on progress that follow each other, the last."""
    return [event for event, after in zip(events, [*events[1:], None])
            if not (isinstance(event, Progress) and isinstance(after, Progress))]
