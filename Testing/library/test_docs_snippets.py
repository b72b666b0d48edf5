"""The Python examples of the pages run as they stand, on phantoms and what the commands write."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from deepgmm.cli.main import main

DOCS = Path(__file__).resolve().parents[2] / "Docs"


def python_of(page: str) -> str:
    """The one Python example of a page."""
    (found,) = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"),
                          re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def a_desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a phantom patient, as the pages say it is made."""
    folder = tmp_path_factory.mktemp("desk")
    assert main(["phantom", "--seed", "100", "-o", str(folder / "phantoms"), "-q"]) == 0
    return folder


def run(page: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What an example leaves behind."""
    monkeypatch.chdir(desk)
    names: dict = {"__name__": "__main__"}
    exec(compile(python_of(page), page, "exec"), names)
    return names


def test_a_mask_is_proposed_corrected_and_used(a_desk: Path, monkeypatch) -> None:
    names = run("mask_proposal.md", a_desk, monkeypatch)
    result, new = names["result"], names["new"]
    assert (result.study.mask == new.mask).all() and not names["study"].mask.any()
    assert (new.mask != names["found"].mask).any(), "the point moved the border"
    assert result.study.provenance["mask_proposal"]["proposed"] is True
    assert any("proposed" in w for w in result.warnings)
    assert (a_desk / "from-proposal.seg.nrrd").stat().st_size


def test_what_was_edited_in_a_file_teaches(a_desk: Path, monkeypatch) -> None:
    phantom = a_desk / "phantoms" / "phantom-0100"
    for name, wanted in (("lge", "lge"), ("mask", "lv")):
        shutil.copy(phantom / f"{name}.nii.gz", a_desk / f"{wanted}.nii.gz")
    monkeypatch.chdir(a_desk)
    assert main(["segment", "--lge", "lge.nii.gz", "--mask", "lv.nii.gz", "-q",
                 "-o", "edited.seg.nrrd"]) == 0
    names = run("refine.md", a_desk, monkeypatch)
    assert names["mended"].corrections.done == (3,)
    assert names["edited"].shape == names["result"].labels.shape
