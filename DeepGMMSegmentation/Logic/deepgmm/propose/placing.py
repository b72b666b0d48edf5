"""Sequences looked at in one place: each slice first moved to where the reference shows the heart.

Breath-holds differ, and averaged where they lie two sequences blur each other's borders. The
sequence that is surest of the ventricle says where it is, and the alignment of studies
(`deepgmm.study.alignment`) carries that to the sequence on whose grid the study lies; there all
others are moved, as `segment` moves them onto a mask. So the mask that is proposed lies where one
drawn on the reference would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from deepgmm.propose.asking import once
from deepgmm.propose.canonical import PIXEL, Frame
from deepgmm.propose.proposed import overlap_of
from deepgmm.study.alignment import (
    Alignment,
    Move,
    aligned,
    find_alignment,
    masks_in_place,
)
from deepgmm.study.study import BoolArray, Study
from deepgmm.study.words import Align, Role, grid_role

#: mm: a shift of less costs a proposal less than is lost where none was.
WORTH = 2.0
#: mm2 of a slice that another sequence can be laid on.
LEAST_AREA = 120.0


def placed(study: Study, frame: Frame, align: Align) -> tuple[Study, dict[str, Any]]:
    """A study whose sequences lie where its reference does, and how they were moved.

    Parameters
    ----------
    study : its mask is not looked at; left as it was.
    frame : around the ventricle.
    align : off moves nothing, rigid also turns.

    Returns
    -------
    study : itself where nothing is moved.
    found : as `Alignment.as_dict`, with "found_on"; empty where nothing was looked for.
    """
    if align is Align.OFF or len(study.sequences) < 2:
        return study, {}
    reference = grid_role(study.sequences)
    rough = {role: _rough(study, role, frame) for role in study.sequences}
    surest = max(rough, key=lambda role: rough[role][1])
    usable = _usable(study)
    mask = rough[surest][0] & usable[:, None, None]
    if surest is not reference and mask.any():
        pair = replace(study, mask=mask, excluded={}, sequences={
            role: study.sequences[role] for role in (surest, reference)})
        mask = masks_in_place(pair, find_alignment(pair, surest).as_dict()).get(reference, mask)
    if not mask.any():
        return study, {}
    shown = replace(study, mask=mask, excluded={})
    found = find_alignment(shown, reference, turn=align is Align.RIGID)
    found.moves = [move if move.length >= WORTH or move.rotation else replace(move, accepted=False)
                   for move in found.moves]
    moved = replace(aligned(shown, found), mask=study.mask, excluded=study.excluded)
    return moved, found.as_dict() | {"found_on": surest.value}


def looked_at(study: Study, mask: BoolArray, found: Mapping[str, Any]) -> Study:
    """A study's sequences as the proposal of this mask saw them.

    Parameters
    ----------
    found : as `placed` gave it.
    """
    if not found:
        return study
    known = Alignment(Role(found["reference"]), [
        move for move in (Move(**one) for one in found["moves"]) if mask[move.slice].any()])
    return replace(aligned(replace(study, mask=mask), known), mask=study.mask)


def _rough(study: Study, role: Role, frame: Frame) -> tuple[BoolArray, float]:
    """(slices, rows, columns) where one sequence by itself shows a ventricle, and how surely."""
    from scipy.ndimage import label

    images, seen = frame.sampled(study.sequences[role].values)
    inside = once(images, seen)[:, 1:].sum(1)
    parts, count = label(inside > 0.5)
    if not count:
        return np.zeros(study.mask.shape, bool), 0.0
    held = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    held[held.sum((1, 2)) * PIXEL ** 2 < LEAST_AREA] = False
    return (frame.back(held.astype(np.float32), study.mask.shape[1:]) > 0.5,
            overlap_of(inside, held))


def _usable(study: Study) -> BoolArray:
    """(slices,) those that every sequence shows whole."""
    return np.array([all(np.isfinite(s.values[i]).all() and np.ptp(s.values[i].astype(float)) > 0
                         for s in study.sequences.values()) for i in range(len(study.mask))])
