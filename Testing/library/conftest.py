"""What several test files of the library share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dicom_files import Examination

    from deepgmm.phantom import PhantomPatient


@pytest.fixture
def a_log_of_our_own(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test writes into the user's state folder."""
    state = tmp_path_factory.mktemp("state")
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(state))
    return state


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """A network as it is saved."""
    from small_networks import save_small

    return save_small(tmp_path / "small")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for outputs."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


# DICOM

@pytest.fixture(scope="module")
def patient() -> PhantomPatient:
    """Who is examined."""
    from dicom_files import a_patient

    from deepgmm.study.words import Kind

    return a_patient(100, lge=Kind.LGE_PSIR)


@pytest.fixture
def exam(tmp_path: Path) -> Examination:
    """An examination without any series yet."""
    from dicom_files import Examination

    return Examination(tmp_path / "exam")


# `deepgmm segment` on what it cannot use

@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A good patient of a telling name; each test spoils something."""
    from study_files import save_all

    return save_all(tmp_path / "Mustermann")


@pytest.fixture
def refused(files, out: Path, a_log_of_our_own: Path, capsys):
    """Run `segment` on the files; give its message after looking at all that must hold."""
    from study_files import BEFORE, options

    from deepgmm.cli.main import main

    def run(*more: object, status: int = 2, log: Path | None = a_log_of_our_own) -> str:
        (out / "o.seg.nrrd").write_bytes(BEFORE)
        arguments = ["segment", *options(files), "-o", out / "o.seg.nrrd",
                     "--montage", out / "o.png", *more]
        found = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        assert found == status, captured.err
        return check(captured.out, captured.err, log)

    def check(printed: str, errors: str, log: Path | None) -> str:
        lines = errors.splitlines()
        assert len(lines) == 1 and lines[0].startswith("deepgmm: error: "), errors
        assert printed == "" and "Traceback" not in errors
        assert "Mustermann" not in errors
        assert [p.name for p in out.iterdir()] == ["o.seg.nrrd"]  # nothing left behind
        assert (out / "o.seg.nrrd").read_bytes() == BEFORE  # and nothing lost
        folders = {a_log_of_our_own, log or a_log_of_our_own}
        logs = [p.read_text() for folder in folders for p in folder.rglob("*.log")]
        assert len(logs) == (log is not None)
        for text in logs:
            assert "Traceback (most recent call last)" in text
            assert "Mustermann" not in text and str(out) not in text
        return lines[0].removeprefix("deepgmm: error: ")

    return run
