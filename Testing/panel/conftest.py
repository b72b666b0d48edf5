"""A panel on stand-ins, and a patient in its scene."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parents[2]
#: These look at files only, and run without Qt and Slicer.
FILES_ONLY = {"test_packaging.py"}


def _missing() -> str:
    """Why there can be no panel here; empty where there can."""
    for package, extra in (("PySide6.QtWidgets", "test"), ("slicer", "scene")):
        try:
            importlib.import_module(package)
        except ImportError:
            return f"{package} cannot be imported (extra `{extra}`)"
    return ""


MISSING = _missing()

if not MISSING:
    # Only for this import: slicer-core takes whatever lies in a folder `slicer` on the path.
    sys.path.insert(0, str(ROOT / "Testing"))
    import standins

    sys.path.remove(str(ROOT / "Testing"))
    standins.install()
    sys.path += [str(ROOT / folder)
                 for folder in ("Testing/scene", "Testing/library", "DeepGMMSegmentation")
                 if str(ROOT / folder) not in sys.path]

    from panels import A_PATIENT, Panel, Patient, open_panel, put_patient


class _Skipped(pytest.Module):
    """A file of tests that cannot even be imported here."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(MISSING, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Any:
    if not MISSING or module_path.name in FILES_ONLY or module_path.parent.name != "panel":
        return None
    return _Skipped.from_parent(parent, path=module_path)


if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


@pytest.fixture
def a_scene() -> Iterator[Any]:
    """The application's scene, empty of anyone's data; nothing of it is left for the next test."""
    from standins.session import begin, end

    begin()
    import slicer

    yield slicer.mrmlScene
    end()


@pytest.fixture
def a_panel(a_scene: Any) -> Iterator[Panel]:
    """The module, opened by a user in an empty scene."""
    panel = open_panel()
    yield panel
    panel.close()


@pytest.fixture
def a_patient_in_the_scene(a_scene: Any) -> Patient:
    """Five slices of a phantom's bSSFP, LGE and T2, and a segmentation of its ventricle."""
    return put_patient(A_PATIENT)


@pytest.fixture
def a_library(a_panel: Panel) -> Any:
    """The functions of `inputs`, as Apply uses them."""
    from DeepGMMSegmentationLib import inputs

    return inputs


@pytest.fixture
def a_complete_panel(a_panel: Panel, a_patient_in_the_scene: Patient) -> Panel:
    """With everything chosen in its inputs."""
    a_patient_in_the_scene.choose(a_panel)
    return a_panel


@pytest.fixture
def screenshot(tmp_path: Path) -> Callable[[QWidget, str], Path]:
    """Write a widget as a picture into the folder that DEEPGMM_SCREENSHOTS names."""
    folder = Path(os.environ.get("DEEPGMM_SCREENSHOTS", tmp_path))

    def take(widget: QWidget, name: str) -> Path:
        import slicer

        folder.mkdir(parents=True, exist_ok=True)
        slicer.app.processEvents()
        path = folder / f"{name}.png"
        assert widget.grab().save(str(path))
        return path

    return take


@pytest.fixture
def a_desk(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """The module opened in an empty scene, with a worker by hand."""
    from desk import Desk
    from worker_by_hand import WorkerByHand

    from deepgmm.jobs import client

    worker = WorkerByHand()
    monkeypatch.setattr(client, "Worker", lambda: worker)
    return Desk(request.getfixturevalue("a_panel"), worker)


@pytest.fixture
def a_desk_with_a_patient(a_desk: Any, a_patient_in_the_scene: Patient) -> Any:
    """The same with all inputs chosen."""
    a_patient_in_the_scene.choose(a_desk.panel)
    return a_desk
