"""Study folders: read as studies, slices matched by position; damaged ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import CINE, LGE, PSIR, STIR, Examination, a_cine, a_patient, whole

from deepgmm import Geometry, InputError, Kind, Role, Study, read_study
from deepgmm.cli.main import main
from deepgmm.phantom import PhantomPatient
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.studies.study_folder import read_folder_images, read_study_folder

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


@pytest.fixture(scope="module")
def patient() -> PhantomPatient:
    return a_patient(105, slices=4, lge=Kind.LGE_PSIR)


def imported(exam: Examination, patient: PhantomPatient, *words: str, mask: bool = True) -> Path:
    """The study folder of an examination, with the phantom's mask in it."""
    folder = exam.folder.parent / "study"
    assert main(["import", str(exam.folder), "-o", str(folder), "-q", *words]) == 0
    if mask:
        sitk.WriteImage(image_of(patient.study.mask.astype(np.uint8), patient.study.geometry),
                        str(folder / "mask.nii.gz"))
    return folder


def add_all(exam: Examination, patient: PhantomPatient, *, lge_time: float | None = 620.0) -> None:
    geometry, tags = patient.study.geometry, dict(PSIR)
    tags.pop("TriggerTime")
    if lge_time is not None:
        tags["TriggerTime"] = lge_time
    cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask, at=6)
    exam.add(10, "cine_sa", cine, geometry, tags=CINE, times=[20.0 + 75 * p for p in range(12)])
    exam.add(31, "psir_sa", whole(patient, Role.LGE), geometry, tags=tags, signed=True)
    exam.add(40, "T2_STIR_sa", whole(patient, Role.T2), geometry, tags=STIR)


def a_ramp(geometry: Geometry, shape: tuple[int, int, int]) -> np.ndarray:
    """Brightness that grows evenly through the patient: known at any place by its position."""
    matrix = geometry.index_to_world()
    s, r, c = np.indices(shape)
    world = np.stack([c, r, s, np.ones(shape)]).reshape(4, -1)
    return (1000 + ((matrix @ world)[:3].T @ (3.0, -2.0, 1.0))).reshape(shape)


def test_what_was_imported_is_the_study(exam, patient) -> None:
    add_all(exam, patient)
    study = read_study_folder(imported(exam, patient))
    assert study.roles == tuple(Role) and not study.excluded
    for role in (Role.LGE, Role.T2):
        np.testing.assert_array_equal(study.sequences[role].values, whole(patient, role))
    np.testing.assert_array_equal(study.mask, patient.study.mask)
    assert {r: s.kind for r, s in study.sequences.items()} == {
        Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_PSIR, Role.T2: Kind.T2_DARK_BLOOD}
    assert study.provenance["import"]["lge"]["series"] == [31]
    assert study.provenance["bssfp_phase"]["frame"] == 8


def test_a_frame_chosen_later_comes_from_the_cine(exam, patient) -> None:
    add_all(exam, patient)
    folder = imported(exam, patient)
    cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask, at=6)
    for phase, frame in (("match", 6), (2, 2)):
        study = read_study_folder(folder, phase=phase)
        assert study.provenance["bssfp_phase"]["frame"] == frame
        np.testing.assert_array_equal(study.sequences[Role.BSSFP].values, cine[frame])


def test_without_times_the_frame_is_left_to_the_mask(exam, patient, capsys) -> None:
    add_all(exam, patient, lge_time=None)
    folder = imported(exam, patient)
    assert not (folder / "bssfp.nii.gz").exists()
    study = read_study_folder(folder)
    assert study.provenance["bssfp_phase"] == {
        "frame": 6, "of": 12, "why": "its edges fit the LV mask best"}


def test_a_frame_asked_for_at_import_is_written(exam, patient) -> None:
    add_all(exam, patient)
    study = read_study_folder(imported(exam, patient, "--phase", "3"))
    assert study.provenance["bssfp_phase"]["frame"] == 3


def test_the_mask_may_be_given_or_lie_in_the_folder(exam, patient, tmp_path) -> None:
    add_all(exam, patient)
    folder = imported(exam, patient, mask=False)
    with pytest.raises(InputError, match="no LV mask given, and the study folder has no file"):
        read_study_folder(folder)
    mask = tmp_path / "outline.nrrd"
    sitk.WriteImage(image_of(patient.study.mask.astype(np.uint8), patient.study.geometry),
                    str(mask))
    np.testing.assert_array_equal(read_study_folder(folder, mask=mask).mask, patient.study.mask)


# Slices by position

def two_sequences(exam: Examination, patient: PhantomPatient, t2: Geometry,
                  positions: list[float] | None = None, skip: tuple[int, ...] = ()) -> Study:
    """LGE on the phantom's slices, and T2 a ramp on another grid."""
    exam.add(31, "psir_sa", whole(patient, Role.LGE), patient.study.geometry, tags=PSIR,
             signed=True)
    count = 4 if positions is None else len(positions)
    values = a_ramp(t2, (count, 110, 104))
    if positions is not None:
        normal = np.asarray(t2.direction).reshape(3, 3)[:, 2]
        steps = np.asarray(positions) - np.arange(count) * t2.spacing[2]
        values += (normal @ (3.0, -2.0, 1.0) * steps)[:, None, None]
    exam.add(40, "T2_STIR_sa", values, t2, tags=STIR, positions=positions, skip=skip,
             slopes=[0.05] * count)
    return read_study_folder(imported(exam, patient))


def moved(geometry: Geometry, columns: float = 0.0, rows: float = 0.0, along: float = 0.0,
          pixel: float = 1.0) -> Geometry:
    axes = np.asarray(geometry.direction).reshape(3, 3)
    origin = np.asarray(geometry.origin) + axes @ (columns, rows, along)
    return Geometry((geometry.spacing[0] * pixel, geometry.spacing[1] * pixel,
                     geometry.spacing[2]), tuple(origin), geometry.direction)


def test_another_grid_in_the_plane_is_matched_to_the_pixel(exam, patient) -> None:
    lge = patient.study.geometry
    study = two_sequences(exam, patient, moved(lge, columns=-3.3, rows=-2.1, pixel=0.97))
    inside = study.mask
    expected = a_ramp(lge, inside.shape)
    np.testing.assert_allclose(study.sequences[Role.T2].values[inside], expected[inside],
                               atol=0.1)


def test_slices_are_matched_by_position_not_by_number(exam, patient) -> None:
    """T2 begins one slice earlier and has one more."""
    lge = patient.study.geometry
    gap = lge.spacing[2]
    study = two_sequences(exam, patient, moved(lge, along=-gap, columns=-5, rows=-5),
                          positions=[gap * k for k in range(5)])
    expected = a_ramp(lge, study.mask.shape)
    np.testing.assert_allclose(study.sequences[Role.T2].values[study.mask],
                               expected[study.mask], atol=0.1)
    assert not study.excluded


def test_a_slice_that_a_sequence_lacks_is_left_out_and_said(exam, patient) -> None:
    lge = patient.study.geometry
    study = two_sequences(exam, patient, moved(lge, columns=-5, rows=-5), skip=(2,))
    assert study.excluded == {2: "T2 has no slice there"} and study.slices == (0, 1, 3)


def test_to_ask_for_a_slice_that_lge_lacks_blames_lge(exam) -> None:
    patient = a_patient(105, slices=5, lge=Kind.LGE_PSIR)
    cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask, at=6)
    exam.add(10, "cine_sa", cine, patient.study.geometry, tags=CINE)
    exam.add(31, "psir_sa", whole(patient, Role.LGE), patient.study.geometry, tags=PSIR,
             signed=True, skip=(2,))
    folder = imported(exam, patient)
    with pytest.raises(InputError, match=r"LGE does not reach the LV mask on slice 2:"):
        read_study_folder(folder, slices="2", phase=0)


@pytest.mark.parametrize("slices", [None, "0-2"])
def test_a_slice_that_lge_itself_lacks_is_left_out_and_said(exam, slices) -> None:
    """No other sequence can be brought there either, but it is LGE that lacks it."""
    patient = a_patient(105, slices=5, lge=Kind.LGE_PSIR)
    geometry = patient.study.geometry
    exam.add(31, "psir_sa", whole(patient, Role.LGE), geometry, tags=PSIR, signed=True, skip=(2,))
    exam.add(40, "T2_STIR_sa", whole(patient, Role.T2), geometry, tags=STIR)
    study = read_study_folder(imported(exam, patient), slices=slices)
    assert study.excluded[2] == "LGE has no slice there"
    assert study.slices == ((0, 1, 3, 4) if slices is None else (0, 1))
    assert [w for w in study.warnings if "slice 2 was" in w] == [
        "slice 2 was left out: LGE has no slice there"]
    assert np.isfinite(study.images).all()


def test_slices_at_other_depths_are_told(exam, patient) -> None:
    lge = patient.study.geometry
    study = two_sequences(exam, patient, moved(lge, columns=-5, rows=-5, along=2.5))
    assert any("slice by nearest slice, which lie up to 2.5 mm away" in w
               for w in study.warnings)


def test_uneven_slices_are_matched_where_they_are(exam, patient) -> None:
    lge = patient.study.geometry
    gap = lge.spacing[2]
    places = [0.0, gap * 1.1, gap * 2.0, gap * 2.9]
    study = two_sequences(exam, patient, moved(lge, columns=-5, rows=-5), positions=places)
    for k, place in enumerate(places):
        there = a_ramp(moved(lge, along=place), (1, *study.mask.shape[1:]))[0]
        inside = study.mask[k]
        np.testing.assert_allclose(study.sequences[Role.T2].values[k][inside], there[inside],
                                   atol=0.1)
    assert any("unevenly spaced" in w for w in study.warnings)


def test_sequences_without_a_common_slice_are_refused(exam, patient) -> None:
    far = moved(patient.study.geometry, along=200.0)
    with pytest.raises(InputError, match=r"T2 does not reach the LV mask on"):
        two_sequences(exam, patient, far)


# Kinds

def test_a_kind_may_be_said(exam, patient) -> None:
    add_all(exam, patient)
    folder = imported(exam, patient)
    study = read_study_folder(folder, t2_kind="unknown")
    assert study.sequences[Role.T2].kind is Kind.UNKNOWN


def test_an_image_that_looks_otherwise_than_its_header_says_is_told(exam, patient) -> None:
    """A T2-prepared image (bright blood) in a spin echo's header without a name for it."""
    bright = a_patient(105, slices=4, t2=Kind.T2_PREPARED)
    geometry = patient.study.geometry
    exam.add(40, "sax", whole(bright, Role.T2), geometry, tags=STIR)
    exam.add(31, "lge_sa", whole(a_patient(105, slices=4), Role.LGE), geometry, tags=LGE)
    study = read_study_folder(imported(exam, patient))
    assert study.sequences[Role.T2].kind is Kind.T2_DARK_BLOOD, "nothing changes in silence"
    assert any("T2 is dark-blood by its header, but looks like prepared: say --t2-kind" in w
               for w in study.warnings)


# The command

def test_a_mask_of_another_place_needs_no_warning_of_the_folders_own(exam, patient) -> None:
    add_all(exam, patient)
    folder = imported(exam, patient)
    folder = imported(exam, patient, "--force", mask=False)
    stays = "the study folder has a mask already"
    assert any(w.startswith(stays) for w in read_study_folder(folder).warnings)
    other = folder.parent / "other.nii.gz"
    (folder / "mask.nii.gz").rename(other)
    assert not any(w.startswith(stays) for w in read_study_folder(folder, mask=other).warnings)


def test_segment_takes_a_study_folder_as_it_takes_its_files(exam, patient, tmp_path) -> None:
    add_all(exam, patient)
    folder = imported(exam, patient)
    assert main(["segment", "--study", str(folder), "--labelmap", str(tmp_path / "a.nii.gz"),
                 "--report", str(tmp_path / "r.json"), "-q"]) == 0
    single = [w for n in ("bssfp", "lge", "t2", "mask")
              for w in (f"--{n}", str(folder / f"{n}.nii.gz"))]
    assert main(["segment", *single, "--lge-kind", "psir", "--labelmap",
                 str(tmp_path / "b.nii.gz"), "-q"]) == 0
    one, two = (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{n}.nii.gz")))
                for n in "ab")
    np.testing.assert_array_equal(one, two)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["import"]["lge"]["kind"] == "lge-psir"
    assert report["bssfp_phase"]["frame"] == 8
    assert report["input_hashes"] == read_study(
        **{n: folder / f"{n}.nii.gz" for n in ("bssfp", "lge", "t2", "mask")}).hashes


def test_segment_overwrites_nothing_of_a_study(exam, patient, capsys) -> None:
    add_all(exam, patient)
    folder = imported(exam, patient)
    assert main(["segment", "--study", str(folder), "--labelmap",
                 str(folder / "lge.nii.gz")]) == 2
    assert "would overwrite the study's lge.nii.gz" in capsys.readouterr().err
    assert main(["segment", "--study", str(folder), "--lge", str(folder / "lge.nii.gz"),
                 "--json"]) == 2
    assert "give one or the other" in capsys.readouterr().err


@pytest.mark.parametrize("damage, said", [
    (lambda f: (f / "study.json").unlink(), "has no study.json"),
    (lambda f: (f / "study.json").write_text("{"), "study.json is damaged"),
    (lambda f: (f / "study.json").write_text("[]"), "study.json is damaged"),
    (lambda f: change(f, version=99), "made by a later version"),
    (lambda f: change(f, sequences={}), "study.json is damaged"),
    (lambda f: (f / "lge.nii.gz").unlink(), "LGE file does not exist"),
    (lambda f: (f / "lge.nii.gz").write_bytes((f / "lge.nii.gz").read_bytes()[:2000]),
     "truncated or damaged"),
    (lambda f: cut(f / "lge.nii.gz"), "study.json and its LGE do not belong together"),
])
def test_a_damaged_folder_is_refused(exam, patient, damage, said) -> None:
    exam.add(31, "psir_sa", whole(patient, Role.LGE), patient.study.geometry, tags=PSIR,
             signed=True)
    folder = imported(exam, patient)
    damage(folder)
    with pytest.raises(InputError, match=said):
        read_study_folder(folder)


def change(folder: Path, **values: object) -> None:
    said = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(said | values))


def cut(path: Path) -> None:
    """Half of the slices, as if another image had taken this one's name."""
    sitk.WriteImage(sitk.ReadImage(str(path))[:, :, :2], str(path))


def test_a_mask_is_proposed_for_a_study_folder(exam, patient, tmp_path, capsys) -> None:
    """By each door the same mask, on the grid and the frame that is segmented."""
    add_all(exam, patient)
    folder = imported(exam, patient, mask=False)
    capsys.readouterr()
    lv, out = tmp_path / "lv.seg.nrrd", tmp_path / "out.seg.nrrd"
    assert main(["propose-mask", "--study", str(folder), "-o", str(lv), "-q"]) == 0
    by_itself = capsys.readouterr().err
    assert main(["segment", "--study", str(folder), "--mask", "propose", "--method", "gmm",
                 "-o", str(out), "-q"]) == 0
    within = capsys.readouterr().err
    for said in (by_itself, within):
        assert "proposed from the images and not drawn" in said and str(folder) not in said
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out-proposed-mask.seg.nrrd")))
    study = read_study_folder(folder, mask=lv)
    assert (study.mask == (written > 0)).all()
    assert study.provenance["mask_proposal"]["proposed"]
    one, other = study.mask, patient.study.mask
    assert 2 * (one & other).sum() > 0.85 * (one.sum() + other.sum())
    images = read_folder_images(folder)
    assert images.provenance["bssfp_phase"]["frame"] == 8 and not images.mask.any()
    assert {r: s.kind for r, s in images.sequences.items()} == {
        r: s.kind for r, s in study.sequences.items()}
    assert read_folder_images(folder, phase=2).provenance["bssfp_phase"]["frame"] == 2


@pytest.mark.parametrize("door", [["propose-mask"], ["segment", "--mask", "propose"]])
@pytest.mark.parametrize("given, why", [
    (["--study", "nothing"], "was not found"),
    (["--study", "{}", "--lge", "{}"], "one or the other"),
    (["--study", "{}/study.json"], "is a file"),
    (["--study", "{}", "--phase", "ed"], "--phase ed goes by contours"),
    (["--study", "{}", "--phase", "99"], "there is no frame 99")])
def test_a_study_folder_that_no_mask_is_proposed_for_is_refused_in_a_line(
        exam, patient, tmp_path, capsys, door, given, why) -> None:
    add_all(exam, patient)
    folder = imported(exam, patient, mask=False)
    capsys.readouterr()
    out = tmp_path / "out.seg.nrrd"
    assert main([*door, *(w.format(folder) for w in given), "-o", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert why in said and len(said) < 300 and str(folder) not in said
    assert not out.exists() and not list(tmp_path.glob("*proposed*"))
