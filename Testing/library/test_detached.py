"""Headers whose voxels lie in files of their own: the same file is the same voxels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_files import an_image, arrays, save, save_all

from deepgmm import InputError, read_study
from deepgmm.detached import data_files
from deepgmm.files import sha256

SUFFIXES = ("mhd", "nhdr", "hdr")


def detached(values: np.ndarray, folder: Path, suffix: str) -> Path:
    """The file that a user names; its voxels lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    # Analyze and NIfTI pairs are written by their other name
    sitk.WriteImage(an_image(values), str(folder / f"image.{'img' if suffix == 'hdr' else suffix}"))
    return folder / f"image.{suffix}"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_headers_are_not_equal_images(tmp_path: Path, suffix: str) -> None:
    made = arrays()
    paths = {role: detached(made[role].astype(np.float32), tmp_path / role, suffix)
             for role in ("lge", "t2", "mask")}
    if suffix != "nhdr":
        assert paths["lge"].read_bytes() == paths["t2"].read_bytes()
    study = read_study(**paths)
    assert len(set(study.hashes.values())) == 3
    np.testing.assert_array_equal(study.sequences["t2"].values, made["t2"])
    again = detached(made["lge"].astype(np.float32), tmp_path / "again", suffix)
    assert sha256(again) == study.hashes["lge"]
    with pytest.raises(InputError, match="LGE and T2 are the same file"):
        read_study(lge=paths["lge"], t2=again, mask=paths["mask"])


def test_one_image_in_two_formats_is_one_image(tmp_path: Path) -> None:
    paths = save_all(tmp_path)
    other = save(arrays()["lge"], tmp_path / "t2.nrrd")
    with pytest.raises(InputError, match="LGE and T2 hold the same voxels"):
        read_study(lge=paths["lge"], t2=other, mask=paths["mask"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_hash_covers_header_and_voxels(tmp_path: Path, suffix: str) -> None:
    path = detached(arrays()["lge"], tmp_path, suffix)
    data, = data_files(path)
    assert sha256(path) == hashlib.sha256(path.read_bytes() + data.read_bytes()).hexdigest()


def test_the_hash_of_single_files_is_that_of_their_bytes(tmp_path: Path) -> None:
    for suffix in (".nii.gz", ".nii", ".nrrd", ".mha"):
        path = save(arrays()["lge"], tmp_path / f"a{suffix}")
        assert data_files(path) == []
        assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "header", "wanted"), [
    ("a.mhd", "NDims = 3\nElementDataFile = a.raw\n", ["a.raw"]),
    ("a.mhd", "ElementDataFile = LOCAL\nElementDataFile = x", []),
    ("a.mhd", "ElementDataFile = LIST\none.raw\ntwo.raw\n", ["one.raw", "two.raw"]),
    ("a.mhd", "ElementDataFile = s%02d.raw 1 5 2\n", ["s01.raw", "s03.raw", "s05.raw"]),
    ("a.nhdr", "NRRD0004\ndata file: with space.raw\n", ["with space.raw"]),
    ("a.nhdr", "NRRD0004\ndatafile: LIST 2\none.raw\ntwo.raw", ["one.raw", "two.raw"]),
    ("a.nhdr", "NRRD0004\ndata file: s%03d.raw 10 8 -1 2\n", ["s010.raw", "s009.raw", "s008.raw"]),
    ("a.nrrd", "NRRD0004\ntype: short\n\ndata file: x", []),
    ("a.nrrd", "NRRD0004\ndata file:=a key\n", []),
    ("a.hdr", "", []),
    ("a.png", "data file: x", []),
])  # fmt: skip
def test_headers_name_their_files(tmp_path: Path, name: str, header: str, wanted) -> None:
    (tmp_path / name).write_text(header)
    assert [p.name for p in data_files(tmp_path / name)] == wanted


def test_slices_in_files_of_their_own_count_each(tmp_path: Path) -> None:
    values = arrays()["lge"]
    for k, one in enumerate(values):
        (tmp_path / f"s{k}.raw").write_bytes(one.astype("<f4").tobytes())
    (tmp_path / "a.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 48 48 3\nElementType = MET_FLOAT\n"
        "ElementByteOrderMSB = False\nElementSpacing = 2 2 8\nElementDataFile = s%d.raw 0 2 1\n")
    before = sha256(tmp_path / "a.mhd")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mhd"))), values)
    (tmp_path / "s2.raw").write_bytes(values[0].astype("<f4").tobytes())
    assert sha256(tmp_path / "a.mhd") != before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_voxels_that_are_not_there_are_said(tmp_path: Path, suffix: str) -> None:
    path = detached(arrays()["lge"], tmp_path / "case", suffix)
    for voxels in data_files(path):
        voxels.unlink()
    mask = save_all(tmp_path)["mask"]
    with pytest.raises(InputError, match="its voxels in another file|truncated or damaged"):
        read_study(lge=path, mask=mask)
    if suffix != "hdr":  # whose other file's name nothing says
        with pytest.raises(InputError, match="keeps its voxels in another file, which is not"):
            read_study(lge=path, mask=mask)
