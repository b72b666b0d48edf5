"""Method, preset, network and device: explained, restored, and grey where they mean nothing."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import qt
from DeepGMMSegmentationLib.method import (
    _WIDGETS,
    about_device,
    chosen_settings,
    fields_read,
)
from DeepGMMSegmentationLib.parameters import SETTINGS
from DeepGMMSegmentationLib.warming import Warming
from standins import dialogs
from worker_by_hand import CPU_ONLY

from deepgmm.acting import ACTS_ON
from deepgmm.cli.idle import idle_options
from deepgmm.settings import Device, Method, Preset, Settings
from deepgmm.weights.shelf import SHIPPED, VARIABLE

GPU = {**CPU_ONLY, "devices": [*CPU_ONLY["devices"],
                               {"id": "cuda", "name": "Some GPU", "memory": 24 * 2**30}]}


def entries(combo) -> list[str]:
    return [combo.itemText(i) for i in range(combo.count)]


def choose(combo, label: str) -> None:
    combo.currentIndex = entries(combo).index(label)


@pytest.fixture
def a_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder of networks, with one that can be used and one that cannot."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "shelf"))
    shipped = next(SHIPPED.iterdir())
    for name in ("ours", "damaged"):
        shutil.copytree(shipped, tmp_path / "shelf" / name)
    card = tmp_path / "shelf/ours/card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"name": "ours"}))
    (tmp_path / "shelf/damaged/card.json").write_text("{")
    monkeypatch.setattr(Warming, "done", True)
    return tmp_path / "shelf"


def test_every_method_and_preset_can_be_chosen_and_is_explained(a_panel) -> None:
    ui, state = a_panel.ui, a_panel.state
    seen = set()
    for combo, field, every in ((ui.methodComboBox, "method", Method),
                                (ui.presetComboBox, "preset", Preset)):
        for index in range(combo.count):
            combo.currentIndex = index
            seen.add(getattr(state, field))
            assert combo.itemData(index, qt.Qt.ToolTipRole)
        assert {word.value for word in every} <= seen
    for index in range(ui.methodComboBox.count):
        ui.methodComboBox.currentIndex = index
        a_panel.widget.panel.refresh_now()
        assert ui.methodLabel.text == ui.methodComboBox.itemData(index, qt.Qt.ToolTipRole)
        assert ui.methodComboBox.toolTip == ui.methodLabel.text


@pytest.mark.parametrize("method", list(Method))
def test_what_a_method_does_not_read_is_grey(a_panel, method: Method) -> None:
    panel = a_panel.widget.panel
    a_panel.ui.advancedGroupBox.collapsed = False
    for preset in Preset:
        panel.state.method, panel.state.preset = method.value, preset.value
        panel.refresh_now()
        read = fields_read(method.value, preset.value)
        for field, name in _WIDGETS.items():
            assert getattr(a_panel.ui, name).enabled == (field in read), (field, preset)
    for name in ("deviceComboBox", "biasDegreeSpinBox", "priorsPathLineEdit"):
        assert getattr(a_panel.ui, name).enabled


def test_what_may_be_grey_is_what_does_not_act_on_every_method() -> None:
    assert {SETTINGS[field] for field in _WIDGETS} == ACTS_ON.keys()


@pytest.mark.parametrize("method, preset", list(itertools.product(Method, Preset)))
def test_what_is_not_grey_is_what_the_command_line_does_not_warn_of(
        method: Method, preset: Preset) -> None:
    read = {SETTINGS[field] for field in fields_read(method.value, preset.value)}
    for name, value in {"seed": 7, "restarts": 2, "papillary": "wall", "adapt": 3,
                        "covariance": "full", "mean_weight": 3.0}.items():
        said = idle_options(Settings(method=method, preset=preset, **{name: value}))
        warned = any(line.startswith(f"--{name.replace('_', '-')} ") for line in said)
        assert warned == (name not in read), name


def test_a_network_chosen_earlier_has_no_part_in_another_method(a_panel) -> None:
    state = a_panel.state
    state.method, state.model, state.adapt, state.seed = "pretrained", "ours", 5, 9
    chosen = chosen_settings(state)
    assert (chosen.model, chosen.adapt, chosen.seed) == ("ours", 5, 0)
    state.method = "auto"
    assert chosen_settings(state) == Settings()


def test_the_shelf_is_offered_with_what_cannot_be_used(a_shelf: Path, a_panel) -> None:
    panel, combo = a_panel.widget.panel, a_panel.ui.modelComboBox
    panel.each("enter")
    panel.refresh_now()
    assert entries(combo) == ["Comes with DeepGMM", "damaged (cannot be used)", "ours",
                              "Other folder..."]
    assert "synthetic-supervised" in combo.itemData(0, qt.Qt.ToolTipRole)
    choose(combo, "ours")
    assert panel.state.model == "ours"


def test_another_folder_is_looked_at_before_it_is_taken(
        a_shelf: Path, a_panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel, ui = a_panel.widget.panel, a_panel.ui
    folders = iter([str(a_shelf / "damaged"), "", str(a_shelf / "ours")])
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *words: next(folders))
    choose(ui.modelComboBox, "Other folder...")
    assert panel.state.model == "" and "card" in ui.statusLabel.text.lower()
    choose(ui.modelComboBox, "Other folder...")  # and Cancel
    assert panel.state.model == "" and ui.modelComboBox.currentText == "Comes with DeepGMM"
    choose(ui.modelComboBox, "Other folder...")
    assert panel.state.model == str(a_shelf / "ours")
    assert ui.modelComboBox.currentText == "ours"


def test_a_network_of_a_saved_scene_is_shown_where_it_is_not_here(a_panel) -> None:
    panel = a_panel.widget.panel
    panel.state.model = "/elsewhere/their-network"
    panel.refresh_now()
    assert a_panel.ui.modelComboBox.currentText == "their-network"
    assert panel.state.model == "/elsewhere/their-network"


def test_the_devices_are_those_that_the_worker_found(a_panel) -> None:
    panel, combo = a_panel.widget.panel, a_panel.ui.deviceComboBox
    assert entries(combo) == ["Automatic", "CPU"]
    panel.run.machine = GPU
    panel.refresh_now()
    assert entries(combo) == ["Automatic", "CPU", "Some GPU"]
    choose(combo, "Some GPU")
    assert panel.state.device == "cuda"
    panel.run.machine = CPU_ONLY
    panel.refresh_now()
    assert combo.currentText == "CUDA (not found here)" and panel.state.device == "cuda"


def test_it_is_said_what_the_fit_will_run_on(a_panel) -> None:
    state = a_panel.state
    assert about_device(state, None) == ""
    assert about_device(state, CPU_ONLY) == "Runs on the CPU (threads: 3), 16 GB of memory."
    assert about_device(state, GPU) == "Runs on Some GPU, 24 GB of memory."
    state.device = "mps"
    assert "choose another device" in about_device(state, GPU)
    without = {**CPU_ONLY, "torch": None, "missing": "torch is not installed: install it"}
    assert about_device(state, without) == "torch is not installed: install it"


@pytest.mark.parametrize("method", list(Method))
def test_a_slow_method_on_a_cpu_is_warned_of(a_panel, method: Method) -> None:
    state = a_panel.state
    state.method = method.value
    for device, machine in ((Device.AUTO, CPU_ONLY), (Device.CPU, GPU)):
        state.device = device.value
        assert ("minutes" in about_device(state, machine)) == (
            method in (Method.DEEPG, Method.DEEPSVG))
    state.device = Device.CUDA.value
    assert "minutes" not in about_device(state, GPU)


def test_ones_own_contrast_priors_are_chosen_by_path(a_panel, tmp_path: Path) -> None:
    panel, edit = a_panel.widget.panel, a_panel.ui.priorsPathLineEdit
    edit.currentPath = str(tmp_path / "mine.json")
    assert panel.state.priors == str(tmp_path / "mine.json")
    panel.state.priors = ""
    panel.refresh_now()
    assert edit.currentPath == ""


def test_choices_come_back_with_the_scene(a_panel) -> None:
    panel, ui = a_panel.widget.panel, a_panel.ui
    choose(ui.methodComboBox, "deepSVG")
    choose(ui.presetComboBox, "Accurate")
    ui.seedSpinBox.value = 42
    node = panel.state.parameterNode
    panel.take(None)
    panel.take(node)
    assert ui.methodComboBox.currentText == "deepSVG" and ui.seedSpinBox.value == 42
    settings = chosen_settings(panel.state)
    assert (settings.method, settings.preset, settings.seed) == (
        Method.DEEPSVG, Preset.ACCURATE, 42)
    assert not dialogs.asked
