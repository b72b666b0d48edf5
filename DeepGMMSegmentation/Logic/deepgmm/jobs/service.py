"""What a worker does: jobs that come over a stream, one at a time, until the stream ends.

It says {"say": "hello", "pid", "version"} at once and {"say": "ready", "machine"} when it is warm;
takes {"say": "do", "job", "task", "header"} with arrays, and {"say": "cancel", "job"}; answers a
job with any number of "progress" and then one of "done", "failed" and "cancelled".
"""

from __future__ import annotations

import os
import re
import threading
import time
import traceback
from io import FileIO
from typing import Any

from deepgmm import __version__
from deepgmm.errors import Cancelled, DeepGMMError, InputError
from deepgmm.jobs import machine
from deepgmm.jobs.protocol import Arrays, Header, pieces, read_message, write_piece

#: Without a job for so many seconds, memory is given back.
IDLE_SECONDS = 300.0
#: Progress is said no more often than this, in seconds.
_EVERY = 0.05

_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|bad_alloc|not enough memory",
                        re.IGNORECASE)

Order = tuple[Header, Arrays]


class Speaker:
    """What is said to whoever started this process; by any thread, a message at a time."""

    def __init__(self, stream: FileIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def say(self, what: str, arrays: Arrays | None = None, **words: Any) -> None:
        """Say it, or end the process where nobody listens any more."""
        with self._lock:
            for piece in pieces({"say": what, **words}, arrays):
                try:
                    write_piece(self._stream, piece)
                except OSError:
                    os._exit(0)


class Orders:
    """What comes in, read by a thread of its own, so that a cancel is heard amid a job."""

    def __init__(self, stream: FileIO, speaker: Speaker) -> None:
        self._stream, self._speaker = stream, speaker
        self._order: Order | None = None
        self._changed = threading.Condition()
        self._cancelled = 0
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    @property
    def waiting(self) -> bool:
        """Whether a job has come."""
        return self._order is not None

    def cancelled(self, job: int) -> bool:
        """Whether nobody wants this job any more."""
        return job <= self._cancelled

    def next(self, patience: float) -> Order | None:
        """The next job, or None where none came for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.waiting, patience)
            order, self._order = self._order, None
            return order

    def _listen(self) -> None:
        """At the end of the stream the process ends, whatever else it does."""
        try:
            while (message := read_message(self._stream)) is not None:
                self._take(*message)
        except MemoryError:
            self._speaker.say("failed", job=None, kind="memory", message=_no_memory())
        except BaseException:
            traceback.print_exc()
        os._exit(0)

    def _take(self, header: Header, arrays: Arrays) -> None:
        with self._changed:
            if header["say"] == "do":
                self._order = header, arrays
                self._changed.notify()
                return
            self._cancelled = header["job"]
            begun, self._order = self._order is None, None
        if not begun:
            self._speaker.say("cancelled", job=header["job"])


def serve(incoming: FileIO, outgoing: FileIO) -> None:
    """Do jobs until `incoming` ends; then the process ends."""
    speaker = Speaker(outgoing)
    speaker.say("hello", pid=os.getpid(), version=__version__)
    orders = Orders(incoming, speaker)
    # torch asks for it when it is loaded; a wish of the user's own comes first
    os.environ.setdefault("OMP_NUM_THREADS", str(machine.threads()))
    found = machine.machine()
    if not found["missing"]:
        _warm(orders)
    speaker.say("ready", machine=found)
    while True:
        order = orders.next(IDLE_SECONDS)
        if order is not None:
            _do(order, orders, speaker, found["missing"])
        elif not found["missing"]:
            machine.free_memory()
        del order  # its arrays are large


def _warm(orders: Orders) -> None:
    """Load what a fit and a refit need, and run a small one unless somebody waits already."""
    from deepgmm.phantom import make_patient
    from deepgmm.review.slices import slice_rows
    from deepgmm.segment import segment
    from deepgmm.settings import Method, Settings

    def unless_somebody_waits(fraction: float, stage: str) -> None:
        if orders.waiting:
            raise Cancelled("somebody waits")

    try:
        import deepgmm.methods  # noqa: F401

        unless_somebody_waits(0.0, "warming")
        study = make_patient(0, slices=1).study
        for method in (Method.MAP, Method.PRETRAINED):
            slice_rows(segment(study, Settings(method=method), progress=unless_somebody_waits))
        unless_somebody_waits(1.0, "warming")
        import scipy.optimize  # noqa: F401

        import deepgmm.methods.refit
        import deepgmm.review.where_next  # noqa: F401
    except Cancelled:
        return
    except Exception:  # the first job will say what is wrong
        traceback.print_exc()


def _do(order: Order, orders: Orders, speaker: Speaker, missing: str) -> None:
    from deepgmm.jobs.tasks import TASKS

    header, arrays = order
    job, last = header["job"], 0.0

    def progress(fraction: float, stage: str) -> None:
        nonlocal last
        if orders.cancelled(job):
            raise Cancelled("cancelled")
        if time.monotonic() - last > _EVERY:
            last = time.monotonic()
            speaker.say("progress", job=job, fraction=float(fraction), stage=stage)

    def failed(kind: str, message: str) -> None:
        speaker.say("failed", job=job, kind=kind, message=message)

    if missing:
        failed("dependencies", missing)
        return
    if header["task"] not in TASKS:
        failed("dependencies", "the background process is of another DeepGMM, which cannot do "
                               "this: install DeepGMM again and restart")
        return
    try:
        progress(0.0, "starting")
        said, answer = TASKS[header["task"]](header["header"], arrays, progress)
        speaker.say("done", answer, job=job, header=said)
    except Cancelled:
        speaker.say("cancelled", job=job)
    except DeepGMMError as error:
        failed("input" if isinstance(error, InputError) else "computation", str(error))
    except Exception as error:
        traceback.print_exc()
        failed(*_meaning(error))


def _meaning(error: Exception) -> tuple[str, str]:
    """Kind and words of an error that is not our own."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return "dependencies", machine.not_there(error, error.name)
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        traceback.clear_frames(error.__traceback__)  # they hold what is to be given back
        machine.free_memory()
        return "memory", _no_memory("on the GPU" if "cuda" in str(error).lower() else "")
    return "computation", (f"the computation failed ({type(error).__name__}): please report it "
                           "with the log")


def _no_memory(where: str = "") -> str:
    todo = "choose the CPU as device, or leave slices out" if where else (
        "close other programs, or leave slices out")
    return " ".join(f"not enough memory {where}".split()) + f": {todo}"
