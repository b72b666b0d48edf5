"""The picture by which a proposed LV mask is judged: each slice's outline and confidence."""

from __future__ import annotations

import io
import textwrap

import numpy as np

from deepgmm.propose.placing import looked_at
from deepgmm.propose.proposed import MOVES, MaskProposal, moved_by
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
from deepgmm.review.report import NOTICE
from deepgmm.study.levels import levels_of, numbering_of
from deepgmm.study.study import Study
from deepgmm.study.words import SURE

_COLUMNS, _ALERT = 5, "#ffb000"
_LEGEND = ("Proposed, not drawn{but}: look at every slice. Green: an outline that is likely right; "
           "amber: look here first. Blue: the blood pool. Numbers: confidence, 0 to 1. " + NOTICE)
_MOVED = (" What is said to be moved by so many mm is shown moved onto the sequence on which the "
          "mask lies.")


def proposal_png(study: Study, found: MaskProposal) -> bytes:
    """PNG of all slices, the base first, every sequence below the other, where it was looked at;
    letters say where right and below lie in the patient."""
    moves = found.provenance.get(MOVES, {})
    study, moved = looked_at(study, found.mask, moves), moved_by(moves)
    view = view_of(found.mask, study.geometry)
    height, width = view.size
    right, below = view.letters
    count = len(found.mask)
    columns = min(_COLUMNS, count)
    rows = -(-count // columns) * len(study.sequences)
    numbering = numbering_of(levels_of(found.mask.sum(axis=(1, 2))), count)
    across = 2 * EDGE + columns * (width + GAP)
    fixed, elsewhere = (found.provenance.get(key, ()) for key in ("fixed", "elsewhere"))
    legend = _LEGEND.format(but=", where nothing else is said" if fixed else "")
    foot = textwrap.wrap(legend + (_MOVED if moved else "") + " Slices are counted from 1"
                         + (", the base." if numbering.towards_apex else "."),
                         max(across // 7, 30))
    top = 2 * EDGE + rows * (height + GAP + 20)
    canvas = np.full((top + 18 * len(foot), across, 3), BACKGROUND, np.uint8)
    words = [Words(EDGE, top + 18 * k, line, 12.5, QUIET) for k, line in enumerate(foot)]
    place = 0
    for role, sequence in study.sequences.items():
        window = grey_window(sequence.values[found.mask])
        for i in sorted(range(count), key=numbering.of):
            row, column = divmod(place, columns)
            place += 1
            y, x = EDGE + row * (height + GAP + 20), EDGE + column * (width + GAP)
            panel = grey(view.smooth(sequence.values[i]), window).copy()
            sure = found.confidence[i] > SURE and i not in elsewhere
            panel[inner_edge(view.blocks(found.mask[i]))] = (0.2, 0.9, 0.3) if sure else (1, .7, 0)
            panel[inner_edge(view.blocks(found.pool[i]))] = (0.3, 0.6, 1.0)
            canvas[y + 20:y + 20 + height, x:x + width] = as_bytes(panel)
            said = ("left out" if not found.mask[i].any() else
                    "drawn, far off" if i in elsewhere else
                    "drawn" if i in fixed else f"{round(float(found.confidence[i]), 3):.2f}")
            by = moved.get((role.value, i), 0.0)
            said += f", moved {by:.0f} mm" if by else ""
            words += [Words(x + width - 6, y + 20 + height / 2, right, 15, TEXT, bold=True,
                            anchor="r", outlined=True),
                      Words(x + width / 2, y + 8 + height, below, 15, TEXT, bold=True, anchor="m",
                            outlined=True)]
            words.append(Words(x, y + 10, f"{role.title}, slice {numbering.of(i)}: {said}", 12.5,
                               QUIET if said.startswith("left out") else TEXT if sure else _ALERT))
        place = -(-place // columns) * columns
    buffer = io.BytesIO()
    lettered(canvas, words).save(buffer, "png")
    return buffer.getvalue()
