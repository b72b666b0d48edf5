"""Whether a disease is there at all, judged anew by what a person drew or refused.

A fit draws no edema in a heart that shows too little of it, and no scar where the network is
nowhere sure of one. Once somebody draws that disease, the question is only where it is: the network
is asked again with the disease taken for granted. And where somebody finished a slice and left
nothing of a disease that was drawn there, what is left of it in the others must pass the same test
again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.given import Corrections
from deepgmm.identify.absence import NETWORK_LEAST
from deepgmm.methods.anchored import absence_note, judged_diseases
from deepgmm.methods.follow import is_believed
from deepgmm.methods.pretrained import fit_pretrained
from deepgmm.methods.problem import Case, Problem, pack_outcomes
from deepgmm.model.batch import PixelBatch
from deepgmm.progress import silent
from deepgmm.settings import Method
from deepgmm.study.words import Tissue

FloatArray = npt.NDArray[np.floating]

#: Of the healthy wall, what a disease that is known to be there has at least.
LEAST_SHARE = 0.05


def drawn_anew(case: Case, automatic: FloatArray, corrections: Corrections, trust: FloatArray,
               *, believed: bool = True) -> tuple[Tissue, ...]:
    """The diseases that a person drew, and the fit nowhere: of no voxel they are the likeliest.

    Parameters
    ----------
    trust : (slices, rows, columns) how much each corrected voxel is believed, NaN elsewhere.
    believed : False for those instead that the images contradict: what is drawn of them is kept,
        and says nothing of other voxels.
    """
    likeliest = automatic.argmax(1)
    drawn = {t: case.mask & (corrections.tissue == t) for t in case.tissues}
    return tuple(t for k, t in enumerate(case.tissues) if t > Tissue.MYOCARDIUM and drawn[t].any()
                 and not (case.mask & (likeliest == k)).any()
                 and is_believed(trust, drawn[t]) is believed)


def found_where_known(case: Case, automatic: FloatArray, corrections: Corrections,
                      trust: FloatArray, sha256: str) -> FloatArray:
    """Probabilities before corrections, of a network that knows which diseases are there.

    Parameters
    ----------
    automatic : (slices, tissues, rows, columns) of the fitted slices, 0 outside the mask.
    corrections : of the fitted slices, all that were ever given.
    trust : (slices, rows, columns) how much each corrected voxel is believed, NaN elsewhere.
    sha256 : of the network that made `automatic`; another is not asked.

    Returns
    -------
    Of the same shape: `automatic` itself where every disease that a person drew is the likeliest
    of some voxel or contradicted by the images, or the network is no longer there.
    """
    drawn = drawn_anew(case, automatic, corrections, trust)
    if not drawn or Tissue.MYOCARDIUM not in case.tissues:
        return automatic
    if drawn not in case.found_where_known:
        problem = Problem((case,))
        try:
            fit = fit_pretrained(problem, silent, known=drawn)
        except InputError:
            return automatic
        if fit.network.get("sha256") != sha256:
            return automatic
        found = next(iter(pack_outcomes(problem, fit, Method.PRETRAINED))).posterior
        wall = found[:, case.tissues.index(Tissue.MYOCARDIUM)].copy()
        for column in (case.tissues.index(t) for t in drawn):
            least = np.maximum(LEAST_SHARE * wall, automatic[:, column])
            found[:, column] = np.maximum(found[:, column], least)
        case.found_where_known[drawn] = found / np.maximum(found.sum(1, keepdims=True), 1e-9)
    return case.found_where_known[drawn]


def without_refused(case: Case, automatic: FloatArray, found: FloatArray,
                    corrections: Corrections) -> tuple[FloatArray, list[str]]:
    """Probabilities without edema that a finished slice refused and that is too little elsewhere.

    Scar has `refit.refused_islands` for that.

    Parameters
    ----------
    automatic, found : (slices, tissues, rows, columns) before anything was corrected, and now.

    Returns
    -------
    Of the same shape, and what is to be said.
    """
    if not {Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA} <= set(case.tissues):
        return found, []
    edema, wall = (case.tissues.index(t) for t in (Tissue.EDEMA, Tissue.MYOCARDIUM))
    drawn = (automatic.argmax(1) == edema) & case.mask
    if (corrections.tissue == Tissue.EDEMA).any() or not drawn[list(corrections.done)].any():
        return found, []
    problem = Problem((case,))
    packed = PixelBatch.from_images(found, case.mask, device=case.device, dtype=case.dtype).values
    why = judged_diseases(problem, packed, 0)[Tissue.EDEMA]
    if why.suffices(NETWORK_LEAST):
        return found, []
    left = np.array(found)
    left[:, wall] += left[:, edema]
    left[:, edema] = 0
    return left, [absence_note(Tissue.EDEMA, why, NETWORK_LEAST)]
