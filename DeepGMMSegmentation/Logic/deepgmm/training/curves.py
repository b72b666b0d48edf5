"""How a training went, as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from deepgmm.files import write_whole
from deepgmm.study.words import COLOURS, Tissue
from deepgmm.training.diary import Row

CURVES = "curves.png"

_TRAINING, _VALIDATION = "#8aa0b8", "#b8431f"
#: Of the running mean over steps that is drawn over the single ones: a share of them.
_WINDOW = 0.02


def write_curves(rows: list[Row], folder: Path) -> None:
    """Draw loss, NLL and, where there are labels to compare with, Dice into `curves.png`.

    Raises
    ------
    InputError : the file cannot be written.
    """
    write_whole(folder / CURVES, curves_png(rows), "picture of the curves")


def curves_png(rows: list[Row]) -> bytes:
    """The bytes of a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    validations = [row for row in rows if "validation" in row]
    dice = [row for row in validations if "dice" in row["validation"]]
    count = 3 if dice else 2
    figure = Figure(figsize=(5 * count, 4))
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, count))
    # margins of half an inch; matplotlib's own layout would draw everything twice
    figure.subplots_adjust(left=0.1 / count, right=1 - 0.03 / count, bottom=0.12, top=0.92,
                           wspace=0.14)
    _draw(panels[0], rows, "loss", "objective")
    _draw(panels[1], rows, "nll", "negative log-likelihood")
    if dice:
        _draw_dice(panels[2], dice)
    best = min(validations, key=lambda row: row["validation"]["loss"], default=None)
    for panel in panels:
        if best is not None:
            panel.axvline(best["step"], color="#777777", linewidth=0.8, linestyle=":",
                          label=f"best network, step {best['step']}")
        panel.set_xlim(0, 1.01 * rows[-1]["step"] if rows else 1)
        panel.set_xlabel("step")
        panel.spines[["top", "right"]].set_visible(False)
        if rows:
            panel.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _draw(panel: Any, rows: list[Row], name: str, title: str) -> None:
    """One number of training and validation over the steps."""
    import numpy as np

    steps, values = _points(rows, "training", name)
    if len(values):
        window = max(1, round(_WINDOW * len(values)))
        panel.plot(steps, values, color=_TRAINING, linewidth=0.5, alpha=0.4)
        smooth = np.convolve(values, np.full(window, 1 / window), mode="valid")
        panel.plot(steps[window - 1:], smooth, color=_TRAINING, linewidth=1.5, label="training")
        # the first steps may be far off all others
        low, high = np.percentile(values, (0.5, 98))
        _, checked = _points(rows, "validation", name)
        low, high = min(low, *checked, high), max(high, *checked, low)
        margin = 0.05 * (high - low) or 1.0
        panel.set_ylim(low - margin, high + margin)
    steps, values = _points(rows, "validation", name)
    if values:
        panel.plot(steps, values, color=_VALIDATION, marker="o", markersize=3, linewidth=1.2,
                   label="validation")
    panel.set_title(title, fontsize=10)


def _draw_dice(panel: Any, rows: list[Row]) -> None:
    for name in rows[-1]["validation"]["dice"]:
        red, green, blue = COLOURS[Tissue.named(name)]
        known = [(row["step"], row["validation"]["dice"][name]) for row in rows
                 if row["validation"]["dice"][name] is not None]
        panel.plot(*zip(*known) if known else ((), ()), color=(red / 255, green / 255, blue / 255),
                   marker="o", markersize=3, linewidth=1.2, label=name)
    panel.set_ylim(0, 1)
    panel.set_title("Dice of the validation's labelled pixels", fontsize=10)


def _points(rows: list[Row], kind: str, name: str) -> tuple[list[int], list[float]]:
    found = [(row["step"], row[kind][name]) for row in rows if kind in row]
    return [step for step, _ in found], [value for _, value in found]
