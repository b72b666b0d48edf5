"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepgmm.errors import ComputationError, InputError
from deepgmm.files import sha256, suffix_of, together

as_root = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write to any folder")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_appear_together_when_all_are_written(tmp_path: Path) -> None:
    with together() as outputs:
        outputs.path(tmp_path / "a.txt").write_text("A")
        outputs.path(tmp_path / "b.txt").write_text("B")
        assert not (tmp_path / "a.txt").exists()

    assert names(tmp_path) == {"a.txt", "b.txt"}
    assert (tmp_path / "a.txt").read_text() == "A"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, InputError])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path, failure) -> None:
    (tmp_path / "a.txt").write_text("older")

    with pytest.raises(failure), together() as outputs:
        outputs.path(tmp_path / "a.txt").write_text("newer")
        outputs.path(tmp_path / "b.txt").write_text("half")
        raise failure("stop")

    assert names(tmp_path) == {"a.txt"}
    assert (tmp_path / "a.txt").read_text() == "older"


@pytest.mark.parametrize("older", [True, False], ids=["with an older file", "without"])
def test_a_rename_that_fails_puts_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    if older:
        (tmp_path / "a.txt").write_text("older")
    rename = os.replace

    def fails_for_b(source, target):
        if Path(target).name == "b.txt":
            raise PermissionError(13, "no")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fails_for_b)
    with pytest.raises(InputError, match="montage cannot be written"), together() as outputs:
        outputs.path(tmp_path / "a.txt", "report").write_text("newer")
        outputs.path(tmp_path / "b.txt", "montage").write_text("newer")

    assert names(tmp_path) == ({"a.txt"} if older else set())
    if older:
        assert (tmp_path / "a.txt").read_text() == "older"


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("older")
    with together() as outputs:
        outputs.path(tmp_path / "a.txt").write_text("newer")
    assert names(tmp_path) == {"a.txt"}
    assert (tmp_path / "a.txt").read_text() == "newer"


def test_the_temporary_file_keeps_the_suffix_but_not_the_name(tmp_path: Path) -> None:
    with together() as outputs:
        temporary = outputs.path(tmp_path / "Jane Doe.seg.nrrd")
        temporary.write_text("x")
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".seg.nrrd")
        assert "Jane" not in temporary.name


def test_a_name_in_any_script_works(tmp_path: Path) -> None:
    folder = tmp_path / "Herzstück 心臓 ♥"
    folder.mkdir()
    with together() as outputs:
        outputs.path(folder / "ödem.txt").write_text("x")
    assert names(folder) == {"ödem.txt"}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("older")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with together() as outputs:
        outputs.path(tmp_path / "link.txt").write_text("newer")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "newer"


def test_a_missing_folder_is_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="montage.*folder does not exist"), together() as outputs:
        outputs.path(tmp_path / "none" / "a.png", "montage")


def test_a_folder_of_that_name_is_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder has that name"), together() as outputs:
        outputs.path(tmp_path, "report")


def test_one_name_for_two_outputs_is_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="report and montage"), together() as outputs:
        outputs.path(tmp_path / "a", "report").write_text("x")
        outputs.path(tmp_path / "." / "a", "montage").write_text("x")
    assert names(tmp_path) == set()


@as_root
def test_a_folder_that_may_not_be_written_to_is_the_users_fault(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="report.*cannot be written"), together() as outputs:
            outputs.path(tmp_path / "a.json", "report")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(("reason", "said"), [
    (errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"),
    (errno.EACCES, "cannot be written to"), (errno.EIO, "Input/output error"),
])
def test_the_systems_refusal_is_put_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int, said: str
) -> None:
    def refuses(_: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", refuses)
    with pytest.raises(InputError, match=f"report cannot be written.*{said}"), \
            together() as outputs:
        outputs.path(tmp_path / "a.json", "report").write_text("{}")
    assert names(tmp_path) == set()


def test_an_empty_file_is_never_an_output(tmp_path: Path) -> None:
    with pytest.raises(ComputationError, match="report came out empty"), together() as outputs:
        outputs.path(tmp_path / "a.json", "report")
    assert names(tmp_path) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are a thing of Unix")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit of 4 kB a file stands for the disk: the system refuses in the same way. Wherever
    there is such a limit no bytecode may be kept (-B): Python would keep it cut off."""
    program = """
import resource, sys
from deepgmm.errors import InputError
from deepgmm.files import together
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with together() as outputs:
        outputs.path(sys.argv[1] + "/a.txt", "report").write_text("fits")
        outputs.path(sys.argv[1] + "/b.bin", "montage").write_bytes(bytes(10_000))
except InputError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-B", "-c", program, str(tmp_path)],
                         capture_output=True, text=True)
    assert "cannot be written" in run.stdout, run.stderr
    assert names(tmp_path) == set()


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


def test_the_hash_of_a_folder_changes_with_any_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(b"one")
    (tmp_path / "2.dcm").write_bytes(b"two")
    before = sha256(tmp_path)
    (tmp_path / "2.dcm").write_bytes(b"TWO")
    assert sha256(tmp_path) != before


def test_a_file_that_is_not_there_is_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        sha256(tmp_path / "Jane Doe.nii")
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize(("name", "suffix"), [
    ("a.nii.gz", ".nii.gz"), ("A.B.SEG.NRRD", ".seg.nrrd"), ("a.nrrd", ".nrrd"), ("a", ""),
    ("x.tar.gz", ".gz"),
])
def test_the_suffix_that_decides_the_format(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix
