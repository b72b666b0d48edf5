"""Slices varied for training: what moves moves together, and by its seed alone."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from deepgmm.model.learning import Examples
from deepgmm.study.words import TISSUES_BY_ROLES, Role, Tissue
from deepgmm.training.augmentation import MOST_ELASTIC, SMOOTHNESS, Augmentation

pytest.importorskip("monai")

MILLIMETRES = 1.5
NOTHING = Augmentation(**{strength.name: 0.0 for strength in fields(Augmentation)})
#: All ways of moving that leave straight lines straight, and no change of intensities.
STIFF = replace(NOTHING, flip=0.5, rotation=180.0, zoom=0.25, shift=4.0)
MOVING = replace(STIFF, elastic=3.0, misalignment=1.5, twist=3.0)


def a_disc(size: int, radius: float, middle: float) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column from its middle, and the distance to its edge, on a square canvas."""
    place = torch.arange(size, dtype=torch.float64) - middle
    rows, columns = torch.meshgrid(place, place, indexing="ij")
    return rows, columns, (radius - torch.hypot(rows, columns)).clamp_min(0)


def examples_of(values: Tensor, depth: Tensor, *, labels: Tensor | None = None,
                teacher: Tensor | None = None) -> Examples:
    """One slice of (M, H, W) values and (H, W) depth, with a prior nobody may touch."""
    inside = (depth > 0).to(values.dtype)
    prior = torch.arange(12, dtype=values.dtype).reshape(1, 4, 3)
    return Examples(
        values=(values * inside)[None], present=torch.ones((1, 3), dtype=values.dtype),
        inside=inside[None, None], depth=MILLIMETRES * depth[None, None],
        sought=torch.ones((1, 4), dtype=values.dtype), means=prior, variances=prior + 1,
        trust=prior + 2, labels=None if labels is None else labels[None],
        teacher=None if teacher is None else (teacher * inside)[None])


def a_heart(size: int = 64, radius: float = 24.0, middle: float = 24.5,
            texture: int = 0) -> Examples:
    """A pool, a wall, an infarct in one sector, noise; labels, and a teacher that knows them."""
    rows, columns, depth = a_disc(size, radius, middle)
    label = torch.where(depth > 8, 0, 1)
    angle = torch.atan2(rows, columns)
    label[(label == 1) & (angle.abs() < 0.9)] = 2
    label[(label == 2) & (angle.abs() < 0.6) & (depth > 3)] = 3
    level = torch.tensor([[0.8, 0.3, -0.4], [-0.7, -0.7, 0.0], [-0.6, -0.5, 0.7],
                          [-0.6, 0.6, 0.7]], dtype=torch.float64)
    noise = torch.randn((3, size, size), dtype=torch.float64,
                        generator=torch.Generator().manual_seed(texture))
    values = level[label].permute(2, 0, 1) + 0.1 * noise
    teacher = torch.nn.functional.one_hot(label, 4).permute(2, 0, 1).to(torch.float64)
    return examples_of(values, depth, teacher=teacher,
                       labels=torch.where(depth > 0, label, -1)).to(torch.float32)


def a_place_map(size: int = 64, radius: float = 20.0) -> Examples:
    """Two slices whose every pixel tells its row, and its column, from the middle of the heart."""
    rows, columns, depth = a_disc(size, radius, radius + 0.5)
    return Examples.joined([examples_of(place.expand(3, -1, -1), depth)
                            for place in (rows, columns)])


def repeated(examples: Examples, times: int) -> Examples:
    return Examples.joined([examples] * times)


def same(one: Examples, other: Examples) -> bool:
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


def affine_of(found: Tensor, inside: Tensor) -> np.ndarray:
    """(2, 2) of the straight map from places of a canvas to the places (2, H, W) told there."""
    core = ndimage.binary_erosion(inside.numpy() > 0, iterations=3)  # nothing was clamped there
    rows, columns = np.nonzero(core)
    told = found.numpy()[:, rows, columns].T
    design = np.stack([rows, columns, np.ones(len(rows))], 1)
    solved = np.linalg.lstsq(design, told, rcond=None)[0]
    assert np.abs(design @ solved - told).max() < 1e-6
    return solved[:2].T


def test_no_strength_no_change() -> None:
    heart = a_heart()
    assert same(NOTHING.augmented(heart, [5]), heart)


def test_a_strength_moves_its_own_thing_only() -> None:
    heart = a_heart()
    light = replace(NOTHING, gain=0.1, gamma=0.15, offset=0.1, bias=0.15, noise=0.1, rician=0.5)
    lit = light.augmented(heart, [5])
    assert not torch.equal(lit.values, heart.values)
    assert same(replace(lit, values=heart.values), heart)
    moved = STIFF.augmented(heart, [5])
    for name in ("means", "variances", "trust", "present", "sought"):
        assert torch.equal(getattr(moved, name), getattr(heart, name))


def test_a_strength_at_zero_moves_no_other() -> None:
    heart = a_heart()
    whole = Augmentation(missing=0.3, gain=0.0).augmented(heart, [8])
    without = Augmentation(missing=0.3, gain=0.0, noise=0.0, bias=0.0).augmented(heart, [8])
    assert torch.equal(whole.inside, without.inside)
    assert torch.equal(whole.present, without.present)
    assert torch.equal(whole.teacher, without.teacher)


def test_a_slice_depends_on_its_seed_alone() -> None:
    """Not on the slices beside it, on their order, or on anyone else's random numbers."""
    hearts = Examples.joined([a_heart(radius=10.0 + i, middle=12.0 + i, texture=i)
                              for i in range(13)])
    seeds = [2**62 + 7 * i for i in range(13)]
    varied = Augmentation(missing=0.3)
    together = varied.augmented(hearts, seeds)
    before = torch.random.get_rng_state()
    for i in (0, 4, 12):
        alone = varied.augmented(hearts.select(torch.tensor([i])), [seeds[i]])
        assert same(alone, together.select(torch.tensor([i])))
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    assert same(varied.augmented(hearts.select(order), [seeds[i] for i in order]),
                together.select(order))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(varied.augmented(hearts, seeds[::-1]).values, together.values)


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


def test_sequences_go_missing_and_tissues_with_them() -> None:
    hearts = repeated(a_heart(), 300)
    after = replace(NOTHING, missing=0.15).augmented(hearts, range(300))
    assert (after.present.sum(1) >= 1).all()
    assert 0.10 < float(1 - after.present.mean()) < 0.20
    assert (after.values * (1 - after.present)[:, :, None, None] == 0).all()
    shown = after.present > 0
    assert torch.equal(after.values[shown], hearts.values[shown])
    seen = set()
    for present, sought in zip(after.present, after.sought):
        roles = frozenset(role for role, there in zip(Role, present) if there)
        told = TISSUES_BY_ROLES[roles]
        assert [bool(there) for there in sought] == [Tissue(k + 1) in told for k in range(4)]
        seen.add(roles)
    assert len(seen) == 7


def test_one_sequence_always_stays_and_no_tissue_comes_back() -> None:
    heart = a_heart()
    heart = replace(heart, present=torch.tensor([[1.0, 1.0, 0.0]]),
                    sought=torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    after = replace(NOTHING, missing=1.0).augmented(repeated(heart, 60), range(60))
    assert (after.present.sum(1) == 1).all() and (after.present[:, 2] == 0).all()
    assert {int(m) for m in after.present.argmax(1)} == {0, 1}
    assert (after.sought == heart.sought).all()


def flat_hearts(level: float, count: int = 200) -> Examples:
    _, _, depth = a_disc(48, 20.0, 21.0)
    values = torch.full((3, 48, 48), level, dtype=torch.float64)
    return repeated(examples_of(values, depth), count)


def spread_and_mean(hearts: Examples) -> tuple[Tensor, Tensor]:
    """(S, M) standard deviation and mean inside the mask."""
    inside = hearts.inside[0, 0] > 0
    return hearts.values[:, :, inside].std(2), hearts.values[:, :, inside].mean(2)


def test_noise_has_its_strength() -> None:
    noisy = replace(NOTHING, noise=0.15)
    sigma, mean = spread_and_mean(noisy.augmented(flat_hearts(-1.0), range(200)))
    assert sigma.max() < 0.16
    assert float(sigma.square().mean()) == pytest.approx(0.15**2 / 3, rel=0.1)
    assert mean.abs().sub(1).abs().max() < 0.02


def test_rician_noise_lifts_what_is_dark_only() -> None:
    magnitude = replace(NOTHING, noise=0.3, rician=1.0)
    lift = {level: float(spread_and_mean(
        magnitude.augmented(flat_hearts(level), range(200)))[1].mean()) - level
        for level in (-1.0, 1.0)}
    assert lift[-1.0] > 0.03 > 0.01 > lift[1.0] > 0.0


def test_gain_offset_and_gamma_stay_within_their_strengths() -> None:
    for level, strength, low, high in (
            (1.0, {"gain": 0.1}, 1 / 1.1, 1.1), (0.0, {"offset": 0.1}, -0.1, 0.1)):
        after = replace(NOTHING, **strength).augmented(flat_hearts(level), range(200))
        spread, mean = spread_and_mean(after)
        assert spread.max() < 1e-9
        assert low <= mean.min() < low + 0.01 and high - 0.01 < mean.max() <= high
    rows, _, depth = a_disc(48, 20.0, 21.0)
    ramp = repeated(examples_of((rows / 20).expand(3, -1, -1), depth), 30)
    curved = replace(NOTHING, gamma=0.15).augmented(ramp, range(30)).values[:, :, 2:41, 21]
    assert (curved.diff(dim=2) > 0).all()  # brighter stays brighter
    straight = ramp.values[:, :, 2:41, 21]
    torch.testing.assert_close(curved[:, :, -1], straight[:, :, -1], atol=0.05, rtol=0)
    assert 0.05 < (curved - straight).abs().max() < 0.2


def test_shading_is_smooth_and_within_its_strength() -> None:
    level = 0.5
    shaded = replace(NOTHING, bias=0.15).augmented(flat_hearts(level), range(200))
    inside = shaded.inside[0, 0] > 0
    off = shaded.values[:, :, inside] - level
    assert off.abs().max() < 0.15 * (level + 1.7)
    assert 0.02 < off.std(2).max() and off.std(2).min() < 0.01
    core = torch.from_numpy(ndimage.binary_erosion(inside.numpy(), iterations=2))[1:-1]
    bend = shaded.values.diff(n=2, dim=2)[:, :, core]
    assert bend.abs().max() < 0.01


def test_a_mask_that_would_be_lost_is_left_as_it_is() -> None:
    """Single pixels, turned, may lie half inside nowhere; an empty mask has nothing to keep."""
    dots, empty = torch.zeros((2, 64, 64))
    dots[::2, 0] = 1.0
    strange = [examples_of(torch.ones((3, 64, 64)), each) for each in (dots, empty)]
    heart = replace(a_heart(), labels=None, teacher=None)
    before = Examples.joined([*strange, heart])
    varied = replace(Augmentation(missing=0.5), zoom=0.0)
    left = 0
    for seed in range(12):
        after = varied.augmented(before, [seed, seed, seed])
        assert torch.isfinite(after.values).all()
        assert same_but_none(after.select(slice(1, 2)), strange[1])
        assert not torch.equal(after.values[2], before.values[2])
        if same_but_none(after.select(slice(0, 1)), strange[0]):
            left += 1
        else:
            assert 2 * after.inside[0].sum() > 0.8 * dots.sum()
    assert 0 < left < 12


def same_but_none(one: Examples, other: Examples) -> bool:
    named = ("values", "present", "inside", "depth", "sought", "means", "variances", "trust")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in named)


def test_everything_at_once_is_finite_and_keeps_its_types() -> None:
    for dtype in (torch.float32, torch.float64):
        hearts = repeated(a_heart().to(dtype), 20)
        after = Augmentation(missing=0.15).augmented(hearts, range(20))
        for f in fields(hearts):
            value, before = getattr(after, f.name), getattr(hearts, f.name)
            assert value.shape == before.shape and value.dtype == before.dtype
            assert torch.isfinite(value).all()
        assert (after.inside.sum((1, 2, 3)) > 0).all() and not after.present.all()
        there = after.inside * after.present[:, :, None, None]
        assert (after.values[there == 0] == 0).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_varies_as_the_processor_does() -> None:
    hearts = repeated(a_heart().to(torch.float64), 8)
    here = Augmentation(missing=0.15).augmented(hearts, range(8))
    there = Augmentation(missing=0.15).augmented(hearts.to(torch.device("cuda")), range(8))
    torch.testing.assert_close(there.values.cpu(), here.values, atol=1e-6, rtol=0)
    assert torch.equal(there.inside.cpu(), here.inside)


@pytest.mark.parametrize(("name", "value"), [
    ("noise", -0.1), ("zoom", float("nan")), ("flip", 1.5), ("missing", 2.0),
    ("elastic", SMOOTHNESS), ("gain", float("inf"))])
def test_what_is_no_strength_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*: give a number from 0"):
        Augmentation(**{name: value})


def test_every_slice_needs_a_seed() -> None:
    with pytest.raises(ValueError, match="2 slices and 1 seeds"):
        Augmentation().augmented(repeated(a_heart(), 2), [1])
