"""What follows from corrections: `map` goes on from where its fit ended; a network's probabilities,
and those of mixtures that know no ventricle, are moved from what they were before any."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from deepgmm.given import Corrections, Strength
from deepgmm.identify.anatomy import anchored_options
from deepgmm.methods.anchored import (
    ALL_TERMS,
    TEMPERATURE,
    absence_note,
    absent_tissues,
    tempered,
    widened,
)
from deepgmm.methods.follow import followed
from deepgmm.methods.last_layer import taught
from deepgmm.methods.presence import drawn_anew, found_where_known, without_refused
from deepgmm.methods.problem import (
    ANCHORED_SPREAD,
    Case,
    Outcome,
    Problem,
    found_contrast,
    pack_outcomes,
)
from deepgmm.methods.untold import edema_held_back
from deepgmm.model.anchored import AnchoredOptions
from deepgmm.model.batch import PixelBatch
from deepgmm.model.clamped import FREE, NONE, believed, refit_anchored
from deepgmm.model.devices import few_threads
from deepgmm.model.fit import Fit
from deepgmm.model.mixture import log_density
from deepgmm.progress import Progress, silent
from deepgmm.result import SliceFit
from deepgmm.settings import Method, Papillary
from deepgmm.study.words import Tissue

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]

#: Rounds of EM at most, and the mean change of the posterior at which it ends: from where a fit
#: had ended a few rounds suffice.
ROUNDS, TOLERANCE = 12, 2e-4
#: Added to probabilities before two of them are compared: below it they tell no difference.
LEAST = 1e-4
#: How many pixels a corrected one weighs. On phantoms ten take away more of the error elsewhere; on
#: real LGE, whose levels drift from slice to slice, a slice that weighs more than the others pulls
#: the means to its own and spoils them.
WEIGHT = 1.0
#: A stroke refuses an island of scar where it reaches its core, as deep and as sure as these shares
#: of the deepest and surest pixel, or where it covers so much of it; other strokes only trim it.
REFUSED_DEPTH, REFUSED_CORE, REFUSED_SHARE = 0.6, 0.9, 0.5
#: More scar than was refused, and at most so much less likely, is not refused with it.
AS_SURE = 0.1


@dataclass
class Refitted:
    """A posterior that follows corrections.

    Attributes
    ----------
    posterior : (slices, tissues, rows, columns) of the fitted slices; certain where corrected.
    trust : (slices, rows, columns) how much each corrected voxel weighed, 0 to 1; NaN elsewhere.
    outcome : the parameters, where the method has any that moved.
    warnings : what is to be said.
    """

    posterior: npt.NDArray[np.float32]
    trust: FloatArray
    outcome: Outcome | None = None
    warnings: list[str] = field(default_factory=list)


def refit_map(case: Case, automatic: FloatArray, corrections: Corrections,
              progress: Progress) -> Refitted:
    """The anchored fit with corrected voxels as labels of the same objective.

    It goes on from where the fit had ended, once with the corrections and once without; what
    differs between the two is what follows from them. So what only more rounds would change stays
    as it is, and the order in which somebody corrects does not matter.

    Parameters
    ----------
    automatic : (slices, tissues, rows, columns) as the fit had left it, of the fitted slices,
        before anything was corrected.
    corrections : of the fitted slices, all that were ever given.
    """
    known = _known(case, corrections)
    outcome, trust = _gone_on(case, automatic, known, progress)
    trusted = _painted(case, trust, corrections.fixed)
    doubted = drawn_anew(case, automatic, corrections, trusted, believed=False)
    if doubted:
        for column in map(case.tissues.index, doubted):
            known = torch.where(known == column, torch.full_like(known, NONE), known)
        outcome, _ = _gone_on(case, automatic, known, progress)
    without = _without_corrections(case, automatic)
    moved = (automatic + LEAST) * (outcome.posterior + LEAST) / (without + LEAST)
    outcome.posterior = np.where(automatic.sum(1, keepdims=True) > 0,
                                 moved / moved.sum(1, keepdims=True), 0).astype(np.float32)
    # what the corrections refuse is seen in what was there before them
    unclamped = np.where(corrections.fixed[:, None], automatic, outcome.posterior)
    found = _certain(case, follow(case, unclamped, corrections, trusted), corrections)
    return Refitted(found.astype(np.float32), trusted, outcome, outcome.warnings)


def _without_corrections(case: Case, automatic: FloatArray) -> FloatArray:
    """What more rounds make of a fit by themselves, kept with the study made ready."""
    key = hashlib.sha256(np.ascontiguousarray(automatic).tobytes()).digest()
    if key not in case.gone_on:
        free = torch.full_like(case.batch.valid, FREE, dtype=torch.long)
        case.gone_on.clear()  # of another fit of the same study
        case.gone_on[key] = _gone_on(case, automatic, free, silent)[0].posterior
    return case.gone_on[key]


def _gone_on(case: Case, automatic: FloatArray, known: torch.Tensor,
             progress: Progress) -> tuple[Outcome, torch.Tensor]:
    """A few rounds more of the fit, and how much each known pixel (S, P) weighed.

    The probabilities of a tissue that is nowhere the likeliest, and that nobody drew, stay.
    """
    problem = Problem((case,))
    tissues = problem.tissues
    begun = _packed(case, automatic)
    drawn = [t for k, t in enumerate(tissues) if bool((known == k).any())]
    likely = tempered(begun, 1 / TEMPERATURE)
    sought = tuple(t for k, t in enumerate(tissues) if t in drawn or k < 2
                   or bool((begun[..., k] > 0.5).any()))
    idle = [k for k, t in enumerate(tissues) if t not in sought]
    said: list[str] = []
    while True:
        fit, trust = _fit(problem.for_tissues(sought), _columns(tissues, sought, likely),
                          _renumbered(tissues, sought, known), progress)
        absent = {t: why for t, why in absent_tissues(
            problem.for_tissues(sought), fit, 0).items() if t not in drawn}
        if not absent:
            break
        said += [absence_note(t, *why) for t, why in absent.items()]
        sought = tuple(t for t in sought if t not in absent)
    fit = widened(problem, fit, sought)
    fit.posterior = tempered(fit.posterior, TEMPERATURE)
    notes = {0: said}
    if Tissue.EDEMA not in drawn:
        fit.posterior = edema_held_back(problem, fit.posterior, notes)
    fit.of_study = notes
    outcome = next(iter(pack_outcomes(problem, fit, Method.MAP)))
    outcome.posterior[:, idle] = automatic[:, idle]
    return outcome, trust


def _fit(problem: Problem, begun: torch.Tensor, known: torch.Tensor,
         progress: Progress) -> tuple[Fit, torch.Tensor]:
    options = ALL_TERMS.applied(anchored_options(problem.tissues, problem.roles, problem.device,
                                                 problem.dtype))
    options.papillary_in_wall = problem.settings.papillary is Papillary.WALL
    options.iterations, options.tolerance = ROUNDS, TOLERANCE
    prior = replace(problem.penalty([found_contrast(problem, begun)]),
                    variance_strength=ANCHORED_SPREAD)
    with few_threads(problem.batch.valid.numel()):
        return refit_anchored(problem.batch, problem.ventricle, prior, options, begun, known,
                              weight=WEIGHT, progress=progress)


def follow(case: Case, probabilities: FloatArray, corrections: Corrections,
           trust: FloatArray | None = None) -> FloatArray:
    """Probabilities that follow corrections without another fit.

    Parameters
    ----------
    probabilities : (slices, tissues, rows, columns) of the fitted slices, 0 outside the mask, as
        they were before anything was corrected; of `map` so at corrected voxels, and elsewhere as
        its refit has them.
    corrections : of the fitted slices, all that were ever given.
    trust : (slices, rows, columns) how much each corrected voxel is believed; None for wholly.

    Returns
    -------
    Of the same shape. Whoever calls makes corrected voxels certain.
    """
    moved = followed(case, probabilities, corrections, trust)
    return refused_islands(case, probabilities, _certain(case, moved, corrections), corrections)


def refit_network(case: Case, fits: Sequence[SliceFit], automatic: FloatArray,
                  corrections: Corrections, network: str = "") -> Refitted:
    """A network's posterior, or that of a mixture that knows no ventricle, that follows.

    Parameters
    ----------
    fits : of the fitted slices.
    automatic, corrections : as `follow` takes them: always from the start, so that the order in
        which somebody corrects does not matter.
    network : SHA-256 of the shared network that made `automatic`, or empty.
    """
    trust = trust_of(case, fits, corrections)
    said: list[str] = []
    if network:
        before = taught(case, found_where_known(case, automatic, corrections, trust, network),
                        corrections, trust, network,
                        drawn_anew(case, automatic, corrections, trust))
        found, said = without_refused(case, automatic, follow(case, before, corrections, trust),
                                      corrections)
    else:
        found = follow(case, automatic, corrections, trust)
    return Refitted(_certain(case, found, corrections).astype(np.float32), trust, warnings=said)


def trust_of(case: Case, fits: Sequence[SliceFit], corrections: Corrections) -> FloatArray:
    """How much the images speak for each corrected voxel, by the Gaussians of a fit.

    Returns
    -------
    (slices, rows, columns) from 0 to 1, NaN where nothing was corrected.
    """
    scale, values = case.normalised[1], case.batch.values
    means = (np.stack([f.means for f in fits]) - scale.centre) / scale.width
    variances = np.stack([f.covariances.diagonal(axis1=1, axis2=2) for f in fits]) / scale.width**2
    density = log_density(case.batch, values.new_tensor(means), values.new_tensor(variances))
    trust = believed(case.batch, density, _known(case, corrections), AnchoredOptions().outlier)
    return _painted(case, trust, corrections.fixed)


def refused_islands(case: Case, before: FloatArray, after: FloatArray,
                    corrections: Corrections) -> FloatArray:
    """Probabilities without the scar that a person refused.

    A stroke of healthy wall or blood over the core of an island of scar removes the rest of that
    island; and where all scar that is left in this heart was no surer than what was refused, that
    too, unless it is nearly as sure and more. In a heart with surer other scar that stays as it is.

    Parameters
    ----------
    before, after : (slices, tissues, rows, columns) probabilities without and with the corrections.

    Returns
    -------
    Of the same shape.
    """
    if Tissue.SCAR not in case.tissues or Tissue.MYOCARDIUM not in case.tissues:
        return after
    scar, muscle = case.tissues.index(Tissue.SCAR), case.tissues.index(Tissue.MYOCARDIUM)
    drawn = before.argmax(1) == scar
    drawn &= before[:, scar] > 0
    said = np.isin(corrections.tissue, (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA))
    struck = drawn & corrections.fixed & said
    confirmed = corrections.fixed & (corrections.tissue >= Tissue.SCAR)
    if not struck.any() or (corrections.strength == Strength.CONTOUR)[struck].all():
        return after
    islands = np.zeros(drawn.shape, int)
    for index, one in enumerate(drawn):
        found, _ = ndimage.label(one, np.ones((3, 3)))
        islands[index] = np.where(found > 0, found + islands.max(), 0)
    numbers = np.arange(1, islands.max() + 1)
    sure = ndimage.maximum(before[:, scar], islands, numbers)
    deep = _depth(drawn)
    core = ndimage.maximum(np.where(struck, before[:, scar], 0.0), islands, numbers)
    reached = (ndimage.maximum(np.where(struck, deep, 0), islands, numbers)
               >= REFUSED_DEPTH * ndimage.maximum(deep, islands, numbers))
    share = ndimage.mean(struck, islands, numbers)
    kept = np.isin(numbers, islands[confirmed])
    refused = (reached & (core >= REFUSED_CORE * sure)) | (share >= REFUSED_SHARE)
    refused &= (share > 0) & ~kept
    if not refused.any():
        return after
    left = ~refused & (share < 1)
    size = np.bincount(islands.ravel(), minlength=len(numbers) + 1)[1:]
    if not confirmed.any() and left.any():
        behind = sure[refused].max() - sure[left].max()
        more = size[left].sum() > size[refused].sum()
        if behind >= (AS_SURE if more else 0.0):
            refused |= left
    gone = np.isin(islands, numbers[refused]) & ~corrections.fixed
    gone |= ~drawn & (after.argmax(1) == scar) & ~corrections.fixed & bool(
        refused[left | refused].all())
    result = np.array(after)
    result[:, muscle] += np.where(gone, result[:, scar], 0)
    result[:, scar][gone] = 0
    return result


def _depth(drawn: BoolArray) -> FloatArray:
    """(slices, rows, columns) pixels to the border of what is drawn, slice by slice."""
    return np.stack([ndimage.distance_transform_edt(one) for one in drawn])


def _certain(case: Case, posterior: FloatArray, corrections: Corrections) -> FloatArray:
    """Probabilities that are certain of corrected voxels, and 0 where those are no tissue."""
    tissue = np.where(corrections.tissue == Tissue.MVO, Tissue.SCAR, corrections.tissue)
    certain = np.stack([tissue == t for t in case.tissues], axis=1).astype(posterior.dtype)
    return np.where(corrections.fixed[:, None], certain, posterior)


def _packed(case: Case, grid: FloatArray) -> torch.Tensor:
    """(S, P, C) of (slices, C, rows, columns)."""
    return PixelBatch.from_images(grid, case.mask, device=case.device, dtype=case.dtype).values


def _known(case: Case, corrections: Corrections) -> torch.Tensor:
    """(S, P) the column of each corrected pixel's tissue, `NONE` or `FREE`."""
    code = np.full(corrections.tissue.shape, FREE, float)
    tissue = np.where(corrections.tissue == Tissue.MVO, Tissue.SCAR, corrections.tissue)
    code[corrections.fixed] = NONE
    for column, one in enumerate(case.tissues):
        code[corrections.fixed & (tissue == one)] = column
    packed = _packed(case, code[:, None])[..., 0].round().long()
    return torch.where(case.batch.valid > 0, packed, torch.full_like(packed, FREE))


def _columns(tissues: tuple[Tissue, ...], sought: tuple[Tissue, ...],
             posterior: torch.Tensor) -> torch.Tensor:
    """(S, P, K sought) a posterior of some tissues: what the others had is healthy wall's."""
    part = posterior[..., [tissues.index(t) for t in sought]].clone()
    inside = posterior.sum(2) > 0
    part[..., 1] += (1 - part.sum(2)).clamp_min(0) * inside
    return part


def _renumbered(tissues: tuple[Tissue, ...], sought: tuple[Tissue, ...],
                known: torch.Tensor) -> torch.Tensor:
    """(S, P) `known` by the columns of fewer tissues, all of those known among them."""
    place = torch.tensor([sought.index(t) if t in sought else FREE for t in tissues],
                         device=known.device)
    return torch.where(known >= 0, place[known.clamp_min(0)], known)


def _painted(case: Case, packed: torch.Tensor, where: BoolArray) -> FloatArray:
    """(slices, rows, columns) of (S, P), NaN where it does not hold."""
    grid = np.full(case.mask.shape, np.nan)
    case.batch.paint(packed.detach().cpu().numpy(), grid)
    return np.where(where, grid, np.nan)
