"""Another scene is added to this one: what was chosen stays chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
import slicer


@pytest.fixture
def another_scene(tmp_path: Path) -> str:
    """A saved scene with nothing of ours."""
    scene, path = slicer.vtkMRMLScene(), str(tmp_path / "other.mrml")
    scene.AddNewNodeByClass("vtkMRMLTextNode", "notes").SetText("of somebody else")
    scene.SetURL(path)
    assert scene.Commit()
    return path


def add(path: str) -> None:
    slicer.mrmlScene.SetURL(path)
    assert slicer.mrmlScene.Import()


@pytest.mark.parametrize("inside", [True, False], ids=["in the module", "in another module"])
def test_what_was_chosen_stays_chosen(a_complete_panel, a_patient_in_the_scene, another_scene,
                                      inside) -> None:
    """Slicer's selectors lose their entries meanwhile, and say that None was chosen."""
    panel, patient = a_complete_panel, a_patient_in_the_scene
    if not inside:
        panel.inside.exit()
    add(another_scene)
    panel.settle()
    state = panel.state
    assert slicer.mrmlScene.GetFirstNodeByName("notes") is not None
    assert (state.bssfp, state.lge, state.t2, state.mask) == (
        patient.bssfp, patient.lge, patient.t2, patient.mask)
    assert list(state.maskSegmentIDs) == [patient.mask_segment]
    assert panel.ui.lgeSelector.currentNode() is patient.lge
    assert panel.ui.applyButton.enabled


def test_a_panel_without_a_state_takes_none_before_it_is_entered(a_panel, another_scene) -> None:
    a_panel.inside.exit()
    slicer.mrmlScene.Clear(0)
    assert a_panel.state is None
    add(another_scene)
    assert a_panel.state is None
    a_panel.inside.enter()
    assert a_panel.state is not None
