"""The tutorial of Docs/slicer.md, followed step by step; its pictures are taken here.

    DEEPGMM_SCREENSHOTS=Docs/pictures/slicer python -m pytest Testing/panel/test_tutorial.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from panels import Panel
from standins import SampleData, dialogs

#: What the pictures show of the panel: sections opened, the others closed.
SECTIONS = ("inputs", "mask", "segmentation", "slices", "results", "editor")


@pytest.fixture
def a_sample(a_panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sample's nodes, by the Sample Data module's own way."""
    from DeepGMMSegmentationLib import sample

    SampleData.SOURCES.clear()
    monkeypatch.setattr(SampleData.SampleDataLogic, "scene", slicer.mrmlScene)
    monkeypatch.setattr(SampleData.SampleDataLogic, "cache", tmp_path)
    monkeypatch.setitem(sys.modules, "SampleData", SampleData)
    sample.register(Path(a_panel.module.__file__).parent)
    return SampleData.downloadSamples(sample.NAME)


def opened(panel: Panel, *names: str) -> None:
    for name in SECTIONS:
        getattr(panel.ui, f"{name}CollapsibleButton").collapsed = name not in names
    panel.settle()


@pytest.mark.slow
def test_from_the_sample_to_the_corrected_result(
    a_panel: Panel, a_sample: list[Any], screenshot: Callable[..., Path]
) -> None:
    panel, ui = a_panel, a_panel.ui
    window = panel.window(1440, 940)
    bssfp, lge, t2, mask, points = a_sample

    opened(panel, "inputs", "segmentation")
    assert not ui.applyButton.enabled
    for selector, node in ((ui.bssfpSelector, bssfp), (ui.lgeSelector, lge), (ui.t2Selector, t2),
                           (ui.maskSelector, mask), (ui.insertionSelector, points)):
        selector.setCurrentNode(node)
    panel.wait_until(lambda: ui.applyButton.enabled)
    ui.reviewLayoutButton.click()
    panel.settle()
    screenshot(window, "inputs")

    ui.applyButton.click()
    panel.wait_until(lambda: panel.widget.panel.run.fraction > 0, 60)
    screenshot(window, "running")
    finished(panel)
    screenshot(window, "panel")

    opened(panel, "slices", "results")
    screenshot(window, "review")

    ui.nextUncertainButton.click()
    panel.settle()
    screenshot(window, "uncertain")

    leave_out(panel, 0, "the apex is blurred")
    dialogs.answer("Yes")
    ui.applyButton.click()
    finished(panel)
    screenshot(window, "left-out")
    assert ui.sliceTable.item(0, 5).text() == "the apex is blurred"

    ui.sliceTable.setCurrentCell(2, 0)
    opened(panel, "editor")
    screenshot(window, "editor")
    erase_an_island(panel, lge)
    opened(panel, "slices", "results")
    ui.recountButton.click()
    panel.settle()
    assert "Scar" in ui.numbersLabel.text
    ui.sliceTable.setCurrentCell(2, 0)
    ui.sliceTable.item(2, 2).setCheckState(qt.Qt.Checked)
    panel.settle()
    assert list(panel.state.locked) == [2]
    screenshot(window, "corrected")


def finished(panel: Panel) -> None:
    panel.wait_until(lambda: not panel.widget.panel.run.busy, 120)
    assert panel.state.output is not None, panel.ui.statusLabel.text
    panel.settle()


def leave_out(panel: Panel, index: int, why: str) -> None:
    """Take away the tick under Use, and write why."""
    panel.ui.sliceTable.item(index, 1).setCheckState(qt.Qt.Unchecked)
    panel.settle()
    panel.ui.sliceTable.item(index, 5).setText(why)
    panel.settle()
    assert dict(panel.state.excluded) == {index: why}


def erase_an_island(panel: Panel, lge: Any) -> None:
    """As Erase in the editor does: scar of slice 2 beyond a column becomes myocardium."""
    scar, myocardium = (slicer.util.arrayFromSegmentBinaryLabelmap(panel.state.output, one, lge)
                        for one in ("scar", "myocardium"))
    columns = np.flatnonzero(scar[2].any(axis=0))
    away = np.zeros_like(scar, bool)
    away[2, :, columns[len(columns) // 2]:] = scar[2, :, columns[len(columns) // 2]:] > 0
    for name, voxels in (("scar", np.where(away, 0, scar)),
                         ("myocardium", np.where(away, 1, myocardium))):
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels.astype(np.uint8),
                                                         panel.state.output, name, lge)
    panel.settle()
