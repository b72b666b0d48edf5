"""Nodes of a scene become a study, and the scene stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scene_nodes import KINDS, MOVED, a_cine, ventricle, volumes
from scenes import HERE, a_result_of, add_segment
from test_seg_nrrd_in_slicer import GRIDS

from deepgmm.errors import InputError
from deepgmm.reading.masks.seg_nrrd import terminology_entry
from deepgmm.scene.inputs import guess_of, study_from_nodes
from deepgmm.scene.places import as_array, as_vtk
from deepgmm.study.checks import check_study
from deepgmm.study.study import Geometry
from deepgmm.study.words import Kind, Role, Tissue


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


def test_the_grid_is_lges_else_bssfps(a_scene, a_heart) -> None:
    finer = Geometry((1.0, 1.0, 8.0), HERE.origin, HERE.direction)
    lge = a_scene.volume(a_heart.sequences[Role.LGE].values, HERE)
    t2 = a_scene.volume(a_heart.sequences[Role.T2].values, HERE)
    bssfp = a_scene.volume(a_heart.sequences[Role.BSSFP].values, finer)
    mask = a_scene.segmentation(HERE, LV=a_heart.mask)

    def spacing(**nodes):
        return study_from_nodes(**nodes, mask=mask, kinds=KINDS).geometry.spacing

    assert spacing(lge=lge, bssfp=bssfp) == pytest.approx(HERE.spacing)
    assert spacing(bssfp=bssfp, t2=t2) == pytest.approx(finer.spacing)
    assert spacing(t2=t2) == pytest.approx(HERE.spacing)


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


@pytest.mark.parametrize(("inner", "outer"), [
    ("LV endo", "LV epi"), ("endocardium", "epicardium"), ("Blood", "LV_epi"), ("Endo", "EPI")])
def test_the_outlines_of_endocardium_and_epicardium_are_pool_and_wall(
    a_scene, a_heart, inner, outer
) -> None:
    pool, wall = ventricle(a_heart)
    mask = a_scene.segmentation(HERE, **{outer: a_heart.mask, inner: pool})

    study = study_from_nodes(**volumes(a_scene, a_heart), mask=mask, kinds=KINDS,
                             segments=[f"Segment_{inner}", f"Segment_{outer}"])

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    np.testing.assert_array_equal(study.wall, wall)
    assert not any("overlap" in w for w in study.warnings)


def test_an_epicardium_without_endocardium_is_said(a_scene, a_heart) -> None:
    pool, _ = ventricle(a_heart)
    pool[1] = False
    mask = a_scene.segmentation(HERE, endo=pool, epi=a_heart.mask)

    study = study_from_nodes(**volumes(a_scene, a_heart), mask=mask, kinds=KINDS,
                             segments=["Segment_endo", "Segment_epi"])

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    assert study.wall is None
    assert any("an epicardium without endocardium on slice 1 of the LV mask" in w
               for w in study.warnings)


@pytest.mark.parametrize(("names", "known"), [
    (("endo", "LV myo"), True), (("epi", "myo"), True), (("epi", "something"), False)])
def test_the_wall_is_known_where_two_of_the_three_are(a_scene, a_heart, names, known) -> None:
    pool, wall = ventricle(a_heart)
    drawn = {"endo": pool, "epi": a_heart.mask}.get(names[0])
    mask = a_scene.segmentation(HERE, **{names[0]: drawn, names[1]: wall})

    study = study_from_nodes(**volumes(a_scene, a_heart), mask=mask, kinds=KINDS,
                             segments=[f"Segment_{name}" for name in names])

    np.testing.assert_array_equal(study.mask, a_heart.mask)
    assert (study.wall is not None) is known
    if known:
        np.testing.assert_array_equal(study.wall, wall)


@pytest.mark.parametrize(("role", "name", "word"), [
    (Role.LGE, "Smith 12: T2_STIR_sax", "T2"), (Role.T2, "LGE", "LGE"),
    (Role.T2, "7 psir-sax", "PSIR"), (Role.BSSFP, "sax T2w", "T2"),
    (Role.LGE, "LGE_after_T2", None), (Role.T2, "sax T2", None), (Role.LGE, "KIT2", None),
    (Role.BSSFP, "cine after LGE", None), (Role.T2, "T2prep bSSFP", None)])
def test_a_name_that_speaks_for_another_sequence_is_said_first(
    a_scene, a_heart, role, name, word
) -> None:
    nodes = volumes(a_scene, a_heart)
    nodes[role.value].SetName(name)

    study = study_from_nodes(**nodes, mask=a_scene.segmentation(HERE, LV=a_heart.mask),
                             kinds=KINDS, check=False)

    said = [w for w in study.warnings if "the name of the volume" in w]
    assert said == ([f"the name of the volume given as {role.title} says {word}: see whether "
                     "they were exchanged"] if word else [])
    assert study.warnings[:1] == said[:1] or not word


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
