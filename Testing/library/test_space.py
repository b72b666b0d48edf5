"""The ventricle's geometry: coordinates, the ring, the field, sector states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from deepgmm.model.batch import PixelBatch
from deepgmm.model.chain import ring_marginals
from deepgmm.model.endocardium import Endocardium, WallPrior
from deepgmm.model.field import free_energy, sweep
from deepgmm.model.sectors import SectorPrior, SectorStates
from deepgmm.model.ventricle import Ventricle
from deepgmm.study.coordinates import box_of, ventricle_coordinates
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role


def a_round_study(radius_mm: float = 30.0, spacing: tuple[float, float] = (1.5, 1.0)) -> Study:
    """A disc on a grid whose pixels are wider than high: (column, row) spacing in mm."""
    y, x = np.mgrid[:80, :60]
    disc = np.hypot((y - 40) * spacing[1], (x - 30) * spacing[0]) <= radius_mm
    image = np.zeros((2, 80, 60))
    return Study({Role.BSSFP: Sequence(Role.BSSFP, image)}, np.stack([disc, disc]),
                 Geometry(spacing=(*spacing, 8.0)))


def packed(study: Study) -> tuple[PixelBatch, Ventricle, np.ndarray]:
    coordinates = ventricle_coordinates(study, study.slices)

    def pack(grid: np.ndarray) -> torch.Tensor:
        return PixelBatch.from_images(grid[:, None], study.mask).values[..., 0]
    batch = PixelBatch.from_images(study.images, study.mask)
    ventricle = Ventricle.of(batch, pack(coordinates.depth), pack(coordinates.angle), sectors=24)
    y, x = np.mgrid[:80, :60]
    r = np.hypot((y - 40) * 1.0, (x - 30) * 1.5)
    return batch, ventricle, pack(np.stack([r, r])).numpy()


def test_the_box_of_a_mask_stays_within_the_image() -> None:
    image = np.arange(48).reshape(6, 8)
    mask = np.zeros((6, 8), bool)
    mask[1, 4] = mask[3, 6] = True
    assert image[box_of(mask)].tolist() == image[1:4, 4:7].tolist()
    assert image[box_of(mask, around=1)].tolist() == image[:5, 3:].tolist()
    assert image[box_of(mask, around=9)].tolist() == image.tolist()
    assert image[box_of(np.zeros_like(mask), around=1)].size == 0


def test_depth_and_angle_are_in_millimetres_and_radians() -> None:
    study = a_round_study()
    found = ventricle_coordinates(study, (0, 1))
    y, x = np.mgrid[:80, :60]
    r = np.hypot((y - 40) * 1.0, (x - 30) * 1.5)
    inside = study.mask[0]
    assert np.abs(found.depth[0] - np.maximum(30 - r, 0))[inside].max() < 1.0
    assert found.radius == pytest.approx([30, 30], abs=0.3)
    assert found.angle[0, 40, 40] == pytest.approx(0.0, abs=0.05)
    assert found.angle[0, 60, 30] == pytest.approx(np.pi / 2, abs=0.05)
    study.insertion_points = np.array([[[60.0, 30.0], [np.nan, np.nan]]] * 2)
    assert ventricle_coordinates(study, (0,)).angle[0, 60, 30] == pytest.approx(0, abs=0.05)


def test_ring_marginals_equal_enumeration() -> None:
    generator = torch.Generator().manual_seed(0)
    unary = torch.randn((2, 5, 3), generator=generator, dtype=torch.float64)
    pair = torch.randn((3, 3), generator=generator, dtype=torch.float64)
    marginals, log_partition = ring_marginals(unary, pair)
    for s in range(2):
        total, by_node = 0.0, np.zeros((5, 3))
        for z in itertools.product(range(3), repeat=5):
            score = sum(float(unary[s, a, z[a]] + pair[z[a], z[(a + 1) % 5]]) for a in range(5))
            weight = np.exp(score)
            total += weight
            for a in range(5):
                by_node[a, z[a]] += weight
        assert float(log_partition[s]) == pytest.approx(np.log(total), abs=1e-10)
        np.testing.assert_allclose(marginals[s], by_node / total, atol=1e-12)


def test_the_wall_is_found_where_the_pixels_say_it_ends() -> None:
    batch, ventricle, r = packed(a_round_study())
    evidence = torch.as_tensor(np.where(r > 21, 2.0, -2.0))
    wall = Endocardium(ventricle, batch.valid, WallPrior())
    wall.update(evidence, torch.zeros_like(evidence))
    in_wall = wall.in_wall
    assert wall.thickness.numpy() == pytest.approx(9.0, abs=1.0)
    inside = batch.valid.numpy() > 0
    labels = (in_wall.numpy() > 0.5)[inside]
    assert (labels == (r > 21)[inside]).mean() > 0.97
    assert float((in_wall * (1 - batch.valid)).abs().max()) == 0


def test_papillary_muscle_does_not_dent_the_contour() -> None:
    """A dark island against the endocardium stays in the pool: the ring is smooth."""
    batch, ventricle, r = packed(a_round_study())
    island = (ventricle.sector == 3).numpy() & (r > 15) & (r <= 21)
    evidence = torch.as_tensor(np.where((r > 21) | island, 2.0, -2.0))
    wall = Endocardium(ventricle, batch.valid, WallPrior())
    wall.update(evidence, torch.zeros_like(evidence))
    assert (wall.in_wall.numpy()[island] < 0.5).mean() > 0.7


def test_the_field_never_raises_its_free_energy() -> None:
    batch, ventricle, _ = packed(a_round_study())
    generator = torch.Generator().manual_seed(0)
    potential = torch.randn((*batch.values.shape[:2], 3), generator=generator, dtype=torch.float64)
    presence = torch.rand(batch.values.shape[:2], generator=generator, dtype=torch.float64)
    compatibility = torch.tensor([[2.0, 0.5, -1], [0.5, 2, 0.3], [-1, 0.3, 2]]).double()
    q = torch.softmax(torch.randn(potential.shape, generator=generator, dtype=torch.float64), 2)
    energy = [free_energy(ventricle, potential, q, compatibility, presence, batch.valid)]
    for _ in range(20):
        q = sweep(ventricle, potential, q, compatibility, presence)
        energy.append(free_energy(ventricle, potential, q, compatibility, presence, batch.valid))
    drops = torch.stack(energy).diff(dim=0)
    assert float(drops.max()) <= 1e-9
    assert float(drops[0].max()) < 0


def test_updating_all_sites_at_once_can_raise_the_free_energy() -> None:
    """Why the chequerboard is there: the parallel update of the same field is no descent."""
    from deepgmm.model.field import messages

    batch, ventricle, _ = packed(a_round_study())
    potential = torch.zeros((*batch.values.shape[:2], 2), dtype=torch.float64)
    against = torch.tensor([[-3.0, 3.0], [3.0, -3.0]], dtype=torch.float64)
    q = torch.softmax(torch.randn(potential.shape, generator=torch.Generator().manual_seed(0),
                                  dtype=torch.float64), 2)
    ones, rises = batch.valid, []
    before = free_energy(ventricle, potential, q, -against, ones, batch.valid)
    for _ in range(10):
        q = torch.softmax(potential + messages(ventricle, q, -against, ones), 2)
        after = free_energy(ventricle, potential, q, -against, ones, batch.valid)
        rises.append(float((after - before).max()))
        before = after
    assert max(rises) > 1e-9


def test_neighbours_are_the_four_next_pixels_inside_the_mask() -> None:
    batch, ventricle, _ = packed(a_round_study())
    place = batch.rows * 1000 + batch.columns
    steps = torch.tensor([-1000, 1000, -1, 1])
    found = place[0][ventricle.neighbours[0]]
    touching = ventricle.touching[0] > 0
    assert torch.equal(found[touching], (place[0][:, None] + steps)[touching])
    mask = a_round_study().mask[0]
    vertical = 2 * (mask[1:] & mask[:-1]).sum()
    horizontal = 2 * (mask[:, 1:] & mask[:, :-1]).sum()
    assert int(touching.sum()) == vertical + horizontal


def test_a_diseased_arc_is_found_and_specks_are_not() -> None:
    batch, ventricle, r = packed(a_round_study())
    tables = torch.tensor([[[0.96, 0.04]] * 2, [[0.2, 0.8]] * 2], dtype=torch.float64)
    prior = SectorPrior(tables)
    rng = np.random.default_rng(0)
    arc = (ventricle.sector >= 6) & (ventricle.sector < 12)
    speck = torch.as_tensor(rng.random(arc.shape) < 0.04)
    bright = (arc & torch.as_tensor(rng.random(arc.shape) < 0.85)) | speck
    density = torch.where(bright[..., None], torch.tensor([-2.0, 0.0]),
                          torch.tensor([0.0, -2.0])).double()
    wall = torch.as_tensor(r > 21).double() * batch.valid
    tables = prior.tissue_tables(torch.zeros_like(ventricle.depth))
    states = SectorStates(ventricle, prior, density)
    states.update(torch.logsumexp(tables.log() + density[:, :, None], 3), wall)
    diseased = states.q[:, :, 1] > 0.5
    truth = torch.zeros_like(diseased)
    truth[:, 6:12] = True
    assert torch.equal(diseased, truth)


def test_without_evidence_sectors_keep_their_prior_burden() -> None:
    batch, ventricle, _ = packed(a_round_study())
    prior = SectorPrior(torch.full((2, 2, 2), 0.5, dtype=torch.float64), burden=0.2, across=0.0)
    states = SectorStates(ventricle, prior, batch.values)
    assert states.q[..., 1].numpy() == pytest.approx(0.2, abs=1e-3)
    states.update(torch.zeros((*batch.valid.shape, 2), dtype=torch.float64), batch.valid)
    assert states.q[..., 1].numpy() == pytest.approx(0.2, abs=1e-3)
    assert float(states.energy().abs().max()) < 1e-9


@pytest.mark.parametrize("across", [0.0, 2.0])
def test_each_ring_lowers_its_part_of_the_objective(across: float) -> None:
    """With slices tied too: every other one moves at a time."""
    batch, ventricle, r = packed(a_round_study())
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(r.shape, generator=generator, dtype=torch.float64)
    evidence = torch.as_tensor(np.where(r > 21, 1.0, -1.0)) + 3 * noise
    wall = Endocardium(ventricle, batch.valid, WallPrior(across=across))
    tables = torch.tensor([[[0.9, 0.1]] * 2, [[0.2, 0.8]] * 2], dtype=torch.float64)
    states = SectorStates(ventricle, SectorPrior(tables, across=across / 2), batch.values)
    log_state = torch.randn((*r.shape, 2), generator=generator, dtype=torch.float64)
    falls = []
    for _ in range(6):
        states.update(log_state, batch.valid)
        wall.update(evidence, torch.zeros_like(evidence))
        data = -(wall.in_wall * evidence).sum()
        by_state = -(ventricle.from_sector(states.q) * log_state * batch.valid[..., None]).sum()
        falls.append([float(data + wall.energy().sum()), float(by_state + states.energy().sum())])
    changes = np.diff(falls, axis=0)
    assert changes.max() <= 1e-9
    if across:
        assert (changes[0] < -1e-6).all(), "the tie moves the second update"


def test_a_given_wall_tells_the_relative_depth() -> None:
    study = a_round_study()
    y, x = np.mgrid[:80, :60]
    r = np.hypot((y - 40) * 1.0, (x - 30) * 1.5)
    study.wall = study.mask & (r > 20)[None]
    found = ventricle_coordinates(study, (0, 1)).relative
    assert found is not None
    wall = study.wall[0]
    assert np.abs(found[0] - np.clip((30 - r) / 10, 0, 1))[wall].max() < 0.12
    assert (found[0][study.mask[0] & ~wall] > 0.9).all()
