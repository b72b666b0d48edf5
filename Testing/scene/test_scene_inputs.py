"""Nodes of a scene become a study, and the scene stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import (
    OBLIQUE,
    Scene,
    a_result_of,
    add_segment,
    filled,
    numpy_support,
    scene_ids,
    slicer,
    vtk,
)
from test_seg_nrrd_in_slicer import GRIDS, turned

from deepgmm.errors import InputError
from deepgmm.scene.inputs import guess_of, study_from_nodes
from deepgmm.scene.outputs import write_result
from deepgmm.scene.places import as_array, as_vtk
from deepgmm.scene.segments import our_segments
from deepgmm.study.checks import check_study
from deepgmm.study.cine import image_of
from deepgmm.study.seg_nrrd import terminology_entry
from deepgmm.study.study import Geometry, Study
from deepgmm.study.words import Kind, Role, Tissue

KINDS = {Role.BSSFP: "bssfp", Role.LGE: "magnitude", Role.T2: "dark-blood"}
HERE = Geometry((1.3, 1.1, 8.0), (-71.1, 33.3, -210.0), OBLIQUE)


@pytest.fixture
def a_scene() -> Scene:
    return Scene()


@pytest.fixture
def a_heart() -> Study:
    return a_result_of(geometry=HERE).study


def volumes(scene: Scene, study: Study, geometry: Geometry | None = None):
    return {role.value: scene.volume(s.values, geometry or study.geometry)
            for role, s in study.sequences.items()}


def ventricle(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Blood pool and wall of the small study, apart."""
    pool = np.zeros_like(study.mask)
    for i, one in enumerate(study.mask):
        rows, columns = np.nonzero(one)
        y, x = np.indices(one.shape)
        radius = np.hypot(y - rows.mean(), x - columns.mean())
        pool[i] = radius < 0.5 * np.sqrt(one.sum() / np.pi)
    return pool, study.mask & ~pool


@pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())
def test_voxels_and_grid_come_over_whole(a_scene, geometry: Geometry) -> None:
    heart = a_result_of(geometry=geometry).study
    nodes = volumes(a_scene, heart)
    mask = a_scene.segmentation(geometry, LV=heart.mask)

    study = study_from_nodes(**nodes, mask=mask, kinds=KINDS)

    assert study.roles == tuple(Role)
    np.testing.assert_array_equal(study.mask, heart.mask)
    for role in Role:
        np.testing.assert_array_equal(study.sequences[role].values,
                                      heart.sequences[role].values.astype(np.float32))
    np.testing.assert_allclose(study.geometry.index_to_world(), geometry.index_to_world(),
                               rtol=1e-12, atol=1e-9)
    assert not [w for w in study.warnings if "resampled" in w or "brought" in w]


def test_a_mask_cropped_as_slicer_crops_it_lies_where_it_was_drawn(a_scene, a_heart) -> None:
    mask = a_scene.segmentation(HERE)
    add_segment(mask, "LV", a_heart.mask, HERE, crop=True)

    study = study_from_nodes(**volumes(a_scene, a_heart), mask=mask, kinds=KINDS)

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    assert not [w for w in study.warnings if "resampled" in w]


def test_the_grid_is_lges_else_t2s(a_scene, a_heart) -> None:
    finer = Geometry((1.0, 1.0, 8.0), HERE.origin, HERE.direction)
    lge = a_scene.volume(a_heart.sequences[Role.LGE].values, HERE)
    t2 = a_scene.volume(a_heart.sequences[Role.T2].values, finer)
    bssfp = a_scene.volume(a_heart.sequences[Role.BSSFP].values, HERE)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)

    def spacing(**nodes):
        return study_from_nodes(**nodes, mask=mask, kinds=KINDS).geometry.spacing

    assert spacing(lge=lge, t2=t2) == pytest.approx(HERE.spacing)
    assert spacing(bssfp=bssfp, t2=t2) == pytest.approx(finer.spacing)


def test_several_segments_are_taken_together(a_scene, a_heart) -> None:
    pool, wall = ventricle(a_heart)
    mask = a_scene.segmentation(HERE, one=pool, two=wall, RV=~a_heart.mask)

    study = study_from_nodes(**volumes(a_scene, a_heart), mask=mask, kinds=KINDS,
                             segments=["Segment_one", "Segment_two"])

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    assert study.wall is None  # nothing says which is which


def test_blood_and_wall_that_are_apart_stay_apart(a_scene, a_heart) -> None:
    pool, wall = ventricle(a_heart)
    mask = a_scene.segmentation(HERE, Blutpool=pool, Myocardium=wall)
    mask.GetSegmentation().GetSegment("Segment_Blutpool").SetTerminology(
        terminology_entry(Tissue.BLOOD))

    study = study_from_nodes(**volumes(a_scene, a_heart), mask=mask, kinds=KINDS,
                             segments=["Segment_Blutpool", "Segment_Myocardium"])

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    np.testing.assert_array_equal(study.wall, wall)


def test_blood_and_wall_that_overlap_are_one_mask_and_it_is_said(a_scene, a_heart) -> None:
    pool, _ = ventricle(a_heart)
    mask = a_scene.segmentation(HERE, Blood=pool, Myocardium=a_heart.mask)

    study = study_from_nodes(**volumes(a_scene, a_heart), mask=mask, kinds=KINDS,
                             segments=["Segment_Blood", "Segment_Myocardium"])

    assert study.wall is None
    assert any(f"overlap in {pool.sum()} voxels" in w for w in study.warnings)


def test_a_labelmap_is_a_mask_and_by_name_a_wall(a_scene, a_heart) -> None:
    pool, wall = ventricle(a_heart)
    labels = a_scene.volume((3 * pool + 2 * wall).astype(np.uint8), HERE,
                            kind="vtkMRMLLabelMapVolumeNode")
    nodes = volumes(a_scene, a_heart)

    plain = study_from_nodes(**nodes, mask=labels, mask_labels="plain", kinds=KINDS)
    acdc = study_from_nodes(**nodes, mask=labels, mask_labels="acdc", kinds=KINDS)

    np.testing.assert_array_equal(plain.mask, a_heart.mask)
    assert plain.wall is None
    np.testing.assert_array_equal(acdc.wall, wall)


def test_a_segment_that_is_kept_as_a_surface_is_a_mask_too(a_scene, a_heart) -> None:
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)
    mask.SetReferenceImageGeometryParameterFromVolumeNode(
        nodes := volumes(a_scene, a_heart)["lge"])
    segmentation = mask.GetSegmentation()
    assert segmentation.CreateRepresentation("Closed surface")
    segmentation.SetSourceRepresentationName("Closed surface")
    segmentation.RemoveRepresentation("Binary labelmap")

    study = study_from_nodes(lge=nodes, mask=mask, kinds=KINDS)

    both = (study.mask & a_heart.mask).sum() * 2 / (study.mask.sum() + a_heart.mask.sum())
    assert both > 0.9
    assert not segmentation.ContainsRepresentation("Binary labelmap")


MOVED = np.eye(4)
MOVED[:3, :3] = np.reshape(turned((0.2, -0.3, 0.5), False), (3, 3))
MOVED[:3, 3] = (12.0, -7.0, 30.0)


def test_a_linear_transform_enters_the_geometry_and_the_scene_stays(a_scene, a_heart) -> None:
    nodes = volumes(a_scene, a_heart)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)
    upper, lower = a_scene.linear(MOVED), a_scene.linear(MOVED)
    lower.SetAndObserveTransformNodeID(upper.GetID())
    for node in (*nodes.values(), mask):
        node.SetAndObserveTransformNodeID(lower.GetID())
    before, modified = scene_ids(a_scene), [n.GetMTime() for n in nodes.values()]

    study = study_from_nodes(**nodes, mask=mask, kinds=KINDS)

    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    expected = to_ras @ MOVED @ MOVED @ to_ras @ HERE.index_to_world()
    np.testing.assert_allclose(study.geometry.index_to_world(), expected, atol=1e-9)
    np.testing.assert_array_equal(study.mask, a_heart.mask)
    assert scene_ids(a_scene) == before
    assert [n.GetMTime() for n in nodes.values()] == modified
    assert all(n.GetTransformNodeID() == lower.GetID() for n in nodes.values())


def test_a_volume_under_a_transform_of_its_own_is_resampled_as_simpleitk_does(
    a_scene, a_heart
) -> None:
    sitk = pytest.importorskip("SimpleITK")
    shift = np.eye(4)
    shift[:3, :3] = np.reshape(turned((0.05, 0.0, 0.1), False), (3, 3))
    shift[:3, 3] = (1.5, -0.7, 2.0)
    values = a_heart.sequences[Role.T2].values
    thin = Geometry((1.3, 1.1, 3.0), HERE.origin, HERE.direction)
    t2 = a_scene.volume(np.repeat(values, 3, axis=0), thin)
    t2.SetAndObserveTransformNodeID(a_scene.linear(shift).GetID())
    lge = a_scene.volume(a_heart.sequences[Role.LGE].values, HERE)

    study = study_from_nodes(lge=lge, t2=t2, kinds=KINDS,
                             mask=a_scene.segmentation(HERE, LV=a_heart.mask))

    to_ras = np.diag([-1.0, -1.0, 1.0])
    back = sitk.AffineTransform(3)
    turn = to_ras @ shift[:3, :3] @ to_ras
    back.SetMatrix(turn.ravel())
    back.SetTranslation(to_ras @ shift[:3, 3])
    expected = sitk.GetArrayFromImage(sitk.Resample(
        sitk.Cast(image_of(np.repeat(values, 3, axis=0), thin), sitk.sitkFloat32),
        image_of(a_heart.sequences[Role.LGE].values, HERE), back.GetInverse(),
        sitk.sitkLinear, -1.0))
    seen = a_heart.mask & (expected != -1)
    assert seen.sum() > 100
    np.testing.assert_allclose(study.sequences[Role.T2].values[seen], expected[seen],
                               rtol=1e-3, atol=1e-3)
    assert any("T2 was resampled onto the LGE grid" in w for w in study.warnings)


def sheared(scene: Scene):
    matrix = np.eye(4)
    matrix[0, 1] = 0.2
    return scene.linear(matrix)


def test_a_transform_that_shears_is_refused(a_scene, a_heart) -> None:
    nodes = volumes(a_scene, a_heart)
    nodes["lge"].SetAndObserveTransformNodeID(sheared(a_scene).GetID())

    with pytest.raises(InputError, match="LGE's axes are not at right angles"):
        study_from_nodes(**nodes, mask=a_scene.segmentation(HERE, LV=a_heart.mask), kinds=KINDS)


def moving_slices(scene: Scene, positions: list[float], *, bend: float = 0.0, aside: float = 0.0):
    """A grid transform as Slicer's DICOM reader makes it, of a straight stack 10 mm apart: to
    each slice its true position."""
    count = len(positions)
    image = vtk.vtkImageData()
    image.SetDimensions(2, 2, count)
    image.SetOrigin(-400.0, -400.0, 0.0)
    image.SetSpacing(800.0, 800.0, 10.0)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    shifts = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    shifts = shifts.reshape(count, 2, 2, 3)
    shifts[:] = 0
    for k, position in enumerate(positions):
        shifts[k, ..., 2] = position - 10.0 * k
    shifts[2, :, 1, 0] += bend
    shifts[2, ..., 0] += aside
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    node = scene.add("vtkMRMLGridTransformNode")
    node.SetAndObserveTransformToParent(transform)
    return node


STRAIGHT = Geometry((1.2, 1.2, 10.0), (0.0, 0.0, 0.0))
UNEVEN = [0.0, 4.0, 26.0, 40.0]


@pytest.fixture
def a_straight_heart() -> Study:
    return a_result_of(slices=4, geometry=STRAIGHT).study


def test_slices_moved_by_slicers_reader_are_matched_by_their_true_positions(
    a_scene, a_straight_heart
) -> None:
    heart = a_straight_heart
    lge = a_scene.volume(heart.sequences[Role.LGE].values, STRAIGHT)
    transform = moving_slices(a_scene, UNEVEN)
    lge.SetAndObserveTransformNodeID(transform.GetID())
    mask = a_scene.segmentation(STRAIGHT, LV=heart.mask)
    mask.SetAndObserveTransformNodeID(transform.GetID())
    stack = np.arange(12)[:, None, None] * 100.0 + np.zeros((12, 40, 52))
    stack += np.random.default_rng(1).normal(0, 3, stack.shape)
    t2 = a_scene.volume(stack, Geometry((1.2, 1.2, 4.0), (0.0, 0.0, 1.0)))

    study = study_from_nodes(lge=lge, t2=t2, mask=mask, kinds=KINDS)

    np.testing.assert_array_equal(study.mask, heart.mask)  # under the same transform
    nearest = np.rint([np.median(one) / 100 for one in study.sequences[Role.T2].values])
    assert nearest.tolist() == [0, 1, 6, 10]  # at 1, 5, 25 and 41 mm
    assert study.geometry.spacing[2] == pytest.approx(14.0, abs=1e-2)
    assert any("unevenly spaced (4.0 to 22.0 mm)" in w for w in study.warnings)


def test_what_lies_under_lges_own_transform_is_not_moved_against_it(
    a_scene, a_straight_heart
) -> None:
    transform = moving_slices(a_scene, UNEVEN)
    nodes = volumes(a_scene, a_straight_heart)
    for node in nodes.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    mask = a_scene.segmentation(STRAIGHT, LV=a_straight_heart.mask)
    mask.SetAndObserveTransformNodeID(transform.GetID())

    study = study_from_nodes(**nodes, mask=mask, kinds=KINDS)

    for role, sequence in study.sequences.items():
        np.testing.assert_array_equal(
            sequence.values, a_straight_heart.sequences[role].values.astype(np.float32))


def test_a_result_on_moved_slices_comes_back_on_them(a_scene) -> None:
    result = a_result_of(slices=4, geometry=STRAIGHT)
    lge = a_scene.volume(result.study.sequences[Role.LGE].values, STRAIGHT)
    lge.SetAndObserveTransformNodeID(moving_slices(a_scene, UNEVEN).GetID())

    node = write_result(result, a_scene.mrml, reference=lge).segmentation
    again = study_from_nodes(lge=lge, mask=node, segments=list(our_segments(node).values()),
                             kinds=KINDS)

    np.testing.assert_array_equal(again.mask, result.labels > 0)


def test_a_mask_drawn_in_the_patient_meets_moved_slices_where_they_are(
    a_scene, a_straight_heart
) -> None:
    heart = a_straight_heart
    lge = a_scene.volume(heart.sequences[Role.LGE].values, STRAIGHT)
    lge.SetAndObserveTransformNodeID(moving_slices(a_scene, UNEVEN).GetID())
    fine = Geometry((1.2, 1.2, 1.0), (0.0, 0.0, -4.0))
    drawn = np.zeros((50, 40, 52), bool)
    for k, middle in enumerate(UNEVEN):  # 3 mm thick about each true position
        drawn[int(middle) + 3:int(middle) + 6] = heart.mask[k]

    study = study_from_nodes(lge=lge, mask=a_scene.segmentation(fine, LV=drawn), kinds=KINDS)

    np.testing.assert_array_equal(study.mask, heart.mask)


@pytest.mark.parametrize("how", [{"bend": 60.0}, {"aside": 1.0}], ids=["bent", "aside"])
def test_a_transform_that_does_more_is_refused_with_what_to_do(
    a_scene, a_straight_heart, how
) -> None:
    lge = a_scene.volume(a_straight_heart.sequences[Role.LGE].values, STRAIGHT)
    bending = moving_slices(a_scene, UNEVEN, **how)
    lge.SetAndObserveTransformNodeID(bending.GetID())

    with pytest.raises(InputError, match="LGE is under a non-linear transform.*harden"):
        study_from_nodes(lge=lge, kinds=KINDS,
                         mask=a_scene.segmentation(STRAIGHT, LV=a_straight_heart.mask))


def a_cine(scene: Scene, study: Study, *, unit: str = "ms", name: str = "TriggerTime"):
    """Five frames; the outline fits the fourth."""
    sequence = scene.add("vtkMRMLSequenceNode", "Smith^John cine")
    sequence.SetIndexName(name)
    sequence.SetIndexUnit(unit)
    for i in range(5):
        values = np.roll(study.sequences[Role.BSSFP].values, 4 * (i - 3), axis=2)
        sequence.SetDataNodeAtValue(
            filled(slicer.vtkMRMLScalarVolumeNode(), values, study.geometry), str(200.0 * i))
    return sequence


@pytest.mark.parametrize(("asked", "lge_time", "frame"), [
    (2, 610.0, 2), ("match", 210.0, 3), (None, 390.0, 2), (None, None, 3)])
def test_one_frame_of_a_sequence_is_taken(a_scene, a_heart, asked, lge_time, frame) -> None:
    cine = a_cine(a_scene, a_heart)
    lge = a_scene.volume(a_heart.sequences[Role.LGE].values, HERE)

    study = study_from_nodes(
        bssfp=cine, lge=lge, mask=a_scene.segmentation(HERE, LV=a_heart.mask), kinds=KINDS,
        phase=asked, lge_time=lge_time)

    assert study.provenance["bssfp_phase"]["frame"] == frame
    expected = np.roll(a_heart.sequences[Role.BSSFP].values, 4 * (frame - 3), axis=2)
    np.testing.assert_array_equal(study.sequences[Role.BSSFP].values, expected.astype(np.float32))


def test_an_index_that_is_no_time_is_not_taken_for_one(a_scene, a_heart) -> None:
    cine = a_cine(a_scene, a_heart, unit="", name="frame")

    study = study_from_nodes(
        bssfp=cine, mask=a_scene.segmentation(HERE, LV=a_heart.mask), lge_time=0.0, kinds=KINDS)

    assert study.provenance["bssfp_phase"]["frame"] == 3


def test_a_cine_moves_with_the_volume_in_which_it_is_shown(a_scene, a_heart) -> None:
    cine = a_cine(a_scene, a_heart)
    browser = a_scene.add("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(cine.GetID())
    shown = browser.GetProxyNode(cine)
    shown.SetAndObserveTransformNodeID(a_scene.linear(MOVED).GetID())
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)
    mask.SetAndObserveTransformNodeID(shown.GetTransformNodeID())

    study = study_from_nodes(bssfp=cine, mask=mask, phase=3, kinds=KINDS)

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    np.testing.assert_allclose(study.geometry.index_to_world(),
                               to_ras @ MOVED @ to_ras @ HERE.index_to_world(), atol=1e-9)


def test_no_name_of_a_node_leaves_it(a_scene, a_heart) -> None:
    nodes = volumes(a_scene, a_heart)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)

    study = study_from_nodes(**nodes, mask=mask, kinds=KINDS)

    assert "Smith" not in repr(study.warnings) + repr(study.provenance) + repr(study.hashes)
    assert len({*study.hashes.values()}) == 4


def test_the_kind_is_read_off_the_series_name(a_scene, a_heart) -> None:
    lge = a_scene.volume(a_heart.sequences[Role.LGE].values, HERE, "12: PSIR_SAX")

    study = study_from_nodes(lge=lge, mask=a_scene.segmentation(HERE, LV=a_heart.mask))

    assert study.sequences[Role.LGE].kind is Kind.LGE_PSIR


def test_slices_left_out_by_the_user_are_left_out_of_the_fit(a_scene, a_heart) -> None:
    nodes = volumes(a_scene, a_heart)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)

    study = study_from_nodes(**nodes, mask=mask, kinds=KINDS, excluded={1: "motion"})

    assert study.slices == (0, 2)
    assert study.excluded[1] == "motion"


WRONG = {
    "no sequence": (lambda s, h, n, m: {"mask": m}, "no sequence given"),
    "no mask": (lambda s, h, n, m: n, "no LV mask given"),
    "one node twice": (lambda s, h, n, m: {"lge": n["lge"], "t2": n["lge"], "mask": m},
                       "LGE and T2 are the same node"),
    "a copy": (lambda s, h, n, m: {"lge": n["lge"], "mask": m, "t2": s.volume(
        h.sequences[Role.LGE].values, HERE)}, "LGE and T2 hold the same voxels"),
    "no voxels": (lambda s, h, n, m: {"lge": s.add("vtkMRMLScalarVolumeNode"), "mask": m},
                  "LGE is a volume without voxels"),
    "no volume": (lambda s, h, n, m: {"lge": s.add("vtkMRMLModelNode"), "mask": m},
                  "LGE is no volume"),
    "a labelmap": (lambda s, h, n, m: {"lge": s.volume(
        h.mask.astype(np.uint8), HERE, kind="vtkMRMLLabelMapVolumeNode"), "mask": m},
        "LGE is a labelmap"),
    "no segment": (lambda s, h, n, m: {**n, "mask": s.segmentation(HERE)}, "has no segment"),
    "which segment": (lambda s, h, n, m: {**n, "mask": s.segmentation(HERE, a=h.mask, b=h.mask)},
                      "has 2 segments: choose"),
    "segment gone": (lambda s, h, n, m: {**n, "mask": m, "segments": ["gone"]},
                     "no longer there"),
    "an empty mask": (lambda s, h, n, m: {**n, "mask": s.segmentation(HERE, LV=h.mask * 0)},
                      "mask is empty"),
    "a mask elsewhere": (lambda s, h, n, m: {**n, "mask": s.segmentation(
        Geometry(HERE.spacing, (900.0, 0.0, 0.0), HERE.direction), LV=h.mask)},
        "lie in different places"),
    "no cine": (lambda s, h, n, m: {**n, "mask": m, "phase": 2}, "none can be chosen"),
    "an empty cine": (lambda s, h, n, m: {"bssfp": s.add("vtkMRMLSequenceNode"), "mask": m},
                      "sequence without frames"),
    "no such frame": (lambda s, h, n, m: {"bssfp": a_cine(s, h), "mask": m, "phase": 7},
                      "there is no frame 7"),
    "LGE as cine": (lambda s, h, n, m: {"lge": a_cine(s, h), "mask": m},
                    "LGE is a sequence of 5 frames"),
    "no such slice": (lambda s, h, n, m: {**n, "mask": m, "excluded": {9: "x"}}, "no slice 9"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_named(a_scene, a_heart, case: str) -> None:
    make, message = WRONG[case]
    nodes = volumes(a_scene, a_heart)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)

    with pytest.raises(InputError, match=message) as caught:
        study_from_nodes(**make(a_scene, a_heart, nodes, mask))

    assert "Smith" not in str(caught.value) and "\n" not in str(caught.value)


def test_the_scene_package_imports_without_slicer() -> None:
    code = ("import sys; sys.modules['slicer'] = sys.modules['vtk'] = None\n"
            "import deepgmm.scene.inputs, deepgmm.scene.outputs\n"
            "assert 'torch' not in sys.modules and 'SimpleITK' not in sys.modules")
    library = Path(__file__).resolve().parents[2] / "DeepGMMSegmentation/Logic"
    subprocess.run([sys.executable, "-c", code], check=True,
                   env=os.environ | {"PYTHONPATH": str(library)})


def test_matrices_survive_the_way_to_vtk_and_back() -> None:
    np.testing.assert_array_equal(as_array(as_vtk(MOVED)), MOVED)


def test_checks_may_be_left_to_another_process(a_scene, a_heart) -> None:
    nodes = volumes(a_scene, a_heart)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)
    kinds = {Role.LGE: "psir"}

    later = study_from_nodes(**nodes, mask=mask, kinds=kinds, check=False)
    assert [later.sequences[r].kind for r in Role] == [Kind.UNKNOWN, Kind.LGE_PSIR, Kind.UNKNOWN]
    check_study(later, guess=guess_of(later, kinds))

    at_once = study_from_nodes(**nodes, mask=mask, kinds=kinds)
    assert later.warnings == at_once.warnings
    assert [s.kind for s in later.sequences.values()] == \
        [s.kind for s in at_once.sequences.values()]
    assert later.sequences[Role.BSSFP].kind is Kind.BSSFP
