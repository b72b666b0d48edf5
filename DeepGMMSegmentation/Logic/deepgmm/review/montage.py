"""One picture by which a person can judge a segmentation: one row a slice.

The picture is composed as an array of pixels, each panel enlarged to its true proportions, and
matplotlib sets the type. That takes a tenth of the time that one pair of axes a panel would.
"""

from __future__ import annotations

import io
import os
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.result import Result
from deepgmm.review.report import NOTICE, percent_of_wall, present_tissues
from deepgmm.study.files import together
from deepgmm.study.study import Geometry
from deepgmm.study.words import COLOURS, Kind, Role, Tissue

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.float32]

_DPI = 100
_GAP = 6
_EDGE = 16
_LEFT = 78
_BACKGROUND = 0.07
_TEXT, _QUIET, _ALERT = "#e8e8e8", "#9a9a9a", "#ffb000"
#: Opacity of the overlay: the image must be seen through it, and most of all the pool, where
#: a scar that was missed would lie.
_FILL, _FILL_OF_BLOOD = 0.5, 0.3
_DIMMED = 0.3
#: What a radiologist expects to the right and below, in LPS: left and back; feet and back.
_RIGHT, _DOWN = np.array([1.0, 0.7, 0.0]), np.array([0.0, 0.5, -1.0])


@dataclass(frozen=True)
class _View:
    """How slices are cut, turned and enlarged; the same for all, so that sizes compare."""

    rows: slice
    columns: slice
    turned: bool  # rows and columns exchanged
    flip: tuple[int, int]
    size: tuple[int, int]
    letters: tuple[str, str]

    def cut(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        part = image[self.rows, self.columns]
        return (part.T if self.turned else part)[::self.flip[0], ::self.flip[1]]

    def smooth(self, image: npt.NDArray[Any]) -> Pixels:
        """An image enlarged by linear interpolation."""
        part = self.cut(image).astype(np.float32)
        for axis, wanted in enumerate(self.size):
            at = (np.arange(wanted) + 0.5) / wanted * part.shape[axis] - 0.5
            low = np.clip(np.floor(at).astype(int), 0, part.shape[axis] - 1)
            high = np.minimum(low + 1, part.shape[axis] - 1)
            share = np.clip(at - low, 0.0, 1.0).astype(np.float32)
            share = share[:, None] if axis == 0 else share[None, :]
            part = part.take(low, axis) * (1 - share) + part.take(high, axis) * share
        return part

    def blocks(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels enlarged: each pixel a block, nothing in between invented."""
        part = self.cut(image)
        for axis, wanted in enumerate(self.size):
            at = ((np.arange(wanted) + 0.5) / wanted * part.shape[axis]).astype(int)
            part = part.take(at, axis)
        return part


def montage_png(result: Result) -> bytes:
    """The montage as the bytes of a PNG file.

    Columns: every sequence given, cropped to the LV mask's box; the tissues on LGE (else T2,
    else bSSFP) with the LV mask's outline; the entropy of the posterior. Slices left out are
    shown dimmed, with the reason. Slices are numbered from 0, as on the command line, and
    turned as radiologists read them; letters say where right and below lie in the patient.
    """
    from PIL import Image, PngImagePlugin  # comes with matplotlib

    picture = Image.fromarray(_composed(result))
    words = PngImagePlugin.PngInfo()
    words.add_text("Software", "DeepGMM")
    words.add_text("Description", NOTICE)
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=4, dpi=(_DPI, _DPI), pnginfo=words)
    return buffer.getvalue()


def write_montage(result: Result, path: str | os.PathLike[str]) -> None:
    """Write the montage as PNG; it appears whole or not at all (`InputError`)."""
    with together() as outputs:
        outputs.path(path, "montage").write_bytes(montage_png(result))


def _composed(result: Result) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) uint8, the whole picture."""
    from matplotlib.figure import Figure
    from matplotlib.transforms import IdentityTransform

    study = result.study
    view = _view(study.mask, study.geometry)
    height, width = view.size
    titles = [_title(role, sequence.kind) for role, sequence in study.sequences.items()]
    base = next(role for role in (Role.LGE, Role.T2, Role.BSSFP) if role in study.sequences)
    titles += [(f"Tissues on {base.title}", ""), ("Uncertainty", "")]
    legend = _legend(result)
    foot = _foot(result, columns=_LEFT + len(titles) * (width + _GAP))

    top = _EDGE + 30 + 22 * len(_wrapped(legend, _LEFT + len(titles) * (width + _GAP))) + 46
    total_width = _EDGE * 2 + _LEFT + len(titles) * (width + _GAP) - _GAP
    slices = study.mask.shape[0]
    total_height = top + slices * (height + _GAP) + 10 + 17 * len(foot) + _EDGE

    canvas = np.full((total_height, total_width, 3), _BACKGROUND, np.float32)
    figure = Figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI, facecolor="none")

    def write(x: float, y: float, words: str, size: float = 9.5, colour: str = _TEXT,
              **how: Any) -> None:
        figure.text(x, total_height - y, words, transform=IdentityTransform(),
                    fontsize=size * 72 / _DPI * 1.33, color=colour,
                    **{"va": "center", "parse_math": False, **how})

    write(_EDGE, _EDGE + 10, "DeepGMM", 13, weight="bold")
    write(_EDGE + 112, _EDGE + 11, _summary(result), 9.5, _QUIET)
    y = _EDGE + 42
    for line in _wrapped(legend, total_width - 2 * _EDGE):
        x = _EDGE
        for tissue, words, length in line:
            canvas[y - 6:y + 6, x:x + 12] = np.array(COLOURS[tissue]) / 255
            write(x + 18, y, words)
            x += length
        y += 22

    lefts = [_EDGE + _LEFT + i * (width + _GAP) for i in range(len(titles))]
    for left, (name, kind) in zip(lefts, titles, strict=True):
        write(left, top - 26, name, 10.5, weight="bold")
        if kind:
            write(left, top - 10, kind, 8.5, _QUIET)
    _colour_bar(canvas, lefts[-1], top - 10, width)
    write(lefts[-1], top - 10, "sure", 8.5, _QUIET)
    write(lefts[-1] + width, top - 10, "unsure", 8.5, _QUIET, ha="right")

    windows = _windows(result, view)
    entropy = result.entropy()
    marked = _marked_slices(result)
    fitted = set(study.slices)
    for index in range(slices):
        y = top + index * (height + _GAP)
        used = index in fitted
        panels = [_grey(view.smooth(sequence.values[index]), windows[role])
                  for role, sequence in study.sequences.items()]
        ground = panels[list(study.sequences).index(base)]
        panels += [_overlay(ground, view, result.labels[index], study.mask[index]),
                   _heat(view.blocks(entropy[index]), view.blocks(study.mask[index]))]
        for left, panel in zip(lefts, panels, strict=True):
            canvas[y:y + height, left:left + width] = panel if used else panel * _DIMMED
        write(_EDGE, y + 14, f"Slice {index}", 11, _TEXT if used else _QUIET, weight="bold")
        if not used:
            reason = study.excluded.get(index, "no LV mask")
            write(_EDGE, y + 32, "left out", 8.5, _QUIET)
            write(lefts[-2] + width / 2, y + height / 2,
                  textwrap.fill(reason, max(width // 8, 12)), 9.5, _TEXT, ha="center")
        elif index in marked:
            write(_EDGE, y + 36, "\N{WARNING SIGN}", 14, _ALERT)
            write(_EDGE + 20, y + 36, "see below", 8.5, _ALERT)
        if index == 0:
            write(lefts[0] + width - 4, y + height / 2, view.letters[0], 9, _QUIET, ha="right")
            write(lefts[0] + width / 2, y + height - 9, view.letters[1], 9, _QUIET, ha="center")

    y = top + slices * (height + _GAP) + 14
    for note in foot:
        write(_EDGE, y, note, 8.5, _ALERT if note.startswith("\N{WARNING SIGN}") else _QUIET)
        y += 17
    _print_type(figure, canvas)
    return np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)


def _print_type(figure: Figure, canvas: Pixels) -> None:
    """Lay a figure that holds only text over the picture. (Handing the picture to the figure
    instead would resample it, at half a second.)"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    agg = FigureCanvasAgg(figure)
    agg.draw()
    drawn = np.asarray(agg.buffer_rgba())
    inked = np.nonzero(drawn[..., 3])
    ink = drawn[inked].astype(np.float32) / 255
    canvas[inked] = canvas[inked] * (1 - ink[:, 3:]) + ink[:, :3] * ink[:, 3:]


def _view(mask: npt.NDArray[np.bool_], geometry: Geometry) -> _View:
    """The box of the mask in all slices with a margin, square in mm where the image allows,
    turned as a radiologist expects."""
    spacing = np.array([geometry.spacing[1], geometry.spacing[0]])
    shape = np.array(mask.shape[1:])
    found = np.argwhere(mask.any(axis=0))
    low, high = (found.min(0), found.max(0) + 1) if len(found) else (np.zeros(2, int), shape)
    side = ((high - low) * spacing).max() * 1.25 + 8.0
    middle = (low + high) / 2
    half = side / spacing / 2
    start = np.maximum(np.floor(middle - half), 0).astype(int)
    stop = np.minimum(np.ceil(middle + half), shape).astype(int)
    millimetres = (stop - start) * spacing
    slices = mask.shape[0]
    longest = 330 if slices <= 2 else 240 if slices <= 7 else 190
    size = np.maximum(np.rint(millimetres * longest / millimetres.max()), 16).astype(int)

    across, down, turned = _axes(geometry)
    flip = (-1 if down @ _DOWN < 0 else 1, -1 if across @ _RIGHT < 0 else 1)
    height, width = (int(n) for n in (size[::-1] if turned else size))
    return _View(
        rows=slice(int(start[0]), int(stop[0])), columns=slice(int(start[1]), int(stop[1])),
        turned=turned, flip=flip, size=(height, width),
        letters=(_letters(across * flip[1]), _letters(down * flip[0])))


def _axes(geometry: Geometry) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], bool]:
    """Where the picture's columns and rows point (LPS), and whether the file's are exchanged."""
    direction = np.asarray(geometry.direction).reshape(3, 3)
    columns, rows = direction[:, 0], direction[:, 1]
    if abs(rows @ _RIGHT) + abs(columns @ _DOWN) > abs(columns @ _RIGHT) + abs(rows @ _DOWN):
        return rows, columns, True
    return columns, rows, False


def _letters(direction: npt.NDArray[np.float64]) -> str:
    """Where a direction points in the patient, as viewers write it: the largest first."""
    names = ("RL", "AP", "FH")
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(names[axis][int(direction[axis] > 0)] for axis in order[:2]
                   if abs(direction[axis]) > 0.35)


def _title(role: Role, kind: Kind) -> tuple[str, str]:
    _, _, rest = kind.value.partition("-")
    said = {Kind.UNKNOWN: "kind unknown", Kind.LGE_PSIR: "PSIR"}.get(kind)
    return role.title, said or rest.replace("-", " ")


def _windows(result: Result, view: _View) -> dict[Role, tuple[float, float]]:
    """One grey window a sequence for all slices, from inside the LV mask and a little wider:
    fat beside the heart would take the contrast away."""
    study = result.study
    used = np.zeros(study.mask.shape[0], bool)
    used[list(study.slices)] = True
    where = study.mask & used[:, None, None]
    if not where.any():
        where[:, view.rows, view.columns] = True
    windows = {}
    for role, sequence in study.sequences.items():
        values = sequence.values[where]
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, [0.5, 99.5]) if values.size else (0.0, 1.0)
        span = float(high - low) or 1.0
        windows[role] = (float(low) - 0.05 * span, float(high) + 0.1 * span)
    return windows


def _grey(image: Pixels, window: tuple[float, float]) -> Pixels:
    low, high = window
    grey = np.clip((np.nan_to_num(image, nan=low) - low) / (high - low), 0, 1)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


def _overlay(ground: Pixels, view: _View, labels: npt.NDArray[np.uint8],
             mask: npt.NDArray[np.bool_]) -> Pixels:
    panel = ground.copy()
    blocks = view.blocks(labels)
    for tissue in map(Tissue, np.unique(blocks[blocks > 0]).tolist()):
        where = blocks == tissue
        colour = np.array(COLOURS[tissue], np.float32) / 255
        fill = _FILL_OF_BLOOD if tissue is Tissue.BLOOD else _FILL
        panel[where] = (1 - fill) * panel[where] + fill * colour
        panel[_inner_edge(where)] = colour
    panel[_inner_edge(view.blocks(mask))] = 1.0
    return panel


def _heat(entropy: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    panel = np.full((*entropy.shape, 3), 0.12, np.float32)
    panel[mask] = _heat_colours(entropy[mask])
    panel[_inner_edge(mask)] = 1.0
    return panel


def _heat_colours(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.clip(values, 0, 1)), np.float32)[..., :3]


def _colour_bar(canvas: Pixels, left: int, middle: int, width: int) -> None:
    start, stop = left + 32, left + width - 46
    canvas[middle - 4:middle + 4, start:stop] = _heat_colours(np.linspace(0, 1, stop - start))


def _inner_edge(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    padded = np.pad(where, 1)
    inside = (padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
    return where & ~inside


def _legend(result: Result) -> list[tuple[Tissue, str, int]]:
    """Tissue, words and length in pixels of each entry."""
    shares = percent_of_wall(result)
    entries = []
    for tissue in present_tissues(result):
        volume, share = result.volume(tissue), shares.get(tissue.title)
        words = f"{tissue.title} " + ("absent" if volume == 0 else f"{volume:.1f} ml")
        if volume and share is not None:
            words += f" ({share:.0f} % of the wall)"
        entries.append((tissue, words, 48 + round(7.0 * len(words))))
    return entries


def _wrapped(entries: list[tuple[Tissue, str, int]], width: int
             ) -> list[list[tuple[Tissue, str, int]]]:
    lines: list[list[tuple[Tissue, str, int]]] = [[]]
    for entry in entries:
        if lines[-1] and sum(e[2] for e in lines[-1]) + entry[2] > width:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _summary(result: Result) -> str:
    settings = result.provenance.get("settings") or {}
    method = result.provenance.get("method") or settings.get("method")
    parts = [f"method {method}"] if method else []
    used = len(result.study.slices)
    parts.append(f"{used} of {result.study.mask.shape[0]} slices")
    return "   ".join(parts)


def _warnings(result: Result) -> list[str]:
    return list(dict.fromkeys([*result.study.warnings, *result.warnings]))


def _foot(result: Result, columns: int, most: int = 8) -> list[str]:
    """Warnings, at most so many, and the notice, wrapped to a width in pixels."""
    warnings = _warnings(result)
    lines: list[str] = []
    for warning in warnings[:most]:
        lines += textwrap.wrap(f"\N{WARNING SIGN} {warning}", max(columns // 7, 30),
                               subsequent_indent="   ")
    if len(warnings) > most:
        lines.append(f"{len(warnings) - most} more warnings are in the report")
    return [*lines, f"{NOTICE} Slices are counted from 0."]


def _marked_slices(result: Result) -> set[int]:
    """Slices that a warning names."""
    marked: set[int] = set()
    for warning in _warnings(result):
        for listed in re.findall(r"\bslices? ((?:\d+(?:-\d+)?(?:, | and )?)+)", warning):
            for part in re.findall(r"\d+(?:-\d+)?", listed):
                first, _, last = part.partition("-")
                marked.update(range(int(first), int(last or first) + 1))
    return marked
