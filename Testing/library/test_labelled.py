"""Folders of cases to learn from: every layout, partial labels, and all that can be wrong."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import PSIR, STIR, Examination, a_patient, whole
from study_files import MASK, SHAPE, SPACING, TRUTH, an_image, arrays, save

from deepgmm.cli.main import main
from deepgmm.errors import InputError
from deepgmm.phantom import make_patient
from deepgmm.phantom.myops_files import write_patient as write_myops
from deepgmm.reading.images.grids import geometry_of
from deepgmm.reading.masks.labelmap import UNLABELLED
from deepgmm.reading.masks.seg_nrrd import seg_nrrd_image
from deepgmm.reading.studies.case_folders import Layout
from deepgmm.reading.studies.labelled import (
    LabelledCase,
    case_key,
    choose_labelled,
    described,
    find_labelled,
)
from deepgmm.study.words import Kind, Role, Tissue

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

KINDS = {Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}


def add(folder: Path, name: str, seed: int, labels: np.ndarray | None = TRUTH,
        roles: tuple[str, ...] = ("bssfp", "lge", "t2"), called: str = "truth.nii.gz") -> Path:
    """A small case with images of its own; the tissues lie alike in all."""
    made = arrays(seed)
    for role in (*roles, "mask"):
        save(made[role], folder / name / f"{role}.nii.gz")
    if labels is not None:
        save(labels, folder / name / called)
    return folder / name


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """Three cases, of which the second has no labels."""
    for seed, name in enumerate(("anna", "bert", "carl")):
        add(tmp_path / "cases", name, seed, None if name == "bert" else TRUTH)
    return tmp_path / "cases"


def fault(folder: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        find_labelled(folder, kinds=KINDS)
    return caught.value


# What comes back

def test_cases_come_sorted_with_study_and_labels(a_folder: Path) -> None:
    anna, bert, carl = find_labelled(a_folder, kinds=KINDS)
    assert [c.name for c in (anna, bert, carl)] == ["anna", "bert", "carl"]
    assert [c.labelled for c in (anna, bert, carl)] == [True, False, True]
    study, labels = carl.read()
    np.testing.assert_array_equal(labels, TRUTH)
    assert labels is not None and labels.dtype == np.uint8
    np.testing.assert_array_equal(study.mask, MASK)
    for role in Role:
        np.testing.assert_array_equal(study.sequences[role].values, arrays(2)[role.value])
    assert study.sequences[Role.LGE].kind is Kind.LGE_MAGNITUDE
    assert bert.read()[1] is None
    assert described([anna, bert, carl]) == "3 cases: 3 with bSSFP, LGE, T2; 2 labelled"


def test_a_case_may_lack_sequences(a_folder: Path) -> None:
    add(a_folder, "dora", 3, roles=("lge",))
    dora = find_labelled(a_folder, kinds=KINDS)[-1]
    assert dora.roles == (Role.LGE,) and dora.read()[0].roles == (Role.LGE,)
    assert described([dora]) == "1 case: 1 with LGE; 1 labelled"


def test_phantoms_come_back_as_they_were_made(tmp_path: Path) -> None:
    """Their kinds are as phantom.json says; the wall, which is truth, stays out of the study."""
    assert main(["phantom", "--patients", "2", "--seed", "7", "--slices", "2", "--lge-kind",
                 "psir", "-o", str(tmp_path / "p"), "-q"]) == 0
    cases = find_labelled(tmp_path / "p")
    assert [c.name for c in cases] == ["phantom-0007", "phantom-0008"]
    for seed, case in zip((7, 8), cases):
        patient = make_patient(seed, slices=2, kinds={
            Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_PSIR, Role.T2: Kind.T2_DARK_BLOOD})
        study, labels = case.read()
        np.testing.assert_array_equal(labels, patient.truth)
        assert study.wall is None
        for role, sequence in patient.study.sequences.items():
            np.testing.assert_array_equal(study.sequences[role].values, sequence.values)
            assert study.sequences[role].kind is sequence.kind


def test_myops_is_read_by_number(tmp_path: Path) -> None:
    patients = {99: make_patient(3, slices=1), 101: make_patient(4, slices=1)}
    for number, patient in patients.items():
        write_myops(patient, tmp_path, number)
    (tmp_path / "code of the authors").mkdir()
    cases = find_labelled(tmp_path, kinds={Role.LGE: Kind.LGE_PSIR})
    assert [c.name for c in cases] == ["99", "101"]
    for case, patient in zip(cases, patients.values()):
        study, labels = case.read()
        np.testing.assert_array_equal(labels, patient.truth)
        np.testing.assert_array_equal(study.mask, patient.truth > 0)
        assert [s.kind for s in study.sequences.values()] == [
            Kind.BSSFP, Kind.LGE_PSIR, Kind.T2_DARK_BLOOD]


def test_imported_study_folders_are_read_with_mask_and_labels(tmp_path: Path) -> None:
    patient = a_patient(105, slices=3, lge=Kind.LGE_PSIR)
    exam, folder = Examination(tmp_path / "exam"), tmp_path / "cases" / "patient"
    exam.add(31, "psir_sa", whole(patient, Role.LGE), patient.study.geometry, tags=PSIR,
             signed=True)
    exam.add(40, "T2_STIR_sa", whole(patient, Role.T2), patient.study.geometry, tags=STIR)
    assert main(["import", str(exam.folder), "-o", str(folder), "-q"]) == 0
    assert fault(folder.parent).args[0].count("no LV mask") == 1
    geometry = patient.study.geometry
    where = {"spacing": geometry.spacing, "origin": geometry.origin,
             "direction": geometry.direction}
    save(patient.study.mask.astype(np.uint8), folder / "mask.nii.gz", **where)
    save(patient.truth, folder / "labels.nii.gz", **where)
    (case,) = find_labelled(folder.parent)
    study, labels = case.read()
    assert case.roles == study.roles == (Role.LGE, Role.T2)
    assert study.sequences[Role.LGE].kind is Kind.LGE_PSIR
    np.testing.assert_array_equal(labels, patient.truth)
    (folder / "t2.nii.gz").unlink()
    assert "patient (T2): lacks a file that its study.json names" in str(fault(folder.parent))
    (folder / "study.json").write_text("{")
    assert "study.json is damaged: import the examination again" in str(fault(folder.parent))


# Labels

def test_who_did_not_label_says_so(tmp_path: Path) -> None:
    """255, and 0 inside the mask, are not labelled; obstruction is scar; outside is background."""
    drawn = TRUTH.copy()
    drawn[0] = UNLABELLED
    drawn[1][TRUTH[1] == Tissue.BLOOD] = 0
    drawn[2][TRUTH[2] == Tissue.SCAR] = Tissue.MVO
    add(tmp_path, "one", 0, drawn, called="labels.nii.gz")
    labels = find_labelled(tmp_path, kinds=KINDS)[0].read()[1]
    wanted = TRUTH.copy()
    wanted[0][MASK[0]] = UNLABELLED
    wanted[1][TRUTH[1] == Tissue.BLOOD] = UNLABELLED
    np.testing.assert_array_equal(labels, wanted)


def test_a_slicer_segmentation_of_a_piece_is_put_in_its_place(tmp_path: Path) -> None:
    folder = add(tmp_path, "one", 0, None)
    box = (slice(1, 3), slice(5, 43), slice(4, 44))
    corner = an_image(TRUTH).TransformIndexToPhysicalPoint((4, 5, 1))
    piece = an_image(TRUTH[box], origin=corner)
    tissues = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)
    sitk.WriteImage(seg_nrrd_image(TRUTH[box], geometry_of(piece), tissues),
                    str(folder / "labels.seg.nrrd"))
    labels = find_labelled(tmp_path, kinds=KINDS)[0].read()[1]
    wanted = np.where(MASK, np.where(TRUTH > 0, TRUTH, UNLABELLED), 0)
    wanted[0][MASK[0]] = UNLABELLED
    np.testing.assert_array_equal(labels, wanted)


def test_labels_that_stick_out_of_the_mask_are_cut_and_said(tmp_path: Path) -> None:
    folder = add(tmp_path, "one", 0)
    smaller = MASK & (np.arange(SHAPE[2]) < 35)
    save(smaller.astype(np.uint8), folder / "mask.nii.gz")
    study, labels = find_labelled(tmp_path, kinds=KINDS)[0].read()
    np.testing.assert_array_equal(labels, np.where(smaller, TRUTH, 0))
    share = 100 * (MASK & ~smaller).sum() / MASK.sum()
    assert f"{share:.0f} % of the labels lie outside the LV mask and are not used" \
        in study.warnings


# Keys

def test_a_key_is_of_the_images_alone(a_folder: Path) -> None:
    first = find_labelled(a_folder, kinds=KINDS)
    digest = {role: hashlib.sha256((a_folder / "anna" / f"{role.value}.nii.gz").read_bytes())
              .hexdigest() for role in Role}
    by_hand = "".join(f"{role.value} {digest[role]}\n" for role in Role)
    assert first[0].key == hashlib.sha256(by_hand.encode()).hexdigest()[:16]
    assert case_key(first[0].read()[0].hashes) == first[0].key
    (a_folder / "anna").rename(a_folder / "zoe")
    save(np.where(TRUTH == Tissue.EDEMA, 0, TRUTH), a_folder / "zoe" / "truth.nii.gz")
    save(arrays(9)["t2"], a_folder / "carl" / "t2.nii.gz")
    bert, carl, zoe = find_labelled(a_folder, kinds=KINDS)
    assert (zoe.key, bert.key) == (first[0].key, first[1].key)
    assert carl.key != first[2].key


# Choosing

def cases(count: int) -> list[LabelledCase]:
    files = {"lge": Path("a"), "mask": Path("b")}
    return [LabelledCase(f"case {n:02d}", hashlib.sha256(bytes([n])).hexdigest()[:16],
                         Layout.FILES, files | ({"labels": Path("c")} if n % 4 else {}))
            for n in range(count)]


def test_cases_are_drawn_by_key_whatever_their_order() -> None:
    everyone = cases(40)
    drawn = choose_labelled(everyone, "10", seed=3)
    assert len(drawn) == 10 and all(c.labelled for c in drawn)
    assert drawn == [c for c in everyone if c in drawn], "in the order given"
    shuffled = random.Random(0).sample(everyone, 40)
    assert {c.key for c in choose_labelled(shuffled, "10", seed=3)} == {c.key for c in drawn}
    assert {c.key for c in drawn} < {c.key for c in choose_labelled(everyone, "20", seed=3)}
    assert drawn != choose_labelled(everyone, "10", seed=4)
    often = [c.key for seed in range(60) for c in choose_labelled(everyone, "10", seed=seed)]
    assert set(often) == {c.key for c in everyone if c.labelled}, "anybody may be drawn"


def test_cases_are_named_or_all_taken() -> None:
    everyone = cases(8)
    assert choose_labelled(everyone) == [c for c in everyone if c.labelled]
    assert [c.name for c in choose_labelled(everyone, f"case 05, {everyone[1].key}")] == [
        "case 01", "case 05"]
    with pytest.raises(InputError, match="no labelled case is called case 04, nobody") as caught:
        choose_labelled(everyone, "case 04,case 05,nobody")
    assert caught.value.private == ("case 04", "nobody")
    for count in ("0", "7"):
        with pytest.raises(InputError, match=f"{count} labelled cases were asked for, and 6 are"):
            choose_labelled(everyone, count)


# What is wrong

def shifted(path: Path, by: float) -> None:
    image = sitk.ReadImage(str(path))
    image.SetOrigin(tuple(o + by for o in image.GetOrigin()))
    sitk.WriteImage(image, str(path))


def test_all_that_is_wrong_is_listed_at_once(a_folder: Path) -> None:
    for seed, name in enumerate(("d1", "d2", "e1", "f1", "g1", "h1", "i1", "j1"), 3):
        add(a_folder, name, seed)
    (a_folder / "d1" / "mask.nii.gz").unlink()
    (a_folder / "d2" / "mask.nii.gz").unlink()
    half = (a_folder / "d2" / "lge.nii.gz").read_bytes()[:4000]
    (a_folder / "d2" / "lge.nii.gz").write_bytes(half)
    for name in ("bssfp", "truth"):
        shifted(a_folder / "e1" / f"{name}.nii.gz", 3.0)
    save(TRUTH * 7, a_folder / "f1" / "truth.nii.gz")
    shutil.copy(a_folder / "g1" / "truth.nii.gz", a_folder / "g1" / "labels.nii.gz")
    (a_folder / "h1" / "truth.nii.gz").rename(a_folder / "h1" / "truth.npy")
    save(np.zeros(SHAPE, np.uint8), a_folder / "i1" / "truth.nii.gz")
    save(np.roll(TRUTH, 12, axis=2), a_folder / "j1" / "truth.nii.gz")
    (a_folder / "nothing").mkdir()
    (a_folder / ".hidden").mkdir()
    shutil.copytree(a_folder / "anna", a_folder / "the same again")
    error = fault(a_folder)
    said = str(error)
    assert said.startswith("10 of the folder's 13 cases cannot be used: (1) ")
    assert "\n" not in said
    for words in (
            "d1, d2: no LV mask, a file called mask",
            "d2: the LGE file is truncated or damaged",
            "e1 (origin, by 5.2 mm): bSSFP and LGE lie on different grids",
            "e1 (origin, by 5.2 mm): labelmap and LGE lie on different grids",
            "f1: the labelmap holds values that are no tissue (7, 14, 21, 28)",
            "g1 (labels.nii.gz and truth.nii.gz): has two files for one thing",
            "h1 (truth.npy): has a file in a format that is not read here",
            "i1: the labels name no tissue",
            "j1: most labels or many of them lie outside the LV mask",
            "nothing: no file called bssfp, lge or t2",
            "the same again (as anna): has the same image as another case"):
        assert words in said, words
    assert not {"anna", "bert", "carl"} & set(said.replace("(as anna)", "").split())
    assert set(error.private) == {p.name for p in a_folder.iterdir()} - {".hidden"}


def test_forty_faults_can_still_be_read(tmp_path: Path) -> None:
    """Each fault once, with the names of all; details only where they are few."""
    first = add(tmp_path, "good", 0)
    for number in range(40):
        shutil.copytree(first, tmp_path / f"case{number:02d}")
        save(arrays(0)["t2"], tmp_path / f"case{number:02d}" / "t2.nii.gz",
             spacing=(SPACING[0] + number / 10 + 0.1, *SPACING[1:]))
    said = str(fault(tmp_path))
    assert all(f"case{number:02d}" in said for number in range(40))
    assert said.count("different grids") == 1 and "spacing" not in said and len(said) < 700
    for number in range(42):
        (tmp_path / "empty" / f"case{number:02d}").mkdir(parents=True)
    assert "case38, case39 and 2 more: no file called" in str(fault(tmp_path / "empty"))


def test_the_same_pixels_in_another_format_are_the_same_image(a_folder: Path) -> None:
    save(arrays(0)["lge"], a_folder / "carl" / "lge.nrrd")
    (a_folder / "carl" / "lge.nii.gz").unlink()
    assert "carl (as anna): has the same image as another case" in str(fault(a_folder))


def test_myops_faults_are_listed_too(tmp_path: Path) -> None:
    for number in (101, 102, 103):
        write_myops(make_patient(number, slices=1), tmp_path, number)
    (tmp_path / "train25" / "myops_training_101_DE.nii.gz").unlink()
    (tmp_path / "train25_myops_gd" / "myops_training_101_gd.nii.gz").unlink()
    shifted(tmp_path / "train25" / "myops_training_102_T2.nii.gz", 3.0)
    shutil.copy(tmp_path / "train25" / "myops_training_103_C0.nii.gz",
                tmp_path / "train25" / "myops_training_103_C0.nii")
    said = str(fault(tmp_path))
    assert said.startswith("3 of the folder's 3 cases")
    for words in ("101 (LGE): lacks a file", "101: lacks the truth, and so an LV mask",
                  "102 (origin, by 5.2 mm): T2 and LGE lie on different grids",
                  "103 (bSSFP): has two files for one thing"):
        assert words in said, words


def test_what_phantom_json_says_must_hold(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        add(tmp_path, name, seed, roles=("lge",))
    (tmp_path / "one" / "phantom.json").write_text(json.dumps(
        {"kinds": {"lge": "lge-psir", "t2": "t2-map"}}))
    (tmp_path / "two" / "phantom.json").write_text(json.dumps({"kinds": {"lge": "t2-map"}}))
    said = str(fault(tmp_path))
    assert "one (T2): lacks a file that its phantom.json names" in said
    assert "two: its phantom.json is damaged" in said


@pytest.mark.parametrize(("make", "words"), [
    (lambda folder: folder / "not there", "does not exist"),
    (lambda folder: folder / "anna" / "lge.nii.gz", "does not exist"),
    (lambda folder: folder / "anna", "is itself a case"),
    (lambda folder: folder.parent / "state", "holds no case"),
])
def test_a_folder_that_holds_no_cases_is_refused(a_folder: Path, make, words: str) -> None:
    (a_folder.parent / "state").mkdir()
    with pytest.raises(InputError, match=words):
        find_labelled(make(a_folder))


def test_progress_is_told_case_by_case(a_folder: Path) -> None:
    told: list[tuple[float, str]] = []
    find_labelled(a_folder, kinds=KINDS, progress=lambda *words: told.append(words))
    assert told == [(n / 3, f"checking case {n + 1} of 3") for n in range(3)]
