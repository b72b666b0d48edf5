"""Closed curves of the scene become lines on the slices of a volume, and bad ones are said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scene_nodes import MOVED, STRAIGHT, UNEVEN, moving_slices
from scene_results import saved_and_opened
from scenes import HERE, OBLIQUE, TO_RAS, Scene, slicer

from deepgmm.scene.borders import curves_of, hand_over, lines_on, new_curve
from deepgmm.study.study import Geometry

SHAPE = (4, 32, 28)
MIDDLE, RADIUS = (15.0, 12.0), 6.0


@pytest.fixture
def a_scene() -> Scene:
    return Scene()


def circle(curve, geometry: Geometry, index: float, slope: float = 0.0, points: int = 12) -> None:
    """Points of a circle on a slice, in pixels; with a slope it leaves the slice."""
    for angle in np.arange(points) * 2 * np.pi / points:
        row, column = MIDDLE[0] + RADIUS * np.sin(angle), MIDDLE[1] + RADIUS * np.cos(angle)
        place = geometry.index_to_world() @ [column, row, index + slope * np.sin(angle), 1.0]
        curve.AddControlPoint(*(TO_RAS @ place)[:3])


def drawn(scene: Scene, geometry: Geometry = HERE, index: float = 2, **how):
    """A volume, a segmentation and its curve on a slice."""
    volume = scene.volume(np.zeros(SHAPE, np.float32), geometry)
    segmentation = scene.segmentation(geometry, LV=np.ones(SHAPE, bool))
    curve = new_curve(segmentation)
    circle(curve, geometry, index, **how)
    return volume, segmentation, curve


def radii(line: np.ndarray) -> np.ndarray:
    return np.hypot(*(line - MIDDLE).T)


LEFT_HANDED = tuple((np.reshape(OBLIQUE, (3, 3)) * (1, 1, -1)).ravel())


@pytest.mark.parametrize("axes", [OBLIQUE, LEFT_HANDED])
def test_a_curve_is_a_line_in_pixels_of_its_slice(a_scene: Scene, axes) -> None:
    geometry = Geometry((1.3, 1.3, 8.0), (4.0, 5.0, 6.0), tuple(map(float, axes)))
    volume, segmentation, curve = drawn(a_scene, geometry, 2.3)
    assert curves_of(segmentation) == [curve]
    (index, line), = lines_on([curve], volume)[0].items()
    assert index == 2 and len(line) > 60  # between the points too, as Slicer draws it
    np.testing.assert_allclose(radii(line), RADIUS, atol=0.05)


def test_it_moves_with_transforms(a_scene: Scene) -> None:
    volume, _, curve = drawn(a_scene)
    moved = a_scene.linear(MOVED)
    for one in (volume, curve):
        one.SetAndObserveTransformNodeID(moved.GetID())
    np.testing.assert_allclose(radii(lines_on([curve], volume)[0][2]), RADIUS, atol=0.05)


def test_slices_lie_where_a_transform_has_moved_them(a_scene: Scene) -> None:
    volume, _, curve = drawn(a_scene, STRAIGHT, UNEVEN[2] / 10)
    volume.SetAndObserveTransformNodeID(moving_slices(a_scene, UNEVEN).GetID())
    (index, line), = lines_on([curve], volume)[0].items()
    assert index == 2
    np.testing.assert_allclose(radii(line), RADIUS, atol=0.05)


def test_only_curves_in_the_folder_count_and_those_of_another_heart_do_not(
        a_scene: Scene) -> None:
    _, segmentation, curve = drawn(a_scene)
    other = a_scene.segmentation(HERE, LV=np.ones(SHAPE, bool))
    theirs = new_curve(other)
    loose = a_scene.mrml.AddNewNodeByClass("vtkMRMLMarkupsClosedCurveNode", "a hole")
    assert curves_of(segmentation) == [curve] and curves_of(other) == [theirs]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(a_scene.mrml)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(curve))
    assert hierarchy.GetItemName(folder) == "LV borders"
    hierarchy.CreateItem(folder, loose)  # as who drags it there
    assert curves_of(segmentation) == [curve, loose] and curves_of(other) == [theirs, loose]


def test_one_that_is_not_drawn_yet_is_left_out(a_scene: Scene) -> None:
    volume, segmentation, curve = drawn(a_scene, points=2)
    curve.AddControlPoint(0.0, 0.0, 0.0)
    curve.SetNthControlPointPosition(2, 0.0, 0.0, 0.0, curve.PositionPreview)
    assert lines_on([curve], volume) == ({}, [])


def test_bad_curves_are_said_and_hinder_no_other(a_scene: Scene) -> None:
    volume, segmentation, curve = drawn(a_scene)
    other = new_curve(segmentation)
    circle(other, HERE, 1)
    good, said = lines_on([curve, other], volume)
    assert sorted(good) == [1, 2] and not said
    second = new_curve(segmentation)
    circle(second, HERE, 2.2)
    found, said = lines_on([curve, other, second], volume)
    assert sorted(found) == [1] and len(said) == 1 and "two border curves on slice 2" in said[0]
    for how, words in (({"index": 9}, "LV border_4 lies outside the images"),
                       ({"index": -3}, "LV border_5 lies outside the images"),
                       ({"index": 2, "slope": 0.8}, "about slice 2 does not lie in one slice")):
        bad = new_curve(segmentation)
        bad.SetName(f"LV border_{len(curves_of(segmentation))}")
        circle(bad, HERE, **how)
        found, said = lines_on([bad, other], volume)
        assert sorted(found) == [1] and len(said) == 1 and words in said[0]


def test_one_that_was_moved_into_the_folder_is_theirs_on_whose_images_it_lies(
        a_scene: Scene) -> None:
    volume, segmentation, curve = drawn(a_scene)
    far = Geometry(HERE.spacing, tuple(c + 500.0 for c in HERE.origin), HERE.direction)
    elsewhere, _, theirs = drawn(a_scene, far, 1)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(a_scene.mrml)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(curve))
    loose = a_scene.mrml.AddNewNodeByClass("vtkMRMLMarkupsClosedCurveNode", "a hole")
    hierarchy.CreateItem(folder, loose)
    circle(loose, far, 3)
    found, said = lines_on(curves_of(segmentation), volume)
    assert sorted(found) == [2] and not said
    found, said = lines_on([theirs, loose], elsewhere)
    assert sorted(found) == [1, 3] and not said


def test_a_curve_that_was_begun_and_not_drawn_is_taken_again(a_scene: Scene) -> None:
    volume, segmentation, curve = drawn(a_scene)
    begun = new_curve(segmentation)
    begun.AddControlPoint(0.0, 0.0, 0.0)
    other = a_scene.segmentation(HERE, LV=np.ones(SHAPE, bool))
    assert new_curve(other) is not begun
    again = new_curve(segmentation)
    assert again is begun and not again.GetNumberOfControlPoints()
    assert curves_of(segmentation) == [curve, begun]


def test_curves_are_handed_over_to_another_segmentation(a_scene: Scene) -> None:
    _, segmentation, curve = drawn(a_scene)
    other = a_scene.segmentation(HERE, LV=np.ones(SHAPE, bool))
    assert not hand_over(other, segmentation) and not hand_over(segmentation, None)
    assert hand_over(segmentation, other)
    assert curves_of(segmentation) == [] and curves_of(other) == [curve]


def test_a_saved_scene_brings_curves_back(a_scene: Scene, tmp_path: Path) -> None:
    volume, segmentation, curve = drawn(a_scene)
    line = lines_on([curve], volume)[0][2]
    for node, name in ((volume, "image"), (segmentation, "ours"), (curve, "its border")):
        node.SetName(name)
    new_curve(a_scene.segmentation(HERE, LV=np.ones(SHAPE, bool)))
    opened = saved_and_opened(a_scene, tmp_path, "mrb").mrml
    image, ours = (opened.GetFirstNodeByName(name) for name in ("image", "ours"))
    again = curves_of(ours)
    assert [one.GetName() for one in again] == ["its border"]
    np.testing.assert_allclose(lines_on(again, image)[0][2], line, atol=0.01)
    assert new_curve(ours) in curves_of(ours)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(opened)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(one)) for one in curves_of(ours)}
    assert len(parents) == 1  # the folder that was there
