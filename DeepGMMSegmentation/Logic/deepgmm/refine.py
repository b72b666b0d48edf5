"""A result and what a person corrected in it; a result that follows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.acting import method_run
from deepgmm.errors import ComputationError, InputError
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.identify.contrast import contrast_prior
from deepgmm.identify.physics import RULES, check_physics
from deepgmm.outdated import TORN, still_true
from deepgmm.progress import Progress, silent
from deepgmm.result import BEFORE, Result, SliceFit
from deepgmm.segment import fits_of, labels_of
from deepgmm.settings import Method, Settings
from deepgmm.study.words import Tissue, named_slices

if TYPE_CHECKING:
    from deepgmm.methods import Case

#: A corrected voxel that weighs less contradicts the images; so many of a tissue in a slice, and
#: this share of them, are told.
CONTRADICTS, LEAST_TOLD, SHARE_TOLD = 0.3, 5, 0.5
#: What a fit says of how it went, which a refit by EM makes untrue.
_OF_A_FIT = (TORN, "the fit reached its last step")
#: Said of a tissue that a person drew apart where no fit does.
_DRAWN_APART = ("microvascular obstruction was drawn, which this fit counts as scar: it keeps its "
                "own label where it was drawn and teaches as scar; scar's volume is without it, "
                "that of the infarct with it (--mvo of segment labels it on every slice)")


def refine(result: Result, corrections: Corrections, *, reopened: Iterable[int] = (),
           unbordered: Iterable[int] = (), progress: Progress = silent,
           case: Case | None = None) -> Result:
    """A result that follows what a person corrected, from where its fit had ended.

    Corrected voxels are as the person has them, whatever the fit says; those of earlier refits
    too. The other voxels follow by place, with several sequences by intensity too: of `map` from
    where its objective comes to with them, of a network from its probabilities before anything was
    corrected, or, on LGE alone with two slices done, from what its last layer learns of them.

    Parameters
    ----------
    result : of `segment` or of this function; it stays as it is.
    corrections : new ones, beside those that the result has; these hold where both speak.
    reopened : slices, counted from 0, that are no longer done; what was drawn there stays.
    unbordered : slices of whose border of pool and wall nothing is said any longer.
    case : the study as an earlier call had it ready, see `case_of`.

    Returns
    -------
    Result
        Its `corrections` are all that were ever given; `provenance["refined"]` says how many
        voxels, which slices and how many refits. Its warnings are those of the automatic result
        that still hold, and what this call has to say.

    Raises
    ------
    InputError
        Corrections of other images, of a tissue that the result does not seek, or none at all; a
        slice to reopen, or a border to free, that is not there.
    ComputationError
        The fit came to no finite result.

    Examples
    --------
    >>> from deepgmm import refine, segment                                # doctest: +SKIP
    >>> from deepgmm.review.corrections import corrections_of
    >>> result = segment(study)
    >>> mended = refine(result, corrections_of(result, edited, done=[3]))
    """
    began = time.perf_counter()
    before = _known_before(result)
    opened, free = (sorted({int(i) for i in some}) for some in (reopened, unbordered))
    wrong = [i for i in (*opened, *free) if not 0 <= i < len(result.labels)]
    if wrong:
        raise InputError(f"there is no slice {wrong[0]} to reopen: the images have "
                         f"{len(result.labels)}, 0 to {len(result.labels) - 1}")
    taken_back = set(opened) & set(before.done) or set(free) & set(before.bordered)
    check_corrections(result, corrections, anything=not taken_back)
    said: list[str] = []
    before = before.without(opened).without(free, Strength.CONTOUR)
    changed = before.contradicted(corrections)
    if changed:
        one = changed == 1
        said.append(f"{changed} voxel{' was' if one else 's were'} corrected before and "
                    f"{'is' if one else 'are'} now called another tissue: the later correction "
                    "holds")
    every = before.joined(corrections)
    first = list(result.provenance.get(BEFORE, result.warnings))
    begun = replace(result, corrections=every, warnings=first)
    slices = list(_fitted(result))
    if (result.study.mask[slices] & ~every.fixed[slices]).any():
        new = _refitted(case or case_of(result), begun, every, progress)
    else:
        new = replace(begun, labels=result.labels.copy(), posterior=result.posterior.copy())
        said.append("everything was corrected: nothing was left to follow")
    _certain(new, every)
    new.labels = every.painted(new.labels)
    if (every.tissue == Tissue.MVO).any() and not result.provenance.get("settings", {}).get(
            "keep_mvo"):
        said.append(_DRAWN_APART)
    new.warnings = [*still_true(new.warnings, result.study, begun.settled), *said]
    new.automatic = _automatic(result)
    refits = result.provenance.get("refined", {}).get("refits", 0)
    kept = {k: v for k, v in new.provenance.items() if k != "locked_slices"}
    new.provenance = {**kept, BEFORE: first, "refined": _record(every, refits + 1),
                      "seconds": {"refine": round(time.perf_counter() - began, 3)}}
    progress(1.0, "done")
    return new


def _known_before(result: Result) -> Corrections:
    """What a result has been told already: by corrections, and by slices that were locked."""
    known = result.corrections or Corrections.none(result.labels.shape)
    locked = [i for i in result.provenance.get("locked_slices", ()) if i not in known.done]
    if not locked:
        return known
    whole = np.zeros(result.labels.shape, np.uint16)
    whole[locked] = result.study.mask[locked] | (result.labels[locked] > 0)
    return known.joined(Corrections(np.where(whole > 0, result.labels, 0), whole,
                                    [Edit(Strength.SLICE)], tuple(locked)))


def check_corrections(result: Result, corrections: Corrections, *,
                      anything: bool = True) -> None:
    """See that corrections can be of a result, and are not empty where `anything` is asked for.

    Raises
    ------
    InputError
    """
    if corrections.tissue.shape != result.labels.shape:
        raise InputError(f"the corrections have shape {corrections.tissue.shape}, the images "
                         f"{result.labels.shape}: they are of another study")
    if anything and not corrections:
        raise InputError("nothing was corrected: the edited segmentation is the result itself; "
                         "name slices that are right with --done, or correct some voxels")
    known = {*result.tissues, Tissue.BACKGROUND}
    if Tissue.SCAR in known:
        known.add(Tissue.MVO)
    strange = {Tissue(int(t)) for t in np.unique(corrections.tissue[corrections.fixed])} - known
    if strange:
        names = " and ".join(t.title.lower() for t in sorted(strange))
        raise InputError(f"the corrections hold {names}, which this result does not seek: its "
                         "tissues are " + ", ".join(t.title.lower() for t in result.tissues))
    _check_slices(corrections.done, len(result.labels))


def _check_slices(slices: Iterable[int], count: int) -> None:
    wrong = [i for i in slices if not 0 <= i < count]
    if wrong:
        raise InputError(f"there is no slice {wrong[0]} to be done: the images have {count}, "
                         f"0 to {count - 1}")


def case_of(result: Result) -> Case:
    """The study of a result made ready to be fitted again; worth keeping between refits."""
    from deepgmm.methods import Case
    from deepgmm.methods.bias import without_shading

    study, tissues = result.study, result.tissues
    settings = Settings(**result.provenance.get("settings", {}))
    if settings.priors.startswith("sha256:"):
        raise InputError("this result was made with contrast priors of one's own, which are not "
                         "kept with it: give their file with --priors")
    kinds = {role: sequence.kind for role, sequence in study.sequences.items()}
    prior = contrast_prior(kinds, tissues, settings.priors or None)
    return without_shading(Case(study, _fitted(result), tissues, prior, settings)).case


def _fitted(result: Result) -> tuple[int, ...]:
    """The slices that were fitted."""
    return tuple(fit.index for fit in result.fits) or result.study.slices


def _automatic(result: Result) -> npt.NDArray[np.float32]:
    """The posterior before anything was corrected."""
    return result.posterior if result.automatic is None else result.automatic


def _of_slices(corrections: Corrections, slices: list[int]) -> Corrections:
    """The corrections of the slices that were fitted."""
    done = tuple(place for place, index in enumerate(slices) if index in corrections.done)
    return replace(corrections, tissue=corrections.tissue[slices], edit=corrections.edit[slices],
                   done=done)


def _refitted(case: Case, result: Result, every: Corrections, progress: Progress) -> Result:
    from deepgmm.methods.refit import refit_map, refit_network

    slices = list(case.slices)
    automatic, mine = _automatic(result)[slices], _of_slices(every, slices)
    progress(0.0, "refining")
    ran = (result.provenance.get("method")
           or method_run(case.settings, case.study.roles).value)
    walled = case.tissues[:2] == (Tissue.BLOOD, Tissue.MYOCARDIUM)
    if ran == Method.MAP.value and walled:
        found = refit_map(case, automatic, mine, progress)
    else:
        network = result.provenance.get("network", {}).get("sha256", "")
        found = refit_network(case, result.fits, automatic, mine, network)
    if not np.isfinite(found.posterior).all():
        raise ComputationError("the refit came to no finite result: nothing was changed; report "
                               "this with the log")
    posterior = np.zeros_like(result.posterior)
    posterior[slices] = found.posterior
    by_em = found.outcome is not None
    fits = fits_of(case, found.outcome) if found.outcome is not None else list(result.fits)
    labels = labels_of(case, found.posterior, np.stack([f.means for f in fits]))
    outside = [i for i in range(len(labels)) if i not in slices]
    labels[outside], posterior[outside] = result.labels[outside], result.posterior[outside]
    stale, said = [f"{rule[-1]} in " for rule in RULES], found.warnings
    stale += _OF_A_FIT if by_em else ()
    for tissue in case.tissues:  # that one is absent holds until it is there, or said anew
        starts = (f"no {tissue.title.lower()} was found", f"{tissue.title.lower()} cannot be told")
        there = (every.painted(labels) == tissue).any()
        said = _without(said, starts) if there else said
        if there or any(w.startswith(starts) for w in said):
            stale += starts
    warnings = _without(result.warnings, tuple(stale))
    drawn = np.asarray(case.tissues)[automatic.argmax(1)]
    more = [*said, *_physics(case, fits, labels, result.settled),
            *_contradictions(case, mine, found.trust, mine.fixed & (mine.tissue != drawn))]
    return replace(result, labels=labels, posterior=posterior, fits=fits,
                   warnings=[*warnings, *(w for w in more if w not in warnings)])


def _without(warnings: list[str], starts: tuple[str, ...]) -> list[str]:
    """Warnings but those that begin so."""
    return [w for w in warnings if not w.startswith(starts)]


def _physics(case: Case, fits: list[SliceFit], labels: npt.NDArray[np.uint8],
             settled: Iterable[int]) -> list[str]:
    """What the physics of the sequences says of a fit's means, but where everything is right."""
    kinds = {role: sequence.kind for role, sequence in case.study.sequences.items()}
    present = np.stack([np.isin(case.tissues, labels[i]) for i in case.slices])
    present &= ~np.isin(case.slices, list(settled))[:, None]
    return check_physics(np.stack([f.means for f in fits]), kinds, case.tissues, present,
                         case.slices)


def _contradictions(case: Case, corrections: Corrections, trust: npt.NDArray[np.floating],
                    changed: npt.NDArray[np.bool_]) -> list[str]:
    """What is to be said of corrections that the images do not show."""
    said = []
    for tissue in case.tissues:
        own = changed & (corrections.tissue == tissue) & np.isfinite(trust)
        strange = own & (trust < CONTRADICTS)
        where = [case.slices[i] for i in range(len(own))
                 if strange[i].sum() >= LEAST_TOLD and strange[i].sum() > SHARE_TOLD * own[i].sum()]
        if where:
            count = int(sum(strange[case.slices.index(i)].sum() for i in where))
            said.append(f"corrected as {tissue.title.lower()} on {named_slices(where)}: {count} "
                        "voxels look unlike it in these images, are kept, and the rest does not "
                        "follow them")
    return said


def _certain(new: Result, every: Corrections) -> None:
    """Make the posterior certain of corrected voxels, on every slice."""
    tissue = np.where(every.tissue == Tissue.MVO, Tissue.SCAR, every.tissue)
    where = every.fixed
    for column, one in enumerate(new.tissues):
        new.posterior[:, column][where] = tissue[where] == one


def _record(corrections: Corrections, refits: int) -> dict[str, Any]:
    """What a report says of the corrections."""
    strength = corrections.strength
    by_tissue = {t.title: int((corrections.fixed & (corrections.tissue == t)).sum())
                 for t in Tissue if (corrections.fixed & (corrections.tissue == t)).any()}
    return {"refits": refits, "corrected_voxels": int(corrections.fixed.sum()),
            "corrected_voxels_of": by_tissue,
            "corrected_slices": [int(i) for i in np.flatnonzero(strength.any((1, 2)))],
            "done_slices": list(corrections.done), "border_slices": corrections.bordered}
