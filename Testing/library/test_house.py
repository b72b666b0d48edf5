"""The rules of the house that a program can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepgmm

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "DeepGMMSegmentation" / "Logic" / "deepgmm"
NOT_OURS = {".git", ".venv", "build", "dist", "demo-output", "__pycache__"}
TEXT = {".py", ".toml", ".md", ".json", ".cff", ".txt", ".cmake", ".ui", ".yml", ".s4ext", ""}


def our_files(*suffixes: str) -> Iterator[Path]:
    """Files of the project with one of these suffixes, without what is built or cached."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        cached = any(p in NOT_OURS or p.endswith((".egg-info", "_cache")) for p in parts)
        if path.suffix in suffixes and path.is_file() and not cached:
            yield path


def run(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_is_content() -> None:
    run("ruff", "check", ".")


def test_mypy_is_content() -> None:
    run("mypy")


def test_the_versions_agree() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    changed = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert cited is not None and changed is not None
    assert cited.group(1) == changed.group(1) == deepgmm.__version__


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    home = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/[\w.]+|\b[A-Z]:\\Users\\\w")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in our_files(*TEXT)
        for match in home.finditer(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert not found


def runs_code_on_loading(source: str) -> list[str]:
    """What in a module would read pickles: imports of such modules, and calls that allow them."""
    pickles = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "joblib", "marshal"}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in pickles]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in pickles:
            found.append(node.module or "")
        elif isinstance(node, ast.Call):
            if ast.unparse(node.func) in {"torch.load", "torch.save", "np.save", "torch.jit.load"}:
                found.append(ast.unparse(node.func))
            found += [k.arg for k in node.keywords if k.arg == "allow_pickle" and _true(k.value)]
    return found


def _true(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value is False)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import dump",
        "import torch\ndef f(): return torch.load('weights.pt')",
        "np.load(file, allow_pickle=True)",
    ],
)
def test_a_pickle_would_be_found(source: str) -> None:
    assert runs_code_on_loading(source)


def test_there_is_no_pickle_in_the_library() -> None:
    found = {
        str(path.relative_to(ROOT)): calls
        for path in LIBRARY.rglob("*.py")
        if (calls := runs_code_on_loading(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_files_are_short_enough_to_read() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*LIBRARY.rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    }
    assert len(lengths) > 5, "the library was not found"
    assert not {name: n for name, n in lengths.items() if n > 400}


def test_continuous_integration_runs_the_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "not executable"
    assert "make" in script.read_text() and " test" in script.read_text()
