"""Examinations of Slicer's DICOM browser: offered, imported as a folder is, and referred to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import slicer
from desk import Desk
from dicom_files import Examination, a_patient, add_sequences, whole
from finished import finish
from panels import Panel
from standins.dicom_database import ctkDICOMDatabase
from test_numbers_section import measured, section

from deepgmm.study.words import Role


@pytest.fixture
def browser(monkeypatch) -> ctkDICOMDatabase:
    """As it is once Slicer's DICOM module was set up."""
    database = ctkDICOMDatabase()
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    return database


def an_examination(folder: Path, **about) -> Examination:
    exam = Examination(folder, **about)
    add_sequences(exam, a_patient(slices=3), "lge t2")
    return exam


def offered(panel: Panel) -> list:
    """The menu's actions, as it opens."""
    menu = panel.ui.fromBrowserButton.menu()
    menu.aboutToShow.emit()
    return list(menu.actions())


def imported(study: Path, arguments: list[str]) -> list[str]:
    """What `deepgmm import` would leave; gives the files it was shown."""
    import SimpleITK as sitk

    study.mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((3, 4, 5), np.float32)),
                    str(study / "lge.nii.gz"))
    (study / "study.json").write_text(json.dumps({"sequences": {"lge": {
        "kind": "lge-psir", "is": "LGE", "series": [31], "slices": [{}] * 3}}}))
    return sorted(str(p.resolve()) for p in Path(arguments[1]).rglob("*"))


@pytest.fixture
def reads(monkeypatch) -> list[list[str]]:
    """The files that each import saw; the import itself stands in."""
    from DeepGMMSegmentationLib import installing

    seen: list[list[str]] = []
    monkeypatch.setattr(installing, "run_module", lambda name, arguments, title, hear: seen.append(
        imported(Path(arguments[arguments.index("-o") + 1]), arguments)))
    return seen


def test_an_examination_of_the_browser_is_imported_from_wherever_its_files_lie(
        a_panel: Panel, browser: ctkDICOMDatabase, tmp_path: Path, reads) -> None:
    first = an_examination(tmp_path / "one", patient="Doe^Jane")
    other = an_examination(tmp_path / "two", patient="Roe^Richard", patient_id="2")
    scattered = [p for p in other.folder.rglob("*") if p.is_file()][::2]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in scattered:
        file.rename(elsewhere / file.name)
    for folder in (first.folder, other.folder, elsewhere):
        browser.insert(folder)
    actions = offered(a_panel)
    assert [a.text.split(",")[0] for a in actions] == ["Roe", "Doe"]  # the last that came first
    actions[0].trigger()
    a_panel.settle()
    wanted = [*other.folder.rglob("*"), *elsewhere.rglob("*")]
    assert reads == [sorted(str(p.resolve()) for p in wanted)]
    assert a_panel.state.lge is not None and "series 31" in a_panel.ui.statusLabel.text
    assert "Roe" not in a_panel.ui.statusLabel.text and all(p.is_file() for p in wanted)


def test_what_the_browser_has_loaded_comes_first(
        a_panel: Panel, browser: ctkDICOMDatabase, tmp_path: Path, reads) -> None:
    loaded = an_examination(tmp_path / "one", patient="Doe^Jane")
    browser.insert(loaded.folder)
    browser.insert(an_examination(tmp_path / "two", patient="Roe^Richard", patient_id="2").folder)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "31: de_sa")
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(browser._images))  # the first is Jane's
    texts = [action.text for action in offered(a_panel)]
    assert texts[0].startswith("Doe") and "in the scene" in texts[0] and len(texts) == 2


@pytest.mark.parametrize("spoil", ["closed", "empty", "never set up"])
def test_without_examinations_the_menu_says_so(
        a_panel: Panel, browser: ctkDICOMDatabase, tmp_path, spoil, monkeypatch) -> None:
    if spoil != "empty":
        browser.insert(an_examination(tmp_path / "one").folder)
    browser.isOpen = spoil != "closed"
    if spoil == "never set up":
        monkeypatch.delattr(slicer, "dicomDatabase")
    (action,) = offered(a_panel)
    assert "no examination" in action.text and not action.enabled


def test_files_that_have_gone_are_said(a_panel: Panel, browser: ctkDICOMDatabase, tmp_path,
                                       reads) -> None:
    exam = an_examination(tmp_path / "one")
    browser.insert(exam.folder)
    for file in exam.folder.rglob("*"):
        file.unlink()
    offered(a_panel)[0].trigger()
    assert "not on the disk" in a_panel.ui.statusLabel.text and not reads
    assert a_panel.ui.fromBrowserButton.enabled and a_panel.state.lge is None


@pytest.mark.parametrize("source", ["folder", "browser"])
def test_dicom_seg_refers_to_the_patients_series(
        a_desk_with_a_patient: Desk, a_patient_in_the_scene, browser: ctkDICOMDatabase, tmp_path,
        monkeypatch, source: str) -> None:
    """Whichever way the examination came; the import is the real one, in its own process."""
    import pydicom
    import qt

    desk, patient = a_desk_with_a_patient, a_patient_in_the_scene
    exam = Examination(tmp_path / "exam")
    add_sequences(exam, patient.phantom, "lge")
    if source == "browser":
        browser.insert(exam.folder)
        offered(desk.panel)[0].trigger()
    else:
        monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(exam.folder))
        desk.ui.loadExaminationButton.click()
    desk.panel.settle()
    assert desk.panel.state.lge is not patient.lge, desk.said
    patient.volumes["lge"] = desk.panel.state.lge
    np.testing.assert_allclose(slicer.util.arrayFromVolume(patient.lge),
                               whole(patient.phantom, Role.LGE))
    desk.worker.is_ready()
    finish(desk.panel, patient)
    desk.panel.window()
    desk.ui.numbersCollapsibleButton.collapsed = False
    desk.panel.wait_until(lambda: section(desk)._numbers is not None)
    measured(desk)
    path = tmp_path / "seg.dcm"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: str(path))
    desk.ui.saveDicomButton.click()
    desk.finish()
    assert "Saved as seg.dcm" in desk.said and "derived" not in desk.said
    seg = pydicom.dcmread(path)
    images = [pydicom.dcmread(p, stop_before_pixels=True)
              for p in exam.folder.rglob("*") if p.is_file()]
    (said,) = seg.ReferencedSeriesSequence
    of_the_series = [one for one in images if one.SeriesInstanceUID == said.SeriesInstanceUID]
    assert {one.SeriesNumber for one in of_the_series} == {31}
    assert seg.PatientID == exam.patient_id and seg.FrameOfReferenceUID == exam.reference
    assert {one.ReferencedSOPInstanceUID for one in said.ReferencedInstanceSequence} == {
        one.SOPInstanceUID for one in of_the_series}
