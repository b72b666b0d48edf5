"""Workers of this machine: one process each, kept up, and ended at once when the work is."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from deepgmm.jobs.cohort.where import LOOPBACK, Where, security, started
from deepgmm.settings import Device

#: Memory that a worker of this machine needs: the libraries, and a batch.
_WORKER = 1_500_000_000


@contextmanager
def local(where: Where, scratch: str) -> Iterator[Any]:
    """One process a worker, each with one thread; with GPUs, one process a device."""
    from distributed import Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster
    from distributed.system import MEMORY_LIMIT

    devices = _devices() if where.device in (Device.AUTO, Device.CUDA) else []
    count = where.workers or len(devices) or _cores()
    memory = where.memory or int(MEMORY_LIMIT // count)
    common = {"host": LOOPBACK, "protocol": "tls://", "security": security(), "dashboard": False,
              "dashboard_address": f"{LOOPBACK}:0", "silence_logs": logging.CRITICAL}
    worker = {"nthreads": 1, "memory_limit": memory, "local_directory": scratch,
              "death_timeout": 120, **common}
    workers: dict[Any, Any] = {}
    for number in range(count):
        env = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
        env |= {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {}
        workers[number] = {"cls": Nanny, "options": worker | {"env": env}}
    del common["silence_logs"]
    scheduler = {"cls": Scheduler, "options": common | {
        "port": 0, "dashboard": where.dashboard,
        "dashboard_address": f"{LOOPBACK}:{8787 if where.dashboard else 0}"}}
    cluster = started(lambda: SpecCluster(scheduler=scheduler, workers={},
                                          security=common["security"],
                                          silence_logs=logging.CRITICAL))
    cluster.worker_spec.update(workers)
    tended = _Tended(cluster)
    cluster.tend = tended
    try:
        tended()
        yield cluster
    finally:
        tended.end()


class _Tended:
    """Keeps the workers of a cluster up: Dask gives up one that dies while it starts."""

    #: Seconds without a process until a worker's keeper is taken for lost itself.
    PATIENCE = 5.0

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self._gone: dict[Any, float] = {}
        self._at_it = False

    def __call__(self) -> None:
        """See who has gone, and start others in the background."""
        now, keepers = time.monotonic(), dict(self.cluster.workers)
        for name, keeper in keepers.items():
            if keeper.status.name not in ("failed", "closed") and keeper.is_alive():
                self._gone.pop(name, None)
        lost = {name: keeper for name, keeper in keepers.items()
                if keeper.status.name in ("failed", "closed")
                or not keeper.is_alive()
                and now - self._gone.setdefault(name, now) > self.PATIENCE}
        if self._at_it or not (lost or self.cluster.worker_spec.keys() - keepers.keys()):
            return
        self._at_it = True
        self.cluster.loop.add_callback(self._replace, lost)

    async def _replace(self, lost: dict[Any, Any]) -> None:
        try:
            for name, keeper in lost.items():
                self._gone.pop(name, None)
                self.cluster.workers.pop(name, None)
                with suppress(Exception):
                    await keeper.close(timeout=1)
            with suppress(Exception):  # whoever could not start is seen the next time
                await self.cluster._correct_state()
        finally:
            self._at_it = False

    def end(self) -> None:
        """At once: a worker in the midst of a fit is not waited for."""
        self._at_it = True
        for keeper in list(self.cluster.workers.values()):
            keeper.auto_restart = False
            process: Any = getattr(getattr(keeper, "process", None), "process", None)
            with suppress(OSError, TypeError, AttributeError):
                os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        with suppress(Exception):
            self.cluster.close(timeout=10)


def _cores() -> int:
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    return max(1, min(int(CPU_COUNT), int(MEMORY_LIMIT // _WORKER)))


def _devices() -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [word.strip() for word in said.split(",") if word.strip() not in ("", "-1")]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [str(i) for i in range(len(lines))] if done.returncode == 0 else []


def dask_setup(worker: Any) -> None:
    """Called by Dask as a worker starts; Ctrl-C comes to all processes of a terminal, and only
    the one that started them is to answer."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
