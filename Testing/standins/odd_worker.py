"""A worker with tasks that no real one has: to see what becomes of odd behaviour.

    python odd_worker.py [light] [slow] [idle] [old] [bare]

light: nothing is loaded and nothing warmed, so that it starts quickly; slow: as light, but it
warms for a while; idle: as light, and it soon gives memory back, and says so; old: of another
version; bare: of a Python without torch.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from deepgmm.jobs import machine, service, worker
from deepgmm.jobs.tasks import TASKS


def echo(header, arrays, progress):
    return header, arrays


def work(header, arrays, progress):
    """As a fit would: says how far it is, and stops when told to."""
    steps = header.get("steps", 100_000)
    for step in range(steps):
        progress(step / steps, "working")
        time.sleep(0.002)
    return {}, {}


def hang(header, arrays, progress):
    """Hears nothing, and never lets another thread run."""
    progress(0.0, "hanging")
    re.match(r"(a+)+$", "a" * 64 + "b")


def deaf(header, arrays, progress):
    """Hears nothing, but lets others run."""
    progress(0.0, "working")
    while True:
        sum(range(1000))


def chatter(header, arrays, progress):
    """What libraries print, by Python and past it, and children of theirs."""
    for _ in range(40):
        print("printed " * 500)
        os.write(1, b"written past Python " * 200)
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    print("at last: cannot open /data/patients/Smith/lge.nii.gz", file=sys.stderr, flush=True)
    return {"heard": sys.stdin.readline()}, arrays


def fail(header, arrays, progress):
    raise ZeroDivisionError("of /data/patients/Smith/lge.nii.gz")


def die(header, arrays, progress):
    os._exit(header["status"])


def fault(header, arrays, progress):
    import ctypes

    ctypes.string_at(0)


def garbage(header, arrays, progress):
    """Breaks the rule, and then the protocol."""
    STREAMS[1].write(b"this is no message")
    time.sleep(60)


def limit(header, arrays, progress):
    """From now on there is hardly more memory than is in use."""
    _limit(64 << 20)
    return {}, {}


def exhaust(header, arrays, progress):
    """Segment with hardly more memory than is in use."""
    import resource

    before = _limit(1 << 20)
    try:
        return TASKS["segment"](header, arrays, progress)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _limit(more):
    """Let this process have so many bytes more; returns the limits before."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    return before


STREAMS = []


def own_streams():
    STREAMS.extend(_own_streams())
    return STREAMS


_own_streams, worker.own_streams = worker.own_streams, own_streams
TASKS.update((task.__name__, task) for task in (
    echo, work, hang, deaf, chatter, fail, die, fault, garbage, limit, exhaust))

if __name__ == "__main__":
    if {"light", "slow", "idle"} & set(sys.argv):
        machine.machine = lambda: {"missing": "", "torch": None, "threads": 1, "devices": []}
        service._warm = lambda orders: time.sleep(1.0 if "slow" in sys.argv else 0.0)
    if "idle" in sys.argv:
        service.IDLE_SECONDS = 0.1
        machine.free_memory = lambda: print("memory given back", file=sys.stderr, flush=True)
    if "old" in sys.argv:
        service.__version__ = "0.0.1"
    if "bare" in sys.argv:
        sys.modules["torch"] = None
    worker.main()
