"""Components ordered by the truth: right, and out of reach of whatever segments."""

from __future__ import annotations

import grimp
import numpy as np
import pytest

from deepgmm.review.ordering import ordered_by_truth


def test_components_are_ordered_for_the_largest_sum_of_dice() -> None:
    """Best first would join component 0 to tissue 1 and leave component 1 with nothing.

    Component 0 has 6 pixels of tissue 1 and the 4 of tissue 2, component 1 has the other 4 of
    tissue 1: 0 as 1 scores 12/20 and 1 as 2 nothing; 0 as 2 and 1 as 1 score 8/14 each.
    """
    truth = np.array([[[1] * 10 + [2] * 4 + [0]]])
    found = np.array([[[0] * 6 + [1] * 4 + [0] * 4 + [-1]]])
    labels = ordered_by_truth(found, truth, (1, 2))
    assert labels.tolist() == [[[2] * 6 + [1] * 4 + [2] * 4 + [0]]]


def test_slices_are_ordered_each_for_itself() -> None:
    truth = np.array([[[1, 1, 2, 3]], [[1, 2, 2, 3]]])
    found = np.array([[[2, 2, 0, 1]], [[0, 1, 1, 2]]])
    np.testing.assert_array_equal(ordered_by_truth(found, truth, (1, 2, 3)), truth)


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Who imports whom, late imports included."""
    return grimp.build_graph("deepgmm", cache_dir=None)


@pytest.mark.parametrize("segmenting", [
    "deepgmm.segment", "deepgmm.methods", "deepgmm.identify", "deepgmm.model", "deepgmm.weights",
    "deepgmm.study", "deepgmm.scene", "deepgmm.cli.segment_command", "deepgmm.training.loop"])
def test_nothing_that_segments_can_reach_it(imports: grimp.ImportGraph, segmenting: str) -> None:
    assert "deepgmm.review.ordering" in imports.modules
    inside = {segmenting} | imports.find_descendants(segmenting)
    chains = {module: imports.find_shortest_chain(module, "deepgmm.review.ordering")
              for module in inside}
    assert not any(chains.values()), chains


def test_a_way_to_it_would_be_seen(imports: grimp.ImportGraph) -> None:
    assert imports.find_shortest_chain("deepgmm.cli.myops_command", "deepgmm.review.ordering")
