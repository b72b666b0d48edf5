"""Masks from contours and segmentations of other programs: all lie where they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from contour_files import (
    ENDO,
    EPI,
    UIDS,
    beyond,
    cvi42_contour,
    cvi42_images,
    cvi42_text,
    dicom_images,
    grid,
    heart_lines,
    line,
    rtstruct,
    segment_stack,
    segmentation,
    world,
    write_cvi42,
    write_images,
    write_segment,
)
from study_files import SHAPE, SPACING, arrays, save

from deepgmm import InputError, read_study
from deepgmm.reading.contours.polygons import Contour, Part, filled, is_open, rasterise
from deepgmm.reading.masks.lv_mask import MaskAndWall, read_mask

INSIDE, POOL = beyond(EPI) < 0, beyond(ENDO) < 0


def refusal(path: Path, **choices) -> str:
    """What a user is told; one line, without path or patient."""
    with pytest.raises(InputError) as caught:
        read_mask(path, grid(), **choices)
    message = str(caught.value)
    assert "\n" not in message and str(path.parent) not in message and "Doe" not in message
    return message


def is_the_heart(found: MaskAndWall, tolerance: float = 0.6) -> None:
    """Mask and wall are the known outlines', but for pixels that an outline cuts."""
    assert found.wall is not None
    for mask, ellipses in ((found.mask, EPI), (found.mask & ~found.wall, ENDO)):
        wrong = mask != (beyond(ellipses) < 0)
        assert mask.any() and np.abs(beyond(ellipses)[wrong]).max(initial=0) < tolerance
        for k, (_, (tall, wide)) in enumerate(ellipses):
            assert mask[k].sum() == pytest.approx(np.pi * tall * wide, rel=0.03)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder of the DICOM images that the contours were drawn on, and a stray file."""
    folder = write_images(tmp_path_factory.mktemp("dicom") / "LGE")
    (folder / "notes.txt").write_text("not DICOM")
    return folder


# Polygons

def test_a_pixel_is_inside_when_half_of_it_is() -> None:
    def width(right: float) -> int:
        box = np.array([[-0.5, -0.5], [-0.5, right], [3.5, right], [3.5, -0.5]])
        return int(filled(box, (6, 8))[0].sum())

    assert [width(2.5), width(2.9), width(3.1), width(3.5)] == [3, 3, 4, 4]


def test_areas_are_kept_at_any_place() -> None:
    rng, found = np.random.default_rng(0), []
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    for _ in range(50):
        middle, radius = rng.uniform(12, 14, 2), rng.uniform(4, 10)
        circle = middle + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        found.append(filled(circle, (27, 27)).sum() / (np.pi * radius**2))
    assert np.mean(found) == pytest.approx(1.0, abs=0.01) and np.std(found) < 0.03


def test_a_polygon_beyond_the_image_is_cut_at_its_border() -> None:
    box = np.array([[-9.0, -9.0], [-9.0, 2.4], [99.0, 2.4], [99.0, -9.0]])
    assert filled(box, (5, 6)).tolist() == [[True] * 3 + [False] * 3] * 5


@pytest.mark.parametrize(("corners", "part", "opened"), [
    (12, 1.0, False), (80, 1.0, False), (4, 1.0, False), (80, 0.97, False), (80, 0.8, True),
    (80, 0.5, True), (12, 0.6, True),
])  # fmt: skip
def test_open_lines_are_known(corners: int, part: float, opened: bool) -> None:
    angle = 2 * np.pi * part * np.arange(corners) / corners
    assert is_open(np.stack([np.sin(angle), np.cos(angle)], axis=1) * 20) is opened


def test_a_line_inside_another_of_its_region_is_a_hole() -> None:
    ring = [Contour(Part.WALL, world(line(1, e), 1), region="wall") for e in (EPI, ENDO)]
    scar = Contour(Part.WALL, world(line(1, ENDO) * 0.2 + 18, 1), region="scar")
    parts, _ = rasterise([*ring, scar], grid())
    assert set(parts) == {Part.WALL} and not parts[Part.WALL][[0, 2]].any()
    wall = parts[Part.WALL][1]
    hole = POOL[1] & (beyond(ENDO)[1] < -1)
    assert wall[23, 36] and wall[8, 25] and wall[22, 22] and not wall[28, 24]
    assert wall[hole].mean() < 0.1  # nothing but the scar


# cvi42

def test_cvi42_contours_lie_on_the_images_that_they_name(tmp_path: Path, images: Path) -> None:
    found = read_mask(write_cvi42(tmp_path / "w.cvi42wsx"), grid(), dicom=images)
    is_the_heart(found)
    assert found.warnings == []


@pytest.mark.parametrize("resolution", [1, 4, 8])
def test_any_sub_pixel_resolution(tmp_path: Path, images: Path, resolution: int) -> None:
    one = {UIDS[k]: {"saepicardialContour0001": cvi42_contour(line(k), resolution)}
           for k in range(3)}
    found = read_mask(write_cvi42(tmp_path / "w.cvi42wsx", one), grid(), dicom=images)
    assert found.wall is None
    assert np.abs(beyond(EPI)[found.mask != INSIDE]).max() < 0.6


def test_a_missing_resolution_is_said(tmp_path: Path, images: Path) -> None:
    one = {UIDS[1]: {"saepicardialContour": cvi42_contour(line(1), None)}}
    found = read_mask(write_cvi42(tmp_path / "w.cvi42wsx", one), grid(), dicom=images)
    assert found.mask[1].any() and any("sub-pixel" in w for w in found.warnings)


def test_contours_on_images_that_are_not_there(tmp_path: Path, images: Path) -> None:
    all_of_them = cvi42_images()
    strange = {**all_of_them, "1.2.999": all_of_them[UIDS[0]]}
    found = read_mask(write_cvi42(tmp_path / "w.cvi42wsx", strange), grid(), dicom=images)
    is_the_heart(found)
    assert found.warnings == ["the cvi42 workspace also has contours on 1 images that are not in "
                              "the DICOM folder; left out"]
    nowhere = write_cvi42(tmp_path / "n.cvi42wsx", {"1.2.999": all_of_them[UIDS[0]]})
    assert "none of the 2 contours" in refusal(nowhere, dicom=images)
    assert "--mask-dicom" in refusal(nowhere)
    assert "does not exist" in refusal(nowhere, dicom=tmp_path / "none")


def test_open_cvi42_contours_are_left_out_and_said(tmp_path: Path, images: Path) -> None:
    drawn = cvi42_images()
    drawn[UIDS[0]] = {"saepicardialOpenContour": cvi42_contour(line(0)[:50])}
    drawn[UIDS[2]] = {"saepicardialContour": cvi42_contour(line(2)[:40])}
    found = read_mask(write_cvi42(tmp_path / "w.cvi42wsx", drawn), grid(), dicom=images)
    assert found.mask.any(axis=(1, 2)).tolist() == [False, True, False]
    assert "1 contours do not close (cvi42 calls them open)" in found.warnings[0]
    assert "1 contour that do not close; left out" in found.warnings[1]
    for key in (UIDS[0], UIDS[2]):
        path = write_cvi42(tmp_path / "o.cvi42wsx", {key: drawn[key]})
        assert "close" in refusal(path, dicom=images)


@pytest.mark.parametrize("head", [
    "<!DOCTYPE Workspace>\n",
    '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>\n',
    '<!DOCTYPE x [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>\n',
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused(tmp_path: Path, images: Path, head: str, encoding) -> None:
    path = tmp_path / "w.cvi42wsx"
    text = cvi42_text(cvi42_images(), head)
    path.write_bytes(text.replace('"UTF-8"', f'"{encoding}"').encode(encoding))
    assert "document type or entities" in refusal(path, dicom=images)


def test_damaged_workspaces_are_refused(tmp_path: Path, images: Path) -> None:
    whole = cvi42_text(cvi42_images())
    for text, word in (("", "is empty"), (whole[:-4000], "truncated"), ("PK\3\4" * 9, "no XML"),
                       (cvi42_text({}), "no short-axis contour"),
                       (whole.replace(">4</Hash", ">0</Hash"), "damaged"),
                       (whole.replace("<Point:y>", "<Point:y>x"), "damaged")):
        path = tmp_path / "w.cvi42wsx"
        path.write_text(text, encoding="utf-8")
        assert word in refusal(path, dicom=images)
    assert "binary" in refusal(tmp_path / "w.cvi42ws", dicom=images)
    assert "does not exist" in refusal(tmp_path / "none.cvi42wsx", dicom=images)


def test_two_phases_at_one_place_are_refused(tmp_path: Path, images: Path) -> None:
    from contour_files import dicom_images

    folder = write_images(tmp_path / "cine")
    second = dicom_images()[1]
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = "1.2.77"
    second.save_as(folder / "later.dcm", enforce_file_format=True)
    drawn = {**cvi42_images(), "1.2.77": cvi42_images()[UIDS[1]]}
    path = write_cvi42(tmp_path / "w.cvi42wsx", drawn)
    assert "slice 1 has 2 contours" in refusal(path, dicom=folder)


# Segment

def test_segment_contours_count_rows_from_one_and_slices_backwards(tmp_path: Path) -> None:
    found = read_mask(write_segment(tmp_path / "p.mat", segment_stack()), grid())
    is_the_heart(found)
    assert found.warnings == []


def test_the_stack_that_lies_on_the_images_is_taken(tmp_path: Path) -> None:
    stacks = (segment_stack(shift=4.0), segment_stack(frames=5, at=(2,)))
    is_the_heart(read_mask(write_segment(tmp_path / "p.mat", *stacks), grid()))
    twice = write_segment(tmp_path / "p.mat", segment_stack(), segment_stack())
    assert "2 image stacks, and 2 of them lie" in refusal(twice)
    apart = write_segment(tmp_path / "p.mat", segment_stack(shift=4), segment_stack(shift=-4))
    assert "none of them lies" in refusal(apart)


def test_contours_between_slices_are_said(tmp_path: Path) -> None:
    found = read_mask(write_segment(tmp_path / "p.mat", segment_stack(shift=3.0)), grid())
    assert found.mask.any() and "up to 3.0 mm off the slices" in found.warnings[0]


def test_segment_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "p.mat"
    assert "2 time frames" in refusal(write_segment(path, segment_stack(frames=4, at=(0, 3))))
    assert "no contour" in refusal(write_segment(path, segment_stack(at=())))
    lost = {**segment_stack(), "ImagePosition": np.zeros((0, 0))}
    assert "does not say where" in refusal(write_segment(path, lost))
    far = {**segment_stack(), "ImagePosition": np.array([900.0, 0, 0])}
    assert "none of the 6 contours can be used" in refusal(write_segment(path, far))
    uneven = segment_stack()
    uneven["EpiY"] = uneven["EpiY"][:-1]
    assert "differ in size" in refusal(write_segment(path, uneven))
    gaps = segment_stack()
    gaps["EpiX"][3] = np.nan
    write_segment(path, gaps)
    assert "no numbers" in refusal(path)
    write_segment(path, {"IM": np.zeros(3)})
    assert "no contour" in refusal(path)


def test_damaged_segment_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.mat"
    whole = write_segment(path, segment_stack()).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10
    newer = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    for content, word in ((b"", "empty"), (whole[:900], "truncated"), (whole[:132], "truncated"),
                          (b"x" * 500, "no .mat file"), (bytes(flipped), "damaged"),
                          (newer, "format 7.3"), (whole[:128], "no 'setstruct'")):
        path.write_bytes(content)
        assert word in refusal(path)
    # Damaged, such a file could bring Python down.
    assert "not compressed" in refusal(write_segment(path, segment_stack(), compressed=False))


# RTSTRUCT

def saved(dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_structure_sets_are_read_by_the_names_of_their_regions(tmp_path: Path) -> None:
    regions = {"LV Epicardium": heart_lines(), "LV_endo": heart_lines(ENDO),
               "RV endo": heart_lines(ENDO), "PTV 3": heart_lines(ENDO)}
    found = read_mask(saved(rtstruct(regions), tmp_path / "rs.dcm"), grid())
    is_the_heart(found)
    assert "1 regions of the structure set have names that say no part" in found.warnings[0]


def test_a_wall_drawn_as_two_lines_holds_the_pool(tmp_path: Path) -> None:
    regions = {"Myocardium": [*heart_lines(), *heart_lines(ENDO)]}
    found = read_mask(saved(rtstruct(regions), tmp_path / "rs.dcm"), grid())
    is_the_heart(found)
    assert "what the wall encloses" in found.warnings[0]


def test_structure_sets_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "rs.dcm"
    for made, word in (
            (rtstruct({}), "holds no contour"),
            (rtstruct({"endo": heart_lines(ENDO)}), "only the endocardium"),
            (rtstruct({"A": heart_lines(), "B": heart_lines(ENDO)}), "by its name"),
            (rtstruct({"LV": heart_lines()}, "OPEN_PLANAR"), "no contour of the structure set"),
            (rtstruct({"LV": [p + 500 for p in heart_lines()]}), "on no slice of the images"),
            (rtstruct({"LV": [p[:, ::-1] for p in heart_lines()]}), "across the slices")):
        assert word in refusal(saved(made, path))


def test_one_region_without_a_telling_name_is_the_ventricle(tmp_path: Path) -> None:
    found = read_mask(saved(rtstruct({"Structure1": heart_lines()}), tmp_path / "rs.dcm"), grid())
    assert found.wall is None and np.abs(beyond(EPI)[found.mask != INSIDE]).max() < 0.6
    assert "taken for the whole left ventricle" in found.warnings[0]


def test_the_pool_must_not_leave_the_ventricle_unsaid(tmp_path: Path) -> None:
    regions = {"LV epi": heart_lines(), "LV endo": [world(line(k, ENDO) + 8, k) for k in range(3)]}
    found = read_mask(saved(rtstruct(regions), tmp_path / "rs.dcm"), grid())
    assert "endocardium sticks out of the epicardium" in found.warnings[0]
    assert np.abs(beyond(EPI)[found.mask != INSIDE]).max() < 0.6


def test_a_slice_without_endocardium_leaves_the_wall_unknown(tmp_path: Path) -> None:
    regions = {"LV epi": heart_lines(), "LV endo": heart_lines(ENDO)[1:]}
    found = read_mask(saved(rtstruct(regions), tmp_path / "rs.dcm"), grid())
    assert found.wall is None and found.warnings[0].startswith("slice 0: an epicardium without")
    regions = {"LV epi": heart_lines()[1:], "LV endo": heart_lines(ENDO)}
    found = read_mask(saved(rtstruct(regions), tmp_path / "rs.dcm"), grid())
    assert found.wall is not None and not found.mask[0].any()
    assert found.warnings[0].startswith("slice 0: an endocardium without epicardium")


# DICOM SEG

def test_segmentations_are_read_by_the_names_of_their_segments(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    made = segmentation({"LV myocardium": INSIDE & ~POOL, "LV blood pool": POOL,
                         "Right ventricle": np.roll(POOL, 12, axis=2)})
    found = read_mask(saved(made, tmp_path / "seg.dcm"), grid())
    np.testing.assert_array_equal(found.mask, INSIDE)
    np.testing.assert_array_equal(found.wall, INSIDE & ~POOL)
    assert found.warnings == []


def test_a_segmentation_of_another_grid_is_resampled_and_said(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    made = segmentation({"LV": INSIDE})
    path = saved(made, tmp_path / "seg.dcm")
    coarse = sitk.Resample(grid(), (24, 24, 2), sitk.Transform(), sitk.sitkNearestNeighbor,
                           grid().GetOrigin(), (4.0, 4.0, SPACING[2]), grid().GetDirection())
    found = read_mask(path, coarse)
    np.testing.assert_array_equal(found.mask, INSIDE[:2, ::2, ::2])
    kept = 100 * INSIDE[:2].sum() / INSIDE.sum()
    assert found.warnings[0].startswith(f"only {kept:.0f} % of the LV mask lies on the images")
    assert "resampled onto the grid" in found.warnings[1]


def test_a_segmentation_of_another_patient_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    others = dicom_images()
    for image in others:
        image.ImagePositionPatient = [v + 70 for v in image.ImagePositionPatient]
    path = saved(segmentation({"LV": INSIDE}, others), tmp_path / "seg.dcm")
    assert "different places" in refusal(path)


def test_half_a_dicom_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    for made in (segmentation({"LV": INSIDE}), rtstruct({"LV": heart_lines()})):
        whole = saved(made, tmp_path / "whole.dcm").read_bytes()
        for size in range(200, len(whole) - 40, len(whole) // 12):
            path = tmp_path / "part.dcm"
            path.write_bytes(whole[:size])
            assert "none of the" not in refusal(path)


# Every door

def test_segment_reads_contours_like_masks(tmp_path: Path) -> None:
    made = arrays()
    folder = write_images(tmp_path / "lge", made["lge"] + 50)
    bssfp = save(made["bssfp"], tmp_path / "bssfp.nrrd")
    path = write_cvi42(tmp_path / "w.cvi42wsx")
    study = read_study(lge=folder, bssfp=bssfp, mask=path, lge_kind="magnitude")
    is_the_heart(MaskAndWall(study.mask, study.wall, []))
    assert set(study.hashes) == {"lge", "bssfp", "mask"}
    plain = read_study(lge=folder, bssfp=bssfp, mask=path, mask_labels="plain",
                       lge_kind="magnitude")
    assert plain.wall is None and np.array_equal(plain.mask, study.mask)
    with pytest.raises(InputError, match="is for labelmaps"):
        read_study(lge=folder, mask=path, mask_labels="acdc")


def test_a_wall_file_goes_before_the_contours_wall(tmp_path: Path) -> None:
    lge = save(arrays()["lge"], tmp_path / "lge.nrrd")
    wall = save((INSIDE & ~POOL).astype(np.uint8), tmp_path / "wall.nrrd")
    path = write_segment(tmp_path / "p.mat", segment_stack())
    study = read_study(lge=lge, mask=path, wall=wall)
    np.testing.assert_array_equal(study.wall, INSIDE & ~POOL)
    assert any("taken from --wall" in w for w in study.warnings)
    assert study.mask.shape == SHAPE
