"""What happened at every step: JSON lines to read, event files for TensorBoard to watch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deepgmm.files import unwritable, write_whole

TRACE = "trace.jsonl"
EVENTS = "tensorboard"

#: A step's or a validation's numbers; "step" among them, steps counted from 1.
Row = dict[str, Any]


class Diary:
    """Writes the rows of a training as they come.

    Parameters
    ----------
    folder : of the model; `trace.jsonl` holds the rows, `tensorboard` the event files.
    rows : those of a training that goes on. What the folder holds beside them is forgotten.

    Raises
    ------
    InputError : the files cannot be written.
    """

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        self._path = folder / TRACE
        events = folder / EVENTS
        try:
            events.mkdir(exist_ok=True)
            if rows:
                write_whole(self._path, "".join(map(_line, rows)).encode(), "trace")
            else:
                for older in (self._path, *events.glob("events.out.tfevents.*")):
                    older.unlink(missing_ok=True)
            # the name has whole seconds only, which two trainings may share
            self._events = EventsWriter(str(events / "events"), f".{time.time_ns():x}")
            self._forget_after(rows[-1]["step"] if rows else 0)
        except OSError as error:
            raise unwritable(error, "trace") from error

    def write(self, rows: list[Row]) -> None:
        """Add rows to both files.

        Raises
        ------
        InputError : they cannot be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.writelines(map(_line, rows))
            for row in rows:
                self._scalars(row)
            self._events.flush()
        except OSError as error:
            raise unwritable(error, "trace") from error

    def close(self) -> None:
        self._events.close()

    def _scalars(self, row: Row) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for name, value in _flat(row):
            if name != "step":
                self._events.write_event(Event(
                    wall_time=time.time(), step=row["step"], summary=scalar(name, value)))

    def _forget_after(self, step: int) -> None:
        """Tell TensorBoard that steps after this one, if it knows any, were thrown away."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._events.write_event(Event(
            wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START)))


def read_rows(folder: Path, last: int) -> list[Row]:
    """Rows of a model folder's trace up to a step; what cannot be read is left out."""
    rows = []
    try:
        lines = (folder / TRACE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
            if row["step"] <= last:
                rows.append(row)
        except (ValueError, LookupError, TypeError, RecursionError):  # being written
            continue
    return rows


def _line(row: Row) -> str:
    return json.dumps(row) + "\n"


def _flat(row: Row, before: str = "") -> Iterable[tuple[str, float]]:
    """(name, number) of a row, names of rows within it joined by a slash."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}/")
        elif value is not None:
            yield before + name, value
