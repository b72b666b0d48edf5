"""Each reference method against a few lines of its own, on a patient whose walls are known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from deepgmm.errors import InputError
from deepgmm.phantom import make_patient
from deepgmm.review.numbers import study_numbers
from deepgmm.review.thresholds import otsu, references, refusals, remote_wall, two_gaussians
from deepgmm.study.study import Sequence
from deepgmm.study.words import WALL_TISSUES, Kind, Role, Tissue


@pytest.fixture(scope="module")
def patient():
    return make_patient(1003, slices=3, kinds={Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_MAP})


def found(patient, kind=Kind.LGE_MAGNITUDE, **more):
    study = patient.study
    sequences = {Role.LGE: Sequence(Role.LGE, study.sequences[Role.LGE].values, kind),
                 Role.T2: study.sequences[Role.T2]}
    wall = np.isin(patient.truth, WALL_TISSUES)
    made = references(sequences, wall, patient.truth == Tissue.BLOOD,
                      study.geometry.spacing[1::-1], **more)
    return {r.name: r for r in made}, wall


def test_n_sd_of_a_drawn_region_in_a_few_lines(patient) -> None:
    remote = patient.truth == Tissue.MYOCARDIUM
    made, wall = found(patient, remote=remote)
    for role, n, name in ((Role.LGE, 2, "2 SD"), (Role.LGE, 3, "3 SD"), (Role.LGE, 5, "5 SD"),
                          (Role.LGE, 6, "6 SD"), (Role.T2, 2, "T2 2 SD")):
        for i, image in enumerate(patient.study.sequences[role].values):
            values = image[remote[i]].astype(float)
            level = values.mean() + n * np.sqrt(((values - values.mean()) ** 2).sum()
                                                / (len(values) - 1))
            assert made[name].levels[i] == pytest.approx(level, rel=1e-12)
            assert (made[name].bright[i] == (wall[i] & (image > level))).all()


def test_the_found_region_is_the_darkest_of_all_sectors(patient) -> None:
    made, wall = found(patient)
    image = patient.study.sequences[Role.LGE].values[1].astype(float)
    spacing = patient.study.geometry.spacing[1::-1]
    where = np.argwhere(wall[1])
    centre = np.argwhere(patient.truth[1] == Tissue.BLOOD).mean(axis=0)
    degrees = np.degrees(np.arctan2(*((where - centre) * spacing).T)) % 360
    values = image[wall[1]]
    means = [values[(degrees - b) % 360 < 72].mean() for b in range(0, 360, 6)]
    best = 6 * int(np.argmin(means))
    inside = values[(degrees - best) % 360 < 72]
    assert made["5 SD"].levels[1] == pytest.approx(inside.mean() + 5 * inside.std(ddof=1))
    region = remote_wall(image, wall[1], patient.truth[1] == Tissue.BLOOD, spacing)
    assert region.sum() == len(inside)
    # no truth went in, and next to nothing of the infarct is in it
    assert (patient.truth[1][region] == Tissue.SCAR).mean() < 0.05


def test_half_maximum_counts_from_no_signal_or_from_the_remote_mean(patient) -> None:
    remote = patient.truth == Tissue.MYOCARDIUM
    values = patient.study.sequences[Role.LGE].values
    for kind, zero in ((Kind.LGE_MAGNITUDE, 0.0), (Kind.LGE_DARK_BLOOD, 0.0),
                       (Kind.LGE_PSIR, None), (Kind.UNKNOWN, None)):
        made, wall = found(patient, kind, remote=remote)
        for i in range(3):
            start = values[i][remote[i]].astype(float).mean() if zero is None else zero
            top = np.percentile(values[i][wall[i]].astype(float), 99)
            assert made["FWHM"].levels[i] == pytest.approx((start + top) / 2)
        assert ("remote mean" in made["FWHM"].rule or "mean of remote" in made["FWHM"].rule) == (
            zero is None)


def test_a_shift_of_the_zero_moves_every_threshold_but_magnitudes_half_maximum(patient) -> None:
    before, _ = found(patient, Kind.LGE_PSIR)
    study = patient.study
    shifted = {Role.LGE: Sequence(Role.LGE, study.sequences[Role.LGE].values - 500.0,
                                  Kind.LGE_PSIR)}
    wall = np.isin(patient.truth, WALL_TISSUES)
    after = references(shifted, wall, patient.truth == Tissue.BLOOD,
                       study.geometry.spacing[1::-1])
    for one in after:
        assert (one.bright == before[one.name].bright).mean() > 0.9999, one.name


def test_otsu_is_the_best_of_all_thresholds() -> None:
    values = np.random.default_rng(0).normal([[0.0], [5.0]], 1.2, (2, 70)).ravel()

    def between(level: float) -> float:
        low, high = values[values <= level], values[values > level]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(high) else 0.0

    best = max(values, key=between)
    assert ((values > otsu(values)) == (values > best)).all()


def test_two_gaussians_are_scikit_learns_from_the_same_start() -> None:
    values = np.random.default_rng(1).normal([[0.0], [6.0]], [[1.0], [2.0]], (2, 300)).ravel()
    bright = values > otsu(values)
    means = np.array([values[~bright].mean(), values[bright].mean()])
    deviations = np.array([values[~bright].std(), values[bright].std()])
    theirs = GaussianMixture(2, weights_init=[(~bright).mean(), bright.mean()],
                             means_init=means[:, None], tol=1e-9, max_iter=2000,
                             precisions_init=(1 / deviations**2)[:, None, None]).fit(
                                 values[:, None])
    ours = two_gaussians(values, 2000, 1e-9)
    np.testing.assert_allclose(ours.means, theirs.means_.ravel(), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(ours.deviations, np.sqrt(theirs.covariances_.ravel()), rtol=2e-3)
    said = theirs.predict(np.array([[ours.border - 0.02], [ours.border + 0.02]]))
    assert said[0] != said[1]


def test_a_map_has_a_threshold_in_ms_and_nothing_else_has(patient) -> None:
    made, wall = found(patient)
    values = patient.study.sequences[Role.T2].values
    assert (made["T2 > 59 ms"].bright == (wall & (values > 59))).all()
    made, _ = found(patient, t2_ms=55)
    assert made["T2 > 55 ms"].levels == {0: 55.0, 1: 55.0, 2: 55.0}
    for ms in (5, 900):
        with pytest.raises(InputError, match="between 20 and 200"):
            found(patient, t2_ms=ms)
    other = {Role.T2: Sequence(Role.T2, values, Kind.T2_PREPARED)}
    with pytest.raises(InputError, match="needs a T2 map"):
        references(other, wall, wall, (1, 1), t2_ms=55)


def test_slices_that_say_nothing_are_refused_by_name(patient) -> None:
    study = patient.study
    values = study.sequences[Role.LGE].values.copy()
    values[1] = 7.0
    wall = np.isin(patient.truth, WALL_TISSUES)
    wall[2] = False
    wall[2, 60, 60:66] = True
    made = references({Role.LGE: Sequence(Role.LGE, values, Kind.LGE_PSIR)}, wall,
                      patient.truth == Tissue.BLOOD, (1.3, 1.3))
    for one in made:
        assert list(one.levels) == [0] and not one.bright[1:].any()
        assert refusals(one) == ("slice 1: the wall is of one brightness; "
                                 "slice 2: under 10 pixels of wall")


def test_the_methods_stand_beside_the_segmentation_in_one_table(patient) -> None:
    rows = study_numbers(patient.study, patient.truth).of("method")
    assert list(rows) == ["2 SD", "3 SD", "5 SD", "6 SD", "FWHM", "Otsu", "GMM", "T2 2 SD",
                          "T2 > 59 ms", "segmentation"]
    assert rows["5 SD"]["infarct_percent"].value < rows["2 SD"]["infarct_percent"].value
    assert 0 < rows["3 SD"]["dice_with_segmentation"].value <= 1
    assert "area_at_risk_percent" in rows["T2 2 SD"]
