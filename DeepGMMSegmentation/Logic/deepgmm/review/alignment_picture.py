"""One picture by which a person can judge an alignment: each sequence before and after."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.review.lettering import Words, lettered
from deepgmm.review.panels import (
    BACKGROUND,
    EDGE,
    GAP,
    QUIET,
    TEXT,
    as_bytes,
    grey,
    grey_window,
    inner_edge,
    view_of,
)
from deepgmm.study.levels import numbering_in
from deepgmm.study.study import Study
from deepgmm.study.words import Role

if TYPE_CHECKING:
    from PIL import Image

_FLICKER_MS = 700
_SAID = "Yellow: the LV mask, which does not move. Research software, not for diagnosis."
_FOOT = 34
_LEFT, _TOP = 90, 62
_OUTLINE = np.array([255, 200, 0], np.uint8)


def alignment_picture(before: Study, after: Study, path: str | os.PathLike[str]) -> bytes:
    """The picture as the bytes of a file of that name.

    As `.png`, rows are slices, counted from 1, the base first; columns are the reference, then
    each other sequence before and after, all with the LV mask's outline, which never moves, and
    the shift under each pair. As `.gif` the same sequences flicker between before and after.

    Parameters
    ----------
    before, after : the same study as it came and as `with_alignment` gave it.
    """
    draw = alignment_gif if Path(path).suffix.lower() == ".gif" else alignment_png
    return draw(before, after)


def alignment_png(before: Study, after: Study) -> bytes:
    """Before and after side by side, as the bytes of a PNG file."""
    reference = Role(after.provenance["alignment"]["reference"])
    others = [role for role in before.roles if role is not reference]
    panels = [_Panel(before, reference, f"{reference.title}, the reference")]
    for role in others:
        panels += [_Panel(before, role, f"{role.title} before"),
                   _Panel(after, role, f"{role.title} after", after.provenance["alignment"])]
    buffer = io.BytesIO()
    _drawn(before, panels).save(buffer, "png", compress_level=4)
    return buffer.getvalue()


def alignment_gif(before: Study, after: Study) -> bytes:
    """Before and after by turns, as the bytes of an endless GIF."""
    from PIL import Image

    frames = [_drawn(before, [_Panel(study, role, f"{role.title} {word}")
                              for role in before.roles]).quantize(dither=Image.Dither.NONE)
              for study, word in ((before, "before"), (after, "after"))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:],
                   duration=_FLICKER_MS, loop=0)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Panel:
    """A column: a sequence of one of the studies, its title, and whose moves stand under it."""

    study: Study
    role: Role
    title: str
    findings: dict[str, Any] | None = None


def _drawn(before: Study, panels: list[_Panel]) -> Image.Image:
    """One row a slice, one column a panel; greys are those of the study as it came."""
    view = view_of(before.mask, before.geometry)
    height, width = view.size
    slices = before.slices
    canvas = np.full((_TOP + len(slices) * (height + GAP) + _FOOT,
                      2 * EDGE + _LEFT + len(panels) * (width + GAP), 3), BACKGROUND, np.uint8)
    lefts = [EDGE + _LEFT + i * (width + GAP) for i in range(len(panels))]
    words = [Words(EDGE, 18, "Alignment", 17, TEXT, bold=True)]
    words += [Words(left, 46, panel.title, 13, TEXT)
              for left, panel in zip(lefts, panels, strict=True)]
    windows = {role: grey_window(before.sequences[role].values[before.mask])
               for role in before.roles}
    numbering = numbering_in(before.mask, before.insertion_points)
    for row, index in enumerate(sorted(slices, key=numbering.of)):
        top = _TOP + row * (height + GAP)
        words.append(Words(EDGE, top + 14, f"Slice {numbering.of(index)}", 14, TEXT, bold=True))
        outline = inner_edge(view.blocks(before.mask[index]))
        for left, panel in zip(lefts, panels, strict=True):
            values = panel.study.sequences[panel.role].values[index]
            drawn = as_bytes(grey(view.smooth(values), windows[panel.role]))
            drawn[outline] = _OUTLINE
            canvas[top:top + height, left:left + width] = drawn
            if panel.findings is not None:
                words += _said(panel.findings, panel.role, index, left + 4, top + height - 10)
    words.append(Words(EDGE, canvas.shape[0] - _FOOT // 2, _SAID, 12, QUIET))
    return lettered(canvas, words)


def _said(findings: dict[str, Any], role: Role, index: int, x: int, y: int) -> list[Words]:
    """The move under a panel; why there was none, where there was none."""
    for move in findings["moves"]:
        if move["sequence"] == role.value and move["slice"] == index:
            length = float(np.hypot(move["dx"], move["dy"]))
            turn = f", {move['rotation']:.0f}\N{DEGREE SIGN}" if move["rotation"] else ""
            text = f"moved {length:.1f} mm{turn}" if move["accepted"] else move["reason"]
            return [Words(x, y, text, 12, TEXT if move["accepted"] else QUIET)]
    return []
