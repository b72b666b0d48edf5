"""Imports go downward only, and the heavy packages stay out until they are needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "DeepGMMSegmentation" / "Logic" / "deepgmm"
HEAVY = ("torch", "scipy", "sklearn", "matplotlib", "SimpleITK", "monai")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Hold the `deepgmm` that lies in a folder to the contracts of the project."""
    line = "import sys; from importlinter.cli import lint_imports_command as c; c(sys.argv[1:])"
    config = str(ROOT / "pyproject.toml")
    return subprocess.run(
        [sys.executable, "-c", line, "--config", config, "--no-cache"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def a_copy_of_the_house(tmp_path: Path) -> Path:
    """Every module of the library, empty of code: the floors can be broken one at a time."""
    for source in LIBRARY.rglob("*.py"):
        target = tmp_path / "deepgmm" / source.relative_to(LIBRARY)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("")
    return tmp_path


def test_the_library_keeps_to_its_floors() -> None:
    done = lint_imports(LIBRARY.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_empty_house_keeps_to_its_floors(a_copy_of_the_house: Path) -> None:
    done = lint_imports(a_copy_of_the_house)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("where", "line", "contract"),
    [
        ("model/__init__.py", "from deepgmm import study", "Imports go downward only"),
        ("study/__init__.py", "from deepgmm import model", "Imports go downward only"),
        ("study/__init__.py", "from deepgmm import settings", "Imports go downward only"),
        ("identify/__init__.py", "import deepgmm.result", "Imports go downward only"),
        ("review/__init__.py", "def late():\n    import deepgmm.cli", "Imports go downward only"),
        ("attic.py", "", "Imports go downward only"),
        ("study/__init__.py", "def late():\n    import torch", "study knows data only"),
        ("study/__init__.py", "from deepgmm import reading", "Imports go downward only"),
        ("reading/__init__.py", "from deepgmm import phantom", "Imports go downward only"),
        ("phantom/__init__.py", "from deepgmm import identify", "Imports go downward only"),
        ("reading/__init__.py", "def late():\n    import torch", "study knows data only"),
        ("reading/__init__.py", "import deepgmm.model.em", "study knows data only"),
        ("reading/dicom/__init__.py", "import deepgmm.reading.studies", "Rooms of reading"),
        ("reading/attic.py", "", "Rooms of reading"),
        ("study/__init__.py", "def late():\n    import pydicom", "study reads no files"),
        ("model/__init__.py", "import SimpleITK", "model knows tensors only"),
        ("review/__init__.py", "import qt", "the library knows no windows"),
    ],
)
def test_a_forbidden_import_is_found(
    a_copy_of_the_house: Path, where: str, line: str, contract: str
) -> None:
    (a_copy_of_the_house / "deepgmm" / where).write_text(line + "\n")
    done = lint_imports(a_copy_of_the_house)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [text for text in done.stdout.splitlines() if "BROKEN" in text]
    assert any(contract in text for text in broken), done.stdout


def circle_in(folder: Path) -> str:
    """Modules of the `deepgmm` in a folder that import each other in a circle; "" if none do.

    The package's own face is left out: everyone may ask it for the version, and for the type
    checker it names what it hands out.
    """
    code = """
import graphlib, grimp
graph = grimp.build_graph("deepgmm", cache_dir=None)
face = {"deepgmm"}
order = graphlib.TopologicalSorter(
    {m: graph.find_modules_directly_imported_by(m) - face for m in graph.modules - face})
try:
    order.prepare()
except graphlib.CycleError as circle:
    print(*circle.args[1])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_imports_go_in_circles() -> None:
    assert circle_in(LIBRARY.parent) == ""


@pytest.mark.parametrize("line", [
    "import deepgmm.model.em", "def late():\n    import deepgmm.model.em",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import deepgmm.model.em"])
def test_a_circle_is_found(a_copy_of_the_house: Path, line: str) -> None:
    model = a_copy_of_the_house / "deepgmm" / "model"
    (model / "em.py").write_text("import deepgmm.model.starts\n")
    assert circle_in(a_copy_of_the_house) == ""
    (model / "starts.py").write_text(line + "\n")
    found = circle_in(a_copy_of_the_house)
    assert "deepgmm.model.em" in found and "deepgmm.model.starts" in found


def heavy_packages_loaded_by(code: str) -> list[str]:
    """Names of the heavy packages that a fresh Python has loaded after running some code."""
    end = f"\nimport sys\nprint('LOADED', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code + end],
        env={**os.environ, "PYTHONPATH": str(LIBRARY.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_import_deepgmm_loads_nothing_heavy() -> None:
    assert heavy_packages_loaded_by("import deepgmm") == []
    assert heavy_packages_loaded_by("from deepgmm import Settings, InputError") == []


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from deepgmm.cli.main import main
sys.argv = ["deepgmm", "segment", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert heavy_packages_loaded_by(code) == []


def test_a_loaded_package_would_be_seen() -> None:
    assert heavy_packages_loaded_by("import scipy") == ["scipy"]
