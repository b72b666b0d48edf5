"""A4 pages of words, tables and pictures, filled from the top, by matplotlib."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from deepgmm.review import figures
from deepgmm.review.report import NOTICE

#: Inches: a page, what is left free around it, and between two columns.
WIDTH, HEIGHT, EDGE, _GAP = 8.27, 11.69, 0.7, 0.12
_ROOM = WIDTH - 2 * EDGE
#: Of what lines are high, for a size of letters; and points in an inch.
_LEADING, _INCH = 1.25, 72
#: A number, or the reason why there is none: such columns end on the right.
_NUMBER = re.compile(r"-?\d+(\.\d+)?( \S+)?|- \[\d+\]|")


class Sheets:
    """Pages of a PDF.

    Parameters
    ----------
    pdf : whatever has `savefig`, once a page.
    """

    def __init__(self, pdf: Any) -> None:
        self.pdf = pdf
        self._figure: Any = None
        self._y = 0.0
        self._advances: dict[tuple[str, bool], float] = {}

    def words(self, text: str, size: float, bold: bool = False) -> None:
        """A paragraph."""
        for line in self._wrapped(text, _ROOM, size, bold):
            self._line([(EDGE, line, "left")], size, bold)
        self._y -= 0.03

    def table(self, title: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; its heading again where it goes on, no column wider than it need be."""
        size, headed = 7.5 if len(heading) > 6 else 8.5, any(heading)
        widths = self._columns([*([heading] if headed else []), *rows], size)
        to_right = [column > 0 and all(_NUMBER.fullmatch(row[column]) for row in rows)
                    for column in range(len(widths))]
        self._y -= 0.12
        self._begin(1.0)
        self.words(title, 11, bold=True)
        if headed:
            self._row(heading, widths, to_right, size, True)
        for row in rows:
            if self._begin(self._height(row, widths, size, False)) and headed:
                self._row(heading, widths, to_right, size, True)
            self._row(row, widths, to_right, size, False)

    def picture(self, png: bytes, aspect: float, caption: str) -> None:
        """A picture as wide as the page, and what is said of it."""
        from matplotlib.image import imread

        high = min(_ROOM * aspect, 9.0)
        self._begin(high + 0.4)
        self._y -= high
        axes = self._figure.add_axes((EDGE / WIDTH, self._y / HEIGHT, _ROOM / WIDTH,
                                      high / HEIGHT))
        # as it is, without another resampling
        axes.imshow(imread(io.BytesIO(png)), aspect="auto", interpolation="none")
        axes.axis("off")
        self._y -= 0.05
        self.words(caption, 8.5)
        self._y -= 0.1

    def end(self) -> None:
        """Write the last page."""
        if self._figure is not None:
            self.pdf.savefig(self._figure)
        self._figure = None

    def _begin(self, height: float) -> bool:
        """Go on to a new page where there is no room for so much; whether that was so."""
        if self._figure is not None and self._y - height >= EDGE:
            return False
        self.end()
        self._figure = figures.blank(WIDTH, HEIGHT)
        self._y = HEIGHT - EDGE
        self._figure.text(0.5, 0.35 / HEIGHT, NOTICE, fontsize=7, ha="center")
        return True

    def _columns(self, rows: Sequence[Sequence[str]], size: float) -> list[float]:
        """Widths of columns: of their longest cells where there is room, the first before all
        others; else nearer to those of their longest words."""
        longest = [max(self._width(cell, size, True) for cell in cells) for cells in zip(*rows)]
        least = [max(self._width(word, size, True) for cell in cells
                     for word in cell.split() or [""]) for cells in zip(*rows)]
        room = _ROOM - _GAP * (len(longest) - 1)
        least[0] += min(max(room - sum(least), 0.0), longest[0] - least[0])
        spare, wanted = room - sum(least), sum(longest) - sum(least)
        share = min(max(spare / wanted, 0.0), 1.0) if wanted > 0 else 0.0
        return [low + share * (high - low) for low, high in zip(least, longest)]

    def _cells(self, row: Sequence[str], widths: Sequence[float], size: float, bold: bool
               ) -> list[list[str]]:
        return [self._wrapped(cell, wide, size, bold) for cell, wide in zip(row, widths)]

    def _height(self, row: Sequence[str], widths: Sequence[float], size: float, bold: bool
                ) -> float:
        return max(map(len, self._cells(row, widths, size, bold))) * size * _LEADING / _INCH

    def _row(self, row: Sequence[str], widths: Sequence[float], to_right: Sequence[bool],
             size: float, bold: bool) -> None:
        places, x = [], EDGE
        for lines, wide, right in zip(self._cells(row, widths, size, bold), widths, to_right):
            places.append((x + wide if right else x, lines, "right" if right else "left"))
            x += wide + _GAP
        for number in range(max(len(lines) for _, lines, _ in places)):
            self._line([(at, lines[number], side) for at, lines, side in places
                        if number < len(lines)], size, bold)
        self._y -= 0.02

    def _wrapped(self, text: str, wide: float, size: float, bold: bool) -> list[str]:
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self._width(longer, size, bold) > wide + 1e-6:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def _width(self, text: str, size: float, bold: bool) -> float:
        """Inches that a line takes, letter by letter: to lay out every line costs more than to
        draw the page."""
        return sum(self._advance(letter, bold) for letter in text) * size

    def _advance(self, letter: str, bold: bool) -> float:
        """Inches of a letter one point high."""
        if (letter, bold) not in self._advances:
            self._begin(0.0)
            from matplotlib.font_manager import FontProperties

            font = FontProperties(family="serif", size=20, weight="bold" if bold else "normal")
            wide = self._figure.canvas.get_renderer().get_text_width_height_descent
            self._advances[letter, bold] = (
                wide(f"n{letter * 10}n", font, False)[0] - wide("nn", font, False)[0]
            ) / self._figure.dpi / 10 / 20
        return self._advances[letter, bold]

    def _line(self, places: Sequence[tuple[float, str, str]], size: float, bold: bool) -> None:
        height = size * _LEADING / _INCH
        self._begin(height)
        for x, text, side in places:
            # a dollar sign would begin mathematics
            self._figure.text(x / WIDTH, self._y / HEIGHT, text.replace("$", r"\$"),
                              fontsize=size, va="top", ha=side, family="serif",
                              weight="bold" if bold else "normal")
        self._y -= height
