"""Whether a disease is there at all, once somebody drew it or finished a slice without it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from small_phantoms import a_patient

from deepgmm import Result, Settings, refine, segment
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.methods.presence import found_where_known, without_refused
from deepgmm.refine import case_of
from deepgmm.review.corrections import corrections_of
from deepgmm.review.metrics import dice
from deepgmm.study.words import Role, Tissue

MYOCARDIUM, EDEMA, SCAR = Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR


@cache
def fitted(seed: int, patient_set: str = "typical") -> tuple[Result, np.ndarray]:
    patient = a_patient(seed, patient_set=patient_set)
    return segment(patient.study, Settings()), patient.truth


def called_absent(result: Result) -> Result:
    """As if edema had been taken out of the whole heart."""
    edema, wall = (result.tissues.index(t) for t in (EDEMA, MYOCARDIUM))
    posterior = result.posterior.copy()
    posterior[:, wall] += posterior[:, edema]
    posterior[:, edema] = 0
    return replace(result, posterior=posterior,
                   labels=np.where(result.labels == EDEMA, MYOCARDIUM, result.labels))


def finished(result: Result, drawn: np.ndarray, index: int) -> Corrections:
    edited = result.labels.copy()
    edited[index] = np.where(result.study.mask[index], drawn[index], 0)
    return corrections_of(result, edited, done=[index])


def test_a_disease_called_absent_and_drawn_is_where_the_network_had_seen_it() -> None:
    found, truth = fitted(101)
    absent = called_absent(found)
    given = finished(absent, truth, 1)
    network = absent.provenance["network"]
    other = replace(absent, provenance={**absent.provenance,
                                        "network": {**network, "sha256": "another"}})
    asked, unasked = (refine(one, given).labels for one in (absent, other))
    scores = [dice(labels[[0, 2]] == EDEMA, truth[[0, 2]] == EDEMA) for labels in (asked, unasked)]
    assert scores[0] > 0.7 and scores[0] > (scores[1] or 0.0) + 0.05


def test_a_scar_that_was_too_faint_to_be_drawn_is_found_once_somebody_draws_it() -> None:
    patient = a_patient(111, patient_set="atypical", slices=5)
    truth = np.where(patient.truth == EDEMA, MYOCARDIUM, patient.truth)
    lge = patient.study.sequences[Role.LGE]
    values = lge.values.copy()
    for image, drawn in zip(values, truth, strict=True):
        healthy = np.median(image[drawn == MYOCARDIUM])
        image[drawn == SCAR] = healthy + 0.45 * (image[drawn == SCAR] - healthy)
    faint = segment(replace(patient.study, sequences={Role.LGE: replace(lge, values=values)}),
                    Settings())
    assert not (faint.labels == SCAR).any()  # though its probability is nowhere 0
    assert (faint.posterior[:, faint.tissues.index(SCAR)] > 0).any()
    worst = int((truth == SCAR).sum((1, 2)).argmax())
    others = np.delete(np.arange(len(truth)), worst)
    new = refine(faint, finished(faint, truth, worst)).labels
    assert (dice(new[others] == SCAR, truth[others] == SCAR) or 0.0) > 0.5


def test_the_network_is_not_asked_where_nothing_absent_was_drawn() -> None:
    found, truth = fitted(101)
    case, sha = case_of(found), found.provenance["network"]["sha256"]
    whole = np.ones(found.labels.shape)
    assert found_where_known(case, found.posterior, finished(found, truth, 1), whole,
                             sha) is found.posterior
    absent = called_absent(found)
    unseen = np.where(truth == EDEMA, MYOCARDIUM, truth)
    assert found_where_known(case, absent.posterior, finished(absent, unseen, 1), whole,
                             sha) is absent.posterior


@pytest.mark.parametrize("method", ["auto", "map"])
@pytest.mark.parametrize("lge_alone", [False, True])
def test_a_scar_that_the_images_contradict_does_not_begin_in_a_healthy_heart(
        lge_alone: bool, method: str) -> None:
    patient = a_patient(102, patient_set="healthy", slices=5)
    lge = patient.study.sequences[Role.LGE]
    study = replace(patient.study, sequences={Role.LGE: lge}) if lge_alone else patient.study
    found = segment(study, Settings(method=method))
    scar = found.tissues.index(SCAR)
    assert not (found.labels == SCAR).any()
    wall = found.labels[1] == MYOCARDIUM
    edited = found.labels.copy()
    edited[1][wall & (lge.values[1] < np.quantile(lge.values[1][wall], 0.3))] = SCAR
    new = refine(found, corrections_of(found, edited))
    assert (new.labels[edited == SCAR] == SCAR).all()
    others = [0, 2, 3, 4]
    assert not (new.labels[others] == SCAR).any()
    before, after = (r.posterior[others][:, scar].sum() for r in (found, new))
    assert after < before + 2  # expected voxels; it would be a twentieth of the wall


def test_edema_that_a_finished_slice_refused_goes_where_t2_does_not_show_it() -> None:
    found, truth = fitted(104, "healthy")
    case = case_of(found)
    edema, wall = (found.tissues.index(t) for t in (EDEMA, MYOCARDIUM))
    false = found.posterior.copy()
    patch = (truth == MYOCARDIUM) & (case.coordinates.angle < 0.5)
    false[:, edema][patch], false[:, wall][patch] = 0.9, 0.1
    corrected = Corrections(np.where(found.study.mask, truth, 0).astype(np.uint8) * _only(1, truth),
                            (found.study.mask * _only(1, truth)).astype(np.uint16),
                            [Edit(Strength.SLICE)], (1,))
    left, said = without_refused(case, false, false, corrected)
    assert (left[:, edema] == 0).all() and said[0].startswith("no edema was found")
    np.testing.assert_allclose(left.sum(1), false.sum(1), rtol=1e-6)
    open_still = replace(corrected, done=())
    assert without_refused(case, false, false, open_still)[0] is false


def test_edema_that_t2_shows_stays_though_one_slice_has_none() -> None:
    found, truth = fitted(101)
    case = case_of(found)
    none = np.where(truth == EDEMA, MYOCARDIUM, truth)
    assert (found.labels[1] == EDEMA).any()
    given = finished(found, none, 1)
    left, said = without_refused(case, found.posterior, found.posterior, given)
    assert left is found.posterior and not said


def _only(index: int, truth: np.ndarray) -> np.ndarray:
    return (np.arange(len(truth)) == index)[:, None, None]
