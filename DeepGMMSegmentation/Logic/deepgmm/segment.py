"""The front hall: a study and settings in, a result out. No truth enters here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.acting import rounds_asked
from deepgmm.errors import ComputationError, InputError
from deepgmm.identify.contrast import contrast_prior
from deepgmm.identify.obstruction import obstructions
from deepgmm.identify.physics import check_physics
from deepgmm.outdated import TORN
from deepgmm.progress import Progress, silent
from deepgmm.result import Result, SliceFit
from deepgmm.settings import Method, Preset, Settings
from deepgmm.study.checks import check_study
from deepgmm.study.quality import find_faults, proposals
from deepgmm.study.study import Study
from deepgmm.study.words import Role, Tissue, named_slices

if TYPE_CHECKING:
    from deepgmm.methods import Case, Outcome


#: Where the starts of a fit agree on less of a slice than this, the user is told.
LEAST_AGREEMENT = 0.9


def segment(study: Study, settings: Settings | None = None, *,
            progress: Progress = silent) -> Result:
    """Split the LV mask of a study into tissues, without truth.

    Parameters
    ----------
    study : as read by `read_study` or made from arrays; checked here and left as it was.
    progress : called with the fraction done and the stage; what it raises stops the work.

    Returns
    -------
    Result

    Raises
    ------
    InputError : the study or the settings cannot be fitted.
    ComputationError : the fit came to no finite result.

    Examples
    --------
    >>> from deepgmm import segment
    >>> from deepgmm.phantom import make_patient
    >>> result = segment(make_patient(seed=1, slices=1).study)
    >>> [t.title for t in result.tissues]
    ['Blood', 'Myocardium', 'Edema', 'Scar']
    """
    return next(segment_many([study], settings, progress=progress))


def segment_many(studies: Iterable[Study], settings: Settings | None = None, *,
                 slices_at_once: int | None = None,
                 progress: Progress = silent) -> Iterator[Result]:
    """Segment many studies, several in one batch; each as `segment` would alone.

    Studies that follow each other with the same sequences, kinds and tissues are fitted
    together. They are drawn from the iterable as they are needed, so that memory does not grow
    with their number.

    Parameters
    ----------
    slices_at_once : of a batch, at most, where single studies are smaller; by default what is
        quickest, 10 on a CPU and 250 on a GPU.
    progress : called with the fraction done of a batch, and the stage.

    Yields
    ------
    Result : one a study, in their order.

    Raises
    ------
    InputError, ComputationError : as `segment`, when the turn comes to the study at fault; the
        results of those before it have been given by then.
    """
    settings = replace(settings) if settings else Settings()  # checked again, and ours
    waiting: list[Case] = []
    for study in studies:
        try:
            case = prepared(study, settings)
            progress(0.0, "preparing")
        except InputError:
            yield from _fitted(waiting, progress)
            raise
        slices = sum(len(c.slices) for c in waiting) + len(case.slices)
        most = slices_at_once or (10 if case.device.type == "cpu" else 250)
        if waiting and (slices > most or case.alike != waiting[0].alike):
            yield from _fitted(waiting, progress)
            waiting = []
        waiting.append(case)
    yield from _fitted(waiting, progress)


def prepared(study: Study, settings: Settings) -> Case:
    """A study checked and made ready to be fitted, on a copy.

    Raises
    ------
    InputError : the study or the settings cannot be fitted.
    """
    from deepgmm.methods import Case

    tissues = _tissues(study, settings)
    study = replace(study, warnings=list(study.warnings), excluded=dict(study.excluded),
                    sequences={role: replace(s) for role, s in study.sequences.items()})
    check_study(study, tissues=len(tissues))
    slices = study.slices
    if not slices:
        raise InputError("no slice is left to fit: every slice is unmasked or excluded")
    kinds = {role: sequence.kind for role, sequence in study.sequences.items()}
    prior = contrast_prior(kinds, tissues, settings.priors or None)
    return Case(study, slices, tissues, prior, settings)


def _fitted(cases: list[Case], progress: Progress) -> Iterator[Result]:
    from deepgmm.methods import run_method

    if not cases:
        return
    began = time.perf_counter()
    outcomes = run_method(cases, progress)
    seconds = (time.perf_counter() - began) / len(cases)
    for case, outcome in zip(cases, outcomes, strict=True):
        result = _result(case, outcome)
        _check(case, result)
        result.provenance["seconds"] = {"segment": round(seconds, 3)}
        progress(1.0, "done")
        yield result


def _check(case: Case, result: Result) -> None:
    """What a user must be told of a finished fit."""
    settings = case.settings
    kinds = {role: sequence.kind for role, sequence in case.study.sequences.items()}
    present = np.stack([np.isin(case.tissues, result.labels[i]) for i in case.slices])
    means = np.stack([f.means for f in result.fits])
    unsettled = [f.index for f in result.fits if not f.converged]
    torn = [f.index for f in result.fits if f.agreement < LEAST_AGREEMENT]
    if torn:
        result.warnings.append(
            f"{TORN} label more than {1 - LEAST_AGREEMENT:.0%} of the pixels "
            f"otherwise in {named_slices(torn)}: look at these first")
    stops_early = (settings.preset is Preset.FAST
                   and settings.method in (Method.DEEPG, Method.DEEPSVG))
    if unsettled and not stops_early:  # the fast networks stop after a set number of steps
        result.warnings.append(f"the fit reached its last step before it settled in "
                               f"{named_slices(unsettled)}")
    if Tissue.MYOCARDIUM not in case.tissues and {Tissue.EDEMA, Tissue.SCAR} & set(case.tissues):
        result.warnings.append(
            "myocardium was not among the tissues asked for: healthy wall was given to the others, "
            "so that their volumes and intervals mean little")
    result.warnings += check_physics(means, kinds, case.tissues, present, case.slices)
    faults = find_faults(case.study, case.coordinates)
    result.warnings += proposals(faults, case.study)
    result.provenance["quality"] = [fault.as_dict() for fault in faults]


def _tissues(study: Study, settings: Settings) -> tuple[Tissue, ...]:
    if not settings.tissues:
        return study.tissues
    wanted = {Tissue.named(name) for name in settings.tissues}
    allowed = set(study.tissues)
    if not wanted <= allowed:
        missing = ", ".join(sorted(t.name.lower() for t in wanted - allowed))
        given = ", ".join(role.title for role in study.roles)
        raise InputError(f"{missing} cannot be told apart from {given} alone")
    if len(wanted) < 2:
        raise InputError(f"only {next(iter(wanted)).title.lower()} is asked for: a mixture needs "
                         "at least two tissues")
    return tuple(sorted(wanted))


def labels_of(case: Case, probabilities: npt.NDArray[np.floating],
              means: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """(slices, rows, columns) the labels of a case's probabilities, on the study's grid.

    Parameters
    ----------
    probabilities : (slices fitted, tissues, rows, columns).
    means : (slices fitted, tissues, sequences), in the units of the image files.
    """
    labels = np.zeros(case.study.mask.shape, dtype=np.uint8)
    painted = np.zeros(case.mask.shape, dtype=np.uint8)
    winner = probabilities.transpose(0, 2, 3, 1)[case.mask].argmax(1)
    painted[case.mask] = np.asarray(case.tissues)[winner]
    labels[list(case.slices)] = painted
    infarct = {Tissue.MYOCARDIUM, Tissue.SCAR} <= set(case.tissues)
    if Role.LGE in case.study.sequences and infarct and case.geometric:
        _mark_obstruction(case, means, labels)
    return labels


def _mark_obstruction(case: Case, means: npt.NDArray[np.floating],
                      labels: npt.NDArray[np.uint8]) -> None:
    """Dark islands inside a scar join it, or get a label of their own where asked for."""
    study, tissues = case.study, case.tissues
    column = study.roles.index(Role.LGE)
    pair = [tissues.index(Tissue.MYOCARDIUM), tissues.index(Tissue.SCAR)]
    level = means[:, pair].mean((0, 1))[column]
    islands = obstructions(labels, study.mask, study.sequences[Role.LGE].values, level)
    labels[islands] = Tissue.MVO if case.settings.keep_mvo else Tissue.SCAR


def fits_of(case: Case, outcome: Outcome) -> list[SliceFit]:
    """The parameters of each slice that was fitted, in the units of the image files."""
    scale = outcome.scale
    return [
        SliceFit(
            index=index, weights=outcome.weights[i], means=scale.raw_means(outcome.means[i]),
            covariances=scale.raw_covariances(outcome.covariances[i]),
            nll=float(outcome.nll[i] + scale.log_volume), trace=outcome.traces[i],
            iterations=int(outcome.iterations[i]), converged=bool(outcome.converged[i]),
            agreement=float("nan" if outcome.agreement is None else outcome.agreement[i]))
        for i, index in enumerate(case.slices)
    ]


def _result(case: Case, outcome: Outcome) -> Result:
    study, settings, tissues, slices = case.study, case.settings, case.tissues, case.slices
    probabilities = outcome.posterior
    if not np.isfinite(probabilities).all():
        raise ComputationError("the fit came to no finite result: try the method map, and report "
                               "this with the log")
    posterior = np.zeros((study.mask.shape[0], len(tissues), *study.mask.shape[1:]), np.float32)
    posterior[list(slices)] = probabilities
    labels = labels_of(case, probabilities, outcome.scale.raw_means(outcome.means))
    fits = fits_of(case, outcome)
    provenance = {
        "settings": settings.as_dict(), "method": outcome.method, "seed": settings.seed,
        "device": outcome.device, "input_sha256": dict(study.hashes),
        # how sure a network of one's own is, nobody has compared with a truth
        "calibrated": case.geometric and outcome.network.get("shipped", True),
        "contrast_priors": list(case.contrast.sources),
        "kinds": {role.value: s.kind.value for role, s in study.sequences.items()},
        **study.provenance,
    }
    if outcome.bias_field:
        provenance["bias_field"] = outcome.bias_field
    if outcome.network:
        provenance["map_rounds"] = rounds_asked(settings)
        provenance["network"] = outcome.network
    return Result(study, tissues, labels, posterior, fits, study.warnings + outcome.warnings,
                  provenance)
