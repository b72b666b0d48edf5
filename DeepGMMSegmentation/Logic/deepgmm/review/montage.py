"""One picture by which a person can judge a segmentation: one row a slice, or two in a row.

The picture is composed as an array of pixels, each panel enlarged to its true proportions.
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from deepgmm.acting import method_in_words
from deepgmm.result import Result
from deepgmm.review.lettering import Words, length, lettered
from deepgmm.review.panels import (
    BACKGROUND,
    EDGE,
    GAP,
    QUIET,
    TEXT,
    Pixels,
    View,
    as_bytes,
    grey,
    grey_window,
    inner_edge,
    outlines_of,
    view_of,
)
from deepgmm.review.report import NOTICE, percent_of_wall
from deepgmm.study.alignment import masks_in_place
from deepgmm.study.alignment.alignment import WARNS
from deepgmm.study.levels import levels, numbering_of
from deepgmm.study.words import COLOURS, SURE, Kind, Role, Tissue, slices_named

_DPI = 100
_LEFT = 78
_ALERT, _UNSURE, _ELSEWHERE = "#ffb000", (1.0, 0.69, 0.0), (0.2, 0.8, 1.0)
#: Sizes of the type, pixels.
_HEAD, _NAME, _PLAIN, _SMALL = 18, 15, 14, 12.5
#: Height of a line of the legend, and of the foot.
_ENTRY, _LINE = 24, 19
#: More slices than this of one sequence stand in two columns; between these, pixels.
_LONG, _BETWEEN = 6, 26
#: Opacity of the overlay: the image must be seen through it, and most of all the pool, where
#: a scar that was missed would lie.
_FILL, _FILL_OF_BLOOD = 0.5, 0.3
_DIMMED = 0.3
#: Of a thumbnail, pixels at most.
_THUMBNAIL = (320, 160)
#: Where matplotlib's inferno (van der Walt and Smith, 2015) is at 0, 1/8, ..., 1.
_INFERNO = np.array([
    (0.00, 0.00, 0.01), (0.13, 0.05, 0.29), (0.34, 0.06, 0.43), (0.54, 0.13, 0.42),
    (0.74, 0.22, 0.33), (0.89, 0.35, 0.19), (0.98, 0.56, 0.03), (0.97, 0.80, 0.21),
    (0.99, 1.00, 0.64)])


def montage_png(result: Result) -> bytes:
    """The montage as the bytes of a PNG file.

    Columns: every sequence given, cropped to the LV mask's box; the tissues on LGE (else T2,
    else bSSFP) with the outline, as it was corrected; the entropy of the posterior. Slices left
    out are shown dimmed, with the reason. An outline that was proposed is drawn on the images too,
    amber where it is unsure, with its confidence. Where a sequence that was not moved lies
    elsewhere, its image has the outline there too, in light blue. Slices are numbered from 1, the
    base first, and turned as radiologists read them; letters say where right and below lie in the
    patient. Many slices of one sequence stand in two columns, down the left one first.
    """
    from PIL import PngImagePlugin

    about = PngImagePlugin.PngInfo()
    about.add_text("Software", "DeepGMM")
    about.add_text("Description", NOTICE)
    buffer = io.BytesIO()
    # stronger compression takes longer than drawing, for a tenth of the size
    lettered(*_composed(result)).save(buffer, "png", compress_level=1, dpi=(_DPI, _DPI),
                                      pnginfo=about)
    return buffer.getvalue()


def thumbnail_png(result: Result) -> bytes:
    """The least sure slice, small: the image beside the tissues on it, as the bytes of a PNG."""
    from PIL import Image

    study = result.study
    view = view_of(study.mask, study.geometry)
    entropy = result.entropy()
    index = max(study.slices, key=lambda i: float(entropy[i].sum()))
    base = next(role for role in (Role.LGE, Role.T2, Role.BSSFP) if role in study.sequences)
    ground = grey(view.smooth(study.sequences[base].values[index]), _windows(result, view)[base])
    painted = overlay(ground, view.blocks(result.labels[index]),
                      view.blocks(result.outline[index]))
    picture = Image.fromarray(as_bytes(np.concatenate([ground, painted], axis=1)))
    picture.thumbnail(_THUMBNAIL)
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def _composed(result: Result) -> tuple[npt.NDArray[np.uint8], list[Words]]:
    """The picture without its words, (rows, columns, 3), and the words."""
    study = result.study
    blocks = 2 if len(study.sequences) == 1 and len(study.mask) > _LONG else 1
    rows = -(-len(study.mask) // blocks)
    view = view_of(study.mask, study.geometry, rows)
    height, width = view.size
    base = next(role for role in (Role.LGE, Role.T2, Role.BSSFP) if role in study.sequences)
    titles = [_title(role, sequence.kind) for role, sequence in study.sequences.items()]
    titles += [(f"Tissues on {base.title}", ""), ("Uncertainty", "")]
    taken = _LEFT + len(titles) * (width + GAP) - GAP
    starts = [EDGE + block * (taken + _BETWEEN) for block in range(blocks)]
    total_width = starts[-1] + taken + EDGE
    legend = _wrapped(_legend(result), total_width - 2 * EDGE)
    foot = _foot(result, columns=total_width - 2 * EDGE)
    top = EDGE + 80 + _ENTRY * len(legend)
    bottom = top + rows * (height + GAP)
    canvas = np.full((bottom + 10 + _LINE * len(foot) + EDGE, total_width, 3), BACKGROUND, np.uint8)

    words = [Words(EDGE, EDGE + 10, "DeepGMM", _HEAD, TEXT, bold=True),
             Words(EDGE + 112, EDGE + 11, _summary(result), _PLAIN, QUIET)]
    words += _draw_legend(canvas, legend, EDGE + 42)
    lefts_of = {start: [start + _LEFT + i * (width + GAP) for i in range(len(titles))]
                for start in starts}
    for lefts in lefts_of.values():
        for left, (name, kind) in zip(lefts, titles, strict=True):
            words += [Words(left, top - 28, name, _NAME, TEXT, bold=True),
                      Words(left, top - 10, kind, _SMALL, QUIET)]
        _draw_colour_bar(canvas, lefts[-1], top - 10, width)
        words += [Words(lefts[-1], top - 10, "sure", _SMALL, QUIET),
                  Words(lefts[-1] + width, top - 10, "unsure", _SMALL, QUIET, anchor="r")]

    windows, entropy, marked = _windows(result, view), result.entropy(), _marked_slices(result)
    outlines = outlines_of(result.provenance, len(study.mask))
    elsewhere, outline = _elsewhere(result), result.outline
    fitted = {*study.slices, *np.flatnonzero(result.labels.any((1, 2))).tolist()}
    level = levels(study)
    numbering = numbering_of(level, len(study.mask))
    right, below = view.letters
    for place, index in enumerate(sorted(range(len(study.mask)), key=numbering.of)):
        start, y = starts[place // rows], top + place % rows * (height + GAP)
        lefts, used = lefts_of[start], index in fitted
        panels = [np.array(one) for one in _panels(result, view, index, windows, entropy, base)]
        if outlines:
            edge = inner_edge(view.blocks(outline[index]))
            for panel in panels:
                panel[edge] = 1.0 if outlines[index] > SURE else _UNSURE
        for panel, role in zip(panels, study.sequences):
            if role in elsewhere and (elsewhere[role][index] != outline[index]).any():
                panel[inner_edge(view.blocks(elsewhere[role][index]))] = _ELSEWHERE
        for left, panel in zip(lefts, panels, strict=True):
            canvas[y:y + height, left:left + width] = as_bytes(panel if used else panel * _DIMMED)
        words += [Words(start, y + 14, f"Slice {numbering.of(index)}", _NAME,
                        TEXT if used else QUIET, bold=True),
                  Words(start, y + 32, level.get(index, ""), _SMALL, QUIET),
                  Words(lefts[0] + width - 6, y + height / 2, right, _NAME, TEXT, bold=True,
                        anchor="r", outlined=True),
                  Words(lefts[0] + width / 2, y + height - 12, below, _NAME, TEXT, bold=True,
                        anchor="m", outlined=True)]
        if outlines and used:
            words += [Words(start, y + 94, "outline", _SMALL, QUIET),
                      Words(start, y + 110, f"{outlines[index]:.2f} sure", _SMALL,
                            QUIET if outlines[index] > SURE else _ALERT)]
        if not used:
            reason = textwrap.fill(study.excluded.get(index, "no LV mask"), max(width // 8, 12))
            words += [Words(start, y + 50, "left out", _SMALL, QUIET),
                      Words(lefts[-2] + width / 2, y + height / 2, reason, _PLAIN, TEXT,
                            anchor="m")]
        elif index in marked:
            words += [Words(start, y + 54, "\N{WARNING SIGN}", _HEAD, _ALERT),
                      Words(start, y + 72, "see below", _SMALL, _ALERT)]
    words += [Words(EDGE, bottom + 14 + _LINE * i, note, _SMALL,
                    _ALERT if note.startswith("\N{WARNING SIGN}") else QUIET)
              for i, note in enumerate(foot)]
    return canvas, words


def _elsewhere(result: Result) -> dict[Role, npt.NDArray[np.bool_]]:
    """Where sequences that were not moved show what the LV mask holds on its reference."""
    found = result.provenance.get("alignment") or {}
    return {} if found.get("applied") else masks_in_place(
        replace(result.study, mask=result.outline), found, WARNS)


def _panels(result: Result, view: View, index: int, windows: dict[Role, tuple[float, float]],
            entropy: Pixels, base: Role) -> list[Pixels]:
    """The panels of one slice, (rows, columns, 3), 0 to 1."""
    study = result.study
    mask = view.blocks(result.outline[index])
    greys = {role: grey(view.smooth(sequence.values[index]), windows[role])
             for role, sequence in study.sequences.items()}
    return [*greys.values(), overlay(greys[base], view.blocks(result.labels[index]), mask),
            _heat(view.blocks(entropy[index]), mask)]


def _title(role: Role, kind: Kind) -> tuple[str, str]:
    _, _, rest = kind.value.partition("-")
    said = {Kind.UNKNOWN: "kind unknown", Kind.LGE_PSIR: "PSIR"}.get(kind)
    return role.title, said or rest.replace("-", " ")


def _windows(result: Result, view: View) -> dict[Role, tuple[float, float]]:
    """One grey window a sequence for all slices, from inside the LV mask and a little wider:
    fat beside the heart would take the contrast away. Where blood outshines edema (T2 maps,
    T2-prepared) from inside the wall."""
    study = result.study
    used = np.zeros(study.mask.shape[0], bool)
    used[list(study.slices)] = True
    where = study.mask & used[:, None, None]
    if not where.any():
        where[:, view.rows, view.columns] = True
    windows = {}
    for role, sequence in study.sequences.items():
        wall = where & (result.labels > Tissue.BLOOD)
        if sequence.kind in (Kind.T2_MAP, Kind.T2_PREPARED) and wall.any():
            # the rim of the wall is half blood
            windows[role] = grey_window(sequence.values[wall], top=90)
        else:
            windows[role] = grey_window(sequence.values[where])
    return windows


def overlay(ground: Pixels, labels: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Pixels:
    """Labels over an image, (height, width, 3), with the LV mask's outline."""
    colours = (np.array([COLOURS[tissue] for tissue in Tissue]) / 255).astype(np.float32)
    fills = np.full(len(Tissue), _FILL, np.float32)
    fills[Tissue.BACKGROUND], fills[Tissue.BLOOD] = 0.0, _FILL_OF_BLOOD
    fill = fills[labels]
    fill[inner_edge(labels)] = 1.0
    panel = ground + fill[..., None] * (colours[labels] - ground)
    panel[inner_edge(mask)] = 1.0
    return panel


def _heat(entropy: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    panel = np.full((*entropy.shape, 3), 0.12, np.float32)
    panel[mask] = _heat_colours(entropy[mask])
    panel[inner_edge(mask)] = 1.0
    return panel


def _heat_colours(values: npt.NDArray[np.floating]) -> Pixels:
    at = np.linspace(0, 1, len(_INFERNO))
    return np.stack([np.interp(values, at, channel) for channel in _INFERNO.T],
                    axis=-1).astype(np.float32)


def _draw_colour_bar(canvas: npt.NDArray[np.uint8], left: int, middle: int, width: int) -> None:
    start, stop = left + 40, left + width - 56
    canvas[middle - 4:middle + 4, start:stop] = as_bytes(
        _heat_colours(np.linspace(0, 1, stop - start)))


def _legend(result: Result) -> list[tuple[Tissue, str, int]]:
    """Tissue, words and length in pixels of each entry."""
    shares = percent_of_wall(result)
    entries = []
    for tissue in result.present_tissues:
        volume, share = result.volume(tissue), shares.get(tissue.title)
        low, high = result.volume_interval(tissue)
        words = f"{tissue.title} " + (f"{volume:.1f} ml" if volume else "absent")
        if volume and low == low:
            words += f" (90 %: {low:.1f} to {high:.1f})"
        if volume and share is not None:
            words += f", {share:.0f} % of the wall"
        entries.append((tissue, words, 48 + round(length(words, _PLAIN))))
    return entries


def _draw_legend(canvas: npt.NDArray[np.uint8], lines: list[list[tuple[Tissue, str, int]]],
                 y: int) -> list[Words]:
    """Draw the patches of colour; returns the words beside them."""
    words = []
    for line in lines:
        x = EDGE
        for tissue, text, taken in line:
            canvas[y - 6:y + 6, x:x + 12] = COLOURS[tissue]
            words.append(Words(x + 18, y, text, _PLAIN, TEXT))
            x += taken
        y += _ENTRY
    return words


def _wrapped(entries: list[tuple[Tissue, str, int]], width: int
             ) -> list[list[tuple[Tissue, str, int]]]:
    lines: list[list[tuple[Tissue, str, int]]] = [[]]
    for entry in entries:
        if lines[-1] and sum(e[2] for e in lines[-1]) + entry[2] > width:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _summary(result: Result) -> str:
    method = method_in_words(result.provenance)
    parts = [f"method {method}"] if method else []
    used = len(result.study.slices)
    parts.append(f"{used} of {result.study.mask.shape[0]} slices")
    return "   ".join(parts)


def _warnings(result: Result) -> list[str]:
    return list(dict.fromkeys(result.warnings))


def _foot(result: Result, columns: int, most: int = 8) -> list[str]:
    """Warnings, at most so many, and the notice, wrapped to a width in pixels."""
    warnings = _warnings(result)
    numbering = numbering_of(levels(result.study), len(result.labels))
    lines: list[str] = []
    for warning in warnings[:most]:
        said = f"\N{WARNING SIGN} {numbering.in_words(warning)}"
        lines += textwrap.wrap(said, max(int(columns / 7.9), 30), subsequent_indent="   ")
    if len(warnings) > most:
        lines.append(f"{len(warnings) - most} more warnings are in the report")
    if outlines_of(result.provenance, len(result.labels)):
        lines += textwrap.wrap("The outline was proposed, not drawn: white where it is likely "
                               "right, amber where to look first; how sure it is, 0 to 1, is "
                               "beside each slice.", max(int(columns / 7.9), 30))
    if away := " or ".join(role.title for role in _elsewhere(result)):
        lines += textwrap.wrap(f"Light blue: where {away} shows the heart, if elsewhere; what was "
                               "fitted lies inside the LV mask.", max(int(columns / 7.9), 30))
    first = "the base" if numbering.towards_apex else "the first of the file"
    return [*lines, f"{NOTICE} Slices are counted from 1, {first}."]


def _marked_slices(result: Result) -> set[int]:
    """Slices that a warning names."""
    return set().union(*(slices_named(warning) for warning in _warnings(result)))
