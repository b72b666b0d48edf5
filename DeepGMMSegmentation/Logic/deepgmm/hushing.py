"""What image libraries print themselves, past Python, kept off the terminal and out of logs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def hushed() -> Iterator[None]:
    """Keep off the terminal what image libraries print themselves, past Python, on a bad file.

    What they mean is said in one line by the error that follows.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept: list[tuple[int, int]] = []
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            with suppress(OSError):  # a stream may be closed
                kept.append((os.dup(stream), stream))
                os.dup2(nowhere, stream)
        yield
    finally:
        for copy, stream in kept:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)
