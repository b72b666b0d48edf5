"""Damaged and foreign files, pickles and cards that cannot be are taken for no network."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from small_networks import a_card, a_network, change_card, save_small, tensors

from deepgmm.errors import InputError
from deepgmm.model.architecture import Architecture
from deepgmm.model.architectures import build
from deepgmm.weights.card import Card, LabelledCases, Learning, read_card
from deepgmm.weights.folder import load_network, save_network


def rewrite(folder: Path, content: bytes) -> None:
    """Other weights under the same card, whose hash is made to fit, as a forger would."""
    (folder / "network.safetensors").write_bytes(content)
    change_card(folder, lambda values: values.update(
        sha256=hashlib.sha256(content).hexdigest()))


# Damage

@pytest.mark.parametrize("place", [0, 3, 20, 700, -1])
def test_a_flipped_byte_is_found(a_folder: Path, place: int) -> None:
    path = a_folder / "network.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(InputError, match="weights of the network 'small' are damaged"):
        load_network(a_folder)


@pytest.mark.parametrize("length", [0, 5, 100, 1000])
def test_a_truncated_file_is_found_also_by_its_content(a_folder: Path, length: int) -> None:
    content = (a_folder / "network.safetensors").read_bytes()[:length]
    (a_folder / "network.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="are damaged"):
        load_network(a_folder)
    rewrite(a_folder, content)
    with pytest.raises(InputError, match="no safetensors file"):
        load_network(a_folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(a_folder: Path, value: float) -> None:
    weights = tensors(a_folder)
    weights["head.weight"][0, 0] = value
    rewrite(a_folder, safetensors.torch.save(weights))
    with pytest.raises(InputError, match=r"'head.weight' are not all finite"):
        load_network(a_folder)


@pytest.mark.parametrize(("change", "said"), [
    (lambda w: w.update({"head.weight": w["head.weight"][:3]}),
     r"'head.weight' are \(3, 4, 1, 1\) torch.float32, where its card says \(4, 4, 1, 1\)"),
    (lambda w: w.update({"head.bias": w["head.bias"].double()}), "torch.float64, where"),
    (lambda w: w.pop("head.bias"), r"1 names differ, such as 'head.bias'"),
    (lambda w: w.update(more=torch.zeros(1)), r"1 names differ, such as 'more'"),
])
def test_weights_of_another_shape_are_refused(a_folder: Path, change, said: str) -> None:
    weights = tensors(a_folder)
    change(weights)
    rewrite(a_folder, safetensors.torch.save(weights))
    with pytest.raises(InputError, match=said):
        load_network(a_folder)


@pytest.mark.parametrize(("field", "value"), [("filters", 8), ("levels", 3), ("convolutions", 2),
                                              ("name", "modified-unet")])
def test_a_card_that_lies_about_the_architecture_is_found(a_folder: Path, field: str,
                                                          value: Any) -> None:
    change_card(a_folder, lambda values: values["architecture"].update({field: value}))
    with pytest.raises(InputError, match="the network 'small' cannot be used: its weights"):
        load_network(a_folder)


def test_weights_of_another_network_are_found(a_folder: Path) -> None:
    """Same shapes: only the hash can tell."""
    content = safetensors.torch.save(dict(a_network(seed=8).state_dict()))
    (a_folder / "network.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="not those that card.json is about"):
        load_network(a_folder)


def test_a_file_is_no_pickle_for_the_length_of_its_header(tmp_path: Path) -> None:
    """Which stands first: one of 66,688 bytes begins as a pickle of protocol 4 does."""
    architecture = Architecture(filters=4, levels=1, convolutions=1)
    save_network(tmp_path, build(architecture), a_card(architecture=architecture))
    weights = tensors(tmp_path)
    padded = (safetensors.torch.save(weights, {"note": "x" * n}) for n in range(65_000, 67_000, 8))
    rewrite(tmp_path, next(content for content in padded if content.startswith(b"\x80\x04\x01")))
    assert load_network(tmp_path)[1].name == "small"


# Foreign files

def test_a_foreign_safetensors_file_has_no_card(a_folder: Path) -> None:
    (a_folder / "card.json").unlink()
    for path in (a_folder, a_folder / "network.safetensors"):
        with pytest.raises(InputError, match="no card.json lies beside the weights"):
            load_network(path)


def test_a_folder_without_a_network_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no network.safetensors"):
        load_network(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_network(tmp_path / "none")


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return Path.touch, (self.place,)


def pickled(kind: str, trap: Trap, path: Path) -> None:
    if kind == "torch":
        torch.save({"weights": trap}, path)
    elif kind == "old torch":
        torch.save({"weights": trap}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(trap, protocol=int(kind)))


KINDS = ("torch", "old torch", "0", "2", "4", "5")


@pytest.mark.parametrize("kind", KINDS)
def test_the_trap_would_close(kind: str, tmp_path: Path) -> None:
    """The files of the next two tests do run what is in them, for those who unpickle."""
    pickled(kind, Trap(tmp_path / "sprung"), tmp_path / "n.pt")
    if "torch" in kind:
        torch.load(tmp_path / "n.pt", weights_only=False)
    else:
        pickle.loads((tmp_path / "n.pt").read_bytes())  # noqa: S301
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lone", [True, False], ids=["file", "folder"])
def test_a_pickle_under_a_false_name_runs_nothing(kind: str, lone: bool, a_folder: Path,
                                                  tmp_path: Path) -> None:
    path = a_folder / "network.safetensors"
    pickled(kind, Trap(tmp_path / "sprung"), path)
    rewrite(a_folder, path.read_bytes())
    with pytest.raises(InputError, match="pickle" if kind != "0" else "no safetensors file"):
        load_network(path if lone else a_folder)
    (a_folder / "card.json").unlink()
    with pytest.raises(InputError):
        load_network(path if lone else a_folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".bin", ".PT", ".pkl", ".zip"])
def test_a_file_named_like_a_pickle_is_not_opened(ending: str, a_folder: Path,
                                                  tmp_path: Path) -> None:
    path = a_folder / f"network{ending}"
    pickled("torch", Trap(tmp_path / "sprung"), path)
    with pytest.raises(InputError, match="which could run a stranger's program"):
        load_network(path)
    (a_folder / "network.safetensors").unlink()
    with pytest.raises(InputError, match="which could run a stranger's program"):
        load_network(a_folder)
    assert not (tmp_path / "sprung").exists()


# Cards

def without(key: str):
    return lambda values: values.pop(key)


def to(key: str, value: Any):
    return lambda values: values.update({key: value})


@pytest.mark.parametrize("key", [f.name for f in dataclasses.fields(Card)])
def test_a_card_that_lacks_an_entry_is_refused(key: str, a_folder: Path) -> None:
    change_card(a_folder, without(key))
    with pytest.raises(InputError, match=f"card.json lacks {key}"):
        load_network(a_folder)


@pytest.mark.parametrize(("change", "said"), [
    (to("format", "other"), "not the card"),
    (without("format"), "not the card"),
    (to("version", 2), "of version 2 and this deepgmm reads version 1: update"),
    (to("mood", "good"), "what is not known: mood"),
    (to("title", 3), "title: 3 cannot be"),
    (to("learning", "by heart"), 'learning: "by heart" cannot be'),
    (to("labelled_cases", {"loss": 3}), "labelled_cases"),
    (to("labelled_cases", {"loss": -1, "priors": 0, "atlas": 0, "tuning": 0}), "labelled_cases"),
    (to("architecture", []), "architecture"),
    (lambda v: v["architecture"].update(name="resnet"), "architecture: no network is called"),
    (lambda v: v["architecture"].update(filters=10**12), "architecture: filters"),
    (lambda v: v["architecture"].update(inputs=3), "has 3 inputs"),
    (to("sequences", []), "sequences"),
    (to("sequences", ["lge", "lge"]), "sequences"),
    (to("sequences", ["flair"]), "sequences"),
    (to("tissues", ["blood", "scar", "edema", "myocardium"]), "blood, myocardium, edema, scar"),
    (to("tissues", ["blood"]), "outputs"),
    (to("temperature", 0), "must be a positive"),
    (to("temperature", "2"), "temperature"),
    (to("training", {"temperatures": {"lge": 0}}), "must be a positive"),
    (to("training", {"temperatures": {"lge": "2"}}), "temperatures"),
    (to("training", {"temperatures": [2.0]}), "temperatures"),
    (to("temperature", True), "temperature"),
    (to("temperature", 10**400), "temperature"),
    (to("scores", {"dice": float("nan")}), "damaged"),
    (to("normalisation_version", 2), "normalised in another way"),
    (to("familiar", {"lge": {"nll": {"mean": 1}}}), "familiar"),
    (to("familiar", {"lge": {"nll": {"mean": "1", "sd": 2}}}), "familiar"),
    (to("familiar", {"lge": 4}), "familiar"),
    (to("versions", {"torch": 2}), "versions"),
    (to("sha256", "abc"), "sha256"),
    (to("name", "../elsewhere"), "cannot be called"),
    (to("name", ""), "cannot be called"),
    (to("learning", "unsupervised with contrast priors"), "name it for what it is"),
    (to("learning", "unsupervised"), "name it for what it is"),
])
def test_a_card_that_cannot_be_is_refused(change, said: str, a_folder: Path) -> None:
    change_card(a_folder, change)
    with pytest.raises(InputError, match=said) as caught:
        load_network(a_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"format": NaN}', '{"format": 1e999}',
                                  "[" * 100_000, '{"a": "' + "a" * 1_000_000 + '"}'],
                         ids=lambda text: text[:20])
def test_a_damaged_card_is_refused(text: str, a_folder: Path) -> None:
    (a_folder / "card.json").write_text(text)
    with pytest.raises(InputError, match=r"card.json is damaged"):
        load_network(a_folder)


@pytest.mark.parametrize("text", ["[]", "null", "{}", '"deepgmm network"'])
def test_what_is_no_card_is_refused(text: str, a_folder: Path) -> None:
    (a_folder / "card.json").write_text(text)
    with pytest.raises(InputError, match=r"card.json is not the card"):
        load_network(a_folder)


def test_a_card_in_no_known_letters_is_refused(a_folder: Path) -> None:
    (a_folder / "card.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(InputError, match="damaged"):
        read_card(a_folder / "card.json")


def test_labels_in_priors_alone_may_be_called_so() -> None:
    for learning, cases in ((Learning.PRIORS, LabelledCases(priors=10, atlas=10)),
                            (Learning.UNSUPERVISED, LabelledCases(tuning=5)),
                            (Learning.PARTLY, LabelledCases(loss=10))):
        assert a_card(learning=learning, labelled_cases=cases).labelled_cases == cases
    with pytest.raises(InputError, match="name it for what it is"):
        a_card(learning=Learning.UNSUPERVISED, labelled_cases=LabelledCases(priors=1))


def test_words_of_any_script_are_kept(tmp_path: Path) -> None:
    save_small(tmp_path / "n", title="Größe 心臓 ♥")
    assert read_card(tmp_path / "n" / "card.json").title == "Größe 心臓 ♥"


def test_a_folder_of_images_is_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "lge.nii.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match=r"holds no network\.safetensors"):
        load_network(tmp_path)
    (tmp_path / "weights.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match="pickle or an archive"):
        load_network(tmp_path)
