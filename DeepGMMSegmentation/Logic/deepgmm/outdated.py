"""What a fit said that corrections have made untrue.

What is said of the images stays. What a person is asked to look at is asked no longer of slices
that this person called right, or corrected to the last voxel.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from deepgmm.propose.proposed import NOT_DRAWN
from deepgmm.study.quality import LEAVE_OUT, left_out_said
from deepgmm.study.study import Study
from deepgmm.study.words import LOOK, UNSURE, named_slices, slices_named, to_be_looked_at

#: How it begins that slices are to be looked at.
TORN, MORE_SCAR, NO_SCAR = ("other starts of the fit", "scar may be more than what is drawn",
                            "no scar was found")
#: What is said of slices that were locked.
EMPTY = "locked with no tissue drawn"
_SLICES = re.compile(r"slices? \d+(?:-\d+)?(?:, \d+(?:-\d+)?)*")
#: A share of the wall on slices of which some are settled by now, and what parts it from the rest.
_SHARE = re.compile(r"(?:another )?[\d.]+% of the wall(?=, on | may be)")
_SEEN = "; "


def still_true(warnings: Iterable[str], study: Study, settled: Collection[int]) -> list[str]:
    """The warnings of an automatic result that still hold, with the slices for which they do.

    Parameters
    ----------
    settled : slices in which everything is right, counted from 0.
    """
    found = []
    for text in warnings:
        if text.startswith(NOT_DRAWN) and LOOK in text:
            found += _unseen(text, study, settled)
        elif text.startswith(LEAVE_OUT):
            found += left_out_said(sorted(slices_named(text) - set(settled)), study)
        elif EMPTY in text:
            found += [text] if slices_named(text) <= set(settled) else []
        elif text.startswith((UNSURE, TORN, MORE_SCAR, NO_SCAR)):
            found += _of_the_others(text, study, settled)
        else:
            found.append(text)
    return found


def _unseen(text: str, study: Study, settled: Collection[int]) -> list[str]:
    """That an outline was proposed, and where it is to be looked at."""
    drawn = set(study.provenance.get("mask_proposal", {}).get("fixed", ()))
    right = {i for i in settled if study.mask[i].any()}
    if not {int(i) for i in study.mask.any((1, 2)).nonzero()[0]} - drawn - right:
        return []
    return [text[:text.index(LOOK)] + to_be_looked_at(drawn, right)]


def _of_the_others(text: str, study: Study, settled: Collection[int]) -> list[str]:
    """What is said of slices, of those that are not settled."""
    named = slices_named(text)
    left = named - set(settled)
    if not set(study.slices) - set(settled) or (named and not left and
                                                not text.startswith(NO_SCAR)):
        return []
    if left == named:
        return [text]
    if not left:  # that none was found holds of the others
        return [text.rpartition(_SEEN)[0]]
    return [_SHARE.sub("some of the wall", _SLICES.sub(named_slices(sorted(left)), text))]
