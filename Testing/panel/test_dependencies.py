"""Packages that Slicer lacks are asked for once, on Apply, and whatever happens is said plainly."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import qt
import slicer
from DeepGMMSegmentationLib import dependencies, installing
from standins import dialogs

import deepgmm
from deepgmm.errors import InputError


class Site:
    """A folder on Python's path into which packages are "installed", and what pip was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torch = True
        self.asked_of_pip: list[tuple[list[str], str]] = []

    def put(self, name: str, version: str) -> None:
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def pip_ensure(self, requirements, constraints=None, **how) -> None:
        """As slicer.packaging's; it asks only where it is told to."""
        assert how == {"prompt_install": False, "requester": "DeepGMM"}
        self.asked_of_pip.append((list(requirements), Path(constraints).read_text()))
        self.constraints = constraints
        for one in requirements:
            self.put(one.split(">")[0], "9.0")


@pytest.fixture
def a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A Slicer with PyTorch and without the package that the requirements name."""
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    monkeypatch.syspath_prepend(str(site.folder))
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("# a comment\nnot-in-any-slicer>=2.0\n")
    monkeypatch.setattr(dependencies, "REQUIREMENTS", wanted)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: (
        None if name == "torch" and not site.torch else find(name, *more)))
    _offer_pip(site.pip_ensure, monkeypatch)
    dialogs.forget()
    return site


def _offer_pip(function, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("slicer.packaging")
    module.pip_ensure = function
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)


@pytest.fixture
def the_pytorch_extension(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> list:
    """The PyTorch extension is installed, torch is not; what its installer was told."""
    a_site.torch = False
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: (
        _not_there() if name == "torch" and not a_site.torch else version(name)))
    told: list = []

    class PyTorchUtilsLogic:
        def installTorch(self, **how):
            """As it is in the extension: torchvision too, no constraints, torch imported."""
            raise AssertionError("torch is imported into Slicer")

    def run_module(name, arguments, title):
        told.append((name, arguments[:-1], Path(arguments[-1]).read_text()))
        a_site.torch = a_site.torch or name == "light_the_torch"

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    monkeypatch.setattr(dependencies.installing, "run_module", run_module)
    return told


def _not_there():
    raise importlib.metadata.PackageNotFoundError("torch")


def test_where_all_is_there_nothing_is_asked(a_site: Site) -> None:
    a_site.put("not-in-any-slicer", "2.0")
    dependencies.ensure()
    assert not dialogs.asked and not a_site.asked_of_pip


def test_what_is_missing_is_installed_after_one_question(a_site: Site) -> None:
    assert dependencies.missing() == ["not-in-any-slicer>=2.0"]
    dialogs.answer("Ok")
    dependencies.ensure()
    assert dependencies.missing() == []
    assert len(dialogs.asked) == 1 and "not-in-any-slicer>=2.0" in dialogs.asked[0].text
    assert a_site.asked_of_pip[0][0] == ["not-in-any-slicer>=2.0"]


def test_what_slicer_and_others_use_is_pinned_as_it_is(a_site: Site) -> None:
    dialogs.answer("Ok")
    dependencies.ensure()
    pinned = dict(line.split("==") for line in a_site.asked_of_pip[0][1].split())
    assert pinned == {name: importlib.metadata.version(name)
                      for name in ("numpy", "scipy", "SimpleITK", "pillow", "torch")}
    assert not Path(a_site.constraints).exists()


def test_a_package_that_is_too_old_is_missing(a_site: Site) -> None:
    a_site.put("not-in-any-slicer", "1.9")
    assert dependencies.missing() == ["not-in-any-slicer>=2.0"]


def test_a_refusal_installs_nothing_and_says_so(a_site: Site) -> None:
    dialogs.answer("Cancel")
    with pytest.raises(InputError, match="Nothing was installed.*press Apply to be asked again"):
        dependencies.ensure()
    assert not a_site.asked_of_pip


def test_in_testing_mode_nothing_is_installed_and_that_is_said(
        a_site: Site, the_pytorch_extension: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(slicer.app), "testingEnabled", staticmethod(lambda: True))
    with pytest.raises(InputError, match="testing mode"):
        dependencies.ensure()
    assert not a_site.asked_of_pip and not the_pytorch_extension and not dialogs.asked


PIP_SAYS = {
    "offline": ("WARNING: Retrying after connection broken by 'NewConnectionError(': Failed to "
                "establish a new connection: [Errno -3] Temporary failure in name resolution')'\n"
                "ERROR: No matching distribution found", "could not reach the internet"),
    "certificate": ("SSLError(SSLCertVerificationError('CERTIFICATE_VERIFY_FAILED'))",
                    "certificate is not trusted"),
    "full disk": ("ERROR: [Errno 28] No space left on device", "disk is full"),
    "no right": ("ERROR: [WinError 5] Access is denied: 'C:\\\\...'", "cannot be written to"),
    "others": ("ERROR: ResolutionImpossible: conflicting dependencies", "another extension"),
    "whatever": ("ERROR: something else", "Python console"),
}


@pytest.mark.parametrize("said, meant", PIP_SAYS.values(), ids=PIP_SAYS.keys())
def test_a_failed_installation_says_why_and_what_to_do(
        a_site: Site, monkeypatch: pytest.MonkeyPatch, capsys, said: str, meant: str) -> None:
    def failing(requirements, **how):
        print(said)
        raise subprocess.CalledProcessError(1, "pip install")

    _offer_pip(failing, monkeypatch)
    dialogs.answer("Ok")
    with pytest.raises(InputError, match=meant) as caught:
        dependencies.ensure()
    assert "not-in-any-slicer" in str(caught.value)
    assert said in capsys.readouterr().out  # it is still in the console


def test_an_installation_declined_by_slicer_is_said(a_site: Site, monkeypatch) -> None:
    def declined(requirements, **how):
        raise RuntimeError("User declined package installation")

    _offer_pip(declined, monkeypatch)
    dialogs.answer("Ok")
    with pytest.raises(InputError, match="was declined. Press Apply"):
        dependencies.ensure()


def test_an_installation_that_did_nothing_is_noticed(a_site: Site, monkeypatch) -> None:
    _offer_pip(lambda requirements, **how: None, monkeypatch)
    dialogs.answer("Ok")
    with pytest.raises(InputError, match="cannot be found: restart Slicer"):
        dependencies.ensure()


def test_before_slicer_5_11_pip_is_called_with_the_same_pins(a_site: Site, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    calls = []

    def pip_install(requirements):
        calls.append((requirements, Path(requirements[-1]).read_text()))
        a_site.put("not-in-any-slicer", "2.1")

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    dialogs.answer("Ok")
    dependencies.ensure()
    (words, pins), = calls
    assert words[:2] == ["not-in-any-slicer>=2.0", "--constraint"]
    assert f"numpy=={importlib.metadata.version('numpy')}" in pins


def test_without_the_pytorch_extension_the_user_is_sent_there(a_site: Site, monkeypatch) -> None:
    a_site.torch = False
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(InputError, match="install the PyTorch extension from the Extensions "
                                         "Manager, restart Slicer"):
        dependencies.ensure()
    assert not dialogs.asked and not a_site.asked_of_pip


def test_pytorch_comes_through_its_extension_in_the_same_question(
        a_site: Site, the_pytorch_extension: list) -> None:
    dialogs.answer("Ok")
    dependencies.ensure()
    assert [(name, words) for name, words, _pins in the_pytorch_extension] == [
        ("pip", ["install", "light-the-torch>=0.5", "--constraint"]),
        ("light_the_torch", ["install", "torch>=2.2", "--constraint"])]
    for _name, _words, pins in the_pytorch_extension:
        assert {line.split("==")[0] for line in pins.split()} == {
            "numpy", "scipy", "SimpleITK", "pillow"}
    assert len(dialogs.asked) == 1
    assert "torch>=2.2" in dialogs.asked[0].text and "some minutes" in dialogs.asked[0].text
    assert [words for words, _pins in a_site.asked_of_pip] == [["not-in-any-slicer>=2.0"]]


def test_an_old_pytorch_is_not_replaced(a_site: Site, the_pytorch_extension: list,
                                       monkeypatch) -> None:
    a_site.torch = True
    monkeypatch.setattr(importlib.metadata, "version",
                        lambda name: "1.13.1" if name == "torch" else _not_there())
    with pytest.raises(InputError, match="PyTorch 1.13.1 is too old"):
        dependencies.ensure()
    assert not the_pytorch_extension and not dialogs.asked


def test_another_deepgmm_elsewhere_is_reported(tmp_path: Path, monkeypatch) -> None:
    assert dependencies.other_version() == ""
    (tmp_path / "deepgmm").mkdir()
    (tmp_path / "deepgmm/__init__.py").write_text('__version__ = "0.0.3"\n')
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert dependencies.other_version() == "0.0.3"
    (tmp_path / "deepgmm/__init__.py").write_text(f'__version__ = "{deepgmm.__version__}"\n')
    assert dependencies.other_version() == ""


def test_another_deepgmm_in_the_modules_place_is_refused(a_site: Site, monkeypatch) -> None:
    monkeypatch.setattr(deepgmm, "__file__", str(a_site.folder / "deepgmm/__init__.py"))
    with pytest.raises(InputError, match="Another DeepGMM, version .* was loaded"):
        dependencies.ensure()


def a_program(folder: Path, monkeypatch, text: str) -> None:
    (folder / "installer_of_the_test.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_long_installation_runs_in_a_process_of_its_own(
        a_scene, tmp_path: Path, monkeypatch, capsys) -> None:
    a_program(tmp_path, monkeypatch, "import os, sys; print('from', os.getppid(), sys.argv[1])")
    installing.run_module("installer_of_the_test", ["word"], "Installing")
    assert f"from {os.getpid()} word" in capsys.readouterr().out
    a_program(tmp_path, monkeypatch, "print('No space left'); raise SystemExit(3)")
    with pytest.raises(subprocess.CalledProcessError):
        installing.run_module("installer_of_the_test", [], "Installing")
    assert "No space left" in capsys.readouterr().out


def test_a_long_installation_can_be_stopped(a_scene, tmp_path: Path, monkeypatch) -> None:
    a_program(tmp_path, monkeypatch, "import time; print('begun', flush=True); time.sleep(60)")

    timer = qt.QTimer()

    def press_cancel() -> None:
        for one in slicer.app.topLevelWidgets():
            if isinstance(one, qt.QProgressDialog) and "begun" in one.labelText:
                timer.stop()
                one.canceled.emit()  # as its button does
                return

    timer.timeout.connect(press_cancel)
    timer.start(20)
    with pytest.raises(InputError, match="It was stopped. Press the button"):
        installing.run_module("installer_of_the_test", [], "Installing")
