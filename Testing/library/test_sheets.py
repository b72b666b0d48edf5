"""Pages of a report: no word is cut, nothing lies over anything else or beside the paper."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepgmm.review.comparison import latex_table
from deepgmm.review.metrics import Scores, TissueScore
from deepgmm.review.sheets import EDGE, HEIGHT, WIDTH, Sheets
from deepgmm.study.words import Tissue


class Kept:
    """What pages are written to: keeps them."""

    def __init__(self) -> None:
        self.pages: list[Any] = []

    def savefig(self, figure: Any) -> None:
        self.pages.append(figure)


HEADING = ("segment", "wall, ml", "infarct, %", "obstruction, %", "transm. mean, %",
           "transm. 95th, %", "Laplace mean, %", "over 25 %", "over 50 %", "how")
ROWS = [(f"{n} Basal inferolateral", "7.3", "33.8", "- [1]", "36", "49", "-36", "27 %", "0",
         "half way from the mean of remote wall, which is its zero, to the 99th percentile")
        for n in range(60)]


def pages_of_a_long_table() -> list[Any]:
    kept = Kept()
    sheets = Sheets(kept)
    sheets.words("A title of $5", 15, bold=True)
    sheets.table("AHA segments", HEADING, ROWS)
    sheets.end()
    return kept.pages


def test_words_are_whole_and_lie_apart_on_the_paper() -> None:
    pages = pages_of_a_long_table()
    assert len(pages) > 1
    for page in pages:
        renderer = page.canvas.get_renderer()
        boxes = [text.get_window_extent(renderer) for text in page.texts]
        for box in boxes:
            assert box.x0 >= (EDGE - 0.02) * page.dpi and box.y0 > 0
            assert box.x1 <= (WIDTH - EDGE + 0.02) * page.dpi and box.y1 < HEIGHT * page.dpi
        corners = np.array([(b.x0, b.x1, b.y0, b.y1) for b in boxes])
        for k, (x0, x1, _, _) in enumerate(corners):
            beside = (corners[:, 0] < x1) & (corners[:, 1] > x0)
            middle = corners[:, 2:].mean(axis=1)
            level = np.abs(middle - middle[k]) < 2
            assert (beside & level).sum() == 1, page.texts[k].get_text()
    said = {word for page in pages for text in page.texts for word in text.get_text().split()}
    assert {word for row in [HEADING, *ROWS] for cell in row for word in cell.split()} <= said
    assert r"\$5" in said


def test_a_table_that_goes_on_has_its_heading_again_and_numbers_end_on_the_right() -> None:
    for page in pages_of_a_long_table():
        texts = {text.get_text(): text for text in page.texts}
        assert "segment" in texts and texts["segment"].get_weight() == "bold"
        assert texts["33.8"].get_ha() == texts["- [1]"].get_ha() == "right"
        assert texts["how"].get_ha() == texts["segment"].get_ha() == "left"


def test_a_table_for_a_paper_says_of_how_many_cases_a_distance_is() -> None:
    """One of three cases is empty in one of the two: Dice 0, and no distance."""
    class Of:
        def __init__(self, *score: Any) -> None:
            self.scores = Scores({Tissue.SCAR: TissueScore(*score)}, [])

    cases = {"a": Of(0.8, 2.0, 1.0, 5.0, 6.0), "b": Of(0.6, 4.0, 1.0, 5.0, 6.0),
             "c": Of(0.0, None, None, 0.0, 6.0)}
    (row,) = [line for line in latex_table({"m": cases}, {}).splitlines() if line[:4] == "Scar"]
    assert "$3.0 \\pm 1.4$ (2)" in row and "& 3 (0) &" in row
