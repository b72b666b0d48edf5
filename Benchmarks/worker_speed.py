"""How long does a user wait for the worker: Apply cold and warm, cancel, crash, a new warm one?

    python Benchmarks/worker_speed.py
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from statistics import median

from common import REPORTED_SEED, ROOT, bars, keep_to_cores, machine, number, parser_of, run, table

#: The panel's timer, and what nothing here may take, in seconds.
TICK, LIMIT = 0.04, 120.0
#: A fit that hears no cancel for a minute, once it is so many seconds on its way.
DEAF, DEAF_FROM = {"method": "deepg", "preset": "paper"}, 3.0
LAUNCHER = ROOT / "Testing" / "standins" / "launcher.py"


@dataclass
class Owner:
    """What the panel does: polls by a timer, and brings back the answer.

    `longest` is the most CPU time of its own thread that a turn took.
    """

    worker: object
    longest: float = 0.0
    seen: list = field(default_factory=list)

    def until(self, wanted: type | tuple[type, ...]) -> object:
        last = time.monotonic() + LIMIT
        while time.monotonic() < last:
            began = time.thread_time()
            events = self.worker.poll()
            self.longest = max(self.longest, time.thread_time() - began)
            for event in events:
                if isinstance(event, wanted):
                    return event
            time.sleep(TICK)
        raise TimeoutError(f"nothing of {wanted} came")

    def apply(self, study, **settings) -> None:
        from deepgmm import Settings
        from deepgmm.jobs.tasks import segment_request

        began = time.thread_time()
        self.worker.submit("segment", *segment_request(study, Settings(**settings)))
        self.longest = max(self.longest, time.thread_time() - began)

    def applied(self, study, **settings) -> float:
        """Seconds from Apply to the result as this process has it."""
        from deepgmm.jobs.client import Done
        from deepgmm.jobs.tasks import segmented

        began = time.perf_counter()
        self.apply(study, **settings)
        done = self.until(Done)
        turn = time.thread_time()
        segmented(done.header, done.arrays, study)
        self.longest = max(self.longest, time.thread_time() - turn)
        return time.perf_counter() - began

    def cancelled(self, study, moment: float, **settings) -> float:
        """Seconds from Cancel, pressed so long after the first progress, to an idle worker."""
        from deepgmm.jobs.client import Cancelled, Done, Progress

        self.apply(study, **settings)
        self.until(Progress)
        time.sleep(moment)
        began = time.perf_counter()
        self.worker.cancel()
        self.until((Cancelled, Done))
        return time.perf_counter() - began


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each; 5 by default")
    options = parser.parse_args()
    keep_to_cores(options.threads)
    os.environ.pop("OMP_NUM_THREADS", None)
    python = [sys.executable, "-m", "deepgmm.jobs.worker"]
    found = {"direct": measured(python, options.runs),
             "behind a launcher": measured([sys.executable, str(LAUNCHER), *python[1:]],
                                           options.runs)}
    print(f"A worker that is polled every {TICK * 1000:.0f} ms, started directly and by a launcher "
          "that waits for it, as `PythonSlicer` does; a phantom patient of five slices and three "
          f"sequences; {options.runs} runs of each, {4 * options.runs} of cancelling, at random "
          "moments of the default fit. `deepg --preset paper` does not hear it for a minute, so "
          "the worker is killed.")
    print(machine(options.threads) + "\n")
    what = list(found["direct"])
    print(table(("s", *(f"{name}, {which}" for name in found for which in ("median", "most"))),
                [(one, *(cell for name in found for cell in
                         (number(median(found[name][one]), 3), number(max(found[name][one]), 3))))
                 for one in what]))
    most = {one: max(max(found[name][one]) for name in found) for one in what}
    print(bars([(one, f"under {limit:g} s", f"{most[one]:.3f} s", most[one] < limit)
                for one, limit in WANTED.items()]))


COLD, WARM, CANCEL, KILL, CRASH, READY, TURN = (
    "Apply to result, cold", "Apply to result, warm", "Cancel to idle",
    "Cancel to idle, by a kill", "killed from outside to idle", "from there to a new warm worker",
    "the owner's own CPU time, longest turn")
WANTED = {COLD: 5.0, WARM: 2.0, CANCEL: 1.0, KILL: 1.0, CRASH: 2.0, READY: 6.0, TURN: 0.05}


def measured(command: list[str], runs: int) -> dict[str, list[float]]:
    """Seconds of each."""
    from deepgmm.jobs.client import Failed, Progress, Ready, Worker
    from deepgmm.phantom import make_patient

    study = make_patient(REPORTED_SEED).study
    times: dict[str, list[float]] = {one: [] for one in WANTED}
    for _ in range(runs):
        owner = Owner(Worker(command))
        times[COLD].append(owner.applied(study))
        owner.worker.close()
        times[TURN].append(owner.longest)
    owner = Owner(Worker(command))
    owner.worker.start()
    owner.until(Ready)
    times[WARM] = [owner.applied(study) for _ in range(runs)]
    moments = random.Random(1)
    times[CANCEL] = [owner.cancelled(study, moments.uniform(0, 0.8 * median(times[WARM])))
                     for _ in range(4 * runs)]
    for _ in range(runs):
        times[KILL].append(owner.cancelled(study, DEAF_FROM, **DEAF))
        owner.until(Ready)
        owner.apply(study, **DEAF)
        owner.until(Progress)
        began = time.perf_counter()
        os.kill(owner.worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        owner.until(Failed)
        times[CRASH].append(time.perf_counter() - began)
        owner.until(Ready)
        times[READY].append(time.perf_counter() - began)
    times[TURN].append(owner.longest)
    owner.worker.close()
    return times


if __name__ == "__main__":
    run(main)
