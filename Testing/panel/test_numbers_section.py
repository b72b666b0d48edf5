"""The Numbers section: what follows a stroke, what the worker measures, what is saved."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import qt
import slicer
from desk import Desk
from finished import finish, open_again
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from standins import dialogs

from deepgmm.jobs.client import State
from deepgmm.review import figures
from deepgmm.review.bullseye import sectors
from deepgmm.review.numbers import quantify
from deepgmm.scene.labels import labels_of
from deepgmm.scene.measured import numbers_of
from deepgmm.study.words import Tissue


def cells(table) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(table.columnCount)]
            for row in range(table.rowCount)]


def section(desk: Desk):
    return next(one for one in desk.panel.widget.panel.sections
                if type(one).__name__ == "NumbersSection")


def place_insertions(desk: Desk, patient) -> None:
    study = patient.phantom.study
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "RV")
    to_lps = study.geometry.index_to_world()
    for row, column in study.insertion_points[2]:
        points.AddControlPoint(*map(float, (to_lps @ [column, row, 2, 1] * [-1, -1, 1, 1])[:3]))
    desk.panel.state.insertionPoints = points


@pytest.fixture
def a_result(a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> Desk:
    """With insertion points and a result, the section unfolded; the worker is ready."""
    desk = a_desk_with_a_patient
    place_insertions(desk, a_patient_in_the_scene)
    desk.worker.is_ready()
    finish(desk.panel, a_patient_in_the_scene)
    desk.panel.window()
    desk.ui.numbersCollapsibleButton.collapsed = False
    desk.panel.wait_until(lambda: section(desk)._numbers is not None)
    return desk


def measured(desk: Desk) -> None:
    """The worker is asked by itself; it answers."""
    desk.panel.wait_until(lambda: desk.worker.state is State.BUSY)
    assert desk.worker.orders[-1][0] == "measure"
    desk.finish()
    desk.panel.settle()


def expected(desk: Desk, patient, **more):
    study = patient.phantom.study
    points = np.broadcast_to(study.insertion_points[2], (len(study.mask), 2, 2))
    return quantify(labels_of(desk.panel.state.output, patient.lge), study.geometry,
                    mask=study.mask, sequences=study.sequences, points=points,
                    tissues=study.tissues, **more)


def test_masses_and_segments_are_those_of_the_library(a_result: Desk,
                                                      a_patient_in_the_scene) -> None:
    wanted = expected(a_result, a_patient_in_the_scene)
    rows = {row[0]: row[1:] for row in cells(a_result.ui.massTable)}
    scar, wall = wanted.get("scar_mass"), wanted.get("wall_volume")
    assert rows["Scar"][1] == f"{scar.value:.1f}" and rows["LV wall"][0] == f"{wall.value:.1f}"
    assert rows["Scar"][2] == f"{wanted.get('scar_percent').value:.0f}"
    shown = section(a_result)._numbers
    for number in range(1, 17):
        for key in ("infarct_percent", "edema_percent", "transmurality_mean_radial"):
            one, other = shown.get(key, "segment", number), wanted.get(key, "segment", number)
            assert one.value == pytest.approx(other.value, abs=1e-9), (number, key)
    assert f"mean {wanted.get('transmurality_mean_radial').value:.0f}\N{NO-BREAK SPACE}%" \
        in a_result.ui.transmuralityLabel.text


def test_a_stroke_is_followed_and_the_worker_is_asked_again(a_result: Desk,
                                                            a_patient_in_the_scene) -> None:
    desk, patient = a_result, a_patient_in_the_scene
    measured(desk)
    output = desk.panel.state.output
    assert numbers_of(output)
    before = section(desk)._numbers.get("infarct_percent").value
    picture = desk.ui.bullseyeLabel.pixmap.toImage()
    scar = slicer.util.arrayFromSegmentBinaryLabelmap(output, "scar", patient.lge)
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros_like(scar), output, "scar",
                                                     patient.lge)
    # two timers follow a stroke and a refresh comes after the later one: this is what is said last
    desk.panel.wait_until(lambda: "being measured" in desk.ui.measureLabel.text)
    assert section(desk)._numbers.get("infarct_percent").value == 0
    assert before > 0 and desk.ui.bullseyeLabel.pixmap.toImage() != picture
    assert not numbers_of(output)  # no longer true, and so not kept
    measured(desk)
    assert {one.value for one in numbers_of(output)
            if one.key == "infarct_percent" and one.scope == "study"} == {0.0}


def test_the_reference_methods_stand_beside_ours(a_result: Desk, a_patient_in_the_scene) -> None:
    measured(a_result)
    wanted = expected(a_result, a_patient_in_the_scene).of("method")
    rows = {row[0]: row[1:] for row in cells(a_result.ui.methodsTable)}
    assert list(rows)[0] == "Segments drawn"
    for name in ("2 SD", "3 SD", "5 SD", "6 SD", "FWHM", "Otsu", "GMM"):
        assert rows[name][0] == f"{wanted[name]['infarct_percent'].value:.0f}", name
        assert rows[name][3] == f"{wanted[name]['dice_with_segmentation'].value:.2f}", name
    assert rows["T2 2 SD"][2] == f"{wanted['T2 2 SD']['area_at_risk_percent'].value:.0f}"


def test_a_click_on_a_sector_goes_to_its_slice(a_result: Desk, a_patient_in_the_scene) -> None:
    label, shown = a_result.ui.bullseyeLabel, section(a_result)._numbers
    a_result.panel.settle()
    values = {n: shown.get("infarct_percent", "segment", n).value for n in range(1, 17)}
    fullest = max(values, key=values.get)
    right, up = next(s.middle for s in sectors() if s.segment == fullest)
    radius = label.height / 2 * 0.86
    QTest.mouseClick(label, Qt.LeftButton, Qt.NoModifier, QPoint(
        round(label.width / 2 + right * radius), round(label.height / 2 - up * radius)))
    labels = labels_of(a_result.panel.state.output, a_patient_in_the_scene.lge)
    numbers = expected(a_result, a_patient_in_the_scene)
    scar = ((numbers.segments == fullest) & (labels == Tissue.SCAR)).sum(axis=(1, 2))
    table = a_result.ui.sliceTable
    assert table.item(table.currentRow(), 0).text() == str(
        a_result.panel.widget.panel.numbering.of(int(scar.argmax())))
    assert a_result.ui.segmentLabel.text.startswith(f"{fullest} ")
    assert f"infarct {values[fullest]:.0f} %" in a_result.ui.segmentLabel.text


def test_the_model_of_17_and_what_is_shown_are_choices(a_result: Desk) -> None:
    first = a_result.ui.bullseyeLabel.pixmap.toImage()
    a_result.ui.bullseyeComboBox.currentIndex = 1
    a_result.panel.settle()
    assert a_result.panel.state.bullseye == "edema_percent"
    assert a_result.ui.bullseyeLabel.pixmap.toImage() != first
    a_result.ui.segmentModelComboBox.currentIndex = 1
    a_result.panel.wait_until(lambda: section(a_result)._numbers.model == 17)


def test_folded_it_asks_for_nothing(a_desk_with_a_patient: Desk, a_patient_in_the_scene) -> None:
    a_desk_with_a_patient.worker.is_ready()
    finish(a_desk_with_a_patient.panel, a_patient_in_the_scene)
    later = section(a_desk_with_a_patient)._later
    assert not later.active and section(a_desk_with_a_patient)._live is None


def test_apply_need_not_wait_for_what_nobody_waits_for(a_result: Desk) -> None:
    desk = a_result
    desk.panel.wait_until(lambda: desk.worker.orders and desk.worker.orders[-1][0] == "measure")
    assert desk.ui.applyButton.text == "Apply"
    dialogs.answer("Yes")
    desk.apply()
    assert desk.ui.applyButton.text == "Cancel" and desk.worker.orders[-1][0] == "measure"
    desk.worker.has_stopped()
    desk.look()
    assert desk.worker.orders[-1][0] == "segment"
    assert not numbers_of(desk.panel.state.output)


@pytest.mark.parametrize("button, name", [("saveTableButton", "all.csv"),
                                          ("saveReportButton", "page.html"),
                                          ("saveDicomButton", "seg.dcm")])
def test_files_from_one_button_each(a_result: Desk, button: str, name: str, tmp_path,
                                    monkeypatch) -> None:
    path = tmp_path / name
    for slow in ("contours", "methods", "edema_methods", "histogram", "uncertainty"):
        monkeypatch.setattr(figures, slow, lambda *_: None)  # tested as pictures of a report
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: str(path))
    measured(a_result)
    getattr(a_result.ui, button).click()
    assert a_result.worker.orders[-1][0] == "measure" and a_result.ui.applyButton.text == "Cancel"
    a_result.finish()
    assert a_result.said.startswith(f"Saved as {name}.") and str(tmp_path) not in a_result.said
    if name == "all.csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        shown = section(a_result)._numbers.get("scar_mass").value
        (row,) = [one for one in rows if (one["scope"], one["quantity"]) == ("study", "scar_mass")]
        assert float(row["value"]) == pytest.approx(shown) and row["low_90"]
    elif name == "page.html":
        page = path.read_text(encoding="utf-8")
        assert "Bull's-eye" in page.replace("&#x27;", "'") and "Reference methods" in page
    else:
        pydicom = pytest.importorskip("pydicom")
        seg = pydicom.dcmread(path)
        assert seg.Modality == "SEG" and len(seg.SegmentSequence) == 4
        assert "derived series" in a_result.said


def test_a_scene_opened_again_has_its_numbers(a_result: Desk, tmp_path) -> None:
    measured(a_result)
    rows = cells(a_result.ui.methodsTable)
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    open_again(path)
    a_result.panel.settle()
    assert cells(a_result.ui.methodsTable) == rows


def test_why_nothing_was_measured_is_said(a_result: Desk) -> None:
    a_result.panel.wait_until(lambda: a_result.worker.state is State.BUSY)
    a_result.worker.fails("dependencies", "a package is missing: press Apply")
    a_result.look()
    assert a_result.ui.measureLabel.text.startswith("A package is missing: press Apply.")
    assert a_result.ui.massTable.rowCount >= 5 and not a_result.ui.methodsTable.isVisible()


def test_a_table_that_says_the_same_is_not_touched(a_result: Desk) -> None:
    """Each change of a cell has the table measure its columns again, at every stroke."""
    table, changes = a_result.ui.massTable, []
    table.connect("itemChanged(QTableWidgetItem*)", changes.append)
    section(a_result)._show_live()
    assert not changes
    before = table.item(0, 1).text()
    table.item(0, 1).setText("other")
    changes.clear()
    section(a_result)._show_live()
    assert len(changes) == 1 and table.item(0, 1).text() == before
