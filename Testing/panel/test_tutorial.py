"""The tutorial of Docs/slicer.md, followed step by step; its pictures are taken here.

    DEEPGMM_SCREENSHOTS=Docs/pictures/slicer python -m pytest Testing/panel/test_tutorial.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import slicer
from panels import Panel
from standins import SampleData

#: What the pictures show of the panel: sections opened, the others closed.
SECTIONS = ("inputs", "mask", "segmentation", "slices", "results", "editor")


@pytest.fixture
def a_sample(a_panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sample's nodes, by the Sample Data module's own way."""
    from DeepGMMSegmentationLib import sample

    SampleData.SOURCES.clear()
    monkeypatch.setattr(SampleData.SampleDataLogic, "scene", slicer.mrmlScene)
    monkeypatch.setattr(SampleData.SampleDataLogic, "cache", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "SampleData", SampleData)
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
    window = panel.window(1700, 1000)
    bssfp, lge, t2, mask, points = a_sample

    opened(panel, "inputs", "segmentation")
    assert not ui.applyButton.enabled
    screenshot(window, "1-empty")

    for selector, node in ((ui.bssfpSelector, bssfp), (ui.lgeSelector, lge), (ui.t2Selector, t2),
                           (ui.maskSelector, mask), (ui.insertionSelector, points)):
        selector.setCurrentNode(node)
    panel.wait_until(lambda: ui.applyButton.enabled)
    screenshot(window, "2-inputs")

    ui.applyButton.click()
    panel.wait_until(lambda: panel.widget.panel.run.fraction > 0, 60)
    screenshot(window, "3-running")
    panel.wait_until(lambda: not panel.widget.panel.run.busy, 120)
    assert panel.state.output is not None, ui.statusLabel.text

    opened(panel, "slices", "results")
    ui.reviewLayoutButton.click()
    panel.settle()
    screenshot(window, "4-review")

    ui.nextUncertainButton.click()
    panel.settle()
    screenshot(window, "5-uncertain")

    opened(panel, "editor")
    screenshot(window, "6-editor")
