"""Components named by the truth, as the papers' tables do: for evaluation only.

Whoever segments has no truth. Nothing below this floor can reach this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deepgmm.review.metrics import dice


def ordered_by_truth(components: npt.NDArray[np.integer], truth: npt.NDArray[np.integer],
                     tissues: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Name components so that the sum of Dice is largest, slice by slice (Hungarian).

    deepgmm-paper section 4.1 rearranges the labels of randomly started fits so.

    Parameters
    ----------
    components : (slices, ...) integers, 0 to K - 1 inside the mask, -1 outside.
    truth : (slices, ...) labels.
    tissues : K labels; each is given to one component.

    Returns
    -------
    (slices, ...) labels; 0 outside the mask.
    """
    from scipy.optimize import linear_sum_assignment

    labels = np.zeros(components.shape, dtype=np.uint8)
    for index, slice_ in enumerate(components):
        score = [[dice(slice_ == c, truth[index] == t) or 0.0 for t in tissues]
                 for c in range(len(tissues))]
        for c, column in zip(*linear_sum_assignment(score, maximize=True), strict=True):
            labels[index][slice_ == c] = tissues[column]
    return labels
