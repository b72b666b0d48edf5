"""What a slice view shows of a result, pixel by pixel, at once and without a window."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scenes import HERE, a_result_of

from deepgmm.scene.outputs import undo, write_result

#: Without OpenGL of any kind VTK ends the process, so another one tries.
_TRY = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.Render()"


@pytest.fixture
def a_drawn_scene(a_scene):
    """A scene, its LGE, and a slice view on the slice in the middle."""
    if subprocess.run([sys.executable, "-c", _TRY], capture_output=True, timeout=60).returncode:
        pytest.skip("nothing can be drawn here: VTK finds no OpenGL, EGL or OSMesa")
    from slice_window import SliceWindow

    result = a_result_of(geometry=HERE)
    lge = a_scene.volume(next(iter(result.study.sequences.values())).values, HERE)
    return result, lge, SliceWindow(a_scene.mrml, lge, len(result.labels) // 2)


def test_a_written_segmentation_is_seen_at_once_and_an_undone_one_is_gone(
        a_scene, a_drawn_scene) -> None:
    result, lge, window = a_drawn_scene
    assert not window.drawn().any()
    written = write_result(result, a_scene.mrml, reference=lge, uncertainty=True)
    assert window.drawn().any()
    undo(written)
    assert not window.drawn().any()


def test_an_undo_shows_what_was_there_before(a_scene, a_drawn_scene) -> None:
    result, lge, window = a_drawn_scene
    first = write_result(result, a_scene.mrml, reference=lge).segmentation
    before = window.drawn()
    again = a_result_of(geometry=HERE)
    again.labels[:] = again.labels.max() * (again.labels > 0)
    written = write_result(again, a_scene.mrml, reference=lge, segmentation=first)
    assert (window.drawn() != before).any()
    undo(written)
    assert (window.drawn() == before).all()
