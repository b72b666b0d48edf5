"""One brain from files: any order of axes, any spacing, what is refused; nibabel is the truth."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from deepgmm.brain.layouts import brain_cases, read_case
from deepgmm.brain.tissues import UNLABELLED
from deepgmm.brain.volumes import read_volume, write_brain
from deepgmm.errors import InputError

SHAPE = (14, 11, 9)
SPACINGS = ((1.0, 1.0, 1.0), (0.94, 1.5, 0.94), (0.96, 0.96, 3.0))


@pytest.fixture
def head():
    """Values that say where they are, (x, y, z) in RAS, zero at the border, and labels."""
    rng = np.random.default_rng(1)
    image = np.zeros(SHAPE, np.float32)
    image[1:-1, 1:-1, 1:-1] = rng.uniform(10, 90, tuple(n - 2 for n in SHAPE))
    labels = np.where(image > 0, np.digitize(image, [30, 60]) + 1, 0).astype(np.uint8)
    return image, labels


def write(path, values, affine, codes="RAS"):
    nifti = nibabel.Nifti1Image(values, affine)
    turned = nifti.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(codes)))
    nibabel.save(turned, path)
    return path


def affine_of(spacing, tilt=0.0):
    affine = np.diag([*spacing, 1.0])
    c, s = np.cos(tilt), np.sin(tilt)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ affine[:3, :3]
    affine[:3, 3] = -7, 3, 11
    return affine


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL", "ARI"])
def test_any_order_of_axes_is_one_brain_and_goes_back(tmp_path, head, spacing, codes):
    image, labels = head
    affine = affine_of(spacing, tilt=0.1)
    file = write(tmp_path / "t1.nii.gz", image, affine, codes)
    seg = write(tmp_path / "seg.nii.gz", labels, affine, codes)
    volume = read_volume(file, labels=seg)
    # ours is slices up, rows back, columns left
    ours = np.flip(image, (0, 1)).transpose(2, 1, 0)
    assert np.array_equal(volume.image, ours)
    assert volume.spacing == pytest.approx(spacing[::-1], rel=1e-4)
    # the same voxel lies at the same place of the patient as nibabel says
    z, y, x = 2, 3, 4
    place = (affine @ [SHAPE[0] - 1 - x, SHAPE[1] - 1 - y, z, 1])[:3]
    found = (volume.affine @ [z, y, x, 1])[:3]
    assert found == pytest.approx([place[2], -place[1], -place[0]], abs=1e-3)
    write_brain(volume, volume.labels, tmp_path / "back.nii.gz", "labels")
    back, theirs = (nibabel.load(tmp_path / n) for n in ("back.nii.gz", "seg.nii.gz"))
    assert np.array_equal(np.asarray(back.dataobj), np.asarray(theirs.dataobj))
    assert np.allclose(back.affine, theirs.affine, atol=1e-4)
    four = np.stack([volume.image, volume.image + 1])
    write_brain(volume, four, tmp_path / "four.nii.gz", "posterior")
    both = nibabel.load(tmp_path / "four.nii.gz")
    first = np.asarray(both.dataobj)[..., 0]
    assert np.array_equal(first, np.asarray(nibabel.load(file).dataobj))


def test_four_axes_of_one_frame_are_a_volume_and_of_two_are_not(tmp_path, head):
    image, _ = head
    affine = affine_of(SPACINGS[0])
    nibabel.save(nibabel.Nifti1Image(image[..., None], affine), tmp_path / "one.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.stack([image] * 2, -1), affine), tmp_path / "two.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "one.nii.gz").image,
                          np.flip(image, (0, 1)).transpose(2, 1, 0))
    with pytest.raises(InputError, match="2 frames"):
        read_volume(tmp_path / "two.nii.gz")


def test_two_contrasts_in_one_file_are_refused(tmp_path, head):
    image = sitk.GetImageFromArray(np.stack([head[0]] * 2, -1), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "both.nrrd"))
    with pytest.raises(InputError, match="one contrast"):
        read_volume(tmp_path / "both.nrrd")


def test_where_no_mask_is_given_nonzero_voxels_are_the_brain_and_that_is_said(tmp_path, head):
    file = write(tmp_path / "t1.nii.gz", head[0], affine_of(SPACINGS[0]))
    volume = read_volume(file)
    assert volume.mask.sum() == np.count_nonzero(head[0])
    assert any("nonzero voxels" in w for w in volume.warnings)
    assert any("no whole brain" in w for w in volume.warnings)


def test_a_mask_on_another_grid_is_brought_over(tmp_path, head):
    image, labels = head
    affine = affine_of(SPACINGS[0])
    file = write(tmp_path / "t1.nii.gz", image, affine)
    finer = np.repeat((labels > 0).astype(np.uint8), 2, 0)
    fine = affine.copy()
    fine[:, 0] /= 2
    fine[:3, 3] -= fine[:3, 0] / 2
    mask = write(tmp_path / "mask.nii.gz", finer, fine, "LPS")
    volume = read_volume(file, mask=mask)
    assert volume.mask.sum() == (labels > 0).sum()
    assert any("another grid" in w for w in volume.warnings)


@pytest.mark.parametrize("spoil, said", [
    (lambda i, m: (i * 0 + 7, m), "constant"),
    (lambda i, m: (i, m * 0), "0 voxels"),
    (lambda i, m: (np.where(np.arange(i.size).reshape(i.shape) % 7, i, np.nan), m), "no numbers"),
    (lambda i, m: (np.digitize(i, [30, 60]).astype(np.float32), m), "three values"),
])
def test_what_cannot_be_used_is_said(tmp_path, head, spoil, said):
    image, mask = spoil(head[0], (head[1] > 0).astype(np.uint8))
    affine = affine_of(SPACINGS[0])
    with pytest.raises(InputError, match=said):
        read_volume(write(tmp_path / "t1.nii.gz", image, affine),
                    mask=write(tmp_path / "mask.nii.gz", mask, affine))


def test_few_voxels_that_are_no_numbers_are_left_out_and_that_is_said(tmp_path, head):
    image, labels = head
    image[5, 5, 5] = np.inf
    affine = affine_of(SPACINGS[0])
    volume = read_volume(write(tmp_path / "t1.nii.gz", image, affine),
                         labels=write(tmp_path / "seg.nii.gz", labels, affine))
    assert volume.mask.sum() == (labels > 0).sum() - 1 and np.isfinite(volume.image).all()
    assert any("no numbers" in w for w in volume.warnings)


def test_labels_that_are_no_tissue_and_missing_files_are_refused(tmp_path, head):
    image, labels = head
    affine = affine_of(SPACINGS[0])
    file = write(tmp_path / "t1.nii.gz", image, affine)
    with pytest.raises(InputError, match="no tissue"):
        read_volume(file, labels=write(tmp_path / "seg.nii.gz", labels + 4, affine))
    with pytest.raises(InputError, match="does not exist"):
        read_volume(tmp_path / "none.nii.gz")


def cases(tmp_path, head):
    image, labels = head
    affine = affine_of(SPACINGS[0])
    for case, group in (("IBSR_02", "Training_Set"), ("IBSR_10", "Validation_Set")):
        folder = tmp_path / group / case
        folder.mkdir(parents=True)
        write(folder / f"{case}.nii.gz", image, affine)
        write(folder / f"{case}_seg.nii.gz", labels, affine)
    folder = tmp_path / "Test_Set" / "IBSR_15"
    folder.mkdir(parents=True)
    write(folder / "IBSR_15.nii.gz", image, affine)


def test_ibsr18_is_recognised_with_its_sets(tmp_path, head):
    cases(tmp_path, head)
    found = brain_cases(tmp_path)
    assert [(c.name, c.group, c.labels is not None) for c in found] == [
        ("IBSR_02", "training", True), ("IBSR_10", "validation", True), ("IBSR_15", "test", False)]
    assert [c.name for c in brain_cases(tmp_path, labelled=True)] == ["IBSR_02", "IBSR_10"]
    assert [c.name for c in brain_cases(tmp_path / "Training_Set" / "IBSR_02")] == ["IBSR_02"]
    assert any("IBSR18" in w for w in read_case(found[0]).warnings)


def test_mrbrains18_is_recognised_and_its_labels_become_three(tmp_path, head):
    image, _ = head
    affine = affine_of(SPACINGS[2])
    codes = np.zeros(SHAPE, np.uint8)
    inside = image > 0
    codes[inside] = np.random.default_rng(4).integers(1, 11, inside.sum())
    (tmp_path / "4" / "pre").mkdir(parents=True)
    for name, values in (("reg_T1", image), ("FLAIR", 100 - image), ("reg_IR", image + 5)):
        write(tmp_path / "4" / "pre" / f"{name}.nii.gz", values, affine)
    write(tmp_path / "4" / "segm.nii.gz", codes, affine)
    (case,) = brain_cases(tmp_path)
    volume = read_case(case)
    wanted = np.array([0, 2, 2, 3, 3, 1, 1] + [UNLABELLED] * 4)[codes]
    assert np.array_equal(volume.labels, np.flip(wanted, (0, 1)).transpose(2, 1, 0))
    assert volume.mask.sum() == inside.sum()
    assert any("MRBrainS18" in w for w in volume.warnings)
    (flair,) = brain_cases(tmp_path, contrast="FLAIR")
    assert flair.image.name == "FLAIR.nii.gz"


@pytest.mark.parametrize("spoil, said", [
    (lambda root: (root / "Training_Set/IBSR_02/IBSR_02.nii.gz").unlink(), "no image"),
    (lambda root: (root / "again").joinpath("IBSR_02").mkdir(parents=True) or
     (root / "Training_Set/IBSR_02/IBSR_02.nii.gz").rename(root / "again/IBSR_02/IBSR_02.nii.gz"),
     "no image"),
    (lambda root: (root / "copy").mkdir() or (root / "copy/IBSR_10").symlink_to(
        root / "Validation_Set/IBSR_10", target_is_directory=True), "two cases"),
])
def test_a_folder_that_would_mix_cases_is_refused(tmp_path, head, spoil, said):
    cases(tmp_path, head)
    spoil(tmp_path)
    with pytest.raises(InputError, match=said):
        brain_cases(tmp_path)


def test_no_folder_and_no_case_are_said(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError):
            brain_cases(folder)
    with pytest.raises(InputError, match="no contrast"):
        brain_cases(tmp_path, contrast="PD")


def test_a_mask_of_probabilities_is_cut_at_a_half_and_that_is_said(tmp_path, head):
    image, brain = head[0], head[1] > 0
    shares = np.where(brain, 1.0, 0.2).astype(np.float32)
    affine = affine_of((1, 1, 1))
    read = read_volume(write(tmp_path / "i.nii.gz", image, affine),
                       mask=write(tmp_path / "m.nii.gz", shares, affine))
    assert read.mask.sum() == brain.sum()
    assert any("fractions" in w for w in read.warnings)


@pytest.mark.parametrize("spoil, said", [
    (lambda i: i - 5000, "far from zero"), (lambda i: np.rint(4 * i / i.max()), "grey levels"),
    (lambda i: i, "")])
def test_intensities_of_which_tissues_come_out_wrong_are_said(tmp_path, head, spoil, said):
    image, brain = head[0], head[1] > 0
    affine = affine_of((1, 1, 1))
    read = read_volume(write(tmp_path / "i.nii.gz", spoil(image.astype(np.float32)), affine),
                       mask=write(tmp_path / "m.nii.gz", brain.astype(np.uint8), affine))
    odd = [w for w in read.warnings if "zero" in w or "levels" in w]
    assert [said in w for w in odd] == ([True] if said else [])
