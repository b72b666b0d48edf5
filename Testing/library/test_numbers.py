"""What `quantify` counts, what it does with bad input, and that its page explains every key."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rings import Ring, oblique
from small_results import a_result_of
from study_files import SPACING, TRUTH, arrays, save

from deepgmm.cli.main import main
from deepgmm.errors import InputError
from deepgmm.phantom import make_patient
from deepgmm.review.figures import contours
from deepgmm.review.measured import Sources, measure
from deepgmm.review.numbers import (
    NO_POSTERIOR,
    intervals_of,
    quantify,
    quantify_result,
    study_numbers,
)
from deepgmm.review.report import report
from deepgmm.review.tables import as_dict, csv_text
from deepgmm.study.insertion_points import estimated_points, given_points
from deepgmm.study.study import Geometry, Sequence
from deepgmm.study.words import Kind, Role, Tissue

PAGE = (Path(__file__).resolve().parents[2] / "Docs" / "numbers.md").read_text(encoding="utf-8")
SCAR, MVO, EDEMA = Tissue.SCAR, Tissue.MVO, Tissue.EDEMA

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


@pytest.fixture(scope="module")
def numbers():
    patient = make_patient(1003, slices=6)
    truth = patient.truth.copy()
    truth[patient.truth_mvo & (truth == SCAR)] = MVO
    return study_numbers(patient.study, truth, model=17)


def test_volumes_and_masses_are_counted_voxels_to_the_last_digit(numbers) -> None:
    geometry, labels = numbers.geometry, numbers.labels
    voxel = np.prod(geometry.spacing) / 1000
    for key, members in (("blood", [1]), ("wall", [2, 3, 4, 5]), ("edema", [3]), ("scar", [4]),
                         ("infarct", [4, 5])):
        volume = np.isin(labels, members).sum() * voxel
        assert numbers.get(f"{key}_volume").value == pytest.approx(volume, rel=1e-12, abs=1e-9)
        assert numbers.get(f"{key}_mass").value == pytest.approx(1.05 * volume, rel=1e-12)
    share = 100 * np.isin(labels, [4, 5]).sum() / (labels > 1).sum()
    assert numbers.get("infarct_percent").value == pytest.approx(share, rel=1e-12)
    at_risk = np.isin(labels, [3, 4, 5]).sum()
    assert numbers.get("salvage_index").value == pytest.approx(
        100 * (labels == 3).sum() / at_risk)


def test_slices_segments_and_territories_add_up_to_the_study(numbers) -> None:
    whole = numbers.get("wall_volume").value
    for scope in ("slice", "segment", "territory"):
        parts = [row["wall_volume"].value for row in numbers.of(scope).values()]
        assert sum(p for p in parts if p is not None) == pytest.approx(whole, rel=1e-9)
    assert list(numbers.of("segment")) == [str(n) for n in range(1, 18)]
    apex = numbers.of("segment")["17"]["wall_volume"]
    assert apex.why == "no slice with wall lies beyond the pool"


def test_the_17th_segment_is_the_wall_beyond_the_pool() -> None:
    patient = make_patient(1003, slices=6)
    truth = patient.truth.copy()
    truth[0][truth[0] == Tissue.BLOOD] = Tissue.MYOCARDIUM
    found = study_numbers(patient.study, truth, model=17).of("segment")["17"]
    assert found["wall_volume"].value == pytest.approx(
        (truth[0] > 0).sum() * patient.study.geometry.voxel_volume)
    assert "17" not in study_numbers(patient.study, truth).of("segment")


def test_no_number_is_missing_without_a_reason_and_none_is_nan(numbers) -> None:
    assert all(r.value is not None or r.why for r in numbers.rows)
    assert all(np.isfinite(r.value) for r in numbers.rows if r.value is not None)
    json.dumps(as_dict(numbers), allow_nan=False)
    lines = list(csv.DictReader(io.StringIO(csv_text(numbers))))
    assert len([line for line in lines if line["scope"] != "warning"]) == len(numbers.rows)
    assert "nan" not in csv_text(numbers).lower()


def test_the_page_explains_every_key_and_no_other(numbers) -> None:
    keys = {r.key for r in numbers.rows}
    explained = {key for row in re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
                 for key in re.findall(r"`(\w+)`", row)}
    assert keys - explained == {"dice_with_segmentation"} and "`dice_with_segmentation`" in PAGE
    assert explained <= keys
    for key in as_dict(numbers):
        assert f"`{key}`" in PAGE or key == "notice", key


def test_a_tissue_that_was_not_sought_has_no_number_and_one_not_found_is_0() -> None:
    labels = Ring().labels((1.4, 1.4), 2)
    labels[labels == SCAR] = Tissue.MYOCARDIUM
    geometry = oblique((1.4, 1.4))
    bare = quantify(labels, geometry)
    assert bare.get("infarct_volume").value is None
    assert bare.get("infarct_volume").why == "scar not sought"
    assert bare.get("salvage_index").why == "edema and scar not sought"
    assert bare.get("transmurality_mean_laplace").why == "scar not sought"
    sure = quantify(Ring().labels((1.4, 1.4), 2), geometry)
    for key in ("thickness_mean_radial", "thickness_mean_laplace", "chords_radial"):
        assert bare.get(key).value == sure.get(key).value > 0, "a wall is as thick without scar"
    sought = quantify(labels, geometry, tissues=[SCAR, EDEMA])
    assert sought.get("infarct_volume").value == sought.get("islands").value == 0
    assert sought.get("transmurality_mean_radial").value == 0
    assert sought.get("salvage_index").why == "no area at risk"
    assert "no voxel of scar: counted as 0" in sought.warnings


def test_intervals_are_the_runs_own_and_go_with_a_correction() -> None:
    result = a_result_of()
    result.provenance["calibrated"] = True
    own = quantify_result(result)
    low, high = result.volume_interval(SCAR)
    scar = own.get("scar_volume")
    assert (scar.low, scar.high) == (low, high)
    assert own.get("scar_mass").low == pytest.approx(1.05 * low)
    assert own.get("infarct_volume").high == high
    said, geometry = report(result), result.study.geometry
    known, why = intervals_of(said, result.labels, geometry)
    assert known["Scar"] == pytest.approx((low, high))
    corrected = result.labels.copy()
    corrected[corrected == SCAR] = EDEMA
    known, why = intervals_of(said, corrected, geometry)
    assert "Scar" not in known and "Blood" in known
    none = quantify(result.labels, geometry)
    assert none.get("scar_volume").low is None and none.get("scar_volume").why == NO_POSTERIOR
    with pytest.raises(InputError, match="not of this segmentation"):
        intervals_of(said, result.labels[:1], geometry)


def test_entropy_of_an_image_of_four_equal_levels_is_two_bits() -> None:
    labels = np.full((1, 20, 20), Tissue.MYOCARDIUM, np.uint8)
    image = np.repeat([0.0, 1.0, 2.0, 3.0], 100).reshape(1, 20, 20)
    found = quantify(labels, Geometry(), sequences={
        Role.LGE: Sequence(Role.LGE, image, Kind.LGE_PSIR)})
    assert found.get("lge_entropy_wall").value == pytest.approx(2.0)
    assert found.get("lge_entropy_infarct").why == "no infarct"


def test_islands_touch_by_corners_in_a_slice_and_by_faces_between_slices() -> None:
    labels = np.full((2, 10, 10), Tissue.MYOCARDIUM, np.uint8)
    labels[0, 1, 1] = labels[0, 2, 2] = labels[1, 3, 3] = labels[1, 8, 8] = labels[0, 8, 8] = SCAR
    found = quantify(labels, Geometry((1.0, 1.0, 10.0)))
    assert found.get("islands").value == 3
    assert found.get("largest_island_volume").value == pytest.approx(0.02)


# RV insertions

def test_estimated_insertions_are_near_a_phantoms_and_are_said() -> None:
    patient = make_patient(1003)
    study = patient.study
    mean = np.argwhere(study.mask[2]).mean(axis=0)
    angles = [np.arctan2(*(points[2] - mean).T)
              for points in (estimated_points(study.mask, study.geometry), study.insertion_points)]
    off = np.abs((np.degrees(angles[0] - angles[1]) + 180) % 360 - 180)
    assert off.max() < 20
    study.insertion_points = None
    found = study_numbers(study, patient.truth)
    assert found.insertions == "estimated"
    assert any("estimated" in w for w in found.warnings) and found.of("segment")


def test_an_axial_grid_has_no_segments_and_says_why() -> None:
    patient = make_patient(1003)
    found = quantify(patient.truth, Geometry((1.3, 1.3, 8.0)))
    assert not found.of("segment") and any("no AHA segments" in w for w in found.warnings)


def at_world(geometry: Geometry, *index: float) -> np.ndarray:
    return (geometry.index_to_world() @ [*index, 1.0])[:3]


def test_given_points_come_back_on_their_slice_and_bad_ones_are_refused() -> None:
    geometry = oblique((1.4, 1.2))
    mask = np.ones((4, 40, 50), bool)
    pair = np.array([at_world(geometry, 10, 12, 1), at_world(geometry, 10, 30, 1)])
    points, _ = given_points(pair, geometry, mask)
    np.testing.assert_allclose(points, np.tile([[12, 10], [30, 10]], (4, 1, 1)), atol=1e-9)
    outside = np.array([at_world(geometry, 10, 12, 7), at_world(geometry, 10, 30, 7)])
    two_slices = np.array([at_world(geometry, 10, 12, 1), at_world(geometry, 10, 30, 2)])
    for places, words in ((outside, "beside the slices"), (two_slices, "two by two"),
                          (pair[:1], "every slice needs two"), (pair[[0, 0]], "one place"),
                          (np.concatenate([pair, pair]), "twice")):
        with pytest.raises(InputError, match=words):
            given_points(places, geometry, mask)


# bad input

def test_what_cannot_be_measured_is_refused() -> None:
    labels = Ring().labels((1.4, 1.4), 2)
    for given, more, words in (
            (labels * 0 + 1, {}, "no wall"), (labels + 7, {}, "no tissue"),
            (labels[0], {}, "axes"), (labels, {"mask": np.zeros_like(labels)}, "empty"),
            (labels, {"mask": np.ones((1, 2, 2))}, "different grids"),
            (labels, {"sequences": {Role.LGE: Sequence(Role.LGE, np.zeros((2, 3, 3)))}},
             "different grids"), (labels, {"remote": labels == 0}, "no pixel in the wall")):
        with pytest.raises(InputError, match=words):
            quantify(given, Geometry(), **more)


def test_a_slice_without_image_counts_in_volumes_and_in_nothing_of_the_image(tmp_path) -> None:
    """Entropy and thresholds by a few lines, without the slice whose LGE and T2 have no values."""
    phantom = make_patient(1003, slices=3)
    labels, files = phantom.truth, {"truth": tmp_path / "truth.nii.gz"}
    grid = {"spacing": phantom.study.geometry.spacing}
    save(labels, files["truth"], **grid)
    for role in (Role.LGE, Role.T2):
        files[role.value] = tmp_path / f"{role.value}.nii.gz"
        values = np.array(phantom.study.sequences[role].values, np.float32)
        if role is Role.T2:  # a map of milliseconds
            values = 40 + 40 * (values - values.min()) / np.ptp(values)
        values[1] = np.nan
        save(values, files[role.value], **grid)
    found = measure(Sources(files["truth"], lge=files["lge"], t2=files["t2"], t2_kind="map",
                            labels="deepgmm")).numbers
    wall, scar = labels > 1, np.isin(labels, (SCAR, MVO))
    assert found.get("wall_volume").value == pytest.approx(
        wall.sum() * phantom.study.geometry.voxel_volume)
    wall[1] = scar[1] = False
    lge = sitk.GetArrayFromImage(sitk.ReadImage(str(files["lge"]))).astype(float)
    counts = np.histogram(lge[scar], np.histogram_bin_edges(lge[wall], 128))[0]
    share = counts[counts > 0] / scar.sum()
    assert found.get("lge_entropy_infarct").value == pytest.approx(-(share * np.log2(share)).sum())
    t2 = sitk.GetArrayFromImage(sitk.ReadImage(str(files["t2"])))
    row = found.of("method")["T2 > 59 ms"]["area_at_risk_percent"]
    assert row.value == pytest.approx(100 * (t2[wall] > 59).mean()) and "slice 1" in row.why
    assert any("LGE has no values on slice 1: volumes count there" in w for w in found.warnings)
    assert not any("left out" in w for w in found.warnings)


def test_segments_that_overlap_are_measured_as_the_tissue_that_counts(tmp_path) -> None:
    """A `.seg.nrrd` of four layers, wall drawn through scar and blood through wall: each voxel
    counts once, as scar over edema over myocardium over blood."""
    import nrrd

    labels = Ring(arc=np.pi / 2).labels((1.4, 1.4), 3)
    scar, wall, pool = labels == SCAR, labels >= Tissue.MYOCARDIUM, labels == Tissue.BLOOD
    layers = np.stack([pool | wall, wall, np.zeros_like(wall), scar]).astype(np.uint8)
    names = ("Blood", "Myocardium", "Edema", "Scar")
    header = {"space": "left-posterior-superior", "kinds": ["list", "domain", "domain", "domain"],
              "space directions": np.vstack([[np.nan] * 3, np.diag([1.4, 1.4, 8.0])]),
              "space origin": [0.0, 0.0, 0.0]}
    for k, name in enumerate(names):
        header |= {f"Segment{k}_ID": f"s{k}", f"Segment{k}_Name": name,
                   f"Segment{k}_Layer": str(k), f"Segment{k}_LabelValue": "1"}
    path = tmp_path / "drawn.seg.nrrd"
    nrrd.write(str(path), layers.transpose(0, 3, 2, 1), header)
    found = measure(Sources(path)).numbers
    voxel = 1.4 * 1.4 * 8 / 1000
    for key, part in (("scar_volume", scar), ("wall_volume", wall), ("blood_volume", pool),
                      ("myocardium_volume", wall & ~scar)):
        assert found.get(key).value == pytest.approx(part.sum() * voxel), key
    assert any(f"overlap on {(pool | wall).sum() - pool.sum()} voxels" in w
               and ": scar over edema over myocardium over blood; where" in w
               for w in found.warnings), found.warnings


def test_odd_masks_and_slices_are_said() -> None:
    ring = Ring()
    labels = ring.labels((1.4, 1.4), 3)
    labels[0][labels[0] > 1] = 0
    labels[1][:, : labels.shape[2] // 2 - 12][labels[1][:, : labels.shape[2] // 2 - 12] > 1] = 0
    mask = labels > 0
    mask[2, 0, 0] = True
    mask[2][labels[2] == SCAR] = False
    text = " ".join(quantify(labels, oblique((1.4, 1.4)), mask=mask).warnings)
    for words in ("no wall on slice 0", "does not close around the pool on slice 1",
                  "lie outside the LV mask", "have no label"):
        assert words in text
    single = quantify(ring.labels((1.4, 1.4)), oblique((1.4, 1.4)))
    assert any("a single slice" in w for w in single.warnings) and not single.of("segment")


# the command

def test_the_command_from_files_of_any_name(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "Jürgen Müßig 心"
    files = {role: save(values, folder / f"{role}.nii.gz") for role, values in arrays().items()}
    truth = save(TRUTH, folder / "Müßig.nii.gz")
    outs = [folder / name for name in ("ü.json", "ü.csv")]
    status = main(["quantify", str(truth), "--lge", str(files["lge"]), "--t2", str(files["t2"]),
                   "--mask", str(files["mask"]), "-o", str(outs[0]), "--csv", str(outs[1])])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    said = json.loads(outs[0].read_text(encoding="utf-8"))
    voxel = np.prod(SPACING) / 1000
    assert said["numbers"]["study"][""]["scar_volume"]["value"] == pytest.approx(
        (TRUTH == 4).sum() * voxel, abs=1e-9)
    assert said["provenance"]["input SHA-256"].keys() == {"segmentation", "mask", "lge", "t2"}
    for text in (outs[0].read_text(encoding="utf-8"), outs[1].read_text(encoding="utf-8"),
                 captured.out + captured.err):
        assert "ßig" not in text and "心" not in text


def test_on_the_terminal_stand_the_reasons_that_its_tables_refer_to(tmp_path: Path,
                                                                   capsys) -> None:
    truth = save(TRUTH, tmp_path / "truth.nii.gz")
    assert main(["quantify", str(truth)]) == 0
    tables, reasons = capsys.readouterr().out.split("Why a number or an interval is missing\n")
    listed = re.findall(r"^(\[\d+\]) \S", reasons, re.MULTILINE)
    assert set(listed) == set(re.findall(r"\[\d+\]", tables)) and len(listed) > 1
    assert "--from-report takes those of the run" in reasons
    assert "no LGE given" not in reasons, "of the tables that are on the page alone"


def test_a_page_says_that_automatic_ran_and_what_it_became(tmp_path: Path) -> None:
    truth = save(TRUTH, tmp_path / "truth.nii.gz")
    said = {"grid": {"size": list(TRUTH.shape[::-1])}, "settings": {"method": "auto"},
            "method": "pretrained", "map_rounds": 12, "versions": {"deepgmm": "0.0.7"}}
    (tmp_path / "r.json").write_text(json.dumps(said))
    found = measure(Sources(truth, report=tmp_path / "r.json")).numbers
    assert found.provenance["made by"]["method"] == "auto: pretrained, up to 12 rounds of map"
    assert found.provenance["made by"]["deepgmm"] == "0.0.7"


def test_the_figure_of_outlines_says_how_sure_a_proposed_one_is(tmp_path: Path) -> None:
    truth = save(TRUTH, tmp_path / "truth.nii.gz")
    lge = save(arrays()["lge"], tmp_path / "lge.nii.gz")

    def titles(**proposal: object) -> list[str]:
        (tmp_path / "r.json").write_text(json.dumps({
            "grid": {"size": list(TRUTH.shape[::-1])}, "mask_proposal": proposal}))
        figure = contours(measure(Sources(truth, lge=lge, report=tmp_path / "r.json")).numbers)
        said = [axes.get_title() for axes in figure.axes if axes.get_title()]
        assert ("proposed" in figure.texts[-1].get_text()) == (": " in said[0])
        return sorted(said)
    assert titles(proposed=True, confidence=[0.95, 0.4, 0]) == [
        "slice 1: 0.95 sure", "slice 2: 0.40 sure", "slice 3: 0.00 sure"]
    for other in ({"proposed": False, "confidence": [1, 1, 1]}, {"proposed": True},
                  {"proposed": True, "confidence": [1, 1]}):
        assert titles(**other) == ["slice 1", "slice 2", "slice 3"]


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda f: f | {"--lge": save(arrays()["lge"], f["folder"] / "s.nii.gz",
                                  spacing=(2.0, 2.2, 8.0))}, "different grid"),
    (lambda f: f | {"--segments": "18"}, "16 or 17"),
    (lambda f: f | {"--t2-ms": "55"}, "needs a T2 map"),
    (lambda f: f | {"--tissues": "fat"}, "no tissue is called"),
    (lambda f: f | {"--rv-points": f["--lge"]}, "markups"),
    (lambda f: f | {"--from-report": f["--lge"]}, "no JSON"),
    (lambda f: f | {"--dicom-sr": f["folder"] / "r.dcm"}, "--dicom-seg"),
    (lambda f: f | {"--bullseye": f["folder"] / "r.jpg"}, "must end with")])
def test_the_command_refuses_in_one_line(tmp_path: Path, capsys, spoil, words: str) -> None:
    lge = save(arrays()["lge"], tmp_path / "Mustermann" / "lge.nii.gz")
    truth = save(TRUTH, tmp_path / "Mustermann" / "truth.nii.gz")
    given = spoil({"--lge": lge, "folder": tmp_path})
    options = [str(w) for key, value in given.items() if key != "folder" for w in (key, value)]
    assert main(["quantify", str(truth), *options, "-o", str(tmp_path / "o.json")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0] and len(lines[0]) < 320, lines
    assert "Mustermann" not in lines[0] and not (tmp_path / "o.json").exists()


def test_whose_labels_are_measured_is_said_and_no_option_is_offered_that_is_not_there(
        tmp_path: Path, capsys) -> None:
    image = sitk.GetImageFromArray(np.repeat([[[0, 1, 2, 3, 4, 0]] * 6], 3, 0).astype(np.uint8))
    sitk.WriteImage(image, str(tmp_path / "labels.nii.gz"))
    measure = ["quantify", str(tmp_path / "labels.nii.gz"), "--json"]
    voxel = 0.001  # ml; 18 voxels of each label
    assert main([*measure, "--labels", "emidec"]) == 0
    said = json.loads(capsys.readouterr().out)["numbers"]["study"][""]
    assert said["infarct_volume"]["value"] == pytest.approx(36 * voxel)
    other = sitk.GetImageFromArray(np.ones((3, 8, 8), np.float32) * np.arange(8))
    sitk.WriteImage(other, str(tmp_path / "lge.nii.gz"))
    assert main([*measure, "--lge", str(tmp_path / "lge.nii.gz")]) == 2
    error = capsys.readouterr().err
    assert "LGE and segmentation lie on different grids" in error and "--resample" not in error
