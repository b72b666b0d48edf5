"""Sequences brought onto the one that the LV mask was drawn on, slice by slice, in the plane.

Every breath-hold puts the heart elsewhere. The mask never moves: each other sequence's slices are
compared with the reference at every shift (`slice_matching`) and moved only where that is clearly
better than leaving them (`slice_moves`). bSSFP comes first, as it shows the pool best; once it lies
right, it helps to place T2. Slices agree loosely: a shift near the sequence's median is likelier
than one far from it, and no shift at all is never far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.study.alignment.slice_matching import Matcher, Window
from deepgmm.study.alignment.slice_moves import (
    FAR,
    NEAR,
    Move,
    carried_back,
    likely_moves,
    resampled,
    turned,
)
from deepgmm.study.levels import Numbering
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Align, Kind, Role, align_named, grid_role, named_slices

#: A shift of more than this is warned of, asked for or not, mm.
WARNS = 3.0

#: Mean evidence a slice, and the share of slices, that neighbouring slices must have.
_DEEPER, _MOST = 15.0, 0.6

#: A mask whose centre leaves the line of its neighbours by more is said to jump, mm.
_JUMP = 5.0


@dataclass
class Alignment:
    """What was found, of every slice that is fitted.

    Attributes
    ----------
    reference : the sequence that the mask was drawn on.
    moves : by sequence, then by slice.
    deeper : sequence to slices (-1, 0, 1) by which it lies off the reference through the plane:
        its slice `i` shows what the reference's slice `i + deeper` does. Left out where it
        cannot be told.
    jumps : slice to mm by which the mask's centre leaves the line of its neighbours.
    applied : whether the accepted moves have been made.
    """

    reference: Role
    moves: list[Move] = field(default_factory=list)
    deeper: dict[str, int] = field(default_factory=dict)
    jumps: dict[int, float] = field(default_factory=dict)
    applied: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON values, for report and provenance."""
        moves = [{k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(m).items()}
                 for m in self.moves]
        return {"reference": self.reference.value, "applied": self.applied, "moves": moves,
                "through_plane_slices": dict(self.deeper),
                "mask_jumps_mm": {str(i): round(j, 1) for i, j in self.jumps.items()}}

    def warnings(self) -> list[str]:
        """What a user must see."""
        title, texts = self.reference.title, []
        for name in dict.fromkeys(m.sequence for m in self.moves):
            lost = [m.slice for m in self.moves if m.sequence == name and m.reason == FAR]
            if lost:
                texts.append(f"{Role(name).title} finds {FAR} of {title} on "
                             f"{named_slices(lost)} and was left as it is: see whether both "
                             "show the same heart")
            told = [m for m in self.moves if m.sequence == name and m.accepted
                    and (self.applied or m.length > WARNS)]
            if not told:
                continue
            which = named_slices(m.slice for m in told)
            most = max(m.length for m in told)
            texts.append(
                f"{Role(name).title} was moved by up to {most:.1f} mm to lie on {title} "
                f"({which})" if self.applied else
                f"{Role(name).title} lies up to {most:.1f} mm off {title} ({which}): look "
                "at the images, and move them (--align shift)")
        for name, slices in self.deeper.items():
            if not slices:
                continue
            texts.append(f"{Role(name).title} seems to lie {abs(slices)} slice off through the "
                         f"plane: its slice 1 looks like slice {1 + slices} of {title}; see "
                         "whether its breath-hold was of another depth")
        if self.jumps:
            texts.append("the LV mask leaves the line of its neighbours by up to "
                         f"{max(self.jumps.values()):.0f} mm on {named_slices(self.jumps)}: see "
                         "whether the patient breathed between slices")
        return texts


def alignment_rows(findings: dict[str, Any],
                   numbering: Numbering | None = None) -> list[tuple[str, ...]]:
    """What `provenance["alignment"]` says, as a heading and one row a slice and sequence.

    Parameters
    ----------
    numbering : how slices are counted (`numbering_of`); by default from 1, in the grid's order.
    """
    rows: list[tuple[str, ...]] = [
        ("aligned on " + Role(findings["reference"]).title, "slice", "dx mm", "dy mm", "turn",
         "before", "after", "moved", "why")]
    numbering = numbering or Numbering()
    places = {name: i for i, name in enumerate(dict.fromkeys(
        m["sequence"] for m in findings["moves"]))}
    for m in sorted(findings["moves"],
                    key=lambda m: (places[m["sequence"]], numbering.of(m["slice"]))):
        moved = "yes" if m["accepted"] and findings["applied"] else "no"
        rows.append((Role(m["sequence"]).title, str(numbering.of(m["slice"])), f"{m['dx']:.1f}",
                     f"{m['dy']:.1f}", f"{m['rotation']:.1f}", f"{m['before']:.2f}",
                     f"{m['after']:.2f}", moved, m["reason"]))
    return rows


def with_alignment(study: Study, align: Align | str, reference: Role | None = None) -> Study:
    """A study measured, and moved where that was asked for; warned of in either case.

    Parameters
    ----------
    study : checked, as `read_study` gives it; left as it was.
    align : `off`; `check` measures and warns; `shift` and `rigid` also move.
    reference : the sequence that the mask was drawn on; LGE, else bSSFP by default.

    Returns
    -------
    study : with the findings in `provenance["alignment"]` and the warnings put first, as what
        lies elsewhere may look like another fault.

    Raises
    ------
    InputError
        An unknown word, or a reference that the study does not have.
    """
    align = align_named(align)
    if align is Align.OFF:
        return study
    found = find_alignment(study, reference, turn=align is Align.RIGID)
    moves = align in (Align.SHIFT, Align.RIGID)
    moved = aligned(study, found) if moves else study
    alone = ([f"nothing to align: {study.roles[0].title} is the only sequence"]
             if moves and len(study.sequences) == 1 else [])
    return replace(moved, provenance=study.provenance | {"alignment": found.as_dict()},
                   warnings=[*found.warnings(), *alone, *study.warnings])


def find_alignment(study: Study, reference: Role | None = None, *,
                   turn: bool = False) -> Alignment:
    """Measure how each sequence lies on the reference; nothing is moved.

    Parameters
    ----------
    reference : the sequence that the mask was drawn on; LGE, else bSSFP by default.
    turn : look for rotations too.
    """
    reference = reference or grid_role(study.sequences)
    if reference not in study.sequences:
        raise InputError(f"{reference.title} cannot be the reference of the alignment: "
                         "it is not among the sequences given")
    spacing = (study.geometry.spacing[1], study.geometry.spacing[0])
    windows = {i: Window.around(study.mask[i], spacing) for i in study.slices}
    still = study.sequences[reference].values
    placed: dict[int, list[FloatArray]] = {i: [still[i]] for i in windows}
    dark = study.sequences[reference].kind is Kind.LGE_DARK_BLOOD
    found = Alignment(reference, jumps=_jumps(study))
    for role, sequence in study.sequences.items():
        if role is reference:
            continue
        shown = dict(placed)
        matchers = {i: Matcher(windows[i], placed[i]) for i in windows}
        surfaces = {i: m.similarity(sequence.values[i]) for i, m in matchers.items()}
        for i, move in likely_moves(role, matchers, surfaces).items():
            if turn:
                move = turned(study, move, matchers[i], sequence.values[i])
            found.moves.append(move)
            # A slice whose place is unsure would mislead those that come after it.
            if move.accepted or move.reason == NEAR:
                placed[i] = [resampled(study, move, sequence.values[i]), *placed[i]][:2]
        # Dark-blood LGE alone shows too little of the pool to tell neighbouring slices apart.
        if found.moves[0].sequence != role.value or not dark:
            found.deeper[role.value] = _deeper(study, shown, sequence.values)
    return found


def aligned(study: Study, found: Alignment) -> Study:
    """A copy of the study with the accepted moves made; masks and reference stay."""
    sequences = {role: replace(s) for role, s in study.sequences.items()}
    for move in found.moves:
        if not move.accepted:
            continue
        sequence = sequences[Role(move.sequence)]
        if sequence.values is study.sequences[sequence.role].values:
            sequence.values = sequence.values.copy()
        sequence.values[move.slice] = resampled(study, move, sequence.values[move.slice])
    found.applied = True
    return replace(study, sequences=sequences)


def masks_in_place(study: Study, found: Mapping[str, Any], beyond: float = 0.0
                   ) -> dict[Role, BoolArray]:
    """Where each sequence, as it lies, shows what the LV mask holds on the reference.

    Parameters
    ----------
    study : with the mask; its sequences as they lay before any move.
    found : as `Alignment.as_dict`.
    beyond : mm; moves of no more count as none.

    Returns
    -------
    masks : (slices, rows, columns) of each sequence of which a slice lies elsewhere.
    """
    masks: dict[Role, BoolArray] = {}
    for move in (Move(**one) for one in found.get("moves", ())):
        if move.accepted and (move.length > beyond or move.rotation) and study.mask[
                move.slice].any():
            own = masks.setdefault(Role(move.sequence), study.mask.copy())
            own[move.slice] = carried_back(study, move, study.mask[move.slice])
    return masks


def _deeper(study: Study, shown: dict[int, list[FloatArray]], values: FloatArray) -> int:
    """By how many slices (-1, 0, 1) a sequence lies off the reference through the plane.

    Of two neighbouring slices each is laid on both of the reference, in the window that their masks
    share: in windows of their own a larger slice seems to fit a smaller one. What either finds in
    its own place is what they are held against: some slices fit everything better than others do.

    Parameters
    ----------
    shown : slice to what its pixels are put into classes by.
    """
    spacing = (study.geometry.spacing[1], study.geometry.spacing[0])
    gains: dict[int, list[float]] = {-1: [], 1: []}
    for i in shown:
        if i + 1 not in shown or not (shared := study.mask[i] & study.mask[i + 1]).any():
            continue
        window = Window.around(shared, spacing)
        by = {k: Matcher(window, shown[k]) for k in (i, i + 1)}
        fits = {(k, j): float(by[k].similarity(values[j]).max()) * by[k].independent
                for k in by for j in by}
        own = (fits[i, i] + fits[i + 1, i + 1]) / 2
        # at 1 the sequence's slice i shows what the reference's slice i + 1 does
        gains[-1].append(fits[i, i + 1] - own)
        gains[1].append(fits[i + 1, i] - own)
    best = max(gains, key=lambda step: float(np.mean(gains[step] or [0.0])))
    told = np.array(gains[best])
    return best if (len(told) > 1 and told.mean() > _DEEPER and (told > 0).mean() >= _MOST) else 0


def _jumps(study: Study) -> dict[int, float]:
    """Slices whose mask leaves the line of its neighbours by more than `_JUMP`, mm."""
    spacing = np.array([study.geometry.spacing[1], study.geometry.spacing[0]])
    centre = {i: np.argwhere(study.mask[i]).mean(axis=0) * spacing for i in study.slices}
    off = {i: float(np.linalg.norm(c - (centre[i - 1] + centre[i + 1]) / 2))
           for i, c in centre.items() if i - 1 in centre and i + 1 in centre}
    return {i: o for i, o in off.items() if o > _JUMP}
