"""What is said of every slice, and slices that keep the labels they have."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_results import a_result_of

from deepgmm import Settings, segment
from deepgmm.errors import InputError
from deepgmm.phantom import make_patient
from deepgmm.review.locked import keep_locked
from deepgmm.review.report import report
from deepgmm.review.slices import levels, slice_rows, slices_named
from deepgmm.study.study import Sequence, Study
from deepgmm.study.words import Role, Tissue


def a_stack(radii: list[float], insertions: list[int] | None = None) -> Study:
    """Round masks of these radii in pixels, 0 for none; insertion points where said."""
    y, x = np.mgrid[:64, :64]
    mask = np.stack([np.hypot(y - 30, x - 33) < r for r in radii])
    points = None
    if insertions is not None:
        points = np.full((len(radii), 2, 2), np.nan)
        points[insertions] = [[20.0, 20.0], [40.0, 20.0]]
    return Study({Role.LGE: Sequence(Role.LGE, mask * 1.0)}, mask, insertion_points=points)


def test_a_row_for_every_slice_of_the_grid() -> None:
    result = a_result_of(slices=4, excluded={3: "LGE is torn"})
    result.study.mask[0] = False
    result.labels[0] = 0

    rows = json.loads(json.dumps(slice_rows(result), allow_nan=False))

    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert [row["used"] for row in rows] == [False, True, True, False]
    assert [row["why"] for row in rows] == ["no LV mask on this slice", "", "", "LGE is torn"]
    assert [row["uncertainty"] is None for row in rows] == [True, False, False, True]
    assert rows[1]["areas_mm2"]["Scar"] == pytest.approx(
        (result.labels[1] == Tissue.SCAR).sum() * 1.3 * 1.1)
    assert sum(row["areas_mm2"]["Blood"] for row in rows) * 8 / 1000 == pytest.approx(
        result.volume("blood"))


def test_uncertainty_is_the_mean_entropy_inside_the_mask() -> None:
    result = a_result_of(slices=2)
    mask = result.study.mask
    result.posterior[0] = mask[0] / 4  # nothing known
    result.posterior[1] = result.labels[1] == np.array(result.tissues)[:, None, None]  # all known

    one, other = slice_rows(result)

    assert one["uncertainty"] == pytest.approx(1.0)
    assert other["uncertainty"] == pytest.approx(0.0, abs=1e-9)
    result = a_result_of(slices=2)
    assert slice_rows(result)[1]["uncertainty"] == pytest.approx(
        result.entropy()[1][mask[1]].mean(), rel=1e-5)


@pytest.mark.parametrize(("radii", "wanted"), [
    ([24, 24, 23, 21, 18, 12], ["base", "base", "mid", "mid", "apex", "apex"]),
    ([12, 18, 21, 23, 24, 24], ["apex", "apex", "mid", "mid", "base", "base"]),
    ([0, 20, 24, 22, 20, 14, 0], ["", "base", "base", "mid", "apex", "apex", ""]),
    ([24, 0, 12], ["base", "", "apex"]),
    ([24, 12], ["base", "apex"]),
    ([20, 20, 20], ["", "", ""]),
    ([20], [""]),
])
def test_levels_are_thirds_from_base_to_apex(radii: list[float], wanted: list[str]) -> None:
    found = levels(a_stack(radii))

    assert [found.get(i, "") for i in range(len(radii))] == wanted


@pytest.mark.parametrize(("insertions", "first"), [
    ([0, 1], "base"), ([1, 2], "apex"), ([1], ""), ([0, 1, 2], ""), ([], ""),
])
def test_where_the_areas_do_not_tell_insertion_points_do(
    insertions: list[int], first: str
) -> None:
    assert levels(a_stack([20, 20, 20], insertions)).get(0, "") == first


def test_the_area_is_believed_before_the_insertion_points() -> None:
    assert levels(a_stack([24, 20, 14], insertions=[1, 2]))[0] == "base"


def test_the_levels_of_phantom_patients_are_right() -> None:
    for seed in range(1000, 1005):
        study = make_patient(seed=seed, slices=6).study
        order = [levels(study)[i] for i in study.slices]  # it lays them from apex to base
        assert order == ["apex", "apex", "mid", "mid", "base", "base"]


@pytest.mark.parametrize(("text", "wanted"), [
    ("slice 3: LGE is blurred", {3}),
    ("the fit reached its last step before it settled in slices 0-2, 5", {0, 1, 2, 5}),
    ("it is proposed to leave slices 0, 3 out, which keeps 1-2, 4", {0, 3}),
    ("it is proposed to leave slice 0 out, which keeps 1-3 (--slices 1-3)", {0}),
    ("look at its outline on every slice but slices 0-1, which were drawn", set()),
    ("T2 was resampled onto the LGE grid (linear)", set()),
])
def test_the_slices_that_a_warning_names(text: str, wanted: set[int]) -> None:
    assert slices_named(text) == wanted


def test_the_gravest_warning_of_a_slice_comes_first() -> None:
    result = a_result_of(slices=4, warnings=["it did not settle in slices 0-2"])
    result.fits[0].agreement, result.fits[1].agreement = 0.6, 0.7
    result.provenance["quality"] = [
        {"index": None, "role": "t2", "reason": "goes on across its border", "exclude": False},
        {"index": 0, "role": None, "reason": "the image's border cuts the LV mask",
         "exclude": False},
        {"index": 0, "role": "lge", "reason": "is blurred", "exclude": True}]

    assert [row["warning"] for row in slice_rows(result)] == [
        "LGE is blurred", "other starts of the fit label 30% of the pixels otherwise",
        "it did not settle in slices 0-2", ""]


def test_locked_slices_keep_their_labels_and_all_else_follows() -> None:
    result = a_result_of(slices=3, excluded={2: "left out by the user"})
    result.provenance["calibrated"] = True
    before = result.labels.copy()
    drawn = np.zeros_like(result.labels)
    drawn[1:, 20:30, 20:30] = Tissue.SCAR
    drawn[1:, 25, 25] = Tissue.MVO
    drawn[0] = Tissue.EDEMA  # not locked

    kept = keep_locked(result, drawn, [2, 1])

    np.testing.assert_array_equal(kept.labels[1:], drawn[1:])
    np.testing.assert_array_equal(kept.labels[0], before[0])
    np.testing.assert_array_equal(result.labels, before)
    scar = kept.posterior[1, kept.tissues.index(Tissue.SCAR)]
    np.testing.assert_array_equal(scar, drawn[1] > 0)
    assert kept.posterior[1].sum() == (drawn[1] > 0).sum()
    rows = slice_rows(kept)
    assert [row["locked"] for row in rows] == [False, True, True]
    assert [row["uncertainty"] for row in rows][1:] == [None, None]
    assert rows[2]["areas_mm2"]["Scar"] == pytest.approx(99 * 1.43)
    said = report(kept)
    assert said["locked_slices"] == [1, 2]
    assert said["slices"][1]["areas_mm2"]["Microvascular obstruction"] == pytest.approx(1.43)


def test_of_locked_slices_no_certainty_is_claimed() -> None:
    study = make_patient(seed=1001, slices=1).study
    fitted = segment(study, Settings(method="map"))
    fitted.provenance["calibrated"] = True

    kept = keep_locked(fitted, fitted.labels, [0])

    assert kept.volume("scar") == fitted.volume("scar")
    assert np.isfinite(fitted.volume_interval("scar")).all()
    assert slice_rows(fitted)[0]["uncertainty"] > 0
    assert all(np.isnan(kept.volume_interval(t)).all() for t in kept.tissues)
    assert slice_rows(kept)[0]["uncertainty"] is None
    assert report(kept)["volume_intervals_90_ml"]["Scar"] == [None, None]


def test_a_locked_slice_with_nothing_drawn_is_said() -> None:
    result = a_result_of(slices=3)

    kept = keep_locked(result, np.zeros_like(result.labels), [1])

    assert not kept.labels[1].any() and kept.labels[0].any()
    assert "slice 1 locked with no tissue drawn" in kept.warnings[-1]
    assert slice_rows(kept)[1]["warning"] == kept.warnings[-1]
    assert not result.warnings


def test_nothing_locked_is_nothing_changed() -> None:
    result = a_result_of()

    assert keep_locked(result, result.labels, []) is result


@pytest.mark.parametrize(("change", "slices", "message"), [
    (lambda labels: labels[:, 1:], [0], "unlock the slices, or choose the segmentation"),
    (lambda labels: labels, [0, 3], "no slice 3 to keep: the images have 3, 0 to 2"),
    (lambda labels: labels, [-1], "no slice -1 to keep"),
    (lambda labels: labels + 9, [1, 2], "no tissue, on slices 1-2"),
])
def test_labels_that_cannot_be_kept_are_refused(change, slices, message: str) -> None:
    result = a_result_of(slices=3)

    with pytest.raises(InputError, match=message):
        keep_locked(result, change(result.labels), slices)


# What a person reads

def test_the_command_line_says_slices_from_the_base(capsys) -> None:
    from deepgmm.cli.common import warn
    from deepgmm.study.levels import Numbering

    warn(["LGE is blurred on slices 0-1", "it is proposed to leave slice 5 out, which keeps 0-1,4",
          "no edema was found"], Numbering(6, -1))
    assert capsys.readouterr().err.splitlines() == [
        "warning: LGE is blurred on slices 5-6",
        "warning: it is proposed to leave slice 1 out, which keeps 2, 5-6",
        "warning: no edema was found",
        "note: slices are counted from 1, the base first; --slices and JSON count from 0 in the "
        "file's order, in which slice 1 is 5"]
    warn(["no edema was found"], Numbering(6, -1))
    assert capsys.readouterr().err == "warning: no edema was found\n"
    warn(["it is proposed to leave slice 0 out, which keeps 1-8 (--slices 1-8)"], Numbering(9, -1))
    assert "leave slice 9 out, which keeps 1-8 (--slices 1-8)\n" in capsys.readouterr().err
    warn(["2 slices are missing (slice 2, 4, counted from 0) and left empty"])
    assert "(slices 3, 5) and left empty" in capsys.readouterr().err


def test_an_error_says_slices_from_the_base_and_an_option_as_it_was_given(tmp_path) -> None:
    from deepgmm.cli.main import in_words
    from deepgmm.study.levels import counted

    mask = np.zeros((4, 20, 20), bool)
    for index, half in enumerate((3, 5, 7, 9)):  # the apex first
        mask[index, 10 - half:10 + half, 10 - half:10 + half] = True
    with pytest.raises(InputError) as refused, counted(mask):
        raise InputError("T2 does not reach the LV mask on slices 0-1: see whether it is his")
    assert in_words(refused.value).startswith("T2 does not reach the LV mask on slices 3-4:")
    assert str(refused.value).endswith("on slices 0-1: see whether it is his")
    for text in ("--slices: there is no slice 9: the images have 6, 0 to 5, counted from 0",
                 "there is no slice 3 to keep: the images have 3, 0 to 2"):
        assert in_words(InputError(text)) == text
