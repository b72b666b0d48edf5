"""`deepgmm models`, used as people use it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_networks import a_card, change_card, save_small

from deepgmm.cli.main import main
from deepgmm.weights.card import NAME, read_card
from deepgmm.weights.folder import load_network
from deepgmm.weights.shelf import SHIPPED

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


@pytest.fixture(autouse=True)
def a_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own, empty, and one shipped network called house."""
    (tmp_path / "shipped").mkdir()
    save_small(tmp_path / "shipped" / "house", "house", title="The shipped one")
    monkeypatch.setattr("deepgmm.weights.shelf.SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("DEEPGMM_MODELS", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    return save_small(tmp_path / "trained")


def run(*arguments: object) -> int:
    return main(["models", *map(str, arguments)])


@pytest.fixture
def refused(capsys):
    """Run, expect the user to be told in one line, and give that line."""
    def refuse(*arguments: object) -> str:
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("deepgmm: error: ") and error.count("\n") == 1
        return error
    return refuse


@pytest.mark.parametrize("command", ["", "list", "show", "verify", "import", "remove"])
def test_every_command_has_an_example(command: str, capsys) -> None:
    assert run(*[command] if command else [], "--help") == 0
    assert f"deepgmm models {command}".strip() in capsys.readouterr().out.split("Example:")[1]


def test_a_card_is_laid_out_line_by_line_with_three_digits(capsys) -> None:
    network = SHIPPED / "phantom-synthetic"  # as it was before the shelf was changed
    assert run("show", network) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not any("{" in line or "}" in line for line in lines)
    card = read_card(network / NAME).as_dict()
    scar = card["scores"]["validation"]["dice"]["scar"]
    assert f"      scar: {round(scar, 3)}" in lines
    stage = lines.index("  stages:")
    assert lines[stage + 1:stage + 3] == ["    1:", "      settings:"]
    rate = card["training"]["stages"][0]["settings"]["learning_rate"]
    assert f"        learning rate: {rate}" in lines and "        start: none" in lines


def test_models_alone_shows_its_help(capsys) -> None:
    assert run() == 0
    assert "Commands:" in capsys.readouterr().out


def test_import_list_show_verify(a_folder: Path, a_shelf: Path, capsys) -> None:
    assert run("import", a_folder, "--name", "our-scanner") == 0
    assert "--model our-scanner" in capsys.readouterr().out
    assert run("list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "house: The shipped one (synthetic-supervised; shipped)",
        "our-scanner: A small network (synthetic-supervised; yours)"]
    assert run("show", "our-scanner") == 0
    text = capsys.readouterr().out
    for line in ("title: A small network", "learning: synthetic-supervised", "  loss: 3",
                 "sequences: bssfp, lge, t2", "licence: Apache-2.0", "  seeds: 20000-20002"):
        assert line in text.splitlines()
    assert run("verify") == 0
    count = sum(p.numel() for p in load_network(a_folder)[0].parameters())
    assert f"our-scanner: sound, {count} weights" in capsys.readouterr().out


def test_show_without_a_name_is_of_the_shipped_one(capsys) -> None:
    assert run("show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "The shipped one"


def test_a_network_that_is_not_on_the_shelf_can_be_looked_at(a_folder: Path, capsys) -> None:
    for path in (a_folder, a_folder / "network.safetensors"):
        assert run("show", path, "--json") == run("verify", path) == 0
        assert a_card().title in capsys.readouterr().out


def test_the_list_can_be_read_by_programs(a_shelf: Path, capsys) -> None:
    save_small(a_shelf.parent / "own", "x")  # the shelf itself is no network
    (a_shelf / "broken").mkdir()
    assert run("list", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], first["shipped"], first["problem"]) == ("house", True, None)
    assert (second["name"], second["title"]) == ("broken", None) and second["problem"]


def test_an_empty_shelf_says_how_to_fill_it(monkeypatch: pytest.MonkeyPatch, a_shelf: Path,
                                            capsys) -> None:
    monkeypatch.setattr("deepgmm.weights.shelf.SHIPPED", a_shelf / "none")
    assert run("list") == 0
    assert "deepgmm models import" in capsys.readouterr().out
    assert run("verify") == 0


def test_verify_names_every_network_that_cannot_be_used(a_folder: Path, a_shelf: Path,
                                                        capsys) -> None:
    for name in ("flipped", "lying", "sound"):
        assert run("import", a_folder, "--name", name) == 0
    with (a_shelf / "flipped" / "network.safetensors").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x7f")
    change_card(a_shelf / "lying", lambda values: values["architecture"].update(filters=8))
    capsys.readouterr()
    assert run("verify") == 2
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 4 and lines[1].startswith("flipped: the weights") and (
        "damaged" in lines[1]) and "its card says" in lines[2] and "sound" in lines[3]
    assert "2 of 4 networks cannot be used: flipped, lying" in captured.err


def test_verify_of_one_says_what_is_wrong(a_folder: Path, refused) -> None:
    (a_folder / "card.json").unlink()
    assert "no card.json" in refused("verify", a_folder)


def test_nothing_is_overwritten(a_folder: Path, a_shelf: Path, refused) -> None:
    assert run("import", a_folder) == 0
    before = (a_shelf / "small" / "card.json").stat().st_mtime_ns
    assert "is on the shelf already" in refused("import", a_folder)
    assert "is on the shelf already" in refused("import", a_folder, "--name", "house")
    assert (a_shelf / "small" / "card.json").stat().st_mtime_ns == before


def test_a_pickle_is_refused_unread(tmp_path: Path, a_shelf: Path, refused) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "network.pt")
    assert "a stranger's program" in refused("import", tmp_path / "network.pt")
    os.rename(tmp_path / "network.pt", tmp_path / "network.safetensors")
    assert "a stranger's program" in refused("import", tmp_path)
    assert not a_shelf.exists()


class Typed(io.StringIO):
    """A terminal at which somebody has typed an answer."""

    def isatty(self) -> bool:
        return True


def test_remove_asks_first(a_folder: Path, a_shelf: Path, capsys,
                           monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("import", a_folder) == 0
    for answer in ("n\n", "\n"):
        monkeypatch.setattr("sys.stdin", Typed(answer))
        capsys.readouterr()
        assert run("remove", "small") == 0
        said = capsys.readouterr().out
        assert "Delete small: A small network (synthetic-supervised; yours)?" in said
        assert said.endswith("nothing was removed\n") and (a_shelf / "small").is_dir()
    monkeypatch.setattr("sys.stdin", Typed("y\n"))
    assert run("remove", "small") == 0
    assert capsys.readouterr().out.endswith("removed small\n") and not list(a_shelf.iterdir())


def test_without_a_terminal_remove_wants_a_yes(a_folder: Path, a_shelf: Path, refused, capsys,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("import", a_folder) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    capsys.readouterr()
    assert "add --yes" in refused("remove", "small") and (a_shelf / "small").is_dir()
    assert run("remove", "small", "--yes") == 0
    assert capsys.readouterr().out == "removed small\n" and not list(a_shelf.iterdir())


def test_what_cannot_be_removed_is_said_unasked(refused) -> None:
    assert "'house' came with deepgmm and stays" in refused("remove", "house")
    assert "of that name: on the shelf are house" in refused("remove", "nowhere", "--yes")


@pytest.mark.parametrize("command", ["show", "verify", "import"])
def test_what_does_not_exist_is_said(command: str, refused) -> None:
    assert "house" in refused(command, "nowhere") if command != "import" else (
        "does not exist" in refused(command, "nowhere"))


def test_the_log_names_the_command_and_no_path(a_folder: Path, tmp_path: Path, refused) -> None:
    (a_folder / "card.json").unlink()
    refused("import", a_folder, "--name", "jane-doe", "--log", tmp_path / "log")
    text = (tmp_path / "log").read_text()
    assert "deepgmm models import <input> --name <name>" in text
    assert "jane" not in text and str(tmp_path) not in text


def test_listing_loads_no_torch(a_shelf: Path) -> None:
    code = ("import sys; from deepgmm.cli.main import main; assert main(['models', 'list']) == 0; "
            "assert main(['models', '--help']) == 0; assert 'torch' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
