"""Names for the components of a randomly started fit, by the Hungarian method."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepgmm.identify.contrast import ContrastPrior


def assign(means: npt.NDArray, variances: npt.NDArray, weights: npt.NDArray,
           prior: ContrastPrior) -> npt.NDArray[np.int64]:
    """Which component is which tissue, in every slice.

    The cost of giving component j to tissue k is the Kullback-Leibler divergence of the
    component from the tissue's prior predictive (variance sd^2 + mean_sd^2), so a wide
    component does not match a narrow tissue, plus the cost of an unlikely share of the mask.

    Parameters
    ----------
    means, variances : (slices, components, sequences); weights : (slices, components).

    Returns
    -------
    (slices, tissues) component of each tissue.
    """
    from scipy.optimize import linear_sum_assignment

    spread = prior.deviations**2 + prior.mean_deviations**2  # tissues, sequences
    order = np.zeros((len(means), len(prior.tissues)), dtype=np.int64)
    for index in range(len(means)):
        away = (means[index][None] - prior.means[:, None]) ** 2  # tissues, components, sequences
        ratio = variances[index][None] / spread[:, None]
        divergence = 0.5 * (away / spread[:, None] + ratio - 1
                            - np.log(np.maximum(ratio, 1e-12))).sum(2)
        share = np.maximum(weights[index], 1e-6)[None] / prior.weights[:, None]
        cost = divergence + 0.1 * np.log(share) ** 2
        order[index] = linear_sum_assignment(np.nan_to_num(cost, nan=1e9, posinf=1e9))[1]
    return order
