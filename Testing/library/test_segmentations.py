"""Slicer's segmentations as its versions save them, written with pynrrd and not with our writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from study_files import MASK, ORIGIN, POOL, SHAPE, SPACING, TRUTH, WALL, an_image
from study_files import OBLIQUE as DIRECTION

from deepgmm.errors import InputError
from deepgmm.reading.images.grids import geometry_of
from deepgmm.reading.masks.labelmap import read_labels
from deepgmm.reading.masks.lv_mask import read_mask

nrrd = pytest.importorskip("nrrd")

TISSUES = ("Blood", "Myocardium", "Edema", "Scar")
STACK = np.stack([TRUTH == k for k in (1, 2, 3, 4)])
AXES = (np.reshape(DIRECTION, (3, 3)) * SPACING).T
NO_AXIS = [np.nan] * 3


def fields(names: tuple[str, ...] = TISSUES, **of_each: Any) -> dict[str, str]:
    """Header fields of segments; `of_each` holds functions of their numbers."""
    header = {}
    for k, name in enumerate(names):
        header |= {f"Segment{k}_ID": f"Segment_{k}", f"Segment{k}_Name": name}
        header |= {f"Segment{k}_{key}": str(value(k)) for key, value in of_each.items()}
    return header


def write(path: Path, layers: np.ndarray, header: dict[str, Any], *, last: bool = False,
          origin: Any = ORIGIN, encoding: str = "gzip") -> Path:
    """(layers, slices, rows, columns) or (slices, rows, columns) as an NRRD."""
    layers = layers.astype(np.uint8)
    grid: dict[str, Any] = {"space": "left-posterior-superior", "space origin": np.array(origin),
                            "encoding": encoding}
    if layers.ndim == 3:
        data, axes, kinds = layers.T, AXES, ["domain"] * 3
    elif last:
        data, axes = np.transpose(layers, (3, 2, 1, 0)), np.vstack([AXES, NO_AXIS])
        kinds = [*["domain"] * 3, "list"]
    else:
        data, axes = np.transpose(layers, (0, 3, 2, 1)), np.vstack([NO_AXIS, AXES])
        kinds = ["list", *["domain"] * 3]
    nrrd.write(str(path), data, {**grid, "space directions": axes, "kinds": kinds, **header})
    return path


def is_the_truth(path: Path) -> None:
    labels = read_labels(path)
    np.testing.assert_array_equal(
        labels.on(geometry_of(an_image(TRUTH)), SHAPE), TRUTH)
    found = read_mask(path, an_image(TRUTH), convention="deepgmm")
    np.testing.assert_array_equal(found.mask, MASK)
    np.testing.assert_array_equal(found.wall, WALL)


@pytest.mark.parametrize("last", [False, True])
def test_slicer_4_says_neither_layer_nor_label_value(tmp_path: Path, last: bool) -> None:
    is_the_truth(write(tmp_path / "o.seg.nrrd", STACK, fields(), last=last))


def test_layers_hold_several_segments_or_one(tmp_path: Path) -> None:
    """Blood and scar share a layer, in another order than that of the segments."""
    layers = np.stack([(TRUTH == 2) * 1 + (TRUTH == 3) * 9, (TRUTH == 1) * 4 + (TRUTH == 4) * 2])
    header = fields(Layer=lambda k: (1, 0, 0, 1)[k], LabelValue=lambda k: (4, 1, 9, 2)[k])
    is_the_truth(write(tmp_path / "o.seg.nrrd", layers, header))


def test_overlapping_segments_are_the_tissue_that_counts(tmp_path: Path) -> None:
    """Wall drawn through edema and scar, edema through scar."""
    layers = np.stack([POOL, WALL, (TRUTH == 3) | (TRUTH == 4), TRUTH == 4])
    is_the_truth(write(tmp_path / "o.seg.nrrd", layers,
                       fields(Layer=lambda k: k, LabelValue=lambda k: 1)))


def test_cropped_files_lie_where_they_were(tmp_path: Path) -> None:
    """Today's Slicer moves the origin; before 4.11 it stood for an index outside the file."""
    box = (slice(None), slice(1, 3), slice(5, 43), slice(4, 44))
    held = TRUTH.copy()
    held[0] = 0
    corner = an_image(TRUTH).TransformIndexToPhysicalPoint((4, 5, 1))
    new = write(tmp_path / "new.seg.nrrd", STACK[box], {
        **fields(Layer=lambda k: k), "Segmentation_ReferenceImageExtentOffset": "4 5 1"},
        origin=corner)
    axes = np.eye(4)
    axes[:3, :3] = AXES
    old = tmp_path / "old.seg.nrrd"
    nrrd.write(str(old), np.transpose(STACK[box].astype(np.uint8), (3, 2, 1, 0)), {
        **fields(), "space dimension": 4, "space directions": axes, "kinds": ["domain"] * 4,
        "space origin": np.array([*ORIGIN, 0.0]), "Segmentation_Extent": "4 43 5 42 1 2"})
    for path in (new, old):
        np.testing.assert_array_equal(
            read_labels(path).on(geometry_of(an_image(TRUTH)), SHAPE), held)
        np.testing.assert_array_equal(read_mask(path, an_image(TRUTH)).mask, held > 0)


def test_one_image_with_label_values_needs_no_layers(tmp_path: Path) -> None:
    is_the_truth(write(tmp_path / "o.seg.nrrd", TRUTH, fields(LabelValue=lambda k: k + 1)))
    path = write(tmp_path / "o.seg.nrrd", TRUTH, fields())
    with pytest.raises(InputError, match="speaks of layer 1, its image has 1"):
        read_labels(path)


def test_we_read_what_slicers_maintainers_read(tmp_path: Path) -> None:
    """slicerio takes segments out of the files that it understands (with layers, list first)."""
    slicerio = pytest.importorskip("slicerio")
    for layers, header in (
            (STACK, fields(Layer=lambda k: k, LabelValue=lambda k: 1)),
            (TRUTH, fields(Layer=lambda k: 0, LabelValue=lambda k: k + 1))):
        path = write(tmp_path / "o.seg.nrrd", layers, header)
        theirs = slicerio.read_segmentation(str(path))
        mine = read_labels(path)
        for tissue, segment in enumerate(theirs["segments"], 1):
            voxels = theirs["voxels"]
            voxels = voxels[segment["layer"]] if voxels.ndim == 4 else voxels
            np.testing.assert_array_equal(mine.values == tissue,
                                          voxels.T == segment["labelValue"])
        np.testing.assert_allclose(mine.geometry.index_to_world(), theirs["ijkToLPS"], atol=1e-9)


def test_other_structures_are_no_part_of_the_mask(tmp_path: Path) -> None:
    aside = np.roll(MASK, 20, axis=2) & ~MASK
    names = ("Left ventricle", "RV", "Aorta", "Epicardial fat", "Segment_5")
    path = write(tmp_path / "o.seg.nrrd", np.stack([MASK, aside, aside, aside, aside]),
                 fields(names))
    found = read_mask(path, an_image(TRUTH))
    np.testing.assert_array_equal(found.mask, MASK)
    text, = found.warnings
    assert "'Segment_5'" in text and "name them" in text and len(text) < 300
    np.testing.assert_array_equal(
        read_mask(path, an_image(TRUTH), convention="plain").mask, MASK | aside)


def test_names_that_say_nothing_are_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "o.seg.nrrd", STACK[:2], fields(("Segment_1", "Segment_2")))
    for call in (lambda: read_mask(path, an_image(TRUTH)), lambda: read_labels(path)):
        with pytest.raises(InputError, match=r"'Segment_1', 'Segment_2'.*: name") as caught:
            call()
        assert len(str(caught.value)) < 300
    alone = write(tmp_path / "o.seg.nrrd", MASK, fields(("Segment_1",)))
    found = read_mask(alone, an_image(TRUTH))
    np.testing.assert_array_equal(found.mask, MASK)
    assert "taken for the whole left ventricle" in found.warnings[0]


@pytest.mark.parametrize(("names", "layers", "word"), [
    (("LV", "endo"), (MASK, POOL), "beyond the blood pool"),
    (("LV", "Myocardium"), (MASK, WALL), "beyond the wall"),
    (("LV", "MYO"), (POOL, WALL), "beyond the wall"),
    (("LV epi", "LV endo", "LV wall"), (MASK, POOL, WALL), "as a whole was left out"),
])
def test_a_whole_beside_its_parts_is_decided_and_said(tmp_path: Path, names, layers, word) -> None:
    path = write(tmp_path / "o.seg.nrrd", np.stack(layers), fields(names))
    labels = read_labels(path)
    np.testing.assert_array_equal(labels.values, MASK + 1 * WALL)
    assert word in labels.warnings[0]
    found = read_mask(path, an_image(TRUTH), convention="deepgmm")
    np.testing.assert_array_equal(found.mask, MASK)
    np.testing.assert_array_equal(found.wall, WALL)


def test_the_ventricle_alone_is_no_tissue(tmp_path: Path) -> None:
    path = write(tmp_path / "o.seg.nrrd", MASK, fields(("LV",)))
    with pytest.raises(InputError, match="the left ventricle as a whole"):
        read_labels(path)


def test_what_is_no_binary_labelmap_is_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "o.seg.nrrd"
    for header, encoding, word in (
            ({"Segmentation_MasterRepresentation": "Fractional labelmap"}, "gzip",
             "as fractional labelmap"),
            ({"Segmentation_SourceRepresentation": "Closed surface"}, "gzip", "as closed surface"),
            ({}, "bzip2", "compressed with bzip2"),
            ({"Segment0_Layer": "x"}, "gzip", "header of segment 0 is damaged"),
            ({"Segment0_Layer": "-1"}, "gzip", "speaks of layer -1")):
        write(path, STACK, {**fields(), **header}, encoding=encoding)
        for call in (lambda: read_labels(path), lambda: read_mask(path, an_image(TRUTH))):
            with pytest.raises(InputError, match=word) as caught:
                call()
            assert len(str(caught.value)) < 300
    (tmp_path / "o.seg.vtm").write_text("<VTKFile/>")
    with pytest.raises(InputError, match="holds surfaces"):
        read_mask(tmp_path / "o.seg.vtm", an_image(TRUTH))


def test_a_labelmap_may_be_called_seg(tmp_path: Path) -> None:
    for name in ("lv.seg.nii.gz", "seg.nrrd", "lv-seg.mha"):
        sitk.WriteImage(an_image(TRUTH), str(tmp_path / name))
        np.testing.assert_array_equal(read_labels(tmp_path / name).values, TRUTH)
        np.testing.assert_array_equal(read_mask(tmp_path / name, an_image(TRUTH)).mask, MASK)


def test_voxels_of_no_segment_are_said(tmp_path: Path) -> None:
    values = TRUTH.copy()
    values[0, 0, :3] = 99
    path = write(tmp_path / "o.seg.nrrd", values,
                 fields(Layer=lambda k: 0, LabelValue=lambda k: k + 1))
    assert "3 voxels" in read_labels(path).warnings[0]
    assert "3 voxels" in read_mask(path, an_image(TRUTH)).warnings[0]
