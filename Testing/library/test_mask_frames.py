"""Masks and labels with the frames of a cine, as ACDC and M&Ms keep them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from study_files import MASK, POOL, SPACING, TRUTH, WALL, arrays, save_all

from deepgmm import InputError, read_study
from deepgmm.reading.masks.labelmap import read_labels

FRAMES = 6
#: ACDC's codes: 1 right ventricle, 2 wall, 3 pool.
ACDC = np.where(POOL, 3, np.where(WALL, 2, 0)).astype(np.uint8)


def smaller(labels: np.ndarray) -> np.ndarray:
    """As at end systole: less of everything, in the same middle."""
    shrunk = labels.copy()
    shrunk[:, :, :14] = 0
    shrunk[:, :, -14:] = 0
    return shrunk


def save_frames(path: Path, frames: list[np.ndarray], like: Path, *, first: bool = False) -> Path:
    """4D, time last or first, on the grid of a 3D file."""
    affine = nib.load(like).affine
    values = np.stack([np.transpose(one, (2, 1, 0)) for one in frames], axis=0 if first else -1)
    image = nib.Nifti1Image(values, affine)
    if not first:
        image.header.set_zooms((*SPACING, 0.04))
    nib.save(image, path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A cine in which frame p is p times as bright, LGE, and labels on frames 1 and 4."""
    found = save_all(tmp_path, ["bssfp", "lge", "mask"])
    cine = arrays()["bssfp"]
    nothing = np.zeros_like(ACDC)
    labels = [nothing, ACDC, nothing, nothing, smaller(ACDC), nothing]
    found["cine"] = save_frames(tmp_path / "cine.nii.gz",
                                [cine * (1 + p) for p in range(FRAMES)], found["bssfp"])
    found["both"] = save_frames(tmp_path / "both.nii.gz", labels, found["bssfp"])
    found["one"] = save_frames(tmp_path / "one.nii.gz", [*labels[:4], nothing, nothing],
                               found["bssfp"])
    return found


@pytest.mark.parametrize(("phase", "frame"), [(None, 1), ("ed", 1), ("es", 4), ("1", 1), ("4", 4)])
def test_the_frame_with_labels_goes_with_the_frame_of_the_cine(files, phase, frame) -> None:
    study = read_study(bssfp=files["cine"], mask=files["both"], mask_labels="acdc", phase=phase)
    wanted = np.asarray(nib.load(files["both"]).dataobj)[..., frame].T
    np.testing.assert_array_equal(study.mask, wanted > 0)
    np.testing.assert_array_equal(study.wall, wanted == 2)
    images = np.asarray(nib.load(files["cine"]).dataobj)[..., frame].T
    np.testing.assert_allclose(study.images[:, 0], images, rtol=1e-6)
    assert study.provenance["bssfp_phase"]["frame"] == frame
    assert any(f"frame {frame} (counted from 0) was taken" in w for w in study.warnings)


def test_a_frame_without_labels_is_refused_with_those_that_have_some(files) -> None:
    with pytest.raises(InputError, match="frames 1, 4: say one of these"):
        read_study(bssfp=files["cine"], mask=files["both"], phase="3")


def test_the_only_frame_with_labels_is_taken_for_any_image(files) -> None:
    study = read_study(lge=files["lge"], mask=files["one"])
    np.testing.assert_array_equal(study.mask, MASK)
    assert any("of the 6 frames of the LV mask file, frame 1" in w for w in study.warnings)


def test_several_frames_without_their_cine_are_refused(files) -> None:
    with pytest.raises(InputError, match=r"6 frames \(4D\), and 2 of them hold something"):
        read_study(lge=files["lge"], mask=files["both"])
    short = save_frames(files["lge"].parent / "short.nii.gz", [arrays()["bssfp"]] * 4,
                        files["bssfp"])
    with pytest.raises(InputError, match="2 of them hold something"):
        read_study(bssfp=short, mask=files["both"])


@pytest.mark.parametrize("first", [False, True])
def test_labels_to_compare_and_to_learn_from(files, first) -> None:
    nothing = np.zeros_like(TRUTH)
    path = save_frames(files["lge"].parent / "truth.nii.gz", [nothing, nothing, TRUTH, nothing],
                       files["bssfp"], first=first)
    found = read_labels(path, "truth", convention="deepgmm")
    np.testing.assert_array_equal(found.values, TRUTH)
    assert any("frame 2 (counted from 0)" in w for w in found.warnings)


def test_metaimage_and_nrrd_too(files) -> None:
    images = [sitk.GetImageFromArray(one) for one in np.stack([0 * ACDC, ACDC, smaller(ACDC)])]
    for image in images:
        image.CopyInformation(sitk.ReadImage(str(files["lge"])))
    cine = save_frames(files["lge"].parent / "three.nii.gz", [arrays()["bssfp"]] * 3,
                       files["bssfp"])
    for suffix in (".mha", ".nrrd"):
        path = files["lge"].parent / f"labels{suffix}"
        sitk.WriteImage(sitk.JoinSeries(images), str(path))
        study = read_study(bssfp=cine, mask=path, mask_labels="acdc", phase="es")
        np.testing.assert_array_equal(study.mask, smaller(ACDC) > 0)


def test_nan_in_a_frame_is_no_background(files) -> None:
    values = ACDC.astype(np.float32)
    values[0, 0, 0] = np.nan
    path = save_frames(files["lge"].parent / "nan.nii.gz", [values, values], files["bssfp"])
    with pytest.raises(InputError, match="NaN"):
        read_study(bssfp=files["bssfp"], mask=path)


def test_a_wall_of_several_frames_goes_with_its_mask(files) -> None:
    nothing = np.zeros_like(MASK, np.uint8)
    wall = save_frames(files["lge"].parent / "wall.nii.gz",
                       [nothing, WALL.astype(np.uint8), nothing, nothing,
                        smaller(WALL.astype(np.uint8)), nothing], files["bssfp"])
    study = read_study(bssfp=files["cine"], mask=files["both"], mask_labels="acdc", wall=wall,
                       phase="es")
    np.testing.assert_array_equal(study.wall, smaller(WALL.astype(np.uint8)) > 0)

