"""Sequences moved onto the one that the LV mask was drawn on: measured, judged, done."""

from __future__ import annotations

from deepgmm.study.alignment.alignment import (
    Alignment,
    aligned,
    alignment_rows,
    find_alignment,
    masks_in_place,
    with_alignment,
)
from deepgmm.study.alignment.slice_moves import Move

__all__ = ["Alignment", "Move", "aligned", "alignment_rows", "find_alignment",
           "masks_in_place", "with_alignment"]
