"""Where the work is done: workers of this machine, of somebody's scheduler, of Slurm or of PBS.

A cluster of Dask's without credentials lets every user of the machine run code as its owner. One
that is started here therefore always has certificates of its own, made for this run and held in
memory, and its pages are off, or on the loopback alone.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepgmm.errors import ComputationError, InputError, MissingPackages, how_to_install
from deepgmm.settings import Device

LOOPBACK = "127.0.0.1"

#: Seconds until a scheduler must answer.
PATIENCE = 15

#: Memory that a worker of this machine needs: the libraries, and a batch.
_WORKER = 1_500_000_000

#: Of Dask, for what is started here.
_CONFIG = {
    "distributed.scheduler.allowed-failures": 0,  # we decide who is at fault
    "distributed.scheduler.work-stealing": False,
    "distributed.worker.memory.pause": False,  # nothing of ours is worth waiting for
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.admin.tick.limit": "1h",  # a fit holds the interpreter for long
    "distributed.worker.preload": ["deepgmm.jobs.cohort.preload"],
}


@dataclass
class Where:
    """Which workers are wanted.

    Attributes
    ----------
    workers : of this machine; None: one a GPU, else one a core, as far as memory goes.
    memory : of each, as Dask writes it ("4GB"); None: a share of the machine's.
    scheduler : address of one that runs already; or scheduler_file, which names it.
    tls_ca_file, tls_cert, tls_key : the client's credentials there.
    slurm, pbs : what dask-jobqueue is told: words like cores=4 memory=16GB jobs=10 queue=long,
        and options of the queue that begin with dashes.
    """

    workers: int | None = None
    memory: str | None = None
    scheduler: str | None = None
    scheduler_file: Path | None = None
    tls_ca_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    slurm: str | None = None
    pbs: str | None = None
    dashboard: bool = False
    device: Device = Device.AUTO

    @property
    def is_local(self) -> bool:
        """Whether the workers are of this machine, and ours."""
        return not (self.is_remote or self.slurm is not None or self.pbs is not None)

    @property
    def is_remote(self) -> bool:
        """Whether a scheduler runs already."""
        return self.scheduler is not None or self.scheduler_file is not None


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
    if where.dashboard and find_spec("bokeh") is None and not where.is_remote:
        raise MissingPackages("--dashboard needs bokeh: " + how_to_install("bokeh>=3.1"),
                              ("bokeh>=3.1",))


@contextmanager
def connected(where: Where, out: Path) -> Iterator[Any]:
    """A client of Dask's, whose cluster goes with it if it was started here.

    Raises
    ------
    InputError
        A scheduler that does not answer, refuses, or is of another version; options that a queue
        does not take.
    """
    import dask

    with ExitStack() as stack:
        if where.is_remote:
            yield stack.enter_context(_client_of(where))
            return
        scratch = tempfile.mkdtemp(prefix="deepgmm-")
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        stack.enter_context(dask.config.set(_config(where) | {"temporary-directory": scratch}))
        make = _local if where.is_local else _queued
        cluster = stack.enter_context(make(where, scratch, out))
        from distributed import Client

        client = Client(cluster, timeout=PATIENCE, set_as_default=False)
        try:
            yield client
        finally:
            with suppress(Exception):
                client.close(timeout=2)


def _config(where: Where) -> dict[str, Any]:
    pages = {} if where.dashboard else {"distributed.scheduler.http.routes": []}
    return _CONFIG | pages | {"distributed.worker.http.routes": []}


def _security() -> Any:
    from distributed.security import Security

    return Security.temporary()


def _security_in(folder: Path) -> Any:
    """The same as files that only their owner can read, for workers on other machines."""
    from distributed.security import Security

    made = Security.temporary()
    files = {}
    for name, text in (("ca_file", made.tls_ca_file), ("cert", made.tls_worker_cert),
                       ("key", made.tls_worker_key)):
        files[name] = str(folder / f"{name}.pem")
        with open(os.open(files[name], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
            stream.write(text)
    roles = {f"tls_{role}_{part}": files[part] for role in ("client", "scheduler", "worker")
             for part in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=files["ca_file"], **roles)


@contextmanager
def _local(where: Where, scratch: str, out: Path) -> Iterator[Any]:
    """One process a worker, each with one thread; with GPUs, one process a device."""
    from distributed import Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster
    from distributed.system import MEMORY_LIMIT

    devices = _devices() if where.device in (Device.AUTO, Device.CUDA) else []
    count = where.workers or len(devices) or _cores()
    memory = where.memory or int(MEMORY_LIMIT // count)
    common = {"host": LOOPBACK, "protocol": "tls://", "security": _security(), "dashboard": False,
              "dashboard_address": f"{LOOPBACK}:0", "silence_logs": logging.CRITICAL}
    worker = {"nthreads": 1, "memory_limit": memory, "local_directory": scratch,
              "death_timeout": 120, **common}
    workers: dict[Any, Any] = {}
    for number in range(count):
        env = {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {}
        workers[number] = {"cls": Nanny, "options": worker | {"env": env}}
    del common["silence_logs"]
    scheduler = {"cls": Scheduler, "options": common | {
        "port": 0, "dashboard": where.dashboard,
        "dashboard_address": f"{LOOPBACK}:{8787 if where.dashboard else 0}"}}
    cluster = SpecCluster(scheduler=scheduler, workers=workers, security=common["security"],
                          silence_logs=logging.CRITICAL)
    try:
        yield cluster
    finally:
        _end(cluster)


def _end(cluster: Any) -> None:
    """At once: a worker in the midst of a fit is not waited for."""
    for nanny in list(cluster.workers.values()):
        nanny.auto_restart = False
        process = getattr(getattr(nanny, "process", None), "process", None)
        with suppress(OSError, TypeError, AttributeError):
            os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    with suppress(Exception):
        cluster.close(timeout=10)


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


@contextmanager
def _queued(where: Where, scratch: str, out: Path) -> Iterator[Any]:
    """Workers that Slurm or PBS starts; the scheduler is in this process."""
    import dask_jobqueue

    name, said = ("--slurm", where.slurm) if where.slurm is not None else ("--pbs", where.pbs)
    kind = dask_jobqueue.SLURMCluster if name == "--slurm" else dask_jobqueue.PBSCluster
    options, jobs = queue_options(name, said or "")
    shared = Path(tempfile.mkdtemp(prefix=".deepgmm-", dir=out))  # holds the workers' credentials
    logs = out / "logs"
    scheduler = {"dashboard": where.dashboard,
                 "dashboard_address": f"{LOOPBACK}:{8787 if where.dashboard else 0}"}
    host = options.pop("host", None)
    if host:
        scheduler["host"] = host
    try:
        cluster = kind(
            security=_security_in(shared), protocol="tls://", log_directory=str(logs),
            silence_logs=logging.CRITICAL, job_name="deepgmm-cohort",
            scheduler_options=scheduler, worker_extra_args=[
                "--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0", "--preload",
                "deepgmm.jobs.cohort.preload"], **options)
    except (ValueError, TypeError) as error:
        shutil.rmtree(shared, ignore_errors=True)
        raise InputError(f"{name}: {error}") from error
    try:
        try:
            cluster.scale(jobs=jobs)
            cluster.sync(cluster._correct_state)
        except (OSError, RuntimeError, ValueError) as error:
            command = "sbatch" if name == "--slurm" else "qsub"
            raise InputError(f"{name}: {command} refused the job, or is not on this machine: "
                             f"{_reason(error)}") from error
        yield cluster
    finally:
        with suppress(Exception):
            cluster.close(timeout=10)
        shutil.rmtree(shared, ignore_errors=True)


def _reason(error: BaseException) -> str:
    """The last line that a command said."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.endswith(":")]
    return lines[-1] if lines else type(error).__name__


def queue_options(name: str, said: str) -> tuple[dict[str, Any], int]:
    """What was said to --slurm or --pbs, as dask-jobqueue takes it, and how many jobs.

    Raises
    ------
    InputError : a word that is neither key=value nor an option of the queue.

    Examples
    --------
    >>> queue_options("--slurm", "cores=4 memory=16GB jobs=10 --gres=gpu:1")
    ({'cores': 4, 'processes': 4, 'memory': '16GB', 'job_extra_directives': ['--gres=gpu:1']}, 10)
    """
    options: dict[str, Any] = {"cores": 1, "processes": None, "memory": "4GB"}
    directives: list[str] = []
    try:
        words = shlex.split(said)
    except ValueError as error:
        raise InputError(f"{name}: a quotation is not closed") from error
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            directives.append(word)
        elif equals and key.isidentifier():
            options[key] = int(value) if key in ("cores", "processes", "jobs", "job_cpu") and \
                value.isdigit() else value
        else:
            raise InputError(f"{name}: '{word}' is neither key=value, as in cores=4 memory=16GB "
                             "jobs=10, nor an option of the queue that begins with dashes")
    jobs = options.pop("jobs", 1)
    options["processes"] = options["processes"] or options["cores"]
    if not all(isinstance(options[key], int) and options[key] > 0
               for key in ("cores", "processes")) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"{name}: cores, processes and jobs are whole numbers from 1")
    if directives:
        options["job_extra_directives"] = directives
    return options, jobs


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
    level = logging.getLogger("distributed").level
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    client = None
    try:
        try:
            client = Client(**given, security=security, timeout=PATIENCE, set_as_default=False)
            _check_version(client)
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
        logging.getLogger("distributed").setLevel(level)


def _check_version(client: Any) -> None:
    import distributed

    theirs = client.get_versions()["scheduler"]
    packages = theirs["packages"]
    ours, other = distributed.__version__, packages.get("distributed")
    if other != ours:
        raise InputError(f"the scheduler runs distributed {other} and this is {ours}: install one "
                         "version everywhere")


def dashboard_of(client: Any) -> str:
    """The address of the cluster's pages."""
    link = client.dashboard_link
    if not link:
        raise ComputationError("the scheduler has no dashboard: install bokeh where it runs")
    return str(link)
