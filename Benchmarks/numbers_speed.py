"""How long do all numbers of a study of 12 slices, a bull's-eye's edit and a report take?

A phantom of 12 slices with bSSFP, LGE and T2. The edit is what a live bull's-eye needs again: the
segments' map is kept, and volumes by segment are counted. Pictures of the report are drawn and
written as HTML, PDF, CSV and JSON, in this process, matplotlib's import included.

    python Benchmarks/numbers_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from common import SPREAD, bars, machine, parser_of, run, spread_row, table, use_threads

from deepgmm.phantom import make_patient


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each; 5 by default")
    options = parser.parse_args()
    use_threads(options.threads)
    from deepgmm.review.aha import aha_rows_of
    from deepgmm.review.numbers import study_numbers
    from deepgmm.review.slices import levels

    patient = make_patient(1003, slices=12)
    study, truth = patient.study, patient.truth
    assert study.insertion_points is not None
    level, points = levels(study), study.insertion_points

    def reported() -> None:
        from deepgmm.review.page import html_page, pdf_pages, pictures
        from deepgmm.review.tables import csv_text, json_text

        numbers = study_numbers(study, truth)
        shown = pictures(numbers)
        html_page(numbers, shown)
        pdf_pages(numbers, shown)
        csv_text(numbers)
        json_text(numbers)

    first = timed(lambda: study_numbers(study, truth))
    numbers = [timed(lambda: study_numbers(study, truth)) for _ in range(options.runs)]
    edits = [timed(lambda: aha_rows_of(truth, study.mask, points, level, study.geometry,
                                       study.tissues)) for _ in range(options.runs)]
    reports = [timed(reported) for _ in range(options.runs)]
    print("A phantom of 12 slices; bSSFP, LGE and T2.")
    print(machine(options.threads) + "\n")
    print(table(SPREAD, [spread_row("all numbers, the first time", [first], "s"),
                         spread_row("all numbers", numbers, "s"),
                         spread_row("segments counted again after an edit",
                                    [1000 * e for e in edits], "ms"),
                         spread_row("a report: HTML, PDF, CSV, JSON", reports, "s")]))
    print(bars([("all numbers of 12 slices, most", "under 2 s", f"{max(numbers):.2f} s",
                 max(numbers) < 2),
                ("segments after an edit, most", "under 100 ms", f"{1000 * max(edits):.0f} ms",
                 max(edits) < 0.1),
                ("a report, most", "under 10 s", f"{max(reports):.1f} s", max(reports) < 10)]))


if __name__ == "__main__":
    run(main)
