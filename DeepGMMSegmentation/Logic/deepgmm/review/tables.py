"""Numbers as files: CSV, one number a line, and JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from deepgmm.review.aha import NAMES, TERRITORIES
from deepgmm.review.quantities import SCOPES, Number, Numbers
from deepgmm.review.report import NOTICE, versions
from deepgmm.study.levels import Numbering
from deepgmm.study.words import Role

#: Columns of the CSV.
COLUMNS = ("scope", "where", "name", "quantity", "value", "unit", "low_90", "high_90", "note")


def name_of(number: Number, numbering: Numbering | None = None) -> str:
    """The place of a number in words: "Basal anterior", "LAD", "5 SD", "slice 3", of slices
    counted as `numbering` says, by default from 1 in the file's order."""
    if number.scope == "segment":
        return NAMES[int(number.where)]
    if number.scope == "slice":
        return f"slice {(numbering or Numbering()).of(int(number.where))}"
    return "study" if number.scope == "study" else number.where


def csv_text(numbers: Numbers) -> str:
    """Every number on a line; full precision, an empty value where there is none and why.

    Warnings come first, as lines of the scope "warning": no table leaves without them.
    """
    buffer, say = io.StringIO(), numbers.numbering.in_words
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for text in [NOTICE, *numbers.warnings]:
        writer.writerow(["warning", "", "", "", "", "", "", "", say(text)])
    for row in numbers.rows:
        writer.writerow([row.scope, row.where, name_of(row, numbers.numbering), row.key,
                         _cell(row.value), row.unit, _cell(row.low), _cell(row.high),
                         say(row.why)])
    return buffer.getvalue()


def as_dict(numbers: Numbers) -> dict[str, Any]:
    """Everything of the numbers as JSON values; `Docs/numbers.md` explains each key."""
    return {
        "notice": NOTICE,
        "warnings": numbers.warnings,
        "rv_insertion_points": numbers.insertions,
        "segment_model": numbers.model,
        "slice_numbers": {str(i): numbers.numbering.of(i) for i in range(len(numbers.labels))},
        "territories": {name: [s for s in members if s <= numbers.model]
                        for name, members in TERRITORIES.items()},
        "grid": {"size": list(reversed(numbers.labels.shape)),
                 "spacing_mm": list(numbers.geometry.spacing),
                 "origin_lps_mm": list(numbers.geometry.origin),
                 "direction_lps": list(numbers.geometry.direction)},
        "kinds": {role.value: images.kind.value for role, images in numbers.sequences.items()
                  if role is not Role.BSSFP},
        "numbers": {scope: {where: {key: _entry(number) for key, number in keys.items()}
                            for where, keys in numbers.of(scope).items()}
                    for scope in SCOPES},
        "reference_methods": {r.name: {
            "rule": r.rule, "levels": {str(i): level for i, level in r.levels.items()},
            "refused": {str(i): why for i, why in r.refused.items()}} for r in numbers.references},
        "provenance": numbers.provenance,
        "versions": versions(),
    }


def json_text(numbers: Numbers) -> str:
    """`as_dict` as strict JSON."""
    return json.dumps(as_dict(numbers), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _entry(number: Number) -> dict[str, Any]:
    entry: dict[str, Any] = {"value": number.value, "unit": number.unit}
    if number.low is not None:
        entry["interval_90"] = [number.low, number.high]
    if number.why:
        entry["note"] = number.why
    return entry


def _cell(value: float | None) -> str:
    return "" if value is None else repr(float(value))
