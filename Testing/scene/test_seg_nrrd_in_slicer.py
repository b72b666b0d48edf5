"""What 3D Slicer's own classes make of the `.seg.nrrd` files that we write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from deepgmm.reading.images.grids import image_of
from deepgmm.reading.masks.labelmap import read_labels, write_image
from deepgmm.reading.masks.lv_mask import read_mask
from deepgmm.reading.masks.seg_nrrd import (
    OWN_CONTEXT,
    mask_seg_nrrd_image,
    seg_nrrd_image,
    terminology_entry,
)
from deepgmm.study.study import Geometry
from deepgmm.study.words import COLOURS, Tissue

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (extra `scene`)")
vtk = pytest.importorskip("vtk", reason="vtk is not installed (extra `scene`)")
numpy_support = pytest.importorskip("vtk.util.numpy_support")

from deepgmm.scene.proposals import mark_looked_at, proposal_in  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TERMS = ROOT / "DeepGMMSegmentation/Logic/deepgmm/data/terminology/DeepGMM.term.json"
FOUR = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def turned(angles: tuple[float, float, float], mirrored: bool) -> tuple[float, ...]:
    """Direction cosines turned about three axes, the last axis turned round if mirrored."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (k for k in range(3) if k != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    if mirrored:
        matrix[:, 2] *= -1
    return tuple(matrix.ravel())


GRIDS = {
    "straight": Geometry((1.25, 1.25, 10.0), (0.0, 0.0, 0.0)),
    "anisotropic": Geometry((0.8203125, 1.40625, 9.7), (-130.5, 12.25, 1e3 / 7)),
    "oblique": Geometry(
        (1.3, 1.1, 8.0), (-71.1, 33.3 / 7, -210.0), turned((0.6, -0.4, 1.1), False)),
    "left-handed": Geometry((1.3, 1.1, 8.0), (5.5, -4.0, 3.0), turned((0.3, 0.9, -2.0), True)),
    "almost straight": Geometry(
        (1.0, 1.0, 8.0), (0.0, 0.0, 0.0), turned((1e-7, 0.0, 0.0), False)),
}


@pytest.fixture
def asymmetric_labels() -> npt.NDArray[np.uint8]:
    """Four tissues without any symmetry, on a grid with three different sizes."""
    labels = np.zeros((4, 11, 17), np.uint8)
    labels[1, 2:9, 3:13] = Tissue.MYOCARDIUM
    labels[1, 4:7, 5:9] = Tissue.BLOOD
    labels[2, 3:9, 4:9] = Tissue.MYOCARDIUM
    labels[2, 3:5, 6:9] = Tissue.EDEMA
    labels[2, 3, 7] = Tissue.SCAR
    labels[3, 10, 16] = Tissue.SCAR
    return labels


@pytest.fixture
def a_scene():
    scene = slicer.vtkMRMLScene()
    yield scene
    scene.Clear(True)


def opened(scene, path: Path):
    """The segmentation node as Slicer's reader makes it."""
    node = slicer.vtkMRMLSegmentationNode()
    scene.AddNode(node)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return node


def voxels_in_ras(node, segment_id: str) -> npt.NDArray[np.float64]:
    """(voxels, 3) where in the patient a segment's voxels lie, by Slicer's account."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    first = image.GetExtent()[::2]
    sizes = image.GetDimensions()
    if not all(sizes):
        return np.empty((0, 3))
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_ras = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    scalars = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    found = np.argwhere(scalars.reshape(sizes[::-1]))[:, ::-1] + first
    return placed(found, to_ras)


def placed(ijk: npt.NDArray[np.int_], matrix: npt.NDArray[np.float64]):
    return (np.c_[ijk, np.ones(len(ijk))] @ matrix.T)[:, :3]


def written(folder: Path, labels, geometry: Geometry, tissues=FOUR) -> Path:
    path = folder / "heart.seg.nrrd"
    write_image(seg_nrrd_image(labels, geometry, tissues), path, "segmentation")
    return path


@pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())
def test_every_voxel_is_in_its_place_in_the_patient(
    a_scene, asymmetric_labels, geometry: Geometry, tmp_path: Path
) -> None:
    node = opened(a_scene, written(tmp_path, asymmetric_labels, geometry))

    for tissue in FOUR:
        ours = np.argwhere(asymmetric_labels == tissue)[:, ::-1]
        np.testing.assert_allclose(
            voxels_in_ras(node, tissue.name.lower()),
            placed(ours, TO_RAS @ geometry.index_to_world()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())
def test_the_grid_is_kept_to_1e_12(
    a_scene, asymmetric_labels, geometry: Geometry, tmp_path: Path
) -> None:
    node = opened(a_scene, written(tmp_path, asymmetric_labels, geometry))

    text = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    reference = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, reference, False)
    matrix = vtk.vtkMatrix4x4()
    reference.GetImageToWorldMatrix(matrix)
    theirs = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    ours = TO_RAS @ geometry.index_to_world()
    np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-12)
    assert reference.GetExtent() == (0, 16, 0, 10, 0, 3)


def test_names_colours_and_label_values_are_ours(
    a_scene, asymmetric_labels, tmp_path: Path
) -> None:
    node = opened(a_scene, written(tmp_path, asymmetric_labels, GRIDS["oblique"]))

    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 4
    for number, tissue in enumerate(FOUR):
        segment = segmentation.GetNthSegment(number)
        assert segment.GetName() == tissue.title
        assert segment.GetLabelValue() == tissue
        assert [round(c * 255) for c in segment.GetColor()] == list(COLOURS[tissue])
        assert not segment.GetNameAutoGenerated()
        assert not segment.GetColorAutoGenerated()


@pytest.fixture
def slicers_terminologies():
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.LoadTerminologyFromFile(str(TERMS)) == OWN_CONTEXT
    return logic


CODES = {
    Tissue.BLOOD: ("85756007", "87612001"),
    Tissue.MYOCARDIUM: ("85756007", "74281007"),
    Tissue.EDEMA: ("49755003", "79654002"),
    Tissue.SCAR: ("85756007", "12402003"),
    Tissue.MVO: ("49755003", "MVO"),
}


@pytest.mark.parametrize("tissue", CODES)
def test_slicer_understands_the_terminology(
    a_scene, slicers_terminologies, asymmetric_labels, tissue: Tissue, tmp_path: Path
) -> None:
    asymmetric_labels[0, 0, 0] = Tissue.MVO
    node = opened(a_scene, written(tmp_path, asymmetric_labels, GRIDS["oblique"], tuple(CODES)))

    text = node.GetSegmentation().GetSegment(tissue.name.lower()).GetTerminology()
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicers_terminologies.DeserializeTerminologyEntry(text, entry)
    category, kind, region = (entry.GetCategoryObject(), entry.GetTypeObject(),
                              entry.GetRegionObject())
    assert (category.GetCodeValue(), kind.GetCodeValue()) == CODES[tissue]
    assert category.GetCodingSchemeDesignator() == "SCT"
    assert (region.GetCodingSchemeDesignator(), region.GetCodeValue()) == ("SCT", "87878005")
    assert slicers_terminologies.SerializeTerminologyEntry(entry) == terminology_entry(tissue)


@pytest.mark.parametrize("tissue", CODES)
def test_our_own_terms_list_every_tissue_in_its_colour(
    slicers_terminologies, tissue: Tissue
) -> None:
    logic = slicers_terminologies
    found = {}
    for i in range(logic.GetNumberOfCategoriesInTerminology(OWN_CONTEXT)):
        category = slicer.vtkSlicerTerminologyCategory()
        logic.GetNthCategoryInTerminology(OWN_CONTEXT, i, category)
        for j in range(logic.GetNumberOfTypesInTerminologyCategory(OWN_CONTEXT, category)):
            kind = slicer.vtkSlicerTerminologyType()
            logic.GetNthTypeInTerminologyCategory(OWN_CONTEXT, category, j, kind)
            code = category.GetCodeValue(), kind.GetCodeValue()
            found[code] = kind.GetRecommendedDisplayRGBValue()
    assert tuple(found[CODES[tissue]]) == COLOURS[tissue]


def test_an_absent_tissue_is_an_empty_segment(
    a_scene, asymmetric_labels, tmp_path: Path
) -> None:
    asymmetric_labels[asymmetric_labels == Tissue.SCAR] = 0
    node = opened(a_scene, written(tmp_path, asymmetric_labels, GRIDS["straight"]))

    assert node.GetSegmentation().GetSegment("scar").GetName() == "Scar"
    assert len(voxels_in_ras(node, "scar")) == 0
    assert len(voxels_in_ras(node, "edema")) == (asymmetric_labels == Tissue.EDEMA).sum()


def test_a_segmentation_with_nothing_in_it_opens(a_scene, tmp_path: Path) -> None:
    path = written(tmp_path, np.zeros((2, 5, 7), np.uint8), GRIDS["oblique"])

    node = opened(a_scene, path)

    assert node.GetSegmentation().GetNumberOfSegments() == 4
    assert len(voxels_in_ras(node, "blood")) == 0


def saved_by_slicer(node, path: Path, *, crop: bool = False) -> Path:
    storage = slicer.vtkMRMLSegmentationStorageNode()
    node.GetScene().AddNode(storage)
    storage.SetFileName(str(path))
    storage.SetCropToMinimumExtent(crop)
    assert storage.WriteData(node) == 1
    return path


def header_of(path: Path) -> dict[str, str]:
    text = path.read_bytes().partition(b"\n\n")[0].decode()
    return dict(line.split(":=", 1) for line in text.splitlines() if ":=" in line)


def test_our_header_says_what_slicer_itself_would_write(
    a_scene, asymmetric_labels, tmp_path: Path
) -> None:
    path = written(tmp_path, asymmetric_labels, GRIDS["oblique"])
    slicers = header_of(saved_by_slicer(opened(a_scene, path), tmp_path / "slicers.seg.nrrd"))
    ours = header_of(path)

    # Slicer adds the defaults of its other conversions to this one; renamed is the other.
    conversion = "Segmentation_ConversionParameters"
    assert "Reference image geometry" in slicers.pop(conversion)
    assert "Reference image geometry" in ours.pop(conversion)
    source = {"Segmentation_MasterRepresentation", "Segmentation_SourceRepresentation"}
    assert slicers.keys() & source
    assert ours.keys() == slicers.keys() | source
    assert {key: ours[key] for key in slicers} == slicers


@pytest.mark.parametrize("crop", [False, True], ids=["whole", "cropped"])
@pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())
def test_what_slicer_saves_again_we_read_back(
    a_scene, asymmetric_labels, geometry: Geometry, crop: bool, tmp_path: Path
) -> None:
    node = opened(a_scene, written(tmp_path, asymmetric_labels, geometry))

    again = read_labels(saved_by_slicer(node, tmp_path / "again.seg.nrrd", crop=crop))

    assert crop == (again.values.shape != asymmetric_labels.shape)
    np.testing.assert_array_equal(
        again.on(geometry, asymmetric_labels.shape), asymmetric_labels)


def test_segments_are_known_by_terminology_whatever_slicer_calls_and_counts_them(
    a_scene, asymmetric_labels, tmp_path: Path
) -> None:
    node = opened(a_scene, written(tmp_path, asymmetric_labels, GRIDS["oblique"]))
    segmentation = node.GetSegmentation()
    segmentation.GetSegment("scar").SetName("Narbe, geprüft")
    segmentation.SetSegmentIndex("scar", 0)

    again = read_labels(saved_by_slicer(node, tmp_path / "again.seg.nrrd"))

    np.testing.assert_array_equal(again.values, asymmetric_labels)


def test_where_slicers_segments_overlap_scar_wins_over_edema(
    a_scene, asymmetric_labels, tmp_path: Path
) -> None:
    node = opened(a_scene, written(tmp_path, asymmetric_labels, GRIDS["straight"]))
    infarct = np.isin(asymmetric_labels, (Tissue.EDEMA, Tissue.SCAR))
    scar_only = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation("edema", scar_only)
    whole = vtk.vtkImageData()
    whole.SetDimensions(17, 11, 4)
    whole.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    numpy_support.vtk_to_numpy(whole.GetPointData().GetScalars())[:] = infarct.ravel()
    edema_and_scar = slicer.vtkOrientedImageData()
    edema_and_scar.ShallowCopy(whole)
    matrix = vtk.vtkMatrix4x4()
    scar_only.GetImageToWorldMatrix(matrix)
    edema_and_scar.SetGeometryFromImageToWorldMatrix(matrix)
    node.GetSegmentation().SeparateSegmentLabelmap("edema")
    node.GetSegmentation().GetSegment("edema").AddRepresentation(
        "Binary labelmap", edema_and_scar)
    node.GetSegmentation().GetSegment("edema").SetLabelValue(1)
    path = saved_by_slicer(node, tmp_path / "layers.seg.nrrd")

    assert b"dimension: 4" in path.read_bytes()[:400]
    np.testing.assert_array_equal(read_labels(path).values, asymmetric_labels)


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_proposal_says_so_through_slicer_and_back(a_scene, tmp_path: Path,
                                                    looked_at: bool) -> None:
    mask, grid = np.zeros((3, 12, 14), bool), GRIDS["oblique"]
    mask[1:, 3:9, 4:11] = True
    note = {"looked_at": False, "warnings": ["look: at \"every\" slice"],
            "provenance": {"proposed": True, "confidence": [0.0, 0.5, 0.97]}}
    first = tmp_path / "lv.seg.nrrd"
    write_image(mask_seg_nrrd_image(mask, grid, note), first, "LV mask")
    node = opened(a_scene, first)
    found = proposal_in(node)
    assert found is not None and found["provenance"] == note["provenance"]
    assert found["warnings"] == note["warnings"] and not found["looked_at"]
    mark_looked_at(node, looked_at=looked_at)
    again = read_mask(saved_by_slicer(node, tmp_path / "again.seg.nrrd"),
                      image_of(mask.astype(np.uint8), grid))
    assert (again.mask == mask).all()
    assert any("was proposed" in one for one in again.warnings) == (not looked_at)
