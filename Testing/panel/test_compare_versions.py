"""Two versions compared in the panel, and the table that says what followed what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from desk import Desk
from finished import open_again
from test_refine_button import SLICE, correct, drawn, fitted, tick  # noqa: F401

from deepgmm.scene.labels import labels_of
from deepgmm.study.words import Tissue


@pytest.fixture
def refined(fitted: Desk) -> tuple[Desk, np.ndarray, np.ndarray]:  # noqa: F811
    """One correction learned from: the desk, the labels before anything, and where it was."""
    automatic = drawn(fitted)
    where = correct(fitted)
    fitted.refine()
    fitted.finish()
    fitted.panel.wait_until(lambda: fitted.ui.versionsTable.rowCount == 2)
    return fitted, automatic, where


def texts(table) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(table.columnCount)]
            for row in range(table.rowCount)]


def overlays() -> list:
    return [one for one in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            if one.GetName().startswith("LV changes")]


def laid_over(desk: Desk, name: str) -> np.ndarray:
    node, = overlays()
    ids = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, ids, desk.panel.state.lge) > 0


def test_two_versions_are_compared_in_a_table_and_over_the_images(refined) -> None:
    desk, automatic, where = refined
    ui, now = desk.ui, drawn(desk)
    assert ui.differencesTable.isHidden() and ui.compareButton.enabled and not overlays()
    assert "versions 1 and 2" in ui.compareButton.toolTip
    ui.compareButton.click()
    desk.panel.settle()

    changed = automatic != now
    np.testing.assert_array_equal(laid_over(desk, "Drawn by hand"), changed & where)
    np.testing.assert_array_equal(laid_over(desk, "Followed"), changed & ~where)
    voxel = np.prod(desk.panel.state.lge.GetSpacing()) / 1000
    scar, before = (labels == Tissue.SCAR for labels in (now, automatic))
    row = next(row for row in texts(ui.differencesTable) if row[0] == "Scar")
    assert row[1:4] == [f"{before.sum() * voxel:.1f}", f"{scar.sum() * voxel:.1f}",
                        f"{(scar.sum() - before.sum()) * voxel:+.1f}"]
    assert row[4:] == [str((scar ^ before).sum()), str(((scar ^ before) & where).sum())]
    assert not ui.differencesTable.isHidden()
    assert f"slice 3: {changed[SLICE].sum()} ({where[SLICE].sum()} by hand)" \
        in ui.differencesLabel.text
    headers = ui.differencesTable.horizontalHeaderItem
    assert (headers(1).text(), headers(2).text()) == ("1, ml", "2, ml")

    ui.compareButton.click()
    desk.panel.settle()
    assert not overlays() and ui.differencesTable.isHidden()


def test_what_lies_over_the_images_goes_with_leaving_and_is_in_no_saved_scene(
        refined, tmp_path: Path) -> None:
    desk, _, _ = refined
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    desk.ui.compareButton.click()
    desk.panel.settle()
    assert overlays() and slicer.mrmlScene.GetNumberOfNodes() > nodes
    desk.panel.inside.exit()
    desk.panel.settle()
    assert not overlays() and slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert not desk.ui.compareButton.checked
    desk.panel.inside.enter()
    desk.ui.compareButton.click()
    desk.panel.settle()
    assert overlays()
    path = str(tmp_path / "heart.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    open_again(path)
    assert not overlays()
    every = (slicer.mrmlScene.GetNthNode(i) for i in range(slicer.mrmlScene.GetNumberOfNodes()))
    assert not [one for one in every if "changes" in one.GetName()]


def test_two_rows_may_be_chosen_and_another_result_ends_it(refined) -> None:
    desk, automatic, _ = refined
    ui, table = desk.ui, desk.ui.versionsTable
    correct(desk, 1)
    desk.refine()
    desk.finish()
    desk.panel.wait_until(lambda: table.rowCount == 3)
    assert "versions 2 and 3" in ui.compareButton.toolTip
    table.setCurrentCell(0, 0)
    desk.panel.settle()
    assert "versions 1 and 3" in ui.compareButton.toolTip
    table.clearSelection()
    for row in (0, 1):
        table.item(row, 0).setSelected(True)
    desk.panel.settle()
    assert "versions 1 and 2" in ui.compareButton.toolTip
    ui.compareButton.click()
    desk.panel.settle()
    first = laid_over(desk, "Followed") | laid_over(desk, "Drawn by hand")
    assert first.any()
    table.clearSelection()
    table.setCurrentCell(0, 0)
    desk.panel.settle()
    assert not overlays() and not ui.compareButton.checked  # it was of two others
    ui.compareButton.click()
    desk.panel.settle()
    np.testing.assert_array_equal(laid_over(desk, "Followed") | laid_over(desk, "Drawn by hand"),
                                  automatic != drawn(desk))
    ui.goBackButton.click()
    desk.panel.settle()
    assert not overlays()
    slicer.mrmlScene.Clear(0)
    desk.panel.settle()
    assert ui.versionsGroupBox.isHidden() and ui.differencesTable.isHidden()


def test_the_table_says_what_was_corrected_and_what_followed_it(fitted: Desk) -> None:  # noqa: F811
    desk, ui = fitted, fitted.ui
    table = ui.correctionsTable
    assert ui.correctionsGroupBox.isHidden()
    where = correct(desk)
    count = str(where.sum())
    assert texts(table) == [["3", "Scar to Myocardium", count, "drawn, for the next Refine"]]
    tick(desk, SLICE, True)
    assert texts(table)[1] == ["3", "all of it is right", "", "slice done, for the next Refine"]
    before = drawn(desk)
    desk.refine()
    desk.finish()
    now = drawn(desk)
    rows = texts(table)
    assert rows[:2] == [["3", "Scar to Myocardium", count, "drawn by hand"],
                        ["3", "all of it is right", "", "slice done"]]
    followed = (before != now)
    assert followed.any() and not followed[SLICE].any()
    assert {row[3] for row in rows[2:]} == {"follows slice 3"}
    assert {int(row[0]): int(row[2]) for row in rows[2:]} == {
        5 - i: followed[i].sum() for i in np.flatnonzero(followed.any((1, 2)))}
    index = 5 - int(rows[2][0])
    pairs = list(zip(before[index][followed[index]], now[index][followed[index]]))
    lines = {f"{Tissue(was).title} to {Tissue(became).title}: {pairs.count((was, became))}"
             for was, became in pairs}
    assert set(table.item(2, 1).toolTip().splitlines()) == lines
    counts = [int(row[2]) for row in rows[2:]]
    assert counts == sorted(counts, reverse=True)
    assert f"{followed.sum()} voxels followed on slice" in desk.said

    went = []
    desk.panel.widget.panel.go_to = went.append
    table.cellClicked.emit(2, 0)
    assert went == [5 - int(rows[2][0])]
    ui.undoButton.click()
    desk.panel.settle()
    assert texts(table)[0][3] == "drawn, for the next Refine"
    np.testing.assert_array_equal(labels_of(desk.panel.state.output, desk.panel.state.lge), before)


def test_a_version_without_room_is_compared_but_not_gone_back_to(
        refined, monkeypatch) -> None:
    """The first keeps its probabilities; of those between, labels and drawings stay."""
    from deepgmm.review import versions as versions_module

    desk, _, where = refined
    ui, table = desk.ui, desk.ui.versionsTable
    make_room = versions_module.make_room

    def short_of_a_byte(line) -> None:
        monkeypatch.setattr(versions_module, "MOST_BYTES", sum(one.size for one in line) - 1)
        make_room(line)
    monkeypatch.setattr(versions_module, "make_room", short_of_a_byte)
    correct(desk, 1)
    desk.refine()
    desk.finish()
    desk.panel.wait_until(lambda: table.rowCount == 3)
    for row, may in ((0, True), (1, False)):
        table.setCurrentCell(row, 0)
        assert ui.goBackButton.enabled == may and ui.compareButton.enabled
    ui.compareButton.click()
    desk.panel.settle()
    by_hand = laid_over(desk, "Drawn by hand")
    assert by_hand.any() and not by_hand[where].any()
