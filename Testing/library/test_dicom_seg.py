"""DICOM SEG and RTSTRUCT as other programs write them; highdicom writes, and reads as a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from contour_files import (
    ENDO,
    EPI,
    beyond,
    dicom_images,
    grid,
    heart_lines,
    line,
    rtstruct,
    world,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from deepgmm.errors import InputError
from deepgmm.reading.contours.dicom_seg import read_seg
from deepgmm.reading.masks.lv_mask import read_mask

INSIDE, POOL = beyond(EPI) < 0, beyond(ENDO) < 0
WALL = INSIDE & ~POOL


def saved(dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_mask(path, grid())
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    return str(caught.value)


# DICOM SEG

hd = pytest.importorskip("highdicom")


def made(kind: str = "BINARY", *, empty: bool = False,
         codes: dict[str, tuple[str, str]] | None = None, pixels: np.ndarray | None = None,
         images=None):
    """A SEG of blood pool and wall; `codes` are types of segments by their names."""
    from highdicom.sr import CodedConcept

    wanted = codes or dict.fromkeys(("LV blood pool", "LV myocardium"), ("80891009", "Heart"))
    described = [hd.seg.SegmentDescription(
        segment_number=n, segment_label=name,
        segmented_property_category=CodedConcept("123037004", "SCT", "Anatomical Structure"),
        segmented_property_type=CodedConcept(code, "SCT", text),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL)
        for n, (name, (code, text)) in enumerate(wanted.items(), 1)]
    if pixels is None:
        pixels = POOL * 1 + WALL * 2 if kind == "LABELMAP" else np.stack([POOL, WALL], axis=-1)
    more = {"max_fractional_value": 200} if kind == "FRACTIONAL" else {}
    return hd.seg.Segmentation(
        images or dicom_images(), pixels.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        hd.seg.SegmentationTypeValues[kind], described, hd.UID(), 9, hd.UID(), 1, "tests", "tests",
        "1", "1", omit_empty_frames=not empty, **more)


def is_the_heart(path: Path) -> list[str]:
    found = read_mask(path, grid())
    np.testing.assert_array_equal(found.mask, INSIDE)
    np.testing.assert_array_equal(found.wall, WALL)
    return found.warnings


def without_segment_dimension(dataset):
    """As ISPY1's tissue segmentations index their frames: by position alone."""
    kept = [n for n, d in enumerate(dataset.DimensionIndexSequence)
            if d.DimensionIndexPointer != 0x0062000B]
    dataset.DimensionIndexSequence = [dataset.DimensionIndexSequence[n] for n in kept]
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        values = frame.FrameContentSequence[0].DimensionIndexValues
        values = [values] if isinstance(values, int) else list(values)
        frame.FrameContentSequence[0].DimensionIndexValues = [values[n] for n in kept]
    return dataset


def shuffled(dataset):
    """Frames in an order that nothing tells of."""
    pixels = dataset.pixel_array
    order = np.random.default_rng(4).permutation(len(pixels))
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [dataset.PerFrameFunctionalGroupsSequence[n] for n in order])
    bits = np.packbits(pixels[order].astype(np.uint8).ravel(), bitorder="little").tobytes()
    dataset.PixelData = bits + b"\0" * (len(bits) % 2)
    return dataset


@pytest.mark.parametrize(("change", "empty"), [
    (without_segment_dimension, True), (lambda d: shuffled(without_segment_dimension(d)), False)])
def test_frames_are_where_they_say(tmp_path: Path, change: Callable, empty: bool) -> None:
    assert is_the_heart(saved(change(made(empty=empty)), tmp_path / "seg.dcm")) == []


def test_a_labelmap_seg_is_read(tmp_path: Path) -> None:
    dataset = made("LABELMAP")
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    assert is_the_heart(saved(dataset, tmp_path / "seg.dcm")) == []


def test_fractions_are_inside_from_a_half(tmp_path: Path) -> None:
    pixels = np.stack([POOL * 0.5, WALL * 0.9 + POOL * 0.49], axis=-1)
    text, = is_the_heart(saved(made("FRACTIONAL", pixels=pixels), tmp_path / "seg.dcm"))
    assert "from a half on" in text


def test_segments_are_known_by_their_codes(tmp_path: Path) -> None:
    """Whatever they are called; the right ventricle is not the left by another name."""
    codes = {"one": ("87612001", "Blood"), "two": ("49848007", "Left ventricle myocardium")}
    is_the_heart(saved(made(codes=codes), tmp_path / "seg.dcm"))
    codes = {"LV": ("87878005", "Left ventricle"), "LV too": ("53085002", "Right ventricle")}
    pixels = np.stack([INSIDE, np.roll(POOL, 14, axis=2)], axis=-1)
    found = read_mask(saved(made(codes=codes, pixels=pixels), tmp_path / "seg.dcm"), grid())
    np.testing.assert_array_equal(found.mask, INSIDE)
    codes = {"LV": ("53085002", "Right ventricle"), "b": ("15825003", "Aorta")}
    assert "by its name" in refusal(saved(made(codes=codes), tmp_path / "seg.dcm"))


def many_images(distances: np.ndarray):
    """Slices at these places (mm along the normal), of the images' grid otherwise."""
    images = dicom_images(np.zeros((3, *INSIDE.shape[1:])))
    normal = np.reshape(grid().GetDirection(), (3, 3))[:, 2]
    found = []
    for number, distance in enumerate(distances):
        image = dicom_images()[number % 3]
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.99.{number + 1}"
        image.ImagePositionPatient = [f"{v:.8g}" for v in np.asarray(
            images[0].ImagePositionPatient, float) + normal * distance]
        image.InstanceNumber = number + 1
        found.append(image)
    return found


def test_a_stack_is_what_highdicom_makes_of_it(tmp_path: Path) -> None:
    """Two-millimetre slices, some of them empty and left out of the file."""
    mask = np.zeros((12, *INSIDE.shape[1:]), bool)
    mask[[2, 3, 4, 7, 9]] = INSIDE[1]
    mask[7, :20] = False
    codes = {"LV": ("87878005", "Left ventricle")}
    path = saved(made(codes=codes, pixels=mask[..., None],
                      images=many_images(2.0 * np.arange(12))), tmp_path / "seg.dcm")
    image, wall, _ = read_seg(path)
    theirs = hd.seg.segread(path).get_volume(segment_numbers=[1], allow_missing_positions=True)
    assert wall is None and image.GetSize()[2] == 8
    mine = [image.TransformIndexToPhysicalPoint(tuple(map(int, voxel[::-1])))
            for voxel in np.argwhere(sitk.GetArrayFromImage(image))]
    voxels = np.argwhere(np.asarray(theirs.array).reshape(theirs.array.shape[:3]))
    places = voxels @ theirs.affine[:3, :3].T + theirs.affine[:3, 3]
    assert len(mine) == len(places) == mask.sum()
    np.testing.assert_allclose(np.sort(np.round(mine, 3), axis=0),
                               np.sort(np.round(places, 3), axis=0), atol=2e-3)


def test_uneven_slices_are_refused(tmp_path: Path) -> None:
    mask = np.repeat(INSIDE[1:2], 4, axis=0)
    codes = {"LV": ("87878005", "Left ventricle")}
    path = saved(made(codes=codes, pixels=mask[..., None],
                      images=many_images(np.array([0.0, 2.0, 5.0, 7.0]))), tmp_path / "seg.dcm")
    assert "no regular stack" in refusal(path)


def test_a_seg_that_says_no_places_is_refused(tmp_path: Path) -> None:
    dataset = made()
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    assert "does not say where its slices lie" in refusal(saved(dataset, tmp_path / "seg.dcm"))
    dataset = made()
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]
    assert "says where 5 of them lie" in refusal(saved(dataset, tmp_path / "seg.dcm"))


# RTSTRUCT

def test_a_keyhole_is_a_hole(tmp_path: Path) -> None:
    """One line round the outside, through a slit, and round the inside the other way."""
    def keyhole(k: int) -> np.ndarray:
        outer, inner = line(k, EPI), line(k, ENDO)
        return world(np.concatenate([outer, outer[:1], inner[:1], inner[::-1], outer[:1]]), k)

    regions = {"Myocardium": [keyhole(k) for k in range(3)], "LV endo": heart_lines(ENDO)}
    found = read_mask(saved(rtstruct(regions), tmp_path / "rs.dcm"), grid())
    assert np.abs(beyond(EPI)[found.mask != INSIDE]).max() < 0.6
    np.testing.assert_array_equal(found.wall[beyond(ENDO) > 0.6], found.mask[beyond(ENDO) > 0.6])
    assert not (found.wall & (beyond(ENDO) < -1)).any()


def test_regions_of_one_name_are_added_and_a_line_drawn_twice_counts_once(tmp_path: Path) -> None:
    lines = heart_lines()
    twice = rtstruct({"LV epi": [*lines[:2], lines[0]], "x": [lines[2]]})
    twice.StructureSetROISequence[1].ROIName = "LV epi"
    found = read_mask(saved(twice, tmp_path / "rs.dcm"), grid())
    assert np.abs(beyond(EPI)[found.mask != INSIDE]).max() < 0.6
    assert "1 contours stand twice" in found.warnings[0]


def test_one_region_may_stand_in_several_items_and_others_may_be_empty(tmp_path: Path) -> None:
    split = rtstruct({"Myocardium": heart_lines(), "b": heart_lines(ENDO), "LV endo": []})
    split.ROIContourSequence[1].ReferencedROINumber = 1
    del split.ROIContourSequence[2].ContourSequence
    bare = Dataset()
    bare.ReferencedROINumber = 9
    split.ROIContourSequence.append(bare)
    found = read_mask(saved(split, tmp_path / "rs.dcm"), grid())
    assert not (found.wall & (beyond(ENDO) < -1)).any() and found.mask[1, 22, 25]
    assert "what the wall encloses" in found.warnings[-1]


def test_left_and_right_of_tg_263(tmp_path: Path) -> None:
    aside = [points + 40 for points in heart_lines(ENDO)]
    regions = {"Ventricle_L": heart_lines(), "Ventricle_R": aside, "A_Coronary": aside,
               "Heart": aside, "Lung_L": aside, "PTV 1": aside}
    found = read_mask(saved(rtstruct(regions), tmp_path / "rs.dcm"), grid())
    assert np.abs(beyond(EPI)[found.mask != INSIDE]).max() < 0.6
    text, = found.warnings
    assert "'PTV 1'" in text and "name them" in text and len(text) < 300
    for name in ("Ventricle_R", "LV and RV"):
        assert f"'{name}'" in refusal(saved(rtstruct({name: heart_lines()}), tmp_path / "rs.dcm"))


def test_open_lines_and_points_are_left_out(tmp_path: Path) -> None:
    mixed = rtstruct({"LV": [*heart_lines(), heart_lines()[0][:20], heart_lines()[1][:1]]})
    for number, kind in ((3, "OPEN_PLANAR"), (4, "POINT")):
        mixed.ROIContourSequence[0].ContourSequence[number].ContourGeometricType = kind
    found = read_mask(saved(mixed, tmp_path / "rs.dcm"), grid())
    assert np.abs(beyond(EPI)[found.mask != INSIDE]).max() < 0.6
    assert "2 contours of the structure set do not close" in found.warnings[0]
