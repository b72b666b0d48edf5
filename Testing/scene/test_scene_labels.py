"""The labels that a segmentation holds now come back on the images' grid, corrections and all."""

from __future__ import annotations

import numpy as np
import pytest
from scene_nodes import turning
from scene_results import saved_and_opened
from scenes import HERE, Scene, add_segment, numpy_support, slicer, vtk

from deepgmm.errors import InputError
from deepgmm.scene.labels import labels_of, masked_slices
from deepgmm.scene.outputs import write_result
from deepgmm.scene.places import ijk_to_ras
from deepgmm.scene.segments import oriented_labelmap, our_segments
from deepgmm.study.study import Geometry
from deepgmm.study.words import Role, Tissue


def written_and_lge(scene: Scene, result):
    lge = scene.volume(result.study.sequences[Role.LGE].values, result.study.geometry)
    return write_result(result, scene.mrml, reference=lge).segmentation, lge


def test_what_was_written_comes_back(a_scene, a_result) -> None:
    node, lge = written_and_lge(a_scene, a_result)

    np.testing.assert_array_equal(labels_of(node, lge), a_result.labels)


def test_what_the_user_painted_comes_back(a_scene, a_result) -> None:
    """Painted over other segments, which keep their voxels below: the later tissue wins."""
    node, lge = written_and_lge(a_scene, a_result)
    painted = np.zeros_like(a_result.study.mask)
    painted[1, 10:20, 15:30] = True
    labelmap = oriented_labelmap(painted.astype(np.uint8), ijk_to_ras(lge))
    assert slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        labelmap, node, our_segments(node)[Tissue.EDEMA])

    wanted = np.where(a_result.labels == Tissue.EDEMA, 0, a_result.labels)
    wanted[painted & (wanted != Tissue.SCAR)] = Tissue.EDEMA
    np.testing.assert_array_equal(labels_of(node, lge), wanted)


def test_segments_of_others_are_not_in_it(a_scene, a_result) -> None:
    node, lge = written_and_lge(a_scene, a_result)
    add_segment(node, "Right_ventricle", np.ones_like(a_result.study.mask), HERE)

    np.testing.assert_array_equal(labels_of(node, lge), a_result.labels)


def test_an_emptied_and_a_deleted_segment_are_nowhere(a_scene, a_result) -> None:
    a_result.labels[a_result.labels == Tissue.SCAR] = Tissue.EDEMA
    node, lge = written_and_lge(a_scene, a_result)
    node.GetSegmentation().RemoveSegment(our_segments(node)[Tissue.EDEMA])

    np.testing.assert_array_equal(
        labels_of(node, lge), np.where(a_result.labels == Tissue.EDEMA, 0, a_result.labels))


def test_transforms_of_the_two_count(a_scene, a_result) -> None:
    node, lge = written_and_lge(a_scene, a_result)
    transform, _ = turning(a_scene)
    for one in (node, lge):
        one.SetAndObserveTransformNodeID(transform.GetID())
    np.testing.assert_array_equal(labels_of(node, lge), a_result.labels)

    # the images moved by one row, the segmentation left behind
    matrix = np.eye(4)
    row = np.reshape(HERE.direction, (3, 3))[:, 1] * HERE.spacing[1]
    matrix[:3, 3] = row * (-1, -1, 1)
    node.SetAndObserveTransformNodeID(None)
    lge.SetAndObserveTransformNodeID(a_scene.linear(matrix).GetID())

    found = labels_of(node, lge)
    np.testing.assert_array_equal(found[:, :-1], a_result.labels[:, 1:])


def test_another_grid_takes_the_nearest_voxel(a_scene, a_result) -> None:
    node, _ = written_and_lge(a_scene, a_result)
    fine = Geometry((HERE.spacing[0], HERE.spacing[1], HERE.spacing[2] / 2), HERE.origin,
                    HERE.direction)
    finer = a_scene.volume(np.zeros((5, *a_result.labels.shape[1:])), fine)

    np.testing.assert_array_equal(labels_of(node, finer)[::2], a_result.labels)


def test_it_comes_back_from_a_saved_scene(a_scene, a_result, tmp_path) -> None:
    node, lge = written_and_lge(a_scene, a_result)
    node.SetName("ours")
    lge.SetName("grid")

    opened = saved_and_opened(a_scene, tmp_path, "mrml")

    np.testing.assert_array_equal(
        labels_of(*(opened.mrml.GetFirstNodeByName(n) for n in ("ours", "grid"))),
        a_result.labels)


def test_surfaces_are_refused(a_scene, a_result) -> None:
    node, lge = written_and_lge(a_scene, a_result)
    node.GetSegmentation().CreateRepresentation("Closed surface")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")

    with pytest.raises(InputError, match="kept as surfaces"):
        labels_of(node, lge)


def test_a_non_linear_transform_of_one_is_refused(a_scene, a_result) -> None:
    node, lge = written_and_lge(a_scene, a_result)
    bent = a_scene.add("vtkMRMLGridTransformNode")
    field = slicer.vtkOrientedGridTransform()
    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.SetSpacing(200, 200, 200)
    image.SetOrigin(-300, -300, -300)
    shift = np.zeros((27, 3))
    shift[13] = 4
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(shift, deep=True))
    field.SetDisplacementGridData(image)
    bent.SetAndObserveTransformToParent(field)
    lge.SetAndObserveTransformNodeID(bent.GetID())

    with pytest.raises(InputError, match="one of them non-linear: .* or unlock the slices"):
        labels_of(node, lge)


@pytest.fixture
def a_mask() -> np.ndarray:
    mask = np.zeros((5, 40, 52), bool)
    mask[1, 5:9, 6:20] = mask[3, 5:9, 6:20] = True
    return mask


@pytest.mark.parametrize("crop", [True, False])
def test_the_slices_that_a_mask_is_drawn_on(a_scene, a_mask, crop: bool) -> None:
    volume = a_scene.volume(np.zeros(a_mask.shape), HERE)
    node = a_scene.segmentation(HERE)
    assert masked_slices(node, [], volume) == set()
    add_segment(node, "LV", a_mask, HERE, crop)
    add_segment(node, "RV", np.roll(a_mask, 1, axis=0), HERE, crop)

    assert masked_slices(node, ["Segment_LV"], volume) == {1, 3}
    assert masked_slices(node, ["Segment_LV", "gone"], volume) == {1, 3}
    assert masked_slices(node, [], volume) == {1, 2, 3, 4}


def test_the_slices_of_a_mask_that_is_a_volume_of_labels(a_scene, a_mask) -> None:
    volume = a_scene.volume(np.zeros(a_mask.shape), HERE)
    lower = Geometry(HERE.spacing, tuple(np.add(
        HERE.origin, np.reshape(HERE.direction, (3, 3))[:, 2] * HERE.spacing[2])), HERE.direction)
    labels = a_scene.volume(a_mask.astype(np.int16), lower, kind="vtkMRMLLabelMapVolumeNode")

    assert masked_slices(labels, [], volume) == {2, 4}
    assert labels.GetImageData().GetSpacing() == (1, 1, 1)  # the volume itself is left alone
