"""Numbers that follow a drawing are those of the drawing, and only what changed is done again."""

from __future__ import annotations

import numpy as np
import pytest
from rings import Ring, oblique

from deepgmm.review import live as of_live
from deepgmm.review.live import Live
from deepgmm.review.numbers import quantify
from deepgmm.study.words import Tissue

SPACING = (1.4, 1.6)
LEVEL = {0: "base", 1: "mid", 2: "mid", 3: "apex"}


@pytest.fixture
def drawn():
    """Four slices, the apex smaller, in a wide field of view; and RV insertions."""
    labels = np.zeros((4, 120, 110), np.uint8)
    for i in range(4):
        one = Ring(14 - i, 22 - i, 18 - i, 2.0).labels(SPACING)[0]
        labels[i, 30:30 + one.shape[0], 30:30 + one.shape[1]] = one
    middle = np.argwhere(labels[0]).mean(axis=0)
    points = np.broadcast_to(middle + [[-12, -14], [12, -14]], (4, 2, 2))
    return labels, points


def settled(live: Live, labels):
    live.take(labels)
    while live.step():
        pass
    return live.numbers()


def same(live, labels, points, model: int) -> None:
    wanted = quantify(labels, oblique(SPACING), points=points, model=model,
                      tissues=[Tissue.SCAR, Tissue.EDEMA])
    for row in live.rows:
        if row.scope in ("study", "segment"):
            other = wanted.get(row.key, row.scope, row.where)
            assert (row.value is None) == (other.value is None), row
            assert row.value is None or row.value == pytest.approx(other.value, 1e-9, 1e-9), row


@pytest.mark.parametrize("model", [16, 17])
def test_after_any_stroke_it_says_what_quantify_says(drawn, model: int) -> None:
    labels, points = drawn
    live = Live(oblique(SPACING), list(Tissue)[1:5], points, LEVEL if model == 16 else None,
                model=model)
    same(settled(live, labels), labels, points, model)
    inside = np.argwhere(labels == Tissue.MYOCARDIUM)
    for stroke in range(2):
        i, row, column = inside[np.random.default_rng(stroke).integers(len(inside))]
        labels[i, row - 2:row + 3, column - 2:column + 3] = Tissue.SCAR
        same(settled(live, labels), labels, points, model)
    # beyond all that was in view, and away again; a slice without its pool; all of a slice gone
    for slice_, part, tissue in ((1, (slice(2, 6), slice(100, 108)), Tissue.SCAR),
                                 (1, (slice(2, 6), slice(100, 108)), 0)):
        labels[slice_][part] = tissue
        same(settled(live, labels), labels, points, model)
    labels[3][labels[3] == Tissue.BLOOD] = Tissue.MYOCARDIUM
    same(settled(live, labels), labels, points, model)


def test_a_stroke_costs_the_chords_of_its_slice_alone(drawn, monkeypatch) -> None:
    labels, points = drawn
    live = Live(oblique(SPACING), list(Tissue)[1:5], points, LEVEL)
    settled(live, labels)
    done, chords = [], of_live.radial_chords
    monkeypatch.setattr(of_live, "radial_chords", lambda *a: done.append(1) or chords(*a))
    labels[2][labels[2] == Tissue.SCAR] = Tissue.MYOCARDIUM
    settled(live, labels)
    assert len(done) == 1
    labels[3, 1:4, 1:4] = Tissue.MYOCARDIUM  # outside what was in view
    settled(live, labels)
    assert len(done) == 2
    settled(live, labels)
    assert len(done) == 2


def test_an_empty_drawing_and_one_begun_anew(drawn) -> None:
    labels, points = drawn
    live = Live(oblique(SPACING), list(Tissue)[1:5], points, LEVEL)
    settled(live, labels)
    assert settled(live, np.zeros_like(labels)).get("wall_volume").value == 0
    assert live.slice_of(7, "infarct_percent") is None
    same(settled(live, labels), labels, points, 16)
