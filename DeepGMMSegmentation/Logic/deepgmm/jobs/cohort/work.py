"""What a worker does: a batch of cases read, fitted together, and written one by one."""

from __future__ import annotations

import os
import secrets
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm import __version__
from deepgmm.errors import DeepGMMError, InputError, short_frames
from deepgmm.files import unwritable
from deepgmm.hushing import hushed
from deepgmm.jobs.cohort.cases import EDITED, Case, Plan
from deepgmm.jobs.cohort.reading import Prepared, can_refine, read_case, refined
from deepgmm.jobs.cohort.records import (
    RECORD,
    encoded,
    hashes_of,
    new_record,
    place_of,
    stamp_of,
)

if TYPE_CHECKING:
    from deepgmm.result import Result
    from deepgmm.study.study import Study


@dataclass(repr=False)
class Batch:
    """Work for one worker.

    Attributes
    ----------
    run : of the run that asks for it, a word of its own.
    version : of the library that asks for it.
    """

    cases: list[Case]
    plan: Plan
    out: Path
    run: str
    version: str = __version__

    def __repr__(self) -> str:
        """No name and no path: an engine writes this into its log."""
        return f"Batch({', '.join(case.pseudonym for case in self.cases)})"


@dataclass
class Outcome:
    """How a case ended.

    Attributes
    ----------
    message : why it failed, one line without names; "" where it is done.
    trace : for the log, without names.
    """

    pseudonym: str
    message: str = ""
    seconds: float = 0.0
    trace: str = ""


def run_batch(batch: Batch) -> list[Outcome]:
    """Do a batch; a case that fails takes no other with it.

    Cases are fitted together, those that are left after a fault each alone.
    """
    if batch.version != __version__:
        return [Outcome(case.pseudonym, f"the worker runs deepgmm {__version__} and this is "
                        f"{batch.version}: install one version everywhere") for case in batch.cases]
    outcomes: dict[str, Outcome] = {}
    with hushed():
        if len(batch.cases) > 1:
            with suppress(Exception):
                _together(batch, batch.cases, outcomes)
        for case in batch.cases:
            if case.pseudonym not in outcomes:
                _alone(batch, case, outcomes)
    return [outcomes[case.pseudonym] for case in batch.cases]


def _together(batch: Batch, cases: list[Case], outcomes: dict[str, Outcome]) -> None:
    """Fit what can be read; what cannot be read is left to be told when it is alone."""
    from deepgmm.segment import segment_many

    ready: list[Prepared] = []

    def studies() -> Iterator[Study]:
        for case in cases:
            try:
                found = prepared(case, batch)
            except DeepGMMError:
                continue
            ready.append(found)
            yield found.study

    given = iter(ready)
    began = time.perf_counter()
    try:
        for result in segment_many(studies(), batch.plan.settings):
            one = next(given)
            finish(one, result, batch)
            outcomes[one.case.pseudonym] = Outcome(
                one.case.pseudonym, seconds=round(time.perf_counter() - began, 3))
            began = time.perf_counter()
    finally:
        for one in ready:
            shutil.rmtree(one.staging, ignore_errors=True)


def _alone(batch: Batch, case: Case, outcomes: dict[str, Outcome]) -> None:
    from deepgmm.segment import segment

    began = time.perf_counter()
    message = trace = ""
    ready: Prepared | None = None
    try:
        ready = prepared(case, batch)
        finish(ready, segment(ready.study, batch.plan.settings), batch)
    except DeepGMMError as error:
        message = str(error)
    except OSError as error:
        message = str(unwritable(error, "case's output"))
    except MemoryError:
        message = "not enough memory: take fewer workers, or give each more"
    except Exception as error:
        message = (f"the computation failed ({type(error).__name__}): please report it with the "
                   "log")
        if "out of memory" in str(error).lower():
            message = "not enough memory on the device: try --device cpu"
        trace = case.scrubbed_lines(short_frames(traceback.format_exc()))
    if ready is not None:
        shutil.rmtree(ready.staging, ignore_errors=True)
    outcomes[case.pseudonym] = Outcome(case.pseudonym, case.scrubbed(message) if message else "",
                                       round(time.perf_counter() - began, 3), trace)


def prepared(case: Case, batch: Batch) -> Prepared:
    """Read a case, with a mask of its own or one proposed.

    Raises
    ------
    DeepGMMError : it cannot be used; nothing is left over.
    """
    try:
        stamp = stamp_of(case)
    except OSError as error:
        raise InputError(f"a file or folder of it cannot be read ({error.strerror})") from error
    place = place_of(batch.out, case.pseudonym)
    staging = place / f".deepgmm-{secrets.token_hex(6)}"
    try:
        try:
            staging.mkdir(parents=True)
        except OSError as error:
            raise unwritable(error, "case's output") from error
        study, came, confidence, notes = read_case(case, batch.plan, staging)
        return Prepared(case, study, came, stamp, hashes_of(case), staging, confidence, notes)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        with suppress(OSError):
            place.rmdir()
        raise


def finish(one: Prepared, result: Result, batch: Batch) -> None:
    """Write everything of a case, and its record last."""
    from deepgmm.jobs.cohort.writing import write_case

    if EDITED in one.case.files and can_refine():
        result = refined(result, one.case.files[EDITED])
    row = write_case(one, result, batch.plan)
    place, staging = place_of(batch.out, one.case.pseudonym), one.staging
    made = sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
    record = new_record(one.case, batch.plan.key, batch.run, stamp=one.stamp, inputs=one.inputs,
                        files=[path.as_posix() for path in made], **row)
    (staging / RECORD).write_bytes(encoded(record))
    _publish(staging, place, made)


def _publish(staging: Path, place: Path, made: list[Path]) -> None:
    """Move files into place; the record goes first and comes last, so that it never speaks of
    files that are not there."""
    (place / RECORD).unlink(missing_ok=True)
    for path in (*made, Path(RECORD)):
        (place / path).parent.mkdir(exist_ok=True)
        os.replace(staging / path, place / path)


def told(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON values."""
    said: dict[str, Any] = {"event": "case", "case": outcome.pseudonym,
                            "status": "failed" if outcome.message else "done",
                            "seconds": outcome.seconds}
    return said | ({"message": outcome.message} if outcome.message else {})
