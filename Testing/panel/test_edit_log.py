"""The edit log: nothing unless asked, time by effect and slice, a file a Refine, nobody named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from desk import Desk
from test_refine_button import SLICE, correct, drawn, fitted, tick  # noqa: F401

from deepgmm.review.metrics import dice
from deepgmm.scene.views import point_on
from deepgmm.study.words import Tissue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    from DeepGMMSegmentationLib import edit_logging

    clock, made = Clock(), edit_logging.EffectClock
    monkeypatch.setattr(edit_logging, "EffectClock", lambda: made(clock))
    return clock


def tick_the_log(desk: Desk) -> None:
    desk.ui.segmentationCollapsibleButton.collapsed = False
    desk.ui.advancedGroupBox.collapsed = False
    desk.ui.editLogCheckBox.click()
    desk.panel.settle()


@pytest.fixture
def logging(fitted: Desk, clock: Clock, tmp_path: Path,  # noqa: F811
            monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    tick_the_log(fitted)
    assert fitted.ui.editLogCheckBox.checked
    return fitted


def section(desk: Desk) -> Any:
    return next(one for one in desk.panel.widget.panel.sections
                if type(one).__name__ == "EditLogSection")


def use(desk: Desk, effect: str) -> None:
    """By the editor, as its button does; "" for none."""
    editor = desk.ui.segmentEditorWidget
    if editor.segmentationNode() is not desk.panel.state.output:
        desk.ui.editorCollapsibleButton.collapsed = False
        editor.setSegmentationNode(desk.panel.state.output)
    editor.setActiveEffectByName(effect)


def point_at(desk: Desk, index: int | None) -> None:
    """As a slice view does when the cursor moves in it, or leaves it."""
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if index is None:
        crosshair.SetCursorPositionInvalid()
    else:
        crosshair.SetCursorPositionRAS(list(point_on(desk.panel.state.lge, index)))


def logs(folder: Path) -> list[dict]:
    return [json.loads(one.read_text(encoding="utf-8")) for one in sorted(folder.glob("*.json"))]


def test_nothing_is_kept_or_written_unless_asked(fitted: Desk, clock: Clock,  # noqa: F811
                                                 tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    desk, ui = fitted, fitted.ui
    assert not ui.editLogCheckBox.checked and not ui.writeLogButton.enabled
    asked = []
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: asked.append(1) or "")
    tick_the_log(desk)  # and Cancel in the dialog
    assert asked and not ui.editLogCheckBox.checked
    observed = len(desk.panel.widget.panel.observers._known)
    use(desk, "Paint")
    correct(desk)
    desk.refine()
    desk.finish()
    desk.panel.settle()
    assert section(desk)._clock is None and not list(tmp_path.rglob("*.json"))
    assert len(desk.panel.widget.panel.observers._known) == observed


def test_a_refine_writes_time_by_effect_and_slice_and_what_was_corrected(
        logging: Desk, clock: Clock, tmp_path: Path) -> None:
    desk = logging
    automatic = drawn(desk)
    use(desk, "Paint")
    clock.now += 2  # no slice is pointed at yet
    point_at(desk, SLICE)
    clock.now += 5
    point_at(desk, 1)
    clock.now += 3
    use(desk, "Erase")
    clock.now += 4
    point_at(desk, 1)
    clock.now += 31  # gone for a coffee
    point_at(desk, SLICE)
    clock.now += 1
    point_at(desk, None)
    clock.now += 6
    use(desk, "")
    clock.now += 10  # nothing is active
    where = correct(desk)
    desk.refine()
    desk.finish()
    desk.panel.wait_until(lambda: bool(logs(tmp_path)))
    said, = logs(tmp_path)
    effects = said["effects"]
    assert effects["seconds"] == {"Erase": 11, "Paint": 10}
    assert [(one["number"], one["seconds"]) for one in effects["slices"]] == [
        (4, {"Erase": 4, "Paint": 3}), (3, {"Erase": 1, "Paint": 5})]
    assert effects["on_no_slice"] == {"Erase": 6, "Paint": 2}
    assert effects["pauses"] == {"longest_counted_seconds": 30, "not_counted": 1,
                                 "not_counted_seconds": 31}
    assert said["seconds_of_person"] == 21 and said["seconds_of_refit"] > 0

    assert (said["edited_version"], said["version"]) == (1, 2)
    touched = said["voxels_touched"]
    assert touched["all"] == touched["to"]["Myocardium"] == touched["from"]["Scar"] == where.sum()
    assert [(one["number"], one["voxels"]) for one in touched["slices"]] == [(3, where.sum())]
    corrected = np.where(where, Tissue.MYOCARDIUM, automatic)
    overlap = said["automatic_against_corrected"]
    for tissue in (Tissue.SCAR, Tissue.MYOCARDIUM):
        assert overlap["volume"][tissue.title] == pytest.approx(
            dice(automatic == tissue, corrected == tissue))
        row = next(one for one in overlap["slices"] if one["number"] == 3)
        assert row[tissue.title] == pytest.approx(
            dice(automatic[SLICE] == tissue, corrected[SLICE] == tissue))
    assert said["voxels_that_followed"] == (drawn(desk) != corrected)[~where].sum()
    assert "edit-log-001.json was written" in desk.ui.logTextEdit.plainText
    assert str(tmp_path) not in desk.ui.logTextEdit.plainText

    correct(desk, 1)  # the next begins from nothing
    desk.refine()
    desk.finish()
    desk.panel.wait_until(lambda: len(logs(tmp_path)) == 2)
    later = logs(tmp_path)[1]
    assert later["effects"]["seconds"] == {} and later["edited_version"] == 2
    assert later["automatic_against_corrected"]["volume"]["Scar"] != \
        later["base_against_corrected"]["volume"]["Scar"]  # of the first version, not the last


def test_it_has_the_keys_of_the_commands_log_and_names_nobody(logging: Desk, clock: Clock,
                                                              tmp_path: Path) -> None:
    from deepgmm.given import Corrections
    from deepgmm.review.edit_log import edit_log
    from deepgmm.review.versions import Versions

    desk = logging
    for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode"):
        node.SetName(f"Schmidt {node.GetName()}")
    result = desk.panel.widget.panel.run.fitted.answer.result
    use(desk, "Scissors")
    clock.now += 1
    correct(desk)
    desk.ui.writeLogButton.click()
    said, = logs(tmp_path)
    command = edit_log(Versions.begun(result), Corrections.none(result.labels.shape), 1, None)
    assert list(said) == list(command)
    assert said["version"] is None and said["corrected_against_refined"] is None
    assert said["effects"]["seconds"] == {"Scissors": 1}
    assert "Schmidt" not in (tmp_path / "edit-log-001.json").read_text(encoding="utf-8")


def test_a_refine_that_was_cancelled_gives_its_time_to_the_next(logging: Desk, clock: Clock,
                                                                tmp_path: Path) -> None:
    desk = logging
    use(desk, "Paint")
    clock.now += 7
    correct(desk)
    desk.refine()
    desk.apply()  # which is Cancel now
    desk.worker.has_stopped()
    desk.look()
    assert not logs(tmp_path)
    clock.now += 2
    desk.refine()
    desk.finish()
    desk.panel.wait_until(lambda: bool(logs(tmp_path)))
    assert logs(tmp_path)[0]["effects"]["seconds"] == {"Paint": 9}


def test_time_in_another_segmentation_is_not_counted_and_a_closed_scene_ends_it(
        logging: Desk, clock: Clock, tmp_path: Path) -> None:
    desk = logging
    use(desk, "Paint")
    clock.now += 3
    editor = desk.ui.segmentEditorWidget
    editor.setSegmentationNode(desk.panel.state.mask)
    editor.setActiveEffectByName("Draw")
    clock.now += 8
    use(desk, "Paint")
    clock.now += 4
    desk.ui.writeLogButton.click()
    assert "Nothing was corrected" in desk.said and not logs(tmp_path)
    tick(desk, SLICE, True)
    desk.ui.writeLogButton.click()
    assert logs(tmp_path)[0]["effects"]["seconds"] == {"Paint": 7}
    assert [one["number"] for one in logs(tmp_path)[0]["done_slices"]] == [3]
    slicer.mrmlScene.Clear(0)
    desk.panel.settle()
    assert not desk.ui.editLogCheckBox.checked and section(desk)._clock is None
    assert not desk.ui.writeLogButton.enabled


def test_a_folder_that_is_gone_is_said(logging: Desk, clock: Clock, tmp_path: Path) -> None:
    tmp_path.rmdir()
    correct(logging)
    logging.ui.writeLogButton.click()
    assert "edit log" in logging.said.lower() or "folder" in logging.said.lower()
    assert logging.ui.editLogCheckBox.checked


def test_a_log_that_fails_hinders_no_refine(logging: Desk, clock: Clock, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    from deepgmm.review import edit_log

    def fails(*_: Any, **__: Any) -> dict:
        raise KeyError("no such thing")

    monkeypatch.setattr(edit_log, "edit_log", fails)
    where = correct(logging)
    logging.refine()
    logging.finish()
    logging.panel.wait_until(lambda: "No edit log could be written" in logging.said)
    assert (drawn(logging)[where] == Tissue.MYOCARDIUM).all() and not logs(tmp_path)
    assert logging.ui.editLogCheckBox.checked
