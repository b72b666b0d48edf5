"""Scores against counts made by hand and against MONAI."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from deepgmm.errors import InputError
from deepgmm.review.metrics import (
    FOUR_TISSUES,
    aggregate,
    bootstrap_interval,
    dice,
    evaluate,
    mean_of,
    surface_distances,
)
from deepgmm.study.study import Geometry
from deepgmm.study.words import Tissue

SCAR = Tissue.SCAR


def rows_of(*lines: str) -> np.ndarray:
    """One slice of labels from lines of digits."""
    return np.array([[[int(c) for c in line] for line in lines]], np.uint8)


def test_dice_is_what_a_hand_counts() -> None:
    truth = rows_of("0110", "0110", "0000")
    prediction = rows_of("0011", "0011", "0011")
    # 4 and 6 pixels, 2 shared.
    scores = evaluate(prediction, truth, Geometry(), [Tissue.BLOOD])
    assert scores.tissues[Tissue.BLOOD].dice == pytest.approx(2 * 2 / (4 + 6))


def test_dice_of_two_empty_masks_is_undefined_and_counted_not_averaged_in() -> None:
    nothing, something = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)
    assert dice(nothing, nothing) is None
    assert dice(nothing, something) == 0.0
    assert dice(something, nothing) == 0.0

    # Scar in the first slice only; the second has blood, so it is a slice of the study.
    truth = np.concatenate([rows_of("44", "01"), rows_of("00", "01")])
    prediction = np.concatenate([rows_of("40", "01"), rows_of("00", "01")])
    mean = evaluate(prediction, truth, Geometry()).mean("dice", SCAR)
    assert mean.value == pytest.approx(2 / 3)
    assert (mean.defined, mean.undefined) == (1, 1)


def test_a_false_tissue_on_a_slice_without_it_counts_as_nought() -> None:
    truth = rows_of("01", "11")
    prediction = rows_of("04", "11")
    mean = evaluate(prediction, truth, Geometry()).mean("dice", SCAR)
    assert (mean.value, mean.defined, mean.undefined) == (0.0, 1, 0)


def test_volumes_are_in_ml_and_the_difference_is_predicted_minus_true() -> None:
    truth, prediction = rows_of("4400"), rows_of("4440")
    score = evaluate(prediction, truth, Geometry((2.0, 5.0, 10.0))).tissues[SCAR]
    assert (score.volume, score.true_volume) == pytest.approx((0.3, 0.2))
    assert score.volume_difference == pytest.approx(0.1)


def test_distances_are_in_mm_along_each_axis() -> None:
    one, two = np.zeros((5, 6, 7), bool), np.zeros((5, 6, 7), bool)
    one[1, 1, 1] = two[3, 4, 6] = True
    there, back = surface_distances(one, two, (8.0, 1.5, 0.75))
    apart = math.sqrt(16.0**2 + 4.5**2 + 3.75**2)
    assert list(there) == list(back) == pytest.approx([apart])


def test_the_mean_surface_distance_takes_both_directions_together() -> None:
    # One pixel against a bar of three: 0 there; 0, 1 and 2 mm back.
    truth, prediction = rows_of("4440"), rows_of("4000")
    score = evaluate(prediction, truth, Geometry()).tissues[SCAR]
    assert score.surface_distance == pytest.approx((0 + 0 + 1 + 2) / 4)
    # The 95th percentile of 0, 1, 2, halfway between order statistics as usual.
    assert score.hausdorff95 == pytest.approx(1.9)


def test_distances_are_undefined_where_one_is_empty() -> None:
    score = evaluate(rows_of("44"), rows_of("00"), Geometry()).tissues[SCAR]
    assert score.hausdorff95 is None
    assert score.surface_distance is None


def a_ball(shape, centre, radius, spacing) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing)], indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(axes, centre)) < radius**2


SPACINGS = {"short-axis stack": (8.0, 1.3, 1.1), "isotropic": (1.0, 1.0, 1.0),
            "slices closer than pixels": (0.5, 2.0, 1.25)}


def shapes(spacing):
    """Pairs of regions on one grid."""
    size = (7, 30, 36)
    middle = [n * s / 2 for n, s in zip(size, spacing)]
    radius = min(n * s for n, s in zip(size, spacing)) * 0.4
    ball = a_ball(size, middle, radius, spacing)
    ring = ball & ~a_ball(size, middle, radius * 0.6, spacing)
    shifted = np.roll(ball, (1, 4, -3), (0, 1, 2))
    at_the_border = np.zeros(size, bool)
    at_the_border[:5, :5, 20:] = True
    speckle = np.random.default_rng(3).random(size) < 0.05
    return {"shifted ball": (ball, shifted), "ring in ball": (ring, ball),
            "border": (at_the_border, shifted), "speckle": (speckle, ring),
            "same": (ring, ring)}


@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS.keys())
@pytest.mark.parametrize("name", ["shifted ball", "ring in ball", "border", "speckle", "same"])
def test_distances_are_monais(name: str, spacing) -> None:
    monai = pytest.importorskip("monai.metrics", reason="MONAI is not installed (extra `test`)")
    torch = pytest.importorskip("torch")
    a, b = shapes(spacing)[name]
    assert a.any() and b.any()
    geometry = Geometry(spacing[::-1])
    ours = evaluate(a * SCAR, b * SCAR, geometry, [SCAR])
    one, two = (torch.tensor(x)[None, None].float() for x in (a, b))

    def theirs(one, two, spacing):
        how = {"include_background": True, "spacing": list(spacing)}
        return (float(monai.compute_hausdorff_distance(one, two, percentile=95, **how)),
                float(monai.compute_average_surface_distance(one, two, symmetric=True, **how)))

    score = ours.tissues[SCAR]
    assert (score.hausdorff95, score.surface_distance) == pytest.approx(
        theirs(one, two, spacing), abs=1e-4)
    both = [s for s in ours.slices if a[s.index].any() and b[s.index].any()]
    assert both
    for one_slice in both:
        score = one_slice.tissues[SCAR]
        flat = (x[:, :, one_slice.index] for x in (one, two))
        assert (score.hausdorff95, score.surface_distance) == pytest.approx(
            theirs(*flat, spacing[1:]), abs=1e-4)


@pytest.fixture
def three_slices():
    """Truth with four tissues in the first slice, two in the second, none in the third."""
    truth = np.concatenate([rows_of("1234", "1234"), rows_of("1122", "1122"),
                            rows_of("0000", "0000")])
    prediction = np.concatenate([rows_of("1234", "1224"), rows_of("1112", "1122"),
                                 rows_of("0000", "0000")])
    return prediction, truth


def test_four_tissue_slices_and_all_slices_are_both_reported(three_slices) -> None:
    scores = evaluate(*three_slices, Geometry())
    assert [(s.index, s.four_tissues) for s in scores.slices] == [(0, True), (1, False)]
    means = scores.as_dict()["slice_means"]
    assert (means["four_tissue_slices"]["slices"], means["all_slices"]["slices"]) == (1, 2)
    assert means["four_tissue_slices"]["Myocardium"]["dice"]["mean"] == pytest.approx(4 / 5)
    assert means["all_slices"]["Myocardium"]["dice"]["mean"] == pytest.approx((4 / 5 + 6 / 7) / 2)
    edema = means["all_slices"]["Edema"]["dice"]
    assert (edema["defined"], edema["undefined"]) == (1, 1)
    assert means["four_tissue_slices"]["mean_dice"] == pytest.approx((1 + 4 / 5 + 2 / 3 + 1) / 4)


def test_per_volume_all_slices_are_one_shape(three_slices) -> None:
    scores = evaluate(*three_slices, Geometry())
    # Myocardium: 3 and 3 predicted, 2 and 4 true, 2 and 3 of them shared.
    assert scores.tissues[Tissue.MYOCARDIUM].dice == pytest.approx(2 * 5 / (6 + 6))


def test_microvascular_obstruction_counts_as_scar_unless_asked_for() -> None:
    truth, prediction = rows_of("45"), rows_of("44")
    assert evaluate(prediction, truth, Geometry()).tissues[SCAR].dice == 1.0
    apart = evaluate(prediction, truth, Geometry(), [SCAR, Tissue.MVO]).tissues
    assert apart[SCAR].dice == pytest.approx(2 / 3)
    assert apart[Tissue.MVO].dice == 0.0


def test_different_shapes_are_the_users_fault() -> None:
    with pytest.raises(InputError, match="shape"):
        evaluate(rows_of("44"), rows_of("444"), Geometry())


def test_patients_are_averaged_and_their_undefined_scores_counted(three_slices) -> None:
    prediction, truth = three_slices
    healthy = np.where(truth > 2, 2, truth)
    patients = [evaluate(prediction, truth, Geometry()), evaluate(healthy, healthy, Geometry())]

    table = aggregate(patients)

    assert table["patients"] == 2
    scar = table["volume"]["Scar"]["dice"]
    assert (scar["mean"], scar["defined"], scar["undefined"]) == (1.0, 1, 1)
    first = patients[0].tissues[Tissue.EDEMA].dice
    assert table["volume"]["Edema"]["dice"]["mean"] == pytest.approx(first)
    assert table["slice_means"]["all_slices"]["slices"] == 4
    assert table["slice_means"]["four_tissue_slices"]["slices"] == 1
    json.dumps(table, allow_nan=False)
    json.dumps(patients[0].as_dict(), allow_nan=False)


def test_the_interval_comes_from_drawing_patients() -> None:
    truth = rows_of("44444444")
    patients = [evaluate(rows_of("4" * n + "0" * (8 - n)), truth, Geometry()) for n in (2, 4, 8)]
    low, high = bootstrap_interval(patients, lambda p: p.tissues[SCAR].dice)
    each = [p.tissues[SCAR].dice for p in patients]
    assert min(each) <= low < np.mean(each) < high <= max(each)
    assert bootstrap_interval(patients[:1], lambda p: p.tissues[SCAR].dice) is None


def test_a_mean_of_nothing_is_undefined() -> None:
    mean = mean_of([None, None])
    assert (mean.value, mean.spread, mean.defined, mean.undefined) == (None, None, 0, 2)


def test_the_four_tissues_are_those_of_the_papers() -> None:
    assert [t.title for t in FOUR_TISSUES] == ["Blood", "Myocardium", "Edema", "Scar"]
