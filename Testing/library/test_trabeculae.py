"""Pools lined with trabeculae."""

from __future__ import annotations

from dataclasses import replace

import torch
from small_trainings import some_examples

from deepgmm.training.augmentation import Augmentation
from deepgmm.training.trabeculae import trabeculated

DENSE = torch.ones(2, 16, 16)


def lined(examples, most: float = 1.0, width: float = 1.5):
    return trabeculated(examples, torch.full((2,), most), torch.full((2,), width), DENSE)


def test_muscle_enters_the_pool_beside_the_wall_alone() -> None:
    before = some_examples(2)
    after = lined(before)
    blood = before.labels == 0
    changed = (after.values != before.values).any(1)
    assert not changed[~blood].any(), "the wall stays as it is"
    y, x = torch.meshgrid(*(torch.arange(16) - 7.5,) * 2, indexing="ij")
    radius = torch.hypot(x, y).expand(2, -1, -1)
    rim = blood & (radius > 3)
    muscle = before.values[:, 0][before.labels == 1].mean()
    assert (after.values[:, 0][rim].mean() - muscle).abs() < 0.3, "beside the wall it is muscle"
    shift = (after.values - before.values).abs()[:, 0]
    assert shift[blood & (radius < 1.5)].mean() < 0.3 * shift[rim].mean(), "the middle keeps blood"
    assert torch.equal(after.labels, before.labels)


def test_nothing_is_mixed_in_at_strength_zero_or_where_a_sequence_is_absent() -> None:
    examples = some_examples(2)
    assert torch.equal(lined(examples, most=0.0).values, examples.values)
    present = examples.present.clone()
    present[:, 1] = 0
    without = replace(examples, present=present,
                      values=examples.values * present[:, :, None, None])
    assert (lined(without).values[:, 1] == 0).all()


def test_the_teacher_says_where_blood_is_when_nobody_labelled() -> None:
    examples = some_examples(2, labelled=False)
    labelled = some_examples(2)
    torch.testing.assert_close(lined(examples).values, lined(labelled).values)


def test_it_is_part_of_the_augmentation_and_off_by_default() -> None:
    lining = dict.fromkeys(vars(Augmentation()), 0.0) | {"trabeculae": 0.9, "lined": 1.0}
    examples = some_examples(2)
    found = Augmentation(**lining).augmented(examples, [1, 2])
    again = Augmentation(**lining).augmented(examples.select(slice(1, 2)), [2])
    assert not torch.equal(found.values, examples.values)
    torch.testing.assert_close(found.select(slice(1, 2)).values, again.values)
    assert Augmentation().trabeculae == 0


def test_only_some_pools_are_lined() -> None:
    some = Augmentation(**dict.fromkeys(vars(Augmentation()), 0.0)
                        | {"trabeculae": 0.9, "lined": 0.3})
    examples = some_examples(1)
    changed = [not torch.equal(some.augmented(examples, [seed]).values, examples.values)
               for seed in range(60)]
    assert 8 <= sum(changed) <= 30  # 18 are expected, with a standard deviation of 3.5
