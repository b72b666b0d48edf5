"""What a worker does as it starts: it leaves Ctrl-C to whoever started it."""

from __future__ import annotations

import signal
import threading
from typing import Any


def dask_setup(worker: Any) -> None:
    """Called by Dask; a terminal's Ctrl-C comes to all processes, and only one is to answer."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
