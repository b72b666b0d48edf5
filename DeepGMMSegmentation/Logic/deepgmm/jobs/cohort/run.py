"""A cohort from its folder to its table: what is to do, who does it, what is said of it."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepgmm import __version__
from deepgmm.errors import InputError
from deepgmm.files import read_json, write_whole
from deepgmm.jobs.cohort.cases import (
    NO_AGREEMENT,
    TRUTH,
    Case,
    Plan,
    batches,
    check_names,
    none_given,
)
from deepgmm.jobs.cohort.clusters import check, connected, dashboard_of
from deepgmm.jobs.cohort.engine import Engine
from deepgmm.jobs.cohort.index import write_index
from deepgmm.jobs.cohort.pseudonyms import mark_of, pseudonym, the_salt, write_key
from deepgmm.jobs.cohort.records import CASES, RECORD, is_done, locked, record_of, sweep
from deepgmm.jobs.cohort.table import write_tables
from deepgmm.jobs.cohort.where import Where
from deepgmm.jobs.cohort.work import Batch, Outcome, run_batch, told

ABOUT = "cohort.json"

#: Cases of a batch, unless it is said: large ones are quicker, small ones lose less.
BATCH = 4
#: Seconds between two writings of table and page while the work goes on.
REFRESH = 300.0

#: Of what is listed of a whole cohort, at most.
_MOST = 5

#: What happens, as JSON values: "event" says what.
Tell = Callable[[dict[str, Any]], None]


@dataclass
class Summary:
    """How a cohort ended.

    Attributes
    ----------
    cases, done, failed, skipped : counts; skipped of those that were done before, unchanged.
    failures : pseudonym to why.
    given, found : what is to be said of the cohort as a whole: known before, and seen in all.
    traces : of failures that are ours, for the log.
    """

    cases: int = 0
    done: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What is to be said of the cohort as a whole."""
        return [*self.given, *self.found]

    @property
    def failed(self) -> int:
        """How many failed."""
        return len(self.failures)


def cohort(cases: Sequence[Case], out: Path, plan: Plan | None = None, where: Where | None = None,
           *, force: bool = False, batch: int = BATCH, notes: Sequence[str] = (),
           key_file: Path | None = None, tell: Tell = lambda event: None,
           work: Callable[[Batch], list[Outcome]] = run_batch) -> Summary:
    """Do all cases of a cohort that are not done, and write table, page and failures.

    Whatever ends it, what is done is kept, and the next call goes on from there.

    Parameters
    ----------
    cases : as `find_cases` or `read_manifest` give them.
    out : the folder for everything; made if it is not there.
    force : do all cases anew.
    batch : cases that are fitted together, at most.
    key_file : where to write which pseudonym is whose.
    tell : called with what happens.
    work : what a worker does with a batch.

    Raises
    ------
    InputError
        No case, a folder that cannot be written to or that another run holds, a scheduler that
        cannot be used.
    """
    plan, where = plan or Plan(), where or Where()
    if not cases:
        raise none_given()
    check(where)
    out = Path(os.path.abspath(out))
    try:
        (out / CASES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the output folder cannot be made ({error.strerror}): choose "
                         "another") from error
    with locked(out):
        sweep(out)
        named = _named(cases, out)
        if key_file is not None:
            write_key(named, key_file, out)
        summary = Summary(len(named), given=list(notes))
        try:
            _do(named, out, plan, where, summary, force, batch, tell, work)
        finally:
            if summary.failures or any((out / CASES).glob(f"*/{RECORD}")):
                _write(named, out, summary)
        sweep(out)
    tell({"event": "end", "cases": summary.cases, "done": summary.done,
          "skipped": summary.skipped, "failed": summary.failed})
    return summary


def _named(cases: Sequence[Case], out: Path) -> list[Case]:
    """The cases with pseudonyms, those of this folder and no other salt's."""
    salt = the_salt()
    about = out / ABOUT
    try:
        mark = read_json(about).get("salt")
    except FileNotFoundError:
        mark = None
    except (OSError, ValueError, AttributeError):
        raise InputError(f"the output folder's {ABOUT} is damaged: choose another folder, or take "
                         "that file away") from None
    if mark not in (None, mark_of(salt)):
        raise InputError("the output folder's pseudonyms were made by another user or on another "
                         "machine: choose another folder, or bring that user's cohort-salt")
    write_whole(about, (json.dumps({"format": "deepgmm cohort", "version": __version__,
                                    "salt": mark_of(salt)}) + "\n").encode(), "cohort's notes")
    named = check_names(cases)
    for case in named:
        case.pseudonym = pseudonym(case.name, salt)
    for case, count in zip(named, _times([c.pseudonym for c in named]), strict=True):
        if count:  # of a name that came before, its failure needs a name of its own
            case.pseudonym += f"-{count + 1}"
    return named


def _times(words: Sequence[str]) -> list[int]:
    """How often each came before."""
    seen: Counter[str] = Counter()
    found = []
    for word in words:
        found.append(seen[word])
        seen[word] += 1
    return found


def _do(cases: list[Case], out: Path, plan: Plan, where: Where, summary: Summary, force: bool,
        most: int, tell: Tell, work: Callable[[Batch], list[Outcome]]) -> None:
    run, key = secrets.token_hex(4), plan.key
    ended: set[str] = set()
    began = written = time.monotonic()

    def end(outcome: Outcome) -> None:
        nonlocal written
        if outcome.pseudonym in ended:
            return
        ended.add(outcome.pseudonym)
        if outcome.message:
            summary.failures[outcome.pseudonym] = outcome.message
            summary.traces += [outcome.trace] if outcome.trace else []
        else:
            summary.done += 1
        left = len(cases) - summary.skipped - len(ended)
        seconds = (time.monotonic() - began) / len(ended) * left
        tell(told(outcome) | {"ended": len(ended) + summary.skipped, "of": len(cases),
                              "failed": summary.failed, "seconds_left": round(seconds, 1)})
        if time.monotonic() - written > REFRESH:
            with suppress(InputError):  # a full disk may have room again at the end
                _write(cases, out, summary)
            written = time.monotonic()

    to_do = []
    tell({"event": "start", "cases": len(cases)})
    for case in cases:
        if case.faults:
            end(Outcome(case.pseudonym, case.scrubbed("; ".join(case.faults))))
        elif not force and is_done(case, key, out):
            summary.skipped += 1
        else:
            to_do.append(case)
    tell({"event": "skipped", "skipped": summary.skipped, "to_do": len(to_do)})
    if not to_do:
        return

    def finished(case: Case) -> bool:
        record = record_of(out, case.pseudonym)
        return record is not None and record.get("run") == run

    with connected(where, out) as connection:
        if connection.client.scheduler.address.startswith("tcp://"):
            tell({"event": "note", "text": "this scheduler asks for no credentials: whoever can "
                  "reach it can run code as its workers do; tls:// is safer"})
        if where.dashboard:
            address = dashboard_of(connection.client)
            tell({"event": "dashboard", "address": address} if address else
                 {"event": "note", "text": "the scheduler has no dashboard: it needs bokeh there"})
        Engine(connection.client, work, end, finished,
               lambda text: tell({"event": "note", "text": text}), connection.tend,
               waits=not where.is_local).run(
            Batch(members, plan, out, run) for members in batches(to_do, most))


def _write(cases: list[Case], out: Path, summary: Summary) -> None:
    """Table, failures and page of what is known by now."""
    summary.found = _of_all(cases, summary, out)
    write_tables(cases, summary.failures, out)
    write_index(cases, summary.failures, out, summary.notes)


def _of_all(cases: Sequence[Case], summary: Summary, out: Path) -> list[str]:
    """What only all cases together show: truths that were not compared, kinds that are mixed,
    images that come twice."""
    kinds: dict[str, Counter[str]] = {}
    images: dict[str, list[str]] = {}
    truths, reasons = 0, Counter[str]()
    for case in cases:
        record = None if case.pseudonym in summary.failures else record_of(out, case.pseudonym)
        if record is None:
            continue
        for name, value in record["row"].items():
            if name.endswith("_kind"):
                kinds.setdefault(name.removesuffix("_kind"), Counter())[value] += 1
        truths += TRUTH in record["inputs"]
        reasons.update(text.removeprefix(NO_AGREEMENT) for text in record["warnings"]
                       if text.startswith(NO_AGREEMENT))
        for role, digest in record["inputs"].items():
            if role in ("bssfp", "lge", "t2", "folder"):
                images.setdefault(digest, []).append(case.pseudonym)
    notes = [f"{role.upper() if role != 'bssfp' else 'bSSFP'} is of several kinds: "
             + ", ".join(f"{kind} in {n}" for kind, n in found.most_common())
             + "; see whether their numbers may be pooled"
             for role, found in kinds.items() if len(found) > 1]
    if reasons:
        notes.insert(0, f"no agreement with the truth for {reasons.total()} of {truths} cases: "
                     + reasons.most_common(1)[0][0])
    twice = sorted({tuple(sorted(set(names))) for names in images.values()
                    if len(set(names)) > 1})
    notes += [f"{_listed(names)} hold the same image: is one patient here twice?"
              for names in twice[:_MOST]]
    if len(twice) > _MOST:
        notes.append(f"{len(twice) - _MOST} more images are in several cases")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST
    return " and ".join([*names[:_MOST], *([f"{more} more"] if more > 0 else [])])

