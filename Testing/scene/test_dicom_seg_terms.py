"""What Slicer's export to DICOM SEG asks of a segment is there, and is what DICOM takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenes import HERE, a_result_of, slicer, vtk
from test_seg_nrrd_in_slicer import CODES, opened, written

from deepgmm.scene.outputs import write_result
from deepgmm.study.study import Geometry
from deepgmm.study.words import Tissue

highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed (extra `dicom`)")
coding = pytest.importorskip("pydicom.sr.coding")


def tag(segment, name: str) -> str:
    value = vtk.reference("")
    assert segment.GetTag(name, value), name
    return str(value)


def described(segment, number: int):
    """A segment as a DICOM SEG describes it, from what the exporter reads; it knows no list of
    terms but those that Slicer has loaded, here none."""
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.DeserializeTerminologyEntry(tag(segment, "TerminologyEntry"), entry)
    category, kind, region = (
        coding.Code(one.GetCodeValue(), one.GetCodingSchemeDesignator(), one.GetCodeMeaning())
        for one in (entry.GetCategoryObject(), entry.GetTypeObject(), entry.GetRegionObject()))
    name = tag(segment, "DICOM.SegmentAlgorithmName")
    return highdicom.seg.SegmentDescription(
        segment_number=number, segment_label=segment.GetName(),
        segmented_property_category=category, segmented_property_type=kind,
        algorithm_type=tag(segment, "DICOM.SegmentAlgorithmType"),
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=name, version="1", family=coding.Code("123109", "DCM", "Manual Processing")),
        anatomic_regions=[region])


@pytest.fixture
def a_result_with_obstruction():
    result = a_result_of(geometry=HERE)
    result.labels[1][result.labels[1] == Tissue.SCAR] = Tissue.MVO
    return result


def test_every_segment_of_a_result_can_be_described_in_dicom(
    a_scene, a_result_with_obstruction
) -> None:
    node = write_result(a_result_with_obstruction, a_scene.mrml).segmentation

    segments = [node.GetSegmentation().GetNthSegment(i) for i in range(5)]
    said = [described(segment, i + 1) for i, segment in enumerate(segments)]

    assert [(str(one.segmented_property_category.value), str(one.segmented_property_type.value))
            for one in said] == [CODES[tissue] for tissue in sorted(CODES)]
    assert all(one.algorithm_type.value == "SEMIAUTOMATIC" for one in said)  # the mask is drawn
    assert all(one.SegmentAlgorithmName == "DeepGMM" for one in said)
    assert all(one.anatomic_regions[0].value == "87878005" for one in said)


def test_so_can_those_of_a_file_of_the_command_line(tmp_path: Path) -> None:
    scene = slicer.vtkMRMLScene()
    result = a_result_of(geometry=Geometry((1.3, 1.1, 8.0)))

    node = opened(scene, written(tmp_path, result.labels, result.study.geometry))

    for i in range(4):
        one = described(node.GetSegmentation().GetNthSegment(i), i + 1)
        assert one.SegmentAlgorithmName == "DeepGMM"
