"""The tutorial of Docs/slicer.md, followed step by step; its pictures are taken here.

    DEEPGMM_SCREENSHOTS=Docs/pictures/slicer python -m pytest Testing/panel/test_tutorial.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from dicom_files import Examination, add_distractors, add_sequences
from panels import Panel
from standins import SampleData, dialogs

from deepgmm.phantom import make_patient
from deepgmm.scene.labels import labels_of


@pytest.fixture
def a_sample(a_panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sample's nodes, by the Sample Data module's own way."""
    from DeepGMMSegmentationLib import sample

    SampleData.SOURCES.clear()
    monkeypatch.setattr(SampleData.SampleDataLogic, "scene", slicer.mrmlScene)
    monkeypatch.setattr(SampleData.SampleDataLogic, "cache", tmp_path)
    monkeypatch.setitem(sys.modules, "SampleData", SampleData)
    sample.register(Path(a_panel.module.__file__).parent)
    return SampleData.downloadSamples(sample.NAME)


class Presses:
    """A user's presses and menu choices, counted; looking and correcting are not."""

    def __init__(self, panel: Panel) -> None:
        self._panel, self.done = panel, []

    def menu(self, what: str) -> None:
        self.done.append(what)

    def press(self, button: Any) -> None:
        assert button.enabled, button.objectName
        self.done.append(button.text)
        button.click()
        self._panel.settle()


@pytest.fixture
def an_examination(tmp_path: Path) -> Examination:
    """The sample patient as a scanner exports him, other series beside."""
    patient = make_patient(1)
    study, folder = patient.study, Examination(tmp_path / "examination")
    add_sequences(folder, patient)
    add_distractors(folder, study.geometry, study.mask.shape[1:])
    return folder


@pytest.mark.slow
def test_from_the_dicom_folder_to_the_saved_numbers(
    a_panel: Panel, an_examination: Examination, screenshot: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, ui, user = a_panel, a_panel.ui, Presses(a_panel)
    saved = tmp_path / "numbers.csv"

    def folder_chosen(*_: Any) -> str:
        user.menu("the folder")
        return str(an_examination.folder)

    def file_chosen(*_: Any) -> str:
        user.menu("the file")
        return str(saved)

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", folder_chosen)
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", file_chosen)
    window = panel.window(1440, 940)
    user.menu("DeepGMM Segmentation")

    assert not ui.applyButton.enabled
    user.press(ui.loadExaminationButton)
    assert [one.GetName() for one in (panel.state.bssfp, panel.state.lge, panel.state.t2)] == [
        "bSSFP", "LGE", "T2"], ui.statusLabel.text
    assert "series 31" in ui.statusLabel.text and "Not used" in ui.statusLabel.text
    lge = panel.state.lge
    screenshot(window, "inputs")

    user.press(ui.proposeMaskButton)
    idle(panel)
    assert panel.state.mask is not None, ui.statusLabel.text
    ui.segmentEditorWidget.setActiveEffect(None)
    panel.settle()
    screenshot(window, "proposed")
    user.press(ui.maskLookedAtCheckBox)
    user.press(ui.reviewLayoutButton)
    assert ui.nextStepLabel.text == "Next: press Apply."

    user.press(ui.applyButton)
    panel.wait_until(lambda: panel.widget.panel.run.fraction > 0, 60)
    screenshot(window, "running")
    finished(panel)
    assert ui.inputsCollapsibleButton.collapsed and not ui.resultsCollapsibleButton.collapsed
    screenshot(window, "review")

    # looking
    ui.uncertaintyButton.click()
    ui.nextUncertainButton.click()
    panel.settle()
    screenshot(window, "uncertain")
    ui.uncertaintyButton.click()

    # correcting
    ui.sliceTable.setCurrentCell(2, 0)
    ui.slicesCollapsibleButton.collapsed = ui.resultsCollapsibleButton.collapsed = True
    ui.editorCollapsibleButton.collapsed = False
    panel.settle()
    screenshot(window, "editor")
    before = ui.numbersLabel.text
    erase_an_island(panel, lge)
    panel.wait_until(lambda: "Scar" in ui.numbersLabel.text)
    assert "Scar" not in before
    ui.editorCollapsibleButton.collapsed = True
    ui.slicesCollapsibleButton.collapsed = ui.resultsCollapsibleButton.collapsed = False
    ui.sliceTable.item(2, 2).setCheckState(qt.Qt.Checked)
    panel.settle()
    assert list(panel.state.locked) == [2]
    assert "slice 3; slice 3 done." in ui.correctedLabel.text
    screenshot(window, "corrected")
    ui.sliceTable.setCurrentCell(1, 0)
    ui.drawBorderButton.click()
    draw_around_the_pool(panel, lge, 3)
    panel.settle()
    assert "border on slice 2" in ui.correctedLabel.text
    screenshot(window, "border")
    mine = labels_of(panel.state.output, lge)[2]
    ui.refineButton.click()
    idle(panel)
    assert ui.statusLabel.text.startswith("Refined in "), ui.statusLabel.text
    assert (labels_of(panel.state.output, lge)[2] == mine).all()
    assert "Look next at slice" in ui.correctedLabel.text
    assert panel.widget.panel.run.fitted.answer.result.corrections.bordered == [3]
    assert "followed on slice" in ui.statusLabel.text
    screenshot(window, "refined")

    # what followed, and why
    ui.slicesCollapsibleButton.collapsed = ui.ahaGroupBox.collapsed = True
    ui.compareButton.click()
    panel.settle()
    window.resize(1440, 1520)
    ui.sliceTable.setCurrentCell(1, 0)
    panel.settle()
    assert not ui.differencesTable.isHidden() and ui.correctionsTable.rowCount > 1
    assert not clipped(ui)
    screenshot(window, "compared")
    ui.compareButton.click()
    window.resize(1440, 940)
    panel.settle()

    ui.slicesCollapsibleButton.collapsed = ui.resultsCollapsibleButton.collapsed = True
    user.menu("Numbers")
    ui.numbersCollapsibleButton.collapsed = False
    panel.wait_until(lambda: ui.methodsTable.isVisible(), 60)
    panel.settle()
    window.resize(1440, 1240)
    panel.settle()
    screenshot(window, "numbers")
    user.press(ui.saveTableButton)
    idle(panel)
    rows = saved.read_text(encoding="utf-8-sig").splitlines()
    assert any(row.startswith("study,,study,scar_mass,") for row in rows)
    assert any(row.startswith("method,FWHM,") for row in rows)
    assert len(user.done) <= 10, user.done

    window.resize(1440, 940)
    ui.numbersCollapsibleButton.collapsed = True
    ui.slicesCollapsibleButton.collapsed = ui.resultsCollapsibleButton.collapsed = False
    leave_out(panel, 0, "the apex is blurred")
    dialogs.answer("Yes")
    ui.applyButton.click()
    finished(panel)
    screenshot(window, "left-out")
    assert ui.sliceTable.item(4, 6).text() == "the apex is blurred"


@pytest.mark.slow
@pytest.mark.parametrize("look", ["large", "narrow", "dark"])
def test_the_panel_in_other_looks(a_panel: Panel, a_sample: list[Any], look: str,
                                  screenshot: Callable[..., Path]) -> None:
    """Nothing that is shown is clipped, whatever the font, the width and the colours."""
    application = qt.QApplication.instance()
    font, palette = application.font(), application.palette()
    try:
        if look == "large":
            application.setFont(qt.QFont(font.family(), round(1.6 * font.pointSize())))
        if look == "dark":
            application.setPalette(dark())
        panel, ui = a_panel, a_panel.ui
        window = panel.window(900 if look == "narrow" else 1440, 940)
        ui.chooseFromSceneButton.click()
        panel.wait_until(lambda: ui.applyButton.enabled)
        ui.applyButton.click()
        finished(panel)
        screenshot(window, f"look-{look}")
        assert not clipped(ui)
        ui.slicesCollapsibleButton.collapsed = ui.resultsCollapsibleButton.collapsed = True
        ui.inputsCollapsibleButton.collapsed = ui.maskCollapsibleButton.collapsed = False
        panel.settle()
        screenshot(window, f"look-{look}-inputs")
        assert not clipped(ui)
        ui.inputsCollapsibleButton.collapsed = ui.maskCollapsibleButton.collapsed = True
        ui.numbersCollapsibleButton.collapsed = False
        panel.wait_until(lambda: ui.methodsTable.isVisible(), 60)
        panel.settle()
        screenshot(window, f"look-{look}-numbers")
        assert not clipped(ui)
    finally:
        application.setFont(font)
        application.setPalette(palette)


def dark() -> Any:
    """Slicer's dark palette, near enough."""
    roles = qt.QPalette
    palette = qt.QPalette()
    for role, grey in ((roles.Window, 50), (roles.Base, 35), (roles.AlternateBase, 50),
                       (roles.Button, 60), (roles.ToolTipBase, 50)):
        palette.setColor(role, qt.QColor(grey, grey, grey))
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.ToolTipText,
                 roles.BrightText):
        palette.setColor(role, qt.QColor(225, 225, 225))
    return palette


def clipped(ui: Any) -> list[str]:
    """Buttons, labels and columns whose words have no room, and sections wider than the panel."""
    found = [name for name, one in vars(ui).items()
             if name.endswith("CollapsibleButton") and one.isVisible()
             and name != "editorCollapsibleButton"  # Slicer's own
             and 0 < one.visibleRegion().boundingRect().width() < one.width]
    for name, widget in vars(ui).items():
        if isinstance(widget, qt.QPushButton) and widget.isVisible() \
                and widget.width < widget.fontMetrics().horizontalAdvance(widget.text):
            found.append(name)
        if isinstance(widget, qt.QTableWidget) and widget.isVisible():
            header = widget.horizontalHeader()
            found += [f"{name}, column {i}" for i in range(header.count())
                      if header.sectionSize(i) < header.fontMetrics().horizontalAdvance(
                          widget.horizontalHeaderItem(i).text())]
        if isinstance(widget, qt.QLabel) and widget.isVisible() and widget.wordWrap \
                and widget.height < widget.heightForWidth(widget.width):
            found.append(name)
    return found


def idle(panel: Panel) -> None:
    panel.wait_until(lambda: not panel.widget.panel.run.busy, 120)
    panel.settle()


def finished(panel: Panel) -> None:
    idle(panel)
    assert panel.state.output is not None, panel.ui.statusLabel.text
    panel.settle()


def leave_out(panel: Panel, index: int, why: str) -> None:
    """Take away the tick under Use, and write why."""
    row = panel.ui.sliceTable.rowCount - 1 - index  # the base comes first
    panel.ui.sliceTable.item(row, 1).setCheckState(qt.Qt.Unchecked)
    panel.settle()
    panel.ui.sliceTable.item(row, 6).setText(why)
    panel.settle()
    assert dict(panel.state.excluded) == {index: why}


def draw_around_the_pool(panel: Panel, lge: Any, index: int) -> None:
    """As clicks in a slice view along the border of pool and wall do, and a right click then."""
    selection, interaction = (slicer.mrmlScene.GetFirstNodeByClass(f"vtkMRML{one}Node")
                              for one in ("Selection", "Interaction"))
    curve = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
    pool = np.argwhere(labels_of(panel.state.output, lge)[index] == 1)
    away = pool - pool.mean(0)
    angles = np.arctan2(*away.T)
    to_ras = slicer.util.vtkMatrixFromArray(np.eye(4))
    lge.GetIJKToRASMatrix(to_ras)
    for angle in np.arange(12) * np.pi / 6:
        near = np.abs(np.angle(np.exp(1j * (angles - angle)))) < np.pi / 12
        radius = np.percentile(np.hypot(*away[near].T), 95) + 0.5
        row, column = pool.mean(0) + radius * np.array([np.sin(angle), np.cos(angle)])
        curve.AddControlPoint(*to_ras.MultiplyPoint((column, row, index, 1.0))[:3])
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


def erase_an_island(panel: Panel, lge: Any) -> None:
    """As Erase in the editor does: scar of slice 2 beyond a column becomes myocardium."""
    scar, myocardium = (slicer.util.arrayFromSegmentBinaryLabelmap(panel.state.output, one, lge)
                        for one in ("scar", "myocardium"))
    columns = np.flatnonzero(scar[2].any(axis=0))
    away = np.zeros_like(scar, bool)
    away[2, :, columns[len(columns) // 2]:] = scar[2, :, columns[len(columns) // 2]:] > 0
    for name, voxels in (("scar", np.where(away, 0, scar)),
                         ("myocardium", np.where(away, 1, myocardium))):
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels.astype(np.uint8),
                                                         panel.state.output, name, lge)
    panel.settle()
