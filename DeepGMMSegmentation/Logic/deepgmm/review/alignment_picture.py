"""One picture by which a person can judge an alignment: each sequence before and after."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from deepgmm.review.lettering import Words, lettered
from deepgmm.review.montage import _grey, _inner_edge, _view
from deepgmm.study.files import together
from deepgmm.study.study import Study
from deepgmm.study.words import Role

_GAP, _EDGE, _LEFT, _TOP = 6, 16, 90, 62
_TEXT, _QUIET = "#e8e8e8", "#9a9a9a"
_BACKGROUND = 18
_OUTLINE = np.array([255, 200, 0], np.uint8)


def write_alignment_picture(before: Study, after: Study, path: str | os.PathLike[str]) -> None:
    """Write the picture as PNG; it appears whole or not at all.

    Rows are slices; columns are the reference, then each other sequence before and after, all
    with the LV mask's outline, which never moves, and the shift under each pair.

    Parameters
    ----------
    before, after : the same study as it came and as `with_alignment` gave it.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with together() as outputs:
        outputs.path(path, "alignment picture").write_bytes(alignment_png(before, after))


def alignment_png(before: Study, after: Study) -> bytes:
    """The picture as the bytes of a PNG file."""
    findings = after.provenance["alignment"]
    reference = Role(findings["reference"])
    others = [role for role in before.roles if role is not reference]
    view = _view(before.mask, before.geometry)
    height, width = view.size
    columns = 1 + 2 * len(others)
    slices = before.slices
    canvas = np.full((_TOP + len(slices) * (height + _GAP) + _EDGE,
                      2 * _EDGE + _LEFT + columns * (width + _GAP), 3), _BACKGROUND, np.uint8)
    lefts = [_EDGE + _LEFT + i * (width + _GAP) for i in range(columns)]
    words = [Words(_EDGE, 18, "Alignment", 17, _TEXT, bold=True),
             Words(lefts[0], 46, f"{reference.title}, the reference", 13, _TEXT)]
    panels = [(before, reference)] + [(s, r) for r in others for s in (before, after)]
    for left, (study, role) in zip(lefts[1:], panels[1:]):
        words.append(Words(left, 46, f"{role.title} {'before' if study is before else 'after'}",
                           13, _TEXT))
    windows = {role: _window(before, role) for role in before.roles}
    for row, index in enumerate(slices):
        top = _TOP + row * (height + _GAP)
        words.append(Words(_EDGE, top + 14, f"Slice {index}", 14, _TEXT, bold=True))
        outline = _inner_edge(view.blocks(before.mask[index]))
        for left, (study, role) in zip(lefts, panels):
            values = study.sequences[role].values[index]
            grey = (_grey(view.smooth(values), windows[role]) * 255).astype(np.uint8)
            panel = np.broadcast_to(grey[..., None] if grey.ndim == 2 else grey,
                                    (height, width, 3)).copy()
            panel[outline] = _OUTLINE
            canvas[top:top + height, left:left + width] = panel
        for left, role in zip(lefts[2::2], others):
            words += _said(findings, role, index, left + 4, top + height - 10)
    buffer = io.BytesIO()
    lettered(canvas, words).save(buffer, "png", compress_level=4)
    return buffer.getvalue()


def _said(findings: dict[str, Any], role: Role, index: int, x: int, y: int) -> list[Words]:
    """The move under a panel; why there was none, where there was none."""
    for move in findings["moves"]:
        if move["sequence"] == role.value and move["slice"] == index:
            length = float(np.hypot(move["dx"], move["dy"]))
            turn = f", {move['rotation']:.0f}\N{DEGREE SIGN}" if move["rotation"] else ""
            text = f"moved {length:.1f} mm{turn}" if move["accepted"] else move["reason"]
            return [Words(x, y, text, 12, _TEXT if move["accepted"] else _QUIET)]
    return []


def _window(study: Study, role: Role) -> tuple[float, float]:
    """One grey window for all slices, before and after, from inside the mask."""
    values = study.sequences[role].values[study.mask]
    low, high = np.percentile(values[np.isfinite(values)], [0.5, 99.5])
    span = float(high - low) or 1.0
    return float(low) - 0.05 * span, float(high) + 0.1 * span

