"""Slices moved for training: what moves moves together, and nothing from outside comes in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from small_hearts import MILLIMETRES, MOVING, NOTHING, STIFF, a_disc, a_heart, examples_of, repeated
from torch import Tensor

from deepgmm.model.learning import Examples
from deepgmm.training.augmentation import MOST_ELASTIC, SMOOTHNESS

pytest.importorskip("monai")


def a_place_map(size: int = 64, radius: float = 20.0) -> Examples:
    """Two slices whose every pixel tells its row, and its column, from the middle of the heart."""
    rows, columns, depth = a_disc(size, radius, radius + 0.5)
    return Examples.joined([examples_of(place.expand(3, -1, -1), depth)
                            for place in (rows, columns)])


def affine_of(found: Tensor, inside: Tensor) -> np.ndarray:
    """(2, 2) of the straight map from places of a canvas to the places (2, H, W) told there."""
    core = ndimage.binary_erosion(inside.numpy() > 0, iterations=3)  # nothing was clamped there
    rows, columns = np.nonzero(core)
    told = found.numpy()[:, rows, columns].T
    design = np.stack([rows, columns, np.ones(len(rows))], 1)
    solved = np.linalg.lstsq(design, told, rcond=None)[0]
    assert np.abs(design @ solved - told).max() < 1e-6
    return solved[:2].T


def test_mirrored_both_ways_is_half_a_turn() -> None:
    heart = a_heart(size=49, radius=24.9, middle=24.0)
    mirrored = replace(NOTHING, flip=1.0).augmented(heart, [1])
    for name in ("values", "inside", "depth", "teacher", "labels"):
        torch.testing.assert_close(getattr(mirrored, name), getattr(heart, name).flip(-1, -2),
                                   atol=1e-4, rtol=0)


def test_hearts_are_turned_mirrored_and_scaled_as_wholes() -> None:
    """What pixels tell of where they came from is a similarity; area and depth go with it."""
    zooms, turns, mirrored = [], [], 0
    for seed in range(40):
        places = a_place_map()
        after = STIFF.augmented(places, [seed, seed])
        inside = after.inside[0, 0]
        matrix = affine_of(after.values[:, 1], inside)
        zoom = 1 / np.sqrt(abs(np.linalg.det(matrix)))
        np.testing.assert_allclose(zoom**2 * matrix @ matrix.T, np.eye(2), atol=1e-4)
        area = float(inside.sum()) / float(places.inside[0].sum())
        assert area == pytest.approx(zoom**2, rel=0.03)
        # the depth, in mm, is the distance to the new edge
        distance = MILLIMETRES * (ndimage.distance_transform_edt(inside.numpy()) - 0.5)
        off = np.abs(after.depth[0, 0].numpy() - distance)[inside.numpy() > 0] / MILLIMETRES
        assert off.mean() < 0.4 and off.max() < 1.5
        zooms.append(zoom)
        turns.append(np.arctan2(matrix[1, 0], matrix[0, 0]))
        mirrored += np.linalg.det(matrix) < 0
    assert min(zooms) < 0.85 and 1.15 < max(zooms) and 0.8 <= min(zooms) <= max(zooms) <= 1.2501
    assert np.ptp(turns) > 5 and 10 < mirrored < 30


def test_a_mask_that_fills_its_canvas_grows_no_longer() -> None:
    """It is made smaller to be turned, and nothing is carried on beyond the old canvas."""
    place = torch.arange(40, dtype=torch.float64) - 19.5
    full = Examples.joined([
        examples_of(told.expand(3, 40, 40), torch.ones((40, 40), dtype=torch.float64))
        for told in (place[:, None], place[None, :])])
    for seed in range(10):
        after = STIFF.augmented(full, [seed, seed])
        matrix = affine_of(after.values[:, 1], after.inside[0, 0])
        area = 1600 / abs(np.linalg.det(matrix))
        assert float(after.inside[0].sum()) == pytest.approx(area, rel=0.03)
        assert area < 1590


def test_places_on_the_canvas() -> None:
    """The box starts at the top left, or a little further down and across."""
    starts = []
    for seed in range(20):
        inside = replace(MOVING, shift=6.0).augmented(a_heart(), [seed]).inside[0, 0]
        starts.append([int(inside.any(axis).to(torch.uint8).argmax()) for axis in (1, 0)])
    assert np.min(starts) == 0 and 4 <= np.max(starts) <= 6 + 2 * 3
    inside = replace(STIFF, shift=0.0).augmented(a_heart(), [3]).inside[0, 0]
    assert inside[:2].any() and inside[:, :2].any()


@pytest.mark.parametrize(("size", "radius", "middle"), [(64, 31.0, 31.5), (64, 20.0, 42.5)])
def test_hearts_stay_on_their_canvas(size: int, radius: float, middle: float) -> None:
    """Where a heart meets the border it ends: nothing deep lies there."""
    hearts = repeated(a_heart(size, radius, middle), 40)
    after = replace(MOVING, zoom=0.5).augmented(hearts, range(40))
    for edge in (after.depth[..., 0], after.depth[..., -1], after.depth[..., 0, :],
                 after.depth[..., -1, :]):
        assert edge.max() < 1.5 * MILLIMETRES
    assert not (after.inside == hearts.inside).flatten(1).all(1).any()


def test_bending_is_smooth_and_never_folds() -> None:
    """Against the straight map that fits best; the Jacobian of where pixels came from."""
    bent = replace(NOTHING, elastic=MOST_ELASTIC)
    furthest = 0.0
    for seed in range(40):
        after = bent.augmented(a_place_map(), [seed, seed])
        inside = ndimage.binary_erosion(after.inside[0, 0].numpy() > 0, iterations=2)
        rows, columns = after.values[:, 1].numpy()
        along, across = np.gradient(rows), np.gradient(columns)
        jacobian = along[0] * across[1] - along[1] * across[0]
        assert jacobian[inside].min() > 0.1
        y, x = np.nonzero(inside)
        off = np.stack([rows[inside] - y, columns[inside] - x])
        furthest = max(furthest, np.abs(off - off.mean(1, keepdims=True)).max())
    assert 1.0 < furthest < 2 * MOST_ELASTIC and MOST_ELASTIC < SMOOTHNESS


def test_sequences_stray_from_the_anatomy_and_lge_stays() -> None:
    """Places told by each sequence, beside those of the same anatomy without straying."""
    furthest = 0.0
    for seed in range(30):
        straight = replace(MOVING, elastic=0.0, misalignment=0.0, twist=0.0)
        places = repeated(a_place_map(), 1)
        still = straight.augmented(places, [seed, seed])
        strayed = replace(straight, misalignment=1.5).augmented(places, [seed, seed])
        assert torch.equal(still.inside, strayed.inside)
        torch.testing.assert_close(strayed.values[:, 1], still.values[:, 1], atol=1e-5, rtol=0)
        core = ndimage.binary_erosion(still.inside[0, 0].numpy() > 0, iterations=5)
        for sequence in (0, 2):
            off = (strayed.values - still.values)[:, sequence].numpy()[:, core]
            assert off.std(1).max() < 1e-3  # a shift, the same everywhere
            furthest = max(furthest, float(np.hypot(*off.mean(1))))
            assert np.hypot(*off.mean(1)) <= 1.5 + 1e-3
    assert furthest > 1.0


@pytest.mark.parametrize(("present", "stays"), [((1, 1, 1), 1), ((1, 0, 1), 0), ((0, 0, 1), 2)])
def test_the_sequence_of_the_mask_never_strays(present: tuple[int, ...], stays: int) -> None:
    places = a_place_map()
    there = torch.tensor(present, dtype=torch.float64).expand(2, 3)
    places = replace(places, present=there, values=places.values * there[:, :, None, None])
    strays = replace(NOTHING, misalignment=2.0, twist=5.0).augmented(places, [3, 3])
    moved = (strays.values - places.values).abs().amax((0, 2, 3))
    assert [m for m in range(3) if moved[m] > 0.1] == [
        m for m in range(3) if present[m] and m != stays]


def test_nothing_outside_the_mask_mixes_in() -> None:
    """A flat heart stays flat to its edge, however far a sequence strays."""
    _, _, depth = a_disc(64, 22.0, 25.0)
    flat = repeated(examples_of(torch.full((3, 64, 64), 5.0, dtype=torch.float64), depth), 12)
    after = replace(MOVING, misalignment=3.0, twist=8.0).augmented(flat, range(12))
    inside = after.inside.expand(-1, 3, -1, -1) > 0
    torch.testing.assert_close(after.values[inside], torch.full_like(after.values[inside], 5.0),
                               atol=1e-9, rtol=0)
    assert (after.values[~inside] == 0).all() and (after.depth * (1 - after.inside) == 0).all()


def test_labels_and_teacher_go_with_the_anatomy() -> None:
    hearts = repeated(a_heart(), 12)
    after = MOVING.augmented(hearts, range(12))
    assert after.labels is not None and after.teacher is not None
    inside = after.inside[:, 0] > 0
    torch.testing.assert_close(after.teacher.sum(1), after.inside[:, 0], atol=1e-5, rtol=0)
    assert (after.labels[~inside] == -1).all()
    assert (after.labels[inside] == -1).float().mean() < 0.01
    known = after.labels >= 0
    agree = (after.teacher.argmax(1) == after.labels)[known].float().mean()
    assert agree > 0.97
    # on LGE, which never strays, scar is still what is bright in the wall
    scar, wall = after.labels == 3, after.labels == 1
    assert after.values[:, 1][scar].mean() > 0.4 and after.values[:, 1][wall].mean() < -0.5


def test_a_teacher_silent_on_some_pixels_stays_so() -> None:
    heart = a_heart()
    assert heart.teacher is not None
    silent = replace(heart, teacher=heart.teacher * (heart.labels == 0)[:, None], labels=None)
    after = STIFF.augmented(silent, [2])
    said = after.teacher.sum(1)
    assert after.labels is None and said.max() <= 1 + 1e-5
    assert float((said > 0.5).sum() / (after.inside > 0).sum()) == pytest.approx(
        float((heart.labels == 0).sum() / heart.inside.sum()), rel=0.03)
