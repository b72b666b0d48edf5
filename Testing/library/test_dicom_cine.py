"""One frame of a cine: asked for, nearest to LGE in the heartbeat, or fitting the mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import CINE, PSIR, Examination, a_cine, a_patient, whole

from deepgmm import InputError, Kind, Role, propose_mask, read_images, read_study
from deepgmm.cli.main import main
from deepgmm.jobs.cohort.cases import Plan, find_cases
from deepgmm.jobs.cohort.reading import read_case
from deepgmm.phantom import PhantomPatient
from deepgmm.propose.proposed import mark
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.images.phases import best_fit, edge_scores, nearest_in_time, parse_phase

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sunnybrook"


@pytest.fixture(scope="module")
def patient() -> PhantomPatient:
    return a_patient(102, slices=3, lge=Kind.LGE_PSIR)


@pytest.fixture
def files(tmp_path: Path, patient) -> dict[str, Path]:
    """A cine in one 4D file, LGE, and the mask; the mask was drawn at frame 6 of 12."""
    geometry, paths = patient.study.geometry, {}
    for name, values in {
            "bssfp": a_cine(whole(patient, Role.BSSFP), patient.study.mask, at=6),
            "lge": whole(patient, Role.LGE),
            "mask": patient.study.mask.astype(np.uint8)}.items():
        paths[name] = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(image_of(values, geometry), str(paths[name]))
    return paths


# Time

def test_the_frame_nearest_in_time_is_found_also_around_the_beat() -> None:
    times = [10.0, 210.0, 410.0, 610.0, 810.0]
    assert nearest_in_time(times, 590.0).frame == 3
    assert nearest_in_time(times, 1000.0, interval=1000.0).frame == 0
    assert nearest_in_time(times, 1000.0).frame == 4, "without an interval nothing goes round"
    assert nearest_in_time([float("nan"), 300.0], 20.0).frame == 1


def test_frames_are_asked_for_by_number() -> None:
    assert parse_phase("7") == 7 and parse_phase(0) == 0
    assert parse_phase("match") is None and parse_phase(None) is None
    for wrong in ("last", "-1", "1.5", ""):
        with pytest.raises(InputError, match="--phase"):
            parse_phase(wrong)


# Fit

@pytest.mark.parametrize("at", [0, 3, 6])
def test_the_frame_that_fits_the_mask_is_found(at: int) -> None:
    """The beat is even: frame p looks like frame 12 - p."""
    for seed in (103, 104):
        made = a_patient(seed, slices=3)
        cine = a_cine(whole(made, Role.BSSFP), made.study.mask, at=at, squeeze=0.15)
        found = best_fit(cine, made.study.mask).frame
        assert min(found, 12 - found) == at
        found = best_fit(cine, made.study.mask, made.wall).frame
        assert min(found, 12 - found) == at


def test_brightness_and_contrast_of_a_frame_do_not_count(patient) -> None:
    cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask)
    gains = np.linspace(0.5, 2.0, len(cine))[:, None, None, None]
    np.testing.assert_allclose(edge_scores(cine * gains + 100, patient.study.mask),
                               edge_scores(cine, patient.study.mask))


def test_a_disk_fits_where_its_edge_is() -> None:
    """By hand: bright disks of growing radius; the outline is the fourth's."""
    far = np.hypot(*(np.indices((40, 40)) - 19.5))
    frames = np.array([[np.where(far < r, 100.0, 20.0)] for r in (8, 9, 10, 11, 12)])
    scores = edge_scores(frames, (far < 11)[None])
    assert scores.argmax() == 3 and scores[3] == pytest.approx(1.0)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/sunnybrook")
@pytest.mark.parametrize("case", ["SCD0000101", "SCD0000201", "SCD0000301"])
def test_on_real_hearts_wall_and_mask_find_the_state_of_the_beat(case: str) -> None:
    """To a tenth of the way from widest to narrowest: frame to frame it changes little there."""
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(DATA / f"{case}_ED.nii.gz")))[3:7]
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(DATA / f"{case}_ED_lv.nii.gz")))[3:7]
    cine = a_cine(values.astype(np.float32), labels > 0, at=0)
    found = best_fit(cine, labels > 0, labels == 2).frame
    assert 1 - np.cos(2 * np.pi * found / 12) < 0.2


def test_an_empty_mask_fits_nothing() -> None:
    with pytest.raises(InputError, match="the LV mask is empty"):
        best_fit(np.zeros((2, 1, 9, 9)), np.zeros((1, 9, 9), bool))


# Files

def test_a_4d_file_gives_the_frame_that_fits(files, patient) -> None:
    study = read_study(**files)
    assert study.provenance["bssfp_phase"] == {
        "frame": 6, "of": 12, "why": "its edges fit the LV mask best"}
    np.testing.assert_array_equal(study.sequences[Role.BSSFP].values, whole(patient, Role.BSSFP))


def test_a_4d_file_gives_the_frame_asked_for(files, patient) -> None:
    study = read_study(**files, phase=2)
    cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask, at=6)
    np.testing.assert_array_equal(study.sequences[Role.BSSFP].values, cine[2])
    with pytest.raises(InputError, match="there is no frame 12: the cine has 12, 0 to 11"):
        read_study(**files, phase="12")


def test_a_frame_of_a_still_image_is_refused(files) -> None:
    files["bssfp"] = files["lge"].with_name("still.nii.gz")
    lge = sitk.ReadImage(str(files["lge"]))
    sitk.WriteImage(lge * -1, str(files["bssfp"]))
    with pytest.raises(InputError, match="bSSFP has one frame"):
        read_study(**files, phase=3)


def dicom_folders(tmp_path: Path, patient: PhantomPatient, **lge: object) -> dict[str, Path]:
    """A cine whose frame 6 lies at 470 ms, and LGE, each in a folder."""
    geometry = patient.study.geometry
    cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask, at=6)
    Examination(tmp_path / "cine").add(1, "cine_sa", cine, geometry, tags=CINE,
                                       times=[20.0 + 75 * p for p in range(12)])
    Examination(tmp_path / "lge").add(2, "psir_sa", whole(patient, Role.LGE), geometry,
                                      tags=PSIR | lge, signed=True)
    return {"bssfp": tmp_path / "cine", "lge": tmp_path / "lge"}


def test_dicom_folders_say_when_they_were_acquired(files, patient, tmp_path) -> None:
    files |= dicom_folders(tmp_path, patient, TriggerTime=260.0)
    study = read_study(**files, resample=True)
    assert study.provenance["bssfp_phase"]["frame"] == 3
    assert "245 ms, is nearest to LGE's, 260 ms" in study.provenance["bssfp_phase"]["why"]
    assert read_study(**files, phase="match").provenance["bssfp_phase"]["frame"] == 6


def test_the_frame_is_shown_and_reported(files, tmp_path, capsys) -> None:
    words = [w for name, path in files.items() for w in (f"--{name}", str(path))]
    assert main(["segment", *words, "--report", str(tmp_path / "r.json")]) == 0
    assert "bSSFP: frame 6 of 12 (counted from 0): its edges fit" in capsys.readouterr().out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bssfp_phase"]["frame"] == 6


# Proposed masks

@pytest.mark.parametrize("asked, frame", [(None, 3), ("8", 8), ("match", 0)])
def test_a_mask_is_proposed_on_the_frame_that_is_segmented(patient, tmp_path, asked, frame) -> None:
    """By trigger times frame 3, at 245 ms, is nearest to LGE, as `read_study` takes it."""
    folders = dicom_folders(tmp_path, patient, TriggerTime=260.0)
    images = read_images(**folders, resample=True, phase=asked)
    assert images.provenance["bssfp_phase"]["frame"] == frame
    cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask, at=6)
    np.testing.assert_array_equal(images.sequences[Role.BSSFP].values, cine[frame])
    found = propose_mask(images)
    assert found.provenance["bssfp_phase"]["frame"] == frame
    for fitted in (frame, 6):
        study = replace(images, provenance={"bssfp_phase": {"frame": fitted}}, warnings=[])
        mark(study, found)
        assert study.provenance["mask_proposal"]["proposed"]
        assert any(f"on frame {frame} " in w and f"frame {fitted} is segmented" in w
                   for w in study.warnings) == (fitted != frame)


def test_a_cohort_proposes_on_the_frame_asked_for(files, tmp_path) -> None:
    folder = tmp_path / "clinic" / "one"
    folder.mkdir(parents=True)
    for name in ("bssfp", "lge"):
        files[name].rename(folder / f"{name}.nii.gz")
    plan = Plan(phase="2")
    (case,) = find_cases(folder.parent)
    study, *_ = read_case(case, plan, tmp_path)
    assert study.provenance["bssfp_phase"]["frame"] == 2
    assert study.provenance["mask_proposal"]["bssfp_phase"]["frame"] == 2
