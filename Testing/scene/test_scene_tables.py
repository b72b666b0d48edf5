"""Tables that a fit leaves: slices, AHA segments; read again, also from a scene that was saved."""

from __future__ import annotations

import numpy as np
import pytest
from scene_results import saved_and_opened, voxels_of
from scenes import HERE, a_result_of, scene_ids

from deepgmm.review.report import report
from deepgmm.review.slices import slice_rows
from deepgmm.scene.outputs import undo, write_result
from deepgmm.scene.read_back import belonging, provenance_of, records, slices_of
from deepgmm.study.words import Role

AHA = [{"segment": 1, "name": "Basal anterior", "wall_ml": 2.5, "infarct_percent": 12.5,
        "edema_percent": None},
       {"segment": 7, "name": "Mid anterior", "wall_ml": 3.0, "infarct_percent": 0.0,
        "edema_percent": 3.25}]
AHA_ROWS = [
    {"Segment": 1, "Name": "Basal anterior", "Wall (ml)": 2.5, "Infarct (% of wall)": 12.5,
     "Edema (% of wall)": None},
    {"Segment": 7, "Name": "Mid anterior", "Wall (ml)": 3.0, "Infarct (% of wall)": 0.0,
     "Edema (% of wall)": 3.25}]


@pytest.fixture
def a_full_result():
    """With everything that a table must keep: reasons of users, locks, no uncertainty."""
    result = a_result_of(
        slices=5, geometry=HERE, excluded={4: 'the "tip",\tbent;\ntwice, é'},
        warnings=["it did not settle in slice 2"])
    result.study.mask[0] = False
    result.labels[0] = 0
    result.provenance["locked_slices"] = [3]
    return result


def same(one: dict, other: dict) -> bool:
    """Numbers to six digits, as Slicer's files of tables hold them; all else exactly."""
    return all(isinstance(value, dict) or value == other[key]
               or (isinstance(value, float) and value == pytest.approx(other[key], rel=1e-5))
               for key, value in one.items()) and set(one) == set(other)


@pytest.mark.parametrize("way", ["mrml", "mrb"])
def test_slices_numbers_and_warnings_come_back_from_a_saved_scene(
    a_scene, a_full_result, tmp_path, way: str
) -> None:
    said = report(a_full_result) | {"aha_segments": AHA}
    written = write_result(a_full_result, a_scene.mrml, said=said)
    written.segmentation.SetName("ours")
    numbers = records(written.segmentation, "Numbers")
    rows = slice_rows(a_full_result)
    rows[4]["why"] = "the 'tip', bent; twice, é"
    assert [r["warning"] for r in rows] == ["", "", "it did not settle in slice 2", "", ""]
    assert [r["locked"] for r in rows] == [False, False, False, True, False]

    opened = saved_and_opened(a_scene, tmp_path, way)

    node = opened.mrml.GetFirstNodeByName("ours")
    again = slices_of(node)
    assert len(again) == 5
    for one, wanted in zip(again, rows):
        assert list(one) == list(wanted) and same(one, wanted)
        assert one["areas_mm2"] == pytest.approx(wanted["areas_mm2"], rel=1e-5)
    assert all(map(same, records(node, "Numbers"), numbers))
    assert records(node, "AHA segments") == AHA_ROWS
    assert provenance_of(node)["warnings"] == ["it did not settle in slice 2"]
    assert provenance_of(node)["excluded_slices"] == {"4": 'the "tip",\tbent;\ntwice, é'}


def test_what_another_process_made_is_taken_as_it_is(a_scene, a_full_result) -> None:
    """The window's process computes nothing: the posterior is not there to be read."""
    said, rows = report(a_full_result), slice_rows(a_full_result)
    said["volumes_ml"]["Scar"] = 123.5
    rows[1]["uncertainty"] = 0.75
    entropy = np.random.default_rng(0).random(a_full_result.labels.shape, np.float32)
    a_full_result.posterior = np.zeros((0, 0, 0, 0), np.float32)

    node = write_result(a_full_result, a_scene.mrml, uncertainty=True, said=said, rows=rows,
                        entropy=entropy).segmentation

    assert {r["Tissue"]: r["Volume (ml)"] for r in records(node, "Numbers")}["Scar"] == 123.5
    assert slices_of(node)[1]["uncertainty"] == 0.75
    np.testing.assert_array_equal(voxels_of(belonging(node, "Uncertainty")), entropy)


def test_a_second_run_renews_the_slices_and_undo_brings_the_first_back(
    a_scene, a_full_result
) -> None:
    said = report(a_full_result) | {"aha_segments": AHA}
    node = write_result(a_full_result, a_scene.mrml, said=said).segmentation
    before, table, ids = slices_of(node), belonging(node, "Slices"), scene_ids(a_scene)

    second = write_result(a_result_of(slices=5, roles=(Role.LGE,), geometry=HERE), a_scene.mrml,
                          segmentation=node)

    assert belonging(node, "Slices") is table
    assert all(row["used"] for row in slices_of(node))
    assert "Edema" not in slices_of(node)[1]["areas_mm2"]
    assert belonging(node, "AHA segments") is None

    undo(second)
    assert slices_of(node) == before
    assert records(node, "AHA segments") == AHA_ROWS
    assert len(scene_ids(a_scene)) == len(ids)


def test_a_segmentation_that_no_fit_made_has_nothing_to_read(a_scene) -> None:
    node = a_scene.add("vtkMRMLSegmentationNode")

    assert slices_of(node) == [] and records(node, "Numbers") == []
    assert provenance_of(node) == {}
    assert belonging(node, "Numbers") is None


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"'])
def test_provenance_that_is_not_ours_is_none(a_scene, text: str) -> None:
    node = a_scene.add("vtkMRMLSegmentationNode")
    node.SetAttribute("DeepGMM.Provenance", text)

    assert provenance_of(node) == {}


def test_a_table_that_the_user_changed_is_no_table_of_slices(a_scene, a_full_result) -> None:
    node = write_result(a_full_result, a_scene.mrml).segmentation
    belonging(node, "Slices").GetTable().RemoveColumnByName("Level")

    assert slices_of(node) == []
