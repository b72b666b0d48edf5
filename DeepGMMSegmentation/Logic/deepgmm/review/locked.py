"""Slices that the user locked: they keep the labels that they have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.outdated import EMPTY
from deepgmm.result import Result
from deepgmm.study.words import Tissue, named_slices


def keep_locked(result: Result, labels: npt.NDArray[np.integer], slices: Iterable[int]) -> Result:
    """A result that keeps given labels on some slices, also on those left out of the fit.

    There the posterior is certain of the label, and zero where the label is of no tissue that
    was sought; microvascular obstruction counts as scar. Volumes, areas and percentages follow.
    `provenance["locked_slices"]` names the slices. The parameters fitted on them stay.

    Parameters
    ----------
    labels : (slices, rows, columns), values of `Tissue`, on the study's grid.
    slices : those to keep, counted from 0.

    Raises
    ------
    InputError
        Labels of another grid, values that are no tissue, a slice that is not there.
    """
    locked = sorted(set(slices))
    if not locked:
        return result
    if labels.shape != result.labels.shape:
        raise InputError(f"the labels to keep have shape {labels.shape}, the images "
                         f"{result.labels.shape}: unlock the slices, or choose the segmentation "
                         "that was made of these images (untick Done, in the panel)")
    if locked[0] < 0 or locked[-1] >= len(labels):
        raise InputError(f"there is no slice {locked[0] if locked[0] < 0 else locked[-1]} to "
                         f"keep: the images have {len(labels)}, 0 to {len(labels) - 1}")
    kept = labels[locked]
    if not np.isin(kept, list(Tissue)).all():
        raise InputError(f"the labels to keep hold values that are no tissue, on "
                         f"{named_slices(locked)}: untick Done there")
    new = replace(result, labels=result.labels.copy(), posterior=result.posterior.copy(),
                  warnings=list(result.warnings),
                  provenance={**result.provenance, "locked_slices": locked})
    new.labels[locked] = kept
    as_sought = np.where(kept == Tissue.MVO, Tissue.SCAR, kept)
    new.posterior[locked] = np.stack([as_sought == t for t in result.tissues], axis=1)
    empty = [i for i in locked if not labels[i].any() and result.study.mask[i].any()]
    if empty:
        new.warnings.append(f"{named_slices(empty)} {EMPTY}: untick Done to "
                            "have it segmented")
    return new
