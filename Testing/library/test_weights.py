"""Networks as files: they come back as they were, and a failed save loses nothing."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_networks import a_card, a_network, save_small, tensors

from deepgmm.errors import ComputationError, InputError
from deepgmm.model.architecture import Architecture
from deepgmm.model.architectures import build
from deepgmm.weights.card import Card
from deepgmm.weights.folder import load_network, save_network


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# As it was

def test_a_network_comes_back_as_it_was(a_folder: Path) -> None:
    x = torch.randn(2, 8, 16, 16)
    inside = torch.ones(2, 1, 16, 16)
    network, card = load_network(a_folder)
    assert not network.training
    with torch.no_grad():
        assert torch.equal(network(x, inside), a_network()(x, inside))
    expected = a_card()
    for entry in dataclasses.fields(Card):
        if entry.name not in ("versions", "sha256"):
            assert getattr(card, entry.name) == getattr(expected, entry.name), entry.name
    assert card.versions["torch"] == torch.__version__
    assert sorted(p.name for p in a_folder.iterdir()) == ["card.json", "network.safetensors"]


def test_a_card_may_hold_a_temperature_for_a_set_of_sequences() -> None:
    plain, several = a_card(), a_card(
        training={"temperatures": {"bssfp+lge+t2": 4.0}})
    again = Card.from_dict(json.loads(json.dumps(several.as_dict())) | {"sha256": 64 * "0"})
    assert again.temperature_of("bssfp+lge+t2") == 4.0
    assert again.temperature_of("lge") == plain.temperature_of("bssfp+lge+t2") == 2.0


def test_any_safetensors_reader_finds_the_weights(a_folder: Path) -> None:
    found = tensors(a_folder)
    for name, value in a_network().named_parameters():
        assert torch.equal(found[name], value)
    digest = hashlib.sha256((a_folder / "network.safetensors").read_bytes()).hexdigest()
    assert json.loads((a_folder / "card.json").read_text())["sha256"] == digest


def test_a_network_in_double_precision_or_another_layout_is_saved_in_single(
        tmp_path: Path) -> None:
    network = a_network().double().to(memory_format=torch.channels_last)
    save_network(tmp_path / "n", network, a_card())
    loaded, _ = load_network(tmp_path / "n")
    for name, value in loaded.named_parameters():
        assert torch.equal(value, dict(a_network().named_parameters())[name])


@pytest.mark.parametrize("name", ["modified-unet", "swinunetr"])
def test_other_networks_come_back_too(name: str, tmp_path: Path) -> None:
    architecture = Architecture(name, filters=12, levels=1)
    network = build(architecture, seed=2).eval()
    save_network(tmp_path / "n", network, a_card(architecture=architecture))
    loaded, _ = load_network(tmp_path / "n")
    x, inside = torch.randn(1, 8, 64, 64), torch.ones(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x, inside), network(x, inside))


def test_the_weights_file_can_be_given_and_everything_may_be_a_link(
        a_folder: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for file in a_folder.iterdir():
        (links / file.name).symlink_to(file)
    (tmp_path / "linked").symlink_to(a_folder)
    for path in (links, tmp_path / "linked", links / "network.safetensors"):
        assert load_network(path)[1].name == "small"
    os.rename(a_folder / "network.safetensors", a_folder / "other name.safetensors")
    assert load_network(a_folder / "other name.safetensors")[1].name == "small"


# Saving

def test_saving_again_replaces_both_and_touches_nothing_else(a_folder: Path) -> None:
    (a_folder / "curves.png").write_bytes(b"curves")
    save_network(a_folder, a_network(seed=9), a_card("newer"))
    network, card = load_network(a_folder)
    assert card.name == "newer"
    assert torch.equal(network.head.weight, a_network(seed=9).head.weight)
    assert sorted(contents(a_folder)) == ["card.json", "curves.png", "network.safetensors"]


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    network = a_network()
    with torch.no_grad():
        network.head.bias[1] = torch.nan
    with pytest.raises(ComputationError, match="'head.bias' are not all finite"):
        save_network(tmp_path / "n", network, a_card())
    with pytest.raises(ComputationError, match="not those of the architecture"):
        save_network(tmp_path / "n", build(Architecture()), a_card())
    with pytest.raises(ComputationError, match="a number on its card is not finite"):
        save_network(tmp_path / "n", a_network(), a_card(scores={"dice": float("nan")}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("older", [True, False], ids=["with an older network", "without"])
def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, older: bool,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    if older:
        save_small(tmp_path / "n")
    before = contents(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("deepgmm.files.os.fsync", full)
    with pytest.raises(InputError, match="network cannot be written: the disk is full"):
        save_network(tmp_path / "n", a_network(seed=9), a_card())
    assert contents(tmp_path) == before
    assert (tmp_path / "n").exists() == older


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    """For real: the system lets no file grow beyond 4 kB."""
    code = ("import resource, sys; from small_networks import save_small; "
            "from deepgmm.errors import InputError; from pathlib import Path\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
            "try: save_small(Path(sys.argv[1]))\n"
            "except InputError as error: print(error)")
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, tmp_path / "n"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])})
    assert "the network cannot be written" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_while_saving_loses_nothing(a_folder: Path, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two renames."""
    before = contents(tmp_path)
    rename = os.replace
    for folder in (a_folder, tmp_path / "new"):
        calls = iter([rename, None])

        def interrupted(*paths: str, calls=calls) -> None:
            call = next(calls, rename)
            if call is None:
                raise KeyboardInterrupt
            call(*paths)
        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save_network(folder, a_network(seed=9), a_card())
        assert next(calls, "used up") == "used up"
    assert contents(tmp_path) == before and not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file has that name"):
        save_small(tmp_path / "file")
    with pytest.raises(InputError, match="folder cannot be written"):
        save_small(tmp_path / "none" / "n")
