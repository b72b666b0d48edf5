"""Two versions side by side, and what differs."""

from __future__ import annotations

import io
import textwrap

import numpy as np

from deepgmm.review.lettering import Words, lettered
from deepgmm.review.montage import overlay
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
from deepgmm.review.report import NOTICE
from deepgmm.review.versions import Versions, hand_drawn
from deepgmm.study.levels import levels, numbering_of
from deepgmm.study.words import Role

#: What a person changed, and what followed by itself.
_HAND, _FOLLOWED = (1.0, 0.69, 0.0), (0.2, 0.85, 0.95)
_LEFT = 70


def versions_png(versions: Versions, first: int, second: int) -> bytes:
    """PNG: every slice with the labels of both versions, and what changed between them.

    Raises
    ------
    InputError : there is no such version.
    """
    one, other = (versions.numbered(n).labels() for n in (first, second))
    hand = hand_drawn(versions, first, second)
    study = versions.study
    outlines = [study.mask if given is None else given.outlined(study.mask)
                for given in (versions.numbered(n).corrections() for n in (first, second))]
    view = view_of(study.mask, study.geometry)
    height, width = view.size
    base = next(role for role in (Role.LGE, Role.T2, Role.BSSFP) if role in study.sequences)
    values = study.sequences[base].values
    window = grey_window(values[study.mask])
    numbering = numbering_of(levels(study), len(one))
    shown = [i for i in sorted(range(len(one)), key=numbering.of)
             if study.mask[i].any() or one[i].any() or other[i].any()]
    lefts = [EDGE + _LEFT + k * (width + GAP) for k in range(3)]
    across = lefts[-1] + width + EDGE
    foot = textwrap.wrap(
        f"On {base.title}. Changed between the two: amber by hand, blue by the refit. Slices are "
        f"counted from 1, the base first where that can be told. {NOTICE}", max(across // 7, 30))
    top = EDGE + 28
    canvas = np.full((top + len(shown) * (height + GAP) + 16 + 17 * len(foot) + EDGE, across, 3),
                     BACKGROUND, np.uint8)
    words = [Words(left, EDGE + 10, title, 14, TEXT, bold=True) for left, title in
             zip(lefts, (f"Version {first}", f"Version {second}", "Changed"), strict=True)]
    for row, index in enumerate(shown):
        y = top + row * (height + GAP)
        ground = grey(view.smooth(values[index]), window)
        edges = [view.blocks(outline[index]) for outline in outlines]
        changed = one[index] != other[index]
        marked = ground.copy()
        for where, colour in ((changed & ~hand[index], _FOLLOWED), (changed & hand[index], _HAND)):
            at = view.blocks(where)
            marked[at] = 0.35 * marked[at] + 0.65 * np.asarray(colour, np.float32)
        marked[inner_edge(edges[1])] = 1.0
        panels = (overlay(ground, view.blocks(one[index]), edges[0]),
                  overlay(ground, view.blocks(other[index]), edges[1]), marked)
        for left, panel in zip(lefts, panels, strict=True):
            canvas[y:y + height, left:left + width] = as_bytes(panel)
        words += [Words(EDGE, y + 14, f"Slice {numbering.of(index)}", 12.5, TEXT, bold=True),
                  Words(EDGE, y + 30, f"{int(changed.sum())} px", 11, QUIET)]
    bottom = top + len(shown) * (height + GAP) + 12
    words += [Words(EDGE, bottom + 17 * k, line, 11, QUIET) for k, line in enumerate(foot)]
    buffer = io.BytesIO()
    lettered(canvas, words).save(buffer, "png", compress_level=1)
    return buffer.getvalue()
