"""Slices varied for training: each by its seed alone, each strength its own thing."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from scipy import ndimage
from small_hearts import NOTHING, STIFF, a_disc, a_heart, examples_of, repeated
from torch import Tensor

from deepgmm.model.learning import Examples
from deepgmm.study.words import TISSUES_BY_ROLES, Role, Tissue
from deepgmm.training.augmentation import SMOOTHNESS, Augmentation

pytest.importorskip("monai")


def same(one: Examples, other: Examples) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


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
            if before is None:
                assert value is None
                continue
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
