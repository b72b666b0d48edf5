"""Undo brings back segments, names, colours, terminology and every voxel."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import HERE, a_result_of, numpy_support, scene_ids, slicer, state_of

from deepgmm.reading.masks.seg_nrrd import terminology_entry
from deepgmm.scene.outputs import undo, write_result
from deepgmm.scene.segments import our_segments
from deepgmm.scene.undo import restore, snapshot
from deepgmm.study.words import Role, Tissue


@pytest.fixture
def a_segmentation(a_scene, a_result):
    """The user's own work: two overlapping segments, one of them hidden."""
    mask = np.zeros_like(a_result.study.mask)
    mask[1, 3:9, 40:47] = True
    node = a_scene.segmentation(HERE, Narbe=mask, RV=np.roll(mask, 2, axis=1))
    segment = node.GetSegmentation().GetSegment("Segment_Narbe")
    segment.SetColor(0.1, 0.2, 0.3)
    segment.SetTerminology(terminology_entry(Tissue.SCAR))
    node.GetDisplayNode().SetSegmentVisibility("Segment_RV", False)
    node.GetDisplayNode().SetSegmentOpacity2DFill("Segment_Narbe", 0.25)
    node.SetAttribute("mine", "yes")
    return node


def table_of(node) -> list[str]:
    table = node.GetTable()
    return [table.GetValue(r, c).ToString() for r in range(table.GetNumberOfRows())
            for c in range(table.GetNumberOfColumns())]


def test_undo_restores_the_users_own_work(a_scene, a_result, a_segmentation) -> None:
    before, ids = state_of(a_segmentation), scene_ids(a_scene)

    written = write_result(a_result, a_scene.mrml, segmentation=a_segmentation, uncertainty=True)
    assert state_of(a_segmentation) != before
    undo(written)

    assert state_of(a_segmentation) == before
    assert scene_ids(a_scene) == ids


def test_undo_restores_what_was_deleted_renamed_and_painted_over(a_scene, a_segmentation) -> None:
    before = state_of(a_segmentation)
    kept = snapshot(a_segmentation)
    segmentation = a_segmentation.GetSegmentation()

    image = slicer.vtkOrientedImageData()
    image = segmentation.GetSegment("Segment_Narbe").GetRepresentation("Binary labelmap")
    numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())[:] = 1
    segmentation.GetSegment("Segment_Narbe").SetName("x")
    segmentation.RemoveSegment("Segment_RV")
    a_segmentation.RemoveAttribute("mine")
    a_segmentation.SetAttribute("other", "1")

    for _ in range(2):  # and once more
        restore(kept)
        assert state_of(a_segmentation) == before
        segmentation.RemoveAllSegments()


def test_undo_of_a_second_run_restores_the_first(a_scene, a_result, a_segmentation) -> None:
    lge = a_scene.volume(a_result.study.sequences[Role.LGE].values, HERE)
    first = write_result(a_result, a_scene.mrml, reference=lge, segmentation=a_segmentation,
                         uncertainty=True)
    before, numbers = state_of(a_segmentation), table_of(first.belongings["Numbers"])
    image = first.belongings["Uncertainty"].GetImageData()
    ids = scene_ids(a_scene)
    other = a_result_of(roles=(Role.LGE,), geometry=HERE)

    second = write_result(other, a_scene.mrml, reference=lge, segmentation=a_segmentation,
                          probabilities=True)
    assert table_of(first.belongings["Numbers"]) != numbers
    undo(second)

    assert state_of(a_segmentation) == before
    assert table_of(a_segmentation.GetNodeReference("DeepGMM.Numbers")) == numbers
    assert a_segmentation.GetNodeReference("DeepGMM.Uncertainty").GetImageData() is image
    assert len(scene_ids(a_scene)) == len(ids)
    display = a_segmentation.GetNodeReference("DeepGMM.Uncertainty").GetDisplayNode()
    assert display.GetScene() is a_scene.mrml
    assert set(our_segments(a_segmentation)) == set(a_result.tissues)


def test_undo_of_a_new_segmentation_takes_everything_away(a_scene, a_result) -> None:
    lge = a_scene.volume(a_result.study.sequences[Role.LGE].values, HERE)
    ids = scene_ids(a_scene)

    undo(write_result(a_result, a_scene.mrml, reference=lge, probabilities=True))

    assert scene_ids(a_scene) - ids <= {"vtkMRMLSubjectHierarchyNode1"}
    assert ids <= scene_ids(a_scene)


def test_segment_editors_own_undo_works_as_well(a_scene, a_result, a_segmentation) -> None:
    def segments():
        return [{k: s[k] for k in ("id", "name", "colour", "terminology", "voxels")}
                for s in state_of(a_segmentation)["segments"]]

    lge = a_scene.volume(a_result.study.sequences[Role.LGE].values, HERE)
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLScene(a_scene.mrml)
    editor.SetSegmentEditorNode(a_scene.add("vtkMRMLSegmentEditorNode"))
    editor.SetSegmentationNode(a_segmentation)
    editor.SetSourceVolumeNode(lge)
    before = segments()

    editor.SaveStateForUndo()
    write_result(a_result, a_scene.mrml, reference=lge, segmentation=a_segmentation)
    assert editor.CanUndo()
    editor.Undo()

    assert segments() == before
