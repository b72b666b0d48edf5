"""What a worker does as it starts: loads the libraries, and leaves Ctrl-C to who started it."""

from __future__ import annotations

import signal
import threading
from typing import Any


def dask_setup(worker: Any) -> None:
    """Called by Dask as the worker starts."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    import torch

    torch.set_num_threads(1)
    import deepgmm.jobs.cohort.work  # noqa: F401
    import deepgmm.segment  # noqa: F401
