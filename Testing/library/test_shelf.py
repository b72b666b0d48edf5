"""The shelf: networks that ship, networks of the user, and how one gets there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_networks import a_card, a_network, save_small

from deepgmm.errors import InputError
from deepgmm.weights.folder import load_network
from deepgmm.weights.shelf import find, import_model, listed, remove_model


@pytest.fixture
def a_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own, and one shipped network called house."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    shipped.mkdir()
    save_small(shipped / "house", "house")
    monkeypatch.setattr("deepgmm.weights.shelf.SHIPPED", shipped)
    monkeypatch.setenv("DEEPGMM_MODELS", str(own))
    return own


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_imported_network_is_found_by_name(a_shelf: Path, a_folder: Path) -> None:
    shelved = import_model(a_folder)
    assert (shelved.name, shelved.shipped, shelved.problem) == ("small", False, "")
    assert find("small") == a_shelf / "small" == shelved.folder
    assert contents(a_shelf / "small") == contents(a_folder)
    assert [(s.name, s.shipped) for s in listed()] == [("house", True), ("small", False)]


def test_a_network_can_be_imported_under_another_name(a_shelf: Path, a_folder: Path) -> None:
    import_model(a_folder / "network.safetensors", "our-scanner")
    network, card = load_network(find("our-scanner"))
    assert card.name == "our-scanner" and card.title == a_card().title
    assert torch.equal(network.head.weight, a_network().head.weight)


def test_the_shipped_network_needs_no_name(a_shelf: Path) -> None:
    assert find() == find("") == find("house")
    assert load_network(find())[1].name == "house"


def test_a_path_is_taken_as_it_is(a_shelf: Path, a_folder: Path) -> None:
    assert find(a_folder) == a_folder
    assert find(str(a_folder / "network.safetensors")) == a_folder / "network.safetensors"


def test_the_users_own_network_comes_before_a_shipped_one_of_that_name(a_shelf: Path) -> None:
    save_small(a_shelf.parent / "shipped" / "later", "later")
    a_shelf.mkdir()
    save_small(a_shelf / "later", "later")
    assert find("later") == a_shelf / "later"


def test_what_is_not_there_is_said_with_what_is(a_shelf: Path) -> None:
    with pytest.raises(InputError, match="no network of that name or path: on the shelf are house"):
        find("elsewhere")
    save_small(a_shelf.parent / "shipped" / "second", "second")
    with pytest.raises(InputError, match="2 networks ship .* none was named: .* house, second"):
        find()


def test_without_any_network_one_is_told_how_to_get_one(a_shelf: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepgmm.weights.shelf.SHIPPED", a_shelf / "none")
    with pytest.raises(InputError, match="no network ships .* deepgmm models import"):
        find()


@pytest.mark.parametrize("name", ["small", "house"], ids=["own", "shipped"])
def test_nothing_on_the_shelf_is_overwritten(a_shelf: Path, a_folder: Path, name: str) -> None:
    import_model(a_folder)
    before = contents(a_shelf.parent)
    with pytest.raises(InputError, match=f"called '{name}' is on the shelf already"):
        import_model(a_folder, name)
    assert contents(a_shelf.parent) == before


@pytest.mark.parametrize("name", ["Big", "../out", ".hidden", "a b", "", "a/b", "x" * 65, "ö"])
def test_a_name_that_cannot_be_is_refused(a_shelf: Path, a_folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be called"):
        import_model(a_folder, name)
    assert not a_shelf.exists()


def test_a_damaged_network_is_not_imported(a_shelf: Path, a_folder: Path) -> None:
    with (a_folder / "network.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="damaged"):
        import_model(a_folder)
    assert not a_shelf.exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")],
                         ids=["interrupted", "full disk"])
@pytest.mark.parametrize("where", ["deepgmm.files.os.fsync",
                                   "deepgmm.files.os.replace",
                                   "deepgmm.weights.shelf.os.rename"])
def test_an_import_that_fails_leaves_nothing(a_shelf: Path, a_folder: Path, where: str,
                                             stop: BaseException,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise stop
    monkeypatch.setattr(where, fails)
    with pytest.raises((InputError, KeyboardInterrupt)):
        import_model(a_folder)
    assert list(a_shelf.iterdir()) == []


def test_an_import_that_was_killed_leaves_no_network(a_shelf: Path, a_folder: Path) -> None:
    """Killed as it can be only between two calls to the system: just before the last rename."""
    code = ("import os, sys; from deepgmm.weights import shelf\n"
            "shelf.os.rename = lambda *_: os._exit(9)\n"
            "shelf.import_model(sys.argv[1])")
    done = subprocess.run([sys.executable, "-c", code, a_folder])
    assert done.returncode == 9
    assert [s.name for s in listed()] == ["house"]
    import_model(a_folder)
    assert load_network(find("small"))[1].name == "small"


def test_a_shelf_that_cannot_be_is_said(a_shelf: Path, a_folder: Path) -> None:
    a_shelf.write_text("a file")
    with pytest.raises(InputError, match="DEEPGMM_MODELS"):
        import_model(a_folder)


def test_the_shelf_lists_what_cannot_be_used_with_the_reason(a_shelf: Path,
                                                             a_folder: Path) -> None:
    import_model(a_folder)
    os.rename(a_shelf / "small", a_shelf / "renamed")
    (a_shelf / "empty").mkdir()
    (a_shelf / ".deepgmm-leftover").mkdir()
    (a_shelf / "a file").write_text("")
    problems = {s.name: s.problem for s in listed()}
    assert problems.pop("house") == ""
    assert problems.pop("renamed") == "its card calls it 'small'"
    assert "no card.json" in problems.pop("empty") and not problems


# And off again

def test_a_removed_network_is_gone_and_the_others_stay(a_shelf: Path, a_folder: Path) -> None:
    import_model(a_folder)
    import_model(a_folder, "second")
    before = contents(a_shelf.parent / "shipped") | contents(a_shelf / "second")
    assert remove_model("small").name == "small"
    assert [s.name for s in listed()] == ["house", "second"]
    assert [p.name for p in a_shelf.iterdir()] == ["second"]  # nothing hidden either
    assert contents(a_shelf.parent / "shipped") | contents(a_shelf / "second") == before
    assert (a_folder / "network.safetensors").is_file()  # where it had come from
    import_model(a_folder)


def test_a_network_that_cannot_be_used_can_be_removed(a_shelf: Path, a_folder: Path) -> None:
    import_model(a_folder)
    (a_shelf / "small" / "card.json").write_text("{")
    remove_model("small")
    assert list(a_shelf.iterdir()) == []


def test_the_shipped_network_stays_also_under_ones_own_of_its_name(a_shelf: Path) -> None:
    before = contents(a_shelf.parent)
    with pytest.raises(InputError, match="'house' came with deepgmm and stays"):
        remove_model("house")
    assert contents(a_shelf.parent) == before
    a_shelf.mkdir()
    save_small(a_shelf / "house", "house", title="Mine")
    assert remove_model("house").card.title == "Mine"
    assert contents(a_shelf.parent) == before


@pytest.mark.parametrize("name", ["elsewhere", "", "..", "../own/small", ".", ".deepgmm-leftover"])
def test_what_is_no_network_of_the_users_is_not_removed(a_shelf: Path, a_folder: Path,
                                                        name: str) -> None:
    import_model(a_folder)
    (a_shelf / ".deepgmm-leftover").mkdir()
    before = contents(a_shelf.parent)
    for asked in (name, str(a_folder)):
        with pytest.raises(InputError, match="of that name: on the shelf are house, small"):
            remove_model(asked)
    assert contents(a_shelf.parent) == before


def test_files_of_other_kinds_are_not_deleted_with_it(a_shelf: Path, a_folder: Path) -> None:
    import_model(a_folder)
    (a_shelf / "small" / "thesis.tex").write_text("the only copy")
    before = contents(a_shelf)
    with pytest.raises(InputError, match="more than a network .1 other.*move them elsewhere"):
        remove_model("small")
    assert contents(a_shelf) == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_of_a_link_only_the_link_goes(a_shelf: Path, a_folder: Path) -> None:
    (a_folder / "curves.png").write_bytes(b"")
    before = contents(a_folder)
    a_shelf.mkdir()
    (a_shelf / "linked").symlink_to(a_folder, target_is_directory=True)
    remove_model("linked")
    assert list(a_shelf.iterdir()) == [] and contents(a_folder) == before


def test_a_removal_that_fails_leaves_the_network(a_shelf: Path, a_folder: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    import_model(a_folder)
    before = contents(a_shelf)

    def fails(*_: object) -> None:
        raise OSError(errno.EACCES, "no")
    monkeypatch.setattr("deepgmm.weights.shelf.os.rename", fails)
    with pytest.raises(InputError, match="place on the shelf cannot be written"):
        remove_model("small")
    assert contents(a_shelf) == before and [p.name for p in a_shelf.iterdir()] == ["small"]
