"""The front hall: what a study becomes, with every method (METHOD 6, 7, 10, 13)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepgmm import InputError, Kind, Method, Role, Settings, Study, Tissue, segment
from deepgmm.identify.contrast import contrast_prior
from deepgmm.methods.anchored import Terms, fit_map
from deepgmm.methods.problem import Case, Problem
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.review.metrics import dice
from deepgmm.settings import Covariance, Papillary, Preset
from deepgmm.study.study import Sequence

METHODS = [m for m in Method if m is not Method.AUTO]
EM = [Method.GMM, Method.SVGMM, Method.MAP]
TISSUES = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)


@pytest.fixture(scope="module")
def a_patient() -> PhantomPatient:
    return make_patient(seed=3, slices=3)


def with_values(study: Study, change) -> Study:
    """The study with every sequence's values changed by `change(role, values)`."""
    sequences = {role: replace(s, values=change(role, np.asarray(s.values, dtype=np.float64)))
                 for role, s in study.sequences.items()}
    return replace(study, sequences=sequences)


def some(study: Study, *roles: Role) -> Study:
    return replace(study, sequences={r: s for r, s in study.sequences.items() if r in roles})


def mean_dice(labels: np.ndarray, truth: np.ndarray) -> float:
    scores = [dice(labels == t, truth == t) for t in TISSUES]
    return float(np.mean([s for s in scores if s is not None]))


@pytest.mark.parametrize("method", METHODS)
def test_a_result_is_whole(a_patient: PhantomPatient, method: Method) -> None:
    study = a_patient.study
    result = segment(study, Settings(method=method))
    assert result.tissues == TISSUES
    assert (result.labels[~study.mask] == 0).all() and (result.labels[study.mask] > 0).all()
    total = result.posterior.sum(1)
    np.testing.assert_allclose(total[study.mask], 1, atol=1e-5)
    assert (total[~study.mask] == 0).all() and (result.posterior >= 0).all()
    assert [fit.index for fit in result.fits] == list(study.slices)
    for fit in result.fits:
        assert fit.means.shape == (4, 3) and fit.covariances.shape == (4, 3, 3)
        assert fit.weights.sum() == pytest.approx(1) and np.isfinite(fit.nll)
        assert len(fit.trace) >= 1
    assert result.provenance["method"] == method.value
    assert mean_dice(result.labels, a_patient.truth) > 0.4, "better than names by chance"


def test_the_default_beats_a_plain_mixture_on_patients() -> None:
    scores = {Method.AUTO: [], Method.GMM: []}
    for seed in (21, 22, 23):
        patient = make_patient(seed=seed, slices=3)
        for method, kept in scores.items():
            labels = segment(patient.study, Settings(method=method)).labels
            kept.append(mean_dice(labels, patient.truth))
    assert np.mean(scores[Method.AUTO]) > np.mean(scores[Method.GMM]) + 0.1


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_repeats_a_run(a_patient: PhantomPatient, method: Method) -> None:
    one, two = (segment(a_patient.study, Settings(method=method, seed=4)) for _ in range(2))
    assert np.array_equal(one.posterior, two.posterior)


@pytest.mark.parametrize("method", EM)
def test_scale_and_offset_of_a_sequence_change_no_label(a_patient: PhantomPatient,
                                                        method: Method) -> None:
    """METHOD 6, in float64: a I + b per sequence."""
    a = {Role.BSSFP: 3.7, Role.LGE: 0.011, Role.T2: 251.0}
    b = {Role.BSSFP: 100.0, Role.LGE: -7.0, Role.T2: 1e4}
    other = with_values(a_patient.study, lambda role, v: a[role] * v + b[role])
    one, two = (segment(s, Settings(method=method)) for s in (a_patient.study, other))
    assert np.array_equal(one.labels, two.labels)


@pytest.mark.parametrize("method", [Method.DEEPG, Method.DEEPSVG])
def test_a_power_of_two_changes_no_label_of_a_network(a_patient: PhantomPatient,
                                                      method: Method) -> None:
    other = with_values(a_patient.study, lambda role, v: v * 4.0)
    one, two = (segment(s, Settings(method=method)) for s in (a_patient.study, other))
    assert np.array_equal(one.labels, two.labels)


@pytest.mark.parametrize("method", [Method.GMM, Method.MAP])
def test_raw_nll_moves_by_the_logarithm_of_the_scale(a_patient: PhantomPatient,
                                                     method: Method) -> None:
    other = with_values(a_patient.study, lambda role, v: v * 10.0)
    one, two = (segment(s, Settings(method=method)) for s in (a_patient.study, other))
    for first, second in zip(one.fits, two.fits, strict=True):
        assert second.nll - first.nll == pytest.approx(3 * np.log(10), abs=1e-6)
        np.testing.assert_allclose(second.means, 10 * first.means, rtol=1e-6)


def test_one_wild_pixel_changes_hardly_any_other_label(a_patient: PhantomPatient) -> None:
    """METHOD 7: winsorised, one 50-sigma pixel moves at most 0.1 % of the other labels of `map`; a
    network's field is wide, so of the default's at most 0.2 %."""
    place = tuple(np.argwhere(a_patient.study.mask)[500])

    def wild(role: Role, values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[place] = values[a_patient.study.mask].mean() + 50 * values[
            a_patient.study.mask].std()
        return values
    for method, most in (("map", 0.001), ("auto", 0.002)):
        one, two = (segment(s, Settings(method=method)).labels
                    for s in (a_patient.study, with_values(a_patient.study, wild)))
        differs = one != two
        differs[place] = False
        assert differs[a_patient.study.mask].mean() <= most


def test_without_robust_handling_one_wild_pixel_takes_a_class(
        a_patient: PhantomPatient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harm that winsorising prevents."""
    import deepgmm.study.normalisation as normalisation

    monkeypatch.setattr(normalisation, "WINSOR", 1e9)
    place = tuple(np.argwhere(a_patient.study.mask)[500])

    def wild(role: Role, values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[place] = 1e5
        return values
    study = with_values(a_patient.study, wild)
    labels = segment(study, Settings(method=Method.GMM, restarts=2)).labels
    calm = segment(a_patient.study, Settings(method=Method.GMM, restarts=2)).labels
    here = a_patient.study.mask[place[0]]
    assert (labels[place[0]] != calm[place[0]])[here].mean() > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_excluded_and_empty_slices_stay_background(a_patient: PhantomPatient,
                                                   method: Method) -> None:
    mask = a_patient.study.mask.copy()
    mask[0] = False
    study = replace(a_patient.study, mask=mask, excluded={2: "asked for"})
    result = segment(study, Settings(method=method))
    assert (result.labels[[0, 2]] == 0).all() and (result.posterior[[0, 2]] == 0).all()
    assert (result.labels[1][mask[1]] > 0).all()
    assert [fit.index for fit in result.fits] == [1]


def test_labels_name_tissues_where_a_class_is_dropped() -> None:
    """METHOD 10: without infarct the labels still mean what they say."""
    patient = make_patient(seed=5, patient_set="healthy", slices=3)
    result = segment(patient.study)
    assert dice(result.labels == Tissue.BLOOD, patient.truth == Tissue.BLOOD) > 0.9
    assert set(np.unique(result.labels)) <= {0, 1, 2, 3, 4}
    fine = make_patient(seed=3, slices=3)
    two = segment(fine.study, Settings(tissues=["blood", "myocardium"]))
    assert set(np.unique(two.labels)) == {0, 1, 2}
    assert two.tissues == (Tissue.BLOOD, Tissue.MYOCARDIUM)


@pytest.mark.parametrize(("roles", "tissues"), [
    ((Role.BSSFP,), {1, 2}), ((Role.LGE,), {1, 2, 4}), ((Role.T2,), {1, 2, 3}),
    ((Role.BSSFP, Role.LGE), {1, 2, 4}), ((Role.BSSFP, Role.T2), {1, 2, 3}),
    ((Role.LGE, Role.T2), {1, 2, 3, 4}),
])
@pytest.mark.parametrize("method", [Method.MAP, Method.DEEPSVG])
def test_any_set_of_sequences(a_patient: PhantomPatient, roles: tuple[Role, ...],
                              tissues: set[int], method: Method) -> None:
    result = segment(some(a_patient.study, *roles), Settings(method=method))
    assert {int(t) for t in result.tissues} == tissues
    assert set(np.unique(result.labels)) <= tissues | {0}
    blood = dice(result.labels == Tissue.BLOOD, a_patient.truth == Tissue.BLOOD)
    # the network's objective knows no pool: one sequence alone lets scar and blood mix
    assert blood is not None and blood > (0.75 if method is Method.MAP else 0.5)


@pytest.mark.parametrize(("lge", "t2"), [
    (Kind.LGE_PSIR, Kind.T2_PREPARED), (Kind.LGE_DARK_BLOOD, Kind.T2_MAP),
    (Kind.LGE_MAGNITUDE, Kind.T2_DARK_BLOOD)])
def test_every_kind_of_sequence(lge: Kind, t2: Kind) -> None:
    patient = make_patient(seed=8, slices=3,
                           kinds={Role.BSSFP: Kind.BSSFP, Role.LGE: lge, Role.T2: t2})
    result = segment(patient.study)
    assert mean_dice(result.labels, patient.truth) > 0.6
    assert result.provenance["kinds"] == {"bssfp": "bssfp", "lge": lge.value, "t2": t2.value}


def test_an_unknown_kind_widens_and_warns(a_patient: PhantomPatient) -> None:
    sequences = dict(a_patient.study.sequences)
    sequences[Role.T2] = Sequence(Role.T2, sequences[Role.T2].values, Kind.UNKNOWN)
    result = segment(replace(a_patient.study, sequences=sequences))
    assert any("kind of T2 is unknown" in w for w in result.warnings)


def test_full_covariances(a_patient: PhantomPatient) -> None:
    for method in (Method.GMM, Method.SVGMM):
        result = segment(a_patient.study, Settings(method=method, covariance=Covariance.FULL,
                                                   restarts=2))
        off = result.fits[0].covariances[0] - np.diag(np.diag(result.fits[0].covariances[0]))
        assert np.abs(off).max() > 0


def test_the_wall_where_given_is_kept(a_patient: PhantomPatient) -> None:
    study = replace(a_patient.study, wall=a_patient.wall)
    result = segment(study)
    assert ((result.labels == Tissue.BLOOD) == (study.mask & ~a_patient.wall)).all()


def test_obstruction_joins_the_scar_or_gets_its_own_label() -> None:
    seed = next(s for s in range(100) if make_patient(s, slices=3).truth_mvo.sum() > 40)
    patient = make_patient(seed, slices=3)
    joined = segment(patient.study)
    apart = segment(patient.study, Settings(keep_mvo=True))
    own = apart.labels == Tissue.MVO
    assert (joined.labels[own] == Tissue.SCAR).all()
    assert not (joined.labels == Tissue.MVO).any()


@pytest.mark.parametrize("method", [Method.MAP, Method.PRETRAINED])
def test_scar_is_sought_beside_blood_alone(a_patient: PhantomPatient, method: Method) -> None:
    result = segment(a_patient.study, Settings(method=method, tissues=["blood", "scar"]))
    assert set(np.unique(result.labels)) <= {0, Tissue.BLOOD, Tissue.SCAR}


def test_the_paper_preset_follows_the_paper(a_patient: PhantomPatient,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline runs as published; a small crop keeps the test quick."""
    import deepgmm.methods.paper as paper

    monkeypatch.setattr(paper, "CROP", 64)
    monkeypatch.setattr(paper, "STEPS", 12)
    study = replace(a_patient.study, excluded={0: "quick", 2: "quick"})
    result = segment(study, Settings(method=Method.DEEPG, preset=Preset.PAPER))
    assert result.fits[0].iterations <= 12
    assert len(result.fits) == 1


def test_slices_alone_and_together_agree_in_float32(a_patient: PhantomPatient) -> None:
    """METHOD 13: after full fits, mean raw NLL within 0.01 and mean Dice within 0.005."""
    from deepgmm.methods.networks import FAST_SHAPE
    from deepgmm.model.batch import PixelBatch
    from deepgmm.model.deep import DeepOptions, fit_deep
    from deepgmm.study.normalisation import normalise

    study = a_patient.study
    images, _ = normalise(study, study.slices)
    options = DeepOptions(shape=FAST_SHAPE, steps=30)
    nll, score = [], []
    for groups in ([[0, 1, 2]], [[0], [1], [2]]):
        values, labels = [], np.zeros_like(study.mask, dtype=np.int64)
        for group in groups:
            batch = PixelBatch.from_images(images[group], study.mask[group], dtype=_float32())
            fit = fit_deep(batch, 4, options, seed=1)
            values += fit.nll.tolist()
            part = labels[group]
            batch.paint(fit.posterior.argmax(2).numpy() + 1, part)
            labels[group] = part
        nll.append(np.mean(values))
        score.append([(labels == k) for k in range(1, 5)])
    assert nll[0] == pytest.approx(nll[1], abs=0.01)
    agreement = [dice(a, b) for a, b in zip(*score, strict=True)]
    assert np.mean(agreement) > 0.99


def _float32():
    import torch

    return torch.float32


def test_papillary_muscle_goes_to_the_pool_or_to_the_wall(a_patient: PhantomPatient) -> None:
    pool, wall = (segment(a_patient.study, Settings(papillary=Papillary(where)))
                  for where in ("pool", "wall"))
    moved = (pool.labels == Tissue.BLOOD) & (wall.labels == Tissue.MYOCARDIUM)
    assert moved.sum() > 10
    bssfp = a_patient.study.sequences[Role.BSSFP].values
    stays = (pool.labels == Tissue.BLOOD) & (wall.labels == Tissue.BLOOD)
    assert np.median(bssfp[moved]) < np.percentile(bssfp[stays], 25)
    assert wall.provenance["settings"]["papillary"] == "wall"


def test_a_volume_has_an_interval_about_its_expectation(a_patient: PhantomPatient) -> None:
    result = segment(a_patient.study)
    voxel = result.study.geometry.voxel_volume
    for index, tissue in enumerate(result.tissues):
        low, high = result.volume_interval(tissue)
        assert low <= result.posterior[:, index].sum() * voxel <= high
        assert low <= result.volume(tissue) <= high
    crisp = np.stack([result.labels == t for t in result.tissues], 1).astype(np.float32)
    sure = replace(result, posterior=crisp)
    low, high = sure.volume_interval(Tissue.BLOOD)
    assert low < sure.volume(Tissue.BLOOD) < high, "the border may lie off as a whole"
    told = replace(sure, study=replace(sure.study, wall=sure.labels > Tissue.BLOOD))
    assert np.isnan(told.volume_interval(Tissue.BLOOD)).all(), "it was given, not found"
    assert np.isfinite(told.volume_interval(Tissue.MYOCARDIUM)).all()
    two = replace(told, tissues=result.tissues[:2], posterior=crisp[:, :2])
    assert np.isnan(two.volume_interval(Tissue.MYOCARDIUM)).all()
    assert np.isnan(result.volume_interval(Tissue.MVO)).all()
    baseline = segment(a_patient.study, Settings(method=Method.GMM, restarts=1))
    assert np.isnan(baseline.volume_interval(Tissue.BLOOD)).all(), "its posterior is not calibrated"


def in_smooth_noise(study: Study, seed: int) -> Study:
    """With noise on T2 that is smooth over a quarter of the wall and as strong as edema."""
    t2 = study.sequences[Role.T2]
    noise = np.stack([gaussian_filter(drawn, 8.0 / study.geometry.spacing[0])
                      for drawn in np.random.default_rng(seed).normal(size=t2.values.shape)])
    noise *= 0.35 * np.median(t2.values[study.mask]) / noise[study.mask].std()
    values = (t2.values + noise).astype(np.float32)
    return replace(study, sequences=study.sequences | {Role.T2: replace(t2, values=values)})


#: No phantom's scar fails what `reach` asks: `test_real_lge_terms.py` has values that do.
@pytest.mark.parametrize("term", [f.name for f in fields(Terms) if f.name != "reach"])
def test_every_term_has_a_switch_that_does_something(term: str) -> None:
    """On a heart with an infarct, a healthy one, or one in noise; or in noise that is smooth."""
    def moves(patient_set: str, seed: int, difficulty: float) -> bool:
        patient = make_patient(seed, patient_set=patient_set, slices=2, difficulty=difficulty)
        study = replace(patient.study, wall=patient.wall if term == "inner" else None)
        if term == "smooth":
            study = in_smooth_noise(study, seed)
        contrast = contrast_prior({r: s.kind for r, s in study.sequences.items()}, study.tissues)
        problem = Problem((Case(study, study.slices, study.tissues, contrast, Settings()),))
        whole, less = (fit_map(problem, lambda fraction, stage: None, terms=Terms(**{term: on}))
                       for on in (True, False))
        assert np.isfinite(less.posterior.numpy()).all()
        return not np.allclose(whole.posterior, less.posterior)
    assert any(moves(*heart) for heart in (
        ("typical", 31, 1.0), ("healthy", 31, 1.0), ("atypical", 121, 2.0),
        ("atypical", 122, 2.0), ("healthy", 33, 1.0), ("atypical", 101, 1.0),
        ("healthy", 1000, 1.0), ("healthy", 1004, 1.0), ("healthy", 1007, 1.0)))


def test_a_fit_that_did_not_settle_is_said(a_patient: PhantomPatient,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    import deepgmm.methods.mixtures as mixtures

    whole = mixtures.fit_em
    monkeypatch.setattr(mixtures, "fit_em", lambda *a, **k: whole(*a, **k | {"max_iterations": 2}))
    result = segment(a_patient.study, Settings(method=Method.GMM))
    assert any("before it settled in slices 0-2" in w for w in result.warnings)


def test_progress_is_told_and_can_stop(a_patient: PhantomPatient) -> None:
    seen: list[float] = []
    segment(a_patient.study, progress=lambda fraction, stage: seen.append(fraction))
    assert seen[0] == 0.0 and seen[-1] == 1.0 and seen == sorted(seen)

    def stop(fraction: float, stage: str) -> None:
        if fraction > 0:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        segment(a_patient.study, progress=stop)


@pytest.mark.parametrize("tissues", [["gold"], ["scar", "edema"], ["blood"]])
def test_tissues_that_cannot_be_sought(a_patient: PhantomPatient, tissues: list[str]) -> None:
    with pytest.raises(InputError):
        segment(some(a_patient.study, Role.LGE), Settings(tissues=tissues))


def test_a_fit_reaches_neither_metrics_nor_scikit_learn_nor_monai() -> None:
    """No import path of inference takes a truth, and the default path stays light."""
    code = ("import sys, deepgmm; from deepgmm.phantom import make_patient; "
            "deepgmm.segment(make_patient(1, slices=1).study); "
            "print(sorted(m for m in sys.modules if m.startswith('deepgmm.review') "
            "or m.split('.')[0] in ('sklearn', 'monai')))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("first", ["deepgmm.segment", "deepgmm.training.train", "deepgmm"])
def test_segment_is_the_function_whatever_was_imported_before(first: str) -> None:
    code = (f"import {first}; from deepgmm import segment; import deepgmm; "
            "from deepgmm.segment import prepared; "
            "assert callable(segment) and deepgmm.segment is segment, segment")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
