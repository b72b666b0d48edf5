"""`deepgmm train`, used as people use it: a folder of cases in, a model folder out."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from small_trainings import small, some_examples
from study_files import options, save_cases

from deepgmm.cli.main import main
from deepgmm.errors import InputError
from deepgmm.model.architectures import build
from deepgmm.model.learning import Examples
from deepgmm.reading.studies.case_folders import Layout
from deepgmm.reading.studies.labelled import LabelledCase, find_labelled
from deepgmm.training.augmentation import Augmentation
from deepgmm.training.examples import make_examples
from deepgmm.training.familiar import LEAST_SD, familiar_of
from deepgmm.training.loop import _Run
from deepgmm.training.settings import TrainingSettings
from deepgmm.training.sharing import check_apart, split, with_fewer_labels
from deepgmm.weights.card import Learning
from deepgmm.weights.folder import load_network

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

KINDS = ("--lge-kind", "magnitude", "--t2-kind", "dark-blood")
#: A network and a training of seconds.
SMALL = (*KINDS, "--filters", 4, "--levels", 1, "--convolutions", 1, "--steps", 8, "--batch", 2,
         "--validate-every", 4, "--checkpoint-every", 3, "--device", "cpu", "--no-augmentation")
UNTAUGHT = (*SMALL, "--teacher-weight", 0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients, of whom three have labels."""
    return save_cases(tmp_path_factory.mktemp("cases"), 5, 3)


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


# The whole way

def test_a_folder_of_cases_becomes_a_network_that_segments(
        cases: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "My Network"
    assert run("train", cases, "-o", folder, *SMALL) == 0
    said = capsys.readouterr()
    assert {p.name for p in folder.iterdir()} == {
        "network.safetensors", "card.json", "curves.png", "trace.jsonl", "tensorboard"}
    _, card = load_network(folder)
    assert (card.name, card.learning) == ("my-network", Learning.PARTLY)
    assert (card.labelled_cases.priors, card.labelled_cases.loss, card.labelled_cases.tuning) \
        == (10, 2, 1)
    found = {case.key: case for case in find_labelled(cases)}
    assert set(card.training["cases"]) | set(card.training["validation_cases"]) == set(found)
    assert len(card.training["validation_cases"]) == 1
    assert card.training["settings"]["filters"] == 4
    assert set(card.familiar) == {"bssfp+lge+t2"}
    assert "partly labelled" in said.out and f"--model {folder}" in said.out
    assert "Dice in validation" in said.out
    (steps, whole), = re.findall(r"; (\d+) s of training, (\d+) s with reading and writing\n",
                                 said.out)
    assert int(steps) <= int(whole)
    assert said.err.splitlines() == [
        "warning: fewer than 8 cases: with so few, the network's warning of studies unlike those "
        "it was trained on cannot be relied on"]
    text = (folder / "card.json").read_text() + (folder / "trace.jsonl").read_text()
    assert str(tmp_path) not in text and '"p0"' not in text

    inputs = options({role: cases / "p4" / f"{role}.nii.gz" for role in ("bssfp", "lge", "t2",
                                                                        "mask")})
    assert run("segment", *inputs, *KINDS, "--method", "pretrained", "--model", folder,
               "--labelmap", tmp_path / "o.nii.gz", "-q") == 0
    assert (tmp_path / "o.nii.gz").stat().st_size > 0


def test_what_no_label_entered_is_called_so(cases: Path, tmp_path: Path, capsys,
                                            monkeypatch) -> None:
    """Weight 0 keeps labels out of loss and choice; they are shown, in the validation's Dice.
    Where nobody watches a terminal a line now and then says how far it is."""
    monkeypatch.setattr("deepgmm.cli.train_command.LINE_EVERY", 0.0)
    assert run("train", cases, "-o", tmp_path / "net", *SMALL, "--label-weight", 0,
               "--json") == 0
    said = capsys.readouterr()
    assert re.search(r"^0 %: reading case 1 of 5$", said.err, re.MULTILINE)
    assert re.search(r"^100 %: step 8 of 8, loss .*$", said.err, re.MULTILINE)
    card = json.loads(said.out)
    assert card["learning"] == "unsupervised with contrast priors"
    assert (card["labelled_cases"]["loss"], card["labelled_cases"]["tuning"]) == (0, 0)
    assert "dice" in card["scores"]["validation"]
    assert card == json.loads((tmp_path / "net" / "card.json").read_text())


def test_slices_are_varied_and_sequences_left_out(cases, tmp_path, monkeypatch) -> None:
    seen: list[float] = []

    def varied(self: Augmentation, examples: Examples, seeds: Sequence[int]) -> Examples:
        seen.extend([self.missing] * len(seeds))
        return examples

    monkeypatch.setattr(Augmentation, "augmented", varied)
    asked = [word for word in UNTAUGHT if word != "--no-augmentation"]
    assert run("train", cases, "-o", tmp_path / "net", *asked, "--missing", 0.25, "-q") == 0
    assert seen == [0.25] * 16
    card = load_network(tmp_path / "net")[1]
    assert card.training["augmentation"]["missing"] == 0.25
    assert {"bssfp+lge+t2", "lge"} <= set(card.familiar)


def test_labels_of_phantoms_make_a_synthetic_supervised_network(
        cases: Path, tmp_path: Path) -> None:
    shutil.copytree(cases, tmp_path / "phantoms")
    for case in (tmp_path / "phantoms").iterdir():
        (case / "phantom.json").write_text('{"kinds": {"lge": "lge-magnitude"}}')
    assert run("train", tmp_path / "phantoms", "-o", tmp_path / "net", *UNTAUGHT, "-q") == 0
    assert load_network(tmp_path / "net")[1].learning is Learning.SYNTHETIC


def test_priors_and_validation_of_ones_own(cases: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(cases / "p0", tmp_path / "train" / "p0")
    shutil.copytree(cases / "p3", tmp_path / "train" / "p3")
    shutil.copytree(cases / "p1", tmp_path / "check" / "p1")
    priors = tmp_path / "mu of Jane.json"
    assert run("priors", cases, "-o", priors, *KINDS, "-q") == 0
    assert run("train", tmp_path / "train", "-o", tmp_path / "net", *UNTAUGHT, "--priors", priors,
               "--validation-folder", tmp_path / "check", "-q") == 0
    text = (tmp_path / "net" / "card.json").read_text()
    card = json.loads(text)
    assert card["labelled_cases"] == {"priors": 3, "atlas": 0, "loss": 1, "tuning": 1}
    assert card["priors"].startswith("sha256:") and "Jane" not in text
    capsys.readouterr()
    assert run("train", tmp_path / "train", "-o", tmp_path / "other", *UNTAUGHT,
               "--validation-folder", cases) == 2
    assert "the validation cases p0, p3 have the same images" in capsys.readouterr().err


# Interrupted

def interrupted_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes amid a step."""
    descend = _Run._descend_once

    def with_ctrl_c(self: _Run) -> None:
        if self.step == step - 1:
            os.kill(os.getpid(), signal.SIGINT)
        descend(self)

    monkeypatch.setattr(_Run, "_descend_once", with_ctrl_c)


def test_an_interrupted_training_goes_on(cases: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert run("train", cases, "-o", tmp_path / "whole", *UNTAUGHT, "-q") == 0
    folder = tmp_path / "net"
    with monkeypatch.context() as patch:
        interrupted_at(5, patch)
        assert run("train", cases, "-o", folder, *UNTAUGHT, "-q") == 130
    assert "interrupted at step 5 of 8; the same command with --resume goes on from step 5" \
        in capsys.readouterr().err
    assert run("train", cases, "-o", folder, *UNTAUGHT) == 2
    assert "not empty: go on with --resume" in capsys.readouterr().err
    assert run("train", cases, "-o", folder, "--resume", "--steps", 9) == 2
    assert "had another --steps" in capsys.readouterr().err
    # neither all options nor none of them need be said again
    assert run("train", cases, "-o", folder, *KINDS, "--steps", 8, "--resume", "-q") == 0
    torch.set_num_threads(threads)
    assert (folder / "network.safetensors").read_bytes() == (
        tmp_path / "whole" / "network.safetensors").read_bytes()
    assert (folder / "trace.jsonl").read_text() == (
        tmp_path / "whole" / "trace.jsonl").read_text()
    assert run("train", cases, "-o", folder, "--resume") == 2
    assert "has ended: there is nothing to resume" in capsys.readouterr().err


def test_force_begins_anew(cases: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "net"
    with monkeypatch.context() as patch:
        interrupted_at(5, patch)
        assert run("train", cases, "-o", folder, *UNTAUGHT, "-q") == 130
    assert (folder / "checkpoints").is_dir()
    assert run("train", cases, "-o", folder, *UNTAUGHT, "--seed", 2, "--force", "-q") == 0
    assert load_network(folder)[1].training["settings"]["seed"] == 2
    assert not (folder / "checkpoints").exists()


# What cannot be

def test_without_the_extra_the_packages_are_named(cases, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert run("train", cases, "-o", tmp_path / "net") == 2
    said = capsys.readouterr().err
    assert ("-m pip install 'monai>=1.5' 'einops>=0.7' 'lightning-fabric>=2.2' 'tensorboardX>=2.6'"
            in said)
    assert not (tmp_path / "net").exists()


def test_all_bad_cases_are_listed_and_nothing_is_begun(cases, tmp_path, capsys) -> None:
    shutil.copytree(cases, tmp_path / "cases")
    (tmp_path / "cases" / "p1" / "mask.nii.gz").unlink()
    (tmp_path / "cases" / "p3" / "t2.nii.gz").write_bytes(b"no image")
    assert run("train", tmp_path / "cases", "-o", tmp_path / "net", *UNTAUGHT) == 2
    said = capsys.readouterr().err
    assert "p1: no LV mask" in said and "p3: " in said and len(said.splitlines()) == 1
    assert not (tmp_path / "net" / "network.safetensors").exists()


@pytest.mark.parametrize(("words", "said"), [
    (["--resume"], "holds no checkpoint to go on from"),
    (["--steps", 0], "steps is 0: give a whole number from 1"),
    (["--network", "vnet"], "no network is called 'vnet'"),
    (["--priors", "none.json"], "contrast priors file does not exist"),
    (["--likelihood-weight", 0, "--teacher-weight", 0, "--label-weight", 0], "nothing to learn"),
])
def test_what_cannot_be_is_said_in_one_line(cases, tmp_path, capsys, words, said: str) -> None:
    assert run("train", cases, "-o", tmp_path / "net", *words) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(("words", "said"), [
    (("--device", "cuda"), "no CUDA device was found: use the device cpu or auto"),
    (("--device", "cpu", "--precision", "bfloat16"), "bfloat16 is for CUDA devices"),
])
def test_a_device_that_is_not_there_is_said_before_the_cases_are_read(
        tmp_path, monkeypatch, capsys, words, said: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    unread = tmp_path / "no such folder"  # which would be refused as well, later
    assert run("train", unread, "-o", tmp_path / "net", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize("names", [("p3", "p4"), ("p0", "p1")], ids=["no labels", "none used"])
def test_cross_entropy_needs_a_label(cases: Path, tmp_path: Path, capsys, names) -> None:
    for name in names:
        shutil.copytree(cases / name, tmp_path / "cases" / name)
    assert run("train", tmp_path / "cases", "-o", tmp_path / "net", *UNTAUGHT,
               "--likelihood-weight", 0, "--labelled", 0) == 2
    assert "no label is used and nothing else" in capsys.readouterr().err


def test_every_setting_has_an_option_that_says_its_default(capsys) -> None:
    run("train", "--help")
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(TrainingSettings):
        name = {"augmentation": "no-augmentation"}.get(field.name, field.name)
        assert f"--{name.replace('_', '-')} " in text, field.name
    assert "Gradient steps. By default 1500." in text


# Who is learned from

def some_cases(count: int, labelled: int) -> list[LabelledCase]:
    return [LabelledCase(f"n{i}", f"{i * 7919 % 10007:016x}", Layout.FILES,
                         {"labels": Path("l")} if i < labelled else {}) for i in range(count)]


def test_patients_are_split_labelled_and_unlabelled_alike() -> None:
    everyone = some_cases(40, 10)
    learned, checked = split(everyone, 0.2, seed=3)
    assert sorted(c.name for c in learned + checked) == sorted(c.name for c in everyone)
    assert (len(checked), sum(c.labelled for c in checked)) == (8, 2)
    again = split([dataclasses.replace(c, name="x" + c.name) for c in everyone[::-1]], 0.2, 3)[1]
    assert {c.key for c in again} == {c.key for c in checked}
    assert {c.key for c in split(everyone, 0.2, seed=4)[1]} != {c.key for c in checked}


@pytest.mark.parametrize(("count", "share", "apart"), [
    (1, 0.5, 0), (2, 0.01, 1), (2, 0.9, 1), (5, 0.0, 0), (3, 0.9, 2)])
def test_of_few_patients_one_at_least_is_learned_from(count, share, apart) -> None:
    learned, checked = split(some_cases(count, count), share, 0)
    assert (len(learned), len(checked)) == (count - apart, apart)


def test_nobody_stands_on_both_sides() -> None:
    everyone = some_cases(4, 4)
    check_apart(everyone[:2], everyone[2:])
    with pytest.raises(InputError, match="validation cases n1 have the same images") as caught:
        check_apart(everyone[:2], everyone[1:3])
    assert caught.value.private == ("n1",)


@pytest.mark.parametrize("by", ["patients", "slices", "pixels"])
def test_a_share_of_the_labels(by: str) -> None:
    examples, owner = some_examples(24), torch.arange(24) // 3
    examples.labels[21:] = -1  # one patient has none

    def known(share: float) -> torch.Tensor:
        return with_fewer_labels(examples, owner, small(labelled=share, labelled_by=by)).labels >= 0

    whole, half, quarter = examples.labels >= 0, known(4 / 7), known(2 / 7)
    assert not (half & ~whole).any() and not (quarter & ~half).any()
    assert not known(0.0).any() and torch.equal(known(1.0), whole)
    if by == "pixels":
        assert half.sum() / whole.sum() == pytest.approx(4 / 7, abs=0.03)
        assert (half.sum((1, 2)) > 0)[:21].all()
    else:
        slices = half.any(2).any(1)
        assert slices.sum() == 12
        assert torch.equal(half, whole & slices[:, None, None])
        of_patient = slices.view(8, 3).sum(1)
        assert (set(of_patient.tolist()) == {0, 3}) == (by == "patients")


# What is familiar

def test_familiar_are_the_measures_of_each_study(cases: Path) -> None:
    from deepgmm.methods.pretrained import strangeness
    from deepgmm.model.images import read

    examples, owner = make_examples((case.read() for case in find_labelled(cases)), teach=False)
    network = build(small().architecture).eval()
    found = familiar_of(network, examples, owner, temperature=2.0, fewer=True)
    assert set(found) == {"bssfp", "lge", "t2", "bssfp+lge", "bssfp+t2", "lge+t2", "bssfp+lge+t2"}
    own = []
    for number in range(5):
        study = examples.select(owner == number).enlarged(2)
        with torch.no_grad():
            reading = read(study, network(study.channels(), study.inside), temperature=2.0)
        own.append(strangeness(study, reading).nll)
    whole = found["bssfp+lge+t2"]["nll"]
    assert whole["mean"] == pytest.approx(np.mean(own), abs=1e-3)
    assert whole["sd"] == pytest.approx(max(np.std(own, ddof=1), LEAST_SD), abs=1e-3)
    fewer = familiar_of(network, examples, owner, temperature=2.0, fewer=False)
    assert fewer == {"bssfp+lge+t2": found["bssfp+lge+t2"]}


# The page that says how

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "training.md"


def test_every_option_of_the_page_is_there(capsys) -> None:
    known = ""
    for command in ("train", "segment", "phantom"):
        run(command, "--help")
        known += capsys.readouterr().out
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 20
    assert not {o for o in named - {"--nproc-per-node", "--logdir"} if f"{o} " not in known}


def test_the_pages_python_runs(cases: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    shutil.copytree(cases, tmp_path / "cases")
    for case in (tmp_path / "cases").iterdir():
        (case / "phantom.json").write_text('{"kinds": {"lge": "lge-magnitude"}}')
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    exec(code[1].replace("steps=3000", "steps=2, batch=2, filters=4, levels=1, device='cpu', "
                         "augmentation=False"), {})
    assert "synthetic-supervised {'loss'" in capsys.readouterr().out
    load_network(tmp_path / "my-network")
