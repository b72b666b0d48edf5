"""Batches to workers, each worker one at a time, and what a worker's death means.

Dask suspects every task in a dead worker's hands, and gives them to others until a limit. Here
only one batch is ever in a worker's hands: one that held several cases is done again one by one,
and a case that ended its worker twice while it was alone there is a failure.
"""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from deepgmm.errors import ComputationError, InputError
from deepgmm.jobs.cohort.cases import Case
from deepgmm.jobs.cohort.work import Batch, Outcome

#: Seconds between looks at which workers there are.
LOOK = 1.0
#: Seconds without any worker until it is said where they may be long in coming, and until a machine
#: of one's own is given up.
SAY, NOBODY = 15.0, 120.0
#: Workers' deaths that a case is given when it is alone.
DEATHS = 2
#: Batches that workers could not even begin, one after another.
_REFUSALS = 3

POISON = (f"it ended the process that worked on it {DEATHS} times: most likely it needs more "
          "memory than a worker has")


@dataclass
class Engine:
    """One run of batches on the workers of a client.

    Attributes
    ----------
    work : what a worker calls; gets a batch, gives the outcomes of its cases.
    ended : called with each case's outcome, once.
    finished : whether a case of a batch that died was done before it did.
    note : called with what a person should know while the work goes on.
    tend : keeps workers up; called now and then.
    waits : whether workers may be long in coming.
    """

    client: Any
    work: Callable[[Batch], list[Outcome]]
    ended: Callable[[Outcome], None]
    finished: Callable[[Case], bool]
    note: Callable[[str], None]
    tend: Callable[[], None] = lambda: None
    waits: bool = False
    _waiting: deque[Batch] = field(default_factory=deque)
    _busy: dict[str, tuple[Any, Batch]] = field(default_factory=dict)
    _deaths: Counter[str] = field(default_factory=Counter)
    _done: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)
    _looked: float = 0.0
    _refused: int = 0
    _number: int = 0

    def run(self, batches: Iterable[Batch]) -> None:
        """Do all batches.

        Raises
        ------
        InputError : the workers cannot run this library, or the scheduler has gone.
        ComputationError : no worker of this machine starts.
        """
        self._waiting.extend(batches)
        seen, told = time.monotonic(), False
        alive: set[str] = set()
        try:
            while self._waiting or self._busy:
                # who is to get work must be there now: a death before it began would be its own
                if self._waiting and len(self._busy) < max(len(alive), 1) or (
                        time.monotonic() - self._looked >= LOOK):
                    alive = self._workers()
                    self._looked = time.monotonic()
                    self.tend()
                    for address in [a for a in self._busy if a not in alive]:
                        self._lost(address)
                self._hand_out(alive)
                if alive:
                    seen = self._looked
                elif self.waits and not told and time.monotonic() - seen > SAY:
                    self.note("no worker is there: waiting for one")
                    told = True
                elif not self.waits and time.monotonic() - seen > NOBODY:
                    raise ComputationError("no worker starts: see whether memory is left")
                with suppress(queue.Empty):
                    self._take(*self._done.get(timeout=LOOK / 2))
        finally:
            futures = [future for future, _ in self._busy.values()]
            if futures:
                with suppress(Exception):
                    self.client.cancel(futures, force=True)

    def _workers(self) -> set[str]:
        """Addresses of those who can work."""
        self._see_scheduler()
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        return {address for address, about in workers.items()
                if about.get("status", "running") in ("running", "paused")}

    def _see_scheduler(self) -> None:
        """Without it all that was handed out is cancelled, which is no case's fault."""
        if self.client.status != "running":
            raise InputError("the scheduler has gone: what is done is kept; run again to go on")

    def _hand_out(self, alive: set[str]) -> None:
        for address in sorted(alive - self._busy.keys()):
            if not self._waiting:
                return
            batch = self._shared(len(alive))
            self._number += 1
            future = self.client.submit(
                self.work, batch, key=f"deepgmm-{batch.run}-{self._number}", workers=[address],
                allow_other_workers=False, pure=False, retries=0)
            self._busy[address] = (future, batch)
            future.add_done_callback(lambda done, address=address: self._done.put((address, done)))

    def _shared(self, workers: int) -> Batch:
        """The next batch; of the last ones a part, so that nobody is without work at the end."""
        batch = self._waiting.popleft()
        half = (len(batch.cases) + 1) // 2
        if len(self._waiting) >= workers - 1 or half == len(batch.cases):
            return batch
        self._waiting.appendleft(replace(batch, cases=batch.cases[half:]))
        return replace(batch, cases=batch.cases[:half])

    def _take(self, address: str, future: Any) -> None:
        """Take what a worker has done, or see why it did not."""
        held, batch = self._busy.get(address, (None, None))
        if batch is None or held is None or held.key != future.key:
            return  # given up already
        if future.status == "finished":
            try:
                outcomes = future.result(timeout=30)
            except Exception:  # the worker went before it had given it
                self._lost(address)
                return
            del self._busy[address]
            self._refused = 0
            for outcome in outcomes:
                self.ended(outcome)
            return
        self._see_scheduler()
        error = _error_of(future)
        if error in ("KilledWorker", "CancelledError", "FutureCancelledError", "TimeoutError"):
            self._looked = 0.0  # see at once who is left
            self._lost(address)
            return
        del self._busy[address]
        self._refused += 1
        if self._refused >= _REFUSALS:
            raise InputError(f"the workers cannot run this library ({error}): install deepgmm "
                             "where they run, in the version that is here")
        self._waiting.appendleft(batch)

    def _lost(self, address: str) -> None:
        """A worker died with a batch in its hands."""
        future, batch = self._busy.pop(address)
        with suppress(Exception):
            self.client.cancel([future], force=True)
        left = []
        for case in batch.cases:
            if self.finished(case):
                self.ended(Outcome(case.pseudonym))
            else:
                left.append(case)
        if len(batch.cases) == 1 and left:
            name = left[0].pseudonym
            self._deaths[name] += 1
            if self._deaths[name] >= DEATHS:
                self.ended(Outcome(name, POISON))
                return
        self._waiting.extend(Batch([case], batch.plan, batch.out, batch.run, batch.version)
                             for case in left)


def _error_of(future: Any) -> str:
    """The name of what a future failed with."""
    if future.status == "cancelled":
        return "CancelledError"
    try:
        return type(future.exception(timeout=30)).__name__
    except Exception as error:
        return type(error).__name__
