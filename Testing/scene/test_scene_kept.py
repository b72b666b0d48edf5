"""What a user has in a scene is kept beside a result, when it fails, and when it is saved."""

from __future__ import annotations

import numpy as np
import pytest
from scene_nodes import turning
from scene_results import expected_ras, lge_of, rows_of, saved_and_opened, voxels_of
from scenes import HERE, a_result_of, numpy_support, scene_ids, state_of, voxels_in_ras
from test_seg_nrrd_in_slicer import CODES

from deepgmm.errors import InputError
from deepgmm.scene import outputs
from deepgmm.scene.drawing import new_mask
from deepgmm.scene.outputs import PROVENANCE, undo, write_result
from deepgmm.scene.recount import recount
from deepgmm.scene.segments import our_segments
from deepgmm.study.study import Geometry
from deepgmm.study.words import Role


@pytest.fixture
def a_users_segmentation(a_scene, a_result):
    mask = np.zeros_like(a_result.study.mask)
    mask[1, 3:9, 40:47] = True
    node = a_scene.segmentation(HERE, blood=mask, Right_ventricle=np.roll(mask, 7, axis=1))
    node.GetSegmentation().GetSegment("Segment_blood").SetColor(0.1, 0.2, 0.3)
    node.GetDisplayNode().SetSegmentOpacity2DFill("Segment_blood", 0.25)
    node.SetAttribute("mine", "yes")
    return node


def test_the_users_segments_stay_as_they_are(a_scene, a_result, a_users_segmentation) -> None:
    before = state_of(a_users_segmentation)["segments"]

    node = write_result(a_result, a_scene.mrml, reference=lge_of(a_scene, a_result),
                        segmentation=a_users_segmentation).segmentation

    assert node is a_users_segmentation
    assert state_of(node)["segments"][:2] == before
    assert set(our_segments(node)) == set(a_result.tissues)
    assert node.GetAttribute("mine") == "yes"


def test_a_second_run_replaces_ours_only(a_scene, a_result, a_users_segmentation) -> None:
    lge = lge_of(a_scene, a_result)
    users = state_of(a_users_segmentation)["segments"]
    first = write_result(a_result, a_scene.mrml, reference=lge, uncertainty=True,
                         segmentation=a_users_segmentation)
    ids = scene_ids(a_scene)
    other = a_result_of(roles=(Role.LGE,), geometry=HERE)

    second = write_result(other, a_scene.mrml, reference=lge, segmentation=first.segmentation)

    assert not second.warnings
    assert state_of(second.segmentation)["segments"][:2] == users
    assert set(our_segments(second.segmentation)) == set(other.tissues)  # no stale edema
    for tissue, one in our_segments(second.segmentation).items():
        np.testing.assert_allclose(voxels_in_ras(second.segmentation, one),
                                   expected_ras(other, tissue, HERE), atol=1e-9)
    assert second.belongings["Numbers"] is first.belongings["Numbers"]
    assert len(rows_of(second.belongings["Numbers"])) == len(other.tissues)
    gone = ids - scene_ids(a_scene)
    assert any("ScalarVolumeNode" in one for one in gone)  # the old uncertainty was of the old fit
    assert scene_ids(a_scene) <= ids


def test_a_users_segment_in_one_layer_with_ours_survives_a_second_run(
    a_scene, a_result, a_users_segmentation
) -> None:
    written = write_result(a_result, a_scene.mrml, segmentation=a_users_segmentation)
    node = written.segmentation
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    users = state_of(node)["segments"][:2]
    assert all(one["voxels"] for one in users)
    other = a_result_of(roles=(Role.LGE,), geometry=HERE)

    write_result(other, a_scene.mrml, segmentation=node)

    assert [s["voxels"] for s in state_of(node)["segments"][:2]] == [s["voxels"] for s in users]
    layer = node.GetSegmentation().GetSegment("Segment_blood").GetRepresentation("Binary labelmap")
    values = np.unique(numpy_support.vtk_to_numpy(layer.GetPointData().GetScalars()))
    assert set(values) <= {0, *(node.GetSegmentation().GetSegment(s).GetLabelValue()
                                for s in ("Segment_blood", "Segment_Right_ventricle"))}
    for tissue, one in our_segments(node).items():
        np.testing.assert_allclose(voxels_in_ras(node, one),
                                   expected_ras(other, tissue, HERE), atol=1e-9)


def test_an_existing_segmentation_keeps_its_linear_transform(
    a_scene, a_result, a_users_segmentation
) -> None:
    transform, _ = turning(a_scene)
    a_users_segmentation.SetAndObserveTransformNodeID(transform.GetID())

    node = write_result(a_result, a_scene.mrml, reference=lge_of(a_scene, a_result),
                        segmentation=a_users_segmentation).segmentation

    assert node.GetTransformNodeID() == transform.GetID()
    for tissue, one in our_segments(node).items():
        np.testing.assert_allclose(voxels_in_ras(node, one),
                                   expected_ras(a_result, tissue, HERE), atol=1e-9)


def test_an_empty_segmentation_is_as_good_as_a_new_one(a_scene, a_result) -> None:
    lge = lge_of(a_scene, a_result)
    transform, _ = turning(a_scene)
    lge.SetAndObserveTransformNodeID(transform.GetID())
    empty = a_scene.add("vtkMRMLSegmentationNode")

    node = write_result(a_result, a_scene.mrml, reference=lge, segmentation=empty).segmentation

    assert node is empty and node.GetTransformNodeID() == transform.GetID()
    assert "Reference image geometry" in node.GetSegmentation().SerializeAllConversionParameters()


def test_another_reference_grid_of_the_users_stays_and_is_said(
    a_scene, a_result, a_users_segmentation
) -> None:
    lge = lge_of(a_scene, a_result)
    finer = lge_of(a_scene, a_result, Geometry((0.5, 0.5, 8.0), HERE.origin, HERE.direction))
    a_users_segmentation.SetReferenceImageGeometryParameterFromVolumeNode(finer)
    before = state_of(a_users_segmentation)["reference"]

    written = write_result(a_result, a_scene.mrml, reference=lge,
                           segmentation=a_users_segmentation)

    assert state_of(written.segmentation)["reference"] == before
    assert any("drawn on another grid" in w for w in written.warnings)


def test_surfaces_are_refused(a_scene, a_result, a_users_segmentation) -> None:
    segmentation = a_users_segmentation.GetSegmentation()
    segmentation.CreateRepresentation("Closed surface")
    segmentation.SetSourceRepresentationName("Closed surface")

    with pytest.raises(InputError, match="kept as surfaces"):
        write_result(a_result, a_scene.mrml, segmentation=a_users_segmentation)


def test_a_reference_that_has_changed_is_refused(a_scene, a_result) -> None:
    other = a_scene.volume(np.zeros((2, 3, 4)), HERE)

    with pytest.raises(InputError, match="changed since the fit .size 4x3x2 against 52x40x3"):
        write_result(a_result, a_scene.mrml, reference=other)


@pytest.mark.parametrize("existing", [True, False], ids=["existing", "new"])
@pytest.mark.parametrize("step", ["put_segments", "_put_belongings", "file_beside"])
def test_what_fails_half_way_leaves_the_scene_as_it_was(
    a_scene, a_result, a_users_segmentation, monkeypatch, step: str, existing: bool
) -> None:
    lge = lge_of(a_scene, a_result)
    node = a_users_segmentation if existing else None
    before, ids = state_of(a_users_segmentation), scene_ids(a_scene)
    real = getattr(outputs, step)

    def fails(*values):
        real(*values)
        raise MemoryError

    monkeypatch.setattr(outputs, step, fails)
    with pytest.raises(MemoryError):
        write_result(a_result, a_scene.mrml, reference=lge, segmentation=node, uncertainty=True)

    assert state_of(a_users_segmentation) == before
    assert scene_ids(a_scene) == ids
    assert not a_scene.mrml.IsBatchProcessing()


def test_no_batch_of_the_scene_is_begun(a_scene, a_result) -> None:
    """At its end Slicer's layout manager makes all views anew."""
    told: list[str] = []
    scene = a_scene.mrml
    for event in (scene.StartBatchProcessEvent, scene.EndBatchProcessEvent):
        scene.AddObserver(event, lambda _, name: told.append(name))
    lge = lge_of(a_scene, a_result)

    written = write_result(a_result, scene, reference=lge, probabilities=True)
    recount(written.segmentation, lge)
    undo(write_result(a_result, scene, reference=lge, segmentation=written.segmentation))
    undo(written)
    new_mask(lge)

    assert not told


@pytest.mark.parametrize("way", ["mrml", "mrb"])
def test_a_saved_scene_brings_everything_back(a_scene, a_result, tmp_path, way: str) -> None:
    lge = lge_of(a_scene, a_result)
    written = write_result(a_result, a_scene.mrml, reference=lge, uncertainty=True)
    written.segmentation.SetName("ours")
    provenance = written.segmentation.GetAttribute(PROVENANCE)
    numbers = rows_of(written.belongings["Numbers"])

    opened = saved_and_opened(a_scene, tmp_path, way)

    node = opened.mrml.GetFirstNodeByName("ours")
    assert node.GetAttribute(PROVENANCE) == provenance
    ids = our_segments(node)
    assert tuple(ids) == a_result.tissues
    for tissue, one in ids.items():
        segment = node.GetSegmentation().GetSegment(one)
        assert segment.GetName() == tissue.title
        assert CODES[tissue][1] in segment.GetTerminology()
        np.testing.assert_allclose(voxels_in_ras(node, one),
                                   expected_ras(a_result, tissue, HERE), atol=1e-9)
    again = rows_of(node.GetNodeReference("DeepGMM.Numbers"))
    assert [r["Tissue"] for r in again] == [r["Tissue"] for r in numbers]
    np.testing.assert_allclose([r["Volume (ml)"] for r in again],
                               [r["Volume (ml)"] for r in numbers], rtol=1e-9)
    np.testing.assert_array_equal(voxels_of(node.GetNodeReference("DeepGMM.Uncertainty")),
                                  a_result.entropy())
    # A second run into the segmentation that was opened again knows which are ours.
    written = write_result(a_result, opened.mrml, segmentation=node)
    assert node.GetSegmentation().GetNumberOfSegments() == len(a_result.tissues)
