"""A training that begins with the weights of another network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_trainings import small, trained
from study_files import save_cases

from deepgmm.cli.main import main
from deepgmm.errors import InputError
from deepgmm.model.architectures import build
from deepgmm.reading.studies.labelled import LabelledCase, find_labelled
from deepgmm.training.train import Made, train
from deepgmm.weights.card import Learning, read_card
from deepgmm.weights.folder import load_network

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

KINDS = ("--lge-kind", "magnitude", "--t2-kind", "dark-blood")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients, of whom two have labels."""
    return save_cases(tmp_path_factory.mktemp("cases"), 4, 2)


def made(cases: list[LabelledCase], folder: Path, **settings: object) -> Made:
    folder.mkdir()
    found = train(cases, small(steps=2, batch=2, validation=0.0, augmentation=False, **settings),
                  folder)
    assert found is not None
    return found


def test_the_first_step_is_one_of_the_given_network(tmp_path: Path) -> None:
    start = build(small().architecture, seed=5)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    settings = small(steps=1, learning_rate=1e-4)
    done = trained(tmp_path / "one", settings, start=start)
    again = trained(tmp_path / "two", settings, start=start)
    other = trained(tmp_path / "three", settings)
    for name, value in done.network.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=2e-3, rtol=0)
        assert torch.equal(value, again.network.state_dict()[name])
    assert any((value - other.network.state_dict()[name]).abs().max() > 0.01
               for name, value in done.network.state_dict().items())
    assert all(torch.equal(value, start.state_dict()[name]) for name, value in before.items())


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another architecture"):
        trained(tmp_path / "m", small(filters=8), start=build(small().architecture))


def test_an_interrupted_training_goes_on_where_it_stood_and_not_at_the_start(
        tmp_path: Path) -> None:
    from deepgmm.errors import Cancelled
    from deepgmm.training import checkpoints

    start, settings = build(small().architecture, seed=5), small(steps=6, checkpoint_every=2)
    whole = trained(tmp_path / "whole", settings, start=start)

    def stop(fraction: float, stage: str) -> None:
        if fraction > 0.5:
            raise Cancelled("enough")
    with pytest.raises(Cancelled):
        trained(tmp_path / "part", settings, start=start, progress=stop)
    found = checkpoints.newest(tmp_path / "part", print)
    resumed = trained(tmp_path / "part", settings, start=start, resume=found)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])


def test_the_card_counts_what_the_first_network_learned_from(cases: Path, tmp_path: Path) -> None:
    found = find_labelled(cases)
    labelled, bare = found[:2], found[2:]
    first = made(labelled, tmp_path / "first", teacher_weight=0.0)
    made(bare, tmp_path / "second", start=str(tmp_path / "first"))
    assert first.card.learning is Learning.PARTLY and first.card.labelled_cases.loss == 2
    card = read_card(tmp_path / "second" / "card.json")
    assert card.learning is Learning.PARTLY and card.labelled_cases.loss == 2
    assert card.training["began_with"]["sha256"] == first.card.sha256
    assert card.learned_cases() == {case.key for case in found}
    assert card.training["settings"]["start"] == "first"
    assert str(tmp_path) not in (tmp_path / "second" / "card.json").read_text()


def test_synthetic_labels_are_not_forgotten(cases: Path, tmp_path: Path) -> None:
    shipped = read_card(load_shipped() / "card.json")
    settings = {name: value for name, value in shipped.architecture.as_dict().items()
                if name in ("filters", "levels", "convolutions")}
    card = made(find_labelled(cases)[2:3], tmp_path / "mine", start="phantom-synthetic",
                around=shipped.architecture.sees_around, teacher_weight=0.0, **settings).card
    assert card.learning is Learning.SYNTHETIC
    assert card.labelled_cases == shipped.labelled_cases


def load_shipped() -> Path:
    from deepgmm.weights.shelf import SHIPPED

    return SHIPPED / "phantom-synthetic"


def test_the_command_takes_the_architecture_over_and_refuses_another(
        cases: Path, tmp_path: Path, capsys) -> None:
    usual = ("--steps", 2, "--batch", 2, "--device", "cpu", "--no-augmentation",
             "--teacher-weight", 0, *KINDS)

    def run(*arguments: object) -> int:
        return main([str(a) for a in ("train", cases, *arguments, *usual)])
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("-o", first, "--filters", 4, "--levels", 1, "--convolutions", 1) == 0
    assert run("-o", second, "--start", first) == 0
    assert load_network(second)[1].architecture == load_network(first)[1].architecture
    capsys.readouterr()
    assert run("-o", tmp_path / "third", "--start", first, "--filters", 8) == 2
    said = capsys.readouterr().err
    assert "another architecture: it has network unet, filters 4, levels 1" in said
    assert run("-o", tmp_path / "third", "--start", "nothing") == 2
    assert "no network of that name" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()
    pickled = tmp_path / "net.pt"
    pickled.write_bytes(b"\x80\x04K\x01.")
    assert run("-o", tmp_path / "third", "--start", pickled) == 2
    began = json.loads((second / "card.json").read_text())["training"]["began_with"]
    assert began["name"] == "first"


def test_a_card_without_beginnings_has_its_own_cases_alone() -> None:
    card = read_card(load_shipped() / "card.json")
    assert card.learned_cases() == set()
    mine = replace(card, training={"cases": ["b", "a"]})
    assert mine.learned_cases() == {"a", "b"}


def test_a_start_that_no_step_betters_is_kept_and_said(tmp_path: Path) -> None:
    from small_trainings import some_examples

    good = trained(tmp_path / "good", small(steps=60, batch=4), validation=some_examples(3, 1))
    spoiled = trained(tmp_path / "worse", small(steps=8, learning_rate=3.0, clip=1e6),
                      start=good.network, validation=some_examples(3, 1))
    assert spoiled.step == 0
    for name, value in spoiled.network.state_dict().items():
        assert torch.equal(value, good.network.state_dict()[name])
    assert spoiled.rows[0]["step"] == 0 and "validation" in spoiled.rows[0]


def test_validation_cases_that_the_start_knows_are_said(cases: Path, tmp_path: Path) -> None:
    found, said = find_labelled(cases)[:2], []
    made(found, tmp_path / "first", teacher_weight=0.0)
    (tmp_path / "second").mkdir()
    train(found[:1], small(steps=1, batch=1, augmentation=False, teacher_weight=0.0,
                           start=str(tmp_path / "first")), tmp_path / "second",
          validation=found[1:], say=said.append)
    assert any("they flatter it" in warning for warning in said)
