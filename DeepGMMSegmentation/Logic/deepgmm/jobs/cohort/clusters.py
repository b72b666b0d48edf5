"""Where the work is done: workers of this machine, of somebody's scheduler, of Slurm or of PBS.

A cluster of Dask's without credentials lets every user of the machine run code as its owner. One
that is started here therefore always has certificates of its own, made for this run and held in
memory, and its pages are off, or on the loopback alone.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepgmm.errors import InputError, MissingPackages, how_to_install
from deepgmm.jobs.cohort.where import Where

#: Seconds until a scheduler must answer.
PATIENCE = 15

#: Of Dask, for what is started here.
_CONFIG = {
    "distributed.scheduler.allowed-failures": 0,  # we decide who is at fault
    "distributed.scheduler.work-stealing": False,
    "distributed.deploy.lost-worker-timeout": "1h",  # nor when one is given up: `_Tended`
    "distributed.worker.memory.pause": False,  # nothing of ours is worth waiting for
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.admin.tick.limit": "1h",  # a fit holds the interpreter for long
    "distributed.admin.tick.interval": "1s",  # and nobody need look fifty times a second
    "distributed.worker.use-file-locking": False,  # its folder is this run's alone
    "distributed.worker.preload": ["deepgmm.jobs.cohort.local"],
    "distributed.worker.profile.enabled": False,  # it looks at a fit a hundred times a second
    # Dask also has freed memory given back at once (MALLOC_TRIM_THRESHOLD_), and each array then
    # costs its pages anew: a third more time for a case.
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
}


def check(where: Where) -> None:
    """See that the choices go together and the packages are there.

    Raises
    ------
    InputError
        More than one engine, credentials without a scheduler, or packages missing.
    """
    chosen = [name for name, value in (
        ("--scheduler", where.scheduler), ("--scheduler-file", where.scheduler_file),
        ("--slurm", where.slurm), ("--pbs", where.pbs)) if value is not None]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} were both given: choose one")
    tls = [where.tls_ca_file, where.tls_cert]
    if any((*tls, where.tls_key)) and not where.is_remote:
        raise InputError("--tls-ca-file, --tls-cert and --tls-key go with --scheduler or "
                         "--scheduler-file")
    if any(tls) and not all(tls):
        raise InputError("--tls-ca-file and --tls-cert go together; --tls-key unless the "
                         "certificate's file holds the key")
    for name, path in (("--tls-ca-file", where.tls_ca_file), ("--tls-cert", where.tls_cert),
                       ("--tls-key", where.tls_key), ("--scheduler-file", where.scheduler_file)):
        if path is not None and not path.is_file():
            raise InputError(f"{name}: there is no such file")
    missing = []
    wanted = {"distributed": "distributed>=2025.7", "cryptography": "cryptography>=41"}
    if where.slurm is not None or where.pbs is not None:
        wanted["dask_jobqueue"] = "dask-jobqueue>=0.9"
    if where.is_remote:
        del wanted["cryptography"]
    from importlib.util import find_spec

    missing = [wanted[name] for name in wanted if find_spec(name) is None]
    if missing:
        raise MissingPackages("a cohort needs packages that are not there: "
                              + how_to_install("deepgmm[cohort]"), tuple(missing))
    if where.memory is not None:
        from dask.utils import parse_bytes

        try:
            enough = parse_bytes(where.memory) > 0
        except ValueError:
            enough = False
        if not enough:
            raise InputError("--memory is a size, as 4GB")
    if where.dashboard and find_spec("bokeh") is None and not where.is_remote:
        raise MissingPackages("--dashboard needs bokeh: " + how_to_install("bokeh>=3.1"),
                              ("bokeh>=3.1",))


@dataclass
class Connection:
    """A client of Dask's, and what keeps its workers up, called now and then."""

    client: Any
    tend: Callable[[], None] = lambda: None


@contextmanager
def connected(where: Where, out: Path) -> Iterator[Connection]:
    """A connection, whose cluster goes with it if it was started here.

    Raises
    ------
    InputError
        A scheduler that does not answer, refuses, or is of another version; options that a queue
        does not take.
    """
    import dask
    import distributed  # noqa: F401 - its defaults join what is set before they are loaded

    from deepgmm.jobs.cohort.local import local
    from deepgmm.jobs.cohort.queues import queued

    with ExitStack() as stack:
        stack.enter_context(_hushed_logs())
        if where.is_remote:
            yield Connection(stack.enter_context(_client_of(where)))
            return
        scratch = tempfile.mkdtemp(prefix=".deepgmm-", dir=out)  # there the next run sweeps
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        stack.enter_context(dask.config.set(_config(where) | {"temporary-directory": scratch}))
        cluster = stack.enter_context(local(where, scratch) if where.is_local else
                                      queued(where, out))
        from distributed import Client

        client = Client(cluster, timeout=PATIENCE, set_as_default=False)
        try:
            yield Connection(client, getattr(cluster, "tend", lambda: None))
        finally:
            with suppress(Exception):
                client.close(timeout=2)


@contextmanager
def _hushed_logs() -> Iterator[None]:
    """Who dies and who comes is told in our own words, if at all."""
    loggers = [logging.getLogger(name) for name in ("distributed", "asyncio", "tornado")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _config(where: Where) -> dict[str, Any]:
    pages: dict[str, Any] = {} if where.dashboard else {"distributed.scheduler.http.routes": []}
    return _CONFIG | pages | {"distributed.worker.http.routes": []}


@contextmanager
def _client_of(where: Where) -> Iterator[Any]:
    """A client of a scheduler that runs already."""
    from distributed import Client
    from distributed.security import Security

    security = None
    if where.tls_ca_file is not None:
        security = Security(require_encryption=True, tls_ca_file=str(where.tls_ca_file),
                            tls_client_cert=str(where.tls_cert),
                            tls_client_key=str(where.tls_key or where.tls_cert))
    given = {"address": where.scheduler} if where.scheduler is not None else {
        "scheduler_file": str(where.scheduler_file)}
    client = None
    try:
        try:
            client = Client(**given, security=security, timeout=PATIENCE, set_as_default=False)
            _check_version(client)
        except InputError:
            raise
        except (OSError, TimeoutError) as error:
            raise InputError(
                f"the scheduler does not answer within {PATIENCE} s, or refuses: check its address "
                "and, for tls://, --tls-ca-file, --tls-cert and --tls-key") from error
        except (ValueError, TypeError, KeyError, ImportError) as error:
            raise InputError("the scheduler's address or file cannot be used: give tcp://HOST:PORT "
                             "or tls://HOST:PORT, with credentials for tls://") from error
        yield client
    finally:
        if client is not None:
            with suppress(Exception):
                client.close(timeout=2)


def _check_version(client: Any) -> None:
    import distributed

    theirs = client.get_versions()["scheduler"]
    packages = theirs["packages"]
    ours, other = distributed.__version__, packages.get("distributed")
    if other != ours:
        raise InputError(f"the scheduler runs distributed {other} and this is {ours}: install one "
                         "version everywhere")


def dashboard_of(client: Any) -> str:
    """The address of the cluster's pages; "" where it has none."""
    with suppress(KeyError, ValueError, TypeError):
        return str(client.dashboard_link or "")
    return ""
