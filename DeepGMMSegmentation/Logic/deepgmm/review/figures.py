"""Figures of a report, by matplotlib: made to be read printed in black and white too.

Sectors are shades of one colour that darkens evenly, with the number written in; lines differ by
their dashes, regions by hatching. Each function draws into a new figure and shows none.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.review.bullseye import BULLSEYES, sectors
from deepgmm.review.panels import View, grey_window, view_of
from deepgmm.review.quantities import Numbers
from deepgmm.review.thresholds import two_gaussians
from deepgmm.study.study import BoolArray, FloatArray
from deepgmm.study.words import WALL_TISSUES, Kind, Role, Tissue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches that a figure is wide: as on a printed page, so that letters keep their size there.
PAGE = 7.2
_MOST_SLICES = 16


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The bytes of a PNG; nothing of a patient is written into it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "DeepGMM"},
                   pil_kwargs={"compress_level": 3})  # half the time, a tenth larger
    return buffer.getvalue()


def bullseyes_known(numbers: Numbers) -> list[tuple[str, str, str, float]]:
    """Those of the bull's-eyes of which a segment has a number."""
    return [one for one in BULLSEYES if any(
        one[0] in row and row[one[0]].value is not None for row in numbers.of("segment").values())]


def bullseyes(numbers: Numbers) -> Figure:
    """The bull's-eyes of infarct, edema and transmurality, of 16 or 17 segments; those of what
    was not sought are left out, unless nothing was."""
    segments, known = numbers.of("segment"), bullseyes_known(numbers) or list(BULLSEYES)
    figure = blank(PAGE, 3.0)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.83, bottom=0.07, wspace=0.02)
    for place, (key, title, unit, most) in enumerate(known):
        axes = figure.add_subplot(1, 3, place + 1)
        values = {int(where): row[key].value if key in row else None
                  for where, row in segments.items()}
        bullseye(axes, values, numbers.model, most)
        # a place that is said need not be searched for
        axes.set_title(f"{title}\n{unit}", fontsize=9, y=1.0)
    if numbers.insertions == "estimated":
        figure.text(0.5, 0.02, "RV insertion points estimated: segments may be turned",
                    ha="center", fontsize=8, style="italic")
    return figure


def bullseye(axes: Axes, values: Mapping[int, float | None], model: int, most: float) -> None:
    """Draw one; a segment without a number is hatched.

    Parameters
    ----------
    values : by the segment's number.
    most : the value of the darkest shade.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Circle, Wedge

    shades = colormaps["Greys"]
    for place in sectors(model):
        value = values.get(place.segment)
        patch = Wedge((0, 0), place.outer, place.start, place.start + place.width,
                      width=place.outer - place.inner) if place.width < 360 else \
            Circle((0, 0), place.outer)
        _sector(axes, patch, value, most, shades)
        _written(axes, *place.middle, value, place.segment, ink(patch.get_facecolor()))
    for text, x, y in (("anterior", 0, 1.08), ("inferior", 0, -1.08)):
        axes.text(x, y, text, ha="center", va="center", fontsize=8)
    for text, side, turn in (("septal", -1.08, 90), ("lateral", 1.08, -90)):
        axes.text(side, 0, text, ha="center", va="center", fontsize=8, rotation=turn)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axes.axis("off")


def _sector(axes: Axes, patch: Any, value: float | None, most: float, shades: Any) -> None:
    # the darkest third of the map is left out, so that the border stays seen
    patch.set(facecolor="white" if value is None else shades(0.7 * min(value / most, 1.0)),
              edgecolor="black", linewidth=1.0, hatch="////" if value is None else None)
    axes.add_artist(patch)  # the limits are set below


def _written(axes: Axes, x: float, y: float, value: float | None, number: int,
             colour: str) -> None:
    # on hatching a white ground of its own
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5} if value is None else None
    axes.text(x, y + 0.035, "-" if value is None else f"{value:.0f}", ha="center", va="center",
              fontsize=8.5, color=colour, bbox=ground)
    axes.text(x, y - 0.085, str(number), ha="center", va="center", fontsize=5.5, color=colour,
              bbox=ground)


def ink(ground: Sequence[float]) -> str:
    """Black or white, whichever is read better on a colour, by their contrast (WCAG 2)."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in ground[:3]]
    light = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    return "white" if 1.05 / (light + 0.05) > (light + 0.05) / 0.05 else "black"


def contours(numbers: Numbers) -> Figure | None:
    """Every slice with the outlines of wall, infarct and edema; None without an image.

    Solid: endocardium and epicardium. Dashed: infarct. Dotted: edema, with the infarct in it.
    """
    image = _image(numbers)
    if image is None:
        return None
    labels = numbers.labels
    wall = np.isin(labels, WALL_TISSUES)
    regions = [(labels > 0, "-", 0.9), (labels == Tissue.BLOOD, "-", 0.9),
               (np.isin(labels, (Tissue.SCAR, Tissue.MVO)), "--", 1.4),
               (np.isin(labels, (Tissue.EDEMA, Tissue.SCAR, Tissue.MVO)), ":", 1.4)]
    if not (labels == Tissue.EDEMA).any():
        regions.pop()
    shown = sorted(_slices(wall), key=numbers.numbering.of)
    figure, panels = _grid(len(shown), 4)
    draw = _drawer(numbers, image)
    for axes, index in zip(panels, shown):
        draw(axes, index, [(region[index], dash, width) for region, dash, width in regions])
        sure = f": {numbers.outlines[index]:.2f} sure" if numbers.outlines else ""
        axes.set_title(f"slice {numbers.numbering.of(index)}{sure}", fontsize=8, pad=2)
    figure.text(0.5, 0.012, "solid: pool and epicardium; dashed: infarct"
                + ("; dotted: area at risk" if len(regions) == 4 else "")
                + ("; the epicardium was proposed: how sure, 0 to 1" if numbers.outlines else "")
                + _left_out(wall, shown), ha="center", fontsize=8)
    return figure


def methods(numbers: Numbers) -> Figure | None:
    """The segmentation and every reference method on LGE, on the slice with most infarct and its
    neighbours; None without LGE."""
    found = [r for r in numbers.references if r.role is Role.LGE]
    if not found:
        return None
    wall = np.isin(numbers.labels, WALL_TISSUES)
    own = np.isin(numbers.labels, (Tissue.SCAR, Tissue.MVO))
    area = (own if own.any() else wall).sum(axis=(1, 2))
    shown = sorted(np.argsort(-area, kind="stable")[:3].tolist(), key=numbers.numbering.of)
    shown = [i for i in shown if wall[i].any()]
    columns = [("segmentation", own), *((r.name, r.bright) for r in found)]
    figure = blank(PAGE, PAGE / len(columns) * 1.04 * len(shown) + 0.75)
    figure.subplots_adjust(left=0.03, right=0.995, top=1 - 0.5 / figure.get_figheight(),
                           bottom=0.25 / figure.get_figheight(), wspace=0.03, hspace=0.03)
    draw = _drawer(numbers, np.asarray(numbers.sequences[Role.LGE].values), shown)
    percent = numbers.of("method")
    for row, index in enumerate(shown):
        for column, (name, region) in enumerate(columns):
            axes = figure.add_subplot(len(shown), len(columns), row * len(columns) + column + 1)
            draw(axes, index, [(wall[index], "-", 0.6)], fill=region[index])
            if row == 0:
                said = percent.get(name, {}).get("infarct_percent")
                share = "-" if said is None or said.value is None else f"{said.value:.0f} %"
                axes.set_title(f"{name}\n{share}", fontsize=8, pad=2)
            if column == 0:
                axes.set_ylabel(f"slice {numbers.numbering.of(index)}", fontsize=8)
    figure.text(0.5, 0.015, "white: infarct by each method inside the same wall; % of the wall "
                "of all slices", ha="center", fontsize=8)
    return figure


def edema_methods(numbers: Numbers) -> Figure | None:
    """As `methods`, of the area at risk on T2; None without T2."""
    found = [r for r in numbers.references if r.role is Role.T2]
    if not found:
        return None
    wall = np.isin(numbers.labels, WALL_TISSUES)
    own = np.isin(numbers.labels, (Tissue.EDEMA, Tissue.SCAR, Tissue.MVO))
    index = int(np.argmax((own if own.any() else wall).sum(axis=(1, 2))))
    columns = [("segmentation", own), *((r.name, r.bright) for r in found)]
    figure = blank(PAGE, 2.9)
    figure.subplots_adjust(left=0.01, right=min(0.01 + 2.5 * len(columns) / PAGE, 0.99), top=0.91,
                           bottom=0.09, wspace=0.03)
    draw = _drawer(numbers, np.asarray(numbers.sequences[Role.T2].values))
    for column, (name, region) in enumerate(columns):
        axes = figure.add_subplot(1, len(columns), column + 1)
        draw(axes, index, [(wall[index], "-", 0.6)], fill=region[index])
        axes.set_title(name, fontsize=9, pad=2)
    figure.text(0.01, 0.02, "white: area at risk by each method on T2, slice "
                f"{numbers.numbering.of(index)}", fontsize=8)
    return figure


def uncertainty(entropy: FloatArray, numbers: Numbers) -> Figure:
    """Where the method is unsure: entropy of the posterior, 0 to 1, black is unsure.

    Parameters
    ----------
    entropy : (slices, rows, columns).
    """
    wall = np.isin(numbers.labels, WALL_TISSUES)
    shown = sorted(_slices(wall), key=numbers.numbering.of)
    figure, panels = _grid(len(shown), 4)
    view = view_of(numbers.labels > 0, numbers.geometry)
    held = None
    for axes, index in zip(panels, shown):
        held = axes.imshow(view.blocks(entropy[index]), cmap="Greys", vmin=0, vmax=1)
        axes.autoscale(False)
        _lines(axes, view, wall[index], "-", 0.7, halo=False)
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"slice {numbers.numbering.of(index)}", fontsize=8, pad=2)
    if held is not None:
        figure.subplots_adjust(right=0.88)
        bar = figure.colorbar(held, cax=figure.add_axes((0.9, 0.15, 0.015, 0.7)))
        bar.set_label("entropy of the posterior (1: nothing known)", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def histogram(numbers: Numbers) -> Figure | None:
    """LGE in the wall, all slices, with two fitted Gaussians and the methods' thresholds (their
    median over slices); None without LGE."""
    images = numbers.sequences.get(Role.LGE)
    if images is None:
        return None
    wall = np.isin(numbers.labels, WALL_TISSUES)
    infarct = np.isin(numbers.labels, (Tissue.SCAR, Tissue.MVO))
    values = np.asarray(images.values, float)
    inside = values[wall & np.isfinite(values)]
    if inside.size < 2 or np.ptp(inside) == 0:
        return None
    figure = blank(PAGE, 3.9)
    axes = figure.add_subplot()
    low, high = np.percentile(inside, [0.2, 99.8])
    edges = np.linspace(low, high, 61).tolist()
    axes.hist(inside, edges, color="0.85", edgecolor="0.6", linewidth=0.4, label="wall")
    if infarct.any():
        axes.hist(values[infarct & np.isfinite(values)], edges, facecolor="none",
                  edgecolor="black", hatch="////", linewidth=0.4, label="infarct (segmentation)")
    mixture = two_gaussians(inside)
    at = np.linspace(low, high, 400)
    scale = inside.size * (edges[1] - edges[0])
    for density, dash, name in zip(mixture.density(at), ("-", "--"), ("darker", "brighter")):
        axes.plot(at, density * scale, color="black", linestyle=dash, linewidth=1.2,
                  label=f"{name} of two Gaussians")
    top = axes.get_ylim()[1]
    levels = sorted((float(np.median(list(r.levels.values()))), r.name)
                    for r in numbers.references if r.role is Role.LGE and r.levels)
    levels = [(level, name) for level, name in levels if low <= level <= high]
    rows = _rows_of(levels, float(np.ptp(axes.get_xlim())))
    for (level, name), row in zip(levels, rows):
        axes.axvline(level, color="0.3", linewidth=0.8, linestyle=":")
        axes.text(level, top * (1.02 + 0.06 * row), name, ha="center", fontsize=7)
    kind = "" if images.kind is Kind.UNKNOWN else f" ({images.kind.value})"
    axes.set(xlabel=f"LGE{kind}, units of the file", ylabel="pixels of the wall", ylim=(0, top))
    # below, where no line runs
    figure.legend(fontsize=8, frameon=False, ncols=4, loc="lower center", columnspacing=1.2)
    figure.subplots_adjust(top=0.92 - 0.04 * max(rows, default=0), bottom=0.22)
    return figure


def _rows_of(labels: Sequence[tuple[float, str]], width: float) -> list[int]:
    """Rows, from below, that keep labels apart, each centred on its place on an axis so wide."""
    ends: list[float] = []
    rows = []
    for at, name in labels:
        half = (0.006 * len(name) + 0.008) * width
        row = next((k for k, end in enumerate(ends) if end < at - half), len(ends))
        ends[row:row + 1] = [at + half]
        rows.append(row)
    return rows


def agreement(pairs: Sequence[tuple[float, float]], names: tuple[str, str], unit: str,
              title: str) -> Figure:
    """A series: one against the other with the line of identity, and Bland and Altman's plot.

    Parameters
    ----------
    pairs : values of the same cases by both.
    names : of both, the first upwards.
    """
    from deepgmm.review.statistics import bland_altman

    values = np.asarray(pairs, float).reshape(-1, 2)
    figure = blank(9.0, 4.2)
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    left.scatter(values[:, 1], values[:, 0], s=22, facecolor="none", edgecolor="black",
                 clip_on=False, zorder=3)
    ends = (0.0 if values.min() >= 0 else values.min(), values.max() * 1.05 or 1.0)
    left.plot(ends, ends, color="0.5", linestyle="--", linewidth=1)
    left.set(xlabel=f"{names[1]}, {unit}", ylabel=f"{names[0]}, {unit}", xlim=ends, ylim=ends,
             aspect="equal")
    right.scatter(values.mean(axis=1), values[:, 0] - values[:, 1], s=22, facecolor="none",
                  edgecolor="black")
    found = bland_altman(values[:, 0], values[:, 1])
    lines = [(found.bias, "-", "bias")] + ([] if found.low is None or found.high is None else [
        (found.low, "--", "95 % limit"), (found.high, "--", "95 % limit")])
    for level, dash, what in lines:
        right.axhline(level, color="black", linestyle=dash, linewidth=1)
        right.text(1.01, level, f"{what}\n{level:.2f}", transform=right.get_yaxis_transform(),
                   fontsize=8, va="center")
    right.set(xlabel=f"mean of both, {unit}", ylabel=f"{names[0]} minus {names[1]}, {unit}")
    figure.suptitle(f"{title} ({len(values)} cases)", fontsize=10)
    figure.subplots_adjust(wspace=0.35, right=0.9, bottom=0.14)
    return figure


def blank(width: float, height: float) -> Figure:
    """A white figure of so many inches, drawn off screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _grid(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    columns = min(columns, max(count, 1))
    rows = -(-count // columns) or 1
    figure = blank(PAGE, 1.9 * rows + 0.4)
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    figure.subplots_adjust(left=0.02, right=0.98, top=0.93, bottom=0.09, wspace=0.05, hspace=0.14)
    return figure, panels


def _slices(wall: BoolArray) -> list[int]:
    """Slices to show: all, or evenly so many of them."""
    held = np.flatnonzero(wall.any(axis=(1, 2)))
    if len(held) > _MOST_SLICES:
        held = held[np.linspace(0, len(held) - 1, _MOST_SLICES).round().astype(int)]
    return [int(i) for i in held]


def _left_out(wall: BoolArray, shown: list[int]) -> str:
    more = int(wall.any(axis=(1, 2)).sum()) - len(shown)
    return f"; {more} slices more are not shown" if more else ""


def _image(numbers: Numbers) -> npt.NDArray[Any] | None:
    for role in (Role.LGE, Role.T2, Role.BSSFP):
        if role in numbers.sequences:
            return np.asarray(numbers.sequences[role].values)
    return None


def _drawer(numbers: Numbers, image: npt.NDArray[Any], shown: list[int] | None = None) -> Any:
    """A function that draws a slice and outlines on it, turned as radiologists read it; cut to
    the slices that are shown, or to all."""
    held = numbers.labels > 0
    view = view_of(held if shown is None else held[shown], numbers.geometry)
    wall = np.isin(numbers.labels, WALL_TISSUES)
    # of a T2 whose blood outshines edema, the window is the wall's
    inside, within = (image[where & np.isfinite(image)] for where in (held, wall))
    dark = not len(within) or np.median(inside) < np.percentile(within, 95)
    low, high = grey_window(inside if dark else within)

    def draw(axes: Axes, index: int, regions: Sequence[tuple[BoolArray, str, float]],
             fill: BoolArray | None = None) -> None:
        axes.imshow(view.smooth(np.nan_to_num(image[index], nan=low)), cmap="gray", vmin=low,
                    vmax=high)
        axes.autoscale(False)
        if fill is not None and fill.any():
            area = view.blocks(fill).astype(float)
            axes.imshow(np.ones((*area.shape, 3)), alpha=area)
            _lines(axes, view, fill, "-", 0.7, halo=False)
        for region, dash, width in regions:
            _lines(axes, view, region, dash, width)
        axes.set(xticks=[], yticks=[])
    return draw


def _lines(axes: Axes, view: View, region: BoolArray, dash: str, width: float,
           halo: bool = True) -> None:
    """An outline, white on a wider dark one, so that it is seen on bright and on dark."""
    from matplotlib.patheffects import Normal, Stroke

    part = np.pad(view.cut(region).astype(float), 1)
    if not part.any():
        return
    # where the middles of the pixels lie on the enlarged panel
    down, across = ((np.arange(-1, n - 1) + 0.5) / (n - 2) * size - 0.5
                    for n, size in zip(part.shape, view.size))
    made = axes.contour(across, down, part, [0.5], colors="white" if halo else "black",
                        linewidths=width, linestyles=dash)
    if halo:
        made.set_path_effects([Stroke(linewidth=width + 1.2, foreground="black"), Normal()])
