"""Slice views lie in the plane of the slices, turned as they are read, and go where told."""

from __future__ import annotations

import numpy as np
import pytest
from scene_nodes import STRAIGHT, UNEVEN, moving_slices, turning
from scenes import HERE, TO_RAS, as_array, placed
from test_seg_nrrd_in_slicer import GRIDS

from deepgmm.errors import InputError
from deepgmm.scene.views import look_at, point_on, show_slice, slice_at, turn_to
from deepgmm.study.study import Geometry

SIZE = (4, 30, 44)


@pytest.fixture
def a_view(a_scene):
    node = a_scene.mrml.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    node.SetDimensions(200, 100, 1)
    node.SetFieldOfView(400.0, 200.0, 1.0)
    return node


def axes(view) -> np.ndarray:
    return as_array(view.GetSliceToRAS())[:3, :3]


def centres(geometry: Geometry) -> np.ndarray:
    """(slices, 3) RAS of the middle of each slice, by the header's own arithmetic."""
    middle = [[(SIZE[2] - 1) / 2, (SIZE[1] - 1) / 2, k] for k in range(SIZE[0])]
    return placed(np.array(middle), TO_RAS @ geometry.index_to_world())


@pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())
def test_a_view_lies_in_the_plane_of_the_slices(a_scene, a_view, geometry: Geometry) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), geometry)

    turn_to(a_view, volume)

    grid = (TO_RAS @ geometry.index_to_world())[:3, :3]
    grid /= np.linalg.norm(grid, axis=0)
    turned = axes(a_view)
    assert abs(turned[:, 2] @ grid[:, 2]) == pytest.approx(1)
    # the screen's axes are the image's, no pixel lies askew
    np.testing.assert_allclose(sorted(np.abs(turned[:, :2].T @ grid[:, :2]).ravel()), [0, 0, 1, 1],
                               atol=1e-6)
    assert np.linalg.det(turned) == pytest.approx(1)
    assert a_view.GetSliceSpacingMode() == a_view.PrescribedSliceSpacingMode
    assert a_view.GetPrescribedSliceSpacing()[2] == pytest.approx(geometry.spacing[2])


def test_axial_slices_are_read_from_the_feet_with_the_front_above(a_scene, a_view) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), Geometry((1.0, 1.0, 8.0)))

    turn_to(a_view, volume)

    np.testing.assert_allclose(axes(a_view)[:, 0], [-1, 0, 0])  # to the patient's left
    np.testing.assert_allclose(axes(a_view)[:, 1], [0, 1, 0])


def test_the_parent_transform_counts(a_scene, a_view) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), HERE)
    transform, matrix = turning(a_scene)
    volume.SetAndObserveTransformNodeID(transform.GetID())

    turn_to(a_view, volume)

    normal = matrix[:3, :3] @ TO_RAS[:3, :3] @ np.reshape(HERE.direction, (3, 3))[:, 2]
    assert abs(axes(a_view)[:, 2] @ normal) == pytest.approx(1)
    np.testing.assert_allclose(point_on(volume, 2), placed(centres(HERE), matrix)[2], atol=1e-9)


@pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())
def test_views_go_to_a_slice(a_scene, a_view, geometry: Geometry) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), geometry)
    turn_to(a_view, volume)
    other = a_scene.mrml.AddNewNodeByClass("vtkMRMLSliceNode", "Yellow")

    for index in (3, 1):
        point = point_on(volume, index)
        np.testing.assert_allclose(point, centres(geometry)[index], atol=1e-9)
        show_slice(a_scene.mrml, point)

        for view in (a_view, other):
            shown = as_array(view.GetSliceToRAS())
            assert (point - shown[:3, 3]) @ shown[:3, 2] == pytest.approx(0, abs=1e-6)


def test_uneven_slices_are_met_where_they_lie(a_scene, a_view) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), STRAIGHT)
    volume.SetAndObserveTransformNodeID(moving_slices(a_scene, UNEVEN).GetID())

    turn_to(a_view, volume)

    np.testing.assert_allclose([point_on(volume, k)[2] for k in range(4)], UNEVEN, atol=0.05)


def test_the_point_lies_in_the_heart_where_there_is_one(a_scene, a_view) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), Geometry((1.0, 1.0, 8.0)))
    mask = np.zeros(SIZE, bool)
    mask[0:3, 4:13, 20:31] = True
    heart = a_scene.segmentation(Geometry((1.0, 1.0, 8.0)), LV=mask)

    np.testing.assert_allclose(point_on(volume, 2, heart), [-25, -8, 16])

    empty = a_scene.add("vtkMRMLSegmentationNode")
    np.testing.assert_allclose(point_on(volume, 2, empty), point_on(volume, 2))

    turn_to(a_view, volume)
    look_at(a_view, point_on(volume, 2, heart), heart)
    np.testing.assert_allclose(as_array(a_view.GetSliceToRAS())[:3, 3], [-25, -8, 16], atol=1e-6)
    across, up, _ = a_view.GetFieldOfView()
    assert up == pytest.approx(1.8 * 10) and across == pytest.approx(2 * up)


def test_a_slice_that_is_not_there_is_refused(a_scene) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), HERE)

    with pytest.raises(InputError, match="no slice 4: the volume has 4, 0 to 3"):
        point_on(volume, 4)


@pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())
def test_a_point_is_found_on_its_slice(a_scene, geometry: Geometry) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), geometry)
    transform, matrix = turning(a_scene)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    middles = np.c_[centres(geometry), np.ones(SIZE[0])] @ matrix.T
    assert [slice_at(volume, point[:3]) for point in middles] == [0, 1, 2, 3]
    beyond = middles[0] - (middles[1] - middles[0])
    assert slice_at(volume, beyond[:3]) is None


def test_a_point_is_found_on_the_slices_of_an_uneven_stack(a_scene) -> None:
    volume = a_scene.volume(np.zeros(SIZE, np.float32), STRAIGHT)
    volume.SetAndObserveTransformNodeID(moving_slices(a_scene, UNEVEN).GetID())
    assert [slice_at(volume, point_on(volume, k)) for k in range(SIZE[0])] == [0, 1, 2, 3]
