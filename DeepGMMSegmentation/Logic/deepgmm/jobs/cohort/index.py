"""The page of a cohort: thumbnails, those that need looking at first."""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deepgmm.files import write_whole
from deepgmm.jobs.cohort.cases import Case
from deepgmm.jobs.cohort.records import CASES, record_of
from deepgmm.jobs.cohort.table import AGREEMENT, FAILURES, TABLE
from deepgmm.jobs.cohort.writing import MONTAGE, NUMBERS, REPORT, SEGMENTATION, THUMBNAIL
from deepgmm.review.report import NOTICE

INDEX = "index.html"

#: So many cases stand first, large.
FIRST = 12
#: Warnings that are shown of a case.
_WARNINGS = 3
#: From so many cases on, what all are warned of is said once.
_FEWEST = 3

_ABOUT = ("Cases with rare warnings, uncertain tissues (mean entropy in the mask, 0 to 1) and "
          "doubtful proposed masks come first. Names are pseudonyms: the same command again with "
          "--key-file writes whose they are, and does none of these anew.")

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1180px;padding:0 16px;
background:#fff;color:#1b1b1b}h1{font-size:22px}h2{font-size:17px;margin:28px 0 8px}
.all{display:grid;gap:14px;grid-template-columns:repeat(auto-fill,minmax(270px,1fr))}
.case{border:1px solid #d5d5d5;border-radius:6px;padding:8px;overflow-wrap:anywhere}
.case img{width:100%;image-rendering:auto;background:#121212;display:block;border-radius:4px}
.case b{font-family:ui-monospace,monospace}.quiet{color:#666;font-size:13px}
.case ul{margin:4px 0;padding-left:18px;font-size:13px}.failed{border-color:#c0392b}
a{color:#1f5fa8}table{border-collapse:collapse;font-size:14px}td,th{padding:2px 10px 2px 0;
text-align:left}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}.quiet{color:#9a9a9a}
.case{border-color:#3a3a3a}.failed{border-color:#e06666}a{color:#7db4f0}}
"""


@dataclass
class Entry:
    """What the page sorts a case by.

    Attributes
    ----------
    rarity : of its warnings, bits: one that most cases have says little.
    uncertainty : mean entropy of the posterior, 0 to 1.
    doubt : about a proposed mask, 0 to 1; 0 where it was drawn.
    """

    pseudonym: str
    warnings: list[str] = field(default_factory=list)
    uncertainty: float = 0.0
    doubt: float = 0.0
    rarity: float = 0.0
    place: float = 0.0
    message: str = ""


def entries(cases: Sequence[Case], failures: Mapping[str, str], out: Path) -> list[Entry]:
    """All cases that failed or are done, those that need looking at first.

    Failures come first. The others are ranked by how rare their warnings are in this cohort, by
    the uncertainty of their tissues and by the doubt about a proposed mask, and ordered by the
    sum of the three ranks.
    """
    found, failed = [], []
    for case in cases:
        message = failures.get(case.pseudonym, "")
        if message:
            failed.append(Entry(case.pseudonym, message=message))
            continue
        record = record_of(out, case.pseudonym)
        if record is not None:
            look = record["look"]
            confidence = look["confidence"]
            found.append(Entry(case.pseudonym, list(record["warnings"]), look["uncertainty"],
                               0.0 if confidence is None else 1.0 - confidence))
    counts = Counter(kind for entry in found for kind in {_kind(w) for w in entry.warnings})
    for entry in found:
        entry.warnings.sort(key=lambda w: counts[_kind(w)])
        entry.rarity = sum(math.log2(len(found) / counts[kind])
                           for kind in {_kind(w) for w in entry.warnings})
    for name in ("rarity", "uncertainty", "doubt"):
        for entry, rank in zip(found, _ranks([getattr(e, name) for e in found]), strict=True):
            entry.place += rank
    return failed + sorted(found, key=lambda entry: (-entry.place, entry.pseudonym))


def _of_all(found: Sequence[Entry]) -> list[str]:
    """Take from the cases what every one is warned of, word for word."""
    if len(found) < _FEWEST:
        return []
    common = [w for w in found[0].warnings if all(w in entry.warnings for entry in found)]
    for entry in found:
        entry.warnings = [w for w in entry.warnings if w not in common]
    return [f"in all {len(found)} cases: {w}" for w in common]


def _kind(warning: str) -> str:
    """A warning without its numbers: the same of two cases."""
    return re.sub(r"\d+(?:[.,]\d+)*(?:(?:, | and |-)\d+)*", "#", warning)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, equal values their mean."""
    order = sorted(values)
    first = {v: i for i, v in reversed(list(enumerate(order)))}
    last = {v: i for i, v in enumerate(order)}
    return [(first[v] + last[v]) / 2 for v in values]


def write_index(cases: Sequence[Case], failures: Mapping[str, str], out: Path,
                notes: Sequence[str] = ()) -> None:
    """Write the page.

    Parameters
    ----------
    notes : what is to be said of the cohort as a whole.

    Raises
    ------
    InputError : it cannot be written.
    """
    found = entries(cases, failures, out)
    failed = [entry for entry in found if entry.message]
    done = found[len(failed):]
    open_cases = len(cases) - len(found)
    parts = [f"{len(done)} of {len(cases)} cases done", f"{len(failed)} failed"]
    parts += [f"{open_cases} still to do"] if open_cases else []
    agreed = f' · <a href="{AGREEMENT}">agreement</a>' if (out / AGREEMENT).is_file() else ""
    page = [
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>DeepGMM cohort</title><style>{_STYLE}</style>",
        f"<h1>Cohort: {', '.join(parts)}</h1>",
        f'<p><a href="{TABLE}">table</a> · <a href="{FAILURES}">failures</a>{agreed}</p>',
        f'<p class="quiet">{NOTICE} {_ABOUT}</p>']
    notes = [*notes, *_of_all(done)]
    if notes:
        page.append("<ul>" + "".join(f"<li>{html.escape(n)}</li>" for n in notes) + "</ul>")
    for title, members in (("Failed", failed), ("Look at these first", done[:FIRST]),
                           ("The others, likewise sorted", done[FIRST:])):
        if members:
            page += [f"<h2>{title}</h2>", '<div class="all">',
                     *(_card(entry) for entry in members), "</div>"]
    write_whole(out / INDEX, "\n".join(page).encode(), "page")


def _card(entry: Entry) -> str:
    if entry.message:
        return (f'<div class="case failed"><b>{entry.pseudonym}</b><br>'
                f"{html.escape(entry.message)}</div>")
    place = f"{CASES}/{entry.pseudonym}"
    links = " · ".join(f'<a href="{place}/{file}">{name}</a>' for name, file in (
        ("segmentation", SEGMENTATION), ("numbers", NUMBERS), ("report", REPORT)))
    said = "".join(f"<li>{html.escape(w)}</li>" for w in entry.warnings[:_WARNINGS])
    more = len(entry.warnings) - _WARNINGS
    said += f"<li>and {more} more, in the report</li>" if more > 0 else ""
    mask = f", mask sure {1 - entry.doubt:.2f}" if entry.doubt else ""
    return (f'<div class="case"><a href="{place}/{MONTAGE}"><img loading="lazy" '
            f'src="{place}/{THUMBNAIL}" alt="slice and tissues"></a><b>{entry.pseudonym}</b> '
            f'<span class="quiet">uncertainty {entry.uncertainty:.2f}{mask}</span>'
            f'<ul>{said}</ul><span class="quiet">{links}</span></div>')
