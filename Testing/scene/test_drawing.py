"""An LV mask is begun, recognised among segments, and looked over; a cine's frame is known."""

from __future__ import annotations

import numpy as np
import pytest
from scene_nodes import KINDS, MOVED, a_cine, ventricle
from scenes import HERE, Scene, add_segment, slicer, vtk

from deepgmm.errors import InputError
from deepgmm.scene.drawing import SEGMENT, drawn_faults, new_mask, usual_segments
from deepgmm.scene.inputs import study_from_nodes
from deepgmm.scene.outputs import write_result
from deepgmm.scene.stacks import shown_frame
from deepgmm.study.study import Study
from deepgmm.study.words import Role


def lge_of(scene: Scene, heart: Study):
    return scene.volume(heart.sequences[Role.LGE].values, HERE)


def draw(node, mask: np.ndarray, scene: Scene) -> None:
    """As an effect of the segment editor does, by Slicer's own logic, on the reference grid."""
    labelmap = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(
        node.GetSegmentation().GetConversionParameter("Reference image geometry"), labelmap, False)
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    from vtk.util.numpy_support import vtk_to_numpy

    vtk_to_numpy(labelmap.GetPointData().GetScalars())[:] = mask.ravel()
    assert slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        labelmap, node, SEGMENT)


def test_a_new_mask_lies_on_the_volumes_grid_and_beside_it(a_scene, a_heart) -> None:
    lge = lge_of(a_scene, a_heart)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(a_scene.mrml)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Patient")
    hierarchy.CreateItem(folder, lge)

    node = new_mask(lge)

    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())] \
        == [SEGMENT]
    role = node.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is lge
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder
    assert node.GetDisplayNode().GetSegmentOpacity2DFill(SEGMENT) < 0.3  # one must see the image
    assert "Left Ventricle" in segmentation.GetSegment(SEGMENT).GetTerminology()


@pytest.mark.parametrize("moved", [False, True], ids=["plain", "under a transform"])
def test_what_is_drawn_in_it_is_the_study_s_mask_voxel_for_voxel(a_scene, a_heart, moved) -> None:
    lge = lge_of(a_scene, a_heart)
    if moved:
        lge.SetAndObserveTransformNodeID(a_scene.linear(MOVED).GetID())
    node = new_mask(lge)
    draw(node, a_heart.mask, a_scene)

    study = study_from_nodes(lge=lge, mask=node, segments=[SEGMENT], kinds=KINDS)

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    assert not [w for w in study.warnings if "resampled" in w]


def test_two_new_masks_have_different_names(a_scene, a_heart) -> None:
    lge = lge_of(a_scene, a_heart)
    assert new_mask(lge).GetName() != new_mask(lge).GetName()


@pytest.mark.parametrize(("names", "taken"), [
    (["anything"], ["anything"]),
    (["LV", "RV"], ["LV"]),
    (["epi", "endo"], ["epi", "endo"]),
    (["RV_epi", "LV_endo", "LV_epi", "RV_endo"], ["LV_endo", "LV_epi"]),
    (["Blood", "Epicardium", "Myocardium"], ["Blood", "Epicardium"]),
    (["LV_epi", "Aorta"], ["LV_epi"]),
    (["LV_endo", "myo", "RV"], ["LV_endo", "myo"]),
    (["LV", "LV_epi", "LV_endo"], []),
    (["RV", "Left_ventricle", "Aorta"], ["Left_ventricle"]),
    (["Blood", "Myocardium", "RV"], ["Blood", "Myocardium"]),
    (["LV_blood_pool", "LV_wall", "RV_wall"], ["LV_blood_pool", "LV_wall"]),
    (["Blood", "Edema", "Scar", "Myocardium"], ["Blood", "Edema", "Scar", "Myocardium"]),
    (["Myocardium", "Scar"], []),
    (["Segment_1", "Segment_2"], []),
    (["LV", "Left_ventricle"], []),
])
def test_segments_are_known_by_their_names(a_scene, a_heart, names, taken) -> None:
    node = a_scene.segmentation(HERE, **dict.fromkeys(names, a_heart.mask))
    assert usual_segments(node) == [f"Segment_{name}" for name in taken]


def test_segments_of_an_earlier_result_are_the_ventricle_again(a_scene, a_result) -> None:
    written = write_result(a_result, a_scene.mrml)
    node = written.segmentation
    assert usual_segments(node) == ["blood", "myocardium", "edema", "scar"]
    assert usual_segments(a_scene.segmentation(HERE)) == []


def test_a_slip_in_a_drawn_mask_is_said(a_scene, a_heart) -> None:
    node = a_scene.segmentation(HERE)
    mask = a_heart.mask.copy()
    mask[1] = False
    pool, wall = ventricle(a_heart)
    add_segment(node, "LV", mask, HERE, crop=True)
    faults, warnings = drawn_faults(node, ["Segment_LV"], lge_of(a_scene, a_heart), "LGE")
    assert [str(f).split(";")[0] for f in faults] == [
        "slice 1: nothing is drawn between slices that are"]
    assert warnings == []


def test_segments_are_looked_over_together(a_scene, a_heart) -> None:
    pool, wall = ventricle(a_heart)
    node = a_scene.segmentation(HERE, Blood=pool, Myocardium=wall)
    lge = lge_of(a_scene, a_heart)
    assert drawn_faults(node, ["Segment_Blood", "Segment_Myocardium"], lge, "LGE")[0] == []
    alone, _ = drawn_faults(node, ["Segment_Myocardium"], lge, "LGE")
    assert {fault.what.split(" of ")[0] for fault in alone} == {"a hole"}


def test_a_mask_elsewhere_is_said(a_scene, a_heart) -> None:
    node = a_scene.segmentation(HERE, LV=a_heart.mask)
    far = np.eye(4)
    far[0, 3] = 900.0
    node.SetAndObserveTransformNodeID(a_scene.linear(far).GetID())
    with pytest.raises(InputError):
        drawn_faults(node, ["Segment_LV"], lge_of(a_scene, a_heart), "LGE")


def played(scene: Scene, *sequences):
    browser = scene.add("vtkMRMLSequenceBrowserNode")
    for sequence in sequences:
        browser.AddSynchronizedSequenceNode(sequence)
    return browser


def test_the_frame_that_a_volume_shows_is_known(a_scene, a_heart) -> None:
    cine = a_cine(a_scene, a_heart)
    browser = played(a_scene, cine)
    browser.SetSelectedItemNumber(2)
    shown = browser.GetProxyNode(cine)
    assert shown_frame(shown) == (cine, 2)
    assert shown_frame(lge_of(a_scene, a_heart)) is None
    assert shown_frame(None) is None


def test_the_frame_of_a_second_sequence_is_that_of_the_same_time(a_scene, a_heart) -> None:
    first, second = a_cine(a_scene, a_heart), a_cine(a_scene, a_heart)
    second.RemoveDataNodeAtValue("0")  # its frames are those at 200 ms and later
    browser = played(a_scene, first, second)
    browser.SetSelectedItemNumber(3)
    assert shown_frame(browser.GetProxyNode(first)) == (first, 3)
    found = shown_frame(browser.GetProxyNode(second))
    assert found is not None
    assert found[0].GetNthIndexValue(found[1]) == first.GetNthIndexValue(3)


def test_which_frame_was_shown_is_kept(a_scene, a_heart) -> None:
    cine = a_cine(a_scene, a_heart)
    browser = played(a_scene, cine)
    browser.SetSelectedItemNumber(3)
    slicer.vtkSlicerSequencesLogic().UpdateProxyNodesFromSequences(browser)

    study = study_from_nodes(bssfp=browser.GetProxyNode(cine), lge=lge_of(a_scene, a_heart),
                             mask=a_scene.segmentation(HERE, LV=a_heart.mask), kinds=KINDS)

    assert study.provenance["bssfp_phase"] == {"frame": 3, "of": 5,
                                               "why": "shown when it was taken"}
    np.testing.assert_array_equal(study.sequences[Role.BSSFP].values,
                                  a_heart.sequences[Role.BSSFP].values.astype(np.float32))


def test_labels_that_say_too_little_point_to_segments(a_scene, a_heart) -> None:
    # 3 lies along the outside of the wall: to some the right ventricle, to others edema
    pool, wall = ventricle(a_heart)
    labels = (1 * pool + 2 * wall).astype(np.uint8)
    labels[wall & (np.indices(wall.shape)[2] > np.argwhere(wall).mean(axis=0)[2] + 3)] = 3
    node = a_scene.volume(labels, HERE, kind="vtkMRMLLabelMapVolumeNode")
    try:
        said = study_from_nodes(lge=lge_of(a_scene, a_heart), mask=node, kinds=KINDS).warnings
    except InputError as error:
        said = [str(error)]
    (text,) = [one for one in said if "convert the labelmap to a segmentation" in one]
    assert "mask labels" not in text and "--" not in text


@pytest.mark.parametrize(("values", "start"), [
    ((3, 2, 0), "the LV mask's labels look like those of ACDC: convert"),
    ((3, 2, 1), "1 was taken for the right ventricle and left out: convert"),
    ((70, 80, 0), "every value but 0 was taken as inside: convert"),
], ids=["wall unused", "right ventricle left out", "unknown"])
def test_labels_are_explained_by_what_the_window_has(a_scene, a_heart, values, start) -> None:
    pool, wall = ventricle(a_heart)
    blood, ring, other = values
    beside = ~a_heart.mask & np.roll(a_heart.mask, 16, axis=2)
    labels = (blood * pool + ring * wall + other * beside).astype(np.uint8)
    node = a_scene.volume(labels, HERE, kind="vtkMRMLLabelMapVolumeNode")
    said = study_from_nodes(lge=lge_of(a_scene, a_heart), mask=node, kinds=KINDS).warnings
    (text,) = [one for one in said if "convert the labelmap to a segmentation" in one]
    assert start in text and "mask labels" not in text and "--" not in text
