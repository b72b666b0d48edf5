"""The developers' Reload button: the library is read again, and the panel is a new one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import slicer

OURS = ("deepgmm", "DeepGMMSegmentationLib", "DeepGMMSegmentation")


@pytest.fixture(autouse=True)
def the_same_modules_afterwards() -> Iterator[None]:
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in OURS}
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    sys.modules.update(before)


def test_reload_makes_a_new_panel_of_what_was_chosen(a_complete_panel,
                                                     a_patient_in_the_scene) -> None:
    panel, patient = a_complete_panel, a_patient_in_the_scene
    old = panel.widget
    run = old.panel.run
    old.panel.sections[-1].show(patient.mask, patient.lge)
    old.onReload()
    panel.settle()
    new = slicer.modules.DeepGMMSegmentationWidget
    assert new is panel.widget is not old
    assert type(new.panel) is not type(old.panel)
    assert not old.panel.sections and not run.listeners
    assert panel.state.lge is patient.lge and panel.state.mask is patient.mask
    assert panel.ui.applyButton.enabled
    new.panel.sections[-1].show(patient.mask, patient.lge, "Draw")
    assert old.ui.segmentEditorWidget.activeEffect() is None  # one editor draws, not both
    warming = next(one for one in new.panel.sections if hasattr(one, "_warming"))._warming
    assert warming._thread is not None  # the new one was entered
    warming._thread.join()
