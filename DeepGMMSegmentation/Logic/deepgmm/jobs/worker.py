"""The worker process: `python -m deepgmm.jobs.worker`."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from io import FileIO


def own_streams() -> tuple[FileIO, FileIO]:
    """This process's stdin and stdout for us alone.

    From now on whatever a library prints, by Python or past it, goes to stderr, and no child of
    ours reads our input or keeps our output open.
    """
    sys.stdout.flush()
    streams = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        for stream in streams:
            msvcrt.setmode(stream, os.O_BINARY)
    return os.fdopen(streams[0], "rb", buffering=0), os.fdopen(streams[1], "wb", buffering=0)


def main() -> None:
    """Serve whoever started this process, until stdin ends."""
    incoming, outgoing = own_streams()
    faulthandler.enable()
    # Ctrl-C in a terminal is for the one who started us
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from deepgmm.jobs.service import serve

    serve(incoming, outgoing)


if __name__ == "__main__":
    main()
