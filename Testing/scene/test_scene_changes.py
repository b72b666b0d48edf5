"""What changed between two versions lies where the image does, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scene_nodes import turning
from scenes import HERE, TO_RAS, placed, voxels_in_ras

from deepgmm.scene.changes import hide_changes, show_changes

SIZE = (4, 12, 10)


def test_it_lies_on_the_image_under_its_transform_and_goes_without_a_trace(
        a_scene, tmp_path: Path) -> None:
    lge = a_scene.volume(np.zeros(SIZE, np.float32), HERE)
    transform, matrix = turning(a_scene)
    lge.SetAndObserveTransformNodeID(transform.GetID())
    changed, hand = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    changed[1, 3:6, 4] = changed[2, 7, 2:5] = True
    hand[2] = True
    nodes = a_scene.mrml.GetNumberOfNodes()

    node = show_changes(changed, hand, lge)

    content = node.GetSegmentation()
    for name, where in (("Drawn by hand", changed & hand), ("Followed", changed & ~hand)):
        one = content.GetSegmentIdBySegmentName(name)
        ijk = np.argwhere(where)[:, ::-1].astype(float)
        there = placed(placed(ijk, TO_RAS @ HERE.index_to_world()), matrix)
        np.testing.assert_allclose(sorted(map(tuple, voxels_in_ras(node, one).round(6))),
                                   sorted(map(tuple, there.round(6))), atol=1e-5)
    assert node.GetHideFromEditors() and not node.GetSaveWithScene()
    path = tmp_path / "scene.mrml"
    a_scene.mrml.SetURL(str(path))
    assert a_scene.mrml.Commit(str(path))
    assert "changes" not in path.read_text() and lge.GetName() in path.read_text()

    hide_changes(node)

    assert a_scene.mrml.GetNumberOfNodes() == nodes
    assert not a_scene.mrml.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    hide_changes(node)  # once more is nothing
