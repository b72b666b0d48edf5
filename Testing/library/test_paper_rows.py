"""Rows of the paper's tables: what was published, and what is computed of our scores."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from deepgmm.training.paper_rows import TABLE_1, TABLE_2, LabelUse, Row, lines


def test_the_papers_rows_are_in_agreement_with_themselves() -> None:
    """The mean column is the mean of the tissues, as far as they were rounded."""
    for row in (*TABLE_1.values(), *TABLE_2.values()):
        means = [mean for mean, _ in row.hundredths]
        assert abs(np.mean(means[:4]) - means[4]) <= 1, row


def a_row(scores: np.ndarray, patients: list[int]) -> Row:
    return Row("ours", False, LabelUse(), scores, np.array(patients), 0.1)


def test_means_deviations_and_seeds_by_hand() -> None:
    scores = np.array([[[0.8, 0.6, 0.2, 0.4], [0.6, 0.8, 0.4, 0.2]],
                       [[1.0, 0.6, 0.2, 0.2], [0.6, 0.8, 0.4, 0.2]]])
    row = a_row(scores, [0, 1])
    np.testing.assert_allclose(row.columns, [[0.9, 0.6, 0.2, 0.3, 0.5], [0.6, 0.8, 0.4, 0.2, 0.5]])
    cells = dict(zip(*lines([row, TABLE_1["GMM"]])[:2], strict=True))
    assert cells["blood"] == ".75 ± .21" and cells["mean"] == ".50 ± .00"
    assert (cells["truth"], cells["labelled"], cells["seeds"]) == ("no", "0/0/0/0", "± .000")
    assert row.between_seeds == pytest.approx(0.0)
    assert a_row(scores[:1], [0, 1]).between_seeds is None


def test_the_interval_draws_patients_with_all_their_images() -> None:
    """Three patients of 1, 2 and 3 images: all 27 draws of three are written out."""
    rng = np.random.default_rng(0)
    scores, owner = rng.uniform(0.2, 0.9, (1, 6, 4)), [0, 1, 1, 2, 2, 2]
    of_image, owners = scores[0].mean(1), np.array(owner)
    drawn = [np.concatenate([of_image[owners == p] for p in draw]).mean()
             for draw in product(range(3), repeat=3)]
    low, high = a_row(scores, owner).interval()
    # of 27 equally likely draws the outermost on each side has 3.7 %, more than is left out
    assert (low, high) == pytest.approx((min(drawn), max(drawn)))
    assert a_row(scores, [4] * 6).interval() is None
    assert "95 %" not in lines([a_row(scores, [4] * 6)])[0]
