"""Corrections outlive the session: a saved scene is opened again, and Refine goes on."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer
from desk import Desk
from test_refine_button import DONE, correct, drawn, fitted, paint, tick  # noqa: F401

from deepgmm.scene.kept_fit import has_kept_fit
from deepgmm.scene.undo import belongings
from deepgmm.study.words import Tissue

ROLE = "DeepGMM.Fit"


def kept_text(desk: Desk) -> str:
    return belongings(desk.panel.state.output)[ROLE].GetText()


@pytest.fixture
def refined(fitted: Desk) -> Desk:  # noqa: F811
    """One correction learned from, a slice done."""
    tick(fitted, 4, True)
    correct(fitted)
    fitted.refine()
    fitted.finish()
    fitted.panel.settle()
    return fitted


def forget_the_session(desk: Desk) -> None:
    """As a scene that was saved and is opened again leaves the panel: the nodes are there, and no
    run was."""
    run = desk.panel.widget.panel.run
    run.last = run.fitted = None
    desk.panel.widget.panel.each("close")
    desk.panel.widget.panel.refresh_now()
    desk.panel.settle()


def test_a_loaded_scene_goes_on_where_it_was(refined: Desk) -> None:
    desk, run = refined, refined.panel.widget.panel.run
    was, labels = run.fitted.answer.result, drawn(refined)
    where = correct(desk, 1)  # not learned from yet
    forget_the_session(desk)
    now = run.fitted.answer.result
    assert now is not was and run.last is None
    for name in ("labels", "posterior", "automatic"):
        np.testing.assert_array_equal(getattr(now, name), getattr(was, name))
    assert now.corrections.edits == was.corrections.edits and now.corrections.done == (4,)
    np.testing.assert_array_equal(now.corrections.edit, was.corrections.edit)
    assert desk.ui.refineButton.enabled
    assert f"{where.sum()} voxels on slice 4" in desk.ui.correctedLabel.text

    desk.refine()
    header = desk.worker.orders[-1][1]
    assert header["kept"] == "" and "result" in header  # another worker: all of it travels
    desk.finish()
    found = run.fitted.answer.result.corrections
    assert found.fixed[where].all() and found.fixed[was.corrections.fixed].all()
    fixed = was.corrections.fixed & ~where
    np.testing.assert_array_equal(drawn(desk)[fixed], labels[fixed])


def test_priors_of_ones_own_are_kept_by_their_hash(
        fitted: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    desk, run = fitted, fitted.panel.widget.panel.run
    file = tmp_path / "Mustermann.json"
    file.write_text("{}")
    settings = run.fitted.answer.result.provenance["settings"]
    monkeypatch.setitem(settings, "priors", str(file))  # the answer is kept for other tests
    desk.panel.state.priors = str(file)
    run.fitted = replace(run.fitted)  # as a run of its own
    desk.panel.settle()
    packed = zlib.decompress(base64.b64decode(kept_text(desk)))
    assert b"Mustermann" not in packed and b"sha256:" in packed
    forget_the_session(desk)
    assert run.fitted.answer.result.provenance["settings"]["priors"] == str(file)


def test_the_scene_file_holds_it(refined: Desk, tmp_path: Path) -> None:
    text, path = kept_text(refined), tmp_path / "scene.mrml"
    node = belongings(refined.panel.state.output)[ROLE]
    scene = slicer.vtkMRMLScene()
    scene.CopyNode(node)
    scene.SetURL(str(path))
    assert scene.Commit()
    again = slicer.vtkMRMLScene()
    again.SetURL(str(path))
    assert again.Import()
    (found,) = [again.GetNthNodeByClass(i, "vtkMRMLTextNode")
                for i in range(again.GetNumberOfNodesByClass("vtkMRMLTextNode"))]
    assert found.GetText() == text and len(text) < 2_000_000


@pytest.mark.parametrize("spoil", ["images", "mask", "text", "words"])
def test_what_is_not_of_these_images_is_not_taken_up(refined: Desk, spoil: str) -> None:
    desk, state, run = refined, refined.panel.state, refined.panel.widget.panel.run
    node = belongings(state.output)[ROLE]
    if spoil == "images":
        values = slicer.util.arrayFromVolume(state.lge)
        values[2, 3, 4] += 1
        slicer.util.arrayFromVolumeModified(state.lge)
    elif spoil == "mask":
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(
            state.mask, state.maskSegmentIDs[0], state.lge).copy()
        mask[2, np.flatnonzero(mask[2].any(1))[0]] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask, state.mask, state.maskSegmentIDs[0], state.lge)
    else:
        node.SetText(node.GetText()[:-200] if spoil == "text" else "of somebody else")
    forget_the_session(desk)
    assert run.fitted is None and not desk.ui.refineButton.enabled
    assert "not of these images" in desk.ui.logTextEdit.toPlainText()


def test_undo_of_apply_takes_it_along(fitted: Desk) -> None:  # noqa: F811
    desk = fitted
    output = desk.panel.state.output
    assert has_kept_fit(output)
    first = kept_text(desk)
    paint(desk, np.where(drawn(desk) == Tissue.SCAR, Tissue.MYOCARDIUM, drawn(desk)))
    tick(desk, 3, True)
    desk.refine()
    desk.finish()
    desk.panel.settle()
    assert kept_text(desk) != first
    desk.ui.undoButton.click()
    desk.panel.settle()
    assert len([r for r in belongings(output) if r == ROLE]) == 1
    forget_the_session(desk)
    assert desk.panel.widget.panel.run.fitted.answer.result.corrections is None
