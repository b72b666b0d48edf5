"""The last layer of a shared network, moved by what a person corrected.

    minimise  sum_x trust(x) CE(tissue(x), softmax((W + D) h(x))) / sum_x trust(x) + HELD |D|^2 / 2

over corrected voxels x as each look at the images sees them, h(x) the last layer's inputs in units
of their deviation over these voxels and 1. The rest of the method then runs from the new answer,
and the mean of what it comes to and of what it had come to is kept.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deepgmm.errors import InputError
from deepgmm.given import Corrections
from deepgmm.methods.follow import log_softmax
from deepgmm.methods.network_input import features_of
from deepgmm.methods.pretrained import fit_pretrained, loaded
from deepgmm.methods.problem import Case, Problem, pack_outcomes
from deepgmm.progress import silent
from deepgmm.settings import Method
from deepgmm.study.words import FOUR_TISSUES, Role, Tissue
from deepgmm.weights.card import Card

FloatArray = npt.NDArray[np.floating]

#: How hard the layer is held to its old weights, and steps at most. Of one slice it learns what is
#: that slice's own: so many must be done.
HELD, STEPS, SLICES_TAUGHT = 1.0, 20, 2
#: Bytes of a study's inputs of the last layer above which they are not kept for later refits.
MOST_KEPT = 1 << 26


def taught(case: Case, automatic: FloatArray, corrections: Corrections, trust: FloatArray,
           sha256: str, known: tuple[Tissue, ...] = ()) -> FloatArray:
    """Probabilities of a network whose last layer has learned from the corrected voxels.

    Parameters
    ----------
    automatic : (slices, tissues, rows, columns) of the fitted slices, 0 outside the mask.
    corrections : of the fitted slices, all that were ever given.
    trust : (slices, rows, columns) how much each corrected voxel is believed, NaN elsewhere.
    sha256 : of the network that made `automatic`; another is not asked.
    known : diseases that are there whatever the network says.

    Returns
    -------
    Of the same shape; `automatic` itself of other images than LGE alone, of fewer slices that are
    done, of a network with no such layer, and where it is no longer there.
    """
    if case.study.roles != (Role.LGE,) or len(corrections.done) < SLICES_TAUGHT:
        return automatic
    problem = Problem((case,))
    try:
        network, card, _ = loaded(problem)
    except InputError:
        return automatic
    head = getattr(network, "head", None)
    if card.sha256 != sha256 or not isinstance(head, nn.Conv2d) or head.kernel_size != (1, 1):
        return automatic
    with torch.no_grad():
        looks = [case.batch.grid(one.double()) for one in _looks(case, network, card)]
        weights = torch.cat([head.weight[:, :, 0, 0], _bias(head)[:, None]], 1).double()
    weights = weights + _moved(case, looks, weights, corrections, trust)
    total = torch.stack([torch.softmax(_through(weights, one), 1) for one in looks]).mean(0)
    fit = fit_pretrained(problem, silent, known=known, logits=total.clamp_min(1e-12).log().float())
    learned = next(iter(pack_outcomes(problem, fit, Method.PRETRAINED))).posterior
    return (automatic + learned) / 2


def _looks(case: Case, network: nn.Module, card: Card) -> list[Tensor]:
    """(S, P, F) the last layer's inputs in the LV mask, of each look at the images; kept with the
    study, for the network does not change with what is corrected."""
    if card.sha256 in case.looks:
        return case.looks[card.sha256]
    found = [case.batch.pack(one) for one in features_of(network, card.architecture.inputs, case)]
    case.looks.clear()  # of another network
    if sum(one.nbytes for one in found) <= MOST_KEPT:
        case.looks[card.sha256] = found
    return found


def _bias(head: nn.Conv2d) -> Tensor:
    return head.weight.new_zeros(head.out_channels) if head.bias is None else head.bias


def _through(weights: Tensor, features: Tensor) -> Tensor:
    """(S, K, H, W) logits of (S, F, H, W) features."""
    return torch.einsum("kf,sfhw->skhw", weights[:, :-1], features) + weights[:, -1, None, None]


def _moved(case: Case, looks: list[Tensor], weights: Tensor, corrections: Corrections,
           trust: FloatArray) -> Tensor:
    """(4, F + 1) what is added to the last layer, 0 for tissues that are not sought."""
    from scipy.optimize import minimize

    batch = case.batch
    tissue = np.where(corrections.tissue == Tissue.MVO, Tissue.SCAR, corrections.tissue)
    told = corrections.fixed & case.mask & np.isin(tissue, case.tissues)
    at, corner = np.argwhere(told), batch.corner.cpu().numpy()
    rows, columns = (at[:, 1:] - corner[at[:, 0]]).T
    label = (tissue[told][:, None] == np.asarray(case.tissues)).argmax(1)
    share = np.tile(np.nan_to_num(trust[told]), len(looks))
    given = np.concatenate([one[at[:, 0], :, rows, columns].cpu().numpy() for one in looks])
    width = given.std(0) + 1e-6
    given = np.column_stack([given / width, np.ones(len(given))])
    sought = [FOUR_TISSUES.index(t) for t in case.tissues]
    width = np.append(width, 1.0)
    begun = given @ (weights[sought].cpu().numpy() * width).T
    right = np.tile(np.eye(len(sought))[label], (len(looks), 1))
    share = (share / max(share.sum(), 1e-9))[:, None]

    def energy(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        more = flat.reshape(len(sought), -1)
        moving = begun + given @ more.T
        moving = log_softmax(moving)
        pull = share * (np.exp(moving) - right)
        return (float(0.5 * HELD * flat @ flat - (share * right * moving).sum()),
                HELD * flat + (pull.T @ given).ravel())

    found = minimize(energy, np.zeros(len(sought) * given.shape[1]), jac=True, method="L-BFGS-B",
                     options={"maxiter": STEPS}).x.reshape(len(sought), -1)
    more = torch.zeros_like(weights)
    more[sought] = torch.as_tensor(found / width, dtype=weights.dtype, device=weights.device)
    return more
