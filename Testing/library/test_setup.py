"""Setting up: the right torch, never CUDA packages unasked, and no stamp for a failed install."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = "torch (2.9.0)\nAvailable versions: 2.9.0, 2.8.0+cpu, 2.8.0, 2.10.1+cpu, 2.1.0+cpu, 2.1.0\n"


def the_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def a_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`tools/bootstrap.py` on an environment in a temporary folder; `asked` holds its commands."""
    setup = the_script()
    setup.VENV = tmp_path / ".venv"
    setup.PYTHON = setup.VENV / "python"
    setup.asked = []
    setup.fails = ""
    setup.torch = ""
    setup.index = INDEX

    def call(line: list[object], failure: str | None) -> bool:
        words = " ".join(map(str, line))
        setup.asked.append(words)
        if setup.fails and setup.fails in words:
            if failure:
                raise setup.SetupError(failure)
            return False
        if "-m venv" in words:
            setup.VENV.mkdir()
            setup.PYTHON.touch()
        if " install " in words and "torch" in words.rsplit(" ", 1)[-1]:
            setup.torch = "2.8.0"
        return True

    def pip_index(line: list[object], **_: object) -> SimpleNamespace:
        assert [str(word) for word in line][2:5] == ["pip", "index", "versions"]
        return SimpleNamespace(stdout=setup.index, returncode=0)

    monkeypatch.delenv("TORCH", raising=False)
    monkeypatch.setattr(setup, "call", call)
    monkeypatch.setattr(setup, "torch_version", lambda: setup.torch)
    monkeypatch.setattr(setup, "borrow_torch", lambda: False)
    monkeypatch.setattr(setup, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(setup, "_importable", lambda name: True)
    monkeypatch.setattr(setup.sys, "platform", "linux")
    monkeypatch.setattr(setup, "subprocess", SimpleNamespace(run=pip_index, DEVNULL=None))
    return setup


def test_a_second_run_does_nothing(a_setup: ModuleType) -> None:
    a_setup.main("test")
    assert len(a_setup.asked) == 3  # the environment, torch, and the rest in one call
    a_setup.main("test")
    a_setup.main("demo")  # what serves the tests serves the demo
    assert len(a_setup.asked) == 3


def test_tests_need_more_than_the_demo_but_no_second_torch(a_setup: ModuleType) -> None:
    a_setup.main("demo")
    a_setup.main("test")
    assert len(a_setup.asked) == 4
    assert a_setup.asked[2].endswith("[cli]")
    assert a_setup.asked[3].endswith("[cli,scene,cohort,test]")


def test_a_failed_install_is_tried_again(a_setup: ModuleType) -> None:
    a_setup.fails = "--editable"
    with pytest.raises(a_setup.SetupError):
        a_setup.main("demo")
    assert not a_setup.stamp("demo").exists()
    a_setup.fails = ""
    a_setup.main("demo")
    assert a_setup.stamp("demo").exists()
    assert sum("-m venv" in line for line in a_setup.asked) == 1


def test_changed_requirements_install_again(a_setup: ModuleType, tmp_path: Path) -> None:
    a_setup.ROOT = tmp_path
    (tmp_path / "pyproject.toml").write_text("one")
    a_setup.main("demo")
    (tmp_path / "pyproject.toml").write_text("two")
    a_setup.main("demo")
    assert sum("--editable" in line for line in a_setup.asked) == 2
    assert sum("-m venv" in line for line in a_setup.asked) == 1


def test_the_newest_cpu_build_is_taken(a_setup: ModuleType) -> None:
    a_setup.main("demo")
    assert a_setup.asked[1].endswith("torch==2.10.1+cpu")


def test_without_a_cpu_build_uv_is_asked(a_setup: ModuleType) -> None:
    a_setup.index = "Available versions: 2.9.0, 2.1.0+cpu"
    a_setup.main("demo")
    assert "--torch-backend=cpu" in a_setup.asked[2]


def test_cuda_packages_are_never_taken_unasked(
    a_setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_setup.index = "Available versions: 2.9.0"
    a_setup.fails = "--torch-backend=cpu"
    with pytest.raises(a_setup.SetupError, match="make demo TORCH=torch"):
        a_setup.main("demo")
    assert not any("--editable" in line for line in a_setup.asked)
    monkeypatch.setenv("TORCH", "torch")
    a_setup.main("demo")
    assert any(line.endswith("--no-compile torch") for line in a_setup.asked)


def test_a_gpu_gets_the_ordinary_build(
    a_setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(a_setup, "has_nvidia_gpu", lambda: True)
    a_setup.main("demo")
    assert a_setup.asked[1].endswith("torch>=2.2")


def test_torch_is_held_fast(a_setup: ModuleType) -> None:
    a_setup.main("demo")
    assert (a_setup.VENV / "constraints.txt").read_text() == "torch==2.8.0\n"
    assert "-c " + str(a_setup.VENV / "constraints.txt") in a_setup.asked[-1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("echo 'GPU 0: A GPU'", True), ("echo 'GPU: no driver'; exit 9", False), ("exit 0", False)],
)
def test_a_gpu_is_one_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert the_script().has_nvidia_gpu() is expected


def test_without_nvidia_smi_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert the_script().has_nvidia_gpu() is False
