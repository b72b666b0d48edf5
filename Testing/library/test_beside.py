"""Slices beside a drawn one: what the network is shown of them, and what becomes of its answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_propose import cone

from deepgmm import InputError, propose_mask
from deepgmm.jobs.tasks import correct_request, proposed
from deepgmm.model.beside import INPUTS, PLACES, BesideNet, folded
from deepgmm.phantom import make_patient
from deepgmm.propose.beside import MOST, OFFSETS, looks_of, shown, shown_beside
from deepgmm.propose.correcting import corrected
from deepgmm.propose.following import ERROR, curve_of, followed
from deepgmm.propose.network import BESIDE, CARD, SHIPPED, WEIGHTS, load, save
from deepgmm.propose.rings import ANGLES, Ring, ring_of_mask
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role


def trained() -> BesideNet:
    """As one is after training: its normalisation has seen something."""
    torch.manual_seed(0)
    network = BesideNet(learns=True)
    torch.nn.init.normal_(network.head.weight)
    for _ in range(3):
        network(torch.randn(4, INPUTS, ANGLES, PLACES))
    return network.eval()


def test_a_folded_network_is_the_same_function_and_turns_with_the_slice():
    network, given = trained(), torch.randn(2, INPUTS, ANGLES, PLACES)
    with torch.no_grad():
        said = network(given)
        assert said.shape == (2, ANGLES) and float(said.std()) > 0.1
        assert torch.allclose(folded(network)(given), said, atol=1e-4)
        assert torch.allclose(network(given.roll(6, 2)), said.roll(6, 1), atol=1e-4)


def test_it_comes_back_from_its_file_and_a_damaged_one_is_refused(tmp_path):
    network = folded(trained())
    card = save(tmp_path, network, {"learning": "none"})
    again, read = load(tmp_path)
    given = torch.randn(1, INPUTS, ANGLES, PLACES)
    with torch.no_grad():
        assert read == card and torch.allclose(again(given), network(given), atol=0.05)
    other = tmp_path / "other"  # the card of one network beside the weights of another
    other.mkdir()
    (other / CARD).write_bytes((BESIDE / CARD).read_bytes())
    (other / WEIGHTS).write_bytes((SHIPPED / WEIGHTS).read_bytes())
    with pytest.raises(InputError, match="missing or damaged"):
        load(other)


def circles(radii: list[float]) -> tuple[Study, dict[int, Ring]]:
    """Bright discs on a dark ground, and their borders."""
    shape, spacing, centre = (len(radii), 90, 92), (1.4, 1.3), np.array([60.0, 61.0])
    rings = {i: Ring(centre, np.full(ANGLES, r), np.full(ANGLES, r - 8)) for i, r in
             enumerate(radii)}
    values = np.stack([ring.filled(shape[1:], spacing) for ring in rings.values()])
    # a border of one value would be taken for padding
    values = values + np.random.default_rng(0).uniform(0.0, 0.01, values.shape)
    return Study({Role.LGE: Sequence(Role.LGE, values.astype(np.float32))},
                 np.zeros(shape, bool), Geometry((spacing[1], spacing[0], 10.0))), rings


def test_slices_are_shown_along_their_own_borders():
    study, rings = circles([26.0, 32.0, 36.0])
    inside = study.sequences[Role.LGE].values.round()
    looks = looks_of(study, inside, rings)
    curves = {i: curve_of(ring.points()) for i, ring in rings.items()}
    hand, expected = curves[1] + 0, curves[0] + 0
    hand[2] += 3.0  # drawn 3 mm outside of the disc
    given = shown(looks, curves, np.full(3, 0.94), (1, hand), (0, expected))
    assert given.shape == (1, INPUTS, ANGLES, PLACES)
    here, there = given[0, 1], given[0, 0]
    assert (there[:, OFFSETS < -3] > 0).all() and (there[:, OFFSETS > 3] < 0).all()
    assert (here[:, OFFSETS < -6] > 0).all() and (here[:, OFFSETS > 0] < 0).all()
    assert not given[0, 2].any()  # no slice lies beyond the first
    assert np.allclose(given[0, 11], -3 / 4, atol=0.1)  # the border proposed lay 3 mm inside


@pytest.fixture(scope="module")
def patient():
    return make_patient(7, slices=4)


@pytest.fixture(scope="module")
def found(patient):
    return propose_mask(patient.study)


def habitual(mask: np.ndarray, spacing: tuple[float, float]) -> Ring:
    """As somebody draws who always stays 2.5 mm outside."""
    ring = ring_of_mask(mask, spacing)
    return replace(ring, outer=ring.outer + 2.5)


def test_neighbours_that_are_looked_at_follow_better_than_by_the_borders_alone(patient, found):
    geometry = patient.study.geometry
    spacing = (geometry.spacing[1], geometry.spacing[0])
    off = {"looked at": [], "borders alone": []}
    for i in found.rings:
        drawn = habitual(patient.truth[i] > 0, spacing).filled(found.mask.shape[1:], spacing)
        for how, one in (("looked at", found), ("borders alone", replace(found, looks=None))):
            new = corrected(one, geometry, fixed={i: drawn})
            assert (new.mask[i] == drawn).all()
            for j in {i - 1, i + 1} & set(found.rings):
                true = habitual(patient.truth[j] > 0, spacing)
                off[how].append(np.abs(new.rings[j].about(true.centre).outer - true.outer).mean())
    assert np.mean(off["looked at"]) < 0.9 * np.mean(off["borders alone"])


def test_what_is_looked_at_travels_with_a_proposal(patient, found):
    again = proposed(*correct_request(found, patient.study.geometry))
    for name in ("images", "inside", "first"):
        assert (getattr(again.looks, name) == getattr(found.looks, name)).all()


def test_a_slice_two_away_is_looked_at_too(patient, found):
    drawn = {1: patient.truth[1] > 0}
    columns = []
    for by in (-2, 0, 2):  # pixels of 2 mm
        images = found.looks.images.copy()
        images[:, 3] = np.roll(images[:, 3], by, -1)
        new = corrected(replace(found, looks=replace(found.looks, images=images)),
                        patient.study.geometry, fixed=drawn)
        columns.append(new.rings[3].points().mean(0)[1])
    assert columns[0] < columns[1] - 0.3 < columns[2] - 0.6


def test_no_image_moves_a_border_farther_than_was_learned(found, monkeypatch):
    curves = {i: curve_of(ring.points()) for i, ring in found.rings.items()}
    for mm, wanted in ((2.0, 2.0), (-9.0, -MOST)):
        monkeypatch.setattr("deepgmm.propose.beside._asked",
                            lambda given, mm=mm: np.full((len(given), ANGLES), mm))
        told = shown_beside(found.looks, curves, found.overlap, {1: curves[1]}, curves)
        assert sorted(told) == [0, 2]
        assert all(told[j][2] - curves[j][2] == pytest.approx(wanted, abs=0.02) for j in told)


def test_nothing_is_asked_where_nothing_was_proposed_or_all_is_drawn(found):
    curves = {i: curve_of(ring.points()) for i, ring in found.rings.items()}
    assert shown_beside(found.looks, curves, found.overlap, curves, curves) == {}
    assert shown_beside(found.looks, {}, found.overlap, {1: curves[1]}, curves) == {}


def test_an_end_that_was_drawn_far_off_is_followed_less_than_in_proportion():
    curves = {i: np.array([60.0, 61.0, r] + [0.0] * (len(ERROR) - 3))
              for i, r in enumerate((28.0, 30.0, 31.0, 32.0, 32.0))}

    def beside(at: int, by: float) -> float:
        hand = curves[at].copy()
        hand[2] += by
        return float(followed(curves, np.full(5, 0.94), 10.0, {at: hand})[1][2])
    # in the middle a slice beside goes along in proportion
    assert beside(2, 0.0) - beside(2, -12.0) == pytest.approx(
        6 * (beside(2, 0.0) - beside(2, -2.0)), rel=1e-6)
    assert 0 < beside(0, 0.0) - beside(0, -12.0) < 3 * (beside(0, 0.0) - beside(0, -2.0))


def test_what_an_image_shows_is_followed_and_passed_on():
    curves = {i: np.array([60.0, 61.0, 32.0] + [0.0] * (len(ERROR) - 3)) for i in range(5)}
    shown_there = curves[3].copy()
    shown_there[2] -= 4.0
    new = followed(curves, np.full(5, 0.94), 10.0, {2: curves[2]}, told={3: shown_there})
    by = [float(32.0 - new[i][2]) for i in range(5)]
    assert by[2] == 0 and 2.5 < by[3] < 4.0 and 0.3 < by[4] < by[3] and abs(by[0]) < 0.3


def test_a_slice_drawn_elsewhere_is_followed_and_makes_unsure():
    found, geometry, spacing = cone([26, 26, 26])
    aside, near = (np.roll(found.mask[1], round(mm / spacing[1]), 1) for mm in (30, 6))
    new, usual = (corrected(found, geometry, fixed={1: one}) for one in (aside, near))
    assert any("slice 1 hardly lies where" in w for w in new.warnings)
    assert not any("hardly" in w for w in usual.warnings)
    assert (new.mask[1] == aside).all() and max(new.confidence[[0, 2]]) <= 0.5
    assert min(usual.confidence[[0, 2]]) > 0.5


def test_what_is_no_mask_is_not_taken_as_one():
    found, geometry, _ = cone([26, 26, 26])
    holed = np.where(found.mask[1], 1.0, np.nan)
    image = np.full(found.mask.shape[1:], 3.0)
    for fixed, why in (({1: holed}, "no numbers"), ({0: image, 1: image}, "not an image"),
                       ({"1": found.mask[1]}, "by their index"), (found.mask, "by their index")):
        with pytest.raises(InputError, match=why):
            corrected(found, geometry, fixed=fixed)
