"""Area, transmurality and border of rings and wedges against their closed forms, fine and coarse,
through oblique and anisotropic grids."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from rings import POSITIONS, RINGS, Ring, errors, oblique

from deepgmm.review.numbers import quantify
from deepgmm.review.transmurality import high_end, laplace_chords, radial_chords
from deepgmm.study.study import Geometry

FINE, COARSE = (0.2, 0.2), (1.4, 1.4)


@functools.cache
def measured(name: str, spacing: tuple[float, float], shift: tuple[float, float]):
    return errors(RINGS[name], spacing, shift)


@pytest.mark.parametrize("name", RINGS)
@pytest.mark.parametrize("spacing", [FINE, (0.2, 0.25)])
def test_fine_grids_are_right_to_one_percent(name: str, spacing) -> None:
    off = measured(name, spacing, (0.21, -0.37))
    assert np.abs(off).max() < 0.01, off


@pytest.mark.parametrize("name", RINGS)
@pytest.mark.parametrize("spacing", [COARSE, (1.4, 1.75)])
def test_coarse_grids_are_unbiased_over_positions(name: str, spacing) -> None:
    off = np.array([measured(name, spacing, tuple(p)) for p in POSITIONS])
    bias, spread = off.mean(axis=0), off.std(axis=0, ddof=1)
    print(f"\n{name} at {spacing} mm: bias {np.round(100 * bias, 1)} %, "
          f"spread {np.round(100 * spread, 1)} %")
    short = RINGS[name].arc <= np.pi / 2
    # of a strip thinner than the pixels are long, these break up the endocardium's part too
    assert abs(bias[7]) < (0.06 if name == "strip" and spacing[1] > 1.5 else 0.03), bias
    assert np.abs(bias[[0, 2, 3, 4, 5, 6]]).max() < 0.03, bias
    assert abs(bias[1]) < (0.04 if short else 0.03), bias
    assert spread[:7].max() < (0.08 if name in ("short strip", "30 degrees") else 0.06), spread


def test_a_contour_along_the_pixels_would_be_too_long() -> None:
    """What the test above would see of lengths that are counted in sides of pixels."""
    ring = Ring()
    infarct, wall, _ = ring.parts(COARSE)
    rest = wall & ~infarct
    sides = 1.4 * sum(int((infarct & np.roll(rest, s, axis)).sum())
                      for s in (1, -1) for axis in (0, 1))
    assert sides / ring.border > 1.2


def test_transmurality_is_of_lengths_and_not_of_areas() -> None:
    """Half of a wall's thickness next to the pool is less than half of its area."""
    infarct, wall, pool = Ring().parts(FINE)
    assert infarct.sum() / wall.sum() == pytest.approx(0.45, abs=0.001)
    assert np.nanmean(radial_chords(infarct, wall, pool, FINE).transmurality) == pytest.approx(
        0.5, abs=0.002)


def test_the_95th_percentile_and_the_chords_over_a_quarter_of_a_fine_ring() -> None:
    geometry = oblique(FINE)
    numbers = quantify(Ring(ill=25.5).labels(FINE, shift=(0.21, -0.37)), geometry)
    assert numbers.get("transmurality_p95_radial").value == pytest.approx(55, rel=0.01)
    assert [numbers.get(f"chords_over_{n}_radial").value for n in (25, 50, 75)] == [72, 72, 0]
    assert numbers.get("chords_laplace").value == 72


def test_a_plain_percentile_would_pick_the_noise_of_the_pixels() -> None:
    """What the test above would see of the percentile of the sectors themselves."""
    off = [np.percentile(radial_chords(*RINGS["thin"].parts(COARSE, tuple(p)), COARSE)
                         .transmurality, 95) / 0.25 - 1 for p in POSITIONS]
    assert np.mean(off) > 0.1


@pytest.mark.parametrize("most", [0.6, 1.0])
def test_the_high_end_of_a_slope_is_its_percentile(most: float) -> None:
    """Of sectors that truly differ nothing is averaged away: a slope from nothing to the most, on
    a quarter of the circle, known in closed form."""
    slope = np.concatenate([np.zeros(54), np.linspace(0, most, 18)])
    assert high_end(slope, 0.14) == pytest.approx(np.percentile(slope, 95), rel=0.03)
    assert high_end(np.zeros(72), 0.14) == 0.0


def test_laplace_follows_a_wall_that_is_not_round_about_the_pool() -> None:
    """Of a wall between circles that do not share their middle, radial chords from the pool's
    middle are too long on the sides; field lines of that wall are arcs, known by inversion."""
    rows, columns = np.indices((400, 400)) * 0.2
    pool = np.hypot(rows - 40, columns - 36) < 15
    wall = (np.hypot(rows - 40, columns - 40) < 30) & ~pool
    nothing = np.zeros_like(wall)
    laplace = laplace_chords(nothing, wall, pool, FINE).thickness
    radial = radial_chords(nothing, wall, pool, FINE).thickness
    # in the line of both middles the chords are straight: 11 and 19 mm
    assert np.nanmin(laplace) == pytest.approx(11, rel=0.01)
    assert np.nanmax(laplace) == pytest.approx(19, rel=0.015)
    # an arc is longer than the shortest way, and no longer than the radial way by much
    assert np.nanmax(np.abs(laplace - radial)) < 1.5


def test_a_turned_and_stretched_grid_says_the_same() -> None:
    """All numbers of a wedge on an oblique anisotropic grid against a plain one."""
    ring = Ring(arc=np.pi / 2)
    plain = quantify(ring.labels((0.25, 0.25), 2), Geometry((0.25, 0.25, 8.0)))
    turned = quantify(ring.labels((0.3, 0.2), 2), oblique((0.3, 0.2)))
    for key, exact in (("infarct_volume", ring.infarct_area * 16 / 1000),
                       ("wall_mass", ring.wall_area * 16 / 1000 * 1.05),
                       ("infarct_percent", 100 * ring.infarct_area / ring.wall_area),
                       ("transmurality_mean_radial", 100 * ring.transmurality / 4),
                       ("transmurality_mean_laplace", 100 * ring.transmurality / 4),
                       ("infarct_border", 2 * ring.border),
                       ("infarct_perimeter", 2 * ring.perimeter),
                       ("endocardial_extent", 25.0), ("thickness_mean_radial", 10.0),
                       ("thickness_mean_laplace", 10.0), ("islands", 1.0)):
        for numbers in (plain, turned):
            assert numbers.get(key).value == pytest.approx(exact, rel=0.01), key


def test_a_gap_in_the_wall_is_no_wall_and_papillary_muscles_are_none() -> None:
    infarct, wall, pool = Ring().parts((0.5, 0.5))
    angle = np.arctan2(*(np.indices(wall.shape) - np.array(wall.shape)[:, None, None] / 2))
    gap = np.abs(angle) < np.radians(20)
    chords = radial_chords(infarct & ~gap, wall & ~gap, pool, (0.5, 0.5))
    assert np.isnan(chords.thickness).sum() in (7, 8, 9)
    assert np.nanmean(chords.transmurality) == pytest.approx(0.5, rel=0.02)
    islet = np.zeros_like(wall)
    islet[wall.shape[0] // 2 + 8:wall.shape[0] // 2 + 14, wall.shape[1] // 2 - 3:][:, :6] = True
    with_islet = radial_chords(infarct, wall | islet, pool & ~islet, (0.5, 0.5))
    assert np.nanmax(with_islet.thickness) < 10.5


def test_a_slice_beyond_the_pool_has_chords_and_no_laplace() -> None:
    _, wall, pool = Ring(0.5, 12.0, 0.6).parts((0.5, 0.5))
    cap = wall | pool
    nothing = np.zeros_like(cap)
    assert np.nanmean(radial_chords(cap, cap, nothing, (0.5, 0.5)).thickness) == pytest.approx(
        12, rel=0.02)
    assert np.isnan(laplace_chords(cap, cap, nothing, (0.5, 0.5)).thickness).all()
