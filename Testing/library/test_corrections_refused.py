"""Edited segmentations and corrections that cannot be meant so: refused, asked about or said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_results import a_result_of, edited_of

from deepgmm.errors import InputError
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.reading.masks.labelmap import Labels
from deepgmm.result import Result
from deepgmm.review.corrections import (
    corrections_of,
    doubts,
    drawn_outside,
    edited_labels,
)
from deepgmm.study.words import Role, Tissue

BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR


@pytest.fixture
def result():
    return a_result_of()


@pytest.mark.parametrize("spoilt, words", [
    ("half a voxel", r"as large and as many, and lie 0\.65 mm beside them"),
    ("scar alone", "has no blood and no myocardium, which the result has"),
    ("blood alone", "has no myocardium, which the result has"),
    ("grid", "another grid"), ("elsewhere", "does not lie where"), ("other heart", "this patient"),
    ("tissue", "edema, which this result does not seek"), ("slice", "no slice 9"),
    ("empty slice", "no tissue is drawn"), ("shape", "shape"),
    ("all of it erased", "segmentation is empty")])
def test_what_cannot_be_this_results_is_refused_in_one_line(spoilt: str, words: str) -> None:
    result = a_result_of(roles=(Role.LGE,) if spoilt == "tissue" else tuple(Role))
    edited, done = result.labels.copy(), []
    geometry = result.study.geometry
    if spoilt == "grid":
        geometry = replace(geometry, spacing=(1.0, 1.1, 8.0))
    elif spoilt == "half a voxel":
        matrix = geometry.index_to_world()
        geometry = replace(geometry, origin=tuple((matrix @ [0.5, 0, 0, 1])[:3]))
    elif spoilt.endswith("alone"):
        edited = np.where(edited == {"scar alone": SCAR, "blood alone": BLOOD}[spoilt], edited, 0)
    elif spoilt == "elsewhere":
        edited = np.roll(edited, 9, axis=2)
    elif spoilt == "other heart":
        edited = np.where(edited > 0, np.roll(edited, 1, 0) % 4 + 1, 0).astype(np.uint8)
    elif spoilt == "tissue":
        edited[0][edited[0] == SCAR] = EDEMA
    elif spoilt == "slice":
        done = [9]
    elif spoilt == "empty slice":
        edited[2], done = 0, [2]
    elif spoilt == "all of it erased":
        edited[:] = 0
    with pytest.raises(InputError, match=words) as refusal:
        labels = (edited[:, :-1] if spoilt == "shape" else
                  edited_labels(Labels(edited, geometry), result))
        corrections_of(result, labels, done=done)
    assert len(str(refusal.value)) < 300


def test_corrections_that_cannot_be_are_refused() -> None:
    shape = (2, 3, 3)
    with pytest.raises(InputError):
        Corrections(np.zeros(shape, np.uint8), np.zeros((2, 3), np.uint16))
    with pytest.raises(InputError):
        Corrections(np.zeros(shape, np.uint8), np.ones(shape, np.uint16))
    with pytest.raises(InputError):
        Corrections(np.full(shape, 77, np.uint8), np.ones(shape, np.uint16),
                    [Edit(Strength.VOXEL)])
    assert not Corrections.none(shape)


def centred() -> Result:
    """A heart in the middle of its images, with scar on one side."""
    result = a_result_of(shape=(41, 41))
    y, x = np.mgrid[:41, :41] - 20
    radius = np.hypot(y, x)
    labels = np.where(radius < 6, BLOOD, MYOCARDIUM)
    labels[(radius >= 6) & (x > 3)] = EDEMA
    labels[(radius >= 6) & (x > 5) & (y > 0)] = SCAR
    labels = np.broadcast_to(np.where(radius < 12, labels, 0), (3, 41, 41)).astype(np.uint8)
    return replace(result, labels=labels, study=replace(result.study, mask=labels > 0))


@pytest.mark.parametrize("by", [1, -1])
def test_a_segmentation_a_slice_off_is_refused(by: int) -> None:
    """As a program writes it that lost a slice; one slice alone may look as it likes."""
    sizes = np.array([14, 10, 7, 4])
    y, x = np.mgrid[:41, :41] - 20
    radius = np.hypot(y, x)[None] / sizes[:, None, None]
    labels = np.where(radius < 0.5, BLOOD, np.where(radius < 1, MYOCARDIUM, 0)).astype(np.uint8)
    heart = a_result_of(slices=4, shape=(41, 41))
    heart = replace(heart, labels=labels, study=replace(heart.study, mask=labels > 0))
    moved = np.roll(labels, by, 0)
    moved[0 if by > 0 else -1] = 0
    with pytest.raises(InputError, match="is a slice off"):
        edited_labels(Labels(moved, heart.study.geometry), heart)
    alone = np.zeros_like(labels)
    alone[1] = labels[1]
    edited_labels(Labels(alone, heart.study.geometry), heart)


@pytest.mark.parametrize("axes, words", [
    ((2,), "left to right"), ((1,), "top to bottom"), ((1, 2), "turned by half")])
def test_a_mirrored_segmentation_is_refused(axes, words) -> None:
    result = centred()
    for slices in ([0, 1, 2], [1]):
        edited = np.zeros_like(result.labels)
        edited[slices] = np.flip(result.labels[slices], axes)
        with pytest.raises(InputError, match=words):
            edited_labels(Labels(edited, result.study.geometry), result)
    edited = result.labels.copy()
    edited[edited == EDEMA] = MYOCARDIUM
    edited_labels(Labels(edited, result.study.geometry), result)


@pytest.mark.parametrize("axes", [(0,), (0, 2), (0, 1)])
def test_slices_in_reversed_order_are_refused(axes) -> None:
    """Of a heart whose scar lies at the apex, where it is small; each slice alone looks right."""
    result = centred()
    labels = result.labels.copy()
    y, x = np.mgrid[:41, :41] - 20
    for index, radius in enumerate((13, 12, 11)):
        outside = np.hypot(y, x) >= radius
        labels[index] = np.where(outside, 0, np.where(labels[index] > 0, labels[index],
                                                      MYOCARDIUM))
        if index < 2:
            labels[index][labels[index] == SCAR] = MYOCARDIUM
    result = replace(result, labels=labels, study=replace(result.study, mask=labels > 0))
    edited_labels(Labels(labels.copy(), result.study.geometry), result)
    with pytest.raises(InputError, match="reversed order"):
        edited_labels(Labels(np.flip(labels, axes).copy(), result.study.geometry), result)


def test_many_corrections_are_asked_about(result) -> None:
    few = corrections_of(result, edited_of(result), done=[1])
    assert doubts(few, result) == []
    edited = np.where(result.labels == MYOCARDIUM, SCAR, result.labels)
    count, inside = (edited != result.labels).sum(), (result.labels > 0).sum()
    assert doubts(corrections_of(result, edited), result) == [
        f"{count} voxels, {100 * count / inside:.0f} % of the LV mask, were changed: was the "
        "right file given?"]


def test_a_slice_done_in_place_of_another_is_told(result) -> None:
    given = corrections_of(result, edited_of(result), done=[2])
    assert doubts(given, result) == ["slice 2 was called done, and nothing differs there; slice 1 "
                                     "was changed and is not done"]
    assert doubts(given, result, known=[1]) == []


def test_what_is_drawn_far_from_the_mask_is_said() -> None:
    """A slip of the mouse that counts in the volumes, and that no picture shows."""
    result = centred()
    edited = result.labels.copy()
    edited[1, 20, 33:35] = SCAR  # beside the wall, which ends 12 pixels from the middle
    edited[0, 0, :2] = edited[2, 0, :1] = SCAR
    corrected = replace(result, corrections=corrections_of(result, edited))
    assert [one for one in drawn_outside(corrected) if "outside the LV mask" in one] == [
        "3 voxels were drawn on slices 0, 2 more than 15 mm outside the LV mask: they count as "
        "what they are drawn as, and most pictures do not reach there; erase what was not meant"]


@pytest.mark.parametrize("given, said", [
    ({"done": [1.5]}, "fraction"), ({"done": [1], "seconds": float("nan")}, "no time"),
    ({"done": [1], "seconds": -1.0}, "no time")])
def test_slices_and_times_that_are_none_are_refused(result, given, said) -> None:
    with pytest.raises(InputError, match=said):
        corrections_of(result, result.labels, **given)


def test_labels_that_are_no_numbers_are_refused(result) -> None:
    with pytest.raises(InputError, match="no tissue"):
        corrections_of(result, np.where(result.labels == SCAR, np.nan, result.labels), done=[1])


@pytest.mark.parametrize("index", [-1, 99])
def test_a_slice_that_is_not_there_is_not_reopened(result, index) -> None:
    from deepgmm import refine

    with pytest.raises(InputError, match=f"no slice {index} to reopen"):
        refine(result, corrections_of(result, result.labels, done=[1]), reopened=[index])
