"""The anchored fit's one objective: it falls, and studies fitted together do not mix."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch

from deepgmm import Settings, segment, segment_many
from deepgmm.errors import InputError
from deepgmm.identify.anatomy import anchored_options
from deepgmm.identify.contrast import contrast_prior
from deepgmm.methods import METHODS
from deepgmm.methods.anchored import Terms, fit_map
from deepgmm.methods.problem import Case, Problem
from deepgmm.model import anchored
from deepgmm.model.anchored import fit_anchored
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.settings import Method, Papillary
from deepgmm.study.study import Study
from deepgmm.study.words import Role


def a_case(study: Study) -> Case:
    kinds = {role: s.kind for role, s in study.sequences.items()}
    return Case(study, study.slices, study.tissues, contrast_prior(kinds, study.tissues),
                Settings())


@cache
def a_noisy_patient(patient_set: str) -> PhantomPatient:
    """With noise far beyond a patient's; nobody changes it."""
    return make_patient(seed=7, patient_set=patient_set, slices=3, difficulty=2.0)


@pytest.mark.parametrize("patient_set", ["typical", "atypical", "healthy"])
@pytest.mark.parametrize("off", ["nothing", "sectors", "gain", "gaps", "papillary", "wall",
                                 "levels", "outer", "reach"])
def test_the_objective_never_rises_once_the_geometry_is_settled(
        patient_set: str, off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """METHOD test 2, on noise far beyond a patient's, with each term in and out."""
    monkeypatch.setattr(anchored, "SETTLING_ROUNDS", 3)
    patient = a_noisy_patient(patient_set)
    study = replace(patient.study, wall=patient.wall) if off == "wall" else patient.study
    problem = Problem((a_case(study),))
    options = anchored_options(problem.tissues, problem.roles, problem.device, problem.dtype)
    options = replace(options, iterations=25, tolerance=0.0)
    if off == "papillary":
        options = replace(options, papillary=1e-6)
    elif off not in ("nothing", "wall"):
        options = replace(options, **{off: None})
    trace = np.array(fit_anchored(problem.batch, problem.ventricle, problem.anchored_prior([True]),
                                  options).traces[0])
    assert len(trace) == 25 and np.isfinite(trace).all()
    assert np.diff(trace[3:]).max() <= 1e-9
    assert trace[-1] < trace[0]


def test_without_the_guard_the_objective_can_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a step is halved: with the pool's blends left out of it the M-step is not exact."""
    monkeypatch.setattr(anchored, "SETTLING_ROUNDS", 3)
    monkeypatch.setattr(anchored._AnchoredFit, "_worse",
                        lambda self, guarded, found, energy: torch.zeros_like(guarded))
    rises = []
    for patient_set in ("typical", "atypical"):
        study = a_noisy_patient(patient_set).study
        problem = Problem((a_case(study),))
        options = replace(anchored_options(problem.tissues, problem.roles, problem.device,
                                           problem.dtype), iterations=25, tolerance=0.0)
        fit = fit_anchored(problem.batch, problem.ventricle, problem.anchored_prior([True]),
                           options)
        rises.append(np.diff(fit.traces[0][3:]).max())
    assert max(rises) > 1e-9


@pytest.mark.parametrize("method, nll", [("map", 1e-9), ("auto", 1e-6)])
def test_studies_fitted_together_are_as_alone(method: str, nll: float) -> None:
    """METHOD test 13: ragged sizes, with and without disease. Networks compute in float32."""
    studies = [make_patient(seed, patient_set=name, slices=slices).study
               for seed, name, slices in ((1, "typical", 3), (2, "healthy", 1), (3, "atypical", 2))]
    studies.append(replace(studies[0], sequences={
        role: s for role, s in studies[0].sequences.items() if role is not Role.T2}))
    settings = Settings(method=method)
    alone = [segment(study, settings) for study in studies]
    for slices_at_once in (2, 100):
        together = list(segment_many(iter(studies), settings,
                                     slices_at_once=slices_at_once))
        for one, many in zip(alone, together, strict=True):
            assert np.array_equal(one.labels, many.labels)
            assert np.abs(one.posterior - many.posterior).max() < 1e-6
            assert one.warnings == many.warnings
            np.testing.assert_allclose([f.nll for f in many.fits], [f.nll for f in one.fits],
                                       rtol=0, atol=nll)


def test_the_studies_before_a_faulty_one_are_given() -> None:
    good = make_patient(seed=1, slices=1).study
    bad = replace(good, mask=np.zeros_like(good.mask))
    results = segment_many([good, good, bad])
    assert len([next(results), next(results)]) == 2
    with pytest.raises(InputError):
        next(results)


def test_many_studies_keep_their_settings() -> None:
    study = make_patient(seed=1, slices=1).study
    inside = next(segment_many([study], Settings(papillary=Papillary.WALL)))
    assert (inside.labels == segment(study, Settings(papillary=Papillary.WALL)).labels).all()


def test_starts_that_disagree_are_told_and_beaten_ones_are_not(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Scar all around, and healthy wall free to be uneven: the anchor takes disease for it, and the
    other start wins. Held even, both starts come to the same."""
    seed = {"seed": 101, "patient_set": "atypical"}
    with monkeypatch.context() as patched:
        patched.setitem(METHODS, Method.MAP, partial(fit_map, terms=Terms(
            levels=False, outer=False, reach=False, even=False)))
        torn = segment(make_patient(**seed).study, Settings(method=Method.MAP))
    assert min(f.agreement for f in segment(
        make_patient(**seed).study, Settings(method=Method.MAP)).fits) > 0.9
    assert min(f.agreement for f in torn.fits) < 0.9
    assert any("other starts of the fit" in w for w in torn.warnings)
    plain = segment(make_patient(seed=100, patient_set="healthy", slices=2).study,
                    Settings(method=Method.MAP))
    assert min(f.agreement for f in plain.fits) > 0.95
    assert not any("other starts of the fit" in w for w in plain.warnings)
    one = segment(make_patient(seed=100, slices=1).study, Settings(method=Method.GMM, restarts=1))
    assert np.isnan(one.fits[0].agreement)
    several = segment(make_patient(seed=100, slices=1).study, Settings(method=Method.GMM))
    assert 0 < several.fits[0].agreement <= 1
