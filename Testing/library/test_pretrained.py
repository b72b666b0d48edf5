"""`--method pretrained`: one forward pass of a network, read through a mixture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import SMALL, a_card, save_small
from torch import nn

from deepgmm import InputError, Settings, segment
from deepgmm.files import sha256
from deepgmm.methods import Problem, pretrained
from deepgmm.methods.network_input import images_of, logits_of
from deepgmm.model.architectures import build
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.review.metrics import dice, mean_of
from deepgmm.segment import prepared, segment_many
from deepgmm.study.study import Geometry, Study, case_key
from deepgmm.study.words import FOUR_TISSUES, Kind, Role, Tissue
from deepgmm.weights.folder import load_network, save_network
from deepgmm.weights.shelf import find


@pytest.fixture(scope="module")
def a_patient() -> PhantomPatient:
    return make_patient(101, slices=3)


@pytest.fixture(scope="module")
def a_network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With random weights: what it says matters to no test that uses it."""
    return str(save_small(tmp_path_factory.mktemp("networks") / "small"))


def mean_dice(labels: np.ndarray, truth: np.ndarray) -> float:
    return mean_of(dice(labels[i] == t, truth[i] == t)
                   for t in FOUR_TISSUES for i in range(len(truth))).value


def using(model: str, **other: object) -> Settings:
    return Settings(method="pretrained", model=model, device="cpu", **other)


class Knowing(nn.Module):
    """Says the truth, wrong on single pixels unless it is sure: a stand-in for a network."""

    multiple = 1

    def __init__(self, patient: PhantomPatient, sure: float = 2.5) -> None:
        super().__init__()
        self.patient, self.sure = patient, sure

    def forward(self, channels: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        truth = self.patient.truth
        logits = torch.zeros((len(truth), 4, *inside.shape[2:]))
        generator = torch.Generator().manual_seed(0)
        for i, labels in enumerate(truth):
            rows, columns = np.nonzero(self.patient.study.mask[i])
            noisy = torch.randn((4, len(rows)), generator=generator)
            noisy[labels[rows, columns].astype(int) - 1, torch.arange(len(rows))] += self.sure
            logits[i][:, rows - rows.min(), columns - columns.min()] = noisy
        return logits


def know(monkeypatch: pytest.MonkeyPatch, patient: PhantomPatient, sure: float = 2.5,
         **card: object) -> None:
    monkeypatch.setattr(pretrained, "loaded",
                        lambda problem: (Knowing(patient, sure), a_card(**card), False))


def test_the_shipped_network_finds_the_tissues() -> None:
    scores = []
    for seed in range(103, 107):
        patient = make_patient(seed, patient_set="typical")
        result = segment(patient.study, using(""))
        scores.append(mean_dice(result.labels, patient.truth))
        assert result.provenance["network"]["sha256"]
    assert np.mean(scores) > 0.86 and min(scores) > 0.75
    healthy = make_patient(101, patient_set="healthy", slices=3)
    result = segment(healthy.study, using(""))
    assert set(np.unique(result.labels)) == {0, Tissue.BLOOD, Tissue.MYOCARDIUM}
    assert any("no scar was found" in warning for warning in result.warnings)


def test_the_shipped_network_is_small_and_says_how_it_came_about() -> None:
    folder = find("")
    _, card = load_network(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
    assert card.training["command"].startswith("python Benchmarks/make_network.py")
    entered = card.labelled_cases.loss > 0
    assert entered == (card.learning.value == "synthetic-supervised")


def test_the_result_says_which_network_it_is_from(a_patient: PhantomPatient,
                                                  a_network: str) -> None:
    result = segment(a_patient.study, using(a_network))
    network = result.provenance["network"]
    assert network["name"] == "small" and network["learning"] == "synthetic-supervised"
    assert len(network["sha256"]) == 64
    inside = a_patient.study.mask
    np.testing.assert_allclose(result.posterior.sum(1)[inside], 1, atol=1e-5)
    assert ((result.labels > 0) == inside).all()
    assert not result.posterior.sum(1)[~inside].any()


def test_many_studies_at_once_are_as_one_by_one(a_patient: PhantomPatient,
                                                a_network: str) -> None:
    studies = [a_patient.study, make_patient(105, slices=2).study]
    for together, study in zip(segment_many(studies, using(a_network)), studies, strict=True):
        alone = segment(study, using(a_network))
        np.testing.assert_array_equal(together.labels, alone.labels)
        np.testing.assert_allclose([f.nll for f in together.fits],
                                   [f.nll for f in alone.fits], rtol=1e-5)


def test_the_posterior_corrects_a_network_by_the_intensities(
        a_patient: PhantomPatient, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, a_patient)
    case = prepared(a_patient.study, using(""))
    images = images_of(case)
    bare = pretrained.answers(Knowing(a_patient), Problem((case,)), images).argmax(1)
    truth = np.stack([np.pad(t, 8) for t in a_patient.truth])
    wrong_alone = mean_of((bare[i].numpy()[images.inside[i, 0] > 0]
                           != truth[i][np.pad(m, 8)].astype(int) - 1).mean()
                          for i, m in enumerate(a_patient.study.mask)).value
    result = segment(a_patient.study, using(""))
    inside = a_patient.study.mask
    wrong_read = (result.labels[inside] != a_patient.truth[inside]).mean()
    assert wrong_read < 0.75 * wrong_alone


def test_a_disease_of_which_too_little_is_found_is_reported_absent(
        monkeypatch: pytest.MonkeyPatch) -> None:
    patient = make_patient(102, patient_set="healthy", slices=2)
    truth = patient.truth.copy()
    rows, columns = np.nonzero(truth[0] == Tissue.MYOCARDIUM)
    truth[0, rows[:12], columns[:12]] = Tissue.SCAR
    know(monkeypatch, replace(patient, truth=truth), sure=9.0)
    result = segment(patient.study, using(""))
    assert not (result.labels == Tissue.SCAR).any()
    assert any("no scar was found" in warning for warning in result.warnings)
    assert not result.posterior[:, result.tissues.index(Tissue.SCAR)].any()


def test_adapting_mends_what_a_network_misses(a_patient: PhantomPatient,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, a_patient)
    before = mean_dice(segment(a_patient.study, using("")).labels, a_patient.truth)
    after = segment(a_patient.study, using("", adapt=10))
    assert mean_dice(after.labels, a_patient.truth) > before
    assert all(2 <= fit.iterations <= 10 for fit in after.fits)
    settled = segment(a_patient.study, using("", adapt=1000))
    assert all(2 <= fit.iterations < 1000 for fit in settled.fits), "what was run, not the most"


@pytest.mark.parametrize("roles", [{Role.BSSFP}, {Role.LGE}, {Role.BSSFP, Role.T2}])
def test_fewer_sequences(roles: set[Role], a_network: str) -> None:
    patient = make_patient(103, slices=2)
    study = Study({r: s for r, s in patient.study.sequences.items() if r in roles},
                  patient.study.mask, patient.study.geometry)
    result = segment(study, using(a_network, adapt=2))
    assert result.tissues == study.tissues
    assert set(np.unique(result.labels)) <= {0, *result.tissues}
    assert any("was not trained on" in warning for warning in result.warnings)


@pytest.mark.parametrize("pixel", [0.7, 2.6])
def test_pixels_of_another_size_are_brought_to_the_network_s(
        pixel: float, a_patient: PhantomPatient, a_network: str) -> None:
    study = replace(a_patient.study, geometry=Geometry((pixel, pixel, 8.0)))
    result = segment(study, using(a_network))
    assert ((result.labels > 0) == study.mask).all()
    network, _ = load_network(a_network)
    images = images_of(prepared(study, using(a_network)))
    with torch.no_grad():
        there = logits_of(network, images, pixel)
        usual = logits_of(network, images, 1.3)
    assert there.shape == usual.shape
    assert not torch.allclose(there, usual)


def test_a_study_unlike_those_of_the_training_raises_an_alarm(
        a_patient: PhantomPatient, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"nll": {"mean": 1.0, "sd": 0.5}, "contrast": {"mean": 0.5, "sd": 0.3}}
    know(monkeypatch, a_patient, familiar={"bssfp+lge+t2": known})

    def alarms(study: Study) -> list[str]:
        return [w for w in segment(study, using("")).warnings if "looks unlike" in w]
    assert not alarms(a_patient.study)
    lge = a_patient.study.sequences[Role.LGE]
    values = lge.values.max() - lge.values
    odd = replace(a_patient.study, sequences=a_patient.study.sequences | {
        Role.LGE: replace(lge, values=values)})
    strict = {"nll": {"mean": 0.2, "sd": 0.05}}
    know(monkeypatch, a_patient, familiar={"bssfp+lge+t2": strict})
    assert alarms(a_patient.study)
    know(monkeypatch, a_patient, familiar={"bssfp+lge+t2": {"contrast": known["contrast"]}})
    assert alarms(odd)


def test_kinds_change_the_prior_and_not_the_network(a_network: str) -> None:
    patient = make_patient(104, slices=2)
    t2 = patient.study.sequences[Role.T2]
    study = replace(patient.study, sequences=patient.study.sequences | {
        Role.T2: replace(t2, kind=Kind.UNKNOWN)})
    one, two = (prepared(s, using(a_network)) for s in (patient.study, study))
    assert torch.equal(images_of(one).channels(), images_of(two).channels())
    assert not torch.equal(images_of(one).means, images_of(two).means)


def test_a_network_that_is_not_there(a_patient: PhantomPatient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no network of that name"):
        segment(a_patient.study, using("nobody-made-this"))
    save_network(tmp_path / "broken", build(SMALL), a_card("broken"))
    weights = tmp_path / "broken" / "network.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        segment(a_patient.study, using(str(tmp_path / "broken")))


def test_a_study_of_the_training_and_other_priors_are_said(
        a_patient: PhantomPatient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = replace(a_patient.study, hashes={"bssfp": "1" * 64, "lge": "2" * 64, "mask": "3" * 64})

    def said(**settings: object) -> str:
        return " ".join(segment(study, using("", **settings)).warnings)
    know(monkeypatch, a_patient, training={"cases": [case_key(study.hashes)]})
    assert "was trained on this study" in said()
    know(monkeypatch, a_patient, training={"cases": ["0" * 16]})
    assert "was trained on this study" not in said()
    own = tmp_path / "mu_data.json"
    own.write_text('{"lge-psir": {}}', encoding="utf-8")
    assert "other contrast priors" in said(priors=str(own))
    know(monkeypatch, a_patient, priors=f"sha256:{sha256(own)}")
    assert "other contrast priors" not in said(priors=str(own))
    assert "other contrast priors" in said()


def test_a_wall_that_was_given_is_kept(a_patient: PhantomPatient, a_network: str) -> None:
    study = replace(a_patient.study, wall=a_patient.wall)
    for adapt in (0, 3):
        result = segment(study, using(a_network, adapt=adapt))
        assert ((result.labels == Tissue.BLOOD) == (study.mask & ~study.wall)).all()


def test_a_network_that_has_changed_is_read_again(a_patient: PhantomPatient,
                                                  tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    save_network(folder, build(SMALL, seed=1), a_card("ours"))
    before = segment(a_patient.study, using(str(folder)))
    again = segment(a_patient.study, using(str(folder)))
    save_network(folder, build(SMALL, seed=2), a_card("ours"))
    after = segment(a_patient.study, using(str(folder)))
    assert (before.labels == again.labels).all()
    assert before.provenance["network"]["sha256"] != after.provenance["network"]["sha256"]
    assert (before.labels != after.labels).any()


def test_only_the_shipped_network_s_volumes_have_intervals(a_patient: PhantomPatient,
                                                           a_network: str) -> None:
    ours, shipped = (segment(a_patient.study, using(model)) for model in (a_network, ""))
    assert all(np.isnan(ours.volume_interval(Tissue.BLOOD)))
    low, high = shipped.volume_interval(Tissue.BLOOD)
    assert low < shipped.volume(Tissue.BLOOD) < high


def test_auto_uses_a_network_that_was_named(a_patient: PhantomPatient, a_network: str) -> None:
    named = segment(a_patient.study, Settings(model=a_network, device="cpu"))
    assert named.provenance["method"] == "pretrained" and named.provenance["map_rounds"] == 0
    automatic = segment(a_patient.study).provenance
    assert automatic["method"] == "pretrained" and automatic["map_rounds"] == 12
    assert automatic["settings"]["adapt"] == 0
    alone = replace(a_patient.study, sequences={
        Role.T2: a_patient.study.sequences[Role.T2]})
    assert segment(alone).provenance["method"] == "map"
