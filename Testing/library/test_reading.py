"""From files to a study: formats, one grid, masks, DICOM; wrong files say what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from study_files import (
    MASK,
    OBLIQUE,
    ORIGIN,
    POOL,
    SHAPE,
    SPACING,
    WALL,
    an_image,
    arrays,
    save,
    save_all,
)  # fmt: skip

from deepgmm import InputError, Kind, Role, read_study

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sunnybrook"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """bSSFP, LGE, T2 and LV mask on one grid."""
    return save_all(tmp_path)


def refusal(**inputs) -> str:
    """What a user is told; one line, and no path in it."""
    with pytest.raises(InputError) as caught:
        read_study(**inputs)
    message = str(caught.value)
    assert "\n" not in message
    for path in (p for p in inputs.values() if isinstance(p, Path)):
        assert str(path) not in message and path.parent.name not in message
    return message


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_every_format_gives_the_same_study(tmp_path: Path, suffix: str) -> None:
    made = arrays()
    study = read_study(**save_all(tmp_path, suffix=suffix))
    for role in Role:
        np.testing.assert_array_equal(study.sequences[role].values, made[role.value])
    np.testing.assert_array_equal(study.mask, MASK)
    np.testing.assert_allclose(study.geometry.spacing, SPACING, rtol=1e-6)
    np.testing.assert_allclose(study.geometry.origin, ORIGIN, atol=1e-4)
    np.testing.assert_allclose(study.geometry.direction, OBLIQUE, atol=1e-6)
    assert study.slices == (0, 1, 2) and not study.warnings


def test_inputs_are_known_by_their_hashes(files) -> None:
    study = read_study(**files)
    assert study.hashes == {role: hashlib.sha256(path.read_bytes()).hexdigest()
                            for role, path in files.items()}


def test_any_one_sequence_will_do(files) -> None:
    for role in Role:
        study = read_study(**{role.value: files[role.value]}, mask=files["mask"])
        assert study.roles == (role,)


def test_nothing_given_says_what_is_wanted(files) -> None:
    assert "bSSFP, LGE and T2" in refusal(mask=files["mask"])
    assert "no LV mask" in refusal(lge=files["lge"])
    assert "wall alone" in refusal(lge=files["lge"], wall=files["mask"])


def test_a_label_mask_is_inside_wherever_it_is_not_zero(files, tmp_path: Path) -> None:
    files["mask"] = save((MASK * 200 + WALL * 300).astype(np.int16), tmp_path / "labels.nrrd")
    np.testing.assert_array_equal(read_study(**files).mask, MASK)


def test_names_with_accents_blanks_and_other_scripts(tmp_path: Path) -> None:
    study = read_study(**save_all(tmp_path / "Müller 患者 é"))
    np.testing.assert_array_equal(study.mask, MASK)


# Masks as Slicer saves them

def test_a_slicer_mask_on_a_piece_of_the_grid_goes_to_its_place(files, tmp_path: Path) -> None:
    whole = an_image(MASK.astype(np.uint8))
    piece = whole[5:43, 6:42, 0:3]
    files["mask"] = tmp_path / "mask.seg.nrrd"
    sitk.WriteImage(piece, str(files["mask"]))
    study = read_study(**files)
    np.testing.assert_array_equal(study.mask, MASK)
    np.testing.assert_allclose(study.geometry.origin, ORIGIN, atol=1e-3)


def test_a_slicer_mask_of_overlapping_segments_is_their_union(files, tmp_path: Path) -> None:
    layers = np.stack([POOL, WALL | POOL], axis=-1).astype(np.uint8)
    image = sitk.GetImageFromArray(layers, isVector=True)
    image.CopyInformation(an_image(MASK.astype(np.uint8)))
    files["mask"] = tmp_path / "mask.seg.nrrd"
    sitk.WriteImage(image, str(files["mask"]))
    np.testing.assert_array_equal(read_study(**files).mask, MASK)


def test_a_slicer_mask_of_another_grid_is_still_refused(files, tmp_path: Path) -> None:
    files["mask"] = save(np.ascontiguousarray(MASK[:, 4:-4, 4:-4], np.uint8),
                         tmp_path / "mask.seg.nrrd", origin=(0.3, 0.0, 0.0))
    assert "different grids" in refusal(**files)


# Wall

def test_mask_and_wall_together_are_the_ventricle(files, tmp_path: Path) -> None:
    wall = save(WALL.astype(np.uint8), tmp_path / "wall.nii.gz")
    study = read_study(**files, wall=wall)
    np.testing.assert_array_equal(study.wall, WALL)
    np.testing.assert_array_equal(study.mask, MASK)
    assert not study.warnings
    files["mask"] = save(POOL.astype(np.uint8), tmp_path / "pool.nii.gz")
    study = read_study(**files, wall=wall)
    np.testing.assert_array_equal(study.mask, MASK)
    assert any("blood pool" in w for w in study.warnings)


def test_a_wall_that_sticks_out_is_said(files, tmp_path: Path) -> None:
    shifted = np.roll(WALL, 3, axis=2)
    study = read_study(**files, wall=save(shifted.astype(np.uint8), tmp_path / "wall.nii.gz"))
    pixels = int((shifted & ~MASK).sum())
    assert any(f"sticks out of the LV mask by {pixels} pixels" in w for w in study.warnings)


# One grid

@pytest.mark.parametrize(("change", "what"), [
    ({"spacing": (2.02, 2.0, 8.0)}, "spacing 2.02 x 2 x 8 mm against 2 x 2 x 8 mm"),
    ({"origin": (-38.0, 12.5, 30.0)}, "origin, by 2 mm"),
    ({"direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}, "direction cosines, by up to 0.8"),
])  # fmt: skip
@pytest.mark.parametrize("role", ["bssfp", "lge", "t2"])
def test_different_grids_are_refused(files, tmp_path: Path, role, change, what) -> None:
    files[role] = save(arrays()[role], tmp_path / "other.nii.gz", **change)
    message = refusal(**files)
    assert Role(role).title in message and "LV mask" in message
    assert what in message and "--resample" in message


def test_different_sizes_are_refused(files, tmp_path: Path) -> None:
    files["t2"] = save(arrays()["t2"][:, :40], tmp_path / "other.nii.gz")
    assert "T2 and LV mask lie on different grids: size 48x40x3 against 48x48x3" in refusal(**files)


def test_rounding_in_a_header_is_no_different_grid(files, tmp_path: Path) -> None:
    spacing = tuple(s * (1 + 2e-4) for s in SPACING)
    origin = tuple(o + 0.005 for o in ORIGIN)
    files["t2"] = save(arrays()["t2"], tmp_path / "other.nrrd", spacing=spacing, origin=origin)
    assert not read_study(**files).warnings


def test_resampling_puts_images_where_they_belong(files, tmp_path: Path) -> None:
    """A ramp in patient coordinates is a ramp on whatever grid, so the truth is known."""
    size, spacing = (50, 50, 9), (2.3, 2.3, 3.0)
    axes = np.asarray(OBLIQUE).reshape(3, 3)
    slope = axes @ [1.0, 2.0, 0.5]
    grid = an_image(MASK.astype(np.uint8))
    middle = np.array(grid.TransformContinuousIndexToPhysicalPoint((23.5, 23.5, 1.0)))
    other = an_image(np.zeros(size[::-1], np.float32), spacing=spacing)
    other.SetOrigin(middle - axes @ (np.array(spacing) * (np.array(size) - 1) / 2))

    def ramp(image: sitk.Image) -> np.ndarray:
        k, j, i = np.indices(image.GetSize()[::-1])
        steps = np.stack([i, j, k], axis=-1) * image.GetSpacing()
        return (steps @ axes.T + image.GetOrigin()) @ slope

    files["bssfp"] = save(ramp(other).astype(np.float32), tmp_path / "ramp.nrrd",
                          spacing=spacing, origin=other.GetOrigin())
    assert "different grids" in refusal(**files)
    study = read_study(**files, resample=True)
    found, wanted = study.sequences[Role.BSSFP].values[MASK], ramp(grid)[MASK]
    np.testing.assert_allclose(found, wanted, atol=0.05)
    assert "bSSFP was resampled onto the LGE grid (linear)" in study.warnings
    np.testing.assert_array_equal(study.mask, MASK)


def test_a_mask_is_resampled_to_its_nearest_voxel(files, tmp_path: Path) -> None:
    half = MASK[:, ::2, ::2].astype(np.uint8)
    files["mask"] = save(half, tmp_path / "half.nrrd", spacing=(4.0, 4.0, 8.0))
    study = read_study(**files, resample=True)
    assert "LV mask was resampled onto the LGE grid (nearest voxel)" in study.warnings
    assert study.mask.shape == SHAPE
    overlap = 2 * (study.mask & MASK).sum() / (study.mask.sum() + MASK.sum())
    assert overlap > 0.9
    np.testing.assert_array_equal(study.mask[:, ::2, ::2], half > 0)


def test_flipped_axes_are_undone_by_resampling(files, tmp_path: Path) -> None:
    flipped = sitk.Flip(sitk.ReadImage(str(files["t2"])), (True, False, True))
    files["t2"] = tmp_path / "flipped.nrrd"
    sitk.WriteImage(flipped, str(files["t2"]))
    assert "different grids" in refusal(**files)
    values = read_study(**files, resample=True).sequences[Role.T2].values
    np.testing.assert_allclose(values[MASK], arrays()["t2"][MASK], atol=0.01)


def test_resampling_cannot_bring_together_what_lies_apart(files, tmp_path: Path) -> None:
    far = (ORIGIN[0] + 500, *ORIGIN[1:])
    files["mask"] = save(MASK.astype(np.uint8), tmp_path / "far.nrrd", origin=far)
    assert "different places" in refusal(**files, resample=True)
    files = {**save_all(tmp_path), "t2": save(arrays()["t2"], tmp_path / "t.nrrd", origin=far)}
    assert "T2 and LGE do not overlap: they lie " in refusal(**files, resample=True)


# Files that are no 3D image

def test_missing_file(files, tmp_path: Path) -> None:
    files["lge"] = tmp_path / "nothing.nii.gz"
    assert "LGE file does not exist" in refusal(**files)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("role", ["lge", "mask"])
def test_half_a_file_is_refused(tmp_path: Path, suffix: str, role: str) -> None:
    files = save_all(tmp_path, suffix=suffix)
    whole = files[role].read_bytes()
    files[role].write_bytes(whole[: len(whole) * 2 // 3])
    assert "truncated or damaged" in refusal(**files)


def test_a_flipped_bit_in_a_compressed_file_is_found(files) -> None:
    damaged = bytearray(files["t2"].read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    files["t2"].write_bytes(damaged)
    assert "T2 file is truncated or damaged" in refusal(**files)


@pytest.mark.parametrize("content", [b"", b"hello " * 200])
@pytest.mark.parametrize("name", ["x.nii.gz", "x.nii", "x.nrrd", "x.mha", "x.txt"])
def test_what_is_no_image_is_refused(files, tmp_path: Path, name: str, content: bytes) -> None:
    files["lge"] = tmp_path / name
    files["lge"].write_bytes(content)
    assert refusal(**files).startswith("the LGE file is")


def test_frames_of_lge_are_refused_and_a_single_one_taken(files, tmp_path: Path) -> None:
    """A cine of bSSFP is ordinary; see test_dicom_cine.py."""
    volume = an_image(arrays()["lge"])
    files["lge"] = tmp_path / "cine.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([volume] * 4), str(files["lge"]))
    assert "LGE file has 4 frames" in refusal(**files)
    sitk.WriteImage(sitk.JoinSeries([volume]), str(files["lge"]))
    values = read_study(**files).sequences[Role.LGE].values
    np.testing.assert_array_equal(values, arrays()["lge"])


def test_a_2d_file_is_one_slice(tmp_path: Path) -> None:
    made, paths = arrays(), {}
    for role in ("bssfp", "mask"):
        image = sitk.GetImageFromArray(made[role][1])
        image.SetSpacing((2.0, 2.0))
        paths[role] = tmp_path / f"{role}.nrrd"
        sitk.WriteImage(image, str(paths[role]))
    study = read_study(**paths)
    assert study.mask.shape == (1, 48, 48)
    np.testing.assert_array_equal(study.sequences[Role.BSSFP].values[0], made["bssfp"][1])


@pytest.mark.parametrize("pixels", ["colour", "vector", "complex"])
def test_several_values_a_voxel_are_refused(files, tmp_path: Path, pixels: str) -> None:
    values = arrays()["lge"]
    image = an_image(values)
    many = {
        "colour": lambda: sitk.Compose([sitk.Cast(image, sitk.sitkUInt8)] * 3),
        "vector": lambda: sitk.Compose([image] * 2),
        "complex": lambda: sitk.RealAndImaginaryToComplex(image, image),
    }[pixels]()
    files["lge"] = tmp_path / "many.nrrd"
    sitk.WriteImage(many, str(files["lge"]))
    assert "several values a voxel" in refusal(**files)


# Slices and kinds

def test_slices_not_asked_for_are_left_out(files) -> None:
    study = read_study(**files, slices="0,2")
    assert study.slices == (0, 2) and list(study.excluded) == [1]
    assert "there is no slice 3" in refusal(**files, slices="1-3")


def test_a_kind_is_taken_as_said_or_guessed(files) -> None:
    kinds = {r: s.kind for r, s in read_study(**files).sequences.items()}
    assert kinds == {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE,
                     Role.T2: Kind.T2_DARK_BLOOD}
    for said in ("unknown", Kind.UNKNOWN):
        assert read_study(**files, lge_kind=said).sequences[Role.LGE].kind is Kind.UNKNOWN
    for said in ("magnitude", "lge-magnitude", Kind.LGE_MAGNITUDE):
        assert read_study(**files, lge_kind=said).sequences[Role.LGE].kind is Kind.LGE_MAGNITUDE
    assert "auto, dark-blood, prepared, map, unknown" in refusal(**files, t2_kind="stir")


# DICOM

def a_series(
    folder: Path, values: np.ndarray, *, positions=None, uid=None, description="LGE PSIR SAX",
    names=None,
) -> Path:
    """Write slices as a scanner does, with pydicom, last slice first."""
    folder.mkdir(parents=True, exist_ok=True)
    axes = np.asarray(OBLIQUE).reshape(3, 3)
    uid, study = uid or generate_uid(), generate_uid()
    for k in reversed(range(len(values))):
        along = SPACING[2] * k if positions is None else positions[k]
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = names[k] if names else f"{len(values) - k:03d}.dcm"
        image = FileDataset(str(folder / name), {}, file_meta=meta, preamble=b"\0" * 128)
        image.SOPClassUID, image.SOPInstanceUID = (meta.MediaStorageSOPClassUID,
                                                   meta.MediaStorageSOPInstanceUID)
        image.Modality, image.SeriesDescription = "MR", description
        image.PatientName, image.PatientID = "Doe^Jane", "12345"
        image.StudyInstanceUID, image.SeriesInstanceUID = study, uid
        image.InstanceNumber = len(values) - k
        image.Rows, image.Columns = values.shape[1:]
        image.PixelSpacing, image.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        image.ImageOrientationPatient = [float(v) for v in (*axes[:, 0], *axes[:, 1])]
        image.ImagePositionPatient = [float(v) for v in ORIGIN + axes[:, 2] * along]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelRepresentation = 0
        image.RescaleIntercept, image.RescaleSlope = -100, 2
        image.PixelData = ((values[k] + 100) / 2).round().astype(np.uint16).tobytes()
        pydicom.dcmwrite(folder / name, image)
    return folder


@pytest.mark.parametrize("names", [None, ["b.dcm", "c.dcm", "a.dcm"]])
def test_a_dicom_series_is_sorted_by_position(files, tmp_path: Path, names) -> None:
    values = np.round(arrays()["lge"] / 2) * 2
    study = read_study(**{**files, "lge": a_series(tmp_path / "lge", values, names=names)})
    np.testing.assert_array_equal(study.sequences[Role.LGE].values, values)
    assert study.sequences[Role.LGE].kind is Kind.LGE_PSIR  # its header says so
    assert not any("Doe" in text or "12345" in text for text in study.warnings)


def test_unevenly_spaced_slices_are_said(files, tmp_path: Path) -> None:
    folder = a_series(tmp_path / "lge", arrays()["lge"], positions=[0.0, 8.0, 17.0])
    study = read_study(**{**files, "lge": folder}, resample=True)
    assert any("unevenly spaced (8.0 to 9.0 mm)" in w for w in study.warnings)


def test_folders_that_are_no_single_series_are_refused(files, tmp_path: Path) -> None:
    values = arrays()["lge"]
    files["lge"] = tmp_path / "empty"
    files["lge"].mkdir()
    assert "no DICOM series" in refusal(**files)
    files["lge"] = a_series(tmp_path / "two", values)
    a_series(files["lge"], values, names=["d", "e", "f"])
    assert "2 DICOM series" in refusal(**files)
    files["lge"] = a_series(tmp_path / "phases", values, positions=[0.0, 0.0, 8.0])
    assert "several images at one position" in refusal(**files)


# Real patients

@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/sunnybrook")
@pytest.mark.parametrize("case", ["SCD0000101", "SCD0000201", "SCD0000301"])
def test_real_patients_are_read_with_one_hint(case: str) -> None:
    study = read_study(bssfp=DATA / f"{case}_ED.nii.gz", mask=DATA / f"{case}_ED_lv.nii.gz")
    labels = sitk.ReadImage(str(DATA / f"{case}_ED_lv.nii.gz"))
    np.testing.assert_array_equal(study.mask, sitk.GetArrayFromImage(labels) > 0)
    assert study.geometry.direction == labels.GetDirection()
    [hint] = study.warnings
    assert "--mask-labels deepgmm" in hint and "would use its wall too" in hint
