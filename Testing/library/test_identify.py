"""Which component is which tissue: assignment, physics, priors, absence, obstruction."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from deepgmm import InputError, Kind, Role, Tissue
from deepgmm.identify.absence import EDEMA_ALONE_LEAST, EDEMA_LEAST, Support, support
from deepgmm.identify.assignment import assign
from deepgmm.identify.contrast import FIELDS, SHIPPED, contrast_prior, reanchored
from deepgmm.identify.obstruction import obstructions
from deepgmm.identify.physics import check_physics
from deepgmm.study.words import named_slices

KINDS = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}
TISSUES = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)


# Assignment

def test_shuffled_components_find_their_tissues() -> None:
    prior = contrast_prior(KINDS, TISSUES)
    rng = np.random.default_rng(0)
    for order in itertools.permutations(range(4)):
        shuffled = np.array(order)
        means = (prior.means + rng.normal(0, 0.08, prior.means.shape))[shuffled]
        found = assign(means[None], prior.deviations[shuffled][None] ** 2,
                       prior.weights[shuffled][None], prior)
        assert (shuffled[found[0]] == np.arange(4)).all()


def test_assignment_is_one_to_one_even_for_nonsense() -> None:
    prior = contrast_prior(KINDS, TISSUES)
    means = np.full((1, 4, 3), np.nan)
    found = assign(means, np.ones((1, 4, 3)), np.full((1, 4), 0.25), prior)
    assert sorted(found[0]) == [0, 1, 2, 3]


# Physics

def physics(means: np.ndarray, present: np.ndarray | None = None,
            kinds: dict[Role, Kind] = KINDS) -> list[str]:
    seen = np.ones((len(means), 4), dtype=bool) if present is None else present
    return check_physics(means, kinds, TISSUES, seen, tuple(range(len(means))))


def test_the_priors_themselves_obey_physics() -> None:
    for lge, t2 in itertools.product((k for k in Kind if k.role is Role.LGE),
                                     (k for k in Kind if k.role is Role.T2)):
        kinds = {Role.BSSFP: Kind.BSSFP, Role.LGE: lge, Role.T2: t2}
        assert physics(contrast_prior(kinds, TISSUES).means[None], kinds=kinds) == []


@pytest.mark.parametrize(("role", "pair", "words"), [
    (Role.BSSFP, (0, 1), "blood is not brighter than myocardium on bSSFP"),
    (Role.LGE, (1, 3), "scar is not brighter than myocardium on LGE"),
    (Role.T2, (1, 2), "edema is not brighter than myocardium on T2"),
])
def test_a_contrast_that_cannot_be_is_said_with_its_slice(role: Role, pair: tuple[int, int],
                                                          words: str) -> None:
    means = np.repeat(contrast_prior(KINDS, TISSUES).means[None], 3, 0)
    column = list(Role).index(role)
    means[1, pair[0], column], means[1, pair[1], column] = (means[1, pair[1], column],
                                                            means[1, pair[0], column])
    said = [w for w in physics(means) if w.startswith(words)]
    assert len(said) == 1 and "in slice 1:" in said[0]
    present = np.ones((3, 4), dtype=bool)
    present[1, pair[1]] = False
    assert not [w for w in physics(means, present) if w.startswith(words)], "absent, not judged"


def test_scar_and_blood_are_not_compared_on_ordinary_lge() -> None:
    means = contrast_prior(KINDS, TISSUES).means[None].copy()
    means[0, 0, 1] = means[0, 3, 1] + 1.0
    assert physics(means) == []


def test_slices_in_words() -> None:
    assert named_slices([3]) == "slice 3"
    assert named_slices([0, 1, 2, 5]) == "slices 0-2, 5"


# Priors

def test_every_kind_has_a_shipped_prior_that_says_its_source() -> None:
    names = {k.value for k in Kind if k is not Kind.UNKNOWN} | {f"{r.value}-unknown" for r in Role}
    files = {path.stem: json.loads(path.read_text()) for path in SHIPPED.glob("*.json")}
    assert names <= files.keys()
    for name, content in files.items():
        assert content["kind"] == name and len(content["source"]) > 10 and content["units"]


def test_an_unknown_kind_is_wider() -> None:
    known = contrast_prior(KINDS, TISSUES)
    unknown = contrast_prior(KINDS | {Role.T2: Kind.UNKNOWN}, TISSUES)
    assert (unknown.mean_deviations[:, 2] > known.mean_deviations[:, 2]).all()


def test_the_users_table_is_taken_and_the_rest_shipped(tmp_path: Path) -> None:
    entry = json.loads((SHIPPED / "bssfp.json").read_text())
    entry["tissues"]["blood"]["mean"] = 0.123
    table = tmp_path / "own.json"
    table.write_text(json.dumps({"bssfp": entry}))
    own, shipped = contrast_prior(KINDS, TISSUES, table), contrast_prior(KINDS, TISSUES)
    assert own.means[0, 0] == 0.123
    assert (own.means[:, 1:] == shipped.means[:, 1:]).all()


@pytest.mark.parametrize("damage", ["not json", "[1, 2]", '{"bssfp": {"tissues": {}}}',
                                    "negative"])
def test_a_damaged_table_is_named(tmp_path: Path, damage: str) -> None:
    if damage == "negative":
        entry = json.loads((SHIPPED / "bssfp.json").read_text())
        entry["tissues"]["scar"][FIELDS[1]] = -1
        damage = json.dumps({"bssfp": entry})
    table = tmp_path / "own.json"
    table.write_text(damage)
    with pytest.raises(InputError, match="contrast prior"):
        contrast_prior(KINDS, TISSUES, table)


def test_a_prior_moves_with_the_patients_blood_and_wall() -> None:
    prior = contrast_prior(KINDS, TISSUES)
    blood, muscle = prior.means[0] + 0.1, prior.means[1] + 0.1
    moved = reanchored(prior, KINDS, blood, muscle)
    np.testing.assert_allclose(moved.means, prior.means + 0.1, atol=1e-12)
    wide = reanchored(prior, KINDS, prior.means[0] + (prior.means[0] - prior.means[1]),
                      prior.means[1])
    bssfp, lge = 0, 1
    np.testing.assert_allclose(wide.means[2, bssfp] - wide.means[1, bssfp],
                               2 * (prior.means[2, bssfp] - prior.means[1, bssfp]))
    np.testing.assert_allclose(wide.means[3, lge], prior.means[3, lge])


# Absence

def a_ring(bright: range, level: float, noise: float, seed: int = 0
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sector = np.repeat(np.arange(24), 30)[None]
    values = rng.normal(0, noise, sector.shape) + level * np.isin(sector, list(bright))
    return np.isin(sector, list(bright)), np.ones(sector.shape, bool), values, sector


def test_a_bright_arc_is_supported() -> None:
    found = support(*a_ring(range(4, 10), 1.5, 1.0), sectors=24)
    assert found.share == pytest.approx(6 / 24) and found.contrast > 4
    assert found.suffices(EDEMA_LEAST) and found.suffices(EDEMA_ALONE_LEAST)


def test_an_arc_as_bright_as_the_rest_is_not() -> None:
    assert not support(*a_ring(range(4, 10), 0.0, 1.0), sectors=24).suffices(EDEMA_LEAST)


def test_specks_are_not() -> None:
    _, wall, values, sector = a_ring(range(0), 0.0, 1.0)
    found = support(values > 1.9, wall, values, sector, 24)
    assert found.scattered and not found.suffices(EDEMA_LEAST)


def test_disease_all_around_is_judged_by_its_share() -> None:
    found = support(*a_ring(range(24), 1.0, 1.0), sectors=24)
    assert np.isnan(found.contrast) and found.suffices(EDEMA_LEAST)
    assert not Support(0.01, float("nan")).suffices(EDEMA_LEAST)


# Obstruction

def test_a_dark_island_in_scar_is_found_and_healthy_wall_beside_it_is_not() -> None:
    labels = np.full((1, 40, 40), int(Tissue.MYOCARDIUM), dtype=np.uint8)
    labels[0, :, 30:] = Tissue.BLOOD
    labels[0, 8:30, 12:30] = Tissue.SCAR
    lge = np.where(labels == Tissue.SCAR, 1.0, 0.1)
    labels[0, 14:18, 18:22] = Tissue.EDEMA
    labels[0, 22:25, 26:30] = Tissue.MYOCARDIUM  # at the endocardium
    lge[0, 14:18, 18:22] = lge[0, 22:25, 26:30] = 0.1
    found = obstructions(labels, np.ones(labels.shape, bool), lge, scar_level=0.5)
    expected = np.zeros(labels.shape, bool)
    expected[0, 14:18, 18:22] = expected[0, 22:25, 26:30] = True
    assert (found == expected).all()
    bright = np.where(expected, 0.9, lge)
    assert not obstructions(labels, np.ones(labels.shape, bool), bright, scar_level=0.5).any()


def test_a_file_that_tells_of_no_kind_is_no_table_of_priors(tmp_path) -> None:
    path = tmp_path / "foo.json"
    path.write_text('{"foo": 1}', encoding="utf-8")
    with pytest.raises(InputError, match="foo.json tells of no kind of sequence"):
        contrast_prior({Role.LGE: Kind.LGE_PSIR}, (Tissue.BLOOD, Tissue.MYOCARDIUM), path)


def test_what_smooth_noise_looks_like_by_chance_is_asked_of_edema_alone() -> None:
    """The closed form against draws; a large share no longer suffices for noise."""
    from deepgmm.identify.absence import EDEMA_ALONE_LEAST, Support, by_chance

    drawn = np.sort(np.random.default_rng(0).normal(size=400_000))
    rest, top = np.split(drawn, [300_000])
    assert by_chance(0.25) == pytest.approx((top.mean() - rest.mean()) / rest.std(), rel=0.01)
    noise = Support(0.3, 2.6, chance=by_chance(0.3))
    assert not noise.suffices(EDEMA_ALONE_LEAST)
    assert noise.suffices(EDEMA_ALONE_LEAST | {"smooth": 0.0})
    assert Support(0.3, 4.0, chance=by_chance(0.3)).suffices(EDEMA_ALONE_LEAST)
