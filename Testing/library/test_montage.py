"""The picture by which a person judges a segmentation."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_erosion
from small_results import a_result_of

from deepgmm.given import Corrections, Edit, Strength
from deepgmm.review.montage import _heat_colours, _legend, _marked_slices, _summary, montage_png
from deepgmm.review.panels import outlines_of
from deepgmm.study.study import Geometry
from deepgmm.study.words import COLOURS, Role, Tissue


def picture_of(result) -> np.ndarray:
    """(rows, columns, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(montage_png(result))).convert("RGB"))


def pixels_coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) <= 1).all(axis=-1)


def bounds(where: np.ndarray) -> tuple[int, int]:
    """Height and width of what is true."""
    rows, columns = np.nonzero(where)
    return rows.max() - rows.min() + 1, columns.max() - columns.min() + 1


@pytest.mark.parametrize("slices", [1, 5, 20])
def test_there_is_a_row_for_every_slice(slices: int) -> None:
    picture = picture_of(a_result_of(slices=slices))
    white = pixels_coloured(picture, (255, 255, 255))
    # The outline of the LV mask is the only pure white wider than a letter; it is in every row.
    drawn = white[:, picture.shape[1] // 2:].sum(axis=1) > 0
    starts = np.flatnonzero(drawn & ~np.r_[False, drawn[:-1]])
    tall = [s for s in starts if drawn[s:s + 40].all()]
    assert len(tall) == slices


@pytest.mark.parametrize("roles", [(Role.BSSFP,), (Role.LGE,), (Role.BSSFP, Role.T2), tuple(Role)])
def test_there_is_a_column_for_every_sequence_and_two_more(roles) -> None:
    widths = {n: picture_of(a_result_of(roles=r, slices=3)).shape[1]
              for n, r in ((1, (Role.BSSFP,)), (len(roles), roles))}
    panel = 240 + 6
    assert widths[len(roles)] - widths[1] == (len(roles) - 1) * panel


def test_every_tissue_is_drawn_in_its_colour_and_an_absent_one_is_not() -> None:
    result = a_result_of()
    for tissue in result.tissues:
        assert pixels_coloured(picture_of(result), COLOURS[tissue]).sum() > 300
    result.labels[result.labels == Tissue.SCAR] = Tissue.EDEMA
    # Its patch in the legend stays, 12 by 12 pixels.
    assert pixels_coloured(picture_of(result), COLOURS[Tissue.SCAR]).sum() == 144


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 8.0), (0.8, 2.0, 8.0), (2.0, 0.8, 8.0)])
def test_a_circle_in_the_patient_is_a_circle_in_the_picture(spacing) -> None:
    result = a_result_of(slices=1, shape=(int(60 / spacing[1]), int(60 / spacing[0])),
                         geometry=Geometry(spacing))
    rows, columns = np.mgrid[: result.labels.shape[1], : result.labels.shape[2]]
    radius = np.hypot((rows + 0.5) * spacing[1] - 30, (columns + 0.5) * spacing[0] - 30)
    result.study.mask[0] = radius < 18
    result.labels[0] = np.where(radius < 12, Tissue.SCAR, Tissue.MYOCARDIUM) * (radius < 18)
    picture = picture_of(result)[100:]  # below the legend
    height, width = bounds(pixels_coloured(picture, COLOURS[Tissue.SCAR]))
    assert height > 100
    assert abs(height - width) <= 330 / 57 * max(spacing[:2])  # one of the image's larger pixels


def test_mirrored_files_give_the_same_picture() -> None:
    """Rows from the back to the front and columns from left to right are turned round."""
    usual = a_result_of(geometry=Geometry((1.0, 1.0, 8.0)))
    half_a_turn = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
    turned = a_result_of(geometry=Geometry((1.0, 1.0, 8.0), direction=half_a_turn))
    turned.study.mask = turned.study.mask[:, ::-1, ::-1]
    turned.labels = turned.labels[:, ::-1, ::-1]
    turned.posterior = turned.posterior[..., ::-1, ::-1]
    for sequence in turned.study.sequences.values():
        sequence.values = sequence.values[:, ::-1, ::-1]
    assert np.abs(picture_of(usual).astype(int) - picture_of(turned)).max() <= 2


def test_a_file_with_rows_and_columns_exchanged_gives_the_same_picture() -> None:
    usual = a_result_of(geometry=Geometry((1.0, 1.5, 8.0)))
    exchanged = (0, 1, 0, 1, 0, 0, 0, 0, -1)
    turned = a_result_of(geometry=Geometry((1.5, 1.0, 8.0), direction=exchanged))
    turned.study.mask = turned.study.mask.swapaxes(1, 2)
    turned.labels = turned.labels.swapaxes(1, 2)
    turned.posterior = turned.posterior.swapaxes(2, 3)
    for sequence in turned.study.sequences.values():
        sequence.values = sequence.values.swapaxes(1, 2)
    assert np.abs(picture_of(usual).astype(int) - picture_of(turned)).max() <= 2


def test_a_slice_left_out_is_dimmed() -> None:
    bright = picture_of(a_result_of(slices=2))
    dim = picture_of(a_result_of(slices=2, excluded={1: "asked for"}))
    row = slice(bright.shape[0] * 3 // 5, bright.shape[0] - 60)
    panel = slice(100, 400)
    assert dim[row, panel].mean() < 0.5 * bright[row, panel].mean()


@pytest.mark.parametrize(("warning", "slices"), [
    ("scar is not bright in slice 3", {3}),
    ("the mask is small on slices 0, 2 and 4", {0, 2, 4}),
    ("slices 1-3 look blurred", {1, 2, 3}),
    ("LGE and T2 look exchanged", set()),
])
def test_a_warning_marks_the_slices_that_it_names(warning: str, slices: set[int]) -> None:
    assert _marked_slices(a_result_of(slices=5, warnings=[warning])) == slices


def test_a_fit_that_did_not_settle_is_marked_by_its_warning() -> None:
    result = a_result_of(warnings=["the fit reached its last step before it settled in slice 1"])
    assert _marked_slices(result) == {1}
    orange = (255, 176, 0)
    assert pixels_coloured(picture_of(result), orange).any()
    assert not pixels_coloured(picture_of(a_result_of()), orange).any()


def test_odd_studies_are_drawn_all_the_same() -> None:
    result = a_result_of(warnings=["$100 _of_ {warnings}"] * 3 + [f"no {n}" for n in range(20)])
    for sequence in result.study.sequences.values():
        sequence.values[0] = np.nan
        sequence.values[1] = 7.0
    result.study.mask[2] = False
    assert montage_png(result).startswith(b"\x89PNG")

    empty = a_result_of(slices=1, excluded={0: "no LV mask"})
    empty.study.mask[:] = False
    assert montage_png(empty).startswith(b"\x89PNG")


def test_drawing_needs_no_matplotlib_but_its_type() -> None:
    line = ("import sys; from small_results import a_result_of; "
            "from deepgmm.review.montage import montage_png; "
            "before = [m for m in ('SimpleITK', 'PIL', 'torch') if m in sys.modules]; "
            "montage_png(a_result_of(slices=1)); print(before, 'matplotlib' in sys.modules)")
    run = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True,
                         cwd=Path(__file__).parent)
    assert run.stdout.strip() == "[] False", run.stderr


def test_the_heat_is_that_of_inferno() -> None:
    from matplotlib import colormaps

    values = np.linspace(0, 1, 101)
    wanted = colormaps["inferno"](values)[:, :3]
    assert np.abs(_heat_colours(values) - wanted).max() < 0.07


def test_the_legend_gives_volume_interval_and_share() -> None:
    result = a_result_of()
    result.provenance["calibrated"] = True
    words = {tissue: text for tissue, text, _ in _legend(result)}
    low, high = result.volume_interval(Tissue.SCAR)
    assert words[Tissue.SCAR].startswith(
        f"Scar {result.volume(Tissue.SCAR):.1f} ml (90 %: {low:.1f} to {high:.1f}), ")
    assert words[Tissue.BLOOD].endswith(")"), "no share of the wall"
    result.labels[result.labels == Tissue.SCAR] = Tissue.EDEMA
    assert {t: w for t, w, _ in _legend(result)}[Tissue.SCAR] == "Scar absent"


def test_the_montage_says_that_automatic_ran_and_what_it_became() -> None:
    result = a_result_of()
    result.provenance |= {"settings": {"method": "auto"}, "method": "pretrained",
                          "map_rounds": 12}
    assert "method auto: pretrained, up to 12 rounds of map" in _summary(result)


def test_many_slices_of_one_sequence_stand_in_two_columns() -> None:
    """As many panels as before, on a picture that is wider than it is high."""
    few, many = (picture_of(a_result_of(roles=(Role.LGE,), slices=n)) for n in (6, 10))
    assert few.shape[0] > few.shape[1] and many.shape[1] > many.shape[0]
    white = pixels_coloured(many, (255, 255, 255))
    for half in np.array_split(white, 2, axis=1):  # outlines of the LV mask, tall as no letter is
        drawn = half.any(axis=1)
        starts = np.flatnonzero(drawn & ~np.r_[False, drawn[:-1]])
        assert sum(drawn[s:s + 40].all() for s in starts) == 5


def test_a_proposed_outline_is_on_every_panel_and_amber_where_unsure() -> None:
    amber = (255, 176, 0)

    def picture(said: dict, *done: int) -> np.ndarray:
        result = a_result_of(slices=3)
        result.provenance["mask_proposal"] = said
        if done:
            result.provenance["refined"] = {"done_slices": [*done]}
        return picture_of(result)
    drawn = picture_of(a_result_of(slices=3))
    sure, unsure = (picture({"proposed": True, "confidence": [0.95, c, 0.95]}) for c in (0.95, 0.4))
    outline = [int(pixels_coloured(one, colour).sum()) for one, colour in (
        (drawn, (255, 255, 255)), (sure, (255, 255, 255)), (unsure, amber))]
    # on two panels of each of three slices; on all five; of one slice alone
    assert outline[1] > 2 * outline[0] and outline[2] > outline[1] / 4
    assert pixels_coloured(sure, amber).sum() < 100
    for done in ((0,), (1,)):  # accepted with all of its slice
        seen = picture({"proposed": True, "confidence": [0.95, 0.4, 0.95]}, *done)
        assert bool(pixels_coloured(seen, amber).sum() < 100) == (1 in done)
    for said in ({"proposed": False, "confidence": [1, 1, 1]}, {"proposed": True},
                 {"proposed": True, "confidence": [0.5]},
                 {"proposed": True, "confidence": [0.5, "x", 0.5]}):
        assert (picture(said) == drawn).all()
    every = {"proposed": True, "confidence": [0.95, 0.4, 0.0]}
    assert outlines_of({"mask_proposal": every, "refined": {"done_slices": [0, 1]}}, 3) == ()


def test_the_outline_is_drawn_as_it_was_corrected() -> None:
    result = a_result_of(slices=3)
    result.provenance["mask_proposal"] = {"proposed": True, "confidence": [0.4] * 3}
    mask = result.study.mask
    wider, rim = mask[0] & ~mask[2], mask[1] & ~binary_erosion(mask[1])
    tissue, edit = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, np.uint16)
    tissue[2][wider], edit[2][wider], edit[1][rim] = Tissue.MYOCARDIUM, 1, 1
    given = Corrections(tissue, edit, [Edit(Strength.VOXEL)])
    new = replace(result, labels=given.painted(result.labels), corrections=given)
    drawn = mask.copy()
    drawn[2] |= wider
    drawn[1] &= ~rim
    wanted = replace(result, labels=new.labels, study=replace(result.study, mask=drawn))
    amber = [pixels_coloured(picture_of(one), (255, 176, 0)) for one in (new, wanted, result)]
    assert (amber[0] == amber[1]).all() and not (amber[0] == amber[2]).all()


def test_a_slice_that_was_left_out_and_drawn_since_is_not_dimmed() -> None:
    result = a_result_of(slices=2, excluded={1: "asked for"})
    labels = a_result_of(slices=2).labels
    edit = np.zeros(labels.shape, np.uint16)
    edit[1] = labels[1] > 0
    given = Corrections(labels * (edit > 0), edit, [Edit(Strength.SLICE)], (1,))
    drawn = picture_of(replace(result, labels=given.painted(result.labels), corrections=given))
    dim = picture_of(result)
    row, panel = slice(dim.shape[0] * 3 // 5, dim.shape[0] - 60), slice(100, 400)
    assert dim[row, panel].mean() < 0.5 * drawn[row, panel].mean()


def test_a_sequence_that_lies_elsewhere_has_the_outline_there_too() -> None:
    blue = (51, 204, 255)

    def picture(dx: float, *, applied: bool = False, accepted: bool = True) -> np.ndarray:
        result = a_result_of(roles=(Role.BSSFP, Role.LGE), slices=3)
        result.provenance["alignment"] = {"reference": "lge", "applied": applied, "moves": [
            {"sequence": "bssfp", "slice": 1, "dx": dx, "dy": 0.0, "rotation": 0.0, "before": 0.1,
             "after": 0.5, "accepted": accepted, "reason": ""}]}
        return picture_of(result)
    still = picture(0.0)
    for same in (picture(2.9), picture(6.0, applied=True), picture(6.0, accepted=False)):
        assert (same == still).all()
    left, right = (np.argwhere(pixels_coloured(picture(dx), blue)) for dx in (6.0, -6.0))
    assert len(left) > 100 and np.ptp(left[:, 0]) < 260, "one slice, one panel"
    assert right[:, 1].mean() > left[:, 1].mean() + 10  # what is to be moved left lies to the right
