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


@pytest.mark.parametrize("method", METHODS)
def test_every_method_segments_from_another_folder(
    an_installed_wheel: Path, a_phantom: Path, tmp_path: Path, method: str
) -> None:
    inputs: list[str | Path] = []
    for role in ("bssfp", "lge", "t2", "mask"):
        inputs += [f"--{role}", a_phantom / f"{role}.nii.gz"]
    outputs = ["-o", "heart.seg.nrrd", "--labelmap", "heart.nii.gz", "--montage", "heart.png"]
    choices = ["--report", "heart.json", "--slices", "1", "--method", method, "--preset", "fast"]
    run([an_installed_wheel / "deepgmm", "segment", *inputs, *outputs, *choices], cwd=tmp_path)

    header = (tmp_path / "heart.seg.nrrd").read_bytes().partition(b"\n\n")[0].decode()
    assert "SCT" in header, "no terminology in the segmentation"
    assert labels_in(tmp_path / "heart.nii.gz") == {0, 1, 2, 3, 4}
    assert (tmp_path / "heart.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((tmp_path / "heart.json").read_text(encoding="utf-8"))
    assert report["settings"]["method"] == method
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"heart.seg.nrrd", "heart.nii.gz", "heart.png", "heart.json"}


def labels_in(file: Path) -> set[int]:
    """Values of a labelmap, read by another library than the one that wrote it."""
    nibabel = pytest.importorskip("nibabel")
    return {int(value) for value in set(nibabel.load(file).get_fdata().ravel())}
