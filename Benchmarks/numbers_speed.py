"""How exact are the numbers, and how long do they, an edit of the bull's-eye and a report take?

Rings and wedges whose numbers are known in closed form (`Testing/library/rings.py`), at 0.2 mm and
at 1.4 mm in 20 places between the pixels, isotropic and not. Then a phantom of 12 slices with
bSSFP, LGE and T2. An edit is what a live bull's-eye needs again after a stroke: the chords of its
slice and the numbers of all segments; `panel_speed.py` has the panel's part too. Pictures of the
report are drawn and written as HTML, PDF, CSV and JSON, in this process, matplotlib's import
included.

    python Benchmarks/numbers_speed.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from common import ROOT, SPREAD, bars, machine, parser_of, run, spread_row, table, use_threads

from deepgmm.phantom import make_patient

sys.path.insert(0, str(ROOT / "Testing/library"))

#: Spacings of rows and columns, mm.
FINE, COARSE = (0.2, 0.2), ((1.4, 1.4), (1.4, 1.75))


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each; 5 by default")
    parser.add_argument("--places", type=int, default=20,
                        help="of each ring between the pixels; 20 by default")
    options = parser.parse_args()
    use_threads(options.threads)
    from deepgmm.review.aha import aha_rows_of
    from deepgmm.review.live import Live
    from deepgmm.review.numbers import study_numbers
    from deepgmm.review.slices import levels

    print("Rings and wedges of known numbers, and a phantom of 12 slices; bSSFP, LGE and T2.")
    print(machine(options.threads) + "\n")
    exact = exactness(options.places)

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
    live, drawn = Live(study.geometry, study.tissues, points, level), truth.copy()

    def stroke() -> None:
        live.take(drawn)
        while live.step():
            pass
        live.numbers()

    stroke()
    strokes = []
    for index in range(4 * options.runs):
        slice_ = index % len(drawn)
        drawn[slice_][drawn[slice_] == 4] = 2 + index % 2
        drawn[slice_, 30 + index:34 + index, 60:70] = 4
        strokes.append(timed(stroke))
    voxels = study_numbers(study, truth)
    off = max(abs(voxels.get(f"{key}_volume").value - np.isin(truth, members).sum()
                  * np.prod(study.geometry.spacing) / 1000)
              for key, members in (("blood", [1]), ("wall", [2, 3, 4, 5]), ("scar", [4])))
    reports = [timed(reported) for _ in range(options.runs)]
    print(table(SPREAD, [spread_row("all numbers, the first time", [first], "s"),
                         spread_row("all numbers", numbers, "s"),
                         spread_row("segments counted again after an edit",
                                    [1000 * e for e in edits], "ms"),
                         spread_row("the bull's-eye's numbers after a stroke",
                                    [1000 * e for e in strokes], "ms"),
                         spread_row("a report: HTML, PDF, CSV, JSON", reports, "s")]))
    print(bars([("volumes off voxels times spacing, most", "under 1e-9 ml", f"{off:.1e} ml",
                 off < 1e-9), *exact,
                ("all numbers of 12 slices, most", "under 2 s", f"{max(numbers):.2f} s",
                 max(numbers) < 2),
                ("segments after an edit, most", "under 100 ms", f"{1000 * max(edits):.0f} ms",
                 max(edits) < 0.1),
                ("the bull's-eye's numbers after a stroke, most", "under 100 ms",
                 f"{1000 * max(strokes):.0f} ms", max(strokes) < 0.1),
                ("a report, most", "under 10 s", f"{max(reports):.1f} s", max(reports) < 10)]))


def exactness(places: int) -> list[tuple[str, str, str, bool]]:
    """Print how far off each measure of each ring is, and give the bars of it."""
    from rings import MEASURES, POSITIONS, RINGS, errors

    rows, worst = [], {"fine": 0.0, "coarse": 0.0, "border": 0.0, "short": 0.0}
    for name, ring in RINGS.items():
        off = 100 * errors(ring, FINE, (0.21, -0.37))
        worst["fine"] = max(worst["fine"], np.abs(off).max())
        rows.append((name, "0.2 x 0.2", *(f"{value:+.1f}" for value in off)))
        for spacing in COARSE:
            all_off = 100 * np.array([errors(ring, spacing, tuple(p))
                                      for p in POSITIONS[:places]])
            bias, spread = all_off.mean(axis=0), all_off.std(axis=0)
            border = MEASURES.index("border")
            key = "short" if ring.arc <= np.pi / 2 else "border"
            worst[key] = max(worst[key], abs(bias[border]))
            # thinner than the pixels are long, that part of the endocardium is broken up by them
            whole = [k for k in range(len(MEASURES)) if k != border and not (
                MEASURES[k] == "endocardium" and ring.ill - ring.inner < max(spacing))]
            worst["coarse"] = max(worst["coarse"], np.abs(bias[whole]).max())
            rows.append((name, f"{spacing[0]:g} x {spacing[1]:g}",
                         *(f"{b:+.1f} ± {s:.1f}" for b, s in zip(bias, spread))))
    print(table(("ring", "pixels, mm", *(f"{one}, % off" for one in MEASURES)), rows))

    def bar(what: str, key: str, most: float) -> tuple[str, str, str, bool]:
        return what, f"under {most:g} %", f"{worst[key]:.1f} %", bool(worst[key] < most)

    return [bar("rings and wedges at 0.2 mm, any measure, most", "fine", 1),
            bar("at 1.4 mm, bias of areas, transmurality, outline, endocardium, most", "coarse", 3),
            bar("at 1.4 mm, bias of the infarct's border, most", "border", 3),
            bar("the same, arcs up to 90 degrees", "short", 4)]


if __name__ == "__main__":
    run(main)
