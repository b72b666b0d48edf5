"""Numbers after a correction by hand, against counts of the voxels."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import HERE, Scene, numpy_support, slicer, vtk

from deepgmm.errors import InputError
from deepgmm.result import Result
from deepgmm.review.slices import slice_rows
from deepgmm.scene.outputs import undo, write_result
from deepgmm.scene.read_back import provenance_of, records, slices_of
from deepgmm.scene.recount import recount
from deepgmm.scene.segments import our_segments
from deepgmm.study.words import Role, Tissue


def written_to(scene: Scene, result: Result):
    values = result.study.sequences[Role.LGE].values.astype(np.float32)
    lge = scene.volume(values, HERE)
    return write_result(result, scene.mrml, reference=lge), lge


def repaint(segmentation, labels: np.ndarray) -> None:
    """What a user's brush leaves: every segment's voxels as these labels say."""
    for tissue, segment_id in our_segments(segmentation).items():
        drawn = slicer.vtkOrientedImageData()
        segmentation.GetBinaryLabelmapRepresentation(segment_id, drawn)
        whole = slicer.vtkOrientedImageData()
        whole.DeepCopy(drawn)
        whole.SetExtent(0, labels.shape[2] - 1, 0, labels.shape[1] - 1, 0, labels.shape[0] - 1)
        whole.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        into = numpy_support.vtk_to_numpy(whole.GetPointData().GetScalars())
        into[:] = (labels == tissue).ravel()
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
            whole, segmentation, segment_id,
            slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE, whole.GetExtent())


def numbers(segmentation) -> dict[str, dict]:
    return {row["Tissue"]: row for row in records(segmentation, "Numbers")}


def test_nothing_changes_where_nothing_was_corrected(a_scene: Scene, a_result: Result) -> None:
    written, lge = written_to(a_scene, a_result)
    before = numbers(written.segmentation), slices_of(written.segmentation)

    assert recount(written.segmentation, lge) == []

    assert (numbers(written.segmentation), slices_of(written.segmentation)) == before
    assert slices_of(written.segmentation) == slice_rows(a_result)


def test_volumes_shares_and_areas_follow_the_brush(a_scene: Scene, a_result: Result) -> None:
    written, lge = written_to(a_scene, a_result)
    node = written.segmentation
    before = numbers(node)
    labels = a_result.labels.copy()
    labels[1][labels[1] == Tissue.SCAR] = Tissue.MYOCARDIUM
    repaint(node, labels)

    assert recount(node, lge) == ["Myocardium", "Scar"]

    after, voxel = numbers(node), a_result.study.geometry.voxel_volume
    for tissue in a_result.tissues:
        assert after[tissue.title]["Volume (ml)"] == pytest.approx(
            (labels == tissue).sum() * voxel)
    wall = np.isin(labels, (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)).sum()
    assert after["Scar"]["Percent of wall"] == pytest.approx(
        100 * (labels == Tissue.SCAR).sum() / wall)
    assert after["Scar"]["90 % from (ml)"] is None
    assert after["Blood"] == before["Blood"]
    assert slices_of(node)[1]["areas_mm2"]["Scar"] == 0
    assert slices_of(node)[0] == slice_rows(a_result)[0]
    assert provenance_of(node)["corrected_tissues"] == ["Myocardium", "Scar"]


def test_the_interval_stays_away_once_a_tissue_was_corrected(
    a_scene: Scene, a_result: Result
) -> None:
    written, lge = written_to(a_scene, a_result)
    labels = a_result.labels.copy()
    labels[labels == Tissue.SCAR] = Tissue.MYOCARDIUM
    repaint(written.segmentation, labels)
    recount(written.segmentation, lge)

    assert recount(written.segmentation, lge) == ["Myocardium", "Scar"]
    assert numbers(written.segmentation)["Scar"]["Volume (ml)"] == 0


def test_undo_after_a_recount_brings_the_earlier_numbers_back(
    a_scene: Scene, a_result: Result
) -> None:
    written, lge = written_to(a_scene, a_result)
    before = numbers(written.segmentation)
    again = write_result(a_result, a_scene.mrml, reference=lge, segmentation=written.segmentation)
    repaint(again.segmentation, np.where(a_result.labels == 4, 2, a_result.labels))
    recount(again.segmentation, lge)
    assert numbers(again.segmentation) != before

    undo(again)

    assert numbers(written.segmentation) == before


def test_a_segmentation_of_others_and_a_moved_volume_are_refused(
    a_scene: Scene, a_result: Result
) -> None:
    written, lge = written_to(a_scene, a_result)
    other = a_scene.segmentation(HERE, LV=a_result.study.mask)
    with pytest.raises(InputError, match="no result of DeepGMM"):
        recount(other, lge)
    lge.SetOrigin(1.0, 2.0, 3.0)
    with pytest.raises(InputError, match="press Apply again"):
        recount(written.segmentation, lge)
