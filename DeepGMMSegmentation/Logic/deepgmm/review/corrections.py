"""What a user changed in a result, voxel by voxel, from an edited segmentation of anyone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.reading.masks.labelmap import Labels
from deepgmm.result import Result
from deepgmm.study.words import Tissue, named_slices

__all__ = ["Corrections", "Edit", "Strength", "corrections_of", "edited_labels", "now"]

#: An edited segmentation whose tissues lie on the LV mask less than this (Dice) is of another
#: heart, as is one that changes more of the voxels than this.
SAME_HEART, MOST_CHANGED = 0.85, 0.5


def now() -> str:
    """This moment, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def edited_labels(edited: Labels, result: Result) -> npt.NDArray[np.uint8]:
    """The labels of an edited segmentation on a result's grid.

    Raises
    ------
    InputError
        Of another grid, or so far from the LV mask or from the result that it is another heart's.
    """
    shape = result.labels.shape
    try:
        labels = edited.on(result.study.geometry, (shape[0], shape[1], shape[2]))
    except InputError as error:
        raise InputError("the edited segmentation lies on another grid than the images of this "
                         "study: see whether it is of this patient, and export it on the grid of "
                         "the result") from error
    check_edited(labels, result)
    return labels


def check_edited(labels: npt.NDArray[np.uint8], result: Result) -> None:
    """See that labels can be a result's, edited.

    Raises
    ------
    InputError
        Another shape, values that are no tissue, tissues that the result does not seek, or
        labels that lie elsewhere than the LV mask.
    """
    if labels.shape != result.labels.shape:
        raise InputError(f"the edited segmentation has shape {labels.shape}, the images "
                         f"{result.labels.shape}: see whether it is of this patient")
    found = {int(v) for v in np.unique(labels)}
    if not found <= {int(t) for t in Tissue}:
        raise InputError("the edited segmentation holds values that are no tissue")
    known = {0, *map(int, result.tissues), *map(int, np.unique(result.labels))}
    if Tissue.SCAR in result.tissues:
        known.add(int(Tissue.MVO))
    if not found <= known:
        names = " and ".join(Tissue(v).title.lower() for v in sorted(found - known))
        raise InputError(f"the edited segmentation has {names}, which this result does not seek: "
                         "its tissues are "
                         + ", ".join(t.title.lower() for t in result.tissues))
    fitted = (result.labels > 0).any((1, 2)) & (labels > 0).any((1, 2))
    drawn, mask = labels[fitted] > 0, result.labels[fitted] > 0
    same = 2 * (drawn & mask).sum() / max(drawn.sum() + mask.sum(), 1)
    changed = (labels[fitted] != result.labels[fitted])[drawn | mask]
    if not fitted.any() or same < SAME_HEART or changed.mean() > MOST_CHANGED:
        raise InputError("the edited segmentation does not lie where this result does: see "
                         "whether it is of this patient and was made from this result")


def corrections_of(result: Result, edited: npt.NDArray[np.uint8], *, done: Iterable[int] = (),
                   run: int = 0, base: npt.NDArray[np.uint8] | None = None,
                   when: str | None = None, seconds: float | None = None) -> Corrections:
    """What an edited segmentation changes in a result, and the slices that are right as a whole.

    Parameters
    ----------
    edited : (slices, rows, columns) values of `Tissue` on the result's grid.
    done : slices in which everything is right, also what was left alone; counted from 0.
    run : the version that was edited, and `base` its labels; by default those of the result.
    when : UTC, ISO 8601; now by default.
    seconds : that the editing took.

    Raises
    ------
    InputError
        Labels that cannot be this result's, or a slice that is not there.
    """
    edited = np.asarray(edited)
    check_edited(edited, result)
    finished = sorted({int(i) for i in done})
    wrong = [i for i in finished if not 0 <= i < len(edited)]
    if wrong:
        raise InputError(f"there is no slice {wrong[0]} to be done: the images have "
                         f"{len(edited)}, 0 to {len(edited) - 1}")
    empty = [i for i in finished if not edited[i].any() and result.study.mask[i].any()]
    if empty:
        raise InputError(f"{named_slices(empty)} cannot be done: no tissue is drawn there")
    when = now() if when is None else when
    changed = edited != (result.labels if base is None else base)
    number = np.where(changed, 1, 0).astype(np.uint16)
    edits = [Edit(Strength.VOXEL, when, run, seconds)]
    if finished:
        edits.append(Edit(Strength.SLICE, when, run, seconds))
        whole = np.zeros_like(changed)
        whole[finished] = (result.study.mask[finished] | (edited[finished] > 0))
        number[whole & ~changed] = 2
    return Corrections(np.where(number > 0, edited, 0), number, edits, tuple(finished))
