"""Agreement of brain labels against scikit-learn's measures, and the three conventions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from deepgmm.brain.scores import (
    Convention,
    agreement,
    in_dispute,
    paired,
    summary,
    trivial,
    under,
    ventricular,
)
from deepgmm.brain.tissues import TISSUES, UNLABELLED
from deepgmm.errors import InputError


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (6, 7, 8)).astype(np.uint8)
    ours = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape))
    return ours.astype(np.uint8), truth


def test_measures_are_scikit_learns(labels):
    ours, truth = labels
    found = agreement(ours, truth)
    oracle = {"f1": metrics.f1_score, "precision": metrics.precision_score,
              "recall": metrics.recall_score, "jaccard": metrics.jaccard_score}
    for name, function in oracle.items():
        theirs = function(truth.ravel(), ours.ravel(), labels=list(map(int, TISSUES)),
                          average=None)
        assert [getattr(found[t], name) for t in TISSUES] == pytest.approx(list(theirs))


def test_unlabelled_voxels_and_those_outside_the_region_are_not_scored(labels):
    ours, truth = labels
    truth[0], region = UNLABELLED, np.ones(truth.shape, bool)
    region[1] = False
    assert agreement(ours, truth, region) == agreement(ours[2:], truth[2:])


def test_a_tissue_that_nobody_has_is_undefined_and_counted():
    nothing = np.full((2, 2, 2), 2, np.uint8)
    found = agreement(nothing, nothing)
    assert np.isnan(found[TISSUES[0]].f1) and found[TISSUES[1]].f1 == 1
    assert summary([1.0, float("nan"), 0.0]) == {"mean": 0.5, "sd": pytest.approx(0.7071, abs=1e-4),
                                                 "cases": 2, "undefined": 1}


def test_conventions_differ_in_sulcal_csf_alone():
    """A row of voxels: ventricle, sulcus, cortex; the graders call the sulcus grey."""
    truth = np.array([[[1, 1, 2, 2, 2, 3]]], np.uint8)
    ours = np.array([[[1, 1, 1, 1, 2, 3]]], np.uint8)
    image = np.array([[[10, 12, 11, 30, 31, 60]]], np.float32)
    ventricles = np.array([[[1, 1, 0, 0, 0, 0]]], bool)
    csf, grey, _ = under(Convention.PHYSICAL, ours, truth).values()
    assert (csf.ours, csf.both, grey.recall) == (4, 2, pytest.approx(1 / 3))
    csf, grey, _ = under(Convention.AS_LABELLED, ours, truth, ventricles=ventricles).values()
    assert (csf.f1, grey.f1) == (1, 1)
    disputed = in_dispute(image, truth)
    assert disputed.ravel().tolist() == [False, False, True, False, False, False]
    csf, grey, _ = under(Convention.LEFT_OUT, ours, truth, disputed=disputed).values()
    assert (csf.ours, csf.both, grey.theirs) == (3, 2, 2)
    assert agreement(trivial(ours), truth)[TISSUES[0]].recall == 0


def test_what_is_in_dispute_does_not_ask_which_tissue_is_bright():
    rng = np.random.default_rng(1)
    truth = rng.integers(1, 4, (8, 8, 8)).astype(np.uint8)
    image = (truth * 10 + rng.normal(0, 3, truth.shape)).astype(np.float32)
    assert np.array_equal(in_dispute(image, truth), in_dispute(100 - image, truth))


def test_deep_thick_csf_is_the_ventricles(brain):
    found = ventricular(brain.labels, brain.volume.mask, brain.volume.spacing)
    csf = brain.labels == 1
    assert (found & brain.ventricles).sum() > 0.85 * brain.ventricles.sum()
    assert (found & ~brain.ventricles).sum() < 0.1 * (csf & ~brain.ventricles).sum()


@pytest.fixture(scope="module")
def brain():
    from deepgmm.brain.phantom import make_brain

    return make_brain(5, spacing=2)


def test_pairs_are_by_case_and_their_interval_is_the_bootstraps():
    rng = np.random.default_rng(2)
    one = {f"c{i}": float(v) for i, v in enumerate(rng.normal(0.9, 0.02, 12))}
    two = {c: v - 0.01 + float(rng.normal(0, 0.01)) for c, v in one.items()}
    two["alone"], two["c0"] = 0.1, float("nan")
    found = paired(one, two)
    differences = [one[c] - two[c] for c in one if c != "c0"]
    oracle = stats.bootstrap((differences,), np.mean, method="percentile",
                             rng=0).confidence_interval
    assert found.cases == 11 and found.mean == pytest.approx(np.mean(differences))
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=5e-4)
    assert found.better == sum(d > 0 for d in differences)


def test_nothing_in_common_and_other_shapes_are_refused(labels):
    with pytest.raises(InputError, match="no case"):
        paired({"a": 1.0}, {"b": 1.0})
    with pytest.raises(InputError, match="shapes"):
        agreement(labels[0], labels[1][1:])


def test_an_interval_holds_the_volume_and_widens_with_doubt(brain):
    from deepgmm.brain.result import BrainResult
    from deepgmm.brain.tissues import BrainTissue

    sure = np.stack([brain.labels == t for t in TISSUES]).astype(np.float32)
    unsure = 0.6 * sure + 0.4 * np.roll(sure, 1, axis=0)
    widths = []
    for posterior in (sure, unsure):
        result = BrainResult(brain.volume, brain.labels, posterior, [])
        for tissue in TISSUES:
            low, high = result.interval(tissue)
            assert 0 <= low < result.ml(tissue) < high
            assert posterior is unsure or (low + high) / 2 == pytest.approx(result.ml(tissue))
        widths.append(np.diff(result.interval(BrainTissue.WM))[0])
    assert widths[1] > widths[0] > 0
    # the probabilities expect more than the labels hold: both lie within, and more is likelier
    more = np.clip(sure + 0.3 * (brain.labels > 0), 0, 1)
    result = BrainResult(brain.volume, brain.labels, more, [])
    low, high = result.interval(BrainTissue.CSF)
    held = result.ml(BrainTissue.CSF)
    assert low < held < brain.volume.voxel_volume * more[0].sum() < high
    assert high - held > held - low
    grey = BrainResult(brain.volume, brain.labels, unsure, [], brain.as_labelled,
                       brain.ventricles).with_grey_sulci()
    np.testing.assert_allclose(grey.posterior.sum(0), brain.volume.mask, atol=1e-5)
    assert grey.ml(BrainTissue.CSF) < brain.volume.voxel_volume * (brain.labels == 1).sum()
    assert not grey.posterior[0][~brain.ventricles].any()


def test_a_tissue_of_next_to_nothing_is_said_once(brain):
    from deepgmm.brain.result import BrainResult

    posterior = np.stack([brain.labels == t for t in TISSUES]).astype(np.float32)
    assert not BrainResult(brain.volume, brain.labels, posterior, []).warnings
    grey = np.where(brain.labels == 3, 2, brain.labels).astype(np.uint8)
    odd = BrainResult(brain.volume, grey, posterior, [], grey, brain.ventricles).with_grey_sulci()
    assert [w.startswith("white matter is 0 %") for w in odd.warnings] == [True]
