"""One worker process as its starter sees it: its pipes, the threads that wait on them, its end.

Threads do the waiting because blocking reads and writes are the same on every system. In Slicer
they run only while the main thread gives them Python's lock, which it does in `messages`; so they
are made to need it seldom: an array is written, and as much as a pipe holds is read, in one call
that does without the lock.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from typing import IO

from deepgmm.errors import short_frames, without_paths
from deepgmm.jobs.protocol import (
    Arrays,
    Header,
    Pieces,
    ProtocolError,
    read_message,
    write_piece,
)

#: What a pipe is asked to hold, where the system can be asked, in bytes.
_PIPE = 1 << 20
#: Seconds that `messages` waits for the threads: usually, and while a message is coming in.
_WAIT, _WAIT_AMID = 0.002, 0.015
#: Seconds in which a process that has closed its pipes must have ended.
_LAST = 0.05
#: Messages taken at once, and characters kept of what a process says to its log.
_AT_ONCE, _MOST_SAID = 200, 20_000


class Process:
    """A process that speaks the protocol over stdin and stdout, perhaps behind a launcher.

    The real process is known by the `pid` that its first message tells. Nothing is sent before
    that, so one that does not come up ends when its stdin is closed.

    Attributes
    ----------
    pid : of the real process; None until it has said so.
    ended : whether it is gone; nothing comes any more then.
    broken : whether what came from it was no message; it is ended then.

    Raises
    ------
    OSError
        It could not be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW  # no console for it
        self._started = subprocess.Popen(
            list(command), env=dict(environment), bufsize=0, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, creationflags=flags)
        assert self._started.stdin and self._started.stdout and self._started.stderr
        self._stdin: IO[bytes] = self._started.stdin
        self.pid: int | None = None
        self.ended = False
        self._came: queue.SimpleQueue[tuple[Header, Arrays] | None] = queue.SimpleQueue()
        self._going: queue.SimpleQueue[Pieces | None] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._amid = self.broken = False
        for stream in (self._stdin, self._started.stdout):
            _enlarge(stream)
        self._threads: list[threading.Thread] = []
        self._run(self._receive, self._started.stdout)
        self._logging = self._run(self._log, self._started.stderr)
        self._sending = False

    def send(self, message: Pieces) -> None:
        """Have it written; returns at once. Only after the process has told its `pid`."""
        if not self._sending:
            self._sending = True
            self._run(self._send, self._stdin)
        self._going.put(message)

    def messages(self) -> Iterator[tuple[Header, Arrays]]:
        """What has come in since the last time, after a moment for the threads to bring it."""
        began = time.monotonic()
        for _ in range(_AT_ONCE):
            try:
                message = self._came.get(timeout=_WAIT)
            except queue.Empty:
                if self._amid and time.monotonic() - began < _WAIT_AMID:
                    continue
                return
            if message is None:
                self._finish()
                return
            self.pid = message[0].get("pid", self.pid)
            yield message

    def said(self) -> str:
        """What it has written to its log since the last time, without paths."""
        text = bytearray()
        with suppress(queue.Empty):
            while True:
                text += self._said.get_nowait()
        words = text.decode("utf-8", "replace").strip()
        if len(words) > _MOST_SAID:
            words = f"... {words[-_MOST_SAID:]}"
        return without_paths(short_frames(words))

    @property
    def status(self) -> int | None:
        """The exit status of what was started, of a signal its negative number; None where it
        runs yet."""
        return self._started.poll()

    def kill(self) -> None:
        """End it at once, launcher and all."""
        if not self.ended and self.pid not in (None, self._started.pid):
            assert self.pid is not None
            with suppress(OSError):
                os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        with suppress(OSError):
            self._started.kill()
        self.ended = True
        self._let_go()

    def wait(self, seconds: float) -> None:
        """Until it has ended, but no longer."""
        with suppress(subprocess.TimeoutExpired):
            self._started.wait(seconds)

    def gone(self) -> bool:
        """Whether nothing is left of it, here or in the system."""
        return self.status is not None and not any(t.is_alive() for t in self._threads)

    def _finish(self) -> None:
        """Its pipes are closed: it has ended, or must."""
        if self.broken:
            self.kill()
        self.ended = True
        self.wait(_LAST)
        if self.status is None:
            self._started.kill()
        self._logging.join(_LAST)  # its last words
        self._let_go()

    def _let_go(self) -> None:
        """Close its stdin: by the thread that writes there, where one may be amid a write."""
        if self._sending:
            self._going.put(None)
        else:
            self._stdin.close()

    def _run(self, work: Callable[[IO[bytes]], None], stream: IO[bytes]) -> threading.Thread:
        thread = threading.Thread(target=work, args=(stream,), daemon=True, name="deepgmm-worker")
        self._threads.append(thread)
        thread.start()
        return thread

    def _receive(self, stream: IO[bytes]) -> None:
        assert isinstance(stream, FileIO)  # as a process without buffers gives them
        noise: bytearray | None = bytearray()  # whatever a launcher prints first
        try:
            with stream:
                while (message := read_message(_Watched(stream, self), noise)) is not None:
                    self._amid = False
                    if noise:
                        self._said.put(bytes(noise))
                    noise = None
                    self._came.put(message)
                self._said.put(bytes(noise or b""))
        except (ProtocolError, OSError, MemoryError) as error:
            self.broken = True
            self._said.put(f"\n{type(error).__name__}: {error}\n".encode())
        self._amid = False
        self._came.put(None)

    def _log(self, stream: IO[bytes]) -> None:
        with suppress(OSError), stream:
            while text := stream.read(1 << 16):
                self._said.put(text)

    def _send(self, stream: IO[bytes]) -> None:
        with suppress(OSError), stream:
            while (message := self._going.get()) is not None:
                for piece in message:
                    write_piece(stream, piece)


class _Watched:
    """A stream of a process that notes when a message has begun to come."""

    def __init__(self, stream: FileIO, process: Process) -> None:
        self._read, self._process = stream.readinto, process

    def readinto(self, buffer: memoryview) -> int | None:
        count: int | None = self._read(buffer)
        self._process._amid = True
        return count


def _enlarge(stream: IO[bytes]) -> None:
    """Let a pipe hold more, so that a thread need not be woken so often."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
