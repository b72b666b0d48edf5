"""Which settings act on which runs: the table against what a phantom's result says."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest

from deepgmm import segment
from deepgmm.acting import (
    ACTS_ON,
    NOT_IN_PAPER,
    method_in_words,
    method_run,
    rounds_asked,
    settings_read,
)
from deepgmm.methods import networks, paper
from deepgmm.phantom import make_patient
from deepgmm.settings import Method, Settings
from deepgmm.study.study import Study
from deepgmm.study.words import Role

#: Another value of every setting in the table but `model`, which needs a second network.
OTHER = {"preset": "paper", "seed": 7, "restarts": 1, "covariance": "full", "papillary": "wall",
         "degrees": 4.0, "outlier": 0.05, "mean_weight": 3.0, "total_variation": 0.2, "adapt": 3,
         "keep_mvo": True}

#: The shipped network finds no obstruction in this patient that could be kept apart.
UNSEEN = {"pretrained": {"keep_mvo"}, "auto": {"keep_mvo"}}


@pytest.fixture(scope="module")
def a_study() -> Study:
    return make_patient(100, slices=2).study


@pytest.fixture
def short_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of one patient as small and short as they can be: what they read is asked, not
    how well they do."""
    plans = {preset: dataclasses.replace(plan, rounds=tuple((n, 2) for n, _ in plan.rounds),
                                         steps=2) for preset, plan in networks.PLANS.items()}
    monkeypatch.setattr(networks, "PLANS", plans)
    monkeypatch.setattr(paper, "STEPS", 2)
    monkeypatch.setattr(paper, "CROP", 64)
    monkeypatch.setattr(paper, "DeepOptions",
                        partial(paper.DeepOptions, shape=networks.FAST_SHAPE))


def assert_the_table_holds(study: Study, base: dict) -> None:
    plain = segment(study, Settings(**base))

    def moved_by(change: dict) -> bool:
        other = segment(study, Settings(**(base | change)))
        return bool((plain.labels != other.labels).any()
                    or (plain.posterior != other.posterior).any())

    read = settings_read(Settings(**base))
    unread = {name: value for name, value in OTHER.items() if name not in read}
    assert not moved_by(unread), sorted(unread)
    for name in OTHER.keys() & read - UNSEEN.get(base["method"], set()):
        if OTHER[name] != base.get(name):
            assert moved_by({name: OTHER[name]}), name


@pytest.mark.parametrize("preset", ["fast", "paper"])
@pytest.mark.parametrize("method", list(Method))
def test_a_setting_changes_the_result_where_the_table_says_so_and_nowhere_else(
        a_study: Study, short_fits: None, method: Method, preset: str) -> None:
    assert_the_table_holds(a_study, {"method": method.value, "preset": preset})


@pytest.mark.parametrize("tissues", [["myocardium", "scar"], ["blood", "scar"]])
@pytest.mark.parametrize("method", ["map", "pretrained", "deepsvg"])
def test_so_it_is_where_not_all_tissues_are_sought(
        a_study: Study, short_fits: None, method: str, tissues: list[str]) -> None:
    assert_the_table_holds(a_study, {"method": method, "tissues": tissues})


def test_a_network_that_was_named_is_what_automatic_runs() -> None:
    named = Settings(model="ours")
    assert method_run(named, [Role.BSSFP]) == Method.PRETRAINED
    assert settings_read(named) == settings_read(Settings(method=Method.PRETRAINED))
    assert "model" not in settings_read(Settings()), "none was named"


@pytest.mark.parametrize("roles, settings, method", [
    ([Role.BSSFP], {}, Method.PRETRAINED), ([Role.BSSFP, Role.T2], {}, Method.MAP),
    ([Role.T2], {}, Method.MAP), ([Role.BSSFP], {"papillary": "wall"}, Method.MAP),
    ([Role.LGE], {}, Method.PRETRAINED), (list(Role), {}, Method.PRETRAINED),
    (list(Role), {"priors": "mine.json"}, Method.MAP),
    (list(Role), {"papillary": "wall"}, Method.MAP),
    (list(Role), {"tissues": ["blood", "myocardium"]}, Method.PRETRAINED),
    (list(Role), {"tissues": ["myocardium", "scar"]}, Method.MAP),
    ([Role.LGE], {"method": "map"}, Method.MAP)])
def test_automatic_is_the_network_where_it_reads_better_and_heeds_all_that_is_asked(
        roles: list[Role], settings: dict, method: Method) -> None:
    assert method_run(Settings(**settings), roles) == method


@pytest.mark.parametrize("settings, rounds", [
    ({}, 12), ({"adapt": 3}, 12), ({"method": "pretrained"}, 0),
    ({"method": "pretrained", "adapt": 3}, 3), ({"model": "mine"}, 0),
    ({"method": "pretrained", "adapt": 3, "tissues": ["blood", "scar"]}, 0)])
def test_the_rounds_after_the_network_are_those_asked_for(settings: dict, rounds: int) -> None:
    assert rounds_asked(Settings(**settings)) == rounds


@pytest.mark.parametrize("said, words", [
    ({"settings": {"method": "auto"}, "method": "pretrained", "map_rounds": 12},
     "auto: pretrained, up to 12 rounds of map"),
    ({"settings": {"method": "pretrained"}, "method": "pretrained", "map_rounds": 0},
     "pretrained"),
    ({"settings": {"method": "auto"}, "method": "map"}, "auto: map"),
    ({"settings": {"method": "map"}}, "map"), ({}, ""), ({"settings": [1]}, "")])
def test_a_result_says_in_words_what_was_asked_and_what_ran(said: dict, words: str) -> None:
    assert method_in_words(said) == words


def test_the_table_speaks_of_settings_and_this_test_of_all_of_them() -> None:
    assert ACTS_ON.keys() <= {f.name for f in dataclasses.fields(Settings)}
    assert ACTS_ON.keys() - {"model"} == OTHER.keys()
    assert all(set(methods) <= set(ACTS_ON[name]) for name, methods in NOT_IN_PAPER.items())
