"""Workers that Slurm or PBS starts, through dask-jobqueue."""

from __future__ import annotations

import logging
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deepgmm.errors import InputError
from deepgmm.jobs.cohort.where import LOOPBACK, Where, security_in, started


@contextmanager
def queued(where: Where, out: Path) -> Iterator[Any]:
    """Workers that Slurm or PBS starts; the scheduler is in this process."""
    import dask_jobqueue

    name, said = ("--slurm", where.slurm) if where.slurm is not None else ("--pbs", where.pbs)
    kind = dask_jobqueue.SLURMCluster if name == "--slurm" else dask_jobqueue.PBSCluster
    options, jobs = queue_options(name, said or "")
    logs = out / "logs"
    scheduler = {"dashboard": where.dashboard,
                 "dashboard_address": f"{LOOPBACK}:{8787 if where.dashboard else 0}"}
    host = options.pop("host", None)
    if host:
        scheduler["host"] = host
    # holds the workers' credentials
    with tempfile.TemporaryDirectory(prefix=".deepgmm-", dir=out, ignore_cleanup_errors=True
                                     ) as shared:
        security = security_in(Path(shared))
        try:
            cluster = started(lambda: kind(
                security=security, protocol="tls://", log_directory=str(logs),
                silence_logs=logging.CRITICAL, job_name="deepgmm-cohort",
                scheduler_options=scheduler, worker_extra_args=[
                    "--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0", "--preload",
                    "deepgmm.jobs.cohort.local"], **options))
        except (ValueError, TypeError) as error:
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
