"""Where image files lie: nibabel, pynrrd and the header's own arithmetic say what is right."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import LGE, Examination, run
from study_files import MASK, save_all

from deepgmm import Geometry, InputError, read_study
from deepgmm.reading.images.image import read_image

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
VALUES = np.random.default_rng(2).integers(0, 900, (24, 20, 5)).astype(np.float32)
TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
TURN *= np.linalg.det(TURN)
RIGHT = nib.affines.from_matvec(TURN @ np.diag([1.5, 1.4, 8.0]), (10.0, -20.0, 30.0))
OTHER = nib.affines.from_matvec(RIGHT[:3, :3], (60.0, -20.0, 30.0))
SHEARED = RIGHT @ nib.affines.from_matvec(np.array([[1, 0, 0.3], [0, 1, 0], [0, 0, 1.0]]))


def nifti(path: Path, *, sform=RIGHT, qform=RIGHT, s: int = 1, q: int = 1,
          pixdim: dict[int, float] | None = None) -> Path:
    """A NIfTI file with two forms; `pixdim` is put into it as it stands."""
    header = nib.Nifti1Header()
    header.set_data_shape(VALUES.shape)
    header.set_data_dtype(VALUES.dtype)
    header.set_qform(qform, q)
    header.set_sform(sform, s)
    header["magic"], header["vox_offset"] = b"n+1", 352
    raw = bytearray(header.binaryblock + bytes(4) + VALUES.tobytes(order="F"))
    for axis, size in (pixdim or {}).items():
        raw[76 + 4 * axis:80 + 4 * axis] = np.float32(size).tobytes()
    path.write_bytes(raw)
    return path


def placed(path: Path) -> tuple[np.ndarray, list[str]]:
    """Indices to RAS by our reading."""
    image, warnings, _ = read_image(path, "LGE")
    geometry = Geometry(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return LPS @ geometry.index_to_world(), warnings


@pytest.mark.parametrize(("codes", "forms", "word"), [
    ((1, 1), (RIGHT, RIGHT), ""), ((2, 1), (RIGHT, OTHER), "disagree (by up to 50 mm)"),
    ((1, 2), (RIGHT, OTHER), "disagree"), ((0, 1), (OTHER, RIGHT), ""),
    ((4, 0), (RIGHT, OTHER), "")])
def test_the_form_used_is_nibabels_and_disagreement_is_said(tmp_path, codes, forms, word):
    path = nifti(tmp_path / "a.nii", s=codes[0], q=codes[1], sform=forms[0], qform=forms[1])
    affine, warnings = placed(path)
    np.testing.assert_allclose(affine, nib.load(path).affine, atol=1e-4)
    assert word in " ".join(warnings) if word else not warnings


def test_forms_that_disagree_are_named_where_a_mask_lies_elsewhere(tmp_path) -> None:
    lge = nifti(tmp_path / "lge.nii", q=1, qform=OTHER)
    mask = nifti(tmp_path / "mask.nii", s=0, qform=OTHER)
    with pytest.raises(InputError, match="different grids: origin.*its sform and qform disagree"):
        read_study(lge=lge, mask=mask)


def test_a_header_without_forms_is_said(tmp_path) -> None:
    assert "neither sform nor qform" in placed(nifti(tmp_path / "a.nii", s=0, q=0))[1][0]


def test_a_single_slice_without_thickness_is_one_of_a_millimetre(tmp_path) -> None:
    path = nifti(tmp_path / "a.nii", s=0, pixdim={3: 0.0})
    raw = bytearray(path.read_bytes())
    raw[46:48] = np.int16(1).tobytes()
    path.write_bytes(raw[:352 + 24 * 20 * 4])
    affine, warnings = placed(path)
    np.testing.assert_allclose(affine, RIGHT @ np.diag([1, 1, 1 / 8, 1]), atol=1e-4)
    assert "1 mm was taken" in warnings[0]


@pytest.mark.parametrize("size", [0.0, -1.5, np.nan, np.inf])
@pytest.mark.parametrize("axis", [1, 3])
def test_a_voxel_size_that_is_none_matters_only_without_sform(tmp_path, axis, size):
    with_sform = nifti(tmp_path / "s.nii", q=0, pixdim={axis: size})
    affine, _ = placed(with_sform)
    np.testing.assert_allclose(affine, RIGHT, atol=1e-4)
    lengths = [1.5, 1.4, 8.0]
    without = nifti(tmp_path / "q.nii", s=0,
                    pixdim={axis: -lengths[axis - 1] if size < 0 else size})
    if size < 0:
        affine, warnings = placed(without)
        np.testing.assert_allclose(affine, RIGHT, atol=1e-4)
        assert "negative voxel size" in warnings[0]
    else:
        with pytest.raises(InputError, match="how large a voxel is"):
            read_image(without, "LGE")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_nifti_2_is_read_as_nibabel_reads_it(tmp_path, name, order) -> None:
    """With an extension, a scale, a NaN and both forms; of either byte order."""
    values = VALUES.astype(np.float32)
    values[3, 4, 2] = np.nan
    made = nib.Nifti2Image(values, RIGHT, nib.Nifti2Header(endianness=order))
    made.header.set_slope_inter(2.0, -7.0)
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"of some length"))
    made.set_qform(OTHER, 1)
    nib.save(made, tmp_path / name)
    image, warnings, _ = read_image(tmp_path / name, "LGE")
    wanted = nib.load(tmp_path / name)
    np.testing.assert_allclose(sitk.GetArrayFromImage(image).T, wanted.get_fdata(), rtol=1e-6)
    affine, _ = placed(tmp_path / name)
    np.testing.assert_allclose(affine, wanted.affine, atol=1e-4)
    assert "disagree" in warnings[0]


def sheared_files(folder: Path, values: np.ndarray = VALUES, affine: np.ndarray = SHEARED
                  ) -> list[Path]:
    """A sheared grid in each format that can say one; `affine` from indices to RAS."""
    nib.save(nib.Nifti1Image(values, affine), folder / "a.nii.gz")
    nib.save(nib.Nifti2Image(values, affine), folder / "b.nii")
    lps = LPS @ affine
    nrrd.write(str(folder / "c.nrrd"), values, {
        "space": "left-posterior-superior", "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3], "kinds": ["domain"] * 3})
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    metaimage(folder / "d.mha", " ".join(f"{v:.9f}" for v in (lps[:3, :3] / lengths).T.ravel()),
              " ".join(map(str, lps[:3, 3])), " ".join(map(str, lengths)), values)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("tilt", [(0.3, 0.0), (-0.2, 0.35)])
def test_a_sheared_stack_is_made_straight_in_every_format(tmp_path, tilt) -> None:
    """An image that is linear in the patient stays so, where its slices still reach; a voxel's
    volume is the determinant's."""
    affine = RIGHT @ nib.affines.from_matvec(np.array([[1, 0, tilt[0] * 8], [0, 1, tilt[1] * 8],
                                                       [0, 0, 1.0]]))
    indices = np.indices(VALUES.shape).reshape(3, -1)
    slope = np.array([3.0, -5.0, 2.0])
    values = (slope @ (affine[:3, :3] @ indices)).reshape(VALUES.shape).astype(np.float32)
    for path in sheared_files(tmp_path, values, affine):
        image, warnings, _ = read_image(path, "LGE")
        found = sitk.GetArrayFromImage(image).T
        geometry = Geometry(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        there = LPS @ geometry.index_to_world()
        np.testing.assert_allclose(np.linalg.det(there[:3, :3]), np.linalg.det(affine[:3, :3]),
                                   rtol=1e-5)
        cosines = np.reshape(image.GetDirection(), (3, 3))
        np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-5)
        wanted = (slope @ (there[:3, :3] @ indices + (there[:3, 3:] - affine[:3, 3:]))
                  ).reshape(VALUES.shape)
        np.testing.assert_allclose(found[6:-6, 6:-6], wanted[6:-6, 6:-6], atol=0.05)
        np.testing.assert_allclose(found[:, :, 2], values[:, :, 2], atol=1e-3)  # the middle one
        assert len(warnings) == 1 and "do not lie straight above each other" in warnings[0]


def test_labels_on_a_sheared_grid_stay_labels(tmp_path) -> None:
    """Each slice's are moved by whole pixels, and none is lost in the middle of the image."""
    labels = np.zeros(VALUES.shape, np.float32)
    labels[8:16, 6:14] = 2
    labels[10:14, 8:12] = 1
    for path in sheared_files(tmp_path, labels):
        image, _, _ = read_image(path, "LV mask", labels=True)
        found = sitk.GetArrayFromImage(image).T
        assert set(np.unique(found)) == {0, 1, 2}
        for value in (1, 2):
            assert ((found == value).sum((0, 1)) == (labels == value).sum((0, 1))).all()


@pytest.mark.parametrize("skew", [np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1.0]]),
                                  np.array([[1, 0, 9.0], [0, 1, 0], [0, 0, 1.0]])])
def test_rows_askew_and_slices_beside_each_other_are_refused(tmp_path, skew) -> None:
    for path in sheared_files(tmp_path, affine=RIGHT @ nib.affines.from_matvec(skew)):
        with pytest.raises(InputError, match="the LGE file's axes are not at right angles"):
            read_image(path, "LGE")


def test_a_detached_nifti_header_that_is_sheared_is_refused(tmp_path) -> None:
    nib.save(nib.Nifti1Pair(VALUES, RIGHT @ nib.affines.from_matvec(
        np.array([[1, 0, 3.0], [0, 1, 0], [0, 0, 1.0]]))), tmp_path / "a.hdr")
    with pytest.raises(InputError, match="not at right angles"):
        read_image(tmp_path / "a.hdr", "LGE")


def metaimage(path: Path, matrix: str, offset: str, spacing: str,
              values: np.ndarray = VALUES) -> Path:
    path.write_bytes(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"CompressedData = False\nTransformMatrix = {matrix}\nOffset = {offset}\n"
        f"ElementSpacing = {spacing}\nDimSize = 24 20 5\nElementType = MET_FLOAT\n"
        "ElementDataFile = LOCAL\n".encode() + values.tobytes(order="F"))
    return path


@pytest.mark.parametrize(("matrix", "offset", "spacing"), [
    ("1 0 0 0 1 0 0 0 1", "0 nan 0", "1 1 8"), ("1 0 0 0 1 0 0 0 1", "0 0 inf", "1 1 8"),
    ("1 0 0 0 nan 0 0 0 1", "0 0 0", "1 1 8"), ("1 0 0 0 1 0 0 0 1", "0 0 0", "1 nan 8"),
    ("1 0 0 0 1 0 0 0 1", "0 0 0", "1 0 8"), ("1 0 0 0 1 0 0 0 0", "0 0 0", "1 1 8")])
def test_a_metaimage_that_lies_nowhere_is_refused(tmp_path, matrix, offset, spacing) -> None:
    with pytest.raises(InputError, match="the LGE file (says no place|does not say)"):
        read_image(metaimage(tmp_path / "a.mha", matrix, offset, spacing), "LGE")


@pytest.mark.parametrize("origin", ["(nan,nan,nan)", "(1,2,inf)"])
def test_an_nrrd_that_lies_nowhere_is_refused(tmp_path, origin) -> None:
    nrrd.write(str(tmp_path / "a.nrrd"), VALUES, {
        "space": "left-posterior-superior", "space directions": np.diag([1.5, 1.4, 8.0]),
        "space origin": np.zeros(3), "kinds": ["domain"] * 3, "encoding": "raw"})
    text = (tmp_path / "a.nrrd").read_bytes()
    assert b"space origin: (0,0,0)" in text or b"space origin: (0.0,0.0,0.0)" in text
    for zeros in (b"(0,0,0)", b"(0.0,0.0,0.0)"):
        text = text.replace(b"space origin: " + zeros, b"space origin: " + origin.encode())
    (tmp_path / "a.nrrd").write_bytes(text)
    with pytest.raises(InputError, match="says no place in the patient"):
        read_image(tmp_path / "a.nrrd", "LGE")


def test_a_nifti_that_lies_nowhere_is_refused_or_taken_by_its_other_form(tmp_path) -> None:
    nowhere = RIGHT.copy()
    nowhere[1, 3] = np.nan
    with pytest.raises(InputError, match="says no place in the patient"):
        read_image(nifti(tmp_path / "a.nii", sform=nowhere, q=0), "LGE")
    affine, warnings = placed(nifti(tmp_path / "b.nii", sform=nowhere))
    np.testing.assert_allclose(affine, RIGHT, atol=1e-4)
    assert "its qform was used" in warnings[0]
    status = run("segment", "--lge", tmp_path / "a.nii", "--mask", tmp_path / "a.nii", "-o",
                 tmp_path / "out.seg.nrrd")
    assert status == 2 and not (tmp_path / "out.seg.nrrd").exists()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_slices_on_another_axis_are_found_and_results_come_back_there(tmp_path, axis, suffix,
                                                                     capsys) -> None:
    straight = save_all(tmp_path / "straight")
    turned = {role: tmp_path / f"{role}{suffix}" for role in straight}
    order = (2, 0, 1) if axis == 0 else (0, 2, 1)
    for role, path in straight.items():
        sitk.WriteImage(sitk.PermuteAxes(sitk.ReadImage(str(path)), order), str(turned[role]))
    one, other = read_study(**straight), read_study(**turned)
    np.testing.assert_array_equal(other.mask, MASK)
    np.testing.assert_allclose(other.geometry.index_to_world(), one.geometry.index_to_world(),
                               atol=1e-4)
    for role in one.sequences:
        np.testing.assert_array_equal(other.sequences[role].values, one.sequences[role].values)
    nth = ("first", "second")[axis]
    assert sum(f"slices lie along the file's {nth} axis (3 of 8 mm)" in w
               for w in other.warnings) == 4
    common = ["--method", "gmm", "--labelmap"]
    assert run("segment", "--lge", straight["lge"], "--mask", straight["mask"], *common,
               tmp_path / "one.nii.gz") == 0
    assert run("segment", "--lge", turned["lge"], "--mask", turned["mask"], *common,
               tmp_path / "other.nii.gz", "--probabilities", tmp_path / "p.nii.gz") == 0
    labels, wanted = (sitk.ReadImage(str(tmp_path / f"{n}.nii.gz")) for n in ("other", "one"))
    mask = sitk.ReadImage(str(turned["mask"]))
    assert labels.GetSize() == mask.GetSize()
    np.testing.assert_allclose(labels.GetDirection(), mask.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(labels.GetOrigin(), mask.GetOrigin(), atol=1e-4)
    assert nib.load(tmp_path / "p.nii.gz").shape[:3] == mask.GetSize()
    back = sitk.PermuteAxes(labels, tuple(int(k) for k in np.argsort(order)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(wanted))


@pytest.mark.parametrize(("size", "spacing", "order"), [
    ((90, 80, 5), (1.5, 1.5, 8.0), (0, 1, 2)), ((5, 80, 90), (8.0, 1.5, 1.5), (1, 2, 0)),
    ((90, 5, 80), (1.5, 8.0, 1.5), (0, 2, 1)), ((90, 80, 70), (1.3, 1.3, 1.3), (0, 1, 2)),
    ((90, 80, 70), (2.0, 1.0, 1.0), (0, 1, 2)), ((90, 1, 80), (1.5, 1.0, 1.5), (0, 2, 1)),
    ((90, 80, 1), (1.5, 1.5, 0.1), (0, 1, 2))])
def test_which_axis_counts_slices(size, spacing, order) -> None:
    from deepgmm.reading.images.places import slice_axis_last

    assert slice_axis_last(size, spacing) == order


# Folders of DICOM

GRID = Geometry((1.5, 1.5, 8.0), (-20.0, 10.0, 30.0), (0.8, -0.36, 0.48, 0.6, 0.48, -0.64,
                                                       0.0, 0.8, 0.6))


@pytest.fixture
def exam(tmp_path: Path) -> Examination:
    return Examination(tmp_path / "exam")


def ramp(slices: int = 5) -> np.ndarray:
    """Differs everywhere, and linearly in the plane, so that shifting is exact."""
    k, i, j = np.indices((slices, 24, 20))
    return (1000 + 100 * k + 10 * i + 20 * j).astype(float)


@pytest.mark.parametrize("steps", [[0, 6, 12, 6, 0], [0, 3, 6, 9, 12], [0, 0.6, 1.0, 0.2, 0]])
def test_slices_beside_their_line_come_to_their_places(exam, tmp_path, steps) -> None:
    """The ramp, at the places of ImagePositionPatient, is linear in each plane."""
    exam.add(3, "lge_sa", ramp(), GRID, tags=LGE, in_plane=[(0.0, s) for s in steps])
    image, warnings, _ = read_image(exam.folder, "LGE")
    assert f"up to {max(steps):.1f} mm" in warnings[0]
    found = sitk.GetArrayFromImage(image)
    columns = np.arange(20) - np.divide(steps, 1.5)[:, None]
    inside = (columns >= 0) & (columns <= 19)
    wanted = 1000 + 100 * np.arange(5)[:, None] + 20 * columns
    for i in (0, 10, 23):
        np.testing.assert_allclose(found[:, i][inside], (wanted + 10 * i)[inside], rtol=1e-6)
    assert run("import", exam.folder, "-o", tmp_path / "out") == 0
    written = sitk.ReadImage(str(tmp_path / "out" / "lge.nii.gz"))
    np.testing.assert_allclose(sitk.GetArrayFromImage(written), found, rtol=1e-6)
    np.testing.assert_allclose(written.GetOrigin(), image.GetOrigin(), atol=1e-4)


def test_a_slice_that_is_there_twice(exam) -> None:
    exam.add(3, "lge_sa", ramp(), GRID, tags=LGE)
    series = next(iter(exam.folder.iterdir()))
    import pydicom

    def again(change: int) -> None:
        image = pydicom.dcmread(series)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        image.PixelData = (image.pixel_array + np.uint16(change)).tobytes()
        pydicom.dcmwrite(exam.folder / "again", image)

    again(0)
    image, warnings, _ = read_image(exam.folder, "LGE")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ramp())
    assert "1 image is there more than once, with the same pixels" in warnings[0]
    again(1)
    with pytest.raises(InputError, match="several images at one position"):
        read_image(exam.folder, "LGE")


def test_a_slice_that_is_missing_has_no_values(exam) -> None:
    exam.add(3, "lge_sa", ramp(), GRID, tags=LGE, skip=[2])
    image, warnings, _ = read_image(exam.folder, "LGE")
    found = sitk.GetArrayFromImage(image)
    np.testing.assert_array_equal(found[[0, 1, 3, 4]], ramp()[[0, 1, 3, 4]])
    assert np.isnan(found[2]).all() and "1 slice is missing" in warnings[0]


def test_one_series_a_slice_is_a_stack_here_too(exam) -> None:
    exam.add(3, "lge_sa", ramp(), GRID, tags=LGE, one_series_a_slice=True)
    image, warnings, _ = read_image(exam.folder, "LGE")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ramp())
    assert not warnings


def test_what_is_no_single_stack_is_refused(exam, tmp_path) -> None:
    from dicom_files import long_axis

    exam.add(3, "lge_sa", ramp(), GRID, tags=LGE)
    one = next(iter(exam.folder.iterdir()))
    import pydicom

    image = pydicom.dcmread(one)
    axes = np.asarray(long_axis(GRID).direction).reshape(3, 3)
    image.ImageOrientationPatient = [float(v) for v in (*axes[:, 0], *axes[:, 1])]
    image.SOPInstanceUID = "1.2.3"
    pydicom.dcmwrite(exam.folder / "other", image)
    with pytest.raises(InputError, match="slices that are not parallel"):
        read_image(exam.folder, "LGE")
    cine = Examination(tmp_path / "cine")
    cine.add(4, "cine_sa", np.stack([ramp()] * 9) + np.arange(9)[:, None, None, None], GRID,
             times=[20.0 * p for p in range(9)])
    with pytest.raises(InputError, match="several images at one position"):
        read_image(cine.folder, "LGE")


@pytest.mark.parametrize("lost", ["PixelSpacing", "ImagePositionPatient",
                                  "ImageOrientationPatient"])
def test_a_folder_that_says_no_place_is_refused(exam, lost) -> None:
    exam.add(3, "lge_sa", ramp(), GRID, tags=LGE, without=[lost])
    with pytest.raises(InputError, match="5 images of its DICOM series have no "):
        read_image(exam.folder, "LGE")
    files = save_all(exam.folder.parent)
    with pytest.raises(InputError, match="have no"):
        read_study(lge=exam.folder, mask=files["mask"])
