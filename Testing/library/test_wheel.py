"""What a user installs holds all that is needed: every method works from the wheel alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "DeepGMMSegmentation" / "Logic" / "deepgmm"
METHODS = ("auto", "gmm", "svgmm", "map", "deepg", "deepsvg")


def run(line: list[str | Path], cwd: Path) -> str:
    """Run to the end as a user would, without the paths of this test's own environment."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "PYTEST"))}
    env |= {"OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [str(word) for word in line], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def a_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that no build folder is left in the project."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(LIBRARY, source / LIBRARY.relative_to(ROOT), ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run([*pip, "-w", folder, source], cwd=folder)
    (wheel,) = folder.glob("deepgmm-*.whl")
    return wheel


@pytest.fixture(scope="module")
def an_installed_wheel(a_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a clean environment with the wheel; other packages are lent from this one.

    The lending `.pth` names folders only, so the editable install there stays out of sight.
    """
    venv = tmp_path_factory.mktemp("clean") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], cwd=venv.parent)
    programs = venv / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", programs / "python"]
    run([*pip, "install", "-q", "--no-deps", "--no-index", a_wheel], cwd=venv.parent)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    lib = run([programs / "python", "-c", where], cwd=venv.parent).strip()
    lent = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    Path(lib, "lent.pth").write_text("\n".join(lent) + "\n", encoding="utf-8")
    return programs


@pytest.fixture(scope="module")
def a_phantom(an_installed_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one patient's files, written by the installed command."""
    folder = tmp_path_factory.mktemp("phantom")
    run([an_installed_wheel / "deepgmm", "phantom", "-o", folder, "--seed", "3"], cwd=folder)
    return next(folder.rglob("lge.nii.gz")).parent


def test_the_wheel_holds_the_whole_library_and_nothing_else(a_wheel: Path) -> None:
    with zipfile.ZipFile(a_wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    ours = {
        path.relative_to(LIBRARY.parent).as_posix()
        for path in LIBRARY.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "deepgmm/py.typed" in ours
    assert any(name.startswith("deepgmm/data/priors/") for name in ours)
    assert any(name.startswith("deepgmm/data/terminology/") for name in ours)
    assert {name for name in held if ".dist-info/" not in name} == ours
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_the_library_comes_from_the_wheel_only(an_installed_wheel: Path, tmp_path: Path) -> None:
    code = "import deepgmm; print(deepgmm.__file__)"
    found = Path(run([an_installed_wheel / "python", "-c", code], cwd=tmp_path).strip())
    assert found.is_relative_to(an_installed_wheel.parent)
    assert not found.is_relative_to(ROOT)


@pytest.fixture(scope="module")
def segmented(an_installed_wheel: Path, a_phantom: Path,
              tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each method's outputs, all written by one process of the clean environment:
    starting it takes longer than a fit."""
    folder = tmp_path_factory.mktemp("segmented")
    inputs = [str(word) for role in ("bssfp", "lge", "t2", "mask")
              for word in (f"--{role}", a_phantom / f"{role}.nii.gz")]
    outputs = ["-o", "heart.seg.nrrd", "--labelmap", "heart.nii.gz", "--montage", "heart.png",
               "--report", "heart.json", "--slices", "1", "--preset", "fast"]
    code = f"""
import os
from deepgmm.cli.main import main
for method in {METHODS!r}:
    os.mkdir(method)
    os.chdir(method)
    assert main(["segment", *{inputs + outputs!r}, "--method", method]) == 0, method
    os.chdir('..')
"""
    run([an_installed_wheel / "python", "-c", code], cwd=folder)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_every_method_segments_from_another_folder(segmented: Path, method: str) -> None:
    made = segmented / method
    header = (made / "heart.seg.nrrd").read_bytes().partition(b"\n\n")[0].decode()
    assert "SCT" in header, "no terminology in the segmentation"
    assert labels_in(made / "heart.nii.gz") == {0, 1, 2, 3, 4}
    assert (made / "heart.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((made / "heart.json").read_text(encoding="utf-8"))
    assert report["settings"]["method"] == method
    left = {path.name for path in made.iterdir()}
    assert left == {"heart.seg.nrrd", "heart.nii.gz", "heart.png", "heart.json"}


def test_the_installed_command_segments(an_installed_wheel: Path, a_phantom: Path,
                                        tmp_path: Path) -> None:
    """The program itself, as one types it."""
    run([an_installed_wheel / "deepgmm", "segment", "--lge", a_phantom / "lge.nii.gz", "--mask",
         a_phantom / "mask.nii.gz", "--slices", "1", "--labelmap", "heart.nii.gz"], cwd=tmp_path)
    assert labels_in(tmp_path / "heart.nii.gz") > {0, 1, 2}


def labels_in(file: Path) -> set[int]:
    """Values of a labelmap, read by another library than the one that wrote it."""
    nibabel = pytest.importorskip("nibabel")
    return {int(value) for value in set(nibabel.load(file).get_fdata().ravel())}
