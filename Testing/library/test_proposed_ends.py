"""Where a proposed ventricle ends: open walls are left out, and small slices are looked for."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepgmm.errors import InputError
from deepgmm.propose import ends
from deepgmm.propose.asking import Answer
from deepgmm.propose.canonical import Frame
from deepgmm.propose.proposal import (
    FAINT,
    _astray,
    _bases_within,
    _check_length,
    _faint,
    propose_mask,
)
from deepgmm.propose.rings import ANGLES, Ring
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Benchmarks"))

from whole_stacks import Beyond, kept  # noqa: E402

MIDDLE, SPACING = (45.0, 46.0), (1.5, 1.5)
SURE = dict.fromkeys(range(6), 0.95)


def walls(radii, gaps, *, pool=100.0, wall=20.0, roles=(Role.BSSFP,), thick=8.0):
    """Round dark walls of so many mm, or so many each, about bright pools, open by so many radians,
    and their rings."""
    y, x = np.indices((90, 92)) * 1.5
    y, x = y - MIDDLE[0] * 1.5, x - MIDDLE[1] * 1.5
    images, rings = [], {}
    each = np.broadcast_to(thick, len(radii))
    for i, (radius, gap, mm) in enumerate(zip(radii, gaps, each)):
        away = np.hypot(y, x)
        image = np.where(away < radius - mm, pool, np.where(away < radius, wall, 60.0))
        image[(away < radius) & (np.abs(np.arctan2(y, x)) < gap / 2)] = pool
        images.append(image)
        rings[i] = Ring(np.array(MIDDLE) * 1.5, np.full(ANGLES, float(radius)),
                        np.full(ANGLES, radius - mm))
    values = np.stack(images).astype(np.float32)
    return Study({role: Sequence(role, values) for role in roles},
                 np.zeros(values.shape, bool), Geometry((1.5, 1.5, 8.0))), rings


@pytest.mark.parametrize("gaps, out", [
    ((0, 0, 0, 0, 0), set()),
    ((0, 0, 0, 0, 0.8), set()),  # an eighth of the wall
    ((0, 0, 0, 0, 2.2), {4}),
    ((0, 0, 0, 2.9, 4.0), {3, 4}),
    ((0, 0, 3.5, 4.0, 4.5), {2, 3, 4}),
    ((0, 0, 3.5, 0, 4.5), {4}),  # what is closed stays, and what lies farther in
    ((0, 2.2, 2.2, 2.2, 2.2), set()),  # open alike all along: a scar, not a valve
    ((4.0, 0, 0, 0, 0), set()),  # at the apex
])
def test_an_open_wall_is_left_out_at_the_base_alone(gaps, out):
    study, rings = walls((20, 26, 30, 32, 33), gaps)
    assert ends.opened(study, rings, SURE, SPACING)[0] == out
    # the same from base to apex, with the brightness the other way round
    other, back = walls((33, 32, 30, 26, 20), gaps[::-1], pool=10.0, wall=90.0)
    assert ends.opened(other, back, SURE, SPACING)[0] == {4 - i for i in out}


def test_a_base_that_may_be_open_stays_and_is_doubted():
    study, rings = walls((20, 26, 30, 32, 33), (0, 0, 0, 0, 1.3))  # a fifth of the wall
    assert ends.opened(study, rings, SURE, SPACING) == (set(), {4})
    study, rings = walls((20, 26, 30, 32, 33), (0, 0, 0, 1.3, 2.9))
    assert ends.opened(study, rings, SURE, SPACING) == ({4}, {3})


def test_one_of_three_sequences_does_not_open_a_wall():
    study, rings = walls((20, 26, 30, 32, 33), (0,) * 5, roles=(Role.BSSFP, Role.LGE, Role.T2))
    opened, _ = walls((20, 26, 30, 32, 33), (0, 0, 0, 0, 3.0))
    study.sequences[Role.LGE] = opened.sequences[Role.BSSFP]
    assert ends.opened(study, rings, SURE, SPACING) == (set(), set())
    study.sequences[Role.T2] = opened.sequences[Role.BSSFP]
    assert ends.opened(study, rings, SURE, SPACING)[0] == {4}


def test_a_thin_wall_whose_brightness_falls_is_left_out_at_the_base():
    radii, closed = (20, 26, 30, 32, 33), (0,) * 5
    study, rings = walls(radii, closed, thick=(8, 8, 8, 8, 2.0))
    # 2 mm of wall are blurred, and so found wider and fainter than they are
    image = study.sequences[Role.BSSFP].values
    image[4] = gaussian_filter(image[4], 1.3)
    rings[4] = replace(rings[4], inner=np.full(ANGLES, 28.0))
    assert ends.opened(study, rings, SURE, SPACING) == ({4}, set())
    # so from base to apex; but no apex, no thin wall as dark as any, and no fainter one as thick
    back, turned = walls(radii[::-1], closed)
    back.sequences[Role.BSSFP].values[0] = image[4]
    turned[0] = rings[4]
    small = walls((33, 36, 38, 40, 42), closed)
    small[0].sequences[Role.BSSFP].values[0], small[1][0] = image[4], rings[4]
    assert ends.opened(back, turned, SURE, SPACING)[0] == {0}
    assert not ends.opened(*small, SURE, SPACING)[0]
    assert not ends.opened(*walls(radii, closed, thick=(8, 8, 8, 8, 5)), SURE, SPACING)[0]
    fainter, as_thick = walls(radii, closed)
    values = fainter.sequences[Role.BSSFP].values
    values[4][values[4] == 20.0] = 50.0
    assert ends.opened(fainter, as_thick, SURE, SPACING)[0] == set()


def test_slices_that_are_not_fair_do_not_say_which_end_is_the_base():
    study, rings = walls((24, 27, 30, 32, 16), (0, 0, 0, 4.0, 0))
    assert ends.opened(study, rings, SURE, SPACING)[0] == set()
    faint = SURE | {4: ends.FAIR - 0.1}
    # a closed slice keeps what lies farther in, so the open one is the outermost here
    del rings[4]
    study.sequences[Role.BSSFP].values[4] = 60.0
    assert ends.opened(study, rings, faint, SPACING)[0] == {3}


def test_of_slices_without_a_pool_at_the_apex_the_innermost_stays():
    radii = (14, 16, 18, 26, 30, 32)
    study, rings = walls(radii, (0,) * 6)
    values = study.sequences[Role.BSSFP].values
    y, x = np.indices(values.shape[1:])
    low = SURE | dict.fromkeys(range(3), 0.6)
    assert ends.capped(study, rings, low, SPACING) == set()  # a pool is seen in each
    for count, out in ((1, set()), (2, {0}), (3, {0, 1})):
        values[count - 1][np.hypot(y - MIDDLE[0], x - MIDDLE[1]) * 1.5 < radii[count - 1]] = 20.0
        assert ends.capped(study, rings, low, SPACING) == out
    assert ends.capped(study, rings, SURE, SPACING) == set()  # surely a ventricle, all the same
    assert ends.capped(study, rings, SURE | {0: 0.6}, SPACING) == set()


def test_a_small_slice_is_looked_for_where_the_stack_leads(monkeypatch):
    shape = (4, 3, 80, 80)
    frame = Frame.around((45.0, 46.0), SPACING)
    y, x = np.indices(shape[2:])

    def disc(row, radius):
        return np.hypot(y - row, x - 40) * 2.0 < radius
    pieces = {2: disc(42, 22), 3: disc(40, 28)}
    parts = np.zeros(shape)
    asked = []

    def closer(study, frame, answer, index, middle, radius, spacing):
        asked.append((index, *np.round(middle), round(radius)))
        found = np.zeros(shape[1:])
        sure = 1.0 if index == 1 else 0.55
        found[2][disc(43, 15)] = sure
        found[0] = 1 - found[2]
        if index == 0:  # everywhere a little: nothing that stands out
            found[1] += 0.4 * (1 - found[2] / sure)
        return found
    monkeypatch.setattr(ends, "closer", closer)
    study, _ = walls((10, 14, 22, 28), (0,) * 4)
    new = ends.lengthened(study, frame, Answer(parts, {}), parts, pieces, SPACING)
    assert asked[0] == (1, 43, 40, 16) and asked[1][0] == 0 and len(asked) == 2
    assert new[1, 2].sum() == disc(43, 15).sum() and not new[0].any() and not parts.any()


def test_a_base_is_less_sure_where_the_images_go_on_beyond_it():
    def rings(radii):
        return {i: Ring(np.array([60.0, 60.0]), np.full(ANGLES, float(radius)),
                        np.full(ANGLES, radius - 8.0)) for i, radius in radii.items()}
    assert _bases_within(rings({2: 30, 3: 28, 4: 20}), set(), 6) == [2]
    assert _bases_within(rings({2: 30, 3: 28, 4: 20}), {1}, 6) == []  # blank there
    assert _bases_within(rings({0: 20, 1: 28, 2: 30}), set(), 3) == []
    assert _bases_within(rings({0: 20, 1: 28, 2: 30}), set(), 4) == [2]
    assert _bases_within(rings({1: 30}), set(), 3) == []  # which end is not known


def test_a_slice_gone_astray_between_two_that_are_likely_right_is_none():
    assert _astray(np.array([0.95, 0.5, 0.95, 0.7, 0.95])) == [1, 3]
    # nor does one beside it that is hardly surer, nor an end, nor one that is unsure and no more
    assert _astray(np.array([0.5, 0.95, 0.5, 0.5, 0.95, 0.86, 0.95, 0.5])) == []


def test_faint_ends_are_none_and_faint_middles_stay():
    overlap = np.array([0.0, FAINT - 0.1, 0.9, FAINT - 0.1, 0.9, FAINT - 0.2])
    assert _faint(overlap) == [1, 5]
    assert _faint(np.array([0.0, 0.2])) == []


def test_a_stack_goes_on_beyond_both_ends_and_the_valve_cuts_what_lies_above():
    beyond = Beyond((2, 3), 0.25, (0.0, 0.0), (0.0, 0.0, 10.0))
    depths = beyond.depths(90.0, 0.0, 8.0)
    assert (depths > 90).sum() == 2 and (depths < 0).sum() == 3
    assert np.allclose(np.diff(depths), -8.0)
    line = np.arange(-30, 30) + 0.5
    heart = (np.hypot(line[:, None], line) < 25).astype(np.uint8)
    tilted = Beyond((1, 1), 0.0, (0.2, 0.0), (0.0, 0.0, 10.0))
    codes = np.stack([heart] * 3)
    cut = tilted.with_atrium(codes, np.array([20.0, 1.0, -20.0]), line, line, valve=0.0,
                             ventricle=[1], wall=7, blood=8)
    assert (cut[0] == heart).all() and not (cut[2] == 1).any() and {7, 8} <= set(cut[2].ravel())
    # the plane rises by .2 mm a row: above it lie the rows from 5 mm below the middle on
    assert (cut[1] == 1).sum() == heart[line < 5].sum()
    truth, uncut = (np.where(c == 1, 1, 0).astype(np.uint8) for c in (cut, codes))
    assert [bool(one.any()) for one in kept(truth, uncut, 1)] == [True, True, False]


@pytest.mark.parametrize("slices, found, gap, blank, refused", [
    (12, range(5, 8), 8.0, (), True), (12, (6,), 10.0, (), True),
    (12, range(4, 9), 7.0, (), False),  # 35 mm
    (12, range(3), 8.0, (), False), (12, range(9, 12), 8.0, (), False),  # cut by the stack
    (12, range(2, 5), 8.0, (0, 1), False), (12, range(2, 5), 8.0, (0,), True),
    (5, range(1, 4), 8.0, (), False),  # the stack is short itself
    (3, range(3), 8.0, (), False), (5, range(1, 4), 15.0, (), False)])
def test_a_ventricle_that_ends_within_the_stack_is_long(slices, found, gap, blank, refused):
    ring = Ring(np.array([60.0, 60.0]), np.full(ANGLES, 30.0), np.full(ANGLES, 20.0))
    values = np.zeros((slices, 4, 4), np.float32)
    study = Study({Role.LGE: Sequence(Role.LGE, values)}, values > 0, Geometry((1.5, 1.5, gap)))
    if not refused:
        _check_length(dict.fromkeys(found, ring), set(blank), study)
        return
    with pytest.raises(InputError, match=f"no left .* is {len(found) * gap:.0f} mm long"):
        _check_length(dict.fromkeys(found, ring), set(blank), study)


def test_a_brain_holds_no_ventricle_but_where_a_person_draws_one():
    """Two slices of this one look like a ventricle, one of them nearly surely."""
    from deepgmm.brain.phantom import make_brain

    values = make_brain(314, contrast="T1 T2 inverted".split()[314 % 3],
                        spacing=1.5).volume.image[10:60:5].astype(np.float32)
    study = Study({Role.BSSFP: Sequence(Role.BSSFP, values)}, np.zeros(values.shape, bool),
                  Geometry((1.5, 1.5, 7.5)))
    with pytest.raises(InputError, match="ends on both sides"):
        propose_mask(study)
    y, x = np.indices(values.shape[1:])
    drawn = np.hypot(y - values.shape[1] / 2, x - values.shape[2] / 2) < 18
    assert (propose_mask(study, fixed={4: drawn}).mask[4] == drawn).all()
