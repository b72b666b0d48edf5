"""Which workers are wanted, as a user says it; and the credentials of those started here."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepgmm.settings import Device

LOOPBACK = "127.0.0.1"


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


def security() -> Any:
    """Credentials of one run, in memory."""
    from distributed.security import Security

    return Security.temporary()


def security_in(folder: Path) -> Any:
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


def started(cluster: Callable[[], Any]) -> Any:
    """What it makes. Its loop has ten seconds to start, which `distributed` only asserts: a machine
    too busy for that is given them twice more, so what it does must bear to be done again."""
    for _ in range(2):
        with suppress(AssertionError):
            return cluster()
    return cluster()
