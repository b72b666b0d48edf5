"""What is known of all cases, in files: one table, one list of failures, agreement."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deepgmm.files import write_whole
from deepgmm.jobs.cohort.agreement import COLUMNS as AGREEMENT_COLUMNS
from deepgmm.jobs.cohort.agreement import agreement_rows
from deepgmm.jobs.cohort.cases import Case
from deepgmm.jobs.cohort.records import record_of

TABLE, FAILURES, AGREEMENT = "table.csv", "failures.csv", "agreement.csv"

#: Before a case's own columns.
FIRST = ("case", "status")


def write_tables(cases: list[Case], failures: Mapping[str, str], out: Path) -> None:
    """Write the table of all cases, the failures, and agreement where there are truths.

    Records are read one at a time: a table of a thousand cases is not held in memory.

    Parameters
    ----------
    failures : pseudonym to why that case failed.

    Raises
    ------
    InputError : a file cannot be written.
    """
    columns: dict[str, None] = {}
    for _, record in _records(cases, failures, out):
        columns.update(dict.fromkeys(record["row"] if record else ()))
    groups = dict.fromkeys(name for case in cases for name in case.groups)
    names = [*FIRST, *groups, *(c for c in columns if c not in groups), "message"]
    rows = ({"case": case.pseudonym, **case.groups,
             "status": "failed" if case.pseudonym in failures else "done" if record else
             "not done", "message": failures.get(case.pseudonym, ""),
             **(record["row"] if record else {})}
            for case, record in _records(cases, failures, out))
    write_whole(out / TABLE, _csv(names, rows), "table")
    write_whole(out / FAILURES, _csv(("case", "message"), (
        {"case": case.pseudonym, "message": failures[case.pseudonym]} for case in cases
        if case.pseudonym in failures)), "failures")
    compared = [(case.groups, record["agreement"])
                for case, record in _records(cases, failures, out)
                if record and record.get("agreement")]
    if compared:
        write_whole(out / AGREEMENT, _csv(AGREEMENT_COLUMNS, agreement_rows(compared)),
                    "agreement")
    else:
        (out / AGREEMENT).unlink(missing_ok=True)


def _records(cases: Iterable[Case], failures: Mapping[str, str], out: Path
             ) -> Iterator[tuple[Case, dict[str, Any] | None]]:
    for case in cases:
        yield case, None if case.pseudonym in failures else record_of(out, case.pseudonym)


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    buffer = io.StringIO()
    names = list(columns)
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return buffer.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = repr(value) if isinstance(value, float) else str(value)
    # what a spreadsheet would run as a formula is a text
    return f"'{text}" if isinstance(value, str) and text[:1] in "=+-@" and text else text
