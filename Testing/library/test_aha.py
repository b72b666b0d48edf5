"""AHA segments of made rings, whose sectors are known, and of phantom hearts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepgmm.phantom import make_patient
from deepgmm.result import Result
from deepgmm.review.aha import SEGMENTS, aha_rows, aha_segments
from deepgmm.review.locked import keep_locked
from deepgmm.review.report import report
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import FOUR_TISSUES, Kind, Role, Tissue

SPACING = (1.0, 1.0)
CENTRE = 40

#: Degrees clockwise on the screen from the top, in a short-axis image with the right ventricle
#: on the left: the septum is the third of the circle from the one down to the other.
ANTERIOR_AT, INFERIOR_AT = -60.0, -180.0


def at(degrees: float, radius: float = 30.0, stretch: float = 1.0) -> np.ndarray:
    """Row and column at an angle, clockwise on the screen from the top."""
    angle = np.radians(degrees)
    return np.array([CENTRE - radius * np.cos(angle), CENTRE + radius * np.sin(angle) * stretch])


def a_disc(radius: float = 30.0) -> np.ndarray:
    rows, columns = np.indices((81, 81))
    return np.hypot(rows - CENTRE, columns - CENTRE) <= radius


def segment_at(degrees: float, level: str, anterior: float = ANTERIOR_AT,
               inferior: float = INFERIOR_AT) -> int:
    numbers = aha_segments(a_disc(), np.stack([at(anterior), at(inferior)]), level, SPACING)
    row, column = at(degrees, 24).round().astype(int)
    return int(numbers[row, column])


@pytest.mark.parametrize(("middle", "basal"), [
    (0 - 30, 1), (-90, 2), (-150, 3), (-210, 4), (-270, 5), (-330, 6)])
def test_six_sectors_of_60_degrees_where_the_septum_is_a_third(middle, basal) -> None:
    for degrees in (middle - 26, middle, middle + 26):
        assert segment_at(degrees, "base") == basal
        assert segment_at(degrees, "mid") == basal + 6


def test_each_insertion_divides_septum_from_free_wall() -> None:
    for anterior, inferior in ((-60, -180), (-50, -150), (-70, -200)):
        def basal(degrees: float, a: float = anterior, i: float = inferior) -> int:
            return segment_at(degrees, "base", a, i)

        assert (basal(anterior + 4), basal(anterior - 4)) == (1, 2)
        assert (basal(inferior + 4), basal(inferior - 4)) == (3, 4)
        middle = (anterior + inferior) / 2
        assert (basal(middle + 4), basal(middle - 4)) == (2, 3)
        opposite = middle + 180
        assert (basal(opposite + 4), basal(opposite - 4)) == (5, 6)


def test_a_ring_seen_from_the_other_side_has_the_same_segments() -> None:
    points = np.stack([at(ANTERIOR_AT), at(INFERIOR_AT)])
    mirrored = points * (1, -1) + (0, 2 * CENTRE)
    one = aha_segments(a_disc(), points, "base", SPACING)
    other = aha_segments(a_disc(), mirrored, "base", SPACING)[:, ::-1]
    assert (one != other).mean() < 0.005  # pixels on a border fall to either side


@pytest.mark.parametrize(("degrees", "number"), [(-120, 14), (-210, 15), (-300, 16), (-30, 13)])
def test_four_apical_sectors_of_90_degrees_about_the_middle_of_the_septum(degrees, number) -> None:
    for way in (-41, 0, 41):
        assert segment_at(degrees + way, "apex") == number


def test_segments_are_of_degrees_in_the_patient_not_of_pixels() -> None:
    rows, columns = np.indices((81, 81))
    disc = np.hypot(rows - CENTRE, (columns - CENTRE) / 0.6) <= 30  # a circle of wide pixels
    points = np.stack([at(ANTERIOR_AT, stretch=0.6), at(INFERIOR_AT, stretch=0.6)])
    numbers = aha_segments(disc, points, "mid", (0.6, 1.0))
    shares = np.bincount(numbers[disc], minlength=13)[7:13] / disc.sum()
    np.testing.assert_allclose(shares, 1 / 6, atol=0.012)


def a_ring(points: np.ndarray | None) -> Result:
    """Three slices, base first; a wall whose basal anteroseptal segment is all scar, and whose
    apical lateral one is half edema."""
    disc, pool = a_disc(), a_disc(18)
    mask = np.stack([disc, disc & a_disc(28), disc & a_disc(26)])
    labels = np.where(mask, int(Tissue.MYOCARDIUM), 0).astype(np.uint8)
    labels[:, pool] = Tissue.BLOOD
    pair = np.stack([at(ANTERIOR_AT), at(INFERIOR_AT)])
    wall = labels == Tissue.MYOCARDIUM
    labels[0, wall[0] & (aha_segments(mask[0], pair, "base", SPACING) == 2)] = Tissue.SCAR
    lateral = np.argwhere(wall[2] & (aha_segments(mask[2], pair, "apex", SPACING) == 16))
    labels[2][tuple(lateral[: len(lateral) // 2].T)] = Tissue.EDEMA
    study = Study({Role.LGE: Sequence(Role.LGE, np.zeros(mask.shape), Kind.LGE_PSIR)}, mask,
                  Geometry((1.0, 1.0, 8.0)), insertion_points=points)
    return Result(study, FOUR_TISSUES, labels, np.zeros((3, 4, 81, 81), np.float32))


@pytest.fixture
def a_ring_with_insertions() -> Result:
    return a_ring(np.stack([[at(ANTERIOR_AT), at(INFERIOR_AT)]] * 3))


def test_scar_and_edema_are_of_the_segments_own_wall(a_ring_with_insertions) -> None:
    rows = {row["segment"]: row for row in aha_rows(a_ring_with_insertions)}
    assert list(rows) == list(range(1, 17))
    assert rows[2]["name"] == "Basal anteroseptal"
    assert {n for n, row in rows.items() if row["infarct_percent"]} == {2}
    assert rows[2]["infarct_percent"] == pytest.approx(100)
    assert {n for n, row in rows.items() if row["edema_percent"]} == {16}
    assert rows[16]["edema_percent"] == pytest.approx(50, abs=1)


def test_segments_together_are_the_wall(a_ring_with_insertions) -> None:
    result = a_ring_with_insertions
    wall = sum(result.volume(t) for t in (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR))
    assert sum(row["wall_ml"] for row in aha_rows(result)) == pytest.approx(wall)


def test_obstruction_counts_as_scar_and_a_tissue_not_sought_has_no_number(
        a_ring_with_insertions) -> None:
    result = a_ring_with_insertions
    result.labels[0][result.labels[0] == Tissue.SCAR] = Tissue.MVO
    result.tissues = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.SCAR)
    second = aha_rows(result)[1]
    assert second["infarct_percent"] == pytest.approx(100)
    assert second["edema_percent"] is None


def test_slices_left_out_do_not_count_unless_they_are_locked(a_ring_with_insertions) -> None:
    result = a_ring_with_insertions
    drawn = result.labels.copy()
    result.study.excluded[0] = "left out by the user"
    result.labels[0] = 0
    assert [row["segment"] for row in aha_rows(result)] == list(range(7, 17))
    assert [row["segment"] for row in aha_rows(keep_locked(result, drawn, [0]))] == [*SEGMENTS]


def test_the_report_has_them_where_insertions_are_known(a_ring_with_insertions) -> None:
    said = report(a_ring_with_insertions)
    assert json.loads(json.dumps(said))["aha_segments"] == aha_rows(a_ring_with_insertions)
    assert "aha_segments" not in report(a_ring(None))


def test_a_phantoms_septum_is_beside_its_right_ventricle() -> None:
    patient = make_patient(seed=1003, slices=3, shape=(128, 128))
    study = patient.study
    assert study.insertion_points is not None
    for index in range(3):
        if not patient.rv[index].any():
            continue
        numbers = aha_segments(study.mask[index], study.insertion_points[index], "mid",
                               study.geometry.spacing[1::-1])
        middle = np.argwhere(patient.rv[index]).mean(axis=0)
        nearest = {n: np.linalg.norm(np.argwhere(numbers == n).mean(axis=0) - middle)
                   for n in range(7, 13)}
        assert set(sorted(nearest, key=nearest.__getitem__)[:2]) == {8, 9}, SEGMENTS
