"""What the module tests in a real Slicer, gone through on the stand-ins as far as they reach."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from panels import Panel
from standins import SampleData


@pytest.fixture
def a_slicer_in_testing_mode(
    a_panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Panel]:
    """With the Sample Data module, and with scenes saved and loaded by MRML's own code."""
    SampleData.SOURCES.clear()
    monkeypatch.setattr(SampleData.SampleDataLogic, "scene", slicer.mrmlScene)
    monkeypatch.setattr(SampleData.SampleDataLogic, "cache", tmp_path)
    monkeypatch.setitem(sys.modules, "SampleData", SampleData)
    monkeypatch.setattr(type(slicer.app), "testingEnabled", staticmethod(lambda: True))
    bundles = Bundles(tmp_path)
    monkeypatch.setattr(slicer.util, "saveScene", bundles.save)
    monkeypatch.setattr(slicer.util, "loadScene", bundles.load)
    yield a_panel


class Bundles:
    """`.mrb` files, with the logics that the application has for them."""

    def __init__(self, cache: Path) -> None:
        self.remote = slicer.vtkMRMLRemoteIOLogic()
        self.remote.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        self.remote.SetMRMLScene(slicer.mrmlScene)
        self.remote.AddDataIOToScene()
        self.manager = slicer.vtkDataIOManagerLogic()
        self.manager.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self.manager.SetAndObserveDataIOManager(self.remote.GetDataIOManager())

    def save(self, path: str) -> bool:
        return slicer.mrmlScene.WriteToMRB(path)

    def load(self, path: str) -> bool:
        return slicer.mrmlScene.ReadFromMRB(path, False, None)


@pytest.mark.slow
def test_all_its_steps_pass_here(a_slicer_in_testing_mode: Panel) -> None:
    test: Any = a_slicer_in_testing_mode.module.DeepGMMSegmentationTest()

    result = unittest.TextTestRunner().run(unittest.TestSuite([test]))

    assert result.testsRun == 1
    assert result.wasSuccessful(), "\n".join(text for _, text in result.failures + result.errors)
