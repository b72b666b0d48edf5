"""DICOM SEG and structured report, read back by pydicom, highdicom, dcmqi and dciodvfy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import LGE, Examination

from deepgmm.cli.main import main
from deepgmm.phantom import make_patient
from deepgmm.reading.images.grids import image_of
from deepgmm.study.words import Kind, Role, Tissue

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


def tool(name: str, package: str) -> list[str] | None:
    """How to call a program: on the path, or in the wheel that brings it."""
    if shutil.which(name):
        return [name]
    found = importlib.util.find_spec(package)
    if found is None or not found.origin:
        return None
    names = [p for p in Path(found.origin).parent.rglob(name) if os.access(p, os.X_OK)]
    return [str(names[0])] if names else None


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a SEG and a report of a patient whose LGE is DICOM, and of one whose is not."""
    folder = tmp_path_factory.mktemp("dicom")
    patient = make_patient(1003, slices=4, kinds={Role.LGE: Kind.LGE_PSIR})
    truth = patient.truth.copy()
    truth[patient.truth == Tissue.EDEMA] = Tissue.MYOCARDIUM
    geometry = patient.study.geometry
    sitk.WriteImage(image_of(truth, geometry), str(folder / "truth.nii.gz"))
    lge = patient.study.sequences[Role.LGE].values
    sitk.WriteImage(image_of(lge, geometry), str(folder / "lge.nii.gz"))
    exam = Examination(folder / "exam")
    exam.add(7, "LGE", lge, geometry, tags=LGE)
    series = next(p for p in (folder / "exam").rglob("*") if p.is_file()).parent
    for name, image in (("own", series), ("derived", folder / "lge.nii.gz")):
        (folder / name).mkdir()
        assert main(["quantify", str(folder / "truth.nii.gz"), "--lge", str(image), "-q",
                     "--lge-kind", "psir", "--dicom-seg", str(folder / name / "seg.dcm"),
                     "--dicom-sr", str(folder / name / "sr.dcm")]) == 0
    return folder, patient, truth, series


def test_the_segments_come_back_voxel_by_voxel_with_their_terms(written) -> None:
    folder, patient, truth, _ = written
    for name in ("own", "derived"):
        seg = highdicom.seg.segread(folder / name / "seg.dcm")
        kinds = {}
        for number in seg.segment_numbers:
            description = seg.get_segment_description(number)
            tissue = Tissue.named(description.segment_label)
            kinds[tissue] = description.segmented_property_type.value
            volume = seg.get_volume(segment_numbers=[number])
            image = sitk.GetImageFromArray(volume.array[..., 0].astype(np.uint8))
            axes = volume.affine[:3, 2::-1]
            image.SetSpacing(np.linalg.norm(axes, axis=0).tolist())
            image.SetDirection((axes / np.linalg.norm(axes, axis=0)).ravel().tolist())
            image.SetOrigin(volume.affine[:3, 3].tolist())
            expected = image_of((truth == tissue).astype(np.uint8), patient.study.geometry)
            back = sitk.Resample(image, expected, sitk.Transform(), sitk.sitkNearestNeighbor)
            assert (sitk.GetArrayFromImage(back) == sitk.GetArrayFromImage(expected)).all()
        assert kinds == {Tissue.BLOOD: "87612001", Tissue.MYOCARDIUM: "74281007",
                         Tissue.SCAR: "12402003"}


def test_they_refer_to_the_series_they_were_made_on(written) -> None:
    folder, _, truth, series = written
    sources = {str(pydicom.dcmread(p).SOPInstanceUID) for p in series.iterdir()}
    for name, expected in (("own", sources), ("derived", {
            str(pydicom.dcmread(p).SOPInstanceUID)
            for p in (folder / "derived").glob("seg-derived-*.dcm")})):
        seg = pydicom.dcmread(folder / name / "seg.dcm")
        said = {str(i.ReferencedSOPInstanceUID) for s in seg.ReferencedSeriesSequence
                for i in s.ReferencedInstanceSequence}
        assert said == expected and len(said) == len(truth)
    own, derived = (pydicom.dcmread(folder / n / "seg.dcm") for n in ("own", "derived"))
    assert str(own.PatientID) == "MRN-12345"  # the series' own patient
    assert str(derived.PatientID) == "ANON" and "Doe" not in str(derived)
    assert not list((folder / "own").glob("*derived*"))


def test_the_report_holds_the_volumes(written) -> None:
    folder, patient, truth, _ = written
    sr = highdicom.sr.srread(folder / "own" / "sr.dcm")
    groups = sr.content.get_volumetric_roi_measurement_groups()
    found = {str(g.tracking_identifier): {str(m.name.meaning): float(m.value)
                                          for m in g.get_measurements()} for g in groups}
    voxel = patient.study.geometry.voxel_volume
    for tissue in (Tissue.BLOOD, Tissue.SCAR):
        ml = (truth == tissue).sum() * voxel
        assert found[tissue.title]["Volume"] == pytest.approx(ml, rel=1e-6)
        assert found[tissue.title]["Mass"] == pytest.approx(1.05 * ml, rel=1e-6)
    segment = groups[0].referenced_segment
    assert str(segment.referenced_sop_instance_uid) == str(
        pydicom.dcmread(folder / "own" / "seg.dcm").SOPInstanceUID)


@pytest.mark.parametrize("name", ["own", "derived"])
def test_dciodvfy_finds_no_error(written, name: str) -> None:
    program = tool("dciodvfy", "dicom3tools")
    if program is None:
        pytest.skip("dciodvfy was not found: it is in Debian's package dicom3tools")
    for file in sorted((written[0] / name).glob("*.dcm")):
        done = subprocess.run([*program, "-new", str(file)], capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert said.strip() and not [x for x in said.splitlines() if x.startswith("Error")], said


def test_dcmqi_reads_the_segments(written, tmp_path: Path) -> None:
    program = tool("segimage2itkimage", "dcmqi")
    if program is None:
        pytest.skip("dcmqi was not found: pip install dcmqi")
    folder, _, truth, _ = written
    done = subprocess.run([*program, "--inputDICOM", str(folder / "own" / "seg.dcm"),
                           "--outputDirectory", str(tmp_path), "-t", "nifti"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = sorted(int((sitk.GetArrayFromImage(sitk.ReadImage(str(p))) > 0).sum())
                    for p in tmp_path.glob("*.nii.gz"))
    assert counts == sorted(int((truth == t).sum()) for t in (1, 2, 4))


def spoiled(written, tmp_path: Path, change) -> Path:
    """The series with something done to each header."""
    for file in sorted(written[3].iterdir()):
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(tmp_path / file.name)
    return tmp_path


def refused(written, source: Path, out: Path, capsys) -> str:
    status = main(["quantify", str(written[0] / "truth.nii.gz"), "-q", "--dicom-source",
                   str(source), "--dicom-seg", str(out / "seg.dcm")])
    said = capsys.readouterr().err
    assert status == 2 and not list(out.iterdir()), said
    return said.splitlines()[-1]


def test_headers_without_what_a_reference_needs_are_refused(written, tmp_path, out,
                                                            capsys) -> None:
    source = spoiled(written, tmp_path, lambda d: d.__delattr__("FrameOfReferenceUID"))
    assert "lacks FrameOfReferenceUID" in refused(written, source, out, capsys)


def test_a_series_elsewhere_is_refused(written, tmp_path, out, capsys) -> None:
    def move(dataset) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x + 3, y, z]

    source = spoiled(written, tmp_path, move)
    assert "images for 0 of the 4 slices" in refused(written, source, out, capsys)
    (tmp_path / "none").mkdir()
    assert "no DICOM images" in refused(written, tmp_path / "none", out, capsys)


def test_a_header_that_lacks_what_may_be_empty_is_taken_and_said(written, tmp_path, out,
                                                                 capsys) -> None:
    source = spoiled(written, tmp_path, lambda d: [d.__delattr__(n) for n in (
        "PatientName", "PatientID", "StudyDate")])
    assert main(["quantify", str(written[0] / "truth.nii.gz"), "-q", "--dicom-source",
                 str(source), "--dicom-seg", str(out / "seg.dcm")]) == 0
    assert "the DICOM source lacks PatientID, PatientName" in capsys.readouterr().err
    assert highdicom.seg.segread(out / "seg.dcm").number_of_segments == 3


