"""What is known of all cases, in files: one table, one list of failures, agreement."""

from __future__ import annotations

import csv
import io
import re
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
_MESSAGE = "message"

#: What begins a formula, or is passed over before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

#: Columns of a case's row, beside those of `_MEASURED`.
_OWN = (*FIRST, _MESSAGE, "method", "slices", "mask", "mask_confidence", "uncertainty", "warnings",
        "bssfp_kind", "lge_kind", "t2_kind")
_MEASURED = re.compile(
    r"(blood|wall|myocardium|edema|scar|mvo|infarct|obstruction|area_at_risk|largest_island)"
    r"_(volume|mass|percent|true_volume|dice|hausdorff95)\w*"
    r"|(transmurality|chords|thickness)_\w*(radial|laplace)\w*|infarct_(border|perimeter)\w*"
    r"|(salvage_index|endocardial_extent)\w*|islands|lge_entropy_\w+")


def is_own(name: str) -> bool:
    """Whether the table itself has, or may have, a column of this name.

    Examples
    --------
    >>> is_own("status"), is_own("blood_volume_ml"), is_own("scar_dice_mid"), is_own("scanner")
    (True, True, True, False)
    """
    return name in _OWN or _MEASURED.fullmatch(name) is not None


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
    groups = [name for name in dict.fromkeys(name for case in cases for name in case.groups)
              if name not in columns and not is_own(name)]
    names = [*FIRST, *groups, *columns, _MESSAGE]
    rows = ({**{name: case.groups.get(name) for name in groups}, "case": case.pseudonym,
             "status": "failed" if case.pseudonym in failures else "done" if record else
             "not done", _MESSAGE: failures.get(case.pseudonym, ""),
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
    writer.writerow([cell(name) for name in names])
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in names])
    return buffer.getvalue().encode()


def cell(value: Any) -> str:
    """A value as a spreadsheet shows it, and does not run it as a formula.

    Examples
    --------
    >>> cell("=1+1"), cell(-1.5), cell(None)
    ("'=1+1", '-1.5', '')
    """
    if value is None:
        return ""
    text = repr(value) if isinstance(value, float) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
