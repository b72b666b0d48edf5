"""Networks that see what lies around the mask and the slices beside."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from deepgmm.methods.network_input import (
    answer_of,
    images_of,
    logits_of,
    margin_of,
    seen_from_all_sides,
)
from deepgmm.model.architecture import INPUTS, INPUTS_AROUND, Architecture
from deepgmm.model.architectures import build
from deepgmm.model.images import REACH
from deepgmm.phantom import make_patient
from deepgmm.segment import prepared, segment
from deepgmm.settings import Settings
from deepgmm.study.checks import check_study
from deepgmm.study.study import Sequence, Study
from deepgmm.study.surroundings import seen_beyond
from deepgmm.study.words import Role, Tissue
from deepgmm.training.examples import make_examples

AROUND = Architecture(inputs=INPUTS_AROUND, filters=4, levels=2)


@pytest.fixture(scope="module")
def a_study() -> Study:
    return make_patient(7, slices=3).study


def changed(study: Study, where: np.ndarray, by: float = 300.0) -> Study:
    """The study with LGE changed somewhere."""
    lge = study.sequences[Role.LGE]
    values = lge.values + by * where
    return replace(study, sequences=study.sequences | {
        Role.LGE: Sequence(Role.LGE, values, lge.kind)})


def answered(study: Study, network: torch.nn.Module) -> np.ndarray:
    case = prepared(study, Settings())
    with torch.no_grad():
        return answer_of(network, INPUTS_AROUND, case, images_of(case)).numpy()


def beyond(mask: np.ndarray, pixels: int) -> np.ndarray:
    """What lies further from the mask than so many rows or columns."""
    from scipy.ndimage import binary_dilation

    return ~binary_dilation(mask, np.ones((1, 2 * pixels + 1, 2 * pixels + 1)))


def test_channels_are_the_slice_its_neighbours_and_the_mask(a_study: Study) -> None:
    case = prepared(a_study, Settings())
    images = images_of(case, margin=REACH + 1)
    channels, field = images.channels(), images.field

    assert channels.shape[1] == AROUND.inputs == INPUTS_AROUND and AROUND.sees_around
    assert torch.equal(channels[:, :3] * images.inside, images.values)
    own, after, before = images.around.chunk(3, 1)
    assert not before[0].any() and not after[2].any()
    assert (own[1] != after[0]).any(), "each slice on the canvas of its own mask"
    assert (channels * (1 - field)).abs().max() == 0
    inside = images.inside > 0
    alone = channels[:, 9:12][inside.expand(-1, 3, -1, -1)]
    assert abs(float(alone.mean())) < 0.05 and abs(float(alone.std()) - 1) < 0.1
    assert Architecture().inputs == INPUTS == images_of(case).channels().shape[1]


def test_the_neighbours_show_the_same_place(a_study: Study) -> None:
    case = prepared(a_study, Settings())
    margin = REACH + 1
    images = images_of(case, margin=margin)
    row, column = (int(v) for v in case.batch.corner[0])
    normalised = case.normalised[0][1]
    height, width = images.canvas
    rows = np.clip(np.arange(row - margin, row - margin + height), 0, normalised.shape[1] - 1)
    columns = np.clip(np.arange(column - margin, column - margin + width), 0,
                      normalised.shape[2] - 1)

    expected = normalised[:, rows[:, None], columns]
    assert np.allclose(images.around[0, 3:6].numpy(), expected, atol=1e-5)


def test_a_slice_left_out_is_nobodys_neighbour(a_study: Study) -> None:
    case = prepared(replace(a_study, excluded={1: "moved"}), Settings())
    images = images_of(case, margin=REACH + 1)

    assert len(images) == 2 and not images.around[:, 3:].any()


def test_what_lies_in_reach_tells_and_what_lies_further_does_not(a_study: Study) -> None:
    network = build(AROUND)
    before = answered(a_study, network)

    near = ~a_study.mask & ~beyond(a_study.mask, REACH)
    far = beyond(a_study.mask.any(0, keepdims=True).repeat(3, 0), REACH + 1)
    assert np.abs(answered(changed(a_study, near), network) - before).max() > 1e-3
    assert np.array_equal(answered(changed(a_study, far), network), before)


def test_other_studies_and_canvases_change_nothing(a_study: Study) -> None:
    network, case = build(AROUND).double(), prepared(a_study, Settings())
    images = images_of(case, torch.float64)
    with torch.no_grad():
        alone = answer_of(network, INPUTS_AROUND, case, images)
        wider = answer_of(network, INPUTS_AROUND, case, images.enlarged(64))

    rows, columns = images.canvas
    assert torch.allclose(wider[..., :rows, :columns], alone, atol=1e-12)


def test_a_heart_turned_has_the_same_answer_turned(a_study: Study) -> None:
    """All looks together do not know apex from base, nor left from right; one alone does."""
    images = images_of(prepared(a_study, Settings()), torch.float64, margin=REACH + 1)
    own, after, before = images.around.chunk(3, 1)
    turned = replace(images, values=images.values.flip(3), inside=images.inside.flip(3),
                     depth=images.depth.flip(3),
                     around=torch.cat([own, before, after], 1).flip(3))
    across = torch.linspace(0, 1, images.canvas[1], dtype=torch.float64)

    def a_network(channels: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        tilt = channels[:, 3:4] - 2 * channels[:, 6:7] + across
        return torch.cat([tilt, -tilt, channels[:, :2]], 1)

    one, other = (seen_from_all_sides(a_network, i, 1.4) for i in (images, turned))
    alone = [logits_of(a_network, i, 1.4) for i in (images, turned)]
    torch.testing.assert_close(one.flip(3), other)
    assert (alone[0].flip(3) - alone[1]).abs().max() > 0.1
    torch.testing.assert_close(one.exp().sum(1), torch.ones_like(one[:, 0]))


@pytest.mark.parametrize("pixel", [0.7, 1.4, 2.2])
def test_the_margin_holds_the_reach_at_the_networks_scale(pixel: float) -> None:
    from deepgmm.methods.network_input import scale_of

    assert margin_of(INPUTS_AROUND, pixel) * scale_of(pixel) >= REACH
    assert margin_of(INPUTS, pixel) == 0


def test_a_mask_at_the_images_border_has_an_answer(a_study: Study) -> None:
    rows, columns = np.nonzero(a_study.mask.any(0))
    crop = (slice(None), slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    tight = replace(a_study, mask=a_study.mask[crop], insertion_points=None, sequences={
        role: Sequence(role, s.values[crop], s.kind) for role, s in a_study.sequences.items()})

    assert np.isfinite(answered(tight, build(AROUND))).all()


def test_examples_for_such_a_network_vary_as_one(a_study: Study) -> None:
    pytest.importorskip("monai")
    from deepgmm.training.augmentation import Augmentation

    still = Augmentation(**dict.fromkeys((f.name for f in fields(Augmentation)), 0.0))
    labels = np.where(a_study.mask, 1, 0).astype(np.uint8)
    examples, _ = make_examples([(a_study, labels)], teach=False, inputs=INPUTS_AROUND)
    turned = Augmentation(noise=0.0, missing=0.0).augmented(examples, [1, 2, 3])

    assert turned.around.shape == examples.around.shape
    own = turned.around[:, :3]
    assert torch.allclose(own * turned.inside, turned.values, atol=1e-6)
    none = Augmentation(missing=1.0).augmented(examples, [1, 2, 3])
    assert ((none.around[:, :3] != 0).any(3).any(2).sum(1) == 1).all(), "one sequence is left"
    flipped = replace(still, flip=1.0).augmented(examples, [1, 2, 3])
    assert not flipped.around[0, 3:6].any() and flipped.around[0, 6:].any(), "the order is turned"


@pytest.mark.parametrize("margin", [0, 2, 4])
def test_an_image_cut_out_along_a_mask_is_not_seen_as_dark_tissue(
        a_study: Study, margin: int) -> None:
    wide = np.stack([binary_dilation(m, iterations=margin) if margin else m
                     for m in a_study.mask])
    lge = a_study.sequences[Role.LGE]
    cut = replace(a_study, warnings=[], sequences={
        Role.LGE: replace(lge, values=np.where(wide, lge.values, 0.0).astype(np.float32))})
    whole = replace(a_study, sequences={Role.LGE: lge})
    images = cut.images
    filled = seen_beyond(images, cut.mask)
    assert np.array_equal(filled[:, 0][wide], images[:, 0][wide])
    assert (filled[:, 0][~wide] > 0).mean() > 0.9  # what was 0 is tissue's now
    assert np.array_equal(seen_beyond(whole.images, whole.mask), whole.images)
    check_study(cut)
    assert any("LGE is blank around the LV mask" in w for w in cut.warnings)
    check_study(whole)
    assert not any("blank around" in w for w in whole.warnings)
    seen, blanked = (segment(s).labels == Tissue.SCAR for s in (whole, cut))
    assert abs(int(seen.sum()) - int(blanked.sum())) < 0.25 * int(seen.sum())
