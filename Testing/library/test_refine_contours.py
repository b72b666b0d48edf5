"""`deepgmm refine --contours`: closed curves of 3D Slicer as the border of pool and wall."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_refine_command import edit, fitted, place, run  # noqa: F401

from deepgmm import InputError, refine
from deepgmm.given import Strength
from deepgmm.reading.contours.markups import read_closed_curves
from deepgmm.reading.masks.labelmap import read_labels, write_image
from deepgmm.reading.masks.seg_nrrd import seg_nrrd_image
from deepgmm.review.corrections import corrections_of
from deepgmm.review.state import read_state
from deepgmm.study.study import Geometry
from deepgmm.study.words import Tissue

SLICE, RADIUS = 1, 12.0


def curve(points: np.ndarray, *, system: str = "LPS", kind: str = "ClosedCurve") -> dict:
    """As 3D Slicer writes one; `points` LPS mm."""
    turn = np.array([-1, -1, 1] if system == "RAS" else [1, 1, 1])
    return {"type": kind, "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": [
        {"id": str(k), "label": f"C-{k}", "position": list(turn * p), "positionStatus": "defined"}
        for k, p in enumerate(points)]}


def saved(path: Path, *curves: dict) -> Path:
    path.write_text(json.dumps({"@schema": "https://raw.githubusercontent.com/slicer/slicer/master/"
                                "Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3"
                                ".json#", "markups": list(curves)}))
    return path


def circle(geometry: Geometry, middle: tuple[float, float], index: float, points: int = 8,
           radius: float = RADIUS) -> np.ndarray:
    """LPS mm of a circle around a (row, column) of a slice."""
    turn = np.arange(points) * 2 * np.pi / points
    at = np.stack([middle[1] + radius * np.cos(turn) / geometry.spacing[0],
                   middle[0] + radius * np.sin(turn) / geometry.spacing[1],
                   np.full(points, index), np.ones(points)])
    return (geometry.index_to_world() @ at)[:3].T


def middle_of(index: int) -> tuple[float, float]:
    row, column = np.argwhere(fitted()[0].study.mask[index]).mean(0)
    return float(row), float(column)


def test_a_curve_is_as_slicer_draws_it(tmp_path: Path) -> None:
    """Eight points of a circle, an oblique grid: the spline is within a hundredth of its radius of
    the circle, and a polygon through them would enclose a tenth less."""
    turn = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [0.3, 1.0, 0.2], [0.1, 0.3, 1.0]]))[0]
    geometry = Geometry((1.25, 1.5, 9.0), (3.0, -20.0, 7.0), tuple(turn.ravel()))
    file = saved(tmp_path / "c.mrk.json",
                 curve(circle(geometry, (40.0, 50.0), 2.0), system="RAS"),
                 curve(circle(geometry, (41.0, 52.0), 3.3, points=12)))
    found = read_closed_curves(file, geometry, 5)
    assert sorted(found) == [2, 3]
    off = (found[2] - (40.0, 50.0)) * (1.5, 1.25)
    np.testing.assert_allclose(np.hypot(*off.T), RADIUS, rtol=0.01)
    y, x = off.T
    area = abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
    assert area == pytest.approx(np.pi * RADIUS ** 2, rel=0.01)


def test_the_border_runs_where_it_was_drawn_and_stays(place: Path) -> None:  # noqa: F811
    result, _ = fitted()
    geometry, middle = result.study.geometry, middle_of(SLICE)
    file = saved(place / "endo.mrk.json", curve(circle(geometry, middle, SLICE)))
    assert run("refine", place / "s.dgmm", "--contours", file, "-o", place / "n.seg.nrrd") == 0
    labels = read_labels(place / "n.seg.nrrd", "segmentation").on(geometry, result.labels.shape)
    mask = result.study.mask[SLICE]
    rows, columns = np.indices(mask.shape)
    away = np.hypot((rows - middle[0]) * geometry.spacing[1],
                    (columns - middle[1]) * geometry.spacing[0])
    pool = labels[SLICE] == Tissue.BLOOD
    assert pool[mask & (away < RADIUS - 1)].all() and not pool[away > RADIUS + 1].any()
    versions, _ = read_state(place / "s.dgmm")
    given = versions.result().corrections
    assert (given.strength[SLICE] == Strength.CONTOUR).any()
    assert not given.fixed[[0, 2]].any() and given.done == ()


def test_curves_and_an_edited_file_together(place: Path) -> None:  # noqa: F811
    result, truth = fitted()
    file = saved(place / "endo.mrk.json",
                 curve(circle(result.study.geometry, middle_of(SLICE), SLICE)))
    assert run("refine", place / "s.dgmm", "--edited", edit(place, 2), "--contours", file,
               "-o", place / "n.seg.nrrd") == 0
    given = read_state(place / "s.dgmm")[0].result().corrections
    changed = truth[2][given.fixed[2]]
    np.testing.assert_array_equal(given.tissue[2][given.fixed[2]], changed)
    assert given.fixed[SLICE].any()


@pytest.mark.parametrize("done", [False, True], ids=["strokes", "done"])
def test_strokes_beside_a_curve_stay_and_those_it_overrules_are_counted(
        place: Path, capsys, done: bool) -> None:  # noqa: F811
    """Scar and a hole drawn outside the curve stay; scar drawn inside it becomes blood, said."""
    result, _ = fitted()
    geometry, middle = result.study.geometry, middle_of(SLICE)
    mask, was = result.study.mask[SLICE], result.labels[SLICE]
    rows, columns = np.indices(mask.shape)
    y, x = ((rows - middle[0]) * geometry.spacing[1], (columns - middle[1]) * geometry.spacing[0])
    away = np.hypot(y, x)
    wall = mask & (away > RADIUS + 1) & (away < RADIUS + 4)
    scar, hole = wall & (x > 0), wall & (x < 0) & (abs(y) < 3)
    inner = mask & (away < RADIUS - 1) & (away > RADIUS - 3) & (x > 0)
    assert (was[scar] != Tissue.SCAR).sum() > 20 and hole.any() and inner.any()
    labels = result.labels.copy()
    labels[SLICE][scar | inner], labels[SLICE][hole] = Tissue.SCAR, 0
    drawn = place / "e.seg.nrrd"
    write_image(seg_nrrd_image(labels, geometry, result.present_tissues), drawn, "segmentation")
    file = saved(place / "endo.mrk.json", curve(circle(geometry, middle, SLICE)))
    assert run("refine", place / "s.dgmm", "--edited", drawn, "--contours", file,
               *(("--done", 3 - SLICE) if done else ()), "-o", place / "n.seg.nrrd") == 0
    new = read_labels(place / "n.seg.nrrd", "segmentation").on(geometry, result.labels.shape)[SLICE]
    assert (new[scar] == Tissue.SCAR).all() and not new[hole].any()
    assert (new[inner] == Tissue.BLOOD).all()
    touched = labels[SLICE] != was
    moved = int((touched & (labels[SLICE] == Tissue.SCAR) & (new == Tissue.BLOOD)).sum())
    assert moved >= inner.sum() - (was[inner] == Tissue.SCAR).sum()
    assert f"{moved} voxels were drawn on the other side of the curve on slice {3 - SLICE}" in \
        capsys.readouterr().err
    given = read_state(place / "s.dgmm")[0].result().corrections
    assert (given.strength[SLICE][scar & touched] == Strength.VOXEL).all()


@pytest.mark.parametrize("wrong, said", [
    (lambda g, m: [curve(circle(g, m, SLICE), kind="Fiducial")], "closed curves"),
    (lambda g, m: [curve(circle(g, m, SLICE, points=2))], "fewer than 3 points"),
    (lambda g, m: [curve(circle(g, m, 40.0))], "outside the images"),
    (lambda g, m: [curve(circle(g, m, SLICE) + np.outer(np.arange(8), [0, 0, 3]))], "one slice"),
    (lambda g, m: 2 * [curve(circle(g, m, SLICE))], "two curves on slice"),
    (lambda g, m: [curve(circle(g, m, SLICE, radius=90.0))], "does not lie inside the LV mask"),
    (lambda g, m: [curve(circle(g, m, SLICE) * np.nan)], "no markups file"),
    (lambda g, m: [], "no curve"),
], ids=["points", "two points", "elsewhere", "across", "twice", "too large", "nan", "none"])
def test_what_is_no_border_is_refused_in_a_line(place: Path, capsys, wrong, said) -> None:  # noqa: F811
    result, _ = fitted()
    file = saved(place / "c.mrk.json", *wrong(result.study.geometry, middle_of(SLICE)))
    before = (place / "s.dgmm").read_bytes()
    assert run("refine", place / "s.dgmm", "--contours", file, "-o", place / "n.seg.nrrd") == 2
    error = capsys.readouterr().err
    assert said in error and len(error) < 300 and "Mustermann" not in error
    assert (place / "s.dgmm").read_bytes() == before and not (place / "n.seg.nrrd").exists()


def test_a_border_that_was_right_is_taken_back_and_what_was_drawn_stays() -> None:
    result = fitted()[0]
    edited = result.labels.copy()
    stroke = tuple(np.argwhere(edited[1] == Tissue.MYOCARDIUM)[:5].T)
    edited[1][stroke] = Tissue.SCAR
    new = refine(result, corrections_of(result, edited, borders=[1, 2]))
    assert new.corrections is not None and new.corrections.bordered == [1, 2]
    assert new.provenance["refined"]["border_slices"] == [1, 2]
    nothing = corrections_of(new, new.labels)
    free = refine(new, nothing, unbordered=[1])
    assert free.corrections is not None and free.corrections.bordered == [2]
    assert (free.corrections.strength[1] > 0).sum() == 5
    assert (free.labels[1][stroke] == Tissue.SCAR).all()
    bordered = free.corrections.fixed[2]
    np.testing.assert_array_equal(free.labels[2][bordered], result.labels[2][bordered])
    with pytest.raises(InputError, match="nothing was corrected"):
        refine(free, corrections_of(free, free.labels), unbordered=[1])
    with pytest.raises(InputError, match="no slice 9"):
        refine(free, nothing, unbordered=[9])


def test_a_border_is_taken_back_by_the_command(place: Path, capsys) -> None:  # noqa: F811
    number = 3 - SLICE
    assert run("refine", place / "s.dgmm", "--border", number, "-o", place / "n.seg.nrrd") == 0
    assert f"voxels corrected, border: slice {number};" in capsys.readouterr().out
    given = read_state(place / "s.dgmm")[0].result().corrections
    assert given is not None and given.bordered == [SLICE]
    assert run("refine", place / "s.dgmm", "--border", number, "--reopen", number, "-o",
               place / "n.seg.nrrd") == 2
    assert "--border: --reopen names the same slices" in capsys.readouterr().err
    assert run("refine", place / "s.dgmm", "--reopen", number, "-o", place / "n.seg.nrrd") == 0
    held = read_state(place / "s.dgmm")[0]
    assert not held.result().corrections and len(held.line) == 3


def test_a_border_alone_is_taken_back_by_the_command(place: Path, capsys) -> None:  # noqa: F811
    number, out = 3 - SLICE, place / "n.seg.nrrd"
    assert run("refine", place / "s.dgmm", "--border", number, "--done", number, "-o", out) == 0
    for words, said in ((("--border", number), "names the same slices"),
                        ((), "")):
        capsys.readouterr()
        assert run("refine", place / "s.dgmm", "--reopen-border", number, *words, "-o", out
                   ) == (2 if said else 0)
        assert said in capsys.readouterr().err
    given = read_state(place / "s.dgmm")[0].result().corrections
    assert given is not None and not given.bordered and given.done == (SLICE,)
    assert given.fixed[SLICE][fitted()[0].study.mask[SLICE]].all()
    assert run("refine", place / "s.dgmm", "--reopen-border", number, "-o", out) == 2
    assert "not said to have the right border" in capsys.readouterr().err


def test_strokes_of_an_earlier_refine_stay_by_the_command(place: Path) -> None:  # noqa: F811
    """Scar learned first, then the border right and the slice done, then both taken back."""
    result, _ = fitted()
    labels, number = result.labels.copy(), 3 - SLICE
    stroke = tuple(np.argwhere(labels[SLICE] == Tissue.MYOCARDIUM)[:8].T)
    labels[SLICE][stroke] = Tissue.SCAR
    drawn = place / "e.seg.nrrd"
    write_image(seg_nrrd_image(labels, result.study.geometry, result.present_tissues), drawn,
                "segmentation")
    for words in (("--edited", drawn), ("--border", number), ("--done", number),
                  ("--reopen", number)):
        assert run("refine", place / "s.dgmm", *words, "-o", place / "n.seg.nrrd", "-q") == 0
    last = read_state(place / "s.dgmm")[0].result()
    assert last.corrections is not None and not last.corrections.done
    assert last.corrections.fixed.sum() == 8 and not last.corrections.bordered
    assert (last.labels[SLICE][stroke] == Tissue.SCAR).all()
